/* sql_fn_print.c: the functions as a page of Markdown; see sql_fn.h. */
#include "sql_fn.h"

/* Within a table a bar would end the cell. */
static void cell(struct sl_buf *out, struct sl_slice text) {
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '|') sl_buf_put(out, '\\');
		sl_buf_put(out, text.p[i]);
	}
}

static void cell_str(struct sl_buf *out, const char *text) { cell(out, slice_from_str(text)); }

/* `line`, `line`, ... */
static void code_lines(struct sl_buf *out, const char *lines) {
	struct sl_slice rest = slice_from_str(lines);
	for (bool more = false; rest.p; more = true) {
		sl_buf_append_str(out, more ? ", `" : "`");
		cell(out, slice_next_part(&rest, '\n'));
		sl_buf_put(out, '`');
	}
}

static void print_row(const struct sql_fn_family *family, const struct sql_fn *fn, struct sl_buf *out) {
	sl_buf_append_str(out, "| `");
	cell_str(out, fn->usage);
	sl_buf_append_str(out, "` | ");
	cell_str(out, fn->doc);
	if (fn->errors) {
		sl_buf_append_str(out, family->dialect == SQL_AWS ? " Undefined " : " Fails ");
		cell_str(out, fn->errors);
		sl_buf_put(out, '.');
	}
	sl_buf_append_str(out, " | `");
	cell_str(out, fn->example);
	sl_buf_put(out, '`');
	if (fn->on) {
		sl_buf_append_str(out, " on ");
		code_lines(out, fn->on);
	}
	sl_buf_append_str(out, " gives ");
	code_lines(out, fn->gives);
	sl_buf_append_str(out, " |\n");
}

void sql_fn_print(enum sql_dialect dialect, struct sl_buf *out) {
	size_t n, printed = 0;
	const struct sql_fn_family *const *f = sql_fn_families(&n);
	for (size_t i = 0; i < n; i++) {
		if (f[i]->dialect != dialect) continue;
		sl_buf_printf(out, "%s### %s\n\n| call | meaning | example |\n| --- | --- | --- |\n",
			      printed++ ? "\n" : "", f[i]->name);
		for (size_t j = 0; j < f[i]->n; j++) print_row(f[i], &f[i]->fns[j], out);
	}
}
