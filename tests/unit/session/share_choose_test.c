/* share_choose_test.c: who of a shared group's members gets a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mem.h"
#include "share_choose.h"

enum { N = 8, KEYS = 4000 };

struct group {
	struct share_choice c;
	struct share_member v[N];
};

static int setup(void **state) {
	struct group *g = SL_NEW(struct group);
	for (uint32_t i = 0; i < N; i++) {
		char id[16];
		snprintf(id, sizeof id, "member-%u", i);
		g->v[i] = (struct share_member){.ref = 100 + i,
						.key = sl_hash_stable(slice_from_str(id)),
						.load = share_load_new(),
						.worker = i % 4};
	}
	*state = g;
	return 0;
}

static int teardown(void **state) {
	struct group *g = *state;
	for (uint32_t i = 0; i < N; i++) share_load_unref(g->v[i].load);
	share_choice_fini(&g->c);
	sl_free(g);
	return 0;
}

static uint64_t choose(struct group *g, enum broker_share how, size_t n, int key, uint32_t worker) {
	char text[16];
	snprintf(text, sizeof text, "k%d", key);
	struct share_message m = {.publisher = slice_from_str(text), .topic = slice_from_str(text), .worker = worker};
	return g->v[share_choose(how, &g->c, g->v, n, &m)].ref;
}

static void test_round_robin__is_fair(void **state) {
	struct group *g = *state;
	for (uint32_t i = 0; i < 3 * N; i++)
		assert_int_equal(choose(g, BROKER_SHARE_ROUND_ROBIN, N, (int)i, 0), 100 + i % N);
}

static void test_round_robin__goes_on_when_members_go(void **state) {
	struct group *g = *state;
	for (int i = 0; i < N - 1; i++) choose(g, BROKER_SHARE_ROUND_ROBIN, N, i, 0);
	assert_in_range(choose(g, BROKER_SHARE_ROUND_ROBIN, 2, 0, 0), 100, 101);
}

static void test_random__reaches_all(void **state) {
	struct group *g = *state;
	uint32_t seen = 0;
	for (int i = 0; i < KEYS; i++) seen |= 1u << (choose(g, BROKER_SHARE_RANDOM, N, i, 0) - 100);
	assert_int_equal(seen, (1u << N) - 1);
}

/* The last member leaves, or comes: only its own keys move. */
static void hash_moves_little(struct group *g, enum broker_share how) {
	uint32_t of[N] = {0};
	for (int i = 0; i < KEYS; i++) {
		uint64_t all = choose(g, how, N, i, 0), fewer = choose(g, how, N - 1, i, 0);
		of[all - 100]++;
		if (all != 100 + N - 1) assert_int_equal(all, fewer);
		assert_int_equal(all, choose(g, how, N, i, 0));
	}
	for (int i = 0; i < N; i++) assert_in_range(of[i], KEYS / N / 2, KEYS / N * 2);
}

static void test_hash_clientid__moves_only_what_was_the_leavers(void **state) {
	hash_moves_little(*state, BROKER_SHARE_HASH_CLIENTID);
}

static void test_hash_topic__moves_only_what_was_the_leavers(void **state) {
	hash_moves_little(*state, BROKER_SHARE_HASH_TOPIC);
}

static void test_hash__does_not_depend_on_the_order_of_members(void **state) {
	struct group *g = *state;
	uint64_t before[100];
	for (int i = 0; i < 100; i++) before[i] = choose(g, BROKER_SHARE_HASH_TOPIC, N, i, 0);
	struct share_member first = g->v[0];
	g->v[0] = g->v[N - 1];
	g->v[N - 1] = first;
	for (int i = 0; i < 100; i++) assert_int_equal(choose(g, BROKER_SHARE_HASH_TOPIC, N, i, 0), before[i]);
}

static void test_sticky__stays_when_others_come_and_moves_when_its_own_goes(void **state) {
	struct group *g = *state;
	uint64_t first[100];
	for (int i = 0; i < 100; i++) first[i] = choose(g, BROKER_SHARE_STICKY, 3, i, 0);
	for (int i = 0; i < 100; i++) assert_int_equal(choose(g, BROKER_SHARE_STICKY, N, i, 0), first[i]);
	struct share_member goes = g->v[1];
	g->v[1] = g->v[N - 1];
	g->v[N - 1] = goes;
	for (int i = 0; i < 100; i++) {
		uint64_t now = choose(g, BROKER_SHARE_STICKY, N - 1, i, 0);
		if (first[i] != 101) assert_int_equal(now, first[i]);
		assert_int_not_equal(now, 101);
	}
}

static void test_sticky__memory_is_bounded(void **state) {
	struct group *g = *state;
	for (int i = 0; i < SHARE_STICKY_MAX + 10; i++) choose(g, BROKER_SHARE_STICKY, N, i, 0);
	assert_in_range(g->c.picks.len, 1, SHARE_STICKY_MAX);
}

static void test_local_first__prefers_the_publishers_worker(void **state) {
	struct group *g = *state;
	assert_int_equal(choose(g, BROKER_SHARE_LOCAL_FIRST, N, 0, 2), 102);
	assert_int_equal(choose(g, BROKER_SHARE_LOCAL_FIRST, N, 0, 2), 106);
	assert_int_equal(choose(g, BROKER_SHARE_LOCAL_FIRST, N, 0, 2), 102);
	assert_in_range(choose(g, BROKER_SHARE_LOCAL_FIRST, N, 0, 9), 100, 107);
}

static void test_least_inflight__takes_the_idlest_and_turns_among_equals(void **state) {
	struct group *g = *state;
	for (int i = 0; i < N; i++) atomic_store(&g->v[i].load->held, 5u);
	atomic_store(&g->v[3].load->held, 2u);
	atomic_store(&g->v[6].load->held, 1u);
	atomic_store(&g->v[6].load->arriving, 1);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(choose(g, BROKER_SHARE_LEAST_INFLIGHT, N, 0, 0), i % 2 ? 106 : 103);
}

int main(void) {
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	    TEST(test_round_robin__is_fair),
	    TEST(test_round_robin__goes_on_when_members_go),
	    TEST(test_random__reaches_all),
	    TEST(test_hash_clientid__moves_only_what_was_the_leavers),
	    TEST(test_hash_topic__moves_only_what_was_the_leavers),
	    TEST(test_hash__does_not_depend_on_the_order_of_members),
	    TEST(test_sticky__stays_when_others_come_and_moves_when_its_own_goes),
	    TEST(test_sticky__memory_is_bounded),
	    TEST(test_local_first__prefers_the_publishers_worker),
	    TEST(test_least_inflight__takes_the_idlest_and_turns_among_equals),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
