/* index_test.c: the index of FROM filters, by hand and against matching every filter of every rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "rule_index.h"
#include "topic.h"

static struct rule_candidates match(const struct rule_index *index, const char *topic) {
	struct rule_candidates found = {.at = NULL};
	struct rule_filters filters = {.at = NULL};
	rule_index_match(index, slice_from_str(topic), &filters);
	rule_index_candidates(index, filters.at, filters.len, &found);
	sl_free(filters.at);
	return found;
}

static void expect_match(const struct rule_index *index, const char *topic, size_t count, const uint64_t *expected) {
	struct rule_candidates found = match(index, topic);
	assert_int_equal(found.len, count);
	for (size_t i = 0; i < count; i++) assert_int_equal(found.at[i], expected[i]);
	sl_free(found.at);
}

static void add(struct rule_index *index, uint32_t rule, const char *a, const char *b) {
	struct sl_slice filters[2] = {slice_from_str(a), slice_from_str(b)};
	rule_index_add(index, rule, filters, b ? 2 : 1);
}

static void test_rule_index__an_empty_one_matches_nothing(void **state) {
	(void)state;
	struct rule_index *index = rule_index_new();
	expect_match(index, "a/b", 0, NULL);
	rule_index_free(index);
}

static void test_rule_index__gives_rules_in_order_with_the_first_filter_that_matched(void **state) {
	(void)state;
	struct rule_index *index = rule_index_new();
	add(index, 2, "t/#", NULL);
	add(index, 0, "x", "t/+");
	add(index, 1, "t/+", "t/a");
	const uint64_t expected[] = {rule_candidate(0, 1), rule_candidate(1, 0), rule_candidate(2, 0)};
	expect_match(index, "t/a", 3, expected);
	rule_index_free(index);
}

static void test_rule_index__hash_matches_the_parent_level(void **state) {
	(void)state;
	struct rule_index *index = rule_index_new();
	add(index, 0, "t/#", NULL);
	const uint64_t expected[] = {rule_candidate(0, 0)};
	expect_match(index, "t", 1, expected);
	rule_index_free(index);
}

static void test_rule_index__a_leading_wildcard_skips_dollar_topics(void **state) {
	(void)state;
	struct rule_index *index = rule_index_new();
	add(index, 0, "#", "+/x");
	expect_match(index, "$app/x", 0, NULL);
	rule_index_free(index);
}

static void test_rule_index__the_empty_filter_matches_nothing(void **state) {
	(void)state;
	struct rule_index *index = rule_index_new();
	add(index, 0, "", NULL);
	expect_match(index, "t", 0, NULL);
	rule_index_free(index);
}

enum { RULES = 60, FILTERS = 3, ROUNDS = 3000 };

static void random_text(char *out, bool filter) {
	static const char *const levels[] = {"a", "b", "c", "$s", ""};
	size_t n = 1 + sl_rng_below(4);
	*out = '\0';
	for (size_t i = 0; i < n; i++) {
		const char *level = levels[sl_rng_below(SL_ARRAY_LEN(levels))];
		if (filter && sl_rng_below(3) == 0) level = i + 1 == n && sl_rng_below(2) ? "#" : "+";
		if (i) strncat(out, "/", 31);
		strncat(out, level, 31);
	}
	if (*out == '\0') strncat(out, "a", 31);
}

static void test_rule_index__agrees_with_matching_every_filter(void **state) {
	(void)state;
	static char filters[RULES][FILTERS][64];
	struct rule_index *index = rule_index_new();
	for (uint32_t r = 0; r < RULES; r++) {
		struct sl_slice list[FILTERS];
		for (int f = 0; f < FILTERS; f++) {
			random_text(filters[r][f], true);
			list[f] = slice_from_str(filters[r][f]);
		}
		rule_index_add(index, r, list, FILTERS);
	}
	for (int round = 0; round < ROUNDS; round++) {
		char topic[64];
		uint64_t expected[RULES];
		size_t n = 0;
		random_text(topic, false);
		for (uint32_t r = 0; r < RULES; r++) {
			for (uint32_t f = 0; f < FILTERS; f++) {
				if (!topic_matches(slice_from_str(filters[r][f]), slice_from_str(topic))) continue;
				expected[n++] = rule_candidate(r, f);
				break;
			}
		}
		expect_match(index, topic, n, expected);
	}
	rule_index_free(index);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rule_index__an_empty_one_matches_nothing),
	    cmocka_unit_test(test_rule_index__gives_rules_in_order_with_the_first_filter_that_matched),
	    cmocka_unit_test(test_rule_index__hash_matches_the_parent_level),
	    cmocka_unit_test(test_rule_index__a_leading_wildcard_skips_dollar_topics),
	    cmocka_unit_test(test_rule_index__the_empty_filter_matches_nothing),
	    cmocka_unit_test(test_rule_index__agrees_with_matching_every_filter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
