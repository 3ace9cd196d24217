/* client_wire.c: see client_wire.h. */
#include "client_wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "client_ws.h"
#include "clock.h"
#include "dial.h"
#include "mem.h"
#include "slice.h"
#include "tls_client.h"
#include "tls_error.h"

const char *const client_tls_versions[] = {"auto", "tlsv1.2", "tlsv1.3", NULL};

enum { PSK_MAX = 256, RECORD = 16384 };

struct client_tls {
	struct tls_client *client;
	const char *host; /* of the connection that is being made */
	char *error;      /* what is wrong with the server's certificate */
	const char *psk_identity;
	unsigned char psk[PSK_MAX];
	size_t psk_len;
};

/* ---- settings ---- */

/* What the options are called in a configuration, and here. */
static void in_our_words(struct sl_err *err) {
	static const char *const words[][2] = {
	    {"`tls.cert`", "--cert"},
	    {"`tls.key`", "--key"},
	    {"`tls.ca`", "--cafile"},
	    {"`ca:` under `tls:`", "--cafile"},
	    {"write the name that it should bear as `server_name:` under `tls:`", "give the name that it bears as -h"},
	    {"write `server_name: ", "give -h "},
	    {"` under `tls:`", ""},
	};
	struct sl_buf out = SL_BUF_INIT;
	struct sl_slice rest = slice_from_str(sl_err_text(err));
	while (rest.n > 0) {
		size_t i = 0;
		while (i < SL_ARRAY_LEN(words) && !slice_starts_with(rest, slice_from_str(words[i][0]))) i++;
		if (i < SL_ARRAY_LEN(words)) {
			sl_buf_append_str(&out, words[i][1]);
			rest = slice_from(rest, strlen(words[i][0]));
		} else {
			sl_buf_put(&out, rest.p[0]);
			rest = slice_from(rest, 1);
		}
	}
	int status = err->status;
	sl_err_set(err, status, "%s", sl_buf_cstr(&out));
	sl_buf_fini(&out);
}

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(const char *text, unsigned char *to, size_t *len) {
	size_t n = strlen(text);
	if (n == 0 || n % 2 || n / 2 > PSK_MAX) return false;
	for (size_t i = 0; i < n / 2; i++) {
		int high = hex_digit(text[i * 2]), low = hex_digit(text[i * 2 + 1]);
		if (high < 0 || low < 0) return false;
		to[i] = (unsigned char)(high << 4 | low);
	}
	*len = n / 2;
	return true;
}

static unsigned give_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *key,
			 unsigned key_max) {
	(void)hint;
	const struct client_tls *tls = SSL_get_app_data(ssl);
	size_t n = strlen(tls->psk_identity);
	if (n >= identity_max || tls->psk_len > key_max) return 0;
	memcpy(identity, tls->psk_identity, n + 1);
	memcpy(key, tls->psk, tls->psk_len);
	return (unsigned)tls->psk_len;
}

static int set_psk(struct client_tls *tls, const struct client_tls_options *o, struct sl_err *err) {
	if (!o->psk && !o->psk_identity) return SL_OK;
	if (!o->psk || !o->psk_identity)
		return sl_err_set(err, SL_EINVAL, "--psk and --psk-identity belong together; give the other one, too");
	if (!unhex(o->psk, tls->psk, &tls->psk_len))
		return sl_err_set(err, SL_EINVAL, "--psk is the key in hexadecimal, two digits for each byte");
	tls->psk_identity = o->psk_identity;
	SSL_CTX_set_psk_client_callback(tls->client->ctx, give_psk);
	return SL_OK;
}

static int set_alpn(SSL_CTX *ctx, const char *name, struct sl_err *err) {
	unsigned char wire[256];
	size_t n = strlen(name);
	if (n == 0 || n > 255) return sl_err_set(err, SL_EINVAL, "--alpn is the name of a protocol, 1 to 255 bytes");
	wire[0] = (unsigned char)n;
	memcpy(wire + 1, name, n);
	SSL_CTX_set_alpn_protos(ctx, wire, (unsigned)n + 1);
	return SL_OK;
}

static int settings(struct client_tls *tls, const struct client_tls_options *o, struct sl_err *err) {
	/* With a pre-shared key there is no certificate to check; one that comes all the same is trusted by nobody. */
	const struct tls_client_conf conf = {.given = true,
					     .ca = (char *)(uintptr_t)o->cafile,
					     .cert = (char *)(uintptr_t)o->cert,
					     .key = (char *)(uintptr_t)o->key,
					     .verify = !o->insecure && !o->psk,
					     .min_version = o->version == 2 ? TLS_VERSION_1_3 : TLS_VERSION_1_2};
	int rc = tls_client_new(&conf, &tls->client, err);
	if (rc != SL_OK) {
		in_our_words(err);
		return rc;
	}
	if (o->version == 1) SSL_CTX_set_max_proto_version(tls->client->ctx, TLS1_2_VERSION);
	rc = set_psk(tls, o, err);
	if (rc == SL_OK && o->alpn) rc = set_alpn(tls->client->ctx, o->alpn, err);
	return rc;
}

int client_tls_new(const struct client_tls_options *o, struct client_tls **out, struct sl_err *err) {
	*out = NULL;
	if (!o->on && !o->cafile && !o->cert && !o->key && !o->insecure && !o->version && !o->alpn && !o->psk &&
	    !o->psk_identity)
		return SL_OK;
	struct client_tls *tls = SL_NEW(struct client_tls);
	int rc = settings(tls, o, err);
	if (rc == SL_OK)
		*out = tls;
	else
		client_tls_free(tls);
	return rc;
}

void client_tls_free(struct client_tls *tls) {
	if (!tls) return;
	tls_client_free(tls->client);
	sl_free(tls->error);
	explicit_bzero(tls->psk, sizeof tls->psk);
	sl_free(tls);
}

/* ---- the handshake ---- */

static int on_verify(int ok, X509_STORE_CTX *store) {
	if (ok) return 1;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct client_tls *tls = SSL_get_app_data(ssl);
	if (!tls->error && tls->psk_identity)
		tls->error =
		    sl_asprintf("the broker does not know the identity '%s': it has answered with a certificate",
				tls->psk_identity);
	if (!tls->error) tls->error = tls_error_of_certificate(store, tls->host, tls->client);
	return 0;
}

static int shaken_off(struct client_tls *tls, const char *host, uint16_t port, int why, struct sl_err *err) {
	int status = SL_EPROTOCOL, system = errno;
	unsigned long code = ERR_peek_last_error();
	char *text = tls->error;
	tls->error = NULL;
	if (text)
		status = SL_EDENIED;
	else if (why == SSL_ERROR_ZERO_RETURN || (why == SSL_ERROR_SYSCALL && code == 0) ||
		 ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		text = sl_asprintf(
		    "the connection broke in the middle of the TLS handshake%s%s; does the broker speak TLS on "
		    "this port?",
		    system ? ": " : "", system ? strerror(system) : "");
	else
		text = tls_error_of_code(code, true, &status);
	sl_err_set(err, status, "%s:%u: %s", host, port, text);
	in_our_words(err);
	sl_free(text);
	return status;
}

static int shake_hands(struct client_wire *w, struct client_tls *tls, const char *host, uint16_t port, int timeout_ms,
		       struct sl_err *err) {
	uint64_t end_ms = sl_clock_mono_ms() + (uint64_t)timeout_ms;
	tls->host = host;
	for (;;) {
		ERR_clear_error();
		errno = 0;
		int rc = SSL_connect(w->ssl);
		if (rc == 1) return SL_OK;
		int why = SSL_get_error(w->ssl, rc);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return shaken_off(tls, host, port, why, err);
		uint64_t now_ms = sl_clock_mono_ms();
		short events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		if (now_ms >= end_ms || !dial_wait(w->fd, events, (int)(end_ms - now_ms)))
			return sl_err_set(
			    err, SL_ESYSTEM,
			    "%s:%u: no end of the TLS handshake within %d ms; does the broker speak TLS on "
			    "this port?",
			    host, port, timeout_ms);
	}
}

/* ---- bytes ---- */

/* After a call that gave <= 0. */
static ssize_t failed(struct client_wire *w, int rc) {
	int why = SSL_get_error(w->ssl, rc);
	if (why == SSL_ERROR_ZERO_RETURN) return 0;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		errno = EAGAIN;
	else if (why != SSL_ERROR_SYSCALL || errno == 0)
		errno = EPROTO;
	return -1;
}

static ssize_t wire_recv(struct client_wire *w, void *to, size_t n) {
	if (!w->ssl) return recv(w->fd, to, n, 0);
	size_t got = 0;
	int rc = 1;
	ERR_clear_error();
	errno = 0;
	/* A record at a time; what has come with them should not wait for the next poll(2). */
	while (got < n && (rc = SSL_read(w->ssl, (char *)to + got, (int)sl_min_size(n - got, INT32_MAX))) > 0)
		got += (size_t)rc;
	return got > 0 ? (ssize_t)got : failed(w, rc);
}

static ssize_t wire_send(struct client_wire *w, const void *bytes, size_t n) {
	if (!w->ssl) return send(w->fd, bytes, n, MSG_NOSIGNAL);
	ERR_clear_error();
	errno = 0;
	int rc = SSL_write(w->ssl, bytes, (int)sl_min_size(n, RECORD));
	if (rc > 0) return rc;
	ssize_t sent = failed(w, rc);
	if (sent == 0) errno = EPIPE;
	return -1;
}

static bool wire_wait(struct client_wire *w, short events, int timeout_ms) {
	if ((events & POLLIN) && w->ssl && SSL_pending(w->ssl) > 0) return true;
	return dial_wait(w->fd, events, timeout_ms);
}

/* ---- opening ---- */

static int open_tls(struct client_wire *w, const struct client_target *t, struct client_tls *tls, int timeout_ms,
		    struct sl_err *err) {
	int rc = SL_OK;
	const char *host = t->unix_path ? "localhost" : t->host;
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	w->ssl = SSL_new(tls->client->ctx);
	if (!w->ssl || SSL_set_fd(w->ssl, w->fd) != 1)
		rc = sl_err_set(err, SL_ESYSTEM, "OpenSSL has no memory for a connection");
	if (rc == SL_OK) rc = tls_client_peer(tls->client, w->ssl, host, err);
	if (rc != SL_OK) return rc;
	SSL_set_app_data(w->ssl, tls);
	SSL_set_mode(w->ssl,
		     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	if (tls->client->verify || tls->psk_identity) SSL_set_verify(w->ssl, SSL_VERIFY_PEER, on_verify);
	return shake_hands(w, tls, host, t->port, timeout_ms, err);
}

static int open_ws(struct client_wire *w, const struct client_target *t, int timeout_ms, struct sl_err *err) {
	static const struct client_ws_below below = {.recv = wire_recv, .send = wire_send, .wait = wire_wait};
	char *where = client_target_text(t);
	bool v6 = !t->unix_path && strchr(t->host, ':');
	char *host_port = v6 ? sl_asprintf("[%s]:%u", t->host, t->port) : sl_strdup(t->unix_path ? "localhost" : where);
	int rc = client_ws_open(w, &below, host_port, t->ws_path, timeout_ms, &w->ws, err);
	if (rc != SL_OK) sl_err_prefix(err, "%s%s", where, t->ws_path);
	sl_free(host_port);
	sl_free(where);
	return rc;
}

int client_wire_open(struct client_wire *w, const struct client_target *t, struct client_tls *tls, int timeout_ms,
		     struct sl_err *err) {
	client_wire_close(w);
	int rc =
	    t->unix_path ? dial_unix(t->unix_path, &w->fd, err) : dial_tcp(t->host, t->port, timeout_ms, &w->fd, err);
	if (rc == SL_OK && tls) rc = open_tls(w, t, tls, timeout_ms, err);
	if (rc == SL_OK && t->ws_path) rc = open_ws(w, t, timeout_ms, err);
	if (rc != SL_OK) client_wire_close(w);
	return rc;
}

char *client_target_text(const struct client_target *t) {
	return t->unix_path ? sl_strdup(t->unix_path) : sl_asprintf("%s:%u", t->host, t->port);
}

void client_wire_close(struct client_wire *w) {
	client_ws_close(w->ws);
	if (w->ssl) {
		ERR_clear_error();
		if (SSL_is_init_finished(w->ssl)) (void)SSL_shutdown(w->ssl);
		SSL_free(w->ssl);
		ERR_clear_error();
	}
	if (w->fd >= 0) close(w->fd);
	*w = (struct client_wire)CLIENT_WIRE_INIT;
}

/* ---- what is on top ---- */

ssize_t client_wire_recv(struct client_wire *w, void *to, size_t n) {
	return w->ws ? client_ws_recv(w->ws, to, n) : wire_recv(w, to, n);
}

ssize_t client_wire_send(struct client_wire *w, const void *bytes, size_t n) {
	return w->ws ? client_ws_send(w->ws, bytes, n) : wire_send(w, bytes, n);
}

bool client_wire_holds(const struct client_wire *w) {
	return (w->ws && client_ws_holds(w->ws)) || (w->ssl && SSL_pending(w->ssl) > 0);
}

bool client_wire_wait(struct client_wire *w, short events, int timeout_ms) {
	if ((events & POLLIN) && client_wire_holds(w)) return true;
	return wire_wait(w, events, timeout_ms);
}
