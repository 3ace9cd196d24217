/* aws_decimal_test.c: 34-digit decimals against a table that Python's decimal module made (aws_decimal_cases.py), and
 * their written form. With an argument it checks another table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "aws_decimal.h"

static const char *table_path = AWS_DECIMAL_CASES;

static bool operate(const char *name, const struct aws_decimal *x, const struct aws_decimal *y,
		    struct aws_decimal *out) {
	int64_t places;
	if (strcmp(name, "add") == 0) return aws_decimal_add(x, y, out);
	if (strcmp(name, "mul") == 0) return aws_decimal_mul(x, y, out);
	if (strcmp(name, "div") == 0) return y->digits && aws_decimal_div(x, y, out);
	if (strcmp(name, "rem") == 0) return y->digits && aws_decimal_rem(x, y, out);
	if (strcmp(name, "cmp") == 0) {
		*out = aws_decimal_from_i64(aws_decimal_compare(x, y));
		return true;
	}
	static const char *const roundings[] = {"down", "floor", "ceil", "half_up"};
	for (size_t i = 0; i < SL_ARRAY_LEN(roundings); i++)
		if (strcmp(name, roundings[i]) == 0)
			return aws_decimal_to_i64(y, &places) &&
			       aws_decimal_round(x, (int)places, (enum aws_rounding)i, out);
	fail_msg("no operation %s", name);
	return false;
}

static void test_decimal__agrees_with_python(void **state) {
	(void)state;
	FILE *f = fopen(table_path, "r");
	char line[512], name[16], a[128], b[128], want[128];
	size_t tried = 0;
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%15s %127s %127s %127s", name, a, b, want) != 4 || name[0] == '#') continue;
		struct aws_decimal x, y, got, expected;
		bool ok = aws_decimal_parse(slice_from_str(a), &x, NULL) &&
			  aws_decimal_parse(slice_from_str(b), &y, NULL) && operate(name, &x, &y, &got);
		if (ok != (strcmp(want, "none") != 0)) fail_msg("%s", line);
		tried++;
		if (!ok) continue;
		char text[AWS_DECIMAL_TEXT_MAX];
		assert_true(aws_decimal_parse(slice_from_str(want), &expected, NULL));
		size_t n = aws_decimal_format(&got, text);
		if (aws_decimal_compare(&got, &expected) != 0) fail_msg("%s gave %s", line, text);
		/* what is written reads back as the same */
		assert_true(aws_decimal_parse(slice_make(text, n), &x, NULL));
		assert_true(x.digits == got.digits && x.exponent == got.exponent && x.negative == got.negative);
	}
	fclose(f);
	assert_true(tried >= 1000);
}

static void assert_form(const char *text, const char *want) {
	struct aws_decimal d;
	char got[AWS_DECIMAL_TEXT_MAX];
	assert_true(aws_decimal_parse(slice_from_str(text), &d, NULL));
	d.pointed = false;
	aws_decimal_format(&d, got);
	assert_string_equal(got, want);
}

static void assert_pointed_form(const char *text, const char *want) {
	struct aws_decimal d;
	char got[AWS_DECIMAL_TEXT_MAX];
	assert_true(aws_decimal_parse(slice_from_str(text), &d, NULL));
	aws_decimal_format(&d, got);
	assert_string_equal(got, want);
}

static void test_decimal__what_is_whole_and_no_int_has_a_point(void **state) {
	(void)state;
	assert_pointed_form("10", "10");
	assert_pointed_form("10.00", "10.0");
	assert_pointed_form("-0.0", "0.0");
	assert_pointed_form("1E3", "1000.0");
	assert_pointed_form("2.50", "2.5");
	assert_pointed_form("1e+40", "1E40");
	assert_pointed_form("-1234567890123456789012345678901234E0", "-1234567890123456789012345678901234.0");
	struct aws_decimal d, rounded;
	char got[AWS_DECIMAL_TEXT_MAX];
	assert_true(aws_decimal_from_double(4, &d) && d.pointed);
	assert_true(aws_decimal_round(&d, 0, AWS_DOWN, &rounded));
	aws_decimal_format(&rounded, got);
	assert_string_equal(got, "4");
}

static void test_decimal__is_written_in_the_shortest_form(void **state) {
	(void)state;
	assert_form("-0.000", "0");
	assert_form("10.0", "10");
	assert_form("2.50", "2.5");
	assert_form("5E-2", "0.05");
	assert_form("-0.000001", "-0.000001");
	assert_form("0.0000001", "1E-7");
	assert_form("1.25e-9", "1.25E-9");
	assert_form("1E33", "1000000000000000000000000000000000");
	assert_form("1e+40", "1E40");
	assert_form("1234567890123456789012345678901234", "1234567890123456789012345678901234");
	assert_form("0.1234567890123456789012345678901234", "0.1234567890123456789012345678901234");
}

static void test_decimal__rounds_half_to_even_and_says_so(void **state) {
	(void)state;
	struct aws_decimal d;
	bool exact;
	assert_form("12345678901234567890123456789012345", "1.234567890123456789012345678901234E34");
	assert_form("12345678901234567890123456789012355", "1.234567890123456789012345678901236E34");
	assert_true(aws_decimal_parse(SL_SLICE_LIT("12345678901234567890123456789012345"), &d, &exact));
	assert_false(exact);
	assert_true(aws_decimal_parse(SL_SLICE_LIT("12345678901234567890123456789012340000"), &d, &exact));
	assert_true(exact);
	assert_true(aws_decimal_parse(SL_SLICE_LIT("0.50"), &d, &exact));
	assert_true(exact);
}

static void test_decimal__text_that_is_none_or_too_large(void **state) {
	(void)state;
	static const char *const bad[] = {"",
					  "-",
					  ".5",
					  "5.",
					  "1e",
					  "1e+",
					  "+1",
					  "1 ",
					  "0x1",
					  "1E1000",
					  "nan",
					  "-1E99999999999999999999",
					  "9.99E999999999",
					  "1..2",
					  "--1"};
	struct aws_decimal d;
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
		if (aws_decimal_parse(slice_from_str(bad[i]), &d, NULL)) fail_msg("'%s' was taken", bad[i]);
	assert_form("1E-1000", "0");
	assert_form("1E-99999999999999999999", "0");
}

static void test_decimal__integers_and_doubles(void **state) {
	(void)state;
	static const int64_t all[] = {0, 1, -1, 10, INT64_MAX, INT64_MIN, INT64_MIN + 1, 1000000000000000000};
	struct aws_decimal d;
	int64_t back;
	for (size_t i = 0; i < SL_ARRAY_LEN(all); i++) {
		d = aws_decimal_from_i64(all[i]);
		assert_true(aws_decimal_to_i64(&d, &back));
		assert_true(back == all[i]);
	}
	assert_true(aws_decimal_parse(SL_SLICE_LIT("9223372036854775808"), &d, NULL));
	assert_false(aws_decimal_to_i64(&d, &back));
	d = aws_decimal_negate(d);
	assert_true(aws_decimal_to_i64(&d, &back));
	assert_true(aws_decimal_from_double(0.1, &d));
	assert_true(d.digits == 1 && d.exponent == -1);
	assert_false(aws_decimal_from_double(__builtin_huge_val(), &d));
}

int main(int argc, char **argv) {
	if (argc > 1) table_path = argv[1];
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decimal__agrees_with_python),
	    cmocka_unit_test(test_decimal__is_written_in_the_shortest_form),
	    cmocka_unit_test(test_decimal__what_is_whole_and_no_int_has_a_point),
	    cmocka_unit_test(test_decimal__rounds_half_to_even_and_says_so),
	    cmocka_unit_test(test_decimal__text_that_is_none_or_too_large),
	    cmocka_unit_test(test_decimal__integers_and_doubles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
