/* auth.h: may this client connect? A chain of ways to find out, and one verdict.
 *
 *     auth_check() --> verdict at once (no password given, known from the cache, ...)
 *                  \-> AUTH_PENDING, and the callback later on the same loop
 *
 * The chain is asked in order; a way answers, or passes (auth_backend.h). Today's only way is the password file.
 * A client without a user name is anonymous: `anonymous` alone decides. One with a user name must be vouched for by
 * the chain; when the chain is empty, nobody can check a name, and again `anonymous` decides.
 *
 * Password hashing is slow on purpose; it runs on libuv's thread pool, never on a loop. A user and password that
 * were right once are remembered (as a keyed digest, bounded), so a fleet that reconnects costs next to nothing.
 * At most AUTH_PENDING_MAX hashes wait at a time; beyond, the verdict is AUTH_UNAVAILABLE and the client tries again.
 *
 * Lifetime: counted; immutable, so a reload makes a new one and swaps (auth_new, auth_unref of the old). A pending
 * check holds its own reference.
 * Thread: auth_check() on any loop's thread, the callback comes on that same loop; auth_cancel() there too.
 * auth_new() reads files and blocks; nothing else does. */
#ifndef AUTH_H
#define AUTH_H

#include "common.h"
#include "err.h"
#include "scram_keys.h"
#include "slice.h"

#define AUTH_PENDING_MAX 1024

struct auth;
struct auth_job; /* one check under way */
struct uv_loop_s;

enum auth_verdict {
	AUTH_ALLOWED,
	AUTH_DENIED,      /* 0x86 Bad User Name or Password; 0x04 in MQTT 3.1.1 */
	AUTH_UNAVAILABLE, /* 0x88 Server unavailable; 0x03 in MQTT 3.1.1 */
	AUTH_PENDING,     /* from auth_check() only: the callback will tell */
};

struct auth_options {
	bool anonymous;
	const char *password_file; /* NULL: none */
};

/* What CONNECT said; borrowed for the time of the call. */
struct auth_request {
	struct sl_slice clientid;
	bool has_username, has_password;
	struct sl_slice username, password;
};

typedef void (*auth_check_cb)(enum auth_verdict verdict, void *arg);

/* Returns a strong reference in *out. Fails when a file can't be read or is not what it should be. */
int auth_new(const struct auth_options *options, struct auth **out, struct sl_err *err) sl_warn_unused;
struct auth *auth_ref(struct auth *a);
void auth_unref(struct auth *a); /* NULL is fine */

/* With AUTH_PENDING *job is set, and cb runs exactly once, later, unless the job is cancelled; with any other verdict
 * *job is NULL and cb never runs. */
enum auth_verdict auth_check(struct auth *a, struct uv_loop_s *loop, const struct auth_request *request,
			     struct auth_job **job, auth_check_cb cb, void *arg) sl_warn_unused;

/* The client is gone: cb will not run, and job is not to be used any more. The hash itself may still finish, so a
 * loop runs until it has no requests left before it is closed (uv_run does). */
void auth_cancel(struct auth_job *job);

/* Enhanced authentication (auth_scram.h): whether a way of the chain keeps keys for it, and the keys of a user: made up, and
 * false, when nobody knows the name. `auth` is a struct auth: this is an auth_scram_find_fn. At once, never blocks. */
bool auth_scram_offered(const struct auth *a);
bool auth_scram_find(void *auth, struct sl_slice user, enum scram_hash hash, struct scram_keys *out);

#endif
