/* pipeline_take.c: what arrives: into the log, into memory, or (no room) held back or dropped. And back from the log.
 *
 * In words: a chunk that must survive is logged before its tickets are confirmed. While memory is below its mark the chunk also
 * stays there; above it (or while older ones wait in the log only) it is in the log only and read back later. Where the
 * log has no room either, QoS 0 rows go, oldest first; for the others the action's overflow policy speaks; for all of them when that
 * is `dead_letter`. */
#include <inttypes.h>

#include "connectors_int.h"
#include "log.h"

#define GROUP_CHUNKS 64             /* to one write */
#define GROUP_BYTES CHUNK_BYTES_MAX /* more of them do not make a write cheaper */
#define REFILL_BYTES (4 * SL_MB)    /* read back in one turn, so that the loop stays lively */
#define HOLD_PAUSE_MS 50
#define HOLD_PAUSE_MAX_MS 1000

static bool chunk_must_log(const struct sl_pipeline *p, const struct sl_chunk *c) {
	if (c->must_log) return true;
	switch ((enum action_durability)pipeline_intake(p)->conf.buffer.durability) {
	case DURABILITY_QOS: return c->qos;
	case DURABILITY_DISK: return true;
	case DURABILITY_MEMORY: return false;
	}
	return true;
}

void pipeline_confirm(struct sl_pipeline *p, struct sl_chunk *c) {
	struct sl_tickets *t = c->tickets;
	if (!t) return;
	c->tickets = NULL;
	if (p->sync_wanted && spill_ref_logged(&c->ref)) {
		t->next = p->unsynced;
		p->unsynced = t;
		return;
	}
	struct worker_end *end = &p->cs->ends[t->worker];
	t->next = NULL;
	*end->confirmed_tail = t;
	end->confirmed_tail = &t->next;
}

/* All that a chunk takes: what is not filled of its buffers, and the places of its rows in a queue, which grows twofold. */
uint64_t chunk_cost(const struct sl_chunk *c) {
	return sizeof *c + c->buf.cap + c->index.cap + c->rows * 2 * sizeof(struct row_ref);
}

void pipeline_chunk_charge(struct sl_pipeline *p, struct sl_chunk *c) {
	c->charged = chunk_cost(c);
	pipeline_mem_add(p, c->charged);
}

/* How long it lay before the loop while that napped: batch.linger is not made longer by it. */
static uint64_t chunk_napped_ms(const struct sl_pipeline *p, const struct sl_chunk *c) {
	int64_t age = sl_loop_wall_ms(p->cs->loop) - c->at_ms; /* more, and less than nothing, when the clock was set */
	return age < 0 ? 0 : sl_min_size((size_t)age, PATIENCE_MAX_MS);
}

void pipeline_chunk_enter(struct sl_pipeline *p, struct sl_chunk *c) {
	if (p->mem_rows == 0) p->progress_ms = p->now_ms;
	c->undecided = c->rows;
	c->arrived_ms = p->now_ms - chunk_napped_ms(p, c);
	c->arrival = ++p->arrivals;
	p->mem_rows += c->rows;
	pipeline_chunk_charge(p, c);
	sl_list_push_back(&p->in_mem, &c->in_mem);
	struct chunk_line *line = &p->line[c->qos];
	if (!line->head) {
		p->cursor[c->qos] = chunk_rows(c);
		p->cursor_left[c->qos] = c->rows;
	}
	chunk_line_push(line, c);
}

void pipeline_chunk_end(struct sl_pipeline *p, struct sl_chunk *c) {
	if (spill_ref_logged(&c->ref)) spill_done(p->log, &c->ref);
	pipeline_mem_sub(p, c->charged);
	p->ended++;
	sl_list_remove(&c->in_mem);
	pipeline_confirm(p, c);
	if (sl_unlikely(c == p->cs->large)) pipeline_large_end(p->cs);
	connectors_chunk_spare(p->cs, c);
}

/* A chunk that never entered memory, or stays in the log only. */
static void chunk_let_go(struct sl_pipeline *p, struct sl_chunk *c) {
	pipeline_confirm(p, c);
	connectors_chunk_spare(p->cs, c);
}

static bool is_full(int status) { return status == SL_ELIMIT || status == SL_ENOSPACE; }

static void chunk_drop_new(struct sl_pipeline *p, struct sl_chunk *c, int status) {
	p->count.dropped_overflow += c->rows;
	pipeline_note(p, is_full(status) ? NOTE_OVERFLOW : NOTE_UNLOGGED, c->rows,
		      pipeline_row_topic(c, chunk_row_at(chunk_rows(c))),
		      is_full(status) ? NULL : sl_status_text(status));
	chunk_let_go(p, c);
}

/* ---- The log. -------------------------------------------------------------------------------------------------------- */

static bool log_has_room(const struct sl_pipeline *p, uint64_t bytes) {
	if (!p->log) return false;
	int64_t disk = pipeline_intake(p)->conf.buffer.disk;
	if (disk == CONF_UNLIMITED) return true;
	struct spill_stat stat;
	spill_stat(p->log, &stat);
	return stat.disk_bytes + bytes <= (uint64_t)disk;
}

static void head_rows(struct sl_chunk *c) {
	struct spill_head *head = (struct spill_head *)(void *)c->buf.p;
	head->rows = c->rows;
}

/* One chunk; keep: it stays in memory too. */
static int log_append(struct sl_pipeline *p, struct sl_chunk *c, bool keep) {
	if (!log_has_room(p, c->buf.n) && !(p->log && spill_trim(p->log) && log_has_room(p, c->buf.n)))
		return SL_ELIMIT;
	head_rows(c);
	void *record = c->buf.p;
	size_t size = c->buf.n;
	struct spill_ref *ref = keep ? &c->ref : NULL;
	int status;
	bool done = spill_append(p->log, &record, &size, &ref, 1, &status) == 1;
	if (!done && status == SL_ENOSPACE && spill_trim(p->log))
		done = spill_append(p->log, &record, &size, &ref, 1, &status) == 1;
	p->log_failed = done ? SL_OK : status;
	if (sl_unlikely(!done)) p->log_failed_ms = p->now_ms;
	return p->log_failed;
}

/* Rows in memory that are not in the log get there, in order, before any later row goes to the log alone. But for dead letters
 * whose values are not called as those of the log are. */
int pipeline_log_memory(struct sl_pipeline *p) {
	int r = SL_OK;
	SL_LIST_FOREACH_SAFE(it, &p->in_mem) {
		struct sl_chunk *c = SL_LIST_ENTRY(it, struct sl_chunk, in_mem);
		if (spill_ref_logged(&c->ref) || c->strange) continue;
		r = log_append(p, c, true);
		if (r != SL_OK) break;
	}
	return r;
}

static bool log_unread(const struct sl_pipeline *p) { return p->log && spill_unread_rows(p->log) > 0; }

/* ---- Intake. --------------------------------------------------------------------------------------------------------- */

/* Grows with every chunk that ends, and with every file of the log that goes. A disk that others have filled gives no sign: for
 * that there is the pause. */
static uint64_t room_made(const struct sl_pipeline *p) { return p->ended + (p->log ? spill_room_made(p->log) : 0); }

static void hold_begin(struct sl_pipeline *p) {
	if (!p->held.head) {
		p->hold_pause_ms = HOLD_PAUSE_MS;
		atomic_store_explicit(&p->shared.holding, true, memory_order_relaxed);
		log_error(LOG_ACTION, "action holds its publishers: the buffer is full",
			  "action=%s path=%s reason=%s do=%s", p->action->name, p->log_dir, p->full_why,
			  p->full_advice);
	} else
		p->hold_pause_ms = p->hold_pause_ms * 2 < HOLD_PAUSE_MAX_MS ? p->hold_pause_ms * 2 : HOLD_PAUSE_MAX_MS;
	p->hold_due_ms = p->now_ms + p->hold_pause_ms;
	p->hold_room = room_made(p);
}

static void held_push(struct sl_pipeline *p, struct sl_chunk *c) {
	p->held_rows += c->rows;
	p->held_bytes += chunk_bytes(c);
	pipeline_held_charge(p, c);
	chunk_line_push(&p->held, c);
	pipeline_full_check(p);
}

/* buffer.rows; `others` are about to be taken, too: so many are in the way. A chunk of more rows than that is taken when nothing else
 * waits: so it goes on. */
static uint64_t rows_over(const struct sl_pipeline *p, uint64_t others, uint64_t rows) {
	int64_t most = pipeline_intake(p)->conf.buffer.rows;
	uint64_t wait = others + p->mem_rows + (p->log ? spill_unread_rows(p->log) : 0);
	if (most == CONF_UNLIMITED || wait + rows <= (uint64_t)most) return 0;
	uint64_t over = wait + rows - (uint64_t)most;
	return over < wait ? over : wait;
}

static bool rows_fit(const struct sl_pipeline *p, uint64_t others, uint64_t rows) {
	return rows_over(p, others, rows) == 0;
}

enum overflow_answer { OVERFLOW_WAIT, OVERFLOW_TRY_AGAIN, OVERFLOW_DROPPED, OVERFLOW_WRITTEN };

/* While the action changes, the names of its values are not those of the rows. */
static enum overflow_answer overflow_letters(struct sl_pipeline *p, struct sl_chunk *c) {
	if (p->next) return OVERFLOW_WAIT;
	char *reason = sl_asprintf("the buffer is full (%s)", p->full_why);
	int r = pipeline_chunk_letters(p, c, reason);
	sl_free(reason);
	if (r == SL_OK) return OVERFLOW_WRITTEN;
	p->full_advice = "see why the connector does not keep up, and make room on the disk of the dead letters";
	p->full_why = "the buffer is full, and the dead letter cannot be written";
	return c->qos ? OVERFLOW_WAIT : OVERFLOW_DROPPED;
}

/* status: why there is no place. Where the log cannot be written at all (its disk is broken, or not ours) no row less makes room. */
static enum overflow_answer overflow_for(struct sl_pipeline *p, struct sl_chunk *c, int status) {
	enum action_overflow policy = (enum action_overflow)pipeline_intake(p)->conf.buffer.overflow;
	uint64_t over = rows_over(p, 0, c->rows);
	if (!c->qos && policy != OVERFLOW_DEAD_LETTER) {
		/* Never holds anyone: the oldest of its like makes room, if that lies in memory. */
		bool helps = !chunk_must_log(p, c) && !log_unread(p);
		return helps && pipeline_drop_first(p, false, over > 0) ? OVERFLOW_TRY_AGAIN : OVERFLOW_DROPPED;
	}
	switch (policy) {
	case OVERFLOW_HOLD: return OVERFLOW_WAIT;
	case OVERFLOW_DROP_NEW: return OVERFLOW_DROPPED;
	case OVERFLOW_DEAD_LETTER: return overflow_letters(p, c);
	case OVERFLOW_DROP_OLDEST:
		return is_full(status) && pipeline_drop_oldest(p, over) ? OVERFLOW_TRY_AGAIN : OVERFLOW_DROPPED;
	}
	return OVERFLOW_WAIT;
}

/* In the log only: read back later. */
static void chunk_leave(struct sl_pipeline *p, struct sl_chunk *c) {
	if (p->sync_wanted && c->tickets) { /* they wait for the disk */
		c->tickets->next = p->unsynced;
		p->unsynced = c->tickets;
		c->tickets = NULL;
	}
	chunk_let_go(p, c);
}

/* Above it rows are in the logs, but for a chunk of each action, so that it goes on. */
static bool process_has_room(const struct connectors *cs, uint64_t bytes) {
	return budget_has_room(cs, budget_rows(cs->mem_max), bytes);
}

static bool pipeline_has_room(const struct sl_pipeline *p, uint64_t bytes) {
	uint64_t mark = budget_rows((uint64_t)pipeline_intake(p)->conf.buffer.memory);
	return p->mem_bytes + p->copy_bytes + bytes <= mark;
}

static void full_because(struct sl_pipeline *p, uint64_t rows, int status) {
	p->full_advice = pipeline_disk_advice(status);
	p->full_why = sl_status_text(status);
	if (status != SL_ELIMIT) return;
	if (!rows_fit(p, 0, rows)) {
		p->full_why = "buffer.rows is reached";
		p->full_advice = "see why the connector does not keep up, or raise buffer.rows";
	} else if (p->log) {
		p->full_why = "buffer.disk is used up";
		p->full_advice = "see why the connector does not keep up, or raise buffer.disk";
	} else {
		p->full_why = "buffer.memory is used up, and there is no log";
		p->full_advice = "see why the connector does not keep up, or give it a log: buffer.disk";
	}
}

static int take_try(struct sl_pipeline *p, struct sl_chunk *c) {
	if (!rows_fit(p, 0, c->rows)) return SL_ELIMIT;
	bool unread = log_unread(p), fits = p->mem_bytes == 0 || pipeline_has_room(p, chunk_cost(c));
	if (sl_unlikely(!process_has_room(p->cs, chunk_cost(c)))) fits = p->mem_bytes == 0 && !p->log;
	bool keep = !unread && fits && !p->format_changes;
	int r = SL_OK;
	if (!keep && !unread && p->log) r = pipeline_log_memory(p);
	if (r == SL_OK && (!keep || chunk_must_log(p, c))) r = log_append(p, c, keep);
	if (r != SL_OK) return r;
	if (keep) {
		pipeline_chunk_enter(p, c);
		if (!c->decided || spill_ref_logged(&c->ref)) pipeline_confirm(p, c);
	} else
		chunk_leave(p, c);
	return SL_OK;
}

/* An action without a log keeps them as it keeps others. Counted only once it has them. */
int pipeline_take_replayed(struct sl_pipeline *p, struct sl_chunk *c) {
	uint32_t rows = c->rows;
	if (p->intake_waits) return SL_ELIMIT;
	c->must_log = p->log != NULL;
	c->replayed = true;
	p->now_ms = sl_loop_now_ms(p->cs->loop);
	p->change = ++p->cs->changes;
	int r = take_try(p, c);
	if (r != SL_OK) return r;
	p->count.replayed += rows;
	pipeline_wake(p);
	return SL_OK;
}

/* Rows that were staged, or held, under other names. False: they have ended. */
static bool chunk_convert(struct sl_pipeline *p, struct sl_chunk *c) {
	const struct row_format *was = c->format;
	c->format = p->format;
	if (pipeline_chunk_remap(p, pipeline_intake(p), c, &was->names)) return true;
	pipeline_chunk_dead(p, c, &was->names);
	return false;
}

/* Finds a place for a chunk, or its end. False: it must be held; p->full_why. */
static bool take_one(struct sl_pipeline *p, struct sl_chunk *c) {
	if (sl_unlikely(c->format != p->format) && !chunk_convert(p, c)) return true;
	for (;;) {
		int status = take_try(p, c);
		if (status == SL_OK) return true;
		full_because(p, c->rows, status);
		switch (overflow_for(p, c, status)) {
		case OVERFLOW_WAIT: return false;
		case OVERFLOW_TRY_AGAIN: break;
		case OVERFLOW_DROPPED: chunk_drop_new(p, c, status); return true;
		case OVERFLOW_WRITTEN: chunk_let_go(p, c); return true;
		}
	}
}

/* Dead letters are written to files: others get their turn between. */
static bool letters_enough(struct sl_pipeline *p, uint64_t rejected) {
	if (p->count.rejected == rejected) return false;
	pipeline_full_check(p);
	pipeline_wake(p);
	return true;
}

static void held_retry(struct sl_pipeline *p) {
	uint64_t rejected = p->count.rejected;
	while (p->held.head) {
		if (letters_enough(p, rejected)) return;
		struct sl_chunk *next = p->held.head->next, *c = p->held.head;
		uint32_t rows = c->rows;
		uint64_t bytes = chunk_bytes(c);
		c->next = NULL;
		pipeline_held_release(p, c);
		if (!take_one(p, c)) {
			c->next = next;
			p->held_rows -= rows - c->rows; /* some became dead letters */
			p->held_bytes -= bytes - chunk_bytes(c);
			pipeline_held_charge(p, c);
			hold_begin(p);
			pipeline_full_check(p);
			return;
		}
		p->held.head = next;
		if (!next) p->held.tail = NULL;
		p->held_rows -= rows;
		p->held_bytes -= bytes;
	}
	pipeline_full_check(p);
	atomic_store_explicit(&p->shared.holding, false, memory_order_relaxed);
	log_info(LOG_ACTION, "action takes rows again", "action=%s", p->action->name);
}

/* The first chunks that came, when it is plain that they stay in memory and get into the log: all of them by one write.
 * False: there are not two such, or the log did not take any. */
static bool take_group(struct sl_pipeline *p) {
	struct sl_chunk *c = p->incoming.head;
	void *record[GROUP_CHUNKS];
	size_t size[GROUP_CHUNKS], n = 0;
	struct spill_ref *ref[GROUP_CHUNKS];
	uint64_t cost = 0, bytes = 0, rows = 0;
	int status;
	if (!c || !c->next || !p->log || p->format_changes || log_unread(p)) return false;
	for (; c && n < GROUP_CHUNKS && bytes < GROUP_BYTES; c = c->next) {
		cost += chunk_cost(c);
		if (c->format != p->format || !chunk_must_log(p, c) || !pipeline_has_room(p, cost) ||
		    !process_has_room(p->cs, cost) || !rows_fit(p, rows, c->rows))
			break;
		head_rows(c);
		record[n] = c->buf.p;
		size[n] = c->buf.n;
		ref[n++] = &c->ref;
		bytes += c->buf.n;
		rows += c->rows;
	}
	if (n < 2 || !log_has_room(p, bytes)) return false;
	size_t done = spill_append(p->log, record, size, ref, n, &status);
	for (size_t i = 0; i < done; i++) {
		c = chunk_line_pop(&p->incoming);
		p->incoming_rows -= c->rows;
		chunk_arrived(p->cs, c);
		pipeline_chunk_enter(p, c);
		pipeline_confirm(p, c);
	}
	return done > 0;
}

void pipeline_take(struct sl_pipeline *p) {
	if (p->intake_waits) return;
	bool room = p->held.head && p->hold_room != room_made(p);
	p->held_by_room += room;
	if (room || (p->held.head && p->now_ms >= p->hold_due_ms)) held_retry(p);
	while (!p->held.head && take_group(p)) continue;
	uint64_t rejected = p->count.rejected;
	for (struct sl_chunk *c; !letters_enough(p, rejected) && (c = chunk_line_pop(&p->incoming));) {
		p->incoming_rows -= c->rows;
		chunk_arrived(p->cs, c);
		if (c->qos && p->held.head) {
			held_push(p, c);
			continue;
		}
		if (take_one(p, c)) continue;
		hold_begin(p);
		held_push(p, c);
	}
	if (p->sync) pipeline_sync(p);
}

/* ---- Back from the log. ----------------------------------------------------------------------------------------------- */

static void refill(struct sl_pipeline *p) {
	uint64_t mark = (uint64_t)p->action->conf.buffer.memory, budget = REFILL_BYTES;
	if (!p->log || p->format_changes || p->mem_bytes > mark / 2) return;
	if (log_unread(p) && connectors_trim(p->cs)) return; /* it wakes us */
	bool large = false;
	while (p->mem_bytes <= mark * 3 / 4 && pipeline_refill_fits(p, &large)) {
		if (budget == 0) {
			pipeline_wake(p);
			return;
		}
		struct sl_chunk *c = connectors_chunk_new(p, 0, true);
		const struct spill_names *old = NULL;
		int r = spill_read(p->log, &c->buf, &c->ref, &c->rows, &old);
		if (r != SL_OK) {
			if (r == SL_ECORRUPT) pipeline_rows_damaged(p, c->rows);
			c->rows = 0;
			connectors_chunk_free(c);
			if (r == SL_ENOTFOUND) return;
			continue;
		}
		uint64_t bytes = chunk_bytes(c);
		if (large) p->cs->large = c;
		const struct sql_row_head *first = sql_row_head(chunk_row_at(chunk_rows(c)));
		c->at_ms = first->at_ms;
		c->replayed = sql_row_tried(first->flags) > 0;
		if (old && !pipeline_chunk_remap(p, p->action, c, old)) {
			if (pipeline_kept_is(p, c->ref.seq)) pipeline_kept_only(p, c);
			pipeline_chunk_dead(p, c, old);
		} else if (!pipeline_large_again(p, c)) {
			(void)chunk_index(c); /* now, while its bytes are in a cache */
			pipeline_chunk_enter(p, c);
		}
		budget -= bytes < budget ? bytes : budget;
	}
}

void pipeline_refill(struct sl_pipeline *p) {
	refill(p);
	pipeline_large_pass(p);
}
