#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arena.h"

static void test_arena__gives_aligned_memory(void **state) {
	(void)state;
	struct sl_arena a;
	sl_arena_init(&a, 0);
	char *one = sl_arena_alloc(&a, 1), *two = sl_arena_alloc(&a, 17), *three = sl_arena_alloc(&a, 3);
	assert_int_equal((uintptr_t)one % 16, 0);
	assert_ptr_equal(two, one + 16);
	assert_ptr_equal(three, two + 32);
	sl_arena_fini(&a);
}

static void test_arena__reset_keeps_the_largest_chunk(void **state) {
	(void)state;
	struct sl_arena a;
	sl_arena_init(&a, 256);
	for (int i = 0; i < 100; i++) memset(sl_arena_alloc(&a, 100), 1, 100);
	sl_arena_reset(&a);
	char *first = sl_arena_alloc(&a, 100);
	const struct sl_arena_chunk *chunk = a.chunk;
	for (int i = 0; i < 40; i++) memset(sl_arena_alloc(&a, 100), 2, 100);
	assert_ptr_equal(a.chunk, chunk);
	sl_arena_reset(&a);
	assert_ptr_equal(sl_arena_alloc(&a, 100), first);
	sl_arena_fini(&a);
}

static void test_arena__rewind_gives_back_what_came_after_the_mark(void **state) {
	(void)state;
	struct sl_arena a;
	sl_arena_init(&a, 256);
	struct sl_slice kept = sl_arena_dup(&a, SL_SLICE_LIT("kept"));
	struct sl_arena_mark mark = sl_arena_mark(&a);
	char *next = sl_arena_alloc(&a, 10);
	memset(sl_arena_alloc(&a, 10000), 0x55, 10000);
	sl_arena_rewind(&a, mark);
	assert_ptr_equal(sl_arena_alloc(&a, 10), next);
	assert_true(slice_equal_str(kept, "kept"));
	sl_arena_fini(&a);
}

static void test_arena__rewind_to_the_empty_start(void **state) {
	(void)state;
	struct sl_arena a;
	sl_arena_init(&a, 256);
	struct sl_arena_mark mark = sl_arena_mark(&a);
	memset(sl_arena_alloc(&a, 1000), 1, 1000);
	sl_arena_rewind(&a, mark);
	memset(sl_arena_alloc(&a, 1000), 2, 1000);
	sl_arena_fini(&a);
}

static void test_arena__repeated_large_jobs_do_not_grow_the_next_chunk(void **state) {
	(void)state;
	struct sl_arena a;
	sl_arena_init(&a, 256);
	assert_non_null(sl_arena_alloc(&a, 16));
	struct sl_arena_mark mark = sl_arena_mark(&a);
	size_t before = 0;
	for (int i = 0; i < 100; i++) {
		memset(sl_arena_alloc(&a, 4096), 1, 4096);
		if (before) assert_int_equal(a.chunk_size, before);
		before = a.chunk_size;
		sl_arena_rewind(&a, mark);
	}
	sl_arena_fini(&a);
}

static void test_arena__zeroes_and_terminates(void **state) {
	(void)state;
	struct sl_arena a;
	sl_arena_init(&a, 256);
	memset(sl_arena_alloc(&a, 200), 0xff, 200);
	sl_arena_reset(&a);
	const int *n = SL_ARENA_ARRAY(&a, int, 3);
	assert_int_equal(n[0] | n[1] | n[2], 0);
	assert_string_equal(sl_arena_strdup(&a, slice_make("abcdef", 3)), "abc");
	assert_string_equal(sl_arena_dup(&a, SL_SLICE_EMPTY).p, "");
	assert_true(slice_equal_str(sl_arena_printf(&a, "%d-%s", 7, "x"), "7-x"));
	assert_non_null(SL_ARENA_ARRAY(&a, int, 0));
	sl_arena_fini(&a);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_arena__gives_aligned_memory),
	    cmocka_unit_test(test_arena__reset_keeps_the_largest_chunk),
	    cmocka_unit_test(test_arena__rewind_gives_back_what_came_after_the_mark),
	    cmocka_unit_test(test_arena__rewind_to_the_empty_start),
	    cmocka_unit_test(test_arena__repeated_large_jobs_do_not_grow_the_next_chunk),
	    cmocka_unit_test(test_arena__zeroes_and_terminates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
