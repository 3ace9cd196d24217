/* aws_decimal.c: decimals of 34 digits on 128-bit integers; see aws_decimal.h.
 *
 * Every operation is done exactly in 256 bits (77 digits; two operands never need more that matter) and rounded once. What
 * fell off before is remembered as one bit, "sticky": it only matters whether it was nothing. */
#include "aws_decimal.h"

#include <math.h>

#include "conv.h"

typedef unsigned __int128 u128;

/* ---- 256 bits ---- */

struct wide {
	uint64_t w[4]; /* lowest first */
};

static const uint64_t powers[20] = {1ull,
				    10ull,
				    100ull,
				    1000ull,
				    10000ull,
				    100000ull,
				    1000000ull,
				    10000000ull,
				    100000000ull,
				    1000000000ull,
				    10000000000ull,
				    100000000000ull,
				    1000000000000ull,
				    10000000000000ull,
				    100000000000000ull,
				    1000000000000000ull,
				    10000000000000000ull,
				    100000000000000000ull,
				    1000000000000000000ull,
				    10000000000000000000ull};

static u128 power10(int n) { return n < 20 ? powers[n] : (u128)powers[n - 19] * powers[19]; } /* n <= 38 */

static int count_digits(u128 v) {
	int n = 1;
	if (v >= powers[19]) {
		for (n = 20; n < 39 && v >= power10(n);) n++;
		return n;
	}
	while (n < 20 && (uint64_t)v >= powers[n]) n++;
	return n;
}

static struct wide widen(u128 v) { return (struct wide){{(uint64_t)v, (uint64_t)(v >> 64), 0, 0}}; }
static u128 low(const struct wide *v) { return (u128)v->w[1] << 64 | v->w[0]; }

static void wide_mul(struct wide *v, uint64_t by) {
	u128 carry = 0;
	for (int i = 0; i < 4; i++) {
		carry += (u128)v->w[i] * by;
		v->w[i] = (uint64_t)carry;
		carry >>= 64;
	}
}
static void wide_scale(struct wide *v, int digits) {
	for (; digits > 19; digits -= 19) wide_mul(v, powers[19]);
	wide_mul(v, powers[digits]);
}
static uint64_t wide_div(struct wide *v, uint64_t by) {
	u128 rest = 0;
	for (int i = 3; i >= 0; i--) {
		rest = rest << 64 | v->w[i];
		v->w[i] = (uint64_t)(rest / by);
		rest %= by;
	}
	return (uint64_t)rest;
}
static void wide_add(struct wide *v, const struct wide *other) {
	u128 carry = 0;
	for (int i = 0; i < 4; i++) {
		carry += (u128)v->w[i] + other->w[i];
		v->w[i] = (uint64_t)carry;
		carry >>= 64;
	}
}
static int wide_compare(const struct wide *a, const struct wide *b) {
	for (int i = 3; i >= 0; i--)
		if (a->w[i] != b->w[i]) return a->w[i] < b->w[i] ? -1 : 1;
	return 0;
}
static void wide_sub(struct wide *v, const struct wide *other) { /* v >= other */
	uint64_t borrow = 0;
	for (int i = 0; i < 4; i++) {
		uint64_t a = v->w[i], b = other->w[i];
		v->w[i] = a - b - borrow;
		borrow = a < b || (a == b && borrow);
	}
}
static struct wide wide_product(u128 a, u128 b) {
	struct wide v = widen(a), high = v;
	wide_mul(&v, (uint64_t)b);
	wide_mul(&high, (uint64_t)(b >> 64));
	struct wide shifted = {{0, high.w[0], high.w[1], high.w[2]}};
	wide_add(&v, &shifted);
	return v;
}
/* v becomes the quotient, whose size the caller knows to fit; the remainder is returned. */
static u128 wide_div_long(struct wide *v, u128 by) {
	if (by <= UINT64_MAX) return wide_div(v, (uint64_t)by);
	u128 rest = 0; /* below `by`, which is below 2^113: shifting loses nothing */
	for (int i = 255; i >= 0; i--) {
		rest = rest << 1 | (v->w[i / 64] >> (i % 64) & 1);
		v->w[i / 64] &= ~((uint64_t)1 << (i % 64));
		if (rest >= by) {
			rest -= by;
			v->w[i / 64] |= (uint64_t)1 << (i % 64);
		}
	}
	return rest;
}

/* ---- into shape ---- */

static void strip(struct aws_decimal *d) {
	if (d->digits == 0) {
		*d = (struct aws_decimal){.pointed = d->pointed};
		return;
	}
	while (d->digits > UINT64_MAX && (uint64_t)d->digits % 2 == 0 && d->digits % 10 == 0) {
		d->digits /= 10;
		d->exponent++;
	}
	if (d->digits > UINT64_MAX) return;
	uint64_t v = (uint64_t)d->digits;
	for (; v % 10 == 0; v /= 10) d->exponent++;
	d->digits = v;
}

/* What 34 digits hold, at an exponent far from the limits. */
static bool exact_result(u128 digits, int exponent, bool negative, struct aws_decimal *out) {
	*out = (struct aws_decimal){.digits = digits, .exponent = exponent, .negative = negative};
	strip(out);
	return true;
}
static bool is_short(const struct aws_decimal *a) {
	return a->digits <= UINT64_MAX && a->exponent > -400 && a->exponent < 400;
}

/* Rounds to 34 digits; `sticky`: something not 0 stood behind v. Then v has at least 35 digits. */
static bool settle(struct wide v, int64_t exponent, bool negative, bool sticky, struct aws_decimal *out) {
	while (v.w[3]) { /* at least 58 digits */
		sticky |= wide_div(&v, powers[19]) != 0;
		exponent += 19;
	}
	while (v.w[2]) { /* at least 39 */
		sticky |= wide_div(&v, powers[4]) != 0;
		exponent += 4;
	}
	u128 c = low(&v);
	int over = count_digits(c) - AWS_DECIMAL_DIGITS;
	if (over > 0) {
		u128 unit = power10(over), rest = c % unit, half = unit / 2;
		c /= unit;
		exponent += over;
		if (rest > half || (rest == half && (sticky || c % 2))) c++;
	}
	struct aws_decimal d = {.digits = c, .exponent = 0, .negative = negative};
	int64_t top = exponent + count_digits(c) - 1;
	if (c && top > AWS_DECIMAL_EXPONENT_MAX) return false;
	if (c && top < -AWS_DECIMAL_EXPONENT_MAX) d.digits = 0;
	d.exponent = d.digits ? (int32_t)exponent : 0;
	strip(&d);
	*out = d;
	return true;
}

/* ---- text ---- */

static bool digit(char c) { return c >= '0' && c <= '9'; }

struct reading {
	u128 c;
	int64_t exponent;
	int kept; /* digits in c */
	bool sticky, any;
};
static void take(struct reading *r, char c, bool fraction) {
	r->any = true;
	if (r->kept < 38) {
		r->c = r->c * 10 + (unsigned)(c - '0');
		r->kept += r->c != 0;
		r->exponent -= fraction;
	} else {
		r->sticky |= c != '0';
		r->exponent += !fraction;
	}
}

static bool take_exponent(struct sl_slice s, int64_t *out) {
	bool negative = s.n && s.p[0] == '-';
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = slice_from(s, 1);
	int64_t e = 0;
	if (s.n == 0) return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!digit(s.p[i])) return false;
		if (e < 1000000000) e = e * 10 + (s.p[i] - '0');
	}
	*out = negative ? -e : e;
	return true;
}

/* Most numbers: up to 18 digits, maybe a sign and a point. */
static bool parse_short(struct sl_slice s, struct aws_decimal *out) {
	bool negative = s.n && s.p[0] == '-';
	size_t i = negative, point = 0;
	uint64_t v = 0;
	if (s.n < i + 1 || s.n > 19 || !digit(s.p[i])) return false;
	for (; i < s.n; i++) {
		if (digit(s.p[i]))
			v = v * 10 + (uint64_t)(s.p[i] - '0');
		else if (s.p[i] == '.' && !point)
			point = i + 1;
		else
			return false;
	}
	if (point == s.n) return false;
	if (!exact_result(v, point ? -(int)(s.n - point) : 0, negative, out)) return false;
	out->pointed = point > 0;
	return true;
}

bool aws_decimal_parse(struct sl_slice s, struct aws_decimal *out, bool *exact) {
	if (parse_short(s, out)) {
		if (exact) *exact = true;
		return true;
	}
	if (s.n > AWS_DECIMAL_READ_MAX) return false;
	struct reading r = {0};
	bool negative = s.n && s.p[0] == '-';
	size_t i = negative;
	int64_t e = 0;
	for (; i < s.n && digit(s.p[i]); i++) take(&r, s.p[i], false);
	if (!r.any) return false;
	bool pointed = i < s.n;
	if (i < s.n && s.p[i] == '.') {
		size_t point = i++;
		for (; i < s.n && digit(s.p[i]); i++) take(&r, s.p[i], true);
		if (i == point + 1) return false;
	}
	if (i < s.n) {
		if ((s.p[i] != 'e' && s.p[i] != 'E') || !take_exponent(slice_from(s, i + 1), &e)) return false;
	}
	if (!settle(widen(r.c), r.exponent + e, negative, r.sticky, out)) return false;
	out->pointed = pointed;
	if (exact) {
		struct aws_decimal all = {.digits = r.c};
		strip(&all);
		*exact = !r.sticky && all.digits == out->digits;
	}
	return true;
}

struct aws_decimal aws_decimal_from_i64(int64_t i) {
	struct aws_decimal d = {.digits = i < 0 ? 0 - (uint64_t)i : (uint64_t)i, .negative = i < 0};
	strip(&d);
	return d;
}

bool aws_decimal_from_double(double d, struct aws_decimal *out) {
	char text[SL_FORMAT_DOUBLE_MAX];
	if (!isfinite(d)) return false;
	size_t n = sl_format_double(d, text);
	if (!aws_decimal_parse(slice_make(text, n), out, NULL)) return false;
	out->pointed = true;
	return true;
}

static size_t put_digits(u128 v, char *out) {
	char reversed[40];
	size_t n = 0;
	for (; v > UINT64_MAX; v /= 10) reversed[n++] = (char)('0' + (int)(v % 10));
	uint64_t rest = (uint64_t)v;
	do {
		reversed[n++] = (char)('0' + (int)(rest % 10));
		rest /= 10;
	} while (rest);
	for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
	return n;
}

/* Small numbers and integers are written out; else d.dddE-9. */
size_t aws_decimal_format(const struct aws_decimal *a, char out[AWS_DECIMAL_TEXT_MAX]) {
	char digits[40];
	size_t n = put_digits(a->digits, digits), at = 0;
	int64_t point = (int64_t)n + a->exponent; /* digits in front of the point */
	if (a->negative) out[at++] = '-';
	if (point > -6 && point <= AWS_DECIMAL_DIGITS) {
		if (point <= 0) out[at++] = '0';
		if (point <= 0) out[at++] = '.';
		for (int64_t i = point; i < 0; i++) out[at++] = '0';
		for (size_t i = 0; i < n; i++) {
			if (i > 0 && (int64_t)i == point) out[at++] = '.';
			out[at++] = digits[i];
		}
		for (int64_t i = (int64_t)n; i < point; i++) out[at++] = '0';
		if (a->pointed && a->exponent >= 0) out[at++] = '.';
		if (a->pointed && a->exponent >= 0) out[at++] = '0';
	} else {
		char e[SL_FORMAT_I64_MAX];
		size_t len = sl_format_i64(point - 1, e);
		out[at++] = digits[0];
		if (n > 1) out[at++] = '.';
		for (size_t i = 1; i < n; i++) out[at++] = digits[i];
		out[at++] = 'E';
		for (size_t i = 0; i < len; i++) out[at++] = e[i];
	}
	out[at] = '\0';
	return at;
}

/* ---- operations ---- */

bool aws_decimal_add(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out) {
	if (a->digits == 0 || b->digits == 0) {
		*out = a->digits ? *a : *b;
		return true;
	}
	if (a->exponent < b->exponent) {
		const struct aws_decimal *t = a;
		a = b;
		b = t;
	}
	int shift = a->exponent - b->exponent, have = count_digits(a->digits);
	if (is_short(a) && is_short(b) && have + shift <= 32) { /* as most are: below 10^33 */
		u128 x = a->digits * power10(shift), y = b->digits;
		if (a->negative == b->negative) return exact_result(x + y, b->exponent, a->negative, out);
		return exact_result(x >= y ? x - y : y - x, b->exponent, x >= y ? a->negative : b->negative, out);
	}
	struct wide x = widen(a->digits), y = widen(b->digits);
	int exponent = b->exponent;
	if (have + shift > 76) { /* b lies far behind the last digit of the result: only that it is there counts */
		shift = 40 - have;
		exponent = a->exponent - shift;
		y = widen(1);
	}
	wide_scale(&x, shift);
	bool negative = a->negative;
	if (a->negative == b->negative) {
		wide_add(&x, &y);
	} else if (wide_compare(&x, &y) >= 0) {
		wide_sub(&x, &y);
	} else {
		wide_sub(&y, &x);
		x = y;
		negative = b->negative;
	}
	return settle(x, exponent, negative, false, out);
}

bool aws_decimal_mul(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out) {
	if (is_short(a) && is_short(b)) {
		u128 product = a->digits * b->digits;
		if (product < power10(AWS_DECIMAL_DIGITS))
			return exact_result(product, a->exponent + b->exponent, a->negative != b->negative, out);
	}
	return settle(wide_product(a->digits, b->digits), (int64_t)a->exponent + b->exponent,
		      a->negative != b->negative, false, out);
}

bool aws_decimal_div(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out) {
	struct wide v = widen(a->digits);
	if (a->digits == 0) {
		*out = (struct aws_decimal){0};
		return true;
	}
	if (is_short(a) && is_short(b)) { /* maybe it comes out even */
		int room = 18 - count_digits(a->digits);
		if (room > 0) {
			uint64_t x = (uint64_t)a->digits * powers[room], y = (uint64_t)b->digits;
			if (x % y == 0)
				return exact_result(x / y, a->exponent - b->exponent - room, a->negative != b->negative,
						    out);
		}
	}
	int scale = AWS_DECIMAL_DIGITS + 2 + count_digits(b->digits) - count_digits(a->digits);
	if (scale < 0) scale = 0;
	wide_scale(&v, scale);
	bool sticky = wide_div_long(&v, b->digits) != 0;
	return settle(v, (int64_t)a->exponent - b->exponent - scale, a->negative != b->negative, sticky, out);
}

bool aws_decimal_rem(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out) {
	struct aws_decimal r = *a;
	int shift = a->exponent - b->exponent;
	if (shift >= 0) {
		r.digits %= b->digits;
		for (; shift > 4 && r.digits; shift -= 4) r.digits = r.digits * powers[4] % b->digits;
		for (; shift > 0 && r.digits; shift--) r.digits = r.digits * 10 % b->digits;
		r.exponent = b->exponent;
	} else {
		if (count_digits(b->digits) - shift <= 38) r.digits %= b->digits * power10(-shift);
	}
	strip(&r);
	*out = r;
	return true;
}

bool aws_decimal_idiv(const struct aws_decimal *a, const struct aws_decimal *b, struct aws_decimal *out) {
	struct aws_decimal rest, whole;
	aws_decimal_rem(a, b, &rest);
	rest.negative = !rest.negative && rest.digits;
	if (!aws_decimal_add(a, &rest, &whole) || !aws_decimal_div(&whole, b, out)) return false;
	return out->exponent >= 0;
}

struct aws_decimal aws_decimal_negate(struct aws_decimal a) {
	a.negative = !a.negative && a.digits;
	return a;
}

int aws_decimal_compare(const struct aws_decimal *a, const struct aws_decimal *b) {
	int sign_a = a->digits == 0 ? 0 : a->negative ? -1 : 1, sign_b = b->digits == 0 ? 0 : b->negative ? -1 : 1;
	if (sign_a != sign_b || sign_a == 0) return (sign_a > sign_b) - (sign_a < sign_b);
	int top_a = a->exponent + count_digits(a->digits), top_b = b->exponent + count_digits(b->digits);
	if (top_a != top_b) return top_a > top_b ? sign_a : -sign_a;
	u128 x = a->digits, y = b->digits; /* the same size: 34 digits hold both at one exponent */
	if (a->exponent > b->exponent) x *= power10(a->exponent - b->exponent);
	if (b->exponent > a->exponent) y *= power10(b->exponent - a->exponent);
	return x == y ? 0 : x > y ? sign_a : -sign_a;
}

bool aws_decimal_round(const struct aws_decimal *a, int places, enum aws_rounding how, struct aws_decimal *out) {
	int drop = -places - a->exponent;
	struct aws_decimal r = *a;
	if (drop > 0) {
		u128 unit = drop <= 35 ? power10(drop) : power10(36);
		u128 rest = r.digits % unit;
		bool up = false;
		r.digits /= unit;
		switch (how) {
		case AWS_DOWN: break;
		case AWS_FLOOR: up = rest && a->negative; break;
		case AWS_CEIL: up = rest && !a->negative; break;
		case AWS_HALF_UP: up = rest >= unit / 2; break;
		}
		r.digits += up;
		r.exponent = -places;
	}
	return settle(widen(r.digits), r.exponent, r.negative, false, out);
}

bool aws_decimal_is_int(const struct aws_decimal *a) {
	return a->exponent >= 0 && count_digits(a->digits) + a->exponent <= AWS_DECIMAL_DIGITS;
}

bool aws_decimal_to_i64(const struct aws_decimal *a, int64_t *out) {
	if (a->exponent < 0 || count_digits(a->digits) + a->exponent > 19) return false;
	u128 v = a->digits * power10(a->exponent);
	if (v > (u128)INT64_MAX + a->negative) return false;
	*out = a->negative ? (int64_t)(0 - (uint64_t)v) : (int64_t)v;
	return true;
}
