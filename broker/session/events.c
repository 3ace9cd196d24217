/* events.c: see events.h. */
#include "events.h"

#include "auth_identity.h"
#include "listener.h"
#include "mem.h"

/* The reason's name as EMQX writes it: "Topic Filter invalid" is topic_filter_invalid, a few have names of their own. */
enum { REASON_BYTES = 64 }; /* of our own table's names */

static struct sl_slice reason_word(enum mqtt_reason reason, char *buf) {
	if (reason == MQTT_RC_KEEP_ALIVE_TIMEOUT) return SL_SLICE_LIT("keepalive_timeout");
	if (reason == MQTT_RC_BAD_USER_NAME_OR_PASSWORD) return SL_SLICE_LIT("bad_username_or_password");
	if (reason == MQTT_RC_SESSION_TAKEN_OVER) return SL_SLICE_LIT("takenover");
	const char *name = mqtt_reason_name(reason);
	size_t n = 0;
	for (; name[n] && n < REASON_BYTES; n++)
		buf[n] = (char)(name[n] == ' ' || name[n] == '-'   ? '_'
				: name[n] >= 'A' && name[n] <= 'Z' ? name[n] | 32
								   : name[n]);
	return slice_make(buf, n);
}

static struct sl_slice text_of(const char *text) { return text ? slice_from_str(text) : SL_SLICE_EMPTY; }

static struct sl_slice sock_of(struct client *c) {
	struct sockaddr_storage name;
	socklen_t len = sizeof name;
	int fd = sl_stream_fd(client_stream(c));
	if (!c->sock && fd >= 0 && getsockname(fd, (struct sockaddr *)(void *)&name, &len) == 0)
		c->sock = listener_peer_text((const struct sockaddr *)(const void *)&name, len);
	return text_of(c->sock);
}

static void tell(struct worker *w, struct rules_event *ev, enum rules_event_kind kind,
		 const struct rules_about *about) {
	ev->kind = (uint8_t)kind;
	ev->about = about;
	ev->at_ms = sl_loop_wall_ms(w->loop);
	rules_event(w->rules, ev);
}

/* ---- clients ---- */

static struct rules_about about_client(struct client *c) {
	return (struct rules_about){.clientid = c->s ? c->s->client_id : SL_SLICE_EMPTY,
				    .username = text_of(c->username),
				    .peer = slice_from_str(c->peer),
				    .version = c->version,
				    .keepalive_s = c->keep_alive_s,
				    .expiry_s = c->s ? c->s->expiry_s : 0,
				    .clean_start = c->clean_start,
				    .connected_ms = c->connected_ms,
				    .connection = c->s ? c->s->ref : 0,
				    .serial = c->serial};
}

/* Before there is a session. */
static struct rules_about about_connect(struct client *c, const struct mqtt_connect *p) {
	struct rules_about about = about_client(c);
	if (!c->s) {
		about.clientid = p->client_id;
		about.username = p->has_username ? p->username : SL_SLICE_EMPTY;
		about.keepalive_s = p->keep_alive_s;
		about.clean_start = p->clean_start;
		about.expiry_s = mqtt_props_num(&p->props, MQTT_PROP_SESSION_EXPIRY, 0);
	}
	about.sock = sock_of(c);
	about.props = p->props.raw;
	return about;
}

void event_identity(const struct client *c, struct rules_event *ev) {
	if (!c->identity) return;
	ev->attrs = c->identity->attrs;
	ev->attrs_len = c->identity->attrs_len;
	ev->superuser = c->identity->superuser;
}

/* Of what is no message. */
static struct rules_event plain_event(const struct client *c) {
	struct rules_event ev = {.qos = 1, .version = c->version, .message_expiry_s = -1, .payload_format = -1};
	event_identity(c, &ev);
	return ev;
}

void event_authn(struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason) {
	char buf[REASON_BYTES];
	struct rules_event ev = plain_event(c);
	struct rules_about about = about_connect(c, p);
	about.reason = reason_word(reason, buf);
	about.anonymous = !p->has_username || !c->w->auth;
	tell(c->w, &ev, EVENT_CLIENT_AUTHN, &about);
}

void event_refused(struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason) {
	char buf[REASON_BYTES];
	struct rules_event ev = plain_event(c);
	struct rules_about about = about_connect(c, p);
	about.reason = reason_word(reason, buf);
	tell(c->w, &ev, EVENT_CLIENT_CONNACK, &about);
	tell(c->w, &ev, EVENT_AWS_CONNECT_FAILED, &about);
}

void event_connected(struct client *c, const struct mqtt_connect *p) {
	struct rules_event ev = plain_event(c);
	struct rules_about about = about_connect(c, p);
	about.reason = SL_SLICE_LIT("success");
	about.bridge = p->bridge;
	about.receive_maximum = (uint16_t)mqtt_props_num(&p->props, MQTT_PROP_RECEIVE_MAXIMUM, UINT16_MAX);
	tell(c->w, &ev, EVENT_CLIENT_CONNACK, &about);
	tell(c->w, &ev, EVENT_CLIENT_CONNECTED, &about);
	tell(c->w, &ev, EVENT_AWS_CONNECTED, &about);
}

void event_disconnected(struct client *c, enum mqtt_reason reason, const char *why, struct sl_slice props,
			bool by_client) {
	char buf[REASON_BYTES];
	struct rules_event ev = plain_event(c);
	struct rules_about about = about_client(c);
	about.reason = why ? slice_from_str(why) : reason_word(reason, buf);
	about.sock = sock_of(c);
	about.props = props;
	about.by_client = by_client;
	about.disconnected_ms = sl_loop_wall_ms(c->w->loop);
	tell(c->w, &ev, EVENT_CLIENT_DISCONNECTED, &about);
	tell(c->w, &ev, EVENT_AWS_DISCONNECTED, &about);
}

void event_ping(struct client *c) {
	struct rules_event ev = plain_event(c);
	struct rules_about about = about_client(c);
	about.sock = sock_of(c);
	tell(c->w, &ev, EVENT_CLIENT_PING, &about);
}

/* ---- subscriptions ---- */

void event_filters_init(struct event_filters *f, struct client *c, const struct mqtt_subscribe *packet,
			bool subscribed) {
	*f = (struct event_filters){.c = c, .props = packet->props.raw, .subscribed = subscribed};
	if (event_wanted(c->w, subscribed ? EVENTS_SUBSCRIBED : EVENTS_UNSUBSCRIBED))
		f->v = SL_ARENA_ARRAY(sl_loop_arena(c->w->loop), struct sl_slice, packet->count);
}

void event_filters_add(struct event_filters *f, struct sl_slice filter, uint8_t qos) {
	if (!f->v) return;
	struct rules_event ev = plain_event(f->c);
	struct rules_about about = about_client(f->c);
	about.filter = filter;
	about.qos = qos;
	about.props = f->props;
	f->v[f->len++] = filter;
	tell(f->c->w, &ev, f->subscribed ? EVENT_SESSION_SUBSCRIBED : EVENT_SESSION_UNSUBSCRIBED, &about);
}

void event_filters_finish(struct event_filters *f) {
	if (f->len == 0) return;
	struct rules_event ev = plain_event(f->c);
	struct rules_about about = about_client(f->c);
	about.filters = f->v;
	about.filter_count = f->len;
	tell(f->c->w, &ev, f->subscribed ? EVENT_AWS_SUBSCRIBED : EVENT_AWS_UNSUBSCRIBED, &about);
}

/* ---- messages ---- */

void event_of_message(const struct msg *m, struct rules_event *ev) {
	*ev = (struct rules_event){
	    .topic = msg_topic(m),
	    .payload = msg_payload(m),
	    .clientid = msg_client_id(m),
	    .username = msg_username(m),
	    .topic_hash = m->topic_hash,
	    .at_ms = m->arrived_ms,
	    .published_ms = m->arrived_ms,
	    .number = m->number,
	    .qos = m->qos,
	    .version = MQTT_V5,
	    .retain = m->retain,
	    .hops = m->hops,
	    .message_expiry_s = m->expiry_s == MSG_NO_EXPIRY ? -1 : (int64_t)m->expiry_s,
	    .payload_format = -1,
	};
	if (!m->props_present) return;
	/* Whoever walks them skips what is no user property. */
	if (msg_has_prop(m, MQTT_PROP_USER_PROPERTY)) ev->user_properties = msg_props(m);
	ev->content_type = msg_prop_bytes(m, MQTT_PROP_CONTENT_TYPE);
	ev->response_topic = msg_prop_bytes(m, MQTT_PROP_RESPONSE_TOPIC);
	ev->correlation_data = msg_prop_bytes(m, MQTT_PROP_CORRELATION_DATA);
	if (msg_has_prop(m, MQTT_PROP_PAYLOAD_FORMAT))
		ev->payload_format = (int32_t)msg_prop_num(m, MQTT_PROP_PAYLOAD_FORMAT, 0);
}

/* A message on its way to one receiver, who may be offline. */
static void tell_delivery(struct session *s, const struct msg *m, uint8_t qos, bool retain, enum rules_event_kind kind,
			  struct rules_about *about) {
	struct rules_event ev;
	event_of_message(m, &ev);
	ev.qos = qos;
	ev.retain = retain;
	about->clientid = s->client_id;
	about->username = text_of(s->c ? s->c->username : NULL);
	about->peer = text_of(s->c ? s->c->peer : NULL);
	tell(s->w, &ev, kind, about);
}

void event_delivered(struct client *c, const struct msg *m, uint8_t qos, bool retain) {
	struct rules_about about = {.qos = qos};
	if (c->s) tell_delivery(c->s, m, qos, retain, EVENT_MESSAGE_DELIVERED, &about);
}

void event_acked(struct client *c, const struct msg *m, uint8_t qos, bool retain, struct sl_slice props) {
	struct rules_about about = {.props = props};
	tell_delivery(c->s, m, qos, retain, EVENT_MESSAGE_ACKED, &about);
}

void event_delivery_dropped(struct session *s, const struct msg *m, uint8_t qos, const char *why) {
	struct rules_about about = {.reason = slice_from_str(why)};
	tell_delivery(s, m, qos, m->retain, EVENT_DELIVERY_DROPPED, &about);
}

void event_dropped(struct worker *w, const struct msg *m, const struct client *c) {
	struct rules_event ev;
	event_of_message(m, &ev);
	struct rules_about about = {.clientid = ev.clientid,
				    .username = c ? text_of(c->username) : ev.username,
				    .peer = text_of(c ? c->peer : NULL),
				    .reason = SL_SLICE_LIT("no_subscribers")};
	tell(w, &ev, EVENT_MESSAGE_DROPPED, &about);
}
