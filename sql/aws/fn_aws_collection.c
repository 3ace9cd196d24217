/* fn_aws_collection.c: arrays, objects and absence in the aws dialect. */
#include "aws_fn.h"

static bool is_absent(const struct sql_value *v) { return v->kind == SQL_NULL || v->kind == SQL_JSON_NULL; }

/* ---- get ---- */

/* An element of an array that is still text is found on the way, without taking the array apart. */
static int element(struct sql_call *c, const struct sql_value *v, int64_t at, struct sql_value *out) {
	*out = sql_null();
	if (at < 0) return SL_OK;
	if (v->kind == SQL_LIST) {
		if (at < v->list->n) *out = v->list->at[at];
		return SL_OK;
	}
	struct jpath_hit array = {.raw = sql_value_text(v), .kind = JKIND_ARRAY}, value;
	struct jscan_iter it;
	if (jscan_begin(&it, &array) != SL_OK) return SL_OK;
	sql_vm_charge(c->vm, v->n / 16);
	while (jscan_next(&it, NULL, &value) == 1)
		if (at-- == 0) return sql_from_hit(c->vm, &value, out);
	return SL_OK;
}

static int character(struct sql_call *c, const struct sql_value *v, int64_t at, struct sql_value *out) {
	static const struct sl_slice substring = {"substring", sizeof "substring" - 1};
	if (at < 0 || at >= v->n) return aws_undefined(out);
	struct sql_value from_to[3] = {*v, sql_int(at), sql_int(at + 1)};
	int r = sql_fn_find(SQL_AWS, substring)->call(c, from_to, 3, out);
	if (r == SL_OK && out->n == 0) *out = sql_null(); /* behind the end */
	return r;
}

static int fn_get(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value at = sql_null();
	if (n != 2) return aws_undefined(out);
	if (sql_is_map(&a[0])) {
		if (a[1].kind != SQL_STRING) return aws_undefined(out);
		sql_vm_charge(c->vm, a[0].kind == SQL_JSON ? a[0].n / 16 : a[0].map->n);
		return sql_member(c->vm, &a[0], sql_value_text(&a[1]), out);
	}
	int r = aws_to_int(c->vm, &a[1], &at);
	if (r != SL_OK || at.kind != SQL_INT) {
		*out = sql_null();
		return r;
	}
	if (sql_is_list(&a[0])) return element(c, &a[0], at.i, out);
	return sql_is_text(&a[0]) ? character(c, &a[0], at.i, out) : aws_undefined(out);
}

/* ---- absence ---- */

static int fn_isnull(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	if (n != 1) return aws_undefined(out);
	*out = sql_bool(a->kind == SQL_JSON_NULL);
	return SL_OK;
}
static int fn_isundefined(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	if (n != 1) return aws_undefined(out);
	*out = sql_bool(a->kind == SQL_NULL);
	return SL_OK;
}
static int fn_nanvl(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	if (n != 2) return aws_undefined(out);
	*out = is_absent(&a[0]) ? a[1] : a[0]; /* no value of ours is NaN: what would be is Undefined already */
	return SL_OK;
}
static int fn_get_or_default(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	if (n < 1 || n > 2) return aws_undefined(out);
	*out = !is_absent(&a[0]) ? a[0] : n == 2 ? a[1] : sql_null();
	return SL_OK;
}

/* ---- transform ---- */

/* The result of a nested query is an array of rows: one row stands for itself. */
static int only_row(struct sql_call *c, struct sql_value *v, bool want_list) {
	int r = sql_unfold(c->vm, v);
	if (r != SL_OK || v->kind != SQL_LIST || v->list->n != 1) return r;
	struct sql_value row = v->list->at[0];
	if (want_list ? sql_is_list(&row) : sql_is_map(&row)) *v = row;
	return sql_unfold(c->vm, v);
}

static int enrich(struct sql_call *c, const struct sql_value *element, const struct sql_map *with,
		  struct sql_value *out) {
	struct sql_value v = *element;
	*out = v;
	if (!sql_is_map(&v)) return SL_OK; /* nothing to add to */
	int r = sql_unfold(c->vm, &v);
	if (r != SL_OK) return r;
	uint32_t room = v.map->n + with->n;
	sql_vm_charge(c->vm, (uint64_t)v.map->n * (with->n / 8 + 1));
	if (c->vm->budget == 0) return sql_vm_exhausted(c->vm);
	if ((r = sql_vm_made(c->vm, room * sizeof(struct sql_map_member))) != SL_OK) return r;
	struct sql_map *m = SL_ARENA_NEW(c->arena, struct sql_map);
	m->at = SL_ARENA_ARRAY(c->arena, struct sql_map_member, room ? room : 1);
	for (uint32_t i = 0; i < v.map->n; i++) /* a member of that name gives way */
		if (!sql_map_find(with, v.map->at[i].key, 0)) m->at[m->n++] = v.map->at[i];
	for (uint32_t i = 0; i < with->n; i++) m->at[m->n++] = with->at[i];
	*out = (struct sql_value){.kind = SQL_MAP, .map = m};
	return SL_OK;
}

static int fn_transform(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	if (n != 3 || a[0].kind != SQL_STRING || !slice_equal_str(sql_value_text(&a[0]), "enrichArray"))
		return aws_undefined(out);
	struct sql_value with = a[1], list = a[2];
	int r = only_row(c, &with, false);
	if (r == SL_OK) r = only_row(c, &list, true);
	if (r != SL_OK) return r;
	if (with.kind != SQL_MAP || list.kind != SQL_LIST) return aws_undefined(out);
	if ((r = sql_vm_made(c->vm, list.list->n * sizeof list)) != SL_OK) return r;
	struct sql_list *l = sql_call_list(c, list.list->n);
	for (uint32_t i = 0; i < l->n; i++)
		if ((r = enrich(c, &list.list->at[i], with.map, &l->at[i])) != SL_OK) return r;
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return sql_check_size(c->vm, out);
}

static const struct sql_fn table[] = {
    AWS_ROW("get", "aa", fn_get, "get(value, key)",
	    "The element of an array or the character of a text at a place counted from 0, or the member of an object.",
	    "when there is none, and when the key of an object is not text", "get(['a', 'b', 'c'], 1)", "\"b\""),
    AWS_ROW("isNull", "a", fn_isnull, "isNull(value)", "Is it Null? Undefined is not.", NULL, "isNull(NULL)", "true"),
    AWS_ROW("isUndefined", "a", fn_isundefined, "isUndefined(value)", "Is it Undefined? Null is not.", NULL,
	    "isUndefined(floor([1, 2, 3]))", "true"),
    AWS_ROW("nanvl", "aa", fn_nanvl, "nanvl(value, default)", "The value, or the default when it is Undefined or Null.",
	    "when that is the default, and Undefined", "nanvl(floor('x'), -1)", "-1"),
    AWS_ROW("get_or_default", "a?a", fn_get_or_default, "get_or_default(value [, default])",
	    "The value, or the default when it is Undefined or Null or could not be had.", "without a default, then",
	    "get_or_default(floor('x'), 'none')", "\"none\""),
    AWS_ROW("transform", "aaa", fn_transform, "transform('enrichArray', object, array)",
	    "Each object of the array with the members of the object, which come last and win. The result of a nested "
	    "query of one row counts as that row.",
	    "for another mode, or when these are no object and no array",
	    "transform('enrichArray', {'k': 1}, [{'a': 3}, {'a': 4}])", "[{\"a\":3,\"k\":1},{\"a\":4,\"k\":1}]"),
};
const struct sql_fn_family aws_fn_collection = {"Arrays, objects, absence", table, SL_ARRAY_LEN(table), SQL_AWS};
