/* tls_tickets.h: the keys that session tickets are sealed with (RFC 5077, RFC 8446 4.6.1): AES-256-CBC and HMAC-SHA256.
 *
 * A ticket holds the whole session, so the server keeps none. The key that seals is replaced when it is as old as a ticket may get;
 * the one before still opens for as long. They exist in memory alone and are wiped at the end.
 * Lifetime: counted. Thread: any (a lock, held for a copy). Never blocks. */
#ifndef SL_TLS_TICKETS_H
#define SL_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "common.h"

struct tls_tickets;

struct tls_tickets *tls_tickets_new(uint64_t lifetime_ms) sl_warn_unused;
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
void tls_tickets_unref(struct tls_tickets *t); /* NULL is fine */
void tls_tickets_rotate(struct tls_tickets *t);

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb() wants done: 1, 2 (opened with the key before: seal it anew), 0 (nobody's), -1. */
int tls_tickets_key(struct tls_tickets *t, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
		    EVP_MAC_CTX *mac, int seal);

#endif
