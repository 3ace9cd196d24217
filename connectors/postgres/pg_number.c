/* pg_number.c: numbers, exactly. See pg_type_int.h. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "conv.h"
#include "exact.h"
#include "pg_type_int.h"
#include "sql_calendar.h"

/* What numeric can hold: digits before and behind the point (the server's own limits). */
#define NUMERIC_INT_DIGITS 131072
#define NUMERIC_FRACTION_DIGITS 16383
#define EXPONENT_MAX 1000000

static const char no_number[] = "it is no number";
static const char no_integer[] = "it is no whole number";
static const char too_large[] = "it is out of the type's range";
static const char rounded[] = "the column would round it; numeric or bigint would not";

/* A decimal number as text: digits (a point among them) times ten to the exponent. */
struct decimal {
	bool negative;
	const char *p;
	size_t whole, fraction; /* digits before and behind the point */
	int64_t exponent;
};

static size_t digits_at(struct sl_slice s, size_t at) {
	size_t n = 0;
	while (at + n < s.n && isdigit((unsigned char)s.p[at + n])) n++;
	return n;
}

static bool decimal_parse(struct sl_slice s, struct decimal *d) {
	size_t at = 0;
	*d = (struct decimal){0};
	if (at < s.n && (s.p[at] == '-' || s.p[at] == '+')) d->negative = s.p[at++] == '-';
	d->p = s.p + at;
	d->whole = digits_at(s, at);
	at += d->whole;
	if (at < s.n && s.p[at] == '.') {
		d->fraction = digits_at(s, at + 1);
		at += 1 + d->fraction;
	}
	if (d->whole + d->fraction == 0) return false;
	if (at == s.n) return true;
	if (s.p[at] != 'e' && s.p[at] != 'E') return false;
	if (++at < s.n && s.p[at] == '+') at++;
	return slice_to_i64(slice_from(s, at), &d->exponent) == SL_OK && d->exponent >= -EXPONENT_MAX &&
	       d->exponent <= EXPONENT_MAX;
}

static unsigned decimal_digit(const struct decimal *d, int64_t i) {
	if (i < 0 || (size_t)i >= d->whole + d->fraction) return 0;
	return (unsigned)(d->p[(size_t)i < d->whole ? i : i + 1] - '0');
}

/* The first and last digit that is not 0; false when there is none. */
static bool decimal_ends(const struct decimal *d, int64_t *first, int64_t *last) {
	int64_t n = (int64_t)(d->whole + d->fraction);
	for (*first = 0; *first < n && decimal_digit(d, *first) == 0;) ++*first;
	for (*last = n - 1; *last >= 0 && decimal_digit(d, *last) == 0;) --*last;
	return *first < n;
}

/* ---- Integers. ---- */

static int decimal_to_i64(const struct decimal *d, int64_t *out, const char **why) {
	int64_t first, last, point = (int64_t)d->whole + d->exponent;
	*out = 0;
	if (!decimal_ends(d, &first, &last)) return SL_OK;
	*why = no_integer;
	if (last >= point) return SL_ETYPE;
	*why = too_large;
	if (point - first > 19) return SL_ETYPE;
	for (int64_t i = first; i < point; i++) {
		int64_t digit = (int64_t)decimal_digit(d, i);
		if (__builtin_mul_overflow(*out, 10, out) ||
		    (d->negative ? __builtin_sub_overflow(*out, digit, out) : __builtin_add_overflow(*out, digit, out)))
			return SL_ETYPE;
	}
	return SL_OK;
}

static int text_to_i64(struct sl_slice s, int64_t *out, const char **why) {
	struct decimal d;
	s = slice_trim(s);
	if (slice_to_i64(s, out) == SL_OK) return SL_OK;
	*why = no_number;
	return decimal_parse(s, &d) ? decimal_to_i64(&d, out, why) : SL_ETYPE;
}

static int value_to_i64(const struct sql_value *v, int64_t *out, const char **why) {
	switch (v->kind) {
	case SQL_BOOL: *out = v->b; return SL_OK;
	case SQL_INT: *out = v->i; return SL_OK;
	case SQL_DOUBLE:
		*why = no_integer;
		if (!isfinite(v->d) || v->d != trunc(v->d)) return SL_ETYPE;
		*why = too_large;
		if (v->d < -0x1p63 || v->d >= 0x1p63) return SL_ETYPE;
		*out = (int64_t)v->d;
		return SL_OK;
	case SQL_STRING:
	case SQL_NUMBER_TEXT: return text_to_i64(sql_value_text(v), out, why);
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	*why = no_number;
	return SL_ETYPE;
}

int pg_int_put(const struct sql_value *v, unsigned bytes, struct sl_buf *out, const char **why) {
	int64_t i, max = bytes == 2 ? INT16_MAX : bytes == 4 ? INT32_MAX : INT64_MAX;
	int r = value_to_i64(v, &i, why);
	if (r != SL_OK) return r;
	if (i > max || i < -max - 1) {
		*why = too_large;
		return SL_ETYPE;
	}
	if (bytes == 2)
		sl_buf_put_u16be(out, (uint16_t)i);
	else if (bytes == 4)
		sl_buf_put_u32be(out, (uint32_t)i);
	else
		pg_put_u64(out, (uint64_t)i);
	return SL_OK;
}

/* ---- Floats. ---- */

/* "NaN", "Infinity" and their like. */
static bool special(struct sl_slice s, double *out) {
	bool negative = s.n > 0 && s.p[0] == '-';
	if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) s = slice_from(s, 1);
	if (slice_equal_nocase(s, SL_SLICE_LIT("nan")))
		*out = (double)NAN;
	else if (slice_equal_nocase(s, SL_SLICE_LIT("inf")) || slice_equal_nocase(s, SL_SLICE_LIT("infinity")))
		*out = negative ? -(double)INFINITY : (double)INFINITY;
	else
		return false;
	return true;
}

/* Whole numbers must arrive exactly; a fraction in decimals is never exact in a float, and everybody knows it. */
static int text_to_double(struct sl_slice s, double *out, bool *whole, const char **why) {
	s = slice_trim(s);
	if (special(s, out)) return SL_OK;
	*why = no_number;
	int r = slice_to_double(s, out);
	if (r == SL_ELIMIT) *why = too_large;
	if (r != SL_OK) return SL_ETYPE;
	*why = rounded;
	*whole = exact_is_whole(s);
	return !*whole || exact_in_double(s, *out) ? SL_OK : SL_ETYPE;
}

static int value_to_double(const struct sql_value *v, double *out, bool *whole, const char **why) {
	*whole = false;
	switch (v->kind) {
	case SQL_INT:
		*whole = true;
		*out = (double)v->i;
		*why = rounded;
		return *out < 0x1p63 && (int64_t)*out == v->i ? SL_OK : SL_ETYPE;
	case SQL_DOUBLE: *out = v->d; return SL_OK;
	case SQL_STRING:
	case SQL_NUMBER_TEXT: return text_to_double(sql_value_text(v), out, whole, why);
	case SQL_BOOL:
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	*why = no_number;
	return SL_ETYPE;
}

int pg_float_put(const struct sql_value *v, unsigned bytes, struct sl_buf *out, const char **why) {
	double d = 0;
	bool whole;
	int r = value_to_double(v, &d, &whole, why);
	if (r != SL_OK) return r;
	if (bytes == 8) {
		uint64_t bits;
		memcpy(&bits, &d, sizeof bits);
		pg_put_u64(out, bits);
		return SL_OK;
	}
	float f = fabs(d) <= (double)3.4028235677973366e38L || !isfinite(d) ? (float)d : INFINITY;
	if ((isfinite(d) && !isfinite(f)) || (d != 0 && f == 0)) {
		*why = too_large;
		return SL_ETYPE;
	}
	if (whole && (double)f != d) {
		*why = rounded;
		return SL_ETYPE;
	}
	uint32_t bits;
	memcpy(&bits, &f, sizeof bits);
	sl_buf_put_u32be(out, bits);
	return SL_OK;
}

/* ---- numeric: groups of four decimals, the first one's weight, sign and shown decimals. ---- */

enum {
	NUMERIC_POSITIVE = 0,
	NUMERIC_NEGATIVE = 0x4000,
	NUMERIC_NAN = 0xC000,
	NUMERIC_INF = 0xD000,
	NUMERIC_NINF = 0xF000
};

static void numeric_head(struct sl_buf *out, int64_t groups, int64_t weight, unsigned sign, int64_t scale) {
	sl_buf_put_u16be(out, (uint16_t)groups);
	sl_buf_put_u16be(out, (uint16_t)weight);
	sl_buf_put_u16be(out, (uint16_t)sign);
	sl_buf_put_u16be(out, (uint16_t)scale);
}

static int decimal_to_numeric(const struct decimal *d, struct sl_buf *out, const char **why) {
	int64_t first, last, point = (int64_t)d->whole + d->exponent;
	int64_t scale = (int64_t)d->fraction > d->exponent ? (int64_t)d->fraction - d->exponent : 0;
	*why = too_large;
	if (scale > NUMERIC_FRACTION_DIGITS) return SL_ETYPE;
	if (!decimal_ends(d, &first, &last)) {
		numeric_head(out, 0, 0, NUMERIC_POSITIVE, scale);
		return SL_OK;
	}
	int64_t weight = sql_floor_div(point - first - 1, 4), lowest = sql_floor_div(point - last - 1, 4);
	if (point - first > NUMERIC_INT_DIGITS || weight - lowest >= INT16_MAX) return SL_ETYPE;
	numeric_head(out, weight - lowest + 1, weight, d->negative ? NUMERIC_NEGATIVE : NUMERIC_POSITIVE, scale);
	for (int64_t w = weight; w >= lowest; w--) {
		unsigned group = 0;
		for (int64_t power = 4 * w + 3; power >= 4 * w; power--)
			group = group * 10 + decimal_digit(d, point - 1 - power);
		sl_buf_put_u16be(out, (uint16_t)group);
	}
	return SL_OK;
}

static int text_to_numeric(struct sl_slice s, struct sl_buf *out, const char **why) {
	struct decimal d;
	double f;
	s = slice_trim(s);
	if (special(s, &f)) {
		numeric_head(out, 0, 0, isnan(f) ? NUMERIC_NAN : f > 0 ? NUMERIC_INF : NUMERIC_NINF, 0);
		return SL_OK;
	}
	*why = no_number;
	return decimal_parse(s, &d) ? decimal_to_numeric(&d, out, why) : SL_ETYPE;
}

int pg_numeric_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	char text[SL_FORMAT_DOUBLE_MAX];
	size_t n;
	switch (v->kind) {
	case SQL_INT: return text_to_numeric(slice_make(text, sl_format_i64(v->i, text)), out, why);
	case SQL_DOUBLE:
		n = sl_format_double(v->d, text);
		if (n > 2 && text[n - 1] == '0' && text[n - 2] == '.') n -= 2; /* 25.0 is 25 */
		return text_to_numeric(slice_make(text, n), out, why);
	case SQL_STRING:
	case SQL_NUMBER_TEXT: return text_to_numeric(sql_value_text(v), out, why);
	case SQL_BOOL:
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	*why = no_number;
	return SL_ETYPE;
}
