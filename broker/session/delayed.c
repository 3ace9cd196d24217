#include "delayed.h"

#include "mem.h"
#include "route.h"
#include "topic.h"
#include "worker.h"

enum { SLICE = 256, AGAIN_MS = 1 };

struct waiting {
	uint64_t due_ms, order; /* of the loop's clock; rising */
	struct msg *m;
};

struct delayed {
	struct worker *w;
	struct sl_timer timer;
	struct waiting *v; /* a heap: v[i] is not after v[2i + 1] and v[2i + 2] */
	size_t len, cap;
	uint64_t order;
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

static struct msg *pop(struct delayed *d) {
	struct msg *m = d->v[0].m;
	struct waiting last = d->v[--d->len];
	size_t i = 0;
	for (size_t k = 1; k < d->len; k = 2 * i + 1) {
		if (k + 1 < d->len && before(&d->v[k + 1], &d->v[k])) k++;
		if (!before(&d->v[k], &last)) break;
		d->v[i] = d->v[k];
		i = k;
	}
	if (d->len > 0) d->v[i] = last;
	return m;
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

/* In slices: a thousand that are due at once keep nobody waiting. */
static void due(struct sl_timer *t) {
	struct delayed *d = sl_container_of(t, struct delayed, timer);
	uint64_t now = sl_loop_now_ms(d->w->loop);
	for (int i = 0; i < SLICE && d->len > 0 && d->v[0].due_ms <= now; i++) {
		struct msg *m = pop(d);
		metric_inc(d->w, METRIC_DELAYED_PUBLISHED);
		route_publish(d->w, m, NULL, NULL, NULL);
		forget(d, m);
	}
	arm(d);
}

int delayed_add(struct delayed *d, struct msg *m, uint32_t seconds) {
	const struct broker_settings *set = &d->w->b->set;
	struct delayed_total *total = &d->w->b->delayed;
	size_t bytes = msg_bytes(m);
	uint64_t count = atomic_fetch_add_explicit(&total->count, 1, memory_order_relaxed);
	uint64_t held = atomic_fetch_add_explicit(&total->bytes, bytes, memory_order_relaxed);
	if (count >= set->max_delayed || held + bytes > set->max_delayed_bytes) {
		atomic_fetch_sub_explicit(&total->count, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&total->bytes, bytes, memory_order_relaxed);
		metric_inc(d->w, METRIC_DELAYED_REFUSED);
		return SL_ELIMIT;
	}
	metric_inc(d->w, METRIC_DELAYED);
	uint64_t due_ms = sl_loop_now_ms(d->w->loop) + (uint64_t)seconds * 1000;
	push(d, (struct waiting){.due_ms = due_ms, .order = d->order++, .m = msg_ref(m)});
	if (d->v[0].due_ms == due_ms || !sl_timer_armed(&d->timer)) arm(d);
	return SL_OK;
}

struct delayed *delayed_new(struct worker *w) {
	struct delayed *d = SL_NEW(struct delayed);
	d->w = w;
	sl_timer_init(&d->timer, due);
	return d;
}

void delayed_free(struct delayed *d) {
	if (!d) return;
	for (size_t i = 0; i < d->len; i++) msg_unref(d->v[i].m);
	sl_free(d->v);
	sl_free(d);
}
