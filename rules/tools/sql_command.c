/* sql_command.c: see sql_command.h. Which rule, which message, and what is said of them. */
#include "sql_command.h"

#include "mem.h"
#include "rule_book.h"
#include "sql_command_int.h"
#include "sql_window.h"
#include "topic.h"
#include "why.h"

/* "2:14: text", and below it the line with a caret, as compilers show it. */
static int say_error(struct sl_slice sql, const struct sl_err *err) {
	char *text = sl_err_format(err);
	fprintf(stderr, "sluice sql: %s\n", text);
	sl_free(text);
	uint32_t line = 1;
	struct sl_slice rest = sql, part = SL_SLICE_EMPTY;
	for (; rest.p && line <= err->line; line++) part = slice_next_part(&rest, '\n');
	if (err->line && err->column) {
		fprintf(stderr, "  %.*s\n  ", SL_SLICE_ARG(part));
		for (uint32_t i = 0; i + 1 < err->column; i++)
			fputc(i < part.n && part.p[i] == '\t' ? '\t' : ' ', stderr);
		fputs("^\n", stderr);
	}
	return EXIT_INPUT;
}

/* Without --topic, a FROM that is a topic itself will do. */
static void topic_from_rule(struct try_case *c, const struct sql_program *program) {
	size_t count;
	const struct sl_slice *from = sql_program_from(program, &count);
	for (size_t i = 0; !c->topic.p && i < count; i++)
		if (topic_name_valid(from[i])) c->topic = from[i];
}

static void say_why(const struct try_case *c, const struct sql_program *program, enum rule_try_outcome outcome) {
	struct sl_buf text = SL_BUF_INIT;
	why_explain(c, program, outcome, &text);
	if (text.n) fwrite(text.p, 1, text.n, stdout);
	sl_buf_fini(&text);
}

/* A message that matches and gives nothing. */
static void say_no_row(const struct sql_args *a, const struct sql_program *program) {
	bool having = sql_program_window(program) != NULL;
	if (a->why)
		puts(having ? "it matches, and gives no row: HAVING is not met, with this message alone"
			    : "it matches, and gives no row");
	else if (having)
		fputs("sluice sql: the rule matches, and gives no row: HAVING is not met, with this message alone\n",
		      stderr);
}

static int say_result(const struct sql_args *a, const struct sql_program *program, const struct rule_try_result *r) {
	size_t filters;
	FILE *to = a->why ? stdout : stderr;
	if (a->why) fputs("RESULT   ", stdout);
	switch (r->outcome) {
	case RULE_TRY_ROWS:
		if (a->why && r->rows.n) puts("it matches:");
		if (!r->rows.n) say_no_row(a, program);
		if (r->rows.n) fwrite(r->rows.p, 1, r->rows.n, stdout);
		if (a->actions && r->actions.n) fwrite(r->actions.p, 1, r->actions.n, stdout);
		break;
	case RULE_TRY_NO_TOPIC:
		(void)sql_program_from(program, &filters);
		fprintf(to,
			filters ? "%sthe rule does not match: FROM does not cover the topic '%.*s'\n"
				: "%sthe rule does not match: it has no FROM, and the topic '%.*s' does not name it\n",
			a->why ? "" : "sluice sql: ", SL_SLICE_ARG(a->c.topic));
		break;
	case RULE_TRY_NO_MATCH:
		fprintf(to, "%sthe rule does not match: WHERE is not met%s\n",
			a->why ? "" : "sluice sql: ", a->why ? "" : "; --why shows what it reads");
		break;
	case RULE_TRY_FAILED:
		if (a->why) puts("the run fails, and gives no row");
		fflush(stdout);
		return say_error(a->c.sql, &r->err);
	}
	return EXIT_FINE;
}

static int run_one(struct sql_args *a, struct ruleset *set) {
	const struct sql_program *program = set->rules[0]->program;
	struct sl_err err = SL_ERR_INIT;
	topic_from_rule(&a->c, program);
	struct try_event made;
	if (try_case_begin(&a->c, &made, &err) != SL_OK) {
		fprintf(stderr, "sluice sql: %s%s\n", sl_err_text(&err),
			a->c.event.n || topic_name_valid(a->c.topic) ? "" : "; give the message's topic with --topic");
		sl_err_fini(&err);
		try_event_fini(&made);
		return EXIT_USAGE;
	}
	struct rule_try_result result = RULE_TRY_RESULT_INIT;
	struct rules_event ev;
	struct rule_try *t = rule_try_new(set, "sluice");
	try_case_event(&a->c, &ev);
	rule_try_run(t, &ev, &result);
	/* One message makes a window, and ends it. */
	if (result.outcome == RULE_TRY_ROWS && sql_program_window(program)) rule_try_advance(t, INT64_MAX, &result);
	if (a->why) say_why(&a->c, program, result.outcome);
	int code = say_result(a, program, &result);
	rule_try_result_fini(&result);
	rule_try_free(t);
	try_event_fini(&made);
	return code;
}

static int run_set(struct sql_args *a, struct ruleset *set) {
	if (!a->explain) return run_one(a, set);
	struct sl_buf text = SL_BUF_INIT;
	sql_explain(set->rules[0]->program, &text);
	fwrite(text.p, 1, text.n, stdout);
	sl_buf_fini(&text);
	return EXIT_FINE;
}

static int run_text(struct sql_args *a) {
	struct sl_err err = SL_ERR_INIT;
	struct rule *r;
	int code;
	if (try_case_compile(&a->c, &r, &err) == SL_OK) {
		struct ruleset *set = rule_try_set(r);
		code = run_set(a, set);
		ruleset_unref(set);
	} else {
		code = say_error(a->c.sql, &err);
	}
	sl_err_fini(&err);
	return code;
}

/* --rule ID -c FILE */
static int run_rule(struct sql_args *a) {
	struct conf_report report = CONF_REPORT_INIT;
	struct rule_book book = RULE_BOOK_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct ruleset *set = NULL;
	char *file = slice_dup(a->conf), *id = slice_dup(a->rule);
	int code = EXIT_INPUT;
	if (rule_book_load(&book, file, &report) != SL_OK) {
		char *text = conf_report_format(&report);
		fputs(text, stderr);
		sl_free(text);
	} else if (rule_book_find(&book, id, &set, &err) != SL_OK) {
		fprintf(stderr, "sluice sql: %s\n", sl_err_text(&err));
	} else {
		const struct rule *r = set->rules[0];
		a->c.sql = slice_from_str(r->text);
		a->c.dialect = r->dialect == SQL_AWS ? SL_SLICE_LIT("aws") : SL_SLICE_LIT("standard");
		code = run_set(a, set);
	}
	sl_free(file);
	sl_free(id);
	sl_err_fini(&err);
	rule_book_fini(&book);
	conf_report_fini(&report);
	return code;
}

static int command(struct sql_args *a) {
	if (a->help) {
		fputs(sql_help, stdout);
		return EXIT_FINE;
	}
	if (a->jsonl) return sql_jsonl_run(stdin, stdout);
	if (a->rule.p) return run_rule(a);
	if (a->c.sql.p) return run_text(a);
	fputs(sql_help, stderr);
	return EXIT_USAGE;
}

int cmd_sql(int argc, char **argv) {
	struct sql_args a = SQL_ARGS_INIT;
	int code = sql_args_parse(argc, argv, &a);
	if (code == EXIT_FINE) code = command(&a);
	sql_args_fini(&a);
	return code;
}
