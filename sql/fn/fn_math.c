/* fn_math.c: arithmetic and mathematics. Results that are no finite number are errors, never NaN or infinity. */
#include <math.h>

#include "rng.h"
#include "sql_vm.h"

static int give(struct sql_call *c, double d, struct sql_value *out) {
	if (!isfinite(d)) return sql_call_fail(c, "there is no finite result");
	*out = sql_double(d);
	return SL_OK;
}

/* Of one number, through a function of the C library. */
#define LIBM(name)                                                                                                     \
	static int fn_##name(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {       \
		(void)n;                                                                                               \
		return give(c, name(sql_to_double(&a[0])), out);                                                       \
	}
LIBM(sqrt)
LIBM(exp)
LIBM(log)
LIBM(log2)
LIBM(log10)
LIBM(sin)
LIBM(cos)
LIBM(tan)
LIBM(asin)
LIBM(acos)
LIBM(atan)
LIBM(sinh)
LIBM(cosh)
LIBM(tanh)
LIBM(asinh)
LIBM(acosh)
LIBM(atanh)
#undef LIBM

static int whole(struct sql_call *c, const struct sql_value *a, double (*f)(double), struct sql_value *out) {
	if (a->kind == SQL_INT) {
		*out = *a;
		return SL_OK;
	}
	double d = f(a->d);
	if (!(d >= -0x1p63 && d < 0x1p63)) return sql_call_fail(c, "the result does not fit 64 bits");
	*out = sql_int((int64_t)d);
	return SL_OK;
}
static int fn_ceil(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return whole(c, a, ceil, out);
}
static int fn_floor(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return whole(c, a, floor, out);
}
static int fn_round(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return whole(c, a, round, out);
}

static int fn_abs(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	*out = *a;
	if (a->kind == SQL_DOUBLE) return give(c, fabs(a->d), out);
	return a->i < 0 ? sql_negate(c->vm, a, out) : SL_OK;
}

static int fn_power(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return give(c, pow(sql_to_double(&a[0]), sql_to_double(&a[1])), out);
}
static int fn_fmod(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return give(c, fmod(sql_to_double(&a[0]), sql_to_double(&a[1])), out);
}
static int fn_div(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_arithmetic(c->vm, SQL_B_IDIV, &a[0], &a[1], out);
}
static int fn_mod(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_arithmetic(c->vm, SQL_B_MOD, &a[0], &a[1], out);
}

/* Equal without reading text as numbers; 1 is 1.0. */
static int fn_eq(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	bool one_text = sql_is_text(&a[0]) != sql_is_text(&a[1]);
	*out = sql_bool(!one_text && sql_compare(c->vm, &a[0], &a[1]) == SQL_EQUAL);
	return SL_OK;
}

static int fn_random(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)a, (void)n;
	*out = sql_double((double)(sl_rng_next() >> 11) * 0x1p-53);
	return SL_OK;
}

#define RANGE_ERROR "when there is no finite result"
#define ONE(n, d, e, g)                                                                                                \
	{                                                                                                              \
		.name = #n, .args = "n", .call = fn_##n, .usage = #n "(number)", .doc = d, .errors = RANGE_ERROR,      \
		.example = e, .gives = g                                                                               \
	}
static const struct sql_fn table[] = {
    {.name = "abs",
     .args = "n",
     .call = fn_abs,
     .usage = "abs(number)",
     .doc = "The distance from zero.",
     .errors = "when the result does not fit 64 bits",
     .example = "abs(-5)",
     .gives = "5"},
    {.name = "ceil",
     .args = "n",
     .call = fn_ceil,
     .usage = "ceil(number)",
     .doc = "The least integer that is not smaller.",
     .errors = "when the result does not fit 64 bits",
     .example = "ceil(1.2)",
     .gives = "2"},
    {.name = "floor",
     .args = "n",
     .call = fn_floor,
     .usage = "floor(number)",
     .doc = "The greatest integer that is not larger.",
     .errors = "when the result does not fit 64 bits",
     .example = "floor(-0.5)",
     .gives = "-1"},
    {.name = "round",
     .args = "n",
     .call = fn_round,
     .usage = "round(number)",
     .doc = "The nearest integer, half away from zero.",
     .errors = "when the result does not fit 64 bits",
     .example = "round(1.5)",
     .gives = "2"},
    ONE(sqrt, "The square root.", "sqrt(4)", "2.0"),
    ONE(exp, "e to the power of the number.", "exp(0)", "1.0"),
    {.name = "power",
     .args = "nn",
     .call = fn_power,
     .usage = "power(base, exponent)",
     .doc = "The base raised to the exponent, as a float.",
     .errors = RANGE_ERROR,
     .example = "power(2, 3)",
     .gives = "8.0"},
    {.name = "pow",
     .args = "nn",
     .call = fn_power,
     .usage = "pow(base, exponent)",
     .doc = "The same as power().",
     .errors = RANGE_ERROR,
     .example = "pow(2, -1)",
     .gives = "0.5"},
    {.name = "fmod",
     .args = "nn",
     .call = fn_fmod,
     .usage = "fmod(x, y)",
     .doc = "The remainder of x / y as a float, with the sign of x.",
     .errors = RANGE_ERROR,
     .example = "fmod(-7.5, 2)",
     .gives = "-1.5"},
    {.name = "div",
     .args = "ii",
     .call = fn_div,
     .usage = "div(x, y)",
     .doc = "The whole part of x / y; also written x div y.",
     .errors = "when y is 0, or the result does not fit 64 bits",
     .example = "div(7, 3)",
     .gives = "2"},
    {.name = "mod",
     .args = "ii",
     .call = fn_mod,
     .usage = "mod(x, y)",
     .doc = "The remainder of x / y with the sign of x; also written x mod y.",
     .errors = "when y is 0",
     .example = "mod(-7, 3)",
     .gives = "-1"},
    {.name = "eq",
     .args = "aa",
     .call = fn_eq,
     .usage = "eq(a, b)",
     .doc = "Are both equal, text never being read as a number?",
     .example = "eq(1, 1.0)",
     .gives = "true"},
    ONE(log, "The natural logarithm.", "log(1)", "0.0"),
    ONE(log2, "The logarithm to base 2.", "log2(8)", "3.0"),
    ONE(log10, "The logarithm to base 10.", "log10(1000)", "3.0"),
    ONE(sin, "The sine, of radians.", "sin(0)", "0.0"),
    ONE(cos, "The cosine, of radians.", "cos(0)", "1.0"),
    ONE(tan, "The tangent, of radians.", "tan(0)", "0.0"),
    ONE(asin, "The arc sine in radians.", "asin(0)", "0.0"),
    ONE(acos, "The arc cosine in radians.", "acos(1)", "0.0"),
    ONE(atan, "The arc tangent in radians.", "atan(0)", "0.0"),
    ONE(sinh, "The hyperbolic sine.", "sinh(0)", "0.0"),
    ONE(cosh, "The hyperbolic cosine.", "cosh(0)", "1.0"),
    ONE(tanh, "The hyperbolic tangent.", "tanh(0)", "0.0"),
    ONE(asinh, "The inverse hyperbolic sine.", "asinh(0)", "0.0"),
    ONE(acosh, "The inverse hyperbolic cosine.", "acosh(1)", "0.0"),
    ONE(atanh, "The inverse hyperbolic tangent.", "atanh(0)", "0.0"),
    {.name = "random",
     .args = "",
     .varies = true,
     .call = fn_random,
     .usage = "random()",
     .doc = "A random float from 0 up to, not including, 1.",
     .example = "random() < 1",
     .gives = "true"},
};
const struct sql_fn_family sql_fn_math = {"Numbers", table, SL_ARRAY_LEN(table), SQL_STANDARD};
