#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "jscan.h"

/* Documents stand in blocks of their exact size, so that ASan sees a byte read too far. */
static bool valid_bytes(const char *doc, size_t n) {
	char *copy = malloc(n ? n : 1);
	memcpy(copy, doc, n);
	bool r = jscan_valid(slice_make(copy, n));
	free(copy);
	return r;
}
static bool valid(const char *doc) { return valid_bytes(doc, strlen(doc)); }

static struct jpath_hit hit_of(const char *doc) {
	struct jpath_hit hit;
	assert_int_equal(jscan_value(slice_from_str(doc), &hit), SL_OK);
	return hit;
}

static void test_jscan__valid_accepts_json(void **state) {
	(void)state;
	assert_true(valid("{}"));
	assert_true(valid(" [ ] "));
	assert_true(valid("null"));
	assert_true(valid("-0.5e+10"));
	assert_true(valid("\"\""));
	assert_true(valid("{\"a\":[1,{\"b\":\"\\u00e4\\n\"},null],\"c\":true}"));
	assert_true(valid("\t\r\n {\"a\" : 1 , \"b\" : [ ] } \n"));
	assert_true(valid("\"\xc3\xa4\""));
}

static void test_jscan__valid_refuses_wrong_structure(void **state) {
	(void)state;
	assert_false(valid(""));
	assert_false(valid("  "));
	assert_false(valid("{"));
	assert_false(valid("{]"));
	assert_false(valid("[}"));
	assert_false(valid("[1,]"));
	assert_false(valid("[,1]"));
	assert_false(valid("[1 2]"));
	assert_false(valid("{,}"));
	assert_false(valid("{\"a\":1,}"));
	assert_false(valid("{\"a\"}"));
	assert_false(valid("{\"a\":}"));
	assert_false(valid("{\"a\" 1}"));
	assert_false(valid("{a:1}"));
	assert_false(valid("{1:1}"));
	assert_false(valid("[1]]"));
	assert_false(valid("1 2"));
	assert_false(valid("{\"a\":1}x"));
}

static void test_jscan__valid_refuses_wrong_tokens(void **state) {
	(void)state;
	assert_false(valid("tru"));
	assert_false(valid("truex"));
	assert_false(valid("nul"));
	assert_false(valid("NaN"));
	assert_false(valid("+1"));
	assert_false(valid("01"));
	assert_false(valid("-"));
	assert_false(valid("1."));
	assert_false(valid(".5"));
	assert_false(valid("1e"));
	assert_false(valid("1e+"));
	assert_false(valid("0x10"));
	assert_false(valid("1-2"));
	assert_false(valid("'a'"));
	assert_false(valid("\xef\xbb\xbf{}"));
}

static void test_jscan__valid_refuses_wrong_strings(void **state) {
	(void)state;
	assert_false(valid("\"a"));
	assert_false(valid("\"a\\"));
	assert_false(valid("\"a\\\""));
	assert_false(valid("\"\\x\""));
	assert_false(valid("\"\\u12\""));
	assert_false(valid("\"\\u12g4\""));
	assert_false(valid("\"a\nb\""));
	assert_false(valid_bytes("\"a\0b\"", 5));
	assert_false(valid_bytes("\"\\\0\"", 4));
	assert_false(valid("\"\xc3\""));
	assert_false(valid("{\"\xff\":1}"));
}

static void nested(char *out, size_t levels) {
	memset(out, '[', levels);
	memset(out + levels, ']', levels);
}

static void test_jscan__depth_is_bounded(void **state) {
	(void)state;
	char doc[2 * (JSCAN_DEPTH_MAX + 1)];
	struct jpath_hit hit;
	nested(doc, JSCAN_DEPTH_MAX);
	assert_true(valid_bytes(doc, 2 * JSCAN_DEPTH_MAX));
	assert_int_equal(jscan_value(slice_make(doc, 2 * JSCAN_DEPTH_MAX), &hit), SL_OK);
	nested(doc, JSCAN_DEPTH_MAX + 1);
	assert_false(valid_bytes(doc, sizeof doc));
	assert_int_equal(jscan_value(slice_make(doc, sizeof doc), &hit), SL_EMALFORMED);
}

static void test_jscan__value_tells_the_kind(void **state) {
	(void)state;
	assert_int_equal(hit_of(" null ").kind, JKIND_NULL);
	assert_int_equal(hit_of("true").kind, JKIND_TRUE);
	assert_int_equal(hit_of("false").kind, JKIND_FALSE);
	assert_int_equal(hit_of("12").kind, JKIND_INT);
	assert_int_equal(hit_of("12.0").kind, JKIND_DOUBLE);
	assert_int_equal(hit_of("1e2").kind, JKIND_DOUBLE);
	assert_int_equal(hit_of("{}").kind, JKIND_OBJECT);
	assert_int_equal(hit_of("[]").kind, JKIND_ARRAY);
	struct jpath_hit hit = hit_of(" \"a\\tb\" ");
	assert_int_equal(hit.kind, JKIND_STRING);
	assert_int_equal(hit.flags, JSCAN_ESCAPED);
	assert_true(slice_equal_str(hit.raw, "a\\tb"));
}

static void test_jscan__value_finds_nothing_in_other_text(void **state) {
	(void)state;
	struct jpath_hit hit;
	assert_int_equal(jscan_value(slice_from_str("hello"), &hit), SL_EMALFORMED);
	assert_int_equal(hit.kind, JKIND_ABSENT);
	assert_int_equal(jscan_value(SL_SLICE_EMPTY, &hit), SL_EMALFORMED);
	assert_int_equal(jscan_value(slice_from_str("1 x"), &hit), SL_EMALFORMED);
}

static void test_jscan__integers_are_exact_and_then_doubles(void **state) {
	(void)state;
	int64_t i = 0;
	double d = 0;
	struct jpath_hit hit = hit_of("9223372036854775807");
	assert_int_equal(jscan_i64(&hit, &i), SL_OK);
	assert_true(i == INT64_MAX);
	hit = hit_of("-9223372036854775808");
	assert_int_equal(jscan_i64(&hit, &i), SL_OK);
	assert_true(i == INT64_MIN);
	hit = hit_of("9223372036854775808");
	assert_int_equal(hit.kind, JKIND_DOUBLE);
	assert_int_equal(jscan_i64(&hit, &i), SL_ETYPE);
	assert_int_equal(jscan_double(&hit, &d), SL_OK);
	assert_true(d == 9223372036854775808.0);
	hit = hit_of("1e999");
	assert_int_equal(jscan_double(&hit, &d), SL_ELIMIT);
	hit = hit_of("\"1\"");
	assert_int_equal(jscan_double(&hit, &d), SL_ETYPE);
}

static struct sl_arena arena;

static const char *decoded(const char *doc) {
	struct jpath_hit hit = hit_of(doc);
	struct sl_slice text;
	return jscan_string(&hit, &arena, &text) == SL_OK ? sl_arena_strdup(&arena, text) : "(wrong)";
}

static void test_jscan__strings_are_decoded(void **state) {
	(void)state;
	sl_arena_init(&arena, 256);
	assert_string_equal(decoded("\"plain\""), "plain");
	assert_string_equal(decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t");
	assert_string_equal(decoded("\"\\u0041\\u00e4\\u20AC\""), "A\xc3\xa4\xe2\x82\xac");
	assert_string_equal(decoded("\"\\ud83d\\ude00!\""), "\xf0\x9f\x98\x80!");
	assert_string_equal(decoded("\"\\x\""), "(wrong)");
	assert_string_equal(decoded("\"\\u12\""), "(wrong)");
	assert_string_equal(decoded("\"\\u+123\""), "(wrong)");
	sl_arena_fini(&arena);
}

/* So that no two payloads become the same text. */
static void test_jscan__half_a_surrogate_pair_is_text_that_is_not_utf8(void **state) {
	(void)state;
	sl_arena_init(&arena, 256);
	assert_string_equal(decoded("\"\\ud83d\""), "\xed\xa0\xbd");
	assert_string_equal(decoded("\"\\ud83dx\""), "\xed\xa0\xbdx");
	assert_string_equal(decoded("\"\\ude00\\ud83d\""), "\xed\xb8\x80\xed\xa0\xbd");
	assert_string_equal(decoded("\"\\ud83d\\u0041\""), "\xed\xa0\xbd"
							   "A");
	assert_string_equal(decoded("\"\\ud83d\\n\""), "\xed\xa0\xbd\n");
	assert_string_equal(decoded("\"\\ud800\\udfff\""), "\xf0\x90\x8f\xbf");
	assert_string_equal(decoded("\"\\udfff\\udbff\""), "\xed\xbf\xbf\xed\xaf\xbf");
	assert_string_equal(decoded("\"\\ufffd\""), "\xef\xbf\xbd");
	sl_arena_fini(&arena);
}

static void test_jscan__any_text_passes_all_but_utf8(void **state) {
	(void)state;
	static const char *const sound[] = {"\"\xff\"", "[\"a\xc3\"]", "{\"k\xfe\":{\"\xed\xa0\x80\":\"\xc0\x80\"}}",
					    "1", "\"a\""};
	static const char *const broken[] = {"\xff",         "\"\xff",        "[\"\\\xff\"]", "[\"\\u12\xff\"]",
					     "{\"a\":\xff}", "[1\xff]",       "\"\xff\n\"",   "{\xff\"a\":1}",
					     "[\"\xff\"]x",  "[\"\xff\",1e]", "tru\xff",      ""};
	for (size_t i = 0; i < SL_ARRAY_LEN(sound); i++) {
		struct jpath_hit hit;
		assert_int_equal(jscan_value_any_text(slice_from_str(sound[i]), &hit), SL_OK);
		assert_int_not_equal(hit.kind, JKIND_ABSENT);
		assert_int_equal(jscan_valid(slice_from_str(sound[i])), i > 2);
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(broken); i++) {
		struct jpath_hit hit;
		assert_int_equal(jscan_value_any_text(slice_from_str(broken[i]), &hit), SL_EMALFORMED);
		assert_int_equal(hit.kind, JKIND_ABSENT);
	}
}

static void test_jscan__any_text_is_walked_where_it_is_marked(void **state) {
	(void)state;
	struct jpath_hit hit, key, value;
	struct jscan_iter it;
	struct sl_slice doc = SL_SLICE_LIT("{\"k\xfe\":{\"a\":\"\xff\"},\"b\":2}");
	assert_int_equal(jscan_value_any_text(doc, &hit), SL_OK);
	assert_int_equal(hit.flags, JSCAN_ANY_TEXT);
	assert_int_equal(jscan_begin(&it, &hit), SL_OK);
	assert_int_equal(jscan_next(&it, &key, &value), 1);
	assert_true(slice_equal_str(key.raw, "k\xfe"));
	assert_int_equal(value.flags, JSCAN_ANY_TEXT); /* what stands inside is walked in the same way */
	struct jpath_hit inner = value;
	assert_int_equal(jscan_next(&it, &key, &value), 1);
	assert_int_equal(value.kind, JKIND_INT);
	assert_int_equal(jscan_next(&it, &key, &value), 0);
	assert_int_equal(jscan_begin(&it, &inner), SL_OK);
	assert_int_equal(jscan_next(&it, &key, &value), 1);
	assert_true(slice_equal_str(value.raw, "\xff"));
	inner.flags = 0;
	assert_int_equal(jscan_begin(&it, &inner), SL_OK);
	assert_int_equal(jscan_next(&it, &key, &value), SL_EMALFORMED);
	assert_int_equal(jscan_value_any_text(SL_SLICE_LIT("{\"a\":1}"), &hit), SL_OK);
	assert_int_equal(hit.flags, 0);
}

static void test_jscan__a_string_without_escapes_is_not_copied(void **state) {
	(void)state;
	static const char doc[] = "\"plain\"";
	struct jpath_hit hit = hit_of(doc);
	struct sl_slice text;
	assert_int_equal(jscan_string(&hit, NULL, &text), SL_OK);
	assert_ptr_equal(text.p, doc + 1);
}

static void test_jscan__walks_an_object(void **state) {
	(void)state;
	struct jpath_hit hit = hit_of("{ \"a\" : 1 , \"b\\n\":[2]}"), key, value;
	struct jscan_iter it;
	assert_int_equal(jscan_begin(&it, &hit), SL_OK);
	assert_int_equal(jscan_next(&it, &key, &value), 1);
	assert_true(slice_equal_str(key.raw, "a"));
	assert_true(slice_equal_str(value.raw, "1"));
	assert_int_equal(jscan_next(&it, &key, &value), 1);
	assert_int_equal(key.flags, JSCAN_ESCAPED);
	assert_true(slice_equal_str(value.raw, "[2]"));
	assert_int_equal(jscan_next(&it, &key, &value), 0);
	assert_int_equal(jscan_next(&it, &key, &value), 0);
}

static void test_jscan__walks_an_array(void **state) {
	(void)state;
	struct jpath_hit hit = hit_of("[\"x\", {} ]"), value;
	struct jscan_iter it;
	assert_int_equal(jscan_begin(&it, &hit), SL_OK);
	assert_int_equal(jscan_next(&it, NULL, &value), 1);
	assert_int_equal(value.kind, JKIND_STRING);
	assert_int_equal(jscan_next(&it, NULL, &value), 1);
	assert_int_equal(value.kind, JKIND_OBJECT);
	assert_int_equal(jscan_next(&it, NULL, &value), 0);
}

static void test_jscan__only_containers_are_walked(void **state) {
	(void)state;
	struct jpath_hit hit = hit_of("1");
	struct jscan_iter it;
	assert_int_equal(jscan_begin(&it, &hit), SL_ETYPE);
}

static void test_jscan__kinds_have_names(void **state) {
	(void)state;
	assert_string_equal(json_kind_name(JKIND_DOUBLE), "number");
	assert_string_equal(json_kind_name(JKIND_ABSENT), "nothing");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jscan__valid_accepts_json),
	    cmocka_unit_test(test_jscan__valid_refuses_wrong_structure),
	    cmocka_unit_test(test_jscan__valid_refuses_wrong_tokens),
	    cmocka_unit_test(test_jscan__valid_refuses_wrong_strings),
	    cmocka_unit_test(test_jscan__depth_is_bounded),
	    cmocka_unit_test(test_jscan__value_tells_the_kind),
	    cmocka_unit_test(test_jscan__value_finds_nothing_in_other_text),
	    cmocka_unit_test(test_jscan__integers_are_exact_and_then_doubles),
	    cmocka_unit_test(test_jscan__strings_are_decoded),
	    cmocka_unit_test(test_jscan__half_a_surrogate_pair_is_text_that_is_not_utf8),
	    cmocka_unit_test(test_jscan__any_text_passes_all_but_utf8),
	    cmocka_unit_test(test_jscan__any_text_is_walked_where_it_is_marked),
	    cmocka_unit_test(test_jscan__a_string_without_escapes_is_not_copied),
	    cmocka_unit_test(test_jscan__walks_an_object),
	    cmocka_unit_test(test_jscan__walks_an_array),
	    cmocka_unit_test(test_jscan__only_containers_are_walked),
	    cmocka_unit_test(test_jscan__kinds_have_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
