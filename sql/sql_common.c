/* sql_common.c: expressions that stand in a rule more than once are evaluated once; see sql_emit.h.
 *
 * What was computed into a register of its own is remembered with that register. Where the same expression is wanted
 * again, and every way to there has computed it (the register is "definite"), its register is read. Only what gives the
 * same each time within a run counts. */
#include "sql_emit.h"

enum { KNOWN_DEPTH_MAX = 12 /* higher trees are not compared */ };

static bool worth(enum sql_node_kind kind) {
	return kind == SQL_N_CALL || kind == SQL_N_BINARY || kind == SQL_N_MEMBER || kind == SQL_N_INDEX ||
	       kind == SQL_N_LIKE || kind == SQL_N_SLICE || kind == SQL_N_NEGATE;
}

/* The same each time within a run? FOREACH's element is: a new one means that its steps run again. */
static bool steady(const struct sql_node *n) {
	if (!n) return true;
	if (n->kind == SQL_N_CALL && (!n->fn || n->fn->varies || n->fn->remembers)) return false;
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (!steady(x)) return false;
	return steady(n->a) && steady(n->b) && steady(n->c);
}

static bool same_literal(const struct sql_value *a, const struct sql_value *b) {
	if (a->kind != b->kind) return false;
	switch (a->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: return true;
	case SQL_BOOL: return a->b == b->b;
	case SQL_INT:
	case SQL_DOUBLE: return a->i == b->i; /* bit by bit: 0.0 is not -0.0 */
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT: return slice_equal(sql_value_text(a), sql_value_text(b));
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return false;
}

static bool same(const struct sql_node *a, const struct sql_node *b) {
	if (!a || !b) return a == b;
	if (a->kind != b->kind || a->op != b->op || a->negated != b->negated || a->index != b->index) return false;
	if (a->n_args != b->n_args || a->fn != b->fn || !slice_equal(a->name, b->name)) return false;
	if (a->kind == SQL_N_LITERAL) return same_literal(&a->value, &b->value);
	if (a->kind == SQL_N_PATH) return jpath_equal(a->path, b->path);
	const struct sql_node *x = a->args, *y = b->args;
	for (; x && y; x = x->next, y = y->next)
		if (!same(x, y)) return false;
	return x == y && same(a->a, b->a) && same(a->b, b->b) && same(a->c, b->c);
}

uint16_t sql_emit_known(const struct sql_emit *e, const struct sql_node *n) {
	if (!worth(n->kind)) return SQL_NONE;
	for (size_t i = 0; i < e->n_known; i++)
		if (e->definite[e->known[i].reg] && same(e->known[i].n, n)) return e->known[i].reg;
	return SQL_NONE;
}

void sql_emit_know(struct sql_emit *e, const struct sql_node *n, uint16_t reg) {
	if (!worth(n->kind) || n->depth > KNOWN_DEPTH_MAX || !steady(n)) return;
	/* The oldest one goes: what belongs together stands together. */
	e->known[e->next_known] = (struct sql_known){.n = n, .reg = reg};
	e->next_known = (e->next_known + 1) % SL_ARRAY_LEN(e->known);
	if (e->n_known < SL_ARRAY_LEN(e->known)) e->n_known++;
	sql_emit_definite(e, reg);
}
