/* msg_test.c: the shared message: what it keeps, what it drops, and how each kind of receiver gets it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hex.h"
#include "mem.h"
#include "msg.h"
#include "rng.h"
#include "topic.h"

static struct mqtt_props props;
static struct sl_buf wire, out;

static int fini(void **state) {
	(void)state;
	sl_buf_fini(&wire);
	sl_buf_fini(&out);
	return 0;
}

/* A message whose properties are read from hexadecimal text, length first. */
static struct msg *message(const char *props_text) {
	enum mqtt_reason reason;
	sl_buf_fini(&wire);
	wire = hex(props_text);
	struct sl_slice in = sl_buf_slice(&wire);
	assert_int_equal(mqtt_props_read(&in, MQTT_WHERE_PUBLISH_UP, &props, &reason), SL_OK);
	struct msg_spec spec = {.topic = SL_SLICE_LIT("a/b"),
				.payload = SL_SLICE_LIT("xyz"),
				.client_id = SL_SLICE_LIT("dev1"),
				.props = &props,
				.arrived_ms = 1000,
				.qos = 1,
				.retain = true,
				.hops = 2};
	return msg_new(&spec);
}

static struct sl_buf *encoded(const struct msg *m, const struct msg_delivery *d) {
	sl_buf_clear(&out);
	msg_encode(m, d, &out);
	assert_int_equal(out.n, msg_encoded_size(m, d));
	return &out;
}

static void test_msg__keeps_all_parts(void **state) {
	(void)state;
	struct msg *m = message("00");
	assert_true(slice_equal_str(msg_topic(m), "a/b"));
	assert_true(slice_equal_str(msg_payload(m), "xyz"));
	assert_true(slice_equal_str(msg_client_id(m), "dev1"));
	assert_int_equal(msg_props(m).n, 0);
	assert_int_equal(m->qos, 1);
	assert_true(m->retain);
	assert_int_equal(m->hops, 2);
	assert_true(m->topic_hash == topic_hash(SL_SLICE_LIT("a/b")));
	assert_int_equal(msg_bytes(m), sizeof *m + 2 + 3 + 3 + 4);
	msg_unref(m);
}

static void test_msg__properties_of_one_hop_are_taken_out(void **state) {
	(void)state;
	struct msg *m = message("16 02 00000009 03 0002'ct' 23 0001 26 0001'k'0001'v' 01 01");
	struct sl_slice value;
	struct sl_buf kept = {.p = (char *)(uintptr_t)msg_props(m).p, .n = msg_props(m).n};
	assert_hex(&kept, "03 0002'ct' 26 0001'k'0001'v' 01 01");
	assert_int_equal(m->expiry_s, 9);
	assert_true(slice_equal_str(msg_prop_bytes(m, MQTT_PROP_CONTENT_TYPE), "ct"));
	assert_int_equal(msg_prop_num(m, MQTT_PROP_PAYLOAD_FORMAT, 0), 1);
	assert_false(msg_has_prop(m, MQTT_PROP_TOPIC_ALIAS));
	assert_true(msg_user_property(m, SL_SLICE_LIT("k"), &value));
	assert_true(slice_equal_str(value, "v"));
	assert_false(msg_user_property(m, SL_SLICE_LIT("x"), &value));
	msg_unref(m);
}

static void test_msg__expiry_counts_down(void **state) {
	(void)state;
	struct msg *m = message("05 02 0000000a");
	assert_int_equal(msg_expiry_left(m, 1000), 10);
	assert_int_equal(msg_expiry_left(m, 0), 10);
	assert_int_equal(msg_expiry_left(m, 4999), 7);
	assert_int_equal(msg_expiry_left(m, 11000), 0);
	msg_unref(m);
	m = message("00");
	assert_true(msg_expiry_left(m, 99999999) == MSG_NO_EXPIRY);
	msg_unref(m);
}

static void test_msg_encode__311(void **state) {
	(void)state;
	struct msg *m = message("05 02 0000000a");
	struct msg_delivery d = {.version = MQTT_V311, .expiry_left_s = 10};
	assert_hex(encoded(m, &d), "30 08 0003'a/b' 'xyz'");
	d.qos = 1;
	d.packet_id = 0x0102;
	d.retain = d.dup = true;
	assert_hex(encoded(m, &d), "3b 0a 0003'a/b' 0102 'xyz'");
	msg_unref(m);
}

static void test_msg_encode__5_with_everything(void **state) {
	(void)state;
	static const uint32_t ids[] = {1, 300};
	struct msg *m = message("0c 02 0000000a 26 0001'k'0001'v'");
	struct msg_delivery d = {.version = MQTT_V5, .expiry_left_s = MSG_NO_EXPIRY};
	assert_hex(encoded(m, &d), "30 10 0003'a/b' 07 26 0001'k'0001'v' 'xyz'");
	d = (struct msg_delivery){.version = MQTT_V5, .qos = 2, .packet_id = 7, .expiry_left_s = 8, .topic_alias = 5};
	d.sub_ids = ids;
	d.sub_ids_len = 2;
	assert_hex(encoded(m, &d), "34 1f 0003'a/b' 0007 14 02 00000008 23 0005 0b 01 0b ac02 26 0001'k'0001'v' 'xyz'");
	d.alias_known = true;
	assert_hex(encoded(m, &d), "34 1c 0000 0007 14 02 00000008 23 0005 0b 01 0b ac02 26 0001'k'0001'v' 'xyz'");
	msg_unref(m);
}

static void test_msg__the_last_reference_frees(void **state) {
	(void)state;
	struct msg *m = message("00");
	assert_ptr_equal(msg_ref(m), m);
	msg_unref(m);
	assert_int_equal(atomic_load(&m->refs), 1);
	msg_unref(m);
	msg_unref(NULL);
}

/* Whatever is encoded is decoded to the same. */
static void test_msg_encode__random_messages_come_back(void **state) {
	(void)state;
	char *payload = sl_alloc(70000);
	memset(payload, 'p', 70000);
	for (int i = 0; i < 2000; i++) {
		struct msg_spec spec = {.topic = SL_SLICE_LIT("some/topic"),
					.payload = slice_make(payload, sl_rng_below(i % 50 ? 300 : 70000))};
		struct msg *m = msg_new(&spec);
		struct msg_delivery d = {.version = sl_rng_below(2) ? MQTT_V5 : MQTT_V311,
					 .qos = (uint8_t)sl_rng_below(3),
					 .retain = sl_rng_below(2) == 0,
					 .packet_id = (uint16_t)(1 + sl_rng_below(65535)),
					 .expiry_left_s = sl_rng_below(2) ? 77 : MSG_NO_EXPIRY};
		struct mqtt_frame f;
		struct mqtt_publish p;
		enum mqtt_reason reason;
		assert_int_equal(mqtt_frame_next(sl_buf_slice(encoded(m, &d)), 100000, &f, &reason), SL_OK);
		assert_int_equal(mqtt_decode_publish(&f, d.version, MQTT_FROM_SERVER, &p, &reason), SL_OK);
		assert_true(slice_equal(p.topic, spec.topic) && slice_equal(p.payload, spec.payload));
		assert_int_equal(p.qos, d.qos);
		assert_int_equal(p.retain, d.retain);
		assert_int_equal(p.packet_id, d.qos ? d.packet_id : 0);
		uint32_t expiry = d.version == MQTT_V5 ? d.expiry_left_s : MSG_NO_EXPIRY;
		assert_true(mqtt_props_num(&p.props, MQTT_PROP_MESSAGE_EXPIRY, MSG_NO_EXPIRY) == expiry);
		msg_unref(m);
	}
	sl_free(payload);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_msg__keeps_all_parts),
	    cmocka_unit_test(test_msg__properties_of_one_hop_are_taken_out),
	    cmocka_unit_test(test_msg__expiry_counts_down),
	    cmocka_unit_test(test_msg_encode__311),
	    cmocka_unit_test(test_msg_encode__5_with_everything),
	    cmocka_unit_test(test_msg__the_last_reference_frees),
	    cmocka_unit_test(test_msg_encode__random_messages_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, fini);
}
