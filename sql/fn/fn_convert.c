/* fn_convert.c: from one kind of value to another. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "sql_vm.h"
#include "utf8.h"

static int fn_str(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = a[0]; /* 't' made it text, or left it NULL */
	return SL_OK;
}

static int fn_str_utf16_le(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sl_slice s = sql_value_text(a);
	if (a->kind == SQL_NULL || !utf8_valid(s)) return sql_call_fail(c, "takes UTF-8 text");
	uint8_t *p = sl_arena_alloc(c->arena, s.n * 2 + 2);
	size_t k = 0;
	while (s.n) {
		size_t len;
		uint32_t cp = utf8_decode(s, &len);
		s = slice_from(s, len);
		uint32_t units[2] = {cp, 0};
		if (cp >= 0x10000) {
			units[0] = 0xd800 + ((cp - 0x10000) >> 10);
			units[1] = 0xdc00 + ((cp - 0x10000) & 0x3ff);
		}
		for (int i = 0; i < (cp >= 0x10000 ? 2 : 1); i++) {
			p[k++] = (uint8_t)units[i];
			p[k++] = (uint8_t)(units[i] >> 8);
		}
	}
	*out = sql_call_bytes(slice_make(p, k));
	return SL_OK;
}

static int cannot(struct sql_call *c, const struct sql_value *v) {
	if (sql_is_text(v) && v->n <= 40)
		return sql_call_fail(c, "'%.*s' is no such value", SL_SLICE_ARG(sql_value_text(v)));
	return sql_call_fail(c, "cannot be made from %s", sql_is_text(v) ? "this text" : sql_kind_name(v->kind));
}

static int fn_int(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sql_value v = sql_number(*a);
	if (v.kind == SQL_BOOL) v = sql_int(v.b);
	if (sql_is_text(&v) && !sql_number_from_text(sql_value_text(&v), &v)) return cannot(c, a);
	if (v.kind == SQL_DOUBLE) {
		double d = floor(v.d);
		if (!(d >= -0x1p63 && d < 0x1p63)) return sql_call_fail(c, "the number does not fit 64 bits");
		v = sql_int((int64_t)d);
	}
	*out = v;
	return v.kind == SQL_INT ? SL_OK : cannot(c, a);
}

/* Rounded to `places` decimals, as printing would. */
static double rounded(double d, int places) {
	char text[512];
	int len = snprintf(text, sizeof text, "%.*f", places, d);
	double r;
	return len > 0 && slice_to_double(slice_make(text, (size_t)len), &r) == SL_OK ? r : d;
}

static int fn_float(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value v = sql_number(a[0]);
	if (sql_is_text(&v) && !sql_number_from_text(sql_value_text(&v), &v)) return cannot(c, a);
	if (!sql_is_number(&v)) return cannot(c, a);
	double d = sql_to_double(&v);
	if (!isfinite(d)) return sql_call_fail(c, "the number is out of range");
	if (n == 2 && (a[1].i < 1 || a[1].i > 60)) return sql_call_fail(c, "decimals must be 1 to 60");
	*out = sql_double(n == 2 ? rounded(d, (int)a[1].i) : d);
	return SL_OK;
}

static int fn_float2str(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	char text[512];
	if (a[0].kind != SQL_DOUBLE) return sql_call_fail(c, "takes a float, got %s", sql_kind_name(a[0].kind));
	if (a[1].i < 0 || a[1].i > 60) return sql_call_fail(c, "decimals must be 0 to 60");
	if (!__builtin_isfinite(a[0].d)) return sql_call_fail(c, "the number is out of range");
	int len = snprintf(text, sizeof text, "%.*f", (int)a[1].i, a[0].d);
	if (len <= 0 || (size_t)len >= sizeof text) return sql_call_fail(c, "the number is too long");
	if (a[1].i > 0)
		while (text[len - 1] == '0' && text[len - 2] != '.') len--;
	*out = sql_string(sl_arena_dup(c->arena, slice_make(text, (size_t)len)));
	return SL_OK;
}

static int fn_bool(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sql_value one = sql_int(1), zero = sql_int(0);
	bool text = sql_is_text(a);
	bool yes = text ? slice_equal_str(sql_value_text(a), "true") : false;
	bool no = text ? slice_equal_str(sql_value_text(a), "false") : false;
	if (sql_is_number(a)) {
		yes = sql_compare(c->vm, a, &one) == SQL_EQUAL;
		no = sql_compare(c->vm, a, &zero) == SQL_EQUAL;
	}
	if (a->kind == SQL_BOOL) yes = a->b, no = !a->b;
	*out = sql_bool(yes);
	return yes || no ? SL_OK : cannot(c, a);
}

static int fn_map(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	*out = a[0];
	if (!sql_is_list(out)) return sql_call_object(c, out, 0);
	int r = sql_unfold(c->vm, out);
	if (r != SL_OK || out->list->n)
		return r != SL_OK ? r : sql_call_fail(c, "the array is not empty, so it is no object");
	*out = (struct sql_value){.kind = SQL_MAP, .map = SL_ARENA_NEW(c->arena, struct sql_map)};
	return SL_OK;
}

static const struct sql_fn table[] = {
    {.name = "str",
     .args = "t",
     .call = fn_str,
     .usage = "str(value)",
     .doc = "Its text; arrays and objects as JSON, absent stays absent.",
     .example = "str(1.50)",
     .gives = "\"1.5\""},
    {.name = "str_utf8",
     .args = "t",
     .call = fn_str,
     .usage = "str_utf8(value)",
     .doc = "The same as str().",
     .example = "str_utf8(true)",
     .gives = "\"true\""},
    {.name = "str_utf16_le",
     .args = "t",
     .call = fn_str_utf16_le,
     .usage = "str_utf16_le(value)",
     .doc = "Its text as UTF-16 bytes, little-endian.",
     .errors = "when it is absent or not UTF-8",
     .example = "bin2hexstr(str_utf16_le('A'))",
     .gives = "\"4100\""},
    {.name = "int",
     .args = "a",
     .call = fn_int,
     .usage = "int(value)",
     .doc = "An integer: of a float the next lower one, of text the number it spells, of a boolean 1 or 0.",
     .errors = "for everything else, and for what does not fit 64 bits",
     .example = "int('1.9')",
     .gives = "1"},
    {.name = "float",
     .args = "a?i",
     .call = fn_float,
     .usage = "float(value [, decimals])",
     .doc = "A float, rounded to so many decimals.",
     .errors = "for text that spells no number, for numbers out of range, and unless there are 1 to 60 decimals",
     .example = "float('3.14159', 2)",
     .gives = "3.14"},
    {.name = "float2str",
     .args = "ni",
     .call = fn_float2str,
     .usage = "float2str(float, decimals)",
     .doc = "Text with at most so many decimals, final zeros dropped.",
     .errors = "for integers, and unless there are 0 to 60 decimals",
     .example = "float2str(20.25, 1)",
     .gives = "\"20.2\""},
    {.name = "bool",
     .args = "a",
     .call = fn_bool,
     .usage = "bool(value)",
     .doc = "true or false, of these words and of 1 and 0.",
     .errors = "for everything else",
     .example = "bool('true')",
     .gives = "true"},
    {.name = "map",
     .args = "a",
     .call = fn_map,
     .usage = "map(value)",
     .doc = "The object that a text spells in JSON; an empty one for an empty array.",
     .errors = "for anything but an object",
     .example = "map('{\"a\":1}')",
     .gives = "{\"a\":1}"},
};
const struct sql_fn_family sql_fn_convert = {"Conversion", table, SL_ARRAY_LEN(table), SQL_STANDARD};
