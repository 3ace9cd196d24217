/* Retained messages on their way to a new subscriber: a list of references that is sent in slices, so that a filter that
 * matches a hundred thousand of them neither fills the connection's output nor keeps the worker from others. */
#include "client.h"
#include "mem.h"
#include "subs.h"
#include "sys_topics.h"

/* A message costs 1, a lookup a few, and more when it finds very many: such a one ends the turn. So however many sessions want
 * everything at once, a turn is about one lookup long. */
enum { REPLAY_SLICE = 256, REPLAY_TURN = 2048, REPLAY_LOOKUP_COST = 16, REPLAY_FOUND_SHARE = 16 };
enum { REPLAY_AGAIN_MS = 1, REPLAY_STUCK_MS = 10 };

struct replay {
	struct replay *next;
	struct msg **v; /* of the filter at the head of the list, once it was looked up */
	size_t n, at;
	uint32_t sub_id;
	uint8_t qos;
	bool found;
	size_t filter_len;
	char filter[];
};

/* With the options that the subscription has now; it may be gone. */
static void look_up(struct session *s, struct replay *r) {
	struct sl_slice filter = slice_make(r->filter, r->filter_len);
	struct sub *sub = subs_find(s, filter);
	r->found = true;
	if (!sub) return;
	sub->replay_serial = 0;
	r->qos = sub->qos;
	r->sub_id = sub->sub_id;
	if (sys_topics_filter(filter)) sys_topics_ask(s, filter, sub->sub_id);
	r->n = retained_match(s->w->b->retained, filter, sl_loop_wall_ms(s->w->loop), &r->v);
}

static struct replay *replay_pop(struct session *s) {
	struct replay *r = s->replay;
	s->replay = r->next;
	s->replay_last = s->replay ? s->replay_last : NULL;
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
	return s->queue.len == 0 && sl_stream_pending(client_stream(s->c)) < CLIENT_OUT_QUEUE;
}

static void spend(size_t *budget, size_t cost) { *budget -= sl_min_size(*budget, cost); }

/* True when there is more to send later. *moved: something was done. *turn: what all sessions together may cost. */
static bool replay_slice(struct session *s, bool *moved, size_t *turn) {
	size_t budget = REPLAY_SLICE;
	while (s->replay && budget > 0 && *turn > 0 && has_room(s)) {
		struct replay *r = s->replay;
		*moved = true;
		if (!r->found) {
			look_up(s, r);
			spend(&budget, REPLAY_LOOKUP_COST);
			spend(turn, REPLAY_LOOKUP_COST + r->n / REPLAY_FOUND_SHARE);
			continue;
		}
		if (r->at == r->n) {
			replay_pop(s);
			continue;
		}
		struct msg *m = r->v[r->at++];
		uint8_t qos = m->qos < r->qos ? m->qos : r->qos;
		/* The retain flag tells the client that this is not news [MQTT-3.3.1-8]. */
		session_deliver(s, m,
				&(struct session_delivery){
				    .ids = &r->sub_id, .ids_len = r->sub_id ? 1 : 0, .qos = qos, .retain = true});
		msg_unref(m);
		budget--;
		(*turn)--;
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
