/* The message a row comes from: its record, its place in a chunk, its way through log, dead letter and replay. */
#include "origin.h"

#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connectors_int.h"
#include "dead_row.h"
#include "rig.h"
#include "sql_row.h"
#include "test_db.h"

#define PAYLOAD "{\"name\":\"Z\xc3\xbcrich\"}"

static struct sl_origin origin_make(void) {
	return (struct sl_origin){.topic = SL_SLICE_LIT("plant/a7"),
				  .clientid = SL_SLICE_LIT("a7"),
				  .payload = SL_SLICE_LIT(PAYLOAD),
				  .id = SL_SLICE_LIT("0123456789abcdef"),
				  .at_ms = 1700000000123,
				  .qos = 2};
}

static void test_origin__is_read_as_it_was_written(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sl_origin o = origin_make(), back;
	uint32_t size;
	sl_origin_write(&b, &o, 1000);
	assert_int_equal(sql_row_check(sl_buf_slice(&b), &size), SL_OK);
	assert_int_equal(size, b.n);
	assert_int_equal(sl_origin_read(b.p, &back), SL_OK);
	assert_true(slice_equal(back.topic, o.topic));
	assert_true(slice_equal(back.clientid, o.clientid));
	assert_true(slice_equal(back.payload, o.payload));
	assert_true(slice_equal(back.id, o.id));
	assert_int_equal(back.payload_bytes, o.payload.n);
	assert_int_equal(back.at_ms, o.at_ms);
	assert_int_equal(back.qos, 2);
	sl_buf_fini(&b);
}

static void test_origin__a_payload_is_cut_between_characters(void **state) {
	(void)state;
	for (uint32_t keep = 0; keep < sizeof PAYLOAD; keep++) {
		struct sl_buf b = SL_BUF_INIT;
		struct sl_origin o = origin_make(), back;
		sl_origin_write(&b, &o, keep);
		assert_int_equal(sl_origin_read(b.p, &back), SL_OK);
		assert_int_equal(back.payload_bytes, sizeof PAYLOAD - 1);
		assert_int_equal(back.payload.n, keep == 11 ? 10 : keep); /* in the middle of the umlaut */
		sl_buf_fini(&b);
	}
}

static void test_origin__bytes_that_are_no_text_are_cut_anywhere(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sl_origin o = {.topic = SL_SLICE_LIT("t"), .payload = SL_SLICE_LIT("\x80\x80\x80\x80\x80\x80")}, back;
	sl_origin_write(&b, &o, 5);
	assert_int_equal(sl_origin_read(b.p, &back), SL_OK);
	assert_int_equal(back.payload.n, 5);
	sl_buf_fini(&b);
}

static void test_origin__any_damage_is_noticed_or_harmless(void **state) {
	(void)state;
	struct sl_origin o = origin_make(), back;
	struct sl_buf b = SL_BUF_INIT;
	sl_origin_write(&b, &o, 1000);
	for (size_t i = 0; i < b.n * 8; i++) {
		char *copy = sl_alloc(b.n);
		uint32_t size;
		memcpy(copy, b.p, b.n);
		copy[i / 8] ^= (char)(1 << i % 8);
		if (sql_row_check(slice_make(copy, b.n), &size) == SL_OK && sl_origin_read(copy, &back) == SL_OK) {
			struct sl_buf json = SL_BUF_INIT;
			sl_origin_json(&back, &json);
			sl_buf_fini(&json);
		}
		sl_free(copy);
	}
	sl_buf_fini(&b);
}

static void test_origin__as_json(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sl_origin o = origin_make();
	sl_origin_json(&o, &b);
	assert_string_equal(
	    sl_buf_cstr(&b),
	    "{\"topic\":\"plant/a7\",\"clientid\":\"a7\",\"qos\":2,\"timestamp\":1700000000123,"
	    "\"payload\":\"{\\\"name\\\":\\\"Z\xc3\xbcrich\\\"}\",\"id\":\"30313233343536373839616263646566\"}");
	sl_buf_clear(&b);
	o = (struct sl_origin){.topic = SL_SLICE_LIT("t"), .payload = SL_SLICE_LIT("\xff"), .payload_bytes = 9};
	sl_origin_json(&o, &b);
	assert_string_equal(sl_buf_cstr(&b), "{\"topic\":\"t\",\"clientid\":\"\",\"qos\":0,\"timestamp\":0,"
					     "\"payload_base64\":\"/w==\",\"payload_bytes\":9}");
	sl_buf_fini(&b);
}

/* jq stops at a half surrogate; the row that is read back has the same bytes. */
static void row_again(const char *document, const char *expected) {
	struct sl_buf row = SL_BUF_INIT, line = SL_BUF_INIT, back = SL_BUF_INIT;
	const struct sl_param param = {.name = SL_SLICE_LIT("v")};
	struct sql_value v = {
	    .kind = SQL_JSON, .is_array = *document == '[', .n = (uint32_t)strlen(document), .p = document};
	struct dead_line l;
	struct sl_arena arena;
	sl_arena_init(&arena, 1024);
	sql_row_write(&row, &v, 1, 0, 0, 7);
	struct sl_reject r = {.rule = "r",
			      .row = row.p,
			      .params = &param,
			      .param_count = 1,
			      .reason = "why",
			      .connector = "c",
			      .type = "null"};
	dead_line_write(&r, false, &line);
	if (!strstr(sl_buf_cstr(&line), expected)) fail_msg("%s in %s", expected, sl_buf_cstr(&line));
	line.n--;
	assert_int_equal(dead_line_read(sl_buf_slice(&line), &arena, &l, NULL), SL_OK);
	assert_int_equal(dead_line_row(&l, &param, 1, &arena, &back, NULL), SL_OK);
	struct sql_value again = sql_row_get(back.p, 0);
	assert_int_equal(again.kind, SQL_JSON);
	assert_int_equal(again.is_array, v.is_array);
	assert_true(slice_equal_str(sql_value_text(&again), document));
	sl_arena_fini(&arena);
	sl_buf_fini(&row);
	sl_buf_fini(&line);
	sl_buf_fini(&back);
}

static void test_dead__half_a_surrogate_pair_stands_as_text(void **state) {
	(void)state;
	row_again("{\"a\":\"\\ud83d\\ude00\"}", "\"row\":{\"v\":{\"a\":\"\\ud83d\\ude00\"}}}");
	row_again("{\"a\":\"\\ud800\"}",
		  "\"row\":{\"v\":\"{\\\"a\\\":\\\"\\\\ud800\\\"}\"},\"kinds\":{\"v\":\"json text\"}}");
	row_again("[\"\\udc00\"]", "\"kinds\":{\"v\":\"json text\"}}");
	row_again("\"\\uD800\"", "\"kinds\":{\"v\":\"json text\"}}");
	row_again("{\"a\":\"\\\\ud800\"}", "\"row\":{\"v\":{\"a\":\"\\\\ud800\"}}}");
}

static void origin_again(const struct sl_origin *o, uint32_t keep) {
	struct sl_buf record = SL_BUF_INIT, row = SL_BUF_INIT, line = SL_BUF_INIT;
	struct sl_origin from, back;
	struct dead_line l;
	struct sl_arena arena;
	sl_arena_init(&arena, 1024);
	sl_origin_write(&record, o, keep);
	assert_int_equal(sl_origin_read(record.p, &from), SL_OK);
	sql_row_write(&row, NULL, 0, 0, 0, o->at_ms);
	struct sl_reject r = {
	    .rule = "r", .row = row.p, .from = &from, .reason = "why", .connector = "c", .type = "null"};
	dead_line_write(&r, false, &line);
	line.n--;
	assert_int_equal(dead_line_read(sl_buf_slice(&line), &arena, &l, NULL), SL_OK);
	dead_line_origin(&l, &arena, &back);
	struct sl_buf again = SL_BUF_INIT;
	sl_origin_write(&again, &back, UINT32_MAX);
	assert_true(slice_equal(sl_buf_slice(&again), sl_buf_slice(&record)));
	sl_arena_fini(&arena);
	sl_buf_fini(&again);
	sl_buf_fini(&record);
	sl_buf_fini(&row);
	sl_buf_fini(&line);
}

static void test_origin__comes_out_of_a_dead_letter_as_it_went_in(void **state) {
	(void)state;
	struct sl_origin o = origin_make();
	origin_again(&o, 1000);
	origin_again(&o, 3);
	origin_again(&o, 0);
	o.payload = SL_SLICE_LIT("\xff\x00\x01");
	o.id = SL_SLICE_EMPTY;
	origin_again(&o, 1000);
	o.payload = SL_SLICE_EMPTY;
	origin_again(&o, 1000);
}

/* ---- whole pipelines: the rig gives three rows a message ---- */

#define POISON(table, more)                                                                                            \
	"connectors: {db: {type: sqlite, path: %s/a.db}}\nactions:\n  - connector: db\n    table: " table              \
	"\n    create: false\n    columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}\n    retry: {first: 5ms, "     \
	"max: 20ms}\n" more

static char *dead_text(const char *data) {
	char *path = sl_asprintf("%s/dead/r.0.jsonl", data), *text = rig_read(path);
	sl_free(path);
	assert_non_null(text);
	return text;
}

/* Each row's line has the client id that the rig gave its message: that of the first of its three rows. */
static void lines_check(const char *data, size_t want, const char *member) {
	char *text = dead_text(data);
	struct sl_slice rest = slice_from_str(text);
	size_t n = 0;
	while (rest.n) {
		char *line = slice_dup(slice_next_part(&rest, '\n')), *row = strstr(line, "\"b\":");
		assert_non_null(row);
		char *client = sl_asprintf("\"clientid\":\"d%ld\"", strtol(row + 4, NULL, 10) / 3 * 3 % 10);
		assert_non_null(strstr(line, "\"message\":{\"topic\":\"rig/topic\""));
		assert_non_null(strstr(line, client));
		if (member) assert_non_null(strstr(line, member));
		sl_free(client);
		sl_free(line);
		n++;
	}
	assert_int_equal(n, want);
	sl_free(text);
}

static void test_origin__stands_in_each_dead_letter(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	db_exec(r->dir, "CREATE TABLE x(a, b CHECK (b % 7 <> 1), c)");
	rig_load(r, POISON("x", ""), r->dir);
	r->payload = SL_SLICE_LIT("{\"n\":1}");
	rig_stage(r, 0, 700, 100, rig_row);
	assert_int_equal(rig_settle(r, 0).rejected, 100);
	lines_check(r->dir, 100, "\"qos\":1,\"timestamp\":1");
	lines_check(r->dir, 100, "\"payload\":\"{\\\"n\\\":1}\"}");
	rig_free(r);
}

static void test_origin__payload_0_keeps_none(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	db_exec(r->dir, "CREATE TABLE x(a, b CHECK (b < 0), c)");
	rig_load(r, POISON("x", "    dead_letter: {payload: 0}\n"), r->dir);
	r->payload = SL_SLICE_LIT("{\"n\":1}");
	rig_stage(r, 0, 10, 0, rig_row);
	assert_int_equal(rig_settle(r, 0).rejected, 10);
	lines_check(r->dir, 10, ",\"payload_bytes\":7}");
	rig_free(r);
}

/* Rows that wait while the process ends, in memory, in the log alone, or half of a chunk decided. */
static void survive(const char *buffer) {
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	char *yaml = sl_asprintf("%s    buffer: {%s}\n", POISON("x", ""), buffer);
	struct rig *r = rig_new_in(1, data);
	r->payload = SL_SLICE_LIT("{\"n\":1}");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	rig_load(r, yaml, dir);
	rig_stage(r, 0, 5000, 500, rig_row);
	rig_free(r);
	db_exec(dir, "CREATE TABLE x(a, b CHECK (b % 10 <> 1), c)");
	r = rig_new_in(1, data);
	rig_load(r, yaml, dir);
#pragma GCC diagnostic pop
	assert_int_equal(rig_settle(r, 0).rejected, 500);
	lines_check(data, 500, "\"payload\":\"{\\\"n\\\":1}\"}");
	rig_free(r);
	rig_rmdir(dir);
	sl_free(yaml);
	sl_free(data);
	sl_free(dir);
}

static void test_origin__survives_in_the_log(void **state) {
	(void)state;
	survive("memory: 64KB");
	survive("durability: memory");
	survive("durability: disk");
}

static bool some_delivered(const struct sl_action_counts *n) { return n->delivered >= 21; }

/* The rest of a chunk is saved with the origins of just that rest. */
static void test_origin__stays_with_the_rows_that_are_left_of_a_chunk(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r,
		 "connectors: {db: {type: 'null', delay: 20ms}}\nactions:\n"
		 "  - {connector: db, columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}, batch: {rows: 7},\n"
		 "     buffer: {durability: memory}}\n%s",
		 "");
	rig_stage(r, 0, 3000, 0, rig_row);
	assert_true(rig_until(r, 0, some_delivered));
	rig_stop(r, 1);
	rig_free(r);
	db_exec(dir, "CREATE TABLE x(a, b CHECK (b < 0), c)");
	r = rig_new_in(1, data);
	rig_load(r, POISON("x", ""), dir);
	uint64_t left = rig_settle(r, 0).rejected;
	assert_in_range(left, 1, 3000 - 21);
	lines_check(data, left, NULL);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static void test_origin__follows_rows_to_other_columns(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, POISON("x", ""), dir);
	rig_stage(r, 0, 30, 0, rig_row);
	rig_free(r);
	db_exec(dir, "CREATE TABLE y(b CHECK (b < 0), a)");
	r = rig_new_in(1, data);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: y, columns: {b: \"${n}\", a: \"${device}\"}}]\n",
		 dir);
	assert_int_equal(rig_settle(r, 0).rejected, 30);
	lines_check(data, 30, NULL);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static void test_origin__is_found_for_rows_in_any_order(void **state) {
	(void)state;
	struct sl_pipeline p = {.cs = NULL};
	struct sl_chunk *c = connectors_chunk_new(&p, 0, true);
	struct sl_origin found;
	const char *rows[6];
	for (int i = 0; i < 6; i++) {
		struct sql_value v = sql_int(i);
		struct sl_origin o = {.topic = slice_make(&"abc"[i / 2], 1)};
		if (i % 2 == 0) sl_origin_write(&c->buf, &o, 0);
		sql_row_write(&c->buf, &v, 1, 0, 0, 0);
		c->rows++;
	}
	const char *at = chunk_rows(c);
	for (int i = 0; i < 6; i++) {
		rows[i] = at = chunk_row_at(at);
		at += sql_row_head(at)->size;
	}
	/* In any order. */
	for (int k = 0; k < 36; k++) {
		int i = k * 5 % 6;
		assert_true(chunk_origin(c, rows[i], &found));
		assert_int_equal(found.topic.p[0], "abc"[i / 2]);
	}
	connectors_chunk_free(c);
}

/* ---- logs of the former form ---- */

static void segment_make_old(const char *data) {
	char *pattern = sl_asprintf("%s/actions/r.0/*.log", data);
	glob_t found;
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	int fd = open(found.gl_pathv[0], O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "SLSEG001", 8, 0), 8);
	close(fd);
	globfree(&found);
	sl_free(pattern);
}

static void test_origin__logs_of_the_former_form_are_read(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, POISON("x", ""), dir);
	rig_stage(r, 0, 30, 0, rig_row);
	rig_free(r);
	segment_make_old(data);
	db_exec(dir, "CREATE TABLE x(a, b, c)");
	r = rig_new_in(1, data);
	rig_load(r, POISON("x", ""), dir);
	assert_int_equal(rig_settle(r, 0).delivered, 30);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

/* ---- Rows that were given back, and dropped from the log. ---- */

#define AWAY(buffer)                                                                                                   \
	"connectors: {db: {type: sqlite, path: /dev/null/a.db, reconnect: {first: 1h, max: 1h}}}\n"                    \
	"actions: [{connector: db, table: x, columns: {a: '${device}', b: '${n}', c: '${t}'}, buffer: {memory: "       \
	"64KB, " buffer "}}]\n%s"

static bool some_rejected(const struct sl_action_counts *n) { return n->rejected > 0; }
static bool given_back(const struct sl_action_counts *n) { return n->replayed == 100; }
static bool all_dropped(const struct sl_action_counts *n) { return n->dropped_overflow == 3000; }

/* Who replays them waits until they are decided, be it so. */
static void test_replay__rows_that_the_log_drops_are_counted_as_given_back(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	char *letters = sl_asprintf("%s/dead/r.0.jsonl", r->dir), *back = sl_asprintf("%s.1-0.replay", letters);
	rig_load(r, AWAY("rows: 900, overflow: dead_letter"), "");
	rig_stage(r, 0, 1000, 100, rig_row);
	assert_true(rig_until(r, 0, some_rejected));
	assert_int_equal(rig_counts(r, 0).rejected, 100);
	assert_int_equal(rename(letters, back), 0);
	rig_load(r, AWAY("rows: 1000, overflow: drop_oldest"), "");
	assert_true(rig_until(r, 0, given_back));
	rig_stage(r, 0, 3000, 0, rig_row);
	assert_true(rig_until(r, 0, all_dropped));
	assert_int_equal(rig_counts(r, 0).queued, 1000);
	assert_int_equal(r->p[0]->count.again_dropped, 100);
	sl_free(letters);
	sl_free(back);
	rig_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_origin__is_read_as_it_was_written),
	    cmocka_unit_test(test_origin__a_payload_is_cut_between_characters),
	    cmocka_unit_test(test_origin__bytes_that_are_no_text_are_cut_anywhere),
	    cmocka_unit_test(test_origin__any_damage_is_noticed_or_harmless),
	    cmocka_unit_test(test_origin__as_json),
	    cmocka_unit_test(test_origin__comes_out_of_a_dead_letter_as_it_went_in),
	    cmocka_unit_test(test_origin__stands_in_each_dead_letter),
	    cmocka_unit_test(test_origin__payload_0_keeps_none),
	    cmocka_unit_test(test_origin__survives_in_the_log),
	    cmocka_unit_test(test_origin__stays_with_the_rows_that_are_left_of_a_chunk),
	    cmocka_unit_test(test_origin__follows_rows_to_other_columns),
	    cmocka_unit_test(test_origin__is_found_for_rows_in_any_order),
	    cmocka_unit_test(test_origin__logs_of_the_former_form_are_read),
	    cmocka_unit_test(test_dead__half_a_surrogate_pair_stands_as_text),
	    cmocka_unit_test(test_replay__rows_that_the_log_drops_are_counted_as_given_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
