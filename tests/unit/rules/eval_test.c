/* eval_test.c: messages through rules: what is counted, what comes out, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "mem.h"
#include "topic.h"

static void expect_runs(struct fixture *f, const char *rule, int matched, int filtered, int produced, int failed) {
	assert_int_equal(fixture_count(f, rule, -1, "matched"), matched);
	assert_int_equal(fixture_count(f, rule, -1, "filtered"), filtered);
	assert_int_equal(fixture_count(f, rule, -1, "produced"), produced);
	assert_int_equal(fixture_count(f, rule, -1, "failed"), failed);
	assert_int_equal(matched, filtered + produced + failed);
}

static void test_rules_eval__without_rules_looks_at_nothing(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  {}\n");
	assert_false(rules_any(f.worker));
	fixture_publish(&f, "a/b", "not json");
	fixture_fini(&f);
}

static void test_rules_eval__counts_every_run_once(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  hot:\n    sql: SELECT payload.t AS t FROM \"room/+\" WHERE payload.t > 28\n");
	fixture_publish(&f, "room/1", "{\"t\":30}");
	fixture_publish(&f, "room/1", "{\"t\":20}");
	fixture_publish(&f, "room/2", "{\"t\":");
	fixture_publish(&f, "hall/1", "{\"t\":30}");
	expect_runs(&f, "hot", 3, 1, 1, 1);
	assert_int_equal(fixture_count(&f, "hot", -1, "rows"), 1);
	assert_non_null(strstr(fixture_failure(&f, "hot"), "line 1, column "));
	fixture_fini(&f);
}

static void test_rules_eval__a_rule_that_is_not_enabled_sees_nothing(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  off:\n    enabled: false\n    sql: SELECT * FROM \"#\"\n");
	assert_false(rules_any(f.worker));
	fixture_publish(&f, "a", "{}");
	expect_runs(&f, "off", 0, 0, 0, 0);
	fixture_fini(&f);
}

static void test_rules_any__rules_on_events_want_no_messages(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  e:\n    sql: SELECT * FROM \"$events/client/connected\"\n");
	assert_false(rules_any(f.worker));
	assert_null(rules_find(f.worker, SL_SLICE_LIT("a"), topic_hash(SL_SLICE_LIT("a"))));
	fixture_fini(&f);
	fixture_init(&f, "  both:\n    sql: SELECT * FROM \"$events/client/connected\", \"a\"\n");
	assert_true(rules_any(f.worker));
	fixture_fini(&f);
}

static void test_rules_find__topics_that_no_rule_reads(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  r:\n    sql: SELECT * FROM \"a/+\"\n");
	for (int i = 0; i < 2; i++) { /* asked for the first time, and known */
		assert_null(rules_find(f.worker, SL_SLICE_LIT("b/1"), topic_hash(SL_SLICE_LIT("b/1"))));
		assert_non_null(rules_find(f.worker, SL_SLICE_LIT("a/1"), topic_hash(SL_SLICE_LIT("a/1"))));
	}
	expect_runs(&f, "r", 0, 0, 0, 0);
	fixture_fini(&f);
}

static void test_rules_eval__one_broken_payload_fails_only_rules_that_read_it(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  reads:\n    sql: SELECT payload.x AS x FROM \"a\"\n"
			 "  counts:\n    sql: SELECT topic FROM \"a\"\n"
			 "  early:\n    sql: SELECT payload.a AS a FROM \"a\"\n");
	fixture_publish(&f, "a", "{\"a\":1, oops");
	expect_runs(&f, "reads", 1, 0, 0, 1);
	expect_runs(&f, "counts", 1, 0, 1, 0);
	/* Its value stands before the break; but what is not JSON has no values. */
	expect_runs(&f, "early", 1, 0, 0, 1);
	fixture_fini(&f);
}

static void test_rules_eval__many_rules_read_their_own_paths(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  one:\n    sql: SELECT payload.b AS b, payload.a AS a FROM \"t\"\n"
			 "    actions: [{republish: {topic: one, payload: \"${a}-${b}\"}}]\n"
			 "  two:\n    sql: SELECT payload.c AS c, payload.b AS b FROM \"t\"\n"
			 "    actions: [{republish: {topic: two, payload: \"${b}-${c}\"}}]\n");
	fixture_publish(&f, "t", "{\"a\":1,\"b\":2,\"c\":3}");
	assert_int_equal(f.published, 2);
	assert_string_equal(f.messages[0].payload, "1-2");
	assert_string_equal(f.messages[1].payload, "2-3");
	fixture_fini(&f);
}

static void test_rules_eval__a_run_that_fails_halfway_leaves_no_row(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  each:\n    sql: FOREACH payload.l AS e DO e + 0 - 1 AS v FROM \"t\"\n"
			 "    actions: [{republish: {topic: out, payload: \"${v}\"}}]\n");
	fixture_publish(&f, "t", "{\"l\":[1,2,\"x\"]}");
	assert_int_equal(f.published, 0);
	expect_runs(&f, "each", 1, 0, 0, 1);
	fixture_publish(&f, "t", "{\"l\":[1,2,3]}");
	assert_int_equal(f.published, 3);
	assert_string_equal(f.messages[2].payload, "2");
	assert_int_equal(fixture_count(&f, "each", -1, "rows"), 3);
	expect_runs(&f, "each", 2, 0, 1, 1);
	fixture_fini(&f);
}

static void test_rules_eval__an_action_that_cannot_take_a_row_stops_no_other(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  r:\n    sql: SELECT payload.d AS d FROM \"t\"\n"
			 "    actions:\n"
			 "      - {republish: {topic: \"out/${d}\"}}\n"
			 "      - {console: {}}\n");
	fixture_publish(&f, "t", "{\"d\":\"a/#\"}");
	fixture_publish(&f, "t", "{\"d\":null}");
	fixture_publish(&f, "t", "{\"d\":\"x\"}");
	assert_int_equal(f.published, 1);
	assert_string_equal(f.messages[0].topic, "out/x");
	assert_string_equal(f.messages[0].payload, "{\"d\":\"x\"}");
	expect_runs(&f, "r", 3, 0, 3, 0);
	assert_int_equal(fixture_count(&f, "r", 0, "taken"), 1);
	assert_int_equal(fixture_count(&f, "r", 0, "failed"), 2);
	assert_int_equal(fixture_count(&f, "r", 1, "taken"), 3);
	assert_non_null(strstr(fixture_failure(&f, "r"), "actions[0] (republish)"));
	fixture_fini(&f);
}

static void test_republish__takes_qos_retain_and_properties(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f,
		     "  r:\n    sql: SELECT qos, payload.keep AS keep FROM \"t\"\n"
		     "    actions:\n"
		     "      - {republish: {topic: a, payload: \"x\", qos: 2, retain: true}}\n"
		     "      - {republish: {topic: b, qos: \"${qos}\", retain: \"${keep}\", user_properties: {k: v}}}\n"
		     "      - {republish: {topic: c}}\n");
	fixture_publish(&f, "t", "{\"keep\":true}");
	assert_int_equal(f.published, 3);
	assert_int_equal(f.messages[0].qos, 2);
	assert_true(f.messages[0].retain);
	assert_int_equal(f.messages[1].qos, 1);
	assert_true(f.messages[1].retain);
	assert_int_equal(f.messages[1].properties, 7);
	assert_int_equal(f.messages[2].qos, 1);
	assert_false(f.messages[2].retain);
	assert_string_equal(f.messages[2].payload, "{\"qos\":1,\"keep\":true}");
	fixture_fini(&f);
}

static void test_republish__a_loop_of_two_rules_ends_at_the_limit(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  ping:\n    sql: SELECT 1 AS x FROM \"ping\"\n    actions: [{republish: {topic: pong}}]\n"
			 "  pong:\n    sql: SELECT 1 AS x FROM \"pong\"\n    actions: [{republish: {topic: ping}}]\n");
	fixture_publish(&f, "ping", "");
	assert_int_equal(f.published, RULES_HOPS_MAX);
	assert_int_equal(f.messages[RULES_HOPS_MAX - 1].hops, RULES_HOPS_MAX);
	assert_int_equal(fixture_count(&f, "ping", 0, "taken") + fixture_count(&f, "pong", 0, "taken"), RULES_HOPS_MAX);
	assert_int_equal(fixture_count(&f, "ping", 0, "looping"), 1);
	assert_int_equal(fixture_count(&f, "ping", 0, "failed"), 1);
	assert_non_null(strstr(fixture_failure(&f, "ping"), "loop"));
	expect_runs(&f, "ping", 5, 0, 5, 0);
	fixture_fini(&f);
}

static void test_republish__a_cascade_is_bounded(void **state) {
	(void)state;
	struct fixture f;
	struct sl_buf yaml = SL_BUF_INIT;
	/* Ten actions that feed their own rule: ten to the power of eight messages, were there no bound. */
	sl_buf_append_str(&yaml, "  r:\n    sql: SELECT 1 AS x FROM \"t\"\n    actions:\n");
	for (int i = 0; i < 10; i++) sl_buf_append_str(&yaml, "      - {republish: {topic: t, payload: \"\"}}\n");
	fixture_init(&f, sl_buf_cstr(&yaml));
	fixture_publish(&f, "t", "");
	assert_int_equal(f.published, 10000);
	int64_t runs = fixture_count(&f, "r", -1, "produced"), taken = 0, failed = 0;
	for (int i = 0; i < 10; i++) {
		taken += fixture_count(&f, "r", i, "taken");
		failed += fixture_count(&f, "r", i, "failed");
	}
	assert_int_equal(taken, 10000);
	assert_int_equal(taken + failed, runs * 10);
	sl_buf_fini(&yaml);
	fixture_fini(&f);
}

static void test_republish__what_the_broker_refuses_counts_as_failed(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  r:\n    sql: SELECT 1 AS x FROM \"t\"\n    actions: [{republish: {topic: out}}]\n");
	f.publish_status = SL_ELIMIT;
	fixture_publish(&f, "t", "");
	assert_int_equal(fixture_count(&f, "r", 0, "taken"), 0);
	assert_int_equal(fixture_count(&f, "r", 0, "failed"), 1);
	fixture_fini(&f);
}

static void test_rules_commit__counters_go_on_for_rules_that_stay(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  stays:\n    sql: SELECT 1 AS x FROM \"t\"\n    actions: [{console: {}}]\n"
			 "  goes:\n    sql: SELECT 1 AS x FROM \"t\"\n");
	fixture_publish(&f, "t", "");
	fixture_reload(&f, "  new:\n    sql: SELECT 1 AS x FROM \"u\"\n"
			   "  stays:\n    sql: SELECT 2 AS y FROM \"u\"\n    actions: [{console: {}}]\n");
	fixture_publish(&f, "t", "");
	fixture_publish(&f, "u", "");
	expect_runs(&f, "stays", 2, 0, 2, 0);
	expect_runs(&f, "new", 1, 0, 1, 0);
	assert_int_equal(fixture_count(&f, "stays", 0, "taken"), 2);
	fixture_fini(&f);
}

/* Two texts for two topics, and what stands between: each of a rule's actions counts what it alone has done. */
#define ACTIONS(list) "  r:\n    sql: SELECT payload.to AS target FROM \"t\"\n    actions:\n" list
#define REPUBLISH(topic, payload) "      - {republish: {topic: \"" topic "\", payload: " payload "}}\n"

static void test_rules_commit__counters_follow_an_action_to_its_new_place(void **state) {
	(void)state;
	struct fixture f;
	/* One of both takes the message: the target is no topic for the other. */
	fixture_init(&f, ACTIONS(REPUBLISH("a/${target}", "x") "      - {console: {}}\n" REPUBLISH("${target}", "y")));
	fixture_publish(&f, "t", "{\"to\":\"\"}");
	fixture_publish(&f, "t", "{\"to\":\"b\"}");
	fixture_reload(&f, ACTIONS(REPUBLISH("${target}", "y") REPUBLISH("new", "z")
				       REPUBLISH("a/${target}", "x") "      - {console: {}}\n"));
	assert_int_equal(fixture_count(&f, "r", 0, "taken"), 1);
	assert_int_equal(fixture_count(&f, "r", 0, "failed"), 1);
	assert_int_equal(fixture_count(&f, "r", 1, "taken"), 0);
	assert_int_equal(fixture_count(&f, "r", 2, "taken"), 2);
	assert_int_equal(fixture_count(&f, "r", 3, "taken"), 2);
	fixture_fini(&f);
}

static void test_rules_commit__an_action_that_changed_goes_on_counting(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, ACTIONS(REPUBLISH("a", "x") REPUBLISH("b", "y")));
	fixture_publish(&f, "t", "{}");
	fixture_publish(&f, "t", "{}");
	/* The second has another payload and another place; the third is nobody's. The first is gone. */
	fixture_reload(&f, ACTIONS(REPUBLISH("b", "other")));
	assert_int_equal(fixture_count(&f, "r", 0, "taken"), 2);
	fixture_publish(&f, "t", "{}");
	/* Nothing in common, at the same place: it is the one that was there. Another kind is another action. */
	fixture_reload(&f, ACTIONS(REPUBLISH("c", "z") "      - {console: {}}\n"));
	assert_int_equal(fixture_count(&f, "r", 0, "taken"), 3);
	fixture_reload(&f, ACTIONS("      - {console: {}}\n" REPUBLISH("c", "z")));
	assert_int_equal(fixture_count(&f, "r", 0, "taken"), 0);
	assert_int_equal(fixture_count(&f, "r", 1, "taken"), 3);
	fixture_fini(&f);
}

static void test_rules_commit__a_topic_known_before_is_looked_up_again(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  a:\n    sql: SELECT 1 AS x FROM \"a\"\n");
	fixture_publish(&f, "t", ""); /* remembered as "no rule" */
	fixture_reload(&f, "  a:\n    sql: SELECT 1 AS x FROM \"t\"\n");
	fixture_publish(&f, "t", "");
	expect_runs(&f, "a", 1, 0, 1, 0);
	fixture_fini(&f);
}

static void test_rules_prometheus__names_rules_and_actions(void **state) {
	(void)state;
	struct fixture f;
	struct sl_buf page = SL_BUF_INIT;
	fixture_init(&f, "  r:\n    sql: SELECT 1 AS x FROM \"t\"\n    actions: [{console: {}}]\n");
	fixture_publish(&f, "t", "");
	struct rules_snapshot *s = rules_snapshot_new(f.rules);
	assert_true(rules_snapshot_take(s));
	rules_prometheus(s, &page);
	rules_snapshot_free(s);
	const char *text = sl_buf_cstr(&page);
	assert_non_null(strstr(text, "sluice_rule_matched_total{rule=\"r\"} 1\n"));
	assert_non_null(strstr(text, "sluice_rule_action_taken_total{rule=\"r\",action=\"0\",name=\"console\"} 1\n"));
	sl_buf_fini(&page);
	fixture_fini(&f);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules_eval__without_rules_looks_at_nothing),
	    cmocka_unit_test(test_rules_eval__counts_every_run_once),
	    cmocka_unit_test(test_rules_eval__a_rule_that_is_not_enabled_sees_nothing),
	    cmocka_unit_test(test_rules_any__rules_on_events_want_no_messages),
	    cmocka_unit_test(test_rules_find__topics_that_no_rule_reads),
	    cmocka_unit_test(test_rules_eval__one_broken_payload_fails_only_rules_that_read_it),
	    cmocka_unit_test(test_rules_eval__many_rules_read_their_own_paths),
	    cmocka_unit_test(test_rules_eval__a_run_that_fails_halfway_leaves_no_row),
	    cmocka_unit_test(test_rules_eval__an_action_that_cannot_take_a_row_stops_no_other),
	    cmocka_unit_test(test_republish__takes_qos_retain_and_properties),
	    cmocka_unit_test(test_republish__a_loop_of_two_rules_ends_at_the_limit),
	    cmocka_unit_test(test_republish__a_cascade_is_bounded),
	    cmocka_unit_test(test_republish__what_the_broker_refuses_counts_as_failed),
	    cmocka_unit_test(test_rules_commit__counters_go_on_for_rules_that_stay),
	    cmocka_unit_test(test_rules_commit__counters_follow_an_action_to_its_new_place),
	    cmocka_unit_test(test_rules_commit__an_action_that_changed_goes_on_counting),
	    cmocka_unit_test(test_rules_commit__a_topic_known_before_is_looked_up_again),
	    cmocka_unit_test(test_rules_prometheus__names_rules_and_actions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
