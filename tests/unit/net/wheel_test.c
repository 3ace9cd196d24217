#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "rng.h"
#include "wheel.h"

/* Timers of the tests note when they fired. */
struct probe {
	struct sl_timer t;
	struct sl_wheel *w;
	uint64_t due_ms, fired_ms;
	int fired;
};

static void probe_fire(struct sl_timer *t) {
	struct probe *p = sl_container_of(t, struct probe, t);
	p->fired++;
	p->fired_ms = p->w->now_ms;
}

static void probe_set(struct probe *p, struct sl_wheel *w, uint64_t due_ms) {
	*p = (struct probe){.w = w, .due_ms = due_ms};
	sl_timer_init(&p->t, probe_fire);
	sl_wheel_set(w, &p->t, due_ms);
}

static void assert_fires_exactly(uint64_t start, uint64_t delay) {
	struct sl_wheel *w = sl_alloc(sizeof *w);
	struct probe p;
	sl_wheel_init(w, start);
	probe_set(&p, w, start + delay);
	sl_wheel_advance(w, start + delay - 1);
	assert_int_equal(p.fired, 0);
	assert_true(sl_wheel_next_ms(w) <= start + delay);
	sl_wheel_advance(w, start + delay);
	assert_int_equal(p.fired, 1);
	assert_int_equal(p.fired_ms, start + delay);
	sl_free(w);
}

static void test_wheel__fires_at_its_millisecond(void **state) {
	(void)state;
	assert_fires_exactly(1000, 1);
	assert_fires_exactly(1000, 255);
}

static void test_wheel__fires_across_the_rings(void **state) {
	(void)state;
	assert_fires_exactly(1000, 300);
	assert_fires_exactly(255, 16384);
	assert_fires_exactly(123456789, 90000);
	assert_fires_exactly(77, 1048577);
}

static void test_wheel__fires_beyond_the_last_ring(void **state) {
	(void)state;
	assert_fires_exactly(5, (uint64_t)3 * 24 * 3600 * 1000);
}

static void test_wheel__a_due_time_in_the_past_fires_next(void **state) {
	(void)state;
	struct sl_wheel *w = sl_alloc(sizeof *w);
	struct probe p;
	sl_wheel_init(w, 1000);
	probe_set(&p, w, 10);
	sl_wheel_advance(w, 1001);
	assert_int_equal(p.fired, 1);
	sl_free(w);
}

static void test_wheel__next_of_an_empty_one_is_never(void **state) {
	(void)state;
	struct sl_wheel *w = sl_alloc(sizeof *w);
	sl_wheel_init(w, 42);
	assert_true(sl_wheel_next_ms(w) == UINT64_MAX);
	sl_free(w);
}

static void test_wheel__cancelled_timer_does_not_fire(void **state) {
	(void)state;
	struct sl_wheel *w = sl_alloc(sizeof *w);
	struct probe p;
	sl_wheel_init(w, 0);
	probe_set(&p, w, 500);
	sl_timer_cancel(&p.t);
	sl_wheel_advance(w, 1000);
	assert_int_equal(p.fired, 0);
	assert_false(sl_timer_armed(&p.t));
	sl_free(w);
}

/* A thousand timers, set, moved and cancelled at random while time goes on in uneven steps, each exactly on time. */
static void test_wheel__random_against_the_plain_truth(void **state) {
	(void)state;
	enum { N = 1000 };
	static struct probe p[N];
	struct sl_wheel *w = sl_alloc(sizeof *w);
	uint64_t now = 1 + sl_rng_below(1u << 30);
	sl_wheel_init(w, now);
	for (size_t i = 0; i < N; i++) probe_set(&p[i], w, now + 1 + sl_rng_below(i % 3 ? 2000 : 3000000));
	for (int step = 0; step < 3000; step++) {
		now += 1 + sl_rng_below(step % 7 ? 50 : 20000);
		sl_wheel_advance(w, now);
		for (size_t i = 0; i < N; i++) {
			assert_int_equal(p[i].fired, p[i].due_ms <= now);
			if (p[i].fired) assert_int_equal(p[i].fired_ms, p[i].due_ms);
		}
		size_t k = (size_t)sl_rng_below(N);
		sl_timer_cancel(&p[k].t);
		probe_set(&p[k], w, now + 1 + sl_rng_below(100000));
	}
	sl_free(w);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_wheel__fires_at_its_millisecond),
	    cmocka_unit_test(test_wheel__fires_across_the_rings),
	    cmocka_unit_test(test_wheel__fires_beyond_the_last_ring),
	    cmocka_unit_test(test_wheel__a_due_time_in_the_past_fires_next),
	    cmocka_unit_test(test_wheel__next_of_an_empty_one_is_never),
	    cmocka_unit_test(test_wheel__cancelled_timer_does_not_fire),
	    cmocka_unit_test(test_wheel__random_against_the_plain_truth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
