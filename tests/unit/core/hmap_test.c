#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rng.h"

struct slot {
	uint64_t hash;
	bool used;
	uint32_t key;
	uint32_t value;
};
#define HMAP_NAME number_map
#define HMAP_SLOT struct slot
#define HMAP_KEY uint32_t
#define HMAP_EQUAL(slot, key_) ((slot)->key == (key_))
#include "hmap.h"

static void test_hmap__is_empty_at_first(void **state) {
	(void)state;
	struct number_map m = {0};
	assert_null(number_map_find(&m, 1, 1));
	HMAP_FOREACH(number_map, it, &m) fail();
	number_map_fini(&m);
}

static void test_hmap__put_finds_what_was_there(void **state) {
	(void)state;
	struct number_map m = {0};
	bool was_there;
	struct slot *s = number_map_put(&m, 42, 1, &was_there);
	assert_false(was_there);
	s->key = 1;
	s->value = 7;
	s = number_map_put(&m, 42, 1, &was_there);
	assert_true(was_there);
	assert_int_equal(s->value, 7);
	assert_int_equal(m.len, 1);
	number_map_fini(&m);
}

static void test_hmap__remove_closes_gaps_in_a_run_of_equal_hashes(void **state) {
	(void)state;
	struct number_map m = {0};
	bool was_there;
	for (uint32_t i = 0; i < 5; i++) number_map_put(&m, 7, i, &was_there)->key = i; /* wraps at slot 8 */
	number_map_remove(&m, number_map_find(&m, 7, 1));
	assert_null(number_map_find(&m, 7, 1));
	for (uint32_t i = 2; i < 5; i++) assert_non_null(number_map_find(&m, 7, i));
	assert_non_null(number_map_find(&m, 7, 0));
	number_map_fini(&m);
}

/* The twin: an array with one place for every key. Poor hashes on purpose, so that runs are long and wrap. */
enum { KEYS = 300 };
static uint64_t poor_hash(uint32_t key) { return (uint64_t)key * key % 31; }

static void check_against_twin(const struct number_map *m, const uint32_t *twin, size_t live) {
	size_t seen = 0;
	HMAP_FOREACH(number_map, it, m) {
		assert_int_equal(twin[it->key], it->value);
		seen++;
	}
	assert_int_equal(seen, live);
	assert_int_equal(m->len, live);
	for (uint32_t key = 0; key < KEYS; key++) {
		const struct slot *s = number_map_find(m, poor_hash(key), key);
		assert_int_equal(s ? s->value : 0, twin[key]);
	}
}

static void test_hmap__agrees_with_a_naive_twin(void **state) {
	(void)state;
	struct number_map m = {0};
	uint32_t twin[KEYS] = {0}; /* 0: not there */
	size_t live = 0;
	for (uint32_t step = 1; step < 20000; step++) {
		uint32_t key = (uint32_t)sl_rng_below(KEYS);
		bool was_there;
		if (sl_rng_below(2) == 0) {
			struct slot *s = number_map_put(&m, poor_hash(key), key, &was_there);
			assert_int_equal(was_there, twin[key] != 0);
			live += !was_there;
			s->key = key;
			s->value = twin[key] = step;
		} else if (twin[key]) {
			number_map_remove(&m, number_map_find(&m, poor_hash(key), key));
			twin[key] = 0;
			live--;
		}
		if (step % 500 == 0) check_against_twin(&m, twin, live);
	}
	check_against_twin(&m, twin, live);
	number_map_fini(&m);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hmap__is_empty_at_first),
	    cmocka_unit_test(test_hmap__put_finds_what_was_there),
	    cmocka_unit_test(test_hmap__remove_closes_gaps_in_a_run_of_equal_hashes),
	    cmocka_unit_test(test_hmap__agrees_with_a_naive_twin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
