/* bench_storm.c: a fleet that comes all at once: connects, subscribes, is thrown off, and comes back. See bench_int.h.
 *
 *     CONNECTING --writable--> TALKING: CONNECT and SUBSCRIBE in one write --CONNACK, SUBACK--> THERE
 *
 * Plain TCP and MQTT 3.1.1, whose two answers are nine bytes. To a loopback address connections come from several ones
 * (127.0.0.1 to 127.0.0.8), for one has no more than 28,000 ports. A connect that is refused or broken is counted, and tried again. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench_int.h"
#include "mem.h"

enum { ANSWERS = 9, EVENTS = 512, SOURCES = 8, GIVE_UP_MS = 120000 };

struct storm_conn {
	int fd;
	uint8_t got; /* bytes of the two answers */
	bool talking, there;
	uint8_t in[ANSWERS];
};

struct storm {
	struct bench *b;
	struct sockaddr_storage to;
	socklen_t to_len;
	struct storm_conn *conns;
	size_t len, next, under_way, there;
	uint64_t failed; /* attempts */
	int epfd, last_errno;
};

static int resolve(struct storm *s, struct sl_err *err) {
	const struct cmd_common *o = &s->b->o.common;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
	char port[8];
	snprintf(port, sizeof port, "%u", (unsigned)o->port);
	int rc = getaddrinfo(o->host, port, &hints, &list);
	if (rc != 0) return sl_err_set(err, SL_ENOTFOUND, "%s: %s", o->host, gai_strerror(rc));
	memcpy(&s->to, list->ai_addr, list->ai_addrlen);
	s->to_len = list->ai_addrlen;
	freeaddrinfo(list);
	return SL_OK;
}

/* Of 127.0.0.0/8 all is ours. */
static void choose_source(const struct storm *s, int fd, size_t i) {
	const struct sockaddr_in *to = (const struct sockaddr_in *)&s->to;
	if (s->to.ss_family != AF_INET || ntohl(to->sin_addr.s_addr) >> 24 != 127) return;
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i % SOURCES))};
	int one = 1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	(void)!bind(fd, (struct sockaddr *)&from, sizeof from); /* then the kernel chooses */
}

static void conn_drop(struct storm *s, struct storm_conn *c) {
	if (c->fd < 0) return;
	close(c->fd);
	if (c->there)
		s->there--;
	else
		s->under_way--;
	*c = (struct storm_conn){.fd = -1};
}

static bool conn_dial(struct storm *s, size_t i) {
	struct storm_conn *c = &s->conns[i];
	int one = 1, fd = socket(s->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) return false;
	*c = (struct storm_conn){.fd = fd};
	s->under_way++;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	choose_source(s, fd, i);
	struct epoll_event ev = {.events = EPOLLOUT | EPOLLIN, .data.ptr = c};
	if (connect(fd, (struct sockaddr *)&s->to, s->to_len) != 0 && errno != EINPROGRESS) return false;
	return epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void conn_failed(struct storm *s, struct storm_conn *c, int error) {
	s->failed++;
	s->last_errno = error;
	conn_drop(s, c);
	(void)conn_dial(s, (size_t)(c - s->conns));
}

static void conn_talk(struct storm *s, struct storm_conn *c) {
	struct bench *b = s->b;
	struct sl_buf out = SL_BUF_INIT, entries = SL_BUF_INIT;
	char id[48], filter[48];
	unsigned number = (unsigned)(c - s->conns);
	snprintf(id, sizeof id, "%s-%u", b->o.common.client_id ? b->o.common.client_id : "storm", number);
	snprintf(filter, sizeof filter, "bench/storm/%u", number);
	struct mqtt_connect p = {.version = MQTT_V311,
				 .clean_start = !b->o.persistent,
				 .keep_alive_s = 600,
				 .client_id = slice_from_str(id),
				 .username = slice_from_str(b->o.common.username),
				 .password = slice_from_str(cmd_password(&b->o.common))};
	p.has_username = p.username.p != NULL;
	p.has_password = p.password.p != NULL;
	mqtt_encode_connect(&p, &out);
	struct mqtt_sub_entry e = {.filter = slice_from_str(filter), .qos = (uint8_t)b->o.qos};
	mqtt_put_sub_entry(&entries, &e);
	struct mqtt_subscribe sub = {.packet_id = 1, .count = 1, .entries = sl_buf_slice(&entries)};
	mqtt_encode_subscribe(&sub, MQTT_V311, &out);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	bool fine = send(c->fd, out.p, out.n, MSG_NOSIGNAL) == (ssize_t)out.n &&
		    epoll_ctl(s->epfd, EPOLL_CTL_MOD, c->fd, &ev) == 0;
	c->talking = true;
	sl_buf_fini(&out);
	sl_buf_fini(&entries);
	if (!fine) conn_failed(s, c, errno);
}

static void conn_hear(struct storm *s, struct storm_conn *c) {
	ssize_t n = recv(c->fd, c->in + c->got, (size_t)(ANSWERS - c->got), 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
	if (n > 0) c->got = (uint8_t)(c->got + n);
	/* CONNACK: 20 02 present 00; SUBACK: 90 03 00 01 qos */
	bool refused = (c->got >= 4 && c->in[3] != 0) || (c->got >= ANSWERS && c->in[8] > 2);
	if (n <= 0 || refused) {
		conn_failed(s, c, n < 0 ? errno : ECONNREFUSED);
		return;
	}
	if (c->got < ANSWERS) return;
	c->there = true;
	s->under_way--;
	s->there++;
}

static void conn_event(struct storm *s, struct storm_conn *c, uint32_t events) {
	int error = 0;
	socklen_t len = sizeof error;
	if (c->fd < 0) return;
	if (c->there) { /* nothing is published here: it was closed */
		conn_failed(s, c, ECONNRESET);
		return;
	}
	if (!c->talking && (events & (EPOLLERR | EPOLLHUP))) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		conn_failed(s, c, error ? error : ECONNRESET);
		return;
	}
	if (!c->talking)
		conn_talk(s, c);
	else
		conn_hear(s, c);
}

/* All of them, as many under way at a time as is asked for. Seconds, or -1 when they did not all come. */
static double come(struct storm *s, struct sl_err *err) {
	size_t parallel = s->b->o.parallel ? (size_t)s->b->o.parallel : s->len;
	uint64_t start_ns = bench_now_ns();
	struct epoll_event events[EVENTS];
	s->next = 0;
	while (s->there < s->len) {
		while (s->next < s->len && s->under_way < parallel)
			if (!conn_dial(s, s->next++)) {
				(void)sl_err_set(err, SL_ESYSTEM, "connection %zu: %s", s->next - 1, strerror(errno));
				return -1;
			}
		int n = epoll_wait(s->epfd, events, EVENTS, 1000);
		for (int i = 0; i < n; i++) conn_event(s, events[i].data.ptr, events[i].events);
		if ((bench_now_ns() - start_ns) / 1000000 < GIVE_UP_MS) continue;
		(void)sl_err_set(err, SL_ESYSTEM, "%zu of %zu connections came within %d s; the last failure: %s",
				 s->there, s->len, GIVE_UP_MS / 1000, s->last_errno ? strerror(s->last_errno) : "none");
		return -1;
	}
	return (double)(bench_now_ns() - start_ns) / 1e9;
}

int bench_storm(struct bench *b, struct bench_result *r, struct sl_err *err) {
	struct storm s = {.b = b, .len = b->subs_len, .epfd = epoll_create1(EPOLL_CLOEXEC)};
	int rc = bench_room_for_descriptors(s.len, err);
	if (rc == SL_OK) rc = resolve(&s, err);
	s.conns = SL_NEW_ARRAY(struct storm_conn, s.len);
	for (size_t i = 0; i < s.len; i++) s.conns[i].fd = -1;
	uint64_t cpu_ns = proc_cpu_ns(b->o.broker_pid);
	if (rc == SL_OK) rc = (r->first_s = come(&s, err)) < 0 ? SL_ESYSTEM : SL_OK;
	r->connect_cpu_s = (double)(proc_cpu_ns(b->o.broker_pid) - cpu_ns) / 1e9;
	r->rss_connected = proc_rss_bytes(b->o.broker_pid);
	if (rc == SL_OK && b->o.hold_s) sleep((unsigned)b->o.hold_s);
	for (size_t i = 0; i < s.len; i++) conn_drop(&s, &s.conns[i]);
	cpu_ns = proc_cpu_ns(b->o.broker_pid);
	if (rc == SL_OK) rc = (r->seconds = come(&s, err)) < 0 ? SL_ESYSTEM : SL_OK;
	r->broker_cpu_s = (double)(proc_cpu_ns(b->o.broker_pid) - cpu_ns) / 1e9;
	r->refused = s.failed;
	for (size_t i = 0; i < s.len; i++) conn_drop(&s, &s.conns[i]);
	sl_free(s.conns);
	close(s.epfd);
	return rc;
}
