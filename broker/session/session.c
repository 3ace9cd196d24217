#include "session.h"

#include "acl.h"
#include "client.h"
#include "client_access.h"
#include "events.h"
#include "mem.h"
#include "persist.h"
#include "session_log.h"
#include "shared_sub.h"
#include "subs.h"
#include "will.h"

static void session_timer(struct sl_timer *t);

struct sl_slice session_map_id(const struct session *s) {
	return s->client_id;
}

struct session *session_find(const struct worker *w, struct sl_slice client_id) {
	struct session_slot *slot = session_map_find(&w->sessions, sl_hash(client_id), client_id);
	return slot ? slot->s : NULL;
}

struct session *session_new(struct worker *w, struct sl_slice client_id) {
	struct session *s = SL_NEW(struct session);
	s->w = w;
	s->client_id = slice_make(slice_dup(client_id), client_id.n);
	s->ref = worker_ref_new(w, s);
	s->window = w->b->set.max_inflight;
	sl_timer_init(&s->timer, session_timer);
	sl_list_init(&s->congested);
	sl_list_init(&s->replaying);
	sl_list_init(&s->ending);
	sl_list_init(&s->unsettled);
	queue_lane_init(&s->lane);
	bool was_there;
	session_map_put(&w->sessions, sl_hash(client_id), client_id, &was_there)->s = s;
	metric_inc(w, METRIC_SESSIONS);
	return s;
}

/* ---- a full queue ---- */

struct hold_letter {
	struct worker_letter letter;
	session_ref ref;
	bool hold;
};

static void hold_letter_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct hold_letter *h = sl_container_of(post, struct hold_letter, letter.post);
	struct session *s = worker_session(h->letter.to, h->ref);
	if (s && h->hold) session_hold(s);
	if (s && !h->hold) session_release(s);
	sl_free(h);
}

static void tell_source(struct worker *w, session_ref ref, bool hold) {
	if (session_ref_worker(ref) == w->index) {
		struct session *s = worker_session(w, ref);
		if (s && hold) session_hold(s);
		if (s && !hold) session_release(s);
		return;
	}
	struct hold_letter *h = SL_NEW(struct hold_letter);
	h->letter.post.run = hold_letter_run;
	h->ref = ref;
	h->hold = hold;
	worker_post(&w->b->workers[session_ref_worker(ref)], &h->letter);
}

/* A session whose own queue is full is never held back: its acknowledgements, which empty the queue, come by the same
 * connection as its publishes. */
static void hold_apply(struct session *s) {
	if (!s->c) return;
	if (s->holds > 0 && !sl_list_linked(&s->congested))
		client_pause(s->c, CLIENT_PAUSE_HELD);
	else
		client_resume(s->c, CLIENT_PAUSE_HELD);
}

void session_hold(struct session *s) {
	s->holds++;
	hold_apply(s);
}

void session_release(struct session *s) {
	if (s->holds > 0) s->holds--;
	hold_apply(s);
}

bool session_beyond_hold(const struct session *s) { return s->holds > 0 && sl_list_linked(&s->congested); }

static bool holds_already(const struct session_hold *h, session_ref source) {
	for (uint32_t i = h->len; i-- > 0;)
		if (h->v[i] == source) return true;
	return false;
}

static void congested_begin(struct session *s) {
	struct worker *w = s->w;
	sl_list_push_back(&w->congested, &s->congested);
	s->progress_ms = sl_loop_now_ms(w->loop);
	hold_apply(s);
	if (!sl_timer_armed(&w->congested_timer))
		sl_timer_set(w->loop, &w->congested_timer, w->b->set.stall_timeout_ms / 4);
}

static void hold_source(struct session *s, session_ref source) {
	if (!sl_list_linked(&s->congested)) congested_begin(s);
	if (source == 0 || source == s->ref || holds_already(&s->held, source)) return;
	SL_GROW(s->held.v, s->held.len, s->held.cap);
	s->held.v[s->held.len++] = source;
	tell_source(s->w, source, true);
}

static void release_sources(struct session *s) {
	sl_list_remove(&s->congested);
	struct session_hold held = s->held;
	s->held = (struct session_hold){0};
	for (uint32_t i = 0; i < held.len; i++) tell_source(s->w, held.v[i], false);
	sl_free(held.v);
	hold_apply(s);
}

void session_congested_check(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, congested_timer);
	uint64_t now = sl_loop_now_ms(w->loop);
	SL_LIST_FOREACH_SAFE(it, &w->congested) {
		struct session *s = SL_LIST_ENTRY(it, struct session, congested);
		if (now - s->progress_ms < w->b->set.stall_timeout_ms) continue;
		s->stalled = true;
		release_sources(s);
	}
	if (!sl_list_empty(&w->congested)) sl_timer_set(w->loop, t, w->b->set.stall_timeout_ms / 4);
}

/* The client took something. */
static void progress(struct session *s) {
	s->progress_ms = sl_loop_now_ms(s->w->loop);
	s->stalled = false;
	if (sl_list_linked(&s->congested) && s->queue.len <= s->w->b->set.max_queued / 4 &&
	    s->queue.bytes <= s->w->b->set.max_queued_bytes / 4)
		release_sources(s);
}

/* ---- messages for it ---- */

static void drop_full(struct session *s, const struct msg *m, uint8_t qos) {
	metric_inc(s->w, METRIC_DROPPED_QUEUE_FULL);
	if (event_wanted(s->w, EVENT(DELIVERY_DROPPED))) event_delivery_dropped(s, m, qos, "queue_full");
}

static void not_queued(struct session *s, const struct msg *m) {
	sl_metric_dec(&s->w->metrics, METRIC_QUEUED);
	sl_metric_sub(&s->w->metrics, METRIC_QUEUED_BYTES, msg_bytes(m));
}

static void drop_queued(struct session *s, uint32_t i) {
	session_log_prepare(s);
	struct msg_queue_entry e = msg_queue_remove(&s->queue, i);
	session_log_dropped(s, e.log_id);
	not_queued(s, e.m);
	drop_full(s, e.m, e.qos);
	msg_queue_entry_drop(&e);
}

/* Where nobody can be held back (offline; a circle of full queues) a limit drops. */
static bool queue_full(const struct session *s, const struct session_delivery *d) {
	const struct broker_settings *set = &s->w->b->set;
	bool taking = s->c != NULL && !s->stalled;
	uint64_t factor = taking ? (d->source && d->source != s->ref ? UINT32_MAX : 8) : 1;
	return s->queue.len >= set->max_queued * factor || s->queue.bytes / factor >= set->max_queued_bytes;
}

/* The place of the QoS 0 message that waits longest, among those that wait longest: the search has an end. */
static bool find_qos0(const struct session *s, uint32_t *at) {
	enum { SEARCH_MAX = 1024 };
	if (s->queue.qos0 == 0) return false;
	for (*at = 0; *at < s->queue.len && *at < SEARCH_MAX; ++*at)
		if (msg_queue_at(&s->queue, *at)->qos == 0) return true;
	return false;
}

/* QoS 0 goes first, whatever the policy; else the oldest, or (false) the one at hand. */
static bool make_room(struct session *s, const struct session_delivery *d) {
	bool oldest = s->w->b->set.queue_full == BROKER_QUEUE_DROP_OLDEST;
	while (queue_full(s, d)) {
		uint32_t at = 0;
		bool lesser = find_qos0(s, &at);
		bool gives_way = d->qos == 0 ? lesser && oldest : lesser || oldest;
		if (s->queue.len == 0 || !gives_way) return false;
		drop_queued(s, lesser ? at : 0);
	}
	return true;
}

static void enqueue(struct session *s, struct msg *m, const struct session_delivery *d) {
	const struct broker_settings *set = &s->w->b->set;
	if (!make_room(s, d)) {
		drop_full(s, m, d->qos);
		return;
	}
	struct msg_queue_entry e = {
	    .m = msg_ref(m), .ids = sub_ids_copy(d->ids, d->ids_len, d->group), .qos = d->qos, .retain = d->retain};
	session_log_queued(s, &e);
	msg_queue_push(&s->queue, &e);
	metric_inc(s->w, METRIC_QUEUED);
	sl_metric_add(&s->w->metrics, METRIC_QUEUED_BYTES, msg_bytes(m));
	bool taking = s->c != NULL && !s->stalled;
	if (taking && (s->queue.len >= set->max_queued / 2 || s->queue.bytes >= set->max_queued_bytes / 2))
		hold_source(s, d->source);
}

/* For the owners of its shared groups. */
static void note_load(struct session *s) {
	if (sl_unlikely(s->load != NULL))
		atomic_store_explicit(&s->load->held, s->out.len + s->queue.len, memory_order_relaxed);
}

static bool window_open(const struct session *s) {
	return s->out.unsent == 0 && s->out.len < s->window &&
	       sl_stream_pending(client_stream(s->c)) < CLIENT_OUT_QUEUE;
}

/* Takes the references. log_id: of one that waited. */
static void send_now(struct session *s, struct msg *m, uint8_t qos, bool retain, struct sub_ids *ids, uint32_t log_id) {
	struct client *c = s->c;
	if (!client_may_send(c, m, qos, ids ? ids->id : NULL, ids ? ids->n : 0)) {
		session_log_dropped(s, log_id);
		msg_unref(m);
		sl_free(ids);
		return;
	}
	if (qos == 0) {
		client_send(c, m, 0, retain, false, 0, ids ? ids->id : NULL, ids ? ids->n : 0);
		msg_unref(m);
		sl_free(ids);
		return;
	}
	struct inflight_entry *e = inflight_add(&s->out, qos, m, ids, retain);
	session_log_sent(s, e, qos, log_id);
	metric_inc(s->w, METRIC_INFLIGHT_OUT);
	client_send(c, m, qos, retain, false, e->packet_id, ids ? ids->id : NULL, ids ? ids->n : 0);
}

static void deliver_qos0(struct session *s, struct msg *m, const struct session_delivery *d) {
	struct client *c = s->c;
	/* Behind others that had to wait, so that their order holds. */
	if (sl_unlikely(c ? s->queue.qos0 > 0 : s->w->b->set.queue_qos0)) {
		enqueue(s, m, d);
	} else if (sl_unlikely(!c)) {
		metric_inc(s->w, METRIC_DROPPED_OFFLINE_QOS0);
		if (event_wanted(s->w, EVENT(DELIVERY_DROPPED))) event_delivery_dropped(s, m, 0, "qos0_msg");
	} else if (client_may_send(c, m, 0, d->ids, d->ids_len)) {
		client_send(c, m, 0, d->retain, false, 0, d->ids, d->ids_len);
	}
}

void session_deliver(struct session *s, struct msg *m, const struct session_delivery *d) {
	if (sl_unlikely(!s->c) && sl_list_linked(&s->ending)) return; /* it has ended */
	if (d->qos == 0)
		deliver_qos0(s, m, d);
	else if (s->c && s->queue.len == 0 && window_open(s))
		send_now(s, msg_ref(m), d->qos, d->retain, sub_ids_copy(d->ids, d->ids_len, d->group), 0);
	else
		enqueue(s, m, d);
	note_load(s);
}

static void send_again(struct session *s, struct inflight_entry *e) {
	uint8_t qos = e->state == INFLIGHT_PUBREC ? 2 : 1;
	const uint32_t *ids = e->ids ? e->ids->id : NULL;
	size_t ids_len = e->ids ? e->ids->n : 0;
	inflight_mark(&s->out, e, false);
	if (client_may_send_again(s->c, e->m, qos, ids, ids_len)) { /* [MQTT-3.3.1-1] */
		client_send(s->c, e->m, qos, e->retain, true, e->packet_id, ids, ids_len);
	} else {
		session_log_done(s, e->packet_id);
		inflight_remove(&s->out, e);
		sl_metric_dec(&s->w->metrics, METRIC_INFLIGHT_OUT);
	}
}

void session_pump(struct session *s) {
	/* The window may be smaller than on the connection before [MQTT-3.3.4-9]. */
	while (s->c && s->out.unsent > 0 && s->out.len - s->out.unsent < s->window)
		send_again(s, inflight_next_unsent(&s->out));
	if (s->queue.len > 0) session_log_prepare(s);
	while (s->c && s->queue.len > 0 && window_open(s)) {
		struct msg_queue_entry e = msg_queue_pop(&s->queue);
		not_queued(s, e.m);
		send_now(s, e.m, e.qos, e.retain, e.ids, e.log_id);
	}
	/* With the window open it is the output that is full: go on when it is empty. */
	if (s->c && s->queue.len > 0 && s->out.len < s->window) sl_stream_tell_drained(client_stream(s->c));
}

void session_resume(struct session *s) {
	struct client *c = s->c;
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(&s->out, &n);
	for (size_t i = 0; i < n; i++) {
		struct inflight_entry *e = sorted[i];
		if (e->state == INFLIGHT_PUBCOMP) {
			client_send_ack(c, MQTT_PUBREL, e->packet_id, MQTT_RC_SUCCESS);
			continue;
		}
		inflight_mark(&s->out, e, true);
	}
	for (size_t i = 0; i < n && s->out.len - s->out.unsent < s->window; i++)
		if (sorted[i]->unsent) send_again(s, sorted[i]);
	sl_free(sorted);
	progress(s);
	hold_apply(s);
	session_pump(s);
}

/* ---- acknowledgements ---- */

static void finish(struct session *s, struct inflight_entry *e) {
	session_log_done(s, e->packet_id);
	inflight_remove(&s->out, e);
	sl_metric_dec(&s->w->metrics, METRIC_INFLIGHT_OUT);
	session_pump(s);
	session_log_less(s);
	progress(s);
	note_load(s);
}

bool session_puback(struct session *s, uint16_t packet_id) {
	struct inflight_entry *e = inflight_find(&s->out, packet_id);
	if (!e || e->state != INFLIGHT_PUBACK) return false;
	finish(s, e);
	return true;
}

bool session_pubrec(struct session *s, uint16_t packet_id, bool refused) {
	struct inflight_entry *e = inflight_find(&s->out, packet_id);
	if (!e || e->state == INFLIGHT_PUBACK) return false;
	if (refused)
		finish(s, e); /* [MQTT-4.3.3-5]: no PUBREL for an error */
	else if (e->state == INFLIGHT_PUBREC) {
		session_log_received(s, packet_id);
		inflight_release(&s->out, e);
	}
	return true;
}

bool session_pubcomp(struct session *s, uint16_t packet_id) {
	struct inflight_entry *e = inflight_find(&s->out, packet_id);
	if (!e || e->state != INFLIGHT_PUBCOMP) return false;
	finish(s, e);
	return true;
}

/* ---- the end ---- */

/* All that it has but its plain subscriptions. */
static void forget_all(struct session *s) {
	inflight_fini(&s->out);
	msg_queue_fini(&s->queue);
	id_set_fini(&s->in);
	id_set_fini(&s->open);
	id_set_fini(&s->reroute);
	queue_log_forget(&s->lane);
	session_replay_free(s);
	sl_list_splice_back(&s->w->orphan_acks, &s->unsettled); /* each is freed when its ticket is done */
	share_sub_forget(s);
	sl_free(s->held.v);
	sl_free(s->will);
	acl_client_free(s->acl);
	persist_discard(s);
	sl_free((char *)s->client_id.p);
}

static void free_rest(struct session *s) {
	sl_list_remove(&s->ending);
	for (uint32_t i = 0; i < s->subs_len; i++) sl_free(s->subs[i]);
	sl_free(s->subs);
	sl_free(s);
}

void session_discard(struct session *s) {
	forget_all(s);
	free_rest(s);
}

/* ---- the end of a session with very many subscriptions, in slices ---- */

/* So many at once; the others wait for their turn on the worker, where the more are taken off in one, the more there are: they do
 * not become more for ever, however fast such sessions come and go. */
enum { END_SLICE = 128, END_SHARE = 256, END_AGAIN_MS = 1 };

static void end_later(struct session *s) {
	struct worker *w = s->w;
	sl_list_push_back(&w->ending, &s->ending);
	w->ending_subs += s->subs_len;
	if (!sl_timer_armed(&w->ending_timer)) sl_timer_set(w->loop, &w->ending_timer, END_AGAIN_MS);
}

void session_ending_timer(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, ending_timer);
	size_t left = END_SLICE + w->ending_subs / END_SHARE;
	while (left > 0 && !sl_list_empty(&w->ending)) {
		struct session *s = SL_LIST_ENTRY(w->ending.next, struct session, ending);
		uint32_t n = (uint32_t)sl_min_size(left, s->subs_len);
		subs_remove_some(s, n);
		w->ending_subs -= n;
		left -= n;
		if (s->subs_len == 0) free_rest(s);
	}
	if (!sl_list_empty(&w->ending)) sl_timer_set(w->loop, t, END_AGAIN_MS);
}

void session_ending_discard(struct worker *w) {
	while (!sl_list_empty(&w->ending)) free_rest(SL_LIST_ENTRY(w->ending.next, struct session, ending));
	w->ending_subs = 0;
}

/* ---- what a shared group gave to this session goes to another member (4.8.2) ---- */

enum { ANY_GROUP = 0 };

static bool hand_on(struct session *s, struct msg *m, const struct sub_ids *ids, uint64_t group) {
	if (!ids || ids->group == 0 || (group != ANY_GROUP && ids->group != group)) return false;
	share_again(s, m, ids->group);
	return true;
}

/* Of what was sent only QoS 1: of QoS 2 the client may have it [MQTT-4.8.2-5]. */
static void hand_on_all(struct session *s, uint64_t group) {
	session_log_prepare(s);
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(&s->out, &n);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i]->state != INFLIGHT_PUBACK || !hand_on(s, sorted[i]->m, sorted[i]->ids, group)) continue;
		session_log_done(s, sorted[i]->packet_id);
		inflight_remove(&s->out, sorted[i]);
		sl_metric_dec(&s->w->metrics, METRIC_INFLIGHT_OUT);
	}
	sl_free(sorted);
	for (uint32_t left = s->queue.len; left > 0; left--) {
		struct msg_queue_entry e = msg_queue_pop(&s->queue);
		if (hand_on(s, e.m, e.ids, group)) {
			session_log_dropped(s, e.log_id);
			not_queued(s, e.m);
			msg_queue_entry_drop(&e);
		} else {
			msg_queue_push(&s->queue, &e);
		}
	}
	note_load(s);
}

void session_hand_on(struct session *s, uint64_t group) { hand_on_all(s, group); }

static bool denied(struct session *s, const struct msg *m, uint8_t qos) {
	if (client_access_receive(s, m)) return false;
	metric_inc(s->w, METRIC_DROPPED_NOT_ALLOWED);
	if (event_wanted(s->w, EVENT(DELIVERY_DROPPED))) event_delivery_dropped(s, m, qos, "not_authorized");
	return true;
}

void session_drop_denied(struct session *s, bool under_way) {
	size_t n = 0;
	session_log_prepare(s);
	struct inflight_entry **sorted = under_way ? inflight_sorted(&s->out, &n) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct inflight_entry *e = sorted[i];
		if (e->state == INFLIGHT_PUBCOMP || !denied(s, e->m, e->state == INFLIGHT_PUBREC ? 2 : 1)) continue;
		session_log_done(s, e->packet_id);
		inflight_remove(&s->out, e);
		sl_metric_dec(&s->w->metrics, METRIC_INFLIGHT_OUT);
	}
	sl_free(sorted);
	for (uint32_t left = s->queue.len; left > 0; left--) {
		struct msg_queue_entry e = msg_queue_pop(&s->queue);
		if (!denied(s, e.m, e.qos)) {
			msg_queue_push(&s->queue, &e);
			continue;
		}
		session_log_dropped(s, e.log_id);
		not_queued(s, e.m);
		msg_queue_entry_drop(&e);
	}
	session_log_less(s);
	note_load(s);
}

void session_free(struct session *s) {
	struct worker *w = s->w;
	sl_assert(s->c == NULL);
	sl_timer_cancel(&s->timer);
	persist_session_end(s);
	subs_remove_some(s, END_SLICE);
	share_sub_leave_all(s);
	if (sl_list_linked(&s->congested)) release_sources(s);
	hand_on_all(s, ANY_GROUP);
	sl_metric_sub(&w->metrics, METRIC_QUEUED, s->queue.len);
	sl_metric_sub(&w->metrics, METRIC_QUEUED_BYTES, s->queue.bytes);
	sl_metric_add(&w->metrics, METRIC_DROPPED_SESSION_ENDED, s->queue.len);
	while (event_wanted(w, EVENT(DELIVERY_DROPPED)) && s->queue.len > 0) {
		struct msg_queue_entry e = msg_queue_pop(&s->queue);
		event_delivery_dropped(s, e.m, e.qos, "session_ended");
		msg_queue_entry_drop(&e);
	}
	sl_metric_sub(&w->metrics, METRIC_INFLIGHT_OUT, s->out.len);
	sl_metric_dec(&w->metrics, METRIC_SESSIONS);
	session_map_remove(&w->sessions, session_map_find(&w->sessions, sl_hash(s->client_id), s->client_id));
	worker_ref_drop(w, s->ref);
	forget_all(s);
	if (s->subs_len > 0)
		end_later(s);
	else
		free_rest(s);
}

/* Offline: first the will's delay passes, then the session expires, whichever comes first ends the will's waiting
 * [MQTT-3.1.3-9]. */
static void session_timer(struct sl_timer *t) {
	struct session *s = sl_container_of(t, struct session, timer);
	uint64_t gone_ms = sl_loop_now_ms(s->w->loop) - s->offline_since_ms;
	if (s->will && gone_ms >= (uint64_t)s->will->delay_s * 1000) will_publish(s);
	uint64_t expiry_ms = (uint64_t)s->expiry_s * 1000;
	if (s->expiry_s != SESSION_EXPIRY_NEVER && gone_ms >= expiry_ms) {
		if (s->expiry_s > 0) metric_inc(s->w, METRIC_SESSIONS_EXPIRED);
		will_publish(s);
		session_free(s);
		return;
	}
	uint64_t wait = s->expiry_s == SESSION_EXPIRY_NEVER ? UINT64_MAX : expiry_ms - gone_ms;
	if (s->will && (uint64_t)s->will->delay_s * 1000 - gone_ms < wait)
		wait = (uint64_t)s->will->delay_s * 1000 - gone_ms;
	if (wait != UINT64_MAX) sl_timer_set(s->w->loop, t, wait);
}

void session_offline(struct session *s, bool publish_will) {
	if (!publish_will) {
		sl_free(s->will);
		s->will = NULL;
	}
	if (sl_list_linked(&s->congested)) release_sources(s);
	session_replay_free(s);
	s->offline_since_ms = sl_loop_now_ms(s->w->loop);
	if (s->shares.len && s->expiry_s > 0) share_sub_online(s, false);
	persist_offline(s);
	session_timer(&s->timer);
}
