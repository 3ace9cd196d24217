/* window_test.c: groups of open windows: bounds, threads, and a naive twin for hopping windows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "sql_case.h"
#include "sql_window.h"

struct world {
	struct sql_memory memory;
	struct sql_program *program;
	struct sql_windows *windows;
	struct sql_vm *vm;
	struct sl_arena arena;
};

static void world_init(struct world *w, const char *group_by, size_t bytes_max, size_t stripes) {
	struct sl_err err = SL_ERR_INIT;
	char sql[256];
	(void)snprintf(
	    sql, sizeof sql,
	    "SELECT count(*) AS n, sum(payload.v) AS s, max(payload.v) AS m FROM 't/#' GROUP BY payload.k, %s",
	    group_by);
	if (sql_case_compile(slice_from_str(sql), &w->program, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	sql_memory_init(&w->memory, bytes_max);
	w->windows = sql_windows_new(sql_program_window(w->program), &w->memory, stripes);
	w->vm = sql_vm_new();
	sl_arena_init(&w->arena, 1024);
}

static void world_fini(struct world *w) {
	sql_windows_free(w->windows);
	assert_int_equal(w->memory.bytes, 0);
	assert_int_equal(w->memory.keys, 0);
	sl_arena_fini(&w->arena);
	sql_vm_free(w->vm);
	sql_program_free(w->program);
}

static int add(struct sql_windows *windows, struct sql_vm *vm, int64_t k, int64_t v, int64_t now_ms) {
	struct sql_value values[] = {sql_int(k), sql_int(v), sql_int(v)};
	struct sql_out row = {.values = values, .count = 3};
	return sql_windows_add(windows, vm, &row, now_ms, 0);
}

static void test_windows__groups_without_end_are_refused_at_the_ceiling(void **state) {
	(void)state;
	struct world w;
	struct sql_window_row row;
	size_t taken = 0, refused = 0, rows = 0;
	world_init(&w, "tumbling('1s')", 1 << 20, 4);
	for (int i = 0; i < 20000; i++) {
		int r = add(w.windows, w.vm, i, 1, 500);
		taken += r == SL_OK;
		refused += r == SL_ENOSPACE;
	}
	assert_int_equal(taken + refused, 20000);
	assert_true(taken > 500 && refused > 10000);
	assert_int_equal(w.memory.refused, refused);
	assert_true(w.memory.bytes <= (1 << 20) / SQL_STATE_SHARE);
	assert_int_equal(add(w.windows, w.vm, 3, 1, 600), SL_OK); /* those that are there go on */
	for (; sql_windows_next(w.windows, 1000, &w.arena, &row); sl_arena_reset(&w.arena)) rows++;
	assert_int_equal(rows, taken);
	assert_int_equal(w.memory.bytes, 0);
	assert_int_equal(add(w.windows, w.vm, 19999, 1, 1100), SL_OK); /* and there is room again */
	world_fini(&w);
}

/* The group fits, its text does not: then there is no group either, and no row of no message. */
static void test_windows__a_refused_message_leaves_no_group(void **state) {
	(void)state;
	struct world w;
	struct sql_window_row row;
	static char text[SQL_STATE_VALUE_MAX];
	size_t taken = 0, refused = 0, rows = 0;
	world_init(&w, "tumbling('1s')", 1 << 20, 4);
	memset(text, 'a', sizeof text);
	for (int i = 0; i < 100; i++) {
		struct sql_value values[] = {sql_int(i), sql_null(), sql_string(slice_make(text, sizeof text))};
		struct sql_out out = {.values = values, .count = 3};
		int r = sql_windows_add(w.windows, w.vm, &out, 500, 0);
		taken += r == SL_OK;
		refused += r == SL_ENOSPACE;
	}
	assert_int_equal(taken + refused, 100);
	assert_int_equal(sql_windows_groups(w.windows), taken);
	for (; sql_windows_next(w.windows, 1000, &w.arena, &row); sl_arena_reset(&w.arena)) rows++;
	assert_int_equal(rows, taken);
	world_fini(&w);
}

static void test_windows__texts_count(void **state) {
	(void)state;
	struct world w;
	static char text[SQL_STATE_VALUE_MAX + 1];
	world_init(&w, "tumbling('1s')", 1 << 20, 1);
	size_t before = w.memory.bytes;
	struct sql_value values[] = {sql_int(1), sql_null(), sql_string(slice_make(text, 60000))};
	struct sql_out row = {.values = values, .count = 3};
	memset(text, 'a', sizeof text);
	assert_int_equal(sql_windows_add(w.windows, w.vm, &row, 1, 0), SL_OK);
	assert_true(w.memory.bytes - before > 60000);
	size_t after = w.memory.bytes;
	assert_int_equal(sql_windows_add(w.windows, w.vm, &row, 1, 0), SL_OK);
	assert_int_equal(w.memory.bytes, after);
	values[2] = sql_string(slice_make(text, sizeof text));
	assert_int_equal(sql_windows_add(w.windows, w.vm, &row, 1, 0), SL_ELIMIT);
	world_fini(&w);
}

enum { TIME = 400, SIZE = 60, HOP = 10, KINDS = 4 }; /* in units of 100 ms */

/* Each message is added to every window it is part of. */
static void test_windows__hopping_ones_are_what_a_naive_twin_says(void **state) {
	(void)state;
	static int64_t count[TIME / HOP + 1][KINDS], sum[TIME / HOP + 1][KINDS];
	struct world w;
	struct sql_window_row row;
	uint64_t x = 7;
	size_t rows = 0, expected = 0;
	memset(count, 0, sizeof count);
	memset(sum, 0, sizeof sum);
	world_init(&w, "hopping('6s', '1s')", 0, 3);
	for (int t = SIZE; t < TIME - SIZE; t++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		int k = (int)(x >> 62), v = (int)(x >> 50) % 1000;
		if ((t / 37) % 3 == 0) continue; /* gaps */
		assert_int_equal(add(w.windows, w.vm, k, v, t * 100), SL_OK);
		for (int end = t / HOP + 1; end <= t / HOP + SIZE / HOP; end++) {
			expected += count[end][k]++ == 0;
			sum[end][k] += v;
		}
		if (t % 23) continue;
		for (; sql_windows_next(w.windows, t * 100, &w.arena, &row); rows++) {
			int64_t end = row.end_ms / 1000;
			assert_int_equal(row.values[1].i, count[end][row.values[0].i]);
			assert_int_equal(row.values[2].i, sum[end][row.values[0].i]);
			assert_int_equal(row.end_ms - row.start_ms, SIZE * 100);
		}
	}
	for (; sql_windows_next(w.windows, INT64_MAX, &w.arena, &row); rows++)
		assert_int_equal(row.values[1].i, count[row.end_ms / 1000][row.values[0].i]);
	assert_int_equal(rows, expected);
	assert_int_equal(w.memory.keys, 0);
	world_fini(&w);
}

struct hand {
	pthread_t thread;
	struct world *w;
	int64_t kept; /* sum of what it added, or saw */
};

static _Atomic int64_t the_time;
static _Atomic int hands_left;

static void *adder_run(void *arg) {
	struct hand *h = arg;
	struct sql_vm *vm = sql_vm_new();
	for (int i = 0; i < 20000; i++)
		if (add(h->w->windows, vm, i % 97, i, atomic_load(&the_time)) == SL_OK) h->kept += i;
	sql_vm_free(vm);
	atomic_fetch_sub(&hands_left, 1);
	return NULL;
}

/* No message is lost, and none is counted twice, whoever adds while windows end. */
static void test_windows__end_while_others_add(void **state) {
	(void)state;
	struct world w;
	struct hand hands[3];
	struct sql_window_row row;
	int64_t added = 0, seen = 0;
	world_init(&w, "tumbling('1s')", 0, 8);
	atomic_store(&the_time, 1000);
	atomic_store(&hands_left, SL_ARRAY_LEN(hands));
	for (size_t i = 0; i < SL_ARRAY_LEN(hands); i++) {
		hands[i] = (struct hand){.w = &w};
		assert_int_equal(pthread_create(&hands[i].thread, NULL, adder_run, &hands[i]), 0);
	}
	while (atomic_load(&hands_left)) {
		int64_t now = atomic_fetch_add(&the_time, 100) + 100;
		for (; sql_windows_next(w.windows, now, &w.arena, &row); sl_arena_reset(&w.arena))
			seen += row.values[2].i;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(hands); i++) {
		pthread_join(hands[i].thread, NULL);
		added += hands[i].kept;
	}
	for (; sql_windows_next(w.windows, INT64_MAX, &w.arena, &row); sl_arena_reset(&w.arena))
		seen += row.values[2].i;
	assert_int_equal(seen, added);
	world_fini(&w);
}

static void test_duration__says_what_it_takes(void **state) {
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} all[] = {{"500ms", 500},    {"10s", 10000},     {"1m", 60000},
		   {"1.5h", 5400000}, {"1h30m", 5400000}, {"7d", 604800000}};
	static const char *const wrong[] = {"", "s", "10", "10 s", "1x", "ten", "1s ", "99999999999d", "1..5s", "-1s"};
	int64_t ms;
	for (size_t i = 0; i < SL_ARRAY_LEN(all); i++) {
		assert_int_equal(sql_duration(slice_from_str(all[i].text), &ms), SL_OK);
		assert_int_equal(ms, all[i].ms);
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(wrong); i++)
		assert_int_equal(sql_duration(slice_from_str(wrong[i]), &ms), SL_EMALFORMED);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_windows__groups_without_end_are_refused_at_the_ceiling),
	    cmocka_unit_test(test_windows__a_refused_message_leaves_no_group),
	    cmocka_unit_test(test_windows__texts_count),
	    cmocka_unit_test(test_windows__hopping_ones_are_what_a_naive_twin_says),
	    cmocka_unit_test(test_windows__end_while_others_add),
	    cmocka_unit_test(test_duration__says_what_it_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
