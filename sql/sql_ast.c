/* sql_ast.c: makers of nodes, called by the grammar. */
#include "sql_parse.h"

static uint16_t depth_of(const struct sql_node *n) { return n ? n->depth : 0; }

void sql_ast_measure(struct sql_parse *p, struct sql_node *n) {
	uint16_t d = depth_of(n->a);
	if (depth_of(n->b) > d) d = depth_of(n->b);
	if (depth_of(n->c) > d) d = depth_of(n->c);
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (x->depth > d) d = x->depth;
	if (d >= SQL_DEPTH_MAX) {
		sql_front_fail(p->front, n->at, SL_ELIMIT, "the expression is nested deeper than %d levels",
			       SQL_DEPTH_MAX);
		d = SQL_DEPTH_MAX - 1;
	}
	n->depth = (uint16_t)(d + 1);
}

struct sql_node *sql_ast_span(struct sql_node *n, uint32_t at, uint32_t end) {
	n->at = at;
	n->end = end;
	return n;
}

struct sql_node *sql_ast_node(struct sql_parse *p, enum sql_node_kind kind, struct sql_node *a, struct sql_node *b,
			      struct sql_node *c) {
	struct sql_node *n = SL_ARENA_NEW(p->front->arena, struct sql_node);
	n->kind = kind;
	n->a = a;
	n->b = b;
	n->c = c;
	n->at = a->at;
	n->end = c ? c->end : b ? b->end : a->end;
	sql_ast_measure(p, n);
	return n;
}

struct sql_node *sql_ast_binary(struct sql_parse *p, enum sql_binary op, struct sql_node *a, struct sql_node *b) {
	struct sql_node *n = sql_ast_node(p, SQL_N_BINARY, a, b, NULL);
	n->op = (uint8_t)op;
	return n;
}

struct sql_node *sql_ast_logic(struct sql_parse *p, enum sql_node_kind kind, struct sql_node *a, struct sql_node *b,
			       bool negated) {
	struct sql_node *n = sql_ast_node(p, kind, a, b, NULL);
	n->negated = negated;
	return n;
}

struct sql_node *sql_ast_leaf(struct sql_parse *p, enum sql_node_kind kind, const struct sql_token *t) {
	struct sql_node *n = SL_ARENA_NEW(p->front->arena, struct sql_node);
	n->kind = kind;
	n->name = t->text;
	n->depth = 1;
	return sql_ast_span(n, t->at, t->end);
}

struct sql_node *sql_ast_literal(struct sql_parse *p, const struct sql_token *t, struct sql_value value) {
	struct sql_node *n = sql_ast_leaf(p, SQL_N_LITERAL, t);
	n->value = value;
	return n;
}

struct sql_node *sql_ast_number(struct sql_parse *p, const struct sql_token *t, bool whole) {
	struct sql_value v = sql_null();
	struct sl_slice digits = t->text; /* of a number kept as text: as JSON has it */
	while (whole && digits.n > 1 && digits.p[0] == '0') digits = slice_from(digits, 1);
	if (whole && slice_to_i64(t->text, &v.i) == SL_OK) {
		v.kind = SQL_INT;
	} else if (whole) { /* larger than int64: keeps its digits */
		v = (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)digits.n, .p = digits.p};
	} else if (slice_to_double(t->text, &v.d) == SL_OK) {
		v.kind = SQL_DOUBLE;
	} else {
		sql_front_fail(p->front, t->at, SL_ELIMIT, "the number %.*s is out of range", SL_SLICE_ARG(t->text));
	}
	return sql_ast_literal(p, t, v);
}

struct sql_node *sql_ast_many(struct sql_parse *p, enum sql_node_kind kind, struct sl_slice name, struct sql_nodes args,
			      uint32_t at, uint32_t end) {
	struct sql_node *n = SL_ARENA_NEW(p->front->arena, struct sql_node);
	n->kind = kind;
	n->name = name;
	n->args = args.first;
	n->n_args = (uint16_t)args.n;
	sql_ast_span(n, at, end);
	sql_ast_measure(p, n);
	return n;
}

/* count(*) */
struct sql_node *sql_ast_star_call(struct sql_parse *p, const struct sql_token *name, uint32_t end) {
	if (!slice_equal_nocase(name->text, SL_SLICE_LIT("count")))
		sql_front_fail(p->front, name->at, SL_ESYNTAX, "only count() takes a *");
	struct sql_node *star = sql_ast_span(SL_ARENA_NEW(p->front->arena, struct sql_node), end - 2, end - 1);
	star->kind = SQL_N_STAR;
	star->depth = 1;
	return sql_ast_many(p, SQL_N_CALL, name->text, (struct sql_nodes){star, star, 1}, name->at, end);
}

struct sql_nodes sql_ast_append(struct sql_parse *p, struct sql_nodes list, struct sql_node *n) {
	if (list.n >= SQL_ARGS_MAX) {
		sql_front_fail(p->front, n->at, SL_ELIMIT, "more than %d elements", SQL_ARGS_MAX);
		return list;
	}
	/* A parenthesised node may stand in one list only, so its link is free. */
	SQL_LINK(&list, n);
	return list;
}

/* [2], [-1], [0] (in front), [-0] (behind), [any expression]. */
static void index_step(struct sql_parse *p, struct sql_target_step *s, struct sql_node *index) {
	const struct sql_node *n = index;
	bool minus = n->kind == SQL_N_NEGATE;
	if (minus || n->kind == SQL_N_PLUS) n = n->a;
	s->is_index = true;
	if (n->kind != SQL_N_LITERAL) {
		s->expr = index;
		return;
	}
	if (n->value.kind != SQL_INT || n->value.i > INT32_MAX) {
		sql_front_fail(p->front, index->at, SL_ETYPE,
			       "the index of a target must be a whole number, such as [1]");
		return;
	}
	s->index = (int32_t)(minus ? -n->value.i : n->value.i);
	s->append = minus && n->value.i == 0;
}

struct sql_place_name sql_ast_target(struct sql_parse *p, struct sql_place_name t, const struct sql_token *key,
				     struct sql_node *index) {
	struct sql_target_step *s = SL_ARENA_NEW(p->front->arena, struct sql_target_step);
	if (index)
		index_step(p, s, index);
	else
		s->key = key->text;
	if (t.n == 0) t.at = key->at;
	if (t.n >= 32) sql_front_fail(p->front, key->at, SL_ELIMIT, "a target has at most 32 steps");
	t.end = key->end;
	SQL_LINK(&t, s);
	return t;
}

struct sql_field *sql_ast_field(struct sql_parse *p, struct sql_node *expr, struct sql_place_name target, uint32_t at) {
	struct sql_field *f = SL_ARENA_NEW(p->front->arena, struct sql_field);
	*f = (struct sql_field){.star = expr == NULL, .expr = expr, .target = target, .at = at};
	return f;
}

struct sql_fields sql_ast_add_field(struct sql_fields list, struct sql_field *f) {
	SQL_LINK(&list, f);
	return list;
}

struct sql_froms sql_ast_add_from(struct sql_parse *p, struct sql_froms list, const struct sql_token *t) {
	struct sql_from *f = SL_ARENA_NEW(p->front->arena, struct sql_from);
	*f = (struct sql_from){.name = t->text, .at = t->at};
	SQL_LINK(&list, f);
	return list;
}

struct sql_statement *sql_ast_statement(struct sql_parse *p) {
	return SL_ARENA_NEW(p->front->arena, struct sql_statement);
}
