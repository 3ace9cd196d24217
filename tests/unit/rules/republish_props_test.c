/* republish_props.h: properties of republished messages, byte for byte, and what fails a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "fixture.h"
#include "mem.h"

/* One message through `FROM "t"`; the row has the payload's members a and b. */
static void publish(struct fixture *f, const char *options, const char *payload) {
	char *yaml = sl_asprintf("  r:\n    sql: SELECT payload.a AS a, payload.b AS b FROM \"t\"\n    actions:\n"
				 "      - {republish: {topic: out, %s}}\n",
				 options);
	fixture_init(f, yaml);
	fixture_publish(f, "t", payload);
	sl_free(yaml);
}

static void expect_block(const char *options, const char *payload, const char *block, size_t n) {
	struct fixture f;
	publish(&f, options, payload);
	if (f.published != 1) fail_msg("%s: %s", options, fixture_failure(&f, "r"));
	assert_int_equal(f.messages[0].properties, n);
	assert_memory_equal(f.messages[0].block, block, n);
	fixture_fini(&f);
}
#define EXPECT(options, payload, block) expect_block(options, payload, block, sizeof(block) - 1)

static void expect_failure(const char *options, const char *payload, const char *reason) {
	struct fixture f;
	publish(&f, options, payload);
	assert_int_equal(f.published, 0);
	assert_int_equal(fixture_count(&f, "r", 0, "failed"), 1);
	if (!strstr(fixture_failure(&f, "r"), reason)) fail_msg("%s: %s", options, fixture_failure(&f, "r"));
	fixture_fini(&f);
}

static void test_republish_props__stand_as_in_a_packet(void **state) {
	(void)state;
	EXPECT("payload_format: 1, message_expiry: 60, content_type: t/p, response_topic: \"a/${a}\", "
	       "correlation_data: c, user_properties: {k: \"${b}\", l: v}",
	       "{\"a\":\"x\",\"b\":2.50}",
	       "\x01\x01\x02\0\0\0\x3c\x03\0\3t/p\x08\0\3a/x\x09\0\1c\x26\0\1k\0\4"
	       "2.50\x26\0\1l\0\1v");
}

static void test_republish_props__null_and_empty_are_left_out(void **state) {
	(void)state;
	static const char options[] = "payload_format: \"${a}\", message_expiry: \"${a}\", content_type: \"${a}\", "
				      "response_topic: \"${a}\", correlation_data: \"${a}\", user_properties: ";
	const char *payloads[] = {"{}", "{\"a\":null}"};
	for (size_t i = 0; i < SL_ARRAY_LEN(payloads); i++) {
		char *one = sl_asprintf("%s\"${a}\"", options), *each = sl_asprintf("%s{k: \"${a}\"}", options);
		EXPECT(one, payloads[i], "");
		EXPECT(each, payloads[i], "");
		sl_free(one);
		sl_free(each);
	}
	EXPECT("content_type: \"${a}\", response_topic: \"${a}\", user_properties: \"${a}\", payload_format: \"${a}\"",
	       "{\"a\":\"\"}", "");
	EXPECT("user_properties: {k: \"${a}\"}", "{\"a\":\"\"}", "\x26\0\1k\0\0");
}

static void test_republish_props__payload_format_in_its_words(void **state) {
	(void)state;
	EXPECT("payload_format: UTF8_DATA", "{}", "\1\1");
	EXPECT("payload_format: UNSPECIFIED_BYTES", "{}", "\1\0");
	EXPECT("payload_format: \"${a}\"", "{\"a\":0}", "\1\0");
	EXPECT("payload_format: \"${a}\"", "{\"a\":\"1\"}", "\1\1");
	expect_failure("payload_format: \"${a}\"", "{\"a\":2}", "payload_format: must be 0");
	expect_failure("payload_format: \"${a}\"", "{\"a\":true}", "payload_format: must be 0");
	expect_failure("payload: \"${hexstr2bin('ff')}\", payload_format: 1", "{}", "no UTF-8");
}

static void test_republish_props__expiry_is_seconds_or_a_duration(void **state) {
	(void)state;
	EXPECT("message_expiry: 10m", "{}", "\2\0\0\2\x58");
	EXPECT("message_expiry: \"${a}\"", "{\"a\":0}", "\2\0\0\0\0");
	EXPECT("message_expiry: \"${a}\"", "{\"a\":1.2}", "\2\0\0\0\2");
	EXPECT("message_expiry: \"${a}s\"", "{\"a\":7}", "\2\0\0\0\7");
	EXPECT("message_expiry: \"${a}\"", "{\"a\":\"1500ms\"}", "\2\0\0\0\2");
	EXPECT("message_expiry: \"${a}\"", "{\"a\":4294967295}", "\2\xff\xff\xff\xff");
	const char *bad[] = {"{\"a\":-1}", "{\"a\":4294967296}", "{\"a\":\"soon\"}", "{\"a\":[1]}", "{\"a\":1e300}"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
		expect_failure("message_expiry: \"${a}\"", bad[i], "message_expiry: must be seconds");
}

static void test_republish_props__a_response_topic_is_a_topic(void **state) {
	(void)state;
	expect_failure("response_topic: \"${a}\"", "{\"a\":\"a/#\"}", "response_topic: 'a/#' is not a topic");
	expect_failure("response_topic: \"r/${a}\"", "{\"a\":\"+\"}", "'+', '#'");
	expect_failure("response_topic: \"r/${a}\"", "{}", "no value for one of its parts");
	expect_failure("content_type: \"${a}\"", "{\"a\":\"\\u0000\"}", "content_type: must be UTF-8");
}

static void test_republish_props__users_from_objects_and_pairs(void **state) {
	(void)state;
	static const char all[] = "user_properties: \"${a}\"";
	EXPECT(all, "{\"a\":{\"k\":\"v\",\"n\":1,\"z\":null,\"o\":[1]}}",
	       "\x26\0\1k\0\1v\x26\0\1n\0\0011\x26\0\1o\0\3[1]");
	EXPECT(all, "{\"a\":[[\"k\",1],{\"k\":2},{\"key\":\"k\",\"value\":true}]}",
	       "\x26\0\1k\0\0011\x26\0\1k\0\0012\x26\0\1k\0\4true");
	EXPECT(all, "{\"a\":{}}", "");
	EXPECT(all, "{\"a\":[]}", "");
	const char *bad[] = {"{\"a\":1}",         "{\"a\":\"k=v\"}", "{\"a\":[1]}",
			     "{\"a\":[[\"k\"]]}", "{\"a\":[[1,2]]}", "{\"a\":[{\"a\":1,\"b\":2}]}"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++)
		expect_failure(all, bad[i], "user_properties: must be an object");
	expect_failure(all, "{\"a\":{\"k\":\"\\u0000\"}}", "user_properties: must be UTF-8");
}

static void test_republish_props__limits_of_the_protocol(void **state) {
	(void)state;
	struct sl_buf payload = SL_BUF_INIT;
	sl_buf_append_str(&payload, "{\"a\":\"");
	for (int i = 0; i < 65536; i++) sl_buf_put(&payload, 'x');
	sl_buf_append_str(&payload, "\"}");
	const char *options[] = {"content_type", "response_topic", "correlation_data"};
	for (size_t i = 0; i < SL_ARRAY_LEN(options); i++) {
		char *option = sl_asprintf("%s: \"${a}\"", options[i]);
		expect_failure(option, sl_buf_cstr(&payload), "65535 bytes");
		sl_free(option);
	}
	expect_failure("user_properties: {k: \"${a}\"}", sl_buf_cstr(&payload), "65535 bytes");
	sl_buf_fini(&payload);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_republish_props__stand_as_in_a_packet),
	    cmocka_unit_test(test_republish_props__null_and_empty_are_left_out),
	    cmocka_unit_test(test_republish_props__payload_format_in_its_words),
	    cmocka_unit_test(test_republish_props__expiry_is_seconds_or_a_duration),
	    cmocka_unit_test(test_republish_props__a_response_topic_is_a_topic),
	    cmocka_unit_test(test_republish_props__users_from_objects_and_pairs),
	    cmocka_unit_test(test_republish_props__limits_of_the_protocol),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
