/* tls_fuzz.c: what a peer that nobody knows yet may make us read. The first byte chooses: 'C' a certificate in DER, which the
 * texts for humans are made of, and who it says one is; 'A' an address as it stands in a configuration; 'S' what a client says to
 * a listener, after which it closes; else all that follows is what a server answers to our ClientHello. Seeds: corpus/tls. */
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "stream_dial.h"
#include "stream_tls.h"
#include "tls_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- certificates */

static void certificate(const uint8_t *data, size_t size) {
	static const int faults[] = {
	    X509_V_ERR_HOSTNAME_MISMATCH,           X509_V_ERR_CERT_HAS_EXPIRED,
	    X509_V_ERR_CERT_NOT_YET_VALID,          X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
	    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, X509_V_ERR_CERT_REVOKED};
	X509 *x = d2i_X509(NULL, &data, (long)size);
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	for (size_t i = 0; x && i < SL_ARRAY_LEN(faults); i++)
		for (int depth = 0; depth < 2; depth++) {
			X509_STORE_CTX_set_current_cert(store, x);
			X509_STORE_CTX_set_error(store, faults[i]);
			X509_STORE_CTX_set_error_depth(store, depth);
			char *text = tls_error_of_certificate(store, "host", NULL);
			for (const char *p = text; *p; p++) sl_assert(*p >= 32 && *p < 127);
			sl_free(text);
		}
	for (size_t i = 0; x && i < SL_ARRAY_LEN(faults); i++) {
		X509_STORE_CTX_set_error(store, faults[i]);
		sl_free(tls_error_of_client(store));
	}
	struct tls_peer *peer = tls_peer_new(x, NULL);
	sl_assert(!x == !peer);
	tls_peer_free(peer);
	X509_STORE_CTX_set_current_cert(store, NULL);
	X509_STORE_CTX_free(store);
	X509_free(x);
}

/* ---- addresses */

static void address(struct sl_slice text) {
	struct sl_slice host;
	uint16_t port;
	struct sl_err err = SL_ERR_INIT;
	if (sl_dial_parse(text, 0, &host, &port, &err) == SL_OK)
		sl_assert(host.n > 0 && (port > 0 || host.p[0] == '/'));
	else
		sl_assert(err.text);
	sl_err_fini(&err);
}

/* ---- streams */

struct session {
	struct sl_stream_tls tls;
	struct sl_post post;
	struct tls_client *client;
	struct tls_server *server; /* instead */
	int fd;
	uint64_t in, out;
	_Atomic bool closed;
};

static size_t on_read(struct sl_stream *s, struct sl_slice bytes) {
	(void)s;
	return bytes.n;
}
static void on_drain(struct sl_stream *s) { (void)s; }
static void on_closed(struct sl_stream *s, int status) {
	sl_assert(status != SL_OK);
	sl_container_of(s, struct session, tls.s)->closed = true;
}
static const struct sl_stream_events events = {.on_read = on_read, .on_drain = on_drain, .on_closed = on_closed};

static void open_it(struct sl_post *post, struct sl_loop *l) {
	struct session *c = sl_container_of(post, struct session, post);
	const struct sl_stream_tls_setup setup = {
	    .fd = c->fd, .events = &events, .bytes_in = &c->in, .bytes_out = &c->out};
	if (c->server) {
		sl_assert(sl_stream_tls_accept(&c->tls, l, &setup, c->server, NULL) == SL_OK);
		return;
	}
	sl_assert(sl_stream_tls_connect(&c->tls, l, &setup, c->client, "localhost", NULL) == SL_OK);
	sl_buf_append_str(sl_stream_out(&c->tls.s), "hello");
}

/* A certificate, a key and a pre-shared one, in files as a listener has them. */
static struct tls_server *listener(void) {
	const char *temp = getenv("TMPDIR");
	char *dir = sl_asprintf("%s/tls-fuzz-XXXXXX", temp ? temp : P_tmpdir);
	sl_assert(mkdtemp(dir));
	char *pem = sl_asprintf("%s/a.pem", dir), *psk = sl_asprintf("%s/psk.txt", dir);
	FILE *f = fopen(pem, "w"), *keys = fopen(psk, "w");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	sl_assert(f && keys && key && x);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	sl_assert(X509_sign(x, key, EVP_sha256()) > 0 && PEM_write_X509(f, x) &&
		  PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fputs("device:00112233445566778899aabbccddeeff\n", keys);
	fclose(f);
	fclose(keys);
	const struct tls_server_conf conf = {.cert = pem,
					     .key = pem,
					     .ca = pem,
					     .verify_peer = TLS_VERIFY_OPTIONAL,
					     .psk_file = psk,
					     .session_tickets = true,
					     .ticket_lifetime_ms = 3600000};
	struct tls_server *server;
	sl_assert(tls_server_new(&conf, "fuzz", false, &server, NULL) == SL_OK);
	unlink(pem);
	unlink(psk);
	rmdir(dir);
	sl_free(dir);
	sl_free(pem);
	sl_free(psk);
	X509_free(x);
	EVP_PKEY_free(key);
	return server;
}

static void answer(const uint8_t *data, size_t size, bool to_listener) {
	static struct sl_loop *loop;
	static struct tls_client *client;
	static struct tls_server *server;
	struct session c = {.post.run = open_it};
	int fds[2];
	if (!loop) {
		sl_assert(tls_client_new(&(struct tls_client_conf){.verify = false}, &client, NULL) == SL_OK);
		sl_assert(sl_loop_new("fuzz", 0, &loop, NULL) == SL_OK && sl_loop_start(loop, NULL) == SL_OK);
	}
	sl_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	c.fd = fds[0];
	if (to_listener && !server) server = listener();
	c.client = client;
	c.server = to_listener ? server : NULL;
	sl_loop_post(loop, &c.post);
	(void)!write(fds[1], data, sl_min_size(size, 65536));
	shutdown(fds[1], SHUT_WR);
	while (!c.closed) usleep(20);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size == 0) return 0;
	if (data[0] == 'C')
		certificate(data + 1, size - 1);
	else if (data[0] == 'A')
		address(slice_make(data + 1, size - 1));
	else if (data[0] == 'S')
		answer(data + 1, size - 1, true);
	else
		answer(data, size, false);
	return 0;
}
