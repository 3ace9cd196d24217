/* sql_emit_call.c: calls to steps, and those that are none: try() and coalesce(); see sql_emit.h. */
#include "sql_emit.h"

#include "mem.h"
#include "sql_vm.h"

uint16_t sql_emit_args(struct sql_emit *e, const struct sql_node *n) {
	uint16_t base = sql_emit_registers(e, n->n_args ? n->n_args : 1);
	uint16_t at = base;
	for (struct sql_node *x = n->args; x; x = x->next) sql_emit_into(e, x, at++);
	return base;
}

static void try_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint32_t from = sql_emit_here(e);
	size_t mark = sql_emit_branch(e);
	sql_emit_into(e, n->args, dst);
	sql_emit_end_branch(e, mark);
	uint32_t to = sql_emit_here(e);
	uint32_t skip = sql_emit_step3(e, SQL_OP_JUMP, n, 0, 0, 0);
	if (from != to) {
		SL_GROW(e->handlers, e->n_handlers, e->room_handlers);
		/* Inner ones were appended before: the first that holds the step is the innermost. */
		e->handlers[e->n_handlers++] = (struct sql_handler){.from = from, .to = to, .target = to + 1};
	}
	sql_emit_into(e, n->args->next, dst);
	sql_emit_end_branch(e, mark);
	sql_emit_patch(e, skip);
}

static void coalesce_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	size_t mark = sql_emit_branch(e);
	uint32_t ends = SQL_NO_JUMP;
	for (struct sql_node *x = n->args; x; x = x->next) {
		sql_emit_into(e, x, dst);
		if (x == n->args) mark = sql_emit_branch(e);
		if (x->next) sql_emit_chain_jump(e, SQL_OP_JUMP_VALUE, x, dst, &ends);
	}
	sql_emit_end_branch(e, mark);
	sql_emit_patch_chain(e, ends);
}

/* The number of a call's site, with what its constant arguments allow to prepare. */
uint32_t sql_emit_site(struct sql_emit *e, struct sql_node *n) {
	struct sql_unit *u = e->u;
	SL_GROW(e->sites, e->n_sites, e->room_sites);
	struct sql_site *site = &e->sites[e->n_sites++];
	*site = (struct sql_site){.fn = n->fn};
	if (u->sharing && n->prepared) {
		site->prepared = n->prepared;
		site->borrowed = true;
	} else if (n->fn->prepare && u->f->status == SL_OK) {
		const struct sql_value **arg = SL_ARENA_ARRAY(u->f->arena, const struct sql_value *, n->n_args + 1u);
		uint32_t i = 0;
		for (struct sql_node *x = n->args; x; x = x->next)
			arg[i++] = x->kind == SQL_N_LITERAL ? &x->value : NULL;
		if (!u->vm) u->vm = sql_vm_new();
		struct sql_call c = {.vm = u->vm, .arena = &u->vm->arena, .fn = n->fn};
		int r = n->fn->prepare(&c, arg, i, &site->prepared);
		if (r != SL_OK) sql_front_fail(u->f, n->at, r, "%s", sl_err_text(sql_vm_error(u->vm)));
		if (!e->passing) n->prepared = site->prepared;
	}
	return (uint32_t)e->n_sites - 1;
}

void sql_emit_call(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	if (slice_equal_str(n->name, "try")) {
		try_into(e, n, dst);
		return;
	}
	if (slice_equal_str(n->name, "coalesce") && n->n_args > 1) {
		coalesce_into(e, n, dst);
		return;
	}
	uint16_t base = sql_emit_args(e, n);
	uint32_t s = sql_emit_step3(e, SQL_OP_CALL, n, dst, base, 0);
	e->steps[s].n = n->n_args;
	e->steps[s].jump = sql_emit_site(e, n);
}
