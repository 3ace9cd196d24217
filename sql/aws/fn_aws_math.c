/* fn_aws_math.c: numbers in the aws dialect. Int and Decimal are exact to 34 digits; functions from mathematics are
 * reckoned in double. */
#include <math.h>

#include "aws_fn.h"
#include "rng.h"

#define NO_NUMBER "when the argument is no number and no text that is one"
#define NO_NUMBERS "when an argument is no number and no text that is one"

/* ---- exact ---- */

/* An integer of any length, which rounding does not change. */
static bool is_plain_int(const struct sql_value *v) {
	if (v->kind == SQL_INT) return true;
	if (v->kind != SQL_NUMBER_TEXT) return false;
	for (uint32_t i = 0; i < v->n; i++)
		if (v->p[i] != '-' && (v->p[i] < '0' || v->p[i] > '9')) return false;
	return true;
}

static int round_to(struct sql_call *c, const struct sql_value *v, int places, enum aws_rounding how,
		    struct sql_value *out) {
	struct aws_decimal d;
	*out = *v;
	if (is_plain_int(v)) return SL_OK;
	if (!aws_decimal_of(v, &d) || !aws_decimal_round(&d, places, how, &d)) return aws_undefined(out);
	*out = aws_from_decimal(c->vm, &d);
	return SL_OK;
}
static int fn_ceil(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return n == 1 ? round_to(c, a, 0, AWS_CEIL, out) : aws_undefined(out);
}
static int fn_floor(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return n == 1 ? round_to(c, a, 0, AWS_FLOOR, out) : aws_undefined(out);
}
static int fn_round(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return n == 1 ? round_to(c, a, 0, AWS_HALF_UP, out) : aws_undefined(out);
}
static int fn_trunc(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value places = sql_null();
	if (n != 2 || !sql_is_number(&a[1])) return aws_undefined(out);
	int r = aws_to_int_down(c->vm, &a[1], &places);
	if (r != SL_OK || places.kind != SQL_INT) return aws_undefined(out);
	int64_t p = places.i < 0 ? 0 : places.i > AWS_DECIMAL_DIGITS ? AWS_DECIMAL_DIGITS : places.i;
	return round_to(c, a, (int)p, AWS_DOWN, out);
}

static int fn_abs(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	if (n != 1) return aws_undefined(out);
	*out = *a;
	if (a->kind == SQL_NUMBER_TEXT) { /* whatever its length */
		if (a->n && a->p[0] == '-') {
			out->p++;
			out->n--;
		}
		*out = sql_number(*out).kind == SQL_INT ? sql_number(*out) : *out;
		return SL_OK;
	}
	if (a->kind == SQL_INT && a->i >= 0) return SL_OK;
	struct aws_decimal d;
	if (!aws_decimal_of(a, &d)) return aws_undefined(out);
	d.negative = false;
	*out = aws_from_decimal(c->vm, &d);
	return SL_OK;
}

static int fn_sign(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct aws_decimal d;
	(void)c;
	if (n != 1 || !aws_decimal_of(a, &d)) return aws_undefined(out);
	*out = sql_int(d.digits == 0 ? 0 : d.negative ? -1 : 1);
	return SL_OK;
}

static int fn_mod(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return n == 2 ? aws_arithmetic(c->vm, SQL_B_MOD, true, &a[0], &a[1], out) : aws_undefined(out);
}

/* ---- bits ---- */

static bool bits_of(const struct sql_value *v, int64_t *out) {
	struct aws_decimal d;
	if (v->kind == SQL_INT) {
		*out = v->i;
		return true;
	}
	return aws_decimal_of(v, &d) && aws_decimal_round(&d, 0, AWS_FLOOR, &d) && aws_decimal_to_i64(&d, out);
}

#define BITS(name, expression)                                                                                         \
	static int fn_##name(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {       \
		int64_t x, y;                                                                                          \
		(void)c;                                                                                               \
		if (n != 2 || !bits_of(&a[0], &x) || !bits_of(&a[1], &y)) return aws_undefined(out);                   \
		*out = sql_int(expression);                                                                            \
		return SL_OK;                                                                                          \
	}
BITS(bitand, x &y)
BITS(bitor, x | y)
BITS(bitxor, x ^ y)

static int fn_bitnot(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	int64_t x;
	(void)c;
	if (n != 1 || !bits_of(a, &x)) return aws_undefined(out);
	*out = sql_int(~x);
	return SL_OK;
}

/* ---- in double ---- */

static bool double_of(struct sql_call *c, const struct sql_value *v, double *out) {
	struct sql_value d;
	if (aws_to_double(c->vm, v, &d) != SL_OK || d.kind != SQL_DOUBLE) return false;
	*out = d.d;
	return true;
}

#define LIBM(name, function)                                                                                           \
	static int fn_##name(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {       \
		double x;                                                                                              \
		if (n != 1 || !double_of(c, a, &x)) return aws_undefined(out);                                         \
		*out = aws_from_double(c->vm, function(x));                                                            \
		return SL_OK;                                                                                          \
	}
LIBM(sqrt, sqrt)
LIBM(exp, exp)
LIBM(ln, log)
LIBM(log, log10)
LIBM(sin, sin)
LIBM(cos, cos)
LIBM(tan, tan)
LIBM(asin, asin)
LIBM(acos, acos)
LIBM(atan, atan)
LIBM(sinh, sinh)
LIBM(cosh, cosh)
LIBM(tanh, tanh)

#define LIBM2(name, function)                                                                                          \
	static int fn_##name(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {       \
		double x, y;                                                                                           \
		if (n != 2 || !double_of(c, &a[0], &x) || !double_of(c, &a[1], &y)) return aws_undefined(out);         \
		*out = aws_from_double(c->vm, function(x, y));                                                         \
		return SL_OK;                                                                                          \
	}
LIBM2(power, pow)
LIBM2(atan2, atan2)

static int fn_rand(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)a;
	if (n) return aws_undefined(out);
	*out = sql_double((double)(sl_rng_next() >> 11) * 0x1p-53);
	return SL_OK;
}

#define DOMAIN_ERROR NO_NUMBER ", or there is no finite result"
#define ONE(n, d, x, g) AWS_ROW(#n, "a", fn_##n, #n "(number)", d, DOMAIN_ERROR, x, g)
static const struct sql_fn table[] = {
    AWS_ROW("abs", "a", fn_abs, "abs(number)", "The distance from zero; an Int stays one.", NO_NUMBER, "abs('-5.123')",
	    "5.123"),
    AWS_ROW("ceil", "a", fn_ceil, "ceil(number)", "The least Int that is not smaller.", NO_NUMBER, "ceil(-1.2)", "-1"),
    AWS_ROW("floor", "a", fn_floor, "floor(number)", "The greatest Int that is not larger.", NO_NUMBER, "floor(-1.2)",
	    "-2"),
    AWS_ROW("round", "a", fn_round, "round(number)", "The nearest Int, halves away from zero.", NO_NUMBER,
	    "round(-1.5)", "-2"),
    AWS_ROW("trunc", "aa", fn_trunc, "trunc(number, places)",
	    "Cut toward zero after so many decimals; places are taken from 0 to 34, rounded down.",
	    NO_NUMBER ", or places is no number (text is none here)", "trunc(2.3123, 2)", "2.31"),
    AWS_ROW("sign", "a", fn_sign, "sign(number)", "-1, 0 or 1.", NO_NUMBER, "sign(-0.5)", "-1"),
    AWS_ROW("mod", "aa", fn_mod, "mod(x, y)",
	    "What is left of x / y, with the sign of x; the same as x % y. Of two Ints an Int.",
	    NO_NUMBERS ", or y is 0", "mod(-8, 3)", "-2"),
    AWS_ROW("remainder", "aa", fn_mod, "remainder(x, y)", "The same as mod().", NO_NUMBERS ", or y is 0",
	    "remainder(8.5, 3)", "2.5"),
    AWS_ROW("bitand", "aa", fn_bitand, "bitand(x, y)", "The bits both have, of numbers rounded down.",
	    NO_NUMBERS ", or does not fit 64 bits", "bitand(13, 5)", "5"),
    AWS_ROW("bitor", "aa", fn_bitor, "bitor(x, y)", "The bits one of both has, of numbers rounded down.",
	    NO_NUMBERS ", or does not fit 64 bits", "bitor(8, 5)", "13"),
    AWS_ROW("bitxor", "aa", fn_bitxor, "bitxor(x, y)", "The bits exactly one has, of numbers rounded down.",
	    NO_NUMBERS ", or does not fit 64 bits", "bitxor(13, 5)", "8"),
    AWS_ROW("bitnot", "a", fn_bitnot, "bitnot(x)", "All 64 bits turned over (two's complement).",
	    NO_NUMBER ", or does not fit 64 bits", "bitnot(13)", "-14"),
    AWS_ROW("power", "aa", fn_power, "power(base, exponent)", "The base raised to the exponent, in double.",
	    NO_NUMBERS ", or there is no finite real result", "power(2, 5)", "32"),
    ONE(sqrt, "The square root, in double.", "sqrt(9)", "3"),
    ONE(exp, "e to the power of the number, in double.", "exp(1)", "2.718281828459045"),
    ONE(ln, "The natural logarithm.", "ln(1)", "0"),
    ONE(log, "The logarithm to base 10.", "log(100)", "2"),
    ONE(sin, "The sine, of radians.", "sin(0)", "0"),
    ONE(cos, "The cosine, of radians.", "cos(0)", "1"),
    ONE(tan, "The tangent, of radians.", "tan(0)", "0"),
    ONE(asin, "The arc sine in radians.", "asin(0)", "0"),
    ONE(acos, "The arc cosine in radians.", "acos(1)", "0"),
    ONE(atan, "The arc tangent in radians.", "atan(0)", "0"),
    ONE(sinh, "The hyperbolic sine.", "sinh(0)", "0"),
    ONE(cosh, "The hyperbolic cosine.", "cosh(0)", "1"),
    ONE(tanh, "The hyperbolic tangent.", "tanh(0)", "0"),
    AWS_ROW("atan2", "aa", fn_atan2, "atan2(y, x)", "The angle to the point (x, y), from -pi to pi.", NO_NUMBERS,
	    "atan2(0, 1)", "0"),
    {.name = "rand",
     .args = "?a",
     .varies = true,
     .call = fn_rand,
     .usage = "rand()",
     .doc = "A random number from 0 up to, not including, 1.",
     .example = "rand() < 1",
     .gives = "true"},
};
const struct sql_fn_family aws_fn_math = {"Numbers", table, SL_ARRAY_LEN(table), SQL_AWS};
