/* passwd_file.h: the password file: users, and what is kept of their passwords.
 *
 *     # comment, kept
 *     alice:$scram$i=100000$SALT$STORED512$SERVER512$STORED256$SERVER256
 *     carol:$pbkdf2-sha512$i=100000$SALT$HASH
 *     bob:$7$101$SALT$HASH
 *
 * One user a line; salt, keys and hashes in base64. The first form is written: the keys of SCRAM-SHA-512 and
 * SCRAM-SHA-256 (scram_keys.h), of which nobody can make an answer who has stolen the file. A password that comes in CONNECT is
 * checked against STORED512. The others are read and checked as they are, and become the first when the password is set
 * anew: PBKDF2-SHA512 hashes, as this program wrote them once and as mosquitto_passwd does. A hash of 64 bytes is SCRAM's
 * SaltedPassword, so SCRAM-SHA-512 works with it (but whoever has stolen it can log in with it), SCRAM-SHA-256 does not.
 * A user name has no ':' and no control character, and does not begin with '#'.
 * Bounded: PASSWD_FILE_SIZE_MAX bytes, PASSWD_ITERATIONS_MAX iterations in a line.
 * Thread: a loaded file is immutable, any thread reads it. Loading and updating block on the disk. */
#ifndef PASSWD_FILE_H
#define PASSWD_FILE_H

#include "common.h"
#include "err.h"
#include "scram_keys.h"
#include "slice.h"

#define PASSWD_FILE_SIZE_MAX (256 * SL_MB)
#define PASSWD_USER_MAX 1024
#define PASSWD_ITERATIONS_MAX 10000000
#define PASSWD_ITERATIONS_DEFAULT 100000
#define PASSWD_SALT_MAX 64
#define PASSWD_HASH_MAX 64

struct passwd_entry {
	struct sl_slice user; /* lives as long as the file's struct */
	int iterations;
	uint8_t salt_len, hash_len;
	bool scram; /* hash is STORED512, and the keys below are there */
	uint8_t salt[PASSWD_SALT_MAX], hash[PASSWD_HASH_MAX];
	uint8_t server512[64], stored256[32], server256[32];
};

struct passwd_file;

/* Every line must be right; err names file and line. */
int passwd_file_load(const char *path, struct passwd_file **out, struct sl_err *err) sl_warn_unused;
void passwd_file_free(struct passwd_file *f); /* NULL is fine */
size_t passwd_file_count(const struct passwd_file *f);
/* Borrowed, or NULL. */
const struct passwd_entry *passwd_file_find(const struct passwd_file *f, struct sl_slice user);
/* The most iterations of any line: what a check for an unknown user should cost, so that its time tells nothing. */
int passwd_file_iterations(const struct passwd_file *f);

/* Of the entry at this place, whichever it is: what a made-up entry should look like. NULL when the file has no user. */
const struct passwd_entry *passwd_file_any(const struct passwd_file *f, uint64_t at);
/* False when the line has no keys for this hash function. */
bool passwd_scram_keys(const struct passwd_entry *entry, enum scram_hash hash, struct scram_keys *out);

/* Slow on purpose; constant time over the hash. */
bool passwd_verify(const struct passwd_entry *entry, struct sl_slice password);
/* Burns what passwd_verify would for so many iterations. */
void passwd_burn(struct sl_slice password, int iterations);

/* What to do to a file: password NULL deletes the user. */
struct passwd_change {
	const char *user;
	const char *password;
};
/* Applies all changes or none: under a lock against other updaters, into a new file that replaces the old one at once.
 * A new file has mode 0600; an old one keeps its owner and mode. Other lines stay as they are. SL_ENOTFOUND when
 * a user to delete is not there, SL_EINVAL for a user name or password that cannot be. */
int passwd_file_update(const char *path, const struct passwd_change *changes, size_t count, int iterations,
		       struct sl_err *err) sl_warn_unused;

/* Whether the name may stand in a password file; err says why not. */
int passwd_check_user(struct sl_slice user, struct sl_err *err);

#endif
