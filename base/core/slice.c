/* slice.c: see slice.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "slice.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "err.h"
#include "mem.h"

int slice_compare(struct sl_slice a, struct sl_slice b) {
	size_t n = sl_min_size(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	if (c != 0) return c;
	return (a.n > b.n) - (a.n < b.n);
}

static char lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

bool slice_equal_nocase(struct sl_slice a, struct sl_slice b) {
	if (a.n != b.n) return false;
	for (size_t i = 0; i < a.n; i++)
		if (lower_ascii(a.p[i]) != lower_ascii(b.p[i])) return false;
	return true;
}

ptrdiff_t slice_find_byte(struct sl_slice s, char c) {
	const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
	return hit ? hit - s.p : -1;
}

ptrdiff_t slice_find(struct sl_slice s, struct sl_slice needle) {
	if (needle.n == 0) return 0;
	const char *hit = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return hit ? hit - s.p : -1;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct sl_slice slice_trim(struct sl_slice s) {
	while (s.n && is_space(s.p[0])) s = slice_from(s, 1);
	while (s.n && is_space(s.p[s.n - 1])) s.n--;
	return s;
}

struct sl_slice slice_next_part(struct sl_slice *rest, char sep) {
	ptrdiff_t at = slice_find_byte(*rest, sep);
	struct sl_slice part = *rest;
	if (at < 0) {
		*rest = SL_SLICE_EMPTY;
		return part;
	}
	part.n = (size_t)at;
	*rest = slice_make(rest->p + at + 1, rest->n - (size_t)at - 1);
	return part;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Eight bytes as the values of digits, the first lowest; false: some are none. */
static inline bool eight_digits(const char *p, uint64_t *w) {
	const uint64_t ones = 0x0101010101010101u;
	memcpy(w, p, 8);
	*w ^= ones * '0';
	return (((*w + ones * (0x80 - 10)) | *w) & ones * 0x80) == 0;
}

/* The number that they are: pairs, pairs of these, and again. */
static inline uint64_t eight_value(uint64_t w) {
	w = w * 10 + (w >> 8);
	w = (w & 0x00ff00ff00ff00ff) * 100 + ((w >> 16) & 0x00ff00ff00ff00ff);
	w = (w & 0x0000ffff0000ffff) * 10000 + ((w >> 32) & 0x0000ffff0000ffff);
	return w & 0xffffffff;
}
#endif

/* Takes the digits from p on into *v, modulo 2^64: it is the caller's to count them. Returns where they end. */
static inline const char *take_digits(const char *p, const char *end, uint64_t *v) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (uint64_t w; end - p >= 8 && eight_digits(p, &w); p += 8) *v = *v * 100000000 + eight_value(w);
#endif
	for (unsigned digit; p < end && (digit = (unsigned)(uint8_t)*p - '0') <= 9; p++) *v = *v * 10 + digit;
	return p;
}

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Nine to sixteen digits: the first ones with zeros before them, and the last eight. */
static inline bool two_eights(struct sl_slice s, int64_t *out) {
	uint64_t high, low;
	if (s.n <= 8 || s.n > 16 || !eight_digits(s.p, &high) || !eight_digits(s.p + s.n - 8, &low)) return false;
	high <<= (16 - s.n) * 8;
	*out = (int64_t)(eight_value(high) * 100000000 + eight_value(low));
	return true;
}
#else
static inline bool two_eights(struct sl_slice s, int64_t *out) { return (void)s, (void)out, false; }
#endif

int slice_to_i64(struct sl_slice s, int64_t *out) {
	enum { ALWAYS_FIT = 18 };
	if (two_eights(s, out)) return SL_OK;
	bool negative = s.n && s.p[0] == '-';
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
	if (i == s.n) return SL_EINVAL;
	if (sl_likely(s.n - i <= ALWAYS_FIT)) {
		uint64_t value = 0;
		if (take_digits(s.p + i, s.p + s.n, &value) != s.p + s.n) return SL_EINVAL;
		*out = negative ? -(int64_t)value : (int64_t)value;
		return SL_OK;
	}
	int64_t v = 0;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9') return SL_EINVAL;
		int64_t digit = s.p[i] - '0';
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, digit, &v)) return SL_ELIMIT;
	}
	if (!negative && __builtin_sub_overflow(0, v, &v)) return SL_ELIMIT;
	*out = v;
	return SL_OK;
}

/* Powers of ten that a double holds exactly; with a mantissa below 2^53 one division or product is exact too. */
static const double exact_pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				     1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static bool double_fast(struct sl_slice s, double *out) {
	enum { ALWAYS_EXACT = 15 };
	const char *whole = s.p + (s.p[0] == '-'), *end = s.p + s.n;
	uint64_t mantissa = 0;
	const char *p = take_digits(whole, end, &mantissa);
	size_t digits = (size_t)(p - whole), frac = 0;
	if (p < end && *p == '.') {
		const char *point = p++;
		p = take_digits(p, end, &mantissa);
		frac = (size_t)(p - point - 1);
		if (frac == 0) return false;
	}
	digits += frac;
	if (p != end || digits == 0 || digits > ALWAYS_EXACT) return false;
	double v = (double)(int64_t)mantissa / exact_pow10[frac];
	*out = s.p[0] == '-' ? -v : v;
	return true;
}

int slice_to_double(struct sl_slice s, double *out) {
	if (s.n == 0) return SL_EINVAL;
	if (double_fast(s, out)) return SL_OK;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool ok = (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
		if (!ok) return SL_EINVAL;
	}
	char stack[64];
	char *text = s.n < sizeof stack ? stack : sl_alloc(s.n + 1);
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	char *end;
	double v = strtod(text, &end);
	bool whole = end == text + s.n;
	if (text != stack) sl_free(text);
	if (!whole) return SL_EINVAL;
	if (!isfinite(v)) return SL_ELIMIT;
	*out = v;
	return SL_OK;
}

char *slice_dup(struct sl_slice s) { return sl_memdup0(s.p, s.n); }

/* Edits from a to b: insert, remove, change, and swap of neighbours, the commonest slip of all. Three rows; names are
 * short, so anything over 63 bytes is "far". */
static size_t edit_distance(struct sl_slice a, struct sl_slice b) {
	enum { LONGEST = 63 };
	if (a.n > LONGEST || b.n > LONGEST) return SIZE_MAX;
	size_t rows[3][LONGEST + 1];
	size_t *before = rows[0], *last = rows[1], *row = rows[2];
	for (size_t j = 0; j <= b.n; j++) last[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			char x = lower_ascii(a.p[i - 1]), y = lower_ascii(b.p[j - 1]);
			row[j] = sl_min_size(last[j - 1] + (x != y), sl_min_size(last[j], row[j - 1]) + 1);
			bool swapped = i > 1 && j > 1 && x == lower_ascii(b.p[j - 2]) && lower_ascii(a.p[i - 2]) == y;
			if (swapped) row[j] = sl_min_size(row[j], before[j - 2] + 1);
		}
		size_t *oldest = before;
		before = last;
		last = row;
		row = oldest;
	}
	return last[b.n];
}

const char *slice_nearest(struct sl_slice s, const char *const names[], size_t count) {
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		if (!names[i]) continue;
		size_t d = edit_distance(s, slice_from_str(names[i]));
		if (d < best_distance) {
			best_distance = d;
			best = names[i];
		}
	}
	size_t allowed = s.n / 3 > 1 ? s.n / 3 : 1;
	return best_distance <= allowed && best_distance < s.n ? best : NULL; /* a is not a slip for b */
}
