/* auth_jwks.h: the keys that tokens are checked with: those of a file, or a set that a URL gives and that changes with time.
 *
 * A set behind a URL is fetched at the start, again when it is older than `refresh`, and when a token names a key that is not in it (at most
 * every JWKS_PAUSE_MS). Meanwhile, and while the URL is away, the keys that are there go on being used.
 * Lifetime: with the link; a fetch that is under way holds a reference of the jwks. Thread: any. Never blocks. */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include "auth_backend.h"
#include "http_client.h"
#include "jwt.h"

enum { JWKS_PAUSE_MS = 10000, JWKS_RETRY_MS = 1000, JWKS_WAITING_MAX = 10000 };

struct auth_jwks;

struct auth_jwks_url {
	const char *url;
	struct http_tls *tls;     /* a reference is taken */
	struct http_client *http; /* NULL: nothing is fetched */
	uint64_t refresh_ms, timeout_ms;
};

struct auth_jwks *auth_jwks_fixed(struct jwt_keys *keys); /* takes the reference */
struct auth_jwks *auth_jwks_from_url(const struct auth_jwks_url *from);
void auth_jwks_free(struct auth_jwks *j); /* NULL is fine */

/* The keys of now, a strong reference; NULL: none yet. Begins to fetch others when it is time. */
struct jwt_keys *auth_jwks_keys(struct auth_jwks *j);
/* Is it worth waiting for others, for a key that is not there? */
bool auth_jwks_may_help(struct auth_jwks *j);
/* w is done when a fetch has ended, well or not, with something found. */
void auth_jwks_wait(struct auth_jwks *j, struct auth_wait *w);

#endif
