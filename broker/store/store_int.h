/* store_int.h: the inside of the store: the journal and the table, each one thread's at a time. */
#ifndef STORE_INT_H
#define STORE_INT_H

#include "store_op.h"

/* ---- store_journal.c ---- */

struct store_frame {        /* in front of a batch */
	uint32_t crc, zero; /* crc: of all that follows, batch included */
	uint64_t seq, bytes;
};

struct store_journal {
	int fd; /* -1: not open */
	uint64_t at;
	uint64_t size; /* of the file */
	bool sync;
	bool headed; /* the file begins as ours does */
	char *path;
};

/* Reads what is there: each batch whose number is above `applied`, in order. Opens it for writing from its beginning: what
 * `each` was given must be safe elsewhere before the first write. *last: the highest number seen. */
typedef int (*store_batch_cb)(void *arg, uint64_t seq, struct sl_slice ops);
int store_journal_open(struct store_journal *j, const char *dir, bool sync, uint64_t applied, store_batch_cb each,
		       void *arg, uint64_t *last, struct sl_err *err);
/* `batch` begins with room for a struct store_frame, and gets the end mark behind. SL_OK, or what went wrong: nothing of it counts
 * then. */
int store_journal_write(struct store_journal *j, struct sl_buf *batch, uint64_t seq);
void store_journal_restart(struct store_journal *j); /* all in it is safe elsewhere */
void store_journal_close(struct store_journal *j);

/* The batches in the bytes of a journal, as store_journal_open() gives them. The count of bytes that were read; what stands
 * behind is no whole frame. *clean: it is an end mark. */
size_t store_journal_walk(struct sl_slice bytes, uint64_t applied, store_batch_cb each, void *arg, uint64_t *last,
			  bool *clean);

/* ---- store_lmdb.c ---- */

struct store_table;

/* *applied: the number of the last batch in it. *damaged: records that were lost. */
int store_table_open(const char *dir, struct store_table **out, uint64_t *applied, uint64_t *damaged,
		     struct sl_err *err);
void store_table_close(struct store_table *t);
int store_table_begin(struct store_table *t);
int store_table_apply(struct store_table *t, struct sl_slice ops);
int store_table_commit(struct store_table *t, uint64_t applied); /* synced */
void store_table_abort(struct store_table *t);
int store_table_grow(struct store_table *t); /* SL_ELIMIT came: there is more room now; begin again */
int store_table_scan(struct store_table *t, enum store_space space, store_scan_cb each, void *arg, uint64_t *damaged);
uint64_t store_table_bytes(struct store_table *t); /* in use */

#endif
