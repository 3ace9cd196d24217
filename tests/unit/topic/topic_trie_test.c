/* topic_trie_test.c: the trie by hand, and against a list that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "topic.h"
#include "topic_trie.h"

struct seen {
	uint64_t values[4096];
	size_t count;
};

static void collect(void *arg, uint32_t handle, const uint64_t *values, size_t count) {
	struct seen *seen = arg;
	assert_int_not_equal(handle, TOPIC_TRIE_NONE);
	for (size_t i = 0; i < count && seen->count < SL_ARRAY_LEN(seen->values); i++)
		seen->values[seen->count++] = values[i];
}

static size_t match_count(const struct topic_trie *t, const char *topic) {
	struct seen seen = {.count = 0};
	topic_trie_match(t, slice_from_str(topic), collect, &seen);
	return seen.count;
}

static uint32_t insert(struct topic_trie *t, const char *filter, uint64_t value) {
	return topic_trie_insert(t, slice_from_str(filter), value);
}

static void test_topic_trie__an_empty_one_matches_nothing(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	assert_int_equal(match_count(t, "a/b"), 0);
	assert_int_equal(topic_trie_find(t, slice_from_str("a")), TOPIC_TRIE_NONE);
	assert_false(topic_trie_remove(t, slice_from_str("a"), 1));
	assert_int_equal(topic_trie_generation(t), 0);
	topic_trie_free(t);
}

static void test_topic_trie__literals_and_wildcards_meet(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	insert(t, "sensor/+/temp", 1);
	insert(t, "sensor/#", 2);
	insert(t, "sensor/1/temp", 3);
	insert(t, "#", 4);
	insert(t, "+/+/+", 5);
	insert(t, "sensor/1", 6);
	assert_int_equal(match_count(t, "sensor/1/temp"), 5);
	assert_int_equal(match_count(t, "sensor"), 2);
	assert_int_equal(match_count(t, "sensor/1"), 3);
	assert_int_equal(match_count(t, "other"), 1);
	topic_trie_free(t);
}

static void test_topic_trie__leading_wildcards_leave_dollar_topics_alone(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	insert(t, "#", 1);
	insert(t, "+/up", 2);
	insert(t, "$SYS/#", 3);
	assert_int_equal(match_count(t, "$SYS/up"), 1);
	assert_int_equal(match_count(t, "$other/up"), 0);
	topic_trie_free(t);
}

static void test_topic_trie__one_filter_holds_many_values(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	uint32_t handle = 0;
	for (uint64_t i = 1; i <= 100; i++) handle = insert(t, "a/+", i);
	size_t count;
	topic_trie_values(t, handle, &count);
	assert_int_equal(count, 100);
	assert_int_equal(topic_trie_filters(t), 1);
	assert_int_equal(topic_trie_values_total(t), 100);
	for (uint64_t i = 1; i <= 99; i++) assert_true(topic_trie_remove_at(t, handle, i));
	const uint64_t *left = topic_trie_values(t, handle, &count);
	assert_int_equal(count, 1);
	assert_int_equal(left[0], 100);
	assert_false(topic_trie_remove_at(t, handle, 5));
	topic_trie_free(t);
}

static void test_topic_trie__generation_grows_with_every_change_only(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	insert(t, "a", 1);
	assert_int_equal(topic_trie_generation(t), 1);
	match_count(t, "a");
	topic_trie_find(t, slice_from_str("a"));
	assert_false(topic_trie_remove(t, slice_from_str("a"), 2));
	assert_int_equal(topic_trie_generation(t), 1);
	assert_true(topic_trie_remove(t, slice_from_str("a"), 1));
	assert_int_equal(topic_trie_generation(t), 2);
	topic_trie_free(t);
}

static void test_topic_trie__text_comes_back_from_the_handle(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	static const char *const filters[] = {"a", "/", "/a/", "#", "+", "+/x/#", "a level much longer than twelve/b"};
	for (size_t i = 0; i < SL_ARRAY_LEN(filters); i++) {
		uint32_t handle = insert(t, filters[i], 1);
		struct sl_buf text = SL_BUF_INIT;
		topic_trie_text(t, handle, &text);
		assert_string_equal(sl_buf_cstr(&text), filters[i]);
		assert_int_equal(topic_trie_find(t, slice_from_str(filters[i])), handle);
		sl_buf_fini(&text);
	}
	topic_trie_free(t);
}

static void test_topic_trie__emptied_it_uses_its_room_again(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	size_t bytes[2];
	for (int round = 0; round < 2; round++) {
		char text[64];
		for (int i = 0; i < 1000; i++) {
			snprintf(text, sizeof text, "plant/line-%d-long-enough/+/%d", i, i);
			insert(t, text, (uint64_t)i);
		}
		bytes[round] = topic_trie_bytes(t);
		for (int i = 0; i < 1000; i++) {
			snprintf(text, sizeof text, "plant/line-%d-long-enough/+/%d", i, i);
			assert_true(topic_trie_remove(t, slice_from_str(text), (uint64_t)i));
		}
		assert_int_equal(topic_trie_filters(t), 0);
	}
	assert_int_equal(bytes[0], bytes[1]);
	topic_trie_free(t);
}

/* --- against a twin ------------------------------------------------------------------------------------------ */

static char *random_path(bool filter) {
	static const char *const words[] = {"a", "b", "", "cc", "$x", "a longer level text", "d"};
	struct sl_buf b = SL_BUF_INIT;
	size_t levels = 1 + sl_rng_below(5);
	for (size_t i = 0; i < levels; i++) {
		uint64_t dice = sl_rng_below(10);
		if (i) sl_buf_put(&b, '/');
		if (filter && dice < 3) {
			sl_buf_put(&b, '+');
		} else if (filter && dice == 3) {
			sl_buf_put(&b, '#');
			break;
		} else {
			sl_buf_append_str(&b, words[sl_rng_below(SL_ARRAY_LEN(words))]);
		}
	}
	if (b.n == 0) sl_buf_put(&b, 'e');
	return sl_buf_steal(&b);
}

struct twin {
	char *filters[512];
	size_t count;
	uint64_t next;
	uint64_t values[512];
};

static int compare_u64(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

static void check_match(const struct topic_trie *t, const struct twin *twin) {
	char *topic = random_path(false);
	struct seen seen = {.count = 0};
	topic_trie_match(t, slice_from_str(topic), collect, &seen);
	qsort(seen.values, seen.count, sizeof seen.values[0], compare_u64);
	uint64_t expected[512];
	size_t n = 0;
	for (size_t i = 0; i < twin->count; i++)
		if (topic_matches(slice_from_str(twin->filters[i]), slice_from_str(topic)))
			expected[n++] = twin->values[i];
	qsort(expected, n, sizeof expected[0], compare_u64);
	assert_int_equal(seen.count, n);
	assert_memory_equal(seen.values, expected, n * sizeof expected[0]);
	sl_free(topic);
}

static void twin_insert(struct topic_trie *t, struct twin *twin) {
	char *filter = random_path(true);
	assert_true(topic_filter_valid(slice_from_str(filter)));
	uint64_t value = ++twin->next;
	topic_trie_insert(t, slice_from_str(filter), value);
	twin->filters[twin->count] = filter;
	twin->values[twin->count++] = value;
}

static void twin_remove(struct topic_trie *t, struct twin *twin) {
	size_t i = sl_rng_below(twin->count);
	assert_true(topic_trie_remove(t, slice_from_str(twin->filters[i]), twin->values[i]));
	sl_free(twin->filters[i]);
	twin->count--;
	twin->filters[i] = twin->filters[twin->count];
	twin->values[i] = twin->values[twin->count];
}

static void test_topic_trie__random_changes_agree_with_a_linear_search(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	struct twin *twin = SL_NEW(struct twin);
	for (int step = 0; step < 20000; step++) {
		bool room = twin->count < SL_ARRAY_LEN(twin->filters);
		if (twin->count == 0 || (room && sl_rng_below(2) == 0)) {
			twin_insert(t, twin);
		} else {
			twin_remove(t, twin);
		}
		check_match(t, twin);
		assert_int_equal(topic_trie_values_total(t), twin->count);
	}
	while (twin->count) twin_remove(t, twin);
	assert_int_equal(topic_trie_filters(t), 0);
	sl_free(twin);
	topic_trie_free(t);
}

static void test_topic_trie__a_hundred_thousand_filters_stay_small(void **state) {
	(void)state;
	struct topic_trie *t = topic_trie_new();
	char text[64];
	for (int i = 0; i < 100000; i++) {
		snprintf(text, sizeof text, "site/%d/+/dev%d/#", i % 100, i);
		insert(t, text, (uint64_t)i);
	}
	assert_true(topic_trie_bytes(t) / 100000 < 160);
	topic_trie_free(t);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_topic_trie__an_empty_one_matches_nothing),
	    cmocka_unit_test(test_topic_trie__literals_and_wildcards_meet),
	    cmocka_unit_test(test_topic_trie__leading_wildcards_leave_dollar_topics_alone),
	    cmocka_unit_test(test_topic_trie__one_filter_holds_many_values),
	    cmocka_unit_test(test_topic_trie__generation_grows_with_every_change_only),
	    cmocka_unit_test(test_topic_trie__text_comes_back_from_the_handle),
	    cmocka_unit_test(test_topic_trie__emptied_it_uses_its_room_again),
	    cmocka_unit_test(test_topic_trie__random_changes_agree_with_a_linear_search),
	    cmocka_unit_test(test_topic_trie__a_hundred_thousand_filters_stay_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
