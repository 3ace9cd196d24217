/* pipeline_ways.c: how many connections of a pool an action uses: one, or all.
 *
 * Each way gathers batches of its own. Where few rows come, four ways make four small batches of what could be one, and each
 * costs its round trips, here and at the server. So an action begins with one way. It takes all when that one does not keep
 * up: a whole batch waits, or rows wait twice as long as `batch.linger`, while it is busy. And it goes back to one when batches have been leaving
 * for their linger alone, CALM_CUTS of them in a row; twice as many each time, so that it does not change its mind all day.
 *
 * A row's way depends on how many there are, so that changes only while no row is in a way: until then nothing is sorted, and what
 * is there leaves at once. Rows that wait in their lanes go where the rows behind them go, so they do not matter. With no
 * linger nobody wants to wait for others: then all ways are used always. Thread: the connector loop. */
#include "connectors_int.h"

#define CALM_CUTS 64
#define CALM_CUTS_MAX 65536

static bool always_all(const struct sl_pipeline *p) {
	return p->way_count == 1 || p->action->conf.batch.linger_ms == 0 || p->action->conf.batch.rows == 1;
}

void pipeline_ways_begin(struct sl_pipeline *p) {
	p->way_count = p->action->conn->ways ? p->action->conn->ways : 1;
	p->way = SL_NEW_ARRAY(struct sl_way, p->way_count);
	for (uint32_t i = 0; i < p->way_count; i++) {
		p->way[i].p = p;
		sl_list_init(&p->way[i].trial_wait);
	}
	p->next_way = 0;
	p->ways_used = p->ways_next = always_all(p) ? p->way_count : 1;
	p->calm = 0;
	p->calm_enough = CALM_CUTS;
}

static bool ways_empty(const struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->ways_used; i++)
		if (p->way[i].q.n > 0 || p->way[i].back.n > 0 || p->way[i].out > 0) return false;
	return true;
}

/* A search for rows at which the connection ends (pipeline_break.c) counts on them to stay in their way; one that is in doubt wants more
 * of them there. */
static bool search_goes_on(const struct sl_pipeline *p) {
	for (uint32_t i = 0; i < p->ways_used; i++)
		if (p->way[i].suspects > 0 || p->way[i].breaks > 0 || p->way[i].doubt_rows > 0) return true;
	for (size_t i = 0; i < LANE_COUNT && p->parked > 0; i++)
		if (p->lane[i].parked.n > 0 && row_queue_at(&p->lane[i].parked, 0)->breaks > 0) return true;
	return false;
}

void pipeline_ways_settle(struct sl_pipeline *p) {
	if (sl_likely(!pipeline_ways_change(p))) return;
	if (search_goes_on(p)) p->ways_next = p->ways_used;
	if (!pipeline_ways_change(p) || !ways_empty(p)) return;
	p->ways_used = p->ways_next;
	if (p->ways_used > 1 && p->calm_enough < CALM_CUTS_MAX) p->calm_enough *= 2;
	p->next_way = 0;
	p->calm = 0;
}

void pipeline_ways_cut(struct sl_pipeline *p, enum batch_cut why) {
	if (why == CUT_LINGER)
		p->calm++;
	else if (why == CUT_ROWS || why == CUT_BYTES)
		p->calm = 0;
}

/* A whole batch waits, or rows have waited for long. */
static bool overdue(const struct sl_pipeline *p) {
	const struct sl_way *way = &p->way[0];
	if (way->q.n >= (uint64_t)p->action->conf.batch.rows) return true;
	const struct sl_chunk *first = way->q.n > 0 ? row_queue_at(&way->q, 0)->chunk : pipeline_unsorted(p);
	return first && p->now_ms > first->arrived_ms + 2 * (uint64_t)p->action->conf.batch.linger_ms;
}

void pipeline_ways_look(struct sl_pipeline *p) {
	if (p->way_count == 1 || pipeline_ways_change(p)) return;
	if (p->ways_used == 1 && p->way[0].out >= p->depth && overdue(p))
		p->ways_next = p->way_count;
	else if (p->ways_used > 1 && p->calm >= p->calm_enough && !always_all(p))
		p->ways_next = 1;
	if (!pipeline_ways_change(p)) return;
	if (search_goes_on(p))
		p->ways_next = p->ways_used;
	else
		pipeline_wake(p); /* what is in the ways leaves at once */
}
