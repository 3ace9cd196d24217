/* pg_position.h: how far a source has come: one cursor in a file of ours, which survives SIGKILL and a power cut.
 *
 *     data_dir/sources/<name>.position
 *
 * Two places in it, written in turn; the newer one whose checksum is right counts, so a write that was cut short harms nothing. The file is
 * locked while it is open: of two sources of one name, of which one is about to go, the other waits.
 *
 * Lifetime: the caller's struct, from open to close. Thread: one at a time; writing blocks for a disk's while, and belongs on a
 * thread of its own. Errors: in words, with the path. */
#ifndef PG_POSITION_H
#define PG_POSITION_H

#include "err.h"
#include "slice.h"

#define PG_POSITION_PLACE 4096
#define PG_POSITION_COLUMN_MAX 200
#define PG_POSITION_CURSOR_MAX 1000

struct pg_position {
	int fd;
	uint64_t number; /* of the newest */
	char *path;
};

/* *cursor: what stands there for this column; heap, NULL when there is nothing. SL_EAGAIN: another one has it. */
int pg_position_open(struct pg_position *p, const char *data_dir, const char *name, struct sl_slice column,
		     char **cursor, struct sl_err *err);
int pg_position_write(struct pg_position *p, struct sl_slice column, struct sl_slice cursor, struct sl_err *err);
void pg_position_close(struct pg_position *p);

/* One place. False: nothing that was written whole stands there. The slices point into it. */
bool pg_position_parse(struct sl_slice place, uint64_t *number, struct sl_slice *column, struct sl_slice *cursor);

#endif
