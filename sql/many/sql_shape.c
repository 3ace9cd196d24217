/* sql_shape.c: see sql_shape.h. */
#include "sql_shape.h"

#include "hash.h"
#include "sql_vm.h"

/* Steps that hold nothing but numbers of registers, constants, paths and columns. */
static bool is_plain(const struct sql_program *p) {
	if (p->dialect != SQL_STANDARD || p->window || p->remembers) return false;
	for (uint32_t i = 0; i < p->code.n_steps; i++) {
		enum sql_op op = (enum sql_op)p->code.steps[i].op;
		if (op == SQL_OP_CALL || op == SQL_OP_PUT || op > SQL_OP_RESULT) return false;
	}
	return true;
}

static struct sl_slice steps_of(const struct sql_program *p) {
	return slice_make((const char *)p->code.steps, p->code.n_steps * sizeof *p->code.steps);
}

uint64_t sql_shape_hash(const struct sql_program *p) {
	if (!is_plain(p)) return 0;
	uint64_t hash = sl_hash(steps_of(p)) ^ p->n_paths;
	for (size_t i = 0; i < p->n_paths; i++) hash = (hash ^ jpath_hash(&p->paths[i])) * 0x9e3779b97f4a7c15u;
	return hash | 1;
}

bool sql_shape_equal(const struct sql_program *a, const struct sql_program *b) {
	if (a->dialect != b->dialect || a->source != b->source || a->out_base != b->out_base) return false;
	if (a->code.n_registers != b->code.n_registers || a->code.n_once != b->code.n_once) return false;
	if (a->code.n_consts != b->code.n_consts || a->template_registers != b->template_registers) return false;
	if (a->n_columns != b->n_columns || a->n_paths != b->n_paths) return false;
	if (a->code.n_handlers || b->code.n_handlers || !slice_equal(steps_of(a), steps_of(b))) return false;
	for (size_t i = 0; i < a->n_columns; i++)
		if (!slice_equal(a->columns[i], b->columns[i])) return false;
	for (size_t i = 0; i < a->n_paths; i++)
		if (!jpath_equal(&a->paths[i], &b->paths[i])) return false;
	return true;
}

const struct sql_value *sql_shape_constants(const struct sql_program *p, struct sl_arena *arena) {
	struct sql_value *copy = SL_ARENA_ARRAY(arena, struct sql_value, p->code.n_consts + 1);
	for (uint32_t i = 0; i < p->code.n_consts; i++) {
		const struct sql_value *v = &p->code.consts[i];
		/* Behind a list may stand its table (sql_set.h), which a copy would not have. */
		copy[i] = v->kind == SQL_LIST ? *v : sql_value_copy(arena, v);
	}
	return copy;
}

bool sql_shape_constants_into(const struct sql_program *p, void *at, size_t room) {
	size_t used = p->code.n_consts * sizeof(struct sql_value);
	struct sql_value *copy = at;
	if (used > room) return false;
	for (uint32_t i = 0; i < p->code.n_consts; i++) {
		const struct sql_value *v = &p->code.consts[i];
		copy[i] = *v;
		if (v->kind == SQL_LIST || v->kind == SQL_MAP || v->kind == SQL_JSON || v->kind == SQL_NUMBER_TEXT)
			return false;
		if (!sql_is_text(v)) continue;
		if (v->n > room - used) return false;
		copy[i].p = (char *)at + used;
		if (v->n) memcpy((char *)at + used, v->p, v->n);
		used += v->n;
	}
	return true;
}

enum sql_outcome sql_shape_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_value *constants,
			       const struct sql_input *in, sql_row_fn on_row, void *arg) {
	struct sql_code code = p->code;
	code.consts = (struct sql_value *)(uintptr_t)constants;
	return sql_vm_run(vm, p, &code, in, on_row, arg);
}

/* The same for each rule and whenever it is asked for. */
static bool is_steady(const struct sql_program *p) {
	if (p->dialect != SQL_STANDARD || p->window || p->remembers) return false;
	for (uint32_t i = 0; i < p->code.n_steps; i++) {
		const struct sql_step *s = &p->code.steps[i];
		if (s->op == SQL_OP_METADATA) return false;
		if (s->op == SQL_OP_CALL && (s->site->fn->varies || s->site->fn->remembers)) return false;
	}
	return true;
}

bool sql_shape_same(const struct sql_program *a, const struct sql_program *b) {
	/* b's templates are given the registers that a's run has made room for. */
	if (b->template_registers > a->template_registers) return false;
	return a->dialect == b->dialect && slice_equal(a->text, b->text) && is_steady(a);
}

void sql_shape_again(struct sql_vm *vm, const struct sql_program *p) {
	vm->program = p;
	vm->extracted = !vm->in->extract;
	vm->budget = SQL_BUDGET;
	vm->made = 0;
	if (sl_unlikely(vm->err.status != SL_OK)) sl_err_fini(&vm->err);
}
