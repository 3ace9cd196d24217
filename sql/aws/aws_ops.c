/* aws_ops.c: + - * / % and the minus sign in the aws dialect; see aws_ops.h. */
#include "aws_ops.h"

/* Two int64, when the result is one, too. */
static bool fast(enum sql_binary op, bool int_division, int64_t a, int64_t b, struct sql_value *out) {
	int64_t r = 0;
	switch (op) {
	case SQL_B_ADD:
		if (__builtin_add_overflow(a, b, &r)) return false;
		break;
	case SQL_B_SUB:
		if (__builtin_sub_overflow(a, b, &r)) return false;
		break;
	case SQL_B_MUL:
		if (__builtin_mul_overflow(a, b, &r)) return false;
		break;
	case SQL_B_DIV:
	case SQL_B_IDIV:
	case SQL_B_MOD:
		if (b == 0) {
			*out = sql_null();
			return true;
		}
		if (b == -1) return false; /* INT64_MIN / -1 needs more than 64 bits */
		if (op == SQL_B_DIV && !int_division) return false;
		r = op == SQL_B_MOD ? a % b : a / b;
		break;
	case SQL_B_CONCAT:
	case SQL_B_EQ:
	case SQL_B_NE:
	case SQL_B_LT:
	case SQL_B_LE:
	case SQL_B_GT:
	case SQL_B_GE:
	case SQL_B_MATCH: return false;
	}
	*out = sql_int(r);
	return true;
}

static bool decimals(enum sql_binary op, bool int_division, const struct aws_decimal *a, const struct aws_decimal *b,
		     struct aws_decimal *out) {
	struct aws_decimal minus_b = aws_decimal_negate(*b);
	switch (op) {
	case SQL_B_ADD: return aws_decimal_add(a, b, out);
	case SQL_B_SUB: return aws_decimal_add(a, &minus_b, out);
	case SQL_B_MUL: return aws_decimal_mul(a, b, out);
	case SQL_B_DIV:
	case SQL_B_IDIV:
		if (b->digits == 0) return false;
		if (int_division && aws_decimal_is_int(a) && aws_decimal_is_int(b)) return aws_decimal_idiv(a, b, out);
		return aws_decimal_div(a, b, out);
	case SQL_B_MOD: return b->digits && aws_decimal_rem(a, b, out);
	case SQL_B_CONCAT:
	case SQL_B_EQ:
	case SQL_B_NE:
	case SQL_B_LT:
	case SQL_B_LE:
	case SQL_B_GT:
	case SQL_B_GE:
	case SQL_B_MATCH: break; /* not arithmetic */
	}
	return false;
}

static int concatenate(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b, struct sql_value *out) {
	struct sql_value x, y;
	int r = aws_to_string(vm, a, &x);
	if (r == SL_OK) r = aws_to_string(vm, b, &y);
	return r == SL_OK ? sql_concat(vm, &x, &y, out) : r; /* Undefined on either side: Undefined */
}

int aws_arithmetic(struct sql_vm *vm, enum sql_binary op, bool int_division, const struct sql_value *a,
		   const struct sql_value *b, struct sql_value *out) {
	if (a->kind == SQL_INT && b->kind == SQL_INT && sl_likely(fast(op, int_division, a->i, b->i, out)))
		return SL_OK;
	if (op == SQL_B_ADD && (sql_is_text(a) || sql_is_text(b))) return concatenate(vm, a, b, out);
	struct aws_decimal x, y, result;
	*out = sql_null();
	if (!aws_decimal_of(a, &x) || !aws_decimal_of(b, &y)) return SL_OK;
	/* What keeps its point is no Int, though it is whole. */
	bool decimal = aws_whole_decimals(vm) && (x.pointed || y.pointed);
	if (!decimals(op, int_division && !decimal, &x, &y, &result)) return SL_OK;
	result.pointed = decimal || (op == SQL_B_DIV && !int_division);
	*out = aws_from_decimal(vm, &result);
	return SL_OK;
}

int aws_negate(struct sql_vm *vm, const struct sql_value *a, struct sql_value *out) {
	struct aws_decimal d;
	if (a->kind == SQL_INT && a->i != INT64_MIN) {
		*out = sql_int(-a->i);
		return SL_OK;
	}
	if (!aws_decimal_of(a, &d)) {
		*out = sql_null();
		return SL_OK;
	}
	d = aws_decimal_negate(d);
	*out = aws_from_decimal(vm, &d);
	return SL_OK;
}
