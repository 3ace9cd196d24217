/* fn_array.c: arrays, counted from 1. */
#include "sql_vm.h"

static int fn_nth(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	const struct sql_list *l = a[1].list;
	if (a[0].i < 1 || a[0].i > l->n)
		return sql_call_fail(c, "there is no element %lld in an array of %u", (long long)a[0].i, l->n);
	*out = l->at[a[0].i - 1];
	return SL_OK;
}

static int fn_length(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(a[0].list->n);
	return SL_OK;
}

/* sublist(n, array) or sublist(start, n, array) */
static int fn_sublist(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value l = a[n - 1], second = sql_number(a[1]);
	if (!sql_is_list(&l) || (n == 3 && second.kind != SQL_INT))
		return sql_call_fail(c, "takes (n, array) or (start, n, array)");
	int r = sql_unfold(c->vm, &l);
	if (r != SL_OK) return r;
	int64_t start = n == 3 ? a[0].i : 1, count = n == 3 ? second.i : a[0].i;
	if (start < 1 || count < 0) return sql_call_fail(c, "start must be at least 1 and the number not negative");
	int64_t have = l.list->n;
	int64_t left = start > have ? 0 : have - start + 1;
	struct sql_list *part = SL_ARENA_NEW(c->arena, struct sql_list);
	part->n = (uint32_t)(count < left ? count : left);
	part->at = part->n ? l.list->at + (start - 1) : l.list->at;
	*out = (struct sql_value){.kind = SQL_LIST, .list = part};
	return SL_OK;
}

static int fn_first(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	if (a[0].list->n == 0) return sql_call_fail(c, "the array is empty");
	*out = a[0].list->at[0];
	return SL_OK;
}
static int fn_last(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	if (a[0].list->n == 0) return sql_call_fail(c, "the array is empty");
	*out = a[0].list->at[a[0].list->n - 1];
	return SL_OK;
}

static int fn_contains(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	*out = sql_bool(sql_same_in(c->vm, &a[0], &a[1]));
	return SL_OK;
}

static const struct sql_fn table[] = {
    {.name = "nth",
     .args = "il",
     .call = fn_nth,
     .usage = "nth(n, array)",
     .doc = "Its n-th element.",
     .errors = "when there is none; array[n] gives null instead",
     .example = "nth(2, ['a', 'b'])",
     .gives = "\"b\""},
    {.name = "length",
     .args = "l",
     .call = fn_length,
     .usage = "length(array)",
     .doc = "How many elements it has.",
     .example = "length([1, 2])",
     .gives = "2"},
    {.name = "sublist",
     .args = "ia?a",
     .call = fn_sublist,
     .usage = "sublist([start,] n, array)",
     .doc = "At most n elements, from the first or from start on.",
     .errors = "when start is below 1 or n below 0",
     .example = "sublist(2, 2, [1, 2, 3, 4])",
     .gives = "[2,3]"},
    {.name = "first",
     .args = "l",
     .call = fn_first,
     .usage = "first(array)",
     .doc = "Its first element.",
     .errors = "when it is empty",
     .example = "first([1, 2])",
     .gives = "1"},
    {.name = "last",
     .args = "l",
     .call = fn_last,
     .usage = "last(array)",
     .doc = "Its last element.",
     .errors = "when it is empty",
     .example = "last([1, 2])",
     .gives = "2"},
    {.name = "contains",
     .args = "al",
     .call = fn_contains,
     .usage = "contains(value, array)",
     .doc = "Is exactly this value in the array? 1 is not 1.0 there.",
     .example = "contains(2, [1, 2])",
     .gives = "true"},
};
const struct sql_fn_family sql_fn_array = {"Arrays", table, SL_ARRAY_LEN(table), SQL_STANDARD};
