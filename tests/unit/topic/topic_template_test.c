/* topic_template_test.c: topics with a client's names in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "topic_template.h"

static const struct topic_values values = {
    .clientid = {"dev-1", 5}, .username = {"ann", 3}, .groups = {{"x/y", 3}, {"y", 1}}};

static void fills(const char *text, const char *expected) {
	struct sl_buf out = SL_BUF_INIT;
	assert_int_equal(topic_template_check(slice_from_str(text), 9, NULL), SL_OK);
	assert_true(topic_template_fill(slice_from_str(text), &values, &out));
	assert_string_equal(sl_buf_cstr(&out), expected);
	sl_buf_fini(&out);
}

static void test_fill__names_groups_and_dollars(void **state) {
	(void)state;
	fills("cmd/${clientid}/+", "cmd/dev-1/+");
	fills("${username}/$1/${1}", "ann/y/y");
	fills("$share/g/${clientid}", "$share/g/dev-1");
	fills("$$1/a$", "$1/a$");
	fills("", "");
}

static void test_check__says_what_is_no_placeholder(void **state) {
	(void)state;
	assert_int_equal(topic_template_check(SL_SLICE_LIT("a/${client}"), 9, NULL), SL_EINVAL);
	assert_int_equal(topic_template_check(SL_SLICE_LIT("a/${clientid"), 9, NULL), SL_EINVAL);
	assert_int_equal(topic_template_check(SL_SLICE_LIT("a/$2"), 1, NULL), SL_EINVAL);
	assert_int_equal(topic_template_check(SL_SLICE_LIT("a/$1"), 0, NULL), SL_EINVAL);
	assert_int_equal(topic_template_check(SL_SLICE_LIT("a/$0"), 0, NULL), SL_OK);
}

static bool takes(const char *text, const char *name, size_t n) {
	struct sl_buf out = SL_BUF_INIT;
	struct topic_values v = {.clientid = {name, n}};
	bool filled = topic_template_fill(slice_from_str(text), &v, &out);
	sl_buf_fini(&out);
	return filled;
}

static void test_fill__a_name_cannot_change_the_shape(void **state) {
	(void)state;
	assert_true(takes("a/${clientid}", "b", 1));
	assert_true(takes("a/${clientid}", "$b", 2));
	assert_false(takes("${clientid}/a", "$SYS", 4));
	assert_false(takes("a/${clientid}", "#", 1));
	assert_false(takes("a/${clientid}", "b+", 2));
	assert_false(takes("a/${clientid}", "b/c", 3));
	assert_false(takes("a/${clientid}", "b\0c", 3));
	assert_false(takes("a/${clientid}", "", 0));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fill__names_groups_and_dollars),
	    cmocka_unit_test(test_check__says_what_is_no_placeholder),
	    cmocka_unit_test(test_fill__a_name_cannot_change_the_shape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
