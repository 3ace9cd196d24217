/* bench_stat_test.c: what the load generator reports rests on these counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "bench_stat.h"
#include "mem.h"

static void test_stream__in_order_is_clean(void **state) {
	(void)state;
	struct stream s = {0};
	struct stream_counts c = {0};
	for (uint32_t i = 0; i < 1000; i++) assert_true(stream_add(&s, i, &c));
	assert_int_equal(c.received, 1000);
	assert_int_equal(c.repeated, 0);
	assert_int_equal(c.out_of_order, 0);
	stream_fini(&s);
}

static void test_stream__repeats_and_late_ones_are_told_apart(void **state) {
	(void)state;
	struct stream s = {0};
	struct stream_counts c = {0};
	stream_add(&s, 0, &c);
	stream_add(&s, 3, &c);
	stream_add(&s, 1, &c);
	assert_false(stream_add(&s, 3, &c));
	assert_false(stream_add(&s, 0, &c));
	assert_int_equal(c.received, 3);
	assert_int_equal(c.repeated, 2);
	assert_int_equal(c.out_of_order, 1);
	stream_fini(&s);
}

static void test_hist__percentiles_are_within_three_percent(void **state) {
	(void)state;
	struct hist *h = SL_NEW(struct hist);
	for (uint64_t us = 1; us <= 10000; us++) hist_add(h, us * 1000);
	double p50 = hist_percentile_us(h, 50), p99 = hist_percentile_us(h, 99);
	assert_true(p50 > 4850 && p50 < 5150);
	assert_true(p99 > 9600 && p99 < 10200);
	sl_free(h);
}

static void test_hist__empty_small_and_huge(void **state) {
	(void)state;
	struct hist *h = SL_NEW(struct hist);
	assert_true(hist_percentile_us(h, 99) == 0);
	hist_add(h, 0);
	hist_add(h, 31);
	hist_add(h, UINT64_MAX);
	assert_int_equal(h->total, 3);
	assert_true(hist_percentile_us(h, 100) > 1e6);
	sl_free(h);
}

static void test_proc__knows_this_process_and_not_pid_0(void **state) {
	(void)state;
	assert_true(proc_rss_bytes(getpid()) > 100000);
	assert_true(proc_cpu_ns(getpid()) > 0);
	assert_int_equal(proc_cpu_ns(0), 0);
	assert_int_equal(proc_rss_bytes(0), 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream__in_order_is_clean),
	    cmocka_unit_test(test_stream__repeats_and_late_ones_are_told_apart),
	    cmocka_unit_test(test_hist__percentiles_are_within_three_percent),
	    cmocka_unit_test(test_hist__empty_small_and_huge),
	    cmocka_unit_test(test_proc__knows_this_process_and_not_pid_0),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
