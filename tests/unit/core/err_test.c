#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "err.h"
#include "mem.h"
#include "slice.h"

static void test_err__names_every_status(void **state) {
	(void)state;
	assert_string_equal(sl_status_text(SL_OK), "ok");
	assert_string_equal(sl_status_text(SL_ENOSPACE), "no space left on device");
	assert_string_equal(sl_status_text(-9999), "unknown status");
}

static void test_err__formats_place_and_text(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	assert_int_equal(sl_err_set(&err, SL_EINVAL, "unknown key `%s`", "prot"), SL_EINVAL);
	sl_err_at(&err, "a.yaml", 3, 7);
	char *text = sl_err_format(&err);
	assert_string_equal(text, "a.yaml:3:7: unknown key `prot`");
	sl_free(text);
	sl_err_at(&err, NULL, 4, 0);
	text = sl_err_format(&err);
	assert_string_equal(text, "a.yaml:4: unknown key `prot`");
	sl_free(text);
	sl_err_fini(&err);
	assert_int_equal(err.status, SL_OK);
}

static void test_err__prefix_goes_before_the_text(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	sl_err_set(&err, SL_ESYNTAX, "expected FROM");
	assert_int_equal(sl_err_prefix(&err, "rule %s", "r1"), SL_ESYNTAX);
	assert_string_equal(sl_err_text(&err), "rule r1: expected FROM");
	sl_err_fini(&err);
}

static void test_err__null_is_allowed(void **state) {
	(void)state;
	assert_int_equal(sl_err_set(NULL, SL_EIO, "never made"), SL_EIO);
	sl_err_at(NULL, "x", 1, 1);
	sl_err_prefix(NULL, "x");
}

static void test_err__text_falls_back_to_the_status(void **state) {
	(void)state;
	const struct sl_err err = {.status = SL_ETYPE};
	assert_string_equal(sl_err_text(&err), "type does not fit");
}

static void test_err__maps_errno(void **state) {
	(void)state;
	assert_int_equal(sl_status_from_errno(0), SL_OK);
	assert_int_equal(sl_status_from_errno(ENOSPC), SL_ENOSPACE);
	assert_int_equal(sl_status_from_errno(EDQUOT), SL_ENOSPACE);
	assert_int_equal(sl_status_from_errno(EACCES), SL_EDENIED);
	assert_int_equal(sl_status_from_errno(EBADF), SL_EIO);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_err__names_every_status),
	    cmocka_unit_test(test_err__formats_place_and_text),
	    cmocka_unit_test(test_err__prefix_goes_before_the_text),
	    cmocka_unit_test(test_err__null_is_allowed),
	    cmocka_unit_test(test_err__text_falls_back_to_the_status),
	    cmocka_unit_test(test_err__maps_errno),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
