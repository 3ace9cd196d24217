/* Ban list, flapping, connect rate, wrong logins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ban.h"
#include "guard.h"
#include "mem.h"

static struct acl_subject who(const char *clientid, const char *username, const char *ip) {
	struct acl_subject s = {.clientid = slice_from_str(clientid), .username = slice_from_str(username)};
	if (ip) acl_subject_ip_text(&s, slice_from_str(ip));
	return s;
}

static struct guard_options off(void) {
	struct guard_count none = {CONF_UNLIMITED, 1000, 1000};
	return (struct guard_options){
	    .flapping = none, .failures_address = none, .failures_user = none, .connects_per_s = CONF_UNLIMITED};
}

static struct guard *guard_of(const struct guard_options *options) {
	struct conf_report report = CONF_REPORT_INIT;
	struct guard_rules *rules = NULL;
	if (guard_rules_new(options, &rules, &report) != SL_OK) fail_msg("%s", sl_err_text(&report.errs[0]));
	struct guard *g = guard_new();
	guard_set(g, rules);
	guard_rules_unref(rules);
	return g;
}

static enum guard_verdict ask(struct guard *g, struct acl_subject s, uint64_t now_ms) {
	char *reason;
	enum guard_verdict v = guard_connect(g, &s, now_ms, 1000000, &reason);
	sl_free(reason);
	return v;
}

static void test_bans__by_everything_with_an_end(void **state) {
	(void)state;
	json_error_t error;
	json_t *list = json_loads("[{\"clientid\": \"test-*\", \"reason\": \"no tests\"}, {\"user\": \"mallory\"},"
				  " {\"ip\": [\"192.0.2.0/24\", \"2001:db8::/32\"]}, {\"clientid\": \"re:x[0-9]+\"},"
				  " {\"clientid\": \"old\", \"until\": \"1970-01-01T00:16:40Z\"},"
				  " {\"clientid\": \"yet\", \"until\": \"1970-01-02\"}]",
				  0, &error);
	struct guard_options options = off();
	options.ban = list;
	struct guard *g = guard_of(&options);
	assert_int_equal(ask(g, who("test-1", "", "10.0.0.1"), 1), GUARD_BANNED);
	assert_int_equal(ask(g, who("a", "mallory", NULL), 1), GUARD_BANNED);
	assert_int_equal(ask(g, who("a", "", "192.0.2.7:1"), 1), GUARD_BANNED);
	assert_int_equal(ask(g, who("a", "", "[2001:db8:1::1]:1"), 1), GUARD_BANNED);
	assert_int_equal(ask(g, who("x12", "", NULL), 1), GUARD_BANNED);
	assert_int_equal(ask(g, who("old", "", NULL), 1), GUARD_FINE);
	assert_int_equal(ask(g, who("yet", "", NULL), 1), GUARD_BANNED);
	assert_int_equal(ask(g, who("a", "alice", "10.0.0.1"), 1), GUARD_FINE);
	char *reason;
	struct acl_subject test = who("test-1", "", NULL);
	guard_connect(g, &test, 1, 1000000, &reason);
	assert_string_equal(reason, "no tests");
	sl_free(reason);
	assert_true(guard_holds(g, &test, 1000000));
	guard_set(g, NULL);
	assert_int_equal(ask(g, test, 1), GUARD_FINE);
	guard_free(g);
	json_decref(list);
}

static void test_until__dates(void **state) {
	(void)state;
	int64_t ms;
	assert_int_equal(ban_until_parse("2026-12-01", &ms), SL_OK);
	assert_int_equal(ms, 1796083200000);
	assert_int_equal(ban_until_parse("2026-12-01T08:00:01Z", &ms), SL_OK);
	assert_int_equal(ms, 1796083200000 + 8 * 3600000 + 1000);
	static const char *const bad[] = {"",
					  "2026",
					  "2026-13-01",
					  "2026-02-30",
					  "2026-12-01T08:00",
					  "tomorrow",
					  "2026-12-01x",
					  "2026-12-01T08:00:00+01:00",
					  "2026-12-01T25:00:00Z"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) assert_int_equal(ban_until_parse(bad[i], &ms), SL_EINVAL);
}

static void test_bans__mistakes_have_places(void **state) {
	(void)state;
	static const char *const bad[] = {"{\"x\": 1}",
					  "[{}]",
					  "[{\"user\": 7}]",
					  "[{\"user\": \"a\", \"until\": \"x\"}]",
					  "[{\"user\": \"a\", \"why\": \"x\"}]",
					  "7",
					  "[7]"};
	for (size_t i = 0; i < SL_ARRAY_LEN(bad); i++) {
		struct conf_report report = CONF_REPORT_INIT;
		struct guard_rules *rules = NULL;
		struct guard_options options = off();
		json_t *tree = json_loads(bad[i], JSON_DECODE_ANY, NULL);
		options.ban = tree;
		assert_int_not_equal(guard_rules_new(&options, &rules, &report), SL_OK);
		assert_non_null(strstr(sl_err_text(&report.errs[0]), "auth.ban"));
		assert_null(rules);
		conf_report_fini(&report);
		json_decref(tree);
	}
}

static void test_flapping__is_counted_in_a_window(void **state) {
	(void)state;
	struct guard_options options = off();
	options.flapping = (struct guard_count){3, 1000, 5000};
	struct guard *g = guard_of(&options);
	struct acl_subject a = who("a", "", NULL), b = who("b", "", NULL);
	int64_t ban_ms;
	assert_false(guard_flapped(g, &a, 0, &ban_ms));
	assert_false(guard_flapped(g, &a, 100, &ban_ms));
	assert_false(guard_flapped(g, &a, 1200, &ban_ms)); /* another window */
	assert_false(guard_flapped(g, &a, 1300, &ban_ms));
	assert_int_equal(ask(g, a, 1300), GUARD_FINE);
	assert_true(guard_flapped(g, &a, 1400, &ban_ms));
	assert_int_equal(ban_ms, 5000);
	assert_int_equal(ask(g, a, 1401), GUARD_FLAPS);
	assert_int_equal(ask(g, a, 6399), GUARD_FLAPS);
	assert_int_equal(ask(g, b, 1401), GUARD_FINE);
	assert_int_equal(ask(g, a, 6400), GUARD_FINE);
	guard_free(g);
}

static void test_rate__of_an_address(void **state) {
	(void)state;
	struct guard_options options = off();
	char *nets[] = {sl_strdup("127.0.0.0/8")};
	struct conf_list exempt = {nets, 1};
	options.connects_per_s = 1;
	options.connects_burst = 3;
	options.exempt = &exempt;
	struct guard *g = guard_of(&options);
	for (int i = 0; i < 3; i++) assert_int_equal(ask(g, who("a", "", "[2001:db8::1]:9"), 0), GUARD_FINE);
	assert_int_equal(ask(g, who("b", "", "[2001:db8::ffff]:9"), 0), GUARD_TOO_FAST); /* the same /64 */
	assert_int_equal(ask(g, who("b", "", "[2001:db8:0:1::1]:9"), 0), GUARD_FINE);
	assert_int_equal(ask(g, who("b", "", "[2001:db8::1]:9"), 1000), GUARD_FINE);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ask(g, who("a", "", "127.0.0.1"), 0), GUARD_FINE);
		assert_int_equal(ask(g, who("a", "", NULL), 0), GUARD_FINE); /* a unix socket */
	}
	guard_free(g);
	sl_free(nets[0]);
}

static void test_failures__of_an_address_and_of_a_user(void **state) {
	(void)state;
	struct guard_options options = off();
	options.failures_address = (struct guard_count){3, 1000, 5000};
	options.failures_user = (struct guard_count){5, 1000, 5000};
	struct guard *g = guard_of(&options);
	struct acl_subject s = who("a", "alice", "10.0.0.1");
	for (int i = 0; i < 3; i++) guard_failed(g, &s, 0);
	assert_int_equal(ask(g, who("x", "bob", "10.0.0.1"), 1), GUARD_GUESSES);
	assert_int_equal(ask(g, who("x", "alice", "10.0.0.2"), 1), GUARD_FINE);
	s = who("a", "alice", "10.0.0.3");
	for (int i = 0; i < 2; i++) guard_failed(g, &s, 1);
	assert_int_equal(ask(g, who("x", "alice", "10.0.0.2"), 1), GUARD_GUESSES);
	assert_int_equal(ask(g, who("x", "bob", "10.0.0.2"), 1), GUARD_FINE);
	assert_int_equal(ask(g, who("x", "alice", "10.0.0.1"), 5002), GUARD_FINE);
	guard_free(g);
}

/* A flood of names neither grows the table nor lets go of a ban that has just begun, unless three newer ones stand in its place. */
static void test_flood__of_names_is_bounded(void **state) {
	(void)state;
	struct guard_options options = off();
	options.flapping = (struct guard_count){2, 1000, 100000};
	struct guard *g = guard_of(&options);
	struct acl_subject a = who("victim", "", NULL);
	int64_t ban_ms;
	guard_flapped(g, &a, 10, &ban_ms);
	assert_true(guard_flapped(g, &a, 10, &ban_ms));
	for (int i = 0; i < 200000; i++) {
		char *name = sl_asprintf("n%d", i);
		struct acl_subject n = who(name, "", NULL);
		guard_flapped(g, &n, 11, &ban_ms);
		sl_free(name);
	}
	assert_int_equal(ask(g, a, 12), GUARD_FLAPS);
	guard_free(g);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bans__by_everything_with_an_end),
	    cmocka_unit_test(test_until__dates),
	    cmocka_unit_test(test_bans__mistakes_have_places),
	    cmocka_unit_test(test_flapping__is_counted_in_a_window),
	    cmocka_unit_test(test_rate__of_an_address),
	    cmocka_unit_test(test_failures__of_an_address_and_of_a_user),
	    cmocka_unit_test(test_flood__of_names_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
