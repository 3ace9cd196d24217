/* auth_known.h: what was found right once, as keyed digests: so a fleet that reconnects pays no slow hash for each connection.
 *
 * HMAC-SHA256 with a key of this table alone, over texts of which none can be taken for another's end; a table of fixed size where a
 * newcomer takes the place of whoever stood there. Only success is remembered, and it dies with the table: a reload begins with none.
 * Thread: any, under a lock held for a copy of 32 bytes. */
#ifndef AUTH_KNOWN_H
#define AUTH_KNOWN_H

#include <pthread.h>

#include "common.h"
#include "slice.h"

enum { AUTH_DIGEST = 32, AUTH_KNOWN_SLOTS = 8192 };

struct auth_digest {
	uint8_t bytes[AUTH_DIGEST];
};
struct auth_key {
	uint8_t bytes[AUTH_DIGEST];
};

void auth_key_init(struct auth_key *k); /* random */
void auth_digest(const struct auth_key *k, const struct sl_slice *texts, size_t n, struct auth_digest *out);

struct auth_known {
	struct auth_key key;
	pthread_mutex_t lock;
	struct auth_digest *slots;
};
void auth_known_init(struct auth_known *k);
void auth_known_fini(struct auth_known *k);
bool auth_known_has(struct auth_known *k, const struct sl_slice *texts, size_t n);
void auth_known_add(struct auth_known *k, const struct sl_slice *texts, size_t n);

#endif
