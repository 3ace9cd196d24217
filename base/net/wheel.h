/* wheel.h: the timer wheel behind sl_timer_set() (loop.h): four rings of slots, each ring coarser than the one below.
 *
 *     ring 0   256 slots of 1 ms          the next quarter of a second, exact
 *     ring 1    64 slots of 256 ms        16 s
 *     ring 2    64 slots of 16 s          17 min
 *     ring 3    64 slots of 17 min        18 h; what is due later waits in the last slot and goes round again
 *
 * A timer sits in the ring that its distance asks for and moves down a ring when the time comes near: setting, moving and
 * cancelling touch two list links. A bit per slot tells where timers are, so the next moment to wake is found without
 * looking at empty slots.
 * Thread: one at a time. Never blocks. */
#ifndef SL_WHEEL_H
#define SL_WHEEL_H

#include "loop.h"

enum { WHEEL_RINGS = 4, WHEEL_SLOTS_0 = 256, WHEEL_SLOTS = 64 };

struct sl_wheel {
	uint64_t now_ms; /* everything due at or before this has fired */
	uint64_t used_0[WHEEL_SLOTS_0 / 64];
	uint64_t used[WHEEL_RINGS]; /* [0] is not used */
	struct sl_list slot_0[WHEEL_SLOTS_0];
	struct sl_list slot[WHEEL_RINGS][WHEEL_SLOTS];
};

void sl_wheel_init(struct sl_wheel *w, uint64_t now_ms);
void sl_wheel_set(struct sl_wheel *w, struct sl_timer *t, uint64_t due_ms); /* moves an armed timer */

/* Fires all timers due at or before now_ms, in the order of their milliseconds. fire() may set and cancel any timer. */
void sl_wheel_advance(struct sl_wheel *w, uint64_t now_ms);

/* The moment at which sl_wheel_advance() has something to do: a timer is due or comes a ring nearer. Never later than the
 * first timer; UINT64_MAX when there is none. */
uint64_t sl_wheel_next_ms(const struct sl_wheel *w);

#endif
