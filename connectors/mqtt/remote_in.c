/* remote_in.c: a source's life, and its messages; see remote_in.h. */
#include "remote_in.h"

#include "log.h"
#include "mem.h"
#include "rng.h"

#define AGAIN_MIN_MS 500
#define AGAIN_MAX_MS 30000
#define REFUSED_MS 30000 /* subscriptions that were refused are asked for again */
#define CLOSING_MS 2000
#define CLOSING_TICK_MS 20

static struct remote_source *of(const struct sl_source *s) { return sl_source_impl(s); }
static struct remote_source *source_of(struct remote *r) { return sl_container_of(r, struct remote_source, r); }

/* ---- Messages. ---- */

static void header_add(struct remote_source *k, uint32_t *n, struct sl_slice name, struct sl_slice value) {
	SL_GROW(k->headers, *n, k->header_cap);
	k->headers[(*n)++] = (struct sl_source_header){name, value};
}

static void message_take(struct remote_source *k, const struct mqtt_publish *p, uint64_t mark) {
	uint32_t headers = 0;
	struct sl_slice rest = p->props.raw;
	struct mqtt_prop_item user;
	while (mqtt_props_next(&rest, &user))
		if (user.prop == MQTT_PROP_USER_PROPERTY) header_add(k, &headers, user.bytes, user.value);
	struct sl_source_publish publish = {
	    .qos = p->qos,
	    .retain = p->retain,
	    .dup = p->dup,
	    .user_properties = p->props.raw,
	    .content_type = mqtt_props_bytes(&p->props, MQTT_PROP_CONTENT_TYPE),
	    .response_topic = mqtt_props_bytes(&p->props, MQTT_PROP_RESPONSE_TOPIC),
	    .correlation_data = mqtt_props_bytes(&p->props, MQTT_PROP_CORRELATION_DATA),
	    .message_expiry_s = mqtt_props_has(&p->props, MQTT_PROP_MESSAGE_EXPIRY)
				    ? (int64_t)p->props.v[MQTT_PROP_MESSAGE_EXPIRY].num
				    : -1,
	    .payload_format = mqtt_props_has(&p->props, MQTT_PROP_PAYLOAD_FORMAT)
				  ? (int32_t)p->props.v[MQTT_PROP_PAYLOAD_FORMAT].num
				  : -1,
	};
	struct sl_source_item item = {
	    .value = p->payload.p ? p->payload : SL_SLICE_LIT(""),
	    .headers = k->headers,
	    .header_count = headers,
	    .partition = -1,
	    .offset = -1,
	    .ts_ms = -1,
	    .topic = p->topic,
	    .publish = &publish,
	};
	sl_source_take(k->part, &item, mark);
}

static void stranger(struct remote_source *k, const struct mqtt_publish *p) {
	if (!k->stranger)
		log_always(LOG_WARN, LOG_CONN, "the broker sends what is not subscribed to any more",
			   "source=%s topic=%.*s do=\"connect once with clean_start: true, or give the connector "
			   "another clientid\"",
			   sl_source_name(k->s), SL_SLICE_ARG(slice_sub(p->topic, 0, 200)));
	k->stranger = true;
}

static void on_publish(struct remote_source *k, const struct mqtt_publish *p) {
	if (p->topic.n == 0) { /* we allow no aliases */
		remote_disconnect(&k->r, MQTT_RC_TOPIC_ALIAS_INVALID,
				  "the broker used a topic alias, and we announced none");
		return;
	}
	if (p->qos > 0 && remote_known(k, p)) return;
	uint64_t mark = remote_take(k, p);
	if (remote_subs_match(k, p->topic)) {
		message_take(k, p, mark);
		return;
	}
	stranger(k, p);
	remote_through(k, mark);
	remote_acks_send(k);
}

static void on_packet(struct remote *r, const struct mqtt_packet *p) {
	struct remote_source *k = source_of(r);
	switch (p->type) {
	case MQTT_PUBLISH: on_publish(k, &p->publish); return;
	case MQTT_PUBREL: remote_pubrel(k, &p->ack); return;
	case MQTT_SUBACK: remote_subs_suback(k, &p->suback); return;
	case MQTT_UNSUBACK: return;
	case MQTT_CONNECT:
	case MQTT_CONNACK:
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBCOMP:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
	case MQTT_DISCONNECT:
	case MQTT_AUTH: remote_disconnect(r, MQTT_RC_PROTOCOL_ERROR, "the broker sent what nobody asked for"); return;
	}
}

static void on_burst(struct remote *r) { sl_source_flush(source_of(r)->s); }

/* ---- Up and down. ---- */

static void on_ready(struct remote *r, const struct mqtt_connack *ack) {
	struct remote_source *k = source_of(r);
	k->attempts = 0;
	if (!ack->session_present) remote_session_lost(k);
	remote_subs_begin(k, ack->session_present);
	if (r->state != REMOTE_READY) return;
	sl_timer_set(r->loop, &k->timer, REFUSED_MS);
	if (sl_source_paused(k->s)) sl_stream_pause(remote_stream(r));
}

static void on_down(struct remote *r, int status, const char *text) {
	struct remote_source *k = source_of(r);
	(void)status;
	remote_connection_lost(k);
	if (k->closing) return;
	sl_source_state(k->s, SL_SOURCE_DOWN, "%s", text);
	uint64_t bound = (uint64_t)AGAIN_MIN_MS << (k->attempts < 10 ? k->attempts : 10);
	if (bound > AGAIN_MAX_MS) bound = AGAIN_MAX_MS;
	k->attempts++;
	/* Many of us may have lost the same broker. */
	sl_timer_set(r->loop, &k->timer, bound / 2 + sl_rng_next() % (bound / 2));
}

static void session_open(struct remote_source *k) {
	uint64_t s = k->conf.session_expiry_ms == CONF_UNLIMITED ? UINT32_MAX
								 : ((uint64_t)k->conf.session_expiry_ms + 999) / 1000;
	remote_open(&k->r, &(struct remote_login){.client_id = k->client_id,
						  .clean_start = k->conf.clean_start,
						  .session_expiry_s = (uint32_t)s,
						  .receive_maximum = (uint16_t)k->settings->max_inflight});
}

static void on_timer(struct sl_timer *t) {
	struct remote_source *k = sl_container_of(t, struct remote_source, timer);
	if (k->r.state == REMOTE_CLOSED) {
		session_open(k);
	} else if (k->r.state == REMOTE_READY) {
		remote_subs_begin(k, true);
		sl_timer_set(k->r.loop, t, REFUSED_MS);
	}
}

static void on_idle(struct remote *r) {
	struct remote_source *k = source_of(r);
	if (k->closing && r->state == REMOTE_CLOSED) sl_source_closed(k->s);
}

static const struct remote_events events = {
    .on_ready = on_ready, .on_packet = on_packet, .on_burst = on_burst, .on_down = on_down, .on_idle = on_idle};

/* ---- The kind. ---- */

static int check(struct sl_source *s, struct sl_err *err) {
	struct remote_source *k = of(s);
	k->s = s;
	k->settings = sl_source_conn_impl(s); /* its first member */
	sl_timer_init(&k->timer, on_timer);
	return remote_source_check(k, err);
}

/* Files that `tls` names were checked with the connector; one that has gone since is said, and looked for again. */
static void start(struct sl_source *s) {
	struct remote_source *k = of(s);
	struct sl_err err = SL_ERR_INIT;
	k->settings = sl_source_conn_impl(s);
	k->part = sl_source_part_new(s);
	k->started = true;
	if (remote_init(&k->r, sl_source_loop(s), k->settings, &events, &err) != SL_OK)
		sl_source_state(s, SL_SOURCE_DOWN, "%s", sl_err_text(&err));
	else
		sl_source_state(s, SL_SOURCE_CONNECTING, NULL);
	k->client_id = remote_client_id(k->settings, sl_source_conn_name(s), sl_source_name(s));
	if (err.status == SL_OK) sl_timer_set(sl_source_loop(s), &k->timer, 1);
	sl_err_fini(&err);
}

static void pause_source(struct sl_source *s) {
	if (of(s)->r.state == REMOTE_READY) sl_stream_pause(remote_stream(&of(s)->r));
}
static void resume_source(struct sl_source *s) {
	if (of(s)->r.state == REMOTE_READY) sl_stream_resume(remote_stream(&of(s)->r));
}

static void done(struct sl_source_part *part, uint64_t mark) { remote_through(of(sl_source_part_source(part)), mark); }
static void settled(struct sl_source *s) { remote_acks_send(of(s)); }

static void closing_go_on(struct sl_timer *t) {
	struct remote_source *k = sl_container_of(t, struct remote_source, timer);
	bool waits = k->r.state == REMOTE_READY && k->first < k->end;
	if (waits && sl_loop_now_ms(k->r.loop) < k->closing_ms) {
		sl_timer_set(k->r.loop, t, CLOSING_TICK_MS);
		return;
	}
	remote_close(&k->r);
	sl_source_part_end(k->part);
	k->part = NULL;
	if (remote_idle(&k->r)) sl_source_closed(k->s);
}

/* What is under way has some time to get through and be acknowledged; what is left the broker sends again. */
static void close_source(struct sl_source *s) {
	struct remote_source *k = of(s);
	k->closing = true;
	k->closing_ms = sl_loop_now_ms(sl_source_loop(s)) + CLOSING_MS;
	if (k->r.state == REMOTE_READY) sl_stream_pause(remote_stream(&k->r));
	k->timer.fire = closing_go_on;
	sl_timer_set(sl_source_loop(s), &k->timer, 1);
}

static void fini(struct sl_source *s) {
	struct remote_source *k = of(s);
	if (!k->s) return;
	sl_timer_cancel(&k->timer);
	if (k->started) remote_fini(&k->r);
	sl_source_part_end(k->part);
	remote_acks_fini(k);
	sl_free(k->subs);
	sl_free(k->headers);
	sl_free(k->client_id);
}

static uint64_t untold(const struct sl_source *s) { return of(s)->untold; }

const struct sl_source_kind remote_source_kind = {
    .summary = "Subscribes at another MQTT broker, with a session that keeps messages while we are away.",
    .example = "{connector: cloud, topics: [{filter: \"cmd/#\", qos: 1}]}",
    .source_size = sizeof(struct remote_source),
    .fields = remote_source_fields,
    .check = check,
    .start = start,
    .pause = pause_source,
    .resume = resume_source,
    .done = done,
    .settled = settled,
    .untold = untold,
    .close = close_source,
    .fini = fini,
};
