#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rate.h"

static const struct sl_rate TEN = {.per_s = 10, .burst = 3};

static void test_rate__a_full_bucket_gives_its_burst_and_then_the_rate(void **state) {
	(void)state;
	struct sl_bucket b;
	sl_bucket_init(&b, &TEN, 1000);
	assert_true(sl_bucket_take(&b, &TEN, 1000, 1));
	assert_true(sl_bucket_take(&b, &TEN, 1000, 2));
	assert_false(sl_bucket_take(&b, &TEN, 1000, 1));
	assert_false(sl_bucket_take(&b, &TEN, 1099, 1));
	assert_true(sl_bucket_take(&b, &TEN, 1100, 1));
	assert_false(sl_bucket_take(&b, &TEN, 1100, 1));
}

static void test_rate__looking_often_loses_nothing(void **state) {
	(void)state;
	struct sl_rate slow = {.per_s = 3, .burst = 1};
	struct sl_bucket b;
	sl_bucket_init(&b, &slow, 0);
	int taken = 0;
	for (uint64_t now = 0; now < 10000; now++) taken += sl_bucket_take(&b, &slow, now, 1);
	assert_int_equal(taken, 30);
}

static void test_rate__tells_how_long_until_there_are_enough(void **state) {
	(void)state;
	struct sl_bucket b;
	sl_bucket_init(&b, &TEN, 50);
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 50, 3), 0);
	assert_true(sl_bucket_take(&b, &TEN, 50, 3));
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 50, 0), 0);
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 50, 1), 100);
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 120, 1), 30);
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 120, 99), 230); /* no more than full */
	assert_true(sl_bucket_take(&b, &TEN, 150, 1));
	struct sl_rate third = {.per_s = 3, .burst = 1};
	sl_bucket_init(&b, &third, 0);
	assert_true(sl_bucket_take(&b, &third, 0, 1));
	assert_int_equal(sl_bucket_wait_ms(&b, &third, 0, 1), 334); /* rounded up: then it is there */
	assert_true(sl_bucket_take(&b, &third, 334, 1));
}

static void test_rate__debt_is_waited_for(void **state) {
	(void)state;
	struct sl_bucket b;
	sl_bucket_init(&b, &TEN, 0);
	sl_bucket_spend(&b, &TEN, 0, 13);
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 0, 0), 1000);
	assert_int_equal(sl_bucket_wait_ms(&b, &TEN, 0, 1), 1100);
	assert_false(sl_bucket_take(&b, &TEN, 1050, 1));
	assert_true(sl_bucket_take(&b, &TEN, 1100, 1));
}

static void test_rate__forgets_when_it_is_full_again(void **state) {
	(void)state;
	struct sl_bucket b;
	sl_bucket_init(&b, &TEN, 0);
	assert_true(sl_bucket_full(&b, &TEN, 0));
	assert_true(sl_bucket_take(&b, &TEN, 0, 2));
	assert_false(sl_bucket_full(&b, &TEN, 199));
	assert_true(sl_bucket_full(&b, &TEN, 200));
	assert_true(sl_bucket_full(&b, &TEN, 1u << 30)); /* and never more than that */
	assert_true(sl_bucket_take(&b, &TEN, 1u << 30, 3));
	assert_false(sl_bucket_take(&b, &TEN, 1u << 30, 1));
}

static void test_rate__zero_is_no_limit(void **state) {
	(void)state;
	struct sl_rate none = {.per_s = 0, .burst = 5};
	struct sl_bucket b;
	sl_bucket_init(&b, &none, 0);
	for (int i = 0; i < 100; i++) assert_true(sl_bucket_take(&b, &none, 0, 1000000));
	sl_bucket_spend(&b, &none, 0, UINT64_MAX);
	assert_int_equal(sl_bucket_wait_ms(&b, &none, 0, UINT64_MAX), 0);
	assert_true(sl_bucket_full(&b, &none, 0));
}

static void test_rate__a_burst_that_is_not_given_is_a_second(void **state) {
	(void)state;
	struct sl_rate rate = {.per_s = 7};
	struct sl_bucket b;
	sl_bucket_init(&b, &rate, 0);
	assert_true(sl_bucket_take(&b, &rate, 0, 7));
	assert_false(sl_bucket_take(&b, &rate, 0, 1));
}

static void test_rate__a_rate_may_change_under_the_bucket(void **state) {
	(void)state;
	struct sl_rate rate = {.per_s = 100, .burst = 100};
	struct sl_bucket b;
	sl_bucket_init(&b, &rate, 0);
	rate = (struct sl_rate){.per_s = 1, .burst = 2};
	assert_true(sl_bucket_full(&b, &rate, 0));
	assert_true(sl_bucket_take(&b, &rate, 0, 2));
	assert_false(sl_bucket_take(&b, &rate, 0, 1));
}

static void test_rate__a_clock_that_goes_back_does_no_harm(void **state) {
	(void)state;
	struct sl_bucket b;
	sl_bucket_init(&b, &TEN, 5000);
	assert_true(sl_bucket_take(&b, &TEN, 5000, 3));
	assert_false(sl_bucket_take(&b, &TEN, 100, 1));
	assert_false(sl_bucket_take(&b, &TEN, 5050, 1));
	assert_true(sl_bucket_take(&b, &TEN, 5100, 1));
}

static void test_rate__extremes_do_not_overflow(void **state) {
	(void)state;
	struct sl_rate huge = {.per_s = UINT64_MAX, .burst = UINT64_MAX}, tiny = {.per_s = 1, .burst = UINT64_MAX};
	struct sl_bucket b;
	sl_bucket_init(&b, &huge, 0);
	for (int i = 0; i < 5; i++) sl_bucket_spend(&b, &huge, 0, UINT64_MAX);
	assert_true(sl_bucket_wait_ms(&b, &huge, 0, UINT64_MAX) > 0);
	assert_true(sl_bucket_full(&b, &huge, UINT64_MAX));
	sl_bucket_init(&b, &tiny, 0);
	for (int i = 0; i < 5; i++) sl_bucket_spend(&b, &tiny, 0, UINT64_MAX);
	assert_true(sl_bucket_wait_ms(&b, &tiny, 0, 1) > 1000);
	assert_true(sl_bucket_full(&b, &tiny, UINT64_MAX));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rate__a_full_bucket_gives_its_burst_and_then_the_rate),
	    cmocka_unit_test(test_rate__looking_often_loses_nothing),
	    cmocka_unit_test(test_rate__tells_how_long_until_there_are_enough),
	    cmocka_unit_test(test_rate__debt_is_waited_for),
	    cmocka_unit_test(test_rate__forgets_when_it_is_full_again),
	    cmocka_unit_test(test_rate__zero_is_no_limit),
	    cmocka_unit_test(test_rate__a_burst_that_is_not_given_is_a_second),
	    cmocka_unit_test(test_rate__a_rate_may_change_under_the_bucket),
	    cmocka_unit_test(test_rate__a_clock_that_goes_back_does_no_harm),
	    cmocka_unit_test(test_rate__extremes_do_not_overflow),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
