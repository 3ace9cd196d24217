#include "route.h"

#include <stdlib.h>

#include "client.h"
#include "events.h"
#include "log.h"
#include "mem.h"
#include "persist.h"
#include "rules.h"
#include "shared_sub.h"
#include "subs.h"

/* A topic that only other workers want needs no block of memory: the cache then holds their bits themselves, moved up by
 * one, with the lowest bit set. */
enum { REMOTE_BIT = 1 };

static bool is_remote(const void *known) { return ((uintptr_t)known & REMOTE_BIT) != 0; }

void route_free(void *arg, void *route) {
	(void)arg;
	if (!is_remote(route)) sl_free(route);
}

/* ---- what is worth keeping ---- */

/* A walk that came by more nodes, or found more, is not repeated. */
enum { WALK_CHEAP = 16, TARGETS_CHEAP = 4, MET_BITS = 10 };

struct found {
	uint64_t *v;
	size_t len, cap;
	uint64_t workers;
};

struct router {
	struct found found;
	struct route *scratch; /* of a topic that is not kept */
	size_t scratch_bytes;
	uint32_t met[1 << MET_BITS]; /* parts of the hashes of topics met lately, each in the one place it may have */
};

struct router *router_new(void) {
	return SL_NEW(struct router);
}

void router_free(struct router *r) {
	sl_free(r->found.v);
	sl_free(r->scratch);
	sl_free(r);
}

static bool met_lately(struct router *r, uint64_t topic_hash) {
	uint32_t *place = &r->met[topic_hash >> (64 - MET_BITS)], part = (uint32_t)(topic_hash >> 16);
	if (*place == part) return true;
	*place = part;
	return false;
}

/* ---- building a route ---- */

static void found_values(void *arg, uint32_t handle, const uint64_t *values, size_t count) {
	(void)handle;
	struct found *f = arg;
	if (f->len + count > f->cap) {
		f->cap = sl_max_size(f->cap * 2, f->len + count);
		f->v = sl_realloc_array(f->v, f->cap, sizeof *f->v);
	}
	for (size_t i = 0; i < count; i++) {
		if (values[i] & SUBS_REMOTE_BIT)
			f->workers |= (uint64_t)1 << (values[i] >> SUBS_REMOTE_SHIFT);
		else
			f->v[f->len++] = values[i];
	}
}

static const struct sub *value_sub(uint64_t value) {
	return value & SUBS_SHARED_BIT ? NULL : (const struct sub *)(uintptr_t)value;
}

/* Sessions together, groups last. */
static int by_session(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	const struct sub *sx = value_sub(x), *sy = value_sub(y);
	if (sx && sy && sx->s != sy->s) return (uintptr_t)sx->s < (uintptr_t)sy->s ? -1 : 1;
	if (!sx != !sy) return sx ? -1 : 1;
	return x < y ? -1 : x > y;
}

/* A session gets a message once, with the highest QoS of its matching subscriptions [MQTT-3.3.4-2] and the identifiers
 * of all of them [MQTT-3.3.4-4]. */
static void add_sub(struct route *r, const struct sub *sub, uint32_t *ids_len) {
	struct route_target *t = r->targets_len ? &r->targets[r->targets_len - 1] : NULL;
	if (!t || t->s != sub->s) {
		t = &r->targets[r->targets_len++];
		*t = (struct route_target){.s = sub->s, .ids_at = *ids_len, .qos_own = ROUTE_NOT};
	}
	if (sub->qos > t->qos) t->qos = sub->qos;
	if (!sub->no_local && (t->qos_own == ROUTE_NOT || sub->qos > t->qos_own)) t->qos_own = sub->qos;
	t->retain_as_published |= sub->retain_as_published;
	if (sub->sub_id) {
		r->ids[(*ids_len)++] = sub->sub_id;
		t->ids_len++;
	}
}

static struct route *scratch_get(struct router *ro, size_t bytes) {
	if (bytes > ro->scratch_bytes) {
		sl_free(ro->scratch);
		ro->scratch_bytes = bytes * 2;
		ro->scratch = sl_alloc(ro->scratch_bytes);
	}
	return ro->scratch;
}

/* A route, remote bits, or NULL. A route lies in memory of its own if it is to be kept, else it is good until the next. */
static void *route_build(struct worker *w, struct sl_slice topic, uint64_t topic_hash, bool *keep, size_t *bytes) {
	struct found *f = &w->router->found;
	f->len = 0;
	f->workers = 0;
	size_t cost = topic_trie_match(w->subs, topic, found_values, f);
	*keep = cost > WALK_CHEAP || f->len > TARGETS_CHEAP || met_lately(w->router, topic_hash);
	if (f->len == 0 && f->workers == 0) return NULL;
	if (f->len == 0 && f->workers >> 63 == 0) return (void *)(uintptr_t)(f->workers << 1 | REMOTE_BIT);
	if (f->len > 1) qsort(f->v, f->len, sizeof *f->v, by_session);
	size_t ids = 0;
	for (size_t i = 0; i < f->len; i++)
		if (value_sub(f->v[i]) && value_sub(f->v[i])->sub_id) ids++;
	*bytes = sizeof(struct route) + f->len * sizeof(struct route_target) + ids * sizeof(uint32_t);
	struct route *r = *keep ? sl_alloc(*bytes) : scratch_get(w->router, *bytes);
	*r = (struct route){.workers = f->workers, .ids = (uint32_t *)(void *)&r->targets[f->len]};
	uint32_t ids_len = 0;
	for (size_t i = 0; i < f->len; i++) {
		const struct sub *sub = value_sub(f->v[i]);
		if (sub) {
			add_sub(r, sub, &ids_len);
		} else {
			r->targets[r->targets_len++] = (struct route_target){
			    .group = (struct share_group *)(uintptr_t)(f->v[i] & ~(uint64_t)SUBS_SHARED_BIT)};
		}
	}
	return r;
}

/* NULL: nobody. *remote: a bit for each other worker that is interested. */
static const struct route *route_get(struct worker *w, const struct msg *m, uint64_t *remote) {
	uint64_t generation = topic_trie_generation(w->subs);
	void *known;
	struct sl_slice topic = msg_topic(m);
	if (sl_unlikely(!topic_cache_get(w->routes, m->topic_hash, topic, generation, &known))) {
		bool keep;
		size_t bytes = 0;
		known = route_build(w, topic, m->topic_hash, &keep, &bytes);
		if (keep) topic_cache_put_sized(w->routes, m->topic_hash, topic, generation, known, bytes);
	}
	if (is_remote(known)) {
		*remote = (uintptr_t)known >> 1;
		return NULL;
	}
	*remote = known ? ((const struct route *)known)->workers : 0;
	return known;
}

/* ---- the way ---- */

static void deliver_here(struct worker *w, const struct route *r, struct msg *m, const struct session *own,
			 session_ref source) {
	for (uint32_t i = 0; i < r->targets_len; i++) {
		const struct route_target *t = &r->targets[i];
		if (sl_unlikely(!t->s)) {
			share_dispatch(w, t->group, m, source, 0, 0);
			continue;
		}
		uint8_t qos = t->s == own ? t->qos_own : t->qos;
		if (qos == ROUTE_NOT) { /* [MQTT-3.8.3-3] */
			if (event_wanted(w, EVENT(DELIVERY_DROPPED)))
				event_delivery_dropped(t->s, m, m->qos, "no_local");
			continue;
		}
		if (m->qos < qos) qos = m->qos;
		session_deliver(t->s, m,
				&(struct session_delivery){.ids = r->ids + t->ids_at,
							   .ids_len = t->ids_len,
							   .source = source,
							   .qos = qos,
							   .retain = m->retain && t->retain_as_published});
	}
}

static void event_of(const struct msg *m, const struct client *c, struct rules_event *ev) {
	event_of_message(m, ev);
	if (!c) return;
	ev->username = c->username ? slice_from_str(c->username) : SL_SLICE_EMPTY;
	ev->peer = slice_from_str(c->peer);
	ev->version = c->version;
	event_identity(c, ev);
}

struct sl_stage *route_shut(struct worker *w, const struct msg *m, const struct client *c) {
	struct rules_event ev;
	event_of(m, c, &ev);
	return rules_shut(w->rules, &ev);
}

/* plan: what rules_find() gave; NULL: basic ingest. */
static void to_rules(struct worker *w, const struct msg *m, const struct client *c, struct sl_ticket *ticket,
		     struct rule_plan *plan) {
	struct rules_event ev;
	event_of(m, c, &ev);
	struct sl_ticket *outer = w->ticket;
	w->ticket = ticket;
	if (plan)
		rules_run(w->rules, plan, &ev, ticket);
	else
		rules_ingest(w->rules, &ev, ticket);
	w->ticket = outer;
}

static void retained_stored(void *arg) {
	struct sl_ticket *t = arg;
	if (--t->pending == 0) t->done(t);
}

/* Who waits for an acknowledgement waits until it is on disk. */
static void retain(struct worker *w, struct msg *m, struct sl_ticket *ticket) {
	struct retained_change change = {0};
	if (retained_set(w->b->retained, m, &change) == SL_ELIMIT)
		log_warn(LOG_MQTT, "retained message not kept: the store is full", "limit=%llu",
			 (unsigned long long)w->b->set.max_retained);
	/* Gauges of loops add up; one of them may go below zero. */
	sl_metric_add(&w->metrics, METRIC_RETAINED, (uint64_t)change.count);
	sl_metric_add(&w->metrics, METRIC_RETAINED_BYTES, (uint64_t)change.bytes);
	if (change.batch == 0) return;
	persist_touched(w, change.batch);
	if (!ticket) return;
	ticket->pending++;
	persist_wait(w, change.batch, retained_stored, ticket);
}

void route_to_rules_again(struct worker *w, struct msg *m, struct client *c, struct sl_ticket *ticket) {
	if (!w->rules || !rules_any(w->rules)) return;
	struct rule_plan *plan = rules_find(w->rules, msg_topic(m), m->topic_hash);
	if (plan) to_rules(w, m, c, ticket, plan);
}

void route_each_here(struct worker *w, const struct msg *m, route_each_cb each, void *arg) {
	uint64_t remote;
	const struct route *r = route_get(w, m, &remote);
	for (uint32_t i = 0; r && i < r->targets_len; i++) each(arg, w, r, &r->targets[i]);
}

bool route_publish(struct worker *w, struct msg *m, struct session *source, struct client *c,
		   struct sl_ticket *ticket) {
	/* To a rule by its name: that is all. A rule that is not there is the log's business, not the publisher's. */
	if (sl_unlikely(m->wire[2] == '$') && w->rules &&
	    slice_starts_with(msg_topic(m), SL_SLICE_LIT("$aws/rules/"))) {
		to_rules(w, m, c, ticket, NULL);
		return true;
	}
	if (w->rules && rules_any(w->rules)) {
		struct rule_plan *plan = rules_find(w->rules, msg_topic(m), m->topic_hash);
		if (plan) to_rules(w, m, c, ticket, plan);
	}
	if (m->retain) retain(w, m, ticket);
	uint64_t remote;
	const struct route *r = route_get(w, m, &remote);
	if (!r && !remote) {
		metric_inc(w, METRIC_PUBLISH_NO_SUBSCRIBER);
		if (event_wanted(w, EVENT(MESSAGE_DROPPED))) event_dropped(w, m, c);
		return m->retain; /* kept for those to come: not for nobody */
	}
	/* Who should be held back and can't be (its own queue is full) is bounded by limits, as if it were nobody. */
	session_ref from = source && !session_beyond_hold(source) ? source->ref : 0;
	for (uint64_t left = remote; left; left &= left - 1)
		worker_forward(w, (uint32_t)__builtin_ctzll(left), &(struct forward){.m = msg_ref(m), .source = from});
	if (r) deliver_here(w, r, m, source, from);
	return true;
}

void route_forwarded(struct worker *w, const struct forward *f) {
	if (sl_likely(f->group == 0)) {
		uint64_t remote; /* they have it from its first worker, too */
		const struct route *r = route_get(w, f->m, &remote);
		if (r) deliver_here(w, r, f->m, NULL, f->source);
		return;
	}
	share_forwarded(w, f);
}
