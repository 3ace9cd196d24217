/* fn_bits.c: integers as bits, and fields cut out of binary payloads. Integers are 64 bits wide, two's complement. */
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
};
const struct sql_fn_family sql_fn_bits = {"Bits", table, SL_ARRAY_LEN(table)};
