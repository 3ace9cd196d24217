/* sql_explain.c: the listing of a program: number, effect with its operands, source text. */
#include "aws_steps.h"
#include "sql_vm.h"
#include "sql_window.h"

static const char *const effects[] = {
#define SQL_OP(name, effect) effect,
#include "sql_op_tbl.h"
#undef SQL_OP
};

static bool plain_key(struct sl_slice key) {
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80 ||
			  (c >= '0' && c <= '9' && i);
		if (!ok) return false;
	}
	return key.n > 0;
}

void sql_path_print(const struct jpath *path, struct sl_buf *out) {
	sl_buf_append_str(out, "payload");
	for (uint16_t i = 0; i < path->n; i++) {
		const struct jpath_step *s = &path->steps[i];
		if (s->is_index)
			sl_buf_printf(out, "[%lld]", (long long)s->index + 1);
		else
			sl_buf_printf(out, plain_key(s->key) ? ".%.*s" : ".'%.*s'", SL_SLICE_ARG(s->key));
	}
}

static void print_target(const struct sql_target_step *t, struct sl_buf *out) {
	for (; t; t = t->next)
		if (t->varies)
			sl_buf_printf(out, "[r%u]", t->reg);
		else if (t->is_index)
			sl_buf_printf(out, t->append ? "[-%d]" : "[%d]", t->index);
		else
			sl_buf_printf(out, ".%.*s", SL_SLICE_ARG(t->key));
}

static void print_operand(const struct sql_code *code, uint16_t x, struct sl_buf *out) {
	if (!(x & SQL_CONST)) {
		sl_buf_printf(out, "r%u", x);
		return;
	}
	const struct sql_value *v = &code->consts[x & ~SQL_CONST];
	size_t from = out->n;
	if (v->kind == SQL_STRING)
		sl_buf_printf(out, "'%.*s'", SL_SLICE_ARG(sql_value_text(v)));
	else
		sql_value_json(v, out);
	if (out->n - from <= 60) return;
	out->n = from + 57;
	sl_buf_append_str(out, "...");
}

static void print_column(const struct sql_program *p, uint32_t id, struct sl_buf *out) {
	for (uint16_t i = 0; i < p->source->column_count; i++)
		if (p->source->columns[i].id == id) sl_buf_append_str(out, p->source->columns[i].name);
}

/* r6 .. r8: the n registers from a on. */
static void print_run(const struct sql_step *s, struct sl_buf *out) {
	if (s->n >= 1) sl_buf_printf(out, "r%u", s->a);
	if (s->n >= 2) sl_buf_printf(out, s->n == 2 ? ", r%u" : " .. r%u", s->a + s->n - 1);
}

static void print_effect(const struct sql_program *p, const struct sql_code *code, const struct sql_step *s,
			 struct sl_buf *out) {
	for (const char *e = effects[s->op]; *e; e++) {
		if (*e != '%') {
			sl_buf_put(out, *e);
			continue;
		}
		switch (*++e) {
		case 'd': print_operand(code, s->dst, out); break;
		case 'a': print_operand(code, s->a, out); break;
		case 'b': print_operand(code, s->b, out); break;
		case 'p': sql_path_print(&p->paths[s->n], out); break;
		case 'c': print_column(p, s->n, out); break;
		case 'f': sl_buf_append_str(out, s->site->fn->name); break;
		case 'r': print_run(s, out); break;
		case 'j': sl_buf_printf(out, "%u", s->jump); break;
		case 't': print_target(s->target, out); break;
		case 'n': sl_buf_printf(out, "%u", s->n); break;
		case 'm': aws_shape_print(s->shape, out); break;
		}
	}
}

/* One line of source, white space squeezed, cut at 60 bytes. */
static void print_source(struct sl_slice text, struct sl_buf *out) {
	size_t from = out->n;
	bool space = false;
	for (size_t i = 0; i < text.n && out->n - from < 60; i++) {
		bool blank = text.p[i] == ' ' || (text.p[i] >= '\t' && text.p[i] <= '\r');
		if (!blank) sl_buf_put(out, text.p[i]);
		if (blank && !space) sl_buf_put(out, ' ');
		space = blank;
	}
}

void sql_explain_code(const struct sql_program *p, const struct sql_code *code, uint32_t from, uint32_t to,
		      struct sl_buf *out) {
	for (uint32_t i = from; i < to; i++) {
		const struct sql_step *s = &code->steps[i];
		size_t start = out->n;
		sl_buf_printf(out, "  %3u  ", i);
		print_effect(p, code, s, out);
		struct sl_slice source = slice_sub(code->text, s->at, s->end - s->at);
		if (source.n && source.n < code->text.n) {
			while (out->n - start < 52) sl_buf_put(out, ' ');
			sl_buf_append_str(out, "  ; ");
			print_source(source, out);
		}
		sl_buf_put(out, '\n');
	}
}

void sql_guards_print(const struct sql_program *p, struct sl_buf *out) {
	for (size_t i = 0; i < p->n_guards; i++) {
		const struct sql_guard *g = &p->guards[i];
		if (i) sl_buf_append_str(out, ", or ");
		print_source(slice_sub(p->text, g->at, g->end - g->at), out);
	}
}

/* Those that are no part of another one. */
static void print_shared(const struct sql_program *p, struct sl_buf *out) {
	const char *before = "\nCOMPUTED ONCE FOR ALL RULES THAT HAVE IT ";
	for (uint16_t i = 0; i < p->n_shared; i++) {
		const struct sql_shared *s = &p->shared[i];
		if (s->within != SQL_SHARE_NONE) continue;
		sl_buf_append_str(out, before);
		print_source(slice_sub(p->text, s->at, s->end - s->at), out);
		before = ", and ";
	}
}

void sql_explain(const struct sql_program *p, struct sl_buf *out) {
	uint32_t n = p->code.n_steps;
	sl_buf_append_str(out, p->n_from ? "FROM" : "FROM (none: $aws/rules/RULE/... only)");
	for (size_t i = 0; i < p->n_from; i++) sl_buf_printf(out, "%s '%.*s'", i ? "," : "", SL_SLICE_ARG(p->from[i]));
	sl_buf_printf(out, "  (%s)\nPATHS %zu", p->source->name, p->n_paths);
	if (p->n_paths) sl_buf_printf(out, ", %zu of them for WHERE:", p->where_paths);
	for (size_t i = 0; i < p->n_paths; i++) {
		sl_buf_append_str(out, i ? ", " : " ");
		sql_path_print(&p->paths[i], out);
	}
	if (p->n_guards) sl_buf_append_str(out, "\nINDEXED BY ");
	sql_guards_print(p, out);
	print_shared(p, out);
	sl_buf_append_str(out, "\nWHERE\n");
	if (p->select_at == 0) sl_buf_append_str(out, "       (every message)\n");
	sql_explain_code(p, &p->code, 0, p->select_at, out);
	sl_buf_append_str(out, "SELECT\n");
	sql_explain_code(p, &p->code, p->select_at, n, out);
	sl_buf_append_str(out, "COLUMNS");
	for (size_t i = 0; i < p->n_columns; i++)
		sl_buf_printf(out, "%s r%zu %.*s", i ? "," : "", p->out_base + i, SL_SLICE_ARG(p->columns[i]));
	sl_buf_printf(out, "\n%u steps, %u registers, %u constants\n", n, p->code.n_registers, p->code.n_consts);
	const struct sql_window *w = p->window;
	if (!w) return;
	sl_buf_printf(out,
		      "WINDOWS of %lld ms, one each %lld ms: %u keys, %u aggregates; of each group when one ends, with "
		      "HAVING as WHERE:\n",
		      (long long)w->size_ms, (long long)w->hop_ms, w->n_keys, w->n_aggregates);
	sql_explain(w->out, out);
}
