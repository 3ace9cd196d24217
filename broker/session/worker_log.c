#include "worker_log.h"

#include "log.h"
#include "mem.h"
#include "session.h"

enum { RETRY_MS = 250, UNANSWERED_MAX = 16 * 1024 };

/* ---- who waits ---- */

static void tickets_done(struct worker_log *wl) {
	uint64_t passed = queue_log_passed(wl->q);
	while (wl->waits_at < wl->waits_len && wl->waits[wl->waits_at].after <= passed) {
		struct sl_ticket *t = wl->waits[wl->waits_at++].t;
		if (--t->pending == 0) t->done(t);
	}
	if (wl->waits_at < wl->waits_len) return;
	wl->waits_at = wl->waits_len = 0;
}

static void ticket_waits(struct worker_log *wl, struct sl_ticket *t) {
	SL_GROW(wl->waits, wl->waits_len, wl->waits_cap);
	wl->waits[wl->waits_len++] = (struct log_wait){.after = queue_log_appended(wl->q), .t = t};
	t->pending++;
}

static void pause(struct worker_log *wl, struct client *c) {
	if (sl_list_linked(&c->log_link)) return;
	sl_list_push_back(&wl->paused, &c->log_link);
	client_pause(c, CLIENT_PAUSE_LOG);
}

void worker_log_client_gone(struct client *c) { sl_list_remove(&c->log_link); }

static void resume_all(struct worker_log *wl) {
	struct sl_list turn;
	sl_list_init(&turn);
	sl_list_splice_back(&turn, &wl->paused);
	for (struct sl_list *it; (it = sl_list_pop_front(&turn)) != NULL;)
		client_resume(SL_LIST_ENTRY(it, struct client, log_link), CLIENT_PAUSE_LOG);
}

/* Whatever is safe now lets go who waited for it. */
static void moved(struct worker_log *wl) {
	uint64_t passed = queue_log_passed(wl->q);
	bool news = passed != wl->barrier.passed || !sl_list_empty(&wl->barrier.held);
	if (!news && wl->waits_at == wl->waits_len && sl_list_empty(&wl->paused)) return;
	wl->barrier.passed = passed;
	if (news) sl_barrier_moved(wl->w->loop);
	tickets_done(wl);
	if (!sl_list_empty(&wl->paused) && queue_log_status(wl->q) == SL_OK && !queue_log_tight(wl->q)) resume_all(wl);
}

/* A stream wants to send before the tick's end: no more than the write, for sessions may be half way through a change. */
static void reach(struct sl_barrier *b) {
	struct worker_log *wl = sl_container_of(b, struct worker_log, barrier);
	if (queue_log_status(wl->q) != SL_OK) return;
	queue_log_write(wl->q);
	b->passed = queue_log_passed(wl->q);
}

/* ---- writing ---- */

static void stats(struct worker_log *wl) {
	struct queue_log_stat st;
	uint64_t *v = wl->w->metrics.v;
	queue_log_stat(wl->q, &st);
	v[METRIC_QUEUE_LOG_BYTES] = st.disk_bytes;
	v[METRIC_QUEUE_LOG_RECORDS] = st.records;
	v[METRIC_QUEUE_LOG_ERRORS] = st.write_errors;
	v[METRIC_QUEUE_LOG_COMPACTED] = st.compacted_bytes;
	v[METRIC_QUEUE_LOG_FULL] =
	    queue_log_status(wl->q) != SL_OK || (!sl_list_empty(&wl->paused) && queue_log_tight(wl->q));
}

static void out_ask(struct worker_log *wl) {
	struct worker *w = wl->w;
	wl->out_waits = false;
	for (uint32_t i = 0; i < w->b->workers_len; i++) {
		if (wl->out_seq[i] == 0) continue;
		uint64_t seen = queue_log_seen_passed(w->b->workers[i].log->q, w->index);
		queue_log_out_seen(wl->q, i, seen);
		wl->out_waits = wl->out_waits || seen < wl->out_seq[i];
	}
}

void worker_log_write(struct worker *w) {
	struct worker_log *wl = w->log;
	if (!wl) return;
	if (sl_unlikely(wl->out_waits)) out_ask(wl);
	queue_log_compact(wl->q);
	if (queue_log_status(wl->q) == SL_OK && queue_log_write(wl->q) != SL_OK)
		sl_timer_set(w->loop, &wl->retry, RETRY_MS);
	moved(wl);
	stats(wl);
	if (queue_log_unfinished(wl->q)) sl_loop_defer(w->loop, &wl->nudge);
}

uint64_t worker_log_paused(const struct worker *w) {
	uint64_t n = 0;
	if (w->log) SL_LIST_FOREACH(it, &w->log->paused) n++;
	return n;
}

static void retry_fire(struct sl_timer *t) {
	struct worker_log *wl = sl_container_of(t, struct worker_log, retry);
	bool waits = queue_log_write(wl->q) != SL_OK || (!sl_list_empty(&wl->paused) && queue_log_tight(wl->q));
	if (waits) sl_timer_set(wl->w->loop, t, RETRY_MS);
	moved(wl);
}

static void nudge_run(struct sl_deferred *d) { (void)d; }

/* ---- sync ---- */

static void synced_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct worker_log *wl = sl_container_of(post, struct worker_log, synced);
	atomic_store(&wl->synced_posted, false);
	queue_log_synced(wl->q);
	moved(wl);
}

/* On the log's thread. */
static void synced(void *arg) {
	struct worker_log *wl = arg;
	if (!atomic_exchange(&wl->synced_posted, true)) sl_loop_post(wl->w->loop, &wl->synced);
}

/* ---- a publish ---- */

/* Asked once for many publishes. */
static bool tight(struct worker_log *wl) {
	uint64_t bytes = wl->w->metrics.v[METRIC_QUEUE_LOG_BYTES];
	if (bytes == wl->tight_at) return wl->tight;
	wl->tight_at = bytes;
	wl->tight = queue_log_tight(wl->q);
	if (wl->tight)
		log_warn(LOG_STORE, "little room for the queue log: messages for persistent sessions wait",
			 "bytes=%llu", (unsigned long long)bytes);
	return wl->tight;
}

void worker_log_ended(struct worker *w, uint64_t before, struct client *c, struct sl_ticket *t) {
	struct worker_log *wl = w->log;
	queue_log_end(wl->q);
	if (queue_log_appended(wl->q) == before) return;
	if (t) ticket_waits(wl, t);
	if (!c) return;
	worker_log_after(c);
	bool full = queue_log_status(wl->q) != SL_OK || tight(wl), waits = full;
	if (sl_unlikely(full) && !sl_timer_armed(&wl->retry)) sl_timer_set(w->loop, &wl->retry, RETRY_MS);
	if (sl_unlikely(w->b->set.persistence.sync))
		waits = waits || sl_stream_pending(client_stream(c)) > UNANSWERED_MAX;
	if (sl_unlikely(waits)) pause(wl, c);
}

uint64_t worker_log_out(struct worker *w, uint32_t target, struct msg *m, struct sl_slice share) {
	struct worker_log *wl = w->log;
	if (!wl || m->qos == 0) return 0;
	if (!atomic_load_explicit(&w->b->workers[target].lasting, memory_order_relaxed)) return 0;
	uint64_t seq = ++wl->out_seq[target];
	queue_log_out(wl->q, target, seq, m, share);
	wl->out_waits = true;
	return seq;
}

void worker_log_seen(struct worker *w, uint32_t from, uint64_t seq) { queue_log_seen(w->log->q, from, seq); }

/* ---- begin and end ---- */

static void view(struct queue_lane *lane, struct queue_view *out) {
	struct session *s = sl_container_of(lane, struct session, lane);
	*out =
	    (struct queue_view){.id = s->store_id, .out = &s->out, .queue = &s->queue, .in = &s->in, .open = &s->open};
}

void worker_log_open(struct worker *w, const struct worker_log_open *opts) {
	struct worker_log *wl = w->log = SL_NEW(struct worker_log);
	const struct broker_persistence *set = &w->b->set.persistence;
	wl->w = w;
	wl->out_seq = SL_NEW_ARRAY(uint64_t, w->b->workers_len);
	sl_list_init(&wl->paused);
	sl_timer_init(&wl->retry, retry_fire);
	sl_deferred_init(&wl->nudge, nudge_run);
	wl->synced.run = synced_run;
	wl->q = queue_log_new(&(struct queue_log_opts){
	    .dir = opts->dir,
	    .run = opts->run,
	    .worker = w->index,
	    .workers = w->b->workers_len,
	    .home_seed = w->b->home_seed,
	    .segment_bytes = set->segment_bytes,
	    .disk_max = set->disk_max == UINT64_MAX ? UINT64_MAX : set->disk_max / w->b->workers_len,
	    .sync = set->sync,
	    .view = view,
	    .synced = synced,
	    .arg = wl,
	    .former = w->b->former});
	sl_barrier_init(&wl->barrier, reach);
	sl_barrier_set(w->loop, &wl->barrier);
	sl_loop_defer(w->loop, &wl->nudge);
}

void worker_log_close(struct broker *b) {
	for (uint32_t i = 0; i < b->workers_len; i++) {
		struct worker_log *wl = b->workers[i].log;
		if (!wl) continue;
		queue_log_free(wl->q);
		sl_free(wl->out_seq);
		sl_free(wl->waits);
		sl_free(wl);
		b->workers[i].log = NULL;
	}
	queue_former_free(b->former);
	b->former = NULL;
}
