/* state_test.c: stores of what rules remember: bounds, what is forgotten, time, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "err.h"
#include "rng.h"
#include "sql_state.h"

struct world {
	struct sql_memory memory;
	struct sql_store *store;
	struct sl_arena arena;
};

static void world_init(struct world *w, size_t bytes_max) {
	sql_memory_init(&w->memory, bytes_max);
	w->store = sql_store_new(&w->memory, 0);
	sl_arena_init(&w->arena, 1024);
}

static void world_fini(struct world *w) {
	sql_store_free(w->store);
	sl_arena_fini(&w->arena);
	assert_int_equal(w->memory.bytes, 0);
	assert_int_equal(w->memory.keys, 0);
}

static struct sql_key key(const char *text) { return (struct sql_key){.text = slice_from_str(text)}; }

static int put(struct world *w, const char *name, int64_t value) {
	struct sql_key k = key(name);
	struct sql_value v = sql_int(value);
	return sql_store_put(w->store, &k, &v, 0, 0, &w->arena, NULL);
}

/* -1: nothing there. */
static int64_t get(struct world *w, const char *name) {
	struct sql_key k = key(name);
	struct sql_value v;
	assert_int_equal(sql_store_get(w->store, &k, 0, &w->arena, &v), SL_OK);
	return v.kind == SQL_INT ? v.i : -1;
}

static void test_store__gives_back_what_was_put(void **state) {
	(void)state;
	struct world w;
	struct sql_value old;
	world_init(&w, 1 << 20);
	assert_int_equal(get(&w, "a"), -1);
	assert_int_equal(put(&w, "a", 1), SL_OK);
	assert_int_equal(put(&w, "b", 2), SL_OK);
	assert_int_equal(put(&w, "a", 3), SL_OK);
	assert_int_equal(get(&w, "a"), 3);
	assert_int_equal(get(&w, "b"), 2);
	assert_int_equal(sql_store_keys(w.store), 2);
	struct sql_key k = key("a");
	assert_int_equal(sql_store_del(w.store, &k, 0, &w.arena, &old), SL_OK);
	assert_int_equal(old.i, 3);
	assert_int_equal(get(&w, "a"), -1);
	assert_int_equal(sql_store_del(w.store, &k, 0, &w.arena, &old), SL_OK);
	assert_int_equal(old.kind, SQL_NULL);
	world_fini(&w);
}

static void test_store__values_grow_and_shrink(void **state) {
	(void)state;
	static char text[SQL_STATE_VALUE_MAX + 1];
	static const size_t sizes[] = {0, 1, 15, 16, 17, 4000, 10, SQL_STATE_VALUE_MAX, 3};
	struct world w;
	struct sql_key k = key("a");
	struct sql_value got;
	world_init(&w, 4 << 20);
	memset(text, 'x', sizeof text);
	for (size_t i = 0; i < SL_ARRAY_LEN(sizes); i++) {
		struct sql_value v = sql_string(slice_make(text, sizes[i]));
		assert_int_equal(sql_store_put(w.store, &k, &v, 0, 0, &w.arena, &got), SL_OK);
		if (i) assert_int_equal(got.n, sizes[i - 1]);
		assert_int_equal(sql_store_get(w.store, &k, 0, &w.arena, &got), SL_OK);
		assert_int_equal(got.n, sizes[i]);
	}
	struct sql_value large = sql_string(slice_make(text, sizeof text));
	assert_int_equal(sql_store_put(w.store, &k, &large, 0, 0, &w.arena, NULL), SL_ELIMIT);
	struct sql_key long_key = {.text = slice_make(text, SQL_STATE_KEY_MAX + 1)};
	assert_int_equal(sql_store_put(w.store, &long_key, &got, 0, 0, &w.arena, NULL), SL_ELIMIT);
	assert_true(w.memory.bytes < 1024);
	world_fini(&w);
}

static void test_store__keys_without_end_stay_below_the_ceiling(void **state) {
	(void)state;
	struct world w;
	char name[32];
	world_init(&w, 1 << 20);
	for (int i = 0; i < 100000; i++) {
		(void)snprintf(name, sizeof name, "device-%d", i);
		assert_int_equal(put(&w, name, i), SL_OK);
		if (i % 100 == 0) assert_int_equal(put(&w, "used", 1), SL_OK);
		assert_true(w.memory.bytes <= (1 << 20) / SQL_STATE_SHARE);
	}
	assert_true(w.memory.evicted > 90000);
	assert_int_equal(w.memory.evicted + sql_store_keys(w.store), 100001);
	assert_int_equal(get(&w, "used"), 1); /* what is used stays */
	assert_int_equal(get(&w, "device-99999"), 99999);
	assert_int_equal(get(&w, "device-0"), -1);
	sl_arena_reset(&w.arena);
	world_fini(&w);
}

static void test_store__that_has_nothing_to_forget_refuses(void **state) {
	(void)state;
	struct world w;
	world_init(&w, 1 << 20);
	assert_true(sql_memory_take(&w.memory, 1 << 20)); /* others have it all */
	assert_int_equal(put(&w, "a", 1), SL_ENOSPACE);
	assert_int_equal(w.memory.refused, 1);
	assert_int_equal(get(&w, "a"), -1);
	sql_memory_give(&w.memory, 1 << 20);
	assert_int_equal(put(&w, "a", 1), SL_OK);
	world_fini(&w);
}

static void test_store__what_has_expired_is_gone(void **state) {
	(void)state;
	struct world w;
	struct sql_key k = key("a");
	struct sql_value v = sql_int(7), got;
	world_init(&w, 1 << 20);
	assert_int_equal(sql_store_put(w.store, &k, &v, 1000, 1500, &w.arena, NULL), SL_OK);
	sql_store_get(w.store, &k, 1499, &w.arena, &got);
	assert_int_equal(got.kind, SQL_INT);
	sql_store_get(w.store, &k, 1500, &w.arena, &got);
	assert_int_equal(got.kind, SQL_NULL);
	assert_int_equal(sql_store_keys(w.store), 0);
	assert_int_equal(sql_store_put(w.store, &k, &v, 1600, 1700, &w.arena, NULL), SL_OK);
	assert_int_equal(sql_store_put(w.store, &k, &v, 1800, 0, &w.arena, &got), SL_OK);
	assert_int_equal(got.kind, SQL_NULL);
	sql_store_get(w.store, &k, INT64_MAX, &w.arena, &got);
	assert_int_equal(got.kind, SQL_INT);
	world_fini(&w);
}

static void test_store__an_owner_goes_with_all_its_keys(void **state) {
	(void)state;
	struct world w;
	struct sql_value v = sql_int(1), got;
	char name[16];
	world_init(&w, 1 << 20);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof name, "%d", i / 2);
		struct sql_key k = {.owner = i % 2 ? SL_SLICE_LIT("c1") : SL_SLICE_LIT("c2"),
				    .text = slice_from_str(name)};
		assert_int_equal(sql_store_put(w.store, &k, &v, 0, 0, &w.arena, NULL), SL_OK);
	}
	assert_int_equal(sql_store_keys(w.store), 100);
	sql_store_drop_owner(w.store, SL_SLICE_LIT("c1"));
	sql_store_drop_owner(w.store, SL_SLICE_LIT("nobody"));
	assert_int_equal(sql_store_keys(w.store), 50);
	struct sql_key k = {.owner = SL_SLICE_LIT("c2"), .text = SL_SLICE_LIT("7")};
	sql_store_get(w.store, &k, 0, &w.arena, &got);
	assert_int_equal(got.kind, SQL_INT);
	k.owner = SL_SLICE_LIT("c1");
	sql_store_get(w.store, &k, 0, &w.arena, &got);
	assert_int_equal(got.kind, SQL_NULL);
	world_fini(&w);
}

struct hand {
	pthread_t thread;
	struct sql_store *store;
	uint64_t seed;
};

/* Puts, gets, deletes and drops at random; what is found is what somebody put there. */
static void *hand_run(void *arg) {
	struct hand *h = arg;
	struct sl_arena arena;
	uint64_t x = h->seed;
	char name[32], owner[8];
	sl_arena_init(&arena, 1024);
	for (int i = 0; i < 20000; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		int n = (int)(x >> 33) % 3000;
		(void)snprintf(name, sizeof name, "%d", n);
		(void)snprintf(owner, sizeof owner, "c%d", n % 5);
		struct sql_key k = {.text = slice_from_str(name), .number = (uint64_t)n % 3};
		if (n % 2) k.owner = slice_from_str(owner);
		struct sql_value v = sql_string(k.text), old = sql_null();
		unsigned what = (unsigned)(x >> 60);
		if (what < 8)
			sql_store_put(h->store, &k, &v, i, what == 0 ? i + 10 : 0, &arena, &old);
		else if (what < 14)
			sql_store_get(h->store, &k, i, &arena, &old);
		else if (what == 14)
			sql_store_del(h->store, &k, i, &arena, &old);
		else if (i % 50 == 0)
			sql_store_drop_owner(h->store, slice_from_str(owner));
		if (old.kind != SQL_NULL && !slice_equal(sql_value_text(&old), k.text)) return h;
		sl_arena_reset(&arena);
	}
	sl_arena_fini(&arena);
	return NULL;
}

static void test_store__many_threads_meet_in_it(void **state) {
	(void)state;
	struct world w;
	struct hand hands[4];
	world_init(&w, 1 << 20); /* a fourth of it is less than the keys need */
	for (size_t i = 0; i < SL_ARRAY_LEN(hands); i++) {
		hands[i] = (struct hand){.store = w.store, .seed = i + 1};
		assert_int_equal(pthread_create(&hands[i].thread, NULL, hand_run, &hands[i]), 0);
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(hands); i++) {
		void *wrong;
		pthread_join(hands[i].thread, &wrong);
		assert_null(wrong);
	}
	assert_true(w.memory.bytes <= 1 << 20);
	world_fini(&w);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_store__gives_back_what_was_put),
	    cmocka_unit_test(test_store__values_grow_and_shrink),
	    cmocka_unit_test(test_store__keys_without_end_stay_below_the_ceiling),
	    cmocka_unit_test(test_store__that_has_nothing_to_forget_refuses),
	    cmocka_unit_test(test_store__what_has_expired_is_gone),
	    cmocka_unit_test(test_store__an_owner_goes_with_all_its_keys),
	    cmocka_unit_test(test_store__many_threads_meet_in_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
