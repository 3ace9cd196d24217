/* pipeline_break.c: rows at which the server ends the connection.
 *
 * Rows that are lost are first in line again, and nothing is charged to them: nearly always the network or the server is to blame.
 * But a row may be, too: one that crashes the server, that a limit or a proxy answers by hanging up. Its batch would break every
 * connection for ever, and nobody would get past it. So:
 *
 *   1. When BREAKS_SUSPICIOUS connections in a row broke with the same first row out, the rows that were lost are *suspects*. They
 *      go out in trials, alone (pipeline_trial.c): first the first row, then piece by piece, and of a piece that breaks the
 *      connection again smaller pieces, until one row alone is found at which it breaks, or all have got through.
 *   2. From the first one found on the action is *wary*: its batches go alone, small ones first, and begin such a search at their first
 *      break; until WARY_BATCHES in a row got through.
 *   3. A row that broke a connection alone waits: `retry.first`, and twice as long each time up to `retry.max`. Rows of its key line
 *      up behind it, all others go on. When it comes again it goes alone again, one such row after the other, and between two of
 *      them others of the action get through, when there are any.
 *   4. It is rejected when it has broken GUILTY_LEAST connections alone, PROOFS of them after another row of its action was delivered
 *      since it did before. Without that nobody knows that the server takes anything at all, so however often it breaks, nothing is
 *      rejected: the row waits, and is tried every `retry.max`, until it gets through or another one comes and is delivered. Where no
 *      other is left one proof must do, and BREAKS_LAST breaks more.
 *      But it must be rows that break connections, not the network that breaks under rows: when a suspect gets through after all, or
 *      a search that began with a break of a batch of which nothing else was out finds nobody, what is held against others of the
 *      connection is forgotten; and a suspect that gets through makes it twice as many breaks for the next, up to GUILTY_MOST, for
 *      DOUBT_MS or until one was guilty. It never takes fewer than GUILTY_LEAST, however many were guilty before: a network that
 *      ends most connections would make good rows guilty by chance.
 *   5. That needs rows that get past the suspect. Where all are of its key there would be none. So from the break on
 *      that is one before it would be guilty it steps aside, one row of an action at a time, and its successors go on. Does one of them
 *      break the connection as well, before anything was delivered, it is the server: the first gets its place before the other back.
 *
 * A suspect that has stepped aside and gets through after all comes later than rows behind it: the price of 5, which is only paid
 * when the server gets well between a suspect's trial and that of its successor, or connections end by chance. Attempts (`retry.attempts`) are not charged:
 * they are of rows that a server has answered to. Counts are in memory only. Thread: the connector loop. */
#include "connectors_int.h"
#include "retry.h"

#define BREAKS_SUSPICIOUS 3
#define ASIDE_MS 1000
#define ASIDE_LONG_MAX 6 /* ASIDE_MS doubles so often at the most */
#define GUILTY_LEAST 6u
#define GUILTY_MOST 12u
#define DOUBT_MS 60000
#define PROOFS 2u /* of those that make it guilty */
#define BREAKS_LAST 3u
#define EPOCH_MASK 63u
#define PIECE_BY_ROW 16
#define GROUP_LEAST 16
#define WARY_BATCHES 16

/* ---- How many rows. ------------------------------------------------------------------------------------------------------- */

size_t pipeline_trial_rows(struct sl_way *way, enum batch_cut *why) {
	*why = CUT_SPLIT;
	way->splits = 0;
	if (way->suspect_first || way->suspects < 2 || row_queue_at(&way->q, 0)->breaks > 0) return 1;
	return sl_min_size(sl_min_size(way->piece, way->suspects), way->q.n);
}

/* Of n rows. A batch that gets through costs a round trip, one that does not a connection: so as few as possible break. */
static uint32_t piece_rows(uint32_t n) {
	uint32_t piece = 1;
	while (n > PIECE_BY_ROW && piece * piece < n) piece++;
	return piece;
}

static uint32_t group_most(const struct sl_pipeline *p) { return (uint32_t)p->action->conf.batch.rows; }

size_t pipeline_group_rows(const struct sl_pipeline *p, size_t n) { return sl_min_size(n, p->group); }

static void wary_begin(struct sl_pipeline *p) {
	uint32_t group = p->wary && p->group < group_most(p) ? p->group : group_most(p);
	p->group = group / 4 > GROUP_LEAST ? group / 4 : GROUP_LEAST;
	p->wary = WARY_BATCHES;
}

static void wary_went_well(struct sl_pipeline *p, uint32_t rows) {
	if (p->wary == 0) return;
	p->wary--;
	if (rows >= p->group && p->group < group_most(p)) p->group *= 2;
}

/* ---- How many breaks make a row guilty. ----------------------------------------------------------------------------------- */

static uint32_t breaks_guilty(struct sl_conn *c, uint64_t now_ms) {
	if (c->guilty == 0 || now_ms - c->doubt_ms > DOUBT_MS) c->guilty = GUILTY_LEAST;
	return c->guilty;
}

static void was_guilty(struct sl_conn *c) { c->guilty = (uint8_t)(GUILTY_LEAST + (c->guilty - GUILTY_LEAST) / 2); }

static void was_innocent(struct sl_conn *c, uint64_t now_ms) {
	if (c->doubted) return; /* an outage is one reason to doubt, however many rows it made suspects */
	uint32_t guilty = breaks_guilty(c, now_ms) * 2;
	c->guilty = (uint8_t)(guilty < GUILTY_MOST ? guilty : GUILTY_MOST);
	c->doubt_ms = now_ms;
	c->doubted = true;
}

bool conn_broke_in_trial(const struct sl_conn *c) { return c->worked && (c->trial_broke || c->alone); }

/* ---- A row that broke the connection alone. ------------------------------------------------------------------------------- */

static bool others_wait(const struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->way_count; i++)
		if (p->way[i].q.n > 0) return true;
	return p->line[0].head || p->line[1].head;
}

static bool suspect_is_first(const struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->way_count; i++)
		if (p->way[i].q.n > 0 && row_queue_at(&p->way[i].q, 0)->breaks > 0) return true;
	return false;
}

/* However short its pause is, others get through before a suspect has its next turn, and one is tried after the other. And one that has
 * stepped aside is not brought back while its successor is being tried: its place depends on the outcome. */
bool pipeline_lane_rests(const struct sl_pipeline *p, unsigned lane) {
	if (row_queue_at(&p->lane[lane].parked, 0)->breaks == 0) return false;
	if (lane == LANE_ASIDE && p->action->conf.order == ORDER_KEY && p->action->conn->trial == p) return true;
	if (lane == LANE_ASIDE && pipeline_aside_first(p)) return false;
	return suspect_is_first(p) || (p->others_first && others_wait(p));
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

static bool comes_later(const struct row_ref *a, const struct row_ref *b) {
	return a->chunk == b->chunk ? a->row > b->row : a->chunk->arrival > b->chunk->arrival;
}

/* Holds nobody up; of several that wait here the first one's time counts for all. With an order they stand in it. */
static void step_aside(struct sl_pipeline *p, struct row_ref ref, uint64_t due_ms) {
	struct sl_lane *l = pipeline_lane(p, LANE_ASIDE);
	if (l->parked.n == 0) l->due_ms = due_ms;
	pipeline_park(p, LANE_ASIDE, ref);
	if (p->action->conf.order != ORDER_KEY) return;
	for (size_t i = l->parked.n - 1; i > 0 && comes_later(row_queue_at(&l->parked, i - 1), &ref); i--) {
		*row_queue_at(&l->parked, i) = *row_queue_at(&l->parked, i - 1);
		*row_queue_at(&l->parked, i - 1) = ref;
	}
	p->aside_ms = p->now_ms;
	p->asides++;
	conn_soon(
	    p->action->conn); /* a successor is tried at once: the less time lies between, the less may have changed */
}

/* Nothing got through since they stepped aside, and others break the connection, too: the order counts again. */
static void back_in_line(struct sl_pipeline *p, uint64_t due_ms) {
	if (!p->lane) return;
	struct row_queue *aside = &p->lane[LANE_ASIDE].parked;
	while (aside->n > 0 && row_queue_at(aside, aside->n - 1)->epoch == p->epoch) {
		p->parked--;
		lane_block(p, row_queue_pop_back(aside), due_ms);
	}
}

/* No successor could be tried for long, for there was no connection: then it goes first again. Every other time it may take twice as
 * long, for where connecting is slow they would never have their turn. */
bool pipeline_aside_first(const struct sl_pipeline *p) {
	const struct sl_conn *c = p->action->conn;
	const struct row_queue *aside = &p->lane[LANE_ASIDE].parked;
	return p->action->conf.order == ORDER_KEY && row_queue_at(aside, aside->n - 1)->epoch == p->epoch &&
	       c->up_at_ms > p->aside_ms + ((uint64_t)ASIDE_MS << sl_min_size(p->asides / 2, ASIDE_LONG_MAX)) &&
	       c->trial_sent_ms < c->up_at_ms;
}

static bool batch_broke(const struct pipeline_batch *bt) {
	return !bt->fenced && !bt->b.not_ready && !bt->b.again && !bt->p->halted;
}

/* True: another row of its action got through since it broke the connection before, or since its batch did. */
static bool row_charge(const struct sl_pipeline *p, struct row_ref *ref, const struct sl_way *way) {
	uint8_t since = ref->breaks == 0 ? way->epoch : ref->epoch;
	bool proof = since != p->epoch;
	if (proof && ref->proofs < PROOFS) ref->proofs = (ref->proofs + 1u) & 3u;
	if (ref->breaks < UINT8_MAX) ref->breaks++;
	ref->epoch = p->epoch & EPOCH_MASK;
	return proof;
}

static uint64_t row_due_ms(const struct sl_pipeline *p, const struct row_ref *ref) {
	const struct retry_conf *conf = &p->action->conf.retry;
	return p->now_ms + retry_bound_ms((uint64_t)conf->first_ms, (uint64_t)conf->max_ms, ref->breaks);
}

/* Rows that are no suspects. */
static bool others_left(const struct sl_pipeline *p) {
	if (others_wait(p)) return true;
	for (size_t i = 0; i < LANE_COUNT && p->parked > 0; i++) {
		const struct row_queue *q = &p->lane[i].parked;
		if (q->n > 0 && row_queue_at(q, q->n - 1)->breaks == 0) return true;
	}
	return false;
}

/* Without others that could get through there is no second proof: more breaks must do. */
static bool row_is_guilty(const struct sl_pipeline *p, const struct row_ref *ref, uint32_t guilty) {
	if (ref->breaks < guilty || ref->proofs == 0) return false;
	return ref->proofs >= PROOFS || (ref->breaks >= guilty + BREAKS_LAST && !others_left(p));
}

/* Said of this batch, or of the connection that ended with it. What the connection said last may be about another row, where it has not
 * said yet that it is down. */
static const char *said_last(const struct pipeline_batch *bt) {
	const struct sl_conn *c = bt->p->action->conn;
	if (bt->b.reason[0]) return bt->b.reason[0];
	return c->state == CONN_DOWN ? c->text : NULL;
}

bool pipeline_row_broke(struct pipeline_batch *bt) {
	struct sl_pipeline *p = bt->p;
	if (!bt->alone || bt->b.count != 1 || !batch_broke(bt)) return false;
	struct sl_conn *c = p->action->conn;
	struct row_ref ref = bt->ref[0];
	bool key = p->action->conf.order == ORDER_KEY;
	uint32_t guilty = breaks_guilty(c, p->now_ms);
	p->others_first = p->broke_since = true;
	bool proof = row_charge(p, &ref, bt->way);
	if (row_is_guilty(p, &ref, guilty)) {
		was_guilty(c);
		row_reject(p, ref, said_last(bt));
		return true;
	}
	p->count.retried++;
	uint64_t due_ms = row_due_ms(p, &ref);
	if (!key || (ref.breaks >= guilty - 1 && !proof))
		step_aside(p, ref, due_ms);
	else {
		lane_block(p, ref, due_ms);
		back_in_line(p, due_ms);
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

static void suspect(struct sl_way *way, uint32_t rows, bool sure) {
	way->suspects = rows;
	way->suspect_first = rows > 0;
	way->suspects_sure = sure;
	way->piece = piece_rows(rows);
	way->breaks = 0;
}

/* Deliveries of the batch itself count, too. */
static void epoch_note(struct sl_way *way, bool delivered) {
	way->epoch = (way->p->epoch + (delivered ? EPOCH_MASK : 0)) & EPOCH_MASK;
}

static void way_broke(struct pipeline_batch *bt, uint32_t lost, bool delivered) {
	struct sl_pipeline *p = bt->p;
	struct sl_way *way = bt->way;
	p->broke_since = true;
	if (bt->b.count > 1 && !delivered && p->action->conf.order == ORDER_KEY)
		back_in_line(p, p->now_ms + (uint64_t)p->action->conf.retry.first_ms);
	if (bt->alone) {
		if (way->suspects == 0) epoch_note(way, delivered);
		suspect(way, bt->b.count == 1 ? 0 : lost, true);
		if (bt->b.count == 1) wary_begin(p); /* found */
		return;
	}
	if (way->fence) return; /* it went down with an earlier one */
	uint32_t first = 0;
	while (first + 1 < bt->b.count && bt->b.result[first] != SL_RESULT_LOST) first++;
	if (way->broke_at != bt->ref[first].row) way->breaks = 0;
	if (way->breaks++ == 0) epoch_note(way, delivered);
	way->broke_at = bt->ref[first].row;
	if (way->breaks >= BREAKS_SUSPICIOUS) suspect(way, lost, bt->only);
}

static void trial_went_well(struct pipeline_batch *bt) {
	struct sl_way *way = bt->way;
	if (way->suspects == 0) {
		wary_went_well(bt->p, bt->b.count);
		return;
	}
	way->suspects -= bt->b.count < way->suspects ? bt->b.count : way->suspects;
	way->suspect_first = false;
	if (way->suspects <= way->piece) way->piece = piece_rows(way->suspects); /* it must be among these */
	if (way->suspects == 0 && way->suspects_sure) blame_forget(bt->p);
}

void pipeline_breaks_look(struct pipeline_batch *bt, uint32_t lost, bool delivered) {
	struct sl_pipeline *p = bt->p;
	struct sl_conn *c = p->action->conn;
	bool is_suspect = bt->ref[0].breaks > 0;
	if (delivered && p->broke_since) {
		p->broke_since = false;
		p->asides = 0;
		p->epoch = (p->epoch + 1u) & EPOCH_MASK;
	}
	if (sl_unlikely(lost > 0)) {
		c->lost = true;
		c->lost_ms = p->now_ms;
		c->trial_broke = bt->alone;
		c->doubted = false;
	} else if (is_suspect && delivered) {
		was_innocent(c, p->now_ms);
		blame_forget(p);
	}
	if (is_suspect) return; /* says nothing of others */
	if (delivered || lost == 0) p->others_first = false;
	if (lost > 0 && !batch_broke(bt)) return;
	if (lost > 0)
		way_broke(bt, lost, delivered);
	else if (bt->alone)
		trial_went_well(bt);
	else
		bt->way->breaks = 0;
}
