/* rule_stats.c: see rule_stats.h. */
#include "rule_stats.h"

#include <stdlib.h>

#include "mem.h"

/* A cell is a cache line, so that two workers never write to one. */
enum { CELL_BYTES = 64, CELLS_IN_BLOCK = 256 };
_Static_assert(sizeof(struct rule_cell) == CELL_BYTES && sizeof(struct action_cell) == CELL_BYTES, "cells are lines");

struct cells_block {
	_Atomic uint32_t refs;
	size_t used, cap; /* cells */
	char *cells;
};

static void block_unref(struct cells_block *b) {
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) return;
	free(b->cells);
	sl_free(b);
}

static struct cells_block *block_new(size_t cap) {
	struct cells_block *b = SL_NEW(struct cells_block);
	atomic_init(&b->refs, 1);
	b->cap = cap;
	b->cells = aligned_alloc(CELL_BYTES, cap * CELL_BYTES);
	sl_assert(b->cells);
	memset(b->cells, 0, cap * CELL_BYTES);
	return b;
}

/* Returns the first of n cells, and in *block a strong reference to where they stand. */
static void *room_take(struct cells_room *room, size_t n, struct cells_block **block) {
	if (!room->block || room->block->cap - room->block->used < n) {
		block_unref(room->block);
		room->block = block_new(sl_max_size(n, CELLS_IN_BLOCK));
	}
	struct cells_block *b = room->block;
	void *cells = b->cells + b->used * CELL_BYTES;
	b->used += n;
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	*block = b;
	return cells;
}

void cells_room_fini(struct cells_room *room) {
	block_unref(room->block);
	room->block = NULL;
}

struct rule_stats *rule_stats_new(struct cells_room *room, size_t workers) {
	struct rule_stats *s = SL_NEW(struct rule_stats);
	atomic_init(&s->refs, 1);
	s->workers = workers;
	s->cells = room_take(room, workers, &s->block);
	return s;
}

struct rule_stats *rule_stats_ref(struct rule_stats *s) {
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void rule_stats_unref(struct rule_stats *s) {
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t w = 0; w < s->workers; w++) {
		struct rule_failure *ring = s->cells[w].failures;
		for (int i = 0; ring && i < RULE_FAILURES_KEPT; i++) {
			sl_buf_fini(&ring[i].topic);
			sl_buf_fini(&ring[i].clientid);
			sl_buf_fini(&ring[i].reason);
		}
		sl_free(ring);
	}
	block_unref(s->block);
	sl_free(s);
}

struct rule_cell rule_cells_sum(const struct rule_cell *cells, size_t workers) {
	struct rule_cell sum = {0};
	for (size_t w = 0; w < workers; w++) {
		const struct rule_cell *cell = &cells[w];
		sum.matched += cell->matched;
		sum.filtered += cell->filtered;
		sum.produced += cell->produced;
		sum.failed += cell->failed;
		sum.rows += cell->rows;
		sum.action_failed += cell->action_failed;
		sum.failures_len += cell->failures_len;
	}
	return sum;
}

struct action_stats *action_stats_new(struct cells_room *room, size_t workers) {
	struct action_stats *s = SL_NEW(struct action_stats);
	atomic_init(&s->refs, 1);
	s->workers = workers;
	s->cells = room_take(room, workers, &s->block);
	return s;
}

struct action_stats *action_stats_ref(struct action_stats *s) {
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void action_stats_unref(struct action_stats *s) {
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
	block_unref(s->block);
	sl_free(s);
}

struct action_cell action_cells_sum(const struct action_cell *cells, size_t workers) {
	struct action_cell sum = {0};
	for (size_t w = 0; w < workers; w++) {
		sum.taken += cells[w].taken;
		sum.failed += cells[w].failed;
		sum.looping += cells[w].looping;
	}
	return sum;
}

/* Cuts between two characters of UTF-8, never inside one. */
static void keep_text(struct sl_buf *buf, struct sl_slice text) {
	if (text.n > RULE_FAILURE_TEXT_MAX) {
		text.n = RULE_FAILURE_TEXT_MAX;
		while (text.n > 0 && ((uint8_t)text.p[text.n] & 0xc0) == 0x80) text.n--;
	}
	sl_buf_clear(buf);
	sl_buf_append_slice(buf, text);
}

void rule_failure_add(struct rule_cell *cell, int64_t at_ms, struct sl_slice topic, struct sl_slice clientid,
		      struct sl_slice reason) {
	if (!cell->failures) cell->failures = SL_NEW_ARRAY(struct rule_failure, RULE_FAILURES_KEPT);
	struct rule_failure *f = &cell->failures[cell->failures_len++ % RULE_FAILURES_KEPT];
	f->at_ms = at_ms;
	f->number = cell->failures_len;
	keep_text(&f->topic, topic);
	keep_text(&f->clientid, clientid);
	keep_text(&f->reason, reason);
}

static int failure_newest_first(const void *a, const void *b) {
	const struct rule_failure *x = *(const struct rule_failure *const *)a;
	const struct rule_failure *y = *(const struct rule_failure *const *)b;
	if (x->at_ms != y->at_ms) return x->at_ms < y->at_ms ? 1 : -1;
	return x->number < y->number ? 1 : x->number > y->number ? -1 : 0;
}

size_t rule_failures_newest(const struct rule_stats *s, const struct rule_failure **out, size_t room) {
	const struct rule_failure **all = SL_NEW_ARRAY(const struct rule_failure *, s->workers *RULE_FAILURES_KEPT + 1);
	size_t n = 0;
	for (size_t w = 0; w < s->workers; w++) {
		const struct rule_cell *cell = &s->cells[w];
		size_t held = sl_min_size(cell->failures_len, RULE_FAILURES_KEPT);
		for (size_t i = 0; i < held; i++) all[n++] = &cell->failures[i];
	}
	qsort(all, n, sizeof *all, failure_newest_first);
	n = sl_min_size(n, room);
	memcpy(out, all, n * sizeof *out);
	sl_free(all);
	return n;
}
