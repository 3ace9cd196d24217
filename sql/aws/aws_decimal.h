/* aws_decimal.h: decimal numbers of 34 significant digits, as the aws dialect reckons with them.
 *
 * A number is sign * digits * 10^exponent with less than 10^34 in digits, and lies between 1E-999 and 9.99...E999. Results are
 * exact where 34 digits are enough and rounded half to even where not (IEEE 754's decimal128 arithmetic by default); what
 * is too small is 0. Values are kept in their shortest form: no zeros at the end of digits, 0 without sign.
 *
 * Why not a library: the IEEE library that Debian has is for one architecture only, libmpdec is no longer packaged, and
 * Python keeps its own. These four operations are small.
 *
 * Lifetime: values. Thread: any. Nothing allocates or blocks. Errors: false, *out is then not set. */
#ifndef AWS_DECIMAL_H
#define AWS_DECIMAL_H

#include "common.h"
#include "slice.h"

struct aws_decimal {
	unsigned __int128 digits;
	int32_t exponent;
	bool negative;
	bool
	    pointed; /* written or made as a Decimal: where whole ones stay Decimals (2015-10-08) it has a point, 2.0 */
};
enum {
	AWS_DECIMAL_DIGITS = 34,
	AWS_DECIMAL_EXPONENT_MAX = 999,
	AWS_DECIMAL_TEXT_MAX = 48, /* bytes of text, with a final NUL */
	AWS_DECIMAL_READ_MAX =
	    4096, /* bytes of text that are read: an operator's work must not hang on the payload's size */
};

/* Number text of JSON (or with leading zeros): false when the number is too large, or the text is none or too long. *exact (may be
 * NULL): 34 digits hold it. */
bool aws_decimal_parse(struct sl_slice text, struct aws_decimal *out, bool *exact);
struct aws_decimal aws_decimal_from_i64(int64_t i);
bool aws_decimal_from_double(double d, struct aws_decimal *out); /* by its shortest text; false: not finite */

bool aws_decimal_add(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out);
bool aws_decimal_mul(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out);
bool aws_decimal_div(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out); /* not by 0 */
/* What is left of a after taking b a whole number of times, with a's sign. Not by 0. */
bool aws_decimal_rem(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out);
/* The whole part of a / b, of two integers. False when it has more than 34 digits. Not by 0. */
bool aws_decimal_idiv(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out);
struct aws_decimal aws_decimal_negate(struct aws_decimal a);
int aws_decimal_compare(const struct aws_decimal *a, const struct aws_decimal *b); /* -1, 0, 1 */

enum aws_rounding { AWS_DOWN, AWS_FLOOR, AWS_CEIL, AWS_HALF_UP }; /* DOWN: to 0; HALF_UP: halves away from it */
/* With at most so many digits behind the point; whole is an Int. */
bool aws_decimal_round(const struct aws_decimal *a, int places, enum aws_rounding how, struct aws_decimal *out);

bool aws_decimal_is_int(const struct aws_decimal *a);               /* whole, and 34 digits write it */
bool aws_decimal_to_i64(const struct aws_decimal *a, int64_t *out); /* false: not whole, or over 64 bits */
/* JSON text, without a NUL counted: 0.05, 120, 1E40, -2.5E-9. Integers of up to 34 digits are written out, with .0 when
 * they are pointed. */
size_t aws_decimal_format(const struct aws_decimal *a, char out[AWS_DECIMAL_TEXT_MAX]);

#endif
