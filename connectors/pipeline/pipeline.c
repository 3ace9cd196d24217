/* pipeline.c: one action's path, from rows in memory to batches that are out: sort, cut, submit.
 *
 *     line[qos] (chunks) --sort--> way.q (rows) --cut--> batch --submit--> kind --results--> pipeline_done.c
 *                                     ^                                          |
 *                                     +---- way.back (again, in order) <---------+
 *                                     +---- lane.parked (after a pause) <--------+
 *
 * Order: rows with the same order key share a lane, a lane belongs to one way, and a way sends its batches in order. A row that
 * must wait blocks its lane only: later rows of that lane line up behind it. Where two batches of a way may be out (a
 * blocking connection's thread should not wait for us between two batches), the second one comes back untouched when the first
 * fails (fence), so that nothing overtakes.
 *
 * A run is made at the end of each tick in which something concerned the pipeline. */
#include <inttypes.h>

#include "connectors_int.h"
#include "log.h"
#include "retry.h"

#define MARK_EVERY_MS 20
#define CHANGE_GRACE_MS 5000 /* so long may what is out keep other settings waiting, where the kind can cancel */
#define DEPTH_BLOCKING 2     /* one at work, one in the thread's hand */
#define DEPTH_BY_KEY 16      /* the client library queues itself */
#define DEAD_WAIT_MAX 1000   /* rows whose dead letter cannot be written, and reasons: above it nothing is sent */

static void timer_fire(struct sl_timer *t) { pipeline_wake(sl_container_of(t, struct sl_pipeline, timer)); }

uint32_t pipeline_depth(const struct sl_conn *c) {
	if (c->blocking) return DEPTH_BLOCKING;
	if (c->depth) return c->depth;
	return c->kind->flags & SL_KIND_ORDERED_BY_KEY ? DEPTH_BY_KEY : 1;
}

void pipeline_dead_file(const struct sl_pipeline *p, struct sl_conn_action *a) {
	char *name = pipeline_file_name(a);
	dead_letter_free(a->dead_file);
	a->dead_file = dead_letter_new(p->cs->data_dir, name);
	sl_free(name);
}

int pipeline_new(struct connectors *cs, struct sl_conn_action *a, struct sl_pipeline **out, struct sl_err *err) {
	struct sl_pipeline *p = SL_NEW(struct sl_pipeline);
	*out = NULL;
	p->cs = cs;
	p->action = a;
	sl_list_init(&p->link);
	sl_list_init(&p->dirty);
	sl_list_init(&p->in_mem);
	sl_list_init(&p->large_wait);
	sl_list_init(&p->out);
	sl_timer_init(&p->timer, timer_fire);
	pipeline_ways_begin(p);
	p->depth = pipeline_depth(a->conn);
	p->format = pipeline_format_new(p, a);
	p->stages = pipeline_stages_new(p);
	p->shared.durability = a->conf.buffer.durability;
	p->shared.payload_max = (uint32_t)a->conf.dead_letter.payload;
	int r = pipeline_log_open(p, err);
	pipeline_dead_file(p, a);
	p->sync_wanted = a->conf.buffer.sync == SYNC_TICK && p->log;
	if (p->sync_wanted) p->sync = pipeline_sync_new();
	if (r != SL_OK) {
		p->action = NULL; /* stays the caller's */
		pipeline_free(p);
		return r;
	}
	a->p = p;
	*out = p;
	return SL_OK;
}

static void batch_free(struct pipeline_batch *bt) {
	sl_free(bt->ref);
	sl_free(bt->row);
	sl_free(bt->b.result);
	sl_free(bt->b.reason);
	sl_free(bt->b.not_ready);
	sl_free(bt);
}

/* Who stops us with rows to deliver should know that they are safe, and where. */
static void save(struct sl_pipeline *p, void (*rows_save)(struct sl_pipeline *p)) {
	struct sl_action_counts left;
	sl_pipeline_counts(p, &left);
	rows_save(p);
	uint64_t dropped = p->count.dropped_shutdown - left.dropped_shutdown;
	if (left.queued > dropped)
		log_always(LOG_INFO, LOG_ACTION, "rows wait in the log for the next start",
			   "action=%s rows=%" PRIu64 " path=%s", p->action->name, left.queued - dropped, p->log_dir);
}

void pipeline_abandon(struct sl_pipeline *p) { save(p, pipeline_save_beside_out); }

void pipeline_free(struct sl_pipeline *p) {
	if (!p) return;
	sl_assert(sl_list_empty(&p->out));
	pipeline_trial_leave(p);
	pipeline_large_forget(p);
	if (p->action)
		save(p, pipeline_save);
	else
		spill_close(p->log); /* it never began */
	pipeline_log_forget(p);
	for (uint32_t i = 0; i < p->way_count; i++) {
		row_queue_fini(&p->way[i].q);
		row_queue_fini(&p->way[i].back);
	}
	for (size_t i = 0; i < LANE_COUNT && p->lane; i++) row_queue_fini(&p->lane[i].parked);
	sl_free(p->lane);
	for (size_t i = 0; i < p->dead_n; i++) sl_free(p->dead[i].reason);
	for (struct pipeline_batch *bt = p->pool, *next; bt; bt = next) {
		next = bt->next;
		batch_free(bt);
	}
	for (struct sl_tickets *t = p->unsynced, *next; t; t = next) {
		next = t->next;
		connectors_tickets_free(t);
	}
	pipeline_stages_forget(p, true);
	for (struct row_format *f = p->format, *next; f; f = next) {
		next = f->next;
		sl_free((void *)(uintptr_t)f->names.at);
		sl_free(f->bytes);
		row_templates_fini(&f->made);
		sl_free(f);
	}
	pipeline_notes_free(p);
	sl_free(p->busiest_client);
	sl_free(p->not_ready_why);
	sl_free(p->waits.what);
	sl_free(p->waits.why);
	health_fini(&p->health);
	action_free(p->next);
	action_free(p->action);
	sl_free(p->sync);
	sl_free(p->log_dir);
	sl_free(p->dead);
	sl_free(p->way);
	sl_free(p);
}

void pipeline_wake(struct sl_pipeline *p) {
	p->change = ++p->cs->changes;
	if (sl_list_empty(&p->dirty)) sl_list_push_back(&p->cs->dirty, &p->dirty);
}

bool pipeline_idle(const struct sl_pipeline *p) {
	struct spill_stat stat = {0};
	if (p->log) spill_stat(p->log, &stat);
	return p->mem_rows == 0 && stat.unread_rows == 0 && !p->held.head && !p->incoming.head &&
	       sl_list_empty(&p->out) && !pipeline_sync_busy(p) && !p->unsynced;
}

/* What is left has been given up, and is told after the next start. */
static bool only_rejects(const struct sl_pipeline *p) {
	if (p->dead_n == 0 || !pipeline_rejects_wait(p)) return false;
	return p->dead_n >= DEAD_WAIT_MAX || (p->mem_rows == p->dead_n && spill_unread_rows(p->log) == 0);
}

/* A stop need not wait for what somebody must create first. Without a log these rows would be lost, so there it does. */
bool pipeline_stuck(const struct sl_pipeline *p) {
	return (p->not_ready_why || only_rejects(p)) && p->log && !p->held.head && !p->incoming.head &&
	       sl_list_empty(&p->out) && !pipeline_sync_busy(p) && !p->unsynced;
}

/* ---- Sort. ---------------------------------------------------------------------------------------------------------- */

/* The line whose first chunk came earlier; -1 when there is nothing. */
static int line_next(const struct sl_pipeline *p) {
	const struct sl_chunk *a = p->line[0].head, *b = p->line[1].head;
	if (!a || !b) return a ? 0 : b ? 1 : -1;
	return a->arrival < b->arrival ? 0 : 1;
}

struct sl_chunk *pipeline_unsorted(const struct sl_pipeline *p) {
	int q = line_next(p);
	return q < 0 ? NULL : p->line[q].head;
}

struct sl_way *pipeline_way_of(struct sl_pipeline *p, const void *row) {
	if (p->ways_used == 1) return &p->way[0];
	if (p->action->conf.order == ORDER_KEY) return &p->way[sql_row_head(row)->order % LANES % p->ways_used];
	p->next_way = (p->next_way + 1) % p->ways_used;
	return &p->way[p->next_way];
}

static bool row_expired(const struct sl_pipeline *p, const void *row) {
	const struct retry_conf *conf = &p->action->conf.retry;
	const struct sql_row_head *head = sql_row_head(row);
	if (sl_loop_wall_ms(p->cs->loop) - head->at_ms <= conf->ttl_ms) return false;
	return conf->expired == EXPIRED_DROP || sql_row_tried(head->flags) == 0;
}

static void row_expire(struct sl_pipeline *p, struct row_ref ref) {
	switch ((enum action_expired)p->action->conf.retry.expired) {
	case EXPIRED_DROP:
		pipeline_note(p, NOTE_EXPIRED, 1, pipeline_row_topic(ref.chunk, ref.row), NULL);
		pipeline_rows_end(p, ref.chunk, 1, ROW_EXPIRED);
		break;
	case EXPIRED_DEAD_LETTER:
		ref.attempts++; /* so that it is known when it comes back */
		pipeline_reject(p, ref, "older than retry.ttl");
		break;
	}
}

/* Moves rows from the chunks to their ways until this one has a full batch. */
static void way_fill(struct sl_pipeline *p, struct sl_way *way) {
	uint64_t rows = pipeline_rows_most(way), bytes = pipeline_bytes_most(way);
	if (sl_unlikely(pipeline_ways_change(p))) return;
	while (way->q.n < rows && way->q.bytes < bytes) {
		int q = line_next(p);
		if (q < 0) return;
		struct sl_chunk *c = p->line[q].head;
		const struct row_at *index = chunk_index(c);
		uint32_t left = p->cursor_left[q];
		while (left > 0 && way->q.n < rows && way->q.bytes < bytes) {
			struct row_at at = index[c->rows - left];
			const char *row = c->buf.p + at.at;
			row_queue_push(&pipeline_way_of(p, row)->q,
				       (struct row_ref){.row = row, .chunk = c, .size = at.size});
			p->cursor[q] = row + at.size;
			left--;
		}
		p->cursor_left[q] = left;
		if (left > 0) continue;
		(void)pipeline_line_pop(p, q);
	}
}

/* Lanes whose pause is over: their rows are first in line again. Not while a way waits for batches to come back: they may
 * hold later rows of the lane, which would then stand before these. */
static void lanes_release(struct sl_pipeline *p) {
	if (p->parked == 0) return;
	for (unsigned i = 0; i < LANE_COUNT; i++) {
		struct sl_lane *l = &p->lane[i];
		if (l->parked.n == 0) continue;
		if (p->now_ms < l->due_ms && !p->halted && !(i == LANE_ASIDE && pipeline_aside_first(p))) continue;
		struct sl_way *way = pipeline_way_of(p, row_queue_at(&l->parked, 0)->row);
		if (way->fence || way->fence_soon || pipeline_lane_rests(p, i)) continue; /* its last batch wakes us */
		if (i == LANE_ASIDE) { /* each goes alone, and others before the next one */
			p->parked--;
			row_queue_push_front(&way->q, row_queue_pop(&l->parked));
			continue;
		}
		p->parked -= l->parked.n;
		row_queue_put_before(&way->q, &l->parked);
		if (i < LANES) p->blocked &= ~((uint64_t)1 << i);
	}
}

/* ---- Cut. ------------------------------------------------------------------------------------------------------------- */

static struct pipeline_batch *batch_new(struct sl_pipeline *p, struct sl_way *way, size_t rows, bool alone) {
	struct pipeline_batch *bt = p->pool;
	if (bt)
		p->pool = bt->next;
	else
		bt = SL_NEW(struct pipeline_batch);
	if (bt->cap < rows) {
		bt->cap = (uint32_t)rows;
		bt->ref = sl_realloc_array(bt->ref, rows, sizeof *bt->ref);
		bt->row = sl_realloc_array(bt->row, rows, sizeof *bt->row);
		bt->b.result = sl_realloc_array(bt->b.result, rows, 1);
		sl_free(bt->b.reason);
		bt->b.reason = SL_NEW_ARRAY(char *, rows);
	}
	bt->next = NULL;
	bt->p = p;
	bt->way = way;
	bt->bytes = 0;
	bt->fenced = bt->after_fence = bt->overdue = bt->cut_short = false;
	bt->alone = alone;
	bt->b.action = p->action;
	bt->b.count = 0;
	bt->b.row = bt->row;
	bt->b.wait_ms = 0;
	bt->b.repeats = 0;
	bt->b.late = bt->b.doubt = bt->b.again = false;
	bt->b.priv = NULL;
	sl_list_init(&bt->out);
	return bt;
}

/* How many rows may go now, and why; 0: not yet (*wait_ms says how long at most). */
static size_t way_due(struct sl_pipeline *p, struct sl_way *way, enum batch_cut *why, uint64_t *wait_ms) {
	const struct batch_conf *conf = &p->action->conf.batch;
	if (way->splits > 0) {
		*why = CUT_SPLIT;
		return way->out == 0 ? sl_min_size(way->split[way->splits - 1], way->q.n) : 0;
	}
	uint64_t rows = pipeline_rows_most(way);
	if (way->q.n >= rows) {
		*why = CUT_ROWS;
		return (size_t)rows;
	}
	size_t n = way->q.n;
	if (way->q.bytes >= pipeline_bytes_most(way)) {
		*why = CUT_BYTES;
		return n;
	}
	bool flush = p->draining || p->retired || pipeline_ways_change(p);
	uint64_t since = row_queue_at(&way->q, 0)->chunk->arrived_ms;
	if (since > way->left_ms)
		since = way->left_ms; /* after a pause nobody is waited for: more may not come for long */
	uint64_t due = since + (uint64_t)conf->linger_ms;
	if (!flush && p->now_ms < due) {
		due_at(p->now_ms, due, wait_ms);
		return 0;
	}
	*why = flush ? CUT_FLUSH : CUT_LINGER;
	return n;
}

/* Takes up to n rows; those whose lane waits line up there, those too old end. */
static struct pipeline_batch *batch_cut(struct sl_pipeline *p, struct sl_way *way, size_t n, enum batch_cut why,
					bool alone) {
	struct pipeline_batch *bt = batch_new(p, way, n, alone);
	bool key = p->action->conf.order == ORDER_KEY;
	uint64_t bytes_max = pipeline_bytes_most(way);
	while (n-- > 0 && (bt->b.count == 0 || bt->bytes < bytes_max)) {
		struct row_ref ref = row_queue_pop(&way->q);
		if (p->action->conf.retry.ttl_ms != CONF_UNLIMITED && row_expired(p, ref.row)) {
			row_expire(p, ref);
			continue;
		}
		if (key && p->blocked) {
			unsigned lane = (unsigned)(sql_row_head(ref.row)->order % LANES);
			if (p->blocked >> lane & 1) {
				if (sl_unlikely(ref.breaks > 0))
					pipeline_park_first(p, lane, ref);
				else
					pipeline_park(p, lane, ref);
				continue;
			}
		}
		if (sl_unlikely(ref.breaks > 0) && (bt->b.count > 0 || !alone)) {
			row_queue_push_front(&way->q, ref);
			break;
		}
		bt->ref[bt->b.count] = ref;
		bt->row[bt->b.count++] = ref.row;
		bt->bytes += ref.size;
	}
	if (why == CUT_SPLIT && way->splits > 0) way->splits--;
	if (bt->b.count == 0) {
		bt->next = p->pool;
		p->pool = bt;
		return NULL;
	}
	memset(bt->b.result, SL_RESULT_PENDING, bt->b.count);
	pipeline_late_fill(p, bt);
	p->count.cut[why]++;
	pipeline_ways_cut(p, why);
	p->count.batches++;
	return bt;
}

/* ---- Submit. ------------------------------------------------------------------------------------------------------------ */

/* False: the kind is full, and the rows are first in line again. */
static bool batch_submit(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	struct sl_way *way = bt->way;
	bt->after_fence = way->after_fence;
	bt->sent_ms = p->now_ms;
	bt->deadline_ms = p->now_ms + (uint64_t)p->action->conf.timeout_ms;
	way->after_fence = false;
	way->left_ms = p->now_ms;
	way->out++;
	p->action->conn->out++;
	p->flight_rows += bt->b.count;
	pipeline_copies_add(bt);
	sl_list_push_back(&p->out, &bt->out);
	pipeline_trial_sent(bt);
	if (p->action->conn->thread) {
		thread_worker_submit(p->action->conn->thread, bt);
		return true;
	}
	if (p->action->conn->kind->submit(p->action, &bt->b) == SL_OK) return true;
	sl_list_remove(&bt->out);
	way->out--;
	p->action->conn->out--;
	way->splits = 0;
	p->flight_rows -= bt->b.count;
	pipeline_copies_sub(bt);
	pipeline_trial_back(bt);
	p->count.batches--;
	for (uint32_t i = bt->b.count; i-- > 0;) row_queue_push_front(&way->q, bt->ref[i]);
	bt->next = p->pool;
	p->pool = bt;
	return false;
}

void pipeline_batch_back(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	sl_list_remove(&bt->out);
	p->action->conn->out--;
	pipeline_copies_sub(bt);
	pipeline_trial_back(bt);
	p->now_ms = sl_loop_now_ms(p->cs->loop);
	pipeline_batch_results(bt);
	if (bt->reasons)
		for (uint32_t i = 0; i < bt->b.count; i++) {
			sl_free(bt->b.reason[i]);
			bt->b.reason[i] = NULL;
		}
	bt->reasons = false;
	sl_free(bt->b.not_ready);
	bt->b.not_ready = NULL;
	bt->next = p->pool;
	p->pool = bt;
	pipeline_wake(p);
}

/* Of n rows those that `rate` lets go now. Room grows up to a tenth of a second's, and is taken in portions of that size. */
static size_t rate_take(struct sl_pipeline *p, size_t n, uint64_t *wait_ms) {
	if (p->action->conf.rate == CONF_UNLIMITED) return n;
	uint64_t rate = (uint64_t)p->action->conf.rate, portion = rate / 10 + 1, since = p->now_ms - p->rate_at_ms;
	if (since > 1000) since = 1000;
	p->rate_room += since * rate; /* rows a second are thousandths of rows a millisecond */
	if (p->rate_room > portion * 1000) p->rate_room = portion * 1000;
	p->rate_at_ms = p->now_ms;
	if (n > portion) n = (size_t)portion;
	if (p->rate_room >= n * 1000) {
		p->rate_room -= n * 1000;
		return n;
	}
	due_at(p->now_ms, p->now_ms + (n * 1000 - p->rate_room) / rate + 1, wait_ms);
	return 0;
}

static void way_run(struct sl_pipeline *p, struct sl_way *way, uint64_t *wait_ms) {
	while (way->out < p->depth && !way->fence && !way->fence_soon && !(way->splits > 0 && way->out > 0)) {
		enum batch_cut why;
		way_fill(p, way);
		if (way->q.n == 0) {
			way->splits = 0;
			return;
		}
		bool alone = way_suspicious(way), searches = sl_unlikely(alone) && way_searches(way);
		size_t n = searches ? pipeline_trial_rows(way, &why) : way_due(p, way, &why, wait_ms);
		if (sl_unlikely(alone) && !searches) n = pipeline_group_rows(p, n);
		if (sl_unlikely(p->pace.most && n > p->pace.most) && why != CUT_SPLIT) n = p->pace.most;
		if (n > 0 && !pipeline_copies_fit(p, way, n)) return; /* a batch that comes back wakes us */
		if (n > 0 && !pipeline_trial_may(p, way, alone, wait_ms)) return;
		if (n > 0 && why != CUT_SPLIT) n = rate_take(p, n, wait_ms);
		if (n == 0) {
			pipeline_trial_unused(way);
			return;
		}
		struct pipeline_batch *bt = batch_cut(p, way, n, why, alone);
		if (bt && !batch_submit(bt)) return;
		if (!bt) pipeline_trial_unused(way);
		if (!bt && p->action->conf.retry.expired == EXPIRED_DEAD_LETTER) {
			pipeline_wake(p); /* dead letters are written to files: others get their turn between */
			return;
		}
	}
}

/* ---- A run. ---------------------------------------------------------------------------------------------------------------- */

static void deadlines_check(struct sl_pipeline *p, uint64_t *wait_ms) {
	void (*cancel)(struct sl_conn_action *, struct sl_batch *) = p->action->conn->kind->cancel;
	if (!cancel || p->action->conn->thread) return;
	SL_LIST_FOREACH_SAFE(it, &p->out) {
		struct pipeline_batch *bt = SL_LIST_ENTRY(it, struct pipeline_batch, out);
		if (p->next && bt->deadline_ms > p->now_ms + CHANGE_GRACE_MS) {
			bt->deadline_ms = p->now_ms + CHANGE_GRACE_MS;
			bt->cut_short = true;
		}
		if (p->now_ms >= bt->deadline_ms || p->halted) {
			bt->cut_short = bt->cut_short || (p->now_ms < bt->deadline_ms && !bt->overdue);
			bt->overdue = true;
			bt->deadline_ms = p->now_ms + (uint64_t)p->action->conf.timeout_ms;
			atomic_store(&p->action->conn->cut_by_reload, p->next && bt->cut_short);
			cancel(p->action, &bt->b);
		}
		due_at(p->now_ms, bt->deadline_ms, wait_ms);
	}
}

static void mark_check(struct sl_pipeline *p, uint64_t *wait_ms) {
	if (!p->log || !spill_mark_due(p->log)) return;
	if (p->now_ms >= p->mark_at_ms + MARK_EVERY_MS) {
		spill_mark_write(p->log);
		p->mark_at_ms = p->now_ms;
	} else
		due_at(p->now_ms, p->mark_at_ms + MARK_EVERY_MS, wait_ms);
}

static void timer_next(struct sl_pipeline *p, uint64_t wait_ms) {
	if (p->held.head) due_at(p->now_ms, p->hold_due_ms, &wait_ms);
	if (p->dead_n) due_at(p->now_ms, p->dead_due_ms, &wait_ms);
	if (p->pause_until_ms > p->now_ms) due_at(p->now_ms, p->pause_until_ms, &wait_ms);
	if (p->parked)
		for (unsigned i = 0; i < LANE_COUNT; i++)
			if (p->lane[i].parked.n && !pipeline_lane_rests(p, i))
				due_at(p->now_ms, p->lane[i].due_ms, &wait_ms);
	due_at(p->now_ms, pipeline_sync_due(p), &wait_ms);
	if (wait_ms == UINT64_MAX)
		sl_timer_cancel(&p->timer);
	else
		sl_timer_set(p->cs->loop, &p->timer, wait_ms);
}

void pipeline_run(struct sl_pipeline *p) {
	uint64_t wait_ms = UINT64_MAX;
	p->now_ms = sl_loop_now_ms(p->cs->loop);
	p->change = ++p->cs->changes;
	if (p->next && sl_list_empty(&p->out)) {
		pipeline_trial_leave(p);
		pipeline_change_finish(p);
	}
	pipeline_take(p);
	pipeline_refill(p);
	pipeline_dead_retry(p);
	lanes_release(p);
	bool goes = !p->halted && !p->next && p->now_ms >= p->pause_until_ms && p->dead_n < DEAD_WAIT_MAX;
	if (goes && conn_is_up(p->action->conn)) {
		pipeline_ways_settle(p);
		for (uint32_t i = 0; i < p->ways_used; i++) way_run(p, &p->way[i], &wait_ms);
		pipeline_ways_look(p);
	}
	pipeline_trial_look(p);
	pipeline_large_look(p);
	deadlines_check(p, &wait_ms);
	mark_check(p, &wait_ms);
	timer_next(p, wait_ms);
}

void pipeline_halt(struct sl_pipeline *p) {
	p->halted = true;
	pipeline_wake(p);
}
