/* sql_arith.h: arithmetic where both sides are what they mostly are, in line with the steps of a program. Only for this
 * folder.
 *
 * Integers and doubles as they stand, and results that fit: everything else - NULL, text, numbers that are text yet,
 * overflow, division by zero - is sql_arithmetic()'s, messages too. So each of these says whether it has done it, and has
 * touched nothing when it has not.
 *
 *     sql_quick_add(a, b, out)         any two
 *     sql_quick_add_number(a, k, out)  k is a constant, INT or DOUBLE; a may also be a number that is text yet
 *
 * Of k in division the emitter knows that it is not zero (sql_divides()).
 * Thread: any. Nothing blocks, nothing is made. */
#ifndef SQL_ARITH_H
#define SQL_ARITH_H

#include <math.h>

#include "sql_vm.h"

static inline bool sql_quick_int(int64_t i, struct sql_value *out) {
	*out = sql_int(i);
	return true;
}
static inline bool sql_quick_double(double d, struct sql_value *out) {
	if (sl_unlikely(!isfinite(d))) return false;
	*out = sql_double(d);
	return true;
}
static inline bool sql_quick_is_int(const struct sql_value *a, const struct sql_value *b) {
	return a->kind == SQL_INT && b->kind == SQL_INT;
}
static inline bool sql_quick_operand(const struct sql_value *v, double *d) {
	*d = v->kind == SQL_INT ? (double)v->i : v->d;
	return v->kind == SQL_INT || v->kind == SQL_DOUBLE;
}

/* SQL_QUICK(name, operator): + - *, which are alike. */
#define SQL_QUICK(name, sign)                                                                                          \
	static inline bool sql_quick_##name(const struct sql_value *a, const struct sql_value *b,                      \
					    struct sql_value *out) {                                                   \
		int64_t i;                                                                                             \
		double l, r;                                                                                           \
		if (sql_quick_is_int(a, b))                                                                            \
			return !__builtin_##name##_overflow(a->i, b->i, &i) && sql_quick_int(i, out);                  \
		return sql_quick_operand(a, &l) && sql_quick_operand(b, &r) && sql_quick_double(l sign r, out);        \
	}                                                                                                              \
	static inline bool sql_quick_##name##_number(const struct sql_value *a, const struct sql_value *k,             \
						     struct sql_value *out) {                                          \
		if (sql_quick_##name(a, k, out)) return true;                                                          \
		if (a->kind != SQL_NUMBER_TEXT) return false;                                                          \
		struct sql_value number = sql_number(*a);                                                              \
		return sql_quick_##name(&number, k, out);                                                              \
	}
SQL_QUICK(add, +)
SQL_QUICK(sub, -)
SQL_QUICK(mul, *)
#undef SQL_QUICK

static inline bool sql_quick_div_number(const struct sql_value *a, const struct sql_value *k, struct sql_value *out) {
	struct sql_value number = *a;
	double l, r;
	if (a->kind == SQL_NUMBER_TEXT) number = sql_number(*a);
	return sql_quick_operand(&number, &l) && sql_quick_operand(k, &r) && sql_quick_double(l / r, out);
}
static inline bool sql_quick_div(const struct sql_value *a, const struct sql_value *b, struct sql_value *out) {
	double l, r;
	if (!sql_quick_operand(a, &l) || !sql_quick_operand(b, &r) || fpclassify(r) == FP_ZERO) return false;
	return sql_quick_double(l / r, out);
}

/* INT64_MIN / -1 has no answer, and traps. */
static inline bool sql_divides(int64_t divisor) { return divisor != 0 && divisor != -1; }
static inline bool sql_quick_idiv_number(const struct sql_value *a, const struct sql_value *k, struct sql_value *out) {
	return a->kind == SQL_INT && sql_quick_int(a->i / k->i, out);
}
static inline bool sql_quick_mod_number(const struct sql_value *a, const struct sql_value *k, struct sql_value *out) {
	return a->kind == SQL_INT && sql_quick_int(a->i % k->i, out);
}
static inline bool sql_quick_idiv(const struct sql_value *a, const struct sql_value *b, struct sql_value *out) {
	return b->kind == SQL_INT && sql_divides(b->i) && sql_quick_idiv_number(a, b, out);
}
static inline bool sql_quick_mod(const struct sql_value *a, const struct sql_value *b, struct sql_value *out) {
	return b->kind == SQL_INT && sql_divides(b->i) && sql_quick_mod_number(a, b, out);
}

static inline bool sql_quick_negate(const struct sql_value *a, struct sql_value *out) {
	if (a->kind == SQL_INT && a->i != INT64_MIN) return sql_quick_int(-a->i, out);
	return a->kind == SQL_DOUBLE && sql_quick_double(-a->d, out);
}

#endif
