/* bench_setup.c: connections and subscriptions of the load generator, one after the other. See bench_int.h. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_int.h"
#include "mem.h"

enum { ANSWER_MS = 30000, FILTERS_A_PACKET = 100 };

/* --- blocking talk ------------------------------------------------------------------------------------------- */

static int write_all(struct bench_conn *c, struct sl_err *err) {
	for (size_t done = 0; done < c->out.n;) {
		ssize_t n = client_wire_send(&c->wire, c->out.p + done, c->out.n - done);
		if (n < 0 && errno == EAGAIN && client_wire_wait(&c->wire, POLLOUT, ANSWER_MS)) continue;
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return sl_err_set(err, SL_ECLOSED, "connection %u: %s", c->number, strerror(errno));
		done += (size_t)n;
	}
	sl_buf_clear(&c->out);
	return SL_OK;
}

/* Waits for one packet of that type; the view's bytes are gone afterwards. Other packets are left out. */
static int await_packet(struct bench *b, struct bench_conn *c, enum mqtt_type type, struct mqtt_packet *out,
			struct sl_err *err) {
	struct mqtt_frame f;
	enum mqtt_reason reason;
	for (;;) {
		while (mqtt_frame_next(sl_buf_slice(&c->in), 1 << 20, &f, &reason) == SL_OK) {
			int rc = mqtt_decode(&f, b->version, MQTT_FROM_SERVER, out, &reason);
			bool hit = rc == SL_OK && out->type == type;
			bool denied = hit && type == MQTT_SUBACK && (uint8_t)out->suback.codes.p[0] > 2;
			sl_buf_consume(&c->in, f.size);
			if (rc) return sl_err_set(err, rc, "%s: %s", mqtt_type_name(f.type), mqtt_reason_name(reason));
			if (denied) return sl_err_set(err, SL_EDENIED, "the broker refused a subscription");
			if (hit) return SL_OK;
		}
		if (!client_wire_wait(&c->wire, POLLIN, ANSWER_MS))
			return sl_err_set(err, SL_ESYSTEM, "no %s within %d s", mqtt_type_name(type), ANSWER_MS / 1000);
		sl_buf_grow(&c->in, 4096);
		ssize_t n = client_wire_recv(&c->wire, c->in.p + c->in.n, c->in.cap - c->in.n);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
		if (n <= 0) return sl_err_set(err, SL_ECLOSED, "the broker closed connection %u", c->number);
		c->in.n += (size_t)n;
	}
}

static int connect_one(struct bench *b, struct bench_conn *c, struct sl_err *err) {
	char id[48];
	struct sl_buf props = SL_BUF_INIT;
	const struct cmd_common *o = &b->o.common;
	struct client_target target = cmd_target(o);
	int rc = client_wire_open(&c->wire, &target, b->tls, ANSWER_MS, err);
	if (rc) return rc;
	snprintf(id, sizeof id, "%s-%c%u", o->client_id ? o->client_id : "bench", c->publisher ? 'p' : 's', c->number);
	struct mqtt_connect p = {.version = b->version, .clean_start = !b->o.persistent, .keep_alive_s = 600};
	p.client_id = slice_from_str(id);
	p.username = slice_from_str(o->username);
	p.password = slice_from_str(cmd_password(o));
	if (b->o.persistent && b->version == MQTT_V5) mqtt_put_num(&props, MQTT_PROP_SESSION_EXPIRY, UINT32_MAX);
	p.props.raw = sl_buf_slice(&props);
	p.has_username = p.username.p != NULL;
	p.has_password = p.password.p != NULL;
	mqtt_encode_connect(&p, &c->out);
	sl_buf_fini(&props);
	struct mqtt_packet answer;
	rc = write_all(c, err);
	if (rc == 0) rc = await_packet(b, c, MQTT_CONNACK, &answer, err);
	if (rc == 0 && answer.connack.reason != MQTT_RC_SUCCESS)
		rc = sl_err_set(err, SL_EDENIED, "the broker refused connection %u: %s", c->number,
				mqtt_reason_name(answer.connack.reason));
	/* Idle connections keep no buffers here. */
	sl_buf_fini(&c->in);
	sl_buf_fini(&c->out);
	return rc;
}

int bench_room_for_descriptors(size_t connections, struct sl_err *err) {
	struct rlimit l;
	getrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < connections + 64) {
		/* Root may have more than what is allowed. */
		struct rlimit more = {.rlim_cur = connections + 64,
				      .rlim_max = sl_max_size(l.rlim_max, connections + 64)};
		if (setrlimit(RLIMIT_NOFILE, &more) == 0) return SL_OK;
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
	if (l.rlim_cur >= connections + 64) return SL_OK;
	return sl_err_set(err, SL_ESYSTEM, "%zu connections need more descriptors than the limit of %llu (ulimit -n)",
			  connections, (unsigned long long)l.rlim_cur);
}

int bench_connect(struct bench *b, struct sl_err *err) {
	int rc = bench_room_for_descriptors(b->pubs_len + b->subs_len, err);
	if (rc == SL_OK) rc = client_tls_new(&b->o.common.tls, &b->tls, err);
	b->pubs = SL_NEW_ARRAY(struct bench_conn, b->pubs_len);
	b->subs = SL_NEW_ARRAY(struct bench_conn, b->subs_len);
	for (size_t i = 0; i < b->pubs_len; i++)
		b->pubs[i] = (struct bench_conn){.wire = CLIENT_WIRE_INIT, .number = (uint32_t)i};
	for (size_t i = 0; i < b->subs_len; i++)
		b->subs[i] = (struct bench_conn){.wire = CLIENT_WIRE_INIT, .number = (uint32_t)i};
	for (size_t i = 0; rc == 0 && i < b->pubs_len; i++) {
		b->pubs[i].publisher = true;
		rc = connect_one(b, &b->pubs[i], err);
	}
	for (size_t i = 0; rc == 0 && i < b->subs_len; i++) rc = connect_one(b, &b->subs[i], err);
	return rc;
}

/* --- subscriptions ------------------------------------------------------------------------------------------- */

static void filter_text(const struct bench *b, uint32_t sub, uint32_t filter, char *out, size_t size) {
	switch ((enum bench_scenario)b->o.scenario) {
	case BENCH_FANIN: snprintf(out, size, "bench/fanin/#"); return;
	case BENCH_PAIRS: snprintf(out, size, "bench/pair/%u", sub); return;
	case BENCH_FANOUT: snprintf(out, size, "bench/fanout"); return;
	case BENCH_WILD: snprintf(out, size, "bench/s%u/+/d%u/#", sub, filter); return;
	case BENCH_IDLE: snprintf(out, size, "bench/idle/%u/%u", sub, filter); return;
	case BENCH_SINK:
	case BENCH_STORM: return;
	}
}

static int subscribe_some(struct bench *b, struct bench_conn *c, uint32_t from, uint32_t count, struct sl_err *err) {
	struct sl_buf entries = SL_BUF_INIT;
	for (uint32_t i = from; i < from + count; i++) {
		char text[96];
		filter_text(b, c->number, i, text, sizeof text);
		struct mqtt_sub_entry e = {.filter = slice_from_str(text), .qos = (uint8_t)b->o.qos};
		mqtt_put_sub_entry(&entries, &e);
	}
	struct mqtt_subscribe s = {.packet_id = 1, .count = count, .entries = sl_buf_slice(&entries)};
	mqtt_encode_subscribe(&s, b->version, &c->out);
	sl_buf_fini(&entries);
	struct mqtt_packet answer;
	int rc = write_all(c, err);
	if (rc == 0) rc = await_packet(b, c, MQTT_SUBACK, &answer, err);
	sl_buf_fini(&c->in);
	sl_buf_fini(&c->out);
	return rc;
}

int bench_subscribe(struct bench *b, struct sl_err *err) {
	uint32_t filters = (uint32_t)b->o.filters;
	int rc = 0;
	for (size_t i = 0; i < b->subs_len; i++)
		for (uint32_t from = 0; rc == 0 && from < filters; from += FILTERS_A_PACKET) {
			uint32_t count = filters - from < FILTERS_A_PACKET ? filters - from : FILTERS_A_PACKET;
			rc = subscribe_some(b, &b->subs[i], from, count, err);
		}
	return rc;
}

/* --- packets made beforehand --------------------------------------------------------------------------------- */

/* As the machines of conf/sluice.yaml report, in about 256 bytes. */
static const char sink_json[] =
    "{\"ts\":1769860800000,\"deviceId\":\"asset-%u\",\"seq\":1000000000,\"status\":\"running\",\"firmware\":\"2.4.1\","
    "\"measurements\":{\"temperature\":71.57,\"vibration\":{\"x\":0.013,\"y\":0.021,\"z\":0.308},\"pressure\":4.25,"
    "\"rpm\":1480,\"power\":18.4},\"alarms\":[],\"uptime_s\":86400}";

static void make_payload(const struct bench *b, const struct bench_conn *c, struct sl_buf *out, size_t *stamp_at) {
	*stamp_at = b->o.scenario == BENCH_SINK ? BENCH_NO_STAMP : 0;
	if (b->o.scenario != BENCH_SINK) {
		size_t size = sl_max_size((size_t)b->o.payload, BENCH_STAMP);
		memset(sl_buf_add(out, size), 'x', size);
		return;
	}
	if (b->o.payload_text) {
		sl_buf_append_str(out, b->o.payload_text);
	} else {
		sl_buf_printf(out, sink_json, c->number);
	}
	/* Ten digits in a row are the sequence number's place; a text without them stays as it is. */
	size_t run = 0;
	for (size_t i = 0; i < out->n; i++) {
		run = out->p[i] >= '0' && out->p[i] <= '9' ? run + 1 : 0;
		bool ends = i + 1 == out->n || out->p[i + 1] < '0' || out->p[i + 1] > '9';
		if (run == 10 && ends) *stamp_at = i - 9;
	}
}

static void topic_text(const struct bench *b, const struct bench_conn *c, struct sl_buf *out) {
	switch ((enum bench_scenario)b->o.scenario) {
	case BENCH_FANIN: sl_buf_printf(out, "bench/fanin/%u", c->number); return;
	case BENCH_PAIRS: sl_buf_printf(out, "bench/pair/%u", c->number); return;
	case BENCH_FANOUT: sl_buf_append_str(out, "bench/fanout"); return;
	case BENCH_WILD:
	case BENCH_IDLE:
	case BENCH_STORM: sl_buf_append_str(out, "bench/unused"); return;
	case BENCH_SINK: break;
	}
	/* "{n}" in --topic is the publisher's number. */
	struct sl_slice topic = slice_from_str(b->o.topic);
	ptrdiff_t at = slice_find(topic, SL_SLICE_LIT("{n}"));
	sl_buf_append_slice(out, at < 0 ? topic : slice_sub(topic, 0, (size_t)at));
	if (at < 0) return;
	sl_buf_printf(out, "%u", c->number);
	sl_buf_append_slice(out, slice_from(topic, (size_t)at + 3));
}

static void make_packet(const struct bench *b, struct bench_conn *c) {
	struct sl_buf topic = SL_BUF_INIT, payload = SL_BUF_INIT;
	size_t stamp;
	topic_text(b, c, &topic);
	make_payload(b, c, &payload, &stamp);
	struct mqtt_publish p = {.qos = (uint8_t)b->o.qos, .packet_id = b->o.qos ? 1 : 0};
	p.topic = sl_buf_slice(&topic);
	p.payload = sl_buf_slice(&payload);
	mqtt_encode_publish(&p, b->version, &c->packet);
	size_t payload_at = c->packet.n - payload.n;
	c->stamp_at = stamp == BENCH_NO_STAMP ? BENCH_NO_STAMP : payload_at + stamp;
	c->tail_at = payload_at - (b->version == MQTT_V5 ? 1 : 0) - (b->o.qos ? 2 : 0);
	c->sequence = SL_NEW_ARRAY(uint32_t, bench_targets(b));
	sl_buf_fini(&topic);
	sl_buf_fini(&payload);
}

static void make_wild_topics(struct bench *b) {
	size_t filters = (size_t)b->o.filters;
	b->topics_at = SL_NEW_ARRAY(uint32_t, b->subs_len * filters + 1);
	for (size_t i = 0; i < b->subs_len * filters; i++) {
		sl_buf_printf(&b->topics, "bench/s%zu/x/d%zu/t", i / filters, i % filters);
		b->topics_at[i + 1] = (uint32_t)b->topics.n;
	}
}

int bench_prepare(struct bench *b, struct sl_err *err) {
	b->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (b->epfd < 0) return sl_err_set(err, SL_ESYSTEM, "epoll: %s", strerror(errno));
	if (b->o.scenario == BENCH_WILD) make_wild_topics(b);
	for (size_t i = 0; i < b->pubs_len + b->subs_len; i++) {
		struct bench_conn *c = i < b->pubs_len ? &b->pubs[i] : &b->subs[i - b->pubs_len];
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
		if (epoll_ctl(b->epfd, EPOLL_CTL_ADD, c->wire.fd, &ev) != 0)
			return sl_err_set(err, SL_ESYSTEM, "epoll: %s", strerror(errno));
		if (c->publisher) {
			make_packet(b, c);
		} else {
			c->streams = SL_NEW_ARRAY(struct stream, b->pubs_len);
		}
	}
	return SL_OK;
}

static void conn_fini(const struct bench *b, struct bench_conn *c) {
	client_wire_close(&c->wire);
	sl_buf_fini(&c->in);
	sl_buf_fini(&c->out);
	sl_buf_fini(&c->packet);
	sl_free(c->sequence);
	for (size_t i = 0; c->streams && i < b->pubs_len; i++) stream_fini(&c->streams[i]);
	sl_free(c->streams);
}

void bench_fini(struct bench *b) {
	for (size_t i = 0; b->pubs && i < b->pubs_len; i++) conn_fini(b, &b->pubs[i]);
	for (size_t i = 0; b->subs && i < b->subs_len; i++) conn_fini(b, &b->subs[i]);
	client_tls_free(b->tls);
	sl_free(b->pubs);
	sl_free(b->subs);
	sl_free(b->topics_at);
	sl_buf_fini(&b->topics);
	if (b->epfd > 0) close(b->epfd);
}
