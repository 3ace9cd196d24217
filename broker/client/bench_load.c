/* bench_load.c: who sends when. See bench_int.h.
 *
 * Unpaced: each publisher in turn writes a burst of --per-write messages when its window and the outstanding deliveries
 * of all allow a whole burst. Paced: one message when it is due, the publishers in turn.
 * `outstanding` counts deliveries sent and not arrived; so nothing need be dropped, and every broker does the same
 * work. */
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "bench_int.h"
#include "rng.h"

enum { EVENTS = 256, OUT_LIMIT = 256 * 1024 };

static uint64_t deliveries_due(const struct bench *b) {
	uint64_t due = b->sent * b->fan, seen = b->counts.received + b->given_up;
	return due > seen ? due - seen : 0;
}

static uint64_t burst_size(const struct bench *b) {
	return sl_min_size((size_t)b->o.per_write, (size_t)(b->to_send - b->sent));
}

static bool may_send(const struct bench *b, const struct bench_conn *c, uint64_t count) {
	if (bench_out_waiting(c) > OUT_LIMIT) return false;
	if (b->o.qos && c->in_flight + count > (uint64_t)b->o.window) return false;
	uint64_t due = deliveries_due(b), limit = (uint64_t)b->o.outstanding;
	if (b->o.scenario == BENCH_PAIRS) {
		/* Each pair its share: one that ran ahead alone would fill its subscriber's queue. */
		due = c->sent > c->back ? c->sent - c->back : 0;
		limit /= b->pubs_len;
	}
	/* A burst wider than the whole limit goes out when nothing else is under way. */
	return b->o.outstanding == 0 || due == 0 || due + count * b->fan <= limit;
}

/* JSON payloads: ten digits that grow. */
static void patch_digits(char *p, uint32_t number) {
	for (int i = 9; i > 0; i--, number /= 10) p[i] = (char)('0' + number % 10);
}

/* The packet of the template with another topic. */
static char *append_with_topic(struct bench *b, struct bench_conn *c, uint32_t target) {
	size_t n = (size_t)target * (size_t)b->o.filters + sl_rng_below((uint64_t)b->o.filters);
	size_t topic_len = b->topics_at[n + 1] - b->topics_at[n], tail = c->packet.n - c->tail_at;
	uint32_t remaining = (uint32_t)(2 + topic_len + tail);
	char *p = sl_buf_add(&c->out, 1 + mqtt_varint_size(remaining) + remaining);
	*p++ = c->packet.p[0];
	p = mqtt_varint_write(p, remaining);
	*p++ = (char)(topic_len >> 8);
	*p++ = (char)topic_len;
	memcpy(p, b->topics.p + b->topics_at[n], topic_len);
	memcpy(p + topic_len, c->packet.p + c->tail_at, tail);
	return p + topic_len;
}

static char *append_template(struct bench_conn *c) {
	char *p = sl_buf_add(&c->out, c->packet.n);
	memcpy(p, c->packet.p, c->packet.n);
	return p + c->tail_at;
}

static void append_message(struct bench *b, struct bench_conn *c, uint64_t now_ns) {
	bool wild = b->o.scenario == BENCH_WILD;
	uint32_t target = wild ? (uint32_t)sl_rng_below(b->subs_len) : 0;
	char *tail = wild ? append_with_topic(b, c, target) : append_template(c);
	if (b->o.qos) {
		if (++c->last_id == 0) c->last_id = 1;
		tail[0] = (char)(c->last_id >> 8);
		tail[1] = (char)c->last_id;
		c->in_flight++;
	}
	uint32_t number = c->sequence[target]++;
	b->sent++;
	c->sent++;
	if (c->stamp_at == BENCH_NO_STAMP) return;
	char *stamp = tail + (c->stamp_at - c->tail_at);
	if (b->o.scenario == BENCH_SINK) {
		patch_digits(stamp, number);
		return;
	}
	memcpy(stamp, &c->number, 4);
	memcpy(stamp + 4, &number, 4);
	memcpy(stamp + 8, &now_ns, 8);
}

static void send_burst(struct bench *b, struct bench_conn *c, uint64_t count) {
	uint64_t now_ns = bench_now_ns();
	for (uint64_t i = 0; i < count; i++) append_message(b, c, now_ns);
	bench_flush(b, c);
}

/* One round: each publisher may send one burst. Returns whether any did. */
static bool send_round(struct bench *b, size_t *turn) {
	bool any = false;
	for (size_t i = 0; i < b->pubs_len && b->sent < b->to_send; i++) {
		struct bench_conn *c = &b->pubs[(*turn + i) % b->pubs_len];
		uint64_t count = burst_size(b);
		if (!may_send(b, c, count)) continue;
		send_burst(b, c, count);
		any = true;
	}
	*turn = (*turn + 1) % b->pubs_len;
	return any;
}

/* What is due by now; returns nanoseconds until the next. */
static uint64_t send_paced(struct bench *b, uint64_t start_ns, size_t *turn) {
	while (b->sent < b->to_send) {
		uint64_t due_ns = start_ns + (uint64_t)((double)b->sent * 1e9 / (double)b->o.rate);
		uint64_t now_ns = bench_now_ns();
		if (due_ns > now_ns) return due_ns - now_ns;
		struct bench_conn *c = &b->pubs[*turn];
		*turn = (*turn + 1) % b->pubs_len;
		if (may_send(b, c, 1))
			send_burst(b, c, 1);
		else
			return 100000;
	}
	return 10000000;
}

static void take_events(struct bench *b, uint64_t wait_ns) {
	struct epoll_event events[EVENTS];
	int timeout_ms = 0;
	if (wait_ns >= 10000000) {
		timeout_ms = 10;
	} else if (wait_ns > 0) {
		/* Finer than epoll_wait's milliseconds. */
		struct pollfd p = {.fd = b->epfd, .events = POLLIN};
		struct timespec ts = {.tv_nsec = (long)wait_ns};
		if (ppoll(&p, 1, &ts, NULL) <= 0) return;
	}
	int n = epoll_wait(b->epfd, events, EVENTS, timeout_ms);
	for (int i = 0; i < n; i++) {
		struct bench_conn *c = events[i].data.ptr;
		if (events[i].events & EPOLLOUT) bench_flush(b, c);
		if (events[i].events & ~(uint32_t)EPOLLOUT) bench_readable(b, c);
	}
}

/* Behind the last QoS 0 message of each publisher goes a ping: its answer says that all before it was read. */
static void send_pings(struct bench *b) {
	for (size_t i = 0; i < b->pubs_len; i++) {
		mqtt_encode_ping(MQTT_PINGREQ, &b->pubs[i].out);
		b->pubs[i].ping_out = true;
		bench_flush(b, &b->pubs[i]);
	}
}

static bool all_back(const struct bench *b) {
	if (b->sent < b->to_send || deliveries_due(b) || b->pongs < b->pubs_len) return false;
	for (size_t i = 0; i < b->pubs_len; i++)
		if (b->pubs[i].in_flight || bench_out_waiting(&b->pubs[i])) return false;
	return true;
}

/* Nothing came for --linger seconds: the rest is lost. True when the phase is to end. */
static bool give_up(struct bench *b) {
	uint64_t now_ns = bench_now_ns();
	if (now_ns - b->waits_from_ns < (uint64_t)b->o.linger_s * 1000000000u) return false;
	b->given_up += deliveries_due(b);
	b->waits_from_ns = now_ns;
	for (size_t i = 0; i < b->pubs_len; i++) {
		b->pubs[i].in_flight = 0;
		b->pubs[i].back = b->pubs[i].sent;
	}
	return b->sent == b->to_send;
}

void bench_phase(struct bench *b, uint64_t messages) {
	size_t turn = 0;
	bool pinged = false;
	uint64_t start_ns = bench_now_ns();
	b->to_send = messages;
	b->sent = b->pongs = b->given_up = b->refused = 0;
	b->counts = (struct stream_counts){0};
	memset(&b->latency, 0, sizeof b->latency);
	b->arrived_ns = b->waits_from_ns = start_ns;
	for (size_t i = 0; i < b->pubs_len; i++) b->pubs[i].sent = b->pubs[i].back = 0;
	while (!b->broken && !all_back(b)) {
		uint64_t wait_ns = 10000000;
		if (b->o.rate) {
			wait_ns = send_paced(b, start_ns, &turn);
		} else if (b->sent < b->to_send && send_round(b, &turn)) {
			wait_ns = 0;
		}
		if (b->sent == b->to_send && !pinged) {
			send_pings(b);
			pinged = true;
		}
		take_events(b, wait_ns);
		if (wait_ns && give_up(b)) break;
	}
}
