/* hash.h: one fast hash for tables in memory (XXH3), seeded at random per process.
 *
 * The seed keeps outsiders from choosing names that collide; so a hash is never stored on disk or sent.
 * sl_hash_stable() has no seed and is for what outlives the process.
 * Thread: any, after sl_hash_init() ran once at start (tests may leave it out: seed 0). */
#ifndef SL_HASH_H
#define SL_HASH_H

#include "common.h"
#include "slice.h"

void sl_hash_init(void);
uint64_t sl_hash(struct sl_slice s);
uint64_t sl_hash_stable(struct sl_slice s);
uint64_t sl_hash_seeded(struct sl_slice s, uint64_t with); /* for who keeps a seed of its own */

#endif
