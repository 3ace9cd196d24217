/* fn_test.c: the functions' own examples, and what all of them have in common: text counts characters, arguments are checked,
 * results have a range. The reference that is printed from their tables: tests/unit/rules/functions_test.c. */
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

static void test_fn__every_example_gives_what_it_says(void **state) {
	(void)state;
	size_t n, tried = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n; j++) {
			const struct sql_fn *fn = &f[i]->fns[j];
			if (!fn->example) continue;
			char *got = value_in(f[i]->dialect, fn->example);
			assert_string_equal(got, fn->gives);
			sl_free(got);
			tried++;
		}
	assert_true(tried > 80);
}

static void test_fn__every_row_is_complete(void **state) {
	(void)state;
	size_t n;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n; j++) {
			const struct sql_fn *fn = &f[i]->fns[j];
			assert_non_null(fn->usage);
			assert_non_null(fn->doc);
			assert_int_equal(fn->example == NULL, fn->gives == NULL);
			assert_ptr_equal(sql_fn_find(f[i]->dialect, slice_from_str(fn->name)), fn);
		}
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
	    cmocka_unit_test(test_fn__every_example_gives_what_it_says),
	    cmocka_unit_test(test_fn__every_row_is_complete),
	    cmocka_unit_test(test_fn__text_counts_characters),
	    cmocka_unit_test(test_fn__arguments_are_checked),
	    cmocka_unit_test(test_fn__no_result_out_of_range),
	    cmocka_unit_test(test_base64__reads_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
