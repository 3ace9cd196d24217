/* yaml_write_test.c: what is written is read back as it was, whatever it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "yaml.h"
#include "yaml_write.h"

static json_t *load(struct sl_buf *out) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	if (yaml_doc_load(sl_buf_slice(out), "t.yaml", &doc, &err) != SL_OK)
		fail_msg("%s in:\n%s", sl_err_text(&err), sl_buf_cstr(out));
	json_t *tree = json_incref(yaml_doc_root(doc));
	yaml_doc_free(doc);
	sl_err_fini(&err);
	return tree;
}

static void block(const char *text, bool literal) {
	struct sl_buf out = SL_BUF_INIT;
	sl_buf_append_str(&out, "sql:");
	yaml_write_block(&out, slice_from_str(text), 2);
	sl_buf_append_str(&out, "next: 1\n");
	json_t *tree = load(&out);
	assert_string_equal(json_string_value(json_object_get(tree, "sql")), text);
	assert_int_equal(json_integer_value(json_object_get(tree, "next")), 1);
	assert_int_equal(strstr(sl_buf_cstr(&out), "sql: |-\n") != NULL, literal);
	json_decref(tree);
	sl_buf_fini(&out);
}

static void test_yaml_write__blocks_where_they_hold_the_text(void **state) {
	(void)state;
	block("SELECT 1", true);
	block("SELECT\n  *\n\nFROM \"t/#\" # x: y", true);
	block("SELECT\n\t*\nFROM 'é😀'", true);
	block("a\tb", true);
}

static void test_yaml_write__quotes_where_blocks_do_not(void **state) {
	(void)state;
	block(" SELECT 1", false);
	block("\tSELECT 1", false);
	block("\nSELECT 1", false);
	block("SELECT 1\n", false);
	block("SELECT 1 \nFROM 'x'", false);
	block("SELECT 1\t\nFROM 'x'", false);
	block("SELECT\r\n1", false);
	block("SELECT '\xe2\x80\xa8'", false);
	block("SELECT '\xc2\x85 \xef\xbb\xbf \x7f \x01'", false);
	block("", false);
}

static void test_yaml_write__trees(void **state) {
	(void)state;
	json_t *tree =
	    json_loads("{\"a\":{\"b\":[1,\"2\",[3,[]],{\"c\":{},\"d\":\"no\"},null,true],\"e\":\"\"},\"yes\":\"true\","
		       "\"12\":\"0x1F\",\"k: v\":\"- x\",\"t\":\"two\\nlines\",\"q\":\"\\\"${x}\\\" \\\\ #\","
		       "\"f\":1.5,\"u\":\"\\u2029\\u0085é\"}",
		       0, NULL);
	struct sl_buf out = SL_BUF_INIT;
	yaml_write_members(&out, tree, 0);
	json_t *again = load(&out);
	if (!json_equal(tree, again)) fail_msg("not the same: %s", sl_buf_cstr(&out));
	json_decref(tree);
	json_decref(again);
	sl_buf_fini(&out);
}

static void test_yaml_write__nothing_gets_out_of_a_comment(void **state) {
	(void)state;
	struct sl_buf out = SL_BUF_INIT;
	yaml_write_comment(&out,
			   slice_from_str("a: 1\nb: 2\r\nc: 3\rd: 4\xe2\x80\xa9"
					  "e: 5\xc2\x85"
					  "f: 6\x01\n"),
			   2);
	sl_buf_append_str(&out, "g: 7\n");
	json_t *tree = load(&out);
	assert_int_equal(json_object_size(tree), 1);
	json_decref(tree);
	sl_buf_fini(&out);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_yaml_write__blocks_where_they_hold_the_text),
	    cmocka_unit_test(test_yaml_write__quotes_where_blocks_do_not),
	    cmocka_unit_test(test_yaml_write__trees),
	    cmocka_unit_test(test_yaml_write__nothing_gets_out_of_a_comment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
