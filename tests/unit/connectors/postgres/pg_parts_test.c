/* The parts of the postgres kind that need no server: statements taken apart, errors, where COPY says it failed, the texts of a
 * table action, and what a dry run shows. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "connectors_int.h"
#include "pg_error.h"
#include "pg_int.h"

/* ---- Statements. ---- */

static const char *scanned(const char *text) {
	static char out[512];
	struct sl_param_list params = {0};
	struct sl_buf statement = SL_BUF_INIT;
	struct sl_err err = SL_ERR_INIT;
	int r = sl_statement_scan(text, &pg_dialect, &params, &statement, &err);
	if (r == SL_OK) {
		sl_buf_printf(&statement, " |");
		for (size_t i = 0; i < params.n; i++)
			sl_buf_printf(&statement, " %.*s@%u:%u", SL_SLICE_ARG(params.at[i].text), params.at[i].line,
				      params.at[i].column);
	}
	snprintf(out, sizeof out, "%s", r == SL_OK ? sl_buf_cstr(&statement) : sl_err_text(&err));
	sl_params_fini(&params);
	sl_buf_fini(&statement);
	sl_err_fini(&err);
	return out;
}

static void test_statement__values_become_parameters(void **state) {
	(void)state;
	assert_string_equal(scanned("INSERT INTO t VALUES (${a},\n ${ b.c })"),
			    "INSERT INTO t VALUES ($1,\n $2) | ${a}@1:23 ${ b.c }@2:2");
	assert_string_equal(scanned("SELECT ${ upper('}') } ;"), "SELECT $1 ; | ${ upper('}') }@1:8");
	assert_string_equal(scanned("SELECT 'it''s', E'it\\'s', \"$1\", $a$ $1 ' $a$, a$1, ${x}"),
			    "SELECT 'it''s', E'it\\'s', \"$1\", $a$ $1 ' $a$, a$1, $1 | ${x}@1:52");
	assert_string_equal(scanned("SELECT ${x} -- $1\n /* a /* ; */ b */;-- end"),
			    "SELECT $1 -- $1\n /* a /* ; */ b */;-- end | ${x}@1:8");
	assert_string_equal(scanned("SELECT name'x' || ${x}"), "SELECT name'x' || $1 | ${x}@1:19");
}

static void test_statement__traps_are_refused_with_their_place(void **state) {
	(void)state;
	assert_string_equal(scanned("SELECT '${x}'"), "sql: ${x} at 1:9 stands in quotes; write it without them, it is "
						      "bound as a value");
	assert_non_null(strstr(scanned("SELECT $$ ${x} $$"), "1:11 stands in quotes"));
	assert_non_null(strstr(scanned("SELECT E'\\'${x}'"), "stands in quotes"));
	assert_non_null(strstr(scanned("SELECT 'it\\' ${x}'"), "1:18 does not end"));
	assert_non_null(strstr(scanned("SELECT 1 -- ${x}"), "1:13 stands in a comment"));
	assert_non_null(strstr(scanned("SELECT $1"), "`$` at 1:8 is a parameter of PostgreSQL's own"));
	assert_non_null(strstr(scanned("SELECT 1;\nDROP TABLE t"), "a second statement begins at 2:1"));
	assert_non_null(strstr(scanned("SELECT 1; ${x}"), "a second statement begins at 1:11"));
	assert_non_null(strstr(scanned("SELECT 1; 'x'"), "a second statement begins at 1:11"));
	assert_non_null(strstr(scanned("SELECT 'x"), "the quoted text at 1:8 does not end"));
	assert_non_null(strstr(scanned("SELECT /* /* */ 1"), "the comment at 1:8 does not end"));
	assert_non_null(strstr(scanned("SELECT ${x"), "has no `}`"));
	assert_non_null(strstr(scanned("SELECT $a$ x $b$"), "does not end"));
}

static void test_statement__its_first_word(void **state) {
	(void)state;
	assert_true(slice_equal_str(sl_statement_verb(" /* x */ -- y\n ((select 1))", &pg_dialect), "select"));
	assert_int_equal(sl_statement_verb("", &pg_dialect).n, 0);
	assert_int_equal(sl_statement_verb("'x", &pg_dialect).n, 0);
}

static void test_statement__what_stands_within_another_has_no_semicolon(void **state) {
	struct sl_statement_dialect inner = pg_dialect;
	struct sl_param_list params = {0};
	struct sl_buf out = SL_BUF_INIT;
	(void)state;
	inner.flags |= SL_STATEMENT_INNER;
	assert_int_equal(sl_statement_scan("SELECT ';' /* ; */, ${x} ; -- ;", &inner, &params, &out, NULL), SL_OK);
	assert_string_equal(sl_buf_cstr(&out), "SELECT ';' /* ; */, $1   -- ;");
	sl_params_fini(&params);
	sl_buf_fini(&out);
}

/* ---- Errors. ---- */

static void errors_are(const char *sqlstate, enum pg_consequence then, enum sl_result result) {
	enum sl_result got;
	assert_int_equal(pg_error_find(sqlstate, &got), then);
	assert_int_equal(got, result);
}

static void test_errors__code_before_class(void **state) {
	(void)state;
	errors_are("23505", PG_THEN_ROW, SL_RESULT_REJECT);
	errors_are("22P03", PG_THEN_RELOAD, SL_RESULT_LOST);
	errors_are("22P02", PG_THEN_ROW, SL_RESULT_REJECT);
	errors_are("40P01", PG_THEN_NOTHING, SL_RESULT_RETRY);
	errors_are("42P01", PG_THEN_NOT_READY, SL_RESULT_LOST);
	errors_are("53300", PG_THEN_NOTHING, SL_RESULT_THROTTLED);
	errors_are("57P01", PG_THEN_LEAVE, SL_RESULT_LOST);
	errors_are("57014", PG_THEN_NOTHING, SL_RESULT_RETRY);
	errors_are("25006", PG_THEN_LEAVE, SL_RESULT_LOST);
	errors_are("ZZ999", PG_THEN_NOTHING, SL_RESULT_RETRY);
	errors_are(NULL, PG_THEN_NOTHING, SL_RESULT_RETRY);
}

static void test_errors__the_line_that_copy_complains_of(void **state) {
	(void)state;
	assert_int_equal(pg_copy_line("COPY t, line 58, column j: \"x\""), 58);
	assert_int_equal(pg_copy_line("COPY t, line 7"), 7);
	assert_int_equal(pg_copy_line("COPY t 5, line 7, Zeile 9"), 7);
	assert_int_equal(pg_copy_line("COPY readings, Zeile 12: \"...\""), 12);
	assert_int_equal(pg_copy_line("PL/pgSQL function no13() line 3 at RAISE\nCOPY t, line 14"), 14);
	assert_int_equal(pg_copy_line("SQL statement \"SELECT 1, line 3\""), 0);
	assert_int_equal(pg_copy_line("COPY t, line 99999999999999999999"), 0);
	assert_int_equal(pg_copy_line("COPY t, line "), 0);
	assert_int_equal(pg_copy_line("COPY "), 0);
	assert_int_equal(pg_copy_line(""), 0);
	assert_int_equal(pg_copy_line(NULL), 0);
}

static void test_errors__the_column_that_copy_complains_of(void **state) {
	(void)state;
	assert_true(slice_equal_str(pg_copy_column("COPY t, line 58, column j: \"x\""), "j"));
	assert_true(slice_equal_str(pg_copy_column("COPY t, Zeile 58, Spalte two words\nmore"), "two words"));
	assert_true(slice_equal_str(pg_copy_column("COPY t, line 58: \"x\""), ""));
	assert_true(slice_equal_str(pg_copy_column("COPY t, line 7"), ""));
	assert_true(slice_equal_str(pg_copy_column("COPY t, line 7, "), ""));
	assert_true(slice_equal_str(pg_copy_column("COPY t, line 7, column"), ""));
	assert_true(slice_equal_str(pg_copy_column(NULL), ""));
}

static void test_errors__the_readme_has_the_table(void **state) {
	(void)state;
	size_t count;
	const struct sl_error_class *classes = pg_error_classes(&count);
	struct sl_buf table = SL_BUF_INIT;
	sl_errors_print("SQLSTATE begins with", classes, count, &table);
	char *readme = rig_read(README_MD);
	assert_non_null(readme);
	static const char before[] = "<!-- errors: printed by a test -->\n\n";
	char *at = strstr(readme, before);
	assert_non_null(at);
	at += sizeof before - 1;
	char *end = strstr(at, "\n\n");
	assert_non_null(end);
	struct sl_slice stands = slice_make(at, (size_t)(end + 1 - at));
	if (!slice_equal(stands, sl_buf_slice(&table)) && getenv("DESCRIBE_WRITE")) {
		FILE *f = fopen(README_MD, "wb");
		assert_non_null(f);
		fwrite(readme, 1, (size_t)(at - readme), f);
		fwrite(table.p, 1, table.n, f);
		fputs(end + 1, f);
		fclose(f);
	} else
		assert_true(slice_equal(stands, sl_buf_slice(&table)));
	sl_free(readme);
	sl_buf_fini(&table);
}

/* ---- Texts. ---- */

static void test_table__names_are_quoted(void **state) {
	(void)state;
	static const char *const names[][2] = {{"readings", "\"readings\""},
					       {"iot.Readings", "\"iot\".\"Readings\""},
					       {"iot.\"a.b\"", "\"iot\".\"a.b\""},
					       {"\"a.b\"", "\"a.b\""},
					       {"x\"y", "\"x\"\"y\""},
					       {"t; DROP TABLE t", "\"t; DROP TABLE t\""}};
	for (size_t i = 0; i < SL_ARRAY_LEN(names); i++) {
		struct conf_pair pair = {(char *)(uintptr_t) "a\"b", (char *)(uintptr_t) "${x}"};
		struct pg_action a = {.table = (char *)(uintptr_t)names[i][0], .columns = {&pair, 1}};
		pg_action_texts(&a);
		assert_string_equal(a.relation, names[i][1]);
		char *copy = sl_asprintf("COPY %s (\"a\"\"b\") FROM STDIN (FORMAT binary)", names[i][1]);
		assert_string_equal(a.copy, copy);
		sl_free(copy);
		sl_params_fini(&a.params);
		sl_free(a.relation);
		sl_free(a.copy);
		sl_free(a.look);
		sl_free(a.read);
	}
}

static void test_table__texts_are_quoted(void **state) {
	(void)state;
	struct sl_buf b = SL_BUF_INIT;
	pg_quote_text(&b, SL_SLICE_LIT("it's \\ \"x\""));
	assert_string_equal(sl_buf_cstr(&b), " E'it''s \\\\ \"x\"'");
	sl_buf_fini(&b);
}

static void checks(const char *action, const char *said) {
	char *text = rig_check("connectors: {db: {type: postgres, url: \"postgresql://u:hunter2@h/d\"}}\n"
			       "actions: [{connector: db, %s}]\n",
			       action);
	if (!*said)
		assert_string_equal(text, "");
	else if (!strstr(text, said))
		fail_msg("expected \"%s\" in \"%s\"", said, text);
	assert_null(strstr(text, "hunter2"));
	sl_free(text);
}

static void test_conf__actions_are_checked(void **state) {
	(void)state;
	checks("table: t, columns: {a: x}", "");
	checks("table: t, columns: {a: x}, on_conflict: ignore", "");
	checks("table: t, columns: {a: x}, on_conflict: {update: [a]}, conflict_on: [a]", "");
	checks("sql: 'CALL p(${a})'", "");
	checks("table: t, columns: {a: x}, on_conflict: {update: []}", "list of the columns to change");
	checks("table: t, columns: {a: x}, on_conflict: {update: [1]}", "list of column names");
	checks("table: t, columns: {a: x}, on_conflict: {update: [a], x: 1}", "`ignore`, or {update");
	checks("sql: 'INSERT INTO t VALUES (1)', on_conflict: ignore", "write ON CONFLICT into the statement");
	checks("sql: 'COPY t FROM STDIN'", "not with COPY");
	checks("table: t", "`table` needs `columns`");
}

static void servers(const char *connector, const char *said) {
	char *text = rig_check("connectors: {db: {type: postgres, %s}}\n", connector);
	if (!*said)
		assert_string_equal(text, "");
	else if (!strstr(text, said))
		fail_msg("expected \"%s\" in \"%s\"", said, text);
	sl_free(text);
}

/* libpq would split it, and connect to what nobody looked at. */
static void test_conf__a_server_is_one(void **state) {
	(void)state;
	static const char one[] = "the name of a server has no blanks and no commas";
	servers("hosts: [a, \"b:5433\", \"[::1]:5432\", /var/run/postgresql]", "");
	servers("url: \"postgresql://a,b:5433/d\"", "");
	servers("url: \"host=a,b port=1,2 dbname=d\"", "");
	servers("hosts: [\"a,169.254.169.254\"]", one);
	servers("hosts: [\"a,169.254.169.254:80\"]", one);
	servers("hosts: [\"/var/run,169.254.169.254\"]", one);
	servers("hosts: [\"a b\"]", one);
	servers("hosts: [\"a:5432,80\"]", one);
	servers("hosts: [\"a:5432 \"]", one);
	servers("url: \"postgresql://a%20b/d\"", one);
	servers("url: \"host='a b' dbname=d\"", one);
	servers("url: \"host=a hostaddr='10.0.0.1 ' dbname=d\"", one);
	servers("url: \"host=a port=' 5432' dbname=d\"", "the port is a number");
	servers("url: \"host=a,b port=1,2,3 dbname=d\"", "");
}

/* ---- Answers that are none. ---- */

/* rows rows with columns columns of `text`. */
static PGresult *answer(int rows, int columns, const char *text) {
	PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc at[16] = {0};
	for (int i = 0; i < columns; i++) at[i].name = (char *)(uintptr_t) "c";
	assert_true(columns == 0 || PQsetResultAttrs(res, columns, at));
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < columns; i++)
			assert_true(PQsetvalue(res, row, i, (char *)(uintptr_t)text, (int)strlen(text)));
	return res;
}

static int table_of(const struct pg_action *a, PGresult *fingerprint, PGresult *columns, PGresult *keys,
		    const char *said) {
	struct pg_meta *m = NULL;
	struct sl_err err = SL_ERR_INIT;
	int r = pg_meta_from_table(a, fingerprint, columns, keys, &m, &err);
	if (*said && !strstr(sl_err_text(&err), said)) fail_msg("expected \"%s\" in \"%s\"", said, sl_err_text(&err));
	pg_meta_unref(m);
	sl_err_fini(&err);
	PQclear(fingerprint);
	PQclear(columns);
	PQclear(keys);
	return r;
}

static void test_answers__other_than_what_was_asked(void **state) {
	(void)state;
	struct conf_pair pair = {(char *)(uintptr_t) "c", (char *)(uintptr_t) "${x}"};
	struct pg_action a = {.table = (char *)(uintptr_t) "t", .columns = {&pair, 1}};
	static const char else_[] = "answered with something else";
	pg_action_texts(&a);
	assert_int_equal(table_of(&a, answer(1, 1, "c"), answer(1, 10, "c"), answer(1, 2, "c"), ""), SL_OK);
	assert_int_equal(table_of(&a, answer(0, 1, "c"), answer(0, 10, "c"), answer(0, 2, "c"), "there is no table"),
			 SL_ENOTFOUND);
	assert_int_equal(table_of(&a, answer(1, 0, ""), answer(1, 10, "c"), answer(1, 2, "c"), else_), SL_EMALFORMED);
	assert_int_equal(table_of(&a, answer(2, 1, "c"), answer(1, 10, "c"), answer(1, 2, "c"), else_), SL_EMALFORMED);
	assert_int_equal(table_of(&a, answer(1, 1, "c"), answer(1, 1, "c"), answer(1, 2, "c"), else_), SL_EMALFORMED);
	assert_int_equal(table_of(&a, answer(1, 1, "c"), answer(1, 10, "c"), answer(1, 1, "c"), else_), SL_EMALFORMED);
	assert_int_equal(
	    table_of(&a, PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK), answer(1, 10, "c"), answer(1, 2, "c"), else_),
	    SL_EMALFORMED);
	PGresult *described = PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK), *types = answer(1, 3, "25");
	a.statement = (char *)(uintptr_t) "INSERT INTO t VALUES ($1)";
	assert_null(pg_meta_from_statement(&a, described, types));
	struct pg_meta *m = pg_meta_from_statement(&a, described, NULL);
	assert_non_null(m);
	pg_meta_unref(m);
	PQclear(described);
	PQclear(types);
	sl_params_fini(&a.params);
	sl_free(a.relation);
	sl_free(a.copy);
	sl_free(a.look);
	sl_free(a.read);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_statement__values_become_parameters),
	    cmocka_unit_test(test_statement__traps_are_refused_with_their_place),
	    cmocka_unit_test(test_statement__its_first_word),
	    cmocka_unit_test(test_statement__what_stands_within_another_has_no_semicolon),
	    cmocka_unit_test(test_errors__code_before_class),
	    cmocka_unit_test(test_errors__the_line_that_copy_complains_of),
	    cmocka_unit_test(test_errors__the_column_that_copy_complains_of),
	    cmocka_unit_test(test_errors__the_readme_has_the_table),
	    cmocka_unit_test(test_table__names_are_quoted),
	    cmocka_unit_test(test_table__texts_are_quoted),
	    cmocka_unit_test(test_conf__actions_are_checked),
	    cmocka_unit_test(test_conf__a_server_is_one),
	    cmocka_unit_test(test_answers__other_than_what_was_asked),
	};
	return cmocka_run_group_tests_name("pg_parts", tests, NULL, NULL);
}
