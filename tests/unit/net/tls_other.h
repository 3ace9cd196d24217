/* tls_other.h: the other side of a TLS connection, in the test's own thread: it blocks, and may break off at any byte. */
#ifndef SL_TLS_OTHER_H
#define SL_TLS_OTHER_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

#include "tls_pki.h"

struct peer_spec {
	const char *cert;             /* name in the pki; NULL: "server" */
	const char *client_ca;        /* asks for a certificate signed by it */
	int min_version, max_version; /* 0: OpenSSL's */
};

struct peer {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	int fd;
	size_t budget, sent; /* after so many bytes of ours the connection is closed */
};

SSL_CTX *peer_ctx(const struct pki *pki, const struct peer_spec *spec);
void peer_open(struct peer *p, int fd, const struct pki *pki, const struct peer_spec *spec);
void peer_close(struct peer *p);
bool peer_handshake(struct peer *p);
/* Bytes read; 0: the other side said goodbye; -1: the connection broke, or nothing came for two seconds. */
int peer_read(struct peer *p, char *to, int size);
bool peer_write(struct peer *p, const char *bytes, int n);
bool peer_flush(struct peer *p); /* sends what OpenSSL has written */

#endif
