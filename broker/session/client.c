#include "client.h"

#include <unistd.h>

#include "alias_out.h"
#include "auth.h"
#include "client_auth.h"
#include "client_guard.h"
#include "events.h"
#include "log.h"
#include "mem.h"
#include "persist.h"
#include "rules.h"
#include "stream_tls.h"
#include "will.h"
#include "worker_log.h"

static void on_ready(struct sl_stream *st);
static size_t on_read(struct sl_stream *st, struct sl_slice bytes);
static void on_drain(struct sl_stream *st);
static void on_hup(struct sl_stream *st);
static void on_closed(struct sl_stream *st, int status);

static struct client *client_of(struct sl_stream *st) { return sl_container_of(st, struct client, stack); }
static bool may_read(struct sl_stream *st) { return client_may_read(client_of(st)); }

static const struct sl_stream_events client_events = {.on_ready = on_ready,
						      .on_read = on_read,
						      .on_drain = on_drain,
						      .on_hup = on_hup,
						      .may_read = may_read,
						      .on_closed = on_closed};

/* ---- time ---- */

/* CONNECT's limit, later keep-alive: one and a half times what the client promised [MQTT-3.1.2-22]. Looked at when the
 * timer fires, so that a packet costs no timer. */
static void client_timer(struct sl_timer *t) {
	struct client *c = sl_container_of(t, struct client, timer);
	if (c->state != CLIENT_CONNECTED) {
		log_debug(LOG_MQTT, "no CONNECT in time", "peer=%s", c->peer);
		client_close(c, SL_EPROTOCOL);
		return;
	}
	uint64_t limit = (uint64_t)c->keep_alive_s * 1500, now = sl_loop_now_ms(c->w->loop);
	/* What it sent lies unread while we hold it back: that is not its silence. */
	if (c->pauses & ~(CLIENT_PAUSE_OUT | CLIENT_PAUSE_ROOM)) c->last_in_ms = now;
	uint64_t silent = now - c->last_in_ms;
	if (silent < limit) {
		sl_timer_set(c->w->loop, t, limit - silent);
		return;
	}
	metric_inc(c->w, METRIC_KEEPALIVE_TIMEOUTS);
	client_disconnect(c, MQTT_RC_KEEP_ALIVE_TIMEOUT);
}

/* ---- begin and end ---- */

/* Of a certificate that somebody else has seen, its name is known alone. */
static struct tls_peer *peer_of_proxy(char *common_name) {
	if (!common_name) return NULL;
	struct tls_peer *p = SL_NEW(struct tls_peer);
	p->common_name = common_name;
	return p;
}

void client_accept(struct worker *w, struct bind_state *bind, int fd, const struct client_origin *o) {
	struct client *c = sl_zalloc(sizeof *c + bind->transport->stack_bytes);
	c->w = w;
	c->bind = bind;
	c->peer = o->peer;
	c->sock = o->sock;
	c->proxied = peer_of_proxy(o->common_name);
	c->packet_max = UINT32_MAX;
	sl_list_init(&c->link);
	sl_list_init(&c->acks);
	sl_list_init(&c->room_link);
	sl_list_init(&c->log_link);
	sl_list_init(&c->unacked_link);
	sl_timer_init(&c->timer, client_timer);
	client_connect_init(c);
	client_rate_init(c);
	metric_inc(w, METRIC_CONNECTIONS_ACCEPTED);
	metric_inc(w, METRIC_CONNECTIONS);
	struct sl_err err = SL_ERR_INIT;
	int rc = bind->transport->open(client_stream(c), w->loop, fd, &client_events, &bind->opts,
				       &w->metrics.v[METRIC_BYTES_IN], &w->metrics.v[METRIC_BYTES_OUT], &err);
	sl_list_push_back(&w->clients, &c->link);
	if (rc != SL_OK) {
		log_warn(LOG_NET, "a connection was not taken", "peer=%s err=%s", c->peer, sl_err_text(&err));
		sl_err_fini(&err);
		close(fd);
		on_closed(client_stream(c), SL_EIO);
		return;
	}
	sl_timer_set(w->loop, &c->timer, w->b->set.connect_timeout_ms);
}

const struct tls_peer *client_tls_peer(struct client *c) {
	struct sl_stream_tls *tls = sl_stream_tls_in(client_stream(c));
	const struct tls_peer *peer = tls ? sl_stream_tls_peer(tls) : NULL;
	return peer ? peer : c->proxied;
}

void client_close(struct client *c, int status) {
	if (c->state == CLIENT_CLOSED) return;
	c->state = CLIENT_CLOSED;
	sl_stream_close(client_stream(c), status);
}

void client_disconnect(struct client *c, enum mqtt_reason reason) { client_disconnect_as(c, reason, NULL); }

static void send_disconnect(struct client *c, enum mqtt_reason reason, const char *why) {
	enum { SIZE = 4 }; /* of a DISCONNECT with a code and no properties */
	struct sl_buf props = SL_BUF_INIT;
	struct mqtt_bye bye = {.reason = reason};
	if (why) client_put_reason(c, MQTT_DISCONNECT, slice_from_str(why), SIZE, &props);
	mqtt_props_init(&bye.props);
	bye.props.raw = sl_buf_slice(&props);
	mqtt_encode_bye(MQTT_DISCONNECT, &bye, MQTT_V5, sl_stream_out(client_stream(c)));
	sl_buf_fini(&props);
	metric_inc(c->w, METRIC_PACKETS_OUT);
}

static void end(struct client *c, enum mqtt_reason reason, const char *event_reason, const char *why) {
	if (c->state == CLIENT_CONNECTED && event_wanted(c->w, EVENTS_PRESENCE_END))
		event_disconnected(c, reason, event_reason, SL_SLICE_EMPTY, false);
	if (c->state == CLIENT_CONNECTED && client_is_v5(c)) send_disconnect(c, reason, why);
	client_close(c, SL_EPROTOCOL);
}

void client_disconnect_as(struct client *c, enum mqtt_reason reason, const char *event_reason) {
	end(c, reason, event_reason, NULL);
}

void client_protocol_error(struct client *c, enum mqtt_reason reason, const char *what) {
	metric_inc(c->w, METRIC_PROTOCOL_ERRORS);
	log_debug(LOG_MQTT, "protocol error", "peer=%s reason=0x%02x what=\"%s\"", c->peer, (unsigned)reason, what);
	end(c, reason, NULL, what);
}

static void on_ready(struct sl_stream *st) {
	struct client *c = client_of(st);
	const struct sl_stream_tls *tls = sl_stream_tls_in(st);
	if (!tls) return;
	metric_inc(c->w, sl_stream_tls_resumed(tls) ? METRIC_TLS_RESUMED : METRIC_TLS_FULL);
}

/* What TLS says of it, at a handshake above all: nobody else will tell the client's keeper. */
static void tell_tls_error(struct client *c) {
	const struct sl_stream_tls *tls = sl_stream_tls_in(client_stream(c));
	const char *error = tls ? sl_stream_tls_error(tls) : NULL;
	if (!error) return;
	if (!tls->ready) metric_inc(c->w, METRIC_TLS_FAILED);
	log_info(LOG_NET, tls->ready ? "TLS connection failed" : "TLS handshake failed", "listener=%s peer=%s why=%s",
		 c->bind->name, c->peer, error);
}

static void on_closed(struct sl_stream *st, int status) {
	struct client *c = client_of(st);
	tell_tls_error(c);
	struct worker *w = c->w;
	if (c->state == CLIENT_CONNECTED && event_wanted(w, EVENTS_PRESENCE_END))
		event_disconnected(c, MQTT_RC_UNSPECIFIED, status == SL_ECLOSED ? "tcp_closed" : "tcp_error",
				   SL_SLICE_EMPTY, false);
	c->state = CLIENT_CLOSED;
	sl_timer_cancel(&c->timer);
	sl_deferred_cancel(&c->moving);
	if (c->auth_job) auth_cancel(c->auth_job);
	client_identity_drop(c);
	client_drop_acks(c);
	worker_log_client_gone(c);
	client_room(c);
	metric_inc(w, METRIC_CONNECTIONS_CLOSED);
	sl_metric_dec(&w->metrics, METRIC_CONNECTIONS);
	if (c->connected_ms) worker_client_out(w);
	bind_left(c->bind);
	sl_list_remove(&c->link);
	struct session *s = c->s;
	if (s) {
		s->c = NULL;
		if (w->rules) rules_connection_closed(w->rules, s->client_id);
		if (c->will_due && !w->draining) client_guard_ended(c, s);
		session_offline(s, c->will_due);
	}
	for (uint32_t i = 0; c->aliases && i < c->aliases_len; i++) sl_free(c->aliases[i]);
	sl_free(c->aliases);
	alias_out_free(c->alias_out);
	client_auth_free(c);
	sl_free(c->peer);
	sl_free(c->username);
	sl_free(c->sock);
	tls_peer_free(c->proxied);
	client_rate_fini(c);
	sl_free(c);
	worker_client_gone(w);
}

/* ---- reading ---- */

void client_pause(struct client *c, enum client_pause why) {
	c->pauses |= (uint16_t)why;
	if (why != CLIENT_PAUSE_ROOM) sl_stream_pause(client_stream(c));
}

void client_resume(struct client *c, enum client_pause why) {
	if (!(c->pauses & why)) return;
	c->pauses &= (uint16_t)~why;
	if (why == CLIENT_PAUSE_ROOM)
		client_read_again(c);
	else if ((c->pauses & ~CLIENT_PAUSE_ROOM) == 0)
		sl_stream_resume(client_stream(c));
}

void client_read_again(struct client *c) {
	sl_stream_pause(client_stream(c));
	if ((c->pauses & ~CLIENT_PAUSE_ROOM) == 0) sl_stream_resume(client_stream(c));
}

static void on_drain(struct sl_stream *st) {
	struct client *c = client_of(st);
	c->answers = 0;
	client_resume(c, CLIENT_PAUSE_OUT);
	if (c->s) session_pump(c->s);
}

/* It waits for nothing any more: what it had sent before is looked at, DISCONNECT above all, and then it ends, with its memory. */
static void on_hup(struct sl_stream *st) { client_room(client_of(st)); }

/* The receiver has the message: with PUBACK, or with PUBREC, after which it is not kept any more. */
static void tell_acked(struct client *c, enum mqtt_type type, const struct mqtt_ack *a) {
	const struct inflight_entry *e = inflight_find(&c->s->out, a->packet_id);
	if (!e || !e->m) return;
	bool first = (type == MQTT_PUBACK && e->state == INFLIGHT_PUBACK) ||
		     (type == MQTT_PUBREC && e->state == INFLIGHT_PUBREC);
	if (first) event_acked(c, e->m, type == MQTT_PUBACK ? 1 : 2, e->retain, a->props.raw);
}

/* An acknowledgement of what we sent. */
static void handle_ack(struct client *c, enum mqtt_type type, const struct mqtt_ack *a) {
	bool refused = a->reason >= 0x80, known;
	if (event_wanted(c->w, EVENT(MESSAGE_ACKED)) && !refused) tell_acked(c, type, a);
	switch (type) {
	case MQTT_PUBACK: session_puback(c->s, a->packet_id); break;
	case MQTT_PUBREC:
		known = session_pubrec(c->s, a->packet_id, refused);
		if (!refused || !known) /* [MQTT-4.3.3-4] */
			client_send_ack(c, MQTT_PUBREL, a->packet_id,
					known ? MQTT_RC_SUCCESS : MQTT_RC_PACKET_ID_NOT_FOUND);
		break;
	case MQTT_PUBCOMP: session_pubcomp(c->s, a->packet_id); break;
	default: client_pubrel(c, a); break;
	}
}

static void handle_disconnect(struct client *c, const struct mqtt_bye *bye) {
	uint32_t expiry = mqtt_props_num(&bye->props, MQTT_PROP_SESSION_EXPIRY, c->s->expiry_s);
	if (c->s->expiry_s == 0 && expiry != 0) { /* [MQTT-3.14.2-2] */
		client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "session expiry set in DISCONNECT after 0 in CONNECT");
		return;
	}
	uint32_t max = c->w->b->set.session_expiry_max_s;
	c->s->expiry_s = expiry > max ? max : expiry;
	c->will_due = bye->reason != MQTT_RC_SUCCESS; /* [MQTT-3.14.4-3]: only the normal end takes it back */
	if (!c->will_due) will_drop(c->s);
	if (event_wanted(c->w, EVENTS_PRESENCE_END))
		event_disconnected(c, bye->reason, bye->reason == MQTT_RC_SUCCESS ? "normal" : NULL, bye->props.raw,
				   true);
	client_close(c, SL_ECLOSED);
}

static void answer_ping(struct client *c) {
	mqtt_encode_ping(MQTT_PINGRESP, sl_stream_out(client_stream(c))); /* [MQTT-3.12.4-1] */
	if (event_wanted(c->w, EVENT(CLIENT_PING))) event_ping(c);
	metric_inc(c->w, METRIC_PACKETS_OUT);
}

static void handle_packet(struct client *c, const struct mqtt_frame *f) {
	struct mqtt_packet p;
	enum mqtt_reason reason = MQTT_RC_MALFORMED_PACKET;
	if (mqtt_decode(f, c->version, MQTT_FROM_CLIENT, &p, &reason) != SL_OK) {
		client_protocol_error(c, reason, mqtt_type_name(f->type));
		return;
	}
	switch (p.type) {
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: handle_ack(c, p.type, &p.ack); break;
	case MQTT_SUBSCRIBE: client_subscribe(c, &p.subscribe); break;
	case MQTT_UNSUBSCRIBE: client_unsubscribe(c, &p.subscribe); break;
	case MQTT_PINGREQ: answer_ping(c); break;
	case MQTT_DISCONNECT: handle_disconnect(c, &p.bye); break;
	case MQTT_AUTH: client_auth_again(c, &p.bye); break;
	case MQTT_CONNECT: /* a second one [MQTT-3.1.0-2] */
	case MQTT_PUBLISH:
	case MQTT_CONNACK:
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
	case MQTT_PINGRESP: client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, mqtt_type_name(p.type)); break;
	}
}

/* False: the packet stays unread. */
static bool handle_frame(struct client *c, const struct mqtt_frame *f) {
	if (sl_unlikely(c->state != CLIENT_CONNECTED)) {
		if (c->state == CLIENT_EXCHANGE) {
			client_auth_packet(c, f);
			return true;
		}
		if (f->type == MQTT_CONNECT) return client_connect(c, f);
		client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "not a CONNECT first"); /* [MQTT-3.1.0-1] */
		return false;
	}
	bool taken = true;
	if (sl_likely(f->type == MQTT_PUBLISH))
		taken = client_publish(c, f);
	else
		handle_packet(c, f);
	if (sl_likely(taken)) metric_inc(c->w, METRIC_PACKETS_IN);
	return taken;
}

/* The client waits for room with its next PUBLISH, which stands first in `rest`, perhaps not whole yet: pings behind it are answered
 * as they come. */
static void peek(struct client *c, struct sl_slice rest) {
	size_t at = c->peeked, limit = client_packet_max(c), first = 0;
	struct mqtt_frame f;
	enum mqtt_reason reason;
	if (mqtt_frame_next(rest, limit, &f, &reason) == SL_OK || f.size > 0) first = f.size;
	while (at < rest.n && mqtt_frame_next(slice_from(rest, at), limit, &f, &reason) == SL_OK) {
		if (f.type == MQTT_PINGREQ) answer_ping(c);
		at += f.size;
	}
	c->peeked = at;
	if (rest.n >= first + CLIENT_UNREAD_MAX || first > limit) client_pause(c, CLIENT_PAUSE_UNREAD);
}

static size_t on_read(struct sl_stream *st, struct sl_slice bytes) {
	/* Then others have their turn: small packets come by the ten thousand in one read. */
	enum { TURN_PACKETS = 512 };
	struct client *c = client_of(st);
	uint32_t packets = 0;
	size_t used = 0, before = sl_stream_pending(st);
	if (sl_likely(!c->pauses)) c->feeds = false;
	c->last_in_ms = sl_loop_now_ms(c->w->loop);
	/* Who speaks something else is not waited for until a whole packet might be there. */
	if (sl_unlikely(c->state == CLIENT_CONNECTING) && bytes.n > 0 && (uint8_t)bytes.p[0] != MQTT_CONNECT << 4) {
		client_protocol_error(c, MQTT_RC_PROTOCOL_ERROR, "not a CONNECT first"); /* [MQTT-3.1.0-1] */
		return 0;
	}
	while ((c->pauses & ~CLIENT_PAUSE_ROOM) == 0 && c->state != CLIENT_CLOSED && used < bytes.n) {
		if (sl_unlikely(c->pauses) && (uint8_t)bytes.p[used] >> 4 == MQTT_PUBLISH) break;
		struct mqtt_frame f;
		enum mqtt_reason reason = MQTT_RC_MALFORMED_PACKET;
		int rc = mqtt_frame_next(slice_from(bytes, used), client_packet_max(c), &f, &reason);
		if (rc == SL_EAGAIN) break;
		if (rc != SL_OK) {
			client_protocol_error(c, reason, "bad packet header");
			break;
		}
		if (sl_unlikely(used < c->peeked) && f.type == MQTT_PINGREQ)
			metric_inc(c->w, METRIC_PACKETS_IN); /* answered already */
		else if (!handle_frame(c, &f))
			break;
		used += f.size;
		if (sl_unlikely(c->rate != NULL) && f.type == MQTT_PUBLISH) client_rate_message(c);
		if (sl_unlikely(++packets == TURN_PACKETS) && used < bytes.n) {
			client_read_again(c);
			break;
		}
	}
	if (sl_unlikely(c->rate != NULL)) client_rate_bytes(c, used);
	if (sl_unlikely(c->peeked)) c->peeked = c->peeked > used ? c->peeked - used : 0;
	if (sl_unlikely(c->pauses & CLIENT_PAUSE_ROOM) && c->state != CLIENT_CLOSED) peek(c, slice_from(bytes, used));
	/* A client that sends and never reads: its answers may not pile up without end. What others published to it does not
	 * count: its acknowledgements and its UNSUBSCRIBE are the way out of a flood. */
	size_t after = sl_stream_pending(st);
	if (before == 0) c->answers = 0;
	if (sl_unlikely(after > before)) c->answers += (uint32_t)(after - before);
	if (sl_unlikely(c->answers > CLIENT_OUT_HIGH) && st->blocked) {
		client_pause(c, CLIENT_PAUSE_OUT);
		sl_stream_tell_drained(st);
	}
	return used;
}
