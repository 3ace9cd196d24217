#include "worker.h"

#include "client.h"
#include "client_access.h"
#include "mem.h"
#include "persist.h"
#include "rewrite.h"
#include "route.h"
#include "rules.h"
#include "shared_sub.h"
#include "sys_topics.h"
#include "worker_log.h"

enum {
	ROUTES_MAX = 131072,
	ROUTES_MAX_BYTES = 64 * 1024 * 1024,
	CONGESTED_CHECK_MS = 500,
	SWEEP_MS = 5000,
	SWEEP_BUDGET = 8192,
	REF_SLOT_BITS = 24
};

/* ---- names of sessions ---- */

/* worker (8 bits) | generation (32) | slot (24) */
session_ref worker_ref_new(struct worker *w, struct session *s) {
	uint32_t i = w->slots_free;
	if (i != UINT32_MAX) {
		w->slots_free = w->slots[i].next_free;
	} else {
		SL_GROW(w->slots, w->slots_len, w->slots_cap);
		i = w->slots_len++;
		sl_assert(i < 1u << REF_SLOT_BITS);
		w->slots[i].generation = 0;
	}
	/* Never 0: then no reference is 0 either. */
	if (++w->slots[i].generation == 0) w->slots[i].generation = 1;
	w->slots[i].s = s;
	return (uint64_t)w->index << 56 | (uint64_t)w->slots[i].generation << REF_SLOT_BITS | i;
}

void worker_ref_drop(struct worker *w, session_ref ref) {
	uint32_t i = (uint32_t)ref & ((1u << REF_SLOT_BITS) - 1);
	w->slots[i].s = NULL;
	w->slots[i].next_free = w->slots_free;
	w->slots_free = i;
}

struct session *worker_session(const struct worker *w, session_ref ref) {
	uint32_t i = (uint32_t)ref & ((1u << REF_SLOT_BITS) - 1);
	if (ref == 0 || session_ref_worker(ref) != w->index || i >= w->slots_len) return NULL;
	return w->slots[i].generation == (uint32_t)(ref >> REF_SLOT_BITS) ? w->slots[i].s : NULL;
}

/* ---- messages to other workers ---- */

void worker_post(struct worker *to, struct worker_letter *letter) {
	letter->to = to;
	sl_loop_post(to->loop, &letter->post);
}

void worker_forward(struct worker *w, uint32_t target, const struct forward *f) {
	struct forward_box *box = &w->boxes[target];
	if (box->len == 0) {
		w->boxes_full++;
		/* The owner's hook empties the boxes this very tick; a visitor has to ask for one. */
		sl_loop_defer(w->loop, &w->nudge);
	}
	SL_GROW(box->v, box->len, box->cap);
	box->v[box->len] = *f;
	if (f->m) box->v[box->len].seq = worker_log_out(w, target, f->m, share_name_text(f->name));
	box->v[box->len].after = box->v[box->len].seq ? queue_log_appended(w->log->q) : 0;
	box->len++;
}

static void nudge_run(struct sl_deferred *d) { (void)d; }

struct forward_letter {
	struct worker_letter letter;
	struct forward_box box;
};

/* Another core wrote these messages: their bytes come over while those before them are delivered. */
static void fetch_ahead(const struct forward_box *box, size_t i) {
	enum { HEAD_AHEAD = 6, REST_AHEAD = 3, LINE = 64, REST_MAX = 512 };
	if (i + HEAD_AHEAD < box->len) __builtin_prefetch(box->v[i + HEAD_AHEAD].m);
	if (i + REST_AHEAD >= box->len) return;
	const struct msg *m = box->v[i + REST_AHEAD].m;
	if (!m) return;
	size_t bytes = sl_min_size(msg_bytes(m), REST_MAX);
	for (size_t at = LINE; at < bytes; at += LINE) __builtin_prefetch((const char *)m + at);
}

/* Each message and that it was seen stand in one frame of the log. */
static void deliver_box(struct worker *to, uint32_t from, struct forward_box *box) {
	uint64_t before = worker_log_begin(to);
	for (size_t i = 0; i < box->len; i++) {
		fetch_ahead(box, i);
		route_forwarded(to, &box->v[i]);
		if (box->v[i].seq) worker_log_seen(to, from, box->v[i].seq);
		msg_unref(box->v[i].m);
		share_name_unref(box->v[i].name);
	}
	box->len = 0;
	worker_log_end(to, before, NULL, NULL);
}

static void forward_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct forward_letter *f = sl_container_of(post, struct forward_letter, letter.post);
	deliver_box(f->letter.to, f->letter.from->index, &f->box);
	sl_free(f->box.v);
	sl_free(f);
}

/* What the log has noted leaves when that is safe: else, after a crash, who has it here would get it once more from its publisher.
 * These stay behind: with sync, or while the log cannot be written. */
static void box_keep(struct forward_box *box, uint64_t passed, struct forward_box *kept) {
	size_t leave = 0;
	for (size_t i = 0; i < box->len; i++) {
		if (box->v[i].after <= passed) {
			box->v[leave++] = box->v[i];
			continue;
		}
		SL_GROW(kept->v, kept->len, kept->cap);
		kept->v[kept->len++] = box->v[i];
	}
	box->len = leave;
}

/* A worker that sleeps is visited: its subscribers have the message while its thread would still be waking up (loop.h). */
static void box_leave(struct worker *w, struct worker *to, struct forward_box *box) {
	if (box->len == 0) return;
	if (sl_loop_try_enter(to->loop, w->loop)) {
		deliver_box(to, w->index, box);
		worker_log_write(to);
		sl_streams_flush(to->loop);
		sl_loop_leave(to->loop, w->loop);
		return;
	}
	struct forward_letter *f = SL_NEW(struct forward_letter);
	f->letter.post.run = forward_letter_run;
	f->letter.from = w;
	f->box = *box;
	*box = (struct forward_box){0};
	worker_post(to, &f->letter);
}

/* The end of a tick: the log is written, then what this tick collected for others leaves. */
static void flush_hook_run(struct sl_hook *hook) {
	struct worker *w = sl_container_of(hook, struct worker, flush_hook);
	worker_log_write(w);
	if (w->boxes_full == 0) return;
	bool all_safe = !w->log || queue_log_passed(w->log->q) == queue_log_appended(w->log->q);
	w->boxes_full = 0;
	for (uint32_t i = 0; i < w->b->workers_len; i++) {
		struct forward_box *box = &w->boxes[i], kept = {0};
		if (box->len == 0) continue;
		if (sl_unlikely(!all_safe)) box_keep(box, queue_log_passed(w->log->q), &kept);
		box_leave(w, &w->b->workers[i], box);
		if (kept.len == 0) continue;
		sl_free(box->v);
		*box = kept;
		w->boxes_full++;
	}
	sl_deferred_cancel(&w->nudge);
}

static void room_for(struct worker *w, struct sl_list *waiting, bool all) {
	SL_LIST_FOREACH_SAFE(it, waiting) {
		struct client *c = SL_LIST_ENTRY(it, struct client, room_link);
		bool room = all || (c->no_room ? rules_room(c->no_room, c->no_room_qos) : rules_room_for_any(w->rules));
		if (room) client_room(c);
	}
}

/* They are read from in this order. So those who got nothing in the last time do now, however fast others are. */
void worker_room(struct worker *w, bool all) {
	room_for(w, &w->refused, all);
	room_for(w, &w->no_room, all);
}

/* False: some of them have not waited that long yet. */
static bool moment_over(struct worker *w, struct sl_list *waiting) {
	bool all = true;
	SL_LIST_FOREACH(it, waiting)
	all = client_moment_over(SL_LIST_ENTRY(it, struct client, room_link), sl_loop_now_ms(w->loop)) && all;
	return all;
}

static void moment_timer_fire(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, moment_timer);
	bool all = moment_over(w, &w->refused);
	all = moment_over(w, &w->no_room) && all;
	if (!all) sl_timer_set(w->loop, t, CLIENT_MOMENT_MS);
}

/* ---- begin and end ---- */

static void sweep(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, sweep_timer);
	topic_cache_sweep(w->routes, topic_trie_generation(w->subs), SWEEP_BUDGET);
	if (w->index == 0) {
		struct retained_change change = {0};
		retained_sweep(w->b->retained, sl_loop_wall_ms(w->loop), SWEEP_BUDGET, &change);
		sl_metric_add(&w->metrics, METRIC_RETAINED, (uint64_t)change.count);
		sl_metric_add(&w->metrics, METRIC_RETAINED_BYTES, (uint64_t)change.bytes);
		if (change.batch) persist_touched(w, change.batch);
	}
	sl_timer_set(w->loop, &w->sweep_timer, SWEEP_MS);
}

int worker_init(struct worker *w, struct broker *b, uint32_t index, struct sl_loop *loop) {
	w->b = b;
	w->loop = loop;
	w->index = index;
	w->slots_free = UINT32_MAX;
	w->subs = topic_trie_new();
	w->routes = topic_cache_new(ROUTES_MAX, route_free, w);
	topic_cache_limit(w->routes, ROUTES_MAX_BYTES);
	w->router = router_new();
	w->shares = shares_new();
	w->delayed = delayed_new(w);
	if (index == 0) w->sys = sys_topics_new(w);
	if (b->rewrite) w->rewriter = rewriter_new(b->rewrite);
	w->boxes = SL_NEW_ARRAY(struct forward_box, b->workers_len);
	sl_deferred_init(&w->nudge, nudge_run);
	sl_list_init(&w->clients);
	sl_list_init(&w->proxied);
	sl_list_init(&w->spare_acks);
	sl_list_init(&w->orphan_acks);
	sl_list_init(&w->congested);
	sl_list_init(&w->unacked);
	sl_list_init(&w->no_room);
	sl_list_init(&w->refused);
	sl_list_init(&w->replays);
	sl_list_init(&w->ending);
	sl_list_init(&w->subscribing);
	w->flush_hook.run = flush_hook_run;
	sl_loop_hook_add(loop, SL_PHASE_FLUSH, &w->flush_hook);
	sl_timer_init(&w->congested_timer, session_congested_check);
	sl_timer_init(&w->replay_timer, session_replay_timer);
	sl_timer_init(&w->ending_timer, session_ending_timer);
	sl_timer_init(&w->subscribing_timer, client_subscribing_timer);
	sl_timer_init(&w->moment_timer, moment_timer_fire);
	sl_timer_init(&w->access_timer, client_access_timer);
	sl_timer_init(&w->sweep_timer, sweep);
	sl_timer_set(loop, &w->sweep_timer, SWEEP_MS);
	return SL_OK;
}

void worker_fini(struct worker *w) {
	HMAP_FOREACH(session_map, it, &w->sessions) session_discard(it->s);
	session_ending_discard(w);
	session_map_fini(&w->sessions);
	acl_unref(w->acl);
	for (uint32_t i = 0; i < w->b->workers_len; i++) {
		for (size_t k = 0; k < w->boxes[i].len; k++) {
			msg_unref(w->boxes[i].v[k].m);
			share_name_unref(w->boxes[i].v[k].name);
		}
		sl_free(w->boxes[i].v);
	}
	sl_free(w->boxes);
	shares_free(w->shares);
	delayed_free(w->delayed);
	sys_topics_free(w->sys);
	rewriter_free(w->rewriter);
	topic_cache_free(w->routes);
	topic_trie_free(w->subs);
	router_free(w->router);
	sl_free(w->slots);
	client_entries_free(w);
	client_subscribing_free(w);
}
