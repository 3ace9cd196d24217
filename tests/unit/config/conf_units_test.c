#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_units.h"
#include "field.h"

static int64_t duration(const char *text) {
	int64_t ms;
	return conf_parse_duration(slice_from_str(text), &ms, NULL) == SL_OK ? ms : -1;
}
static int64_t size(const char *text) {
	int64_t bytes;
	return conf_parse_size(slice_from_str(text), &bytes, NULL) == SL_OK ? bytes : -1;
}
static double percent(const char *text) {
	double value;
	return conf_parse_percent(slice_from_str(text), &value, NULL) == SL_OK ? value : -1;
}

static void test_units__durations(void **state) {
	(void)state;
	assert_int_equal(duration("5ms"), 5);
	assert_int_equal(duration("10s"), 10000);
	assert_int_equal(duration("2m"), 120000);
	assert_int_equal(duration("1h30m"), 5400000);
	assert_int_equal(duration("7d"), 604800000);
	assert_int_equal(duration("1.5s"), 1500);
	assert_int_equal(duration("0.25h"), 900000);
	assert_int_equal(duration("10 s"), 10000);
	assert_int_equal(duration("0"), 0);
	assert_int_equal(duration("0s"), 0);
}

static void test_units__what_is_no_duration(void **state) {
	(void)state;
	assert_int_equal(duration(""), -1);
	assert_int_equal(duration("5"), -1);
	assert_int_equal(duration("ms"), -1);
	assert_int_equal(duration("-5ms"), -1);
	assert_int_equal(duration("5 parsecs"), -1);
	assert_int_equal(duration("5MS"), -1);
	assert_int_equal(duration("0.5ms"), -1); /* half a millisecond would become nothing */
	assert_int_equal(duration("1.s"), -1);
	assert_int_equal(duration("1h 30m x"), -1);
	assert_int_equal(duration("9223372036854775807d"), -1);
	assert_int_equal(duration("99999999999999999999s"), -1);
}

static void test_units__sizes(void **state) {
	(void)state;
	assert_int_equal(size("0"), 0);
	assert_int_equal(size("512"), 512);
	assert_int_equal(size("512B"), 512);
	assert_int_equal(size("64KB"), 65536);
	assert_int_equal(size("64kb"), 65536);
	assert_int_equal(size("64KiB"), 65536);
	assert_int_equal(size("1.5MB"), 1572864);
	assert_int_equal(size("2 GB"), 2147483648);
	assert_int_equal(size("1TB"), 1099511627776);
	assert_int_equal(size("1G"), 1073741824);
}

static void test_units__what_is_no_size(void **state) {
	(void)state;
	assert_int_equal(size(""), -1);
	assert_int_equal(size("KB"), -1);
	assert_int_equal(size("-1KB"), -1);
	assert_int_equal(size("1XB"), -1);
	assert_int_equal(size("1KB2"), -1);
	assert_int_equal(size("0.3B"), -1);
	assert_int_equal(size("9000000TB"), -1);
}

static void test_units__percentages(void **state) {
	(void)state;
	assert_float_equal(percent("80%"), 80, 0);
	assert_float_equal(percent("2.5 %"), 2.5, 0);
	assert_float_equal(percent("0%"), 0, 0);
	assert_float_equal(percent("80"), -1, 0);
	assert_float_equal(percent("101%"), -1, 0);
	assert_float_equal(percent("-1%"), -1, 0);
	assert_float_equal(percent("%"), -1, 0);
	assert_float_equal(percent(""), -1, 0);
}

static void expect_bind(const char *text, const char *host, int port) {
	struct sl_slice h;
	uint16_t p;
	assert_int_equal(conf_parse_bind(slice_from_str(text), &h, &p, NULL), SL_OK);
	assert_true(slice_equal_str(h, host));
	assert_int_equal(p, port);
}

static void test_units__addresses(void **state) {
	(void)state;
	expect_bind("0.0.0.0:1883", "0.0.0.0", 1883);
	expect_bind("[::1]:1", "::1", 1);
	expect_bind("localhost:65535", "localhost", 65535);
	expect_bind(":1883", "", 1883);
	expect_bind("127.0.0.1:0", "127.0.0.1", 0);
	static const char *const bad[] = {"", "1883", "a:", "a:65536", "::1:1883", "[a]:1", "a:+5", "a b:1", "a:1x"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct sl_slice h;
		uint16_t p;
		assert_int_equal(conf_parse_bind(slice_from_str(bad[i]), &h, &p, NULL), SL_EINVAL);
	}
}

static void expect_written(void (*write)(struct sl_buf *, int64_t), int64_t value, const char *text) {
	struct sl_buf b = SL_BUF_INIT;
	write(&b, value);
	assert_string_equal(sl_buf_cstr(&b), text);
	sl_buf_fini(&b);
}

static void test_units__written_as_read(void **state) {
	(void)state;
	expect_written(conf_write_duration, 5, "5ms");
	expect_written(conf_write_duration, 5400000, "1h30m");
	expect_written(conf_write_duration, 0, "0");
	expect_written(conf_write_duration, CONF_UNLIMITED, "unlimited");
	expect_written(conf_write_size, 65536, "64KB");
	expect_written(conf_write_size, 1000, "1000B");
	expect_written(conf_write_size, 0, "0B");
	expect_written(conf_write_size, 1572864, "1536KB");
}

static void test_units__error_says_what_is_expected(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	int64_t value;
	conf_parse_duration(SL_SLICE_LIT("5 parsecs"), &value, &err);
	assert_string_equal(
	    sl_err_text(&err),
	    "'5 parsecs' is not a duration: write a number with ms, s, m, h or d, for example 5ms or 1h30m");
	conf_parse_size(SL_SLICE_LIT("big"), &value, &err);
	assert_string_equal(sl_err_text(&err),
			    "'big' is not a size: write a number with B, KB, MB, GB or TB, for example 64KB");
	sl_err_fini(&err);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_units__durations),       cmocka_unit_test(test_units__what_is_no_duration),
	    cmocka_unit_test(test_units__sizes),           cmocka_unit_test(test_units__what_is_no_size),
	    cmocka_unit_test(test_units__percentages),     cmocka_unit_test(test_units__addresses),
	    cmocka_unit_test(test_units__written_as_read), cmocka_unit_test(test_units__error_says_what_is_expected),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
