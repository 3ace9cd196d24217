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

static size_t count_at(struct retained *r, const char *filter, int64_t now_ms) {
	struct retained_cursor *c = retained_open(r, slice_from_str(filter));
	size_t n = 0, steps = SIZE_MAX;
	for (struct msg *m; (m = retained_next(c, now_ms, &steps)) != NULL; n++) {
		assert_true(topic_matches(slice_from_str(filter), msg_topic(m)));
		msg_unref(m);
	}
	assert_true(retained_over(c));
	retained_close(c);
	return n;
}

static size_t count(struct retained *r, const char *filter) { return count_at(r, filter, 0); }

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
	assert_int_equal(count_at(r, "#", 12000), 0);
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

enum { TOPICS = 256, WALKS = 4 };

struct walk {
	struct retained_cursor *cursor;
	const char *filter;
	bool stayed[TOPICS]; /* there all the time since it began */
	bool got[TOPICS];
};

struct twin {
	struct retained *r;
	char *topics[TOPICS];
	int value[TOPICS]; /* 0: none */
	struct walk walks[WALKS];
};

static void twin_change(struct twin *t) {
	size_t i = (size_t)sl_rng_below(TOPICS);
	t->value[i] = sl_rng_below(3) ? 1 + (int)sl_rng_below(1000) : 0;
	char text[16] = "";
	if (t->value[i]) (void)snprintf(text, sizeof text, "%d", t->value[i]);
	set(t->r, t->topics[i], text);
	for (size_t k = 0; k < WALKS && !t->value[i]; k++) t->walks[k].stayed[i] = false;
}

static void walk_begin(struct twin *t, struct walk *w) {
	static const char *const filters[] = {"#",     "+",   "a/#",  "+/b/#",    "+/+/c/+", "a/b/c/a", "/+/+/b",
					      "b/+/#", "+/#", "$a/#", "$a/+/+/c", "c/c/#",   "x/#"};
	*w = (struct walk){.filter = filters[sl_rng_below(SL_ARRAY_LEN(filters))]};
	w->cursor = retained_open(t->r, slice_from_str(w->filter));
	for (size_t i = 0; i < TOPICS; i++) w->stayed[i] = t->value[i] != 0;
}

static void walk_got(struct twin *t, struct walk *w, struct msg *m) {
	size_t i = 0;
	while (!slice_equal_str(msg_topic(m), t->topics[i])) i++;
	assert_true(topic_matches(slice_from_str(w->filter), msg_topic(m)));
	assert_false(w->got[i]);
	w->got[i] = true;
	char text[16];
	(void)snprintf(text, sizeof text, "%d", t->value[i]);
	assert_true(slice_equal_str(msg_payload(m), text)); /* what it is now */
	msg_unref(m);
}

static void walk_on(struct twin *t, struct walk *w) {
	size_t steps = 1 + (size_t)sl_rng_below(8), before = steps;
	struct msg *m = retained_next(w->cursor, 0, &steps);
	assert_true(steps <= before);
	if (m) {
		walk_got(t, w, m);
		return;
	}
	bool over = retained_over(w->cursor);
	assert_true(over || steps == 0);
	for (size_t i = 0; i < TOPICS && over; i++)
		if (w->stayed[i] && topic_matches(slice_from_str(w->filter), slice_from_str(t->topics[i])))
			assert_true(w->got[i]);
	if (!over && sl_rng_below(200)) return;
	retained_close(w->cursor); /* some before their end */
	walk_begin(t, w);
}

static void twin_begin(struct twin *t) {
	static const char *const level[] = {"a", "b", "c", ""};
	t->r = retained_new(UINT64_MAX);
	for (size_t i = 0; i < TOPICS; i++) {
		const char *first = i % 7 == 0 ? "$a" : level[i & 3];
		t->topics[i] = sl_asprintf("%s/%s/%s/%s%s", first, level[i >> 2 & 3], level[i >> 4 & 3],
					   level[i >> 6 & 3], i % 7 == 0 ? level[i & 3] : "");
		for (size_t k = 0; k < i; k++) /* the twin's topics are different ones */
			if (slice_equal_str(slice_from_str(t->topics[k]), t->topics[i])) {
				sl_free(t->topics[i]);
				t->topics[i] = sl_asprintf("u/%zu", i);
			}
	}
	for (size_t k = 0; k < WALKS; k++) walk_begin(t, &t->walks[k]);
}

/* Several walks at a time, a few nodes at a time, while topics come and go. */
static void test_retained__walks_that_rest_while_the_tree_changes(void **state) {
	(void)state;
	static struct twin t;
	twin_begin(&t);
	for (int step = 0; step < 60000; step++) {
		if (sl_rng_below(8) == 0) twin_change(&t);
		walk_on(&t, &t.walks[sl_rng_below(WALKS)]);
	}
	for (size_t i = 0; i < TOPICS; i++) set(t.r, t.topics[i], "");
	for (size_t k = 0; k < WALKS; k++) retained_close(t.walks[k].cursor);
	/* No node was left behind for a cursor that has gone. */
	struct retained_cursor *c = retained_open(t.r, SL_SLICE_LIT("#"));
	set(t.r, "new", "1");
	size_t steps = 100;
	assert_null(retained_next(c, 0, &steps));
	assert_true(steps == 100 || steps == 99);
	retained_close(c);
	for (size_t i = 0; i < TOPICS; i++) sl_free(t.topics[i]);
	retained_free(t.r);
}

/* However fast new topics come, a walk ends: it does not see them. */
static void test_retained__a_walk_has_an_end(void **state) {
	(void)state;
	struct retained *r = retained_new(UINT64_MAX);
	set(r, "t/first", "1");
	set(r, "t/second", "1");
	struct retained_cursor *c = retained_open(r, SL_SLICE_LIT("#"));
	size_t found = 0;
	for (int i = 0; !retained_over(c); i++) {
		char topic[32];
		(void)snprintf(topic, sizeof topic, "t/%d", i);
		set(r, topic, "1");
		size_t steps = 1;
		struct msg *m = retained_next(c, 0, &steps);
		found += m != NULL;
		msg_unref(m);
		assert_true(i < 100);
	}
	assert_int_equal(found, 2);
	retained_close(c);
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
	    cmocka_unit_test(test_retained__walks_that_rest_while_the_tree_changes),
	    cmocka_unit_test(test_retained__a_walk_has_an_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
