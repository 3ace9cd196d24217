/* topic_cache_test.c: generations, bounds and ownership of the topic cache; and random use against a twin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "topic.h"
#include "topic_cache.h"

static int live; /* values handed out and not freed */

static void free_value(void *arg, void *value) {
	(void)arg;
	live--;
	sl_free(value);
}

static void *value_new(int number) {
	int *v = sl_alloc(sizeof *v);
	*v = number;
	live++;
	return v;
}

static void put(struct topic_cache *c, const char *topic, uint64_t generation, void *value) {
	struct sl_slice t = slice_from_str(topic);
	topic_cache_put(c, topic_hash(t), t, generation, value);
}

static bool get(struct topic_cache *c, const char *topic, uint64_t generation, void **value) {
	struct sl_slice t = slice_from_str(topic);
	return topic_cache_get(c, topic_hash(t), t, generation, value);
}

static void test_topic_cache__a_stored_value_is_found(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(10, free_value, NULL);
	void *v = NULL;
	assert_false(get(c, "a", 1, &v));
	put(c, "a", 1, value_new(7));
	assert_true(get(c, "a", 1, &v));
	assert_int_equal(*(int *)v, 7);
	topic_cache_free(c);
	assert_int_equal(live, 0);
}

static void test_topic_cache__empties_are_cached_and_age_like_hits(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(10, free_value, NULL);
	void *v = &live;
	put(c, "a", 1, NULL);
	assert_true(get(c, "a", 1, &v));
	assert_null(v);
	assert_false(get(c, "a", 2, &v));
	put(c, "a", 2, value_new(1));
	assert_true(get(c, "a", 2, &v));
	assert_non_null(v);
	topic_cache_free(c);
	assert_int_equal(live, 0);
}

static void test_topic_cache__a_replaced_value_is_freed(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(10, free_value, NULL);
	put(c, "a", 1, value_new(1));
	put(c, "a", 2, value_new(2));
	assert_int_equal(live, 1);
	topic_cache_clear(c);
	assert_int_equal(live, 0);
	put(c, "a", 3, value_new(3));
	topic_cache_free(c);
	assert_int_equal(live, 0);
}

static void test_topic_cache__a_flood_of_topics_keeps_the_steady_ones(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(100, free_value, NULL);
	void *v;
	put(c, "steady", 1, value_new(1));
	for (int i = 0; i < 10000; i++) {
		char topic[32];
		snprintf(topic, sizeof topic, "flood/%d", i);
		put(c, topic, 1, NULL);
		assert_true(get(c, "steady", 1, &v));
	}
	struct topic_cache_stats stats;
	topic_cache_stats(c, &stats);
	assert_int_equal(stats.entries, 100);
	assert_true(stats.bytes < 20000);
	topic_cache_free(c);
	assert_int_equal(live, 0);
}

static void test_topic_cache__sweeps_drop_what_is_stale_or_unused(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(100, free_value, NULL);
	void *v;
	put(c, "old", 1, value_new(1));
	put(c, "used", 2, value_new(2));
	put(c, "unused", 2, value_new(3));
	assert_true(get(c, "used", 2, &v));
	assert_int_equal(topic_cache_sweep(c, 2, 1000), 2);
	assert_true(get(c, "used", 2, &v));
	assert_false(get(c, "unused", 2, &v));
	topic_cache_sweep(c, 2, 1000);
	assert_int_equal(topic_cache_sweep(c, 2, 1000), 1);
	assert_int_equal(live, 0);
	topic_cache_free(c);
}

enum { TWIN_TOPICS = 64 };

static void test_topic_cache__random_use_never_gives_a_wrong_answer(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(40, free_value, NULL);
	int newest[TWIN_TOPICS] = {0};
	uint64_t stored_at[TWIN_TOPICS] = {0}, generation = 1;
	for (int step = 1; step < 50000; step++) {
		size_t i = sl_rng_below(TWIN_TOPICS);
		uint64_t dice = sl_rng_below(100);
		char topic[16];
		void *v;
		snprintf(topic, sizeof topic, "t/%zu", i);
		if (dice < 2) {
			generation++;
		} else if (dice < 4) {
			topic_cache_sweep(c, generation, sl_rng_below(30));
		} else if (dice < 40) {
			newest[i] = dice < 20 ? 0 : step;
			stored_at[i] = generation;
			put(c, topic, generation, newest[i] ? value_new(newest[i]) : NULL);
		} else if (get(c, topic, generation, &v)) {
			assert_int_equal(stored_at[i], generation);
			assert_int_equal(v ? *(int *)v : 0, newest[i]);
		}
		struct topic_cache_stats stats;
		topic_cache_stats(c, &stats);
		assert_true(stats.entries <= 40);
	}
	topic_cache_free(c);
	assert_int_equal(live, 0);
}

static void put_sized(struct topic_cache *c, int number, uint64_t generation, size_t bytes) {
	char topic[16];
	snprintf(topic, sizeof topic, "t/%d", number);
	struct sl_slice t = slice_from_str(topic);
	topic_cache_put_sized(c, topic_hash(t), t, generation, value_new(number), bytes);
}

static void test_topic_cache__large_values_make_others_give_way(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(1000, free_value, NULL);
	topic_cache_limit(c, 10000);
	for (int i = 0; i < 100; i++) put_sized(c, i, 1, 1000);
	assert_true(live >= 5 && live < 10);
	/* One that is larger than all that is allowed is kept alone. */
	put_sized(c, 200, 1, 50000);
	assert_int_equal(live, 1);
	void *v;
	assert_true(get(c, "t/200", 1, &v));
	for (int i = 0; i < 5; i++) put_sized(c, i, 1, 100);
	assert_int_equal(live, 5);
	/* Values that grow where they are count as well. */
	for (int i = 0; i < 5; i++) put_sized(c, i, 2, 4000);
	assert_true(live <= 2);
	topic_cache_free(c);
	assert_int_equal(live, 0);
}

static void test_topic_cache__long_topics_are_bounded_in_bytes(void **state) {
	(void)state;
	struct topic_cache *c = topic_cache_new(1000, free_value, NULL);
	static char text[60000];
	memset(text, 'x', sizeof text);
	for (int i = 0; i < 200; i++) {
		text[0] = (char)('a' + i % 20);
		text[1] = (char)('a' + i / 20);
		struct sl_slice t = slice_make(text, sizeof text);
		topic_cache_put(c, topic_hash(t), t, 1, NULL);
		struct topic_cache_stats stats;
		topic_cache_stats(c, &stats);
		assert_true(stats.bytes < 1000 * 256 + 64 * 1024);
	}
	topic_cache_free(c);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_topic_cache__large_values_make_others_give_way),
	    cmocka_unit_test(test_topic_cache__long_topics_are_bounded_in_bytes),
	    cmocka_unit_test(test_topic_cache__a_stored_value_is_found),
	    cmocka_unit_test(test_topic_cache__empties_are_cached_and_age_like_hits),
	    cmocka_unit_test(test_topic_cache__a_replaced_value_is_freed),
	    cmocka_unit_test(test_topic_cache__a_flood_of_topics_keeps_the_steady_ones),
	    cmocka_unit_test(test_topic_cache__sweeps_drop_what_is_stale_or_unused),
	    cmocka_unit_test(test_topic_cache__random_use_never_gives_a_wrong_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
