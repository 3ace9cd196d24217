#include "tls_other.h"

#include <openssl/err.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common.h"
#include "mem.h"

SSL_CTX *peer_ctx(const struct pki *pki, const struct peer_spec *spec) {
	const char *name = spec->cert ? spec->cert : "server";
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char *cert = sl_asprintf("%s/%s.pem", pki->dir, name), *key = sl_asprintf("%s/%s.key", pki->dir, name);
	/* Security level 0 alone lets the old versions in. */
	if (spec->max_version && spec->max_version < TLS1_2_VERSION) SSL_CTX_set_security_level(ctx, 0);
	sl_assert(SSL_CTX_set_min_proto_version(ctx, spec->min_version) == 1);
	sl_assert(SSL_CTX_set_max_proto_version(ctx, spec->max_version) == 1);
	sl_assert(SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) == 1);
	sl_assert(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1);
	sl_free(cert);
	sl_free(key);
	if (spec->client_ca) {
		char *ca = sl_asprintf("%s/%s.pem", pki->dir, spec->client_ca);
		sl_assert(SSL_CTX_load_verify_locations(ctx, ca, NULL) == 1);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		sl_free(ca);
	}
	return ctx;
}

void peer_open(struct peer *p, int fd, const struct pki *pki, const struct peer_spec *spec) {
	*p = (struct peer){.ctx = peer_ctx(pki, spec), .fd = fd, .budget = SIZE_MAX};
	struct timeval limit = {.tv_sec = 2};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	p->ssl = SSL_new(p->ctx);
	p->in = BIO_new(BIO_s_mem());
	p->out = BIO_new(BIO_s_mem());
	SSL_set_bio(p->ssl, p->in, p->out);
	SSL_set_accept_state(p->ssl);
}

void peer_close(struct peer *p) {
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	if (p->fd >= 0) close(p->fd);
	p->fd = -1;
}

bool peer_flush(struct peer *p) {
	char bytes[16384];
	for (int n; p->fd >= 0 && (n = BIO_read(p->out, bytes, sizeof bytes)) > 0;) {
		size_t want = sl_min_size((size_t)n, p->budget - p->sent), done = 0;
		while (done < want) {
			ssize_t k = send(p->fd, bytes + done, want - done, MSG_NOSIGNAL);
			if (k <= 0) return false;
			done += (size_t)k;
		}
		p->sent += want;
		if (p->sent < p->budget) continue;
		close(p->fd);
		p->fd = -1;
	}
	return p->fd >= 0;
}

/* After an operation that returned rc: sends, and reads more when that is what is missing. */
static bool turn(struct peer *p, int rc) {
	int why = SSL_get_error(p->ssl, rc);
	if (!peer_flush(p) || why != SSL_ERROR_WANT_READ) return false;
	char bytes[16384];
	ssize_t n = recv(p->fd, bytes, sizeof bytes, 0);
	return n > 0 && BIO_write(p->in, bytes, (int)n) == (int)n;
}

bool peer_handshake(struct peer *p) {
	int rc;
	do {
		ERR_clear_error();
		if ((rc = SSL_do_handshake(p->ssl)) == 1) return peer_flush(p);
	} while (turn(p, rc));
	return false;
}

int peer_read(struct peer *p, char *to, int size) {
	int rc;
	do {
		ERR_clear_error();
		if ((rc = SSL_read(p->ssl, to, size)) > 0) return rc;
		if (SSL_get_error(p->ssl, rc) == SSL_ERROR_ZERO_RETURN) return 0;
	} while (turn(p, rc));
	return -1;
}

bool peer_write(struct peer *p, const char *bytes, int n) {
	ERR_clear_error();
	return SSL_write(p->ssl, bytes, n) == n && peer_flush(p);
}
