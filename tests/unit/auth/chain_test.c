#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "auth_chain_int.h"
#include "auth_flights.h"
#include "clock.h"
#include "mem.h"

/* A link that says what it is told to; with `flights` it asks about the user name, and the test answers. */
struct fake {
	struct auth_backend base;
	enum auth_step says, works;
	struct auth_flights *flights;
	int asked, checked;
	bool *freed;
};

struct fake_found {
	struct auth_found base;
	enum auth_step step;
};

static struct sl_loop *loop;
static int founds;

static void found_free(struct auth_found *f) {
	founds--;
	sl_free(sl_container_of(f, struct fake_found, base));
}

static struct auth_found *found_new(enum auth_step step) {
	struct fake_found *f = SL_NEW(struct fake_found);
	founds++;
	atomic_init(&f->base.refs, 1);
	f->base.free = found_free;
	f->step = step;
	return &f->base;
}

static enum auth_step fake_check(struct auth_backend *b, struct auth_ask *ask) {
	struct fake *f = sl_container_of(b, struct fake, base);
	struct auth_digest d;
	f->checked++;
	if (!f->flights) {
		if (f->says == AUTH_STEP_ALLOW) ask->identity = auth_identity_new();
		return f->says;
	}
	auth_flights_digest(f->flights, &ask->request->username, 1, &d);
	if (!ask->found) ask->found = auth_flights_known(f->flights, &d);
	return ask->found ? sl_container_of(ask->found, struct fake_found, base)->step : AUTH_STEP_WAIT;
}

static enum auth_step fake_work(struct auth_backend *b, struct auth_ask *ask) {
	(void)ask;
	return sl_container_of(b, struct fake, base)->works;
}

static void fake_start(struct auth_backend *b, const struct auth_ask *ask, struct auth_wait *w) {
	struct fake *f = sl_container_of(b, struct fake, base);
	struct auth_digest d;
	auth_flights_digest(f->flights, &ask->request->username, 1, &d);
	if (auth_flights_join(f->flights, &d, w)) f->asked++;
}

static void fake_free(struct auth_backend *b) {
	struct fake *f = sl_container_of(b, struct fake, base);
	auth_flights_free(f->flights);
	if (f->freed) *f->freed = true;
	sl_free(f);
}

static const struct auth_backend_ops ops = {
    .check = fake_check, .work = fake_work, .start = fake_start, .free = fake_free};

static struct fake *add(struct auth *a, enum auth_step says) {
	struct fake *f = SL_NEW(struct fake);
	f->base.ops = &ops;
	f->base.type = "fake";
	f->says = says;
	a->chain = sl_realloc_array(a->chain, a->len + 1, sizeof(struct auth_backend *));
	a->chain[a->len++] = &f->base;
	return f;
}

static struct fake *add_asking(struct auth *a, int64_t ttl_ms, int64_t negative_ms, size_t pending) {
	struct fake *f = add(a, AUTH_STEP_WAIT);
	f->flights = auth_flights_new(
	    &(struct auth_cache_conf){.ttl_ms = ttl_ms, .negative_ttl_ms = negative_ms, .size = 16}, pending);
	return f;
}

static struct auth *chain(void) {
	struct auth *a;
	assert_int_equal(auth_new(&(struct auth_options){.anonymous = false}, &a, NULL), SL_OK);
	return a;
}

static void answer(struct fake *f, const char *user, enum auth_step step) {
	struct auth_digest d;
	struct sl_slice name = slice_from_str(user);
	struct auth_found *found = step == AUTH_STEP_ERROR ? NULL : found_new(step);
	auth_flights_digest(f->flights, &name, 1, &d);
	auth_flights_land(f->flights, &d, found, step == AUTH_STEP_ALLOW, 0);
	auth_found_unref(found);
}

struct told {
	int calls;
	enum auth_verdict verdict;
	struct auth_job *job;
};

static void on_verdict(enum auth_verdict verdict, struct auth_identity *id, void *arg) {
	struct told *t = arg;
	t->calls++;
	t->verdict = verdict;
	auth_identity_unref(id);
}

static void turn(void) {
	uv_loop_t *uv = sl_loop_uv(loop);
	do
		while (uv->active_reqs.count > 0) uv_run(uv, UV_RUN_ONCE);
	while (sl_loop_run_rest(loop));
}

static enum auth_verdict begin(struct auth *a, const char *user, struct told *t) {
	struct auth_identity *id;
	struct auth_request r = {.clientid = SL_SLICE_LIT("dev-1"),
				 .has_username = user != NULL,
				 .username = slice_from_str(user),
				 .listener = SL_SLICE_LIT("mqtt")};
	*t = (struct told){.calls = 0};
	enum auth_verdict verdict = auth_check(a, loop, &r, &t->job, &id, on_verdict, t);
	assert_true((verdict == AUTH_PENDING) == (t->job != NULL));
	auth_identity_unref(id);
	return verdict;
}

static enum auth_verdict at_once(struct auth *a, const char *user) {
	struct told t;
	enum auth_verdict verdict = begin(a, user, &t);
	assert_int_not_equal(verdict, AUTH_PENDING);
	return verdict;
}

static int setup(void **state) {
	(void)state;
	founds = 0;
	return sl_loop_new("chain_test", 0, &loop, NULL);
}

static int teardown(void **state) {
	(void)state;
	turn();
	sl_loop_free(loop);
	sl_clock_set_real();
	return founds;
}

static void test_chain__the_first_that_says_something_decides(void **state) {
	(void)state;
	struct auth *a = chain();
	struct fake *first = add(a, AUTH_STEP_PASS), *second = add(a, AUTH_STEP_ALLOW), *third = add(a, AUTH_STEP_DENY);
	assert_int_equal(at_once(a, "u"), AUTH_ALLOWED);
	second->says = AUTH_STEP_DENY;
	assert_int_equal(at_once(a, "u"), AUTH_DENIED);
	second->says = AUTH_STEP_PASS;
	third->says = AUTH_STEP_PASS;
	assert_int_equal(at_once(a, "u"), AUTH_DENIED);
	assert_int_equal(at_once(a, NULL), AUTH_DENIED);
	a->anonymous = true;
	assert_int_equal(at_once(a, NULL), AUTH_ALLOWED);
	assert_int_equal(at_once(a, "u"), AUTH_DENIED);
	assert_int_equal(first->checked, 6);
	assert_int_equal(third->checked, 4);
	auth_unref(a);
}

static void test_chain__what_cannot_be_told(void **state) {
	(void)state;
	struct auth *a = chain();
	struct fake *first = add(a, AUTH_STEP_ERROR);
	add(a, AUTH_STEP_DENY);
	assert_int_equal(at_once(a, "u"), AUTH_UNAVAILABLE);
	first->base.conf.on_error = AUTH_ON_ERROR_PASS;
	assert_int_equal(at_once(a, "u"), AUTH_DENIED);
	first->base.conf.on_error = AUTH_ON_ERROR_ALLOW;
	assert_int_equal(at_once(a, "u"), AUTH_ALLOWED);
	auth_unref(a);
}

static void test_chain__links_are_for_those_they_are_for(void **state) {
	(void)state;
	struct auth *a = chain();
	struct fake *f = add(a, AUTH_STEP_ALLOW);
	f->base.conf.username = sl_strdup("a*c*");
	assert_int_equal(at_once(a, "abcd"), AUTH_ALLOWED);
	assert_int_equal(at_once(a, "ac"), AUTH_ALLOWED);
	assert_int_equal(at_once(a, "abd"), AUTH_DENIED);
	assert_int_equal(at_once(a, NULL), AUTH_DENIED);
	f->base.conf.clientid = sl_strdup("*-1");
	assert_int_equal(at_once(a, "ac"), AUTH_ALLOWED);
	f->base.conf.clientid[2] = '2';
	assert_int_equal(at_once(a, "ac"), AUTH_DENIED);
	auth_unref(a);
}

static void test_chain__work_and_waits_go_on_with_the_next(void **state) {
	(void)state;
	struct told t;
	struct auth *a = chain();
	struct fake *worker = add(a, AUTH_STEP_WORK), *asker = add_asking(a, 0, 0, 10);
	worker->works = AUTH_STEP_PASS;
	add(a, AUTH_STEP_ALLOW);
	assert_int_equal(begin(a, "u", &t), AUTH_PENDING);
	turn();
	assert_int_equal(asker->asked, 1);
	assert_int_equal(t.calls, 0);
	answer(asker, "u", AUTH_STEP_PASS);
	turn();
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.verdict, AUTH_ALLOWED);
	assert_int_equal(begin(a, "u", &t), AUTH_PENDING);
	turn();
	answer(asker, "u", AUTH_STEP_ERROR);
	turn();
	assert_int_equal(t.verdict, AUTH_UNAVAILABLE);
	auth_unref(a);
}

static void test_flights__asked_once_for_many_and_remembered(void **state) {
	(void)state;
	struct told t[3];
	struct auth *a = chain();
	struct fake *f = add_asking(a, 1000, 10, 10);
	sl_clock_set_fake(5000, 5000);
	for (int i = 0; i < 3; i++) assert_int_equal(begin(a, "u", &t[i]), AUTH_PENDING);
	assert_int_equal(f->asked, 1);
	answer(f, "u", AUTH_STEP_ALLOW);
	turn();
	for (int i = 0; i < 3; i++) assert_int_equal(t[i].verdict, AUTH_ALLOWED);
	assert_int_equal(at_once(a, "u"), AUTH_ALLOWED);
	sl_clock_set_fake(5999, 5999);
	assert_int_equal(at_once(a, "u"), AUTH_ALLOWED);
	sl_clock_set_fake(6000, 6000);
	assert_int_equal(begin(a, "u", &t[0]), AUTH_PENDING);
	answer(f, "u", AUTH_STEP_DENY);
	turn();
	assert_int_equal(at_once(a, "u"), AUTH_DENIED);
	sl_clock_set_fake(6010, 6010);
	assert_int_equal(begin(a, "u", &t[0]), AUTH_PENDING);
	answer(f, "u", AUTH_STEP_ERROR); /* is not remembered */
	turn();
	assert_int_equal(t[0].verdict, AUTH_UNAVAILABLE);
	assert_int_equal(begin(a, "u", &t[0]), AUTH_PENDING);
	assert_int_equal(f->asked, 4);
	answer(f, "u", AUTH_STEP_ALLOW);
	turn();
	auth_unref(a);
}

static void test_flights__who_waits_is_bounded_and_may_leave(void **state) {
	(void)state;
	struct told t[4];
	bool freed = false;
	struct auth *a = chain();
	struct fake *f = add_asking(a, 1000, 1000, 2);
	f->freed = &freed;
	assert_int_equal(begin(a, "a", &t[0]), AUTH_PENDING);
	assert_int_equal(begin(a, "b", &t[1]), AUTH_PENDING);
	assert_int_equal(begin(a, "c", &t[2]), AUTH_PENDING);
	turn();
	assert_int_equal(t[2].verdict, AUTH_UNAVAILABLE);
	assert_int_equal(f->asked, 2);
	auth_cancel(t[0].job);
	auth_cancel(t[1].job);
	auth_unref(a); /* a reload; whoever is asked answers all the same */
	assert_false(freed);
	answer(f, "a", AUTH_STEP_ALLOW);
	answer(f, "b", AUTH_STEP_ERROR);
	turn();
	assert_int_equal(t[0].calls + t[1].calls, 0);
	assert_true(freed);
}

static void test_flights__of_many_some_are_forgotten(void **state) {
	(void)state;
	struct told t;
	char name[16];
	struct auth *a = chain();
	struct fake *f = add_asking(a, 1000, 1000, 10);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "user%d", i);
		assert_int_equal(begin(a, name, &t), AUTH_PENDING);
		answer(f, name, AUTH_STEP_ALLOW);
		turn();
		assert_int_equal(t.verdict, AUTH_ALLOWED);
		assert_int_equal(at_once(a, name), AUTH_ALLOWED); /* the newcomer is there */
	}
	assert_true(founds <= 16);
	auth_unref(a);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    CASE(test_chain__the_first_that_says_something_decides),
	    CASE(test_chain__what_cannot_be_told),
	    CASE(test_chain__links_are_for_those_they_are_for),
	    CASE(test_chain__work_and_waits_go_on_with_the_next),
	    CASE(test_flights__asked_once_for_many_and_remembered),
	    CASE(test_flights__who_waits_is_bounded_and_may_leave),
	    CASE(test_flights__of_many_some_are_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
