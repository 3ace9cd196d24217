/* mongo_stream.c: the sockets under libmongoc are ours: a blocking face (mongoc_stream_t) on a non-blocking socket, with our
 * one TLS setup on top. What that buys: a wait can be ended from outside (link->wake_fd), TLS is what `tls:` says for every
 * connector, every address of a host is tried, and what a broken or foreign server answers is looked at (mongo_message.h) before
 * libmongoc reads it.
 * Thread: the link's own. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"
#include "mongo_message.h"
#include "mongodb_int.h"
#include "outbound.h"
#include "tls_error.h"

enum { STREAM_TYPE = 90, POLL_MAX = 256 }; /* the type only has to be nobody else's */
enum { READ_STEP = 64 << 10, KEEP = 1 << 20 };
enum { RECORD = 16 << 10, PIECES_MAX = 16 }; /* what one TLS record takes; what one call is given */

struct stream {
	mongoc_stream_t face; /* first */
	struct mongo_link *l;
	int fd;
	SSL *ssl;
	int error;        /* errno of the last failure */
	const char *host; /* during the handshake */
	char *distrust;   /* why its certificate was refused */
	/* The message that is coming in, or that libmongoc reads: it gets whole ones that were looked at, or nothing. */
	struct sl_buf in;
	size_t given;
	bool whole, compressed; /* compressed: they may come so */
	struct sl_buf out;      /* with TLS: small pieces that go out as one record */
};

static struct stream *of(mongoc_stream_t *face) { return (struct stream *)face; }
static int64_t now_ms(void) { return (int64_t)sl_clock_mono_ms(); }

/* A time that is over: 0 tries once; below 0 there is no limit. */
static int64_t until(int32_t timeout_ms) { return timeout_ms <= 0 ? timeout_ms : now_ms() + timeout_ms; }

/* Waits for the socket. 0, or errno. */
static int fd_wait(struct mongo_link *l, int fd, short events, int64_t deadline) {
	for (;;) {
		struct pollfd p[2] = {{.fd = fd, .events = events}, {.fd = l->wake_fd, .events = POLLIN}};
		int64_t left = deadline < 0 ? -1 : deadline == 0 ? 0 : deadline - now_ms();
		if (deadline > 0 && left < 0) left = 0;
		int n = poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return errno;
		if (p[1].revents || atomic_load_explicit(&l->cancelled, memory_order_relaxed)) return ECANCELED;
		if (n > 0) return 0;
		return deadline == 0 ? EAGAIN : ETIMEDOUT;
	}
}

/* ---- Reading and writing. ------------------------------------------------------------------------------------------- */

/* With TLS 1.3 a server looks at our certificate when we think that all is done, and libmongoc tells only that nothing came. */
static void keep_refusal(struct mongo_link *l, const char *reason) {
	const char *ours = reason ? tls_error_of_our_certificate(reason) : NULL;
	if (ours) {
		sl_free(l->unreached);
		l->unreached = sl_asprintf("TLS: %s", ours);
	}
	ERR_clear_error();
}

/* errno for what SSL said, or 0 with *events to wait for. */
static int ssl_events(struct stream *s, int r, short *events) {
	int saved = errno;
	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ: *events = POLLIN; return 0;
	case SSL_ERROR_WANT_WRITE: *events = POLLOUT; return 0;
	case SSL_ERROR_ZERO_RETURN: return ECONNRESET;
	case SSL_ERROR_SYSCALL: ERR_clear_error(); return saved ? saved : ECONNRESET;
	default: keep_refusal(s->l, ERR_reason_error_string(ERR_peek_last_error())); return EPROTO;
	}
}

/* What errno means: *events to wait for, or s->error. */
static void socket_error(struct stream *s, short wanted, short *events) {
	if (errno == EAGAIN || errno == EINTR)
		*events = wanted;
	else
		s->error = errno;
}

/* One attempt: bytes moved, or -1 with *events to wait for, or with s->error. */
static ssize_t move(struct stream *s, bool out, void *p, size_t n, short *events) {
	*events = 0;
	s->error = 0;
	errno = 0;
	if (s->ssl) {
		int size = n > INT32_MAX ? INT32_MAX : (int)n;
		int r = out ? SSL_write(s->ssl, p, size) : SSL_read(s->ssl, p, size);
		if (r > 0) return r;
		s->error = ssl_events(s, r, events);
		return -1;
	}
	ssize_t r = out ? send(s->fd, p, n, MSG_NOSIGNAL) : recv(s->fd, p, n, 0);
	if (r > 0 || (r == 0 && n == 0)) return r;
	if (r == 0)
		s->error = ECONNRESET;
	else
		socket_error(s, out ? POLLOUT : POLLIN, events);
	return -1;
}

/* The same with what is behind the first `at` bytes of the pieces: a message comes in half a dozen of them. */
static ssize_t move_pieces(struct stream *s, const mongoc_iovec_t *iov, size_t count, size_t at, short *events) {
	if (s->ssl) {
		char *first = (char *)iov->iov_base + at;
		if (iov->iov_len - at >= RECORD) return move(s, true, first, iov->iov_len - at, events);
		sl_buf_clear(&s->out); /* tried again, it has the same bytes at the same place: so OpenSSL wants it */
		for (size_t i = 0; i < count && s->out.n + iov[i].iov_len - at <= RECORD; i++, at = 0)
			sl_buf_append(&s->out, (char *)iov[i].iov_base + at, iov[i].iov_len - at);
		return move(s, true, s->out.p, s->out.n, events);
	}
	struct iovec piece[PIECES_MAX];
	struct msghdr message = {.msg_iov = piece};
	for (size_t i = 0; i < count && message.msg_iovlen < PIECES_MAX; i++, at = 0)
		piece[message.msg_iovlen++] =
		    (struct iovec){.iov_base = (char *)iov[i].iov_base + at, .iov_len = iov[i].iov_len - at};
	*events = 0;
	s->error = 0;
	ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
	if (n < 0) socket_error(s, POLLOUT, events);
	return n;
}

/* The next message, whole. 0, or errno; what came of it stays for the next call. */
static int message_in(struct stream *s, int64_t deadline) {
	if (s->whole && s->in.cap > KEEP) sl_buf_fini(&s->in);
	if (s->whole) sl_buf_clear(&s->in);
	s->whole = false;
	s->given = 0;
	for (;;) {
		size_t need = s->in.n < 4 ? 4 : mongo_message_length((const uint8_t *)s->in.p);
		if (need == 0) return EPROTO;
		if (s->in.n >= 4 && s->in.n == need) break;
		size_t step = need - s->in.n < READ_STEP ? need - s->in.n : READ_STEP;
		sl_buf_grow(&s->in, step); /* as it comes: a length may be a lie */
		short events;
		ssize_t n = move(s, false, s->in.p + s->in.n, step, &events);
		if (n > 0) {
			s->in.n += (size_t)n;
			continue;
		}
		int error = events ? fd_wait(s->l, s->fd, events, deadline) : s->error;
		if (error) return error;
	}
	s->whole = true;
	if (mongo_message_check((const uint8_t *)s->in.p, s->in.n, s->compressed)) return 0;
	s->given = s->in.n;
	return EPROTO;
}

static bool has_more(const struct stream *s) { return s->whole && s->given < s->in.n; }

/* Until `min` bytes have come. */
static ssize_t stream_readv(mongoc_stream_t *face, mongoc_iovec_t *iov, size_t count, size_t min, int32_t timeout_ms) {
	struct stream *s = of(face);
	int64_t deadline = until(timeout_ms);
	size_t done = 0, i = 0, at = 0;
	s->l->answering = false;
	while (i < count) {
		if (at == iov[i].iov_len) {
			i++;
			at = 0;
			continue;
		}
		if (!has_more(s)) {
			if (done > 0 && done >= min) break;
			int error = message_in(s, deadline);
			if (error == EAGAIN && done > 0) break;
			if (error) {
				errno = s->error = error;
				return -1;
			}
		}
		size_t n = iov[i].iov_len - at < s->in.n - s->given ? iov[i].iov_len - at : s->in.n - s->given;
		memcpy((char *)iov[i].iov_base + at, s->in.p + s->given, n);
		s->given += n;
		at += n;
		done += n;
	}
	s->error = 0;
	s->l->answering = !has_more(s);
	return (ssize_t)done;
}

static ssize_t stream_writev(mongoc_stream_t *face, mongoc_iovec_t *iov, size_t count, int32_t timeout_ms) {
	struct stream *s = of(face);
	int64_t deadline = until(timeout_ms);
	size_t done = 0, i = 0, at = 0;
	s->l->answering = false;
	while (i < count) {
		if (at == iov[i].iov_len) {
			i++;
			at = 0;
			continue;
		}
		short events;
		ssize_t n = move_pieces(s, iov + i, count - i, at, &events);
		if (n > 0) {
			done += (size_t)n;
			for (at += (size_t)n; i < count && at >= iov[i].iov_len && at > 0; i++) at -= iov[i].iov_len;
			continue;
		}
		if (events) s->error = fd_wait(s->l, s->fd, events, deadline);
		if (s->error == EAGAIN && done > 0) break;
		if (s->error) {
			errno = s->error;
			return -1;
		}
	}
	s->error = 0;
	return (ssize_t)done;
}

static ssize_t stream_poll(mongoc_stream_poll_t *streams, size_t n, int32_t timeout_ms) {
	struct pollfd p[POLL_MAX + 1];
	if (n == 0 || n > POLL_MAX) return -1;
	struct mongo_link *l = of(streams[0].stream)->l;
	ssize_t ready = 0;
	l->answering = false;
	for (size_t i = 0; i < n; i++) {
		struct stream *s = of(streams[i].stream);
		p[i] = (struct pollfd){.fd = s->fd, .events = (short)streams[i].events};
		streams[i].revents = 0;
		if (s->fd < 0) { /* see stream_of_none() */
			streams[i].revents = POLLERR | POLLHUP;
			ready++;
		} else if ((streams[i].events & POLLIN) && (has_more(s) || (s->ssl && SSL_pending(s->ssl) > 0))) {
			streams[i].revents = POLLIN;
			ready++;
		}
	}
	p[n] = (struct pollfd){.fd = l->wake_fd, .events = POLLIN};
	if (poll(p, n + 1, ready ? 0 : timeout_ms) < 0) return errno == EINTR ? ready : -1;
	if (p[n].revents) return -1;
	for (size_t i = 0; i < n; i++) {
		ready += p[i].revents && !streams[i].revents;
		streams[i].revents |= p[i].revents;
	}
	return ready;
}

static bool stream_check_closed(mongoc_stream_t *face) {
	char c;
	ssize_t n = recv(of(face)->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static bool stream_timed_out(mongoc_stream_t *face) { return of(face)->error == ETIMEDOUT; }
static bool stream_should_retry(mongoc_stream_t *face) { return of(face)->error == EAGAIN; }
static int stream_flush(mongoc_stream_t *face) {
	(void)face;
	return 0;
}
static int stream_setsockopt(mongoc_stream_t *face, int level, int name, void *value, mongoc_socklen_t n) {
	return setsockopt(of(face)->fd, level, name, value, n);
}

static int stream_close(mongoc_stream_t *face) {
	struct stream *s = of(face);
	SSL_free(s->ssl); /* without a goodbye: nobody waits for one, and it would have to be sent */
	s->ssl = NULL;
	if (s->fd >= 0) close(s->fd);
	s->fd = -1;
	return 0;
}

static void stream_destroy(mongoc_stream_t *face) {
	(void)stream_close(face);
	sl_buf_fini(&of(face)->in);
	sl_buf_fini(&of(face)->out);
	sl_free(of(face));
}

/* ---- Opening. ----------------------------------------------------------------------------------------------------------- */

static const char *what(int error) {
	return error == ETIMEDOUT   ? "no answer in time"
	       : error == ECANCELED ? "given up, for it took too long or the program ends"
				    : strerror(error);
}

static int address_connect(struct mongo_link *l, const struct sockaddr *address, socklen_t size, int64_t deadline,
			   int *error) {
	int one = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t n = sizeof *error;
	if (fd < 0) {
		*error = errno;
		return -1;
	}
	*error = connect(fd, address, size) == 0 ? 0 : errno;
	if (*error == EINPROGRESS || *error == EINTR) {
		*error = fd_wait(l, fd, POLLOUT, deadline);
		if (*error == 0) (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &n);
	}
	if (*error) {
		close(fd);
		return -1;
	}
	if (address->sa_family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	}
	return fd;
}

static int unix_connect(struct mongo_link *l, const char *path, int64_t deadline, int *error) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path) {
		*error = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	return address_connect(l, (const struct sockaddr *)&address, sizeof address, deadline, error);
}

/* Whoever named the host: settings, or a server that speaks of its replica set. */
static bool may_try(const struct addrinfo *a, const mongoc_host_list_t *host, bson_error_t *why) {
	struct sl_err err = SL_ERR_INIT;
	int r = sl_outbound_allows(a->ai_addr, &err);
	bool number = slice_starts_with(slice_from_str(sl_err_text(&err)), slice_from_str(host->host));
	if (r != SL_OK)
		bson_set_error(why, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "%s%s%s",
			       number ? "" : host->host_and_port, number ? "" : ": ", sl_err_text(&err));
	sl_err_fini(&err);
	return r == SL_OK;
}

/* Every address of the host, until one answers. */
static int host_connect(struct mongo_link *l, const mongoc_host_list_t *host, int64_t deadline, bson_error_t *why) {
	struct addrinfo hints = {.ai_family = host->family == AF_UNIX ? AF_UNSPEC : host->family,
				 .ai_socktype = SOCK_STREAM},
			*list = NULL;
	char *port = sl_asprintf("%u", host->port);
	int error = 0, fd = -1;
	if (host->family == AF_UNIX)
		fd = unix_connect(l, host->host, deadline, &error);
	else {
		int r = getaddrinfo(host->host, port, &hints, &list);
		if (r != 0)
			bson_set_error(why, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_NAME_RESOLUTION,
				       "the name %s is not found: %s", host->host, gai_strerror(r));
		for (const struct addrinfo *a = list; a && fd < 0 && error != ECANCELED; a = a->ai_next)
			if (may_try(a, host, why)) fd = address_connect(l, a->ai_addr, a->ai_addrlen, deadline, &error);
		if (list) freeaddrinfo(list);
	}
	if (fd >= 0) *why = (bson_error_t){0}; /* an address before may have failed */
	if (fd < 0 && error)
		bson_set_error(why, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "%s: %s", host->host_and_port,
			       what(error));
	sl_free(port);
	return fd;
}

static int on_verify(int ok, X509_STORE_CTX *store) {
	if (ok) return 1;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct stream *s = SSL_get_app_data(ssl);
	const struct tls_client *client = s->l->c->tls_client;
	if (!s->distrust)
		s->distrust =
		    tls_error_of_certificate(store, client->server_name ? client->server_name : s->host, client);
	return 0;
}

static void tls_why(struct stream *s, const char *host, int error, bson_error_t *why) {
	int status;
	unsigned long code = ERR_peek_last_error();
	char *text = s->distrust ? s->distrust
		     : error     ? sl_asprintf("%s%s", what(error),
                                           error == ETIMEDOUT || error == ECONNRESET
						   ? "; does the server speak TLS on this port?"
						   : "")
				 : tls_error_of_code(code, true, &status);
	bson_set_error(why, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "%s: TLS: %s", host, text);
	sl_free(text);
	s->distrust = NULL;
	ERR_clear_error();
}

static bool tls_handshake(struct stream *s, const char *host, int64_t deadline, bson_error_t *why) {
	for (;;) {
		int error = 0;
		ERR_clear_error();
		errno = 0;
		int r = SSL_connect(s->ssl);
		if (r == 1) return true;
		int saved = errno, kind = SSL_get_error(s->ssl, r);
		if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
			error = fd_wait(s->l, s->fd, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
			if (error == 0) continue;
		} else if (kind == SSL_ERROR_SYSCALL)
			error = saved ? saved : ECONNRESET;
		tls_why(s, host, error, why);
		return false;
	}
}

static bool tls_start(struct stream *s, const mongoc_host_list_t *host, int64_t deadline, bson_error_t *why) {
	const struct tls_client *client = s->l->c->tls_client;
	struct sl_err err = SL_ERR_INIT;
	s->ssl = SSL_new(client->ctx);
	s->host = host->host;
	bool ok =
	    s->ssl && SSL_set_fd(s->ssl, s->fd) == 1 && tls_client_peer(client, s->ssl, host->host, &err) == SL_OK;
	if (ok) {
		SSL_set_app_data(s->ssl, s);
		if (client->verify) SSL_set_verify(s->ssl, SSL_VERIFY_PEER, on_verify);
		ok = tls_handshake(s, host->host_and_port, deadline, why);
	} else
		bson_set_error(why, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT, "%s: TLS: %s",
			       host->host_and_port, sl_err_text(&err));
	sl_err_fini(&err);
	return ok;
}

static struct stream *stream_new(struct mongo_link *l, int fd) {
	struct stream *s = SL_NEW(struct stream);
	*s = (struct stream){.face = {.type = STREAM_TYPE,
				      .destroy = stream_destroy,
				      .close = stream_close,
				      .flush = stream_flush,
				      .writev = stream_writev,
				      .readv = stream_readv,
				      .setsockopt = stream_setsockopt,
				      .check_closed = stream_check_closed,
				      .poll = stream_poll,
				      .failed = stream_destroy,
				      .timed_out = stream_timed_out,
				      .should_retry = stream_should_retry},
			     .l = l,
			     .fd = fd};
	return s;
}

/* libmongoc 1.23 waits for itself for ever when a stream cannot be opened while it reads an answer that names a member it did not know:
 * it tells of the failure under a lock that it already holds. So in that place there is a stream, and the failure is seen when it is
 * used; the reason is kept, for nobody else has it. */
static mongoc_stream_t *stream_of_none(struct mongo_link *l, const bson_error_t *error) {
	if (!l->answering) return NULL;
	sl_free(l->unreached);
	l->unreached = sl_strdup(error->message);
	return &stream_new(l, -1)->face;
}

mongoc_stream_t *mongo_stream_open(const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *arg,
				   bson_error_t *error) {
	struct mongo_link *l = arg;
	int64_t deadline = now_ms() + mongoc_uri_get_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, 5000);
	int fd = host_connect(l, host, deadline, error);
	if (fd < 0) return stream_of_none(l, error);
	struct stream *s = stream_new(l, fd);
	s->compressed = !bson_empty(mongoc_uri_get_compressors(uri));
	if (!l->c->tls_client || tls_start(s, host, deadline, error)) return &s->face;
	stream_destroy(&s->face);
	return stream_of_none(l, error);
}
