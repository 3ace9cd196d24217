/* sql_template.c: "${...}" texts, compiled once against a program; see sql.h.
 *
 * A template is a list of parts: literal text, the whole row, or the code of an expression. In an expression a name is
 * an output column first, then a column of the event; in the aws dialect a member of the message, never of the row, or a
 * variable. "$${" is a literal "${", and "$$" at the start of an aws topic a "$".
 *
 * Text that is a JSON object or array, once its ${} have values, is a JSON template: between quotes a value is escaped,
 * elsewhere it is a JSON value. Text that is one JSON value by itself, as a payload may be, stays what it is there. */
#include "aws_unit.h"
#include "jwrite.h"
#include "mem.h"
#include "sql_emit.h"
#include "sql_vm.h"
#include "sql_window.h"
#include "utf8.h"

static struct sql_template_part *add_part(struct sql_template *t) {
	if ((t->n_parts & (t->n_parts - 1)) == 0) { /* full at every power of two */
		size_t room = t->n_parts ? t->n_parts * 2 : 1;
		struct sql_template_part *grown = SL_ARENA_ARRAY(&t->arena, struct sql_template_part, room);
		if (t->n_parts) memcpy(grown, t->parts, t->n_parts * sizeof *grown);
		t->parts = grown;
	}
	return &t->parts[t->n_parts++];
}

static void add_literal(struct sql_template *t, struct sl_slice text) {
	if (text.n) add_part(t)->literal = text;
}

/* The position of the '}' that ends the expression at `from`; quotes hide it. SIZE_MAX: there is none. */
static size_t expression_end(struct sl_slice text, size_t from) {
	char quote = '\0';
	size_t open = 0; /* { of object literals */
	for (size_t i = from; i < text.n; i++) {
		char c = text.p[i];
		if (quote)
			quote = c == quote ? '\0' : quote;
		else if (c == '\'' || c == '"')
			quote = c;
		else if (c == '{')
			open++;
		else if (c == '}' && open-- == 0)
			return i;
	}
	return SIZE_MAX;
}

static bool is_column(const struct sql_program *p, uint16_t id, struct sl_slice name) {
	for (uint16_t i = 0; i < p->source->column_count; i++)
		if (p->source->columns[i].id == id && slice_equal_str(name, p->source->columns[i].name)) return true;
	return false;
}

/* Whether a value is data by its name alone, and not a whole topic. */
static bool is_one_level(const struct sql_program *p, const struct sql_node *n) {
	static const struct sl_slice topic = {"topic", 5};
	switch (n->kind) {
	case SQL_N_OUTPUT:
		return !p->of_event || p->of_event[n->index] == SQL_NONE || !is_column(p, p->of_event[n->index], topic);
	case SQL_N_COLUMN: return !is_column(p, (uint16_t)n->index, topic);
	case SQL_N_PATH:
	case SQL_N_MEMBER:
	case SQL_N_INDEX:
	case SQL_N_ITEM: return true;
	default: return false;
	}
}

static int add_expression(struct sql_template *t, struct sql_program *p, size_t at, struct sl_slice text,
			  struct sl_arena *scratch, struct sl_err *err) {
	struct sl_slice copy = sl_arena_dup(scratch, text); /* the lexer wants a NUL behind it */
	struct sql_front f = {.text = copy,
			      .whole = t->text,
			      .offset = (uint32_t)at,
			      .arena = scratch,
			      .err = err,
			      .dialect = p->dialect};
	struct sl_slice trimmed = slice_trim(copy);
	if (trimmed.n == 0)
		return sql_front_fail(&f, 0, SL_ESYNTAX, "${} is empty; ${.} is the whole row, ${name} a column");
	struct sql_template_part *part = add_part(t);
	part->whole_row = slice_equal(trimmed, SL_SLICE_LIT("."));
	if (part->whole_row) return SL_OK;
	struct sql_unit u = {.f = &f, .p = p, .first_each = SIZE_MAX, .in_template = true};
	u.sources = &p->source;
	u.n_sources = 1;
	struct sql_node *n = sql_parse_expression(&f);
	if (n) n = p->aws ? aws_bind_template(&u, n) : sql_bind_expression(&u, n);
	if (f.status == SL_OK) n = sql_fold(&u, n, true);
	if (f.status == SL_OK) sql_emit_template(&u, n, &t->arena, &part->code);
	sql_vm_free(u.vm);
	part->level = f.status == SL_OK && is_one_level(p, n);
	part->code.text = t->text;
	if (f.status == SL_OK && n->kind == SQL_N_OUTPUT) part->plain = TEMPLATE_OUTPUT;
	if (f.status == SL_OK && n->kind == SQL_N_COLUMN) part->plain = TEMPLATE_COLUMN;
	if (part->plain) part->column = n->index;
	if (part->code.n_registers > p->template_registers) p->template_registers = part->code.n_registers;
	return f.status;
}

static int split(struct sql_template *t, struct sql_program *p, struct sl_arena *scratch, struct sl_err *err) {
	struct sl_slice text = t->text;
	bool doubled = p->aws && (t->target == SQL_TO_TOPIC || t->target == SQL_TO_TOPIC_LEVELS) && text.n > 2 &&
		       text.p[0] == '$' && text.p[1] == '$' && text.p[2] != '{';
	size_t literal = doubled;
	for (size_t i = 0; i + 1 < text.n; i++) {
		if (text.p[i] != '$') continue;
		if (i + 2 < text.n && text.p[i + 1] == '$' && text.p[i + 2] == '{') {
			add_literal(t, slice_sub(text, literal, i - literal));
			literal = i + 1;
			i += 2;
			continue;
		}
		if (text.p[i + 1] != '{') continue;
		add_literal(t, slice_sub(text, literal, i - literal));
		size_t end = expression_end(text, i + 2);
		if (end == SIZE_MAX) {
			struct sql_front f = {.whole = text, .err = err};
			return sql_front_fail(&f, (uint32_t)i, SL_ESYNTAX,
					      "this ${ has no closing } (write $${ for the characters as such)");
		}
		int r = add_expression(t, p, i + 2, slice_sub(text, i + 2, end - i - 2), scratch, err);
		if (r != SL_OK) return r;
		i = end;
		literal = end + 1;
	}
	add_literal(t, slice_from(text, literal));
	return SL_OK;
}

static bool is_literal(const struct sql_template_part *part) { return !part->whole_row && part->code.n_steps == 0; }

/* Finds out which values stand inside of strings; then the text must be JSON with them empty, and with null for the others. */
static bool json_around(struct sql_template *t) {
	struct sl_buf probe = SL_BUF_INIT;
	bool quoted = false, escaped = false, escapes = false;
	for (size_t i = 0; i < t->n_parts; i++) {
		struct sql_template_part *part = &t->parts[i];
		struct sl_slice text = part->literal;
		if (!is_literal(part)) {
			part->quoted = quoted;
			escapes = escapes || escaped; /* a backslash before the value */
			if (!quoted) sl_buf_append_str(&probe, "null");
			continue;
		}
		for (size_t k = 0; k < text.n; k++) {
			if (text.p[k] == '"' && !escaped) quoted = !quoted;
			escaped = quoted && text.p[k] == '\\' && !escaped;
		}
		sl_buf_append_slice(&probe, text);
	}
	struct sl_slice shape = slice_trim(sl_buf_slice(&probe));
	bool members = shape.n > 1 && (shape.p[0] == '{' || (shape.p[0] == '[' && memchr(shape.p, '"', shape.n)));
	bool json = members && !escapes && jscan_valid(shape);
	sl_buf_fini(&probe);
	return json;
}

int sql_template_compile(struct sl_slice text, struct sql_program *p, enum sql_target target, struct sql_template **out,
			 struct sl_err *err) {
	enum { TEMPLATE_MAX = 64 * 1024 };
	*out = NULL;
	if (text.n > TEMPLATE_MAX)
		return sl_err_set(err, SL_ELIMIT, "the template has %zu bytes, at most %d are allowed", text.n,
				  TEMPLATE_MAX);
	if (p->window) p = p->window->out; /* rows are those of windows */
	struct sql_template *t = SL_NEW(struct sql_template);
	sl_arena_init(&t->arena, 512);
	t->text = sl_arena_dup(&t->arena, text);
	t->program = p;
	t->target = target;
	struct sl_arena scratch;
	sl_arena_init(&scratch, 4096);
	int r = split(t, p, &scratch, err);
	sl_arena_fini(&scratch);
	if (r != SL_OK) {
		sql_template_free(t);
		return r;
	}
	bool text_wanted = target == SQL_TO_VALUE || target == SQL_TO_TEXT || target == SQL_TO_BYTES;
	t->json = text_wanted && t->n_parts > 1 && json_around(t);
	*out = t;
	return SL_OK;
}

void sql_template_free(struct sql_template *t) {
	if (!t) return;
	for (size_t i = 0; i < t->n_parts; i++) sql_code_fini(&t->parts[i].code);
	sl_arena_fini(&t->arena);
	sl_free(t);
}

bool sql_template_is_constant(const struct sql_template *t, struct sl_slice *text) {
	if (t->n_parts > 1 || (t->n_parts == 1 && !is_literal(&t->parts[0]))) return false;
	*text = t->n_parts ? t->parts[0].literal : SL_SLICE_EMPTY;
	return true;
}

bool sql_template_is_column(const struct sql_template *t, struct sl_slice name) {
	const struct sql_program *p = t->program;
	if (t->n_parts != 1 || !p->of_event || p->foreach) return false;
	const struct sql_template_part *part = &t->parts[0];
	uint16_t id = part->plain == TEMPLATE_COLUMN   ? part->column
		      : part->plain == TEMPLATE_OUTPUT ? p->of_event[part->column]
						       : SQL_NONE;
	return id != SQL_NONE && is_column(p, id, name);
}

static bool output_holds(const struct sql_program *p, struct sl_slice output, struct sl_slice name) {
	if (p->window || !p->of_event) return false;
	for (size_t c = 0; c < p->n_columns; c++)
		if (slice_equal(p->columns[c], output) && p->of_event[c] != SQL_NONE)
			return is_column(p, p->of_event[c], name);
	return false;
}

bool sql_output_is_column(const struct sql_program *p, struct sl_slice output, struct sl_slice name) {
	return !p->foreach && output_holds(p, output, name);
}

/* The event's column that a step reads, or SQL_NONE. */
static uint16_t step_column(const struct sql_program *p, const struct sql_step *s) {
	if (s->op == SQL_OP_COLUMN) return (uint16_t)s->n;
	return s->op == SQL_OP_OUTPUT && p->of_event ? p->of_event[s->n] : SQL_NONE;
}

/* What rows have of their own: what FOREACH's element makes, and what is another each time. */
static bool step_is_of_row(const struct sql_program *p, const struct sql_step *s) {
	if (s->op == SQL_OP_CALL) return s->site->fn->varies || s->site->fn->remembers;
	if (s->op == SQL_OP_OUTPUT) return step_column(p, s) == SQL_NONE;
	return s->op == SQL_OP_PATH && !p->foreach;
}

bool sql_template_shares(const struct sql_template *t, struct sl_slice name) {
	const struct sql_program *p = t->program;
	bool holds = false;
	if (!p->foreach && !p->kinds) return false;
	for (size_t i = 0; i < t->n_parts; i++) {
		const struct sql_code *code = &t->parts[i].code;
		if (t->parts[i].whole_row) return false;
		for (uint32_t k = 0; k < code->n_steps; k++) {
			if (step_is_of_row(p, &code->steps[k])) return false;
			uint16_t id = step_column(p, &code->steps[k]);
			holds = holds || (id != SQL_NONE && is_column(p, id, name));
		}
	}
	return holds;
}

bool sql_output_shares(const struct sql_program *p, struct sl_slice output, struct sl_slice name) {
	return p->foreach && output_holds(p, output, name);
}

/* ---- evaluation ---- */

enum { PLAIN_ROW_MAX = 4096 };

/* One level of a topic must not become two, nor a topic one of the broker's own. */
static int check_level(struct sql_vm *vm, const struct sql_template *t, struct sl_slice piece, bool first) {
	if (t->target == SQL_TO_TOPIC && slice_find_byte(piece, '/') >= 0)
		return sql_vm_fail(
		    vm, SL_EINVAL,
		    "a value for one level of the topic %.*s holds '/', which would make it more than one; "
		    "`slashes: allow` takes it",
		    SL_SLICE_ARG(t->text));
	if (first && piece.n && piece.p[0] == '$')
		return sql_vm_fail(vm, SL_EINVAL, "a value at the beginning of the topic %.*s begins with '$'",
				   SL_SLICE_ARG(t->text));
	return SL_OK;
}

static int check_topic_piece(struct sql_vm *vm, const struct sql_template *t, const struct sql_value *v,
			     struct sl_slice piece) {
	if (v->kind == SQL_NULL || v->kind == SQL_JSON_NULL)
		return sql_vm_fail(vm, SL_EINVAL, "the topic %.*s has no value for one of its parts (null)",
				   SL_SLICE_ARG(t->text));
	for (size_t i = 0; i < piece.n; i++)
		if (piece.p[i] == '+' || piece.p[i] == '#' || piece.p[i] == '\0')
			return sql_vm_fail(
			    vm, SL_EINVAL,
			    "a value for the topic %.*s holds '+', '#' or a zero byte, which topics cannot",
			    SL_SLICE_ARG(t->text));
	if (!utf8_valid_mqtt(piece))
		return sql_vm_fail(vm, SL_EINVAL, "a value for the topic %.*s is not UTF-8 text",
				   SL_SLICE_ARG(t->text));
	return SL_OK;
}

/* Of a string in quotes at the end of out, what stands between them. */
static void unquote_appended(struct sl_buf *out, size_t from) {
	out->n -= 2;
	memmove(out->p + from, out->p + from + 1, out->n - from);
}

static void escape_appended(struct sql_vm *vm, struct sl_buf *out, size_t from) {
	struct sl_slice text = sl_arena_dup(&vm->arena, slice_from(sl_buf_slice(out), from));
	out->n = from;
	jwrite_quote(out, text);
	unquote_appended(out, from);
}

static void append_json(struct sql_vm *vm, const struct sql_template_part *part, const struct sql_value *v,
			struct sl_buf *out) {
	size_t from = out->n;
	bool text = v->kind == SQL_STRING || v->kind == SQL_BYTES;
	if (text && !part->quoted && jscan_valid(sql_value_text(v)))
		sl_buf_append_slice(out, sql_value_text(v));
	else if (text || !part->quoted)
		sql_value_json(v, out);
	else
		sql_value_to_text(v, out);
	if (!part->quoted) return;
	if (text)
		unquote_appended(out, from);
	else
		escape_appended(vm, out, from);
}

static bool is_topic(enum sql_target target) {
	return target == SQL_TO_TOPIC || target == SQL_TO_TOPIC_LEVELS || target == SQL_TO_TOPIC_OR_NULL;
}

static int append_value(struct sql_vm *vm, const struct sql_template *t, const struct sql_template_part *part,
			const struct sql_value *v, struct sl_buf *out) {
	size_t from = out->n;
	if (t->json)
		append_json(vm, part, v, out);
	else if (t->target == SQL_TO_JSON)
		sql_value_json(v, out);
	else
		sql_value_to_text(v, out);
	if (out->n > SQL_TEXT_MAX) return sql_vm_fail(vm, SL_ELIMIT, "a text would exceed %d MB", SQL_TEXT_MAX >> 20);
	if (!is_topic(t->target)) return SL_OK;
	struct sl_slice piece = slice_from(sl_buf_slice(out), from);
	int r = check_topic_piece(vm, t, v, piece);
	return r == SL_OK && part->level && t->n_parts > 1 ? check_level(vm, t, piece, from == 0) : r;
}

static int run_part(struct sql_vm *vm, const struct sql_template *t, const struct sql_template_part *part,
		    struct sql_value *out) {
	if (part->plain == TEMPLATE_OUTPUT) {
		*out = part->column < vm->row->count ? vm->row->values[part->column] : sql_null();
		return SL_OK;
	}
	if (part->plain == TEMPLATE_COLUMN) {
		*out = t->program->source->get(vm->in->event, part->column, &vm->arena);
		return SL_OK;
	}
	struct sql_value *registers = vm->registers + t->program->code.n_registers;
	if (sql_vm_exec(vm, &part->code, registers, 0, out) == SQL_PRODUCED) return SL_OK;
	return vm->err.status;
}

static void append_row(struct sql_vm *vm, const struct sql_template *t, const struct sql_template_part *part,
		       const struct sql_out *row, struct sl_buf *out) {
	size_t from = out->n;
	if (row->raw && t->target == SQL_TO_BYTES) {
		const struct sql_value bytes = sql_string(row->bytes);
		if (t->json)
			append_json(vm, part, &bytes, out);
		else
			sl_buf_append_slice(out, row->bytes);
		return;
	}
	sql_out_json(row, out);
	if (part->quoted && t->json) escape_appended(vm, out, from);
}

static int join(struct sql_vm *vm, const struct sql_template *t, const struct sql_out *row, struct sl_buf *out) {
	for (size_t i = 0; i < t->n_parts; i++) {
		const struct sql_template_part *part = &t->parts[i];
		if (is_literal(part)) {
			sl_buf_append_slice(out, part->literal);
			continue;
		}
		if (part->whole_row) {
			append_row(vm, t, part, row, out);
			continue;
		}
		struct sql_value v;
		int r = run_part(vm, t, part, &v);
		if (r == SL_OK) r = append_value(vm, t, part, &v, out);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

/* The row as JSON, made where it stays; false: it takes more than that. */
static bool plain_row(struct sql_vm *vm, const struct sql_out *row, struct sql_value *out) {
	size_t room = row->raw ? 0 : sql_out_plain_room(row);
	if (room == 0 || room > PLAIN_ROW_MAX) return false;
	char *text = sl_arena_alloc(&vm->arena, room);
	size_t n = sql_out_plain(row, text);
	*out = sql_string(slice_make(text, n));
	return n != 0;
}

int sql_template_eval(struct sql_vm *vm, const struct sql_template *t, const struct sql_out *row,
		      struct sql_value *out) {
	vm->row = row;
	const struct sql_template_part *only = t->n_parts == 1 ? &t->parts[0] : NULL;
	if (only && is_literal(only)) {
		*out = sql_string(only->literal);
		return SL_OK;
	}
	bool as_it_is = t->target == SQL_TO_VALUE || t->target == SQL_TO_TOPIC_OR_NULL;
	if (only && !only->whole_row && as_it_is) return run_part(vm, t, only, out);
	bool text_only = t->target == SQL_TO_TEXT || t->target == SQL_TO_BYTES;
	if (only && only->plain && text_only) { /* text as it stands */
		(void)run_part(vm, t, only, out);
		if (out->kind == SQL_STRING && out->n <= SQL_TEXT_MAX) return SL_OK;
	}
	if (only && only->whole_row && plain_row(vm, row, out)) {
		if (!text_only) out->kind = SQL_JSON;
		return sql_vm_made(vm, out->n);
	}
	/* Parts may use vm->scratch, so the text grows in a buffer of its own; it keeps its memory between runs. */
	sl_buf_clear(&vm->joined);
	int r = join(vm, t, row, &vm->joined);
	if (r == SL_OK) r = sql_vm_made(vm, vm->joined.n);
	if (r != SL_OK) return r;
	struct sl_slice text = sl_arena_dup(&vm->arena, sl_buf_slice(&vm->joined));
	*out = sql_string(text);
	if (only && only->whole_row && !text_only) out->kind = SQL_JSON;
	return SL_OK;
}
