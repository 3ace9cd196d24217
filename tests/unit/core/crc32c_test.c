#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "crc32c.h"
#include "rng.h"

static void test_crc32c__known_values(void **state) {
	(void)state;
	char bytes[32];
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	memset(bytes, 0, sizeof bytes); /* RFC 3720, B.4 */
	assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
	memset(bytes, 0xff, sizeof bytes);
	assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
	for (int i = 0; i < 32; i++) bytes[i] = (char)i;
	assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
}

static void test_crc32c__goes_on_where_it_stopped(void **state) {
	(void)state;
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_crc32c__table_and_instruction_agree(void **state) {
	(void)state;
	char bytes[200];
	sl_random_bytes(bytes, sizeof bytes);
	for (size_t from = 0; from < 9; from++)
		for (size_t len = 0; from + len <= sizeof bytes; len++)
			assert_int_equal(crc32c(77, bytes + from, len), crc32c_by_table(77, bytes + from, len));
}

/* Long ones go in parts, side by side. */
static void test_crc32c__table_and_instruction_agree_on_long_ones(void **state) {
	(void)state;
	static char bytes[40000];
	sl_random_bytes(bytes, sizeof bytes);
	for (size_t from = 0; from < 3; from++)
		for (size_t len = 12200; from + len <= sizeof bytes; len += 1 + len % 97)
			assert_int_equal(crc32c(77, bytes + from, len), crc32c_by_table(77, bytes + from, len));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_crc32c__known_values),
	    cmocka_unit_test(test_crc32c__goes_on_where_it_stopped),
	    cmocka_unit_test(test_crc32c__table_and_instruction_agree),
	    cmocka_unit_test(test_crc32c__table_and_instruction_agree_on_long_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
