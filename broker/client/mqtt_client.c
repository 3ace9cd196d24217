/* mqtt_client.c: see mqtt_client.h. */
#include "mqtt_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "list.h"
#include "mem.h"
#include "rng.h"

enum { OUT_FLUSH = 32 * 1024, READ_SIZE = 64 * 1024, PACKET_MAX = 256 * 1024 * 1024 };

/* What an in-flight message waits for. */
enum flight_state { WAIT_PUBACK, WAIT_PUBREC, WAIT_PUBCOMP };

struct flight {
	struct sl_list link;
	enum flight_state state;
	uint16_t packet_id;
	size_t size;
	char packet[]; /* as sent, for sending again */
};

struct mqtt_client {
	struct mqtt_client_conf conf;
	char *where; /* the broker, in messages */
	struct client_wire wire;
	struct client_tls *tls; /* made at the first connect */
	struct sl_buf in, out;
	struct sl_list flights; /* in the order of sending */
	size_t flights_len;
	uint16_t last_id;
	bool ping_out;
	uint64_t heard_ms, wrote_ms;
	uint16_t keep_alive_s;
	uint32_t server_window; /* receive maximum of the broker */
	char own_id[24];
	uint8_t *rec_ids; /* one bit a packet id: QoS 2 messages received and not released */
	uint8_t *out_ids; /* the same for our own messages in flight */
	uint16_t sub_id;  /* packet id of the SUBSCRIBE in progress, 0 = none */
	int sub_code;     /* of its SUBACK; -1 = not yet */
	bool connack_seen;
	struct mqtt_connack connack;
	struct mqtt_client_stats stats;
};

struct mqtt_client *mqtt_client_new(const struct mqtt_client_conf *conf) {
	struct mqtt_client *c = SL_NEW(struct mqtt_client);
	c->conf = *conf;
	c->where = client_target_text(&conf->target);
	if (c->conf.window == 0) c->conf.window = 1;
	c->wire = (struct client_wire)CLIENT_WIRE_INIT;
	sl_list_init(&c->flights);
	c->rec_ids = SL_NEW_ARRAY(uint8_t, 65536 / 8);
	c->out_ids = SL_NEW_ARRAY(uint8_t, 65536 / 8);
	/* The same id for every connection of this client, so that a session can be found again. */
	snprintf(c->own_id, sizeof c->own_id, "sluice-%08x", (unsigned)sl_rng_next());
	return c;
}

static void hang_up(struct mqtt_client *c) {
	client_wire_close(&c->wire);
	sl_buf_clear(&c->in);
	sl_buf_clear(&c->out);
}

static void flight_free(struct mqtt_client *c, struct flight *f) {
	c->out_ids[f->packet_id >> 3] &= (uint8_t) ~(1u << (f->packet_id & 7));
	sl_list_remove(&f->link);
	c->flights_len--;
	sl_free(f);
}

void mqtt_client_free(struct mqtt_client *c) {
	if (!c) return;
	hang_up(c);
	SL_LIST_FOREACH_SAFE(it, &c->flights) flight_free(c, SL_LIST_ENTRY(it, struct flight, link));
	sl_buf_fini(&c->in);
	sl_buf_fini(&c->out);
	client_tls_free(c->tls);
	sl_free(c->where);
	sl_free(c->rec_ids);
	sl_free(c->out_ids);
	sl_free(c);
}

bool mqtt_client_connected(const struct mqtt_client *c) { return c->wire.fd >= 0; }
size_t mqtt_client_in_flight(const struct mqtt_client *c) { return c->flights_len; }
void mqtt_client_stats(const struct mqtt_client *c, struct mqtt_client_stats *out) { *out = c->stats; }

/* --- bytes in and out ---------------------------------------------------------------------------------------- */

static int lost(struct mqtt_client *c, struct sl_err *err, const char *why) {
	hang_up(c);
	return sl_err_set(err, SL_ECLOSED, "%s: the connection was lost: %s", c->where, why);
}

/* Writes as much as the socket takes. */
static int write_some(struct mqtt_client *c, struct sl_err *err) {
	size_t done = 0;
	while (done < c->out.n) {
		ssize_t n = client_wire_send(&c->wire, c->out.p + done, c->out.n - done);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) break;
		if (n < 0) return lost(c, err, strerror(errno));
		done += (size_t)n;
	}
	if (done) {
		sl_buf_consume(&c->out, done);
		c->wrote_ms = sl_clock_mono_ms();
	}
	return SL_OK;
}

/* 1 when bytes came, 0 when none are there. */
static int read_some(struct mqtt_client *c, struct sl_err *err) {
	sl_buf_grow(&c->in, READ_SIZE);
	for (;;) {
		ssize_t n = client_wire_recv(&c->wire, c->in.p + c->in.n, c->in.cap - c->in.n);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno == EAGAIN) return 0;
		if (n < 0) return lost(c, err, strerror(errno));
		if (n == 0) return lost(c, err, "the broker closed it");
		c->in.n += (size_t)n;
		c->heard_ms = sl_clock_mono_ms();
		return 1;
	}
}

/* --- packets in ---------------------------------------------------------------------------------------------- */

static struct flight *flight_find(struct mqtt_client *c, uint16_t packet_id) {
	/* Acknowledgements come in the order of sending, or nearly. */
	SL_LIST_FOREACH(it, &c->flights) {
		struct flight *f = SL_LIST_ENTRY(it, struct flight, link);
		if (f->packet_id == packet_id) return f;
	}
	return NULL;
}

static void flight_done(struct mqtt_client *c, struct flight *f, enum mqtt_reason reason) {
	if (reason >= MQTT_RC_UNSPECIFIED) {
		c->stats.refused++;
		c->stats.last_refusal = reason;
	} else {
		c->stats.acknowledged++;
	}
	flight_free(c, f);
}

static void on_ack(struct mqtt_client *c, enum mqtt_type type, const struct mqtt_ack *a) {
	struct flight *f = flight_find(c, a->packet_id);
	if (type == MQTT_PUBREL) {
		c->rec_ids[a->packet_id >> 3] &= (uint8_t) ~(1u << (a->packet_id & 7));
		mqtt_encode_ack_plain(MQTT_PUBCOMP, a->packet_id, &c->out);
		return;
	}
	if (type == MQTT_PUBREC) {
		if (f && a->reason >= MQTT_RC_UNSPECIFIED) {
			flight_done(c, f, a->reason);
			return;
		}
		if (f) f->state = WAIT_PUBCOMP;
		mqtt_encode_ack_plain(MQTT_PUBREL, a->packet_id, &c->out);
		return;
	}
	if (f) flight_done(c, f, a->reason);
}

static void on_publish(struct mqtt_client *c, const struct mqtt_publish *p) {
	bool known = false;
	if (p->qos == 1) mqtt_encode_ack_plain(MQTT_PUBACK, p->packet_id, &c->out);
	if (p->qos == 2) {
		/* [MQTT-4.3.3-10] the same id again before its PUBREL is the same message. */
		uint8_t bit = (uint8_t)(1u << (p->packet_id & 7));
		known = (c->rec_ids[p->packet_id >> 3] & bit) != 0;
		c->rec_ids[p->packet_id >> 3] |= bit;
		mqtt_encode_ack_plain(MQTT_PUBREC, p->packet_id, &c->out);
	}
	if (known) return;
	c->stats.received++;
	if (c->conf.on_message) c->conf.on_message(c->conf.arg, p);
}

static int on_packet(struct mqtt_client *c, const struct mqtt_frame *f, struct sl_err *err) {
	struct mqtt_packet p;
	enum mqtt_reason reason;
	if (mqtt_decode(f, c->conf.version, MQTT_FROM_SERVER, &p, &reason) != SL_OK)
		return lost(c, err, mqtt_reason_name(reason));
	switch (p.type) {
	case MQTT_CONNACK:
		c->connack = p.connack;
		c->connack_seen = true;
		return SL_OK;
	case MQTT_PUBLISH: on_publish(c, &p.publish); return SL_OK;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: on_ack(c, p.type, &p.ack); return SL_OK;
	case MQTT_SUBACK:
		if (p.suback.packet_id == c->sub_id) c->sub_code = (uint8_t)p.suback.codes.p[0];
		return SL_OK;
	case MQTT_PINGRESP: c->ping_out = false; return SL_OK;
	case MQTT_DISCONNECT: return lost(c, err, mqtt_reason_name(p.bye.reason));
	case MQTT_UNSUBACK:
	case MQTT_AUTH:
	case MQTT_CONNECT:
	case MQTT_SUBSCRIBE:
	case MQTT_UNSUBSCRIBE:
	case MQTT_PINGREQ: return SL_OK;
	}
	return SL_OK;
}

static int handle_packets(struct mqtt_client *c, struct sl_err *err) {
	struct mqtt_frame f;
	enum mqtt_reason reason;
	size_t done = 0;
	for (;;) {
		int rc = mqtt_frame_next(slice_from(sl_buf_slice(&c->in), done), PACKET_MAX, &f, &reason);
		if (rc == SL_EAGAIN) break;
		if (rc) return lost(c, err, mqtt_reason_name(reason));
		rc = on_packet(c, &f, err);
		if (rc) return rc;
		done += f.size;
	}
	sl_buf_consume(&c->in, done);
	return SL_OK;
}

/* --- waiting ------------------------------------------------------------------------------------------------- */

static int keep_alive(struct mqtt_client *c, struct sl_err *err) {
	uint64_t now_ms = sl_clock_mono_ms(), keep_ms = (uint64_t)c->keep_alive_s * 1000;
	if (keep_ms == 0 || now_ms - c->wrote_ms < keep_ms / 2) return SL_OK;
	if (c->ping_out && now_ms - c->heard_ms > keep_ms + (uint64_t)c->conf.timeout_ms)
		return lost(c, err, "no answer to a ping");
	if (!c->ping_out) mqtt_encode_ping(MQTT_PINGREQ, &c->out);
	c->ping_out = true;
	return SL_OK;
}

int mqtt_client_poll(struct mqtt_client *c, int timeout_ms, struct sl_err *err) {
	if (c->wire.fd < 0) return sl_err_set(err, SL_ECLOSED, "not connected");
	int rc = keep_alive(c, err);
	if (rc == 0 && c->out.n) rc = write_some(c, err);
	if (rc) return rc;
	if (timeout_ms != 0) client_wire_wait(&c->wire, (short)(POLLIN | (c->out.n ? POLLOUT : 0)), timeout_ms);
	int got = read_some(c, err);
	if (got < 0) return got;
	rc = handle_packets(c, err);
	if (rc == 0 && c->out.n) rc = write_some(c, err);
	return rc;
}

int mqtt_client_drain(struct mqtt_client *c, struct sl_err *err) {
	uint64_t moved_ms = sl_clock_mono_ms();
	while (c->out.n || c->flights_len) {
		size_t before = c->out.n + c->flights_len;
		int rc = mqtt_client_poll(c, 100, err);
		if (rc) return rc;
		if (c->out.n + c->flights_len != before) moved_ms = sl_clock_mono_ms();
		if (sl_clock_mono_ms() - moved_ms > (uint64_t)c->conf.timeout_ms)
			return sl_err_set(err, SL_EAGAIN, "%s: %zu messages were not acknowledged within %d ms",
					  c->where, c->flights_len, c->conf.timeout_ms);
	}
	return SL_OK;
}

/* --- connecting ---------------------------------------------------------------------------------------------- */

static void queue_connect(struct mqtt_client *c) {
	struct sl_buf props = SL_BUF_INIT;
	struct mqtt_connect p = {.version = c->conf.version, .clean_start = c->conf.clean_start};
	if (c->conf.session_expiry_s) mqtt_put_num(&props, MQTT_PROP_SESSION_EXPIRY, c->conf.session_expiry_s);
	p.props.raw = sl_buf_slice(&props);
	p.keep_alive_s = c->conf.keep_alive_s;
	p.client_id = slice_from_str(c->conf.client_id ? c->conf.client_id : c->own_id);
	p.has_username = c->conf.username != NULL;
	p.has_password = c->conf.password != NULL;
	p.username = slice_from_str(c->conf.username);
	p.password = slice_from_str(c->conf.password);
	mqtt_encode_connect(&p, &c->out);
	sl_buf_fini(&props);
}

static int wait_connack(struct mqtt_client *c, struct sl_err *err) {
	uint64_t start_ms = sl_clock_mono_ms();
	while (!c->connack_seen) {
		int rc = mqtt_client_poll(c, 50, err);
		/* A refusing broker closes right behind its CONNACK. */
		if (rc && !c->connack_seen) return rc;
		if (sl_clock_mono_ms() - start_ms > (uint64_t)c->conf.timeout_ms)
			return lost(c, err, "no CONNACK within the time-out");
	}
	if (c->connack.reason == MQTT_RC_SUCCESS) return SL_OK;
	enum mqtt_reason reason = c->connack.reason;
	hang_up(c);
	return sl_err_set(err, SL_EDENIED, "%s: the broker refused the connection: %s", c->where,
			  mqtt_reason_name(reason));
}

static void send_again(struct mqtt_client *c) {
	SL_LIST_FOREACH(it, &c->flights) {
		struct flight *f = SL_LIST_ENTRY(it, struct flight, link);
		c->stats.resent++;
		if (f->state == WAIT_PUBCOMP && c->connack.session_present) {
			mqtt_encode_ack_plain(MQTT_PUBREL, f->packet_id, &c->out);
			continue;
		}
		/* A broker that lost the session knows nothing of the message: it is sent whole. */
		if (f->state == WAIT_PUBCOMP) f->state = WAIT_PUBREC;
		f->packet[0] = (char)(f->packet[0] | 8); /* DUP [MQTT-3.3.1-1] */
		sl_buf_append(&c->out, f->packet, f->size);
	}
}

int mqtt_client_connect(struct mqtt_client *c, struct sl_err *err) {
	hang_up(c);
	int rc = c->tls ? SL_OK : client_tls_new(&c->conf.tls, &c->tls, err);
	if (rc == SL_OK) rc = client_wire_open(&c->wire, &c->conf.target, c->tls, c->conf.timeout_ms, err);
	if (rc) return rc;
	c->connack_seen = c->ping_out = false;
	c->heard_ms = c->wrote_ms = sl_clock_mono_ms();
	c->keep_alive_s = c->conf.keep_alive_s;
	queue_connect(c);
	rc = wait_connack(c, err);
	if (rc) return rc;
	c->stats.connects++;
	if (!c->connack.session_present) memset(c->rec_ids, 0, 65536 / 8);
	if (c->conf.version == MQTT_V5) {
		const struct mqtt_props *p = &c->connack.props;
		c->keep_alive_s = (uint16_t)mqtt_props_num(p, MQTT_PROP_SERVER_KEEP_ALIVE, c->keep_alive_s);
		c->server_window = mqtt_props_num(p, MQTT_PROP_RECEIVE_MAXIMUM, 65535);
	} else {
		c->server_window = 65535;
	}
	send_again(c);
	return SL_OK;
}

void mqtt_client_close(struct mqtt_client *c) {
	if (c->wire.fd < 0) return;
	struct mqtt_bye bye = {.reason = MQTT_RC_SUCCESS};
	mqtt_encode_bye(MQTT_DISCONNECT, &bye, c->conf.version, &c->out);
	uint64_t start_ms = sl_clock_mono_ms();
	while (c->wire.fd >= 0 && c->out.n && sl_clock_mono_ms() - start_ms < (uint64_t)c->conf.timeout_ms) {
		if (write_some(c, NULL) == 0 && c->out.n) client_wire_wait(&c->wire, POLLOUT, 50);
	}
	hang_up(c);
}

/* --- publishing and subscribing ------------------------------------------------------------------------------ */

static uint16_t next_id(struct mqtt_client *c) {
	do {
		if (++c->last_id == 0) c->last_id = 1;
	} while (c->out_ids[c->last_id >> 3] >> (c->last_id & 7) & 1);
	return c->last_id;
}

static int wait_for_window(struct mqtt_client *c, struct sl_err *err) {
	size_t window = sl_min_size(c->conf.window, c->server_window);
	uint64_t start_ms = sl_clock_mono_ms();
	while (c->flights_len >= window) {
		size_t before = c->flights_len;
		int rc = mqtt_client_poll(c, 100, err);
		if (rc) return rc;
		if (c->flights_len != before) start_ms = sl_clock_mono_ms();
		if (sl_clock_mono_ms() - start_ms > (uint64_t)c->conf.timeout_ms)
			return lost(c, err, "no acknowledgement within the time-out");
	}
	return SL_OK;
}

static int publish_0(struct mqtt_client *c, const struct mqtt_publish *p, struct sl_err *err) {
	mqtt_encode_publish(p, c->conf.version, &c->out);
	c->stats.sent++;
	c->stats.acknowledged++;
	if (c->out.n < OUT_FLUSH) return SL_OK;
	int rc = mqtt_client_poll(c, 0, err);
	/* The broker is slower than we are: wait rather than grow. */
	while (rc == 0 && c->out.n > 4 * OUT_FLUSH) rc = mqtt_client_poll(c, 100, err);
	return rc;
}

int mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *p, struct sl_err *err) {
	if (c->wire.fd < 0) return sl_err_set(err, SL_ECLOSED, "not connected");
	if (p->qos == 0) return publish_0(c, p, err);
	int rc = wait_for_window(c, err);
	if (rc) return rc;
	struct mqtt_publish with_id = *p;
	with_id.packet_id = next_id(c);
	size_t at = c->out.n;
	mqtt_encode_publish(&with_id, c->conf.version, &c->out);
	struct flight *f = sl_alloc(sizeof *f + c->out.n - at);
	f->state = p->qos == 1 ? WAIT_PUBACK : WAIT_PUBREC;
	f->packet_id = with_id.packet_id;
	c->out_ids[f->packet_id >> 3] |= (uint8_t)(1u << (f->packet_id & 7));
	f->size = c->out.n - at;
	memcpy(f->packet, c->out.p + at, f->size);
	sl_list_push_back(&c->flights, &f->link);
	c->flights_len++;
	c->stats.sent++;
	/* From here the message is ours to deliver: a lost connection is told by the next call. */
	if (c->out.n >= OUT_FLUSH) mqtt_client_poll(c, 0, NULL);
	return SL_OK;
}

int mqtt_client_subscribe(struct mqtt_client *c, const char *filter, uint8_t qos, struct sl_err *err) {
	struct sl_buf entries = SL_BUF_INIT;
	struct mqtt_sub_entry e = {.filter = slice_from_str(filter), .qos = qos};
	if (c->wire.fd < 0) return sl_err_set(err, SL_ECLOSED, "not connected");
	mqtt_put_sub_entry(&entries, &e);
	struct mqtt_subscribe s = {.packet_id = next_id(c), .count = 1, .entries = sl_buf_slice(&entries)};
	mqtt_encode_subscribe(&s, c->conf.version, &c->out);
	sl_buf_fini(&entries);
	c->sub_id = s.packet_id;
	c->sub_code = -1;
	uint64_t start_ms = sl_clock_mono_ms();
	while (c->sub_code < 0) {
		int rc = mqtt_client_poll(c, 50, err);
		if (rc) return rc;
		if (sl_clock_mono_ms() - start_ms > (uint64_t)c->conf.timeout_ms)
			return lost(c, err, "no SUBACK within the time-out");
	}
	c->sub_id = 0;
	if (c->sub_code <= 2) return SL_OK;
	return sl_err_set(err, SL_EDENIED, "%s: the broker refused the subscription: %s", filter,
			  mqtt_reason_name((enum mqtt_reason)c->sub_code));
}
