/* auth.h: may this client connect? A chain of ways to find out, and one verdict.
 *
 *     auth_check() --> verdict at once (certificate, token, known from a cache, ...)
 *                  \-> AUTH_PENDING, and the callback later on the same loop
 *
 * The links of the chain are asked in order (auth_backend.h); each allows, denies, or passes to the next. Behind the last one
 * everybody is denied, but for a client without a user name where `anonymous` is set; with an empty chain `anonymous` alone decides.
 * A link that cannot tell (its server is away) does what its `on_error` says: AUTH_UNAVAILABLE, or on to the next.
 *
 * Nothing here blocks a loop: password hashing runs on libuv's thread pool, questions to servers on the threads of connectors and of
 * the HTTP client. At most AUTH_PENDING_MAX hashes wait at a time, and at most `max_pending` questions a link; beyond, the link cannot tell.
 *
 * Lifetime: counted; immutable, so a reload makes a new one and swaps (auth_new, auth_unref of the old). A pending
 * check holds its own reference.
 * Thread: auth_check() with a loop's baton on its own thread, the callback comes on that same loop; auth_cancel() there too.
 * auth_new() reads files and blocks; nothing else does. */
#ifndef AUTH_H
#define AUTH_H

#include <jansson.h>

#include "auth_identity.h"
#include "buf.h"
#include "common.h"
#include "err.h"
#include "loop.h"
#include "scram_keys.h"
#include "slice.h"

#define AUTH_PENDING_MAX 1024

struct auth;
struct auth_conf;
struct auth_env;
struct auth_job; /* one check under way */
struct tls_peer;

enum auth_verdict {
	AUTH_ALLOWED,
	AUTH_DENIED,      /* 0x86 Bad User Name or Password; 0x04 in MQTT 3.1.1 */
	AUTH_UNAVAILABLE, /* 0x88 Server unavailable; 0x03 in MQTT 3.1.1 */
	AUTH_PENDING,     /* from auth_check() only: the callback will tell */
};

struct auth_options {
	bool anonymous;
	const char *password_file;    /* NULL: none; asked before the chain */
	const struct auth_conf *conf; /* the chain (auth_conf.h); NULL: none. Borrowed for the call */
	struct auth_env *env;         /* whom links ask (auth_env.h); NULL: nobody, for a mere check */
};

enum auth_anonymous { AUTH_ANONYMOUS_DEFAULT, AUTH_ANONYMOUS_NO, AUTH_ANONYMOUS_YES };

/* What CONNECT said, and over what it came; borrowed for the time of the call. */
struct auth_request {
	struct sl_slice clientid;
	bool has_username, has_password, clean_start;
	uint8_t version;   /* enum mqtt_version; 0: not known */
	uint8_t anonymous; /* enum auth_anonymous: what its listener says */
	struct sl_slice username, password;
	struct sl_slice peer;     /* "10.0.0.7:51234" */
	struct sl_slice listener; /* its name */
	/* NULL: no TLS. Looked at on the loop's own thread only, and never after auth_cancel(): it may be the connection's. */
	const struct tls_peer *tls;
};

/* id: a strong reference, the callee's from now on, with AUTH_ALLOWED only; NULL: the client is what CONNECT says. */
typedef void (*auth_check_cb)(enum auth_verdict verdict, struct auth_identity *id, void *arg);

/* Returns a strong reference in *out. Fails when a file can't be read or is not what it should be. */
int auth_new(const struct auth_options *options, struct auth **out, struct sl_err *err) sl_warn_unused;
struct auth *auth_ref(struct auth *a);
void auth_unref(struct auth *a); /* NULL is fine */

/* With AUTH_PENDING *job is set, and cb runs exactly once, later, unless the job is cancelled; with any other verdict
 * *job is NULL, *id is set as in the callback, and cb never runs. */
enum auth_verdict auth_check(struct auth *a, struct sl_loop *loop, const struct auth_request *request,
			     struct auth_job **job, struct auth_identity **id, auth_check_cb cb,
			     void *arg) sl_warn_unused;

/* The client is gone: cb will not run, and job is not to be used any more. The hash itself may still finish, so a
 * loop runs until it has no requests left before it is closed (uv_run does). */
void auth_cancel(struct auth_job *job);

/* Enhanced authentication (auth_scram.h): whether a way of the chain keeps keys for it, and the keys of a user: made up, and
 * false, when nobody knows the name. `auth` is a struct auth: this is an auth_scram_find_fn. At once, never blocks. */
bool auth_scram_offered(const struct auth *a);
bool auth_scram_find(void *auth, struct sl_slice user, enum scram_hash hash, struct scram_keys *out);

/* The links' counters. @thread any. Series of Prometheus, appended; a list of objects, one for each link. */
void auth_prometheus(const struct auth *a, struct sl_buf *out);
json_t *auth_status(const struct auth *a) sl_warn_unused;

#endif
