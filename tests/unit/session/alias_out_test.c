#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alias_out.h"
#include "mem.h"
#include "rng.h"
#include "topic.h"

static uint16_t get(struct alias_out *a, const char *topic, bool expected) {
	bool known;
	uint16_t alias = alias_out_get(a, topic_hash(slice_from_str(topic)), slice_from_str(topic), &known);
	assert_int_equal(known, expected);
	return alias;
}

static void test_alias__first_use_gives_it_and_later_ones_know_it(void **state) {
	(void)state;
	struct alias_out *a = alias_out_new(1);
	assert_int_equal(get(a, "room/1", false), 1);
	assert_int_equal(get(a, "room/1", true), 1);
	alias_out_free(a);
}

static void test_alias__full__a_topic_must_come_twice(void **state) {
	(void)state;
	struct alias_out *a = alias_out_new(2);
	uint16_t one = get(a, "a/1", false), two = get(a, "a/2", false);
	assert_int_equal(one + two, 3);
	get(a, "a/1", true);
	assert_int_equal(get(a, "a/3", false), 0);
	assert_int_equal(get(a, "a/4", false), 0);
	assert_int_equal(get(a, "a/1", true), one);  /* still there */
	assert_int_equal(get(a, "a/4", false), two); /* came again: takes the place of the one unused longest */
	assert_int_equal(get(a, "a/4", true), two);
	assert_int_equal(get(a, "a/1", true), one);
	alias_out_free(a);
}

/* Against what a client would remember: whatever comes, it reads the right topic, and no number above the maximum. */
static void test_alias__random_topics__client_reads_the_right_one(void **state) {
	(void)state;
	for (uint16_t max = 1; max < 40; max = (uint16_t)(max + 3)) {
		struct alias_out *a = alias_out_new(max);
		char heard[64][16] = {{0}};
		for (int i = 0; i < 3000; i++) {
			char topic[16];
			snprintf(topic, sizeof topic, "t/%u", (unsigned)sl_rng_below(sl_rng_below(4) ? 20 : 200));
			bool known;
			uint16_t n = alias_out_get(a, topic_hash(slice_from_str(topic)), slice_from_str(topic), &known);
			assert_true(n <= max && (n > 0 || !known));
			if (known)
				assert_string_equal(heard[n], topic);
			else if (n)
				memcpy(heard[n], topic, sizeof topic);
		}
		alias_out_free(a);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_alias__first_use_gives_it_and_later_ones_know_it),
	    cmocka_unit_test(test_alias__full__a_topic_must_come_twice),
	    cmocka_unit_test(test_alias__random_topics__client_reads_the_right_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
