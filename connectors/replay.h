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

/* Why a row of that age must not be given to the action; NULL: it may. Heap. */
char *replay_too_old(const struct sl_conn_action *a, int64_t at_ms, int64_t now_ms);

#endif
