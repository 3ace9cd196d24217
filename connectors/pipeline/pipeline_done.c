/* pipeline_done.c: what became of a batch, row by row. This is the one place where rows end and are counted.
 *
 *     DONE          delivered
 *     REJECT        dead letter, with the reason
 *     RETRY         its lane waits (full jitter), an attempt is charged; rows of the same key line up behind it
 *     TIMEOUT       the same, counted as a possible duplicate unless the kind is idempotent. But where a stop or a reload did not wait
 *                   until `timeout` was over: first in line again, nothing charged
 *     LOST          first in line again, nothing charged; see pipeline_break.c for those that are lost again and again
 *     THROTTLED     first in line again, after the pause that the server asked for
 *     GROUP_FAILED  first in line again, in two halves; alone it is REJECT */
#include <inttypes.h>

#include "connectors_int.h"
#include "log.h"
#include "retry.h"

#define LOST_PAUSE_MS 100 /* a kind that loses rows while its connection is up must not make us spin */
#define DEAD_RETRY_MS 1000

static void latency_add(struct sl_pipeline *p, const struct sl_chunk *c, uint32_t n) {
	int64_t ms = sl_loop_wall_ms(p->cs->loop) - c->at_ms;
	uint64_t latency = ms > 0 ? (uint64_t)ms : 0;
	size_t bucket = 0;
	while (bucket < LATENCY_BUCKETS && latency > ((uint64_t)1 << bucket)) bucket++;
	p->count.latency[bucket] += n;
	p->count.latency_sum_ms += latency * n;
}

static void replayed_end(struct sl_pipeline *p, uint32_t n, enum row_end how) {
	switch (how) {
	case ROW_DELIVERED: p->count.again_delivered += n; break;
	case ROW_REJECTED: p->count.again_rejected += n; break;
	case ROW_OVERFLOW:
	case ROW_EXPIRED:
	case ROW_SHUTDOWN: p->count.again_dropped += n; break;
	}
}

void pipeline_rows_end(struct sl_pipeline *p, struct sl_chunk *c, uint32_t n, enum row_end how) {
	switch (how) {
	case ROW_DELIVERED:
		p->count.delivered += n;
		latency_add(p, c, n);
		break;
	case ROW_REJECTED: p->count.rejected += n; break;
	case ROW_OVERFLOW: p->count.dropped_overflow += n; break;
	case ROW_EXPIRED: p->count.dropped_expired += n; break;
	case ROW_SHUTDOWN: p->count.dropped_shutdown += n; break;
	}
	if (sl_unlikely(c->replayed)) replayed_end(p, n, how);
	p->progress_ms = p->now_ms;
	if (sl_unlikely(p->stalled)) pipeline_goes_on(p);
	p->mem_rows -= n;
	c->undecided -= n;
	if (c->undecided == 0) pipeline_chunk_end(p, c);
}

/* ---- Dead letters. ------------------------------------------------------------------------------------------------------ */

/* The values are called what they were made for: a replay must not take them for others. No message can be made of them, for
 * `on_error` knows the action's names only. */
static int dead_write_strange(struct sl_pipeline *p, const struct row_ref *ref, struct sl_reject *r) {
	const struct spill_names *names = ref->chunk->strange;
	struct sl_param *params = SL_NEW_ARRAY(struct sl_param, names->count + 1);
	for (size_t i = 0; i < names->count; i++) params[i].name = names->at[i];
	r->params = params;
	r->param_count = names->count;
	int rc = dead_letter_write(p->action->dead_file, r, p->action->conf.order == ORDER_KEY);
	p->count.dead_lettered += rc == SL_OK;
	sl_free(params);
	return rc;
}

/* how: where it went, or should have gone. */
static int dead_write(struct sl_pipeline *p, struct row_ref ref, const char *reason, enum note_reason *how) {
	const struct sl_conn_action *a = p->action;
	struct sl_origin from;
	bool known = chunk_origin(ref.chunk, ref.row, &from);
	struct sl_reject r = {.rule = a->rule,
			      .action = a->index,
			      .params = a->params,
			      .param_count = a->param_count,
			      .row = ref.row,
			      .from = known ? &from : NULL,
			      .reason = reason,
			      .connector = a->conn->name,
			      .type = a->conn->kind->name,
			      .destination = a->destination,
			      .attempts = ref.attempts + sql_row_tried(sql_row_head(ref.row)->flags),
			      .given_up_ms = sl_loop_wall_ms(p->cs->loop),
			      .on_error = a->on_error};
	*how = NOTE_REJECTED;
	if (sl_unlikely(ref.chunk->strange)) return dead_write_strange(p, &ref, &r);
	if (a->on_error && p->cs->on_reject) {
		int rc = p->cs->on_reject(p->cs->on_reject_arg, &r);
		p->count.on_error += rc == SL_OK;
		if (rc != SL_EINVAL) {
			*how = NOTE_PUBLISHED;
			return rc;
		}
	}
	int rc = dead_letter_write(a->dead_file, &r, a->conf.order == ORDER_KEY);
	p->count.dead_lettered += rc == SL_OK;
	return rc;
}

/* Without a log there is no next start for them. */
bool pipeline_rejects_wait(const struct sl_pipeline *p) {
	return p->action->on_error && p->log && atomic_load_explicit(&p->cs->keep_rejects, memory_order_relaxed);
}

const char *pipeline_dead_path(const struct sl_pipeline *p) {
	return p->dead_published ? "on_error" : dead_letter_path(p->action->dead_file);
}

static void dead_later(struct sl_pipeline *p, struct row_ref ref, const char *reason) {
	SL_GROW(p->dead, p->dead_n, p->dead_cap);
	p->dead[p->dead_n++] = (struct dead_wait){ref, sl_strdup(reason)};
	p->dead_due_ms = p->now_ms + DEAD_RETRY_MS;
}

void pipeline_reject(struct sl_pipeline *p, struct row_ref ref, const char *reason) {
	if (p->dead_n > 0 || pipeline_rejects_wait(p)) { /* in their order */
		dead_later(p, ref, reason);
		return;
	}
	enum note_reason how;
	int r = dead_write(p, ref, reason, &how);
	if (r == SL_OK) {
		pipeline_note(p, how, 1, pipeline_row_topic(ref.chunk, ref.row), reason);
		pipeline_rows_end(p, ref.chunk, 1, ROW_REJECTED);
		return;
	}
	p->dead_failed = r;
	p->dead_published = how == NOTE_PUBLISHED;
	log_error(LOG_ACTION, "dead letter cannot be written; the row stays queued", "action=%s path=%s err=%s",
		  p->action->name, pipeline_dead_path(p), sl_status_text(r));
	dead_later(p, ref, reason);
}

void pipeline_dead_retry(struct sl_pipeline *p) {
	if (p->dead_n == 0 || p->now_ms < p->dead_due_ms) return;
	size_t done = 0;
	enum note_reason how; /* was said when it failed first */
	while (done < p->dead_n && !pipeline_rejects_wait(p)) {
		p->dead_failed = dead_write(p, p->dead[done].ref, p->dead[done].reason, &how);
		p->dead_published = how == NOTE_PUBLISHED;
		if (p->dead_failed != SL_OK) break;
		pipeline_rows_end(p, p->dead[done].ref.chunk, 1, ROW_REJECTED);
		sl_free(p->dead[done++].reason);
	}
	p->dead_n -= done;
	if (p->dead_n) memmove(p->dead, p->dead + done, p->dead_n * sizeof *p->dead);
	p->dead_due_ms = p->now_ms + DEAD_RETRY_MS;
}

int pipeline_chunk_letters(struct sl_pipeline *p, struct sl_chunk *c, const char *reason) {
	if (p->dead_n > 0 || pipeline_rejects_wait(p)) return SL_EAGAIN; /* in their order */
	const char *row = chunk_row_at(chunk_rows(c));
	uint32_t done = 0;
	int r = SL_OK;
	while (done < c->rows) {
		struct row_ref ref = {.row = row, .chunk = c, .size = sql_row_head(row)->size};
		enum note_reason how;
		r = dead_write(p, ref, reason, &how);
		if (r != SL_OK) break;
		pipeline_note(p, how, 1, pipeline_row_topic(c, row), reason);
		if (++done < c->rows) row = chunk_row_at(row + ref.size);
	}
	p->count.rejected += done;
	if (r != SL_OK && done > 0) pipeline_chunk_cut(c, row);
	return r;
}

/* ---- Rows that are not decided. ------------------------------------------------------------------------------------------- */

unsigned pipeline_lane_of(const struct sl_pipeline *p, const void *row) {
	return p->action->conf.order == ORDER_KEY ? (unsigned)(sql_row_head(row)->order % LANES) : LANE_FREE;
}

/* Most actions never need lanes. */
struct sl_lane *pipeline_lane(struct sl_pipeline *p, unsigned lane) {
	if (!p->lane) p->lane = SL_NEW_ARRAY(struct sl_lane, LANE_COUNT);
	return &p->lane[lane];
}

void pipeline_park(struct sl_pipeline *p, unsigned lane, struct row_ref ref) {
	row_queue_push(&pipeline_lane(p, lane)->parked, ref);
	p->parked++;
}

void pipeline_park_first(struct sl_pipeline *p, unsigned lane, struct row_ref ref) {
	row_queue_push_front(&pipeline_lane(p, lane)->parked, ref);
	p->parked++;
}

static uint16_t attempts_after(const struct row_ref *ref) {
	return (uint16_t)(ref->attempts + (ref->attempts < UINT16_MAX));
}

/* A failed attempt: the row waits in its lane, or its time is over. */
static void row_attempt(struct sl_pipeline *p, struct row_ref ref, const char *reason) {
	const struct retry_conf *conf = &p->action->conf.retry;
	ref.attempts = attempts_after(&ref);
	if (conf->attempts != CONF_UNLIMITED && ref.attempts >= (uint64_t)conf->attempts) {
		char *text = sl_asprintf("failed %u times: %s", ref.attempts, reason ? reason : "no reason given");
		pipeline_reject(p, ref, text);
		sl_free(text);
		return;
	}
	p->count.retried++;
	unsigned lane = pipeline_lane_of(p, ref.row);
	struct sl_lane *l = pipeline_lane(p, lane);
	uint64_t due = p->now_ms + retry_pause_ms((uint64_t)conf->first_ms, (uint64_t)conf->max_ms, ref.attempts);
	/* Of one key nothing goes before this row's pause is over, also what was lost before it and may go at once. */
	bool moves = lane == LANE_FREE ? due < l->due_ms : due > l->due_ms;
	if (l->parked.n == 0 || moves) l->due_ms = due;
	if (lane != LANE_FREE) p->blocked |= (uint64_t)1 << lane;
	pipeline_park(p, lane, ref);
}

/* Lanes with a row that must wait: its successors of this batch wait behind it. */
static uint64_t lanes_delayed(const struct sl_pipeline *p, const struct pipeline_batch *bt) {
	uint64_t lanes = 0;
	if (p->action->conf.order != ORDER_KEY) return 0;
	for (uint32_t i = 0; i < bt->b.count; i++)
		if (bt->b.result[i] == SL_RESULT_RETRY || bt->b.result[i] == SL_RESULT_TIMEOUT)
			lanes |= (uint64_t)1 << pipeline_lane_of(p, bt->ref[i].row);
	return lanes;
}

static void row_back(struct sl_pipeline *p, struct pipeline_batch *bt, uint32_t i, uint64_t delayed) {
	unsigned lane = pipeline_lane_of(p, bt->ref[i].row);
	if (lane != LANE_FREE && (delayed >> lane & 1)) {
		p->blocked |= (uint64_t)1 << lane;
		struct sl_lane *l = pipeline_lane(p, lane);
		if (l->parked.n == 0) l->due_ms = p->now_ms;
		pipeline_park(p, lane, bt->ref[i]);
	} else
		row_queue_push(&bt->way->back, bt->ref[i]);
}

/* ---- A batch. --------------------------------------------------------------------------------------------------------------- */

/* Nearly every batch: everything is delivered. Rows of one chunk stand together, so chunks are counted, not rows. */
static void batch_all_done(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	uint32_t n = bt->b.count;
	for (uint32_t i = 0, run; i < n; i += run) {
		struct sl_chunk *c = bt->ref[i].chunk;
		for (run = 1; i + run < n && bt->ref[i + run].chunk == c;) run++;
		pipeline_rows_end(p, c, run, ROW_DELIVERED);
	}
}

static bool batch_is_all_done(const struct pipeline_batch *bt) {
	for (uint32_t i = 0; i < bt->b.count; i++)
		if (bt->b.result[i] != SL_RESULT_DONE) return false;
	return true;
}

static void row_refused(struct sl_pipeline *p, struct row_ref ref, const char *reason) {
	ref.attempts = attempts_after(&ref);
	pipeline_reject(p, ref, reason ? reason : "no reason given");
}

static void batch_rows(struct pipeline_batch *bt, uint64_t delayed) {
	struct sl_pipeline *p = bt->p;
	bool idempotent = p->action->conn->kind->flags & SL_KIND_IDEMPOTENT;
	if (!idempotent) p->count.maybe_duplicate += bt->b.repeats;
	for (uint32_t i = 0; i < bt->b.count; i++) {
		const char *reason = bt->b.reason[i];
		switch ((enum sl_result)bt->b.result[i]) {
		case SL_RESULT_DONE: pipeline_rows_end(p, bt->ref[i].chunk, 1, ROW_DELIVERED); break;
		case SL_RESULT_REJECT: row_refused(p, bt->ref[i], reason); break;
		case SL_RESULT_TIMEOUT:
			p->count.maybe_duplicate += !idempotent;
			if (bt->cut_short || p->halted) /* no attempt of its own failed */
				row_back(p, bt, i, delayed);
			else
				row_attempt(p, bt->ref[i], reason);
			break;
		case SL_RESULT_RETRY: row_attempt(p, bt->ref[i], reason); break;
		case SL_RESULT_GROUP_FAILED:
			if (bt->b.count == 1)
				row_refused(p, bt->ref[i], reason);
			else
				row_back(p, bt, i, delayed);
			break;
		case SL_RESULT_PENDING: /* a bug of the kind's: sl_batch_done() asserts it in debug builds */
		case SL_RESULT_LOST:
			if (!pipeline_row_broke(bt)) row_back(p, bt, i, delayed);
			break;
		case SL_RESULT_THROTTLED: row_back(p, bt, i, delayed); break;
		}
	}
}

static uint32_t results_count(const struct pipeline_batch *bt, enum sl_result r) {
	uint32_t n = 0;
	for (uint32_t i = 0; i < bt->b.count; i++) n += bt->b.result[i] == r;
	return n;
}

/* The refused rows go out again in halves, which stand before the groups that were waiting. Anything else that came back mixes
 * up who stands where: then groups are forgotten, and found again if need be. */
static void way_split(struct sl_way *way, uint32_t refused, uint32_t others) {
	if (refused > 1 && others == 0 && way->splits + 2 <= SPLIT_MAX) {
		way->split[way->splits++] = refused - refused / 2;
		way->split[way->splits++] = refused / 2;
	} else if (refused == 1 && others == 0 && way->splits < SPLIT_MAX)
		way->split[way->splits++] = 1;
	else if (others > 0)
		way->splits = 0;
}

/* The reason may be another one than before: the table is there now, and lacks a column. */
static void not_ready_because(struct sl_pipeline *p, const char *why) {
	bool was_ready = !p->not_ready_why;
	if (!was_ready && strcmp(p->not_ready_why, why) == 0) return;
	sl_free(p->not_ready_why);
	p->not_ready_why = sl_strdup(why);
	conn_not_ready(p->action->conn, was_ready);
	if (told_news(&p->told, why, p->now_ms))
		log_always(LOG_WARN, LOG_ACTION, "action is not ready; its rows wait",
			   "action=%s connector=%s reason=%s", p->action->name, p->action->conn->name, why);
}

void pipeline_ready(struct sl_pipeline *p) {
	if (!p->not_ready_why) return;
	sl_free(p->not_ready_why);
	p->not_ready_why = NULL;
	p->not_ready_tries = 0;
	p->ready_ms = sl_loop_wall_ms(p->cs->loop);
	told_forget(&p->told);
	conn_not_ready(p->action->conn, -1);
}

static void action_ready_check(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	const struct retry_conf *conf = &p->action->conf.retry;
	if (bt->b.not_ready) {
		not_ready_because(p, bt->b.not_ready);
		p->pause_until_ms =
		    p->now_ms + retry_pause_ms((uint64_t)conf->first_ms, (uint64_t)conf->max_ms, ++p->not_ready_tries);
		health_bad(&p->health, sl_loop_wall_ms(p->cs->loop), bt->b.not_ready);
	} else if (p->not_ready_why && !bt->fenced && results_count(bt, SL_RESULT_LOST) == 0) {
		pipeline_ready(p);
		log_always(LOG_INFO, LOG_ACTION, "action is ready", "action=%s", p->action->name);
	}
}

static void batch_pause(struct pipeline_batch *bt, uint32_t lost) {
	struct sl_pipeline *p = bt->p;
	uint64_t until = 0;
	if (results_count(bt, SL_RESULT_THROTTLED)) until = p->now_ms + bt->b.wait_ms;
	bool stays_up = lost == bt->b.count && !bt->fenced && !bt->b.not_ready && conn_is_up(p->action->conn);
	if (stays_up) until = p->now_ms + LOST_PAUSE_MS;
	if (until <= p->pause_until_ms) return;
	p->pause_until_ms = until;
	p->pause_lost = stays_up;
}

/* What the batch says of its action and its connection. */
static void batch_traffic(const struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	struct sl_conn *c = p->action->conn;
	int64_t wall_ms = sl_loop_wall_ms(p->cs->loop);
	bool good = false, answered = false;
	const char *error = NULL;
	for (uint32_t i = 0; i < bt->b.count; i++) {
		uint8_t r = bt->b.result[i];
		good = good || r == SL_RESULT_DONE;
		answered = answered || (r != SL_RESULT_TIMEOUT && r != SL_RESULT_LOST && r != SL_RESULT_PENDING);
		if (r != SL_RESULT_DONE && !error) error = bt->b.reason[i];
	}
	if (answered) c->answer_ms = p->now_ms;
	if (good) {
		health_good(&p->health, wall_ms);
		health_good(&c->health, wall_ms);
		c->worked = true;
	}
	if (!error) return;
	health_bad(&p->health, wall_ms, error);
	health_bad(&c->health, wall_ms, error);
}

void pipeline_batch_results(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	struct sl_way *way = bt->way;
	p->flight_rows -= bt->b.count;
	way->out--;
	way->fence_soon = false; /* it stands now, or all rows are decided */
	if (sl_unlikely(pipeline_pace_counts(bt))) pipeline_pace(bt);
	if (sl_unlikely(pipeline_doubt_counts(bt))) pipeline_doubt_look(bt);
	action_ready_check(bt);
	if (batch_is_all_done(bt)) {
		struct sl_conn *c = p->action->conn;
		c->traffic = true;
		c->answer_ms = p->now_ms;
		p->health.success_ms = c->health.success_ms = sl_loop_wall_ms(p->cs->loop);
		c->worked = true;
		pipeline_breaks_look(bt, 0, true);
		batch_all_done(bt);
	} else {
		batch_traffic(bt);
		uint32_t refused = bt->b.count > 1 ? results_count(bt, SL_RESULT_GROUP_FAILED) : 0;
		uint32_t lost = results_count(bt, SL_RESULT_LOST) + results_count(bt, SL_RESULT_PENDING);
		uint32_t others = lost + results_count(bt, SL_RESULT_THROTTLED) + results_count(bt, SL_RESULT_RETRY) +
				  results_count(bt, SL_RESULT_TIMEOUT);
		pipeline_breaks_look(bt, lost, results_count(bt, SL_RESULT_DONE) > 0);
		batch_rows(bt, lanes_delayed(p, bt));
		/* Rows that a fence sent back stand behind the groups and do not disturb them. */
		if (!bt->fenced) way_split(way, refused, others);
		batch_pause(bt, lost);
		way->fence = true;
	}
	if (way->fence && way->out == 0) {
		row_queue_put_before(&way->q, &way->back);
		way->fence = false;
		way->after_fence = true;
	}
}
