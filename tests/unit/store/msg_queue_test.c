#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "msg_queue.h"
#include "rng.h"

static struct msg_queue_entry entry(uint8_t hops) {
	return (struct msg_queue_entry){.m = msg_new(&(struct msg_spec){.topic = SL_SLICE_LIT("t"), .hops = hops}),
					.qos = 1};
}

static void test_msg_queue__empty_has_no_front(void **state) {
	(void)state;
	struct msg_queue q = {0};
	assert_null(msg_queue_front(&q));
	msg_queue_fini(&q);
}

static void test_msg_queue__counts_messages_and_bytes(void **state) {
	(void)state;
	struct msg_queue q = {0};
	struct msg_queue_entry e = entry(0);
	msg_queue_push(&q, &e);
	assert_int_equal(q.len, 1);
	assert_int_equal(q.bytes, msg_bytes(e.m));
	e = msg_queue_pop(&q);
	assert_int_equal(q.len, 0);
	assert_int_equal(q.bytes, 0);
	msg_queue_entry_drop(&e);
	msg_queue_fini(&q);
}

static void test_msg_queue__first_in_first_out_at_any_fill(void **state) {
	(void)state;
	struct msg_queue q = {0};
	uint32_t in = 0, out = 0;
	for (int step = 0; step < 20000; step++) {
		if (q.len == 0 || (q.len < 300 && sl_rng_below(2))) {
			struct msg_queue_entry e = entry((uint8_t)in++);
			msg_queue_push(&q, &e);
		} else {
			struct msg_queue_entry e = msg_queue_pop(&q);
			assert_int_equal(e.m->hops, (uint8_t)out++);
			msg_queue_entry_drop(&e);
		}
		assert_int_equal(q.len, in - out);
	}
	msg_queue_fini(&q);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_msg_queue__empty_has_no_front),
	    cmocka_unit_test(test_msg_queue__counts_messages_and_bytes),
	    cmocka_unit_test(test_msg_queue__first_in_first_out_at_any_fill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
