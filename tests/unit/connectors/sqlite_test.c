#include "rig.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_db.h"

#define INTO_X "table: x, columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}"

/* A database with these tables (NULL: none yet) and an action that writes into it. */
static struct rig *db_rig(const char *tables, const char *conn, const char *action) {
	struct rig *r = rig_new(1);
	if (tables) db_exec(r->dir, tables);
	rig_load(r, "connectors: {db: {type: sqlite, path: %s/a.db%s}}\nactions: [{connector: db, %s}]\n", r->dir, conn,
		 action);
	return r;
}

static void test_sqlite__rows_land_in_a_table_made_for_them(void **state) {
	(void)state;
	struct rig *r = db_rig(NULL, "", "table: readings, columns: {device: \"${device}\", n: \"${n}\", t: \"${t}\"}");
	rig_stage(r, 0, 2500, 100, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 2500);
	assert_true(rig_confirms(r, 2500));
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM readings"), 2500);
	assert_int_equal(db_int(r->dir, "SELECT sum(n) FROM readings"), 2499 * 2500 / 2);
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT typeof(device)||typeof(n)||typeof(t)) FROM readings"),
			 1);
	rig_free(r);
}

static void test_sqlite__each_placeholder_of_a_statement_is_a_bound_value(void **state) {
	(void)state;
	struct rig *r = db_rig("CREATE TABLE x(a, b, c)", "",
			       "sql: \"INSERT INTO x(a, b, c) VALUES (${device}, ${n} + 1, upper(${t}))\"");
	rig_deliver(r, 10, rig_row);
	assert_int_equal(db_int(r->dir, "SELECT sum(b) FROM x"), 55);
	rig_free(r);
}

static uint64_t number_row(uint64_t serial, struct sql_value *values, char *text, size_t text_size) {
	static const char *const numbers[] = {"18446744073709551617", "-9223372036854775808", "18446744073709551617.5"};
	int n = snprintf(text, text_size, "%s", numbers[serial]);
	values[0] = sql_string(slice_make(text, (size_t)n));
	values[0].kind = SQL_NUMBER_TEXT;
	return 0;
}

static void test_sqlite__a_whole_number_beyond_64_bits_keeps_its_digits(void **state) {
	(void)state;
	struct rig *r = db_rig(NULL, "", "table: x, columns: {v: \"${v}\"}");
	assert_int_equal(rig_deliver(r, 3, number_row).delivered, 3);
	assert_int_equal(db_int(r->dir, "SELECT v = '18446744073709551617' FROM x WHERE typeof(v) = 'text'"), 1);
	assert_int_equal(db_int(r->dir, "SELECT v = -9223372036854775807 - 1 FROM x WHERE typeof(v) = 'integer'"), 1);
	assert_int_equal(db_int(r->dir, "SELECT v > 1.8e19 FROM x WHERE typeof(v) = 'real'"), 1);
	rig_free(r);
}

static void test_sqlite__a_missing_table_makes_rows_wait_until_it_is_there(void **state) {
	(void)state;
	struct rig *r = db_rig(NULL, "", INTO_X ", create: false, retry: {first: 10ms, max: 50ms}");
	rig_stage(r, 0, 10, 0, rig_row);
	assert_true(rig_tries(r, 0, 3));
	assert_int_equal(rig_counts(r, 0).queued, 10);
	db_exec(r->dir, "CREATE TABLE x(a, b, c)");
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 10);
	assert_int_equal(n.rejected, 0);
	rig_free(r);
}

/* SQLite compares what it knows of the tables with the file only where the statement itself names what is missing. */
static void test_sqlite__a_missing_table_of_a_trigger_is_noticed_when_it_is_there_again(void **state) {
	(void)state;
	struct rig *r =
	    db_rig("CREATE TABLE x(a, b); CREATE TABLE audit(b); CREATE TRIGGER t AFTER INSERT ON x BEGIN INSERT "
		   "INTO audit VALUES (NEW.b); END",
		   "", "sql: 'INSERT INTO x(a, b) VALUES (${device}, ${n})', retry: {first: 5ms, max: 20ms}");
	rig_deliver(r, 10, rig_row);
	db_exec(r->dir, "DROP TABLE audit");
	rig_stage(r, 0, 10, 0, rig_row);
	assert_true(rig_tries(r, 0, 3));
	assert_int_equal(rig_counts(r, 0).queued, 10);
	db_exec(r->dir, "CREATE TABLE audit(b)");
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 20);
	assert_int_equal(n.rejected, 0);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM audit"), 10);
	rig_free(r);
}

static void test_sqlite__one_poison_row_of_a_hundred_goes_to_the_dead_letters(void **state) {
	(void)state;
	struct rig *r = db_rig("CREATE TABLE x(a, b CHECK (b <> 37), c)", "", INTO_X);
	struct sl_action_counts n = rig_deliver(r, 100, rig_row);
	assert_int_equal(n.delivered, 99);
	assert_int_equal(n.rejected, 1);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 99);
	char *path = sl_asprintf("%s/dead/r.0.jsonl", r->dir), *text = rig_read(path);
	assert_non_null(text);
	assert_non_null(strstr(text, "CHECK constraint failed"));
	assert_non_null(strstr(text, "\"row\":{\"a\":\"d7\",\"b\":37,\"c\":18.5}"));
	sl_free(text);
	sl_free(path);
	rig_free(r);
}

/* Whatever a trigger does with the transaction: 99 are stored, with the bad one first, in the middle, and last. */
static void test_sqlite__a_row_that_a_trigger_refuses_goes_alone(void **state) {
	static const char *const raises[] = {"RAISE(ABORT, 'not this one')", "RAISE(FAIL, 'not this one')",
					     "RAISE(ROLLBACK, 'not this one')", "json('{not this one')"};
	static const int numbers[] = {0, 37, 99};
	(void)state;
	for (size_t i = 0; i < SL_ARRAY_LEN(raises); i++)
		for (size_t k = 0; k < SL_ARRAY_LEN(numbers); k++) {
			char *sql =
			    sl_asprintf("CREATE TABLE x(a, b, c); CREATE TRIGGER t AFTER INSERT ON x WHEN NEW.b = %d "
					"BEGIN SELECT %s; END",
					numbers[k], raises[i]);
			struct rig *r = db_rig(sql, "", INTO_X);
			struct sl_action_counts n = rig_deliver(r, 100, rig_row);
			assert_int_equal(n.delivered, 99);
			assert_int_equal(n.rejected, 1);
			assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 99);
			sl_free(sql);
			rig_free(r);
		}
}

static void test_sqlite__rows_wait_while_another_program_holds_the_lock(void **state) {
	(void)state;
	struct rig *r = db_rig(NULL, ", busy_timeout: 5ms", INTO_X);
	rig_deliver(r, 1, rig_row);
	sqlite3 *db = db_open(r->dir);
	assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	rig_stage(r, 0, 10, 0, rig_row);
	assert_true(rig_tries(r, 0, 3));
	assert_int_equal(rig_counts(r, 0).queued, 10);
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(rig_settle(r, 0).delivered, 11);
	rig_free(r);
}

static void test_sqlite__a_deleted_file_is_made_anew_and_gets_what_came_since(void **state) {
	(void)state;
	static const char *const ends[] = {"", "-wal", "-shm"};
	struct rig *r = db_rig(NULL, ", reconnect: {first: 5ms, max: 10ms}", INTO_X);
	rig_deliver(r, 10, rig_row);
	for (size_t i = 0; i < 3; i++) {
		char *path = sl_asprintf("%s/a.db%s", r->dir, ends[i]);
		assert_true(unlink(path) == 0 || i > 0);
		sl_free(path);
	}
	assert_int_equal(rig_deliver(r, 25, rig_row).delivered, 35);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 25);
	rig_free(r);
}

/* By a tool that copies or cleans files, or by a program that closed the file it was before. */
static void test_sqlite__a_write_ahead_log_that_somebody_emptied_is_begun_again(void **state) {
	(void)state;
	struct rig *r = db_rig(NULL, "", INTO_X ", retry: {first: 10ms, max: 50ms}");
	assert_int_equal(rig_deliver(r, 200, rig_row).delivered, 200);
	db_exec(r->dir, "INSERT INTO x VALUES (1, 1, 1)"); /* the connector has to look at the log */
	char *wal = sl_asprintf("%s/a.db-wal", r->dir);
	assert_int_equal(truncate(wal, 0), 0);
	assert_int_equal(rig_deliver(r, 10, rig_row).delivered, 210);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 10);
	sl_free(wal);
	rig_free(r);
}

/* Functions for statements of rules: fails(code, n) fails FAILURES times, never(code, n) for n = 37 always; else they give n. */
static atomic_int failures;
enum { FAILURES = 10 }; /* more than it takes to split a batch of 100 down to a row */

static void function_fails(sqlite3_context *c, int n, sqlite3_value **v) {
	(void)n;
	if (sqlite3_user_data(c) ? sqlite3_value_int(v[1]) == 37 : atomic_fetch_add(&failures, 1) < FAILURES)
		sqlite3_result_error_code(c, sqlite3_value_int(v[0]));
	else
		sqlite3_result_value(c, v[1]);
}

static int functions_add(sqlite3 *db, char **why, const struct sqlite3_api_routines *api) {
	(void)why;
	(void)api;
	sqlite3_create_function(db, "never", 2, SQLITE_UTF8, &failures, function_fails, NULL, NULL);
	return sqlite3_create_function(db, "fails", 2, SQLITE_UTF8, NULL, function_fails, NULL, NULL);
}

static struct sl_action_counts stored_by(const char *call, int code) {
	atomic_store(&failures, 0);
	char *action = sl_asprintf("sql: 'INSERT INTO x(a, b) VALUES (${device}, %s(%d, ${n}))', retry: {first: 5ms, "
				   "max: 5ms}",
				   call, code);
	struct rig *r = db_rig("CREATE TABLE x(a, b)", "", action);
	struct sl_action_counts n = rig_deliver(r, 100, rig_row);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), n.delivered);
	sl_free(action);
	rig_free(r);
	return n;
}

static void test_sqlite__what_passes_by_itself_is_no_rows_fault(void **state) {
	static const int codes[] = {SQLITE_PROTOCOL, SQLITE_BUSY, SQLITE_LOCKED};
	(void)state;
	sqlite3_auto_extension((void (*)(void))functions_add);
	for (size_t i = 0; i < SL_ARRAY_LEN(codes); i++) assert_int_equal(stored_by("fails", codes[i]).delivered, 100);
	sqlite3_reset_auto_extension();
}

static void test_sqlite__a_value_that_wants_too_much_memory_goes_alone(void **state) {
	(void)state;
	sqlite3_auto_extension((void (*)(void))functions_add);
	struct sl_action_counts n = stored_by("never", SQLITE_NOMEM);
	sqlite3_reset_auto_extension();
	assert_int_equal(n.delivered, 99);
	assert_int_equal(n.rejected, 1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sqlite__rows_land_in_a_table_made_for_them),
	    cmocka_unit_test(test_sqlite__each_placeholder_of_a_statement_is_a_bound_value),
	    cmocka_unit_test(test_sqlite__a_whole_number_beyond_64_bits_keeps_its_digits),
	    cmocka_unit_test(test_sqlite__a_missing_table_makes_rows_wait_until_it_is_there),
	    cmocka_unit_test(test_sqlite__a_missing_table_of_a_trigger_is_noticed_when_it_is_there_again),
	    cmocka_unit_test(test_sqlite__one_poison_row_of_a_hundred_goes_to_the_dead_letters),
	    cmocka_unit_test(test_sqlite__a_row_that_a_trigger_refuses_goes_alone),
	    cmocka_unit_test(test_sqlite__rows_wait_while_another_program_holds_the_lock),
	    cmocka_unit_test(test_sqlite__a_deleted_file_is_made_anew_and_gets_what_came_since),
	    cmocka_unit_test(test_sqlite__a_write_ahead_log_that_somebody_emptied_is_begun_again),
	    cmocka_unit_test(test_sqlite__what_passes_by_itself_is_no_rows_fault),
	    cmocka_unit_test(test_sqlite__a_value_that_wants_too_much_memory_goes_alone),
	};
	return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
