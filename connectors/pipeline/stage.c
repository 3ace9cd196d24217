/* stage.c: the worker's end: rows into chunks, chunks to the connector loop, tickets and spare chunks back.
 *
 * In steady state nothing is allocated here: chunks and ticket lists go round. */
#include "source_int.h"
#include "stream.h"

#define SPARE_MAX 512 /* chunks of a worker that lie idle: a hundred actions have as many open; and spare_max bytes */
#define LETTER_ROWS_PATIENT 16                /* so many are worth a turn of the connector loop of their own */
#define SPARE_BYTES_MAX (2 * CHUNK_BYTES_MAX) /* a larger one is not kept: it held an unusual row */

static struct sl_chunk *chunk_make(struct sl_pipeline *p, const struct row_format *format, size_t worker, bool qos) {
	struct sl_chunk *c = SL_NEW(struct sl_chunk);
	sl_list_init(&c->in_mem);
	sl_list_init(&c->ref.link);
	sl_buf_add(&c->buf, sizeof(struct spill_head));
	c->p = p;
	c->format = format;
	c->worker = worker;
	c->qos = qos;
	c->patience_ms = PATIENCE_MAX_MS;
	return c;
}

struct sl_chunk *connectors_chunk_new(struct sl_pipeline *p, size_t worker, bool qos) {
	return chunk_make(p, p->format, worker, qos);
}

void connectors_tickets_free(struct sl_tickets *t) {
	if (!t) return;
	sl_free(t->at);
	sl_free(t);
}

void connectors_chunk_free(struct sl_chunk *c) {
	if (!c) return;
	connectors_tickets_free(c->tickets);
	sl_buf_fini(&c->buf);
	sl_buf_fini(&c->index);
	sl_free(c);
}

struct sl_stage *sl_pipeline_stage(struct sl_pipeline *p, size_t worker) {
	sl_assert(worker < p->cs->worker_count);
	return &p->stages[worker];
}

bool sl_stage_holding(const struct sl_stage *st) {
	return atomic_load_explicit(&st->p->shared.holding, memory_order_relaxed);
}

static size_t chunk_memory(const struct sl_chunk *c) { return sizeof *c + c->buf.cap + c->index.cap; }

/* The first row may have made the block as large as itself. From a power of two it doubles until it is CHUNK_BYTES_MAX, where it
 * would else become half as large again. */
static void chunk_block_round(struct sl_chunk *c) {
	size_t cap = 64;
	while (cap < c->buf.cap) cap *= 2;
	if (cap == c->buf.cap || cap > CHUNK_BYTES_MAX) return;
	c->buf.p = sl_realloc(c->buf.p, cap);
	c->buf.cap = cap;
}

/* The chunk is new, another one's again, or has grown. */
static sl_noinline void chunk_on_way(struct sl_stage *st, struct sl_chunk *c) {
	struct worker_end *end = st->end;
	chunk_block_round(c);
	uint64_t memory = chunk_memory(c), in = atomic_load_explicit(&end->way_in, memory_order_relaxed);
	atomic_store_explicit(&end->way_in, in + memory - c->on_way, memory_order_relaxed);
	c->on_way = memory;
	uint64_t way = worker_end_way(end);
	end->over = way > st->p->cs->way_max;
	if (way > way_shut(st->p->cs) && !(atomic_load_explicit(&end->gate, memory_order_relaxed) & GATE_WAY))
		atomic_fetch_or(&end->gate, GATE_WAY);
}

/* Who waits says so before it looks once more: then the connector loop, which makes room before it looks who waits, does not
 * miss it. */
bool sl_stages_room(struct connectors *cs, size_t worker) {
	struct worker_end *end = &cs->ends[worker];
	end->over = connectors_way_full(cs, worker);
	if (end->over) {
		atomic_fetch_or(&end->waiting, ROOM_ON_WAY);
		end->over = connectors_way_full(cs, worker);
	}
	return !end->over;
}

bool sl_stage_room(struct sl_stage *st, bool qos) {
	struct worker_end *end = st->end;
	bool way = sl_stages_room(st->p->cs, (size_t)(end - st->p->cs->ends));
	bool full = qos && atomic_load(&st->p->shared.full); /* rows of QoS 0 are dropped then, and hold nobody */
	if (full) {
		atomic_fetch_or(&end->waiting, ROOM_IN_ACTION);
		full = atomic_load(&st->p->shared.full);
	}
	return way && !full;
}

const _Atomic uint32_t *sl_stages_gate(const struct connectors *cs, size_t worker) { return &cs->ends[worker].gate; }

bool sl_stage_shut(struct sl_stage *st, bool qos) {
	struct worker_end *end = st->end;
	bool way = worker_end_way(end) > way_shut(st->p->cs);
	if (!way) atomic_fetch_and(&end->gate, ~(uint32_t)GATE_WAY);
	bool shut = way || (qos && atomic_load_explicit(&st->p->shared.shut, memory_order_relaxed));
	return shut && !sl_stage_room(st, qos);
}

/* One that came back, or NULL. All that have come since the last were used up are taken at once. */
static struct sl_chunk *chunk_again(struct worker_end *end) {
	struct sl_chunk *c = end->chunks;
	if (!c) c = atomic_exchange_explicit(&end->back, NULL, memory_order_acquire);
	if (!c) return NULL;
	end->chunks = c->next;
	atomic_store_explicit(&end->again_n, ++end->again.n, memory_order_relaxed);
	end->again.bytes += chunk_memory(c);
	atomic_store_explicit(&end->again_bytes, end->again.bytes, memory_order_relaxed);
	return c;
}

static struct sl_chunk *stage_open(struct sl_stage *st, bool qos) {
	struct worker_end *end = st->end;
	struct sl_chunk *c = chunk_again(end);
	size_t worker = (size_t)(end - st->p->cs->ends);
	if (c) {
		c->next = NULL;
		c->p = st->p;
		c->format = st->format;
		c->qos = qos;
		c->patience_ms = PATIENCE_MAX_MS;
		c->replayed = false;
		c->strange = NULL;
		c->rows = c->undecided = 0;
		c->origin = 0;
		c->found = NULL;
		c->buf.n = sizeof(struct spill_head);
		sl_buf_clear(&c->index);
	} else
		c = chunk_make(st->p, st->format, worker, qos);
	if (st->full && c->buf.cap < CHUNK_BYTES_MAX) sl_buf_grow(&c->buf, CHUNK_BYTES_MAX - c->buf.n);
	st->open[qos] = c;
	if (!st->dirty) {
		st->dirty = true;
		st->next_dirty = end->dirty;
		end->dirty = st;
	}
	return c;
}

static void chunk_ticket(struct sl_stage *st, struct sl_chunk *c, struct sl_ticket *ticket) {
	struct sl_tickets *t = c->tickets;
	if (!t) {
		t = st->end->tickets;
		if (t)
			st->end->tickets = t->next;
		else
			t = SL_NEW(struct sl_tickets);
		t->next = NULL;
		t->n = 0;
		t->worker = c->worker;
		c->tickets = t;
	}
	const struct sl_ticket *last = t->n > 0 ? t->at[t->n - 1] : NULL;
	if (last == ticket) return; /* a message's rows for one action are staged one behind the other */
	if (last && ticket->line != 0 && last->line == ticket->line) {
		ticket->behind = true;
		return;
	}
	SL_GROW(t->at, t->n, t->cap);
	t->at[t->n++] = ticket;
	ticket->pending++;
}

/* Who must wait: by the action's durability; and everybody while the action holds, for that is how it holds. */
static bool ticket_wanted(const struct sl_stage *st, bool qos) {
	int durability = atomic_load_explicit(&st->p->shared.durability, memory_order_relaxed);
	switch ((enum action_durability)durability) {
	case DURABILITY_QOS:
		if (qos) return true;
		break;
	case DURABILITY_DISK: return true;
	case DURABILITY_MEMORY: break;
	}
	return qos && sl_stage_holding(st);
}

void sl_stage_expect(const struct sl_stage *st, bool qos, bool very_soon) {
	const struct sl_chunk *c = st->open[qos];
	if (!c) return;
	if (very_soon)
		__builtin_prefetch(c->buf.p + c->buf.n, 1);
	else
		__builtin_prefetch(&c->buf, 1);
}

/* On the connector loop: a letter is a list of chunks; its first one carries it. */
static void letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct sl_chunk *c = sl_container_of(post, struct sl_chunk, post);
	struct connectors *cs = c->p->cs;
	cs->letters++;
	for (struct sl_chunk *next; c; c = next) {
		next = c->next;
		if (c->patience_ms > 0 && c->patience_ms < cs->patience_ms) cs->patience_ms = c->patience_ms;
		c->p->taken += c->rows;
		c->p->incoming_rows += c->rows;
		chunk_line_push(&c->p->incoming, c);
		pipeline_wake(c->p);
	}
}

/* Not only at the end of the tick: the connector loop reads what is still in a cache, and the chunk is soon back. */
static sl_noinline void stage_send_full(struct sl_stage *st, bool qos) {
	struct sl_chunk *c = st->open[qos];
	st->open[qos] = NULL;
	st->full = c->buf.n > CHUNK_BYTES_FULL;
	st->posted += c->rows;
	c->post.run = letter_run;
	sl_loop_post(st->p->cs->loop, &c->post);
}

/* Chunks of rows that must be decided are their own: nobody else waits that long. */
static struct sl_chunk *stage_chunk(struct sl_stage *st, bool qos, bool decided) {
	struct sl_chunk *c = st->open[qos];
	if (c && sl_unlikely(c->decided != decided)) {
		stage_send_full(st, qos);
		c = NULL;
	}
	if (!c) c = stage_open(st, qos);
	c->decided = decided;
	return c;
}

bool sl_stage_row(struct sl_stage *st, const struct sql_value *values, uint16_t count, uint64_t order,
		  const struct sl_origin *from, struct sl_ticket *ticket) {
	bool qos = from->qos > 0;
	bool decided = ticket && ticket->decided;
	struct sl_chunk *c = stage_chunk(st, qos, decided);
	if (c->rows == 0) c->at_ms = from->at_ms;
	if (c->origin != from->serial) {
		sl_origin_write(&c->buf, from, atomic_load_explicit(&st->p->shared.payload_max, memory_order_relaxed));
		c->origin = from->serial;
	}
	size_t at = c->buf.n;
	sql_row_write(&c->buf, values, count, qos ? SQL_ROW_QOS1 : 0, order, from->at_ms);
	chunk_index_add(c, at, c->buf.n - at);
	c->rows++;
	st->received++;
	if (ticket && (decided || ticket_wanted(st, qos))) {
		chunk_ticket(st, c, ticket);
		if (ticket->patience_ms < c->patience_ms) c->patience_ms = ticket->patience_ms;
	}
	if (sl_unlikely(chunk_memory(c) != c->on_way)) chunk_on_way(st, c);
	if (sl_unlikely(c->buf.n > CHUNK_BYTES_FULL)) stage_send_full(st, qos);
	bool full = atomic_load_explicit(&st->p->shared.full, memory_order_relaxed);
	if (sl_likely(!st->end->over && !full)) return true;
	st->end->source_full = st->end->source_full || (full && decided);
	return sl_stage_room(st, qos);
}

void sl_stages_flush(struct connectors *cs, size_t worker) {
	struct worker_end *end = &cs->ends[worker];
	struct chunk_line letter = {0};
	uint64_t rows = 0;
	uint32_t patience_ms = PATIENCE_MAX_MS;
	sources_flush(cs, worker);
	while (end->dirty) {
		struct sl_stage *st = end->dirty;
		end->dirty = st->next_dirty;
		st->dirty = st->full = false;
		for (int qos = 0; qos < 2; qos++) {
			struct sl_chunk *c = st->open[qos];
			if (!c) continue;
			st->open[qos] = NULL;
			st->posted += c->rows;
			rows += c->rows;
			if (c->patience_ms < patience_ms) patience_ms = c->patience_ms;
			chunk_line_push(&letter, c);
		}
	}
	if (!letter.head) return;
	letter.head->post.run = letter_run;
	if (rows >= LETTER_ROWS_PATIENT) patience_ms = 0;
	sl_loop_post_patient(cs->loop, &letter.head->post, patience_ms);
}

/* ---- The way back. -------------------------------------------------------------------------------------------------- */

struct back_letter {
	struct sl_post post;
	struct connectors *cs;
	size_t worker;
	struct sl_tickets *tickets;
};

static void tickets_lower(struct sl_tickets *t) {
	for (size_t i = 0; i < t->n; i++) {
		struct sl_ticket *ticket = t->at[i];
		if (--ticket->pending == 0) ticket->done(ticket);
	}
	t->n = 0;
}

/* With the worker's baton. */
static void tickets_back(struct worker_end *end, struct sl_tickets *confirmed) {
	for (struct sl_tickets *t = confirmed, *next; t; t = next) {
		next = t->next;
		tickets_lower(t);
		t->next = end->tickets;
		end->tickets = t;
	}
}

static void back_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct back_letter *letter = sl_container_of(post, struct back_letter, post);
	tickets_back(&letter->cs->ends[letter->worker], letter->tickets);
	sl_free(letter);
}

/* Idle chunks may take their own part of the budget, and what is not used of the part for chunks on their way: that is where
 * they go. How much of what went back lies idle is known by what the worker took again; it may be a little less. */
static bool spare_has_room(const struct connectors *cs, const struct worker_end *end, const struct sl_chunk *c) {
	uint64_t n = end->spared.n - atomic_load_explicit(&end->again_n, memory_order_relaxed),
		 bytes = end->spared.bytes - atomic_load_explicit(&end->again_bytes, memory_order_relaxed);
	uint64_t way = worker_end_way(end), most = cs->spare_max + (way < cs->way_max ? cs->way_max - way : 0);
	return n < SPARE_MAX && bytes + chunk_memory(c) <= most;
}

void connectors_chunk_spare(struct connectors *cs, struct sl_chunk *c) {
	struct worker_end *end = &cs->ends[c->worker];
	if (!spare_has_room(cs, end, c) || c->buf.cap > SPARE_BYTES_MAX || c->must_log) {
		cs->freed +=
		    chunk_memory(c) - (c->buf.cap < SL_MEM_OWN ? 0 : c->buf.cap); /* the system has that already */
		connectors_chunk_free(c);
		return;
	}
	end->spared.n++;
	end->spared.bytes += chunk_memory(c);
	c->next = atomic_load_explicit(&end->back, memory_order_relaxed);
	while (
	    !atomic_compare_exchange_weak_explicit(&end->back, &c->next, c, memory_order_release, memory_order_relaxed))
		continue;
}

/* A worker that sleeps is visited: acknowledgements are on their way while its thread would still be waking up (loop.h). */
static bool end_visit(struct connectors *cs, size_t i) {
	struct sl_loop *worker = cs->workers[i];
	struct worker_end *end = &cs->ends[i];
	if (!sl_loop_try_enter(worker, cs->loop)) return false;
	tickets_back(end, end->confirmed);
	sources_flush(cs, i);
	sl_streams_flush(worker);
	sl_loop_leave(worker, cs->loop);
	return true;
}

void connectors_ends_send(struct connectors *cs) {
	for (size_t i = 0; i < cs->worker_count; i++) {
		struct worker_end *end = &cs->ends[i];
		if (!end->confirmed) continue;
		if (!end_visit(cs, i)) {
			struct back_letter *letter = SL_NEW(struct back_letter);
			letter->post.run = back_run;
			letter->cs = cs;
			letter->worker = i;
			letter->tickets = end->confirmed;
			sl_loop_post(cs->workers[i], &letter->post);
		}
		end->confirmed = NULL;
		end->confirmed_tail = &end->confirmed;
	}
}
