/* loop_test.c: letters, visits, timers and parking, with real threads (meant for TSan too). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <uv.h>

#include "loop.h"
#include "loop_run.h"
#include "mem.h"

static struct sl_loop *started(const char *name, int index) {
	struct sl_loop *l;
	struct sl_err err = SL_ERR_INIT;
	assert_int_equal(sl_loop_new(name, index, &l, &err), SL_OK);
	assert_int_equal(sl_loop_start(l, &err), SL_OK);
	return l;
}

static void ended(struct sl_loop *l) {
	sl_loop_stop(l);
	sl_loop_join(l);
	sl_loop_free(l);
}

/* A letter that tells the test's thread when it has run. */
struct call {
	struct sl_post post;
	void (*fn)(struct sl_loop *l, void *arg);
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done;
};

static void call_run(struct sl_post *post, struct sl_loop *l) {
	struct call *c = sl_container_of(post, struct call, post);
	c->fn(l, c->arg);
	pthread_mutex_lock(&c->lock);
	c->done = true;
	pthread_cond_signal(&c->cond);
	pthread_mutex_unlock(&c->lock);
}

static void run_on(struct sl_loop *l, void (*fn)(struct sl_loop *l, void *arg), void *arg) {
	struct call c = {.post.run = call_run, .fn = fn, .arg = arg};
	pthread_mutex_init(&c.lock, NULL);
	pthread_cond_init(&c.cond, NULL);
	sl_loop_post(l, &c.post);
	pthread_mutex_lock(&c.lock);
	while (!c.done) pthread_cond_wait(&c.cond, &c.lock);
	pthread_mutex_unlock(&c.lock);
	pthread_mutex_destroy(&c.lock);
	pthread_cond_destroy(&c.cond);
}

/* ---- letters ---- */

struct numbered {
	struct sl_post post;
	uint32_t sender, number;
};
static uint32_t next_of[2]; /* on the receiving loop only */
static uint32_t out_of_order, received;

static void numbered_run(struct sl_post *post, struct sl_loop *l) {
	struct numbered *n = sl_container_of(post, struct numbered, post);
	assert_true(sl_loop_is_current(l));
	if (n->number != next_of[n->sender]++) out_of_order++;
	received++;
	sl_free(n);
}

struct sender {
	struct sl_loop *to;
	uint32_t id;
};

static void *send_many(void *arg) {
	struct sender *s = arg;
	for (uint32_t i = 0; i < 20000; i++) {
		struct numbered *n = SL_NEW(struct numbered);
		n->post.run = numbered_run;
		n->sender = s->id;
		n->number = i;
		sl_loop_post(s->to, &n->post);
	}
	return NULL;
}

static void read_received(struct sl_loop *l, void *arg) {
	(void)l;
	*(uint32_t *)arg = received;
}

static void test_loop__letters_of_each_sender_arrive_in_order(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	struct sender s[2] = {{l, 0}, {l, 1}};
	pthread_t threads[2];
	received = out_of_order = next_of[0] = next_of[1] = 0;
	for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, send_many, &s[i]);
	for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
	uint32_t n;
	run_on(l, read_received, &n);
	assert_int_equal(n, 40000);
	assert_int_equal(out_of_order, 0);
	ended(l);
}

static void test_loop__letters_left_behind_run_after_join(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	sl_loop_stop(l);
	sl_loop_join(l);
	received = next_of[0] = 0;
	struct numbered *n = SL_NEW(struct numbered);
	n->post.run = numbered_run;
	sl_loop_post(l, &n->post);
	sl_loop_free(l);
	assert_int_equal(received, 1);
}

/* ---- naps ---- */

struct counted {
	struct sl_post post;
	_Atomic uint32_t *runs;
};

static void counted_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	++*sl_container_of(post, struct counted, post)->runs;
}

static void begin_nap(struct sl_loop *l, void *arg) {
	(void)arg;
	sl_loop_nap(l, 600000);
}

static void test_loop__a_nap_is_ended_by_letters_in_a_hurry_only(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	_Atomic uint32_t runs = 0;
	struct counted patient[2], hurried;
	for (int i = 0; i < 2; i++) patient[i] = (struct counted){.post.run = counted_run, .runs = &runs};
	hurried = (struct counted){.post.run = counted_run, .runs = &runs};
	run_on(l, begin_nap, NULL);
	for (int i = 0; i < 2; i++) sl_loop_post_patient(l, &patient[i].post, 600000);
	usleep(50000);
	assert_int_equal(runs, 0);
	sl_loop_post(l, &hurried.post);
	assert_true(becomes(&runs, 3));
	/* That was the nap: now it is fast asleep, and any letter wakes it. */
	usleep(20000);
	sl_loop_post_patient(l, &patient[0].post, 600000);
	assert_true(becomes(&runs, 4));
	ended(l);
}

static void begin_short_nap(struct sl_loop *l, void *arg) {
	(void)arg;
	sl_loop_nap(l, 20);
}

static void test_loop__a_nap_ends_by_itself(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	_Atomic uint32_t runs = 0;
	struct counted patient = {.post.run = counted_run, .runs = &runs};
	run_on(l, begin_short_nap, NULL);
	sl_loop_post_patient(l, &patient.post, 20);
	assert_true(becomes(&runs, 1));
	ended(l);
}

static void test_loop__a_letter_that_cannot_wait_so_long_ends_a_nap(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	_Atomic uint32_t runs = 0;
	struct counted patient = {.post.run = counted_run, .runs = &runs}, less = patient;
	run_on(l, begin_nap, NULL);
	sl_loop_post_patient(l, &patient.post, 600000);
	sl_loop_post_patient(l, &less.post, 599999);
	assert_true(becomes(&runs, 2));
	ended(l);
}

struct nap_after {
	struct sl_post post;
	struct counted *arrives;
};

/* While the loop is still awake. */
static void nap_after_run(struct sl_post *post, struct sl_loop *l) {
	struct nap_after *n = sl_container_of(post, struct nap_after, post);
	sl_loop_nap(l, 600000);
	sl_loop_post_patient(l, &n->arrives->post, 3);
}

static void test_loop__no_nap_begins_before_a_letter_that_cannot_wait_so_long(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	_Atomic uint32_t runs = 0;
	struct counted less = {.post.run = counted_run, .runs = &runs};
	struct nap_after n = {.post.run = nap_after_run, .arrives = &less};
	sl_loop_post(l, &n.post);
	assert_true(becomes(&runs, 1));
	ended(l);
}

/* ---- visits ---- */

/* Each loop counts up the other's plain counter, by visit or, when that one is awake, by letter. */
struct pair {
	struct sl_loop *self, *other;
	struct pair *peer;
	uint64_t counter; /* of `self`: under its baton only */
	uint32_t visits, letters;
};
struct add {
	struct sl_post post;
	struct pair *to;
};

static void add_run(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct add *a = sl_container_of(post, struct add, post);
	a->to->counter++;
	sl_free(a);
}

struct work {
	struct sl_post post;
	struct pair *p;
	uint32_t left;
};

static void work_run(struct sl_post *post, struct sl_loop *l) {
	struct work *w = sl_container_of(post, struct work, post);
	struct pair *p = w->p;
	if (sl_loop_try_enter(p->other, p->self)) {
		assert_true(sl_loop_is_current(p->other));
		p->peer->counter++;
		sl_loop_leave(p->other, p->self);
		p->visits++;
	} else {
		struct add *a = SL_NEW(struct add);
		a->post.run = add_run;
		a->to = p->peer;
		sl_loop_post(p->other, &a->post);
		p->letters++;
	}
	assert_true(sl_loop_is_current(l));
	if (--w->left > 0)
		sl_loop_post(l, post);
	else
		sl_free(w);
}

static void begin_work(struct sl_loop *l, void *arg) {
	struct work *w = SL_NEW(struct work);
	*w = (struct work){.post.run = work_run, .p = arg, .left = 5000};
	sl_loop_post(l, &w->post);
}

static void sum_counters(void *arg) {
	struct pair **p = arg;
	uint64_t *total = (uint64_t *)(void *)p[2];
	*total = p[0]->counter + p[1]->counter;
}

static void test_loop__visits_and_letters_together_lose_nothing(void **state) {
	(void)state;
	struct pair a = {0}, b = {0};
	a.self = b.other = started("a", 0);
	b.self = a.other = started("b", 1);
	a.peer = &b;
	b.peer = &a;
	run_on(a.self, begin_work, &a);
	run_on(b.self, begin_work, &b);
	struct sl_loop *loops[2] = {a.self, b.self};
	uint64_t total = 0;
	struct pair *args[3] = {&a, &b, (struct pair *)(void *)&total};
	for (int i = 0; i < 60000 && total < 10000; i++) {
		usleep(1000);
		sl_loops_park(loops, 2, sum_counters, args);
	}
	assert_int_equal(total, 10000);
	ended(a.self);
	ended(b.self);
	assert_int_equal(a.visits + a.letters + b.visits + b.letters, 10000);
}

static void visit(struct sl_loop *l, void *arg) {
	struct sl_loop *other = arg;
	/* A sleeping loop can be visited; its own thread needs a moment to fall asleep. */
	int tries = 0;
	while (!sl_loop_try_enter(other, l)) {
		assert_true(++tries < 600000);
		usleep(100);
	}
	assert_true(sl_loop_is_current(other));
	assert_false(sl_loop_is_current(l));
	sl_loop_leave(other, l);
	assert_true(sl_loop_is_current(l));
}

static void test_loop__a_sleeping_loop_can_be_visited(void **state) {
	(void)state;
	struct sl_loop *a = started("a", 0), *b = started("b", 1);
	run_on(a, visit, b);
	ended(a);
	ended(b);
}

/* ---- timers ---- */

struct alarm_clock {
	struct sl_timer t;
	struct sl_loop *l;
	uint64_t set_ms;
	_Atomic uint64_t late_ms;
};

static void alarm_fire(struct sl_timer *t) {
	struct alarm_clock *a = sl_container_of(t, struct alarm_clock, t);
	a->late_ms = sl_loop_now_ms(a->l) - a->set_ms;
}

static void alarm_set(struct sl_loop *l, void *arg) {
	struct alarm_clock *a = arg;
	a->l = l;
	a->set_ms = sl_loop_now_ms(l);
	sl_timer_init(&a->t, alarm_fire);
	sl_timer_set(l, &a->t, 30);
}

static void test_loop__timer_fires_after_its_delay(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	struct alarm_clock a = {0};
	run_on(l, alarm_set, &a);
	for (int i = 0; i < 60000 && a.late_ms == 0; i++) usleep(1000);
	assert_true(a.late_ms >= 30);
	ended(l);
}

static void visit_and_set(struct sl_loop *l, void *arg) {
	struct alarm_clock *a = arg;
	struct sl_loop *other = a->l;
	while (!sl_loop_try_enter(other, l)) usleep(100);
	alarm_set(other, a);
	sl_loop_leave(other, l);
}

static void test_loop__a_timer_set_by_a_visitor_wakes_the_owner(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0), *b = started("b", 1);
	struct alarm_clock a = {.l = l};
	run_on(b, visit_and_set, &a);
	for (int i = 0; i < 60000 && a.late_ms == 0; i++) usleep(1000);
	assert_true(a.late_ms >= 30);
	ended(l);
	ended(b);
}

/* ---- libuv inside ---- */

static _Atomic int uv_fired;
static uv_timer_t uv_timer;

static void uv_timer_fired(uv_timer_t *t) {
	uv_fired++;
	if (uv_fired == 3) uv_close((uv_handle_t *)t, NULL);
}

static void uv_timer_begin(struct sl_loop *l, void *arg) {
	(void)arg;
	uv_timer_init(sl_loop_uv(l), &uv_timer);
	uv_timer_start(&uv_timer, uv_timer_fired, 5, 5);
}

static void test_loop__libuv_handles_live_inside(void **state) {
	(void)state;
	struct sl_loop *l = started("a", 0);
	uv_fired = 0;
	run_on(l, uv_timer_begin, NULL);
	for (int i = 0; i < 60000 && uv_fired < 3; i++) usleep(1000);
	assert_int_equal(uv_fired, 3);
	ended(l);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_loop__letters_of_each_sender_arrive_in_order),
	    cmocka_unit_test(test_loop__letters_left_behind_run_after_join),
	    cmocka_unit_test(test_loop__a_nap_is_ended_by_letters_in_a_hurry_only),
	    cmocka_unit_test(test_loop__a_nap_ends_by_itself),
	    cmocka_unit_test(test_loop__a_letter_that_cannot_wait_so_long_ends_a_nap),
	    cmocka_unit_test(test_loop__no_nap_begins_before_a_letter_that_cannot_wait_so_long),
	    cmocka_unit_test(test_loop__visits_and_letters_together_lose_nothing),
	    cmocka_unit_test(test_loop__a_sleeping_loop_can_be_visited),
	    cmocka_unit_test(test_loop__timer_fires_after_its_delay),
	    cmocka_unit_test(test_loop__a_timer_set_by_a_visitor_wakes_the_owner),
	    cmocka_unit_test(test_loop__libuv_handles_live_inside),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
