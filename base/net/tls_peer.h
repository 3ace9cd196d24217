/* tls_peer.h: who is at the other end of a TLS connection: what its verified certificate says, or its pre-shared key's name.
 *
 *     const struct tls_peer *peer = client_tls_peer(c);      NULL: no TLS, or it has shown nothing
 *     if (peer && peer->common_name) ...
 *
 * There is one only after a handshake in which the certificate was checked (`verify_peer`), or a pre-shared key was used; a session that
 * is resumed has the certificate of the handshake that began it. Names with a NUL byte inside or bad UTF-8 are left out, for somebody
 * means to be taken for somebody else.
 * Lifetime: made at the first question, valid until the stream's on_closed() returns. Thread: the loop's baton. Never blocks. */
#ifndef SL_TLS_PEER_H
#define SL_TLS_PEER_H

#include "common.h"

struct ssl_st;
struct x509_st;

struct tls_peer_names {
	char **v;
	size_t len;
};

struct tls_peer {
	char *common_name; /* the most specific CN of the subject; NULL: none */
	char *subject;     /* RFC 2253: "CN=device-1,OU=dev,O=Acme"; NULL: no certificate, like all of the following */
	char *issuer;      /* RFC 2253 */
	char *serial;      /* hexadecimal, capitals, "0A1B"; "-..." when it is negative */
	char *fingerprint; /* SHA-256 of the certificate, 64 small hexadecimal digits */
	struct tls_peer_names dns, email, uri, ip; /* subjectAltName, each in the certificate's order; ip as text */
	int64_t not_before_s, not_after_s;         /* Unix time */
	char *psk_identity;                        /* NULL: no pre-shared key */
};

/* From a certificate, an identity, or both; NULL is fine for each. NULL when there is neither. */
struct tls_peer *tls_peer_new(struct x509_st *cert, const char *psk_identity) sl_warn_unused;
void tls_peer_free(struct tls_peer *p); /* NULL is fine */

/* Unix time of a certificate's end. */
int64_t tls_cert_not_after_s(const struct x509_st *cert);

#endif
