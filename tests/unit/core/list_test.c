#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "list.h"

struct item {
	int number;
	struct sl_list link;
};

static int number_of(const struct sl_list *link) {
	return SL_LIST_ENTRY((struct sl_list *)(uintptr_t)link, struct item, link)->number;
}

/* The numbers of the list as one decimal number: 1, 2, 3 is 123. */
static int reading(const struct sl_list *head) {
	int v = 0;
	SL_LIST_FOREACH(it, (struct sl_list *)(uintptr_t)head) v = v * 10 + number_of(it);
	return v;
}

struct fixture {
	struct sl_list head;
	struct item items[4];
};

static void fill(struct fixture *f) {
	sl_list_init(&f->head);
	for (int i = 0; i < 4; i++) {
		f->items[i].number = i + 1;
		sl_list_push_back(&f->head, &f->items[i].link);
	}
}

static void test_list__keeps_order(void **state) {
	(void)state;
	struct fixture f;
	fill(&f);
	struct item five = {.number = 5};
	sl_list_push_front(&f.head, &five.link);
	assert_int_equal(reading(&f.head), 51234);
	assert_int_equal(number_of(sl_list_pop_front(&f.head)), 5);
	assert_int_equal(reading(&f.head), 1234);
}

static void test_list__removing_twice_is_harmless(void **state) {
	(void)state;
	struct fixture f;
	fill(&f);
	sl_list_remove(&f.items[1].link);
	sl_list_remove(&f.items[1].link);
	assert_false(sl_list_linked(&f.items[1].link));
	assert_int_equal(reading(&f.head), 134);
}

static void test_list__foreach_safe_allows_removal(void **state) {
	(void)state;
	struct fixture f;
	fill(&f);
	SL_LIST_FOREACH_SAFE(it, &f.head) if (number_of(it) % 2) sl_list_remove(it);
	assert_int_equal(reading(&f.head), 24);
}

static void test_list__splice_moves_all(void **state) {
	(void)state;
	struct fixture a, b;
	fill(&a);
	fill(&b);
	sl_list_splice_back(&a.head, &b.head);
	assert_int_equal(reading(&a.head), 12341234);
	assert_true(sl_list_empty(&b.head));
	sl_list_splice_back(&a.head, &b.head);
	assert_int_equal(reading(&a.head), 12341234);
	assert_null(sl_list_pop_front(&b.head));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list__keeps_order),
	    cmocka_unit_test(test_list__removing_twice_is_harmless),
	    cmocka_unit_test(test_list__foreach_safe_allows_removal),
	    cmocka_unit_test(test_list__splice_moves_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
