/* jwt.h: JSON Web Tokens (RFC 7519): is this one signed by a key of ours, and what does it claim?
 *
 * The key says which algorithms may be used, never the token: a secret only with HS256/384/512, an RSA key only with RS and PS, a curve only
 * with its own ES, Ed25519 with EdDSA; "none" with nothing. Where a key of a set names its `alg`, with that one alone. What a token says
 * of keys (jwk, jku, x5u, x5c) is not looked at, and one with `crit` is refused.
 * Times, issuer and audience are the caller's to judge (auth_jwt.c).
 *
 * Bounded: JWT_SIZE_MAX bytes, JSON as deep as jansson reads, keys of 2048 to 8192 bits (RSA), JWT_KEYS_MAX of a set.
 * Lifetime: keys are counted and immutable. Thread: any. Never blocks; a check takes some 20 to 150 microseconds. */
#ifndef JWT_H
#define JWT_H

#include <jansson.h>

#include "common.h"
#include "err.h"
#include "slice.h"

enum { JWT_SIZE_MAX = 64 * 1024, JWT_KEYS_MAX = 256, JWT_SECRET_MAX = 4096 };

struct jwt_keys;

/* Each gives a strong reference in *out, or says what is wrong. */
int jwt_keys_from_secret(struct sl_slice secret, struct jwt_keys **out, struct sl_err *err) sl_warn_unused;
int jwt_keys_from_pem(struct sl_slice pem, struct jwt_keys **out, struct sl_err *err) sl_warn_unused;
/* RFC 7517. Keys of other kinds, and those that are not for signatures, are left out; none left is an error. secrets: keys of type oct
 * are taken too, which have no place in a set that is public. */
int jwt_keys_from_jwks(struct sl_slice json, bool secrets, struct jwt_keys **out, struct sl_err *err) sl_warn_unused;
struct jwt_keys *jwt_keys_ref(struct jwt_keys *k);
void jwt_keys_unref(struct jwt_keys *k); /* NULL is fine */
size_t jwt_keys_len(const struct jwt_keys *k);

/* Has it the shape of one: three parts of base64url? */
bool jwt_is_token(struct sl_slice token);

/* What it claims, unsigned: to see whose it is. A new reference, or NULL. */
json_t *jwt_peek(struct sl_slice token);

/* SL_OK: *claims is a new reference to an object. SL_EMALFORMED: it is no token. SL_ENOTFOUND: it names a key that is not among these.
 * SL_EDENIED: no key of ours has signed it, in a way that this key is for. */
int jwt_verify(const struct jwt_keys *keys, struct sl_slice token, json_t **claims, struct sl_err *err) sl_warn_unused;

/* The value at "a.b.c"; a member whose name is the whole path goes first. Borrowed; NULL: none. */
const json_t *jwt_claim(const json_t *claims, const char *path);

#endif
