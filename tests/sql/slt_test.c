/* slt_test.c: runs the cases of the language that are written as text, tests/sql/NAME.slt.
 *
 *     == what the case shows            begins a case
 *     SELECT payload.t AS t             the SQL, up to ---
 *     FROM 't/#'
 *     ---
 *     topic: t/a                        the event; these hold until changed (clientid:, username:, qos:, timestamp: too)
 *     payload: {"t":21}                 runs the program ...
 *     row: {"t":21}                     ... and this is a row it gives; or: filtered, no rows, fails: MESSAGE
 *
 * What rules remember begins with nothing in each case. A program with GROUP BY has open windows, and
 *
 *     until: 1700000010000              is the time at which its windows that have ended give the rows that follow
 *
 *     refused: MESSAGE                  instead of events: it does not compile
 *
 *     dialect: aws                      before a case, and for all after it; standard, unless said
 *     template: a/${x}                  what a template makes of each row is told behind it: text: a/1
 *
 * MESSAGE is the whole text, "line 1, column 8: ..." included. '#' at the start of a line is a comment. */
#include <stdio.h>
#include <stdlib.h>

#include "buf.h"
#include "mem.h"
#include "sql_case.h"
#include "sql_window.h"

struct state {
	const char *file;
	unsigned line, cases, failures;
	struct sl_slice name;
	struct sl_buf sql, expected, got;
	struct sql_program *program;
	struct sql_vm *vm;
	struct sql_case event;
	struct sql_memory memory;
	struct sql_state remembered;
	struct sql_windows *windows; /* of a program with GROUP BY */
	struct sql_template *template;
	enum sql_dialect dialect;
	bool in_sql, ran, refused;
};

static void report(struct state *s, const char *what, struct sl_slice expected, struct sl_slice got) {
	s->failures++;
	fprintf(stderr, "%s: %.*s (before line %u): %s\n  expected %.*s\n  got      %.*s\n", s->file,
		SL_SLICE_ARG(s->name), s->line, what, SL_SLICE_ARG(expected), SL_SLICE_ARG(got));
}

/* Ends the event that is being described: what it was said to give, against what it gave. */
static void check_event(struct state *s) {
	if (!s->ran) return;
	s->ran = false;
	if (!slice_equal(sl_buf_slice(&s->expected), sl_buf_slice(&s->got)))
		report(s, "another outcome", sl_buf_slice(&s->expected), sl_buf_slice(&s->got));
	sl_buf_clear(&s->expected);
	sl_buf_clear(&s->got);
}

static int row_take(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct state *s = arg;
	if (s->windows) return sql_windows_add(s->windows, vm, row, s->event.timestamp, 0);
	sql_out_json(row, &s->got);
	sl_buf_put(&s->got, '\n');
	struct sql_value text;
	if (!s->template) return SL_OK;
	int r = sql_template_eval(vm, s->template, row, &text);
	if (r == SL_OK) sl_buf_printf(&s->got, "text: %.*s\n", SL_SLICE_ARG(sql_value_text(&text)));
	return r;
}

static int window_row(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	(void)vm;
	sql_out_json(row, arg);
	sl_buf_put(arg, '\n');
	return SL_OK;
}

static void outcome(struct state *s, enum sql_outcome o) {
	if (o == SQL_FAILED) {
		char *text = sl_err_format(sql_vm_error(s->vm));
		sl_buf_clear(&s->got);
		sl_buf_printf(&s->got, "fails: %s\n", text);
		sl_free(text);
	} else if (o == SQL_FILTERED) {
		sl_buf_append_str(&s->got, "filtered\n");
	} else if (s->got.n == 0) {
		sl_buf_append_str(&s->got, "no rows\n");
	}
}

/* Rows of windows that have ended. */
static void run_windows(struct state *s, int64_t now_ms) {
	struct sl_arena arena;
	struct sql_window_row row;
	enum sql_outcome o = SQL_PRODUCED;
	sl_arena_init(&arena, 1024);
	while (s->windows && sql_windows_next(s->windows, now_ms, &arena, &row)) {
		struct sql_input in = {.event = &row, .now_ms = now_ms, .state = &s->remembered};
		o = sql_run(s->vm, sql_program_window(s->program)->out, &in, window_row, &s->got);
		sl_arena_reset(&arena);
	}
	s->ran = true;
	outcome(s, o == SQL_FILTERED ? SQL_PRODUCED : o);
	sl_arena_fini(&arena);
}

static void run_event(struct state *s) {
	check_event(s);
	if (!s->program) return;
	s->ran = true;
	outcome(s, sql_case_run(s->vm, s->program, &s->event, row_take, s));
}

static void compile(struct state *s) {
	struct sl_err err = SL_ERR_INIT;
	s->refused = sql_case_compile_as(s->dialect, slice_trim(sl_buf_slice(&s->sql)), &s->program, &err) != SL_OK;
	if (s->refused) {
		char *text = sl_err_format(&err);
		sl_buf_append_str(&s->got, text);
		sl_free(text);
	} else if (sql_program_window(s->program)) {
		s->windows = sql_windows_new(sql_program_window(s->program), &s->memory, 1);
	}
	sl_err_fini(&err);
}

static void end_case(struct state *s) {
	check_event(s);
	if (s->refused) report(s, "it does not compile", SL_SLICE_EMPTY, sl_buf_slice(&s->got));
	s->refused = false;
	sql_template_free(s->template);
	s->template = NULL;
	sql_program_free(s->program);
	s->program = NULL;
	sql_windows_free(s->windows);
	s->windows = NULL;
	if (s->remembered.kv) sql_case_state_fini(&s->remembered);
	sql_case_state_init(&s->remembered, &s->memory);
	sl_buf_clear(&s->sql);
	sl_buf_clear(&s->got);
	sl_buf_clear(&s->expected);
	s->event = (struct sql_case){.topic = SL_SLICE_LIT("t/a"),
				     .payload = slice_make("", 0),
				     .clientid = SL_SLICE_LIT("c1"),
				     .username = SL_SLICE_LIT("u1"),
				     .timestamp = 1700000000123,
				     .state = &s->remembered};
}

static bool value_of(struct sl_slice line, const char *key, struct sl_slice *value) {
	struct sl_slice k = slice_from_str(key);
	if (!slice_starts_with(line, k)) return false;
	*value = slice_trim(slice_from(line, k.n));
	if (!value->p) *value = slice_make("", 0);
	return true;
}

static void expect_refused(struct state *s, struct sl_slice text) {
	if (!s->refused || !slice_equal(text, sl_buf_slice(&s->got)))
		report(s, "not refused so", text, s->refused ? sl_buf_slice(&s->got) : SL_SLICE_LIT("a program"));
	s->refused = false;
	sl_buf_clear(&s->got);
}

static void compile_template(struct state *s, struct sl_slice text) {
	struct sl_err err = SL_ERR_INIT;
	check_event(s);
	sql_template_free(s->template);
	s->template = NULL;
	if (s->program && sql_template_compile(text, s->program, SQL_TO_BYTES, &s->template, &err) != SL_OK) {
		char *why = sl_err_format(&err);
		sl_buf_append_str(&s->got, why);
		sl_free(why);
		s->refused = true;
	}
	sl_err_fini(&err);
}

static void event_line(struct state *s, struct sl_slice line) {
	struct sl_slice v;
	if (value_of(line, "topic:", &s->event.topic) || value_of(line, "clientid:", &s->event.clientid) ||
	    value_of(line, "username:", &s->event.username))
		return;
	if (value_of(line, "qos:", &v)) {
		slice_to_i64(v, &s->event.qos);
	} else if (value_of(line, "timestamp:", &v)) {
		slice_to_i64(v, &s->event.timestamp);
	} else if (value_of(line, "payload:", &v)) {
		s->event.payload = v;
		run_event(s);
	} else if (value_of(line, "until:", &v)) {
		int64_t now_ms = 0;
		slice_to_i64(v, &now_ms);
		check_event(s);
		run_windows(s, now_ms);
	} else if (value_of(line, "row:", &v)) {
		sl_buf_printf(&s->expected, "%.*s\n", SL_SLICE_ARG(v));
	} else if (value_of(line, "dialect:", &v)) {
		s->dialect = slice_equal(v, SL_SLICE_LIT("aws")) ? SQL_AWS : SQL_STANDARD;
	} else if (value_of(line, "template:", &v)) {
		compile_template(s, v);
	} else if (value_of(line, "refused:", &v)) {
		expect_refused(s, v);
	} else {
		sl_buf_printf(&s->expected, "%.*s\n", SL_SLICE_ARG(line));
	}
}

static void take_line(struct state *s, struct sl_slice line) {
	struct sl_slice v;
	s->line++;
	if (value_of(line, "== ", &v)) {
		end_case(s);
		s->name = v;
		s->in_sql = true;
		s->cases++;
	} else if (s->in_sql && slice_equal(line, SL_SLICE_LIT("---"))) {
		s->in_sql = false;
		compile(s);
	} else if (s->in_sql) {
		sl_buf_printf(&s->sql, "%.*s\n", SL_SLICE_ARG(line));
	} else if (line.n && line.p[0] != '#') {
		event_line(s, line);
	}
}

static char *read_file(const char *path) {
	FILE *f = fopen(path, "rb");
	struct sl_buf b = SL_BUF_INIT;
	char block[4096];
	if (!f) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;) sl_buf_append(&b, block, n);
	fclose(f);
	return sl_buf_steal(&b);
}

int main(int argc, char **argv) {
	struct state s = {.vm = sql_vm_new()};
	for (int i = 1; i < argc; i++) {
		char *text = read_file(argv[i]);
		struct sl_slice rest = slice_from_str(text);
		s.file = argv[i];
		s.line = 0;
		s.dialect = SQL_STANDARD; /* what a file says holds for that file */
		while (rest.p) take_line(&s, slice_next_part(&rest, '\n'));
		end_case(&s);
		sl_free(text);
	}
	printf("%u cases, %u failures\n", s.cases, s.failures);
	if (s.remembered.kv) sql_case_state_fini(&s.remembered);
	sql_vm_free(s.vm);
	sl_buf_fini(&s.sql);
	sl_buf_fini(&s.expected);
	sl_buf_fini(&s.got);
	return s.failures == 0 && s.cases > 0 ? 0 : 1;
}
