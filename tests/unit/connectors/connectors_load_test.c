/* What a mistake in the configuration is answered with, status, and that the printed reference is the committed one. */
#include "connectors_int.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void says(char *text, const char *const *parts) {
	for (; *parts; parts++)
		if (!strstr(text, *parts)) fail_msg("\"%s\" is not in: %s", *parts, text);
	sl_free(text);
}
#define SAYS(text, ...) says((text), (const char *const[]){__VA_ARGS__, NULL})

#define DB "connectors: {db: {type: sqlite, path: a.db}, cache: {type: 'null'}}\n"

static void test_load__a_sound_configuration_has_no_complaints(void **state) {
	(void)state;
	char *text = rig_check(DB "actions: [{connector: db, sql: \"INSERT INTO x VALUES (${a})\"}]\n%s", "");
	assert_string_equal(text, "");
	sl_free(text);
}

static void test_load__an_unknown_type_names_the_types(void **state) {
	(void)state;
	SAYS(rig_check("connectors:\n  db: {type: sqlit, path: a.db}\n%s", ""), "test.yaml:2", "connectors.db.type",
	     "did you mean `sqlite`", "file, null");
}

static void test_load__a_missing_required_option_is_named(void **state) {
	(void)state;
	SAYS(rig_check("connectors:\n  db: {type: sqlite}\n%s", ""), "test.yaml:2", "path");
}

static void test_load__an_unknown_option_names_the_nearest(void **state) {
	(void)state;
	SAYS(rig_check("connectors:\n  db: {type: sqlite, path: a, busy_timout: 1s}\n%s", ""), "test.yaml:2",
	     "busy_timout", "busy_timeout");
	SAYS(rig_check(DB "actions:\n  - {connector: db, tabel: x, columns: {a: b}}\n%s", ""), "test.yaml:3", "tabel",
	     "table");
	SAYS(rig_check(DB "actions:\n  - {connector: db, table: x, columns: {a: b}, batch: {row: 5}}\n%s", ""), "row",
	     "rows");
}

static void test_load__a_wrong_unit_is_refused(void **state) {
	(void)state;
	SAYS(
	    rig_check(DB "actions:\n  - {connector: db, table: x, columns: {a: b}, batch: {linger: 5parsecs}}\n%s", ""),
	    "test.yaml:3", "batch.linger");
}

static void test_load__an_unknown_connector_names_the_nearest(void **state) {
	(void)state;
	SAYS(rig_check(DB "actions:\n  - {connector: cach}\n%s", ""), "test.yaml:3", "actions[0].connector", "`cach`",
	     "did you mean `cache`", "db, cache");
}

static void test_load__what_to_write_must_be_said_once(void **state) {
	(void)state;
	SAYS(rig_check(DB "actions:\n  - {connector: db}\n%s", ""), "`table` with `columns`, or `sql`");
	SAYS(rig_check(DB "actions:\n  - {connector: db, table: x, sql: y, columns: {a: b}}\n%s", ""),
	     "exclude each other");
	SAYS(rig_check(DB "actions:\n  - {connector: db, sql: \"INSERT INTO x VALUES ('${a}')\"}\n%s", ""),
	     "stands in quotes", "without them");
	SAYS(rig_check(DB "actions:\n  - {connector: db, sql: \"INSERT INTO x VALUES (${a)\"}\n%s", ""), "no `}`");
	SAYS(rig_check(DB "actions:\n  - {connector: db, sql: \"INSERT INTO x VALUES ($a, ${b})\"}\n%s", ""),
	     "`$` at 1:23", "SQLite's own", "${name}");
	SAYS(rig_check(DB "actions:\n  - {connector: db, sql: \"INSERT INTO x VALUES (?, ${b})\"}\n%s", ""),
	     "`?` at 1:23");
}

static void test_load__durability_without_a_log_is_refused(void **state) {
	(void)state;
	SAYS(rig_check(DB "actions:\n  - {connector: db, table: x, columns: {a: b}, buffer: {disk: 0}}\n%s", ""),
	     "durability: memory");
}

static void test_load__a_file_must_stay_in_its_folder(void **state) {
	(void)state;
	SAYS(rig_check("connectors: {f: {type: file}}\nactions: [{connector: f, file: ../../x}]\n%s", ""), "`..`");
}

static void test_load__parameters_come_in_order_with_their_places(void **state) {
	(void)state;
	struct yaml_doc *doc;
	assert_int_equal(
	    yaml_doc_load(SL_SLICE_LIT(DB "a: {connector: db, sql: \"INSERT INTO x\\n VALUES (${a}, f(${ b.c }))\"}\n"),
			  "t", &doc, NULL),
	    SL_OK);
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set;
	struct sl_action_spec *spec;
	json_t *root = yaml_doc_root(doc);
	connectors_prepare(NULL, json_object_get(root, "connectors"), (struct conf_at){doc, "connectors"}, &report,
			   &set);
	assert_int_equal(connectors_prepare_action(set, "r", 0, json_object_get(root, "a"), (struct conf_at){doc, "a"},
						   &report, &spec),
			 SL_OK);
	size_t n;
	const struct sl_param *params = sl_action_spec_params(spec, &n);
	assert_int_equal(n, 2);
	assert_true(slice_equal_str(params[0].text, "${a}"));
	assert_true(slice_equal_str(params[1].name, "b.c"));
	assert_string_equal(params[1].path, "sql");
	assert_int_equal(params[1].line, 2);
	assert_int_equal(params[1].column, 18);
	assert_string_equal(sl_action_spec_order_key(spec), "${clientid}");
	connectors_set_free(set);
	conf_report_fini(&report);
	yaml_doc_free(doc);
}

static void status_run(void *arg) { connectors_snapshot_take(arg); }

static void expect_status(const struct connectors_snapshot *s) {
	json_t *out = json_object();
	connectors_status(s, out);
	json_t *action = json_array_get(json_object_get(out, "actions"), 0);
	assert_int_equal(json_integer_value(json_object_get(action, "delivered")), 10);
	assert_int_equal(json_integer_value(json_object_get(action, "queued")), 0);
	json_t *conn = json_array_get(json_object_get(out, "connectors"), 0);
	assert_string_equal(json_string_value(json_object_get(conn, "state")), "up");
	json_decref(out);
	struct sl_buf text = SL_BUF_INIT;
	connectors_prometheus(s, &text);
	const char *page = sl_buf_cstr(&text);
	assert_non_null(strstr(page, "sluice_action_rows_total{rule=\"r\",action=\"0\",connector=\"n\","
				     "result=\"delivered\"} 10\n"));
	assert_non_null(strstr(page, "sluice_connector_state{connector=\"n\",type=\"null\",state=\"up\"} 1\n"));
	sl_buf_fini(&text);
}

static void test_load__status_and_metrics_tell_the_counts(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, "connectors: {n: {type: 'null'}}\nactions: [{connector: n, columns: {a: x, b: x, c: x}}]\n%s", "");
	rig_stage(r, 0, 10, 0, rig_row);
	rig_settle(r, 0);
	struct sl_loop *loops[] = {r->workers[0], connectors_loop(r->cs)};
	struct connectors_snapshot *s = connectors_snapshot_new(r->cs);
	sl_loops_park(loops, 2, status_run, s);
	expect_status(s);
	connectors_snapshot_free(s);
	rig_free(r);
}

/* After a change of the option tables: DESCRIBE_WRITE=1 connectors_load_test writes the file anew. */
static void test_load__the_reference_is_the_committed_one(void **state) {
	(void)state;
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_append_str(
	    &text, "# Options of connectors and actions\n\nPrinted from the option tables; a test compares.\n\n");
	connectors_describe(&text);
	if (getenv("DESCRIBE_WRITE")) {
		FILE *f = fopen(OPTIONS_MD, "w");
		assert_non_null(f);
		fwrite(text.p, 1, text.n, f);
		fclose(f);
	}
	char *committed = rig_read(OPTIONS_MD);
	assert_non_null(committed);
	assert_string_equal(committed, sl_buf_cstr(&text));
	sl_free(committed);
	sl_buf_fini(&text);
}

/* What dead letters call the place that an action writes to; the same words, the same place. */
static void test_load__an_action_says_where_it_writes_to(void **state) {
	static const char yaml[] = "connectors:\n"
				   "  db: {type: sqlite, path: a.db}\n"
				   "  pg: {type: postgres, hosts: [h], database: d, user: u}\n"
				   "  lake: {type: kafka, brokers: [h]}\n"
				   "  cache: {type: redis, url: 'redis://h'}\n"
				   "  docs: {type: mongodb, url: 'mongodb://h', database: d}\n"
				   "  files: {type: file, dir: d}\n"
				   "  none: {type: 'null'}\n"
				   "actions:\n"
				   "  - {connector: db, table: readings, columns: {a: '${a}'}}\n"
				   "  - {connector: db, sql: \" insert  into\\n readings(a) VALUES (${a})\"}\n"
				   "  - {connector: pg, table: s.readings, columns: {a: '${a}'}}\n"
				   "  - {connector: pg, sql: 'WITH x AS (SELECT 1) UPDATE inserts SET a = ${a}'}\n"
				   "  - {connector: pg, sql: 'SELECT store(${a})'}\n"
				   "  - {connector: lake, topic: 'hot.${device}'}\n"
				   "  - {connector: cache, command: [HSET, 'room:${device}', t, '${t}']}\n"
				   "  - {connector: cache, command: [EVAL, 'return 1', 1, 'k:${a}', secret]}\n"
				   "  - {connector: cache, command: [EVAL, 'return 1', 0, '${a}']}\n"
				   "  - {connector: cache, command: [FCALL, last, 1, 'k:${a}', secret]}\n"
				   "  - {connector: cache, command: [FCALL, all, 0, '${a}']}\n"
				   "  - {connector: cache, commands: [[SET, k, v], [PUBLISH, c, '${a}']]}\n"
				   "  - {connector: cache, stream: {key: 's:${a}'}}\n"
				   "  - {connector: docs, collection: readings}\n"
				   "  - {connector: files, file: a.jsonl}\n"
				   "  - {connector: none}\n";
	static const char *const expected[] = {
	    "table readings", "insert into readings", "table s.readings",    "UPDATE inserts SET a =",
	    "SELECT store",   "topic hot.${device}",  "HSET room:${device}", "EVAL k:${a}",
	    "EVAL return 1",  "FCALL last k:${a}",    "FCALL all",           "SET k; PUBLISH c",
	    "XADD s:${a}",    "collection readings",  "file a.jsonl",        NULL};
	(void)state;
	struct yaml_doc *doc;
	assert_int_equal(yaml_doc_load(slice_from_str(yaml), "t", &doc, NULL), SL_OK);
	struct conf_report report = CONF_REPORT_INIT;
	struct connectors_set *set;
	json_t *root = yaml_doc_root(doc), *actions = json_object_get(root, "actions");
	connectors_prepare(NULL, json_object_get(root, "connectors"), (struct conf_at){doc, "connectors"}, &report,
			   &set);
	assert_int_equal(json_array_size(actions), SL_ARRAY_LEN(expected));
	for (uint32_t i = 0; i < SL_ARRAY_LEN(expected); i++) {
		struct sl_action_spec *spec = NULL;
		(void)connectors_prepare_action(set, "r", i, json_array_get(actions, i),
						(struct conf_at){doc, "actions"}, &report, &spec);
		char *said = conf_report_format(&report);
		assert_string_equal(said, "");
		sl_free(said);
		const char *got = spec->action->destination;
		if (expected[i])
			assert_string_equal(got ? got : "", expected[i]);
		else
			assert_null(got);
	}
	connectors_set_free(set);
	conf_report_fini(&report);
	yaml_doc_free(doc);
}

static void test_load__a_long_destination_is_cut_and_told_apart(void **state) {
	struct sl_buf a = SL_BUF_INIT, b = SL_BUF_INIT;
	char name[400];
	(void)state;
	memset(name, 'x', sizeof name);
	name[sizeof name - 1] = 0;
	sl_destination_name(&a, "topic", name);
	name[sizeof name - 2] = 'y';
	sl_destination_name(&b, "topic", name);
	assert_true(a.n < 150);
	assert_string_not_equal(sl_buf_cstr(&a), sl_buf_cstr(&b));
	sl_buf_fini(&a);
	sl_buf_fini(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_load__a_sound_configuration_has_no_complaints),
	    cmocka_unit_test(test_load__an_unknown_type_names_the_types),
	    cmocka_unit_test(test_load__a_missing_required_option_is_named),
	    cmocka_unit_test(test_load__an_unknown_option_names_the_nearest),
	    cmocka_unit_test(test_load__a_wrong_unit_is_refused),
	    cmocka_unit_test(test_load__an_unknown_connector_names_the_nearest),
	    cmocka_unit_test(test_load__what_to_write_must_be_said_once),
	    cmocka_unit_test(test_load__durability_without_a_log_is_refused),
	    cmocka_unit_test(test_load__a_file_must_stay_in_its_folder),
	    cmocka_unit_test(test_load__parameters_come_in_order_with_their_places),
	    cmocka_unit_test(test_load__an_action_says_where_it_writes_to),
	    cmocka_unit_test(test_load__a_long_destination_is_cut_and_told_apart),
	    cmocka_unit_test(test_load__status_and_metrics_tell_the_counts),
	    cmocka_unit_test(test_load__the_reference_is_the_committed_one),
	};
	return cmocka_run_group_tests_name("connectors_load", tests, NULL, NULL);
}
