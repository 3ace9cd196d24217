/* pipeline_large.c: chunks that are larger than what an action may have beyond the budget of all: one at a time.
 *
 * When others have used up node.buffer_memory, an action still reads back one ordinary chunk at a time, so that it goes on (those whose
 * rows all wait for another attempt do not count, up to PAUSED_MAX). One that is
 * large, for it has a large row, needs the turn for it, which actions get one after the other. Whoever has the turn and cannot send (its
 * connection is down, its rows wait for another attempt) while others wait for theirs gives its chunk back to its log, and gets in line
 * again when it can. What is known of the chunk's rows (attempts, which are decided) is kept for then. */
#include "connectors_int.h"

#define ORDINARY_MAX (CHUNK_BYTES_MAX / 2 * 3) /* with its index and places in a queue no more than 256 KB */
#define PAUSED_MAX ((uint64_t)4 * CHUNK_BYTES_MAX)

static bool can_send(const struct sl_pipeline *p) {
	return !p->halted && !p->next && p->now_ms >= p->pause_until_ms && p->dead_n == 0 &&
	       conn_is_up(p->action->conn);
}

static struct sl_pipeline *line_first(const struct connectors *cs) {
	return sl_list_empty(&cs->large_line) ? NULL
					      : SL_LIST_ENTRY(cs->large_line.next, struct sl_pipeline, large_wait);
}

static void turn_next(struct connectors *cs) {
	struct sl_pipeline *first = line_first(cs);
	if (first && !cs->large) pipeline_wake(first);
}

/* Its turn, or it gets in line; whoever has the turn looks whether it can use it. */
static bool turn_take(struct sl_pipeline *p) {
	struct connectors *cs = p->cs;
	struct sl_pipeline *first = line_first(cs);
	if (!can_send(p)) return false;
	if (!cs->large && (!first || first == p)) {
		sl_list_remove(&p->large_wait);
		return true;
	}
	if (!sl_list_linked(&p->large_wait)) sl_list_push_back(&cs->large_line, &p->large_wait);
	if (cs->large) pipeline_wake(cs->large->p);
	return false;
}

/* Rows that wait for another attempt are not what an action goes on with: those of other keys do, and show whether the server works. */
static bool all_pause(const struct sl_pipeline *p) { return p->parked > 0 && p->parked == p->mem_rows; }

bool pipeline_refill_fits(struct sl_pipeline *p, bool *large) {
	uint64_t bytes = spill_next_bytes(p->log), need = bytes > CHUNK_BYTES_MAX ? bytes : CHUNK_BYTES_MAX;
	*large = false;
	if (budget_has_room(p->cs, budget_rows(p->cs->mem_max), need)) return true;
	if (all_pause(p) && p->mem_bytes <= PAUSED_MAX && bytes <= ORDINARY_MAX) return true;
	if (p->mem_bytes > 0) return false;
	if (bytes <= ORDINARY_MAX) return true;
	return *large = turn_take(p);
}

/* When it was its turn, and it did not want it, nor can it any more: the next one. */
void pipeline_large_pass(struct sl_pipeline *p) {
	struct connectors *cs = p->cs;
	if (sl_likely(sl_list_empty(&cs->large_line)) || cs->large || connectors_trim_busy(cs))
		return; /* that wakes all */
	if (line_first(cs) == p) sl_list_remove(&p->large_wait);
	turn_next(cs);
}

void pipeline_large_end(struct connectors *cs) {
	cs->large = NULL;
	turn_next(cs);
}

/* The pipeline ends. */
void pipeline_large_forget(struct sl_pipeline *p) {
	bool first = line_first(p->cs) == p;
	sl_list_remove(&p->large_wait);
	sl_free(p->kept.ref);
	p->kept.ref = NULL;
	if (p->cs->large && p->cs->large->p == p)
		pipeline_large_end(p->cs);
	else if (first)
		turn_next(p->cs);
}

/* ---- Back to the log, and in again. ------------------------------------------------------------------------------------ */

static uint32_t index_of(struct sl_chunk *c, const void *row) {
	const struct row_at *index = chunk_index(c);
	uint32_t at = (uint32_t)((const char *)row - c->buf.p), from = 0, to = c->rows;
	while (to - from > 1) {
		uint32_t middle = from + (to - from) / 2;
		if (index[middle].at <= at)
			from = middle;
		else
			to = middle;
	}
	return from;
}

static void keep_ref(struct sl_pipeline *p, struct row_ref ref, uint32_t index) {
	struct kept_row *to = &p->kept.ref[p->kept.n++];
	*to = (struct kept_row){.ref = ref, .index = index};
}

static void keep_queue(struct sl_pipeline *p, struct row_queue *q) {
	while (q->n > 0) {
		struct row_ref ref = row_queue_pop(q);
		keep_ref(p, ref, index_of(ref.chunk, ref.row));
	}
}

/* All rows in memory are of this chunk, none is out, and all are where they are looked for below. */
static bool rows_at_hand(const struct sl_pipeline *p, const struct sl_chunk *c) {
	uint64_t n = p->parked + (p->line[c->qos].head ? p->cursor_left[c->qos] : 0);
	for (uint32_t i = 0; i < p->way_count; i++) n += p->way[i].q.n;
	return p->in_mem.next == &c->in_mem && p->in_mem.prev == &c->in_mem && n == c->undecided;
}

/* Those of a lane that waits are before its others, those that have no way yet come last. */
static void keep_rows(struct sl_pipeline *p, struct sl_chunk *c) {
	struct sl_chunk *unsorted = p->line[c->qos].head;
	p->kept.ref = sl_realloc_array(p->kept.ref, c->undecided, sizeof *p->kept.ref);
	p->kept.n = 0;
	for (size_t i = 0; p->parked > 0; i++) {
		struct sl_lane *l = &p->lane[i];
		if (l->parked.n == 0) continue;
		if (l->due_ms > p->pause_until_ms) p->pause_until_ms = l->due_ms;
		p->parked -= l->parked.n;
		keep_queue(p, &l->parked);
	}
	p->blocked = 0;
	for (uint32_t i = 0; i < p->way_count; i++) {
		keep_queue(p, &p->way[i].q);
		p->way[i].splits = 0;
	}
	if (!unsorted) return;
	const struct row_at *index = chunk_index(c);
	for (uint32_t i = c->rows - p->cursor_left[c->qos]; i < c->rows; i++)
		keep_ref(p, (struct row_ref){.chunk = c, .size = index[i].size}, i);
	chunk_line_pop(&p->line[c->qos]);
	p->cursor_left[c->qos] = 0;
}

/* The next record of the log is unread again. */
void pipeline_kept_tell(struct sl_pipeline *p, uint64_t seq, uint32_t rows) {
	uint64_t *decided = SL_NEW_ARRAY(uint64_t, rows / 64 + 1);
	memset(decided, 0xff, rows / 64 * sizeof *decided);
	decided[rows / 64] = ((uint64_t)1 << rows % 64) - 1;
	for (size_t i = 0; i < p->kept.n; i++) {
		uint32_t index = p->kept.ref[i].index;
		decided[index / 64] &= ~((uint64_t)1 << index % 64);
	}
	if (p->kept.n < rows) spill_unread_decided(p->log, decided, rows);
	sl_free(decided);
	p->kept.seq = seq;
}

static void give_back(struct sl_pipeline *p, struct sl_chunk *c) {
	uint64_t seq = c->ref.seq;
	if (p->kept.n || !rows_at_hand(p, c)) return;
	if (!spill_unread(p->log, &c->ref, c->rows, c->rows - c->undecided)) return;
	keep_rows(p, c);
	pipeline_kept_tell(p, seq, c->rows);
	p->mem_rows -= c->undecided;
	pipeline_mem_sub(p, c->charged);
	sl_list_remove(&c->in_mem);
	p->cs->freed += c->charged;
	connectors_chunk_free(c);
	pipeline_large_end(p->cs);
}

void pipeline_large_look(struct sl_pipeline *p) {
	struct sl_chunk *c = p->cs->large;
	if (sl_likely(!c) || c->p != p || sl_list_empty(&p->cs->large_line) || !sl_list_empty(&p->out)) return;
	if (!can_send(p) || p->parked > 0) give_back(p, c);
}

/* A chunk comes from the log that was there before: its rows stand where they stood. */
bool pipeline_large_again(struct sl_pipeline *p, struct sl_chunk *c) {
	if (!pipeline_kept_is(p, c->ref.seq)) return false;
	const struct row_at *index = chunk_index(c);
	c->arrived_ms = p->now_ms;
	c->arrival = ++p->arrivals;
	c->undecided = (uint32_t)p->kept.n;
	p->mem_rows += p->kept.n;
	pipeline_chunk_charge(p, c);
	sl_list_push_back(&p->in_mem, &c->in_mem);
	for (size_t i = 0; i < p->kept.n; i++) {
		struct row_ref ref = p->kept.ref[i].ref;
		struct row_at at = index[p->kept.ref[i].index];
		ref.chunk = c;
		ref.row = c->buf.p + at.at;
		ref.size = at.size;
		row_queue_push(&pipeline_way_of(p, ref.row)->q, ref);
	}
	p->kept.n = 0;
	return true;
}
