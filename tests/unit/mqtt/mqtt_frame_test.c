/* mqtt_frame_test.c: where packets end; remaining lengths of MQTT 2.1.4; the size limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "mqtt_frame.h"

struct framed {
	struct mqtt_frame f;
	enum mqtt_reason reason;
	int rc;
};

static struct framed frame(const char *text, size_t limit) {
	struct framed r = {.reason = MQTT_RC_SUCCESS};
	struct sl_buf b = hex(text);
	r.rc = mqtt_frame_next(sl_buf_slice(&b), limit, &r.f, &r.reason);
	sl_buf_fini(&b);
	return r;
}

static void test_mqtt_frame__a_whole_packet_is_cut_off(void **state) {
	(void)state;
	struct framed r = frame("32 03 aabbcc c000", 1000);
	assert_int_equal(r.rc, SL_OK);
	assert_int_equal(r.f.type, MQTT_PUBLISH);
	assert_int_equal(r.f.flags, 2);
	assert_int_equal(r.f.size, 5);
	assert_int_equal(r.f.body.n, 3);
}

static void test_mqtt_frame__missing_bytes_are_waited_for(void **state) {
	(void)state;
	assert_int_equal(frame("", 1000).rc, SL_EAGAIN);
	assert_int_equal(frame("30", 1000).rc, SL_EAGAIN);
	assert_int_equal(frame("30 80", 1000).rc, SL_EAGAIN);
	struct framed r = frame("30 05 aabb", 1000);
	assert_int_equal(r.rc, SL_EAGAIN);
	assert_int_equal(r.f.size, 7);
}

static void test_mqtt_frame__lengths_of_one_to_four_bytes(void **state) {
	(void)state;
	assert_int_equal(frame("30 7f", SIZE_MAX).f.size, 2 + 127);
	assert_int_equal(frame("30 8001", SIZE_MAX).f.size, 3 + 128);
	assert_int_equal(frame("30 ff7f", SIZE_MAX).f.size, 3 + 16383);
	assert_int_equal(frame("30 808001", SIZE_MAX).f.size, 4 + 16384);
	assert_int_equal(frame("30 80808001", SIZE_MAX).f.size, 5 + 2097152);
	assert_int_equal(frame("30 ffffff7f", SIZE_MAX).f.size, 5 + (size_t)MQTT_REMAINING_MAX);
}

static void test_mqtt_frame__overlong_lengths_are_malformed(void **state) {
	(void)state;
	assert_int_equal(frame("30 ffffffff", 1000).rc, SL_EMALFORMED);
	assert_int_equal(frame("30 8080808001", 1000).rc, SL_EMALFORMED);
	assert_int_equal(frame("30 8000", 1000).rc, SL_EMALFORMED);
	assert_int_equal(frame("30 ffff00", 1000).reason, MQTT_RC_MALFORMED_PACKET);
}

static void test_mqtt_frame__type_0_is_malformed(void **state) {
	(void)state;
	assert_int_equal(frame("00 00", 1000).rc, SL_EMALFORMED);
}

static void test_mqtt_frame__too_large_is_told_from_the_header(void **state) {
	(void)state;
	assert_int_equal(frame("30 08", 10).rc, SL_EAGAIN);
	struct framed r = frame("30 09", 10);
	assert_int_equal(r.rc, SL_ELIMIT);
	assert_int_equal(r.reason, MQTT_RC_PACKET_TOO_LARGE);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mqtt_frame__a_whole_packet_is_cut_off),
	    cmocka_unit_test(test_mqtt_frame__missing_bytes_are_waited_for),
	    cmocka_unit_test(test_mqtt_frame__lengths_of_one_to_four_bytes),
	    cmocka_unit_test(test_mqtt_frame__overlong_lengths_are_malformed),
	    cmocka_unit_test(test_mqtt_frame__type_0_is_malformed),
	    cmocka_unit_test(test_mqtt_frame__too_large_is_told_from_the_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
