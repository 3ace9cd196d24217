/* bench_conn.c: one connection of the load generator in the run. See bench_int.h. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench_int.h"

enum { READ_SIZE = 256 * 1024, PACKET_MAX = 16 * 1024 * 1024 };

uint32_t bench_targets(const struct bench *b) { return b->o.scenario == BENCH_WILD ? (uint32_t)b->subs_len : 1; }

static void watch(struct bench *b, struct bench_conn *c, bool write) {
	if (c->want_write == write) return;
	struct epoll_event ev = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};
	epoll_ctl(b->epfd, EPOLL_CTL_MOD, c->wire.fd, &ev);
	c->want_write = write;
}

void bench_flush(struct bench *b, struct bench_conn *c) {
	while (c->out_done < c->out.n) {
		ssize_t n = client_wire_send(&c->wire, c->out.p + c->out_done, c->out.n - c->out_done);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0 && errno != EAGAIN) b->broken = true;
		if (n < 0) break;
		c->out_done += (size_t)n;
	}
	if (c->out_done == c->out.n) {
		sl_buf_clear(&c->out);
		c->out_done = 0;
	}
	watch(b, c, c->out.n > 0 && !b->broken);
}

/* --- what arrives -------------------------------------------------------------------------------------------- */

static void count_message(struct bench *b, struct bench_conn *c, struct sl_slice payload, uint64_t now_ns) {
	uint32_t publisher, number;
	uint64_t sent_ns;
	if (payload.n < BENCH_STAMP) return;
	memcpy(&publisher, payload.p, 4);
	memcpy(&number, payload.p + 4, 4);
	memcpy(&sent_ns, payload.p + 8, 8);
	if (publisher >= b->pubs_len) return;
	b->pubs[publisher].back += stream_add(&c->streams[publisher], number, &b->counts);
	hist_add(&b->latency, now_ns - sent_ns);
}

/* Finds the payload without the decoder's checks: the broker under test is not to be billed for ours. */
static bool split_publish(const struct bench *b, const struct mqtt_frame *f, uint16_t *id, struct sl_slice *payload) {
	const uint8_t *p = (const uint8_t *)f->body.p;
	size_t at = 2, n = f->body.n;
	if (n < 2) return false;
	at += (size_t)p[0] << 8 | p[1];
	if (f->flags & 6) {
		if (at + 2 > n) return false;
		*id = (uint16_t)(p[at] << 8 | p[at + 1]);
		at += 2;
	}
	if (b->version == MQTT_V5) {
		uint32_t props;
		size_t size = mqtt_varint_read(slice_from(f->body, at), &props);
		if (size == 0) return false;
		at += size + props;
	}
	if (at > n) return false;
	*payload = slice_make(f->body.p + at, n - at);
	return true;
}

static void on_publish(struct bench *b, struct bench_conn *c, const struct mqtt_frame *f, uint64_t now_ns) {
	struct sl_slice payload;
	uint16_t id = 0;
	if (!split_publish(b, f, &id, &payload)) {
		b->broken = true;
		return;
	}
	unsigned qos = f->flags >> 1 & 3u;
	if (qos == 1) mqtt_encode_ack_plain(MQTT_PUBACK, id, &c->out);
	if (qos == 2) mqtt_encode_ack_plain(MQTT_PUBREC, id, &c->out);
	count_message(b, c, payload, now_ns);
}

static void on_frame(struct bench *b, struct bench_conn *c, const struct mqtt_frame *f, uint64_t now_ns) {
	const uint8_t *p = (const uint8_t *)f->body.p;
	uint16_t id = (uint16_t)(f->body.n >= 2 ? p[0] << 8 | p[1] : 0);
	bool refused = f->body.n >= 3 && p[2] >= MQTT_RC_UNSPECIFIED;
	if (f->type == MQTT_PUBLISH) {
		on_publish(b, c, f, now_ns);
	} else if (f->type == MQTT_PUBACK || f->type == MQTT_PUBCOMP || (f->type == MQTT_PUBREC && refused)) {
		c->in_flight--;
		b->refused += refused;
	} else if (f->type == MQTT_PUBREC) {
		mqtt_encode_ack_plain(MQTT_PUBREL, id, &c->out);
	} else if (f->type == MQTT_PUBREL) {
		mqtt_encode_ack_plain(MQTT_PUBCOMP, id, &c->out);
	} else if (f->type == MQTT_PINGRESP) {
		b->pongs += c->ping_out;
		c->ping_out = false;
	} else if (f->type == MQTT_DISCONNECT) {
		b->broken = true;
	}
}

static void read_once(struct bench *b, struct bench_conn *c) {
	sl_buf_grow(&c->in, READ_SIZE);
	ssize_t n = client_wire_recv(&c->wire, c->in.p + c->in.n, c->in.cap - c->in.n);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) b->broken = true;
	if (n <= 0) return;
	c->in.n += (size_t)n;
	struct mqtt_frame f;
	enum mqtt_reason reason;
	size_t done = 0;
	uint64_t now_ns = bench_now_ns();
	while (mqtt_frame_next(slice_from(sl_buf_slice(&c->in), done), PACKET_MAX, &f, &reason) == SL_OK) {
		on_frame(b, c, &f, now_ns);
		done += f.size;
	}
	if (done) b->arrived_ns = b->waits_from_ns = now_ns;
	sl_buf_consume(&c->in, done);
	if (bench_out_waiting(c)) bench_flush(b, c);
}

void bench_readable(struct bench *b, struct bench_conn *c) {
	do {
		read_once(b, c);
	} while (!b->broken && client_wire_holds(&c->wire)); /* the buffer was full: it has more room now */
}
