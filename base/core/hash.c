#include "hash.h"

#include "rng.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static uint64_t seed; /* written once at start, before any thread */

void sl_hash_init(void) { sl_random_bytes(&seed, sizeof seed); }
uint64_t sl_hash(struct sl_slice s) { return XXH3_64bits_withSeed(s.p, s.n, seed); }
uint64_t sl_hash_stable(struct sl_slice s) { return XXH3_64bits(s.p, s.n); }
uint64_t sl_hash_seeded(struct sl_slice s, uint64_t with) { return XXH3_64bits_withSeed(s.p, s.n, with); }
