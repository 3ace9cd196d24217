/* tls_error.h: why a TLS connection failed, as a sentence that helps: for stream_tls.c, and for client libraries that speak TLS themselves.
 *
 * What a peer puts into its certificate is shown cut and with nothing unprintable.
 * Thread: any. Never blocks. */
#ifndef SL_TLS_ERROR_H
#define SL_TLS_ERROR_H

#include <openssl/x509.h>

#include "tls_client.h"

/* The check of the peer's certificate found a fault (inside of the verify callback). host: the name that was wanted. Heap. */
char *tls_error_of_certificate(X509_STORE_CTX *store, const char *host, const struct tls_client *client);

/* The same on the server's side: a client's certificate. */
char *tls_error_of_client(X509_STORE_CTX *store);

/* An error of OpenSSL's queue after a failed call; `code` 0: it said nothing. *status becomes SL_EPROTOCOL, or SL_EDENIED
 * where one side does not trust the other. is_client: whose words. Heap. */
char *tls_error_of_code(unsigned long code, bool is_client, int *status);

/* What a client library tells of its TLS, with OpenSSL's own words within: the sentence to say when these are an alert by which the
 * server turned our certificate, or the lack of one, away; else NULL. */
const char *tls_error_of_our_certificate(const char *text);

#endif
