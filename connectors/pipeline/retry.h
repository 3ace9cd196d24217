/* retry.h: pauses with full jitter: a random time between nothing and a bound that doubles with each attempt.
 * Random over the whole width, so that many who failed together do not come back together. Thread: any. */
#ifndef SL_RETRY_H
#define SL_RETRY_H

#include "rng.h"

/* The bound after `attempt` failures (1 is the first): first * 2^(attempt - 1), at most max. */
static inline uint64_t retry_bound_ms(uint64_t first_ms, uint64_t max_ms, uint32_t attempt) {
	uint64_t bound = first_ms;
	for (uint32_t i = 1; i < attempt && bound < max_ms; i++) bound *= 2;
	return bound < max_ms ? bound : max_ms;
}

static inline uint64_t retry_pause_ms(uint64_t first_ms, uint64_t max_ms, uint32_t attempt) {
	return sl_rng_below(retry_bound_ms(first_ms, max_ms, attempt) + 1);
}

#endif
