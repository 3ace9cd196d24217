/* source_test.c: what a rule reads of a message: MQTT 5 properties, addresses, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event_aws.h"
#include "event_kind.h"
#include "event_source.h"
#include "fixture.h"
#include "rule_try.h"

/* The one row that the SQL makes of the event, as JSON with a line break. */
static void expect_row(const char *sql, const struct rules_event *ev, const char *expected) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_buf rows = SL_BUF_INIT;
	struct rule *r;
	if (rule_new(SL_SLICE_LIT("r"), slice_from_str(sql), NULL, &r, &err) != SL_OK)
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

static void test_event_source_find__knows_topics_and_events(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct event_sources *s = event_sources_new(SQL_STANDARD), *aws = event_sources_new(SQL_AWS);
	assert_ptr_equal(event_source_find(s, SL_SLICE_LIT("a/+"), &err), &event_message);
	assert_ptr_equal(event_source_find(s, SL_SLICE_LIT(""), &err), &event_message);
	assert_ptr_equal(event_source_find(aws, SL_SLICE_LIT("$aws/events/presence/#"), &err), &event_message);
	assert_non_null(event_source_find(s, SL_SLICE_LIT("$events/client/connected"), &err));
	assert_non_null(event_source_find(s, SL_SLICE_LIT("$events/client_connected"), &err));
	assert_null(event_source_find(aws, SL_SLICE_LIT("$events/client/connected"), &err));
	assert_int_equal(err.status, SL_EUNSUPPORTED);
	assert_null(event_source_find(s, SL_SLICE_LIT("$events/client/nothing"), &err));
	assert_int_equal(err.status, SL_ENOTFOUND);
	assert_null(event_source_find(s, SL_SLICE_LIT("$sources/amqp:x"), &err));
	assert_int_equal(err.status, SL_EUNSUPPORTED);
	assert_null(event_source_find(s, SL_SLICE_LIT("a/#/b"), &err));
	assert_int_equal(err.status, SL_EINVAL);
	event_sources_free(s);
	event_sources_free(aws);
	sl_err_fini(&err);
}

/* ---- events ---- */

static const struct rules_about about_client = {
    .clientid = {"c9", 2},
    .username = {"u9", 2},
    .peer = {"10.0.0.9:4100", 13},
    .sock = {"10.0.0.1:1883", 13},
    .reason = {"normal", 6},
    .props = {"\x11\x00\x00\x00\x3c\x21\x00\x0a\x26\x00\x01k\x00\x01v", 15},
    .connected_ms = 1700000000001,
    .disconnected_ms = 1700000000002,
    .expiry_s = 60,
    .keepalive_s = 30,
    .receive_maximum = 10,
    .version = 5,
    .clean_start = true,
    .filter = {"$share/g/a/#", 12},
    .qos = 1,
};

static struct rules_event event_of(enum rules_event_kind kind, const struct rules_about *about) {
	struct rules_event ev = fixture_event("", "");
	ev.topic = event_kind_topic(kind);
	ev.payload = SL_SLICE_LIT("null");
	ev.kind = (uint8_t)kind;
	ev.about = about;
	return ev;
}

static void test_event__connected_has_its_columns(void **state) {
	(void)state;
	struct rules_event ev = event_of(EVENT_CLIENT_CONNECTED, &about_client);
	expect_row(
	    "SELECT * FROM \"$events/client/connected\"", &ev,
	    "{\"clientid\":\"c9\",\"username\":\"u9\",\"mountpoint\":null,\"peername\":\"10.0.0.9:4100\","
	    "\"sockname\":\"10.0.0.1:1883\",\"proto_name\":\"MQTT\",\"proto_ver\":5,\"keepalive\":30,"
	    "\"clean_start\":true,\"receive_maximum\":10,\"expiry_interval\":60,\"is_bridge\":false,"
	    "\"conn_props\":{\"Session-Expiry-Interval\":60,\"Receive-Maximum\":10,\"User-Property\":{\"k\":\"v\"},"
	    "\"User-Property-Pairs\":[{\"key\":\"k\",\"value\":\"v\"}]},\"connected_at\":1700000000001,"
	    "\"client_attrs\":{},\"timestamp\":1700000000000,\"node\":\"n1\",\"event\":\"client.connected\","
	    "\"metadata\":{\"rule_id\":\"r\",\"matched\":\"$events/client/connected\",\"trigger\":"
	    "\"client.connected\"}}\n");
}

static void test_event__old_names_and_wildcards_reach_it(void **state) {
	(void)state;
	struct rules_event ev = event_of(EVENT_CLIENT_DISCONNECTED, &about_client);
	const char *row = "{\"c\":\"c9\",\"r\":\"normal\"}\n";
	expect_row("SELECT clientid AS c, reason AS r FROM \"$events/client_disconnected\"", &ev, row);
	expect_row("SELECT clientid AS c, reason AS r FROM \"$events/client/+\"", &ev, row);
	expect_row("SELECT clientid AS c, reason AS r FROM \"$events/#\"", &ev, row);
	expect_row("SELECT clientid AS c, reason AS r FROM \"a/b\", \"$events/+/disconnected\"", &ev, row);
	expect_row("SELECT metadata.matched AS m FROM \"$events/client_disconnected\"", &ev,
		   "{\"m\":\"$events/client_disconnected\"}\n");
}

static void test_event__of_a_mix_what_it_lacks_is_null(void **state) {
	(void)state;
	struct rules_event ev = event_of(EVENT_SESSION_SUBSCRIBED, &about_client);
	const char *sql = "SELECT clientid AS c, topic AS t, qos AS q, payload AS p, payload.x AS x, reason AS r "
			  "FROM \"t/#\", \"$events/session/subscribed\", \"$events/client/disconnected\"";
	expect_row(sql, &ev, "{\"c\":\"c9\",\"t\":\"$share/g/a/#\",\"q\":1,\"p\":null,\"x\":null,\"r\":null}\n");
	struct rules_event m = fixture_event("t/1", "{\"x\":5}");
	expect_row(sql, &m, "{\"c\":\"c1\",\"t\":\"t/1\",\"q\":1,\"p\":\"{\\\"x\\\":5}\",\"x\":5,\"r\":null}\n");
}

static void test_event__a_message_has_one_id_in_all_its_events(void **state) {
	(void)state;
	struct rules_event m = fixture_event("t/1", "p");
	m.number = 77;
	struct rules_event ev = m;
	ev.kind = EVENT_MESSAGE_ACKED;
	ev.about = &about_client;
	ev.topic = event_kind_topic(EVENT_MESSAGE_ACKED);
	struct sl_buf rows[2] = {SL_BUF_INIT, SL_BUF_INIT};
	const struct rules_event *events[2] = {&m, &ev};
	for (int i = 0; i < 2; i++) {
		struct rule *r;
		assert_int_equal(rule_new(SL_SLICE_LIT("r"),
					  SL_SLICE_LIT("SELECT id FROM \"t/#\", \"$events/message/acked\""), NULL, &r,
					  NULL),
				 SL_OK);
		assert_int_equal(rule_try(r, events[i], "n1", &rows[i], NULL), RULE_TRY_ROWS);
	}
	assert_string_equal(sl_buf_cstr(&rows[0]), sl_buf_cstr(&rows[1]));
	for (int i = 0; i < 2; i++) sl_buf_fini(&rows[i]);
}

static void test_event__every_column_of_every_kind_can_be_read(void **state) {
	(void)state;
	for (int k = 1; k < EVENT_AWS_FIRST; k++) {
		if (k == EVENT_SOURCE_MESSAGE) continue; /* source_from_test.c */
		struct rules_event ev = event_of((enum rules_event_kind)k, &about_client);
		const struct sql_column *column;
		uint32_t kinds;
		for (size_t i = 0; event_column(i, &column, &kinds); i++) {
			struct sl_buf sql = SL_BUF_INIT;
			sl_buf_printf(&sql, "SELECT %s IS NULL OR true AS x FROM \"%.*s\"",
				      kinds >> k & 1 ? column->name : "timestamp", SL_SLICE_ARG(ev.topic));
			expect_row(sl_buf_cstr(&sql), &ev, "{\"x\":true}\n");
			sl_buf_fini(&sql);
		}
	}
}

/* ---- AWS's messages ---- */

static void expect_aws(enum rules_event_kind kind, const struct rules_about *about, const char *topic,
		       const char *payload) {
	struct rules_event ev = event_of(kind, about);
	struct sl_buf t = SL_BUF_INIT, p = SL_BUF_INIT;
	assert_int_equal(event_aws_message(&ev, &t, &p), topic != NULL);
	if (topic) {
		assert_string_equal(sl_buf_cstr(&t), topic);
		const char *id = strstr(sl_buf_cstr(&p), "\"sessionIdentifier\":\"");
		if (id) memset((char *)(uintptr_t)id + 21, 'x', 36);
		assert_string_equal(sl_buf_cstr(&p), payload);
	}
	sl_buf_fini(&t);
	sl_buf_fini(&p);
}

static void test_event_aws__messages_say_what_aws_says(void **state) {
	(void)state;
	struct rules_about about = about_client;
	struct sl_slice filters[] = {SL_SLICE_LIT("a/b"), SL_SLICE_LIT("c/#")};
	about.serial = 4;
	about.by_client = true;
	about.filters = filters;
	about.filter_count = 2;
	expect_aws(EVENT_AWS_CONNECTED, &about, "$aws/events/presence/connected/c9",
		   "{\"clientId\":\"c9\",\"timestamp\":1700000000000,\"eventType\":\"connected\",\"sessionIdentifier\":"
		   "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"principalIdentifier\":\"u9\",\"ipAddress\":\"10.0.0.9\","
		   "\"versionNumber\":4}");
	expect_aws(
	    EVENT_AWS_DISCONNECTED, &about, "$aws/events/presence/disconnected/c9",
	    "{\"clientId\":\"c9\",\"timestamp\":1700000000000,\"eventType\":\"disconnected\",\"sessionIdentifier\":"
	    "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"principalIdentifier\":\"u9\",\"ipAddress\":\"10.0.0.9\","
	    "\"versionNumber\":4,\"clientInitiatedDisconnect\":true,\"disconnectReason\":"
	    "\"CLIENT_INITIATED_DISCONNECT\"}");
	expect_aws(
	    EVENT_AWS_UNSUBSCRIBED, &about, "$aws/events/subscriptions/unsubscribed/c9",
	    "{\"clientId\":\"c9\",\"timestamp\":1700000000000,\"eventType\":\"unsubscribed\",\"sessionIdentifier\":"
	    "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",\"principalIdentifier\":\"u9\",\"ipAddress\":\"10.0.0.9\","
	    "\"topics\":[\"a/b\",\"c/#\"]}");
	about.clientid = SL_SLICE_LIT("a+b");
	expect_aws(EVENT_AWS_CONNECTED, &about, NULL, NULL);
}

static void test_event_aws_kinds__are_those_that_a_filter_covers(void **state) {
	(void)state;
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("$aws/events/presence/connected/c1")), EVENT(AWS_CONNECTED));
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("$aws/events/presence/+/c1")),
			 EVENT(AWS_CONNECTED) | EVENT(AWS_DISCONNECTED) | EVENT(AWS_CONNECT_FAILED));
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("$aws/#")), event_aws_kinds(SL_SLICE_LIT("$aws/events/#")));
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("$aws/events/presence/connected")), 0);
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("$aws/things/+/shadow/#")), 0);
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("#")), 0);
	assert_int_equal(event_aws_kinds(SL_SLICE_LIT("+/events/presence/connected/c1")), 0);
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
	    cmocka_unit_test(test_event_source_find__knows_topics_and_events),
	    cmocka_unit_test(test_event__connected_has_its_columns),
	    cmocka_unit_test(test_event__old_names_and_wildcards_reach_it),
	    cmocka_unit_test(test_event__of_a_mix_what_it_lacks_is_null),
	    cmocka_unit_test(test_event__a_message_has_one_id_in_all_its_events),
	    cmocka_unit_test(test_event__every_column_of_every_kind_can_be_read),
	    cmocka_unit_test(test_event_aws__messages_say_what_aws_says),
	    cmocka_unit_test(test_event_aws_kinds__are_those_that_a_filter_covers),
	    cmocka_unit_test(test_rules_describe__committed_reference_is_true),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
