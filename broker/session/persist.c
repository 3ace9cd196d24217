/* persist.c: the store behind the broker: opened, told of once a tick, waited for. */
#include "persist_int.h"

#include <string.h>

#include "client.h"
#include "clock.h"
#include "log.h"
#include "mem.h"

enum { ROOM_CHECK_MS = 250 };

/* ---- waiting ---- */

static struct persist_worker *of_worker(const struct worker *w) { return &w->b->persist->workers[w->index]; }

static uint64_t waited_for(const struct persist_worker *pw) {
	return pw->head < pw->len ? pw->waits[pw->head].batch : 0;
}

static void push_run(struct sl_deferred *d) {
	struct persist_worker *pw = sl_container_of(d, struct persist_worker, push);
	store_push(pw->w->b->persist->store, pw->w->index, waited_for(pw));
}

void persist_touched(struct worker *w, uint64_t batch) {
	struct persist_worker *pw = of_worker(w);
	if (batch > pw->last) pw->last = batch;
	sl_loop_defer(w->loop, &pw->push);
}

void persist_wait(struct worker *w, uint64_t batch, void (*done)(void *arg), void *arg) {
	struct persist_worker *pw = of_worker(w);
	if (pw->head > 0 && pw->len == pw->cap) {
		memmove(pw->waits, pw->waits + pw->head, (pw->len - pw->head) * sizeof *pw->waits);
		pw->len -= pw->head;
		pw->head = 0;
	}
	SL_GROW(pw->waits, pw->len, pw->cap);
	pw->waits[pw->len++] = (struct persist_waiter){.batch = batch, .done = done, .arg = arg};
	persist_touched(w, batch);
}

static void told_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct persist_worker *pw = sl_container_of(post, struct persist_worker, told);
	atomic_store(&pw->posted, false);
	uint64_t durable = store_durable(pw->w->b->persist->store);
	while (pw->head < pw->len && pw->waits[pw->head].batch <= durable) {
		struct persist_waiter wait = pw->waits[pw->head++];
		wait.done(wait.arg);
	}
	if (pw->head == pw->len) pw->head = pw->len = 0;
	if (waited_for(pw)) store_push(pw->w->b->persist->store, pw->w->index, waited_for(pw));
}

/* On the store's thread. */
static void durable(void *arg, uint32_t worker) {
	struct broker *b = arg;
	struct persist_worker *pw = &b->persist->workers[worker];
	if (!atomic_exchange(&pw->posted, true)) sl_loop_post(pw->w->loop, &pw->told);
}

bool persist_full(const struct broker *b) { return b->persist && store_full(b->persist->store); }

/* ---- a connection whose CONNACK waits ---- */

struct held {
	struct sl_list link; /* with no_room */
	struct worker *w;
	session_ref ref;
	uint64_t serial;
};

static struct held *held_new(const struct session *s) {
	struct held *h = SL_NEW(struct held);
	*h = (struct held){.w = s->w, .ref = s->ref, .serial = s->c->serial};
	sl_list_init(&h->link);
	return h;
}

/* Frees h; NULL: the connection has gone. */
static struct client *held_client(struct held *h) {
	struct session *s = worker_session(h->w, h->ref);
	struct client *c = s && s->c && s->c->serial == h->serial ? s->c : NULL;
	sl_free(h);
	return c;
}

static void let_go(void *arg) {
	struct client *c = held_client(arg);
	if (c) sl_stream_let_go(client_stream(c));
}

void persist_hold(struct session *s, uint64_t batch) {
	if (batch == 0) return;
	sl_stream_hold(client_stream(s->c));
	persist_wait(s->w, batch, let_go, held_new(s));
}

/* ---- publishers of retained messages ---- */

static void caught_up(void *arg) {
	struct client *c = held_client(arg);
	if (c) client_resume(c, CLIENT_PAUSE_STORE);
}

void persist_slow_down(struct client *c) {
	struct persist *p = c->w->b->persist;
	if (!p || !store_busy(p->store) || c->pauses & CLIENT_PAUSE_STORE) return;
	client_pause(c, CLIENT_PAUSE_STORE);
	persist_wait(c->w, of_worker(c->w)->last, caught_up, held_new(c->s));
}

static void room_timer(struct sl_timer *t) {
	struct persist_worker *pw = sl_container_of(t, struct persist_worker, room_timer);
	struct sl_list turn;
	if (store_full(pw->w->b->persist->store)) {
		sl_timer_set(pw->w->loop, t, ROOM_CHECK_MS);
		return;
	}
	sl_list_init(&turn);
	sl_list_splice_back(&turn, &pw->no_room);
	for (struct sl_list *it; (it = sl_list_pop_front(&turn)) != NULL;)
		caught_up(SL_LIST_ENTRY(it, struct held, link));
}

void persist_wait_for_room(struct client *c) {
	struct persist_worker *pw = of_worker(c->w);
	client_pause(c, CLIENT_PAUSE_STORE);
	sl_list_push_back(&pw->no_room, &held_new(c->s)->link);
	if (!sl_timer_armed(&pw->room_timer)) sl_timer_set(c->w->loop, &pw->room_timer, ROOM_CHECK_MS);
}

/* ---- begin and end ---- */

int persist_open(struct broker *b, struct sl_err *err) {
	if (!b->set.persistence.enabled) return SL_OK;
	struct persist *p = b->persist = SL_NEW(struct persist);
	p->workers = SL_NEW_ARRAY(struct persist_worker, b->workers_len);
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct persist_worker *pw = &p->workers[i];
		pw->w = &b->workers[i];
		pw->told.run = told_run;
		sl_deferred_init(&pw->push, push_run);
		sl_list_init(&pw->away);
		sl_timer_init(&pw->timer, persist_away_timer);
		sl_list_init(&pw->no_room);
		sl_timer_init(&pw->room_timer, room_timer);
	}
	struct store_opts opts = {.dir = b->set.persistence.dir,
				  .bytes_max = b->set.persistence.store_max,
				  .sync = b->set.persistence.sync,
				  .waiters = b->workers_len,
				  .durable = durable,
				  .arg = b};
	return store_open(&opts, &p->store, err);
}

int persist_start(struct broker *b, struct sl_err *err) {
	struct persist *p = b->persist;
	if (!p) return SL_OK;
	id_map_fini(&p->restored);
	persist_retained_begin(b);
	int rc = store_start(p->store, err);
	if (rc != SL_OK) return rc;
	store_push(p->store, 0, 0); /* what the restore has changed */
	p->started = true;
	return SL_OK;
}

/* Expiry and wills' delays are counted from here on, for those who were connected. */
static void note_stop(struct persist *p) {
	int64_t now_ms = sl_clock_wall_ms();
	struct sl_slice value = slice_make(&now_ms, sizeof now_ms);
	store_put(p->store, STORE_META, SL_SLICE_LIT("stopped"), &value, 1);
}

void persist_settle(struct broker *b) {
	struct persist *p = b->persist;
	if (!p) return;
	if (p->started) note_stop(p);
	p->started = false;
	if (p->store) store_stop(p->store);
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct persist_worker *pw = &p->workers[i];
		while (pw->head < pw->len) {
			struct persist_waiter wait = pw->waits[pw->head++];
			wait.done(wait.arg);
		}
		for (struct sl_list *it; (it = sl_list_pop_front(&pw->no_room)) != NULL;)
			sl_free(SL_LIST_ENTRY(it, struct held, link));
	}
}

void persist_close(struct broker *b) {
	struct persist *p = b->persist;
	if (!p) return;
	store_close(p->store);
	id_map_fini(&p->restored);
	for (uint32_t i = 0; i < b->workers_len; i++) sl_free(p->workers[i].waits);
	sl_free(p->workers);
	sl_free(p);
	b->persist = NULL;
}

void persist_metrics(const struct broker *b, struct sl_metrics *total) {
	const struct persist *p = b->persist;
	struct store_stat stat;
	if (!p) return;
	store_stat(p->store, &stat);
	sl_metric_add(total, METRIC_SESSIONS_RESTORED, p->sessions_restored);
	sl_metric_add(total, METRIC_STORE_COMMITS, stat.commits);
	sl_metric_add(total, METRIC_STORE_ERRORS, stat.errors);
	sl_metric_add(total, METRIC_STORE_BYTES, stat.bytes);
	sl_metric_add(total, METRIC_STORE_COMMIT_US, stat.last_us);
	sl_metric_add(total, METRIC_STORE_FULL, stat.full);
}
