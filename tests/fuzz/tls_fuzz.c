/* tls_fuzz.c: what a peer that nobody knows yet may make us read. The first byte chooses: 'C' a certificate in DER, which the
 * texts for humans are made of; 'A' an address as it stands in a configuration; else all that follows is what a server answers
 * to our ClientHello, after which it closes. Seeds: corpus/tls. */
#include <openssl/x509.h>
#include <stdint.h>
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
	sl_assert(sl_stream_tls_connect(&c->tls, l, &setup, c->client, "localhost", NULL) == SL_OK);
	sl_buf_append_str(sl_stream_out(&c->tls.s), "hello");
}

static void answer(const uint8_t *data, size_t size) {
	static struct sl_loop *loop;
	static struct tls_client *client;
	struct session c = {.post.run = open_it};
	int fds[2];
	if (!loop) {
		sl_assert(tls_client_new(&(struct tls_client_conf){.verify = false}, &client, NULL) == SL_OK);
		sl_assert(sl_loop_new("fuzz", 0, &loop, NULL) == SL_OK && sl_loop_start(loop, NULL) == SL_OK);
	}
	sl_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	c.fd = fds[0];
	c.client = client;
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
	else
		answer(data, size);
	return 0;
}
