/* sql_arith.c: + - * / div mod || and the minus sign; see sql_vm.h.
 *
 * NULL on either side gives NULL. Integers stay integers (but for /) and never wrap: what does not fit int64 is an
 * error. A number whose text exceeds int64 takes part as a double. */
#include <math.h>

#include "sql_vm.h"

static const char *const symbols[] = {"+", "-", "*", "/", "div", "mod", "||"};

static int kind_error(struct sql_vm *vm, enum sql_binary op, const struct sql_value *bad) {
	return sql_vm_fail(vm, SL_ETYPE, "%s needs numbers%s, got %s", symbols[op], op == SQL_B_ADD ? " or text" : "",
			   sql_kind_name(bad->kind));
}

static int finite_result(struct sql_vm *vm, enum sql_binary op, double d, struct sql_value *out) {
	if (!isfinite(d)) return sql_vm_fail(vm, SL_ELIMIT, "the result of %s is out of range", symbols[op]);
	*out = sql_double(d);
	return SL_OK;
}

static int integers(struct sql_vm *vm, enum sql_binary op, int64_t a, int64_t b, struct sql_value *out) {
	int64_t r = 0;
	bool overflow = false;
	switch (op) {
	case SQL_B_ADD: overflow = __builtin_add_overflow(a, b, &r); break;
	case SQL_B_SUB: overflow = __builtin_sub_overflow(a, b, &r); break;
	case SQL_B_MUL: overflow = __builtin_mul_overflow(a, b, &r); break;
	case SQL_B_IDIV:
	case SQL_B_MOD:
		if (b == 0) return sql_vm_fail(vm, SL_EINVAL, "division by zero");
		if (b == -1) { /* INT64_MIN / -1 has no answer; the remainder is 0 in any case */
			overflow = op == SQL_B_IDIV && __builtin_sub_overflow((int64_t)0, a, &r);
		} else {
			r = op == SQL_B_IDIV ? a / b : a % b;
		}
		break;
	case SQL_B_DIV:
		if (b == 0) return sql_vm_fail(vm, SL_EINVAL, "division by zero");
		return finite_result(vm, op, (double)a / (double)b, out);
	case SQL_B_CONCAT:
	case SQL_B_EQ:
	case SQL_B_NE:
	case SQL_B_LT:
	case SQL_B_LE:
	case SQL_B_GT:
	case SQL_B_GE:
	case SQL_B_MATCH: return SL_EINVAL; /* not arithmetic */
	}
	if (overflow)
		return sql_vm_fail(vm, SL_ELIMIT, "integer overflow: the result of %s does not fit 64 bits",
				   symbols[op]);
	*out = sql_int(r);
	return SL_OK;
}

int sql_arithmetic(struct sql_vm *vm, enum sql_binary op, const struct sql_value *a, const struct sql_value *b,
		   struct sql_value *out) {
	if (a->kind == SQL_INT && b->kind == SQL_INT) return integers(vm, op, a->i, b->i, out);
	if (a->kind == SQL_NULL || b->kind == SQL_NULL) {
		*out = sql_null();
		return SL_OK;
	}
	if (op == SQL_B_ADD && (sql_is_text(a) || sql_is_text(b))) return sql_concat(vm, a, b, out);
	if (!sql_is_number(a)) return kind_error(vm, op, a);
	if (!sql_is_number(b)) return kind_error(vm, op, b);
	struct sql_value x = sql_number(*a), y = sql_number(*b);
	if (x.kind == SQL_INT && y.kind == SQL_INT) return integers(vm, op, x.i, y.i, out);
	if (op == SQL_B_IDIV || op == SQL_B_MOD)
		return sql_vm_fail(vm, SL_ETYPE, "%s needs integers; use fmod() or floor(a / b)", symbols[op]);
	double l = sql_to_double(&x), r = sql_to_double(&y);
	if (op == SQL_B_ADD) return finite_result(vm, op, l + r, out);
	if (op == SQL_B_SUB) return finite_result(vm, op, l - r, out);
	if (op == SQL_B_MUL) return finite_result(vm, op, l * r, out);
	if (fpclassify(r) == FP_ZERO) return sql_vm_fail(vm, SL_EINVAL, "division by zero");
	return finite_result(vm, op, l / r, out);
}

int sql_negate(struct sql_vm *vm, const struct sql_value *a, struct sql_value *out) {
	struct sql_value x = sql_number(*a);
	/* The smallest int64 is written as the minus of a number that is none. */
	if (a->kind == SQL_NUMBER_TEXT && slice_equal_str(sql_value_text(a), "9223372036854775808")) {
		*out = sql_int(INT64_MIN);
		return SL_OK;
	}
	if (x.kind == SQL_DOUBLE) return finite_result(vm, SQL_B_SUB, -x.d, out);
	struct sql_value zero = sql_int(0);
	if (x.kind == SQL_INT || x.kind == SQL_NULL) return sql_arithmetic(vm, SQL_B_SUB, &zero, &x, out);
	return sql_vm_fail(vm, SL_ETYPE, "the minus sign needs a number, got %s", sql_kind_name(a->kind));
}

int sql_concat(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b, struct sql_value *out) {
	if (a->kind == SQL_NULL || b->kind == SQL_NULL) {
		*out = sql_null();
		return SL_OK;
	}
	if (!sql_is_text(a) && !sql_is_text(b))
		return sql_vm_fail(vm, SL_ETYPE, "|| needs text on one side at least, got %s and %s",
				   sql_kind_name(a->kind), sql_kind_name(b->kind));
	struct sl_slice x = sql_text(vm, a), y = sql_text(vm, b);
	if (x.n + y.n > SQL_TEXT_MAX)
		return sql_vm_fail(vm, SL_ELIMIT, "a text would exceed %d MB", SQL_TEXT_MAX >> 20);
	int r = sql_vm_made(vm, x.n + y.n);
	if (r != SL_OK) return r;
	char *p = sl_arena_alloc(&vm->arena, x.n + y.n + 1);
	if (x.n) memcpy(p, x.p, x.n);
	if (y.n) memcpy(p + x.n, y.p, y.n);
	*out = sql_string(slice_make(p, x.n + y.n));
	return SL_OK;
}
