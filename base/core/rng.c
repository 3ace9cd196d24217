#include "rng.h"

#include <errno.h>
#include <sys/random.h>

void sl_random_bytes(void *out, size_t len) {
	for (size_t got = 0; got < len;) {
		ssize_t n = getrandom((char *)out + got, len - got, 0);
		if (n < 0) {
			sl_assert(errno == EINTR);
			continue;
		}
		got += (size_t)n;
	}
}

/* splitmix64: one add and three multiplications a number; passes the usual batteries; the state is never 0-stuck. */
uint64_t sl_rng_next(void) {
	static _Thread_local uint64_t state;
	if (state == 0) sl_random_bytes(&state, sizeof state);
	uint64_t z = (state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t sl_rng_below(uint64_t bound) { return (uint64_t)(((unsigned __int128)sl_rng_next() * bound) >> 64); }
