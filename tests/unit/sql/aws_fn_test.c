/* aws_fn_test.c: operators, conversions and functions of the aws dialect on values, without the SQL around them. Arguments
 * are written as a JSON array; the string "<U>" in it stands for Undefined, and so does the result U. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "aws_fn.h"
#include "mem.h"

static struct sql_vm *fresh_vm(void) {
	struct sql_vm *vm = sql_vm_new();
	vm->budget = SQL_BUDGET;
	return vm;
}

static uint32_t arguments(struct sql_vm *vm, const char *json, struct sql_value *out, uint32_t most) {
	struct sql_value list;
	assert_int_equal(sql_from_json(vm, slice_from_str(json), &list), SL_OK);
	assert_int_equal(sql_unfold(vm, &list), SL_OK);
	assert_true(list.list->n <= most);
	for (uint32_t i = 0; i < list.list->n; i++) {
		out[i] = list.list->at[i];
		if (out[i].kind == SQL_STRING && slice_equal_str(sql_value_text(&out[i]), "<U>")) out[i] = sql_null();
	}
	return list.list->n;
}

static const char *shown(struct sql_vm *vm, const struct sql_value *v) {
	struct sl_buf b = SL_BUF_INIT;
	if (v->kind == SQL_NULL) return "U";
	sql_value_json(v, &b);
	const char *text = sl_arena_strdup(&vm->arena, sl_buf_slice(&b));
	sl_buf_fini(&b);
	return text;
}

static void assert_shown(struct sql_vm *vm, const char *what, const char *json, const struct sql_value *v,
			 const char *want) {
	const char *got = shown(vm, v);
	if (strcmp(got, want) != 0) fail_msg("%s %s gave %s, not %s", what, json, got, want);
}

/* name(arguments) gives `want`, JSON or U. */
static void gives(const char *name, const char *json, const char *want) {
	struct sql_vm *vm = fresh_vm();
	struct sql_value a[16], out = sql_bool(true);
	uint32_t n = arguments(vm, json, a, 16);
	struct sql_site site = {.fn = sql_fn_find(SQL_AWS, slice_from_str(name))};
	if (!site.fn) fail_msg("there is no function %s", name);
	assert_int_equal(sql_fn_call(vm, &site, a, n, &out), SL_OK);
	assert_shown(vm, name, json, &out, want);
	sql_vm_free(vm);
}

static void operation(enum sql_binary op, bool int_division, const char *json, const char *want) {
	struct sql_vm *vm = fresh_vm();
	struct sql_value a[2], out;
	assert_int_equal(arguments(vm, json, a, 2), 2);
	if (op < SQL_B_EQ)
		assert_int_equal(aws_arithmetic(vm, op, int_division, &a[0], &a[1], &out), SL_OK);
	else
		out = aws_compare(vm, op, &a[0], &a[1]);
	assert_shown(vm, "operator", json, &out, want);
	sql_vm_free(vm);
}
static void op(enum sql_binary o, const char *json, const char *want) { operation(o, true, json, want); }

static void cast(const char *json, const char *type, const char *want) {
	struct sql_vm *vm = fresh_vm();
	struct sql_value a[1], out;
	enum aws_type t;
	assert_int_equal(arguments(vm, json, a, 1), 1);
	assert_true(aws_type_from_name(slice_from_str(type), &t));
	assert_int_equal(aws_cast(vm, a, t, &out), SL_OK);
	assert_shown(vm, type, json, &out, want);
	sql_vm_free(vm);
}

/* ---- operators ---- */

static void test_arithmetic__is_decimal(void **state) {
	(void)state;
	op(SQL_B_ADD, "[0.1, 0.2]", "0.3");
	op(SQL_B_ADD, "[2.5, 2.5]", "5");
	op(SQL_B_SUB, "[9007199254740993, 1]", "9007199254740992");
	op(SQL_B_ADD, "[9223372036854775807, 1]", "9223372036854775808");
	op(SQL_B_SUB, "[9223372036854775808, 1]", "9223372036854775807");
	op(SQL_B_MUL, "[-9223372036854775808, -1]", "9223372036854775808");
	op(SQL_B_DIV, "[-9223372036854775808, -1]", "9223372036854775808");
	op(SQL_B_ADD, "[123456789012345678901234567890, 1]", "123456789012345678901234567891");
	op(SQL_B_MUL, "[1.1, 1.1]", "1.21");
	op(SQL_B_MUL, "[1E900, 1E900]", "U");
	op(SQL_B_MUL, "[1E-900, 1E-900]", "0");
	op(SQL_B_ADD, "[1E99999, 1]", "U");
	op(SQL_B_DIV, "[1.5, 0]", "U");
	op(SQL_B_ADD, "[1E500, -1E500]", "0");
	op(SQL_B_MOD, "[8.5, 3]", "2.5");
	op(SQL_B_MOD, "[-7, 3]", "-1");
	op(SQL_B_MOD, "[7, -1]", "0");
	op(SQL_B_MOD, "[7, 0]", "U");
}

static void test_division__of_ints_is_cut_or_not(void **state) {
	(void)state;
	op(SQL_B_DIV, "[7, 2]", "3");
	op(SQL_B_DIV, "[-7, 2]", "-3");
	op(SQL_B_DIV, "[7.0, 2]", "3"); /* a whole Decimal is an Int */
	op(SQL_B_DIV, "[\"7\", 2]", "3");
	op(SQL_B_DIV, "[7.5, 2]", "3.75");
	op(SQL_B_DIV, "[7, 1E3]", "0");
	op(SQL_B_DIV, "[10000000000000000000000000000000, 3]", "3333333333333333333333333333333");
	operation(SQL_B_DIV, false, "[7, 2]", "3.5");
	operation(SQL_B_DIV, false, "[8, 2]", "4");
	operation(SQL_B_DIV, false, "[1, 3]", "0.3333333333333333333333333333333333");
	op(SQL_B_DIV, "[7, 0]", "U");
}

static void test_plus__joins_text(void **state) {
	(void)state;
	op(SQL_B_ADD, "[\"a\", 7]", "\"a7\"");
	op(SQL_B_ADD, "[\"1\", 2]", "\"12\"");
	op(SQL_B_ADD, "[2.50, \"a\"]", "\"2.5a\"");
	op(SQL_B_ADD, "[\"a\", true]", "\"atrue\"");
	op(SQL_B_ADD, "[\"a\", [1, 2.0, \"x\"]]", "\"a[1,2.0,\\\"x\\\"]\"");
	op(SQL_B_ADD, "[{\"k\": 1}, \"a\"]", "\"{\\\"k\\\":1}a\"");
	op(SQL_B_ADD, "[\"a\", null]", "U");
	op(SQL_B_ADD, "[\"a\", \"<U>\"]", "U");
	op(SQL_B_ADD, "[1, true]", "U");
	op(SQL_B_ADD, "[1, null]", "U");
	op(SQL_B_ADD, "[[1], [2]]", "U");
	op(SQL_B_SUB, "[\"9\", \"4\"]", "5");
	op(SQL_B_SUB, "[\"x\", 4]", "U");
}

static void test_comparison__order(void **state) {
	(void)state;
	op(SQL_B_GT, "[\"10\", \"9\"]", "true");
	op(SQL_B_GT, "[\"abd\", \"abc\"]", "U");
	op(SQL_B_LT, "[0.3, 0.30000000000000004]", "true");
	op(SQL_B_LE, "[9007199254740992, 9007199254740993]", "true");
	op(SQL_B_GE, "[9007199254740992, 9007199254740993]", "false");
	op(SQL_B_LT, "[true, 2]", "U");
	op(SQL_B_LT, "[null, 2]", "U");
	op(SQL_B_LT, "[1, \"<U>\"]", "U");
	op(SQL_B_GT, "[\".5\", 0]", "U");
	op(SQL_B_GT, "[\"+5\", 0]", "U");
	op(SQL_B_GT, "[\" 5\", 0]", "U");
	op(SQL_B_GT, "[\"5.\", 0]", "U");
	op(SQL_B_GT, "[\"1E+3\", 0]", "U");
	op(SQL_B_GT, "[\"1e3\", 999]", "true");
}

static void test_equality__by_type_and_value(void **state) {
	(void)state;
	op(SQL_B_EQ, "[1, 1.0]", "true");
	op(SQL_B_EQ, "[\"3\", 3]", "false");
	op(SQL_B_NE, "[\"3\", 3]", "true");
	op(SQL_B_EQ, "[\"3\", \"3.0\"]", "false");
	op(SQL_B_EQ, "[null, null]", "true");
	op(SQL_B_NE, "[null, null]", "false");
	op(SQL_B_NE, "[5, null]", "true");
	op(SQL_B_EQ, "[\"<U>\", \"<U>\"]", "U");
	op(SQL_B_NE, "[\"<U>\", null]", "U");
	op(SQL_B_EQ, "[[1, 2.0], [1.0, 2]]", "true");
	op(SQL_B_EQ, "[[1, 2], [2, 1]]", "false");
	op(SQL_B_EQ, "[{\"a\": 1, \"b\": [2]}, {\"b\": [2], \"a\": 1}]", "true");
	op(SQL_B_EQ, "[{\"a\": 1}, {\"a\": \"1\"}]", "false");
	op(SQL_B_EQ, "[{\"a\": null}, {\"b\": null}]", "false");
	op(SQL_B_EQ, "[true, 1]", "false");
	op(SQL_B_EQ, "[123456789012345678901234567890, 123456789012345678901234567890.0]", "true");
}

static void test_in__compares_as_equality(void **state) {
	(void)state;
	static const struct {
		const char *json, *want;
	} cases[] = {
	    {"[2, [1, 2.0]]", "true"},     {"[\"2\", [1, 2]]", "false"}, {"[[1], [[1], 2]]", "true"},
	    {"[null, [1, null]]", "true"}, {"[\"<U>\", [1]]", "U"},      {"[1, \"1\"]", "U"},
	    {"[1, {\"a\": 1}]", "U"},      {"[1, []]", "false"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sql_vm *vm = fresh_vm();
		struct sql_value a[2], out;
		arguments(vm, cases[i].json, a, 2);
		out = aws_in(vm, &a[0], &a[1]);
		assert_shown(vm, "IN", cases[i].json, &out, cases[i].want);
		sql_vm_free(vm);
	}
}

/* ---- conversions ---- */

static void test_cast__table(void **state) {
	(void)state;
	static const struct {
		const char *json, *text, *integer, *decimal, *boolean;
	} rows[] = {
	    {"[5]", "\"5\"", "5", "5", "true"},
	    {"[0]", "\"0\"", "0", "0", "false"},
	    {"[-3.99]", "\"-3.99\"", "-4", "-3.99", "true"},
	    {"[10.0]", "\"10\"", "10", "10", "true"},
	    {"[0.00]", "\"0\"", "0", "0", "false"},
	    {"[true]", "\"true\"", "1", "1", "true"},
	    {"[false]", "\"false\"", "0", "0", "false"},
	    {"[\"7.9\"]", "\"7.9\"", "7", "7.9", "U"},
	    {"[\"-7.1\"]", "\"-7.1\"", "-8", "-7.1", "U"},
	    {"[\"5E-2\"]", "\"5E-2\"", "0", "0.05", "U"},
	    {"[\"007\"]", "\"007\"", "7", "7", "U"},
	    {"[\"TRUE\"]", "\"TRUE\"", "U", "U", "true"},
	    {"[\"abc\"]", "\"abc\"", "U", "U", "U"},
	    {"[[1, true]]", "\"[1,true]\"", "U", "U", "U"},
	    {"[{\"k\": 1.5}]", "\"{\\\"k\\\":1.5}\"", "U", "U", "U"},
	    {"[null]", "U", "U", "U", "U"},
	    {"[\"<U>\"]", "U", "U", "U", "U"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++) {
		cast(rows[i].json, "nVarchar", rows[i].text);
		cast(rows[i].json, "Integer", rows[i].integer);
		cast(rows[i].json, "decimal", rows[i].decimal);
		cast(rows[i].json, "Double", rows[i].decimal);
		cast(rows[i].json, "BOOL", rows[i].boolean);
	}
	enum aws_type t;
	assert_false(aws_type_from_name(SL_SLICE_LIT("blob"), &t));
}

/* ---- functions ---- */

static void test_fn__numbers(void **state) {
	(void)state;
	gives("Ceil", "[1.2]", "2");
	gives("ceil", "[-1.2]", "-1");
	gives("floor", "[\"-5.5\"]", "-6");
	gives("round", "[0.5]", "1");
	gives("round", "[-2.5]", "-3");
	gives("round", "[2.4999999999999999999]", "2");
	gives("trunc", "[2.999, 1.9]", "2.9");
	gives("trunc", "[-2.75, 1]", "-2.7");
	gives("trunc", "[2.00, 5]", "2");
	gives("trunc", "[2.3, -1]", "2");
	gives("trunc", "[2.3, \"1\"]", "U");
	gives("abs", "[\"-5.123\"]", "5.123");
	gives("abs", "[-9223372036854775808]", "9223372036854775808");
	gives("sign", "[\"-0.1\"]", "-1");
	gives("mod", "[\"17\", 5]", "2");
	gives("bitand", "[13.9, \"5\"]", "5");
	gives("bitxor", "[1e30, 1]", "U");
	gives("bitnot", "[0]", "-1");
	gives("sqrt", "[-1]", "U");
	gives("ln", "[0]", "U");
	gives("log", "[\"1000\"]", "3");
	gives("power", "[2, -1]", "0.5");
	gives("power", "[10, 400]", "U");
	gives("acos", "[2]", "U");
	gives("exp", "[1]", "2.718281828459045");
	for (const char *const *name = (const char *const[]){"abs", "ceil", "floor", "round", "sign", "bitnot", "sqrt",
							     "exp", "ln", "log", "sin", "tanh", NULL};
	     *name; name++) {
		static const char *const bad[] = {"[]",        "[1, 2]", "[true]", "[null]",
						  "[\"<U>\"]", "[[1]]",  "[{}]",   "[\"x\"]"};
		for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) gives(*name, bad[i], "U");
	}
}

static void test_fn__numbers_that_do_not_change_survive(void **state) {
	(void)state;
	static const char *const numbers[] = {"9223372036854775807", "-9223372036854775808", "9007199254740993",
					      "1234567890123456789012345678901234",
					      "12345678901234567890123456789012345678901234567890"};
	static const char *const fractions[] = {"0.30000000000000004",
						"1.7976931348623157e308",
						"5e-324",
						"0.1234567890123456789012345678901234",
						"2.50",
						"1E2"};
	char json[256], text[128];
	for (size_t i = 0; i < SL_ARRAY_LEN(numbers); i++) {
		snprintf(json, sizeof json, "[%s]", numbers[i]);
		gives("floor", json, numbers[i]);
		gives("ceil", json, numbers[i]);
		gives("round", json, numbers[i]);
		cast(json, "Decimal", numbers[i]);
		cast(json, "Int", numbers[i]);
		snprintf(text, sizeof text, "\"%s\"", numbers[i]);
		cast(json, "String", text);
		gives("concat", json, numbers[i]);
		snprintf(json, sizeof json, "[%s, 3]", numbers[i]);
		gives("trunc", json, numbers[i]);
		gives("nanvl", json, numbers[i]);
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(fractions); i++) {
		snprintf(json, sizeof json, "[%s]", fractions[i]);
		gives("get_or_default", json, fractions[i]);
		gives("concat", json, fractions[i]);
		snprintf(json, sizeof json, "[[%s, 1], 0]", fractions[i]);
		gives("get", json, fractions[i]);
		snprintf(json, sizeof json, "[[%s], [1]]", fractions[i]);
		snprintf(text, sizeof text, "[%s,1]", fractions[i]);
		gives("concat", json, text);
		snprintf(json, sizeof json, "[\"enrichArray\", {\"b\": %s}, [{\"a\": %s}]]", fractions[i],
			 fractions[i]);
		snprintf(text, sizeof text, "[{\"a\":%s,\"b\":%s}]", fractions[i], fractions[i]);
		gives("transform", json, text);
	}
}

static void test_fn__text(void **state) {
	(void)state;
	gives("concat", "[]", "U");
	gives("concat", "[1]", "1");
	gives("concat", "[1, 2]", "U");
	gives("concat", "[\"a\", 1, true]", "\"a1true\"");
	gives("concat", "[\"a\", null]", "U");
	gives("concat", "[[1], \"x\", [2, [3]], {\"a\": 1}, null, \"<U>\"]", "[1,\"x\",2,[3],{\"a\":1},null]");
	gives("substring", "[\"012345\", -50, 50]", "\"012345\"");
	gives("substring", "[false, -2.411E247]", "\"false\"");
	gives("substring", "[\"012345\", 10]", "\"\"");
	gives("substring", "[\"012345\", 3, 1]", "\"\"");
	gives("substring", "[\"\\u00e9\\u20ac\\ud83d\\ude00z\", 1, 3.9]", "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
	gives("substring", "[\"a\", \"x\"]", "U");
	gives("substring", "[\"a\", true]", "U");
	gives("substring", "[\"a\"]", "U");
	gives("length", "[\"\\u20ac\\ud83d\\ude00\"]", "2");
	gives("length", "[[1, {\"a\": 2}]]", "11");
	gives("numbytes", "[\"\\u20ac\"]", "3");
	gives("lpad", "[\"a\", 2.9]", "\"  a\"");
	gives("rpad", "[\"a\", -4]", "\"a\"");
	gives("lpad", "[\"a\", true]", "U");
	gives("trim", "[\" \\t a\\n \"]", "\"a\\n\"");
	gives("indexof", "[\"\\u20acab\", \"b\"]", "2");
	gives("indexof", "[\"abc\", \"\"]", "0");
	gives("endswith", "[\"abc\", \"bc\"]", "true");
	gives("startswith", "[[1], \"[\"]", "true");
	gives("replace", "[\"a.b.c\", \".\", \"-\"]", "\"a-b-c\"");
	gives("replace", "[\"ab\", \"\", \"-\"]", "\"-a-b-\"");
	gives("replace", "[\"\", \"\", \"-\"]", "\"-\"");
	gives("replace", "[\"aaa\", \"aa\", \"b\"]", "\"ba\"");
	gives("upper", "[\"\\u00e4\\u00df\"]", "\"\xc3\x84SS\"");
	gives("chr", "[127.9]", "\"\x7f\"");
	gives("chr", "[128]", "U");
	gives("chr", "[\"-0.5\"]", "U");
	for (const char *const *name = (const char *const[]){"lower", "upper", "trim", "ltrim", "rtrim", "length",
							     "numbytes", "md2", "sha256", NULL};
	     *name; name++) {
		gives(*name, "[null]", "U");
		gives(*name, "[\"<U>\"]", "U");
		gives(*name, "[]", "U");
		gives(*name, "[\"a\", \"b\"]", "U");
	}
}

static void test_fn__regular_expressions(void **state) {
	(void)state;
	gives("regexp_matches", "[\"aaaa\", \"a{2,}\"]", "true");
	gives("regexp_matches", "[12345, 34]", "true");
	gives("regexp_matches", "[\"a\", \"(\"]", "U");
	gives("regexp_matches", "[null, \"a\"]", "U");
	gives("regexp_substr", "[\"abc\", \"[0-9]\"]", "U");
	gives("regexp_substr", "[\"hihihello\", \"(hi)*\"]", "\"hihi\"");
	gives("regexp_replace", "[\"a1b22\", \"[0-9]+\", \"#\"]", "\"a#b#\"");
	gives("regexp_replace", "[\"a\", \"a\", \"$5\"]", "U");
	gives("regexp_replace", "[\"a\", \"a\"]", "U");
}

static void test_fn__digests_and_codecs(void **state) {
	(void)state;
	gives("md2", "[\"\"]", "\"8350e5a3e24c153df2275c9f80692773\"");
	gives("md2", "[\"a\"]", "\"32ec01ec4a6dac72c0ab96fb34c0b5d1\"");
	gives("md2", "[\"abcdefghijklmnopqrstuvwxyz\"]", "\"4e8ddff3650292ab5a4108c3aa47940b\"");
	gives("md2", "[\"12345678901234567890123456789012345678901234567890123456789012345678901234567890\"]",
	      "\"d5976f79d83d3a0dc9806c3c66f3efd8\"");
	gives("sha1", "[5]", "\"ac3478d69a3c81fa62e60f5c3696165a4e5e6ac4\"");
	gives("encode", "[\"red\", \"base64\"]", "\"cmVk\"");
	gives("encode", "[null, \"base64\"]", "U");
	gives("encode", "[\"red\", \"hex\"]", "U");
	gives("decode", "[\"eyJhIjpbMV19\", \"base64\"]", "{\"a\":[1]}");
	gives("decode", "[\"cmVk\", \"base64\"]", "\"red\"");
	gives("decode", "[\"cmVkLg\", \"base64\"]", "\"red.\"");
	gives("decode", "[\"%%\", \"base64\"]", "null");
	gives("decode", "[null, \"base64\"]", "U");
	gives("length", "[\"<U>\"]", "U");
}

static void test_fn__collections(void **state) {
	(void)state;
	gives("get", "[[\"a\", \"b\"], \"1\"]", "\"b\"");
	gives("get", "[[\"a\", \"b\"], 2]", "U");
	gives("get", "[[\"a\", \"b\"], -1]", "U");
	gives("get", "[[\"a\", \"b\"], 1e300]", "U");
	gives("get", "[[\"a\"], true]", "U");
	gives("get", "[\"a\\u20acc\", 1]", "\"\xe2\x82\xac\"");
	gives("get", "[\"a\\u20acc\", 3]", "U");
	gives("get", "[\"abc\", 1e300]", "U");
	gives("get", "[{\"a\": 1, \"0\": 2}, \"0\"]", "2");
	gives("get", "[{\"0\": 2}, 0]", "U");
	gives("get", "[null, 0]", "U");
	gives("isNull", "[null]", "true");
	gives("isNull", "[\"<U>\"]", "false");
	gives("isundefined", "[\"<U>\"]", "true");
	gives("isundefined", "[null]", "false");
	gives("nanvl", "[null, 3]", "3");
	gives("nanvl", "[\"<U>\", null]", "null");
	gives("nanvl", "[\"x\", 3]", "\"x\"");
	gives("get_or_default", "[\"<U>\"]", "U");
	gives("get_or_default", "[null, 1]", "1");
	gives("transform", "[\"enrichArray\", {\"a\": 9, \"k\": 1}, [{\"a\": 3}, 5]]", "[{\"a\":9,\"k\":1},5]");
	gives("transform", "[\"enrichArray\", [{\"k\": 1}], [[{\"a\": 3}]]]", "[{\"a\":3,\"k\":1}]");
	gives("transform", "[\"enrichArray\", {\"k\": 1}, {\"a\": 3}]", "U");
	gives("transform", "[\"other\", {\"k\": 1}, []]", "U");
}

static void test_fn__times_are_written(void **state) {
	(void)state;
	gives("parse_time", "[\"yyyy.MM.dd G 'at' HH:mm:ss z\", 100000000, \"America/Belize\"]",
	      "\"1970.01.01 AD at 21:46:40 CST\"");
	gives("parse_time", "[\"yyyy-MM-dd'T'HH:mm:ssZZ\", 1700000000123, \"America/New_York\"]",
	      "\"2023-11-14T17:13:20-05:00\"");
	gives("parse_time", "[\"EEEE EEE, d MMM MMMM yy h a K k D S SSSSS\", \"1700000000123\"]",
	      "\"Tuesday Tue, 14 Nov November 23 10 PM 10 22 318 1 12300\"");
	gives("parse_time", "[\"xxxx-'W'ww-e C Y\", 1609459200000]", "\"2020-W53-5 20 2021\"");
	gives("parse_time", "[\"z Z ZZ ZZZ\", 1719835200000, \"Europe/Berlin\"]",
	      "\"CEST +0200 +02:00 Europe/Berlin\"");
	gives("parse_time", "[\"z ZZZ\", 0]", "\"UTC UTC\"");
	gives("parse_time", "[\"HH:mm z\", 0, \"+05:30\"]", "\"05:30 +05:30\"");
	gives("parse_time", "[\"z\", 0, \"America/Sao_Paulo\"]", "\"-03:00\"");
	gives("parse_time", "[\"''yyyy'' 'o''clock'\", 0]", "\"'1970' o'clock\"");
	gives("parse_time", "[\"yyyy G\", -99999999999999]", "\"-1199 BC\"");
	gives("parse_time", "[\"HH\", 4102444800000, \"Europe/Paris\"]",
	      "\"01\""); /* 2100: by the rule behind the table */
	gives("parse_time", "[\"HH\", 4118083200000, \"Europe/Paris\"]", "\"02\"");
	gives("parse_time", "[\"HH\", 4102444800000, \"Australia/Sydney\"]", "\"11\"");
	gives("parse_time", "[\"yyyy\", 9223372036854775807]", "\"292278994\"");
	gives("parse_time", "[\"yyyy S\", -9223372036854775808]", "\"-292275055 1\"");
	gives("parse_time", "[\"yyyy\", 0, \"No/Where\"]", "U");
	gives("parse_time", "[\"yyyy\", 0, \"../../../etc/passwd\"]", "U");
	gives("parse_time", "[\"yyyy\", 0, \"/etc/localtime\"]", "U");
	gives("parse_time", "[\"yyyy\", 0, \"Europe\"]", "U");
	gives("parse_time", "[\"jjjj\", 0]", "U");
	gives("parse_time", "[\"yyyy'\", 0]", "U");
	gives("parse_time", "[\"yyyy\", null]", "U");
	gives("parse_time", "[\"yyyy\"]", "U");
}

static void test_fn__times_are_read(void **state) {
	(void)state;
	static const struct {
		const char *text, *pattern, *want;
	} cases[] = {
	    {"2020-04-03 09:45:00 UTC+01:00", "yyyy-MM-dd HH:mm:ss VV", "1585903500000"},
	    {"18 December 2015", "dd MMMM yyyy", "1450396800000"},
	    {"2007-12-03 10:15:30.592 America/Los_Angeles", "yyyy-MM-dd HH:mm:ss.SSS z", "1196705730592"},
	    {"2007-12-03 10:15:30.592 PST", "yyyy-MM-dd HH:mm:ss.SSS z", "1196705730592"},
	    {"2023-11-14T22:13:20Z", "yyyy-MM-dd'T'HH:mm:ssX", "1700000000000"},
	    {"2023-11-15T07:13:20+09", "yyyy-MM-dd'T'HH:mm:ssX", "1700000000000"},
	    {"2023-11-15T07:13:20+09:00", "yyyy-MM-dd'T'HH:mm:ssXXX", "1700000000000"},
	    {"2023-11-15T07:13:20+0900", "yyyy-MM-dd'T'HH:mm:ssXXX", "U"},
	    {"2023-11-15T07:13:20+0900", "yyyy-MM-dd'T'HH:mm:ssZ", "1700000000000"},
	    {"2023-11-15T07:13:20GMT+9", "yyyy-MM-dd'T'HH:mm:ssO", "1700000000000"},
	    {"20231114221320123", "yyyyMMddHHmmssSSS", "1700000000123"},
	    {"Tue, 14 Nov 2023 10:13 PM", "EEE, d MMM yyyy h:mm a", "1699999980000"},
	    {"Wed, 14 Nov 2023", "EEE, d MMM yyyy", "U"},
	    {"23/1/9", "yy/M/d", "1673222400000"},
	    {"2023-318", "yyyy-DDD", "1699920000000"},
	    {"2023-02-31", "yyyy-MM-dd", "1677542400000"},
	    {"2023-13-01", "yyyy-MM-dd", "U"},
	    {"2023-01-01 24:00", "yyyy-MM-dd HH:mm", "1672617600000"},
	    {"2023-01-01 24:01", "yyyy-MM-dd HH:mm", "U"},
	    {"2023-01-01", "yyyy-MM-dd[ HH:mm]", "1672531200000"},
	    {"2023-01-01 01:00", "yyyy-MM-dd[ HH:mm]", "1672534800000"},
	    {"2023-03-26 02:30 Europe/Paris", "yyyy-MM-dd HH:mm VV", "1679794200000"}, /* in the gap */
	    {"2023-10-29 02:30 Europe/Paris", "yyyy-MM-dd HH:mm VV", "1698539400000"}, /* twice: the first */
	    {"12023-01-01", "yyyy-MM-dd", "U"},
	    {"0001 BC 01 01", "yyyy G MM dd", "-62167219200000"},
	    {"2023-01", "yyyy-MM", "U"},
	    {"10:15", "HH:mm", "U"},
	    {"2023-01-01 10:15", "yyyy-MM-dd hh:mm", "U"},
	    {"2023-01-01x", "yyyy-MM-dd", "U"},
	    {"nope", "yyyy-MM-dd", "U"},
	    {"2023", "{yyyy}", "U"},
	    {"2023-W01", "YYYY-'W'ww", "U"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		char json[256];
		snprintf(json, sizeof json, "[\"%s\", \"%s\"]", cases[i].text, cases[i].pattern);
		gives("time_to_epoch", json, cases[i].want);
	}
	gives("time_to_epoch", "[null, \"yyyy\"]", "U");
}

/* Megabytes of digits are not reckoned with, so that an operator takes the same time on every payload. */
static void test_arithmetic__has_no_giants(void **state) {
	(void)state;
	enum { DIGITS = 100000 };
	char *json = sl_alloc(DIGITS + 8);
	memset(json, '7', DIGITS + 8);
	json[0] = '[';
	memcpy(json + DIGITS, ", 1]", 5);
	op(SQL_B_ADD, json, "U");
	op(SQL_B_GT, json, "U");
	op(SQL_B_EQ, json, "false");
	gives("mod", json, "U");
	sl_free(json);
}

/* No function fails, whatever it is given and however much of it. */
static void test_fn__take_anything(void **state) {
	(void)state;
	static const char *const values[] = {"1",    "-2.5",      "1E400",     "\"x\"",   "\"12\"", "true",
					     "null", "[1,\"a\"]", "{\"k\":1}", "\"<U>\"", "\"\""};
	size_t n;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; f[i]->dialect == SQL_AWS && j < f[i]->n; j++)
			for (size_t k = 0; k < 4 * SL_ARRAY_LEN(values); k++) {
				struct sql_vm *vm = fresh_vm();
				struct sl_buf json = SL_BUF_INIT;
				struct sql_value a[4], out = sql_null();
				sl_buf_put(&json, '[');
				for (size_t m = 0; m < k / SL_ARRAY_LEN(values); m++)
					sl_buf_printf(&json, "%s%s", m ? "," : "",
						      values[(k * (m + 1) + m) % SL_ARRAY_LEN(values)]);
				sl_buf_put(&json, ']');
				uint32_t count = arguments(vm, sl_buf_cstr(&json), a, 4);
				struct sql_site site = {.fn = &f[i]->fns[j]};
				if (site.fn->call && !site.fn->varies && strcmp(f[i]->name, "Message") != 0)
					assert_int_equal(sql_fn_call(vm, &site, a, count, &out), SL_OK);
				sl_buf_fini(&json);
				sql_vm_free(vm);
			}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arithmetic__is_decimal),
	    cmocka_unit_test(test_arithmetic__has_no_giants),
	    cmocka_unit_test(test_division__of_ints_is_cut_or_not),
	    cmocka_unit_test(test_plus__joins_text),
	    cmocka_unit_test(test_comparison__order),
	    cmocka_unit_test(test_equality__by_type_and_value),
	    cmocka_unit_test(test_in__compares_as_equality),
	    cmocka_unit_test(test_cast__table),
	    cmocka_unit_test(test_fn__numbers),
	    cmocka_unit_test(test_fn__numbers_that_do_not_change_survive),
	    cmocka_unit_test(test_fn__text),
	    cmocka_unit_test(test_fn__regular_expressions),
	    cmocka_unit_test(test_fn__digests_and_codecs),
	    cmocka_unit_test(test_fn__collections),
	    cmocka_unit_test(test_fn__times_are_written),
	    cmocka_unit_test(test_fn__times_are_read),
	    cmocka_unit_test(test_fn__take_anything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
