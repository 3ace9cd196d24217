#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "buf.h"
#include "mem.h"
#include "yaml.h"

static struct yaml_doc *load(const char *text) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	if (yaml_doc_load(slice_from_str(text), "t.yaml", &doc, &err) != SL_OK) {
		char *shown = sl_err_format(&err);
		print_error("%s\n", shown);
		sl_free(shown);
		sl_err_fini(&err);
		fail();
	}
	return doc;
}

static void expect_error(const char *text, int status, const char *formatted) {
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	assert_int_equal(yaml_doc_load(slice_from_str(text), "t.yaml", &doc, &err), status);
	assert_null(doc);
	char *shown = sl_err_format(&err);
	assert_string_equal(shown, formatted);
	sl_free(shown);
	sl_err_fini(&err);
}

static void expect_json(const char *yaml, const char *json) {
	struct yaml_doc *doc = load(yaml);
	char *shown = json_dumps(yaml_doc_root(doc), JSON_COMPACT | JSON_ENCODE_ANY);
	assert_string_equal(shown, json);
	free(shown);
	yaml_doc_free(doc);
}

static void expect_value_at(const struct yaml_doc *doc, const char *path, uint32_t line, uint32_t column) {
	uint32_t l, c;
	assert_true(yaml_value_position(doc, path, &l, &c));
	assert_int_equal(l, line);
	assert_int_equal(c, column);
}

static void expect_key_at(const struct yaml_doc *doc, const char *path, uint32_t line, uint32_t column) {
	uint32_t l, c;
	assert_true(yaml_key_position(doc, path, &l, &c));
	assert_int_equal(l, line);
	assert_int_equal(c, column);
}

static void expect_text_at(const struct yaml_doc *doc, const char *path, uint32_t text_line, uint32_t text_column,
			   uint32_t line, uint32_t column) {
	uint32_t l, c;
	assert_true(yaml_text_position(doc, path, text_line, text_column, &l, &c));
	assert_int_equal(l, line);
	assert_int_equal(c, column);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static void test_yaml__scalars_are_typed_as_core(void **state) {
	(void)state;
	expect_json("a: [null, ~, true, False, 12, -3, +4, 0x1F, 0o17, 007]",
		    "{\"a\":[null,null,true,false,12,-3,4,31,15,7]}");
	expect_json("a: [1.5, .5, 1e3, -2.0]", "{\"a\":[1.5,0.5,1000.0,-2.0]}");
	expect_json("a:", "{\"a\":null}");
}

static void test_yaml__what_is_not_core_is_text(void **state) {
	(void)state;
	expect_json("[yes, no, on, 5ms, 1_000, 1.2.3, 0xZZ, '12', \"true\", !!str 5, tRUE]",
		    "[\"yes\",\"no\",\"on\",\"5ms\",\"1_000\",\"1.2.3\",\"0xZZ\",\"12\",\"true\",\"5\",\"tRUE\"]");
}

static void test_yaml__maps_keep_their_order(void **state) {
	(void)state;
	expect_json("z: 1\na: {k: [x, {}]}\nm: |\n  two\n  lines\n",
		    "{\"z\":1,\"a\":{\"k\":[\"x\",{}]},\"m\":\"two\\nlines\\n\"}");
}

static void test_yaml__empty_is_an_empty_object(void **state) {
	(void)state;
	expect_json("", "{}");
	expect_json("# only a comment\n", "{}");
	expect_json("\xEF\xBB\xBF"
		    "a: 1",
		    "{\"a\":1}");
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

static void test_yaml__anchors_are_refused(void **state) {
	(void)state;
	expect_error(
	    "a: 1\nb: &x 2\n", SL_EUNSUPPORTED,
	    "t.yaml:2:4: anchors (&name) and aliases (*name) are not supported; write the value out, or put it "
	    "in quotes if it is text");
	expect_error(
	    "a: *x\n", SL_EUNSUPPORTED,
	    "t.yaml:1:4: anchors (&name) and aliases (*name) are not supported; write the value out, or put it "
	    "in quotes if it is text");
}

static void test_yaml__foreign_tags_are_refused(void **state) {
	(void)state;
	expect_error(
	    "a: !python/object x\n", SL_EUNSUPPORTED,
	    "t.yaml:1:4: the tag !python/object is not supported; only !!str !!int !!float !!bool !!null !!map "
	    "!!seq are");
	expect_error("a: !!int five\n", SL_ESYNTAX, "t.yaml:1:4: the value is not of the type that its tag !!int says");
	expect_error("a: !!seq {}\n", SL_ESYNTAX, "t.yaml:1:4: the value is not of the type that its tag !!seq says");
}

static void test_yaml__duplicate_key_names_the_first(void **state) {
	(void)state;
	expect_error("a: 1\nb: {c: 1, d: 2}\na: 3\n", SL_EEXISTS,
		     "t.yaml:3:1: the key a stands twice; the first is on line 1");
}

static void test_yaml__second_document_is_refused(void **state) {
	(void)state;
	expect_error("a: 1\n---\nb: 2\n", SL_EUNSUPPORTED, "t.yaml:2:1: a second document (---) is not supported");
}

static void test_yaml__tab_gets_a_hint(void **state) {
	(void)state;
	expect_error("a:\n\tb: 1\n", SL_ESYNTAX,
		     "t.yaml:2:1: not valid YAML: while scanning for the next token, found character that cannot start "
		     "any token; indent with spaces, not tabs");
}

static void test_yaml__colon_in_text_gets_a_hint(void **state) {
	(void)state;
	expect_error(
	    "a: note: this\n", SL_ESYNTAX,
	    "t.yaml:1:8: not valid YAML: mapping values are not allowed in this context; a text that holds \": "
	    "\" needs quotes, or the indentation is wrong");
}

static void test_yaml__depth_is_bounded(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	for (int i = 0; i < YAML_DOC_DEPTH_MAX; i++) sl_buf_put(&b, '[');
	for (int i = 0; i < YAML_DOC_DEPTH_MAX; i++) sl_buf_put(&b, ']');
	yaml_doc_free(load(sl_buf_cstr(&b)));
	sl_buf_clear(&b);
	for (int i = 0; i < 5000; i++) sl_buf_put(&b, '[');
	expect_error(sl_buf_cstr(&b), SL_ELIMIT, "t.yaml:1:33: nested deeper than 32 levels");
	sl_buf_fini(&b);
}

static void test_yaml__size_is_bounded(void **state) {
	(void)state;
	size_t size = YAML_DOC_SIZE_MAX + 1;
	char *text = sl_alloc(size);
	memset(text, ' ', size);
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	assert_int_equal(yaml_doc_load(slice_make(text, size), "t.yaml", &doc, &err), SL_ELIMIT);
	assert_string_equal(sl_err_text(&err), "larger than 16 MB; split the configuration");
	sl_err_fini(&err);
	sl_free(text);
}

static void test_yaml__number_of_values_is_bounded(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_put(&b, '[');
	for (int i = 0; i < YAML_DOC_NODES_MAX; i++) sl_buf_append_str(&b, "1,");
	sl_buf_put(&b, ']');
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	assert_int_equal(yaml_doc_load(sl_buf_slice(&b), "t.yaml", &doc, &err), SL_ELIMIT);
	sl_err_fini(&err);
	sl_buf_fini(&b);
}

static void test_yaml__large_numbers_are_refused(void **state) {
	(void)state;
	expect_error("id: 12345678901234567890\n", SL_ELIMIT,
		     "t.yaml:1:5: 12345678901234567890 does not fit in 64 bits; if it is text, write it in quotes");
	expect_error("x: .inf\n", SL_EUNSUPPORTED,
		     "t.yaml:1:4: infinity and NaN are not numbers here; if it is text, write it in quotes");
}

static void test_yaml__nul_and_bad_utf8_are_refused(void **state) {
	(void)state;
	expect_error("a: \"x\\0y\"\n", SL_ESYNTAX, "t.yaml:1:4: a text may not hold the NUL character");
	expect_error("a: x\nb: \xFFx\n", SL_ESYNTAX,
		     "t.yaml:2:4: this is not a text in UTF-8: invalid leading UTF-8 octet");
}

static void test_yaml__unquoted_braces_as_key(void **state) {
	(void)state;
	expect_error("a: {{x}: y}\n", SL_EUNSUPPORTED,
		     "t.yaml:1:5: a key must be text, not a list or a map; a template like {{x}} or ${x} needs quotes");
}

static void test_yaml__key_that_is_missing_or_empty(void **state) {
	(void)state;
	expect_error("?\n: x\n", SL_ESYNTAX, "t.yaml:1:2: a key is missing before the colon");
	expect_error("a: {\"\": x}\n", SL_ESYNTAX, "t.yaml:1:5: a key must not be empty");
}

static void test_yaml__missing_file(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc;
	assert_int_equal(yaml_doc_load_file("/nonexistent/x.yaml", &doc, &err), SL_ENOTFOUND);
	char *shown = sl_err_format(&err);
	assert_string_equal(shown, "/nonexistent/x.yaml: the file cannot be read: No such file or directory");
	sl_free(shown);
	sl_err_fini(&err);
	assert_int_equal(yaml_doc_load_file("/", &doc, &err), SL_EINVAL);
	sl_err_fini(&err);
}

/* ---- places ---------------------------------------------------------------------------------------------- */

static const char places[] = "node: {name: a, data_dir: ./x}\n"       /* 1 */
			     "rules:\n"                               /* 2 */
			     "  hot:\n"                               /* 3 */
			     "    sql: |\n"                           /* 4 */
			     "      SELECT a,\n"                      /* 5 */
			     "\n"                                     /* 6 */
			     "        b\n"                            /* 7 */
			     "      FROM \"x\"\n"                     /* 8 */
			     "    actions:\n"                         /* 9 */
			     "      - {connector: c}\n"               /* 10 */
			     "      - connector: d\n"                 /* 11 */
			     "  \"a.b\": {sql: SELECT 1}\n"           /* 12 */
			     "  quoted: {sql: \"say \\\"x\\\" y\"}\n" /* 13 */
			     "  folded: >\n"                          /* 14 */
			     "    one two\n"                          /* 15 */
			     "    three\n"                            /* 16 */
			     "  s: 'it''s me'\n"                      /* 17 */
			     "  t: !!str   tagged x\n"                /* 18 */
			     "  l: !!str |2\n"                        /* 19 */
			     "      deep\n"                           /* 20 */
			     "     less\n"                            /* 21 */
			     "  m: two\n"                             /* 22 */
			     "    words\n";                           /* 23 */

static void test_yaml__keys_and_values_have_places(void **state) {
	(void)state;
	struct yaml_doc *doc = load(places);
	expect_key_at(doc, "node.data_dir", 1, 17);
	expect_value_at(doc, "node.data_dir", 1, 27);
	expect_key_at(doc, "rules.hot", 3, 3);
	expect_value_at(doc, "rules.hot.sql", 4, 10);
	expect_value_at(doc, "rules.hot.actions[0]", 10, 9);
	expect_value_at(doc, "rules.hot.actions[0].connector", 10, 21);
	expect_key_at(doc, "rules.hot.actions[1].connector", 11, 9);
	expect_value_at(doc, "rules.\"a.b\".sql", 12, 16);
	expect_value_at(doc, "", 1, 1);
	yaml_doc_free(doc);
}

static void test_yaml__missing_path_gives_the_nearest(void **state) {
	(void)state;
	struct yaml_doc *doc = load(places);
	uint32_t line, column;
	assert_false(yaml_key_position(doc, "rules.hot.nothing.here", &line, &column));
	assert_int_equal(line, 3);
	assert_int_equal(column, 3);
	assert_false(yaml_value_position(doc, "rules.hot.actions[7]", &line, &column));
	assert_int_equal(line, 10);
	assert_false(yaml_value_position(doc, "..[[\"", &line, &column));
	yaml_doc_free(doc);
}

static void test_yaml__literal_text_maps_exactly(void **state) {
	(void)state;
	struct yaml_doc *doc = load(places);
	expect_text_at(doc, "rules.hot.sql", 1, 1, 5, 7);
	expect_text_at(doc, "rules.hot.sql", 1, 8, 5, 14);
	expect_text_at(doc, "rules.hot.sql", 3, 3, 7, 9);
	expect_text_at(doc, "rules.hot.sql", 4, 6, 8, 12);
	/* "Unexpected end" shows behind the last character. */
	expect_text_at(doc, "rules.hot.sql", 5, 1, 8, 15);
	expect_text_at(doc, "rules.hot.sql", 99, 99, 8, 15);
	/* An indentation indicator: the text's own spaces are its content. */
	expect_text_at(doc, "rules.l", 1, 3, 20, 7);
	expect_text_at(doc, "rules.l", 2, 2, 21, 6);
	yaml_doc_free(doc);
}

static void test_yaml__flow_text_maps_by_character(void **state) {
	(void)state;
	struct yaml_doc *doc = load(places);
	expect_text_at(doc, "rules.\"a.b\".sql", 1, 8, 12, 23);
	expect_text_at(doc, "rules.quoted.sql", 1, 1, 13, 18);
	expect_text_at(doc, "rules.quoted.sql", 1, 6, 13, 24);
	expect_text_at(doc, "rules.quoted.sql", 1, 9, 13, 28);
	expect_text_at(doc, "rules.folded", 1, 5, 15, 9);
	expect_text_at(doc, "rules.folded", 1, 9, 16, 5);
	expect_text_at(doc, "rules.s", 1, 6, 17, 13);
	expect_text_at(doc, "rules.t", 1, 8, 18, 21);
	expect_text_at(doc, "rules.m", 1, 5, 23, 5);
	yaml_doc_free(doc);
}

static void test_yaml__text_position_of_no_text(void **state) {
	(void)state;
	struct yaml_doc *doc = load("a: 5\nb: ''\n");
	uint32_t line, column;
	assert_false(yaml_text_position(doc, "a", 1, 1, &line, &column));
	assert_int_equal(line, 1);
	assert_int_equal(column, 4);
	expect_text_at(doc, "b", 1, 1, 2, 5);
	yaml_doc_free(doc);
}

static void test_yaml__columns_count_bytes(void **state) {
	(void)state;
	/* "größe" has two letters of two bytes each, the sign of the euro has three. */
	struct yaml_doc *doc = load("{gr\xC3\xB6\xC3\x9F\x65: 1, b: \xE2\x82\xAC, c: 3}\n");
	expect_value_at(doc, "gr\xC3\xB6\xC3\x9F\x65", 1, 11);
	expect_key_at(doc, "b", 1, 14);
	expect_key_at(doc, "c", 1, 22);
	yaml_doc_free(doc);
}

static void test_yaml__crlf_lines(void **state) {
	(void)state;
	struct yaml_doc *doc = load("a: 1\r\nb: |\r\n  x\r\n  y z\r\nc: 2\r\n");
	expect_key_at(doc, "c", 5, 1);
	expect_text_at(doc, "b", 2, 3, 4, 5);
	yaml_doc_free(doc);
}

static void test_yaml__paths_are_built_and_read(void **state) {
	(void)state;
	char *plain = yaml_path_key("rules", "hot_1"), *odd = yaml_path_key("rules", "a \"b\"");
	char *item = yaml_path_index(plain, 3), *first = yaml_path_key("", "rules");
	assert_string_equal(plain, "rules.hot_1");
	assert_string_equal(odd, "rules.\"a \\\"b\\\"\"");
	assert_string_equal(item, "rules.hot_1[3]");
	assert_string_equal(first, "rules");
	struct yaml_doc *doc = load("rules:\n  'a \"b\"': 1\n");
	expect_value_at(doc, odd, 2, 12);
	yaml_doc_free(doc);
	sl_free(plain);
	sl_free(odd);
	sl_free(item);
	sl_free(first);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_yaml__scalars_are_typed_as_core),
	    cmocka_unit_test(test_yaml__what_is_not_core_is_text),
	    cmocka_unit_test(test_yaml__maps_keep_their_order),
	    cmocka_unit_test(test_yaml__empty_is_an_empty_object),
	    cmocka_unit_test(test_yaml__anchors_are_refused),
	    cmocka_unit_test(test_yaml__foreign_tags_are_refused),
	    cmocka_unit_test(test_yaml__duplicate_key_names_the_first),
	    cmocka_unit_test(test_yaml__second_document_is_refused),
	    cmocka_unit_test(test_yaml__tab_gets_a_hint),
	    cmocka_unit_test(test_yaml__colon_in_text_gets_a_hint),
	    cmocka_unit_test(test_yaml__depth_is_bounded),
	    cmocka_unit_test(test_yaml__size_is_bounded),
	    cmocka_unit_test(test_yaml__number_of_values_is_bounded),
	    cmocka_unit_test(test_yaml__large_numbers_are_refused),
	    cmocka_unit_test(test_yaml__nul_and_bad_utf8_are_refused),
	    cmocka_unit_test(test_yaml__unquoted_braces_as_key),
	    cmocka_unit_test(test_yaml__key_that_is_missing_or_empty),
	    cmocka_unit_test(test_yaml__missing_file),
	    cmocka_unit_test(test_yaml__keys_and_values_have_places),
	    cmocka_unit_test(test_yaml__missing_path_gives_the_nearest),
	    cmocka_unit_test(test_yaml__literal_text_maps_exactly),
	    cmocka_unit_test(test_yaml__flow_text_maps_by_character),
	    cmocka_unit_test(test_yaml__text_position_of_no_text),
	    cmocka_unit_test(test_yaml__columns_count_bytes),
	    cmocka_unit_test(test_yaml__crlf_lines),
	    cmocka_unit_test(test_yaml__paths_are_built_and_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
