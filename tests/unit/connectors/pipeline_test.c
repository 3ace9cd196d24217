/* What a pipeline promises: durability, overflow, restart, reload; against SQLite, which can be made to wait by leaving
 * out its table. */
#include "disk.h"
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "connectors_int.h"
#include "test_db.h"

/* For each device the numbers must ascend in the order of rowid; the count of places where they do not. */
static int64_t disorder(const char *dir) {
	return db_int(dir, "SELECT count(*) FROM (SELECT b, lag(b) OVER (PARTITION BY a ORDER BY rowid) AS was FROM x) "
			   "WHERE was >= b");
}

static bool much_on_disk(const struct sl_action_counts *n) { return n->disk_bytes > 1000000; }
static bool one_retried(const struct sl_action_counts *n) { return n->retried > 0; }
static bool all_taken(const struct sl_action_counts *n) { return n->queued_bytes >= 20000 * 80; }

static void test_pipeline__rows_above_the_memory_mark_wait_on_disk_in_order(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {memory: 64KB}\n", r->dir);
	rig_stage(r, 0, 20000, 100, rig_row);
	assert_int_equal(rig_counts(r, 0).queued, 20000);
	assert_true(rig_until(r, 0, much_on_disk));
	assert_true(rig_confirms(r, 20000));
	table_make(r->dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 20000);
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 20000);
	assert_int_equal(disorder(r->dir), 0);
	rig_free(r);
}

static void test_pipeline__with_durability_memory_only_overflow_goes_to_disk(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {memory: 256KB, durability: memory}\n", r->dir);
	rig_stage(r, 0, 100, 100, rig_row);
	assert_int_equal(rig_counts(r, 0).disk_bytes, 0);
	rig_stage(r, 0, 19900, 100, rig_row);
	assert_true(rig_until(r, 0, much_on_disk));
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 20000);
	assert_int_equal(disorder(r->dir), 0);
	rig_free(r);
}

/* Two actions, each with room of its own, share less: rows go to the logs, and come back in order. */
static void test_pipeline__memory_of_all_actions_together_is_bounded(void **state) {
	(void)state;
	rig_memory = 1 * SL_MB;
	struct rig *r = rig_new(1);
	rig_memory = 0;
	rig_load(r,
		 WAITING "  - {connector: db, table: x, create: false, columns: {a: \"${device}\", b: \"${n}\", c: "
			 "\"${t}\"}, retry: {first: 5ms, max: 20ms}, buffer: {durability: memory}}\n",
		 r->dir);
	rig_stage(r, 0, 20000, 100, rig_row);
	rig_stage(r, 1, 20000, 100, rig_row);
	assert_true(rig_until(r, 1, much_on_disk));
	for (size_t i = 0; i < 2; i++) {
		struct sl_action_counts n = rig_counts(r, i);
		assert_int_equal(n.queued, 20000);
	}
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 20000);
	assert_int_equal(rig_settle(r, 1).delivered, 20000);
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT b) FROM x"), 40000);
	rig_free(r);
}

static void test_pipeline__a_rate_is_kept(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', ways: 4}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, rate: 500, batch: {linger: 0}}]\n%s",
		 "");
	uint64_t began = sl_clock_mono_ms();
	rig_stage(r, 0, 300, 0, rig_row);
	assert_int_equal(rig_settle(r, 0).delivered, 300);
	/* The first tenth of a second's rows go at once. */
	assert_true(sl_clock_mono_ms() - began >= 480);
	rig_free(r);
}

static uint64_t row_of_one_key(uint64_t i, struct sql_value *v, char *text, size_t cap) {
	(void)rig_row(i, v, text, cap);
	return 7;
}

static bool one_delivered(const struct sl_action_counts *n) { return n->delivered == 1; }

/* It would wait for an hour for others to come; those that follow do. */
static void test_pipeline__a_row_after_a_pause_goes_at_once(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null'}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, batch: {linger: 1m}}]\n%s",
		 "");
	rig_stage(r, 0, 1, 0, rig_row);
	assert_true(rig_until(r, 0, one_delivered));
	rig_stage(r, 0, 5, 1, rig_row);
	usleep(100000);
	struct sl_action_counts n = rig_counts(r, 0);
	assert_int_equal(n.delivered, 1);
	assert_int_equal(n.queued, 5);
	rig_free(r);
}

/* The first row was lost and may go at once, the second must wait: so must both, for they are of one key. */
static void test_pipeline__a_pause_holds_for_rows_that_were_lost_before_it(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', fail_every: 2, fail_result: retry_alone}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, retry: {first: 1h, max: 1h}}]\n%s",
		 "");
	rig_stage(r, 0, 2, 0, row_of_one_key);
	assert_true(rig_until(r, 0, one_retried));
	usleep(200000); /* the pause is a random part of an hour */
	struct sl_action_counts n = rig_counts(r, 0);
	assert_int_equal(n.retried, 1);
	assert_int_equal(n.delivered, 0);
	assert_int_equal(n.queued, 2);
	rig_free(r);
}

static void test_pipeline__hold_makes_publishers_wait_and_loses_nothing(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {memory: 64KB, disk: 512KB}\n", r->dir);
	rig_stage(r, 0, 20000, 100, rig_row);
	assert_true(rig_until(r, 0, all_taken));
	struct sl_action_counts n = rig_counts(r, 0);
	uint64_t confirmed = 0;
	for (int i = 0; i < 9000 && confirmed < 1000; i++) { /* they are under way */
		usleep(10000);
		confirmed = rig_confirmed(r);
	}
	assert_int_equal(n.queued, 20000);
	assert_in_range(confirmed, 1000, 10000);
	assert_true(n.disk_bytes <= 512 * 1024);
	assert_true(sl_stage_holding(sl_pipeline_stage(r->p[0], 0)));
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 20000);
	assert_true(rig_confirms(r, 20000));
	assert_int_equal(disorder(r->dir), 0);
	rig_free(r);
}

static void test_pipeline__a_limit_by_count_holds_publishers(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {rows: 500}\n", r->dir);
	rig_stage(r, 0, 2000, 100, rig_row);
	assert_true(rig_confirms(r, 500));
	usleep(20000); /* more confirmations would be under way */
	assert_int_equal(rig_confirmed(r), 500);
	assert_int_equal(rig_counts(r, 0).queued, 2000);
	assert_true(sl_stage_holding(sl_pipeline_stage(r->p[0], 0)));
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 2000);
	assert_true(rig_confirms(r, 2000));
	assert_int_equal(disorder(r->dir), 0);
	rig_free(r);
}

static void test_pipeline__a_limit_by_count_drops_new_or_old_rows(void **state) {
	(void)state;
	static const struct {
		const char *policy;
		uint64_t last; /* that is delivered */
	} cases[] = {{"drop_new", 499}, {"drop_oldest", 1999}};
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) {
		struct rig *r = rig_new(1);
		char *conf = sl_asprintf("%s    buffer: {rows: 500, overflow: %s}\n    batch: {rows: 50}\n", WAITING,
					 cases[i].policy);
		char *text = sl_asprintf(conf, r->dir);
		rig_load(r, "%s", text);
		rig_stage(r, 0, 2000, 100, rig_row);
		assert_true(rig_confirms(r, 2000));
		struct sl_action_counts n = rig_counts(r, 0);
		assert_int_equal(n.dropped_overflow + n.queued, 2000);
		assert_in_range(n.queued, 400, 500);
		table_make(r->dir);
		assert_int_equal(rig_settle(r, 0).delivered, n.queued);
		assert_int_equal(db_int(r->dir, "SELECT max(b) FROM x"), cases[i].last);
		sl_free(text);
		sl_free(conf);
		rig_free(r);
	}
}

static size_t lines_with(const char *path, const char *what) {
	char *text = rig_read(path);
	size_t n = 0;
	for (const char *at = text; at && (at = strstr(at, what)); at++) n++;
	sl_free(text);
	return n;
}

static void test_pipeline__rows_without_room_become_dead_letters(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {rows: 500, overflow: dead_letter}\n", r->dir);
	rig_stage(r, 0, 2000, 100, rig_row);
	rig_stage_on(r, 0, 0, 300, 100, false, rig_row);
	assert_true(rig_confirms(r, 2000));
	struct sl_action_counts n = rig_counts(r, 0);
	assert_int_equal(n.queued, 500);
	assert_int_equal(n.rejected, 1800);
	char *path = sl_asprintf("%s/dead/r.0.jsonl", r->dir);
	assert_int_equal(lines_with(path, "the buffer is full (buffer.rows is reached)"), 1800);
	assert_int_equal(lines_with(path, "rig/topic"), 1800);
	sl_free(path);
	table_make(r->dir);
	n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 500);
	assert_int_equal(n.dropped_overflow, 0);
	assert_int_equal(db_int(r->dir, "SELECT max(b) FROM x"), 499);
	rig_free(r);
}

static bool some_rejected(const struct sl_action_counts *n) { return n->rejected > 0; }

/* A folder stands where the file would: its rows and publishers wait, and what was in front goes on. */
static void test_pipeline__dead_letters_that_cannot_be_written_hold(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	char *path = sl_asprintf("%s/dead/r.0.jsonl", r->dir);
	assert_int_equal(sl_disk_mkdirs(path), SL_OK);
	rig_load(r, WAITING "    buffer: {rows: 500, overflow: dead_letter}\n", r->dir);
	rig_stage(r, 0, 1000, 100, rig_row);
	rig_stage_on(r, 0, 0, 100, 100, false, rig_row);
	assert_true(rig_confirms(r, 500));
	usleep(20000); /* more confirmations would be under way */
	assert_int_equal(rig_confirmed(r), 500);
	struct sl_action_counts n = rig_counts(r, 0);
	assert_int_equal(n.queued, 1000);
	assert_int_equal(n.dropped_overflow, 100);
	assert_true(sl_stage_holding(sl_pipeline_stage(r->p[0], 0)));
	assert_int_equal(rmdir(path), 0);
	assert_true(rig_until(r, 0, some_rejected));
	assert_true(rig_confirms(r, 1000));
	assert_int_equal(lines_with(path, "the buffer is full"), 500);
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 500);
	sl_free(path);
	rig_free(r);
}

static bool partly_rejected(const struct sl_action_counts *n) { return n->rejected % 100 != 0; }
static bool thousand_rejected(const struct sl_action_counts *n) { return n->rejected == 1000; }

/* The file can take a chunk and a part of the next one. */
static void test_pipeline__dead_letters_that_stop_in_a_chunk_go_on_there(void **state) {
	(void)state;
	struct rlimit was, small = {.rlim_cur = 65536};
	struct rig *r = rig_new(1);
	char *path = sl_asprintf("%s/dead/r.0.jsonl", r->dir);
	rig_load(r, WAITING "    buffer: {rows: 100, disk: 0, durability: memory, overflow: dead_letter}\n", r->dir);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small.rlim_max = was.rlim_max;
	rig_stage(r, 0, 100, 100, rig_row);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rig_stage(r, 0, 1000, 100, rig_row);
	bool cut = rig_until(r, 0, partly_rejected);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_true(cut);
	assert_true(rig_until(r, 0, thousand_rejected));
	assert_int_equal(lines_with(path, "the buffer is full"), 1000);
	for (unsigned i = 100; i < 1100; i++) {
		char *row = sl_asprintf("\"b\":%u,", i);
		assert_int_equal(lines_with(path, row), 1);
		sl_free(row);
	}
	assert_int_equal(lines_with(path, "rig/topic"), 1000);
	sl_free(path);
	rig_free(r);
}

static void test_pipeline__drop_new_keeps_the_first_rows(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {memory: 64KB, disk: 512KB, overflow: drop_new}\n", r->dir);
	rig_stage(r, 0, 20000, 100, rig_row);
	assert_true(rig_confirms(r, 20000));
	table_make(r->dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered + n.dropped_overflow, 20000);
	assert_true(n.dropped_overflow > 1000);
	assert_int_equal(db_int(r->dir, "SELECT max(b) + 1 FROM x"), n.delivered);
	rig_free(r);
}

static void test_pipeline__drop_oldest_keeps_the_last_rows(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {memory: 64KB, disk: 512KB, overflow: drop_oldest}\n", r->dir);
	rig_stage(r, 0, 20000, 100, rig_row);
	table_make(r->dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered + n.dropped_overflow, 20000);
	assert_true(n.dropped_overflow > 1000);
	assert_int_equal(db_int(r->dir, "SELECT max(b) FROM x"), 19999);
	assert_int_equal(disorder(r->dir), 0);
	rig_free(r);
}

static uint64_t drops;
static bool has_dropped(const struct sl_action_counts *n) { return n->dropped_overflow >= drops; }

/* Rows that came in blocks of 99, in memory and in the log only; then others come one by one. */
static void test_pipeline__drop_oldest_drops_a_row_for_each_that_comes(void **state) {
	(void)state;
	static const char *const buffers[] = {"", "memory: 64KB, ", "disk: 0, durability: memory, "};
	for (size_t i = 0; i < SL_ARRAY_LEN(buffers); i++) {
		struct rig *r = rig_new(1);
		rig_load(r, WAITING "    buffer: {%srows: 4950, overflow: drop_oldest}\n    batch: {rows: 50}\n",
			 r->dir, buffers[i]);
		rig_stage(r, 0, 4950, 99, rig_row);
		assert_int_equal(rig_counts(r, 0).queued, 4950);
		for (unsigned more = 1; more <= 150; more++) {
			rig_stage(r, 0, 1, 0, rig_row);
			drops = more;
			assert_true(rig_until(r, 0, has_dropped));
			assert_int_equal(rig_counts(r, 0).dropped_overflow, more);
		}
		rig_stage(r, 0, 250, 50, rig_row);
		drops = 400;
		assert_true(rig_until(r, 0, has_dropped));
		struct sl_action_counts n = rig_counts(r, 0);
		assert_int_equal(n.dropped_overflow, 400);
		assert_int_equal(n.queued, 4950);
		table_make(r->dir);
		assert_int_equal(rig_settle(r, 0).delivered, 4950);
		/* Rows that were out just then stay, of two batches at the most; those behind them go instead. */
		assert_in_range(db_int(r->dir, "SELECT count(*) FROM x WHERE b < 400"), 0, 100);
		assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x WHERE b >= 500"), 4850);
		assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT b) FROM x"), 4950);
		assert_int_equal(disorder(r->dir), 0);
		rig_free(r);
	}
}

static void test_pipeline__rows_of_qos_0_never_hold_and_go_oldest_first(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	/* Of what fits only a part is ever out: there are always some that may go for the last that come. */
	rig_load(r, WAITING "    buffer: {memory: 64KB, disk: 0, durability: memory}\n    batch: {rows: 50}\n", r->dir);
	rig_stage_on(r, 0, 0, 20000, 100, false, rig_row);
	assert_false(sl_stage_holding(sl_pipeline_stage(r->p[0], 0)));
	table_make(r->dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_true(n.dropped_overflow > 10000);
	assert_int_equal(db_int(r->dir, "SELECT max(b) FROM x"), 19999);
	rig_free(r);
}

/* The table is there now: the next process delivers what the log has. Frees both names. */
static void assert_next_run_delivers(char *dir, char *data, uint64_t rows) {
	table_make(dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.recovered, rows);
	assert_int_equal(n.received, rows);
	assert_int_equal(n.delivered, rows);
	assert_int_equal(db_int(dir, "SELECT count(DISTINCT b) FROM x"), rows);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static void test_pipeline__a_restart_delivers_what_was_queued(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	char *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	rig_stage(r, 0, 3000, 100, rig_row);              /* in the log */
	rig_stage_on(r, 0, 0, 2000, 100, false, rig_row); /* in memory */
	assert_int_equal(rig_counts(r, 0).queued, 5000);
	rig_stop(r, 10);
	rig_free(r);
	assert_next_run_delivers(dir, data, 5000);
}

static void test_pipeline__rows_staged_after_the_stop_are_kept(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	table_make(dir);
	rig_load(r, WAITING, dir);
	rig_stop(r, 1000);
	rig_stage(r, 0, 50, 10, rig_row);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	assert_int_equal(rig_settle(r, 0).delivered, 50);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static size_t lines_of(const char *path) {
	char *text = rig_read(path);
	size_t lines = 0;
	for (const char *c = text; *c; c++) lines += *c == '\n';
	sl_free(text);
	return lines;
}

static bool ten_delivered(const struct sl_action_counts *n) { return n->delivered >= 10; }

/* Rows of one record, of which some are delivered and some wait for another attempt: a stop in between, twice, repeats none. */
static void test_pipeline__a_stop_within_a_record_repeats_no_row(void **state) {
	(void)state;
	static const char conf[] = "connectors: {n: {type: 'null', ways: 3, fail_every: %d}}\n"
				   "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/trace, "
				   "retry: {first: 60s, max: 60s}, batch: {rows: 4}}]\n";
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir), *path = sl_asprintf("%s/trace", dir);
	uint64_t recovered = 100;
	for (int run = 0; run < 3; run++) {
		struct rig *r = rig_new_in(1, data);
		rig_load(r, conf, run < 2 ? 11 : 0, dir);
		if (run == 0)
			rig_stage(r, 0, 100, 0, rig_row);
		else
			recovered = rig_counts(r, 0).recovered;
		if (run < 2)
			assert_true(rig_until(r, 0, ten_delivered));
		else
			rig_settle(r, 0);
		rig_stop(r, 1);
		rig_free(r);
		assert_true(run == 0 || (recovered > 0 && recovered < 100 - 10 * (uint64_t)(run - 1)));
	}
	assert_int_equal(lines_of(path), 100);
	rig_rmdir(dir);
	sl_free(path);
	sl_free(data);
	sl_free(dir);
}

/* A reload has put together in memory what was left of the record. */
static void test_pipeline__a_stop_after_a_reload_repeats_no_row(void **state) {
	(void)state;
	static const char conf[] = "connectors: {n: {type: 'null', ways: 3, fail_every: %d}}\n"
				   "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/trace, "
				   "retry: {first: 60s, max: 60s}, batch: {rows: %d}}]\n";
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir), *path = sl_asprintf("%s/trace", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, conf, 5, dir, 4);
	rig_stage(r, 0, 100, 0, rig_row);
	for (int rows = 3; rows > 0; rows--) {
		assert_true(rig_until(r, 0, ten_delivered));
		rig_load(r, conf, 5, dir, rows);
	}
	rig_stop(r, 1);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, conf, 0, dir, 4);
	rig_settle(r, 0);
	rig_free(r);
	assert_int_equal(lines_of(path), 100);
	rig_rmdir(dir);
	sl_free(path);
	sl_free(data);
	sl_free(dir);
}

static bool tried_twice(const struct sl_action_counts *n) { return n->batches >= 2; }

static void test_pipeline__a_stop_does_not_wait_for_a_table_that_is_missing(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING "    buffer: {durability: memory}\n", dir);
	rig_stage(r, 0, 50, 10, rig_row);
	assert_true(rig_until(r, 0, tried_twice));
	uint64_t from = sl_clock_mono_ms();
	rig_stop(r, 60000);
	assert_in_range(sl_clock_mono_ms() - from, 0, 20000);
	rig_free(r);
	assert_next_run_delivers(dir, data, 50);
}

static void test_pipeline__recovered_rows_follow_their_columns_names(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	rig_stage(r, 0, 10, 0, rig_row);
	rig_free(r);
	db_exec(dir, "CREATE TABLE y(fresh, b, a)");
	r = rig_new_in(1, data);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions:\n"
		 "  - {connector: db, table: y, columns: {fresh: \"${q}\", b: \"${n}\", a: \"${device}\"}}\n",
		 dir);
	assert_int_equal(rig_settle(r, 0).delivered, 10);
	assert_int_equal(
	    db_int(dir, "SELECT count(*) FROM y WHERE fresh IS NULL AND a LIKE 'd%' AND typeof(b) = 'integer'"), 10);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static void test_pipeline__recovered_rows_without_a_known_column_are_dead_letters(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	rig_stage(r, 0, 10, 0, rig_row);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: y, columns: {other: \"${q}\"}}]\n",
		 dir);
	assert_int_equal(rig_settle(r, 0).rejected, 10);
	char *path = sl_asprintf("%s/dead/r.0.jsonl", data), *text = rig_read(path);
	assert_non_null(text);
	assert_non_null(strstr(text, "columns were others (a, b, c)"));
	sl_free(text);
	sl_free(path);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static void test_pipeline__the_log_of_a_removed_action_is_kept(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	rig_stage(r, 0, 10, 0, rig_row);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, "connectors: {}\nactions: []\n%s", "");
	rig_free(r);
	assert_next_run_delivers(dir, data, 10);
}

static void test_pipeline__an_equal_action_is_kept_on_reload(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING, r->dir);
	struct sl_pipeline *before = r->p[0];
	rig_stage(r, 0, 10, 0, rig_row);
	rig_load(r, WAITING, r->dir);
	assert_ptr_equal(before, r->p[0]);
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 10);
	rig_free(r);
}

static void test_pipeline__a_changed_action_leaves_nothing_behind(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING, r->dir);
	rig_stage(r, 0, 1000, 100, rig_row);
	rig_load(r, WAITING "    batch: {rows: 7}\n", r->dir);
	rig_stage(r, 0, 1000, 100, rig_row);
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 2000);
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT b) FROM x"), 2000);
	rig_free(r);
}

static void test_pipeline__a_changed_action_that_did_not_finish_is_finished_after_a_restart(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WAITING, dir);
	rig_stage(r, 0, 100, 100, rig_row);
	rig_load(r, WAITING "    batch: {rows: 7}\n", dir);
	rig_stage(r, 0, 100, 100, rig_row);
	rig_stop(r, 10);
	rig_free(r);
	assert_next_run_delivers(dir, data, 200);
}

/* A letter that keeps the connector loop from its work, for so long as the test wants. */
struct stop_sign {
	struct sl_post post;
	_Atomic bool there, go_on;
};
static void stop_sign_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct stop_sign *s = sl_container_of(post, struct stop_sign, post);
	s->there = true;
	while (!s->go_on) usleep(100);
}
static void loop_stop(struct rig *r, struct stop_sign *s) {
	*s = (struct stop_sign){.post.run = stop_sign_run};
	sl_loop_post(connectors_loop(r->cs), &s->post);
	while (!s->there) usleep(100);
}

static void test_pipeline__rows_of_many_ticks_that_meet_at_the_loop_are_logged_together(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	char *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	struct stop_sign stop;
	rig_load(r, WAITING "    buffer: {disk: 1MB, memory: 64KB}\n", dir);
	r->patience_ms = PATIENCE_MAX_MS;
	for (int round = 0; round < 3; round++) {
		loop_stop(r, &stop);
		rig_stage(r, 0, 200, 1, rig_row);
		rig_stage_on(r, 0, 0, 20, 5, false, rig_row);
		rig_stage(r, 0, 200, 1, rig_row);
		stop.go_on = true;
		assert_true(rig_confirms(r, 400 * ((uint64_t)round + 1)));
	}
	assert_int_equal(rig_counts(r, 0).queued, 1260);
	rig_stop(r, 10);
	rig_free(r);
	assert_next_run_delivers(dir, data, 1260);
}

static void test_pipeline__patient_publishers_are_confirmed_too(void **state) {
	(void)state;
	struct rig *r = rig_new(2);
	table_make(r->dir);
	rig_load(r, WAITING, r->dir);
	r->patience_ms = PATIENCE_MAX_MS;
	for (int i = 0; i < 100; i++) { /* one message a tick and less: the loop naps, and sleeps between */
		rig_stage(r, 0, 2, 1, rig_row);
		rig_stage_on(r, 1, 0, 2, 1, false, rig_row);
		if (i % 10 == 0) usleep(5000);
	}
	assert_true(rig_confirms(r, 200));
	assert_int_equal(rig_settle(r, 0).delivered, 400);
	rig_free(r);
}

struct nap_look {
	const struct connectors *cs;
	uint32_t nap_ms;
};
static void nap_look_run(void *arg) {
	struct nap_look *look = arg;
	look->nap_ms = look->cs->nap_ms;
}
static uint32_t nap_ms(struct rig *r) {
	struct nap_look look = {.cs = r->cs};
	struct sl_loop *loop = connectors_loop(r->cs);
	sl_loops_park(&loop, 1, nap_look_run, &look);
	return look.nap_ms;
}

static void test_pipeline__naps_get_as_long_as_the_least_patient_can_wait(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	struct stop_sign stop;
	uint64_t rows = 0;
	rig_load(r, WAITING, r->dir);
	/* Up by one with each turn, down at once; those who wait not at all say nothing. */
	static const struct {
		uint8_t patience_ms;
		uint32_t nap_ms;
	} steps[] = {{9, 1}, {9, 2}, {9, 3}, {9, 4}, {9, 4}, {2, 2}, {0, 3}, {3, 3}, {1, 1}, {9, 2}};
	for (size_t i = 0; i < SL_ARRAY_LEN(steps); i++) {
		r->patience_ms = steps[i].patience_ms;
		loop_stop(r, &stop);
		rig_stage(r, 0, 3, 1, rig_row);
		stop.go_on = true;
		assert_true(rig_confirms(r, rows += 3));
		assert_int_equal(nap_ms(r), steps[i].nap_ms);
	}
	rig_stop(r, 10);
	rig_free(r);
}

static void test_pipeline__sync_confirms_after_the_disk(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {sync: tick}\n", r->dir);
	rig_stage(r, 0, 500, 10, rig_row);
	assert_true(rig_confirms(r, 500));
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 500);
	rig_free(r);
}

static void test_pipeline__two_workers_feed_one_action(void **state) {
	(void)state;
	struct rig *r = rig_new(2);
	table_make(r->dir);
	rig_load(r, WAITING, r->dir);
	for (int i = 0; i < 50; i++) {
		rig_stage_on(r, 0, 0, 50, 10, true, rig_row);
		rig_stage_on(r, 1, 0, 50, 10, false, rig_row);
	}
	assert_int_equal(rig_settle(r, 0).delivered, 5000);
	rig_free(r);
}

static void test_pipeline__rows_past_their_time_to_live_expire(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', connect_fails: 3, reconnect: {first: 40ms, max: 40ms}, delay: 30ms}}\n"
		 "actions:\n"
		 "  - {connector: n, columns: {a: x, b: x, c: x}, batch: {rows: 10}, retry: {ttl: 1ms}}\n%s",
		 "");
	rig_stage(r, 0, 100, 0, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_true(n.dropped_expired > 0);
	assert_int_equal(n.delivered + n.dropped_expired, 100);
	rig_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pipeline__rows_above_the_memory_mark_wait_on_disk_in_order),
	    cmocka_unit_test(test_pipeline__with_durability_memory_only_overflow_goes_to_disk),
	    cmocka_unit_test(test_pipeline__memory_of_all_actions_together_is_bounded),
	    cmocka_unit_test(test_pipeline__a_rate_is_kept),
	    cmocka_unit_test(test_pipeline__a_row_after_a_pause_goes_at_once),
	    cmocka_unit_test(test_pipeline__a_pause_holds_for_rows_that_were_lost_before_it),
	    cmocka_unit_test(test_pipeline__hold_makes_publishers_wait_and_loses_nothing),
	    cmocka_unit_test(test_pipeline__drop_new_keeps_the_first_rows),
	    cmocka_unit_test(test_pipeline__drop_oldest_keeps_the_last_rows),
	    cmocka_unit_test(test_pipeline__drop_oldest_drops_a_row_for_each_that_comes),
	    cmocka_unit_test(test_pipeline__a_limit_by_count_holds_publishers),
	    cmocka_unit_test(test_pipeline__rows_without_room_become_dead_letters),
	    cmocka_unit_test(test_pipeline__dead_letters_that_cannot_be_written_hold),
	    cmocka_unit_test(test_pipeline__dead_letters_that_stop_in_a_chunk_go_on_there),
	    cmocka_unit_test(test_pipeline__a_limit_by_count_drops_new_or_old_rows),
	    cmocka_unit_test(test_pipeline__rows_of_qos_0_never_hold_and_go_oldest_first),
	    cmocka_unit_test(test_pipeline__a_restart_delivers_what_was_queued),
	    cmocka_unit_test(test_pipeline__a_stop_within_a_record_repeats_no_row),
	    cmocka_unit_test(test_pipeline__a_stop_after_a_reload_repeats_no_row),
	    cmocka_unit_test(test_pipeline__rows_staged_after_the_stop_are_kept),
	    cmocka_unit_test(test_pipeline__a_stop_does_not_wait_for_a_table_that_is_missing),
	    cmocka_unit_test(test_pipeline__recovered_rows_follow_their_columns_names),
	    cmocka_unit_test(test_pipeline__recovered_rows_without_a_known_column_are_dead_letters),
	    cmocka_unit_test(test_pipeline__the_log_of_a_removed_action_is_kept),
	    cmocka_unit_test(test_pipeline__an_equal_action_is_kept_on_reload),
	    cmocka_unit_test(test_pipeline__a_changed_action_leaves_nothing_behind),
	    cmocka_unit_test(test_pipeline__a_changed_action_that_did_not_finish_is_finished_after_a_restart),
	    cmocka_unit_test(test_pipeline__rows_of_many_ticks_that_meet_at_the_loop_are_logged_together),
	    cmocka_unit_test(test_pipeline__patient_publishers_are_confirmed_too),
	    cmocka_unit_test(test_pipeline__naps_get_as_long_as_the_least_patient_can_wait),
	    cmocka_unit_test(test_pipeline__sync_confirms_after_the_disk),
	    cmocka_unit_test(test_pipeline__two_workers_feed_one_action),
	    cmocka_unit_test(test_pipeline__rows_past_their_time_to_live_expire),
	};
	return cmocka_run_group_tests_name("pipeline", tests, NULL, NULL);
}
