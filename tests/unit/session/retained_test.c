#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mem.h"
#include "retained.h"
#include "rng.h"
#include "topic.h"

static void set(struct retained *r, const char *topic, const char *payload) {
	struct retained_change change = {0};
	struct msg *m = msg_new(
	    &(struct msg_spec){.topic = slice_from_str(topic), .payload = slice_from_str(payload), .retain = true});
	assert_int_equal(retained_set(r, m, &change), SL_OK);
	msg_unref(m);
}

static size_t count(struct retained *r, const char *filter) {
	struct msg **v;
	size_t n = retained_match(r, slice_from_str(filter), 0, &v);
	for (size_t i = 0; i < n; i++) {
		assert_true(topic_matches(slice_from_str(filter), msg_topic(v[i])));
		msg_unref(v[i]);
	}
	sl_free(v);
	return n;
}

static void test_retained__filters_find_their_topics(void **state) {
	(void)state;
	struct retained *r = retained_new(UINT64_MAX);
	set(r, "a", "1");
	set(r, "a/b", "1");
	set(r, "a/b/c", "1");
	set(r, "a//c", "1");
	set(r, "/x", "1");
	assert_int_equal(count(r, "a/b"), 1);
	assert_int_equal(count(r, "a/#"), 4);
	assert_int_equal(count(r, "a/+"), 1);
	assert_int_equal(count(r, "a/+/c"), 2);
	assert_int_equal(count(r, "+/x"), 1);
	assert_int_equal(count(r, "#"), 5);
	assert_int_equal(count(r, "b/#"), 0);
	retained_free(r);
}

static void test_retained__leading_wildcards_do_not_see_dollar_topics(void **state) {
	(void)state;
	struct retained *r = retained_new(UINT64_MAX);
	set(r, "$SYS/uptime", "1");
	assert_int_equal(count(r, "#"), 0);
	assert_int_equal(count(r, "+/uptime"), 0);
	assert_int_equal(count(r, "$SYS/#"), 1);
	retained_free(r);
}

static void test_retained__a_new_one_replaces_and_an_empty_one_removes(void **state) {
	(void)state;
	struct retained *r = retained_new(UINT64_MAX);
	set(r, "a/b", "1");
	set(r, "a/b", "2");
	assert_int_equal(retained_count(r), 1);
	set(r, "a/b", "");
	assert_int_equal(retained_count(r), 0);
	assert_int_equal(count(r, "#"), 0);
	set(r, "never/there", "");
	assert_int_equal(retained_count(r), 0);
	retained_free(r);
}

static void test_retained__full_store_keeps_what_it_has(void **state) {
	(void)state;
	struct retained *r = retained_new(1);
	struct retained_change change = {0};
	set(r, "a", "1");
	struct msg *m = msg_new(&(struct msg_spec){.topic = SL_SLICE_LIT("b/c"), .payload = SL_SLICE_LIT("x")});
	assert_int_equal(retained_set(r, m, &change), SL_ELIMIT);
	msg_unref(m);
	set(r, "a", "2");
	assert_int_equal(retained_count(r), 1);
	assert_int_equal(count(r, "b/#"), 0);
	retained_free(r);
}

static void test_retained__expired_ones_are_neither_found_nor_kept(void **state) {
	(void)state;
	struct retained *r = retained_new(UINT64_MAX);
	struct retained_change change = {0};
	struct mqtt_props props;
	mqtt_props_init(&props);
	props.present = 1u << MQTT_PROP_MESSAGE_EXPIRY;
	props.v[MQTT_PROP_MESSAGE_EXPIRY].num = 10;
	struct msg *m = msg_new(&(struct msg_spec){
	    .topic = SL_SLICE_LIT("a/b"), .payload = SL_SLICE_LIT("x"), .props = &props, .arrived_ms = 1000});
	assert_int_equal(retained_set(r, m, &change), SL_OK);
	msg_unref(m);
	struct msg **v;
	assert_int_equal(retained_match(r, SL_SLICE_LIT("#"), 12000, &v), 0);
	sl_free(v);
	change = (struct retained_change){0};
	retained_sweep(r, 5000, 100, &change);
	assert_int_equal(change.count, 0);
	retained_sweep(r, 12000, 100, &change);
	assert_int_equal(change.count, -1);
	assert_int_equal(retained_count(r), 0);
	retained_free(r);
}

/* Against the plain truth: every topic of a small alphabet, set and removed at random. */
static void test_retained__random_against_topic_matches(void **state) {
	(void)state;
	static const char *const filters[] = {"#", "+", "a/#", "+/b", "+/+/c", "a/b/c", "/+", "b/+/#"};
	enum { N = 64 };
	bool there[N] = {false};
	char *topics[N];
	struct retained *r = retained_new(UINT64_MAX);
	for (size_t i = 0; i < N; i++) {
		static const char *const level[] = {"a", "b", "c", ""};
		const char *x = level[i & 3], *y = level[i >> 2 & 3], *z = level[i >> 4 & 3];
		topics[i] = sl_asprintf("%s/%s/%s", x, y, z);
	}
	for (int step = 0; step < 3000; step++) {
		size_t i = (size_t)sl_rng_below(N);
		there[i] = sl_rng_below(2) == 1;
		set(r, topics[i], there[i] ? "x" : "");
		const char *filter = filters[sl_rng_below(SL_ARRAY_LEN(filters))];
		size_t want = 0;
		for (size_t k = 0; k < N; k++)
			if (there[k] && topic_matches(slice_from_str(filter), slice_from_str(topics[k]))) want++;
		assert_int_equal(count(r, filter), want);
	}
	for (size_t i = 0; i < N; i++) sl_free(topics[i]);
	retained_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_retained__filters_find_their_topics),
	    cmocka_unit_test(test_retained__leading_wildcards_do_not_see_dollar_topics),
	    cmocka_unit_test(test_retained__a_new_one_replaces_and_an_empty_one_removes),
	    cmocka_unit_test(test_retained__full_store_keeps_what_it_has),
	    cmocka_unit_test(test_retained__expired_ones_are_neither_found_nor_kept),
	    cmocka_unit_test(test_retained__random_against_topic_matches),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
