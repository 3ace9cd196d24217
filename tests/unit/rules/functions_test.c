/* functions_test.c: the tables of functions as a reference: every row says how it is called, what it does and when it fails
 * (its example: examples_test.c); sql/README.md and sql/aws/README.md are printed from them (SLUICE_RENEW=1 writes them anew). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "mem.h"
#include "rule_functions.h"

typedef void (*row_fn)(const struct sql_fn_family *family, const struct sql_fn *fn, size_t *count);
static size_t for_each(row_fn row) {
	size_t n, count = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < f[i]->n; j++) row(f[i], &f[i]->fns[j], &count);
	return count;
}

/* A name, the call in `usage`, one sentence in `doc`; `errors` goes on after "Fails". */
static void is_written_well(const struct sql_fn_family *family, const struct sql_fn *fn, size_t *count) {
	(void)family;
	if (strncmp(fn->usage, fn->name, strlen(fn->name)) != 0) fail_msg("%s(): usage is '%s'", fn->name, fn->usage);
	size_t n = strlen(fn->doc);
	if (n < 8 || !strchr(".?", fn->doc[n - 1]))
		fail_msg("%s(): the meaning is no sentence: '%s'", fn->name, fn->doc);
	if (fn->errors && (!*fn->errors || fn->errors[strlen(fn->errors) - 1] == '.' || strstr(fn->errors, "ails ")))
		fail_msg("%s(): errors go on after \"Fails\": '%s'", fn->name, fn->errors);
	(*count)++;
}

static void test_functions__are_written_well(void **state) {
	(void)state;
	assert_true(for_each(is_written_well) > 200);
}

static char *file_read(const char *path) {
	struct sl_buf text = SL_BUF_INIT;
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	for (int c; (c = fgetc(f)) != EOF;) sl_buf_put(&text, (char)c);
	fclose(f);
	return sl_buf_steal(&text);
}

/* What stands between the heading of the first family and the next chapter. */
static void check_page(const char *path, enum sql_dialect dialect) {
	struct sl_buf printed = SL_BUF_INIT;
	sql_fn_print(dialect, &printed);
	const char *text = sl_buf_cstr(&printed);
	char *page = file_read(path), *heading = sl_memdup0(text, strcspn(text, "\n") + 1);
	char *from = strstr(page, heading);
	if (!from) fail_msg("%s has no place for the functions: a line %s", path, heading);
	char *to = strstr(from, "\n## ");
	if (!to) to = from + strlen(from);
	if (getenv("SLUICE_RENEW")) {
		FILE *f = fopen(path, "w");
		assert_non_null(f);
		fwrite(page, 1, (size_t)(from - page), f);
		fwrite(text, 1, printed.n, f);
		fputs(to, f);
		fclose(f);
	} else if ((size_t)(to - from) != printed.n || memcmp(from, text, printed.n) != 0) {
		fail_msg("%s is not what the tables print; SLUICE_RENEW=1 writes it anew", path);
	}
	sl_free(page);
	sl_free(heading);
	sl_buf_fini(&printed);
}

static void test_functions__committed_references_are_true(void **state) {
	(void)state;
	check_page(SQL_DIR "/README.md", SQL_STANDARD);
	check_page(SQL_DIR "/aws/README.md", SQL_AWS);
}

int main(void) {
	rule_functions_register();
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_functions__are_written_well),
	    cmocka_unit_test(test_functions__committed_references_are_true),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
