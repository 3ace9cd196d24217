/* stream_dial.c: look up, then one address after the other. Every step ends in a deferred call, which takes the next one, or
 * delivers: so done() is never called from inside sl_dial_start(), and no watch is freed in the tick that may still name it. */
#include "stream_dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "buf.h"
#include "conv.h"
#include "mem.h"
#include "outbound.h"

enum {
	TRIED_SHOWN = 4,    /* addresses in an error text */
	SHARE_MIN_MS = 250, /* what an address gets at least, while there is time */
	ALIVE_IDLE_S = 30,  /* keep-alive probes of a connection: after so much silence */
	ALIVE_PAUSE_S = 10, /* so often */
	ALIVE_PROBES = 3,   /* so many, then it is dead */
	NAMED = -1,         /* no errno: the reason names the address */
};

struct sl_dial {
	struct sl_loop *l;
	sl_dial_fn done;
	void *arg;
	char *host;
	uint16_t port;
	uint64_t timeout_ms, start_ms;
	uv_getaddrinfo_t lookup;
	struct addrinfo *list, *next; /* what was found; what was not tried yet */
	bool list_is_uv;
	const struct addrinfo *now; /* being tried */
	struct sl_watch watch;
	struct sl_timer timer;
	struct sl_deferred step;
	struct sl_buf tried; /* what came of the addresses so far */
	size_t failed, refused, denied;
	int fd; /* the socket being connected, or the result */
	bool looking, connected, cancelled, over;
	struct sl_err err;
};

/* ---- texts ----------------------------------------------------------------------------------------------- */

/* "db.example:5432", "[::1]:5432", "/run/db.sock". */
static char *whereto(const struct sl_dial *d) {
	if (d->host[0] == '/') return sl_strdup(d->host);
	const char *form = strchr(d->host, ':') ? "[%s]:%u" : "%s:%u";
	return sl_asprintf(form, d->host, d->port);
}

static const char *reason_of(int error) {
	switch (error) {
	case ECONNREFUSED: return "connection refused";
	case ETIMEDOUT: return "no answer";
	case ECONNRESET: return "connection reset";
	case EHOSTUNREACH: return "no route to the host";
	case ENETUNREACH: return "the network cannot be reached";
	case EADDRNOTAVAIL: return "no local address or port is free for it";
	case EMFILE:
	case ENFILE: return "no file descriptor is left (raise the limit: ulimit -n)";
	case ENOENT: return "there is no such socket";
	case EAGAIN: return "the server's queue of new connections is full";
	case EACCES:
	case EPERM: return "not allowed";
	default: return strerror(error);
	}
}

static void put_address(const struct addrinfo *a, struct sl_buf *out) {
	char text[NI_MAXHOST];
	if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
		sl_buf_append_str(out, text);
}

/* Remembers why an address did not work. */
static void note(struct sl_dial *d, const char *reason, int error) {
	d->refused += error == ECONNREFUSED || error == ENOENT;
	if (++d->failed > TRIED_SHOWN) return;
	if (d->tried.n) sl_buf_append_str(&d->tried, "; ");
	sl_buf_append_str(&d->tried, reason);
	if (d->now && d->list->ai_next && error != NAMED) { /* one of several */
		sl_buf_append_str(&d->tried, " (");
		put_address(d->now, &d->tried);
		sl_buf_put(&d->tried, ')');
	}
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void drop_socket(struct sl_dial *d) {
	sl_watch_remove(d->l, &d->watch);
	if (d->fd >= 0) close(d->fd);
	d->fd = -1;
}

static void dial_free(struct sl_dial *d) {
	drop_socket(d);
	sl_timer_cancel(&d->timer);
	sl_deferred_cancel(&d->step);
	if (d->list_is_uv)
		uv_freeaddrinfo(d->list);
	else if (d->list)
		freeaddrinfo(d->list);
	sl_buf_fini(&d->tried);
	sl_err_fini(&d->err);
	sl_free(d->host);
	sl_free(d);
}

/* Nothing is left to be done for the caller, but the lookup may still run: libuv gives it back later. */
static void leave(struct sl_dial *d) {
	d->over = true;
	if (d->looking)
		(void)uv_cancel((uv_req_t *)&d->lookup);
	else
		dial_free(d);
}

static void deliver(struct sl_dial *d) {
	int fd = d->connected ? d->fd : -1;
	sl_watch_remove(d->l, &d->watch);
	sl_timer_cancel(&d->timer);
	if (d->connected) d->fd = -1;
	d->done(d->arg, fd, fd < 0 ? &d->err : NULL);
	leave(d);
}

static void give_up(struct sl_dial *d) {
	bool denied = d->denied > 0 && d->denied == d->failed;
	bool said = denied && !d->list_is_uv; /* the host is the address that the reason begins with */
	char *where = whereto(d);
	const char *advice = d->refused != d->failed ? "" : "; is the server running, and listening there?";
	if (d->failed > TRIED_SHOWN) sl_buf_printf(&d->tried, "; and %zu more", d->failed - TRIED_SHOWN);
	sl_err_set(&d->err, denied ? SL_EDENIED : SL_EIO, "%s%s%s%s", said ? "" : where, said ? "" : ": ",
		   sl_buf_cstr(&d->tried), advice);
	sl_free(where);
	deliver(d);
}

/* ---- connecting ------------------------------------------------------------------------------------------ */

static uint64_t time_left(const struct sl_dial *d) {
	uint64_t gone = sl_loop_now_ms(d->l) - d->start_ms;
	return gone < d->timeout_ms ? d->timeout_ms - gone : 0;
}

static void keep_alive(int fd) {
	int on = 1, idle = ALIVE_IDLE_S, pause = ALIVE_PAUSE_S, probes = ALIVE_PROBES;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof pause);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* Where nobody listens on a port that the kernel gives out to clients, TCP may connect a socket to itself. */
static bool is_itself(int fd) {
	struct sockaddr_storage here, there;
	socklen_t here_len = sizeof here, there_len = sizeof there;
	if (getsockname(fd, (struct sockaddr *)&here, &here_len) != 0) return false;
	if (getpeername(fd, (struct sockaddr *)&there, &there_len) != 0) return false;
	return here.ss_family != AF_UNIX && here_len == there_len && memcmp(&here, &there, here_len) == 0;
}

/* Begins to connect. 0: connected or on the way; else errno. */
static int begin(struct sl_dial *d, int family, const struct sockaddr *address, socklen_t len) {
	d->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0) return errno;
	if (family != AF_UNIX) keep_alive(d->fd);
	if (connect(d->fd, address, len) == 0) {
		d->connected = !is_itself(d->fd);
		return d->connected ? 0 : ECONNREFUSED;
	}
	if (errno != EINPROGRESS && errno != EINTR) return errno;
	return sl_watch_add(d->l, &d->watch, d->fd) == SL_OK ? 0 : errno;
}

static void try_path(struct sl_dial *d) {
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t n = strlen(d->host);
	if (n >= sizeof at.sun_path) {
		note(d, "the path of a socket has at most 107 bytes", 0);
		give_up(d);
		return;
	}
	memcpy(at.sun_path, d->host, n);
	int error = begin(d, AF_UNIX, (const struct sockaddr *)&at, (socklen_t)sizeof at);
	if (error == 0) {
		if (d->connected) deliver(d);
		return;
	}
	note(d, reason_of(error), error);
	give_up(d);
}

/* Not before here is it known which address a name has, and nothing changes it any more. */
static bool may_try(struct sl_dial *d) {
	struct sl_err err = SL_ERR_INIT;
	int rc = sl_outbound_allows(d->now->ai_addr, &err);
	if (rc != SL_OK) {
		d->denied++;
		note(d, sl_err_text(&err), NAMED);
	}
	sl_err_fini(&err);
	return rc == SL_OK;
}

static size_t addresses_left(const struct sl_dial *d) {
	size_t n = 0;
	for (const struct addrinfo *a = d->next; a; a = a->ai_next) n++;
	return n;
}

/* The next address that can be tried; when there is none the dial is over. */
static void try_next(struct sl_dial *d) {
	while (d->next) {
		uint64_t left = time_left(d), share = left / addresses_left(d);
		d->now = d->next;
		if (left == 0) break;
		d->next = d->next->ai_next;
		if (!may_try(d)) continue;
		int error = begin(d, d->now->ai_family, d->now->ai_addr, d->now->ai_addrlen);
		if (error == 0 && d->connected) {
			deliver(d);
			return;
		}
		if (error == 0) {
			sl_timer_set(d->l, &d->timer, sl_max_size(share, sl_min_size(left, SHARE_MIN_MS)));
			return;
		}
		drop_socket(d);
		note(d, reason_of(error), error);
	}
	if (d->next) note(d, "out of time", 0);
	give_up(d);
}

static void socket_ready(struct sl_watch *w, uint32_t events) {
	struct sl_dial *d = sl_container_of(w, struct sl_dial, watch);
	if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) || d->over) return;
	int error = 0;
	socklen_t len = sizeof error;
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) error = errno;
	sl_timer_cancel(&d->timer);
	sl_watch_remove(d->l, w);
	if (error == 0 && is_itself(d->fd)) error = ECONNREFUSED;
	if (error == 0) {
		d->connected = true;
	} else {
		drop_socket(d);
		note(d, reason_of(error), error);
	}
	sl_loop_defer(d->l, &d->step);
}

/* ---- looking up ------------------------------------------------------------------------------------------ */

static void lookup_failed(struct sl_dial *d, int status, const char *reason, const char *advice) {
	char *where = whereto(d);
	sl_err_set(&d->err, status, "%s: %s%s", where, reason, advice);
	sl_free(where);
}

static void looked_up(uv_getaddrinfo_t *req, int rc, struct addrinfo *list) {
	struct sl_dial *d = sl_container_of(req, struct sl_dial, lookup);
	d->looking = false;
	d->list = d->next = list;
	d->list_is_uv = list != NULL;
	if (d->over) {
		dial_free(d);
		return;
	}
	sl_timer_cancel(&d->timer);
	if (rc == UV_EAI_NONAME || rc == UV_EAI_NODATA || (rc == 0 && !list))
		lookup_failed(d, SL_ENOTFOUND, "no such host",
			      "; check the name, and that this machine can look it up");
	else if (rc == UV_EAI_AGAIN)
		lookup_failed(d, SL_ENOTFOUND, "the name cannot be looked up now",
			      "; do this machine's name servers answer?");
	else if (rc != 0)
		lookup_failed(d, SL_ENOTFOUND, "the name cannot be looked up: ", uv_strerror(rc));
	sl_loop_defer(d->l, &d->step);
}

/* A number needs no lookup, and no thread. */
static void look_up(struct sl_dial *d) {
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
	char service[SL_FORMAT_I64_MAX];
	sl_format_u64(d->port, service);
	if (getaddrinfo(d->host, service, &hints, &d->list) == 0) {
		d->next = d->list;
		sl_loop_defer(d->l, &d->step);
		return;
	}
	d->list = NULL;
	hints.ai_flags = 0;
	int rc = uv_getaddrinfo(sl_loop_uv(d->l), &d->lookup, looked_up, d->host, service, &hints);
	if (rc != 0) {
		lookup_failed(d, SL_ENOTFOUND, "the name cannot be looked up: ", uv_strerror(rc));
		sl_loop_defer(d->l, &d->step);
		return;
	}
	d->looking = true;
	sl_timer_set(d->l, &d->timer, d->timeout_ms);
}

static void out_of_time(struct sl_timer *t) {
	struct sl_dial *d = sl_container_of(t, struct sl_dial, timer);
	if (d->looking) {
		lookup_failed(d, SL_ENOTFOUND, "the name could not be looked up in time",
			      "; do this machine's name servers answer?");
	} else {
		drop_socket(d);
		note(d, "no answer in time", ETIMEDOUT);
	}
	sl_loop_defer(d->l, &d->step);
}

/* ---- the steps ------------------------------------------------------------------------------------------- */

static void step(struct sl_deferred *deferred) {
	struct sl_dial *d = sl_container_of(deferred, struct sl_dial, step);
	if (d->cancelled)
		leave(d);
	else if (d->connected || d->err.status != SL_OK)
		deliver(d);
	else if (d->host[0] == '/' && d->failed == 0)
		try_path(d);
	else
		try_next(d);
}

void sl_dial_start(struct sl_loop *l, const char *host, uint16_t port, uint64_t timeout_ms, sl_dial_fn done, void *arg,
		   struct sl_dial **out) {
	struct sl_dial *d = SL_NEW(struct sl_dial);
	*d = (struct sl_dial){.l = l,
			      .done = done,
			      .arg = arg,
			      .host = sl_strdup(host),
			      .port = port,
			      .timeout_ms = timeout_ms,
			      .start_ms = sl_loop_now_ms(l),
			      .fd = -1};
	sl_watch_init(&d->watch, socket_ready);
	sl_timer_init(&d->timer, out_of_time);
	sl_deferred_init(&d->step, step);
	*out = d;
	if (host[0] == '/')
		sl_loop_defer(l, &d->step);
	else
		look_up(d);
}

void sl_dial_cancel(struct sl_dial *d) {
	if (!d) return;
	d->cancelled = true;
	d->connected = false;
	sl_timer_cancel(&d->timer);
	drop_socket(d);
	sl_loop_defer(d->l, &d->step);
}

/* ---- addresses ------------------------------------------------------------------------------------------- */

static int parse_port(struct sl_slice text, struct sl_slice digits, uint16_t *port, struct sl_err *err) {
	int64_t n;
	if (slice_to_i64(digits, &n) != SL_OK || n < 1 || n > 65535 || digits.p[0] == '+')
		return sl_err_set(err, SL_EINVAL, "'%.*s': the port is a number between 1 and 65535",
				  SL_SLICE_ARG(slice_sub(text, 0, 100)));
	*port = (uint16_t)n;
	return SL_OK;
}

/* Splits host from ":port"; port stays empty where there is none. */
static bool split(struct sl_slice text, struct sl_slice *host, struct sl_slice *port) {
	*port = SL_SLICE_EMPTY;
	*host = text;
	ptrdiff_t colon;
	if (text.n > 0 && text.p[0] == '[') {
		ptrdiff_t end = slice_find_byte(text, ']');
		if (end < 0) return false;
		*host = slice_sub(text, 1, (size_t)end - 1);
		struct sl_slice rest = slice_from(text, (size_t)end + 1);
		if (rest.n > 0 && rest.p[0] != ':') return false;
		if (rest.n > 0) *port = slice_from(rest, 1);
		return slice_find_byte(*host, ':') >= 0 && (rest.n == 0 || port->n > 0);
	}
	if ((colon = slice_find_byte(text, ':')) < 0) return true;
	struct sl_slice rest = slice_from(text, (size_t)colon + 1);
	if (slice_find_byte(rest, ':') >= 0) return true; /* an IPv6 address without brackets */
	*host = slice_sub(text, 0, (size_t)colon);
	*port = rest;
	return rest.n > 0;
}

int sl_dial_parse(struct sl_slice text, uint16_t default_port, struct sl_slice *host, uint16_t *port,
		  struct sl_err *err) {
	struct sl_slice digits;
	*port = default_port;
	*host = text;
	bool fine = text.n > 0 && text.n <= 4096;
	/* A client library would take what a comma divides for two, of which the second one was never looked at. */
	for (size_t i = 0; i < text.n; i++)
		fine = fine && (unsigned char)text.p[i] > ' ' && text.p[i] != 0x7f && text.p[i] != ',';
	if (fine && text.p[0] == '/') return SL_OK;
	/* A URL, perhaps with a password, which does not belong into an error, nor into a list that is shown. */
	if (slice_find_byte(text, '@') >= 0 || slice_find_byte(text, '/') >= 0)
		return sl_err_set(
		    err, SL_EINVAL,
		    "this is no address but more; write host:port alone: user and password have options of "
		    "their own");
	if (!fine || !split(text, host, &digits) || host->n == 0 || host->n > 253)
		return sl_err_set(err, SL_EINVAL,
				  "'%.*s' is no address; write host:port, for example db.example:%u or [::1]:%u",
				  SL_SLICE_ARG(slice_sub(text, 0, 100)), default_port ? default_port : 6379,
				  default_port ? default_port : 6379);
	if (digits.n > 0) return parse_port(text, digits, port, err);
	if (default_port == 0)
		return sl_err_set(err, SL_EINVAL, "'%.*s' lacks the port; write host:port",
				  SL_SLICE_ARG(slice_sub(text, 0, 100)));
	return SL_OK;
}
