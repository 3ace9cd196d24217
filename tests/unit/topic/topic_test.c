/* topic_test.c: names, filters, match and $share, by the examples of MQTT 4.7 and 4.8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "topic.h"

static struct sl_slice s(const char *text) { return slice_from_str(text); }
static bool name_ok(const char *text) { return topic_name_valid(s(text)); }
static bool filter_ok(const char *text) { return topic_filter_valid(s(text)); }
static bool matches(const char *filter, const char *topic) { return topic_matches(s(filter), s(topic)); }

static void test_topic_name__plain_ones_are_valid(void **state) {
	(void)state;
	assert_true(name_ok("a"));
	assert_true(name_ok("/"));
	assert_true(name_ok("/finance"));
	assert_true(name_ok("sport/tennis//player1/"));
	assert_true(name_ok("$SYS/broker/uptime"));
}

static void test_topic_name__wildcards_nul_and_emptiness_are_not(void **state) {
	(void)state;
	assert_false(name_ok(""));
	assert_false(name_ok("a/+"));
	assert_false(name_ok("a#"));
	assert_false(topic_name_valid(slice_make("a\0b", 3)));
}

static void test_topic_name__length_and_levels_are_bounded(void **state) {
	(void)state;
	char *text = sl_alloc(TOPIC_BYTES_MAX + 1);
	memset(text, 'a', TOPIC_BYTES_MAX + 1);
	assert_true(topic_name_valid(slice_make(text, TOPIC_BYTES_MAX)));
	assert_false(topic_name_valid(slice_make(text, TOPIC_BYTES_MAX + 1)));
	memset(text, '/', TOPIC_LEVELS_MAX);
	assert_true(topic_name_valid(slice_make(text, TOPIC_LEVELS_MAX - 1)));
	assert_false(topic_name_valid(slice_make(text, TOPIC_LEVELS_MAX)));
	assert_false(topic_filter_valid(slice_make(text, TOPIC_LEVELS_MAX)));
	sl_free(text);
}

/* Each forbidden byte at each place of names of each length: the scan by eight bytes must see them all. */
static void test_topic_name__forbidden_bytes_are_seen_everywhere(void **state) {
	(void)state;
	static const char forbidden[] = {'+', '#', '\0'};
	char text[40];
	for (size_t n = 1; n <= sizeof text; n++)
		for (size_t at = 0; at < n; at++)
			for (size_t i = 0; i < sizeof forbidden; i++) {
				memset(text, 'a', n);
				assert_true(topic_name_valid(slice_make(text, n)));
				assert_true(topic_name_plain(slice_make(text, n)));
				text[at] = forbidden[i];
				assert_false(topic_name_valid(slice_make(text, n)));
				assert_false(topic_name_plain(slice_make(text, n)));
				text[at] = (char)0xc3;
				assert_true(topic_name_valid(slice_make(text, n)));
				assert_false(topic_name_plain(slice_make(text, n)));
			}
}

static void test_topic_filter__wildcards_fill_their_level(void **state) {
	(void)state;
	assert_true(filter_ok("#"));
	assert_true(filter_ok("+"));
	assert_true(filter_ok("/+/"));
	assert_true(filter_ok("sport/tennis/#"));
	assert_true(filter_ok("+/tennis/#"));
	assert_false(filter_ok(""));
	assert_false(filter_ok("sport/tennis#"));
	assert_false(filter_ok("sport/tennis/#/ranking"));
	assert_false(filter_ok("sport+"));
	assert_false(filter_ok("+sport"));
	assert_false(filter_ok("a/##"));
}

static void test_topic_filter__shared_ones_need_a_group_and_a_filter(void **state) {
	(void)state;
	assert_true(filter_ok("$share/g/a/+"));
	assert_true(filter_ok("$share/g//"));
	assert_true(filter_ok("$shared/x"));
	assert_false(filter_ok("$share/"));
	assert_false(filter_ok("$share/g"));
	assert_false(filter_ok("$share/g/"));
	assert_false(filter_ok("$share//a"));
	assert_false(filter_ok("$share/g+/a"));
	assert_false(filter_ok("$share/g/a/#/b"));
}

static void test_topic_share_split__tells_group_and_filter(void **state) {
	(void)state;
	struct sl_slice group, filter;
	assert_true(topic_share_split(s("$share/g1/a/b"), &group, &filter));
	assert_true(slice_equal_str(group, "g1"));
	assert_true(slice_equal_str(filter, "a/b"));
	assert_false(topic_share_split(s("a/b"), &group, &filter));
	assert_int_equal(group.n, 0);
	assert_true(slice_equal_str(filter, "a/b"));
}

static void test_topic_matches__examples_of_the_standard(void **state) {
	(void)state;
	assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1"));
	assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
	assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
	assert_true(matches("sport/#", "sport"));
	assert_true(matches("#", "a/b/c"));
	assert_true(matches("sport/tennis/+", "sport/tennis/player1"));
	assert_false(matches("sport/tennis/+", "sport/tennis/player1/ranking"));
	assert_false(matches("sport/+", "sport"));
	assert_true(matches("sport/+", "sport/"));
	assert_true(matches("+/+", "/finance"));
	assert_true(matches("/+", "/finance"));
	assert_false(matches("+", "/finance"));
	assert_false(matches("sport", "sport/tennis"));
	assert_false(matches("sport/tennis", "sport"));
}

static void test_topic_matches__leading_wildcards_leave_dollar_topics_alone(void **state) {
	(void)state;
	assert_false(matches("#", "$SYS/uptime"));
	assert_false(matches("+/uptime", "$SYS/uptime"));
	assert_true(matches("$SYS/#", "$SYS/uptime"));
	assert_true(matches("$SYS/+", "$SYS/uptime"));
	assert_true(matches("a/+", "a/$b"));
}

static void test_topic_levels__counts_empty_ones(void **state) {
	(void)state;
	assert_int_equal(topic_levels(s("a")), 1);
	assert_int_equal(topic_levels(s("/")), 2);
	assert_int_equal(topic_levels(s("a/b//")), 4);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_topic_name__plain_ones_are_valid),
	    cmocka_unit_test(test_topic_name__wildcards_nul_and_emptiness_are_not),
	    cmocka_unit_test(test_topic_name__length_and_levels_are_bounded),
	    cmocka_unit_test(test_topic_name__forbidden_bytes_are_seen_everywhere),
	    cmocka_unit_test(test_topic_filter__wildcards_fill_their_level),
	    cmocka_unit_test(test_topic_filter__shared_ones_need_a_group_and_a_filter),
	    cmocka_unit_test(test_topic_share_split__tells_group_and_filter),
	    cmocka_unit_test(test_topic_matches__examples_of_the_standard),
	    cmocka_unit_test(test_topic_matches__leading_wildcards_leave_dollar_topics_alone),
	    cmocka_unit_test(test_topic_levels__counts_empty_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
