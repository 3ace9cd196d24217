#include "clock.h"

#include <stdatomic.h>
#include <time.h>

static atomic_bool fake;
static _Atomic uint64_t fake_mono_ms;
static _Atomic int64_t fake_wall_ms;

static uint64_t read_us(clockid_t id) {
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t sl_clock_mono_us(void) {
	if (atomic_load_explicit(&fake, memory_order_relaxed)) return atomic_load(&fake_mono_ms) * 1000;
	return read_us(CLOCK_MONOTONIC);
}

uint64_t sl_clock_mono_ms(void) { return sl_clock_mono_us() / 1000; }

int64_t sl_clock_wall_ms(void) {
	if (atomic_load_explicit(&fake, memory_order_relaxed)) return atomic_load(&fake_wall_ms);
	return (int64_t)(read_us(CLOCK_REALTIME) / 1000);
}

void sl_clock_set_fake(uint64_t mono_ms, int64_t wall_ms) {
	atomic_store(&fake_mono_ms, mono_ms);
	atomic_store(&fake_wall_ms, wall_ms);
	atomic_store(&fake, true);
}

void sl_clock_set_real(void) { atomic_store(&fake, false); }
