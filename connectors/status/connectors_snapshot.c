/* connectors_snapshot.c: the numbers of all actions and the states of all connections at one moment, for status pages. See
 * connectors.h.
 *
 * Two steps. First only the connector loop stands still, says what there is, and its own numbers are copied; from then on
 * nothing of it is freed (a pin). Then everything stands still: the workers' numbers are copied, and again those of the few
 * actions in which something has changed since. It is done by pointers from an array, asked for some actions ahead, for
 * what takes long is waiting for memory. */
#include "connectors_snapshot_int.h"

enum { AHEAD = 16 };

/* ---- One action's numbers. Parked. -------------------------------------------------------------------------------------- */

/* Every place where a row can be is looked at by itself. */
static void ends_add(const struct sl_stage *stages, size_t workers, struct pipeline_numbers *out) {
	for (size_t i = 0; i < workers; i++) {
		const struct sl_stage *st = &stages[i];
		for (int qos = 0; qos < 2; qos++) out->staged += st->open[qos] ? st->open[qos]->rows : 0;
		out->received += st->received;
		out->posted += st->posted;
	}
}

static void ends_take(const struct sl_stage *stages, const struct old_stages *old, size_t workers,
		      struct pipeline_numbers *out) {
	out->received = out->staged = out->posted = 0;
	ends_add(stages, workers, out);
	for (; sl_unlikely(old); old = old->next) ends_add(old->at, workers, out);
}

static void numbers_take(const struct sl_pipeline *p, struct pipeline_numbers *out) {
	out->past_received = p->past_received;
	out->past_posted = p->past_posted;
	out->taken = p->taken;
	out->mem_rows = p->mem_rows;
	out->mem_bytes = p->mem_bytes;
	out->flight_rows = p->flight_rows;
	out->held_rows = p->held_rows;
	out->held_bytes = p->held_bytes;
	out->held_cost = p->held_cost;
	out->copy_bytes = p->copy_bytes;
	out->incoming_rows = p->incoming_rows;
	out->count = p->count;
	if (p->log) spill_stat(p->log, &out->log);
}

struct sl_action_counts pipeline_numbers_sum(const struct pipeline_numbers *n) {
	const struct pipeline_counters *c = &n->count;
	return (struct sl_action_counts){.received = n->received + n->past_received + c->recovered + c->replayed,
					 .recovered = c->recovered,
					 .replayed = c->replayed,
					 .delivered = c->delivered,
					 .rejected = c->rejected,
					 .dropped_overflow = c->dropped_overflow,
					 .dropped_expired = c->dropped_expired,
					 .dropped_shutdown = c->dropped_shutdown,
					 .dropped_damaged = c->dropped_damaged,
					 .queued = n->staged + (n->posted + n->past_posted - n->taken) +
						   n->incoming_rows + n->held_rows + n->mem_rows + n->log.unread_rows,
					 .queued_bytes = n->mem_bytes + n->held_bytes + n->log.unread_bytes,
					 .disk_bytes = n->log.disk_bytes,
					 .retried = c->retried,
					 .maybe_duplicate = c->maybe_duplicate,
					 .batches = c->batches};
}

void sl_pipeline_counts(const struct sl_pipeline *p, struct sl_action_counts *out) {
	struct pipeline_numbers n = {.received = 0};
	ends_take(p->stages, p->old_stages, p->cs->worker_count, &n);
	numbers_take(p, &n);
	*out = pipeline_numbers_sum(&n);
}

/* ---- A snapshot. ---------------------------------------------------------------------------------------------------------- */

/* Pages that were never written to would be given by the system one by one, in the worst moment. */
static void *zeroed(size_t count, size_t size) {
	void *at = sl_calloc(sl_max_size(count, 1), size);
	for (size_t i = 0; i < count * size; i += 1024) ((volatile char *)at)[i] = 0;
	return at;
}

uint64_t pipeline_oldest_ms(const struct sl_pipeline *p) {
	if (sl_list_empty(&p->in_mem)) return 0;
	const struct sl_chunk *c = SL_LIST_ENTRY(p->in_mem.next, struct sl_chunk, in_mem);
	int64_t age = sl_loop_wall_ms(p->cs->loop) - c->at_ms;
	return age > 0 ? (uint64_t)age : 0;
}

static void health_copy(struct health *to, const struct health *from) {
	to->success_ms = from->success_ms;
	to->error_ms = from->error_ms;
	if (to->error == NULL && from->error == NULL) return;
	sl_free(to->error);
	to->error = from->error ? sl_strdup(from->error) : NULL;
}

/* What belongs to the connector loop. */
static void action_take(struct action_copy *a) {
	const struct sl_pipeline *p = a->p;
	a->action = p->action;
	a->stages = p->stages;
	a->old = p->old_stages;
	numbers_take(p, &a->n);
	a->oldest_ms = pipeline_oldest_ms(p);
	a->retiring = p->retiring;
	a->holding = p->held.head != NULL;
	pipeline_problems(p, a->problem);
	if (a->not_ready_why || p->not_ready_why) {
		sl_free(a->not_ready_why);
		a->not_ready_why = p->not_ready_why ? sl_strdup(p->not_ready_why) : NULL;
	}
	if (a->waits_why || p->waits.why) {
		sl_free(a->waits_why);
		a->waits_why = p->waits.why ? sl_strdup(p->waits.why) : NULL;
	}
	a->stalled = p->stalled;
	a->fill = p->fill;
	a->busiest_percent = p->busiest_percent;
	if (a->busiest_percent) {
		sl_free(a->busiest_client);
		a->busiest_client = sl_strdup(p->busiest_client);
	}
	health_copy(&a->health, &p->health);
}

static void action_list(struct action_copy *a, const struct sl_pipeline *p) {
	a->p = p;
	action_take(a);
}

static void list_everything(void *arg) {
	struct connectors_snapshot *s = arg;
	struct connectors *cs = s->from;
	s->action_count = s->conn_count = 0;
	SL_LIST_FOREACH(it, &cs->pipelines) s->action_count++;
	SL_LIST_FOREACH(it, &cs->conns) s->conn_count++;
	s->listed = s->action_count <= s->action_cap && s->conn_count <= s->conn_cap;
	if (!s->listed) return;
	struct action_copy *a = s->actions;
	struct conn_copy *c = s->conns;
	SL_LIST_FOREACH(it, &cs->pipelines) action_list(a++, SL_LIST_ENTRY(it, struct sl_pipeline, link));
	SL_LIST_FOREACH(it, &cs->conns) {
		c->c = SL_LIST_ENTRY(it, struct sl_conn, link);
		/* As of now: who retires before the numbers are taken has a successor that is not on this list. */
		c->retired = c->c->retired;
		c++;
	}
	s->changes = cs->changes;
	cs->pins++;
}

struct connectors_snapshot *connectors_snapshot_new(struct connectors *cs) {
	struct connectors_snapshot *s = SL_NEW(struct connectors_snapshot);
	s->from = cs;
	while (true) {
		sl_loops_park(&cs->loop, 1, list_everything, s);
		if (s->listed) return s;
		sl_free(s->actions);
		sl_free(s->conns);
		s->actions = zeroed(s->action_cap = s->action_count, sizeof *s->actions);
		s->conns = zeroed(s->conn_cap = s->conn_count, sizeof *s->conns);
	}
}

static void action_ask(const struct action_copy *a, size_t workers) {
	for (size_t w = 0; w < workers; w++) __builtin_prefetch(&a->stages[w]);
	__builtin_prefetch(&a->p->change);
}

static void memory_take(const struct connectors_snapshot *s, struct memory_copy *out) {
	const struct connectors *cs = s->from;
	*out = (struct memory_copy){.limit = cs->memory};
	for (size_t i = 0; i < s->action_count; i++) {
		out->rows += s->actions[i].n.mem_bytes;
		out->held += s->actions[i].n.held_cost;
		out->clients += s->actions[i].n.copy_bytes;
	}
	for (size_t i = 0; i < cs->worker_count; i++) {
		out->on_way += worker_end_way(&cs->ends[i]);
		out->idle += cs->ends[i].spared.bytes - cs->ends[i].again.bytes;
	}
}

void connectors_snapshot_take(struct connectors_snapshot *s) {
	size_t workers = s->from->worker_count;
	sources_copy_take(s->from, &s->sources);
	for (size_t i = 0; i < s->action_count; i++) {
		if (i + AHEAD < s->action_count) action_ask(&s->actions[i + AHEAD], workers);
		struct action_copy *a = &s->actions[i];
		if (a->p->change > s->changes) action_take(a);
		ends_take(a->stages, a->old, workers, &a->n);
	}
	memory_take(s, &s->memory);
	for (size_t i = 0; i < s->conn_count; i++) {
		struct conn_copy *copy = &s->conns[i];
		copy->state = copy->c->state;
		copy->since_ms = copy->c->since_ms;
		sl_free(copy->text);
		copy->text = copy->c->text ? sl_strdup(copy->c->text) : NULL;
		health_copy(&copy->health, &copy->c->health);
		copy->out = copy->c->out;
		copy->stalled = copy->c->stalled;
		memcpy(copy->past_latency, copy->c->past_latency, sizeof copy->past_latency);
		copy->past_latency_sum_ms = copy->c->past_latency_sum_ms;
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
	for (size_t i = 0; i < s->conn_count; i++) {
		sl_free(s->conns[i].text);
		health_fini(&s->conns[i].health);
	}
	for (size_t i = 0; i < s->action_count; i++) {
		health_fini(&s->actions[i].health);
		sl_free(s->actions[i].not_ready_why);
		sl_free(s->actions[i].waits_why);
		sl_free(s->actions[i].busiest_client);
	}
	sl_free(s->conns);
	sl_free(s->actions);
	sources_copy_fini(&s->sources);
	s->unpin.run = unpin_run;
	sl_loop_post(s->from->loop, &s->unpin);
}
