/* pipeline_break.c: rows at which the server ends the connection.
 *
 * Rows that are lost are first in line again, and nothing is charged to them: nearly always the network or the server is to blame.
 * But a row may be, too: one that crashes the server, that a limit or a proxy answers by hanging up. Its batch would break every
 * connection for ever, and nobody would get past it. So:
 *
 *   1. When BREAKS_SUSPICIOUS connections in a row broke with the same first row out, the rows that were lost are *suspects*. They
 *      go out in trials: first the first row, then half of those that are left, until one row alone is found at which it
 *      breaks, or all have got through. Each break begins a search among the rows that were lost by it.
 *   2. A trial travels *alone*: nothing else of its connection is out, so that nobody is blamed for others' rows, nor loses rows
 *      for it. Others do not wait longer than TRIAL_MS for its end, and have the connection for TRIAL_REST_MS whenever it
 *      is up again, before the next one.
 *   3. A row that broke a connection alone waits: `retry.first`, and twice as long each time up to `retry.max`. Rows of its key line up
 *      behind it, all others go on. When it comes again it goes alone again.
 *   4. It is rejected when it has broken BREAKS_GUILTY connections alone, PROOFS_GUILTY of them after another row of its action was
 *      delivered: since its batch broke a connection for the first time, or over that very one. Without that nobody knows that
 *      the server takes anything at all, so however often it breaks, nothing is rejected: the row waits, and is tried every
 *      `retry.max`, until it gets through or another one comes and is delivered.
 *      And it must be rows that break connections, not the network that breaks under rows: when a suspect gets through after all, or
 *      a search finds nobody, what is held against others of the connection is forgotten.
 *   5. That needs rows that get past the suspect. Where all are of its key there would be none. So from the BREAKS_ASIDE-th
 *      break on it steps aside, one row of an action at a time, and its successors go on. Does one of them break the connection as well,
 *      before anything was delivered, it is the server: the first gets its place before the other back.
 *
 * A suspect that has stepped aside and gets through after all comes later than rows behind it: the price of 5, which is only paid
 * when the server gets well between a suspect's trial and that of its successor. Attempts (`retry.attempts`) are not charged:
 * they are of rows that a server has answered to. Counts are in memory only. Thread: the connector loop. */
#include "connectors_int.h"
#include "retry.h"

#define BREAKS_SUSPICIOUS 3
#define BREAKS_ASIDE 5
#define BREAKS_GUILTY 6
#define PROOFS_GUILTY 3u
#define EPOCH_MASK 63u
#define TRIAL_REST_MS 100
#define TRIAL_MS 1000
#define TRIAL_LONG_MAX 6 /* TRIAL_MS doubles so often at the most */

/* ---- Trials. ------------------------------------------------------------------------------------------------------------- */

size_t pipeline_trial_rows(struct sl_way *way, enum batch_cut *why) {
	*why = CUT_SPLIT;
	way->splits = 0;
	if (way->suspect_first || way->suspects < 2 || row_queue_at(&way->q, 0)->breaks > 0) return 1;
	return sl_min_size(way->suspects / 2, way->q.n);
}

static void trial_over(struct sl_conn *c) {
	c->alone = NULL;
	c->trial = NULL;
	c->trial_way = NULL;
}

static void trial_others_go(struct sl_conn *c) {
	if (!c->trial_refused) return;
	c->trial_refused = false;
	conn_wake(c);
}

/* False: another one's trial is claimed, or out and not too long. */
static bool trial_overtaken(struct sl_pipeline *p, uint64_t *wait_ms) {
	struct sl_conn *c = p->action->conn;
	if (!c->alone || p->now_ms < c->trial_until_ms) {
		c->trial_refused = true;
		if (c->alone) due_at(p->now_ms, c->trial_until_ms, wait_ms);
		return false;
	}
	struct sl_way *way = c->alone->way;
	if (way->trials_long < TRIAL_LONG_MAX) way->trials_long++;
	c->alone->alone = false;
	trial_over(c);
	return true;
}

static bool conn_is_own(const struct sl_pipeline *p) {
	SL_LIST_FOREACH(it, &p->cs->pipelines) {
		const struct sl_pipeline *other = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (other != p && other->action->conn == p->action->conn) return false;
	}
	return true;
}

bool pipeline_trial_may(struct sl_pipeline *p, struct sl_way *way, bool alone, uint64_t *wait_ms) {
	struct sl_conn *c = p->action->conn;
	if (sl_likely(!alone && !c->trial)) return true;
	if (c->trial && c->trial_way != way && !trial_overtaken(p, wait_ms)) return false;
	if (!alone) {
		if (c->alone) return false; /* the way's own */
		trial_over(c);
		trial_others_go(c);
		return true;
	}
	bool fresh = c->up_at_ms > c->lost_ms; /* otherwise perhaps it has gone, and nobody has said so yet */
	uint64_t due_ms = (fresh ? c->up_at_ms : c->lost_ms) + TRIAL_REST_MS;
	if (p->now_ms < due_ms && !(fresh && conn_is_own(p))) {
		due_at(p->now_ms, due_ms, wait_ms);
		return false;
	}
	c->trial = p;
	c->trial_way = way;
	return c->out == 0;
}

void pipeline_trial_sent(struct pipeline_batch *bt) {
	struct sl_conn *c = bt->p->action->conn;
	if (bt->ref[0].breaks == 0) bt->p->others_first = false;
	if (!bt->alone) return;
	c->alone = bt;
	c->trial_until_ms = bt->p->now_ms + ((uint64_t)TRIAL_MS << bt->way->trials_long);
}

void pipeline_trial_back(struct pipeline_batch *bt) {
	struct sl_conn *c = bt->p->action->conn;
	if (c->alone == bt) {
		bt->way->trials_long = 0;
		trial_over(c);
		trial_others_go(c);
	} else if (c->trial && c->out == 0)
		pipeline_wake(c->trial);
}

void pipeline_trial_forget(struct sl_pipeline *p) {
	struct sl_conn *c = p->action->conn;
	if (c->trial == p && !c->alone) trial_over(c);
}

void pipeline_trial_refused(struct sl_pipeline *p) {
	struct sl_conn *c = p->action->conn;
	if (!c->trial) trial_others_go(c);
}

/* ---- A row that broke the connection alone. ------------------------------------------------------------------------------- */

static bool others_wait(const struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->way_count; i++)
		if (p->way[i].q.n > 0) return true;
	return p->line[0].head || p->line[1].head;
}

/* However short its pause is, others have their turn before a suspect has its next. And one that has stepped aside is not brought
 * back while its successor is being tried: its place depends on the outcome. */
bool pipeline_lane_rests(const struct sl_pipeline *p, unsigned lane) {
	if (lane == LANE_ASIDE && p->action->conf.order == ORDER_KEY && p->action->conn->trial == p) return true;
	return p->others_first && row_queue_at(&p->lane[lane].parked, 0)->breaks > 0 && others_wait(p);
}

static void row_reject(struct sl_pipeline *p, struct row_ref ref, const char *said) {
	char *text = sl_asprintf(
	    "the connection ended %u times when this row was sent alone, while other rows were delivered%s%s",
	    ref.breaks, said ? "; the last time: " : "", said ? said : "");
	uint32_t attempts = ref.attempts + ref.breaks;
	ref.attempts = (uint16_t)(attempts < UINT16_MAX ? attempts : UINT16_MAX);
	pipeline_reject(p, ref, text);
	sl_free(text);
}

/* The rows of its lane wait for this one. */
static void lane_block(struct sl_pipeline *p, struct row_ref ref, uint64_t due_ms) {
	unsigned lane = pipeline_lane_of(p, ref.row);
	p->blocked |= (uint64_t)1 << lane;
	pipeline_park_first(p, lane, ref);
	struct sl_lane *l = pipeline_lane(p, lane);
	if (l->parked.n == 1 || due_ms > l->due_ms) l->due_ms = due_ms;
}

/* Holds nobody up; of several that wait here the first one's time counts for all. */
static void step_aside(struct sl_pipeline *p, struct row_ref ref, uint64_t due_ms) {
	struct sl_lane *l = pipeline_lane(p, LANE_ASIDE);
	if (l->parked.n == 0) l->due_ms = due_ms;
	pipeline_park(p, LANE_ASIDE, ref);
}

/* A successor has broken the connection, too: the order counts again. */
static void back_in_line(struct sl_pipeline *p, uint64_t due_ms) {
	struct sl_lane *aside = pipeline_lane(p, LANE_ASIDE);
	while (aside->parked.n > 0 && row_queue_at(&aside->parked, 0)->epoch == p->epoch) {
		p->parked--;
		lane_block(p, row_queue_pop(&aside->parked), due_ms);
	}
}

static bool batch_broke(const struct pipeline_batch *bt) { return !bt->fenced && !bt->b.not_ready && !bt->p->halted; }

bool pipeline_row_broke(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	const struct retry_conf *conf = &p->action->conf.retry;
	if (!bt->alone || bt->b.count != 1 || !batch_broke(bt)) return false;
	struct row_ref ref = bt->ref[0];
	bool key = p->action->conf.order == ORDER_KEY;
	p->others_first = p->broke_since = true;
	if (ref.breaks == 0) ref.epoch = bt->way->epoch & EPOCH_MASK;
	if (ref.breaks < UINT8_MAX) ref.breaks++;
	if (ref.proofs < PROOFS_GUILTY && (ref.proofs > 0 || ref.epoch != p->epoch))
		ref.proofs = (ref.proofs + 1u) & PROOFS_GUILTY;
	if (ref.breaks >= BREAKS_GUILTY && ref.proofs >= PROOFS_GUILTY) {
		const struct health *h = &p->action->conn->health;
		row_reject(p, ref, bt->b.reason[0] ? bt->b.reason[0] : h->error);
		return true;
	}
	p->count.retried++;
	uint64_t due_ms = p->now_ms + retry_bound_ms((uint64_t)conf->first_ms, (uint64_t)conf->max_ms, ref.breaks);
	bool aside = key && pipeline_lane(p, LANE_ASIDE)->parked.n > 0;
	if (!key || (ref.breaks >= BREAKS_ASIDE && !aside))
		step_aside(p, ref, due_ms);
	else {
		lane_block(p, ref, due_ms);
		if (aside) back_in_line(p, due_ms);
	}
	return true;
}

/* ---- Connections that break whatever is sent. ------------------------------------------------------------------------------- */

static void queue_forgive(struct row_queue *q) {
	for (size_t i = 0; i < q->n; i++) {
		struct row_ref *ref = row_queue_at(q, i);
		if (ref->breaks == 0) continue;
		ref->breaks = 1; /* it still goes alone */
		ref->proofs = 0;
	}
}

static void pipeline_forgive(struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->way_count; i++) {
		queue_forgive(&p->way[i].q);
		queue_forgive(&p->way[i].back);
	}
	for (size_t i = 0; i < LANE_COUNT && p->lane; i++) queue_forgive(&p->lane[i].parked);
}

/* One that seemed to be to blame was not: neither may others be. Rare, so a walk over what waits costs nothing that counts. */
static void blame_forget(struct sl_pipeline *p) {
	SL_LIST_FOREACH(it, &p->cs->pipelines) {
		struct sl_pipeline *other = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (other->action->conn == p->action->conn) pipeline_forgive(other);
	}
}

/* ---- What a batch that is back says of the rows that come next. ----------------------------------------------------------------- */

static void suspect(struct sl_way *way, uint32_t rows) {
	way->suspects = rows;
	way->suspect_first = rows > 0;
	way->breaks = 0;
}

static void way_broke(struct pipeline_batch *bt, uint32_t lost, bool delivered) {
	struct sl_way *way = bt->way;
	bt->p->broke_since = true;
	if (bt->alone && bt->b.count == 1) { /* found */
		suspect(way, 0);
		way->wary = true;
		return;
	}
	if (bt->alone) {
		suspect(way, lost);
		return;
	}
	if (way->fence) return; /* it went down with an earlier one */
	uint32_t first = 0;
	while (first + 1 < bt->b.count && bt->b.result[first] != SL_RESULT_LOST) first++;
	if (way->broke_at != bt->ref[first].row) way->breaks = 0;
	if (way->breaks++ == 0) way->epoch = (bt->p->epoch + (delivered ? EPOCH_MASK : 0)) & EPOCH_MASK;
	way->broke_at = bt->ref[first].row;
	if (way->wary || way->breaks >= BREAKS_SUSPICIOUS) suspect(way, lost);
}

void pipeline_breaks_look(struct pipeline_batch *bt, uint32_t lost, bool delivered) {
	struct sl_pipeline *p = bt->p;
	struct sl_way *way = bt->way;
	if (delivered && p->broke_since) {
		p->broke_since = false;
		p->epoch = (p->epoch + 1u) & EPOCH_MASK;
	}
	if (lost > 0)
		p->action->conn->lost_ms = p->now_ms;
	else if (bt->ref[0].breaks > 0 && delivered)
		blame_forget(p);
	if (bt->ref[0].breaks > 0 || (lost > 0 && !batch_broke(bt))) return; /* says nothing of others */
	if (lost > 0)
		way_broke(bt, lost, delivered);
	else if (bt->alone) {
		way->suspects -= bt->b.count < way->suspects ? bt->b.count : way->suspects;
		way->suspect_first = false;
		if (way->suspects == 0) blame_forget(p);
	} else {
		way->breaks = 0;
		way->wary = false;
	}
}
