/* fn_check.c: what kind of value is it, and what to take when there is none. */
#include "sql_vm.h"

/* By how it is written, where it came as text: an integer of any length is one. */
static bool is_integer(const struct sql_value *v) {
	if (v->kind != SQL_NUMBER_TEXT) return v->kind == SQL_INT;
	struct sl_slice s = sql_value_text(v);
	return slice_find_byte(s, '.') < 0 && slice_find_byte(s, 'e') < 0 && slice_find_byte(s, 'E') < 0;
}

#define CHECK(name, test)                                                                                              \
	static int fn_##name(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {       \
		(void)c, (void)n;                                                                                      \
		*out = sql_bool(test);                                                                                 \
		return SL_OK;                                                                                          \
	}
CHECK(is_null, a->kind == SQL_NULL)
CHECK(is_not_null, a->kind != SQL_NULL)
CHECK(is_null_var, a->kind == SQL_NULL || a->kind == SQL_JSON_NULL)
CHECK(is_not_null_var, a->kind != SQL_NULL && a->kind != SQL_JSON_NULL)
CHECK(is_str, sql_is_text(a))
CHECK(is_bool, a->kind == SQL_BOOL)
CHECK(is_int, is_integer(a))
CHECK(is_float, sql_is_number(a) && !is_integer(a))
CHECK(is_num, sql_is_number(a))
CHECK(is_map, sql_is_map(a))
CHECK(is_array, sql_is_list(a))
#undef CHECK

static int fn_is_empty(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sql_value v = *a;
	if (sql_is_text(a)) {
		struct sl_slice s = slice_trim(sql_value_text(a));
		bool object = s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
		*out = sql_bool(a->n == 0 || (object && slice_trim(slice_sub(s, 1, s.n - 2)).n == 0));
		return SL_OK;
	}
	if (!sql_is_list(a) && !sql_is_map(a))
		return sql_call_fail(c, "takes text, an array or an object, got %s", sql_kind_name(a->kind));
	int r = sql_unfold(c->vm, &v);
	*out = sql_bool(v.kind == SQL_LIST ? v.list->n == 0 : v.kind == SQL_MAP && v.map->n == 0);
	return r;
}

static bool wanted(const struct sql_value *v, bool not_empty) {
	return v->kind != SQL_NULL && !(not_empty && sql_is_text(v) && v->n == 0);
}

static int first_of(struct sql_call *c, const struct sql_value *a, uint32_t n, bool not_empty, struct sql_value *out) {
	struct sql_value l = a[0];
	if (n == 1 && !sql_is_list(&l)) return sql_call_fail(c, "one argument alone must be an array");
	int r = n == 1 ? sql_unfold(c->vm, &l) : SL_OK;
	if (n == 1) {
		a = l.list->at;
		n = l.list->n;
	}
	*out = sql_null();
	for (uint32_t i = 0; r == SL_OK && i < n && out->kind == SQL_NULL; i++)
		if (wanted(&a[i], not_empty)) *out = a[i];
	return r;
}
static int fn_coalesce(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return first_of(c, a, n, false, out);
}
static int fn_coalesce_ne(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return first_of(c, a, n, true, out);
}

#define ROW(n, d, e, g)                                                                                                \
	{ .name = #n, .args = "a", .call = fn_##n, .usage = #n "(value)", .doc = d, .example = e, .gives = g }
static const struct sql_fn table[] = {
    ROW(is_null, "Is it absent? JSON null is a value: see is_null_var().", "is_null(null)", "true"),
    ROW(is_not_null, "Is it there?", "is_not_null('')", "true"),
    ROW(is_null_var, "Is it absent, or JSON null?", "is_null_var(json_decode('null'))", "true"),
    ROW(is_not_null_var, "Is it there, and not JSON null?", "is_not_null_var(0)", "true"),
    ROW(is_str, "Is it text?", "is_str('a')", "true"),
    ROW(is_bool, "Is it true or false?", "is_bool(1)", "false"),
    ROW(is_int, "Is it an integer? 1.0 is none.", "is_int(1.0)", "false"),
    ROW(is_float, "Is it a number with a fraction or an exponent?", "is_float(1.0)", "true"),
    ROW(is_num, "Is it a number?", "is_num('1')", "false"),
    ROW(is_map, "Is it an object?", "is_map(map_new())", "true"),
    ROW(is_array, "Is it an array?", "is_array([])", "true"),
    {.name = "is_empty",
     .args = "a",
     .call = fn_is_empty,
     .usage = "is_empty(value)",
     .doc = "Is it text, an array or an object without anything in it?",
     .errors = "for numbers, booleans and nulls",
     .example = "is_empty('{}')",
     .gives = "true"},
    {.name = "coalesce",
     .args = "a?a*",
     .call = fn_coalesce,
     .usage = "coalesce(a, b, ...) or coalesce(array)",
     .doc = "The first that is not absent; later ones are then not evaluated.",
     .errors = "when one argument alone is no array",
     .example = "coalesce(null, 1)",
     .gives = "1"},
    {.name = "coalesce_ne",
     .args = "a?a*",
     .call = fn_coalesce_ne,
     .usage = "coalesce_ne(a, b, ...) or coalesce_ne(array)",
     .doc = "The first that is neither absent nor empty text.",
     .errors = "when one argument alone is no array",
     .example = "coalesce_ne('', 'd')",
     .gives = "\"d\""},
    /* A form of the language: compiled to a jump, so it has no implementation here. */
    {.name = "try",
     .args = "aa",
     .usage = "try(expression, fallback)",
     .doc = "The expression, or the fallback when evaluating it fails.",
     .errors = "when the fallback fails, too",
     .example = "try(int('x'), -1)",
     .gives = "-1"},
};
const struct sql_fn_family sql_fn_check = {"Kinds and absence", table, SL_ARRAY_LEN(table), SQL_STANDARD};
