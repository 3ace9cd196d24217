/* Retained messages on their way to a new subscriber: a list of filters whose messages are looked up and sent in slices, so that a
 * filter that matches a hundred thousand of them neither fills the connection's output nor keeps the worker from others, and
 * one that matches none of them does not, either. No message is held between turns: what is sent is what the topic has
 * then, so nothing older comes behind what was delivered live. */
#include "client.h"
#include "mem.h"
#include "subs.h"
#include "sys_topics.h"

/* What a node of the tree costs that the walk comes by is 1. So however many sessions want everything at once, a turn is as long as
 * 2,000 messages take. The tree is locked for REPLAY_HOLD nodes at most. */
enum { REPLAY_MESSAGE = 4, REPLAY_OPEN = 8, REPLAY_SLICE = 1024, REPLAY_TURN = 8192, REPLAY_HOLD = 1024 };
enum { REPLAY_AGAIN_MS = 1, REPLAY_STUCK_MS = 10 };

struct replay {
	struct replay *next;
	struct retained_cursor *cursor; /* of the filter at the head of the list; NULL: not yet */
	uint32_t sub_id;
	uint8_t qos;
	size_t filter_len;
	char filter[];
};

/* With the options that the subscription has now. False: it has gone. */
static bool begin(struct session *s, struct replay *r) {
	struct sl_slice filter = slice_make(r->filter, r->filter_len);
	struct sub *sub = subs_find(s, filter);
	if (!sub) return false;
	sub->replay_serial = 0;
	r->qos = sub->qos;
	r->sub_id = sub->sub_id;
	if (sys_topics_filter(filter)) sys_topics_ask(s, filter, sub->sub_id);
	r->cursor = retained_open(s->w->b->retained, filter);
	return true;
}

static struct replay *replay_pop(struct session *s) {
	struct replay *r = s->replay;
	s->replay = r->next;
	s->replay_last = s->replay ? s->replay_last : NULL;
	retained_close(r->cursor);
	sl_free(r);
	return s->replay;
}

void session_replay_free(struct session *s) {
	while (s->replay) replay_pop(s);
	sl_list_remove(&s->replaying);
}

/* Retained messages wait here rather than in the session's queue: they may be many more than it holds. */
static bool has_room(const struct session *s) {
	return s->queue.len == 0 && sl_stream_pending(client_stream(s->c)) < CLIENT_OUT_QUEUE;
}

/* Down to 0: a message that ends a turn may cost more than is left. */
static void spend(size_t *slice, size_t *turn, size_t cost) {
	*slice -= sl_min_size(*slice, cost);
	*turn -= sl_min_size(*turn, cost);
}

/* The retain flag tells the client that this is not news [MQTT-3.3.1-8]. */
static void send_one(struct session *s, const struct replay *r, struct msg *m) {
	uint8_t qos = m->qos < r->qos ? m->qos : r->qos;
	session_deliver(
	    s, m,
	    &(struct session_delivery){.ids = &r->sub_id, .ids_len = r->sub_id ? 1 : 0, .qos = qos, .retain = true});
	msg_unref(m);
}

/* True when there is more to send later. *moved: something was done. *turn: what all sessions together may cost. */
static bool replay_slice(struct session *s, bool *moved, size_t *turn) {
	size_t slice = REPLAY_SLICE;
	while (s->replay && slice > 0 && *turn > 0 && has_room(s)) {
		struct replay *r = s->replay;
		*moved = true;
		if (!r->cursor) {
			spend(&slice, turn, REPLAY_OPEN);
			if (!begin(s, r)) replay_pop(s);
			continue;
		}
		size_t may = sl_min_size(REPLAY_HOLD, sl_min_size(slice, *turn)), left = may;
		struct msg *m = retained_next(r->cursor, sl_loop_wall_ms(s->w->loop), &left);
		spend(&slice, turn, may - left + (m ? REPLAY_MESSAGE : 1));
		if (m)
			send_one(s, r, m);
		else if (retained_over(r->cursor))
			replay_pop(s);
	}
	return s->replay != NULL;
}

void session_replay_timer(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, replay_timer);
	bool moved = false;
	size_t turn = REPLAY_TURN;
	struct sl_list served; /* who is, stands behind the others next time */
	sl_list_init(&served);
	while (turn > 0 && !sl_list_empty(&w->replays)) {
		struct session *s = SL_LIST_ENTRY(w->replays.next, struct session, replaying);
		sl_list_remove(&s->replaying);
		sl_list_push_back(&served, &s->replaying);
		if (!s->c || !replay_slice(s, &moved, &turn)) session_replay_free(s);
	}
	sl_list_splice_back(&w->replays, &served);
	if (!sl_list_empty(&w->replays)) sl_timer_set(w->loop, t, moved ? REPLAY_AGAIN_MS : REPLAY_STUCK_MS);
}

static void replay_add(struct session *s, struct sl_slice filter) {
	struct replay *r = sl_alloc(sizeof *r + filter.n);
	*r = (struct replay){.filter_len = filter.n};
	memcpy(r->filter, filter.p, filter.n);
	if (s->replay)
		s->replay_last->next = r;
	else
		s->replay = r;
	s->replay_last = r;
}

void session_replay(struct session *s, struct sl_slice filters) {
	bool moved = false;
	while (filters.n >= 2) {
		size_t n = (size_t)(uint8_t)filters.p[0] << 8 | (uint8_t)filters.p[1];
		replay_add(s, slice_sub(filters, 2, n));
		filters = slice_from(filters, 2 + n);
	}
	if (sl_list_linked(&s->replaying)) return;
	/* At once, unless others are waiting for their turn. */
	size_t turn = sl_list_empty(&s->w->replays) ? REPLAY_TURN : 0;
	if (!replay_slice(s, &moved, &turn)) return;
	sl_list_push_back(&s->w->replays, &s->replaying);
	if (!sl_timer_armed(&s->w->replay_timer)) sl_timer_set(s->w->loop, &s->w->replay_timer, REPLAY_AGAIN_MS);
}
