/* sql_compile.c: a statement from text to program: the order of the stages, and the frame of the steps.
 *
 *     WHERE, leaving to REJECT   |   the columns in order, EMIT, HALT
 *                                |   or EACH, { NEXT, INCASE, the columns of DO, EMIT }, HALT */
#include "aws_unit.h"
#include "mem.h"
#include "sql_emit.h"
#include "sql_vm.h"
#include "sql_window.h"

enum { TEXT_MAX_DEFAULT = 64 * 1024 };

/* ---- paths ---- */

static bool same_path(const struct jpath *a, const struct jpath *b) {
	if (a->n != b->n) return false;
	for (uint16_t i = 0; i < a->n; i++) {
		const struct jpath_step *x = &a->steps[i], *y = &b->steps[i];
		if (x->is_index != y->is_index || x->index != y->index || !slice_equal(x->key, y->key)) return false;
	}
	return true;
}

int sql_program_add_path(struct sql_program *p, const struct jpath *path) {
	for (size_t i = 0; i < p->n_paths; i++)
		if (same_path(&p->paths[i], path)) return (int)i;
	if (p->n_paths >= SQL_PATHS_MAX) return SL_ELIMIT;
	if ((p->n_paths & (p->n_paths - 1)) == 0) { /* full at every power of two */
		struct jpath *grown = SL_ARENA_ARRAY(&p->arena, struct jpath, p->n_paths ? p->n_paths * 2 : 1);
		if (p->n_paths) memcpy(grown, p->paths, p->n_paths * sizeof *grown);
		p->paths = grown;
	}
	struct jpath_step *steps = SL_ARENA_ARRAY(&p->arena, struct jpath_step, (size_t)path->n + 1);
	for (uint16_t i = 0; i < path->n; i++) {
		steps[i] = path->steps[i];
		steps[i].key = sl_arena_dup(&p->arena, path->steps[i].key);
	}
	p->paths[p->n_paths] = (struct jpath){.steps = steps, .n = path->n};
	return (int)p->n_paths++;
}

/* ---- the frame ---- */

/* Output columns are the roots in the order of their first appearance; the last alias of a root fills it. */
static void place_columns(struct sql_emit *e) {
	struct sql_unit *u = e->u;
	struct sql_program *p = u->p;
	p->columns = SL_ARENA_ARRAY(&p->arena, struct sl_slice, u->n_aliases + 1);
	for (size_t i = 0; i < u->n_aliases; i++) {
		if (!u->aliases[i].output || u->aliases[i].previous >= 0) continue;
		p->columns[p->n_columns++] = sl_arena_dup(&p->arena, u->aliases[i].root);
	}
	p->columns_json = sql_names_json(&p->arena, p->columns, p->n_columns);
	p->out_base = sql_emit_registers(e, (uint32_t)p->n_columns);
	for (size_t i = 0; i < u->n_aliases; i++) {
		struct sql_alias *a = &u->aliases[i];
		size_t c = 0;
		if (!a->output) continue;
		while (!slice_equal(p->columns[c], a->root)) c++;
		for (size_t j = 0; j < i; j++)
			if (u->aliases[j].reg == p->out_base + c) u->aliases[j].reg = SQL_NONE;
		a->reg = (uint16_t)(p->out_base + c);
	}
}

/* Columns of the row that are columns of the event under whatever name. Of events of several kinds some may lack one. */
static void columns_of_event(struct sql_unit *u) {
	struct sql_program *p = u->p;
	p->foreach = u->foreach;
	p->kinds = u->n_sources > 1;
	if (p->kinds) return;
	p->of_event = SL_ARENA_ARRAY(&p->arena, uint16_t, p->n_columns + 1);
	for (size_t c = 0; c < p->n_columns; c++) {
		const struct sql_alias *a = NULL;
		p->of_event[c] = SQL_NONE;
		for (size_t i = 0; i < u->n_aliases; i++)
			if (u->aliases[i].output && slice_equal(u->aliases[i].root, p->columns[c])) a = &u->aliases[i];
		while (a && !a->rest && a->expr->kind == SQL_N_ALIAS) a = &u->aliases[a->expr->index];
		if (a && !a->rest && a->expr->kind == SQL_N_COLUMN) p->of_event[c] = a->expr->index;
	}
}

static const struct sql_node *whole(struct sql_unit *u) {
	struct sql_node *n = SL_ARENA_NEW(u->f->arena, struct sql_node);
	n->end = (uint32_t)u->f->text.n;
	return n;
}

static void emit_row(struct sql_emit *e) {
	struct sql_step *s = sql_emit_step(e, SQL_OP_EMIT, whole(e->u));
	s->a = (uint16_t)e->u->p->out_base;
	s->n = (uint32_t)e->u->p->n_columns;
}

static void emit_foreach(struct sql_emit *e) {
	struct sql_unit *u = e->u;
	for (size_t i = 0; i < u->first_each; i++) sql_emit_alias(e, i);
	uint16_t list = sql_emit_operand(e, u->list);
	sql_emit_step(e, SQL_OP_EACH, u->list)->a = list;
	e->item_reg = sql_emit_register(e);
	uint32_t top = sql_emit_here(e);
	sql_emit_step(e, SQL_OP_NEXT, u->list)->dst = e->item_reg;
	uint32_t skip = SQL_NO_JUMP;
	if (u->incase) {
		e->early = true;
		sql_emit_condition(e, u->incase, &skip);
		e->early = false;
	}
	for (size_t i = u->first_each; i < u->n_aliases; i++) sql_emit_alias(e, i);
	emit_row(e);
	sql_emit_patch_chain(e, skip);
	for (size_t i = u->first_each; i < u->n_aliases; i++)
		if (u->aliases[i].once >= 0)
			sql_emit_step(e, SQL_OP_UNDO, u->aliases[i].expr)->n = (uint32_t)u->aliases[i].once;
	sql_emit_step(e, SQL_OP_JUMP, u->list)->jump = top;
	sql_emit_patch(e, top);
}

int sql_emit_program(struct sql_unit *u) {
	struct sql_emit e;
	struct sql_program *p = u->p;
	uint32_t unmet = SQL_NO_JUMP;
	sql_emit_init(&e, u);
	place_columns(&e);
	e.early = true;
	if (u->where) sql_emit_condition(&e, u->where, &unmet);
	e.early = false;
	p->select_at = sql_emit_here(&e);
	p->where_paths = p->n_paths;
	columns_of_event(u);
	if (u->foreach) {
		emit_foreach(&e);
	} else {
		for (size_t i = 0; i < u->n_aliases; i++) sql_emit_alias(&e, i);
		emit_row(&e);
	}
	sql_emit_step(&e, SQL_OP_HALT, whole(u));
	sql_emit_patch_chain(&e, unmet);
	sql_emit_step(&e, SQL_OP_REJECT, u->where ? u->where : whole(u));
	if (u->f->status == SL_OK) sql_emit_finish(&e, &p->arena, &p->code);
	p->code.text = p->text;
	sql_emit_fini(&e);
	return u->f->status;
}

static void result(struct sql_emit *e, struct sql_node *n) {
	uint16_t r = e->u->aws ? aws_emit_operand(e, n) : sql_emit_operand(e, n);
	sql_emit_step(e, SQL_OP_RESULT, n)->a = r;
}

int sql_emit_template(struct sql_unit *u, struct sql_node *n, struct sl_arena *arena, struct sql_code *code) {
	struct sql_emit e;
	sql_emit_init(&e, u);
	result(&e, n);
	if (u->f->status == SL_OK) sql_emit_finish(&e, arena, code);
	for (uint32_t i = 0; i < code->n_steps; i++) {
		code->steps[i].at += u->f->offset;
		code->steps[i].end += u->f->offset;
	}
	sql_emit_fini(&e);
	return u->f->status;
}

int sql_emit_constant(struct sql_unit *u, struct sql_node *n, struct sql_value *out) {
	struct sql_emit e;
	struct sql_code code = {0};
	sql_emit_init(&e, u);
	e.passing = true;
	/* The node itself must be computed; its parts are constants. */
	uint16_t r = sql_emit_register(&e);
	if (u->aws)
		aws_emit_into(&e, n, r);
	else
		sql_emit_into(&e, n, r);
	sql_emit_step(&e, SQL_OP_RESULT, n)->a = r;
	if (u->f->status == SL_OK) sql_emit_finish(&e, u->f->arena, &code);
	sql_emit_fini(&e);
	if (u->f->status != SL_OK) return u->f->status;
	if (!u->vm) u->vm = sql_vm_new();
	struct sql_value v;
	sql_vm_reserve(u->vm, code.n_registers, code.n_once);
	u->vm->program = u->p;
	u->vm->budget = SQL_BUDGET;
	sl_arena_reset(&u->vm->arena);
	enum sql_outcome o = sql_vm_exec(u->vm, &code, u->vm->registers, 0, &v);
	sql_code_fini(&code);
	if (o != SQL_PRODUCED) return u->vm->err.status ? u->vm->err.status : SL_EINVAL;
	*out = sql_value_copy(u->f->arena, &v);
	return SL_OK;
}

/* ---- the face ---- */

/* What is bound and folded becomes steps. */
static int make_program(struct sql_unit *u) {
	struct sql_front *f = u->f;
	if (f->status == SL_OK) sql_order_all(u);
	if (f->status == SL_OK) (void)(u->aws ? aws_emit_program(u) : sql_emit_program(u));
	if (f->status == SL_OK) sql_share_emit(u);
	if (f->status == SL_OK) sql_guard_derive(u);
	sl_free(u->aliases);
	sql_vm_free(u->vm);
	return f->status;
}

static int compile_aws(struct sql_front *f, struct sql_program *p, struct sql_statement *s,
		       const struct sql_compile_opts *opts) {
	struct sql_unit u = {.f = f, .p = p};
	aws_bind(&u, s, opts);
	if (f->status == SL_OK) aws_fold(&u);
	return make_program(&u);
}

static int compile(struct sql_front *f, struct sql_program *p, const struct sql_compile_opts *opts) {
	struct sql_statement *s = sql_parse(f);
	if (!s) return f->status;
	if (opts->dialect == SQL_AWS) return compile_aws(f, p, s, opts);
	return sql_compile_statement(f, p, s, opts);
}

int sql_compile_statement(struct sql_front *f, struct sql_program *p, struct sql_statement *s,
			  const struct sql_compile_opts *opts) {
	struct sql_unit u = {.f = f, .p = p};
	if (s->group.n || s->having) sql_window_split(&u, s, opts);
	if (f->status == SL_OK) sql_bind(&u, s, opts);
	if (f->status == SL_OK) sql_fold_all(&u);
	return make_program(&u);
}

int sql_compile(struct sl_slice text, const struct sql_compile_opts *opts, struct sql_program **out,
		struct sl_err *err) {
	size_t most = opts->text_max ? opts->text_max : TEXT_MAX_DEFAULT;
	*out = NULL;
	if (text.n > most)
		return sl_err_set(err, SL_ELIMIT, "the SQL text has %zu bytes, at most %zu are allowed", text.n, most);
	struct sql_program *p = SL_NEW(struct sql_program);
	sl_arena_init(&p->arena, 2048);
	p->text = sl_arena_dup(&p->arena, text);
	p->dialect = opts->dialect;
	struct sl_arena scratch;
	sl_arena_init(&scratch, 8192);
	struct sql_front front = {
	    .text = p->text, .whole = p->text, .arena = &scratch, .err = err, .dialect = opts->dialect};
	int status = compile(&front, p, opts);
	sl_arena_fini(&scratch);
	if (status != SL_OK) {
		sql_program_free(p);
		return status;
	}
	*out = p;
	return SL_OK;
}

void sql_program_free(struct sql_program *p) {
	if (!p) return;
	if (p->window) sql_program_free(p->window->out);
	sql_code_fini(&p->sharing);
	sql_code_fini(&p->code);
	sl_arena_fini(&p->arena);
	sl_free(p);
}

const struct sl_slice *sql_program_from(const struct sql_program *p, size_t *count) {
	*count = p->n_from;
	return p->from;
}
const struct jpath *sql_program_paths(const struct sql_program *p, size_t *count) {
	*count = p->n_paths;
	return p->paths;
}
size_t sql_program_where_paths(const struct sql_program *p) { return p->where_paths; }
const struct sl_slice *sql_program_columns(const struct sql_program *p, size_t *count, bool *fixed) {
	if (p->window) p = p->window->out;
	*count = p->n_columns;
	*fixed = !p->aws; /* members that are Undefined are left out there */
	return p->columns;
}
