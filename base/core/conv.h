/* conv.h: numbers to text, fast and without loss.
 *
 * The way back is in slice.h (slice_to_i64, slice_to_double). Not for messages to people: use printf there.
 * Thread: any. Never blocks. */
#ifndef SL_CONV_H
#define SL_CONV_H

#include "common.h"

enum { SL_FORMAT_I64_MAX = 24, SL_FORMAT_DOUBLE_MAX = 32 };

/* Decimal text and a final NUL into `out`, which has room for SL_FORMAT_I64_MAX; returns the length without it. */
size_t sl_format_i64(int64_t v, char *out);
size_t sl_format_u64(uint64_t v, char *out);

/* The shortest text that reads back as the same double, and that shows it is one: 25.0, 0.1, -0.0, 1e+21, 1e-07.
 * `out` has room for SL_FORMAT_DOUBLE_MAX.
 * A number JSON cannot say gives "nan", "inf" or "-inf"; the JSON writer has its own answer for those. */
size_t sl_format_double(double v, char *out);

#endif
