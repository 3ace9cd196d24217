#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* In a block of its exact size, so that ASan sees a byte read too far. */
static bool valid(const char *text, size_t n) {
	char *copy = malloc(n ? n : 1);
	memcpy(copy, text, n);
	bool r = utf8_valid(slice_make(copy, n));
	free(copy);
	return r;
}
#define VALID(lit) valid((lit), sizeof(lit) - 1)

static void test_utf8__accepts_well_formed_text(void **state) {
	(void)state;
	assert_true(VALID(""));
	assert_true(VALID("plain text of more than eight bytes"));
	assert_true(VALID("12345678\xc3\xa4 12345678\xe2\x82\xac\xf0\x9f\x98\x80"));
	assert_true(VALID("\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	assert_true(VALID("\xed\x9f\xbf\xee\x80\x80"));
}

static void test_utf8__refuses_ill_formed_text(void **state) {
	(void)state;
	assert_false(VALID("\x80"));
	assert_false(VALID("\xff"));
	assert_false(VALID("abcdefgh\xc3"));
	assert_false(VALID("\xe2\x82"));
	assert_false(VALID("\xf0\x9f\x98"));
	assert_false(VALID("\xc3 "));
	assert_false(VALID("\xe2\x82 "));
}

static void test_utf8__refuses_overlong_forms_surrogates_and_too_large(void **state) {
	(void)state;
	assert_false(VALID("\xc0\x80"));
	assert_false(VALID("\xc1\xbf"));
	assert_false(VALID("\xe0\x9f\xbf"));
	assert_false(VALID("\xf0\x8f\xbf\xbf"));
	assert_false(VALID("\xed\xa0\x80"));
	assert_false(VALID("\xed\xbf\xbf"));
	assert_false(VALID("\xf4\x90\x80\x80"));
	assert_false(VALID("\xf5\x80\x80\x80"));
}

static void test_utf8__mqtt_forbids_nul(void **state) {
	(void)state;
	assert_true(utf8_valid(SL_SLICE_LIT("a\0b")));
	assert_false(utf8_valid_mqtt(SL_SLICE_LIT("a\0b")));
	assert_true(utf8_valid_mqtt(SL_SLICE_LIT("a\xc3\xa4")));
	assert_true(utf8_valid_mqtt(SL_SLICE_EMPTY));
}

static void test_utf8__finds_the_first_bad_byte(void **state) {
	(void)state;
	assert_int_equal(utf8_valid_prefix(SL_SLICE_LIT("ab\xc3\xa4\xff rest")), 4);
	assert_int_equal(utf8_valid_prefix(SL_SLICE_LIT("abc")), 3);
	assert_int_equal(utf8_valid_prefix(SL_SLICE_EMPTY), 0);
	char text[] = "\xfc"
		      "ber \xc3\xa4\xff\xc3";
	assert_string_equal(utf8_repair(text, sizeof text - 1), "?ber \xc3\xa4??");
}

static void test_utf8__every_code_point_goes_there_and_back(void **state) {
	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		char out[4];
		size_t len, n = utf8_encode(c, out);
		struct sl_slice s = slice_make(out, n);
		bool surrogate = c >= 0xd800 && c <= 0xdfff;
		if (!utf8_valid(s) || utf8_decode(s, &len) != (surrogate ? 0xfffd : c) || len != n)
			fail_msg("U+%04X", (unsigned)c);
	}
	char out[4];
	assert_int_equal(utf8_encode(0x110000, out), 3);
	assert_memory_equal(out, "\xef\xbf\xbd", 3);
}

static void test_utf8__counts_code_points(void **state) {
	(void)state;
	assert_int_equal(utf8_length(SL_SLICE_LIT("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")), 4);
	assert_int_equal(utf8_length(SL_SLICE_EMPTY), 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_utf8__accepts_well_formed_text),
	    cmocka_unit_test(test_utf8__refuses_ill_formed_text),
	    cmocka_unit_test(test_utf8__refuses_overlong_forms_surrogates_and_too_large),
	    cmocka_unit_test(test_utf8__mqtt_forbids_nul),
	    cmocka_unit_test(test_utf8__finds_the_first_bad_byte),
	    cmocka_unit_test(test_utf8__every_code_point_goes_there_and_back),
	    cmocka_unit_test(test_utf8__counts_code_points),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
