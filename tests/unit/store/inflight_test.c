#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "inflight.h"
#include "mem.h"

static struct msg *message(void) {
	return msg_new(&(struct msg_spec){.topic = SL_SLICE_LIT("t"), .payload = SL_SLICE_LIT("p"), .qos = 1});
}

static void test_inflight__ids_rise_from_one(void **state) {
	(void)state;
	struct inflight f = {0};
	assert_int_equal(inflight_add(&f, 1, message(), NULL, false)->packet_id, 1);
	assert_int_equal(inflight_add(&f, 2, message(), NULL, false)->packet_id, 2);
	assert_int_equal(inflight_find(&f, 1)->state, INFLIGHT_PUBACK);
	assert_int_equal(inflight_find(&f, 2)->state, INFLIGHT_PUBREC);
	inflight_fini(&f);
}

static void test_inflight__ids_of_a_former_run_keep_their_places(void **state) {
	(void)state;
	struct inflight f = {0};
	/* 3 and 3 + 64 want one place while there are few. */
	inflight_put(&f, 65000, 1, message(), NULL, false);
	inflight_put(&f, 3, 2, message(), NULL, false);
	inflight_put(&f, 67, 1, message(), NULL, false);
	struct msg *again = message();
	assert_null(inflight_put(&f, 67, 1, again, NULL, false));
	msg_unref(again);
	assert_int_equal(inflight_find(&f, 65000)->state, INFLIGHT_PUBACK);
	assert_int_equal(inflight_find(&f, 3)->state, INFLIGHT_PUBREC);
	assert_int_equal(inflight_add(&f, 1, message(), NULL, false)->packet_id, 68);
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(&f, &n);
	assert_int_equal(n, 4);
	assert_int_equal(sorted[0]->packet_id, 65000);
	assert_int_equal(sorted[1]->packet_id, 3);
	assert_int_equal(sorted[2]->packet_id, 67);
	sl_free(sorted);
	inflight_fini(&f);
}

static void test_inflight__unknown_id_is_not_found(void **state) {
	(void)state;
	struct inflight f = {0};
	assert_null(inflight_find(&f, 1));
	inflight_add(&f, 1, message(), NULL, false);
	assert_null(inflight_find(&f, 9)); /* the same place, another id */
	inflight_fini(&f);
}

static void test_inflight__released_entry_keeps_its_id_without_the_message(void **state) {
	(void)state;
	struct inflight f = {0};
	struct inflight_entry *e = inflight_add(&f, 2, message(), NULL, false);
	inflight_release(&f, e);
	assert_null(e->m);
	assert_int_equal(inflight_find(&f, 1)->state, INFLIGHT_PUBCOMP);
	inflight_fini(&f);
}

/* One that is never acknowledged stays, while ids go round behind it, 0 left out [MQTT-2.2.1-3]. */
static void test_inflight__an_old_entry_is_not_overtaken(void **state) {
	(void)state;
	struct inflight f = {0};
	inflight_add(&f, 1, message(), NULL, false);
	for (int i = 0; i < 200000; i++) {
		struct inflight_entry *e = inflight_add(&f, 1, message(), NULL, false);
		assert_int_not_equal(e->packet_id, 0);
		assert_int_not_equal(e->packet_id, 1);
		inflight_remove(&f, e);
	}
	assert_non_null(inflight_find(&f, 1));
	inflight_fini(&f);
}

static void test_inflight__sorted_in_the_order_of_sending(void **state) {
	(void)state;
	struct inflight f = {0};
	for (int i = 0; i < 100; i++) inflight_add(&f, 1, message(), NULL, false);
	for (uint16_t id = 1; id <= 60; id++) inflight_remove(&f, inflight_find(&f, id));
	for (int i = 0; i < 50; i++) inflight_add(&f, 1, message(), NULL, false);
	size_t n;
	struct inflight_entry **sorted = inflight_sorted(&f, &n);
	assert_int_equal(n, 90);
	for (size_t i = 0; i < n; i++) assert_int_equal(sorted[i]->packet_id, 61 + i);
	sl_free(sorted);
	inflight_fini(&f);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_inflight__ids_rise_from_one),
	    cmocka_unit_test(test_inflight__ids_of_a_former_run_keep_their_places),
	    cmocka_unit_test(test_inflight__unknown_id_is_not_found),
	    cmocka_unit_test(test_inflight__released_entry_keeps_its_id_without_the_message),
	    cmocka_unit_test(test_inflight__an_old_entry_is_not_overtaken),
	    cmocka_unit_test(test_inflight__sorted_in_the_order_of_sending),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
