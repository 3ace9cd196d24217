/* fn_test.c: what all functions have in common: text counts characters, arguments are checked, results have a range, and what
 * is not said to fail does not. Their examples: tests/unit/rules/examples_test.c; the reference that is printed from their
 * tables: functions_test.c there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "jq_worker.h"
#include "mem.h"
#include "rule_functions.h"
#include "sql_base64.h"
#include "sql_case.h"
#include "sql_fn.h"

static const struct sql_case event = {
    .topic = {"t/a", 3}, .payload = {"{}", 2}, .clientid = {"c1", 2}, .timestamp = 1700000000123};

static int compile(enum sql_dialect dialect, struct sl_slice sql, struct sql_program **p, struct sl_err *err) {
	struct sql_compile_opts opts = {.dialect = dialect, .source = sql_case_find};
	return sql_compile(sql, &opts, p, err);
}

/* "SELECT e AS x" of an event, as JSON text; or "error: ..." */
static char *value_in(enum sql_dialect dialect, const char *expression) {
	struct sl_buf sql = SL_BUF_INIT, rows = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct sql_program *p;
	struct sql_vm *vm = sql_vm_new();
	sl_buf_printf(&sql, "SELECT %s AS x FROM 't/#'", expression);
	if (compile(dialect, sl_buf_slice(&sql), &p, &err) != SL_OK)
		sl_buf_printf(&rows, "error: %s", sl_err_text(&err));
	else if (sql_case_rows(vm, p, &event, &rows) == SQL_FAILED)
		sl_buf_printf(&rows, "error: %s", sl_err_text(sql_vm_error(vm)));
	sql_program_free(p);
	sql_vm_free(vm);
	sl_err_fini(&err);
	sl_buf_fini(&sql);
	struct sl_slice row = slice_trim(sl_buf_slice(&rows));
	bool is_row = slice_starts_with(row, SL_SLICE_LIT("{\"x\":"));
	char *text = slice_dup(is_row ? slice_sub(row, 5, row.n - 6) : row);
	sl_buf_fini(&rows);
	return text;
}
static char *value_of(const char *expression) { return value_in(SQL_STANDARD, expression); }

static void test_fn__every_row_is_complete(void **state) {
	(void)state;
	size_t n;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n; j++) {
			const struct sql_fn *fn = &f[i]->fns[j];
			assert_non_null(fn->usage);
			assert_non_null(fn->doc);
			assert_non_null(fn->example);
			assert_non_null(fn->gives);
			assert_ptr_equal(sql_fn_find(f[i]->dialect, slice_from_str(fn->name)), fn);
		}
}

/* Arguments for each letter of sql_fn.args; of the kind that is asked for, for others are refused as the reference says. */
static const char *const texts[] = {
    "''",      "'a'",    "'-5'",      "'retain'",       "'1e999'", "'{\"a\":1}'", "'\xe4\xbd\xa0'",
    "'~s ~b'", "'%Y ['", "'a.[b].1'", "pad('x', 2000)", "'\\\\x'", "true",
};
static const char *const integers[] = {"0", "1", "-1", "3", "9223372036854775807", "(-9223372036854775807 - 1)"};
static const char *const numbers[] = {"0",     "-1",     "2.5",   "9223372036854775807", "(-9223372036854775807 - 1)",
				      "1e308", "-1e308", "5e-324"};
static const char *const lists[] = {"[]", "[1, 'a', [2]]", "[null, true]", "json_decode('[1e999, null]')"};
static const char *const objects[] = {"map_new()", "json_decode('{\"a\":{\"b\":1},\"c\":null}')"};
static const char *const anything[] = {
    "null", "true", "-7", "1e308", "'x'", "''", "[1]", "map_new()", "json_decode('null')", "pad('x', 70000)"};
static const struct pool {
	char letter;
	const char *const *of;
	size_t n;
} pools[] = {
    {'s', texts, SL_ARRAY_LEN(texts)},       {'i', integers, SL_ARRAY_LEN(integers)},
    {'n', numbers, SL_ARRAY_LEN(numbers)},   {'l', lists, SL_ARRAY_LEN(lists)},
    {'m', objects, SL_ARRAY_LEN(objects)},   {'a', anything, SL_ARRAY_LEN(anything)},
    {'t', anything, SL_ARRAY_LEN(anything)},
};

static const struct pool *pool_of(char letter) {
	for (size_t i = 0; i < SL_ARRAY_LEN(pools); i++)
		if (pools[i].letter == letter) return &pools[i];
	fail_msg("sql_fn.h knows no argument '%c'", letter);
	return NULL;
}

/* A call with n arguments, the round-th choice of them. False when all were seen. */
static bool choice(const struct sql_fn *fn, uint32_t n, size_t round, struct sl_buf *call) {
	const char *kind = fn->args;
	sl_buf_clear(call);
	sl_buf_printf(call, "%s(", fn->name);
	for (uint32_t i = 0; i < n; i++) {
		if (*kind == '?') kind++;
		const struct pool *p = pool_of(*kind);
		sl_buf_printf(call, "%s%s", i ? ", " : "", p->of[round % p->n]);
		round /= p->n;
		if (kind[1] && kind[1] != '*') kind++;
	}
	sl_buf_put(call, ')');
	return round == 0;
}

static size_t does_not_fail(const struct sql_fn *fn) {
	struct sl_buf call = SL_BUF_INIT;
	uint32_t least, most;
	size_t calls = 0;
	sql_fn_arity(fn, &least, &most);
	for (uint32_t n = least; n <= most && n <= least + 2; n++)
		for (size_t round = 0; choice(fn, n, round, &call); round++, calls++) {
			char *got = value_of(sl_buf_cstr(&call));
			if (strncmp(got, "error: ", 7) == 0)
				print_error("%s: %s; the reference says that it does not fail\n", sl_buf_cstr(&call),
					    got);
			sl_free(got);
		}
	sl_buf_fini(&call);
	return calls;
}

static void test_fn__that_name_no_error_do_not_fail(void **state) {
	(void)state;
	size_t n, calls = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; f[i]->dialect == SQL_STANDARD && j < f[i]->n; j++)
			if (!f[i]->fns[j].errors && !f[i]->fns[j].aggregate) calls += does_not_fail(&f[i]->fns[j]);
	assert_true(calls > 1000);
}

static void assert_value(const char *expression, const char *expected) {
	char *got = value_of(expression);
	assert_string_equal(got, expected);
	sl_free(got);
}

static void test_fn__text_counts_characters(void **state) {
	(void)state;
	assert_value("strlen('e\xcc\x81')", "1"); /* e and an accent of its own */
	assert_value("strlen('\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7')", "1");
	assert_value("reverse('ae\xcc\x81')", "\"e\xcc\x81"
					      "a\"");
	assert_value("substr('abc', 5)", "\"\"");
}

static void test_fn__arguments_are_checked(void **state) {
	(void)state;
	assert_value("upper(1)", "error: upper(): argument 1 must be text, got integer");
	assert_value("abs('x')", "error: abs(): argument 1 must be a number, got string");
	assert_value("length('x')", "error: length(): argument 1 must be an array, got string");
	assert_value("map_size('[1]')", "error: map_size(): argument 1 must be an object, got string");
	assert_value("bitand(1.5, 1)", "error: bitand(): argument 1 must be an integer, got float");
}

static void test_fn__no_result_out_of_range(void **state) {
	(void)state;
	assert_value("exp(1000)", "error: exp(): there is no finite result");
	assert_value("floor(1e300)", "error: floor(): the result does not fit 64 bits");
	assert_value("abs(-9223372036854775807 - 1)", "error: integer overflow: the result of - does not fit 64 bits");
	assert_value("bitsl(1, 63)", "error: bitsl(): the result does not fit 64 bits");
	assert_value("bitsr(-1, 9223372036854775807)", "-1");
	assert_value("pad('x', 9999999)", "error: pad(): the length is at most 1048576");
}

static void test_base64__reads_back(void **state) {
	(void)state;
	char bytes[67];
	for (size_t n = 0; n < sizeof bytes; n++) {
		struct sl_buf text = SL_BUF_INIT, back = SL_BUF_INIT;
		for (size_t i = 0; i < n; i++) bytes[i] = (char)(i * 37 + n);
		sql_base64_encode(slice_make(bytes, n), SQL_BASE64_URLSAFE, &text);
		assert_int_equal(sql_base64_decode(sl_buf_slice(&text), SQL_BASE64_URLSAFE, &back), SL_OK);
		assert_true(slice_equal(sl_buf_slice(&back), slice_make(bytes, n)));
		sl_buf_fini(&text);
		sl_buf_fini(&back);
	}
}

int main(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], JQ_WORKER_COMMAND) == 0) return cmd_jq_worker(argc, argv);
	rule_functions_register();
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fn__every_row_is_complete),
	    cmocka_unit_test(test_fn__that_name_no_error_do_not_fail),
	    cmocka_unit_test(test_fn__text_counts_characters),
	    cmocka_unit_test(test_fn__arguments_are_checked),
	    cmocka_unit_test(test_fn__no_result_out_of_range),
	    cmocka_unit_test(test_base64__reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
