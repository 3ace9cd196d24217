/* tls_pem.h: the PEM files that a TLS client or server is made of, read into an SSL_CTX.
 *
 * Errors name the option as it stands under `tls:`, the file, and what to do; no text holds a password or a key.
 * Thread: any. Reads files: not on a worker's loop while messages flow. */
#ifndef SL_TLS_PEM_H
#define SL_TLS_PEM_H

#include "buf.h"
#include "err.h"

struct ssl_ctx_st;

/* The whole file. SL_EINVAL, SL_EIO, SL_ENOTFOUND, SL_ELIMIT. */
int tls_pem_read(const char *option, const char *path, struct sl_buf *out, struct sl_err *err);

/* Every certificate of the file is trusted. */
int tls_pem_authorities(struct ssl_ctx_st *ctx, const char *option, const char *path, struct sl_err *err);

/* A certificate of our own, the chain behind it, and its key. */
struct tls_pem_own {
	const char *cert, *key;   /* files; may be one */
	const char *key_password; /* or NULL */
	const char *place;        /* what stands before the options' names, "certificates[0]."; NULL: nothing */
};
int tls_pem_own(struct ssl_ctx_st *ctx, const struct tls_pem_own *own, struct sl_err *err);

#endif
