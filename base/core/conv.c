#include "conv.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char digit_pairs[] = "0001020304050607080910111213141516171819"
				  "2021222324252627282930313233343536373839"
				  "4041424344454647484950515253545556575859"
				  "6061626364656667686970717273747576777879"
				  "8081828384858687888990919293949596979899";

/* Writes the digits of v so that they end just before `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t v) {
	while (v >= 100) {
		end -= 2;
		memcpy(end, digit_pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		end -= 2;
		memcpy(end, digit_pairs + v * 2, 2);
		return end;
	}
	*--end = (char)('0' + v);
	return end;
}

static const uint64_t pow10_u64[] = {
    1u,
    10u,
    100u,
    1000u,
    10000u,
    100000u,
    1000000u,
    10000000u,
    100000000u,
    1000000000u,
    10000000000u,
    100000000000u,
    1000000000000u,
    10000000000000u,
    100000000000000u,
    1000000000000000u,
    10000000000000000u,
    100000000000000000u,
    1000000000000000000u,
    10000000000000000000u,
};

/* A number of b bits has b * log10(2) digits, or one more. */
static size_t count_digits(uint64_t v) {
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1), least = bits * 1233 >> 12;
	return least + (v >= pow10_u64[least]) + (v == 0);
}

/* Eight digits, zeros before them: the halves hang on each other as little as may be. */
static void put_eight(char *to, uint32_t v) {
	uint32_t high = v / 10000, low = v % 10000;
	memcpy(to, digit_pairs + high / 100 * 2, 2);
	memcpy(to + 2, digit_pairs + high % 100 * 2, 2);
	memcpy(to + 4, digit_pairs + low / 100 * 2, 2);
	memcpy(to + 6, digit_pairs + low % 100 * 2, 2);
}

size_t sl_format_u64(uint64_t v, char *out) {
	size_t n = count_digits(v);
	char *end = out + n;
	for (; v >= 100000000; v /= 100000000) put_eight(end -= 8, (uint32_t)(v % 100000000));
	digits_before(end, v);
	out[n] = '\0';
	return n;
}

size_t sl_format_i64(int64_t v, char *out) {
	if (v >= 0) return sl_format_u64((uint64_t)v, out);
	out[0] = '-';
	return sl_format_u64(0 - (uint64_t)v, out + 1) + 1;
}

static const double pow10_exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
				     1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

/* The digits of `m` with the point before the last `d` of them: 4125, 3 is 4.125. Zeros fill up to one whole digit. */
static size_t put_decimal(char *out, uint64_t m, int d) {
	char text[SL_FORMAT_DOUBLE_MAX];
	char *end = text + sizeof text, *at = digits_before(end, m);
	while (end - at <= d) *--at = '0';
	size_t whole = (size_t)(end - at) - (size_t)d;
	memcpy(out, at, whole);
	out[whole] = '.';
	memcpy(out + whole + 1, at + whole, (size_t)d);
	out[whole + 1 + (size_t)d] = '\0';
	return whole + 1 + (size_t)d;
}

/* Decimals of at most 15 digits, which is what sensors send. For v = m / 10^d with m below 10^15 the product
 * v * 10^d misses m by less than its 2^-52nd part, so rounding finds m; and m / 10^d, both exact, is rounded once, as
 * reading the text is. The first d that gives v back has the fewest digits. Returns 0 when there is none. */
static size_t format_short_decimal(double v, char *out) {
	for (int d = 1; d < (int)SL_ARRAY_LEN(pow10_exact); d++) {
		double scaled = v * pow10_exact[d];
		if (scaled >= 1e15) return 0;
		uint64_t m = (uint64_t)(scaled + 0.5);
		double off = fabs(scaled - (double)m);
		if (off > scaled * 4.5e-16 || (double)m / pow10_exact[d] != v) continue;
		return put_decimal(out, m, d);
	}
	return 0;
}

static unsigned __int128 pow10_u128(int n) {
	unsigned __int128 v = 1;
	while (n-- > 0) v *= 10;
	return v;
}

/* Is c / 10^k nearer to m / 2^s than to any other double? Both sides times 10^k * 2^(s+1) are whole numbers, in which
 * half the distance to the next double is 10^k; below a power of two it is half of that. */
static bool reads_back(uint64_t c, uint64_t m, int s, unsigned __int128 ten_k) {
	unsigned __int128 ours = (unsigned __int128)c << (s + 1), exact = ten_k * m * 2;
	unsigned __int128 half = m == (uint64_t)1 << 52 && ours < exact ? ten_k / 2 : ten_k;
	unsigned __int128 off = ours > exact ? ours - exact : exact - ours;
	return off < half || (off == half && m % 2 == 0); /* reading rounds a tie to the even one */
}

/* What a rule computes: 16 or 17 digits, by whole numbers of 128 bits. For 1e-4 <= v < 1e15, v not whole: then
 * m * 10^k stays below 2^121. */
static size_t format_long_decimal(double v, char *out) {
	int exponent;
	uint64_t m = (uint64_t)(frexp(v, &exponent) * 0x1p53);
	int s = 53 - exponent; /* v = m / 2^s */
	int k = 16 - (int)floor(log10(v));
	unsigned __int128 ten_k = pow10_u128(k);
	uint64_t digits = (uint64_t)(ten_k * m >> s); /* v * 10^k, cut */
	if (digits >= 100000000000000000u || digits < 10000000000000000u) {
		k += digits < 10000000000000000u ? 1 : -1; /* log10() rounded over a power of ten */
		ten_k = pow10_u128(k);
		digits = (uint64_t)(ten_k * m >> s);
	}
	uint64_t c = (digits + 5) / 10 * 10; /* 16 digits, rounded */
	if (!reads_back(c, m, s, ten_k)) {
		unsigned __int128 rest = ten_k * m - ((unsigned __int128)digits << s);
		c = digits + (rest >> (s - 1) != 0);
	}
	for (; c % 10 == 0 && k > 1; k--) c /= 10;
	return put_decimal(out, c, k);
}

/* The rare rest: very large and very small. */
static size_t format_general(double v, char *out) {
	int n = 0;
	for (int precision = fabs(v) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
		n = snprintf(out, SL_FORMAT_DOUBLE_MAX, "%.*g", precision, v);
		if (strtod(out, NULL) == v) break;
	}
	if (strpbrk(out, ".e")) return (size_t)n;
	memcpy(out + n, ".0", 3); /* 1234567890123456 alone would read as an integer */
	return (size_t)n + 2;
}

size_t sl_format_double(double v, char *out) {
	if (!isfinite(v)) {
		const char *text = isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
		size_t n = strlen(text);
		memcpy(out, text, n + 1);
		return n;
	}
	size_t sign = signbit(v) ? 1 : 0;
	double a = fabs(v);
	out[0] = '-';
	if (a < 1e15) {
		uint64_t whole = (uint64_t)a;
		if ((double)whole == a) {
			size_t n = sl_format_u64(whole, out + sign) + sign;
			memcpy(out + n, ".0", 3);
			return n + 2;
		}
		if (a >= 1e-4) {
			size_t n = format_short_decimal(a, out + sign);
			return (n ? n : format_long_decimal(a, out + sign)) + sign;
		}
	}
	return format_general(v, out);
}
