/* A reload that changes an action, or only its connection's settings: rows, counters and log go on with the new ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "test_db.h"

#define ACTION(more)                                                                                                   \
	"actions: [{connector: db, table: x, columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}" more "}]\n"
#define GOOD "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
#define WRONG "connectors: {db: {type: sqlite, path: /dev/null/%.0s/a.db, reconnect: {first: 5ms, max: 5ms}}}\n"

static int64_t disorder(const char *dir) {
	return db_int(dir, "SELECT count(*) FROM (SELECT b, lag(b) OVER (PARTITION BY a ORDER BY rowid) AS was FROM x) "
			   "WHERE was >= b");
}

static void test_change__rows_that_a_wrong_connection_kept_waiting_go_over_the_right_one(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WRONG ACTION(""), r->dir);
	struct sl_pipeline *before = r->p[0];
	rig_stage(r, 0, 1000, 100, rig_row);
	assert_true(rig_confirms(r, 1000));
	assert_int_equal(rig_counts(r, 0).delivered, 0);
	rig_load(r, GOOD ACTION(""), r->dir);
	assert_ptr_equal(before, r->p[0]);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.received, 1000);
	assert_int_equal(n.delivered, 1000);
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT b) FROM x"), 1000);
	assert_int_equal(disorder(r->dir), 0);
	rig_free(r);
}

static void test_change__waiting_rows_and_new_ones_are_in_order_under_other_settings(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WRONG ACTION(", buffer: {memory: 64KB}"), r->dir);
	rig_stage(r, 0, 5000, 50, rig_row);
	rig_load(r, WRONG ACTION(", batch: {rows: 7}, buffer: {memory: 64KB}"), r->dir);
	rig_stage(r, 0, 1000, 100, rig_row);
	rig_load(r, GOOD ACTION(", batch: {rows: 70}, buffer: {sync: tick}"), r->dir);
	rig_stage(r, 0, 1000, 100, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.received, 7000);
	assert_int_equal(n.delivered, 7000);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 7000);
	assert_int_equal(disorder(r->dir), 0);
	assert_true(rig_confirms(r, 7000));
	rig_free(r);
}

/* In memory, in the log, and still to come from the worker: all under the old names. */
static void test_change__waiting_rows_follow_their_columns_names(void **state) {
	(void)state;
	for (int disk = 0; disk < 2; disk++) {
		const char *buffer = disk ? "{memory: 64KB}" : "{disk: 0, durability: memory}";
		struct rig *r = rig_new(1);
		rig_load(r, WRONG ACTION(", buffer: %s"), r->dir, buffer);
		rig_stage_on(r, 0, 0, 10, 5, false, rig_row);
		rig_stage(r, 0, 3000, 100, rig_row);
		rig_load(
		    r,
		    GOOD
		    "actions: [{connector: db, table: y, columns: {fresh: \"${q}\", b: \"${n}\", a: \"${device}\"}, "
		    "buffer: %s}]\n",
		    r->dir, buffer);
		rig_stage(r, 0, 100, 100, rig_row); /* the rig's rows are (device, n, t), whatever they are called */
		struct sl_action_counts n = rig_settle(r, 0);
		assert_int_equal(n.received, 3110);
		assert_int_equal(n.delivered, 3110);
		assert_int_equal(db_int(r->dir, "SELECT count(*) FROM y WHERE fresh IS NULL AND a LIKE 'd%' AND "
						"typeof(b) = 'integer'"),
				 3010);
		assert_int_equal(db_int(r->dir, "SELECT count(*) FROM y WHERE fresh LIKE 'd%' AND b >= 3010"), 100);
		assert_int_equal(db_int(r->dir, "SELECT max(rowid) FROM y WHERE fresh IS NULL"), 3010);
		rig_free(r);
	}
}

#define THREE(b, t)                                                                                                    \
	"actions: [{connector: db, table: w, columns: {a: \"${device}\", " b ": \"${n}\", temperature: \"${" t         \
	"}\"}}]\n"

/* One name that was corrected keeps its values; one whose template is another, too, is another column. */
static void test_change__a_name_that_is_corrected_keeps_its_values(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WRONG THREE("numbr", "t"), r->dir);
	rig_stage(r, 0, 100, 10, rig_row);
	rig_load(r, WRONG THREE("number", "t"), r->dir);
	rig_load(r, GOOD THREE("number", "other"), r->dir);
	rig_stage(r, 0, 10, 10, rig_row);
	assert_int_equal(rig_settle(r, 0).delivered, 110);
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT number) FROM w WHERE temperature IS NOT NULL"), 110);
	rig_load(r, WRONG THREE("number", "t"), r->dir);
	rig_stage(r, 0, 10, 10, rig_row);
	rig_load(r,
		 GOOD "actions: [{connector: db, table: v, columns: {a: \"${device}\", numbers: \"${q}\", "
		      "temperature: \"${t}\"}}]\n",
		 r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 120);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM v WHERE numbers IS NULL AND temperature IS NOT NULL"),
			 10);
	rig_free(r);
}

#define COLUMNS(columns, buffer) "actions: [{connector: db, table: w, columns: {" columns "}, buffer: " buffer "}]\n"
#define IN_LOG "{memory: 64KB}"
#define IN_MEMORY "{disk: 0, durability: memory}"

/* The template tells which column it was, wherever that stands now, and however many are renamed at once. */
static void test_change__columns_that_are_renamed_and_moved_keep_their_values(void **state) {
	(void)state;
	static const char *const was[] = {WRONG COLUMNS("a: '${device}', b: '${n}', c: '${t}'", IN_LOG),
					  WRONG COLUMNS("a: '${device}', b: '${n}', c: '${t}'", IN_MEMORY)};
	static const char *const is[] = {GOOD COLUMNS("q: '${n}', c: '${t}', a: '${device}'", IN_LOG),
					 GOOD COLUMNS("q: '${n}', p: '${device}', z: '${zero}', c: '${t}'", IN_MEMORY)};
	for (size_t i = 0; i < SL_ARRAY_LEN(was); i++) {
		struct rig *r = rig_new(1);
		rig_load(r, was[i], r->dir);
		rig_stage(r, 0, 3000, 100, rig_row);
		rig_load(r, is[i], r->dir);
		assert_int_equal(rig_settle(r, 0).delivered, 3000);
		assert_int_equal(
		    db_int(r->dir, "SELECT count(DISTINCT q) FROM w WHERE typeof(q) = 'integer' AND c = q / 2.0"),
		    3000);
		assert_int_equal(db_int(r->dir, i ? "SELECT count(*) FROM w WHERE p LIKE 'd%' AND z IS NULL"
						  : "SELECT count(*) FROM w WHERE a LIKE 'd%'"),
				 3000);
		rig_free(r);
	}
}

/* How many of ten rows that waited have a value in column d after the reload. */
static int64_t values_in_d(struct rig *r, const char *columns) {
	rig_load(r, GOOD "actions: [{connector: db, table: w, columns: {%s}}]\n", r->dir, columns);
	assert_int_equal(rig_settle(r, 0).delivered, 10);
	return db_int(r->dir, "SELECT count(d) FROM w");
}

/* Where the template is another now, or may mean something else, no value gets under a name that it was not made for. */
static void test_change__no_value_goes_to_a_column_that_is_not_its_own(void **state) {
	(void)state;
	static const struct {
		const char *between, *after;
		uint64_t rows_of;
		int64_t values;
	} cases[] = {
	    {NULL, "a: '${device}', d: '${n}', c: '${t}'", 0, 10},
	    /* The column that goes is made of something else by then; its rows keep its name. */
	    {"a: '${device}', b: '${other}', c: '${t}'", "a: '${device}', d: '${n}', c: '${t}'", 0, 0},
	    {"a: '${device}', b: '${other}', c: '${t}'", "d: '${other}', a: '${device}', c: '${t}'", 0, 10},
	    /* The rule's SQL is another: who knows what n is there. */
	    {NULL, "a: '${device}', d: '${n}', c: '${t}'", 1, 0},
	    /* Its own template stays: what is new beside it is made of the same, and has none. */
	    {NULL, "a: '${device}', b: '${n}', c: '${t}', d: '${n}'", 0, 0},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct rig *r = rig_new(1);
		rig_load(r, WRONG "actions: [{connector: db, table: w, columns: {%s}}]\n", r->dir,
			 "a: '${device}', b: '${n}', c: '${t}'");
		rig_stage(r, 0, 10, 10, rig_row);
		if (cases[i].between)
			rig_load(r, WRONG "actions: [{connector: db, table: w, columns: {%s}}]\n", r->dir,
				 cases[i].between);
		r->rows_of = cases[i].rows_of;
		int64_t values = values_in_d(r, cases[i].after);
		if (values != cases[i].values) fail_msg("case %zu: %lld values", i, (long long)values);
		rig_free(r);
	}
}

/* SQL that changes by itself is of the rows that come then; a name that changes later is the same column's. */
static void test_change__a_name_that_changes_after_the_rules_sql_keeps_its_values(void **state) {
	(void)state;
	const char *first = "a: '${device}', b: '${n}', c: '${t}'";
	struct rig *r = rig_new(1);
	rig_load(r, WRONG "actions: [{connector: db, table: w, columns: {%s}}]\n", r->dir, first);
	rig_stage(r, 0, 10, 10, rig_row);
	r->rows_of = 1;
	rig_load(r, WRONG "actions: [{connector: db, table: w, columns: {%s}}]\n", r->dir, first);
	assert_int_equal(values_in_d(r, "d: '${n}', a: '${device}', c: '${t}'"), 10);
	rig_free(r);
}

/* None of the names is known any more: the dead letter has the values under the names that they were made for, so that a replay does
 * not take them for others. */
static void test_change__dead_letters_of_unknown_names_keep_them(void **state) {
	(void)state;
	for (int disk = 0; disk < 2; disk++) {
		const char *buffer = disk ? "{memory: 64KB}" : "{disk: 0, durability: memory}";
		struct rig *r = rig_new(1);
		char *path = sl_asprintf("%s/dead/r.0.jsonl", r->dir);
		rig_load(r, WRONG ACTION(", buffer: %s"), r->dir, buffer);
		rig_stage(r, 0, 10, 10, rig_row);
		rig_load(r,
			 GOOD "actions: [{connector: db, table: y, columns: {one: \"${q}\", two: \"${q}\"}, "
			      "buffer: %s}]\n",
			 r->dir, buffer);
		assert_int_equal(rig_settle(r, 0).rejected, 10);
		char *lines = rig_read(path);
		assert_non_null(lines);
		assert_null(strstr(lines, "\"one\":"));
		assert_non_null(strstr(lines, "\"row\":{\"a\":\"d0\",\"b\":0,\"c\":0.0}"));
		sl_free(lines);
		sl_free(path);
		rig_free(r);
	}
}

/* Rows that wait under one name when Sluice stops are delivered under another after the start; how many have their values then. */
static int64_t restarted(const char *was, const char *is, size_t rows) {
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	char *query = sl_asprintf("SELECT count(DISTINCT %s) FROM w WHERE temperature IS NOT NULL", is);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WRONG THREE("%s", "t"), dir, was);
	rig_stage(r, 0, rows, 10, rig_row);
	assert_true(rig_confirms(r, rows));
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, GOOD THREE("%s", "t"), dir, is);
	assert_int_equal(rig_settle(r, 0).delivered, rows);
	int64_t values = db_int(dir, query);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(query);
	sl_free(data);
	sl_free(dir);
	return values;
}

/* After a restart templates of before are not known: names that are alike are one. */
static void test_change__a_name_that_is_corrected_while_stopped_keeps_its_values(void **state) {
	(void)state;
	assert_int_equal(restarted("numbr", "number", 50), 50);
	assert_int_equal(restarted("number", "quite_another", 5), 0);
	/* Numbers in names tell them apart: it is not the value of another sensor. */
	assert_int_equal(restarted("number1", "number2", 5), 0);
}

static void test_change__rows_without_a_known_name_are_dead_letters(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WRONG ACTION(""), r->dir);
	rig_stage(r, 0, 20, 10, rig_row);
	rig_load(r, GOOD "actions: [{connector: db, table: z, columns: {p: \"${q}\", q: \"${q}\", r: \"${q}\"}}]\n",
		 r->dir);
	rig_stage(r, 0, 20, 10, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 20);
	assert_int_equal(n.rejected, 20);
	rig_free(r);
}

/* Batches are out while everything changes, several times before they are back. */
static void test_change__batches_that_are_out_are_neither_lost_nor_overtaken(void **state) {
	(void)state;
	for (int blocking = 0; blocking < 2; blocking++) {
		struct rig *r = rig_new(2);
		const char *conn =
		    "connectors: {n: {type: 'null', delay: %dms, ways: %d, blocking: %s, fail_every: 97}}\n"
		    "actions: [{connector: n, columns: {%s: x, b: x, c: x}, trace: %s/trace, "
		    "retry: {first: 1ms, max: 2ms}, batch: {rows: %d}}]\n";
		uint64_t staged = 0;
		for (int i = 0; i < 40; i++) {
			rig_load(r, conn, 1 + i % 3, 1 + i % 4, blocking ? "true" : "false", i % 5 == 4 ? "z" : "a",
				 r->dir, 5 + i % 7);
			rig_stage_on(r, (size_t)(i % 2), 0, 60, 20, i % 2 == 0, rig_row);
			staged += 60;
			assert_int_equal(rig_counts(r, 0).received, staged);
		}
		struct sl_action_counts n = rig_settle(r, 0);
		assert_int_equal(n.delivered + n.rejected, staged);
		assert_int_equal(n.rejected, 0);
		rig_free(r);
	}
}

static void test_change__a_stop_in_the_middle_keeps_all_rows(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	const char *slow =
	    "connectors: {n: {type: 'null', delay: 300ms}}\n"
	    "actions: [{connector: n, columns: {%s: x, b: x, c: x}, batch: {rows: 10}, timeout: 10ms}]\n";
	rig_load(r, slow, "a");
	rig_stage(r, 0, 100, 10, rig_row);
	rig_load(r, slow, "z");
	rig_stage(r, 0, 100, 10, rig_row);
	assert_true(rig_confirms(r, 200));
	uint64_t delivered = rig_counts(r, 0).delivered;
	rig_stop(r, 1);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, "connectors: {n: {type: 'null'}}\nactions: [{connector: n, columns: {z: x, b: x, c: x}}]\n%s", "");
	struct sl_action_counts n = rig_settle(r, 0);
	assert_true(n.recovered + delivered >= 180 && n.recovered <= 200);
	assert_int_equal(n.delivered, n.recovered);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

#define RENAMED(columns, more) "actions: [{connector: db, table: x, columns: {" columns "}, buffer: {" more "}}]\n"

static void holding_is(struct rig *r, bool wanted) {
	const struct sl_stage *st = sl_pipeline_stage(r->p[0], 0);
	for (int i = 0; i < 90000 && sl_stage_holding(st) != wanted; i++) usleep(1000);
	assert_int_equal(sl_stage_holding(st), wanted);
}

/* Publishers are held, and rows of theirs are of the names before; so they stand in the log. */
static void test_change__a_stop_keeps_held_rows_under_their_names(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WRONG ACTION(", buffer: {rows: 10}"), dir);
	rig_stage(r, 0, 40, 10, rig_row);
	holding_is(r, true);
	rig_load(r, WRONG RENAMED("b: \"${device}\", a: \"${n}\", c: \"${t}\"", "rows: 10"), dir);
	rig_stop(r, 1);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, GOOD RENAMED("b: \"${device}\", a: \"${n}\", c: \"${t}\"", "rows: 10"), dir);
	assert_int_equal(rig_settle(r, 0).delivered, 40);
	assert_int_equal(db_int(dir, "SELECT count(*) FROM x WHERE a LIKE 'd%' AND b < 40"), 40);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

/* Dead letters that cannot be written wait in memory; when that goes to the log they are not taken for rows of the new names. */
static void test_change__dead_letters_that_wait_are_not_logged_as_others(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir), *dead = sl_asprintf("%s/dead", data);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WRONG ACTION(", buffer: {rows: 10}"), dir);
	rig_stage(r, 0, 20, 10, rig_row);
	holding_is(r, true);
	FILE *f = fopen(dead, "w"); /* no folder */
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	rig_load(r, WRONG RENAMED("p: \"${q}\", q: \"${q}\", r: \"${q}\"", "memory: 64KB"), dir);
	holding_is(r, false);
	rig_stage(r, 0, 3000, 100, rig_row);
	assert_true(rig_confirms(r, 3010)); /* of those 20 only what was in the log before */
	rig_stop(r, 1);
	rig_free(r);
	assert_int_equal(unlink(dead), 0);
	r = rig_new_in(1, data);
	rig_load(r, GOOD RENAMED("p: \"${q}\", q: \"${q}\", r: \"${q}\"", "memory: 64KB"), dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 3000);
	assert_int_equal(n.rejected, 20);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(dead);
	sl_free(data);
	sl_free(dir);
}

static void test_change__another_connector_gets_nothing_that_was_meant_for_the_first(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WRONG ACTION(""), r->dir);
	rig_stage(r, 0, 10, 10, rig_row);
	struct sl_pipeline *before = r->p[0];
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: /dev/null/a.db}, other: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: other, table: x, columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}}]\n",
		 r->dir);
	assert_ptr_not_equal(before, r->p[0]);
	rig_stage(r, 0, 5, 5, rig_row);
	assert_int_equal(rig_settle(r, 0).delivered, 5);
	rig_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_change__rows_that_a_wrong_connection_kept_waiting_go_over_the_right_one),
	    cmocka_unit_test(test_change__waiting_rows_and_new_ones_are_in_order_under_other_settings),
	    cmocka_unit_test(test_change__waiting_rows_follow_their_columns_names),
	    cmocka_unit_test(test_change__a_name_that_is_corrected_keeps_its_values),
	    cmocka_unit_test(test_change__columns_that_are_renamed_and_moved_keep_their_values),
	    cmocka_unit_test(test_change__no_value_goes_to_a_column_that_is_not_its_own),
	    cmocka_unit_test(test_change__a_name_that_changes_after_the_rules_sql_keeps_its_values),
	    cmocka_unit_test(test_change__a_name_that_is_corrected_while_stopped_keeps_its_values),
	    cmocka_unit_test(test_change__rows_without_a_known_name_are_dead_letters),
	    cmocka_unit_test(test_change__dead_letters_of_unknown_names_keep_them),
	    cmocka_unit_test(test_change__batches_that_are_out_are_neither_lost_nor_overtaken),
	    cmocka_unit_test(test_change__a_stop_in_the_middle_keeps_all_rows),
	    cmocka_unit_test(test_change__a_stop_keeps_held_rows_under_their_names),
	    cmocka_unit_test(test_change__dead_letters_that_wait_are_not_logged_as_others),
	    cmocka_unit_test(test_change__another_connector_gets_nothing_that_was_meant_for_the_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
