/* pipeline_trial.c: whose turn it is to have a connection alone.
 *
 * A suspicious batch (pipeline_break.c) travels *alone*: nothing else of its connection is out, so that nobody is blamed for others' rows,
 * nor loses rows for it. Ways with such batches stand in one line, whatever their action; the first *claims* the connection when it
 * may: then nobody else sends, what is out comes back, its batch goes and comes back, and if it has another one it gets in line again,
 * behind the others. A way that does not ask in a run of its pipeline, though its connection is up, is in the line no more.
 *
 * All others have the connection between two trials for as long as the last one kept it from them, connecting again included; at the most
 * TRIAL_REST_MS, and not at all when they have nothing to send. They do not wait longer than TRIAL_MS for a claim, nor for the end of
 * a trial: then they go on beside it, and it is alone no more. Thread: the connector loop. */
#include "connectors_int.h"

#define TRIAL_REST_MS 100
#define TRIAL_MS 1000
#define TRIAL_LONG_MAX 6 /* TRIAL_MS doubles so often at the most */

static struct sl_way *line_first(const struct sl_conn *c) {
	return sl_list_empty(&c->trial_line) ? NULL : SL_LIST_ENTRY(c->trial_line.next, struct sl_way, trial_wait);
}

static void line_wake(const struct sl_conn *c) {
	struct sl_way *first = line_first(c);
	if (first && !c->trial) pipeline_wake(first->p);
}

static void line_join(struct sl_conn *c, struct sl_way *way) {
	way->trial_asked = true;
	if (sl_list_linked(&way->trial_wait)) return;
	sl_list_push_back(&c->trial_line, &way->trial_wait);
	way->p->trials_wanted++;
}

static void line_leave(struct sl_way *way) {
	if (!sl_list_linked(&way->trial_wait)) return;
	sl_list_remove(&way->trial_wait);
	way->p->trials_wanted--;
}

static void trial_over(struct sl_conn *c) {
	c->alone = NULL;
	c->trial = NULL;
	c->trial_way = NULL;
}

static void others_go(struct sl_conn *c) {
	if (!c->trial_refused) return;
	c->trial_refused = false;
	conn_wake(c);
}

static void until_set(struct sl_conn *c, uint64_t now_ms) {
	c->trial_until_ms = now_ms + ((uint64_t)TRIAL_MS << c->trial_way->trials_long);
}

/* False: somebody's claim or trial does not last too long yet. */
static bool overtake(struct sl_pipeline *p, uint64_t *wait_ms) {
	struct sl_conn *c = p->action->conn;
	c->trial_refused = true;
	if (p->now_ms < c->trial_until_ms) {
		due_at(p->now_ms, c->trial_until_ms, wait_ms);
		return false;
	}
	struct sl_way *way = c->trial_way;
	if (way->trials_long < TRIAL_LONG_MAX) way->trials_long++;
	if (c->alone) c->alone->alone = false;
	c->trial_back_ms = p->now_ms;
	trial_over(c);
	others_go(c);
	return true;
}

/* ---- When may the first in line claim? ------------------------------------------------------------------------------------ */

/* It has rows that would go now if nobody had a claim. */
static bool others_of_want(const struct sl_pipeline *p, const struct sl_way *me, uint64_t now_ms) {
	if (p->wary || p->halted || p->next || p->pause_until_ms > now_ms) return false;
	bool unsorted = p->line[0].head || p->line[1].head;
	for (uint32_t i = 0; i < p->ways_used; i++) {
		const struct sl_way *way = &p->way[i];
		if (way == me || (way->q.n == 0 ? !unsorted || way->suspects > 0 : way_suspicious(way))) continue;
		return true;
	}
	return false;
}

static bool others_want(const struct sl_way *me, uint64_t now_ms) {
	const struct sl_pipeline *p = me->p;
	SL_LIST_FOREACH(it, &p->cs->pipelines) {
		const struct sl_pipeline *other = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (other->action->conn == p->action->conn && others_of_want(other, me, now_ms)) return true;
	}
	return false;
}

static uint64_t claim_due_ms(const struct sl_way *way, uint64_t now_ms) {
	const struct sl_conn *c = way->p->action->conn;
	if (c->lost) return c->lost_ms + TRIAL_REST_MS; /* perhaps it has gone, and nobody has said so yet */
	uint64_t end = c->up_at_ms > c->trial_back_ms ? c->up_at_ms : c->trial_back_ms, took = end - c->trial_sent_ms;
	if (now_ms >= end + TRIAL_REST_MS || !others_want(way, now_ms)) return now_ms;
	return end + (took == 0 ? 1 : took < TRIAL_REST_MS ? took : TRIAL_REST_MS);
}

static bool claim(struct sl_pipeline *p, struct sl_way *way, uint64_t *wait_ms) {
	struct sl_conn *c = p->action->conn;
	uint64_t due_ms = claim_due_ms(way, p->now_ms);
	if (p->now_ms < due_ms) {
		due_at(p->now_ms, due_ms, wait_ms);
		return false;
	}
	if (line_first(c) != way) {
		line_wake(c);
		return false;
	}
	c->trial = p;
	c->trial_way = way;
	until_set(c, p->now_ms);
	return true;
}

/* ---- What pipelines ask, and tell. ------------------------------------------------------------------------------------------ */

bool pipeline_trial_may(struct sl_pipeline *p, struct sl_way *way, bool alone, uint64_t *wait_ms) {
	struct sl_conn *c = p->action->conn;
	if (sl_likely(!alone && !c->trial)) return true;
	if (alone) {
		line_join(c, way);
		if (c->trial ? c->trial_way != way || c->alone : !claim(p, way, wait_ms)) return false;
		return c->out == 0;
	}
	if (c->trial_way != way) return overtake(p, wait_ms);
	if (c->alone) return false; /* the way's own */
	trial_over(c);
	others_go(c);
	return true;
}

void pipeline_trial_unused(struct sl_way *way) { way->trial_asked = false; }

void pipeline_trial_sent(struct pipeline_batch *bt) {
	struct sl_conn *c = bt->p->action->conn;
	c->only = c->out == 1 ? bt : NULL;
	if (sl_likely(!bt->alone)) return;
	line_leave(bt->way);
	c->alone = bt;
	c->trial_sent_ms = bt->p->now_ms;
	until_set(c, bt->p->now_ms);
}

void pipeline_trial_back(struct pipeline_batch *bt) {
	struct sl_conn *c = bt->p->action->conn;
	bt->only = c->only == bt;
	if (bt->only) c->only = NULL;
	if (c->alone == bt) {
		bt->way->trials_long = 0;
		c->trial_back_ms = sl_loop_now_ms(bt->p->cs->loop);
		trial_over(c);
		others_go(c);
		line_wake(c);
	} else if (c->trial && c->out == 0)
		pipeline_wake(c->trial);
}

void pipeline_trial_leave(struct sl_pipeline *p) {
	if (!p->action) return; /* it never began */
	struct sl_conn *c = p->action->conn;
	if (c->trial == p && !c->alone) {
		trial_over(c);
		others_go(c);
	}
	for (uint32_t i = 0; i < p->way_count; i++) line_leave(&p->way[i]);
	line_wake(c);
}

void pipeline_trial_look(struct sl_pipeline *p) {
	struct sl_conn *c = p->action->conn;
	if (sl_likely(p->trials_wanted == 0)) return;
	if (!conn_is_up(c)) { /* they keep their places, but nobody waits for their claim */
		for (uint32_t i = 0; i < p->way_count; i++) p->way[i].trial_asked = false;
		if (c->trial == p && !c->alone) trial_over(c);
		return;
	}
	bool left = false;
	for (uint32_t i = 0; i < p->way_count; i++) {
		struct sl_way *way = &p->way[i];
		if (!way->trial_asked && sl_list_linked(&way->trial_wait)) {
			line_leave(way);
			left = true;
			if (c->trial_way == way && !c->alone) {
				trial_over(c);
				others_go(c);
			}
		}
		way->trial_asked = false;
	}
	if (left) line_wake(c);
}

void pipeline_trial_up(struct sl_conn *c) {
	c->lost = c->trial_broke = false;
	SL_LIST_FOREACH(it, &c->cs->pipelines) {
		struct sl_pipeline *p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		if (p->action->conn != c || !p->pause_lost) continue;
		p->pause_lost = false;
		p->pause_until_ms = 0;
	}
}
