#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "buf.h"
#include "mem.h"

static void test_buf__appends_and_grows(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	for (int i = 0; i < 1000; i++) sl_buf_append_str(&b, "abc");
	sl_buf_put(&b, 'x');
	assert_int_equal(b.n, 3001);
	assert_memory_equal(b.p + 2997, "abcx", 4);
	sl_buf_fini(&b);
	assert_null(b.p);
}

static void test_buf__appending_nothing_takes_no_memory(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append(&b, NULL, 0);
	sl_buf_append_slice(&b, SL_SLICE_EMPTY);
	assert_null(b.p);
	assert_int_equal(sl_buf_slice(&b).n, 0);
}

static void test_buf__writes_big_endian(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_put_u16be(&b, 0x1234);
	sl_buf_put_u32be(&b, 0xfedcba98);
	assert_int_equal(b.n, 6);
	assert_memory_equal(b.p, "\x12\x34\xfe\xdc\xba\x98", 6);
	sl_buf_fini(&b);
}

static void test_buf__printf_appends_whole_texts(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_put(&b, '>');
	sl_buf_printf(&b, "%0200d|%s", 7, "end");
	assert_int_equal(b.n, 205);
	assert_string_equal(sl_buf_cstr(&b) + 200, "7|end");
	sl_buf_fini(&b);
}

static void test_buf__consume_moves_the_rest_down(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, "headtail");
	sl_buf_consume(&b, 4);
	assert_string_equal(sl_buf_cstr(&b), "tail");
	sl_buf_consume(&b, 4);
	assert_int_equal(b.n, 0);
	sl_buf_fini(&b);
}

static void test_buf__steal_hands_the_memory_over(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, "mine");
	char *p = sl_buf_steal(&b);
	assert_string_equal(p, "mine");
	assert_null(b.p);
	sl_free(p);
	p = sl_buf_steal(&b);
	assert_string_equal(p, "");
	sl_free(p);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_buf__appends_and_grows),
	    cmocka_unit_test(test_buf__appending_nothing_takes_no_memory),
	    cmocka_unit_test(test_buf__writes_big_endian),
	    cmocka_unit_test(test_buf__printf_appends_whole_texts),
	    cmocka_unit_test(test_buf__consume_moves_the_rest_down),
	    cmocka_unit_test(test_buf__steal_hands_the_memory_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
