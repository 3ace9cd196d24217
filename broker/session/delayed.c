#include "delayed.h"

#include "mem.h"
#include "persist.h"
#include "route.h"
#include "topic.h"
#include "worker.h"
#include "worker_log.h"

enum { SLICE = 256, AGAIN_MS = 1 };

struct waiting {
	uint64_t due_ms, order; /* of the loop's clock; rising */
	uint64_t id;            /* what it is kept under; 0: it is not */
	struct msg *m;
};

/* Published, and still kept: those who have it now do not have it safe yet. */
struct going {
	struct sl_ticket ticket;
	struct sl_list link;
	struct delayed *d;
	struct msg *m;
	uint64_t id;
};

struct delayed {
	struct worker *w;
	struct sl_timer timer;
	struct waiting *v; /* a heap: v[i] is not after v[2i + 1] and v[2i + 2] */
	size_t len, cap;
	uint64_t order;
	struct sl_list going;
};

enum delayed_form delayed_split(struct sl_slice topic, uint32_t *seconds, struct sl_slice *real) {
	static const struct sl_slice prefix = {"$delayed/", sizeof "$delayed/" - 1};
	if (!slice_starts_with(topic, prefix)) return DELAYED_NOT;
	struct sl_slice rest = slice_from(topic, prefix.n);
	uint64_t n = 0;
	size_t digits = 0;
	for (; digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9' && n <= DELAYED_SECONDS_MAX; digits++)
		n = n * 10 + (uint64_t)(rest.p[digits] - '0');
	if (digits == 0 || n > DELAYED_SECONDS_MAX || digits == rest.n || rest.p[digits] != '/') return DELAYED_BAD;
	*real = slice_from(rest, digits + 1);
	*seconds = (uint32_t)n;
	return topic_name_valid(*real) && !slice_starts_with(*real, prefix) ? DELAYED_GOOD : DELAYED_BAD;
}

/* ---- the heap ---- */

static bool before(const struct waiting *a, const struct waiting *b) {
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void push(struct delayed *d, struct waiting e) {
	SL_GROW(d->v, d->len, d->cap);
	size_t i = d->len++;
	for (; i > 0 && before(&e, &d->v[(i - 1) / 2]); i = (i - 1) / 2) d->v[i] = d->v[(i - 1) / 2];
	d->v[i] = e;
}

static struct waiting pop(struct delayed *d) {
	struct waiting first = d->v[0];
	struct waiting last = d->v[--d->len];
	size_t i = 0;
	for (size_t k = 1; k < d->len; k = 2 * i + 1) {
		if (k + 1 < d->len && before(&d->v[k + 1], &d->v[k])) k++;
		if (!before(&d->v[k], &last)) break;
		d->v[i] = d->v[k];
		i = k;
	}
	if (d->len > 0) d->v[i] = last;
	return first;
}

/* ---- coming and going ---- */

static void forget(struct delayed *d, struct msg *m) {
	struct delayed_total *total = &d->w->b->delayed;
	atomic_fetch_sub_explicit(&total->count, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&total->bytes, msg_bytes(m), memory_order_relaxed);
	sl_metric_dec(&d->w->metrics, METRIC_DELAYED);
	msg_unref(m);
}

/* The timer goes off at the moment itself, or up to SL_TIMER_TICK_MS after it (loop.h); never before. */
static void arm(struct delayed *d) {
	if (d->len == 0) return;
	uint64_t now = sl_loop_now_ms(d->w->loop), due = d->v[0].due_ms;
	sl_timer_set(d->w->loop, &d->timer, due > now ? due - now : AGAIN_MS);
}

static void gone(struct sl_ticket *ticket) {
	struct going *g = sl_container_of(ticket, struct going, ticket);
	persist_delayed_gone(g->d->w, g->m, g->id);
	sl_list_remove(&g->link);
	msg_unref(g->m);
	sl_free(g);
}

static void publish(struct delayed *d, const struct waiting *e) {
	struct worker *w = d->w;
	bool expired = e->m->expiry_s != MSG_NO_EXPIRY && msg_expiry_left(e->m, sl_loop_wall_ms(w->loop)) == 0;
	metric_inc(w, expired ? METRIC_DROPPED_EXPIRED : METRIC_DELAYED_PUBLISHED); /* while the broker was away */
	if (e->id == 0) {
		if (!expired) route_publish(w, e->m, NULL, NULL, NULL);
		return;
	}
	struct going *g = SL_NEW(struct going);
	*g = (struct going){.ticket.done = gone, .d = d, .m = msg_ref(e->m), .id = e->id};
	sl_list_push_back(&d->going, &g->link);
	g->ticket.pending = 1; /* until all have been asked */
	uint64_t before = worker_log_begin(w);
	if (!expired) route_publish(w, e->m, NULL, NULL, &g->ticket);
	worker_log_end(w, before, NULL, &g->ticket);
	if (--g->ticket.pending == 0) gone(&g->ticket);
}

/* In slices: a thousand that are due at once keep nobody waiting. */
static void due(struct sl_timer *t) {
	struct delayed *d = sl_container_of(t, struct delayed, timer);
	uint64_t now = sl_loop_now_ms(d->w->loop);
	for (int i = 0; i < SLICE && d->len > 0 && d->v[0].due_ms <= now; i++) {
		struct waiting e = pop(d);
		publish(d, &e);
		forget(d, e.m);
	}
	arm(d);
}

static void insert(struct delayed *d, struct msg *m, uint64_t due_ms, uint64_t id) {
	metric_inc(d->w, METRIC_DELAYED);
	push(d, (struct waiting){.due_ms = due_ms, .order = d->order++, .id = id, .m = msg_ref(m)});
	if (d->v[0].due_ms == due_ms || !sl_timer_armed(&d->timer)) arm(d);
}

void delayed_restore(struct delayed *d, struct msg *m, uint64_t id) {
	int64_t wall = sl_loop_wall_ms(d->w->loop);
	uint64_t left = m->arrived_ms > wall ? (uint64_t)(m->arrived_ms - wall) : 0;
	atomic_fetch_add_explicit(&d->w->b->delayed.count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->w->b->delayed.bytes, msg_bytes(m), memory_order_relaxed);
	insert(d, m, sl_loop_now_ms(d->w->loop) + left, id);
}

static void stored(void *arg) {
	struct sl_ticket *t = arg;
	if (--t->pending == 0) t->done(t);
}

int delayed_add(struct delayed *d, struct msg *m, uint32_t seconds, struct sl_ticket *ticket) {
	const struct broker_settings *set = &d->w->b->set;
	struct delayed_total *total = &d->w->b->delayed;
	size_t bytes = msg_bytes(m);
	uint64_t count = atomic_fetch_add_explicit(&total->count, 1, memory_order_relaxed);
	uint64_t held = atomic_fetch_add_explicit(&total->bytes, bytes, memory_order_relaxed);
	bool no_store = m->qos > 0 && persist_full(d->w->b);
	if (no_store || count >= set->max_delayed || held + bytes > set->max_delayed_bytes) {
		atomic_fetch_sub_explicit(&total->count, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&total->bytes, bytes, memory_order_relaxed);
		metric_inc(d->w, METRIC_DELAYED_REFUSED);
		return SL_ELIMIT;
	}
	uint64_t id = 0, batch = persist_delayed(d->w, m, &id);
	insert(d, m, sl_loop_now_ms(d->w->loop) + (uint64_t)seconds * 1000, id);
	if (batch && ticket) {
		ticket->pending++;
		persist_wait(d->w, batch, stored, ticket);
	}
	return SL_OK;
}

struct delayed *delayed_new(struct worker *w) {
	struct delayed *d = SL_NEW(struct delayed);
	d->w = w;
	sl_timer_init(&d->timer, due);
	sl_list_init(&d->going);
	return d;
}

void delayed_free(struct delayed *d) {
	if (!d) return;
	for (size_t i = 0; i < d->len; i++) msg_unref(d->v[i].m);
	for (struct sl_list *it; (it = sl_list_pop_front(&d->going));) {
		struct going *g = SL_LIST_ENTRY(it, struct going, link);
		msg_unref(g->m);
		sl_free(g);
	}
	sl_free(d->v);
	sl_free(d);
}
