/* stream_tls.c: OpenSSL between two streams. Its BIO reads the bytes that the stream below presents, where they lie, and
 * writes into the output buffer of the stream below; nothing else is copied or kept. */
#include "stream_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>

#include "mem.h"
#include "stream_int.h"
#include "tls_error.h"

/* RECORD: what one SSL_write takes. ANSWERS: how much of OpenSSL's own (alerts, key updates, handshake) may wait on top of
 * STREAM_TLS_AHEAD before the peer counts as a flood. */
enum { RECORD = 16384, ANSWERS = 64 * 1024 };

static struct sl_stream_tls *tls_of(struct sl_stream *s) { return sl_container_of(s, struct sl_stream_tls, s); }
static struct sl_stream_tls *tls_above(struct sl_stream *below) {
	return sl_container_of(below, struct sl_stream_tls, tcp.s);
}
_Static_assert(sizeof(struct sl_stream_tls) == offsetof(struct sl_stream_tls, tcp) + sizeof(struct sl_stream_tcp),
	       "the stream below stands last");

/* ---- the BIO --------------------------------------------------------------------------------------------- */

static int wire_read(BIO *bio, char *to, int size) {
	struct sl_stream_tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	size_t n = sl_min_size(t->cipher.n, size > 0 ? (size_t)size : 0);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(to, t->cipher.p, n);
	t->cipher = slice_from(t->cipher, n);
	return (int)n;
}

static int wire_write(BIO *bio, const char *bytes, int n) {
	struct sl_stream_tls *t = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (t->tcp.s.closed || n <= 0) return -1;
	if (sl_stream_pending(&t->tcp.s) > STREAM_TLS_AHEAD + ANSWERS) {
		t->flood = true;
		return -1;
	}
	sl_buf_append(sl_stream_out(&t->tcp.s), bytes, (size_t)n);
	return n;
}

static long wire_ctrl(BIO *bio, int what, long num, void *ptr) {
	(void)bio;
	(void)num;
	(void)ptr;
	return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *wire;
static pthread_once_t wire_once = PTHREAD_ONCE_INIT;

static void wire_make(void) {
	wire = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice stream");
	sl_assert(wire);
	BIO_meth_set_read(wire, wire_read);
	BIO_meth_set_write(wire, wire_write);
	BIO_meth_set_ctrl(wire, wire_ctrl);
}

/* ---- failing --------------------------------------------------------------------------------------------- */

/* Closes the stream. What OpenSSL wrote last, an alert, still leaves. error: heap, or NULL. */
static void fail(struct sl_stream_tls *t, int status, char *error) {
	if (t->error)
		sl_free(error); /* the first one is the cause */
	else
		t->error = error;
	t->s.blocked = true; /* nothing more is encrypted */
	sl_stream_close(&t->s, status);
}

/* After a call that returned <= 0. `code`: what stood last in OpenSSL's queue then. */
static void fail_ssl(struct sl_stream_tls *t, unsigned long code) {
	int status;
	char *error = t->flood ? NULL : tls_error_of_code(code, t->client != NULL, &status);
	if (!error) {
		status = SL_EPROTOCOL;
		error = sl_strdup("the other side asks much and does not read the answers");
	}
	fail(t, status, error);
}

static int on_verify(int ok, X509_STORE_CTX *store) {
	if (ok) return 1;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct sl_stream_tls *t = SSL_get_app_data(ssl);
	if (t->client) {
		const char *name = t->client->server_name ? t->client->server_name : t->host;
		if (!t->error) t->error = tls_error_of_certificate(store, name, t->client);
		return 0;
	}
	/* An authority in between is looked for where there is a list of those that its own has revoked. */
	if (X509_STORE_CTX_get_error(store) == X509_V_ERR_UNABLE_TO_GET_CRL &&
	    X509_STORE_CTX_get_error_depth(store) > 0) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	if (!t->error) t->error = tls_error_of_client(store);
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

/* Encrypts what is pending into the buffer below, while that has room. False: failed, or the stream below broke. */
static bool encrypt(struct sl_stream_tls *t) {
	struct sl_stream *s = &t->s, *below = &t->tcp.s;
	while (sl_stream_pending(s) > 0) {
		if (sl_stream_pending(below) >= STREAM_TLS_AHEAD) {
			sl_stream_flush(below);
			if (s->closed || below->closed) return false;
			if (sl_stream_pending(below) >= STREAM_TLS_AHEAD) return true;
			continue; /* on_drain() may have had its turn */
		}
		ERR_clear_error();
		int n = SSL_write(t->ssl, s->out.p + s->out_sent, (int)sl_min_size(sl_stream_pending(s), RECORD));
		if (n <= 0) {
			unsigned long code = ERR_peek_last_error();
			if (SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ) return true;
			fail_ssl(t, code);
			return false;
		}
		s->out_sent += (size_t)n;
	}
	sl_stream_flush(below);
	return !s->closed && !below->closed;
}

static void tls_flush(struct sl_stream *s) {
	struct sl_stream_tls *t = tls_of(s);
	struct sl_stream *below = &t->tcp.s;
	if (!t->ready || t->error || below->closed) return;
	if (!encrypt(t)) return;
	bool waits = sl_stream_pending(below) > 0;
	s->blocked = sl_stream_pending(s) > 0 && waits;
	if (waits && (s->blocked || s->tell_drained)) sl_stream_tell_drained(below);
	/* on_drain() is for when the socket took all of it. */
	if (waits && sl_stream_pending(s) == 0)
		stream_out_release(s);
	else
		stream_sent(s);
}

static void below_drained(struct sl_stream *below) {
	struct sl_stream_tls *t = tls_above(below);
	if (t->s.closed || !t->ready || t->error) return;
	t->s.blocked = false;
	sl_stream_flush(&t->s);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static bool shake_hands(struct sl_stream_tls *t) {
	struct sl_stream *s = &t->s;
	ERR_clear_error();
	int rc = SSL_do_handshake(t->ssl);
	if (rc != 1) {
		unsigned long code = ERR_peek_last_error();
		if (SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ) {
			if (t->error) /* the check of the certificate has said it better */
				fail(t, SL_EDENIED, NULL);
			else
				fail_ssl(t, code);
		}
		return false;
	}
	t->ready = true;
	if (!t->client) tls_server_done(&t->server, t->ssl);
	s->blocked = false;
	if (sl_stream_pending(s) > 0 && !sl_list_linked(&s->dirty)) sl_stream_mark_dirty(s);
	if (s->events->on_ready) s->events->on_ready(s);
	return !s->closed;
}

/* Decrypts and presents until there is nothing more, or the owner has enough. */
static void read_plain(struct sl_stream_tls *t) {
	struct sl_stream *s = &t->s;
	while (!s->closed && !s->paused) {
		size_t room, got = 0;
		char *base = stream_room(s, stream_pool(s->loop)->plain, STREAM_PLAIN, &room);
		int rc = 1, why = SSL_ERROR_NONE;
		unsigned long code = 0;
		ERR_clear_error();
		while (got < room && (rc = SSL_read(t->ssl, base + s->in.n + got, (int)(room - got))) > 0)
			got += (size_t)rc;
		if (rc <= 0) {
			code = ERR_peek_last_error();
			why = SSL_get_error(t->ssl, rc);
		}
		if (got > 0) stream_present(s, slice_make(base, s->in.n + got));
		if (s->closed || why == SSL_ERROR_WANT_READ) return;
		if (why == SSL_ERROR_ZERO_RETURN)
			sl_stream_close(s, SL_ECLOSED);
		else if (why != SSL_ERROR_NONE)
			fail_ssl(t, code);
	}
}

static size_t below_read(struct sl_stream *below, struct sl_slice bytes) {
	struct sl_stream_tls *t = tls_above(below);
	if (t->s.closed) return bytes.n; /* nobody listens any more */
	if (t->ready && t->s.paused) {
		sl_stream_pause(below);
		return 0;
	}
	t->cipher = bytes;
	if (t->ready || shake_hands(t)) read_plain(t);
	size_t rest = t->cipher.n;
	t->cipher = SL_SLICE_EMPTY;
	if (t->s.closed) return bytes.n;
	if (t->s.paused && t->ready) sl_stream_pause(below);
	return bytes.n - rest;
}

/* After resume: first what was presented and left, then what OpenSSL holds, then what lies below. */
static void below_turn(struct sl_stream *below) {
	struct sl_stream_tls *t = tls_above(below);
	struct sl_stream *s = &t->s;
	if (!s->closed && s->events->on_turn) s->events->on_turn(s);
	if (!s->closed && !s->paused && s->in.n > 0) stream_present(s, sl_buf_slice(&s->in));
	if (!s->closed && t->ready) read_plain(t);
	if (!s->closed && s->paused && t->ready) sl_stream_pause(below);
}

static void tls_resume(struct sl_stream *s) {
	struct sl_stream *below = &tls_of(s)->tcp.s;
	sl_stream_pause(below); /* it may be waiting for may_read() */
	sl_stream_resume(below);
}

/* What it had sent is read on: TLS's own end, close_notify, may be among it, and what stands before that. */
static void below_hup(struct sl_stream *below) {
	struct sl_stream_tls *t = tls_above(below);
	struct sl_stream *s = &t->s;
	if (s->closed || s->hup) return;
	s->hup = true;
	if (s->events->on_hup) s->events->on_hup(s);
	if (s->in.n > 0 && !s->paused && !s->closed) stream_present(s, sl_buf_slice(&s->in));
}

static bool below_may_read(struct sl_stream *below) {
	struct sl_stream_tls *t = tls_above(below);
	const struct sl_stream_events *events = t->s.events;
	return !t->ready || t->s.closed || !events->may_read || events->may_read(&t->s);
}

/* ---- moving ---------------------------------------------------------------------------------------------- */

static struct sl_stream *tls_below(struct sl_stream *s) { return &tls_of(s)->tcp.s; }

static void tls_detach(struct sl_stream *s) {
	struct sl_stream_tls *t = tls_of(s);
	stream_leave(s);
	t->tcp.s.ops->detach(&t->tcp.s);
}

static int tls_attach(struct sl_stream *s, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out) {
	struct sl_stream_tls *t = tls_of(s);
	stream_arrive(s, l);
	return t->tcp.s.ops->attach(&t->tcp.s, l, bytes_in, bytes_out);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void below_closed(struct sl_stream *below, int status) {
	struct sl_stream_tls *t = tls_above(below);
	t->ended = true;
	if (t->s.closed) return;
	char *error = NULL;
	/* Who only looks whether there is somebody, as health checks do, is not worth a word. */
	if (!t->ready && (t->client || !SSL_in_before(t->ssl)))
		error =
		    sl_asprintf("the other side %s in the middle of the TLS handshake; does it speak TLS on this port?",
				status == SL_ECLOSED ? "closed the connection" : "broke the connection off");
	fail(t, status, error);
}

/* What on_closed() may still be asked for, wherever in the stack that is heard: it goes when that has returned. */
struct remains {
	struct sl_deferred end;
	char *error;
	struct tls_peer *peer;
};

static void remains_free(struct sl_deferred *d) {
	struct remains *r = sl_container_of(d, struct remains, end);
	sl_free(r->error);
	tls_peer_free(r->peer);
	sl_free(r);
}

/* Streams end in deferred calls, which are worked off one after the other. */
static void leave_remains(struct sl_stream_tls *t) {
	if (!t->error && !t->peer) return;
	struct remains *r = SL_NEW(struct remains);
	r->error = t->error;
	r->peer = t->peer;
	sl_deferred_init(&r->end, remains_free);
	sl_loop_defer(t->s.loop, &r->end);
}

/* The stream below ends with us, at once: its memory is in ours. */
static void tls_finish(struct sl_stream *s) {
	struct sl_stream_tls *t = tls_of(s);
	struct sl_stream *below = &t->tcp.s;
	if (!t->ended) {
		ERR_clear_error();
		if (t->ready && !t->error && !below->closed && s->status != SL_EIO) (void)SSL_shutdown(t->ssl);
		sl_stream_flush(below);
		below->status = s->status;
		stream_end(below);
		t->ended = true;
	}
	SSL_free(t->ssl);
	t->ssl = NULL;
	if (t->server.setting) tls_server_end(&t->server);
	ERR_clear_error();
	tls_client_free(t->client);
	t->client = NULL;
	sl_free(t->host);
	t->host = NULL;
	leave_remains(t);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

static const struct sl_stream_ops tls_ops = {.flush = tls_flush,
					     .resume = tls_resume,
					     .finish = tls_finish,
					     .below = tls_below,
					     .detach = tls_detach,
					     .attach = tls_attach};
static const struct sl_stream_events below_events = {.on_read = below_read,
						     .on_drain = below_drained,
						     .on_hup = below_hup,
						     .may_read = below_may_read,
						     .on_turn = below_turn,
						     .on_closed = below_closed};

/* What both sides need. On failure the fd is still the caller's and nothing is left. */
static int open_below(struct sl_stream_tls *t, struct sl_loop *l, const struct sl_stream_tls_setup *setup, SSL *ssl,
		      struct sl_err *err) {
	BIO *bio;
	pthread_once(&wire_once, wire_make);
	*t = (struct sl_stream_tls){.ssl = ssl, .server = t->server};
	stream_init(&t->s, &tls_ops, setup->events, l);
	t->s.blocked = true; /* until the handshake is done */
	if (sl_stream_tcp_open(&t->tcp, l, setup->fd, &below_events, setup->bytes_in, setup->bytes_out) != SL_OK)
		return sl_err_set(err, SL_ESYSTEM, "the connection cannot be watched: %m");
	bio = BIO_new(wire);
	sl_assert(bio);
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, t);
	SSL_set_mode(ssl,
		     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	return SL_OK;
}

int sl_stream_tls_connect(struct sl_stream_tls *t, struct sl_loop *l, const struct sl_stream_tls_setup *setup,
			  struct tls_client *client, const char *host, struct sl_err *err) {
	SSL *ssl = SSL_new(client->ctx);
	t->server = (struct tls_server_conn){0};
	if (!ssl) return sl_err_set(err, SL_ESYSTEM, "OpenSSL has no memory for a connection");
	int rc = tls_client_peer(client, ssl, host, err);
	if (rc == SL_OK && client->verify) SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
	if (rc == SL_OK) rc = open_below(t, l, setup, ssl, err);
	if (rc != SL_OK) {
		SSL_free(ssl);
		ERR_clear_error();
		return rc;
	}
	t->client = tls_client_ref(client);
	t->host = sl_strdup(host);
	SSL_set_connect_state(ssl);
	(void)shake_hands(t);
	return SL_OK;
}

int sl_stream_tls_accept(struct sl_stream_tls *t, struct sl_loop *l, const struct sl_stream_tls_setup *setup,
			 struct tls_server *server, struct sl_err *err) {
	/* Into `t` at once: handshakes find it there, and open_below() must not wipe it. */
	SSL *ssl = tls_server_begin(server, &t->server);
	if (!ssl) return sl_err_set(err, SL_ESYSTEM, "OpenSSL has no memory for a connection");
	int rc = open_below(t, l, setup, ssl, err);
	if (rc == SL_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
		SSL_set_verify(ssl, SSL_get_verify_mode(ssl), on_verify);
	if (rc == SL_OK) return SL_OK;
	SSL_free(ssl);
	tls_server_end(&t->server);
	return rc;
}

struct sl_stream_tls *sl_stream_tls_in(struct sl_stream *top) {
	for (; top; top = top->ops->below(top))
		if (top->ops == &tls_ops) return tls_of(top);
	return NULL;
}

const struct tls_peer *sl_stream_tls_peer(struct sl_stream_tls *t) {
	if (t->peer || !t->ready || !t->ssl) return t->peer;
	X509 *cert = SSL_get_verify_result(t->ssl) == X509_V_OK && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE
			 ? SSL_get0_peer_certificate(t->ssl)
			 : NULL;
	t->peer = tls_peer_new(cert, t->server.psk_identity);
	return t->peer;
}

const char *sl_stream_tls_error(const struct sl_stream_tls *t) { return t->error; }

bool sl_stream_tls_resumed(const struct sl_stream_tls *t) {
	return t->ready && t->ssl && SSL_session_reused(t->ssl) &&
	       (t->client || t->server.ticket); /* a pre-shared key counts as one, too */
}

void sl_stream_tls_describe(const struct sl_stream_tls *t, struct sl_buf *out) {
	if (t->ready && t->ssl) sl_buf_printf(out, "%s, %s", SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl));
}
