/* buffer.c: see buffer.h. */
#include "buffer.h"

/* The worker's own chunks have one. Those that come from a file get it here. */
const struct row_at *chunk_index(struct sl_chunk *c) {
	if (sl_unlikely(c->index.n != c->rows * sizeof(struct row_at))) {
		const char *row = chunk_rows(c);
		sl_buf_clear(&c->index);
		for (uint32_t i = 0; i < c->rows; i++) {
			row = chunk_row_at(row);
			chunk_index_add(c, (size_t)(row - c->buf.p), sql_row_head(row)->size);
			row += sql_row_head(row)->size;
		}
	}
	return (const struct row_at *)(const void *)c->index.p;
}

/* Rows are looked up in their order, if at all: each time a few steps on. */
bool chunk_origin(struct sl_chunk *c, const void *row, struct sl_origin *out) {
	if (!c->found || c->found > (const char *)row) {
		c->found = chunk_rows(c);
		c->found_origin = NULL;
	}
	while (c->found != row) {
		if (sql_row_head(c->found)->flags & SQL_ROW_FRAME) c->found_origin = c->found;
		c->found += sql_row_head(c->found)->size;
	}
	return c->found_origin && sl_origin_read(c->found_origin, out) == SL_OK && !sl_origin_empty(out);
}

void row_queue_fini(struct row_queue *q) {
	sl_free(q->at);
	*q = (struct row_queue){0};
}

void row_queue_grow(struct row_queue *q) {
	size_t cap = q->cap ? q->cap * 2 : 64;
	struct row_ref *at = sl_calloc(cap, sizeof *at);
	for (size_t i = 0; i < q->n; i++) at[i] = *row_queue_at(q, i);
	sl_free(q->at);
	q->at = at;
	q->cap = cap;
	q->first = 0;
}

void row_queue_put_before(struct row_queue *to, struct row_queue *from) {
	for (size_t i = from->n; i-- > 0;) row_queue_push_front(to, *row_queue_at(from, i));
	from->n = 0;
	from->first = 0;
	from->bytes = 0;
}
