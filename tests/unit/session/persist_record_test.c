/* persist_record_test.c: what is kept comes back as it was; what is cut or changed is refused, never believed. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "mem.h"
#include "persist_record.h"
#include "will.h"

static void assert_slice(struct sl_slice a, const char *text) { assert_true(slice_equal_str(a, text)); }

static void test_session__comes_back(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct session_record in = {.client_id = SL_SLICE_LIT("client"),
				    .username = SL_SLICE_LIT("user"),
				    .has_username = true,
				    .expiry_s = 77,
				    .created_ms = 1700000000000,
				    .offline_ms = 1700000001000},
			      out;
	session_record_put(&b, &in);
	assert_int_equal(session_record_read(sl_buf_slice(&b), &out), SL_OK);
	assert_slice(out.client_id, "client");
	assert_slice(out.username, "user");
	assert_true(out.has_username);
	assert_int_equal(out.expiry_s, 77);
	assert_int_equal(out.created_ms, 1700000000000);
	assert_int_equal(out.offline_ms, 1700000001000);
	for (size_t n = 0; n < b.n; n++) assert_int_equal(session_record_read(slice_make(b.p, n), &out), SL_ECORRUPT);
	b.p[0] = 2;
	assert_int_equal(session_record_read(sl_buf_slice(&b), &out), SL_ECORRUPT);
	sl_buf_fini(&b);
}

static void test_sub__comes_back(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	struct sub_record in = {.filter = SL_SLICE_LIT("$share/g/a/+"),
				.sub_id = 268435455,
				.qos = 2,
				.retain_handling = 1,
				.retain_as_published = true},
			  out;
	sub_record_put(&b, &in);
	assert_int_equal(sub_record_read(sl_buf_slice(&b), &out), SL_OK);
	assert_slice(out.filter, "$share/g/a/+");
	assert_int_equal(out.sub_id, 268435455);
	assert_int_equal(out.qos, 2);
	assert_int_equal(out.retain_handling, 1);
	assert_true(out.retain_as_published && !out.no_local);
	for (size_t n = 0; n < b.n; n++) assert_int_equal(sub_record_read(slice_make(b.p, n), &out), SL_ECORRUPT);
	b.p[b.n - 1] = '#' + 1;
	b.p[b.n - 2] = '#';
	assert_int_equal(sub_record_read(sl_buf_slice(&b), &out), SL_ECORRUPT);
	sl_buf_fini(&b);
}

static struct sl_slice props_block(struct sl_buf *b, bool delay) {
	if (delay) mqtt_put_num(b, MQTT_PROP_WILL_DELAY, 30);
	mqtt_put_num(b, MQTT_PROP_MESSAGE_EXPIRY, 60);
	mqtt_put_bytes(b, MQTT_PROP_CONTENT_TYPE, SL_SLICE_LIT("text"));
	mqtt_put_user(b, SL_SLICE_LIT("k"), SL_SLICE_LIT("v"));
	return sl_buf_slice(b);
}

static void test_will__comes_back(void **state) {
	(void)state;
	struct sl_buf props = SL_BUF_INIT, b = SL_BUF_INIT;
	struct mqtt_will in = {.qos = 1, .retain = true, .topic = SL_SLICE_LIT("gone"), .payload = SL_SLICE_LIT("bye")};
	mqtt_props_init(&in.props);
	in.props.raw = props_block(&props, true);
	in.props.present = 1u << MQTT_PROP_WILL_DELAY;
	in.props.v[MQTT_PROP_WILL_DELAY].num = 30;
	struct will *will = will_new(&in, SL_SLICE_LIT("user")), *out;
	will_record_put(&b, will);
	assert_int_equal(will_record_read(sl_buf_slice(&b), &out), SL_OK);
	assert_int_equal(out->delay_s, 30);
	assert_int_equal(out->qos, 1);
	assert_true(out->retain);
	assert_int_equal(will_bytes(out), will_bytes(will));
	assert_memory_equal(out->bytes, will->bytes, will_bytes(will));
	sl_free(out);
	for (size_t n = 0; n < b.n; n++) assert_int_equal(will_record_read(slice_make(b.p, n), &out), SL_ECORRUPT);
	sl_free(will);
	sl_buf_fini(&props);
	sl_buf_fini(&b);
}

static void test_retained__comes_back(void **state) {
	(void)state;
	struct sl_buf block = SL_BUF_INIT, b = SL_BUF_INIT;
	struct mqtt_props props;
	mqtt_props_init(&props);
	props.raw = props_block(&block, false);
	props.present = 1u << MQTT_PROP_MESSAGE_EXPIRY | 1u << MQTT_PROP_CONTENT_TYPE | 1u << MQTT_PROP_USER_PROPERTY;
	props.v[MQTT_PROP_MESSAGE_EXPIRY].num = 60;
	struct msg *m = msg_new(&(struct msg_spec){.topic = SL_SLICE_LIT("a/b"),
						   .payload = SL_SLICE_LIT("payload"),
						   .client_id = SL_SLICE_LIT("me"),
						   .props = &props,
						   .arrived_ms = 1700000000000,
						   .qos = 2,
						   .retain = true}),
		   *out;
	char head[RETAINED_HEAD_MAX];
	sl_buf_append_slice(&b, retained_record_head(head, m));
	sl_buf_append_slice(&b, retained_record_rest(m));
	assert_int_equal(retained_record_read(sl_buf_slice(&b), &out), SL_OK);
	assert_slice(msg_topic(out), "a/b");
	assert_slice(msg_payload(out), "payload");
	assert_slice(msg_client_id(out), "me");
	assert_slice(msg_prop_bytes(out, MQTT_PROP_CONTENT_TYPE), "text");
	assert_true(slice_equal(msg_props(out), msg_props(m)));
	assert_int_equal(out->expiry_s, 60);
	assert_int_equal(out->props_present, m->props_present);
	assert_int_equal(out->arrived_ms, 1700000000000);
	assert_int_equal(out->qos, 2);
	assert_true(out->retain);
	msg_unref(out);
	for (size_t n = 0; n < b.n; n++) assert_int_equal(retained_record_read(slice_make(b.p, n), &out), SL_ECORRUPT);
	msg_unref(m);
	sl_buf_fini(&block);
	sl_buf_fini(&b);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_session__comes_back),
	    cmocka_unit_test(test_sub__comes_back),
	    cmocka_unit_test(test_will__comes_back),
	    cmocka_unit_test(test_retained__comes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
