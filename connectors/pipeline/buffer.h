/* buffer.h: chunks of rows, and queues of rows out of them.
 *
 * A chunk is what one worker staged for one action in one tick: one block with the rows one behind the other, room for the
 * log's record head in front, so that the chunk itself is written to disk. Rows never move; who needs one points into
 * the chunk. A chunk lives until the last of its rows is decided, then goes back to the pool of the worker that made it.
 *
 * A row_queue is a double-ended queue of such pointers.
 * Thread: a chunk belongs to its worker until it is posted, then to the connector loop. */
#ifndef SL_BUFFER_H
#define SL_BUFFER_H

#include "buf.h"
#include "loop.h"
#include "mem.h"
#include "origin.h"
#include "spill.h"
#include "sql.h"
#include "sql_row.h"
#include "ticket.h"

#define CHUNK_BYTES_MAX (128 * SL_KB) /* so large becomes the block of a chunk, unless a row is larger */
#define CHUNK_BYTES_FULL                                                                                               \
	(CHUNK_BYTES_MAX / 16 * 15) /* a worker begins another one above this: few rows make the block double */

struct sl_pipeline;

/* The names of a row's values. A reload may change them while rows are on their way; a pipeline keeps all it ever had. */
struct row_format {
	struct row_format *next;
	struct spill_names names;
	struct row_templates { /* what made the values; of the newest settings with these names */
		struct sl_slice *text;
		enum sql_target *target;
		char *bytes;
		uint64_t rows_of; /* sl_action_spec_rows_of() */
	} made;
	char *bytes;
};

/* Who waits for a chunk to be safe; goes back to the worker as soon as it is. */
struct sl_tickets {
	struct sl_tickets *next;
	size_t worker, n, cap;
	struct sl_ticket **at;
};

/* Where a row stands in its chunk. */
struct row_at {
	uint32_t at, size;
};

struct sl_chunk {
	struct sl_post post;   /* the first chunk of a letter carries it */
	struct sl_chunk *next; /* letter, line, pool */
	struct sl_list in_mem; /* pipeline's chunks in memory, in order of arrival */
	struct sl_pipeline *p;
	const struct row_format *format; /* of its rows */
	/* What its values are called, when the action knows none of the names: its rows are dead letters. NULL: as in `format`. */
	const struct spill_names *strange;
	struct sl_tickets *tickets; /* NULL when nobody waits (any more) */
	size_t worker;
	bool qos;      /* of QoS 1 and 2 messages */
	bool decided;  /* who waits for it waits until its rows are in the log or decided (ticket.decided) */
	bool must_log; /* whatever the action's durability: rows that were in a dead-letter file */
	bool replayed; /* of rows that were in a dead-letter file, now or before they came back from the log */
	uint32_t rows, undecided;
	uint32_t patience_ms;             /* of who waits for it and can do so least (ticket.patience_ms) */
	uint64_t origin;                  /* serial of the last origin in it; 0: none */
	const char *found, *found_origin; /* the row whose origin was looked up last, and that */
	int64_t at_ms;                    /* wall time of the first row's message */
	uint64_t arrived_ms;              /* at the pipeline, monotonic; a nap of the loop is counted in */
	uint64_t arrival;                 /* order of arrival */
	struct spill_ref ref;
	uint64_t on_way;   /* what its worker has counted of it in worker_end.way_in; 0: L has it, and has charged it */
	uint64_t charged;  /* what it counts for in the budgets while it is in memory, or held */
	struct sl_buf buf; /* struct spill_head, rows with their origins (origin.h) */
	struct sl_buf index; /* struct row_at of each row, or empty: see chunk_index() */
};

/* Where the rows stand, in their order: who sorts them does not wait for the memory of each. Who moves rows clears c->index. */
const struct row_at *chunk_index(struct sl_chunk *c);
static inline void chunk_index_add(struct sl_chunk *c, size_t at, size_t size) {
	struct row_at row = {(uint32_t)at, (uint32_t)size};
	memcpy(sl_buf_add(&c->index, sizeof row), &row, sizeof row);
}

static inline const char *chunk_rows(const struct sl_chunk *c) { return c->buf.p + sizeof(struct spill_head); }
/* The first row at p or behind it; there is one. */
static inline const char *chunk_row_at(const char *p) {
	while (sl_unlikely(sql_row_head(p)->flags & SQL_ROW_FRAME)) p += sql_row_head(p)->size;
	return p;
}
static inline size_t chunk_bytes(const struct sl_chunk *c) { return c->buf.n - sizeof(struct spill_head); }

/* A line of chunks, first in first out. */
struct chunk_line {
	struct sl_chunk *head, *tail;
};
static inline void chunk_line_push(struct chunk_line *l, struct sl_chunk *c) {
	c->next = NULL;
	if (l->tail)
		l->tail->next = c;
	else
		l->head = c;
	l->tail = c;
}
static inline struct sl_chunk *chunk_line_pop(struct chunk_line *l) {
	struct sl_chunk *c = l->head;
	if (!c) return NULL;
	l->head = c->next;
	if (!l->head) l->tail = NULL;
	c->next = NULL;
	return c;
}

struct row_ref {
	const void *row;
	struct sl_chunk *chunk;
	uint32_t size;
	uint16_t attempts;
	uint8_t breaks; /* connections that ended at it: see pipeline_break.c, also for the others */
	uint8_t proofs : 2, epoch : 6;
};

struct row_queue {
	struct row_ref *at;
	size_t first, n, cap; /* cap: 0 or a power of two */
	uint64_t bytes;
};
/* What is known of the message that a row of the chunk comes from. False: nothing. Borrows from the chunk. */
bool chunk_origin(struct sl_chunk *c, const void *row, struct sl_origin *out);

void row_queue_fini(struct row_queue *q);
void row_queue_grow(struct row_queue *q);
static inline struct row_ref *row_queue_at(const struct row_queue *q, size_t i) {
	return &q->at[(q->first + i) & (q->cap - 1)];
}
static inline void row_queue_push(struct row_queue *q, struct row_ref ref) {
	if (sl_unlikely(q->n == q->cap)) row_queue_grow(q);
	q->at[(q->first + q->n++) & (q->cap - 1)] = ref;
	q->bytes += ref.size;
}
static inline void row_queue_push_front(struct row_queue *q, struct row_ref ref) {
	if (sl_unlikely(q->n == q->cap)) row_queue_grow(q);
	q->first = (q->first + q->cap - 1) & (q->cap - 1);
	q->at[q->first] = ref;
	q->n++;
	q->bytes += ref.size;
}
static inline struct row_ref row_queue_pop(struct row_queue *q) {
	struct row_ref ref = q->at[q->first];
	q->first = (q->first + 1) & (q->cap - 1);
	q->n--;
	q->bytes -= ref.size;
	return ref;
}
static inline struct row_ref row_queue_pop_back(struct row_queue *q) {
	struct row_ref ref = *row_queue_at(q, --q->n);
	q->bytes -= ref.size;
	return ref;
}
/* Moves all of `from` before the first of `to`, in its order. */
void row_queue_put_before(struct row_queue *to, struct row_queue *from);

#endif
