#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conv.h"
#include "rng.h"

static const char *text_of(double v) {
	static char out[SL_FORMAT_DOUBLE_MAX];
	size_t n = sl_format_double(v, out);
	assert_int_equal(n, strlen(out));
	return out;
}

static void test_conv__writes_integers_at_the_limits(void **state) {
	(void)state;
	char out[SL_FORMAT_I64_MAX];
	assert_int_equal(sl_format_i64(INT64_MIN, out), 20);
	assert_string_equal(out, "-9223372036854775808");
	assert_int_equal(sl_format_u64(UINT64_MAX, out), 20);
	assert_string_equal(out, "18446744073709551615");
	assert_int_equal(sl_format_i64(0, out), 1);
	assert_string_equal(out, "0");
	assert_int_equal(sl_format_i64(-105, out), 4);
	assert_string_equal(out, "-105");
}

static void test_conv__writes_integers_of_every_length(void **state) {
	(void)state;
	char out[SL_FORMAT_I64_MAX], expected[SL_FORMAT_I64_MAX];
	uint64_t ten = 1;
	for (int digits = 1; digits <= 20; digits++, ten *= 10) {
		for (int64_t off = -2; off <= 2; off++) {
			uint64_t v = ten + (uint64_t)off;
			int n = snprintf(expected, sizeof expected, "%" PRIu64, v);
			assert_int_equal(sl_format_u64(v, out), n);
			assert_string_equal(out, expected);
			n = snprintf(expected, sizeof expected, "%" PRId64, -(int64_t)(v >> 1));
			assert_int_equal(sl_format_i64(-(int64_t)(v >> 1), out), n);
			assert_string_equal(out, expected);
		}
	}
}

static void test_conv__shows_that_a_whole_double_is_one(void **state) {
	(void)state;
	assert_string_equal(text_of(25), "25.0");
	assert_string_equal(text_of(0), "0.0");
	assert_string_equal(text_of(-0.0), "-0.0");
	assert_string_equal(text_of(999999999999999), "999999999999999.0");
	assert_string_equal(text_of(9007199254740991), "9007199254740991.0");
}

static void test_conv__writes_the_shortest_decimal(void **state) {
	(void)state;
	assert_string_equal(text_of(0.1), "0.1");
	assert_string_equal(text_of(-71.25), "-71.25");
	assert_string_equal(text_of(0.0001), "0.0001");
	assert_string_equal(text_of(123456.789012345), "123456.789012345");
	assert_string_equal(text_of(0.1 + 0.2), "0.30000000000000004");
	assert_string_equal(text_of(1.0 / 3), "0.3333333333333333");
	assert_string_equal(text_of(100.0 / 7), "14.285714285714286");
	assert_string_equal(text_of(1.0 + 0x1p-52), "1.0000000000000002");
	assert_string_equal(text_of(1.0 - 0x1p-53), "0.9999999999999999");
}

static void test_conv__uses_exponents_at_the_ends(void **state) {
	(void)state;
	assert_string_equal(text_of(1e21), "1e+21");
	assert_string_equal(text_of(1e-7), "1e-07");
	assert_string_equal(text_of(1.7976931348623157e308), "1.7976931348623157e+308");
	assert_string_equal(text_of(4.9406564584124654e-324), "5e-324");
}

static void test_conv__names_what_is_no_number(void **state) {
	(void)state;
	assert_string_equal(text_of(NAN), "nan");
	assert_string_equal(text_of(INFINITY), "inf");
	assert_string_equal(text_of(-INFINITY), "-inf");
}

static void assert_reads_back(double v) {
	const char *text = text_of(v);
	if (strtod(text, NULL) != v) fail_msg("%.17g was written as %s", v, text);
}

static void test_conv__any_bits_read_back(void **state) {
	(void)state;
	for (int i = 0; i < 50000; i++) {
		uint64_t bits = sl_rng_next();
		double v;
		memcpy(&v, &bits, sizeof v);
		if (isfinite(v)) assert_reads_back(v);
	}
}

static void test_conv__everyday_numbers_read_back(void **state) {
	(void)state;
	for (int i = 0; i < 100000; i++) {
		double reading = (double)sl_rng_below(100000000) / 1e4;
		assert_reads_back(reading);
		assert_reads_back(reading * 1.8 + 32);
		assert_reads_back(-reading / 7);
		assert_reads_back(ldexp(1.0 + (double)sl_rng_below(3) * 0x1p-52, (int)sl_rng_below(62) - 13));
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conv__writes_integers_at_the_limits),
	    cmocka_unit_test(test_conv__writes_integers_of_every_length),
	    cmocka_unit_test(test_conv__shows_that_a_whole_double_is_one),
	    cmocka_unit_test(test_conv__writes_the_shortest_decimal),
	    cmocka_unit_test(test_conv__uses_exponents_at_the_ends),
	    cmocka_unit_test(test_conv__names_what_is_no_number),
	    cmocka_unit_test(test_conv__any_bits_read_back),
	    cmocka_unit_test(test_conv__everyday_numbers_read_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
