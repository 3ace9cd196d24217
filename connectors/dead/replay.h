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

/* Those that a line may go to, each with what it `is` for the caller. Found by their rule, for there may be thousands. */
struct replay_action {
	const struct sl_conn_action *a;
	void *is;
};
struct replay_actions {
	struct replay_action *at;
	size_t n, cap;
	bool sorted;
};
void replay_actions_add(struct replay_actions *all, const struct sl_conn_action *a, void *is);
void replay_actions_forget(struct replay_actions *all);

/* Which action a line goes to: the one of its rule that writes to where the line was meant for, at whatever place of the list it is
 * now; of a line that does not say, the one at its place. anyway: also the one at its place that writes to something else. */
struct dead_line;
int replay_target(struct replay_actions *all, const struct dead_line *line, bool anyway, struct sl_arena *arena,
		  const struct replay_action **out, struct sl_err *err);

/* Why a row of that age must not be given to the action; NULL: it may. Heap. */
char *replay_too_old(const struct sl_conn_action *a, int64_t at_ms, int64_t now_ms);

#endif
