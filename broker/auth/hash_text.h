/* hash_text.h: a password against what a database keeps of it, in the forms that people have there.
 *
 *     HASH_AUTO            the text says what it is:
 *         $scram$, $pbkdf2-sha512$   of `sluice passwd`     $7$iterations$salt$hash    of mosquitto_passwd
 *         $2a$ $2b$ $2y$       bcrypt                       $y$ $gy$ $5$ $6$           yescrypt, gost-yescrypt, sha256crypt, sha512crypt
 *         $6$salt$hash==       of mosquitto_passwd, older
 *     HASH_SHA256, ...     hexadecimal digits, with a salt from another column before or behind the password
 *     HASH_PBKDF2_SHA256   the same, slow
 *     HASH_PLAIN           the password itself
 *
 * Thread: any. hash_text_check() of a slow form takes what it was made to take: not on a loop. */
#ifndef HASH_TEXT_H
#define HASH_TEXT_H

#include "common.h"
#include "err.h"
#include "slice.h"

/* The order of hash_kind_words. */
enum hash_kind {
	HASH_AUTO,
	HASH_PLAIN,
	HASH_SHA256,
	HASH_SHA512,
	HASH_PBKDF2_SHA1,
	HASH_PBKDF2_SHA256,
	HASH_PBKDF2_SHA512
};
extern const char *const hash_kind_words[];
enum hash_salt { HASH_SALT_PREFIX, HASH_SALT_SUFFIX, HASH_SALT_NONE };
extern const char *const hash_salt_words[];

struct hash_way {
	enum hash_kind kind;
	enum hash_salt salt_at; /* of SHA; PBKDF2 has its own place for it */
	int iterations;         /* of PBKDF2 */
};

enum { HASH_TEXT_MAX = 1024 }; /* bytes of a kept text, or a salt */

bool hash_text_is_slow(const struct hash_way *way, struct sl_slice kept);
/* SL_OK: it is the password. SL_EDENIED: it is not. SL_EUNSUPPORTED, SL_EMALFORMED: what is kept is of no form that can be checked. */
int hash_text_check(const struct hash_way *way, struct sl_slice kept, struct sl_slice salt, struct sl_slice password,
		    struct sl_err *err);

#endif
