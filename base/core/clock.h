/* clock.h: the two clocks, in milliseconds (microseconds where the name says so).
 *
 * Loops read the clock once per tick and hand the cached value on (loop.h); call these only outside a tick.
 * A test may replace both: sl_clock_set_fake().
 * Thread: any. */
#ifndef SL_CLOCK_H
#define SL_CLOCK_H

#include "common.h"

uint64_t sl_clock_mono_ms(void); /* never goes back; for time-outs */
uint64_t sl_clock_mono_us(void);
int64_t sl_clock_wall_ms(void); /* Unix time; may jump; for timestamps that people see */

/* Tests only: from now on both clocks give these values; sl_clock_set_real() ends it. */
void sl_clock_set_fake(uint64_t mono_ms, int64_t wall_ms);
void sl_clock_set_real(void);

#endif
