#include "client_access.h"
#include "client_topic.h"
#include "events.h"
#include "mem.h"
#include "persist.h"
#include "route.h"
#include "rules.h"
#include "session_log.h"
#include "topic.h"

/* ---- acknowledgements, in the order of the publishes [MQTT-4.6.0-2] ---- */

static void entry_send(struct client *c, const struct client_entry *e) {
	if (e->qos == 2 && c->s && e->delayed && e->reason < 0x80) {
		session_log_in(c->s, e->packet_id, false);
		session_log_after(c->s);
	} else if (e->qos == 2 && c->s) {
		session_log_settled(c->s, e->packet_id);
	}
	for (uint16_t i = 0; i < e->run; i++)
		client_send_ack(c, e->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK, (uint16_t)(e->packet_id + i), e->reason);
}

#define SPARE_ENTRIES_MAX 4096 /* of a worker: what waits under load, without the allocator */

static void entry_spare(struct worker *w, struct client_entry *e) {
	if (w->spare_acks_n == SPARE_ENTRIES_MAX) {
		sl_free(e);
		return;
	}
	sl_list_push_front(&w->spare_acks, &e->link);
	w->spare_acks_n++;
}

void client_entries_free(struct worker *w) {
	for (struct sl_list *it; (it = sl_list_pop_front(&w->spare_acks));)
		sl_free(SL_LIST_ENTRY(it, struct client_entry, link));
	w->spare_acks_n = 0;
	for (struct sl_list *it; (it = sl_list_pop_front(&w->orphan_acks));)
		sl_free(SL_LIST_ENTRY(it, struct client_entry, link));
}

/* Its acknowledgements wait, from now on: it has had one, or waits for the first. */
static void unacked_since_now(struct client *c) {
	sl_list_remove(&c->unacked_link);
	if (sl_list_empty(&c->acks)) return;
	c->unacked_ms = sl_loop_now_ms(c->w->loop);
	sl_list_push_back(&c->w->unacked, &c->unacked_link);
}

static void acks_flush(struct client *c) {
	uint32_t before = c->acks_len;
	while (!sl_list_empty(&c->acks)) {
		struct client_entry *e = SL_LIST_ENTRY(c->acks.next, struct client_entry, link);
		if (e->ticket.pending > 0) break;
		sl_list_remove(&e->link);
		c->acks_len -= e->run;
		if (e->qos == 1) c->acks_qos1 -= e->run;
		entry_send(c, e);
		entry_spare(c->w, e);
	}
	if (c->acks_len < before) unacked_since_now(c);
	if (c->acks_len < CLIENT_ACKS_MAX / 2) client_resume(c, CLIENT_PAUSE_ACKS);
}

static void entry_done(struct sl_ticket *t) {
	struct client_entry *e = sl_container_of(t, struct client_entry, ticket);
	if (e->c) {
		acks_flush(e->c);
		return;
	}
	sl_list_remove(&e->link); /* it is in its session's `unsettled`, or in `orphan_acks` */
	sl_free(e);
}

/* The client goes: what is decided already is freed, the rest when its ticket is done. A QoS 2 message stays known to the
 * session until then: sent again on the next connection, it is not taken twice, nor acknowledged before it is safe. */
void client_drop_acks(struct client *c) {
	for (struct sl_list *it; (it = sl_list_pop_front(&c->acks)) != NULL;) {
		struct client_entry *e = SL_LIST_ENTRY(it, struct client_entry, link);
		e->c = NULL;
		if (e->ticket.pending == 0)
			sl_free(e);
		else if (e->qos == 2 && c->s)
			sl_list_push_back(&c->s->unsettled, &e->link);
		else
			sl_list_push_back(&c->w->orphan_acks, &e->link);
	}
	c->acks_len = c->acks_qos1 = 0;
	sl_list_remove(&c->unacked_link);
}

/* Who publishes so often may wait for a fraction of that, and who publishes again as soon as it has its answer is soon found out:
 * each wait makes the next one shorter. */
static uint8_t patience_ms(uint64_t every_ms) {
	enum { FRACTION = 4, MAX_MS = 4 };
	return every_ms / FRACTION < MAX_MS ? (uint8_t)(every_ms / FRACTION) : MAX_MS;
}

/* An entry for the publish at hand; nearly always it comes back unused. */
static struct client_entry *entry_take(struct worker *w) {
	struct sl_list *spare = sl_list_pop_front(&w->spare_acks);
	struct client_entry *e = spare ? SL_LIST_ENTRY(spare, struct client_entry, link) : SL_NEW(struct client_entry);
	w->spare_acks_n -= spare != NULL;
	sl_list_init(&e->link);
	e->ticket = (struct sl_ticket){.pending = 0, .done = entry_done};
	e->delayed = false;
	return e;
}

static void ack_waits(struct client *c, uint8_t qos) {
	if (qos == 1) c->acks_qos1++;
	if (++c->acks_len >= CLIENT_ACKS_MAX) client_pause(c, CLIENT_PAUSE_ACKS);
}

/* Whether a publish that itself waits for nothing is the next of the run that was the last to come. */
static bool run_goes_on(struct client_entry *last, uint16_t packet_id, uint8_t qos, enum mqtt_reason reason) {
	if (qos != 1 || last->qos != 1 || last->reason != reason || packet_id != last->packet_id + last->run)
		return false;
	last->run++;
	return true;
}

static void acknowledge(struct client *c, struct client_entry *e, uint16_t packet_id, uint8_t qos,
			enum mqtt_reason reason) {
	if (e->ticket.pending == 0 && !sl_list_empty(&c->acks) &&
	    run_goes_on(SL_LIST_ENTRY(c->acks.prev, struct client_entry, link), packet_id, qos, reason)) {
		ack_waits(c, qos);
		entry_spare(c->w, e);
		return;
	}
	e->packet_id = packet_id;
	e->run = 1;
	e->qos = qos;
	e->reason = (uint8_t)reason;
	if (e->ticket.pending == 0 && sl_list_empty(&c->acks)) {
		entry_send(c, e);
		entry_spare(c->w, e);
		return;
	}
	e->c = c;
	sl_list_push_back(&c->acks, &e->link);
	if (c->acks_len == 0) unacked_since_now(c);
	ack_waits(c, qos);
}

/* A QoS 2 message that is here already is only answered once more [MQTT-4.3.3-10]. */
static void acknowledge_again(struct client *c, uint16_t packet_id) {
	SL_LIST_FOREACH(it, &c->s->unsettled) {
		struct client_entry *e = SL_LIST_ENTRY(it, struct client_entry, link);
		if (e->packet_id != packet_id) continue;
		sl_list_remove(&e->link);
		e->c = c;
		sl_list_push_back(&c->acks, &e->link);
		if (c->acks_len == 0) unacked_since_now(c);
		c->acks_len++;
		return;
	}
	acknowledge(c, entry_take(c->w), packet_id, 2, MQTT_RC_SUCCESS);
}

/* ---- PUBLISH ---- */

/* The topic behind an alias, or a new meaning for the alias. False: the connection is over. */
static bool resolve_alias(struct client *c, struct mqtt_publish *p) {
	if (sl_likely(!mqtt_props_has(&p->props, MQTT_PROP_TOPIC_ALIAS))) return true;
	uint32_t alias = p->props.v[MQTT_PROP_TOPIC_ALIAS].num;
	if (alias == 0 || alias > c->aliases_len) { /* [MQTT-3.3.2-8], [MQTT-3.3.2-9] */
		client_protocol_error(c, MQTT_RC_TOPIC_ALIAS_INVALID, "topic alias out of range");
		return false;
	}
	if (!c->aliases) c->aliases = SL_NEW_ARRAY(char *, c->aliases_len);
	char **known = &c->aliases[alias - 1];
	if (p->topic.n == 0) {
		if (!*known) {
			client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "topic alias not set before");
			return false;
		}
		p->topic = slice_from_str(*known);
		return true;
	}
	if (!*known || !slice_equal_str(p->topic, *known)) {
		sl_free(*known);
		*known = slice_dup(p->topic);
	}
	return true;
}

/* What the broker does not do or allow; false: the connection is over. */
static bool check(struct client *c, const struct mqtt_publish *p) {
	const struct broker_settings *set = &c->w->b->set;
	if (sl_unlikely(p->qos > set->max_qos)) { /* [MQTT-3.2.2-11] */
		client_protocol_error(c, MQTT_RC_QOS_NOT_SUPPORTED, "QoS above the maximum");
		return false;
	}
	if (sl_unlikely(p->retain && !set->retain)) {
		client_protocol_error(c, MQTT_RC_RETAIN_NOT_SUPPORTED, "retain is off");
		return false;
	}
	/* [MQTT-3.3.4-9]: what we announced in CONNACK. 3.x clients know no such limit. A QoS 2 message counts until its
	 * PUBREL, whether its PUBREC is out or waits. */
	if (p->qos > 0 && client_is_v5(c) && c->s->in.len + c->acks_qos1 >= set->receive_maximum &&
	    !(p->qos == 2 && id_set_has(&c->s->in, p->packet_id))) {
		client_protocol_error(c, MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED, "receive maximum exceeded");
		return false;
	}
	return true;
}

bool client_topic_reserved(struct sl_slice topic) {
	static const struct sl_slice reserved[] = {
	    {"$SYS/", sizeof "$SYS/" - 1},
	    {"$events/", sizeof "$events/" - 1},
	    {"$sources/", sizeof "$sources/" - 1},
	    {"$aws/events/", sizeof "$aws/events/" - 1},
	};
	if (sl_likely(topic.n == 0 || topic.p[0] != '$')) return false;
	for (size_t i = 0; i < SL_ARRAY_LEN(reserved); i++)
		if (slice_starts_with(topic, reserved[i])) return true;
	return false;
}

static enum mqtt_reason judge_topic(const struct client *c, struct sl_slice topic) {
	if (client_topic_reserved(topic)) return MQTT_RC_NOT_AUTHORIZED;
	/* A topic may not have more levels than the trie is walked for; n bytes hold at most n + 1 of them. */
	size_t levels_max = c->w->b->set.topic_levels_max;
	if (sl_unlikely(topic.n >= levels_max) && topic_levels(topic) > levels_max) return MQTT_RC_TOPIC_NAME_INVALID;
	return MQTT_RC_SUCCESS;
}

/* Refuses one message and lives on; where the protocol cannot say so (3.x), it is acknowledged and dropped. */
static void refuse(struct client *c, const struct mqtt_publish *p, enum mqtt_reason reason) {
	metric_inc(c->w, METRIC_PUBLISH_REFUSED);
	if (p->qos > 0) acknowledge(c, entry_take(c->w), p->packet_id, p->qos, reason);
}

static void refuse_denied(struct client *c, const struct mqtt_publish *p) {
	if (c->state == CLIENT_CONNECTED) refuse(c, p, (enum mqtt_reason)client_access_code(c));
}

void client_room(struct client *c) {
	if (!sl_list_linked(&c->room_link)) return;
	sl_list_remove(&c->room_link);
	c->no_room = NULL;
	c->moment = false;
	sl_metric_dec(&c->w->metrics, METRIC_PUBLISHERS_WAITING);
	c->pauses &= (uint16_t)~CLIENT_PAUSE_UNREAD;
	client_resume(c, CLIENT_PAUSE_ROOM);
}

/* The message at hand has made rows, and the memory for rows is full: no other is taken from its publisher until there is room.
 * Or (waiting: worker.refused) not even this one. Who has gone already is not waited for. */
static void wait_for_room(struct client *c, struct sl_stage *no_room, uint8_t qos, struct sl_list *waiting) {
	if (sl_list_linked(&c->room_link) || client_stream(c)->hup) return;
	c->no_room = no_room;
	c->no_room_qos = qos;
	c->room_ms = sl_loop_now_ms(c->w->loop);
	c->moment = c->feeds = true;
	if (!sl_timer_armed(&c->w->moment_timer)) sl_timer_set(c->w->loop, &c->w->moment_timer, CLIENT_MOMENT_MS);
	sl_list_push_back(waiting, &c->room_link);
	metric_inc(c->w, METRIC_PUBLISHERS_WAITING);
	client_pause(c, CLIENT_PAUSE_ROOM);
}

bool client_moment_over(struct client *c, uint64_t now_ms) {
	if (!c->moment) return true;
	if (now_ms - c->room_ms < CLIENT_MOMENT_MS) return false;
	c->moment = false;
	client_read_again(c);
	return true;
}

/* Who publishes rows is not read from while those of others fill the way: what it sends is better kept by itself. Like one whose
 * message was not taken it comes before those others when there is room. */
bool client_may_read(struct client *c) {
	if (sl_likely(!c->feeds) || client_stream(c)->hup) return true;
	if (!sl_list_linked(&c->room_link) && !rules_room_for_any(c->w->rules))
		wait_for_room(c, NULL, 0, &c->w->refused);
	return !c->moment;
}

/* Nobody is there any more who could send it again, nor has it been acknowledged: it goes with the connection. */
static bool shut(struct client *c, const struct msg *m) {
	struct sl_stage *st = route_shut(c->w, m, c);
	if (!st) return false;
	c->passed_over = c->passed_over || (client_stream(c)->hup && m->qos > 0);
	if (client_stream(c)->hup) metric_inc(c->w, METRIC_PUBLISH_REFUSED);
	wait_for_room(c, st, m->qos, &c->w->refused);
	return true;
}

/* It sends them again, with the one before that was not taken, and in that order rules are to see them. */
static bool pass_over(struct client *c, uint8_t qos) {
	if (sl_likely(!c->passed_over) || qos == 0) return false;
	metric_inc(c->w, METRIC_PUBLISH_REFUSED);
	return true;
}

static void route_acknowledged(struct client *c, struct msg *m, const struct mqtt_publish *p) {
	struct client_entry *e = entry_take(c->w);
	uint64_t now = sl_loop_now_ms(c->w->loop);
	e->ticket.patience_ms = patience_ms(now - c->publish_ms);
	if (p->qos == 1) e->ticket.line = c->serial; /* that of QoS 2 outlives the connection, and its order */
	c->publish_ms = now;
	uint64_t before = worker_log_begin(c->w);
	bool wanted = route_publish(c->w, m, c->s, c, &e->ticket);
	if (p->qos == 2) session_log_in(c->s, p->packet_id, e->ticket.pending > 0);
	worker_log_end(c->w, before, c, NULL);
	c->feeds = c->feeds || e->ticket.pending > 0 || e->ticket.behind;
	acknowledge(c, e, p->packet_id, p->qos, wanted ? MQTT_RC_SUCCESS : MQTT_RC_NO_MATCHING_SUBSCRIBERS);
}

static struct msg *message_of(const struct client *c, const struct mqtt_publish *p) {
	struct worker *w = c->w;
	return msg_new(&(struct msg_spec){
	    .topic = p->topic,
	    .payload = p->payload,
	    .client_id = c->s->client_id,
	    .props = client_is_v5(c) ? &p->props : NULL,
	    .username = c->username && event_wanted(w, EVENTS_RECEIVERS) ? slice_from_str(c->username) : SL_SLICE_EMPTY,
	    .arrived_ms = sl_loop_wall_ms(w->loop),
	    .number = worker_message_number(w),
	    .qos = p->qos,
	    .retain = p->retain,
	});
}

/* It was routed in a former run, and that one ended before the rules were done with it. */
static void rules_again(struct client *c, const struct mqtt_publish *p) {
	struct msg *m = message_of(c, p);
	struct client_entry *e = entry_take(c->w);
	route_to_rules_again(c->w, m, c, &e->ticket);
	acknowledge(c, e, p->packet_id, 2, MQTT_RC_SUCCESS);
	msg_unref(m);
}

/* False: it was not taken. */
static bool publish(struct client *c, const struct mqtt_publish *p) {
	struct worker *w = c->w;
	if (pass_over(c, p->qos)) return true;
	if (w->rules) (void)rules_no_room(w->rules); /* of what others have caused */
	struct msg *m = message_of(c, p);
	if (w->rules && sl_unlikely(rules_gate(w->rules)) && shut(c, m)) {
		msg_unref(m);
		return client_stream(c)->hup;
	}
	if (p->qos == 0) {
		route_publish(w, m, c->s, c, NULL);
	} else {
		if (p->qos == 2) id_set_add(&c->s->in, p->packet_id);
		route_acknowledged(c, m, p);
	}
	msg_unref(m);
	struct sl_stage *no_room = w->rules ? rules_no_room(w->rules) : NULL;
	if (sl_unlikely(no_room)) wait_for_room(c, no_room, p->qos, &w->no_room);
	return true;
}

/* A retained message that the store has no room for is refused; one of 3.x that would have to be acknowledged waits (false). */
static bool retained_fits(struct client *c, const struct mqtt_publish *p, enum mqtt_reason *reason) {
	if (p->payload.n == 0 || *reason != MQTT_RC_SUCCESS || !persist_full(c->w->b)) return true;
	if (p->qos == 0 || client_is_v5(c)) {
		*reason = MQTT_RC_QUOTA_EXCEEDED;
		return true;
	}
	persist_wait_for_room(c);
	return false;
}

/* To be published later, so many seconds from now. */
static void publish_delayed(struct client *c, const struct mqtt_publish *p, uint32_t delay_s) {
	struct worker *w = c->w;
	struct msg *m = msg_new(&(struct msg_spec){
	    .topic = p->topic,
	    .payload = p->payload,
	    .client_id = c->s->client_id,
	    .props = client_is_v5(c) ? &p->props : NULL,
	    .username = c->username ? slice_from_str(c->username) : SL_SLICE_EMPTY,
	    .arrived_ms = delayed_arrives_ms(sl_loop_wall_ms(w->loop), delay_s),
	    .number = worker_message_number(w),
	    .qos = p->qos,
	    .retain = p->retain,
	});
	struct client_entry *e = p->qos > 0 ? entry_take(w) : NULL;
	int rc = delayed_add(w->delayed, m, delay_s, e ? &e->ticket : NULL);
	if (p->qos == 2 && rc == SL_OK) {
		id_set_add(&c->s->in, p->packet_id);
		e->delayed = true;
	}
	if (rc != SL_OK) metric_inc(w, METRIC_PUBLISH_REFUSED);
	if (e) acknowledge(c, e, p->packet_id, p->qos, rc == SL_OK ? MQTT_RC_SUCCESS : MQTT_RC_QUOTA_EXCEEDED);
	msg_unref(m);
}

bool client_publish(struct client *c, const struct mqtt_frame *f) {
	struct mqtt_publish p;
	enum mqtt_reason reason = MQTT_RC_MALFORMED_PACKET;
	if (mqtt_decode_publish(f, c->version, MQTT_FROM_CLIENT, &p, &reason) != SL_OK) {
		client_protocol_error(c, reason, "PUBLISH");
		return true;
	}
	if (check(c, &p) && (!client_is_v5(c) || resolve_alias(c, &p))) {
		uint32_t delay_s;
		reason = client_publish_topic(c, &p.topic, &delay_s);
		if (sl_likely(reason == MQTT_RC_SUCCESS)) reason = judge_topic(c, p.topic);
		if (sl_unlikely(p.retain) && !retained_fits(c, &p, &reason)) return false;
		if (sl_unlikely(c->s->reroute.len > 0) && p.qos == 2 && id_set_remove(&c->s->reroute, p.packet_id))
			rules_again(c, &p);
		else if (p.qos == 2 && id_set_has(&c->s->in, p.packet_id))
			acknowledge_again(c, p.packet_id);
		else if (sl_unlikely(reason != MQTT_RC_SUCCESS))
			refuse(c, &p, reason);
		else if (sl_unlikely(!client_access_publish(c, &p)))
			refuse_denied(c, &p);
		else if (sl_unlikely(delay_s != CLIENT_NO_DELAY))
			publish_delayed(c, &p, delay_s);
		else if (sl_unlikely(!publish(c, &p)))
			return false;
		if (sl_unlikely(p.retain)) persist_slow_down(c);
	}
	sl_metric_add(&c->w->metrics, METRIC_PUBLISH_BYTES_IN, p.payload.n);
	metric_inc(c->w, p.qos == 0   ? METRIC_PUBLISH_IN_QOS0
			 : p.qos == 1 ? METRIC_PUBLISH_IN_QOS1
				      : METRIC_PUBLISH_IN_QOS2);
	return true;
}

void client_pubrel(struct client *c, const struct mqtt_ack *a) {
	bool known = id_set_remove(&c->s->in, a->packet_id);
	if (known) session_log_released(c->s, a->packet_id);
	/* [MQTT-4.3.3-11]; an unknown id is answered all the same, the client may have lost our PUBCOMP. */
	client_send_ack(c, MQTT_PUBCOMP, a->packet_id, known ? MQTT_RC_SUCCESS : MQTT_RC_PACKET_ID_NOT_FOUND);
}
