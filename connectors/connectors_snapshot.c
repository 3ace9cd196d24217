/* connectors_snapshot.c: the numbers of all actions and the states of all connections at one moment, for status pages. See
 * connectors.h.
 *
 * Two steps. First only the connector loop stands still, and says what there is; from then on nothing of it is freed (a pin).
 * Then everything stands still, and numbers are copied: by pointers from an array, asked for a few actions ahead, for what
 * takes long is waiting for memory. */
#include "connectors_snapshot_int.h"

enum { AHEAD = 8 };

/* Pages that were never written to would be given by the system one by one, in the worst moment. */
static void *zeroed(size_t count, size_t size) {
	void *at = sl_calloc(sl_max_size(count, 1), size);
	for (size_t i = 0; i < count * size; i += 1024) ((volatile char *)at)[i] = 0;
	return at;
}

static void list_everything(void *arg) {
	struct connectors_snapshot *s = arg;
	struct connectors *cs = s->from;
	cs->pins++;
	SL_LIST_FOREACH(it, &cs->pipelines) s->action_count++;
	SL_LIST_FOREACH(it, &cs->conns) s->conn_count++;
	s->actions = zeroed(s->action_count, sizeof *s->actions);
	s->conns = zeroed(s->conn_count, sizeof *s->conns);
	struct action_copy *a = s->actions;
	SL_LIST_FOREACH(it, &cs->pipelines) {
		a->p = SL_LIST_ENTRY(it, struct sl_pipeline, link);
		a->stages = a->p->stages;
		a->log = a->p->log;
		a++;
	}
	struct conn_copy *c = s->conns;
	SL_LIST_FOREACH(it, &cs->conns)(c++)->c = SL_LIST_ENTRY(it, struct sl_conn, link);
}

struct connectors_snapshot *connectors_snapshot_new(struct connectors *cs) {
	struct connectors_snapshot *s = SL_NEW(struct connectors_snapshot);
	s->from = cs;
	sl_loops_park(&cs->loop, 1, list_everything, s);
	return s;
}

/* Age of the oldest row in memory; rows only on disk are younger. */
static uint64_t oldest_ms(const struct sl_pipeline *p) {
	if (sl_list_empty(&p->in_mem)) return 0;
	const struct sl_chunk *c = SL_LIST_ENTRY(p->in_mem.next, struct sl_chunk, in_mem);
	int64_t age = sl_loop_wall_ms(p->cs->loop) - c->at_ms;
	return age > 0 ? (uint64_t)age : 0;
}

static void action_take(struct action_copy *a) {
	const struct sl_pipeline *p = a->p;
	sl_pipeline_counts(p, &a->n);
	a->in_flight = p->flight_rows;
	a->oldest_ms = oldest_ms(p);
	a->retiring = p->retiring;
	a->holding = p->held.head != NULL;
	a->not_ready = p->not_ready;
	memcpy(a->cut, p->count.cut, sizeof a->cut);
	if (a->n.delivered == 0) return;
	memcpy(a->latency, p->count.latency, sizeof a->latency);
	a->latency_sum_ms = p->count.latency_sum_ms;
}

static void action_ahead(const struct action_copy *a, size_t workers) {
	for (const char *at = (const char *)&a->p->taken, *end = (const char *)(&a->p->count + 1); at < end; at += 64)
		__builtin_prefetch(at);
	for (size_t w = 0; w < workers; w++) __builtin_prefetch(&a->stages[w]);
	__builtin_prefetch(&a->p->in_mem);
	__builtin_prefetch(a->log);
}

void connectors_snapshot_take(struct connectors_snapshot *s) {
	for (size_t i = 0; i < s->action_count; i++) {
		if (i + AHEAD < s->action_count) action_ahead(&s->actions[i + AHEAD], s->from->worker_count);
		action_take(&s->actions[i]);
	}
	for (size_t i = 0; i < s->conn_count; i++) {
		struct conn_copy *copy = &s->conns[i];
		copy->state = copy->c->state;
		copy->since_ms = copy->c->since_ms;
		copy->retired = copy->c->retired;
		sl_free(copy->text);
		copy->text = copy->c->text ? sl_strdup(copy->c->text) : NULL;
	}
}

static void unpin_run(struct sl_post *post, struct sl_loop *l) {
	struct connectors_snapshot *s = sl_container_of(post, struct connectors_snapshot, unpin);
	(void)l;
	s->from->pins--; /* the end of this tick frees what has waited for us */
	sl_free(s);
}

void connectors_snapshot_free(struct connectors_snapshot *s) {
	if (!s) return;
	for (size_t i = 0; i < s->conn_count; i++) sl_free(s->conns[i].text);
	sl_free(s->conns);
	sl_free(s->actions);
	s->unpin.run = unpin_run;
	sl_loop_post(s->from->loop, &s->unpin);
}
