#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "err.h"
#include "mem.h"
#include "rng.h"
#include "slice.h"

static void test_slice__null_and_empty_are_the_same(void **state) {
	(void)state;
	assert_true(slice_equal(SL_SLICE_EMPTY, slice_from_str("")));
	assert_int_equal(slice_compare(SL_SLICE_EMPTY, slice_from_str("")), 0);
	assert_int_equal(slice_find_byte(SL_SLICE_EMPTY, 'a'), -1);
	assert_int_equal(slice_find(SL_SLICE_EMPTY, slice_from_str("")), 0);
	assert_int_equal(slice_trim(SL_SLICE_EMPTY).n, 0);
	assert_int_equal(slice_from(SL_SLICE_EMPTY, 5).n, 0);
}

static void test_slice__compares_bytes_then_length(void **state) {
	(void)state;
	assert_true(slice_compare(slice_from_str("ab"), slice_from_str("abc")) < 0);
	assert_true(slice_compare(slice_from_str("b"), slice_from_str("abc")) > 0);
	assert_true(slice_compare(slice_from_str("a\xff"), slice_from_str("az")) > 0);
	assert_true(slice_equal_nocase(slice_from_str("SeLeCt"), slice_from_str("select")));
	assert_false(slice_equal_nocase(slice_from_str("a"), slice_from_str("ab")));
}

static void test_slice__cuts_within_bounds(void **state) {
	(void)state;
	struct sl_slice s = slice_from_str("topic/a");
	assert_true(slice_equal_str(slice_sub(s, 6, 100), "a"));
	assert_true(slice_equal_str(slice_from(s, 100), ""));
	assert_true(slice_starts_with(s, slice_from_str("topic/")));
	assert_false(slice_starts_with(s, slice_from_str("topic/a/b")));
	assert_int_equal(slice_find(s, slice_from_str("c/")), 4);
	assert_int_equal(slice_find(s, slice_from_str("x")), -1);
	assert_true(slice_equal_str(slice_trim(slice_from_str(" \t a b \r\n")), "a b"));
}

static void test_slice__walks_parts(void **state) {
	(void)state;
	struct sl_slice rest = slice_from_str("a//b/");
	assert_true(slice_equal_str(slice_next_part(&rest, '/'), "a"));
	assert_true(slice_equal_str(slice_next_part(&rest, '/'), ""));
	assert_true(slice_equal_str(slice_next_part(&rest, '/'), "b"));
	assert_non_null(rest.p);
	assert_true(slice_equal_str(slice_next_part(&rest, '/'), ""));
	assert_null(rest.p);
}

static int to_i64(const char *text, int64_t *out) { return slice_to_i64(slice_from_str(text), out); }

static void test_slice__reads_integers_at_the_limits(void **state) {
	(void)state;
	int64_t v = 0;
	assert_int_equal(to_i64("9223372036854775807", &v), SL_OK);
	assert_true(v == INT64_MAX);
	assert_int_equal(to_i64("-9223372036854775808", &v), SL_OK);
	assert_true(v == INT64_MIN);
	assert_int_equal(to_i64("9223372036854775808", &v), SL_ELIMIT);
	assert_int_equal(to_i64("-9223372036854775809", &v), SL_ELIMIT);
	assert_int_equal(to_i64("99999999999999999999", &v), SL_ELIMIT);
}

static void test_slice__refuses_what_is_no_integer(void **state) {
	(void)state;
	int64_t v;
	assert_int_equal(to_i64("", &v), SL_EINVAL);
	assert_int_equal(to_i64("-", &v), SL_EINVAL);
	assert_int_equal(to_i64(" 1", &v), SL_EINVAL);
	assert_int_equal(to_i64("1.0", &v), SL_EINVAL);
	assert_int_equal(to_i64("0x10", &v), SL_EINVAL);
}

/* Digits are taken eight at a time. */
static void test_slice__reads_integers_of_every_length(void **state) {
	(void)state;
	const char digits[] = "9081726354409182735", others[] = "/:.-\xb1\x10 ";
	char text[SL_ARRAY_LEN(digits)];
	for (size_t n = 1; n < sizeof digits; n++) {
		int64_t v, expected = 0;
		for (size_t i = 0; i < n; i++) expected = expected * 10 + (digits[i] - '0');
		assert_int_equal(slice_to_i64(slice_make(digits, n), &v), SL_OK);
		assert_true(v == expected);
		for (size_t at = 0; at < n * (sizeof others - 1); at++) {
			memcpy(text, digits, n);
			text[at % n] = others[at / n];
			bool minus = n > 1 && at % n == 0 && others[at / n] == '-';
			assert_int_equal(slice_to_i64(slice_make(text, n), &v), minus ? SL_OK : SL_EINVAL);
			if (minus)
				assert_true(slice_to_i64(slice_make(digits + 1, n - 1), &expected) == SL_OK &&
					    v == -expected);
		}
	}
}

static int to_double(const char *text, double *out) { return slice_to_double(slice_from_str(text), out); }

static void test_slice__reads_doubles_exactly(void **state) {
	(void)state;
	double v = 0;
	assert_int_equal(to_double("0.1", &v), SL_OK);
	assert_true(v == 0.1);
	assert_int_equal(to_double("-123456.789012345", &v), SL_OK);
	assert_true(v == -123456.789012345);
	assert_int_equal(to_double("1.7976931348623157e308", &v), SL_OK);
	assert_true(v == 1.7976931348623157e308);
	assert_int_equal(to_double("4.9e-324", &v), SL_OK);
	assert_true(v == 4.9e-324);
	assert_int_equal(to_double("0.30000000000000004000000000000000000000000000000000000000000000000000001", &v),
			 SL_OK);
	assert_true(v == 0.30000000000000004);
}

/* The short ways for few digits say what the C library says of any number of them. */
static void test_slice__reads_decimals_of_every_length(void **state) {
	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[64];
		int n = 0, whole = 1 + (int)sl_rng_below(20), frac = (int)sl_rng_below(20);
		if (sl_rng_below(2)) text[n++] = '-';
		for (int i = 0; i < whole; i++) text[n++] = (char)('0' + sl_rng_below(10));
		text[n] = '\0';
		int64_t v = 0;
		errno = 0;
		long long want = strtoll(text, NULL, 10);
		assert_int_equal(to_i64(text, &v), errno ? SL_ELIMIT : SL_OK);
		if (errno == 0) assert_true(v == want);
		if (frac) text[n++] = '.';
		for (int i = 0; i < frac; i++) text[n++] = (char)('0' + sl_rng_below(10));
		text[n] = '\0';
		double d = 0, expected = strtod(text, NULL);
		assert_int_equal(to_double(text, &d), SL_OK);
		assert_memory_equal(&d, &expected, sizeof d);
	}
}

static void test_slice__refuses_what_is_no_double(void **state) {
	(void)state;
	double v;
	assert_int_equal(to_double("", &v), SL_EINVAL);
	assert_int_equal(to_double("-", &v), SL_EINVAL);
	assert_int_equal(to_double("nan", &v), SL_EINVAL);
	assert_int_equal(to_double("inf", &v), SL_EINVAL);
	assert_int_equal(to_double("0x1p3", &v), SL_EINVAL);
	assert_int_equal(to_double("1 ", &v), SL_EINVAL);
	assert_int_equal(to_double("1e", &v), SL_EINVAL);
	assert_int_equal(to_double("1e999", &v), SL_ELIMIT);
}

static void test_slice__duplicates_with_a_nul(void **state) {
	(void)state;
	char *copy = slice_dup(slice_make("abcdef", 3));
	assert_string_equal(copy, "abc");
	sl_free(copy);
}

static void test_slice__finds_the_nearest_name(void **state) {
	(void)state;
	const char *const names[] = {"listeners", "connectors", "rules", NULL};
	assert_string_equal(slice_nearest(slice_from_str("conectors"), names, 4), "connectors");
	assert_string_equal(slice_nearest(slice_from_str("RULE"), names, 4), "rules");
	assert_null(slice_nearest(slice_from_str("bananas"), names, 4));
	assert_null(slice_nearest(slice_from_str("a"), (const char *const[]){"y"}, 1));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slice__null_and_empty_are_the_same),
	    cmocka_unit_test(test_slice__compares_bytes_then_length),
	    cmocka_unit_test(test_slice__cuts_within_bounds),
	    cmocka_unit_test(test_slice__walks_parts),
	    cmocka_unit_test(test_slice__reads_integers_at_the_limits),
	    cmocka_unit_test(test_slice__reads_integers_of_every_length),
	    cmocka_unit_test(test_slice__refuses_what_is_no_integer),
	    cmocka_unit_test(test_slice__reads_doubles_exactly),
	    cmocka_unit_test(test_slice__reads_decimals_of_every_length),
	    cmocka_unit_test(test_slice__refuses_what_is_no_double),
	    cmocka_unit_test(test_slice__duplicates_with_a_nul),
	    cmocka_unit_test(test_slice__finds_the_nearest_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
