/* Topic filters as sets: against all topics of a small world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "filter_cover.h"
#include "topic.h"

/* Words of filters, and one more that only topics have: what no filter names. */
static const char *const words[] = {"a", "b", "$s", "", "zz"};
enum { FILTER_WORDS = 4, TOPIC_WORDS = 5, FILTER_LEVELS = 3, TOPIC_LEVELS = 4 };

static void random_filter(struct sl_buf *out) {
	size_t levels = 1 + (size_t)rand() % FILTER_LEVELS;
	do {
		sl_buf_clear(out);
		for (size_t i = 0; i < levels; i++) {
			int kind = rand() % 4;
			if (i) sl_buf_put(out, '/');
			if (kind == 0 && i + 1 == levels)
				sl_buf_put(out, '#');
			else if (kind == 1)
				sl_buf_put(out, '+');
			else
				sl_buf_append_str(out, words[rand() % FILTER_WORDS]);
		}
	} while (out->n == 0); /* the empty text is no filter */
}

typedef void (*topic_fn)(struct sl_slice topic, void *arg);

/* Every topic of up to TOPIC_LEVELS levels. */
static void each_topic(topic_fn fn, void *arg) {
	struct sl_buf topic = SL_BUF_INIT;
	size_t count = 1;
	for (size_t levels = 1; levels <= TOPIC_LEVELS; levels++) {
		count *= TOPIC_WORDS;
		for (size_t n = 0; n < count; n++) {
			sl_buf_clear(&topic);
			for (size_t i = 0, left = n; i < levels; i++, left /= TOPIC_WORDS) {
				if (i) sl_buf_put(&topic, '/');
				sl_buf_append_str(&topic, words[left % TOPIC_WORDS]);
			}
			if (topic.n) fn(sl_buf_slice(&topic), arg);
		}
	}
	sl_buf_fini(&topic);
}

struct common {
	struct sl_slice a, b, both;
	bool any;
};

static void check_common(struct sl_slice topic, void *arg) {
	struct common *c = arg;
	bool in_both = topic_matches(c->a, topic) && topic_matches(c->b, topic);
	c->any = c->any || in_both;
	if ((c->both.n && topic_matches(c->both, topic)) != in_both)
		fail_msg("%.*s and %.*s: %.*s; %.*s", SL_SLICE_ARG(c->a), SL_SLICE_ARG(c->b), SL_SLICE_ARG(c->both),
			 SL_SLICE_ARG(topic));
}

static void test_intersect__is_what_both_match(void **state) {
	(void)state;
	srand(1);
	struct sl_buf a = SL_BUF_INIT, b = SL_BUF_INIT, both = SL_BUF_INIT;
	for (int i = 0; i < 400; i++) {
		random_filter(&a);
		random_filter(&b);
		sl_buf_clear(&both);
		bool some = filter_intersect(sl_buf_slice(&a), sl_buf_slice(&b), &both);
		struct common c = {sl_buf_slice(&a), sl_buf_slice(&b), sl_buf_slice(&both), false};
		each_topic(check_common, &c);
		assert_int_equal(some, c.any);
		if (some) assert_true(topic_filter_valid(c.both));
	}
	sl_buf_fini(&a);
	sl_buf_fini(&b);
	sl_buf_fini(&both);
}

struct cover {
	struct sl_slice filter, by[5];
	size_t len;
	bool hole;
};

static bool matched(const struct cover *c, struct sl_slice topic) {
	for (size_t i = 0; i < c->len; i++)
		if (topic_matches(c->by[i], topic)) return true;
	return false;
}

static void look_for_hole(struct sl_slice topic, void *arg) {
	struct cover *c = arg;
	if (topic_matches(c->filter, topic) && !matched(c, topic)) c->hole = true;
}

static void test_covered__as_all_topics_say(void **state) {
	(void)state;
	srand(2);
	struct sl_buf text[6] = {SL_BUF_INIT}, example = SL_BUF_INIT;
	int yes = 0;
	for (int i = 0; i < 3000; i++) {
		struct cover c = {.len = 1 + (size_t)rand() % 5};
		for (size_t k = 0; k <= c.len; k++) random_filter(&text[k]);
		for (size_t k = 0; k < c.len; k++) c.by[k] = sl_buf_slice(&text[k + 1]);
		c.filter = sl_buf_slice(&text[0]);
		each_topic(look_for_hole, &c);
		sl_buf_clear(&example);
		bool covered = filter_covered(c.filter, c.by, c.len, &example);
		if (covered == c.hole)
			fail_msg("%.*s covered %d by %.*s ...(%zu)", SL_SLICE_ARG(c.filter), covered,
				 SL_SLICE_ARG(c.by[0]), c.len);
		yes += covered;
		if (covered) continue;
		assert_true(topic_matches(c.filter, sl_buf_slice(&example)));
		assert_false(matched(&c, sl_buf_slice(&example)));
	}
	assert_true(yes > 100); /* both answers were met */
	for (size_t k = 0; k < SL_ARRAY_LEN(text); k++) sl_buf_fini(&text[k]);
	sl_buf_fini(&example);
}

static bool all_of(const char *filter, const char *by) {
	struct sl_slice rest = slice_from_str(by), v[8];
	size_t n = 0;
	while (rest.p) v[n++] = slice_next_part(&rest, ' ');
	return filter_covered(slice_from_str(filter), v, n, NULL);
}

static void test_covered__by_some_together(void **state) {
	(void)state;
	assert_true(all_of("a/#", "a a/+ a/+/#"));
	assert_false(all_of("a/#", "a/+ a/+/#"));   /* "a" */
	assert_false(all_of("a/#", "a a/+ a/+/+")); /* a/b/c/d */
	assert_true(all_of("+/x", "#"));
	assert_false(all_of("#", "+ +/+ $SYS/#"));
	assert_false(all_of("$SYS/#", "#"));
	assert_true(all_of("$SYS/a", "$SYS/+"));
	assert_false(all_of("+/x", "a/x b/x"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_intersect__is_what_both_match),
	    cmocka_unit_test(test_covered__as_all_topics_say),
	    cmocka_unit_test(test_covered__by_some_together),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
