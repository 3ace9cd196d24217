/* rng.h: random numbers: a fast per-thread generator for jitter and choice, and the system's for secrets and ids.
 * Thread: any (the fast generator's state is thread-local). sl_random_bytes may block only at early boot. */
#ifndef SL_RNG_H
#define SL_RNG_H

#include "common.h"

void sl_random_bytes(void *out, size_t len); /* getrandom(2); ends the process if the system has none */
uint64_t sl_rng_next(void);                  /* fast, not for secrets */
uint64_t sl_rng_below(uint64_t bound);       /* 0 <= r < bound; 0 when bound is 0 */

#endif
