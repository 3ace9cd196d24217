#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "jwrite.h"
#include "mem.h"

static struct sl_buf buf;
static struct jwrite w;

static int set_up(void **state) {
	(void)state;
	sl_buf_clear(&buf);
	jwrite_init(&w, &buf);
	return 0;
}

static int tear_down(void **state) {
	(void)state;
	sl_buf_fini(&buf);
	return 0;
}

static void test_jwrite__puts_commas_and_colons(void **state) {
	(void)state;
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("a"));
	jwrite_i64(&w, -1);
	jwrite_key(&w, SL_SLICE_LIT("b"));
	jwrite_array_begin(&w);
	jwrite_null(&w);
	jwrite_bool(&w, true);
	jwrite_object_begin(&w);
	jwrite_object_end(&w);
	jwrite_double(&w, 25);
	jwrite_array_end(&w);
	jwrite_key(&w, SL_SLICE_LIT("c"));
	jwrite_u64(&w, UINT64_MAX);
	jwrite_object_end(&w);
	assert_int_equal(jwrite_done(&w), SL_OK);
	assert_string_equal(sl_buf_cstr(&buf), "{\"a\":-1,\"b\":[null,true,{},25.0],\"c\":18446744073709551615}");
}

static void test_jwrite__escapes_strings(void **state) {
	(void)state;
	jwrite_string(&w, SL_SLICE_LIT("a\"b\\c\b\f\n\r\t\x01\x1f\x7f/\xc3\xa4 and plain text of more than sixteen"));
	assert_int_equal(jwrite_done(&w), SL_OK);
	assert_string_equal(sl_buf_cstr(&buf),
			    "\"a\\\"b\\\\c\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\xc3\xa4 and plain text of "
			    "more than sixteen\"");
}

/* Blocks of text are copied as they are looked at. Text and room are as large as they must be, not larger. */
static void test_jwrite__quotes_plain_text_of_every_length(void **state) {
	(void)state;
	static const char special[] = {'"', '\\', '\0', '\n', '\x1f', '\x80', '\xff'};
	for (size_t n = 0; n < 70; n++) {
		char *text = sl_alloc(n), *to = sl_alloc(n + 2);
		for (size_t i = 0; i < n; i++) text[i] = (char)('#' + i % 50);
		assert_true(jwrite_quote_plain(to, slice_make(text, n)));
		assert_true(to[0] == '"' && to[n + 1] == '"' && (n == 0 || memcmp(to + 1, text, n) == 0));
		for (size_t i = 0; i < n; i++) {
			char was = text[i];
			for (size_t k = 0; k < sizeof special; k++) {
				text[i] = special[k];
				assert_false(jwrite_quote_plain(to, slice_make(text, n)));
			}
			text[i] = was;
		}
		sl_free(text);
		sl_free(to);
	}
}

static void test_jwrite__replaces_what_is_not_utf8(void **state) {
	(void)state;
	jwrite_string(&w, SL_SLICE_LIT("\xff\xfe"
				       "a\xc3"));
	assert_string_equal(sl_buf_cstr(&buf), "\"\xef\xbf\xbd\xef\xbf\xbd"
					       "a\xef\xbf\xbd\"");
	assert_true(jscan_valid(sl_buf_slice(&buf)));
}

static void test_jwrite__a_double_that_json_cannot_say_is_null(void **state) {
	(void)state;
	jwrite_array_begin(&w);
	jwrite_double(&w, NAN);
	jwrite_double(&w, -INFINITY);
	jwrite_array_end(&w);
	assert_string_equal(sl_buf_cstr(&buf), "[null,null]");
}

static void test_jwrite__splices_hits_as_they_stood(void **state) {
	(void)state;
	struct jpath_hit hit = {0};
	jwrite_array_begin(&w);
	jwrite_hit(&w, &hit);
	jscan_value(SL_SLICE_LIT("\"a\\nb\""), &hit);
	jwrite_hit(&w, &hit);
	jscan_value(SL_SLICE_LIT(" 1e5 "), &hit);
	jwrite_hit(&w, &hit);
	jwrite_raw(&w, SL_SLICE_LIT("{\"k\":1}"));
	jwrite_array_end(&w);
	assert_int_equal(jwrite_done(&w), SL_OK);
	assert_string_equal(sl_buf_cstr(&buf), "[null,\"a\\nb\",1e5,{\"k\":1}]");
}

static void test_jwrite__a_value_needs_a_key_in_an_object(void **state) {
	(void)state;
	jwrite_object_begin(&w);
	jwrite_null(&w);
	jwrite_object_end(&w);
	assert_int_equal(jwrite_done(&w), SL_EINVAL);
}

static void test_jwrite__a_key_needs_an_object_and_a_value(void **state) {
	(void)state;
	jwrite_array_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("a"));
	assert_int_equal(jwrite_done(&w), SL_EINVAL);
	set_up(NULL);
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("a"));
	jwrite_object_end(&w);
	assert_int_equal(jwrite_done(&w), SL_EINVAL);
}

static void test_jwrite__wrong_ends_and_second_values_are_told(void **state) {
	(void)state;
	assert_int_equal(jwrite_done(&w), SL_EINVAL); /* nothing written */
	jwrite_object_begin(&w);
	jwrite_array_end(&w);
	assert_int_equal(jwrite_done(&w), SL_EINVAL);
	set_up(NULL);
	jwrite_array_end(&w);
	assert_int_equal(jwrite_done(&w), SL_EINVAL);
	set_up(NULL);
	jwrite_null(&w);
	jwrite_null(&w);
	assert_int_equal(jwrite_done(&w), SL_EINVAL);
	set_up(NULL);
	jwrite_array_begin(&w);
	assert_int_equal(jwrite_done(&w), SL_EINVAL); /* not closed */
}

static void test_jwrite__depth_is_bounded(void **state) {
	(void)state;
	for (int i = 0; i < JWRITE_DEPTH_MAX; i++) jwrite_array_begin(&w);
	for (int i = 0; i < JWRITE_DEPTH_MAX; i++) jwrite_array_end(&w);
	assert_int_equal(jwrite_done(&w), SL_OK);
	set_up(NULL);
	for (int i = 0; i < JWRITE_DEPTH_MAX + 1; i++) jwrite_array_begin(&w);
	for (int i = 0; i < JWRITE_DEPTH_MAX + 1; i++) jwrite_array_end(&w);
	assert_int_equal(jwrite_done(&w), SL_ELIMIT);
}

#define WRITE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
	const struct CMUnitTest tests[] = {
	    WRITE_TEST(test_jwrite__puts_commas_and_colons),
	    WRITE_TEST(test_jwrite__escapes_strings),
	    WRITE_TEST(test_jwrite__quotes_plain_text_of_every_length),
	    WRITE_TEST(test_jwrite__replaces_what_is_not_utf8),
	    WRITE_TEST(test_jwrite__a_double_that_json_cannot_say_is_null),
	    WRITE_TEST(test_jwrite__splices_hits_as_they_stood),
	    WRITE_TEST(test_jwrite__a_value_needs_a_key_in_an_object),
	    WRITE_TEST(test_jwrite__a_key_needs_an_object_and_a_value),
	    WRITE_TEST(test_jwrite__wrong_ends_and_second_values_are_told),
	    WRITE_TEST(test_jwrite__depth_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
