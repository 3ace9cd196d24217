/* store_int.h: the inside of the store: the journal and the table, each one thread's at a time. */
#ifndef STORE_INT_H
#define STORE_INT_H

#include <pthread.h>
#include <stdatomic.h>

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
	struct sl_buf found; /* what was in it, until it has been read */
};

/* Opens it for writing from its beginning: what store_journal_read() gave must be safe elsewhere before the first write. Reading
 * gives each batch whose number is above `applied`, in order; *last: the highest number seen. */
typedef int (*store_batch_cb)(void *arg, uint64_t seq, struct sl_slice ops);
int store_journal_open(struct store_journal *j, const char *dir, unsigned which, bool sync, struct sl_err *err);
/* The number of the first batch above `applied`; 0: none. */
uint64_t store_journal_first(const struct store_journal *j, uint64_t applied);
void store_journal_read(struct store_journal *j, uint64_t applied, store_batch_cb each, void *arg, uint64_t *last);
/* `batch` begins with room for a struct store_frame, and gets the end mark behind. SL_OK, or what went wrong: nothing of it counts
 * then. */
int store_journal_write(struct store_journal *j, struct sl_buf *batch, uint64_t seq);
void store_journal_restart(struct store_journal *j); /* all in it is safe elsewhere */
void store_journal_close(struct store_journal *j);

/* The batches in the bytes of a journal, as store_journal_open() gives them. The count of bytes that were read; what stands
 * behind is no whole frame. *clean: it is an end mark. */
size_t store_journal_walk(struct sl_slice bytes, uint64_t applied, store_batch_cb each, void *arg, uint64_t *last,
			  bool *clean);

/* ---- store_checkpoint.c ---- */

/* Batches as the journal has them, each behind its frame. */
struct store_batches {
	struct sl_buf *v;
	size_t len, cap, bytes;
	uint64_t since_ms; /* when the first of them came */
	uint64_t last;     /* the number of the last one */
};
void store_batches_add(struct store_batches *b, struct sl_buf *batch, uint64_t seq); /* takes it */
void store_batches_free(struct store_batches *b);

/* The thread that brings batches from the journals to the table, so that who writes a journal need not wait for it. */
struct store_checkpoint {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	struct store_batches work; /* handed over; its journal is not written to meanwhile */
	bool busy, stop;
};

struct store {
	struct store_opts opts;
	struct store_table *table; /* the checkpoint thread's */
	struct store_checkpoint checkpoint;
	pthread_t thread;
	bool started;

	/* What workers and the thread share. */
	struct {
		pthread_mutex_t lock;
		pthread_cond_t wake;
		struct sl_buf open; /* the batch that is being appended to, behind room for its frame */
		uint64_t seq;       /* its number */
		uint64_t *wants;    /* of each waiter: the batch it waits for; 0: none */
		bool pushed, stop;
	} shared;

	/* The thread's. */
	struct store_journal journals[2];
	unsigned current;
	struct store_batches written; /* to the current journal */

	_Atomic uint64_t durable, backlog, pending; /* pending: bytes that are in a journal and not in the table */
	_Atomic bool full, journal_failed, table_failed;
	_Atomic uint64_t commits, checkpoints, errors, used, last_us, damaged;
};

void store_judge_full(struct store *st); /* @thread any */
void store_failed(struct store *st, _Atomic bool *which, const char *what, int rc);

/* Into the table, now. On failure nothing of it is, and it is kept. */
int store_checkpoint_apply(struct store *st, struct store_batches *b);
int store_checkpoint_start(struct store *st);
void store_checkpoint_stop(struct store *st); /* after what it has begun */
bool store_checkpoint_busy(struct store *st);
/* False: it is busy. */
bool store_checkpoint_hand_over(struct store *st, struct store_batches *b);
void store_checkpoint_wait_idle(struct store *st); /* for a moment at most */

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
