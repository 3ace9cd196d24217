#include "client_access.h"
#include "client_topic.h"
#include "events.h"
#include "mem.h"
#include "persist.h"
#include "persist_record.h"
#include "shared_sub.h"
#include "subs.h"
#include "sys_topics.h"
#include "topic.h"
#include "topic_template.h"
#include "utf8.h"
#include "log.h"

/* A SUBSCRIBE on its way to its SUBACK: every other worker has to hear of new filters first, so that who has the SUBACK
 * misses nothing, and what is kept of it has to be on disk; then the answer goes out, then the retained messages. An UNSUBSCRIBE
 * waits for the disk only.
 *
 * A packet of very many filters is taken in turns, so that others need not wait; its client is not read from meanwhile. The others
 * hear of each turn's filters before the next one. */
struct pending {
	struct sl_list turn; /* in the worker's list while it waits for its next one */
	enum mqtt_type answer;
	struct worker *w;
	session_ref ref;
	uint64_t serial; /* the connection that asked */
	struct announce announce;
	struct sl_buf codes;
	struct sl_buf wants;   /* filters whose retained messages are wanted: 16-bit length and text each */
	uint64_t batch;        /* the last change that the store has to write; 0: none */
	struct sl_slice rest;  /* filters that are left, as in the packet, */
	struct sl_slice props; /* and its properties: for events */
	struct sl_buf text;    /* of both, from the second turn on */
	uint32_t sub_id;
	uint32_t waiting;
	uint16_t packet_id; /* 0: nobody waits for an answer */
};

/* Filters in a turn, and how many packets have theirs in a tick. */
enum { TURN_FILTERS = 128, TURN_PACKETS = 2, TURN_AGAIN_MS = 1 };

/* SUBACK or UNSUBACK; a reason string for the first code that says no. False: the connection is over. */
static bool answer(struct client *c, enum mqtt_type type, uint16_t packet_id, struct sl_slice codes) {
	enum { SIZE = 9 }; /* with neither codes nor properties */
	struct sl_buf props = SL_BUF_INIT, *out = sl_stream_out(client_stream(c));
	struct mqtt_suback a = {.packet_id = packet_id, .codes = codes};
	size_t i = 0, before = out->n;
	while (i < codes.n && (uint8_t)codes.p[i] < MQTT_RC_UNSPECIFIED) i++;
	if (i < codes.n)
		client_put_reason(c, type, client_reason_text(type, (enum mqtt_reason)(uint8_t)codes.p[i]),
				  SIZE + codes.n, &props);
	mqtt_props_init(&a.props);
	a.props.raw = sl_buf_slice(&props);
	mqtt_encode_suback(type, &a, (enum mqtt_version)c->version, out);
	sl_buf_fini(&props);
	metric_inc(c->w, METRIC_PACKETS_OUT);
	return client_may_take(c, before);
}

static void pending_free(struct pending *p) {
	sl_list_remove(&p->turn);
	sl_buf_fini(&p->wants);
	sl_buf_fini(&p->codes);
	sl_buf_fini(&p->text);
	sl_free(p);
}

/* NULL: its connection has gone. */
static struct client *asker(const struct pending *p) {
	struct session *s = worker_session(p->w, p->ref);
	struct client *c = s ? s->c : NULL;
	return c && c->serial == p->serial && c->state == CLIENT_CONNECTED ? c : NULL;
}

static void pending_step(struct pending *p) {
	if (--p->waiting > 0) return;
	struct client *c = asker(p);
	if (c) {
		bool told = p->packet_id == 0 || answer(c, p->answer, p->packet_id, sl_buf_slice(&p->codes));
		if (told && p->wants.n > 0) session_replay(c->s, sl_buf_slice(&p->wants));
	}
	pending_free(p);
}

static void announced(struct announce *a) {
	struct pending *p = sl_container_of(a, struct pending, announce);
	struct worker *w = p->w;
	if (p->rest.n == 0) {
		pending_step(p);
		return;
	}
	sl_list_push_back(&w->subscribing, &p->turn);
	if (!sl_timer_armed(&w->subscribing_timer)) sl_timer_set(w->loop, &w->subscribing_timer, TURN_AGAIN_MS);
}
static void joined(void *arg) { pending_step(arg); }
static void stored(void *arg) { pending_step(arg); }

static struct pending *pending_new(struct client *c, enum mqtt_type answer, uint16_t packet_id) {
	struct pending *p = SL_NEW(struct pending);
	*p = (struct pending){
	    .answer = answer, .w = c->w, .ref = c->s->ref, .serial = c->serial, .packet_id = packet_id, .waiting = 1};
	sl_list_init(&p->turn);
	announce_init(&p->announce, c->w, announced); /* of the first turn */
	return p;
}

/* All of this turn is collected: what has to be told goes out, after the last one what has to be written, too. May free p. */
static void pending_go(struct pending *p) {
	if (p->batch && p->rest.n == 0) {
		p->waiting++;
		persist_wait(p->w, p->batch, stored, p);
	}
	announce_send(&p->announce);
}

static void keep(struct pending *p, struct session *s, const struct mqtt_sub_entry *e, uint32_t sub_id) {
	struct sub_record r = {.filter = e->filter,
			       .sub_id = sub_id,
			       .qos = e->qos,
			       .retain_handling = e->retain_handling,
			       .no_local = e->no_local,
			       .retain_as_published = e->retain_as_published};
	p->batch = persist_subscribed(s, &r);
}

static bool same(const struct sub *sub, const struct mqtt_sub_entry *e, uint32_t sub_id) {
	return sub && sub->sub_id == sub_id && sub->qos == e->qos && sub->no_local == e->no_local &&
	       sub->retain_as_published == e->retain_as_published;
}

/* Once for a subscription, however often it is asked for before they are sent. */
static void want_retained(struct pending *p, struct sub *sub, struct sl_slice filter) {
	bool none = retained_count(p->w->b->retained) == 0 && p->w->b->workers_len == 1;
	if (none && !sys_topics_filter(filter)) return;
	if (sub->replay_serial == (uint32_t)p->serial) return;
	sub->replay_serial = (uint32_t)p->serial;
	sl_buf_put_u16be(&p->wants, (uint16_t)filter.n);
	sl_buf_append_slice(&p->wants, filter);
}

static bool known(const struct session *s, struct sl_slice text) {
	struct sl_slice group, filter;
	return topic_share_split(text, &group, &filter) ? share_sub_has(s, group, filter) : subs_find(s, text) != NULL;
}

/* The code for one entry of SUBSCRIBE; adds the subscription when it is good. */
static uint8_t subscribe_one(struct client *c, struct pending *p, struct mqtt_sub_entry *e, uint32_t sub_id) {
	const struct broker_settings *set = &c->w->b->set;
	struct session *s = c->s;
	struct sl_slice group, filter;
	bool bad3 = !client_is_v5(c);
	if (!topic_filter_valid(e->filter) || topic_levels(e->filter) > set->topic_levels_max)
		return bad3 ? MQTT_RC_UNSPECIFIED : MQTT_RC_TOPIC_FILTER_INVALID;
	if (!client_access_subscribe(c, e->filter, e->qos < set->max_qos ? e->qos : set->max_qos))
		return bad3 ? MQTT_RC_UNSPECIFIED : client_access_code(c);
	if (s->subs_len + s->shares.len >= set->max_subscriptions && !known(s, e->filter))
		return bad3 ? MQTT_RC_UNSPECIFIED : MQTT_RC_QUOTA_EXCEEDED;
	if (s->store_id && persist_full(c->w->b) && !known(s, e->filter))
		return bad3 ? MQTT_RC_UNSPECIFIED : MQTT_RC_QUOTA_EXCEEDED;
	if (e->qos > set->max_qos) e->qos = set->max_qos;
	if (topic_share_split(e->filter, &group, &filter)) {
		p->waiting++;
		if (share_sub_join(s, group, filter, e, sub_id, joined, p) && s->store_id) keep(p, s, e, sub_id);
		return e->qos; /* no retained messages for shared subscriptions [MQTT-4.8.2] */
	}
	bool is_new, kept = s->store_id == 0 || same(subs_find(s, filter), e, sub_id);
	if (!kept) keep(p, s, e, sub_id);
	struct sub *sub = subs_add(s, filter, e, sub_id, &p->announce, &is_new);
	if (e->retain_handling == 0 || (e->retain_handling == 1 && is_new)) /* [MQTT-3.3.1-9..11] */
		want_retained(p, sub, filter);
	return e->qos;
}

static void subscribe_some(struct client *c, struct pending *p, struct event_filters *told) {
	struct mqtt_sub_entry e;
	enum mqtt_version version = (enum mqtt_version)c->version;
	bool broken = false;
	for (uint32_t n = 0; n < TURN_FILTERS && mqtt_subscribe_next(&p->rest, version, &e); n++) {
		struct sl_slice group, filter;
		if (!client_filter(c, &e.filter)) e.filter = SL_SLICE_EMPTY; /* no valid one */
		/* [MQTT-3.8.3-4] */
		if (e.no_local && topic_share_split(e.filter, &group, &filter)) broken = true;
		uint8_t code = subscribe_one(c, p, &e, client_is_v5(c) ? p->sub_id : 0);
		sl_buf_put(&p->codes, (char)code);
		if (code <= 2) event_filters_add(told, e.filter, code);
	}
	if (broken) client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "no_local with a shared subscription");
}

/* A name that does not fit, or a topic that is not allowed, leaves the client without that subscription. */
static void auto_subscribe_one(struct client *c, struct pending *p, const struct broker_auto_subscribe *a,
			       struct event_filters *told) {
	struct sl_buf made = SL_BUF_INIT;
	struct topic_values values = {.clientid = c->s->client_id,
				      .username = c->username ? slice_from_str(c->username) : SL_SLICE_EMPTY};
	struct mqtt_sub_entry e = {.qos = a->qos,
				   .no_local = a->no_local,
				   .retain_as_published = a->retain_as_published,
				   .retain_handling = a->retain_handling};
	uint8_t code = MQTT_RC_TOPIC_FILTER_INVALID;
	bool filled =
	    topic_template_fill(slice_from_str(a->topic), &values, &made) && utf8_valid_mqtt(sl_buf_slice(&made));
	e.filter = slice_make(sl_arena_alloc(sl_loop_arena(c->w->loop), made.n), made.n);
	if (made.n) memcpy((char *)e.filter.p, made.p, made.n);
	sl_buf_fini(&made);
	bool has = filled && known(c->s, e.filter);
	if (filled && !has) code = subscribe_one(c, p, &e, 0);
	if (!has && code <= 2)
		event_filters_add(told, e.filter, code);
	else if (!has)
		log_debug(LOG_MQTT, "not subscribed to a topic of mqtt.auto_subscribe",
			  "peer=%s topic=%s reason=0x%02x", c->peer, a->topic, (unsigned)code);
}

void client_auto_subscribe(struct client *c) {
	const struct broker_settings *set = &c->w->b->set;
	struct pending *p = pending_new(c, MQTT_SUBACK, 0);
	struct mqtt_subscribe packet = {.count = (uint32_t)set->auto_subscribe_len};
	struct event_filters told;
	event_filters_init(&told, c, &packet, true);
	for (size_t i = 0; i < set->auto_subscribe_len && c->state == CLIENT_CONNECTED; i++)
		auto_subscribe_one(c, p, &set->auto_subscribe[i], &told);
	event_filters_finish(&told);
	pending_go(p);
}

static void unsubscribe_some(struct client *c, struct pending *p, struct event_filters *told) {
	struct sl_slice one;
	for (uint32_t n = 0; n < TURN_FILTERS && mqtt_unsubscribe_next(&p->rest, &one); n++) {
		struct sl_slice group, filter;
		bool had = false;
		if (!client_filter(c, &one))
			one = SL_SLICE_EMPTY; /* no valid one */
		else if (topic_share_split(one, &group, &filter))
			had = share_sub_leave(c->s, group, filter);
		else
			had = subs_remove(c->s, one);
		if (had) event_filters_add(told, one, 0);
		if (had && c->s->store_id) p->batch = persist_unsubscribed(c->s, one);
		enum mqtt_reason code = had                       ? MQTT_RC_SUCCESS
					: topic_filter_valid(one) ? MQTT_RC_NO_SUBSCRIPTION_EXISTED
								  : MQTT_RC_TOPIC_FILTER_INVALID;
		if (client_is_v5(c)) sl_buf_put(&p->codes, (char)code); /* 3.x: UNSUBACK has no codes */
	}
}

/* ---- turns ---- */

/* The packet's bytes are the stream's, and good for the first turn only. */
static void keep_rest(struct pending *p) {
	sl_buf_append_slice(&p->text, p->props);
	sl_buf_append_slice(&p->text, p->rest);
	p->props = slice_sub(sl_buf_slice(&p->text), 0, p->props.n);
	p->rest = slice_from(sl_buf_slice(&p->text), p->props.n);
}

/* May free p. */
static void take_turn(struct client *c, struct pending *p) {
	struct mqtt_subscribe part = {.count = TURN_FILTERS, .props.raw = p->props};
	struct event_filters told;
	bool subscribes = p->answer == MQTT_SUBACK;
	announce_init(&p->announce, p->w, announced);
	event_filters_init(&told, c, &part, subscribes);
	if (subscribes)
		subscribe_some(c, p, &told);
	else
		unsubscribe_some(c, p, &told);
	event_filters_finish(&told);
	if (c->state != CLIENT_CONNECTED) p->rest = SL_SLICE_EMPTY;
	if (p->rest.n == 0) {
		client_resume(c, CLIENT_PAUSE_TURNS);
	} else if (p->text.n == 0) {
		keep_rest(p);
		client_pause(c, CLIENT_PAUSE_TURNS);
	}
	pending_go(p);
}

void client_subscribing_timer(struct sl_timer *t) {
	struct worker *w = sl_container_of(t, struct worker, subscribing_timer);
	struct sl_list *it;
	for (int n = 0; n < TURN_PACKETS && (it = sl_list_pop_front(&w->subscribing)) != NULL; n++) {
		struct pending *p = SL_LIST_ENTRY(it, struct pending, turn);
		struct client *c = asker(p);
		if (c)
			take_turn(c, p);
		else
			pending_step(p);
	}
	if (!sl_list_empty(&w->subscribing)) sl_timer_set(w->loop, t, TURN_AGAIN_MS);
}

void client_subscribing_free(struct worker *w) {
	while (!sl_list_empty(&w->subscribing)) pending_free(SL_LIST_ENTRY(w->subscribing.next, struct pending, turn));
}

static void take(struct client *c, enum mqtt_type answer, const struct mqtt_subscribe *packet) {
	struct pending *p = pending_new(c, answer, packet->packet_id);
	p->sub_id = mqtt_props_num(&packet->props, MQTT_PROP_SUBSCRIPTION_ID, 0);
	p->rest = packet->entries;
	p->props = packet->props.raw;
	take_turn(c, p);
}

void client_subscribe(struct client *c, const struct mqtt_subscribe *packet) { take(c, MQTT_SUBACK, packet); }
void client_unsubscribe(struct client *c, const struct mqtt_subscribe *packet) { take(c, MQTT_UNSUBACK, packet); }
