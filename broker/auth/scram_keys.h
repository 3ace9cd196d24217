/* scram_keys.h: the arithmetic of SCRAM (RFC 5802, RFC 7677): what a server keeps of a password, and how it is made.
 *
 *     SaltedPassword = PBKDF2(password, salt, iterations)      slow on purpose; only who sets a password pays it
 *     StoredKey      = H(HMAC(SaltedPassword, "Client Key"))   proves the client's answer; does not allow to make one
 *     ServerKey      = HMAC(SaltedPassword, "Server Key")      proves the server to the client
 *
 * Thread: any; there is no state. Nothing blocks but scram_derive(), which computes for tens of milliseconds. */
#ifndef SCRAM_KEYS_H
#define SCRAM_KEYS_H

#include "buf.h"
#include "common.h"
#include "slice.h"

enum scram_hash { SCRAM_SHA_256, SCRAM_SHA_512 };
enum { SCRAM_HASHES = 2, SCRAM_KEY_MAX = 64, SCRAM_SALT_MAX = 64 };

struct scram_keys {
	int iterations;
	uint8_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX]; /* scram_key_len() bytes of each */
};

size_t scram_key_len(enum scram_hash hash);
/* "SCRAM-SHA-256", as the authentication method of MQTT spells it; exactly so. */
bool scram_method(struct sl_slice name, enum scram_hash *out);
const char *scram_method_name(enum scram_hash hash);

/* SaltedPassword: scram_key_len() bytes. */
void scram_derive(enum scram_hash hash, struct sl_slice password, const uint8_t *salt, size_t salt_len, int iterations,
		  uint8_t *salted);
void scram_stored_key(enum scram_hash hash, const uint8_t *salted, uint8_t *out);
void scram_server_key(enum scram_hash hash, const uint8_t *salted, uint8_t *out);

void scram_hmac(enum scram_hash hash, const uint8_t *key, size_t key_len, struct sl_slice text, uint8_t *out);
void scram_digest(enum scram_hash hash, const uint8_t *bytes, size_t n, uint8_t *out);

void scram_put_base64(struct sl_buf *out, const uint8_t *bytes, size_t n);
/* With padding, and nothing but base64. False: not that, or more than max bytes. */
bool scram_take_base64(struct sl_slice text, uint8_t *out, size_t max, size_t *n);

#endif
