/* mqtt_encode_test.c: views to bytes, byte for byte, in both versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "mqtt.h"

static struct sl_buf out;

static int clear(void **state) {
	(void)state;
	sl_buf_fini(&out);
	return 0;
}

static void test_encode_connect__311_and_5(void **state) {
	(void)state;
	struct mqtt_connect c = {.version = MQTT_V311, .clean_start = true, .keep_alive_s = 60};
	c.client_id = SL_SLICE_LIT("id");
	mqtt_encode_connect(&c, &out);
	assert_hex(&out, "10 0e 0004'MQTT' 04 02 003c 0002'id'");
	sl_buf_clear(&out);
	c.version = MQTT_V5;
	c.has_will = c.has_username = c.has_password = true;
	c.will.qos = 2;
	c.will.topic = SL_SLICE_LIT("t");
	c.will.payload = SL_SLICE_LIT("p");
	c.username = SL_SLICE_LIT("u");
	c.password = SL_SLICE_LIT("s");
	mqtt_encode_connect(&c, &out);
	assert_hex(&out, "10 1c 0004'MQTT' 05 d6 003c 00 0002'id' 00 0001't' 0001'p' 0001'u' 0001's'");
}

static void test_encode_connack__codes_are_translated_for_3(void **state) {
	(void)state;
	struct mqtt_connack c = {.session_present = true, .reason = MQTT_RC_SUCCESS};
	mqtt_encode_connack(&c, MQTT_V311, &out);
	c.reason = MQTT_RC_NOT_AUTHORIZED;
	c.session_present = false;
	mqtt_encode_connack(&c, MQTT_V311, &out);
	mqtt_encode_connack(&c, MQTT_V5, &out);
	assert_hex(&out, "20020100 20020005 2003008700");
}

static void test_encode_publish__311_and_5(void **state) {
	(void)state;
	struct mqtt_publish p = {.qos = 1, .retain = true, .dup = true, .packet_id = 258};
	p.topic = SL_SLICE_LIT("a/b");
	p.payload = SL_SLICE_LIT("hi");
	mqtt_encode_publish(&p, MQTT_V311, &out);
	mqtt_encode_publish(&p, MQTT_V5, &out);
	assert_hex(&out, "3b 09 0003'a/b' 0102 'hi' 3b 0a 0003'a/b' 0102 00 'hi'");
}

static void test_encode_ack__is_as_short_as_may_be(void **state) {
	(void)state;
	struct mqtt_ack a = {.packet_id = 1, .reason = MQTT_RC_SUCCESS};
	mqtt_encode_ack(MQTT_PUBACK, &a, MQTT_V5, &out);
	mqtt_encode_ack(MQTT_PUBREL, &a, MQTT_V311, &out);
	a.reason = MQTT_RC_QUOTA_EXCEEDED;
	mqtt_encode_ack(MQTT_PUBREC, &a, MQTT_V5, &out);
	mqtt_encode_ack(MQTT_PUBREC, &a, MQTT_V311, &out);
	a.props.raw = slice_make("\x1f\0\1x", 4);
	mqtt_encode_ack(MQTT_PUBACK, &a, MQTT_V5, &out);
	assert_hex(&out, "40020001 62020001 5003000197 50020001 4008000197 04 1f0001'x'");
}

static void test_encode_subscribe__entries_and_properties(void **state) {
	(void)state;
	struct sl_buf entries = SL_BUF_INIT, props = SL_BUF_INIT;
	struct mqtt_sub_entry e = {.filter = SL_SLICE_LIT("a/#"), .qos = 1, .no_local = true, .retain_handling = 2};
	mqtt_put_sub_entry(&entries, &e);
	mqtt_put_num(&props, MQTT_PROP_SUBSCRIPTION_ID, 300);
	struct mqtt_subscribe s = {.packet_id = 5, .count = 1, .entries = sl_buf_slice(&entries)};
	s.props.raw = sl_buf_slice(&props);
	mqtt_encode_subscribe(&s, MQTT_V5, &out);
	assert_hex(&out, "82 0c 0005 03 0b ac02 0003'a/#' 25");
	sl_buf_fini(&entries);
	sl_buf_fini(&props);
}

static void test_encode_suback__3_knows_one_failure(void **state) {
	(void)state;
	struct mqtt_suback s = {.packet_id = 9, .codes = slice_make("\x01\x87", 2)};
	mqtt_encode_suback(MQTT_SUBACK, &s, MQTT_V311, &out);
	mqtt_encode_suback(MQTT_SUBACK, &s, MQTT_V5, &out);
	mqtt_encode_suback(MQTT_UNSUBACK, &s, MQTT_V311, &out);
	assert_hex(&out, "90 04 0009 01 80 90 05 0009 00 01 87 b0 02 0009");
}

static void test_encode_bye__and_pings(void **state) {
	(void)state;
	struct mqtt_bye b = {.reason = MQTT_RC_SUCCESS};
	mqtt_encode_bye(MQTT_DISCONNECT, &b, MQTT_V5, &out);
	b.reason = MQTT_RC_SESSION_TAKEN_OVER;
	mqtt_encode_bye(MQTT_DISCONNECT, &b, MQTT_V5, &out);
	mqtt_encode_bye(MQTT_DISCONNECT, &b, MQTT_V311, &out);
	mqtt_encode_ping(MQTT_PINGRESP, &out);
	assert_hex(&out, "e000 e0018e e000 d000");
}

static void test_encode_props__each_type(void **state) {
	(void)state;
	mqtt_put_num(&out, MQTT_PROP_PAYLOAD_FORMAT, 1);
	mqtt_put_num(&out, MQTT_PROP_TOPIC_ALIAS, 2);
	mqtt_put_num(&out, MQTT_PROP_SESSION_EXPIRY, 3);
	mqtt_put_bytes(&out, MQTT_PROP_CONTENT_TYPE, SL_SLICE_LIT("json"));
	mqtt_put_user(&out, SL_SLICE_LIT("k"), SL_SLICE_LIT("v"));
	assert_hex(&out, "0101 230002 1100000003 030004'json' 260001'k'0001'v'");
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(test_encode_connect__311_and_5, clear),
	    cmocka_unit_test_teardown(test_encode_connack__codes_are_translated_for_3, clear),
	    cmocka_unit_test_teardown(test_encode_publish__311_and_5, clear),
	    cmocka_unit_test_teardown(test_encode_ack__is_as_short_as_may_be, clear),
	    cmocka_unit_test_teardown(test_encode_subscribe__entries_and_properties, clear),
	    cmocka_unit_test_teardown(test_encode_suback__3_knows_one_failure, clear),
	    cmocka_unit_test_teardown(test_encode_bye__and_pings, clear),
	    cmocka_unit_test_teardown(test_encode_props__each_type, clear),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
