/* The contract of connector.h, seen from a kind that fails by script (null): whatever it answers, no row is lost, none is
 * decided twice, keys keep their order, and the counters add up. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "connectors_int.h"

#define NULL_WITH(conn, action)                                                                                        \
	"connectors: {n: {type: 'null', reconnect: {first: 5ms, max: 20ms}, " conn "}}\n"                              \
	"actions:\n"                                                                                                   \
	"  - {connector: n, columns: {a: x, b: x, c: x}, trace: %s/trace, retry: {first: 2ms, max: 8ms" action "}\n"

struct seen {
	size_t rows, twice, disorder;
};

/* Reads the trace: each number of 0..n-1 how often, and whether numbers of a device ascend. */
static struct seen trace_read(const char *dir, size_t n) {
	struct seen seen = {0};
	uint8_t *times = sl_zalloc(n);
	long last[10];
	for (int i = 0; i < 10; i++) last[i] = -1;
	char *path = sl_asprintf("%s/trace", dir), *text = rig_read(path);
	assert_non_null(text);
	struct sl_slice rest = slice_from_str(text);
	while (rest.p) {
		struct sl_slice part = slice_next_part(&rest, '\n');
		if (part.n == 0) continue;
		char line[128];
		unsigned device;
		long number;
		assert_in_range(part.n, 1, sizeof line - 1);
		memcpy(line, part.p, part.n);
		line[part.n] = '\0';
		assert_int_equal(sscanf(line, "\"d%u\" %ld", &device, &number), 2);
		assert_in_range(number, 0, n - 1);
		seen.rows += times[number] == 0;
		seen.twice += times[number]++ > 0;
		seen.disorder += number <= last[device];
		last[device] = number;
	}
	sl_free(path);
	sl_free(text);
	sl_free(times);
	return seen;
}

static void delivers_all_in_order(struct rig *r, size_t n) {
	rig_stage(r, 0, n, 50, rig_row);
	struct sl_action_counts counts = rig_settle(r, 0);
	assert_int_equal(counts.delivered, n);
	struct seen seen = trace_read(r->dir, n);
	assert_int_equal(seen.rows, n);
	assert_int_equal(seen.twice, 0);
	assert_int_equal(seen.disorder, 0);
}

#define TEST_ALL_ARRIVE(name, conn, action, rows)                                                                      \
	static void test_contract__##name(void **state) {                                                              \
		(void)state;                                                                                           \
		struct rig *r = rig_new(1);                                                                            \
		rig_load(r, NULL_WITH(conn, action), r->dir);                                                          \
		delivers_all_in_order(r, rows);                                                                        \
		rig_free(r);                                                                                           \
	}

TEST_ALL_ARRIVE(nothing_fails, "delay: 0", "}, batch: {rows: 20}", 2000)
TEST_ALL_ARRIVE(retried_rows_keep_the_order_of_their_key, "fail_every: 7, fail_result: retry", "}, batch: {rows: 20}",
		1000)
TEST_ALL_ARRIVE(retried_rows_keep_their_order_with_two_batches_out, "blocking: true, fail_every: 7, fail_result: retry",
		"}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(timed_out_rows_are_tried_again, "fail_every: 13, fail_result: timeout", "}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(throttled_rows_wait, "fail_every: 90, fail_result: throttled", "}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(throttled_rows_wait_with_two_batches_out, "blocking: true, fail_every: 90, fail_result: throttled",
		"}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(a_refused_group_is_split_until_it_passes, "fail_every: 41, fail_result: group_failed",
		"}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(a_refused_group_is_split_with_two_batches_out,
		"blocking: true, fail_every: 41, fail_result: group_failed", "}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(a_connection_that_breaks_loses_nothing, "down_after: 9, delay: 1ms", "}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(a_blocking_connection_that_breaks_loses_nothing, "blocking: true, down_after: 9",
		"}, batch: {rows: 20}", 1000)
TEST_ALL_ARRIVE(a_server_that_comes_up_late_gets_everything, "connect_fails: 5", "}, batch: {rows: 20}", 1000)

TEST_ALL_ARRIVE(several_batches_out_keep_the_order_of_keys,
		"ways: 4, delay: 1ms, jitter: 3ms, fail_every: 17, fail_result: retry", "}, batch: {rows: 20}", 1000)

static void test_contract__without_order_all_rows_arrive(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(
	    r,
	    NULL_WITH("ways: 3, jitter: 3ms, fail_every: 7, fail_result: retry", "}, order: none, batch: {rows: 20}"),
	    r->dir);
	rig_stage(r, 0, 1000, 50, rig_row);
	assert_int_equal(rig_settle(r, 0).delivered, 1000);
	struct seen seen = trace_read(r->dir, 1000);
	assert_int_equal(seen.rows, 1000);
	assert_int_equal(seen.twice, 0);
	rig_free(r);
}

/* Of ten keys, which would be four batches. */
static void test_contract__few_rows_leave_in_one_batch(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, NULL_WITH("ways: 4", "}, batch: {linger: 50ms}"), r->dir);
	rig_stage(r, 0, 40, 0, rig_row);
	assert_int_equal(rig_settle(r, 0).batches, 1);
	rig_free(r);
}

struct ways_look {
	const struct sl_pipeline *p;
	uint32_t used;
};
static void ways_look_run(void *arg) {
	struct ways_look *look = arg;
	look->used = look->p->ways_used;
}
static uint32_t ways_used(struct rig *r) {
	struct ways_look look = {.p = r->p[0]};
	struct sl_loop *loop = connectors_loop(r->cs);
	sl_loops_park(&loop, 1, ways_look_run, &look);
	return look.used;
}

static void stage_until_ways(struct rig *r, uint32_t used, bool settle) {
	uint64_t deadline = sl_clock_mono_ms() + 30000;
	while (ways_used(r) != used) {
		assert_true(sl_clock_mono_ms() < deadline);
		rig_stage(r, 0, 10, settle ? 0 : 1, rig_row);
		if (settle) (void)rig_settle(r, 0);
	}
}

static void test_contract__connections_are_taken_and_left_without_disorder(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, NULL_WITH("ways: 4, delay: 10ms, fail_every: 53, fail_result: retry", "}, batch: {linger: 1ms}"),
		 r->dir);
	assert_int_equal(ways_used(r), 1);
	for (int i = 0; i < 2; i++) {
		stage_until_ways(r, 4, false);
		stage_until_ways(r, 1, true);
	}
	assert_int_equal(rig_settle(r, 0).delivered, r->serial);
	struct seen seen = trace_read(r->dir, r->serial);
	assert_int_equal(seen.rows, r->serial);
	assert_int_equal(seen.twice, 0);
	assert_int_equal(seen.disorder, 0);
	rig_free(r);
}

static void test_contract__who_does_not_linger_has_all_connections(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, NULL_WITH("ways: 4", "}, batch: {linger: 0}"), r->dir);
	assert_int_equal(ways_used(r), 4);
	rig_stage(r, 0, 40, 1, rig_row);
	(void)rig_settle(r, 0);
	assert_int_equal(ways_used(r), 4);
	rig_free(r);
}

static void test_contract__one_poison_row_of_a_hundred_is_isolated(void **state) {
	(void)state;
	for (int blocking = 0; blocking < 2; blocking++) {
		struct rig *r = rig_new(1);
		rig_load(r,
			 "connectors: {n: {type: 'null', blocking: %s}}\n"
			 "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/trace, poison: d3}]\n",
			 blocking ? "true" : "false", r->dir);
		rig_stage(r, 0, 100, 0, rig_row);
		struct sl_action_counts n = rig_settle(r, 0);
		assert_int_equal(n.delivered, 90);
		assert_int_equal(n.rejected, 10);
		struct seen seen = trace_read(r->dir, 100);
		assert_int_equal(seen.rows, 90);
		assert_int_equal(seen.disorder, 0);
		rig_free(r);
	}
}

static void test_contract__a_batch_without_answer_is_cancelled_and_counted_as_maybe_duplicate(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: null, delay: 1h}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, timeout: 20ms, "
		 "retry: {first: 1ms, max: 2ms, attempts: 2}}]\n%s",
		 "");
	rig_stage(r, 0, 10, 0, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.rejected, 10);
	assert_int_equal(n.maybe_duplicate, 20);
	rig_free(r);
}

static void test_contract__rejected_rows_are_dead_letters_at_once(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, NULL_WITH("fail_every: 10, fail_result: reject", "}"), r->dir);
	rig_stage(r, 0, 100, 0, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 90);
	assert_int_equal(n.rejected, 10);
	assert_int_equal(n.retried, 0);
	rig_free(r);
}

static void test_contract__attempts_are_bounded_when_asked(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, NULL_WITH("fail_every: 1, fail_result: retry", ", attempts: 3}"), r->dir);
	rig_stage(r, 0, 20, 0, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.rejected, 20);
	assert_int_equal(n.retried, 40);
	rig_free(r);
}

/* Closed while connecting, with batches out, with batches in the thread's queue: it ends, and counts hold. */
static void test_contract__closing_ends_whatever_is_going_on(void **state) {
	(void)state;
	const char *conns[] = {"delay: 1h", "delay: 50ms, blocking: true", "connect_fails: 1000000",
			       "fail_every: 3, fail_result: lost", "fail_every: 1, fail_result: retry, blocking: true"};
	for (size_t i = 0; i < SL_ARRAY_LEN(conns); i++) {
		struct rig *r = rig_new(1);
		rig_load(r,
			 "connectors: {n: {type: 'null', %s}}\n"
			 "actions: [{connector: n, columns: {a: x, b: x, c: x}, batch: {rows: 5}}]\n",
			 conns[i]);
		rig_stage(r, 0, 200, 10, rig_row);
		rig_stage_on(r, 0, 0, 200, 10, false, rig_row);
		usleep(5000);
		(void)rig_counts(r, 0);
		rig_stop(r, 20);
		rig_free(r);
	}
}

static bool some_are_out(const struct sl_action_counts *n) { return n->batches > 0; }

#define CUT_SHORT NULL_WITH("delay: 1h", ", attempts: 1}, timeout: 1h, batch: {rows: 5, linger: 0}")
#define CUT_SHORT_NO_MORE NULL_WITH("delay: 0", ", attempts: 1}, timeout: 1h, batch: {rows: 5, linger: 0}")

/* Nobody knows how it would have gone on: it is not counted, however few attempts there are. */
static void test_contract__a_batch_that_a_stop_cuts_short_is_no_attempt(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir),
	     *letters = sl_asprintf("%s/dead/r.0.jsonl", data);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, CUT_SHORT, dir);
	rig_stage(r, 0, 20, 0, rig_row);
	assert_true(rig_until(r, 0, some_are_out));
	rig_stop(r, 1);
	rig_free(r);
	assert_int_not_equal(access(letters, F_OK), 0);
	r = rig_new_in(1, data);
	rig_load(r, CUT_SHORT_NO_MORE, dir);
	assert_int_equal(rig_settle(r, 0).recovered, 20);
	rig_free(r);
	struct seen seen = trace_read(dir, 20);
	assert_int_equal(seen.rows, 20);
	assert_int_equal(seen.disorder, 0);
	rig_rmdir(dir);
	sl_free(letters);
	sl_free(data);
	sl_free(dir);
}

static void test_contract__a_batch_that_a_reload_cuts_short_is_no_attempt(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r, CUT_SHORT, r->dir);
	rig_stage(r, 0, 20, 0, rig_row);
	assert_true(rig_until(r, 0, some_are_out));
	rig_load(r, CUT_SHORT_NO_MORE, r->dir);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 20);
	assert_int_equal(n.maybe_duplicate, 5);
	assert_int_equal(trace_read(r->dir, 20).disorder, 0);
	rig_free(r);
}

static int reject_fn(void *arg, const struct sl_reject *reject) {
	_Atomic int *calls = arg;
	int n = ++*calls;
	assert_string_equal(reject->rule, "r");
	assert_int_equal(reject->param_count, 3);
	return n <= 3 ? SL_ENOSPACE : SL_OK; /* the row must then stay queued */
}

static void release_fn(void *on_error) { ++*(_Atomic int *)on_error; }

static void test_contract__on_error_gets_rejected_rows_until_it_takes_them(void **state) {
	(void)state;
	_Atomic int calls = 0, released = 0;
	struct rig *r = rig_new(1);
	connectors_on_reject(r->cs, reject_fn, (void *)&calls);
	r->on_error = (void *)&released;
	r->on_error_release = release_fn;
	rig_load(r, NULL_WITH("fail_every: 1, fail_result: reject", "}, on_error: {republish: {topic: x}}"), r->dir);
	rig_stage(r, 0, 2, 0, rig_row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.rejected, 2);
	assert_int_equal(calls, 5);
	rig_free(r);
	assert_int_equal(released, 1);
}

struct rate_look {
	struct sl_pipeline *p;
	uint64_t out, room;
};

static void batches_made_small(void *arg) { ((struct rate_look *)arg)->p->pace.most = 1; }

static void rate_look_run(void *arg) {
	struct rate_look *look = arg;
	look->out = look->p->flight_rows;
	look->room = look->p->rate_room;
}

/* Of three tenths of a second's rows one goes, for larger batches were late: no more is taken of what the rate lets go. */
static void test_contract__a_small_batch_costs_the_rate_no_more_than_its_rows(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', delay: 1m}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, rate: 20, batch: {rows: 3}}]\n%s",
		 "");
	struct rate_look look = {.p = r->p[0]};
	struct sl_loop *loop = connectors_loop(r->cs);
	sl_loops_park(&loop, 1, batches_made_small, &look);
	rig_stage(r, 0, 3, 0, rig_row);
	for (int i = 0; i < 10000 && look.out == 0; i++) {
		usleep(1000);
		sl_loops_park(&loop, 1, rate_look_run, &look);
	}
	assert_int_equal(look.out, 1);
	assert_int_equal(look.room, 2000);
	rig_stop(r, 1);
	rig_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_contract__nothing_fails),
	    cmocka_unit_test(test_contract__retried_rows_keep_the_order_of_their_key),
	    cmocka_unit_test(test_contract__retried_rows_keep_their_order_with_two_batches_out),
	    cmocka_unit_test(test_contract__timed_out_rows_are_tried_again),
	    cmocka_unit_test(test_contract__throttled_rows_wait),
	    cmocka_unit_test(test_contract__throttled_rows_wait_with_two_batches_out),
	    cmocka_unit_test(test_contract__a_refused_group_is_split_until_it_passes),
	    cmocka_unit_test(test_contract__a_refused_group_is_split_with_two_batches_out),
	    cmocka_unit_test(test_contract__a_connection_that_breaks_loses_nothing),
	    cmocka_unit_test(test_contract__a_blocking_connection_that_breaks_loses_nothing),
	    cmocka_unit_test(test_contract__a_server_that_comes_up_late_gets_everything),
	    cmocka_unit_test(test_contract__several_batches_out_keep_the_order_of_keys),
	    cmocka_unit_test(test_contract__without_order_all_rows_arrive),
	    cmocka_unit_test(test_contract__few_rows_leave_in_one_batch),
	    cmocka_unit_test(test_contract__connections_are_taken_and_left_without_disorder),
	    cmocka_unit_test(test_contract__who_does_not_linger_has_all_connections),
	    cmocka_unit_test(test_contract__a_small_batch_costs_the_rate_no_more_than_its_rows),
	    cmocka_unit_test(test_contract__one_poison_row_of_a_hundred_is_isolated),
	    cmocka_unit_test(test_contract__a_batch_without_answer_is_cancelled_and_counted_as_maybe_duplicate),
	    cmocka_unit_test(test_contract__a_batch_that_a_stop_cuts_short_is_no_attempt),
	    cmocka_unit_test(test_contract__a_batch_that_a_reload_cuts_short_is_no_attempt),
	    cmocka_unit_test(test_contract__rejected_rows_are_dead_letters_at_once),
	    cmocka_unit_test(test_contract__attempts_are_bounded_when_asked),
	    cmocka_unit_test(test_contract__closing_ends_whatever_is_going_on),
	    cmocka_unit_test(test_contract__on_error_gets_rejected_rows_until_it_takes_them),
	};
	return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
