/* replay.h: the connector loop's half of a replay (connectors_replay.h). Same folder only.
 * Thread: the connector loop. Reads and writes files in portions of REPLAY_PORTION. */
#ifndef SL_REPLAY_H
#define SL_REPLAY_H

#include "connectors_int.h"

#define REPLAY_SUFFIX ".replay"
enum { REPLAY_PORTION = 256 * 1024, REPLAY_LOOK_MS = 1000 };

struct replay;
struct replay *replay_new(struct connectors *cs) sl_warn_unused;
void replay_free(struct replay *r);
/* Actions are in force, or others than before: looks at once, and from now on. */
void replay_begin(struct replay *r);
/* Takes up nothing more. What is left of the file at hand stays as a file. */
void replay_stop(struct replay *r);

/* The names in data_dir/dead that end in the suffix, sorted; heap. */
char **replay_names(const char *data_dir, const char *suffix, size_t *count);
void replay_names_free(char **names, size_t count);

/* Which rows of a file are wanted: those whose message matches both. Stands beside the file, as FILE.only, so that the file
 * itself is moved in one step whatever is wanted of it; the others go back like lines that do not fit. */
struct replay_pick {
	char *topic, *clientid; /* a filter; NULL: any */
	bool anyway;            /* also rows that were for something else than what their action writes to now */
};
bool replay_picked(const struct replay_pick *pick, const struct sl_origin *from);
int replay_pick_write(const char *replay_path, const struct replay_pick *pick,
		      struct sl_err *err);                               /* nothing for "all" */
int replay_pick_read(const char *replay_path, struct replay_pick *pick); /* SL_OK and "all" when there is none */
void replay_pick_remove(const char *replay_path);
void replay_pick_fini(struct replay_pick *pick);

/* Which action a line goes to: the one of its rule that writes to where the line was meant for, at whatever place of the list it is
 * now; of a line that does not say, the one at its place. Each action is looked at once, with what it `is` for the caller. */
struct dead_line;
struct replay_target {
	const struct dead_line *line;
	struct sl_arena *arena;
	bool anyway;
	const struct sl_conn_action *found, *at_place;
	void *is_found, *is_at_place;
};
void replay_target_look(struct replay_target *t, const struct sl_conn_action *a, void *is);
int replay_target_end(struct replay_target *t, struct sl_err *err); /* SL_OK: t->found and t->is_found */

/* Why a row of that age must not be given to the action; NULL: it may. Heap. */
char *replay_too_old(const struct sl_conn_action *a, int64_t at_ms, int64_t now_ms);

#endif
