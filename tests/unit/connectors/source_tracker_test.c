/* source_tracker_test.c: messages that get through in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "source_tracker.h"

static void test_tracker__nothing_done_is_no_mark(void **state) {
	(void)state;
	struct source_tracker t = {.at = NULL};
	assert_int_equal(tracker_mark(&t), -1);
	tracker_add(&t, 7);
	assert_int_equal(tracker_mark(&t), -1);
	assert_int_equal(tracker_pending(&t), 1);
	tracker_fini(&t);
}

static void test_tracker__the_mark_waits_for_the_lowest(void **state) {
	(void)state;
	struct source_tracker t = {.at = NULL};
	for (int64_t p = 40; p < 45; p++) tracker_add(&t, p);
	assert_false(tracker_done(&t, 42));
	assert_false(tracker_done(&t, 41));
	assert_int_equal(tracker_mark(&t), -1);
	assert_true(tracker_done(&t, 40));
	assert_int_equal(tracker_mark(&t), 43);
	assert_false(tracker_done(&t, 44));
	assert_true(tracker_done(&t, 43));
	assert_int_equal(tracker_mark(&t), 45);
	assert_int_equal(tracker_pending(&t), 0);
	tracker_fini(&t);
}

/* Compacted topics and transactions leave gaps. */
static void test_tracker__gaps_are_fine(void **state) {
	(void)state;
	struct source_tracker t = {.at = NULL};
	tracker_add(&t, 0);
	tracker_add(&t, 10);
	tracker_add(&t, INT64_MAX - 1);
	assert_true(tracker_done(&t, 0));
	assert_int_equal(tracker_mark(&t), 1);
	assert_true(tracker_done(&t, 10));
	assert_int_equal(tracker_mark(&t), 11);
	assert_true(tracker_done(&t, INT64_MAX - 1));
	assert_int_equal(tracker_mark(&t), INT64_MAX);
	tracker_fini(&t);
}

static void test_tracker__what_is_not_there_is_nobodys_business(void **state) {
	(void)state;
	struct source_tracker t = {.at = NULL};
	assert_false(tracker_done(&t, 5));
	tracker_add(&t, 5);
	assert_false(tracker_done(&t, 4));
	assert_false(tracker_done(&t, 6));
	assert_true(tracker_done(&t, 5));
	assert_false(tracker_done(&t, 5));
	assert_int_equal(tracker_mark(&t), 6);
	tracker_fini(&t);
}

enum { ROUNDS = 20000, OPEN_MAX = 300 };

/* Against one who looks at everything: positions rise in steps of 1 to 3, any open one gets through. */
static void test_tracker__as_a_naive_one(void **state) {
	(void)state;
	struct source_tracker t = {.at = NULL};
	int64_t *open = SL_NEW_ARRAY(int64_t, OPEN_MAX), next = 100, low = 100, last = 99;
	size_t n = 0;
	for (int i = 0; i < ROUNDS; i++) {
		if (n < OPEN_MAX && (n == 0 || sl_rng_next() % 2)) {
			tracker_add(&t, next);
			open[n++] = last = next;
			next += 1 + (int64_t)(sl_rng_next() % 3);
			continue;
		}
		size_t k = sl_rng_next() % n;
		int64_t p = open[k];
		open[k] = open[--n];
		(void)tracker_done(&t, p);
		low = INT64_MAX;
		for (size_t j = 0; j < n; j++) low = open[j] < low ? open[j] : low;
		/* Everything below the lowest that is open is through; the mark stands behind the last of those. */
		int64_t mark = tracker_mark(&t);
		assert_true(mark <= (n ? low : last + 1));
		assert_true(n > 0 || mark == last + 1);
		assert_true(n == 0 || mark < 0 || low - mark <= 2);
	}
	sl_free(open);
	tracker_fini(&t);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tracker__nothing_done_is_no_mark),
	    cmocka_unit_test(test_tracker__the_mark_waits_for_the_lowest),
	    cmocka_unit_test(test_tracker__gaps_are_fine),
	    cmocka_unit_test(test_tracker__what_is_not_there_is_nobodys_business),
	    cmocka_unit_test(test_tracker__as_a_naive_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
