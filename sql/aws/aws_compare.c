/* aws_compare.c: = <> < <= > >= IN, and truth, in the aws dialect; see aws_ops.h. */
#include "aws_ops.h"

static bool equal(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b);

static bool equal_numbers(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b) {
	struct aws_decimal x, y;
	if (a->kind == SQL_INT && b->kind == SQL_INT) return a->i == b->i;
	if (aws_decimal_of(a, &x) && aws_decimal_of(b, &y)) return aws_decimal_compare(&x, &y) == 0;
	/* beyond what we reckon with: the same only when written the same */
	if (a->kind != SQL_NUMBER_TEXT || b->kind != SQL_NUMBER_TEXT || a->n != b->n) return false;
	sql_vm_charge(vm, a->n / 64);
	return slice_equal(sql_value_text(a), sql_value_text(b));
}

static bool equal_lists(struct sql_vm *vm, const struct sql_list *a, const struct sql_list *b) {
	if (a->n != b->n) return false;
	sql_vm_charge(vm, a->n);
	for (uint32_t i = 0; i < a->n; i++)
		if (!equal(vm, &a->at[i], &b->at[i])) return false;
	return true;
}

static bool equal_maps(struct sql_vm *vm, const struct sql_map *a, const struct sql_map *b) {
	if (a->n != b->n) return false;
	sql_vm_charge(vm, (uint64_t)a->n * (a->n / 16 + 1)); /* members may come in any order */
	for (uint32_t i = 0; i < a->n && vm->budget; i++) {
		const struct sql_value *other = sql_map_find(b, a->at[i].key, i);
		if (!other || !equal(vm, &a->at[i].value, other)) return false;
	}
	return true;
}

/* Of two values that are there; other types are not equal. */
static bool equal(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b) {
	if (sql_is_number(a)) return sql_is_number(b) && equal_numbers(vm, a, b);
	if (sql_is_text(a)) {
		if (!sql_is_text(b) || a->n != b->n) return false;
		sql_vm_charge(vm, a->n / 64);
		return slice_equal(sql_value_text(a), sql_value_text(b));
	}
	if (a->kind == SQL_BOOL) return b->kind == SQL_BOOL && a->b == b->b;
	if (a->kind == SQL_JSON_NULL || a->kind == SQL_NULL) return a->kind == b->kind;
	struct sql_value x = *a, y = *b;
	/* Their text was checked when it was read, so that this only fails when memory is at its limit; the run ends then. */
	if (sql_unfold(vm, &x) != SL_OK || sql_unfold(vm, &y) != SL_OK || x.kind != y.kind) return false;
	return x.kind == SQL_LIST ? equal_lists(vm, x.list, y.list) : equal_maps(vm, x.map, y.map);
}

/* ORDER COMPARE (sql_op_tbl.h): = <> < <= > >=, of -1, 0 and 1. */
static bool holds(enum sql_binary op, int order) {
	static const uint8_t truth[] = {2, 1 | 4, 1, 1 | 2, 4, 2 | 4};
	return truth[op - SQL_B_EQ] >> (order + 1) & 1;
}

struct sql_value aws_compare(struct sql_vm *vm, enum sql_binary op, const struct sql_value *a,
			     const struct sql_value *b) {
	if (a->kind == SQL_INT && b->kind == SQL_INT) return sql_bool(holds(op, (a->i > b->i) - (a->i < b->i)));
	if (a->kind == SQL_NULL || b->kind == SQL_NULL) return sql_null();
	if (op == SQL_B_EQ || op == SQL_B_NE) return sql_bool(equal(vm, a, b) == (op == SQL_B_EQ));
	struct aws_decimal x, y;
	if (!aws_decimal_of(a, &x) || !aws_decimal_of(b, &y)) return sql_null();
	return sql_bool(holds(op, aws_decimal_compare(&x, &y)));
}

struct sql_value aws_in(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *list) {
	struct sql_value l = *list;
	if (a->kind == SQL_NULL || !sql_is_list(&l) || sql_unfold(vm, &l) != SL_OK) return sql_null();
	sql_vm_charge(vm, l.list->n);
	for (uint32_t i = 0; i < l.list->n; i++)
		if (l.list->at[i].kind != SQL_NULL && equal(vm, a, &l.list->at[i])) return sql_bool(true);
	return sql_bool(false);
}

struct sql_value aws_truth(const struct sql_value *v) {
	if (v->kind == SQL_BOOL) return *v;
	if (v->kind != SQL_STRING) return sql_null();
	if (slice_equal_nocase(sql_value_text(v), SL_SLICE_LIT("true"))) return sql_bool(true);
	return slice_equal_nocase(sql_value_text(v), SL_SLICE_LIT("false")) ? sql_bool(false) : sql_null();
}
