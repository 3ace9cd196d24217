/* pipeline_drop.c: rows that go so that others find room (`overflow: drop_oldest`, and rows of QoS 0), the oldest that are not out.
 *
 * Where `buffer.rows` is what is reached, just as many go as come: in memory one by one, and of a record that is in the log only its first
 * ones, while the rest is unread again. Bytes are not had by the row: memory is free when a whole chunk is, disk when a file of the log
 * is, so there whole chunks and records go.
 *
 * Rows of a record that a chunk gave back (pipeline_large.c) and that had been decided are not dropped, nor counted, once more. */
#include "connectors_int.h"

struct sl_chunk *pipeline_line_pop(struct sl_pipeline *p, bool qos) {
	struct sl_chunk *first = chunk_line_pop(&p->line[qos]), *next = p->line[qos].head;
	p->cursor[qos] = next ? chunk_rows(next) : NULL;
	p->cursor_left[qos] = next ? next->rows : 0;
	return first;
}

/* The first chunk of a line none of whose rows is sorted yet: the first, or the one behind it. */
static struct sl_chunk *line_take_untouched(struct sl_pipeline *p, bool qos) {
	struct chunk_line *line = &p->line[qos];
	struct sl_chunk *first = line->head;
	if (!first) return NULL;
	if (p->cursor_left[qos] == first->rows) return pipeline_line_pop(p, qos);
	struct sl_chunk *second = first->next;
	if (!second) return NULL;
	first->next = second->next;
	if (line->tail == second) line->tail = first;
	return second;
}

static bool drop_unsorted(struct sl_pipeline *p, bool qos) {
	struct sl_chunk *c = p->line[qos].head;
	if (!c) return false;
	struct row_at at = chunk_index(c)[c->rows - p->cursor_left[qos]];
	const char *row = c->buf.p + at.at;
	p->cursor[qos] = row + at.size;
	pipeline_note(p, NOTE_OVERFLOW, 1, pipeline_row_topic(c, row), NULL);
	if (--p->cursor_left[qos] == 0) (void)pipeline_line_pop(p, qos);
	pipeline_rows_end(p, c, 1, ROW_OVERFLOW);
	return true;
}

static bool drop_untouched(struct sl_pipeline *p, bool qos) {
	struct sl_chunk *c = line_take_untouched(p, qos);
	if (!c) return false;
	pipeline_note(p, NOTE_OVERFLOW, c->rows, pipeline_row_topic(c, chunk_row_at(chunk_rows(c))), NULL);
	pipeline_rows_end(p, c, c->rows, ROW_OVERFLOW);
	return true;
}

bool pipeline_drop_first(struct sl_pipeline *p, bool qos, bool one) {
	for (uint32_t i = 0; i < p->way_count; i++) {
		struct row_queue *q = &p->way[i].q;
		if (q->n == 0 || row_queue_at(q, 0)->chunk->qos != qos) continue;
		struct row_ref ref = row_queue_pop(q);
		pipeline_note(p, NOTE_OVERFLOW, 1, pipeline_row_topic(ref.chunk, ref.row), NULL);
		pipeline_rows_end(p, ref.chunk, 1, ROW_OVERFLOW);
		return true;
	}
	return one ? drop_unsorted(p, qos) : drop_untouched(p, qos);
}

/* ---- Of the log. ------------------------------------------------------------------------------------------------------------ */

void pipeline_rows_damaged(struct sl_pipeline *p, uint32_t rows) {
	p->kept.n = 0; /* what is unread again stands first in the segment that is lost */
	p->count.dropped_damaged += rows;
	pipeline_note(p, NOTE_DAMAGED, rows, SL_SLICE_EMPTY, NULL);
}

/* All of a record are left. */
static void keep_all(struct sl_pipeline *p, uint32_t rows) {
	p->kept.ref = sl_realloc_array(p->kept.ref, rows, sizeof *p->kept.ref);
	p->kept.n = rows;
	for (uint32_t i = 0; i < rows; i++) p->kept.ref[i] = (struct kept_row){.index = i};
}

/* A record of `rows` was read, of which p->kept says what is left: `n` of these go, and the others are unread again, if they can be. Returns how
 * many went. */
static size_t record_drop(struct sl_pipeline *p, struct spill_ref *ref, uint32_t rows, uint64_t n) {
	size_t left = p->kept.n > n ? p->kept.n - n : 0, all = p->kept.n;
	uint64_t seq = ref->seq;
	if (left > 0 && spill_unread(p->log, ref, rows, rows - (uint32_t)left)) {
		memmove(p->kept.ref, p->kept.ref + n, left * sizeof *p->kept.ref);
		p->kept.n = left;
		pipeline_kept_tell(p, seq, rows);
		return n;
	}
	spill_done(p->log, ref);
	p->kept.n = 0;
	return all;
}

bool pipeline_drop_oldest(struct sl_pipeline *p, uint64_t rows) {
	if (pipeline_drop_first(p, false, rows > 0) || pipeline_drop_first(p, true, rows > 0)) return true;
	if (!p->log) return false;
	struct sl_buf scratch = SL_BUF_INIT;
	struct spill_ref ref = {0};
	uint32_t got = 0;
	int r = spill_read(p->log, &scratch, &ref, &got, NULL);
	if (r == SL_OK) {
		if (!pipeline_kept_is(p, ref.seq)) keep_all(p, got);
		size_t gone = record_drop(p, &ref, got, rows ? rows : UINT64_MAX);
		p->count.dropped_overflow += gone;
		if (sql_row_tried(sql_row_head(chunk_row_at(scratch.p))->flags) > 0) p->count.again_dropped += gone;
		pipeline_note(p, NOTE_OVERFLOW, gone, SL_SLICE_EMPTY, NULL);
	} else if (r == SL_ECORRUPT)
		pipeline_rows_damaged(p, got);
	sl_buf_fini(&scratch);
	return r != SL_ENOTFOUND;
}
