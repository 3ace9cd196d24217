/* jwt_int.h: the keys of jwt.h from inside. */
#ifndef JWT_INT_H
#define JWT_INT_H

#include <openssl/evp.h>
#include <stdatomic.h>

#include "buf.h"
#include "jwt.h"

/* The family of a key, which says what may be signed with it. */
enum jwt_family { JWT_HMAC, JWT_RSA, JWT_EC256, JWT_EC384, JWT_EC521, JWT_ED25519 };

struct jwt_key {
	enum jwt_family family;
	char *kid, *alg; /* NULL: it says none */
	EVP_PKEY *key;   /* NULL: a secret */
	uint8_t *secret;
	size_t secret_len;
};

struct jwt_keys {
	_Atomic uint32_t refs;
	struct jwt_key *v;
	size_t len;
};

/* Appends what base64url without padding means. False: it is none. */
bool jwt_base64url(struct sl_slice text, struct sl_buf *out);

#endif
