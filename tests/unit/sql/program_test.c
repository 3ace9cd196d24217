/* program_test.c: what a program tells its caller, how templates are filled, and the listing of EXPLAIN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "mem.h"
#include "sql_case.h"
#include "sql_shape.h"
#include "sql_share.h"

#define TEXT(literal)                                                                                                  \
	{ (literal), sizeof(literal) - 1 }
static const struct sql_case event = {.topic = TEXT("plant/7/data"),
				      .payload = TEXT("{\"t\":21.50,\"unit\":\"C\",\"id\":\"a/b+\",\"o\":{\"k\": 1}}"),
				      .clientid = TEXT("c1"),
				      .qos = 1,
				      .timestamp = 1700000000123};

static struct sql_program *program(const char *text) {
	struct sql_program *p;
	struct sl_err err = SL_ERR_INIT;
	if (sql_case_compile(slice_from_str(text), &p, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	return p;
}

static void test_program__paths_of_where_come_first(void **state) {
	(void)state;
	struct sql_program *p = program(
	    "SELECT payload.a AS a, payload.b.c AS b, payload.d AS d FROM 't/#', 's/#' WHERE payload.d > 1 AND b = 2");
	size_t n, columns, from;
	bool fixed;
	const struct jpath *paths = sql_program_paths(p, &n);
	assert_int_equal(n, 3);
	assert_int_equal(sql_program_where_paths(p), 2);
	assert_true(slice_equal_str(paths[0].steps[0].key, "d"));
	assert_true(slice_equal_str(paths[1].steps[1].key, "c"));
	const struct sl_slice *names = sql_program_columns(p, &columns, &fixed);
	assert_int_equal(columns, 3);
	assert_true(fixed);
	assert_true(slice_equal_str(names[2], "d"));
	const struct sl_slice *filters = sql_program_from(p, &from);
	assert_int_equal(from, 2);
	assert_true(slice_equal_str(filters[1], "s/#"));
	sql_program_free(p);
}

static void test_program__equal_paths_are_one(void **state) {
	(void)state;
	struct sql_program *p =
	    program("SELECT payload.a AS x, payload.a + payload('a') AS y FROM 't/#' WHERE payload.a > 1");
	size_t n;
	sql_program_paths(p, &n);
	assert_int_equal(n, 1);
	sql_program_free(p);
}

static void test_program__text_over_the_limit_is_refused(void **state) {
	(void)state;
	struct sql_compile_opts opts = {.source = sql_case_find, .text_max = 10};
	struct sl_err err = SL_ERR_INIT;
	struct sql_program *p;
	assert_int_equal(sql_compile(SL_SLICE_LIT("SELECT 1 AS x FROM 'a'"), &opts, &p, &err), SL_ELIMIT);
	assert_null(p);
	sl_err_fini(&err);
}

static void test_program__long_chains_compile_and_deep_ones_are_refused(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	for (int terms = 300; terms <= 3000; terms += 2700) {
		struct sl_buf sql = SL_BUF_INIT;
		struct sql_program *p;
		sl_buf_append_str(&sql, "SELECT 1 AS x FROM 't/#' WHERE payload.a = 0");
		for (int i = 1; i < terms; i++) sl_buf_printf(&sql, " AND payload.a != %d", i);
		int r = sql_case_compile(sl_buf_slice(&sql), &p, &err);
		assert_int_equal(r, terms == 300 ? SL_OK : SL_ELIMIT);
		sql_program_free(p);
		sl_buf_fini(&sql);
	}
	sl_err_fini(&err);
}

/* Aliases that use their forerunner twice, read from a branch each, would make a program of 2^n steps. */
static void test_program__exploding_aliases_are_refused(void **state) {
	(void)state;
	struct sl_buf sql = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct sql_program *p;
	sl_buf_append_str(&sql, "SELECT payload.x + 1 AS a0");
	for (int i = 1; i < 60; i++)
		sl_buf_printf(&sql, ", CASE WHEN qos > %d THEN a%d ELSE a%d + 1 END AS a%d", i, i - 1, i - 1, i);
	sl_buf_append_str(&sql, " FROM 't/#' WHERE a59 > 1");
	int r = sql_case_compile(sl_buf_slice(&sql), &p, &err);
	assert_true(r == SL_OK || r == SL_ELIMIT);
	sql_program_free(p);
	sl_err_fini(&err);
	sl_buf_fini(&sql);
}

/* The row of a run over a big payload must come, or a failure, before anybody notices. */
static void assert_ends(const char *text, const char *payload_head, size_t repeats, const char *piece, const char *tail,
			const char *message) {
	struct sql_program *p = program(text);
	struct sl_buf payload = SL_BUF_INIT, rows = SL_BUF_INIT;
	struct sql_vm *vm = sql_vm_new();
	sl_buf_append_str(&payload, payload_head);
	for (size_t i = 0; i < repeats; i++) sl_buf_append_str(&payload, piece);
	sl_buf_append_str(&payload, tail);
	struct sql_case big = event;
	big.payload = sl_buf_slice(&payload);
	assert_int_equal(sql_case_rows(vm, p, &big, &rows), SQL_FAILED);
	assert_string_equal(sl_err_text(sql_vm_error(vm)), message);
	sql_vm_free(vm);
	sql_program_free(p);
	sl_buf_fini(&payload);
	sl_buf_fini(&rows);
}

static void test_run__quadratic_work_ends(void **state) {
	(void)state;
	assert_ends("FOREACH payload.a AS x DO x INCASE x = 2 AND x IN payload.a FROM 't/#'", "{\"a\":[", 20000, "2,",
		    "3]}", "the run made more than 64 MB of values");
	assert_ends("FOREACH split(payload, ',') AS x DO x INCASE contains(x + 'y', split(payload, ',')) FROM 't/#'",
		    "", 100000, "b,", "a", "the run took more than 4194304 steps");
	assert_ends("FOREACH [1..60000] AS x DO x INCASE strlen(payload) < x FROM 't/#'", "", 100000, "abc ", "",
		    "the run took more than 4194304 steps");
}

static void test_run__elements_that_each_give_out_the_whole_payload_end(void **state) {
	(void)state;
	const char *message = "the run made more than 64 MB of values";
	assert_ends("FOREACH payload.a FROM 't/#'", "{\"a\":[", 30000, "2,", "3]}", message);
	assert_ends("FOREACH payload.a AS x DO payload.a AS all FROM 't/#'", "{\"a\":[", 30000, "2,", "3]}", message);
	assert_ends("FOREACH payload.a AS x DO split(payload, ',') AS all FROM 't/#'", "{\"a\":[", 3000, "2,", "3]}",
		    message);
}

static void test_run__values_do_not_nest_without_end(void **state) {
	(void)state;
	struct sl_buf sql = SL_BUF_INIT;
	sl_buf_append_str(&sql, "SELECT 1 AS a");
	for (int i = 0; i < 40; i++) sl_buf_append_str(&sql, ", a AS a.b.c");
	sl_buf_append_str(&sql, " FROM 't/#'");
	assert_ends(sl_buf_cstr(&sql), "", 0, "", "",
		    "arrays and objects would stand more than 64 deep inside each other");
	sl_buf_fini(&sql);
}

/* ---- what the caller hands over ---- */

static int first_value(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	(void)vm;
	sl_buf_clear(arg);
	sql_out_json(row, arg);
	return SL_OK;
}

/* Several programs share one extraction: each finds its paths through its map. */
static void test_run__paths_are_found_through_the_map(void **state) {
	(void)state;
	struct sql_program *p = program("SELECT payload.a AS a, payload.b AS b FROM 't/#'");
	struct jpath_hit hits[4] = {
	    [1] = {.raw = TEXT("7"), .kind = JKIND_INT}, [3] = {.raw = TEXT("x"), .kind = JKIND_STRING}};
	const uint16_t map[] = {3, 1};
	struct sql_input in = {.event = &event, .payload = event.payload, .hits = hits, .map = map};
	struct sql_vm *vm = sql_vm_new();
	struct sl_buf row = SL_BUF_INIT;
	assert_int_equal(sql_run(vm, p, &in, first_value, &row), SQL_PRODUCED);
	assert_string_equal(sl_buf_cstr(&row), "{\"a\":\"x\",\"b\":7}");
	sl_buf_fini(&row);
	sql_vm_free(vm);
	sql_program_free(p);
}

/* A payload that breaks off behind what this rule reads is good enough for it, whatever others asked for. */
static void test_run__what_was_found_before_the_break_counts(void **state) {
	(void)state;
	struct sql_program *p =
	    program("SELECT payload.a AS a, try(payload.b, 'broken') AS b FROM 't/#' WHERE payload.a > 1");
	struct jpath_hit hits[2] = {{.raw = TEXT("7"), .kind = JKIND_INT}};
	struct sql_input in = {
	    .event = &event, .payload = TEXT("{\"a\":7,"), .hits = hits, .payload_status = SL_EMALFORMED};
	struct sql_vm *vm = sql_vm_new();
	struct sl_buf row = SL_BUF_INIT;
	assert_int_equal(sql_run(vm, p, &in, first_value, &row), SQL_PRODUCED);
	assert_string_equal(sl_buf_cstr(&row), "{\"a\":7,\"b\":\"broken\"}");
	sl_buf_fini(&row);
	sql_vm_free(vm);
	sql_program_free(p);
}

static int refuse_row(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	(void)row;
	++*(int *)arg;
	return sql_vm_fail(vm, SL_ELIMIT, "no more rows");
}

static void test_run__the_row_callback_can_end_it(void **state) {
	(void)state;
	struct sql_program *p = program("FOREACH [1, 2, 3] AS n DO try(n, 0) AS n FROM 't/#'");
	struct sql_vm *vm = sql_vm_new();
	int rows = 0;
	assert_int_equal(sql_case_run(vm, p, &event, refuse_row, &rows), SQL_FAILED);
	assert_int_equal(rows, 1);
	assert_string_equal(sl_err_text(sql_vm_error(vm)), "no more rows");
	/* And the vm is good for the next run. */
	assert_int_equal(sql_case_run(vm, p, &event, refuse_row, &rows), SQL_FAILED);
	sql_vm_free(vm);
	sql_program_free(p);
}

/* ---- sources ---- */

static const struct sql_column session_columns[] = {{"clientid", SQL_STRING, 2, "", false},
						    {"reason", SQL_STRING, 90, "", false}};
static struct sql_source session_source = {
    .name = "client.disconnected", .columns = session_columns, .column_count = 2};

static const struct sql_source *find_source(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)arg, (void)err;
	return slice_starts_with(from, SL_SLICE_LIT("$events/")) ? &session_source : &sql_case_source;
}

static void assert_sources(const char *text, const char *message) {
	struct sql_compile_opts opts = {.source = find_source};
	struct sl_err err = SL_ERR_INIT;
	struct sql_program *p;
	session_source.get = sql_case_source.get;
	session_source.payload_column = sql_case_source.payload_column;
	int r = sql_compile(slice_from_str(text), &opts, &p, &err);
	assert_string_equal(r == SL_OK ? "" : sl_err_text(&err), message);
	sl_err_fini(&err);
	sql_program_free(p);
}

static void test_sources__a_mix_has_the_columns_of_all(void **state) {
	(void)state;
	assert_sources("SELECT clientid AS c FROM 't/#', '$events/client/disconnected'", "");
	assert_sources("SELECT reason AS r FROM '$events/client/disconnected'", "");
	assert_sources("SELECT topic AS t, reason AS r FROM 't/#', '$events/client/disconnected'", "");
	assert_sources("SELECT reasn AS r FROM 't/#', '$events/client/disconnected'",
		       "unknown column 'reasn'; did you mean reason?");
	assert_sources("SELECT topic AS t FROM '$events/client/disconnected'",
		       "unknown column 'topic'; a member of the payload is written payload.topic");
}

static void test_sources__columns_of_one_name_must_be_one(void **state) {
	(void)state;
	static struct sql_column other[] = {{"clientid", SQL_STRING, 91, "", false}};
	session_source.columns = other;
	session_source.column_count = 1;
	assert_sources("SELECT clientid AS c FROM 't/#', '$events/client/disconnected'",
		       "message and client.disconnected cannot share a FROM; make two rules");
	session_source.columns = session_columns;
	session_source.column_count = 2;
}

/* ---- templates ---- */

struct filled {
	struct sql_template *t;
	struct sl_buf text;
	enum sql_kind kind;
	int status;
};

static int fill(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct filled *f = arg;
	struct sql_value v;
	f->status = sql_template_eval(vm, f->t, row, &v);
	if (f->status != SL_OK) return f->status;
	f->kind = v.kind;
	sql_value_to_text(&v, &f->text);
	return SL_OK;
}

/* The template filled from the one row of a fixed program. */
static void assert_fills_of(const struct sql_case *from, const char *text, enum sql_target target, enum sql_kind kind,
			    const char *expected) {
	struct sql_program *p =
	    program("SELECT payload.t AS t, payload.unit AS unit, payload.id AS id, payload.o AS o, "
		    "payload.none AS none FROM 'plant/#'");
	struct sl_err err = SL_ERR_INIT;
	struct filled f = {.status = SL_OK};
	if (sql_template_compile(slice_from_str(text), p, target, &f.t, &err) != SL_OK)
		fail_msg("%s: %s", text, sl_err_text(&err));
	struct sql_vm *vm = sql_vm_new();
	enum sql_outcome o = sql_case_run(vm, p, from, fill, &f);
	if (o == SQL_FAILED) sl_buf_append_str(&f.text, sl_err_text(sql_vm_error(vm)));
	assert_string_equal(sl_buf_cstr(&f.text), expected);
	if (o != SQL_FAILED) assert_int_equal(f.kind, kind);
	sql_template_free(f.t);
	sql_program_free(p);
	sql_vm_free(vm);
	sl_buf_fini(&f.text);
	sl_err_fini(&err);
}

static void assert_fills(const char *text, enum sql_target target, enum sql_kind kind, const char *expected) {
	assert_fills_of(&event, text, target, kind, expected);
}

static void test_template__a_single_value_keeps_its_kind(void **state) {
	(void)state;
	assert_fills("${t}", SQL_TO_VALUE, SQL_NUMBER_TEXT, "21.50");
	assert_fills("${t + 1}", SQL_TO_VALUE, SQL_DOUBLE, "22.5");
	assert_fills("${none}", SQL_TO_VALUE, SQL_NULL, "");
	assert_fills("t=${t}", SQL_TO_VALUE, SQL_STRING, "t=21.50");
}

static void test_template__names_are_columns_of_the_row_then_of_the_event(void **state) {
	(void)state;
	assert_fills("${unit}/${clientid}/${topic(2)}/${payload.unit}/${o.k}", SQL_TO_TEXT, SQL_STRING, "C/c1/7/C/1");
	assert_fills("${upper(unit)} ${'}'} $${t} 5$", SQL_TO_TEXT, SQL_STRING, "C } ${t} 5$");
}

static void test_template__the_whole_row(void **state) {
	(void)state;
	const char *row = "{\"t\":21.50,\"unit\":\"C\",\"id\":\"a/b+\",\"o\":{\"k\":1},\"none\":null}";
	assert_fills("${.}", SQL_TO_JSON, SQL_JSON, row);
	assert_fills("${.}", SQL_TO_TEXT, SQL_STRING, row);
	assert_fills("{\"v\":${unit},\"o\":${o}}", SQL_TO_JSON, SQL_STRING, "{\"v\":\"C\",\"o\":{\"k\":1}}");
}

static void test_template__tells_a_column_of_the_event_under_another_name(void **state) {
	static const struct {
		const char *sql, *text;
		bool is;
	} cases[] = {
	    {"SELECT payload.t AS t", "${msgid()}", true},
	    {"SELECT payload.t AS t", "${id}", true},
	    {"SELECT msgid() AS mid", "${mid}", true},
	    {"SELECT id AS mid, mid AS k, k AS again", "${again}", true},
	    {"SELECT *", "${ id }", true},
	    {"SELECT msgid() AS a.b, msgid() AS a", "${a}", true},
	    {"SELECT msgid() AS mid", "x${mid}", false},
	    {"SELECT msgid() AS mid", "${mid || 'x'}", false},
	    {"SELECT msgid() || 'x' AS mid", "${mid}", false},
	    {"SELECT payload.id AS id", "${id}", false},
	    {"SELECT msgid() AS mid, payload.t AS mid", "${mid}", false},
	    {"SELECT msgid() AS a, 1 AS a.b", "${a}", false},
	    {"SELECT clientid AS mid", "${mid}", false},
	    {"SELECT msgid() AS mid", "${.}", false},
	    {"SELECT msgid() AS mid", "mid", false},
	    {"FOREACH payload.a AS e DO msgid() AS mid", "${mid}", false},
	    {"SELECT id AS mid, count(*) AS n", "${mid}", false},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		bool windows = strstr(cases[i].sql, "count(*)");
		char *sql =
		    sl_asprintf("%s FROM 't/#'%s", cases[i].sql, windows ? " GROUP BY id, tumbling('10s')" : "");
		struct sql_program *p = program(sql);
		struct sql_template *t;
		struct sl_err err = SL_ERR_INIT;
		if (sql_template_compile(slice_from_str(cases[i].text), p, SQL_TO_VALUE, &t, &err) != SL_OK)
			fail_msg("%s: %s", cases[i].text, sl_err_text(&err));
		if (sql_template_is_column(t, SL_SLICE_LIT("id")) != cases[i].is)
			fail_msg("%s with %s", sql, cases[i].text);
		sql_template_free(t);
		sql_program_free(p);
		sl_err_fini(&err);
		sl_free(sql);
	}
	struct sql_program *p = program("SELECT msgid() AS _id, payload.t AS t FROM 't/#'");
	assert_true(sql_output_is_column(p, SL_SLICE_LIT("_id"), SL_SLICE_LIT("id")));
	assert_false(sql_output_is_column(p, SL_SLICE_LIT("t"), SL_SLICE_LIT("id")));
	assert_false(sql_output_is_column(p, SL_SLICE_LIT("none"), SL_SLICE_LIT("id")));
	sql_program_free(p);
}

static void test_template__tells_what_all_rows_of_a_message_share(void **state) {
	static const struct {
		const char *sql, *text;
		bool shares;
	} cases[] = {
	    {"FOREACH payload.a AS e FROM 't/#'", "${msgid()}", true},
	    {"FOREACH payload.a AS e FROM 't/#'", "${id}", true},
	    {"FOREACH payload.a AS e DO msgid() AS mid FROM 't/#'", "${mid}", true},
	    {"FOREACH payload.a AS e DO e.n AS n FROM 't/#'", "x-${clientid}-${msgid()}", true},
	    {"FOREACH payload.a AS e DO e.n AS n FROM 't/#'", "${msgid() || payload.x}", true},
	    {"FOREACH payload.a AS e DO e.n AS n FROM 't/#'", "${msgid()}-${n}", false},
	    {"FOREACH payload.a AS e DO e.n AS n FROM 't/#'", "${msgid() || n}", false},
	    {"FOREACH payload.a AS e FROM 't/#'", "${msgid()}-${e.n}", false},
	    {"FOREACH payload.a AS e FROM 't/#'", "${msgid()}-${uuid_v4()}", false},
	    {"FOREACH payload.a AS e FROM 't/#'", "${clientid}", false},
	    {"FOREACH payload.a AS e FROM 't/#'", "${.}", false},
	    {"SELECT payload.n AS n FROM 't/#'", "${msgid()}", false},
	    {"SELECT id AS mid, count(*) AS n FROM 't/#' GROUP BY id, tumbling('10s')", "${mid}", false},
	};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct sql_program *p = program(cases[i].sql);
		struct sql_template *t;
		struct sl_err err = SL_ERR_INIT;
		if (sql_template_compile(slice_from_str(cases[i].text), p, SQL_TO_VALUE, &t, &err) != SL_OK)
			fail_msg("%s: %s", cases[i].text, sl_err_text(&err));
		if (sql_template_shares(t, SL_SLICE_LIT("id")) != cases[i].shares)
			fail_msg("%s with %s", cases[i].sql, cases[i].text);
		sql_template_free(t);
		sql_program_free(p);
		sl_err_fini(&err);
	}
	struct sql_program *p = program("FOREACH payload.a AS e DO msgid() AS _id, e AS e FROM 't/#'");
	assert_true(sql_output_shares(p, SL_SLICE_LIT("_id"), SL_SLICE_LIT("id")));
	assert_false(sql_output_shares(p, SL_SLICE_LIT("e"), SL_SLICE_LIT("id")));
	assert_false(sql_output_is_column(p, SL_SLICE_LIT("_id"), SL_SLICE_LIT("id")));
	sql_program_free(p);
}

/* What is JSON around its ${} stays JSON, whatever the values hold; what is not is text, as it stands. */
static void test_template__json_stays_json(void **state) {
	(void)state;
	struct sql_case quoting = event;
	quoting.payload = SL_SLICE_LIT("{\"t\":21.50,\"unit\":\"a \\\"b\\\"\\n\",\"id\":\"7\",\"o\":{\"k\":1}}");
	assert_fills_of(&quoting, "{\"v\":\"${unit}\",\"w\": ${unit}}", SQL_TO_BYTES, SQL_STRING,
			"{\"v\":\"a \\\"b\\\"\\n\",\"w\": \"a \\\"b\\\"\\n\"}");
	assert_fills_of(&quoting, "{\"v\":\"<${o}>\",\"w\":${o}}", SQL_TO_VALUE, SQL_STRING,
			"{\"v\":\"<{\\\"k\\\":1}>\",\"w\":{\"k\":1}}");
	assert_fills_of(&quoting, " {\"n\":${none},\"s\":\"${none}\",\"t\":${t}, \"${id}\":[true]}", SQL_TO_TEXT,
			SQL_STRING, " {\"n\":null,\"s\":\"\",\"t\":21.50, \"7\":[true]}");
	assert_fills_of(
	    &quoting, "{\"p\":\"${payload}\",\"q\":${payload}}", SQL_TO_BYTES, SQL_STRING,
	    "{\"p\":\"{\\\"t\\\":21.50,\\\"unit\\\":\\\"a \\\\\\\"b\\\\\\\"\\\\n\\\",\\\"id\\\":\\\"7\\\",\\\"o\\\":{"
	    "\\\"k\\\":1}}\",\"q\":{\"t\":21.50,\"unit\":\"a \\\"b\\\"\\n\",\"id\":\"7\",\"o\":{\"k\":1}}}");
	/* Text that is one JSON value is that value, where no quotes stand around it. */
	assert_fills_of(&quoting, "[{\"v\":${id}},\"\\\"${id}\"]", SQL_TO_TEXT, SQL_STRING, "[{\"v\":7},\"\\\"7\"]");
	assert_fills_of(
	    &quoting, "{\"v\":\"${.}\"}", SQL_TO_BYTES, SQL_STRING,
	    "{\"v\":\"{\\\"t\\\":21.50,\\\"unit\\\":\\\"a \\\\\\\"b\\\\\\\"\\\\n\\\",\\\"id\\\":\\\"7\\\",\\\"o\\\":{"
	    "\\\"k\\\":1},\\\"none\\\":null}\"}");
	/* Not JSON. */
	assert_fills_of(&quoting, "{\"a\":\"\\${id}n\"}", SQL_TO_TEXT, SQL_STRING, "{\"a\":\"\\7n\"}");
	assert_fills_of(&quoting, "[${unit}]", SQL_TO_TEXT, SQL_STRING, "[a \"b\"\n]");
	assert_fills_of(&quoting, "{${id}}:\"${unit}\"", SQL_TO_TEXT, SQL_STRING, "{7}:\"a \"b\"\n\"");
	assert_fills_of(&quoting, "{\"a\":1${id}}", SQL_TO_TEXT, SQL_STRING, "{\"a\":17}");
	assert_fills_of(&quoting, "\"${unit}\"", SQL_TO_TEXT, SQL_STRING, "\"a \"b\"\n\"");
}

static void test_template__topics_take_no_wildcards_and_no_null(void **state) {
	(void)state;
	assert_fills("a/${unit}/${t}", SQL_TO_TOPIC, SQL_STRING, "a/C/21.50");
	assert_fills("a/${id}", SQL_TO_TOPIC, SQL_STRING,
		     "a value for the topic a/${id} holds '+', '#' or a zero byte, which topics cannot");
	assert_fills("a/${none}", SQL_TO_TOPIC, SQL_STRING,
		     "the topic a/${none} has no value for one of its parts (null)");
}

static void assert_level(const char *text, const char *expected) {
	struct sql_case deep = event;
	deep.payload = SL_SLICE_LIT("{\"id\":\"a/b\",\"unit\":\"$SYS\"}");
	char *refused =
	    sl_asprintf("a value for one level of the topic %s holds '/', which would make it more than one; "
			"`slashes: allow` takes it",
			text);
	assert_fills_of(&deep, text, SQL_TO_TOPIC, SQL_STRING, expected ? expected : refused);
	if (!expected && text[0] != '$') assert_fills_of(&deep, text, SQL_TO_TOPIC_LEVELS, SQL_STRING, "x/a/b");
	sl_free(refused);
}

static void test_template__a_value_is_one_level_of_a_topic(void **state) {
	(void)state;
	assert_level("x/${id}", NULL);
	assert_level("${id}/x", NULL);
	assert_level("x/${payload.id}", NULL);
	assert_level("x/${unit}", "x/$SYS");
	assert_level("${id}", "a/b"); /* the whole topic is data: that is what was meant */
	assert_level("x/${concat(id, '')}", "x/a/b");
	assert_level("copy/${topic}", "copy/plant/7/data"); /* a topic is a topic */
	assert_level("${unit}/x", "a value at the beginning of the topic ${unit}/x begins with '$'");
}

static void assert_template_refused(const char *text, uint32_t column, const char *message) {
	struct sql_program *p = program("SELECT payload.t AS temperature FROM 't/#'");
	struct sl_err err = SL_ERR_INIT;
	struct sql_template *t;
	assert_int_not_equal(sql_template_compile(slice_from_str(text), p, SQL_TO_TEXT, &t, &err), SL_OK);
	assert_string_equal(sl_err_text(&err), message);
	assert_int_equal(err.column, column);
	sl_err_fini(&err);
	sql_program_free(p);
}

static void test_template__mistakes_have_their_place(void **state) {
	(void)state;
	assert_template_refused("dev/${temprature}", 7, "unknown column 'temprature'; did you mean temperature?");
	assert_template_refused("dev/${temperature", 5,
				"this ${ has no closing } (write $${ for the characters as such)");
	assert_template_refused("x${}", 4, "${} is empty; ${.} is the whole row, ${name} a column");
	assert_template_refused("x${1 +}", 7, "the text ends here, expected an expression");
}

static void test_template__literal_text_is_constant(void **state) {
	(void)state;
	struct sql_program *p = program("SELECT 1 AS x FROM 't/#'");
	struct sql_template *t;
	struct sl_slice text;
	assert_int_equal(sql_template_compile(SL_SLICE_LIT("alerts/hot"), p, SQL_TO_TOPIC, &t, NULL), SL_OK);
	assert_true(sql_template_is_constant(t, &text));
	assert_true(slice_equal_str(text, "alerts/hot"));
	sql_template_free(t);
	assert_int_equal(sql_template_compile(SL_SLICE_LIT("${x}"), p, SQL_TO_TOPIC, &t, NULL), SL_OK);
	assert_false(sql_template_is_constant(t, &text));
	sql_template_free(t);
	sql_program_free(p);
}

static void test_template__adds_its_paths_to_the_program(void **state) {
	(void)state;
	struct sql_program *p = program("SELECT payload.a AS a FROM 't/#' WHERE payload.b = 1");
	struct sql_template *t;
	size_t n;
	assert_int_equal(sql_template_compile(SL_SLICE_LIT("${payload.c}${payload.a}"), p, SQL_TO_TEXT, &t, NULL),
			 SL_OK);
	sql_program_paths(p, &n);
	assert_int_equal(n, 3);
	assert_int_equal(sql_program_where_paths(p), 1);
	sql_template_free(t);
	sql_program_free(p);
}

/* ---- what programs have in common ---- */

static size_t shared_count(const char *text) {
	size_t n;
	struct sql_program *p = program(text);
	(void)sql_program_shared(p, &n);
	sql_program_free(p);
	return n;
}

static void test_shared__is_what_is_dear_and_the_same_for_all(void **state) {
	(void)state;
	assert_int_equal(shared_count("SELECT payload.a * 2 + 1 AS x FROM 't'"), 1);
	assert_int_equal(shared_count("SELECT upper(payload.a) AS x, upper(payload.a) AS y FROM 't'"), 1);
	assert_int_equal(shared_count("SELECT substr(upper(payload.a), 1) AS x FROM 't'"), 2);
	assert_int_equal(shared_count("SELECT upper(payload.a) AS a FROM 't' WHERE strlen(a) > 1"), 3);
	assert_int_equal(shared_count("SELECT payload.a AS x FROM 't' WHERE payload.a > 1 AND clientid = 'c'"), 0);
	assert_int_equal(shared_count("SELECT upper(metadata.rule_id) AS x FROM 't'"), 0);
	assert_int_equal(shared_count("SELECT random() * 2 + 1 AS x FROM 't'"), 0);
	assert_int_equal(shared_count("SELECT try(payload.a + 1, 0) AS x FROM 't'"), 0);
	assert_int_equal(shared_count("FOREACH payload.l AS i DO upper(i) AS x FROM 't'"), 0);
	assert_int_equal(shared_count("FOREACH payload.l AS i DO upper(payload.a) AS x FROM 't'"), 1);
}

static void test_shared__nothing_of_programs_that_remember_or_group(void **state) {
	(void)state;
	static const char *const texts[] = {
	    "SELECT lag(payload.a) AS x, upper(payload.a) AS y FROM 't'",
	    "SELECT count(*) AS n, upper(payload.k) AS k FROM 't' GROUP BY payload.k, tumbling('10s')"};
	for (size_t i = 0; i < SL_ARRAY_LEN(texts); i++) {
		struct sql_program *p = program(texts[i]), *q = program(texts[i]);
		assert_int_equal(shared_count(texts[i]), 0);
		assert_int_equal(sql_shape_hash(p), 0);
		assert_false(sql_shape_same(p, q));
		sql_program_free(p);
		sql_program_free(q);
	}
}

static void test_shared__the_same_text_gives_the_same(void **state) {
	(void)state;
	struct sql_program *p = program("SELECT upper(payload.a) AS x FROM 't'");
	struct sql_program *q = program("SELECT upper(payload.a) AS x FROM 't'");
	struct sql_program *r = program("SELECT upper(payload.b) AS x FROM 't'");
	assert_true(sql_shape_same(p, q));
	assert_false(sql_shape_same(p, r));
	sql_program_free(p);
	sql_program_free(q);
	sql_program_free(r);
}

/* ---- EXPLAIN ---- */

static void test_explain__is_what_the_readme_shows(void **state) {
	(void)state;
	struct sql_program *p = program("SELECT clientid AS dev, payload.t AS t, upper(payload.unit) AS unit\n"
					"FROM 'plant/+/data'\n"
					"WHERE payload.t > 28 AND topic(2) != 'test'");
	struct sl_buf out = SL_BUF_INIT, readme = SL_BUF_INIT;
	sql_explain(p, &out);
	FILE *f = fopen(SQL_README, "rb");
	assert_non_null(f);
	char block[4096];
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) sl_buf_append(&readme, block, n);
	fclose(f);
	if (slice_find(sl_buf_slice(&readme), sl_buf_slice(&out)) < 0) {
		fprintf(stderr, "sql/README.md should show:\n%s", sl_buf_cstr(&out));
		fail();
	}
	sl_buf_fini(&out);
	sl_buf_fini(&readme);
	sql_program_free(p);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_program__paths_of_where_come_first),
	    cmocka_unit_test(test_program__equal_paths_are_one),
	    cmocka_unit_test(test_program__text_over_the_limit_is_refused),
	    cmocka_unit_test(test_program__long_chains_compile_and_deep_ones_are_refused),
	    cmocka_unit_test(test_program__exploding_aliases_are_refused),
	    cmocka_unit_test(test_run__quadratic_work_ends),
	    cmocka_unit_test(test_run__elements_that_each_give_out_the_whole_payload_end),
	    cmocka_unit_test(test_run__values_do_not_nest_without_end),
	    cmocka_unit_test(test_run__paths_are_found_through_the_map),
	    cmocka_unit_test(test_run__what_was_found_before_the_break_counts),
	    cmocka_unit_test(test_run__the_row_callback_can_end_it),
	    cmocka_unit_test(test_sources__a_mix_has_the_columns_of_all),
	    cmocka_unit_test(test_sources__columns_of_one_name_must_be_one),
	    cmocka_unit_test(test_template__a_single_value_keeps_its_kind),
	    cmocka_unit_test(test_template__names_are_columns_of_the_row_then_of_the_event),
	    cmocka_unit_test(test_template__the_whole_row),
	    cmocka_unit_test(test_template__tells_a_column_of_the_event_under_another_name),
	    cmocka_unit_test(test_template__tells_what_all_rows_of_a_message_share),
	    cmocka_unit_test(test_template__json_stays_json),
	    cmocka_unit_test(test_template__topics_take_no_wildcards_and_no_null),
	    cmocka_unit_test(test_template__a_value_is_one_level_of_a_topic),
	    cmocka_unit_test(test_template__mistakes_have_their_place),
	    cmocka_unit_test(test_template__literal_text_is_constant),
	    cmocka_unit_test(test_template__adds_its_paths_to_the_program),
	    cmocka_unit_test(test_shared__is_what_is_dear_and_the_same_for_all),
	    cmocka_unit_test(test_shared__nothing_of_programs_that_remember_or_group),
	    cmocka_unit_test(test_shared__the_same_text_gives_the_same),
	    cmocka_unit_test(test_explain__is_what_the_readme_shows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
