/* exact.h: does a double hold a whole number of many digits as it stands? For kinds that refuse what would be rounded.
 *
 * Of numbers with a fraction or an exponent nobody expects it: 0.1 is never exact in a double.
 * Any thread. Never blocks. */
#ifndef CONNECTORS_EXACT_H
#define CONNECTORS_EXACT_H

#include <stdio.h>

#include "slice.h"

/* Of text that is a number: digits, perhaps behind a sign, and nothing else. */
static inline bool exact_is_whole(struct sl_slice text) {
	return slice_find_byte(text, '.') < 0 && slice_find_byte(text, 'e') < 0 && slice_find_byte(text, 'E') < 0;
}

/* text is whole, v what was read from it: no digit was lost. */
static inline bool exact_in_double(struct sl_slice text, double v) {
	char exact[400]; /* a double has 309 digits before the point at the most */
	int n = snprintf(exact, sizeof exact, "%.0f", v);
	struct sl_slice got = slice_make(exact, n > 0 ? (size_t)n : 0);
	if (text.n > 0 && (text.p[0] == '+' || text.p[0] == '-')) text = slice_from(text, 1);
	while (text.n > 1 && text.p[0] == '0') text = slice_from(text, 1);
	if (got.n > 0 && got.p[0] == '-') got = slice_from(got, 1);
	return slice_equal(got, text);
}

#endif
