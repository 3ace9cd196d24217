#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "listener_unix.h"
#include "log.h"
#include "mem.h"

enum { ACCEPTS_PER_TURN = 8, REST_MS = 100, FDS_WANTED = 1 << 20 };

struct listener {
	struct sl_loop *loop;
	struct sl_watch watch;
	struct sl_timer rest;
	listener_accept_cb cb;
	void *arg;
	char *host; /* as it was given, for messages */
	uint16_t port;
	int backlog;
	bool joins;
	int bound; /* the socket until it listens, then -1 */
	struct listener_gate *gate;
	uint64_t *rests;
	struct listener_file file; /* of a unix socket; the first's alone */
	bool is_unix;
};

/* Too many came; they wait. */
static bool gate_shut(struct listener *ls) {
	uint64_t wait_ms = ls->gate ? listener_gate_wait_ms(ls->gate, sl_loop_now_ms(ls->loop)) : 0;
	if (wait_ms == 0) return false;
	if (ls->rests) ++*ls->rests;
	sl_timer_set(ls->loop, &ls->rest, wait_ms);
	return true;
}

static void accept_some(struct listener *ls) {
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof peer;
		if (gate_shut(ls)) return;
		int fd = accept4(ls->watch.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			if (ls->gate) listener_gate_passed(ls->gate, sl_loop_now_ms(ls->loop));
			ls->cb(ls->arg, fd, (struct sockaddr *)&peer, len);
			if (ls->watch.fd < 0) return; /* stopped by the callback */
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK) return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn(LOG_NET, "cannot accept connections for lack of descriptors or memory",
				 "port=%u err=%s", (unsigned)ls->port, strerror(errno));
			sl_timer_set(ls->loop, &ls->rest, REST_MS);
			return;
		}
		/* ECONNABORTED and the network errors that accept(2) hands on concern one connection only. */
	}
	sl_watch_again(ls->loop, &ls->watch);
}

static void listener_ready(struct sl_watch *w, uint32_t events) {
	(void)events;
	struct listener *ls = sl_container_of(w, struct listener, watch);
	if (!sl_timer_armed(&ls->rest)) accept_some(ls);
}

static void rest_over(struct sl_timer *t) { accept_some(sl_container_of(t, struct listener, rest)); }

static int fail_closed(int fd) {
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* A socket bound to the address, or -1 with errno. */
static int bind_socket(const struct addrinfo *ai, bool both_families, bool reuse_port) {
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	int one = 1, v6only = both_families ? 0 : 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (ai->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only);
	if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) return fail_closed(fd);
	return bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 ? fd : fail_closed(fd);
}

/* With SO_REUSEPORT the kernel would let a second broker of the same user take half of the connections without a word: a
 * socket without it, which is closed at once, is refused where somebody listens. 0, or -1 with errno. */
static int probe(const struct addrinfo *ai, bool both_families) {
	int fd = bind_socket(ai, both_families, false);
	if (fd < 0) return -1;
	close(fd);
	return 0;
}

/* A socket on the address, or -1 with errno. */
static int open_socket(const struct addrinfo *ai, bool both_families, const struct listener_opts *opts) {
	if (!opts->joined && !opts->shares && opts->port != 0 && probe(ai, both_families) != 0) return -1;
	return bind_socket(ai, both_families, true);
}

static const char *way_out(int error) {
	if (error == EADDRINUSE) return "stop the program that has the port, or choose another port in `bind`";
	if (error == EADDRNOTAVAIL) return "give an address of this machine";
	if (error == EACCES) return "choose a port above 1023, or give the program the right to take this one";
	return "choose another address or port in `bind`";
}

static uint16_t port_of(int fd) {
	struct sockaddr_storage at;
	socklen_t len = sizeof at;
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0) return 0;
	if (at.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
	return ntohs(((struct sockaddr_in *)&at)->sin_port);
}

static bool any_address(const char *host) { return host[0] == '\0' || strcmp(host, "*") == 0; }

/* For errno. */
static int cannot_listen(const char *host, uint16_t port, struct sl_err *err) {
	int error = errno;
	return sl_err_set(err, SL_ESYSTEM, "cannot listen on %s port %u: %s; %s",
			  any_address(host) ? "any address" : host, (unsigned)port, strerror(error), way_out(error));
}

static int bind_first(const struct listener_opts *opts, int *fd_out, struct sl_err *err) {
	bool any = any_address(opts->host);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	if (any) hints.ai_family = AF_INET6;
	char *service = sl_asprintf("%u", (unsigned)opts->port);
	struct addrinfo *list = NULL;
	int rc = getaddrinfo(any ? "::" : opts->host, service, &hints, &list);
	if (rc != 0 && any) { /* a system without IPv6 */
		hints.ai_family = AF_INET;
		rc = getaddrinfo(NULL, service, &hints, &list);
	}
	sl_free(service);
	if (rc != 0)
		return sl_err_set(err, SL_EINVAL, "cannot listen on \"%s\": %s; give an address of this machine",
				  opts->host, gai_strerror(rc));
	int fd = -1;
	for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) fd = open_socket(ai, any, opts);
	int saved = errno;
	freeaddrinfo(list);
	errno = saved;
	if (fd < 0) return cannot_listen(opts->host, opts->port, err);
	*fd_out = fd;
	return SL_OK;
}

/* The workers' listeners on a unix socket are one socket, which each of them watches. */
static int bind_unix(const struct listener_opts *opts, struct listener_file *file, int *fd, struct sl_err *err) {
	if (!opts->joined) return listener_file_bind(opts->path, opts->mode, file, fd, err);
	*fd = fcntl(opts->joined->bound, F_DUPFD_CLOEXEC, 0);
	return *fd >= 0 ? SL_OK : sl_err_set(err, SL_ESYSTEM, "cannot listen on %s: %s", opts->path, strerror(errno));
}

int listener_open(struct sl_loop *l, const struct listener_opts *opts, listener_accept_cb cb, void *arg,
		  struct listener **out, struct sl_err *err) {
	struct listener_file file = {0};
	int fd = -1, rc = opts->path ? bind_unix(opts, &file, &fd, err) : bind_first(opts, &fd, err);
	if (rc != SL_OK) return rc;
	struct listener *ls = SL_NEW(struct listener);
	*ls = (struct listener){.loop = l,
				.cb = cb,
				.arg = arg,
				.host = sl_strdup(opts->path ? opts->path : opts->host),
				.port = opts->path ? 0 : port_of(fd),
				.gate = opts->gate,
				.rests = opts->rests,
				.file = file,
				.is_unix = opts->path != NULL,
				.backlog = opts->backlog > 0 ? opts->backlog : SOMAXCONN,
				.joins = opts->joined || opts->shares,
				.bound = fd};
	sl_watch_init(&ls->watch, listener_ready);
	sl_timer_init(&ls->rest, rest_over);
	*out = ls;
	return SL_OK;
}

/* Somebody else may have come to listen since the socket was bound, which hinders nobody. */
static int nobody_listens(const struct listener *ls) {
	struct sockaddr_storage at;
	struct addrinfo ai = {.ai_addr = (struct sockaddr *)&at, .ai_addrlen = sizeof at};
	if (getsockname(ls->bound, ai.ai_addr, &ai.ai_addrlen) != 0) return -1;
	ai.ai_family = at.ss_family;
	return probe(&ai, any_address(ls->host));
}

int listener_listen(struct listener *ls, struct sl_err *err) {
	if ((!ls->joins && !ls->is_unix && nobody_listens(ls) != 0) || listen(ls->bound, ls->backlog) != 0)
		return cannot_listen(ls->host, ls->port, err);
	return SL_OK;
}

int listener_begin(struct listener *ls, struct sl_err *err) {
	if (sl_watch_add(ls->loop, &ls->watch, ls->bound) != SL_OK)
		return sl_err_set(err, SL_ESYSTEM, "cannot watch port %u: %s", (unsigned)ls->port, strerror(errno));
	ls->bound = -1;
	return SL_OK;
}

void listener_serve(struct listener *ls, void *arg, struct listener_gate *gate) {
	ls->arg = arg;
	ls->gate = gate;
}

uint16_t listener_port(const struct listener *ls) { return ls->port; }

struct sl_listen_at listener_at(const struct listener *ls) {
	return sl_listen_at_socket(ls->bound >= 0 ? ls->bound : ls->watch.fd);
}

void listener_stop(struct listener *ls) {
	sl_timer_cancel(&ls->rest);
	int fd = ls->watch.fd;
	sl_watch_remove(ls->loop, &ls->watch);
	if (fd >= 0) close(fd);
	if (ls->bound >= 0) close(ls->bound);
	ls->bound = -1;
	listener_file_remove(&ls->file);
}

void listener_free(struct listener *ls) {
	if (!ls) return;
	listener_stop(ls);
	sl_free(ls->host);
	sl_free(ls);
}

char *listener_peer_text(const struct sockaddr *peer, socklen_t len) {
	char host[NI_MAXHOST], port[NI_MAXSERV];
	if (peer->sa_family == AF_UNIX) return sl_strdup("unix");
	if (getnameinfo(peer, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return sl_strdup("unknown");
	const char *mapped = "::ffff:"; /* an IPv4 client of an IPv6 socket */
	if (strncmp(host, mapped, 7) == 0 && strchr(host, '.')) return sl_asprintf("%s:%s", host + 7, port);
	if (peer->sa_family == AF_INET6) return sl_asprintf("[%s]:%s", host, port);
	return sl_asprintf("%s:%s", host, port);
}

char *listener_peer_of(int fd, const struct sockaddr *peer, socklen_t len) {
	return peer->sa_family == AF_UNIX ? listener_unix_peer(fd) : listener_peer_text(peer, len);
}

uint64_t listener_raise_fd_limit(void) {
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 0;
	/* Root may have more than it was given. */
	struct rlimit wanted = {.rlim_cur = FDS_WANTED, .rlim_max = FDS_WANTED},
		      allowed = {.rlim_cur = r.rlim_max, .rlim_max = r.rlim_max};
	if (r.rlim_max < FDS_WANTED && setrlimit(RLIMIT_NOFILE, &wanted) == 0) return FDS_WANTED;
	if (r.rlim_cur < r.rlim_max && setrlimit(RLIMIT_NOFILE, &allowed) == 0) r = allowed;
	return r.rlim_cur;
}
