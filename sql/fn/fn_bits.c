/* fn_bits.c: integers as bits, and fields cut out of binary payloads. Integers are 64 bits wide, two's complement. */
#include <math.h>

#include "sql_vm.h"

static int fn_bitnot(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(~a[0].i);
	return SL_OK;
}
static int fn_bitand(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(a[0].i & a[1].i);
	return SL_OK;
}
static int fn_bitor(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(a[0].i | a[1].i);
	return SL_OK;
}
static int fn_bitxor(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(a[0].i ^ a[1].i);
	return SL_OK;
}

/* by > 0 to the left; bits that would be lost on the left are an error, for the result would be another number. */
static int shift(struct sql_call *c, int64_t v, int64_t by, struct sql_value *out) {
	if (by <= 0) {
		*out = sql_int(by <= -63 ? (v < 0 ? -1 : 0) : v >> -by);
		return SL_OK;
	}
	int64_t r = v;
	for (int64_t i = 0; i < by && r != 0; i++)
		if (__builtin_mul_overflow(r, 2, &r)) return sql_call_fail(c, "the result does not fit 64 bits");
	*out = sql_int(r);
	return SL_OK;
}
static int fn_bitsl(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return shift(c, a[0].i, a[1].i, out);
}
static int fn_bitsr(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return shift(c, a[0].i, a[1].i == INT64_MIN ? INT64_MAX : -a[1].i, out);
}

static int fn_bitsize(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int((int64_t)a[0].n * 8);
	return SL_OK;
}
static int fn_bytesize(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(a[0].n);
	return SL_OK;
}

/* ---- subbits: a field of a binary payload ---- */

static bool bit_at(struct sl_slice s, uint64_t i) { return (uint8_t)s.p[i / 8] >> (7 - i % 8) & 1; }

/* n <= 64 bits from bit `at` on, most significant first. */
static uint64_t bits_big(struct sl_slice s, uint64_t at, unsigned n) {
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++) v = v << 1 | bit_at(s, at + i);
	return v;
}

/* Little-endian: whole bytes from the least significant up; what is left over comes on top. */
static uint64_t bits_little(struct sl_slice s, uint64_t at, unsigned n) {
	uint64_t v = 0;
	for (unsigned done = 0; done < n; done += 8) {
		unsigned take = n - done < 8 ? n - done : 8;
		v |= bits_big(s, at + done, take) << done;
	}
	return v;
}

static int give_integer(struct sql_call *c, uint64_t v, unsigned n, bool is_signed, struct sql_value *out) {
	bool negative = is_signed && n > 0 && v >> (n - 1) & 1;
	if (negative && n < 64) v |= ~(uint64_t)0 << n;
	if (v <= INT64_MAX || is_signed) {
		*out = sql_int((int64_t)v);
		return SL_OK;
	}
	struct sl_slice text = sl_arena_printf(c->arena, "%llu", (unsigned long long)v);
	*out = (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)text.n, .p = text.p};
	return SL_OK;
}

static double half_to_double(uint64_t v) {
	double m = (double)(v & 0x3ff);
	int e = (int)(v >> 10 & 31);
	double d = e == 0 ? ldexp(m, -24) : ldexp(m + 1024, e - 25);
	return v >> 15 ? -d : d;
}

static int give_float(struct sql_call *c, uint64_t v, unsigned n, struct sql_value *out) {
	double d = 0;
	float f;
	uint32_t v32 = (uint32_t)v;
	if (n == 16) {
		d = (v >> 10 & 31) == 31 ? (double)INFINITY : half_to_double(v);
	} else if (n == 32) {
		memcpy(&f, &v32, sizeof f);
		d = (double)f;
	} else if (n == 64) {
		memcpy(&d, &v, sizeof d);
	} else {
		return sql_call_fail(c, "a float has 16, 32 or 64 bits");
	}
	if (!isfinite(d)) return sql_call_fail(c, "the bits are no finite number");
	*out = sql_double(d);
	return SL_OK;
}

/* A piece that is no whole number of bytes is padded with zeros in front. */
static int give_bits(struct sql_call *c, struct sl_slice s, uint64_t at, uint64_t n, struct sql_value *out) {
	size_t len = (size_t)((n + 7) / 8);
	uint8_t *p = sl_arena_zalloc(c->arena, len + 1);
	uint64_t shift = len * 8 - n;
	for (uint64_t i = 0; i < n; i++)
		if (bit_at(s, at + i)) p[(i + shift) / 8] |= (uint8_t)(0x80 >> (i + shift) % 8);
	*out = sql_call_bytes(slice_make(p, len));
	return SL_OK;
}

static bool word(const struct sql_value *a, uint32_t n, uint32_t i, const char *s) {
	return i < n && slice_equal_str(sql_value_text(&a[i]), s);
}

/* subbits(bytes, length) or subbits(bytes, start, length [, type [, sign [, endian]]]) */
static int fn_subbits(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]);
	int64_t start = n == 2 ? 1 : a[1].i, length = n == 2 ? a[1].i : a[2].i, have = (int64_t)s.n * 8;
	bool is_float = word(a, n, 3, "float"), is_bits = word(a, n, 3, "bits");
	bool is_signed = word(a, n, 4, "signed"), little = word(a, n, 5, "little");
	bool known = (n < 4 || is_float || is_bits || word(a, n, 3, "integer")) &&
		     (n < 5 || is_signed || word(a, n, 4, "unsigned")) && (n < 6 || little || word(a, n, 5, "big"));
	if (!known) return sql_call_fail(c, "takes integer, float or bits; unsigned or signed; big or little");
	if (length < 0) return sql_call_fail(c, "the length cannot be negative");
	*out = sql_null();
	if (start < 1 || start > have) return SL_OK; /* nothing is there */
	uint64_t at = (uint64_t)start - 1;
	if (length > have - (int64_t)at) length = have - (int64_t)at; /* cut to what is left */
	if (is_bits) return give_bits(c, s, at, (uint64_t)length, out);
	if (length > 64) return sql_call_fail(c, "a number has at most 64 bits");
	uint64_t v = little ? bits_little(s, at, (unsigned)length) : bits_big(s, at, (unsigned)length);
	return is_float ? give_float(c, v, (unsigned)length, out)
			: give_integer(c, v, (unsigned)length, is_signed, out);
}

static const struct sql_fn table[] = {
    {.name = "bitnot",
     .args = "i",
     .call = fn_bitnot,
     .usage = "bitnot(x)",
     .doc = "All bits turned over.",
     .example = "bitnot(5)",
     .gives = "-6"},
    {.name = "bitand",
     .args = "ii",
     .call = fn_bitand,
     .usage = "bitand(x, y)",
     .doc = "The bits that both have.",
     .example = "bitand(12, 10)",
     .gives = "8"},
    {.name = "bitor",
     .args = "ii",
     .call = fn_bitor,
     .usage = "bitor(x, y)",
     .doc = "The bits that one of both has.",
     .example = "bitor(12, 10)",
     .gives = "14"},
    {.name = "bitxor",
     .args = "ii",
     .call = fn_bitxor,
     .usage = "bitxor(x, y)",
     .doc = "The bits that exactly one has.",
     .example = "bitxor(12, 10)",
     .gives = "6"},
    {.name = "bitsl",
     .args = "ii",
     .call = fn_bitsl,
     .usage = "bitsl(x, n)",
     .doc = "x moved n bits to the left; a negative n moves right.",
     .errors = "when the result exceeds 64 bits",
     .example = "bitsl(5, 2)",
     .gives = "20"},
    {.name = "bitsr",
     .args = "ii",
     .call = fn_bitsr,
     .usage = "bitsr(x, n)",
     .doc = "x moved n bits to the right, keeping its sign.",
     .errors = "when the result exceeds 64 bits",
     .example = "bitsr(-8, 1)",
     .gives = "-4"},
    {.name = "bitsize",
     .args = "s",
     .call = fn_bitsize,
     .usage = "bitsize(text)",
     .doc = "Its length in bits.",
     .example = "bitsize('abc')",
     .gives = "24"},
    {.name = "bytesize",
     .args = "s",
     .call = fn_bytesize,
     .usage = "bytesize(text)",
     .doc = "Its length in bytes.",
     .example = "bytesize('é')",
     .gives = "2"},
    {.name = "subbits",
     .args = "si?isss",
     .call = fn_subbits,
     .usage = "subbits(bytes, [start,] length [, type [, sign [, endian]]])",
     .doc =
	 "A field of so many bits from bit start (the first is 1) on: integer (or float, bits), unsigned (or signed), "
	 "big (or little); cut to what is left, null when nothing is.",
     .errors = "for numbers over 64 bits, floats that are not 16, 32 or 64 bits, a negative length and another word",
     .example = "subbits(hexstr2bin('FFFE'), 1, 16, 'integer', 'signed')",
     .gives = "-2"},
};
const struct sql_fn_family sql_fn_bits = {"Bits", table, SL_ARRAY_LEN(table), SQL_STANDARD};
