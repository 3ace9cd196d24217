/* windows_test.c: rules that remember, on a worker: counters, rows of windows, reloads, a client that goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "hash.h"
#include "mem.h"
#include "rules_windows.h"

static const int64_t begin = 1700000000000;

static void publish_at(struct fixture *f, const char *topic, const char *payload, int64_t at_ms) {
	struct rules_event ev = fixture_event(topic, payload);
	ev.at_ms = at_ms;
	ev.qos = 0;
	rules_eval(f->worker, &ev, NULL);
}

#define COUNTING                                                                                                       \
	"  sums:\n"                                                                                                    \
	"    sql: SELECT payload.k AS k, count(*) AS n, sum(payload.v) AS s FROM \"in/#\" GROUP BY k, "                \
	"tumbling('10s')\n"                                                                                            \
	"    actions: [{republish: {topic: \"out/${k}\"}}]\n"

static void expect_message(const struct fixture *f, size_t i, const char *topic, const char *payload) {
	assert_true(i < f->published);
	assert_string_equal(f->messages[i].topic, topic);
	assert_string_equal(f->messages[i].payload, payload);
}

static void test_windows__rows_come_when_they_end(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, COUNTING);
	publish_at(&f, "in/1", "{\"k\":\"a\",\"v\":1}", begin);
	publish_at(&f, "in/2", "{\"k\":\"a\",\"v\":2}", begin + 9999);
	publish_at(&f, "in/2", "{\"k\":\"a\",\"v\":\"x\"}", begin + 9999);
	assert_false(rules_windows_close(f.worker, begin + 9999, SIZE_MAX));
	assert_int_equal(f.published, 0);
	assert_false(rules_windows_close(f.worker, begin + 10000, SIZE_MAX));
	assert_int_equal(f.published, 1);
	expect_message(&f, 0, "out/a", "{\"k\":\"a\",\"n\":2,\"s\":3}");
	assert_int_equal(f.messages[0].qos, 1); /* whatever the messages had */
	assert_int_equal(fixture_count(&f, "sums", -1, "matched"), 3);
	assert_int_equal(fixture_count(&f, "sums", -1, "filtered"), 0);
	assert_int_equal(fixture_count(&f, "sums", -1, "produced"), 2);
	assert_int_equal(fixture_count(&f, "sums", -1, "failed"), 1);
	assert_int_equal(fixture_count(&f, "sums", -1, "rows"), 1);
	assert_int_equal(fixture_count(&f, "sums", 0, "taken"), 1);
	fixture_fini(&f);
}

static void test_windows__a_large_one_comes_out_in_helpings(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, COUNTING);
	for (int i = 0; i < 50; i++) {
		char *payload = sl_asprintf("{\"k\":%d,\"v\":1}", i);
		publish_at(&f, "in/1", payload, begin);
		sl_free(payload);
	}
	assert_true(rules_windows_close(f.worker, begin + 10000, 20));
	assert_int_equal(f.published, 20);
	assert_true(rules_windows_close(f.worker, begin + 10001, 20));
	assert_false(rules_windows_close(f.worker, begin + 10002, 20));
	assert_int_equal(f.published, 50);
	fixture_fini(&f);
}

static void test_windows__stay_over_a_reload_of_the_same_text(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, COUNTING);
	publish_at(&f, "in/1", "{\"k\":\"a\",\"v\":1}", begin);
	fixture_reload(&f, "  first:\n    sql: SELECT * FROM \"x\"\n" COUNTING);
	publish_at(&f, "in/1", "{\"k\":\"a\",\"v\":2}", begin + 1);
	rules_windows_close(f.worker, begin + 10000, SIZE_MAX);
	expect_message(&f, 0, "out/a", "{\"k\":\"a\",\"n\":2,\"s\":3}");
	publish_at(&f, "in/1", "{\"k\":\"a\",\"v\":4}", begin + 10000);
	fixture_reload(&f, "  sums:\n    sql: SELECT count(*) AS n FROM \"in/#\" GROUP BY tumbling('10s')\n"
			   "    actions: [{republish: {topic: out/n}}]\n");
	rules_windows_close(f.worker, INT64_MAX, SIZE_MAX);
	assert_int_equal(f.published, 1); /* the open one went with the old rule */
	fixture_fini(&f);
}

static void test_windows__rules_that_feed_each_other_end_at_the_hops(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  loop:\n    sql: SELECT count(*) AS n FROM \"in/#\" GROUP BY tumbling('1s')\n"
			 "    actions: [{republish: {topic: in/again}}]\n");
	publish_at(&f, "in/1", "{}", begin);
	/* What is republished arrives at the fixture's time, that is, late: in the window that follows. */
	for (int i = 1; i < 40; i++) rules_windows_close(f.worker, begin + i * 1000, SIZE_MAX);
	assert_int_equal(f.published, RULES_HOPS_MAX);
	assert_int_equal(fixture_count(&f, "loop", 0, "looping"), 1);
	fixture_fini(&f);
}

static void test_windows__a_row_that_fails_is_remembered(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  sums:\n    sql: SELECT 1 div sum(payload.v) AS x FROM \"in\" GROUP BY tumbling('1s')\n");
	publish_at(&f, "in", "{\"v\":0}", begin);
	rules_windows_close(f.worker, INT64_MAX, SIZE_MAX);
	assert_non_null(strstr(fixture_failure(&f, "sums"), "a window's row"));
	assert_int_equal(fixture_count(&f, "sums", -1, "rows"), 0);
	fixture_fini(&f);
}

static void test_memory__of_a_rule_stays_over_a_reload_of_the_same_text(void **state) {
	(void)state;
	static const char rule[] = "  lags:\n    sql: SELECT lag(payload.v) AS x FROM \"in\"\n"
				   "    actions: [{republish: {topic: out}}]\n";
	struct fixture f;
	fixture_init(&f, rule);
	fixture_publish(&f, "in", "{\"v\":1}");
	fixture_reload(&f, rule);
	fixture_publish(&f, "in", "{\"v\":2}");
	fixture_reload(&f, "  lags:\n    sql: SELECT lag(payload.v) AS y FROM \"in\"\n"
			   "    actions: [{republish: {topic: out}}]\n");
	fixture_publish(&f, "in", "{\"v\":3}");
	expect_message(&f, 0, "out", "{\"x\":null}");
	expect_message(&f, 1, "out", "{\"x\":1}");
	expect_message(&f, 2, "out", "{\"y\":null}");
	fixture_fini(&f);
}

static void test_memory__of_a_connection_goes_with_it(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  dict:\n    sql: SELECT proc_dict_put('k', payload.v) AS x FROM \"in\"\n"
			 "    actions: [{republish: {topic: out}}]\n");
	fixture_publish(&f, "in", "{\"v\":1}");
	fixture_publish(&f, "in", "{\"v\":2}");
	rules_connection_closed(f.worker, SL_SLICE_LIT("other"));
	fixture_publish(&f, "in", "{\"v\":3}");
	rules_connection_closed(f.worker, SL_SLICE_LIT("c1"));
	fixture_publish(&f, "in", "{\"v\":4}");
	expect_message(&f, 0, "out", "{\"x\":null}");
	expect_message(&f, 1, "out", "{\"x\":1}");
	expect_message(&f, 2, "out", "{\"x\":2}");
	expect_message(&f, 3, "out", "{\"x\":null}");
	fixture_fini(&f);
}

static void test_memory__the_key_value_store_is_of_all_rules(void **state) {
	(void)state;
	struct fixture f;
	fixture_init(&f, "  puts:\n    sql: SELECT kv_store_put('k', payload.v) AS x FROM \"put\"\n"
			 "  gets:\n    sql: SELECT kv_store_get('k') AS x FROM \"get\"\n"
			 "    actions: [{republish: {topic: out, payload: \"${x} ${kv_store_get('k')}\"}}]\n");
	fixture_publish(&f, "put", "{\"v\":\"one\"}");
	fixture_publish(&f, "get", "{}");
	expect_message(&f, 0, "out", "one one");
	fixture_fini(&f);
}

static void test_memory__templates_cannot_remember(void **state) {
	(void)state;
	char *text = fixture_errors("  r:\n    sql: SELECT payload.v AS v FROM \"in\"\n"
				    "    actions: [{republish: {topic: out, payload: \"${lag(v)}\"}}]\n");
	assert_non_null(text);
	assert_non_null(strstr(text, "lag() remembers from message to message"));
	sl_free(text);
	text = fixture_errors(COUNTING "  r:\n    sql: SELECT count(*) AS n FROM \"in\" GROUP BY tumbling('1s')\n"
				       "    actions: [{republish: {topic: \"out/${clientid}\"}}]\n");
	assert_non_null(text);
	assert_non_null(strstr(text, "unknown column 'clientid'"));
	sl_free(text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_windows__rows_come_when_they_end),
	    cmocka_unit_test(test_windows__a_large_one_comes_out_in_helpings),
	    cmocka_unit_test(test_windows__stay_over_a_reload_of_the_same_text),
	    cmocka_unit_test(test_windows__rules_that_feed_each_other_end_at_the_hops),
	    cmocka_unit_test(test_windows__a_row_that_fails_is_remembered),
	    cmocka_unit_test(test_memory__of_a_rule_stays_over_a_reload_of_the_same_text),
	    cmocka_unit_test(test_memory__of_a_connection_goes_with_it),
	    cmocka_unit_test(test_memory__the_key_value_store_is_of_all_rules),
	    cmocka_unit_test(test_memory__templates_cannot_remember),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
