#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "clock.h"
#include "hash.h"
#include "rng.h"

static void test_rng__stays_below_the_bound(void **state) {
	(void)state;
	unsigned seen = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t v = sl_rng_below(5);
		assert_true(v < 5);
		seen |= 1u << v;
	}
	assert_int_equal(seen, 31);
	assert_int_equal(sl_rng_below(0), 0);
	assert_int_equal(sl_rng_below(1), 0);
}

static void test_rng__fills_bytes(void **state) {
	(void)state;
	char a[32] = {0}, b[32] = {0};
	sl_random_bytes(a, sizeof a);
	sl_random_bytes(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
}

static void test_hash__stable_does_not_depend_on_the_seed(void **state) {
	(void)state;
	uint64_t stable = sl_hash_stable(SL_SLICE_LIT("factory/1"));
	uint64_t before = sl_hash(SL_SLICE_LIT("factory/1"));
	sl_hash_init();
	assert_true(sl_hash_stable(SL_SLICE_LIT("factory/1")) == stable);
	assert_true(sl_hash(SL_SLICE_LIT("factory/1")) != before);
	assert_true(sl_hash(SL_SLICE_EMPTY) == sl_hash(slice_from_str("")));
}

static void test_clock__can_be_replaced(void **state) {
	(void)state;
	sl_clock_set_fake(1500, 1700000000123);
	assert_int_equal(sl_clock_mono_ms(), 1500);
	assert_int_equal(sl_clock_mono_us(), 1500000);
	assert_true(sl_clock_wall_ms() == 1700000000123);
	sl_clock_set_real();
	uint64_t first = sl_clock_mono_us();
	assert_true(sl_clock_mono_us() >= first);
	assert_true(sl_clock_wall_ms() != 1700000000123);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rng__stays_below_the_bound),
	    cmocka_unit_test(test_rng__fills_bytes),
	    cmocka_unit_test(test_hash__stable_does_not_depend_on_the_seed),
	    cmocka_unit_test(test_clock__can_be_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
