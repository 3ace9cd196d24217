/* auth_flights.h: questions of one link that are under way, and the answers of late: who asks what was asked, or is being asked, does not
 * ask again.
 *
 *     check()    found = auth_flights_known(f, &digest)          NULL: WAIT
 *     start()    if (auth_flights_join(f, &digest, w)) ask       else somebody has asked, or it was answered meanwhile, or too many wait
 *     answer     auth_flights_land(f, &digest, found, good)      all who wait are told; the answer is kept for its time
 *
 * Answers are kept for `ttl`, those that let nobody in for `negative_ttl`; what could not be told is not kept. The table has a fixed size: of
 * those that share a place the one that would go first goes.
 * Thread: any, under a lock that is held for moments. Never blocks. */
#ifndef AUTH_FLIGHTS_H
#define AUTH_FLIGHTS_H

#include "auth_backend.h"
#include "auth_known.h"

struct auth_flights;

struct auth_cache_conf {
	int64_t ttl_ms, negative_ttl_ms, size;
};
extern const struct conf_field auth_cache_fields[];

struct auth_flights *auth_flights_new(const struct auth_cache_conf *conf, size_t pending_max);
void auth_flights_free(struct auth_flights *f); /* nobody waits any more; NULL is fine */

void auth_flights_digest(const struct auth_flights *f, const struct sl_slice *texts, size_t n, struct auth_digest *out);
/* A strong reference, or NULL. */
struct auth_found *auth_flights_known(struct auth_flights *f, const struct auth_digest *d);
bool auth_flights_join(struct auth_flights *f, const struct auth_digest *d, struct auth_wait *w);
/* found: the caller's reference stays its own; NULL: it can't be told. until_ms: wall clock, it is not kept beyond; 0: no such time. */
void auth_flights_land(struct auth_flights *f, const struct auth_digest *d, struct auth_found *found, bool good,
		       int64_t until_ms);

#endif
