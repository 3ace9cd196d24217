/* passwd_file.h: the password file: users and salted PBKDF2-SHA512 hashes.
 *
 *     # comment, kept
 *     alice:$pbkdf2-sha512$i=100000$c2FsdHNhbHRzYWx0$aGFzaC4uLg==
 *     bob:$7$101$c2FsdA==$aGFzaA==
 *
 * One user a line; salt and hash in base64. The second form is what mosquitto_passwd writes: it is read and checked as
 * it is, and becomes the first when the password is set anew. A user name has no ':' and no control character, and
 * does not begin with '#'.
 * Bounded: PASSWD_FILE_SIZE_MAX bytes, PASSWD_ITERATIONS_MAX iterations in a line.
 * Thread: a loaded file is immutable, any thread reads it. Loading and updating block on the disk. */
#ifndef PASSWD_FILE_H
#define PASSWD_FILE_H

#include "common.h"
#include "err.h"
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
	uint8_t salt[PASSWD_SALT_MAX], hash[PASSWD_HASH_MAX];
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
