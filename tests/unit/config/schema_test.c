#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem.h"
#include "schema.h"

/* One option of every type. */
struct inner {
	int64_t rows, linger_ms;
};
struct entry {
	char *name;
	bool on;
};
struct all {
	char *text, *secret, *url, *template, *checked;
	bool flag;
	int64_t count, automatic, linger_ms, bytes, attempts;
	double ratio, share;
	int mode;
	struct conf_list words, command;
	struct conf_map headers, plain, columns, pairs;
	json_t *tree;
	struct inner batch;
	struct conf_objects entries;
};
#define AT(member) offsetof(struct all, member)

static int no_x(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	ptrdiff_t x = slice_find_byte(text, 'X');
	if (x < 0) return SL_OK;
	/* A place inside the text, as the SQL front end gives it. */
	uint32_t line = 1, column = 1;
	for (ptrdiff_t i = 0; i < x; i++) {
		column = text.p[i] == '\n' ? 1 : column + 1;
		line += text.p[i] == '\n';
	}
	sl_err_at(err, NULL, line, column);
	return sl_err_set(err, SL_ESYNTAX, "an X is not allowed");
}

static const char *const modes[] = {"slow", "fast", "faster", NULL};
static const struct conf_field inner_fields[] = {
    {.name = "rows", .type = CONF_INT, .at = offsetof(struct inner, rows), .def = "1000", .min = 1, .max = 100000},
    {.name = "linger", .type = CONF_DURATION, .at = offsetof(struct inner, linger_ms), .def = "5ms", .max = 60000},
    CONF_END};
static const struct conf_field entry_fields[] = {
    {.name = "name", .type = CONF_STRING, .flags = CONF_REQUIRED, .at = offsetof(struct entry, name), .example = "a"},
    {.name = "on", .type = CONF_BOOL, .at = offsetof(struct entry, on), .def = "true"},
    CONF_END};
static const struct conf_field fields[] = {
    {.name = "text", .type = CONF_STRING, .flags = CONF_EXPAND, .at = AT(text), .def = "10", .max = 100},
    {.name = "secret", .type = CONF_STRING, .flags = CONF_EXPAND | CONF_SECRET, .at = AT(secret)},
    {.name = "url", .type = CONF_STRING, .flags = CONF_EXPAND | CONF_SECRET_URL, .at = AT(url)},
    {.name = "template", .type = CONF_TEMPLATE, .at = AT(template), .validate = no_x},
    {.name = "checked", .type = CONF_STRING, .flags = CONF_EXPAND, .at = AT(checked), .validate = no_x},
    {.name = "flag", .type = CONF_BOOL, .at = AT(flag), .def = "true"},
    {.name = "count", .type = CONF_INT, .at = AT(count), .def = "7", .min = 1, .max = 65535},
    {.name = "automatic", .type = CONF_INT_AUTO, .at = AT(automatic), .def = "auto", .min = 1},
    {.name = "linger", .type = CONF_DURATION, .at = AT(linger_ms), .def = "5ms", .min = 1, .max = 60000},
    {.name = "bytes", .type = CONF_SIZE, .at = AT(bytes), .def = "64KB", .min = 1024, .max = 1 << 20},
    {.name = "attempts",
     .type = CONF_INT,
     .flags = CONF_UNLIMITED_OK,
     .at = AT(attempts),
     .def = "unlimited",
     .min = 1},
    {.name = "ratio", .type = CONF_DOUBLE, .at = AT(ratio), .def = "1.5", .max = 10},
    {.name = "share", .type = CONF_PERCENT, .at = AT(share), .def = "80%"},
    {.name = "mode", .type = CONF_ENUM, .at = AT(mode), .names = modes, .def = "fast"},
    {.name = "words", .type = CONF_STRING_LIST, .at = AT(words), .max = 3},
    {.name = "command", .type = CONF_TEMPLATE_LIST, .at = AT(command), .validate = no_x},
    {.name = "headers", .type = CONF_STRING_MAP, .flags = CONF_EXPAND, .at = AT(headers)},
    {.name = "plain", .type = CONF_STRING_MAP, .flags = CONF_EXPAND | CONF_PLAIN_OK, .at = AT(plain)},
    {.name = "columns", .type = CONF_TEMPLATE_MAP, .flags = CONF_NONEMPTY, .at = AT(columns), .validate = no_x},
    {.name = "pairs", .type = CONF_TEMPLATE_MAP, .flags = CONF_TEMPLATE_OK, .at = AT(pairs), .validate = no_x},
    {.name = "tree", .type = CONF_TREE, .at = AT(tree)},
    {.name = "batch", .type = CONF_OBJECT, .at = AT(batch), .fields = inner_fields},
    {.name = "entries",
     .type = CONF_OBJECT_LIST,
     .at = AT(entries),
     .fields = entry_fields,
     .item_size = sizeof(struct entry)},
    CONF_END};

static int apply(const char *yaml, struct all *all, struct conf_report *report) {
	struct yaml_doc *doc;
	assert_int_equal(yaml_doc_load(slice_from_str(yaml), "t.yaml", &doc, NULL), SL_OK);
	memset(all, 0, sizeof *all);
	int rc = conf_apply(fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, all, report);
	yaml_doc_free(doc); /* settings outlive their document */
	return rc;
}

static void apply_good(const char *yaml, struct all *all) {
	struct conf_report report = CONF_REPORT_INIT;
	int rc = apply(yaml, all, &report);
	char *shown = conf_report_format(&report);
	assert_string_equal(shown, "");
	assert_int_equal(rc, SL_OK);
	sl_free(shown);
	conf_report_fini(&report);
}

static void expect_report(const char *yaml, const char *expected) {
	struct all all;
	struct conf_report report = CONF_REPORT_INIT;
	int rc = apply(yaml, &all, &report);
	char *shown = conf_report_format(&report);
	assert_string_equal(shown, expected);
	assert_int_not_equal(rc, SL_OK);
	assert_int_not_equal(conf_report_status(&report), SL_OK);
	sl_free(shown);
	conf_report_fini(&report);
	conf_fini(fields, &all);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static void test_schema__defaults(void **state) {
	(void)state;
	struct all a;
	apply_good("", &a);
	assert_string_equal(a.text, "10"); /* text stays text */
	assert_null(a.secret);
	assert_true(a.flag);
	assert_int_equal(a.count, 7);
	assert_int_equal(a.automatic, CONF_AUTO);
	assert_int_equal(a.linger_ms, 5);
	assert_int_equal(a.bytes, 65536);
	assert_int_equal(a.attempts, CONF_UNLIMITED);
	assert_float_equal(a.ratio, 1.5, 0);
	assert_float_equal(a.share, 80, 0);
	assert_int_equal(a.mode, 1);
	assert_int_equal(a.words.len, 0);
	assert_null(a.tree);
	assert_int_equal(a.batch.rows, 1000);
	assert_int_equal(a.entries.len, 0);
	conf_fini(fields, &a);
}

static void test_schema__every_type(void **state) {
	(void)state;
	struct all a;
	apply_good("text: '12'\n"
		   "template: \"${a.b} is ${c}\"\n"
		   "flag: false\n"
		   "count: 0x10\n"
		   "automatic: 3\n"
		   "linger: 1m\n"
		   "bytes: 2048\n"
		   "attempts: 5\n"
		   "ratio: 2\n"
		   "share: 2.5%\n"
		   "mode: slow\n"
		   "words: [one, two]\n"
		   "command: [SET, \"${k}\", 5, true]\n"
		   "headers: {a b: c}\n"
		   "plain: {a: 65536, b: -1, c: 0.75, d: true, e: text, f: '1.0'}\n"
		   "columns: {z: \"${z}\", a: 1}\n"
		   "tree: {x: [1]}\n"
		   "batch: {linger: 0}\n"
		   "entries: [{name: n}, {name: m, on: false}]\n",
		   &a);
	assert_string_equal(a.text, "12");
	assert_string_equal(a.template, "${a.b} is ${c}");
	assert_false(a.flag);
	assert_int_equal(a.count, 16);
	assert_int_equal(a.automatic, 3);
	assert_int_equal(a.linger_ms, 60000);
	assert_int_equal(a.bytes, 2048);
	assert_int_equal(a.attempts, 5);
	assert_float_equal(a.ratio, 2, 0);
	assert_int_equal(a.mode, 0);
	assert_int_equal(a.words.len, 2);
	assert_string_equal(a.command.items[1], "${k}");
	assert_string_equal(a.command.items[2], "5");
	assert_string_equal(a.command.items[3], "true");
	assert_string_equal(a.headers.items[0].key, "a b");
	static const char *const plain[] = {"65536", "-1", "0.75", "true", "text", "1.0"};
	for (size_t i = 0; i < SL_ARRAY_LEN(plain); i++) assert_string_equal(a.plain.items[i].value, plain[i]);
	assert_string_equal(a.columns.items[0].key, "z"); /* in the file's order */
	assert_string_equal(a.columns.items[1].value, "1");
	assert_int_equal(json_array_size(json_object_get(a.tree, "x")), 1);
	assert_int_equal(a.batch.rows, 1000);
	assert_int_equal(a.batch.linger_ms, 0);
	struct entry *entries = a.entries.items;
	assert_string_equal(entries[1].name, "m");
	assert_true(entries[0].on);
	assert_false(entries[1].on);
	conf_fini(fields, &a);
}

static void test_schema__a_text_is_a_list_of_one(void **state) {
	(void)state;
	struct all a;
	apply_good("words: alone\n", &a);
	assert_int_equal(a.words.len, 1);
	assert_string_equal(a.words.items[0], "alone");
	conf_fini(fields, &a);
}

static void test_schema__words_of_older_yaml_are_booleans(void **state) {
	static const char *const words[] = {"no", "yes", "off", "on"};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(words); i++) {
		char *yaml = sl_asprintf("flag: %s\n", words[i]);
		struct all a;
		apply_good(yaml, &a);
		assert_int_equal(a.flag, i % 2);
		conf_fini(fields, &a);
		sl_free(yaml);
	}
}

/* ---- mistakes -------------------------------------------------------------------------------------------- */

static void test_schema__unknown_keys(void **state) {
	(void)state;
	expect_report("cuont: 1\nbatch:\n  lingr: 5ms\n  what: 1\n",
		      "t.yaml:1:1: cuont: unknown option; did you mean `count`?\n"
		      "t.yaml:3:3: batch.lingr: unknown option; did you mean `linger`?\n"
		      "t.yaml:4:3: batch.what: unknown option; the options here are: rows, linger\n");
}

static void test_schema__wrong_types(void **state) {
	(void)state;
	expect_report("text: 5\nflag: maybe\ncount: '5'\nautomatic: some\nmode: fats\ntree:\nbatch: 5\nentries: {}\n",
		      "t.yaml:1:7: text: 5 is not text; write it in quotes\n"
		      "t.yaml:2:7: flag: 'maybe' is not true or false\n"
		      "t.yaml:3:8: count: '5' is not a whole number; remove the quotes\n"
		      "t.yaml:4:12: automatic: 'some' is not a whole number or `auto`\n"
		      "t.yaml:5:7: mode: 'fats' is not one of `slow`, `fast` or `faster`; did you mean `fast`?\n"
		      "t.yaml:6:6: tree: has no value; write a value, or remove the line\n"
		      "t.yaml:7:8: batch: 5 is not a map of options, {name: value}\n"
		      "t.yaml:8:10: entries: a map is not a list (each entry begins with `-`)\n");
}

static void test_schema__wrong_units(void **state) {
	(void)state;
	expect_report(
	    "linger: 5 parsecs\nbytes: 5ms\nshare: 0.5\n",
	    "t.yaml:1:9: linger: '5 parsecs' is not a duration: write a number with ms, s, m, h or d, for example "
	    "5ms or 1h30m\n"
	    "t.yaml:2:8: bytes: '5ms' is not a size: write a number with B, KB, MB, GB or TB, for example 64KB\n"
	    "t.yaml:3:8: share: '0.5' is not a percentage: write 0% to 100%, for example 80%\n");
}

static void test_schema__out_of_range(void **state) {
	(void)state;
	expect_report("count: 70000\nlinger: 2h\nbytes: 1B\nattempts: 0\nratio: -1\n",
		      "t.yaml:1:8: count: 70000 is out of range: it must be between 1 and 65535\n"
		      "t.yaml:2:9: linger: 2h is out of range: it must be between 1ms and 1m\n"
		      "t.yaml:3:8: bytes: 1B is out of range: it must be between 1KB and 1MB\n"
		      "t.yaml:4:11: attempts: 0 is out of range: it must be at least 1\n"
		      "t.yaml:5:8: ratio: -1 is out of range: it must be between 0 and 10\n");
}

static void test_schema__lists_and_maps_are_bounded(void **state) {
	(void)state;
	expect_report("words: [a, b, c, d]\ncolumns: {}\n",
		      "t.yaml:1:8: words: has 4 entries; it must have 0 to 3\n"
		      "t.yaml:2:10: columns: has 0 entries; it must have 1 to 100000\n");
}

static void test_schema__required_points_at_its_object(void **state) {
	(void)state;
	expect_report("entries:\n  - name: a\n  - on: true\n",
		      "t.yaml:3:5: entries[1]: the option `name` is required, for example `name: a`\n");
	expect_report("entries:\n  - nmae: a\n",
		      "t.yaml:2:5: entries[0].nmae: unknown option; did you mean `name`?\n"
		      "t.yaml:2:5: entries[0]: the option `name` is required; did you mean it by `nmae`?\n");
}

static void test_schema__validate_maps_into_the_text(void **state) {
	(void)state;
	expect_report("template: |\n  one\n  twoXthree\ncolumns: {a: \"${X}\"}\ncommand: [a, \"bX\"]\n",
		      "t.yaml:3:6: template: an X is not allowed\n"
		      "t.yaml:4:17: columns.a: an X is not allowed\n"
		      "t.yaml:5:16: command[1]: an X is not allowed\n");
}

static void test_schema__report_is_bounded(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	for (int i = 0; i < CONF_REPORT_MAX + 3; i++) sl_buf_printf(&b, "unknown_%d: 1\n", i);
	struct all all;
	struct conf_report report = CONF_REPORT_INIT;
	apply(sl_buf_cstr(&b), &all, &report);
	assert_int_equal(report.len, CONF_REPORT_MAX);
	char *shown = conf_report_format(&report);
	assert_non_null(strstr(shown, "\n... and 3 more\n"));
	sl_free(shown);
	conf_report_fini(&report);
	conf_fini(fields, &all);
	sl_buf_fini(&b);
}

static void test_schema__tree_without_a_file(void **state) {
	(void)state;
	struct all all = {0};
	struct conf_report report = CONF_REPORT_INIT;
	json_t *tree = json_pack("{s:i}", "count", 0);
	assert_int_equal(conf_apply(fields, tree, (struct conf_at){NULL, "a.b"}, &all, &report), SL_EINVAL);
	char *shown = conf_report_format(&report);
	assert_string_equal(shown, "a.b.count: 0 is out of range: it must be between 1 and 65535\n");
	sl_free(shown);
	conf_report_fini(&report);
	conf_fini(fields, &all);
	json_decref(tree);
}

static void test_schema__two_tables_over_one_object(void **state) {
	(void)state;
	struct inner inner = {0};
	struct entry entry = {0};
	struct conf_report report = CONF_REPORT_INIT;
	struct conf_part parts[] = {{inner_fields, &inner}, {entry_fields, &entry}};
	json_t *tree = json_pack("{s:i, s:s, s:i}", "rows", 5, "name", "x", "nmae", 1);
	conf_apply_parts(parts, 2, tree, (struct conf_at){NULL, ""}, &report);
	assert_int_equal(report.len, 1);
	assert_string_equal(sl_err_text(&report.errs[0]), "nmae: unknown option; did you mean `name`?");
	assert_int_equal(inner.rows, 5);
	assert_string_equal(entry.name, "x");
	conf_report_fini(&report);
	conf_fini(inner_fields, &inner);
	conf_fini(entry_fields, &entry);
	json_decref(tree);
}

/* ---- ${...} ---------------------------------------------------------------------------------------------- */

static char *expand(const char *text, struct sl_err *err) {
	char *out;
	return conf_expand(slice_from_str(text), &out, err) == SL_OK ? out : NULL;
}

static void expect_expanded(const char *text, const char *expected) {
	char *out = expand(text, NULL);
	assert_string_equal(out, expected);
	sl_free(out);
}

static void expect_expand_error(const char *text, const char *expected) {
	struct sl_err err = SL_ERR_INIT;
	assert_null(expand(text, &err));
	assert_string_equal(sl_err_text(&err), expected);
	sl_err_fini(&err);
}

static void test_expand__environment_and_files(void **state) {
	(void)state;
	FILE *f = fopen("schema_test.secret", "w");
	fputs("s3cret\n", f);
	fclose(f);
	setenv("SLUICE_TEST_A", "value", 1);
	expect_expanded("${SLUICE_TEST_A}", "value");
	expect_expanded("a${SLUICE_TEST_A}b$", "avalueb$");
	expect_expanded("$${SLUICE_TEST_A}", "${SLUICE_TEST_A}");
	expect_expanded("${file:schema_test.secret}!", "s3cret!");
	expect_expanded("", "");
	unlink("schema_test.secret");
}

static void test_expand__mistakes(void **state) {
	(void)state;
	unsetenv("SLUICE_TEST_NO");
	expect_expand_error("${SLUICE_TEST_NO}",
			    "the environment variable SLUICE_TEST_NO is not set; set it before the start");
	setenv("SLUICE_TEST_NOT_TEXT", "a\xff", 1);
	expect_expand_error("${SLUICE_TEST_NOT_TEXT}",
			    "the environment variable SLUICE_TEST_NOT_TEXT is not a text in UTF-8");
	expect_expand_error(
	    "${a.b}",
	    "${a.b} is neither an environment variable nor ${file:path} nor ${exec:program}; for a plain ${ write $${");
	expect_expand_error("x${A", "a ${ is not closed by a }; for a plain ${ write $${");
	expect_expand_error("${file:/nonexistent/x}",
			    "the file /nonexistent/x cannot be read: No such file or directory");
	expect_expand_error("${file:/dev/zero}", "the file /dev/zero is larger than 64 KB, too large for a value");
}

/* As a number 0.10 is 0.1: where its text is wanted, it would be another version. */
static void test_schema__a_number_that_is_text_is_taken_as_it_stands_or_not_at_all(void **state) {
	(void)state;
	static const char *const others[] = {"0.10", "1.00", "0x10", "1e3", "-0"};
	for (size_t i = 0; i < SL_ARRAY_LEN(others); i++) {
		char *yaml = sl_asprintf("plain: {a: %s}\n", others[i]);
		struct all a;
		struct conf_report report = CONF_REPORT_INIT;
		(void)apply(yaml, &a, &report);
		char *said = conf_report_format(&report);
		if (!strstr(said, "is not text; write it in quotes")) fail_msg("%s: '%s'", others[i], said);
		sl_free(said);
		conf_fini(fields, &a);
		conf_report_fini(&report);
		sl_free(yaml);
	}
	struct all a = {.text = NULL};
	struct conf_report report = CONF_REPORT_INIT;
	json_t *made = json_pack("{s:{s:f}}", "plain", "a", 0.5); /* of no file */
	assert_int_equal(conf_apply(fields, made, (struct conf_at){NULL, ""}, &a, &report), SL_OK);
	assert_string_equal(a.plain.items[0].value, "0.5");
	conf_fini(fields, &a);
	conf_report_fini(&report);
	json_decref(made);
}

static void test_schema__only_marked_fields_expand(void **state) {
	(void)state;
	struct all a;
	setenv("SLUICE_TEST_A", "value", 1);
	apply_good("text: ${SLUICE_TEST_A}\ntemplate: ${SLUICE_TEST_A}\nwords: [\"${SLUICE_TEST_A}\"]\n"
		   "headers: {a: \"${SLUICE_TEST_A}\"}\n",
		   &a);
	assert_string_equal(a.text, "value");
	assert_string_equal(a.template, "${SLUICE_TEST_A}");
	assert_string_equal(a.words.items[0], "${SLUICE_TEST_A}");
	assert_string_equal(a.headers.items[0].value, "value");
	conf_fini(fields, &a);
}

static void test_schema__expanded_text_has_the_place_of_its_value(void **state) {
	(void)state;
	setenv("SLUICE_TEST_A", "aaaaaaaaaaX", 1);
	expect_report("checked: ${SLUICE_TEST_A}\n", "t.yaml:1:10: checked: an X is not allowed\n");
	expect_report("checked: abX\n", "t.yaml:1:12: checked: an X is not allowed\n");
}

/* ---- showing --------------------------------------------------------------------------------------------- */

static void expect_masked(const char *url, const char *expected) {
	const struct conf_field f = {.name = "url", .flags = CONF_SECRET_URL};
	struct sl_buf b = SL_BUF_INIT;
	conf_mask(&f, url, &b);
	assert_string_equal(sl_buf_cstr(&b), expected);
	sl_buf_fini(&b);
}

static void test_mask__urls_keep_all_but_the_password(void **state) {
	(void)state;
	expect_masked("postgresql://iot:pw@h:5432/iot", "postgresql://iot:***@h:5432/iot");
	expect_masked("redis://:p@w/x@h/0", "redis://:***@h/0");
	expect_masked("http://h:80/x", "http://h:80/x");
	expect_masked("postgresql://iot@h/db", "postgresql://iot@h/db");
	expect_masked("host=a password=s3 user=b", "host=a password=*** user=b");
	expect_masked("host=a PASSWORD='s \\' 3' user=b", "host=a PASSWORD=*** user=b");
	expect_masked("host = a password = s3 user = b", "host = a password = *** user = b");
	expect_masked("password  =  's 3' user=b", "password  =  *** user=b");
	expect_masked("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:x,SERVICE_NAME:y&b=2",
		      "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:***,SERVICE_NAME:y&b=2");
	expect_masked("mongodb://h/?x=AWS_SESSION_TOKEN:x&password=y",
		      "mongodb://h/?x=AWS_SESSION_TOKEN:***&password=***");
	expect_masked("host=a passwordless", "host=a passwordless");
	expect_masked("password", "password");
	expect_masked("mongodb://h/?a=1&password=x&b=2", "mongodb://h/?a=1&password=***&b=2");
	expect_masked("password=", "password=***");
	expect_masked("", "");
}

static void test_show__secrets_are_masked_and_units_written(void **state) {
	(void)state;
	struct all a;
	apply_good("secret: hush\nurl: x://u:hush@h\nwords: [w]\nentries: [{name: n}]\ncolumns: {a: b}\npairs: "
		   "\"${p}\"\ntree: 5\n",
		   &a);
	json_t *tree = conf_show(fields, &a);
	char *shown = json_dumps(tree, JSON_COMPACT);
	assert_string_equal(
	    shown,
	    "{\"text\":\"10\",\"secret\":\"***\",\"url\":\"x://u:***@h\",\"flag\":true,\"count\":7,\"automatic\":"
	    "\"auto\",\"linger\":\"5ms\",\"bytes\":\"64KB\",\"attempts\":\"unlimited\",\"ratio\":1.5,\"share\":\"80%\","
	    "\"mode\":\"fast\",\"words\":[\"w\"],\"command\":[],\"headers\":{},\"plain\":{},\"columns\":{\"a\":\"b\"},"
	    "\"pairs\":"
	    "\"${p}\",\"tree\":5,"
	    "\"batch\":{\"rows\":1000,\"linger\":\"5ms\"},\"entries\":[{\"name\":\"n\",\"on\":true}]}");
	free(shown);
	json_decref(tree);
	conf_fini(fields, &a);
}

static void test_schema__secrets_stay_out_of_messages(void **state) {
	(void)state;
	expect_report("secret: 12345\n", "t.yaml:1:9: secret: the value is not text; write it in quotes\n");
}

static void test_set_text__command_line_values(void **state) {
	(void)state;
	struct all a = {0};
	struct sl_err err = SL_ERR_INIT;
	const struct conf_field *linger = &fields[8], *text = &fields[0];
	assert_int_equal(conf_set_text(linger, "10s", &a, &err), SL_OK);
	assert_int_equal(a.linger_ms, 10000);
	assert_int_equal(conf_set_text(text, "12", &a, &err), SL_OK);
	assert_string_equal(a.text, "12");
	assert_int_equal(conf_set_text(linger, "1", &a, &err), SL_ETYPE);
	assert_string_equal(
	    sl_err_text(&err),
	    "linger: '1' is not a duration: write a number with ms, s, m, h or d, for example 5ms or 1h30m");
	sl_err_fini(&err);
	conf_fini(fields, &a);
}

/* ---- an object whose presence means something ------------------------------------------------------------- */

struct tls {
	bool given;
	int64_t depth;
};
struct server {
	char *host;
	struct tls tls;
};
static const struct conf_field tls_fields[] = {
    {.name = "depth", .type = CONF_INT, .at = offsetof(struct tls, depth), .def = "3"}, CONF_END};
static const struct conf_field server_fields[] = {
    {.name = "host", .type = CONF_STRING, .at = offsetof(struct server, host), .def = "h"},
    {.name = "tls", .type = CONF_OBJECT, .flags = CONF_GIVEN, .at = offsetof(struct server, tls), .fields = tls_fields},
    CONF_END};

static void expect_given(const char *yaml, bool given, int64_t depth, const char *shown) {
	struct yaml_doc *doc;
	struct server s = {0};
	struct conf_report report = CONF_REPORT_INIT;
	assert_int_equal(yaml_doc_load(slice_from_str(yaml), "t.yaml", &doc, NULL), SL_OK);
	assert_int_equal(conf_apply(server_fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, &s, &report), SL_OK);
	assert_int_equal(s.tls.given, given);
	assert_int_equal(s.tls.depth, depth);
	json_t *tree = conf_show(server_fields, &s);
	char *text = json_dumps(tree, JSON_COMPACT);
	assert_string_equal(text, shown);
	free(text);
	json_decref(tree);
	yaml_doc_free(doc);
	conf_fini(server_fields, &s);
	assert_false(s.tls.given);
}

static void test_schema__object_that_is_given_says_so(void **state) {
	(void)state;
	expect_given("host: x", false, 3, "{\"host\":\"x\"}");
	expect_given("tls:", true, 3, "{\"host\":\"h\",\"tls\":{\"depth\":3}}");
	expect_given("tls: {}", true, 3, "{\"host\":\"h\",\"tls\":{\"depth\":3}}");
	expect_given("tls: {depth: 5}", true, 5, "{\"host\":\"h\",\"tls\":{\"depth\":5}}");
}

static void test_schema__object_that_is_given_is_checked(void **state) {
	(void)state;
	struct yaml_doc *doc;
	struct server s = {0};
	struct conf_report report = CONF_REPORT_INIT;
	assert_int_equal(yaml_doc_load(SL_SLICE_LIT("tls: true"), "t.yaml", &doc, NULL), SL_OK);
	assert_int_equal(conf_apply(server_fields, yaml_doc_root(doc), (struct conf_at){doc, ""}, &s, &report),
			 SL_ETYPE);
	char *shown = conf_report_format(&report);
	assert_string_equal(shown, "t.yaml:1:6: tls: true is not a map of options, {name: value}; `tls:` alone takes "
				   "all defaults, without the line it is off\n");
	sl_free(shown);
	conf_report_fini(&report);
	yaml_doc_free(doc);
	conf_fini(server_fields, &s);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_schema__defaults),
	    cmocka_unit_test(test_schema__every_type),
	    cmocka_unit_test(test_schema__a_text_is_a_list_of_one),
	    cmocka_unit_test(test_schema__words_of_older_yaml_are_booleans),
	    cmocka_unit_test(test_schema__unknown_keys),
	    cmocka_unit_test(test_schema__wrong_types),
	    cmocka_unit_test(test_schema__wrong_units),
	    cmocka_unit_test(test_schema__out_of_range),
	    cmocka_unit_test(test_schema__lists_and_maps_are_bounded),
	    cmocka_unit_test(test_schema__required_points_at_its_object),
	    cmocka_unit_test(test_schema__validate_maps_into_the_text),
	    cmocka_unit_test(test_schema__report_is_bounded),
	    cmocka_unit_test(test_schema__tree_without_a_file),
	    cmocka_unit_test(test_schema__two_tables_over_one_object),
	    cmocka_unit_test(test_expand__environment_and_files),
	    cmocka_unit_test(test_expand__mistakes),
	    cmocka_unit_test(test_schema__a_number_that_is_text_is_taken_as_it_stands_or_not_at_all),
	    cmocka_unit_test(test_schema__only_marked_fields_expand),
	    cmocka_unit_test(test_schema__expanded_text_has_the_place_of_its_value),
	    cmocka_unit_test(test_mask__urls_keep_all_but_the_password),
	    cmocka_unit_test(test_show__secrets_are_masked_and_units_written),
	    cmocka_unit_test(test_schema__secrets_stay_out_of_messages),
	    cmocka_unit_test(test_set_text__command_line_values),
	    cmocka_unit_test(test_schema__object_that_is_given_says_so),
	    cmocka_unit_test(test_schema__object_that_is_given_is_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
