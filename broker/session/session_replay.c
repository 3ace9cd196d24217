/* Retained messages on their way to a new subscriber: a list of references that is sent in slices, so that a filter that
 * matches a hundred thousand of them neither fills the connection's output nor keeps the worker from others. */
#include "client.h"
#include "mem.h"

enum { REPLAY_SLICE = 256, REPLAY_AGAIN_MS = 1 };

struct replay {
	struct replay *next;
	struct msg **v;
	size_t n, at;
	uint32_t sub_id;
	uint8_t qos;
};

static struct replay *replay_pop(struct session *s) {
	struct replay *r = s->replay;
	s->replay = r->next;
	for (size_t i = r->at; i < r->n; i++) msg_unref(r->v[i]);
	sl_free(r->v);
	sl_free(r);
	return s->replay;
}

void session_replay_free(struct session *s) {
	while (s->replay) replay_pop(s);
	sl_list_remove(&s->replaying);
}

/* Retained messages wait here rather than in the session's queue: they may be many more than it holds. */
static bool has_room(const struct session *s) {
	return s->queue.len == 0 && sl_stream_pending(&s->c->tcp.s) < CLIENT_OUT_QUEUE;
}

/* True when there is more to send later. */
static bool replay_slice(struct session *s) {
	size_t budget = REPLAY_SLICE;
	while (s->replay && budget > 0 && has_room(s)) {
		struct replay *r = s->replay;
		if (r->at == r->n) {
			replay_pop(s);
			continue;
		}
		struct msg *m = r->v[r->at++];
		uint8_t qos = m->qos < r->qos ? m->qos : r->qos;
		/* The retain flag tells the client that this is not news [MQTT-3.3.1-8]. */
		session_deliver(s, m, qos, true, &r->sub_id, r->sub_id ? 1 : 0, 0);
		msg_unref(m);
		budget--;
	}
	return s->replay != NULL;
}

void session_replay_timer(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, replay_timer);
	SL_LIST_FOREACH_SAFE(it, &w->replays) {
		struct session *s = SL_LIST_ENTRY(it, struct session, replaying);
		if (!s->c || !replay_slice(s)) session_replay_free(s);
	}
	if (!sl_list_empty(&w->replays)) sl_timer_set(w->loop, t, REPLAY_AGAIN_MS);
}

void session_replay(struct session *s, struct msg **v, size_t n, uint8_t qos, uint32_t sub_id) {
	if (n == 0) {
		sl_free(v);
		return;
	}
	struct replay *r = SL_NEW(struct replay);
	*r = (struct replay){.v = v, .n = n, .qos = qos, .sub_id = sub_id};
	struct replay **at = &s->replay;
	while (*at) at = &(*at)->next;
	*at = r;
	if (sl_list_linked(&s->replaying) || !replay_slice(s)) return;
	sl_list_push_back(&s->w->replays, &s->replaying);
	if (!sl_timer_armed(&s->w->replay_timer)) sl_timer_set(s->w->loop, &s->w->replay_timer, REPLAY_AGAIN_MS);
}
