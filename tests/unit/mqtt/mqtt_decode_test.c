/* mqtt_decode_test.c: packets byte for byte, whole ones and each way of being wrong, with the reason code it earns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "mqtt.h"

static struct sl_buf bytes; /* of the packet last decoded: its slices live here */
static struct mqtt_packet pkt;
static enum mqtt_reason reason;

static int decode(enum mqtt_version version, enum mqtt_sender sender, const char *text) {
	struct mqtt_frame f;
	sl_buf_fini(&bytes);
	bytes = hex(text);
	reason = MQTT_RC_SUCCESS;
	assert_int_equal(mqtt_frame_next(sl_buf_slice(&bytes), 100000, &f, &reason), SL_OK);
	assert_int_equal(f.size, bytes.n);
	return mqtt_decode(&f, version, sender, &pkt, &reason);
}

static int up4(const char *text) { return decode(MQTT_V311, MQTT_FROM_CLIENT, text); }
static int up5(const char *text) { return decode(MQTT_V5, MQTT_FROM_CLIENT, text); }
static int down4(const char *text) { return decode(MQTT_V311, MQTT_FROM_SERVER, text); }
static int down5(const char *text) { return decode(MQTT_V5, MQTT_FROM_SERVER, text); }

/* Refused with this reason. */
#define refused(call, why)                                                                                             \
	do {                                                                                                           \
		assert_int_not_equal(call, SL_OK);                                                                     \
		assert_int_equal(reason, MQTT_RC_##why);                                                               \
	} while (0)
#define text_is(slice, text) assert_true(slice_equal_str(slice, text))

static void test_connect__311_with_all_fields(void **state) {
	(void)state;
	assert_int_equal(up4("10 23 0004'MQTT' 04 ee 003c 0002'id' 0003'w/t' 0003'bye' 0004'user' 0003'pwd'"), SL_OK);
	const struct mqtt_connect *c = &pkt.connect;
	assert_int_equal(c->version, MQTT_V311);
	assert_true(c->clean_start && c->has_will && c->will.retain && c->has_username && c->has_password);
	assert_int_equal(c->will.qos, 1);
	assert_int_equal(c->keep_alive_s, 60);
	text_is(c->client_id, "id");
	text_is(c->will.topic, "w/t");
	text_is(c->will.payload, "bye");
	text_is(c->username, "user");
	text_is(c->password, "pwd");
}

static void test_connect__5_with_properties(void **state) {
	(void)state;
	assert_int_equal(up5("10 20 0004'MQTT' 05 02 000a 0d 11 00000e10 21 0014 22 000a 17 00 0006'device'"), SL_OK);
	const struct mqtt_props *p = &pkt.connect.props;
	assert_int_equal(mqtt_props_num(p, MQTT_PROP_SESSION_EXPIRY, 0), 3600);
	assert_int_equal(mqtt_props_num(p, MQTT_PROP_RECEIVE_MAXIMUM, 65535), 20);
	assert_int_equal(mqtt_props_num(p, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, 0), 10);
	assert_int_equal(mqtt_props_num(p, MQTT_PROP_REQUEST_PROBLEM_INFO, 1), 0);
	text_is(pkt.connect.client_id, "device");
}

static void test_connect__31_is_understood(void **state) {
	(void)state;
	assert_int_equal(up4("10 0f 0006'MQIsdp' 03 02 003c 0001'a'"), SL_OK);
	assert_int_equal(pkt.connect.version, MQTT_V31);
}

static void test_connect__5_will_has_properties_of_its_own(void **state) {
	(void)state;
	assert_int_equal(up5("10 1c 0004'MQTT' 05 06 0000 00 0001'c' 07 18 00000005 01 01 0001't' 0001'p'"), SL_OK);
	assert_int_equal(mqtt_props_num(&pkt.connect.will.props, MQTT_PROP_WILL_DELAY, 0), 5);
	text_is(pkt.connect.will.payload, "p");
}

static void test_connect__other_names_and_versions_are_unsupported(void **state) {
	(void)state;
	refused(up4("10 0d 0004'MQTT' 06 02 003c 0001'a'"), UNSUPPORTED_VERSION);
	refused(up4("10 0d 0004'MQTX' 04 02 003c 0001'a'"), UNSUPPORTED_VERSION);
	refused(up4("10 0d 0004'MQTT' 03 02 003c 0001'a'"), UNSUPPORTED_VERSION);
}

static void test_connect__wrong_flags_are_malformed(void **state) {
	(void)state;
	refused(up4("11 0d 0004'MQTT' 04 02 003c 0001'a'"), MALFORMED_PACKET);
	refused(up4("10 0d 0004'MQTT' 04 03 003c 0001'a'"), MALFORMED_PACKET);
	refused(up4("10 0d 0004'MQTT' 04 0a 003c 0001'a'"), MALFORMED_PACKET);
	refused(up4("10 0d 0004'MQTT' 04 22 003c 0001'a'"), MALFORMED_PACKET);
	refused(up4("10 13 0004'MQTT' 04 1e 003c 0001'a' 0001't' 0001'p'"), MALFORMED_PACKET);
	refused(up4("10 10 0004'MQTT' 04 42 003c 0001'a' 0001'p'"), MALFORMED_PACKET);
	assert_int_equal(up5("10 11 0004'MQTT' 05 42 003c 00 0001'a' 0001'p'"), SL_OK);
}

static void test_connect__cut_or_too_long_is_malformed(void **state) {
	(void)state;
	refused(up4("10 0b 0004'MQTT' 04 02 003c 00"), MALFORMED_PACKET);
	refused(up4("10 0d 0004'MQTT' 04 02 003c 0002'a'"), MALFORMED_PACKET);
	refused(up4("10 0e 0004'MQTT' 04 02 003c 0001'a' 00"), MALFORMED_PACKET);
	refused(up4("10 0e 0004'MQTT' 04 02 003c 0002 c080"), MALFORMED_PACKET);
	refused(up4("10 00"), MALFORMED_PACKET);
}

static void test_connack__both_versions(void **state) {
	(void)state;
	assert_int_equal(down4("20 02 01 00"), SL_OK);
	assert_true(pkt.connack.session_present);
	assert_int_equal(down4("20 02 00 05"), SL_OK);
	assert_int_equal(pkt.connack.reason, MQTT_RC_NOT_AUTHORIZED);
	assert_int_equal(down5("20 06 00 00 03 21 000a"), SL_OK);
	assert_int_equal(mqtt_props_num(&pkt.connack.props, MQTT_PROP_RECEIVE_MAXIMUM, 0), 10);
	refused(down5("20 03 02 00 00"), MALFORMED_PACKET);
	refused(down5("20 03 00 92 00"), PROTOCOL_ERROR);
	refused(up5("20 03 00 00 00"), PROTOCOL_ERROR);
}

static void test_publish__311_qos_0_to_2(void **state) {
	(void)state;
	assert_int_equal(up4("31 08 0003'a/b' 'xyz'"), SL_OK);
	assert_true(pkt.publish.retain);
	assert_int_equal(pkt.publish.packet_id, 0);
	text_is(pkt.publish.topic, "a/b");
	text_is(pkt.publish.payload, "xyz");
	assert_int_equal(up4("3c 07 0003'a/b' 1234"), SL_OK);
	assert_int_equal(pkt.publish.qos, 2);
	assert_true(pkt.publish.dup);
	assert_int_equal(pkt.publish.packet_id, 0x1234);
	assert_int_equal(pkt.publish.payload.n, 0);
}

static void test_publish__5_with_properties(void **state) {
	(void)state;
	assert_int_equal(
	    up5("32 20 0001't' 0007 19 01 01 02 0000000a 26 0001'k'0002'v1' 26 0001'k'0001'w' 23 0003 '!'"), SL_OK);
	assert_int_equal(pkt.publish.props.user_count, 2);
	assert_int_equal(mqtt_props_num(&pkt.publish.props, MQTT_PROP_TOPIC_ALIAS, 0), 3);
	assert_int_equal(mqtt_props_num(&pkt.publish.props, MQTT_PROP_MESSAGE_EXPIRY, 0), 10);
	text_is(pkt.publish.payload, "!");
}

static void test_publish__wrong_heads(void **state) {
	(void)state;
	refused(up4("36 07 0003'a/b' 0001"), MALFORMED_PACKET);
	refused(up4("38 05 0003'a/b'"), MALFORMED_PACKET);
	refused(up4("32 07 0003'a/b' 0000"), PROTOCOL_ERROR);
	refused(up4("32 06 0003'a/b' 00"), MALFORMED_PACKET);
	refused(up4("30 04 0003'a/'"), MALFORMED_PACKET);
}

static void test_publish__wrong_topics(void **state) {
	(void)state;
	refused(up4("30 05 0003'a/+'"), TOPIC_NAME_INVALID);
	refused(up4("30 0b 0009'abcdefgh#'"), TOPIC_NAME_INVALID);
	refused(up4("30 02 0000"), PROTOCOL_ERROR);
	refused(up4("30 04 0002 c328"), MALFORMED_PACKET);
	refused(up4("30 04 0002'a'00"), MALFORMED_PACKET);
	refused(up5("30 03 0000 00"), PROTOCOL_ERROR);
	assert_int_equal(up5("30 06 0000 03 23 0001"), SL_OK);
}

static void test_publish__wrong_properties(void **state) {
	(void)state;
	refused(up5("30 07 0001't' 03 23 0000"), TOPIC_ALIAS_INVALID);
	refused(up5("30 0a 0001't' 06 23 0001 23 0001"), PROTOCOL_ERROR);
	refused(up5("30 06 0001't' 02 01 02"), PROTOCOL_ERROR);
	refused(up5("30 06 0001't' 02 0b 05"), MALFORMED_PACKET);
	assert_int_equal(down5("30 08 0001't' 04 0b 05 0b 06"), SL_OK);
	assert_int_equal(pkt.publish.props.sub_id_count, 2);
	refused(down5("30 06 0001't' 02 0b 00"), PROTOCOL_ERROR);
	refused(up5("30 07 0001't' 03 21 0001"), MALFORMED_PACKET);
	refused(up5("30 05 0001't' 01 7e"), MALFORMED_PACKET);
	refused(up5("30 05 0001't' 05 23"), MALFORMED_PACKET);
	refused(up5("30 09 0001't' 05 08 0002'a#'"), PROTOCOL_ERROR);
	refused(up5("30 08 0001't' 04 03 0001 ff"), MALFORMED_PACKET);
	refused(up5("30 03 0001't'"), MALFORMED_PACKET);
}

static void test_acks__short_and_long_forms(void **state) {
	(void)state;
	assert_int_equal(up4("40 02 0001"), SL_OK);
	assert_int_equal(pkt.ack.reason, MQTT_RC_SUCCESS);
	assert_int_equal(up5("50 03 0001 97"), SL_OK);
	assert_int_equal(pkt.ack.reason, MQTT_RC_QUOTA_EXCEEDED);
	assert_int_equal(up5("62 08 0001 92 04 1f 0001'x'"), SL_OK);
	text_is(mqtt_props_bytes(&pkt.ack.props, MQTT_PROP_REASON_STRING), "x");
	assert_int_equal(down5("70 04 0001 00 00"), SL_OK);
}

static void test_acks__wrong_ones(void **state) {
	(void)state;
	refused(up4("40 03 0001 00"), MALFORMED_PACKET);
	refused(up4("60 02 0001"), MALFORMED_PACKET);
	refused(up4("42 02 0001"), MALFORMED_PACKET);
	refused(up4("40 02 0000"), PROTOCOL_ERROR);
	refused(up4("40 01 00"), MALFORMED_PACKET);
	refused(up5("40 03 0001 92"), PROTOCOL_ERROR);
	refused(up5("40 05 0001 00 00 00"), MALFORMED_PACKET);
}

static void test_subscribe__entries_are_walked(void **state) {
	(void)state;
	struct mqtt_sub_entry e;
	assert_int_equal(up5("82 0f 000a 02 0b 07 0001'a' 1e 0003'b/#' 01"), SL_OK);
	assert_int_equal(pkt.subscribe.count, 2);
	assert_int_equal(mqtt_props_num(&pkt.subscribe.props, MQTT_PROP_SUBSCRIPTION_ID, 0), 7);
	struct sl_slice rest = pkt.subscribe.entries;
	assert_true(mqtt_subscribe_next(&rest, MQTT_V5, &e));
	assert_int_equal(e.qos, 2);
	assert_true(e.no_local && e.retain_as_published);
	assert_int_equal(e.retain_handling, 1);
	assert_true(mqtt_subscribe_next(&rest, MQTT_V5, &e));
	text_is(e.filter, "b/#");
	assert_false(mqtt_subscribe_next(&rest, MQTT_V5, &e));
}

static void test_subscribe__wrong_ones(void **state) {
	(void)state;
	refused(up4("80 06 0001 0001'a' 00"), MALFORMED_PACKET);
	refused(up4("82 02 0001"), PROTOCOL_ERROR);
	refused(up4("82 06 0000 0001'a' 00"), PROTOCOL_ERROR);
	refused(up4("82 06 0001 0001'a' 03"), MALFORMED_PACKET);
	refused(up4("82 06 0001 0001'a' 04"), MALFORMED_PACKET);
	refused(up4("82 05 0001 0001'a'"), MALFORMED_PACKET);
	refused(up5("82 07 0001 00 0001'a' 03"), PROTOCOL_ERROR);
	refused(up5("82 07 0001 00 0001'a' 30"), PROTOCOL_ERROR);
	refused(up5("82 07 0001 00 0001'a' 40"), MALFORMED_PACKET);
	refused(up5("82 10 0001 00 000a'$share/g/a' 04"), PROTOCOL_ERROR);
	refused(up5("82 0b 0001 04 0b 01 0b 02 0001'a' 00"), PROTOCOL_ERROR);
	refused(down5("82 07 0001 00 0001'a' 00"), PROTOCOL_ERROR);
}

static void test_suback__codes_by_version(void **state) {
	(void)state;
	assert_int_equal(down4("90 05 0001 00 02 80"), SL_OK);
	assert_int_equal(pkt.suback.codes.n, 3);
	refused(down4("90 03 0001 87"), PROTOCOL_ERROR);
	assert_int_equal(down5("90 05 0001 00 01 87"), SL_OK);
	refused(down5("90 04 0001 00 03"), PROTOCOL_ERROR);
	refused(down4("90 02 0001"), MALFORMED_PACKET);
}

static void test_unsubscribe__and_its_ack(void **state) {
	(void)state;
	struct sl_slice filter, rest;
	assert_int_equal(up4("a2 08 0001 0001'a' 0001'b'"), SL_OK);
	rest = pkt.subscribe.entries;
	assert_true(mqtt_unsubscribe_next(&rest, &filter));
	assert_true(mqtt_unsubscribe_next(&rest, &filter));
	text_is(filter, "b");
	assert_false(mqtt_unsubscribe_next(&rest, &filter));
	refused(up4("a2 02 0001"), PROTOCOL_ERROR);
	assert_int_equal(down4("b0 02 0001"), SL_OK);
	refused(down4("b0 03 0001 00"), MALFORMED_PACKET);
	assert_int_equal(down5("b0 04 0001 00 11"), SL_OK);
	refused(down5("b0 03 0001 00"), MALFORMED_PACKET);
}

static void test_pings__are_empty(void **state) {
	(void)state;
	assert_int_equal(up4("c0 00"), SL_OK);
	assert_int_equal(down4("d0 00"), SL_OK);
	refused(up4("c0 01 00"), MALFORMED_PACKET);
	refused(up4("c1 00"), MALFORMED_PACKET);
	refused(up4("d0 00"), PROTOCOL_ERROR);
}

static void test_disconnect__by_version_and_direction(void **state) {
	(void)state;
	assert_int_equal(up4("e0 00"), SL_OK);
	refused(up4("e0 01 00"), MALFORMED_PACKET);
	refused(down4("e0 00"), PROTOCOL_ERROR);
	assert_int_equal(up5("e0 07 04 05 11 00000000"), SL_OK);
	assert_int_equal(pkt.bye.reason, MQTT_RC_DISCONNECT_WITH_WILL);
	refused(down5("e0 07 00 05 11 00000000"), MALFORMED_PACKET);
	refused(up5("e0 01 8e"), PROTOCOL_ERROR);
	assert_int_equal(down5("e0 01 8e"), SL_OK);
}

static void test_auth__is_of_version_5(void **state) {
	(void)state;
	assert_int_equal(up5("f0 08 18 06 15 0003'abc'"), SL_OK);
	refused(up4("f0 00"), MALFORMED_PACKET);
	refused(up5("f0 06 18 04 16 0001 00"), PROTOCOL_ERROR);
	refused(up5("f0 01 80"), PROTOCOL_ERROR);
}

static int fini(void **state) {
	(void)state;
	sl_buf_fini(&bytes);
	return 0;
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_connect__311_with_all_fields),
	    cmocka_unit_test(test_connect__5_with_properties),
	    cmocka_unit_test(test_connect__31_is_understood),
	    cmocka_unit_test(test_connect__5_will_has_properties_of_its_own),
	    cmocka_unit_test(test_connect__other_names_and_versions_are_unsupported),
	    cmocka_unit_test(test_connect__wrong_flags_are_malformed),
	    cmocka_unit_test(test_connect__cut_or_too_long_is_malformed),
	    cmocka_unit_test(test_connack__both_versions),
	    cmocka_unit_test(test_publish__311_qos_0_to_2),
	    cmocka_unit_test(test_publish__5_with_properties),
	    cmocka_unit_test(test_publish__wrong_heads),
	    cmocka_unit_test(test_publish__wrong_topics),
	    cmocka_unit_test(test_publish__wrong_properties),
	    cmocka_unit_test(test_acks__short_and_long_forms),
	    cmocka_unit_test(test_acks__wrong_ones),
	    cmocka_unit_test(test_subscribe__entries_are_walked),
	    cmocka_unit_test(test_subscribe__wrong_ones),
	    cmocka_unit_test(test_suback__codes_by_version),
	    cmocka_unit_test(test_unsubscribe__and_its_ack),
	    cmocka_unit_test(test_pings__are_empty),
	    cmocka_unit_test(test_disconnect__by_version_and_direction),
	    cmocka_unit_test(test_auth__is_of_version_5),
	};
	return cmocka_run_group_tests(tests, NULL, fini);
}
