/* hocon_test.c: what EMQX's configuration files may say, and what is refused with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hocon.h"
#include "mem.h"

static void expect(const char *text, const char *json) {
	struct sl_err err = SL_ERR_INIT;
	json_t *tree, *want = json_loads(json, JSON_DECODE_ANY, NULL);
	assert_non_null(want);
	int rc = hocon_read(slice_from_str(text), "t.conf", &tree, NULL, &err);
	if (rc != SL_OK) fail_msg("%s", sl_err_text(&err));
	char *got = json_dumps(tree, JSON_COMPACT);
	if (!json_equal(tree, want)) fail_msg("expected %s, got %s", json, got);
	free(got);
	json_decref(tree);
	json_decref(want);
	sl_err_fini(&err);
}

static void refuse(const char *text, const char *message) {
	struct sl_err err = SL_ERR_INIT;
	json_t *tree;
	assert_int_not_equal(hocon_read(slice_from_str(text), "t.conf", &tree, NULL, &err), SL_OK);
	assert_null(tree);
	char *got = sl_err_format(&err);
	if (!strstr(got, message)) fail_msg("expected '%s' in: %s", message, got);
	sl_free(got);
	sl_err_fini(&err);
}

static void test_hocon__members_and_separators(void **state) {
	(void)state;
	expect("a = 1\nb : x, c { d = true }\n", "{\"a\":1,\"b\":\"x\",\"c\":{\"d\":true}}");
	expect("{\"a\": [1, 2,\n3\n4], b = [],}", "{\"a\":[1,2,3,4],\"b\":[]}");
	expect("", "{}");
	expect("\xef\xbb\xbf # nothing\n", "{}");
	expect("[{a = 1}, {a = 2}]", "[{\"a\":1},{\"a\":2}]");
}

static void test_hocon__comments(void **state) {
	(void)state;
	expect("# one\n// two\na = 1 # three\nb = x // four\r\nc = http://h:1/p\n",
	       "{\"a\":1,\"b\":\"x\",\"c\":\"http://h:1/p\"}");
	expect("a = [1 # x\n, 2 // y\n]", "{\"a\":[1,2]}");
}

static void test_hocon__dotted_keys_merge(void **state) {
	(void)state;
	expect("a.b.c = 1\na { b.d = 2 }\na.\"x.y\" = 3", "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"x.y\":3}}");
	expect("a = 1\na = 2\na.b = 3", "{\"a\":{\"b\":3}}");
	expect("a = {x = 1}\na = [1]", "{\"a\":[1]}");
	expect("l += 1\nl += 2", "{\"l\":[1,2]}");
}

static void test_hocon__words_and_numbers(void **state) {
	(void)state;
	expect("a = 5s, b = 10MB, c = -1.5e3, d = 007x, e = true, f = trueish, g = null",
	       "{\"a\":\"5s\",\"b\":\"10MB\",\"c\":-1500.0,\"d\":\"007x\",\"e\":true,\"f\":\"trueish\",\"g\":null}");
	expect("a = one  two , b = 0.0.0.0:1883, c = 99999999999999999999",
	       "{\"a\":\"one  two\",\"b\":\"0.0.0.0:1883\",\"c\":\"99999999999999999999\"}");
}

static void test_hocon__texts(void **state) {
	(void)state;
	expect("a = \"x\\n\\\"\\\\\\u00e9\\ud83d\\ude00/\\/\"", "{\"a\":\"x\\n\\\"\\\\é😀//\"}");
	expect("a = \"SELECT\n  *\n\"", "{\"a\":\"SELECT\\n  *\\n\"}");
	expect("a = \"\"\"raw \\n \"x\" \"\"\"\"", "{\"a\":\"raw \\\\n \\\"x\\\" \\\"\"}");
	expect("a = \"x\" \"y\"z", "{\"a\":\"x yz\"}");
	expect("a = \"${b}\"", "{\"a\":\"${b}\"}");
}

static void test_hocon__indented_texts(void **state) {
	(void)state;
	expect("a = \"\"\"~\n    one\n      two\n\n    three~\"\"\"", "{\"a\":\"one\\n  two\\n\\nthree\"}");
	expect("a = \"\"\"~\n  one\n  ~\"\"\"", "{\"a\":\"one\\n\"}");
	expect("a = \"\"\"~x~\"\"\"", "{\"a\":\"~x~\"}");
}

static void test_hocon__references(void **state) {
	(void)state;
	expect("a = ${b.c}\nb { c = [1, {d = 2}] }", "{\"a\":[1,{\"d\":2}],\"b\":{\"c\":[1,{\"d\":2}]}}");
	expect("a = ${b}/x\nb = 5\nc = ${a}${a}", "{\"a\":\"5/x\",\"b\":5,\"c\":\"5/x5/x\"}");
	expect("a = ${b} {y = 2}\nb = {x = 1, y = 1}", "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":1,\"y\":1}}");
	expect("a = ${b}\na.y = 2\nb = {x = 1}", "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":1}}");
	expect("a = [1] ${b}\nb = [2]", "{\"a\":[1,2],\"b\":[2]}");
	expect("a = 1\na = ${?NO}\nb = 2\nb = ${c}\nc = 3", "{\"a\":null,\"b\":3,\"c\":3}");
	expect("a = ${b.c.d}\nb = ${e}\ne.c = {d = 7}", "{\"a\":7,\"b\":{\"c\":{\"d\":7}},\"e\":{\"c\":{\"d\":7}}}");
}

static void test_hocon__references_to_nothing_are_told(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf notes = SL_BUF_INIT;
	json_t *tree;
	struct sl_slice text = SL_SLICE_LIT("a = 1\nb = ${EMQX.dir}\nc = ${?other}");
	assert_int_equal(hocon_read(text, "t.conf", &tree, &notes, &err), SL_OK);
	assert_string_equal(sl_buf_cstr(&notes), "2:5: ${EMQX.dir} is not said in this file; it counts as null\n");
	assert_true(json_is_null(json_object_get(tree, "b")));
	json_decref(tree);
	sl_buf_fini(&notes);
	sl_err_fini(&err);
}

static void test_hocon__mistakes_have_a_place(void **state) {
	(void)state;
	refuse("a = 1\nb\n", "t.conf:2:2: a key wants =");
	refuse("a = \"x\nb = 2", "t.conf:1:5: this quote is never closed");
	refuse("a = \"\"\"x\n", "t.conf:1:5: this \"\"\"");
	refuse("a {\n b = 1\n", "t.conf:1:3: this { has no closing }");
	refuse("a = [1", "t.conf:1:5: this [ has no closing ]");
	refuse("a = \"\\x\"", "t.conf:1:6: there is no escape \\x");
	refuse("a = \"\\ud800\"", "\\u wants");
	refuse("a = \"\\u0000\"", "NUL");
	refuse("a = ${b", "t.conf:1:5: this ${ has no closing }");
	refuse("a = x = y", "t.conf:1:7: a value is expected here");
	refuse("\"a\\u0001\" = 1", "control characters");
	refuse("{a = 1} b", "behind the end");
	refuse("a = [1 2 {x = 1}\n", "t.conf:1:5: this [ has no closing ]");
	refuse("a {b = 1} c = 2", "t.conf:1:13: a value is expected here");
	refuse("\n include \"x.conf\"\n", "t.conf:2:2: include is not followed");
	refuse("include required(file(\"x\"))", "include is not followed");
	refuse("l = 1\nl += 2", "adds to a list");
	refuse("a = \xff", "not UTF-8");
}

static void test_hocon__references_in_a_circle(void **state) {
	(void)state;
	refuse("a = ${b}\nb = ${a}", "leads back to itself");
	refuse("a = ${a}/x", "t.conf:1:5: this reference leads back");
	refuse("a = {b = ${a}}", "leads back to itself");
	refuse("a = ${b} [1]\nb = {}", "t.conf:1:5: objects, lists and texts stand side by side");
	refuse("a {} b {}", "t.conf:1:3: objects");
}

static void test_hocon__what_grows_is_bounded(void **state) {
	(void)state;
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_append_str(&text, "a0 = \"0123456789\"\n");
	for (int i = 1; i < 60; i++) sl_buf_printf(&text, "a%d = ${a%d}${a%d}\n", i, i - 1, i - 1);
	refuse(sl_buf_cstr(&text), "references make more than");
	sl_buf_clear(&text);
	for (int i = 0; i < 100; i++) sl_buf_append_str(&text, "a{");
	refuse(sl_buf_cstr(&text), "more than 64 deep");
	sl_buf_clear(&text);
	for (int i = 0; i < 100; i++) sl_buf_append_str(&text, i ? ".a" : "a");
	refuse(sl_buf_cstr(&text), "more than 64 deep");
	sl_buf_clear(&text);
	for (int i = 0; i < 100000; i++) sl_buf_append_str(&text, "a = ${b}\n");
	sl_buf_append_str(&text, "b = 1\n");
	expect(sl_buf_cstr(&text), "{\"a\":1,\"b\":1}");
	sl_buf_clear(&text);
	sl_buf_append_str(&text, "a = [");
	for (int i = 0; i < HOCON_NODES_MAX; i++) sl_buf_append_str(&text, "1,");
	refuse(sl_buf_cstr(&text), "more than 1000000 values");
	sl_buf_fini(&text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hocon__members_and_separators),
	    cmocka_unit_test(test_hocon__comments),
	    cmocka_unit_test(test_hocon__dotted_keys_merge),
	    cmocka_unit_test(test_hocon__words_and_numbers),
	    cmocka_unit_test(test_hocon__texts),
	    cmocka_unit_test(test_hocon__indented_texts),
	    cmocka_unit_test(test_hocon__references),
	    cmocka_unit_test(test_hocon__references_to_nothing_are_told),
	    cmocka_unit_test(test_hocon__mistakes_have_a_place),
	    cmocka_unit_test(test_hocon__references_in_a_circle),
	    cmocka_unit_test(test_hocon__what_grows_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
