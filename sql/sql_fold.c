/* sql_fold.c: constant subtrees become their values, by running them once at compile time.
 *
 * So there is one arithmetic and one set of functions; and a constant mistake (1 + null-less text, a division by zero) is
 * refused when the rule is created, unless the expression may never be reached (a branch of CASE, the right side of AND,
 * inside try()). */
#include "sql_unit.h"

#include "sql_vm.h"

static bool literal(const struct sql_node *n) { return !n || n->kind == SQL_N_LITERAL; }

static bool args_literal(const struct sql_node *n) {
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (x->kind != SQL_N_LITERAL) return false;
	return true;
}

static bool foldable(const struct sql_node *n) {
	switch (n->kind) {
	case SQL_N_CALL: return n->fn && n->fn->call && !n->fn->varies && args_literal(n);
	case SQL_N_OBJECT:
	case SQL_N_LIST: return n->n_args <= 256 && args_literal(n);
	case SQL_N_CASE: return literal(n->a) && literal(n->c) && args_literal(n);
	case SQL_N_IN: return literal(n->a) && args_literal(n);
	case SQL_N_CAST:
	case SQL_N_MEMBER:
	case SQL_N_INDEX:
	case SQL_N_SLICE:
	case SQL_N_RANGE:
	case SQL_N_NOT:
	case SQL_N_NEGATE:
	case SQL_N_PLUS:
	case SQL_N_BINARY:
	case SQL_N_AND:
	case SQL_N_OR:
	case SQL_N_IN_LIST:
	case SQL_N_BETWEEN:
	case SQL_N_LIKE:
	case SQL_N_IS_NULL: return literal(n->a) && literal(n->b) && literal(n->c);
	case SQL_N_LITERAL:
	case SQL_N_NAME:
	case SQL_N_COLUMN:
	case SQL_N_METADATA:
	case SQL_N_PATH:
	case SQL_N_ALIAS:
	case SQL_N_ITEM:
	case SQL_N_OUTPUT:
	case SQL_N_STAR:
	case SQL_N_VARIABLE:
	case SQL_N_QUERY:
	case SQL_N_EXISTS:
	case SQL_N_ELEMENT:
	case SQL_N_SCOPED: return false;
	}
	return false;
}

static void fold_args(struct sql_unit *u, struct sql_node *n, bool certain) {
	bool lazy = n->kind == SQL_N_CASE || (n->kind == SQL_N_CALL && n->fn && !n->fn->call);
	SQL_CHANGE_ARGS(n, x, sql_fold(u, x, certain && !lazy));
}

struct sql_node *sql_fold(struct sql_unit *u, struct sql_node *n, bool certain) {
	if (!n || u->f->status != SL_OK) return n;
	bool logic = n->kind == SQL_N_AND || n->kind == SQL_N_OR;
	n->a = sql_fold(u, n->a, certain);
	n->b = sql_fold(u, n->b, certain && !logic);
	n->c = sql_fold(u, n->c, certain && n->kind != SQL_N_CASE);
	fold_args(u, n, certain);
	bool constant = foldable(n);
	bool step = n->kind == SQL_N_MEMBER || n->kind == SQL_N_INDEX;
	if (certain && (!constant || step)) sql_check_kinds(u, n);
	if (u->f->status != SL_OK || !constant) return n;
	struct sql_value v;
	int r = sql_emit_constant(u, n, &v);
	if (u->f->status != SL_OK) return n; /* refused while its steps were made */
	if (r != SL_OK) {
		if (certain) sql_front_fail(u->f, n->at, r, "%s", sl_err_text(sql_vm_error(u->vm)));
		return n;
	}
	struct sql_node *out = SL_ARENA_NEW(u->f->arena, struct sql_node);
	*out = (struct sql_node){.kind = SQL_N_LITERAL, .at = n->at, .end = n->end, .depth = 1, .value = v};
	return out;
}

void sql_fold_all(struct sql_unit *u) {
	u->where = sql_fold(u, u->where, true);
	if (u->where) sql_check_condition(u, u->where);
	for (size_t i = 0; i < u->n_aliases; i++) {
		bool certain = !u->foreach || i < u->first_each;
		u->aliases[i].expr = sql_fold(u, u->aliases[i].expr, certain);
		for (struct sql_target_step *s = u->aliases[i].rest; s; s = s->next)
			s->expr = sql_fold(u, s->expr, certain);
	}
	u->list = sql_fold(u, u->list, true);
	u->incase = sql_fold(u, u->incase, false);
}
