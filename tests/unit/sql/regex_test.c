/* regex_test.c: regular expressions: what they find and replace, and that none of them runs away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "clock.h"
#include "mem.h"
#include "sql_regex.h"
#include "sql_vm.h"

static struct sql_regex *made(enum sql_regex_flavour flavour, const char *pattern, bool machine_code) {
	struct sql_vm *vm = sql_vm_new();
	struct sql_fn fn = {.name = "f"};
	struct sql_call c = {.vm = vm, .arena = &vm->arena, .fn = &fn};
	struct sql_value v = sql_string(slice_from_str(pattern));
	void *prepared = NULL;
	struct sql_regex *re = NULL;
	if (machine_code) {
		assert_int_equal(sql_regex_prepare(&c, flavour, &v, &prepared), SL_OK);
		re = prepared;
	} else {
		sql_regex_new(flavour, slice_from_str(pattern), &re, NULL);
	}
	sql_vm_free(vm);
	assert_non_null(re);
	return re;
}

static void assert_replaced(enum sql_regex_flavour flavour, const char *text, const char *pattern, const char *by,
			    const char *want) {
	for (int machine_code = 0; machine_code < 2; machine_code++) {
		struct sql_vm *vm = sql_vm_new();
		struct sql_regex *re = made(flavour, pattern, machine_code);
		struct sl_buf out = SL_BUF_INIT;
		int r = sql_regex_replace(vm, re, slice_from_str(text), slice_from_str(by), true, &out);
		assert_int_equal(r, want ? SL_OK : SL_EINVAL);
		if (want) assert_string_equal(sl_buf_cstr(&out), want);
		sl_buf_fini(&out);
		sql_regex_free(re);
		sql_vm_free(vm);
	}
}

static void test_regex__replaces_as_java_does(void **state) {
	(void)state;
	assert_replaced(SQL_REGEX_JAVA, "k=v", "(.)=(.)", "$2=$1", "v=k");
	assert_replaced(SQL_REGEX_JAVA, "abc", "x*", "-", "-a-b-c-");
	assert_replaced(SQL_REGEX_JAVA, "baac", "a*", "-", "-b--c-");
	assert_replaced(SQL_REGEX_JAVA, "a", "(a)", "$11", "a1");
	assert_replaced(SQL_REGEX_JAVA, "a.b", "\\.", "\\$\\\\", "a$\\b");
	assert_replaced(SQL_REGEX_JAVA, "2024-05", "(?<y>\\d+)-(?<m>\\d+)", "${m}/${y}", "05/2024");
	assert_replaced(SQL_REGEX_JAVA, "a", "a", "$1", NULL);
	assert_replaced(SQL_REGEX_JAVA, "a", "a", "${no}", NULL);
	assert_replaced(SQL_REGEX_JAVA, "a", "a", "x\\", NULL);
	assert_replaced(SQL_REGEX_JAVA, "\xc3\xa9t\xc3\xa9", "", "-", "-\xc3\xa9-t-\xc3\xa9-");
	assert_replaced(SQL_REGEX_JAVA, "", "^$", "x", "x");
}

static void test_regex__replaces_as_erlang_does(void **state) {
	(void)state;
	assert_replaced(SQL_REGEX_STANDARD, "k=v", "(.)=(.)", "\\2=\\g{1}", "v=k");
	assert_replaced(SQL_REGEX_STANDARD, "abc", "b", "[&]", "a[b]c");
	assert_replaced(SQL_REGEX_STANDARD, "abc", "b", "[\\&]", "a[&]c");
	assert_replaced(SQL_REGEX_STANDARD, "abc", "b", "$1", "a$1c");
	assert_replaced(SQL_REGEX_STANDARD, "abc", "x*", "-", "-a-b-c-");
	assert_replaced(SQL_REGEX_STANDARD, "abc", "b", "\\9", "ac");
}

static void test_regex__lines_end_as_the_flavour_says(void **state) {
	(void)state;
	assert_replaced(SQL_REGEX_STANDARD, "a\r", ".", "x", "xx");
	assert_replaced(SQL_REGEX_JAVA, "a\r", ".", "x", "x\r");
}

static void test_regex__bytes_that_are_no_text_never_match(void **state) {
	(void)state;
	struct sql_vm *vm = sql_vm_new();
	struct sql_regex *re = made(SQL_REGEX_JAVA, "^.b|c$", true);
	struct sql_regex_match m;
	assert_int_equal(sql_regex_find(vm, re,
					SL_SLICE_LIT("\xff"
						     "b\xfe"
						     "c"),
					0, 0, &m),
			 1);
	assert_int_equal(m.ends[0], 3);
	sql_regex_free(re);
	sql_vm_free(vm);
}

static void test_regex__what_is_none_is_told(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct sql_regex *re;
	assert_int_equal(sql_regex_new(SQL_REGEX_JAVA, SL_SLICE_LIT("a(b"), &re, &err), SL_ESYNTAX);
	assert_non_null(strstr(sl_err_text(&err), "at character 3"));
	assert_null(re);
	struct sl_buf long_one = SL_BUF_INIT;
	memset(sl_buf_add(&long_one, SQL_REGEX_PATTERN_MAX + 1), 'a', SQL_REGEX_PATTERN_MAX + 1);
	assert_int_equal(sql_regex_new(SQL_REGEX_JAVA, sl_buf_slice(&long_one), &re, &err), SL_ELIMIT);
	assert_int_equal(sql_regex_new(SQL_REGEX_JAVA, SL_SLICE_LIT("\xff"), &re, &err), SL_ESYNTAX);
	sl_buf_fini(&long_one);
	sl_err_fini(&err);
}

/* Each would run for ages. Sanitizers make the interpreter slow, so the bound here is generous. */
static void test_regex__pathological_patterns_end_soon(void **state) {
	(void)state;
	static const char *const patterns[] = {
	    "^(a+)+$", "^(a|aa)+$",        "(.*)*x.*(.*)*y",    "^(\\w+\\s?)*$",
	    "(a*)*b",  "(?:a?){30}a{30}$", "(x+x+)+y|(a+a+)+b", "^(([a-z])+.)+[A-Z]([a-z])+$"};
	struct sl_buf text = SL_BUF_INIT;
	memset(sl_buf_add(&text, 4000), 'a', 4000);
	sl_buf_append_str(&text, "!");
	for (size_t i = 0; i < SL_ARRAY_LEN(patterns); i++)
		for (int machine_code = 0; machine_code < 2; machine_code++) {
			struct sql_vm *vm = sql_vm_new();
			struct sql_regex *re = made(SQL_REGEX_JAVA, patterns[i], machine_code);
			struct sql_regex_match m;
			clock_t begin = clock(); /* of this process: how busy the machine is does not count */
			int r = sql_regex_find(vm, re, sl_buf_slice(&text), 0, 0, &m);
			clock_t took = (clock() - begin) / (CLOCKS_PER_SEC / 1000);
			print_message("%s %s: %d after %llu ms\n", patterns[i],
				      machine_code ? "compiled" : "interpreted", r, (unsigned long long)took);
			assert_true(r == 0 || r == 1 || r == SL_ELIMIT);
			if (r == SL_ELIMIT) assert_non_null(strstr(sl_err_text(sql_vm_error(vm)), "too many ways"));
			assert_true(took < 4000);
			sql_regex_free(re);
			sql_vm_free(vm);
		}
	sl_buf_fini(&text);
}

static void test_regex__a_run_may_not_match_for_ever(void **state) {
	(void)state;
	struct sql_vm *vm = sql_vm_new();
	struct sql_regex *re = made(SQL_REGEX_JAVA, "b", false);
	struct sql_regex_match m;
	int r = 0;
	sl_clock_set_fake(1000, 0);
	for (int i = 0; i < 100; i++) r = sql_regex_find(vm, re, SL_SLICE_LIT("abc"), 0, 0, &m);
	assert_int_equal(r, 1);
	sl_clock_set_fake(1000 + SQL_REGEX_MS_MAX + 1, 0);
	for (int i = 0; i < 100 && r >= 0; i++) r = sql_regex_find(vm, re, SL_SLICE_LIT("abc"), 0, 0, &m);
	assert_int_equal(r, SL_ELIMIT);
	sl_clock_set_real();
	sql_regex_free(re);
	sql_vm_free(vm);
}

static void test_regex__the_cache_keeps_and_forgets(void **state) {
	(void)state;
	struct sql_vm *vm = sql_vm_new();
	struct sql_fn fn = {.name = "f"};
	struct sql_call c = {.vm = vm, .arena = &vm->arena, .fn = &fn};
	const struct sql_regex *first, *again;
	const char *why = NULL;
	assert_int_equal(sql_regex_for(&c, SQL_REGEX_JAVA, SL_SLICE_LIT("first"), &first, &why), SL_OK);
	for (int i = 0; i < 3 * SQL_REGEX_CACHED; i++) {
		struct sl_slice pattern = sl_arena_printf(&vm->arena, "p%d", i);
		assert_int_equal(sql_regex_for(&c, SQL_REGEX_JAVA, pattern, &again, &why), SL_OK);
		assert_int_equal(sql_regex_for(&c, SQL_REGEX_JAVA, SL_SLICE_LIT("first"), &again, &why), SL_OK);
		assert_ptr_equal(first, again); /* in use, so it stays */
	}
	assert_int_equal(sql_regex_for(&c, SQL_REGEX_STANDARD, SL_SLICE_LIT("first"), &again, &why), SL_OK);
	assert_ptr_not_equal(first, again);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sql_regex_for(&c, SQL_REGEX_JAVA, SL_SLICE_LIT("("), &again, &why), SL_ESYNTAX);
		assert_non_null(strstr(why, "no regular expression"));
	}
	sql_vm_free(vm);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_regex__replaces_as_java_does),
	    cmocka_unit_test(test_regex__replaces_as_erlang_does),
	    cmocka_unit_test(test_regex__lines_end_as_the_flavour_says),
	    cmocka_unit_test(test_regex__bytes_that_are_no_text_never_match),
	    cmocka_unit_test(test_regex__what_is_none_is_told),
	    cmocka_unit_test(test_regex__pathological_patterns_end_soon),
	    cmocka_unit_test(test_regex__a_run_may_not_match_for_ever),
	    cmocka_unit_test(test_regex__the_cache_keeps_and_forgets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
