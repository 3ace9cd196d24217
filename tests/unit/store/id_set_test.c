#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "id_set.h"
#include "rng.h"

static void test_id_set__empty_has_nothing(void **state) {
	(void)state;
	struct id_set s = {0};
	assert_false(id_set_has(&s, 1));
	assert_false(id_set_remove(&s, 1));
	id_set_fini(&s);
}

static void test_id_set__added_id_is_in_until_removed(void **state) {
	(void)state;
	struct id_set s = {0};
	id_set_add(&s, 7);
	assert_true(id_set_has(&s, 7));
	assert_true(id_set_remove(&s, 7));
	assert_false(id_set_has(&s, 7));
	id_set_fini(&s);
}

/* Many ids change it from a list to a bitmap; nothing may get lost on the way. */
static void test_id_set__random_against_an_array_of_flags(void **state) {
	(void)state;
	static bool in[65536];
	struct id_set s = {0};
	uint32_t count = 0;
	for (int step = 0; step < 200000; step++) {
		uint16_t id = (uint16_t)sl_rng_below(step < 1000 ? 40 : 65536);
		assert_int_equal(id_set_has(&s, id), in[id]);
		if (in[id]) {
			assert_true(id_set_remove(&s, id));
			count--;
		} else {
			id_set_add(&s, id);
			count++;
		}
		in[id] = !in[id];
		assert_int_equal(s.len, count);
	}
	id_set_fini(&s);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_id_set__empty_has_nothing),
	    cmocka_unit_test(test_id_set__added_id_is_in_until_removed),
	    cmocka_unit_test(test_id_set__random_against_an_array_of_flags),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
