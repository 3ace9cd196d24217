/* remote.c: see remote.h.
 *
 * A socket lives in a wire of its own on the heap: closing a stream takes until the loop's next turn, and by then the remote may be
 * open again with another one. */
#include "remote.h"

#include <unistd.h>

#include "mem.h"

struct remote_wire {
	union {
		struct sl_stream_tcp tcp;
		struct sl_stream_tls tls;
	};
	struct sl_stream *s;
	struct remote *r;
	bool given_up; /* only to be closed */
	bool is_tls;
};

static void timer_fire(struct sl_timer *t);
static void dial(struct remote *r);

int remote_init(struct remote *r, struct sl_loop *loop, const struct remote_conf *conf,
		const struct remote_events *events, struct sl_err *err) {
	*r = (struct remote){.conf = conf, .events = events, .loop = loop};
	sl_timer_init(&r->timer, timer_fire);
	int rc = remote_url_parse(conf->url, &r->url, err);
	if (rc == SL_OK && (r->url.tls || conf->tls.given)) rc = tls_client_new(&conf->tls, &r->tls, err);
	return rc;
}

void remote_fini(struct remote *r) {
	if (!r->conf) return;
	sl_timer_cancel(&r->timer);
	tls_client_free(r->tls);
	sl_free(r->url.host);
	r->conf = NULL;
}

/* ---- The end of a connection. ---- */

static void wire_leave(struct remote *r) {
	struct remote_wire *w = r->wire;
	if (!w) return;
	r->wire = NULL;
	w->given_up = true;
	sl_stream_close(w->s, SL_OK);
}

static void remote_end(struct remote *r) {
	sl_dial_cancel(r->dial);
	r->dial = NULL;
	sl_timer_cancel(&r->timer);
	r->state = REMOTE_CLOSED;
	wire_leave(r);
}

void remote_fail(struct remote *r, int status, const char *text) {
	if (r->state == REMOTE_CLOSED) return;
	/* The text may live in what ends now. */
	char *why = sl_asprintf("%s:%u: %s", r->url.host, r->url.port, text);
	remote_end(r);
	r->events->on_down(r, status, why);
	sl_free(why);
}

void remote_disconnect(struct remote *r, enum mqtt_reason reason, const char *text) {
	if (r->state == REMOTE_READY && remote_version(r) == MQTT_V5) {
		struct mqtt_bye bye = {.reason = reason};
		mqtt_props_init(&bye.props);
		mqtt_encode_bye(MQTT_DISCONNECT, &bye, MQTT_V5, remote_out(r));
	}
	remote_fail(r, SL_EPROTOCOL, text);
}

void remote_close(struct remote *r) {
	if (r->state == REMOTE_CLOSED) return;
	if (r->state == REMOTE_READY) {
		struct mqtt_bye bye = {.reason = MQTT_RC_SUCCESS};
		mqtt_props_init(&bye.props);
		mqtt_encode_bye(MQTT_DISCONNECT, &bye, remote_version(r), remote_out(r));
	}
	remote_end(r);
}

/* ---- CONNECT. ---- */

static void connect_send(struct remote *r) {
	enum mqtt_version version = remote_version(r);
	struct sl_buf props = SL_BUF_INIT;
	struct mqtt_connect c = {.version = version,
				 .clean_start = r->login.clean_start,
				 .bridge = version == MQTT_V311 && r->conf->bridge_mode,
				 .keep_alive_s = (uint16_t)((r->conf->keepalive_ms + 999) / 1000),
				 .client_id = slice_from_str(r->login.client_id)};
	mqtt_props_init(&c.props);
	if (r->conf->username) {
		c.has_username = true;
		c.username = slice_from_str(r->conf->username);
	}
	if (r->conf->password) {
		c.has_password = true;
		c.password = slice_from_str(r->conf->password);
	}
	if (version == MQTT_V5) {
		if (r->login.session_expiry_s)
			mqtt_put_num(&props, MQTT_PROP_SESSION_EXPIRY, r->login.session_expiry_s);
		mqtt_put_num(&props, MQTT_PROP_RECEIVE_MAXIMUM, r->login.receive_maximum);
		mqtt_put_num(&props, MQTT_PROP_MAXIMUM_PACKET_SIZE, (uint32_t)r->conf->max_packet);
		c.props.raw = sl_buf_slice(&props);
	}
	mqtt_encode_connect(&c, remote_out(r));
	r->connect_sent = true;
	sl_buf_fini(&props);
}

/* The broker may speak 3.1.1 only. False: that has been found out before, or is not wanted. */
static bool older(struct remote *r) {
	if (r->conf->version != REMOTE_AUTO || r->old_version || !r->connect_sent) return false;
	r->old_version = true;
	wire_leave(r);
	dial(r);
	return true;
}

static const char *refused_advice(enum mqtt_reason reason) {
	switch ((int)reason) {
	case MQTT_RC_BAD_USER_NAME_OR_PASSWORD: return "; check `username` and `password`";
	case MQTT_RC_NOT_AUTHORIZED: return "; this login may not connect, or not with this `clientid`";
	case MQTT_RC_CLIENT_ID_NOT_VALID: return "; give a `clientid` that the broker takes";
	case MQTT_RC_BANNED: return "; its operator has banned us";
	case MQTT_RC_UNSUPPORTED_VERSION: return "; set `version: auto`";
	default: return "";
	}
}

static void refused(struct remote *r, const struct mqtt_connack *ack) {
	if (ack->reason == MQTT_RC_UNSUPPORTED_VERSION && older(r)) return;
	struct sl_slice said = mqtt_props_bytes(&ack->props, MQTT_PROP_REASON_STRING);
	char *text =
	    sl_asprintf("the broker refused us: %s%s%.*s%s", mqtt_reason_name(ack->reason), said.n ? ": " : "",
			SL_SLICE_ARG(slice_sub(said, 0, sl_min_size(said.n, 500))), refused_advice(ack->reason));
	remote_fail(r, SL_EDENIED, text);
	sl_free(text);
}

static void peer_read(struct remote *r, const struct mqtt_props *p) {
	r->peer = (struct remote_peer){
	    .packet_max = mqtt_props_num(p, MQTT_PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX),
	    .receive_maximum = (uint16_t)mqtt_props_num(p, MQTT_PROP_RECEIVE_MAXIMUM, UINT16_MAX),
	    .aliases_max = (uint16_t)mqtt_props_num(p, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0),
	    .qos_max = (uint8_t)mqtt_props_num(p, MQTT_PROP_MAXIMUM_QOS, 2),
	    .retain = mqtt_props_num(p, MQTT_PROP_RETAIN_AVAILABLE, 1) != 0,
	    .shared = mqtt_props_num(p, MQTT_PROP_SHARED_SUB_AVAILABLE, 1) != 0,
	    .wildcards = mqtt_props_num(p, MQTT_PROP_WILDCARD_SUB_AVAILABLE, 1) != 0,
	    .sub_ids = mqtt_props_num(p, MQTT_PROP_SUB_ID_AVAILABLE, 1) != 0,
	};
	/* [MQTT-3.2.2-21] the server's keep-alive goes before ours. */
	uint32_t ours = ((uint32_t)r->conf->keepalive_ms + 999) / 1000;
	r->keepalive_ms = 1000 * mqtt_props_num(p, MQTT_PROP_SERVER_KEEP_ALIVE, ours);
}

static void timer_next(struct remote *r) {
	/* Half of it: what is looked at here is when something was sent last. */
	if (r->keepalive_ms) sl_timer_set(r->loop, &r->timer, r->keepalive_ms / 2);
}

static void connack(struct remote *r, const struct mqtt_connack *ack) {
	if (ack->reason != MQTT_RC_SUCCESS) {
		refused(r, ack);
		return;
	}
	peer_read(r, &ack->props);
	r->state = REMOTE_READY;
	r->heard_ms = r->said_ms = sl_loop_now_ms(r->loop);
	r->said_bytes = r->bytes_out;
	r->pinged = false;
	sl_timer_cancel(&r->timer);
	timer_next(r);
	r->events->on_ready(r, ack);
}

/* ---- Time. ---- */

static void opening_late(struct remote *r) {
	const char *why = "connected, but it does not answer; is it an MQTT broker?";
	if (r->dial) why = "no connection in time";
	if (!r->dial && r->tls) why = "connected, but it does not answer; does it speak TLS on this port?";
	remote_fail(r, SL_EIO, why);
}

static void timer_fire(struct sl_timer *t) {
	struct remote *r = sl_container_of(t, struct remote, timer);
	if (r->state == REMOTE_OPENING) {
		opening_late(r);
		return;
	}
	uint64_t now = sl_loop_now_ms(r->loop);
	/* While we do not read it is us who are silent. */
	if (r->wire->s->paused) {
		r->heard_ms = now;
		r->pinged = false;
		if (now - r->said_ms >= r->keepalive_ms / 2) mqtt_encode_ping(MQTT_PINGREQ, remote_out(r));
		timer_next(r);
		return;
	}
	if (r->bytes_out != r->said_bytes) {
		r->said_bytes = r->bytes_out;
		r->said_ms = now;
	}
	if (r->pinged && now - r->heard_ms >= (uint64_t)r->keepalive_ms * 3 / 2) {
		remote_fail(r, SL_EIO, "no answer to PINGREQ in time");
		return;
	}
	/* Both ways: one that takes what we send and has gone is found out, too. */
	if (!r->pinged && (now - r->said_ms >= r->keepalive_ms / 2 || now - r->heard_ms >= r->keepalive_ms / 2)) {
		mqtt_encode_ping(MQTT_PINGREQ, remote_out(r));
		r->pinged = true;
	}
	timer_next(r);
}

/* ---- Packets. ---- */

static void packet_take(struct remote *r, const struct mqtt_packet *p) {
	if (r->state == REMOTE_OPENING) {
		if (p->type == MQTT_CONNACK)
			connack(r, &p->connack);
		else
			remote_fail(r, SL_EPROTOCOL, "the broker did not begin with CONNACK");
		return;
	}
	switch (p->type) {
	case MQTT_PINGRESP: r->pinged = false; return;
	case MQTT_DISCONNECT: {
		struct sl_slice said = mqtt_props_bytes(&p->bye.props, MQTT_PROP_REASON_STRING);
		char *text = sl_asprintf("the broker disconnected us: %s%s%.*s%s", mqtt_reason_name(p->bye.reason),
					 said.n ? ": " : "", SL_SLICE_ARG(slice_sub(said, 0, sl_min_size(said.n, 500))),
					 p->bye.reason == MQTT_RC_SESSION_TAKEN_OVER
					     ? "; does another client use the same `clientid`?"
					     : "");
		remote_fail(r, SL_ECLOSED, text);
		sl_free(text);
		return;
	}
	case MQTT_CONNECT:
	case MQTT_CONNACK:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ:
	case MQTT_AUTH: remote_disconnect(r, MQTT_RC_PROTOCOL_ERROR, "the broker sent what only clients send"); return;
	case MQTT_PUBLISH:
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
	case MQTT_SUBACK:
	case MQTT_UNSUBACK: r->events->on_packet(r, p); return;
	}
}

static struct remote_wire *wire_of(struct sl_stream *s) {
	/* Both members of the union begin with their stream. */
	return sl_container_of(s, struct remote_wire, tcp.s);
}
_Static_assert(offsetof(struct sl_stream_tcp, s) == offsetof(struct sl_stream_tls, s), "see wire_of()");

static void nonsense(struct remote *r, enum mqtt_reason reason) {
	if (r->state == REMOTE_OPENING)
		remote_fail(r, SL_EPROTOCOL, "what answers there is no MQTT broker");
	else if (reason == MQTT_RC_PACKET_TOO_LARGE)
		remote_disconnect(r, reason, "the broker sent a packet larger than `max_packet_size`");
	else
		remote_disconnect(r, reason, "the broker sent a packet that is none");
}

static size_t on_read(struct sl_stream *s, struct sl_slice bytes) {
	struct remote_wire *w = wire_of(s);
	struct remote *r = w->r;
	size_t used = 0;
	if (w->given_up) return bytes.n;
	r->heard_ms = sl_loop_now_ms(r->loop);
	while (!w->given_up && !s->paused && used < bytes.n) {
		struct mqtt_frame f;
		struct mqtt_packet p;
		enum mqtt_reason reason = MQTT_RC_MALFORMED_PACKET;
		int rc = mqtt_frame_next(slice_from(bytes, used), (size_t)r->conf->max_packet, &f, &reason);
		if (rc == SL_EAGAIN) break;
		/* An older broker answers in the form of its own version, which has no properties. */
		if (rc == SL_OK && r->state == REMOTE_OPENING && f.type == MQTT_CONNACK && f.body.n == 2 &&
		    remote_version(r) == MQTT_V5) {
			if (!older(r))
				remote_fail(r, SL_EDENIED, "the broker does not speak MQTT 5; set `version: auto`");
			break;
		}
		if (rc == SL_OK) rc = mqtt_decode(&f, remote_version(r), MQTT_FROM_SERVER, &p, &reason);
		if (rc != SL_OK) {
			nonsense(r, reason);
			break;
		}
		used += f.size;
		packet_take(r, &p);
	}
	if (!w->given_up && r->state == REMOTE_READY && r->events->on_burst) r->events->on_burst(r);
	return w->given_up ? bytes.n : used;
}

static void on_drain(struct sl_stream *s) {
	struct remote_wire *w = wire_of(s);
	if (!w->given_up && w->r->state == REMOTE_READY && w->r->events->on_drain) w->r->events->on_drain(w->r);
}

static const char *closed_text(const struct remote *r, const struct remote_wire *w, int status) {
	const char *tls = w->is_tls ? sl_stream_tls_error(&w->tls) : NULL;
	if (tls) return tls;
	if (r->state == REMOTE_OPENING)
		return w->is_tls ? "the broker closed the connection before it was ready"
				 : "the broker closed the connection before it was ready; does it want TLS (mqtts://)?";
	return status == SL_ECLOSED ? "the broker closed the connection" : "the connection broke";
}

static void on_closed(struct sl_stream *s, int status) {
	struct remote_wire *w = wire_of(s);
	struct remote *r = w->r;
	if (!w->given_up) {
		/* The stream is dead: nothing is left to be closed. */
		char *text = sl_strdup(closed_text(r, w, status));
		r->wire = NULL;
		/* Some brokers of 3.1.1 only say it that way. */
		bool said_no =
		    r->state == REMOTE_OPENING && status == SL_ECLOSED && !(w->is_tls && sl_stream_tls_error(&w->tls));
		if (!said_no || !older(r)) remote_fail(r, status == SL_OK ? SL_ECLOSED : status, text);
		sl_free(text);
	}
	sl_free(w);
	if (--r->wires == 0 && r->events->on_idle) r->events->on_idle(r);
}

static const struct sl_stream_events stream_events = {.on_read = on_read, .on_drain = on_drain, .on_closed = on_closed};

/* ---- The way up. ---- */

static int wire_open(struct remote *r, int fd, struct sl_err *err) {
	struct remote_wire *w = SL_NEW(struct remote_wire);
	int rc;
	w->r = r;
	w->is_tls = r->tls != NULL;
	w->s = w->is_tls ? &w->tls.s : &w->tcp.s;
	if (w->is_tls)
		rc = sl_stream_tls_connect(
		    &w->tls, r->loop,
		    &(struct sl_stream_tls_setup){
			.fd = fd, .events = &stream_events, .bytes_in = &r->bytes_in, .bytes_out = &r->bytes_out},
		    r->tls, r->url.host, err);
	else
		rc = sl_stream_tcp_open(&w->tcp, r->loop, fd, &stream_events, &r->bytes_in, &r->bytes_out);
	if (rc != SL_OK) {
		sl_free(w);
		return rc;
	}
	r->wire = w;
	r->wires++;
	return SL_OK;
}

static void on_dialled(void *arg, int fd, const struct sl_err *dial_err) {
	struct remote *r = arg;
	struct sl_err err = SL_ERR_INIT;
	r->dial = NULL;
	if (fd < 0) {
		remote_fail(r, dial_err->status, sl_err_text(dial_err));
		return;
	}
	if (wire_open(r, fd, &err) != SL_OK) {
		(void)close(fd);
		remote_fail(r, SL_ESYSTEM, sl_err_text(&err));
		sl_err_fini(&err);
		return;
	}
	connect_send(r);
}

static void dial(struct remote *r) {
	uint64_t timeout_ms = (uint64_t)r->conf->connect_timeout_ms;
	r->connect_sent = false;
	/* A little longer than the dial, which knows better what went wrong. */
	sl_timer_set(r->loop, &r->timer, timeout_ms + timeout_ms / 16 + 20);
	sl_dial_start(r->loop, r->url.host, r->url.port, timeout_ms, on_dialled, r, &r->dial);
}

void remote_open(struct remote *r, const struct remote_login *login) {
	sl_assert(r->state == REMOTE_CLOSED);
	r->login = *login;
	r->state = REMOTE_OPENING;
	dial(r);
}

struct sl_stream *remote_stream(struct remote *r) {
	return r->wire->s;
}
struct sl_buf *remote_out(struct remote *r) {
	return sl_stream_out(r->wire->s);
}

void remote_describe(const struct remote *r, struct sl_buf *out) {
	if (r->state != REMOTE_READY) return;
	sl_buf_append_str(out, remote_version(r) == MQTT_V5 ? "MQTT 5.0" : "MQTT 3.1.1");
	if (r->wire->is_tls) {
		sl_buf_append_str(out, ", ");
		sl_stream_tls_describe(&r->wire->tls, out);
	}
}
