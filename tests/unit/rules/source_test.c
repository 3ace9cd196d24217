/* source_test.c: what a rule reads of a message: MQTT 5 properties, addresses, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event_source.h"
#include "fixture.h"
#include "rule_try.h"

/* The one row that the SQL makes of the event, as JSON with a line break. */
static void expect_row(const char *sql, const struct rules_event *ev, const char *expected) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf rows = SL_BUF_INIT;
	struct rule *r;
	if (rule_new(SL_SLICE_LIT("r"), slice_from_str(sql), SQL_STANDARD, &r, &err) != SL_OK)
		fail_msg("%s", sl_err_text(&err));
	if (rule_try(r, ev, "n1", &rows, &err) != RULE_TRY_ROWS) fail_msg("%s", sl_err_text(&err));
	assert_string_equal(sl_buf_cstr(&rows), expected);
	sl_buf_fini(&rows);
	sl_err_fini(&err);
}

static void test_event_message__gives_what_the_broker_knows(void **state) {
	(void)state;
	struct rules_event ev = fixture_event("t/1", "p");
	ev.retain = true;
	expect_row(
	    "SELECT topic, payload, qos, clientid, username, peername, peerhost, flags, node, event FROM \"t/+\"", &ev,
	    "{\"topic\":\"t/1\",\"payload\":\"p\",\"qos\":1,\"clientid\":\"c1\",\"username\":null,\"peername\":"
	    "\"[::1]:4000\",\"peerhost\":\"::1\",\"flags\":{\"dup\":false,\"retain\":true},\"node\":\"n1\",\"event\":"
	    "\"message.publish\"}\n");
}

static void test_event_message__an_id_is_the_same_for_one_message(void **state) {
	(void)state;
	struct rules_event ev = fixture_event("t", "");
	expect_row("SELECT strlen(id) AS n, id = id AS same FROM \"t\"", &ev, "{\"n\":32,\"same\":true}\n");
}

static void test_event_message__without_properties_pub_props_is_empty(void **state) {
	(void)state;
	struct rules_event ev = fixture_event("t", "");
	expect_row("SELECT pub_props AS p FROM \"t\"", &ev, "{\"p\":{}}\n");
}

static const char block[] = "\x01\x01"                /* payload format */
			    "\x26\x00\x01k\x00\x01v"  /* user property */
			    "\x03\x00\x02tt"          /* content type */
			    "\x26\x00\x01k\x00\x02w2" /* the same name again */
			    "\x26\x00\x01l\x00\x00";  /* an empty value */

static void test_event_message__user_properties_are_an_object_and_a_list(void **state) {
	(void)state;
	struct rules_event ev = fixture_event("t", "");
	ev.user_properties = slice_make(block, sizeof block - 1);
	ev.content_type = SL_SLICE_LIT("tt");
	ev.payload_format = 1;
	ev.message_expiry_s = 60;
	expect_row(
	    "SELECT pub_props AS p FROM \"t\"", &ev,
	    "{\"p\":{\"Payload-Format-Indicator\":1,\"Message-Expiry-Interval\":60,\"Content-Type\":\"tt\","
	    "\"User-Property\":{\"k\":\"w2\",\"l\":\"\"},\"User-Property-Pairs\":[{\"key\":\"k\",\"value\":\"v\"},"
	    "{\"key\":\"k\",\"value\":\"w2\"},{\"key\":\"l\",\"value\":\"\"}]}}\n");
	expect_row("SELECT pub_props.'User-Property'.l AS l FROM \"t\"", &ev, "{\"l\":\"\"}\n");
}

static void test_event_message__a_damaged_block_ends_the_walk(void **state) {
	(void)state;
	for (size_t n = 0; n < sizeof block - 1; n++) {
		struct rules_event ev = fixture_event("t", "");
		ev.user_properties = slice_make(block, n);
		expect_row("SELECT 1 AS x FROM \"t\" WHERE is_map(pub_props)", &ev, "{\"x\":1}\n");
	}
}

static void test_event_source_find__knows_topics_only(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	assert_ptr_equal(event_source_find(NULL, SL_SLICE_LIT("a/+"), &err), &event_message);
	assert_ptr_equal(event_source_find(NULL, SL_SLICE_LIT(""), &err), &event_message);
	assert_null(event_source_find(NULL, SL_SLICE_LIT("$events/client/connected"), &err));
	assert_int_equal(err.status, SL_EUNSUPPORTED);
	assert_null(event_source_find(NULL, SL_SLICE_LIT("a/#/b"), &err));
	assert_int_equal(err.status, SL_EINVAL);
	sl_err_fini(&err);
}

/* rules/reference.md is printed from the tables; SLUICE_RENEW=1 writes it anew. */
static void test_rules_describe__committed_reference_is_true(void **state) {
	(void)state;
	struct sl_buf printed = SL_BUF_INIT, committed = SL_BUF_INIT;
	rules_describe(&printed);
	FILE *f = fopen(RULES_DIR "/reference.md", getenv("SLUICE_RENEW") ? "w+" : "r");
	assert_non_null(f);
	if (getenv("SLUICE_RENEW")) {
		fputs(sl_buf_cstr(&printed), f);
		rewind(f);
	}
	for (int c; (c = fgetc(f)) != EOF;) sl_buf_put(&committed, (char)c);
	fclose(f);
	assert_string_equal(sl_buf_cstr(&committed), sl_buf_cstr(&printed));
	sl_buf_fini(&printed);
	sl_buf_fini(&committed);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_event_message__gives_what_the_broker_knows),
	    cmocka_unit_test(test_event_message__an_id_is_the_same_for_one_message),
	    cmocka_unit_test(test_event_message__without_properties_pub_props_is_empty),
	    cmocka_unit_test(test_event_message__user_properties_are_an_object_and_a_list),
	    cmocka_unit_test(test_event_message__a_damaged_block_ends_the_walk),
	    cmocka_unit_test(test_event_source_find__knows_topics_only),
	    cmocka_unit_test(test_rules_describe__committed_reference_is_true),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
