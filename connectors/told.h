/* told.h: of reasons that keep coming back, which are to be said in the log?
 *
 * While something stays wrong (a connection is down, an action is not ready) each new reason gets its line: what is seen
 * first is often not what is to be mended ("connection reset" before "password authentication failed"). A reason that was
 * said is not said again, and after TOLD_EACH of them only one a minute is, for some servers put a number into each.
 *
 * Lifetime: a plain member, zeroed; told_forget() when the trouble is over. Thread: its owner's. Nothing here fails. */
#ifndef TOLD_H
#define TOLD_H

#include "hash.h"
#include "slice.h"

#define TOLD_EACH 8
#define TOLD_REST_MS 60000

struct told {
	uint64_t hash[TOLD_EACH], quiet_until_ms;
	uint32_t n;
};

static inline void told_forget(struct told *t) { t->n = 0; }

/* Whether it is to be said; then it counts as said. */
static inline bool told_news(struct told *t, const char *reason, uint64_t now_ms) {
	uint64_t hash = sl_hash(slice_from_str(reason));
	for (uint32_t i = 0; i < t->n; i++)
		if (t->hash[i] == hash) return false;
	if (t->n == TOLD_EACH && now_ms < t->quiet_until_ms) return false;
	t->quiet_until_ms = now_ms + TOLD_REST_MS;
	if (t->n < TOLD_EACH) t->hash[t->n++] = hash;
	return true;
}

#endif
