/* aws_emit.c: expressions and statements of the aws dialect to steps; uses the parts of sql_emit.h. */
#include "aws_ops.h"
#include "aws_steps.h"
#include "aws_unit.h"
#include "mem.h"

static void condition(struct sql_emit *e, struct sql_node *n, uint32_t *unmet);

static uint16_t undefined(struct sql_emit *e, const struct sql_node *n) {
	struct sql_value none = sql_null();
	return sql_emit_const(e, &none, n->at);
}

static uint32_t jump(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t a) {
	return sql_emit_step3(e, op, n, 0, a, 0);
}

static uint32_t two(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t dst) {
	uint16_t a = aws_emit_operand(e, n->a);
	uint16_t b = n->b ? aws_emit_operand(e, n->b) : 0;
	return sql_emit_step3(e, op, n, dst, a, b);
}

/* ---- operators ---- */

static void binary_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	static const enum sql_op ops[] = {
	    [SQL_B_ADD] = SQL_OP_AWS_ADD, [SQL_B_SUB] = SQL_OP_AWS_SUB, [SQL_B_MUL] = SQL_OP_AWS_MUL,
	    [SQL_B_DIV] = SQL_OP_AWS_DIV, [SQL_B_MOD] = SQL_OP_AWS_MOD, [SQL_B_EQ] = SQL_OP_AWS_EQ,
	    [SQL_B_NE] = SQL_OP_AWS_NE,   [SQL_B_LT] = SQL_OP_AWS_LT,   [SQL_B_LE] = SQL_OP_AWS_LE,
	    [SQL_B_GT] = SQL_OP_AWS_GT,   [SQL_B_GE] = SQL_OP_AWS_GE,
	};
	const struct aws_program *p = e->u->p->aws;
	enum sql_op op = n->op == SQL_B_DIV && p->decimal_division ? SQL_OP_AWS_DIV_DECIMAL : ops[n->op];
	uint16_t a = aws_emit_operand(e, n->a), b = aws_emit_operand(e, n->b);
	sql_emit_step3(e, op, n, dst, a, b);
}

/* The right side is left out when the left one settles it. */
static void logic_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	bool is_and = n->kind == SQL_N_AND;
	uint16_t a = aws_emit_operand(e, n->a);
	sql_emit_step3(e, SQL_OP_AWS_TRUTH, n->a, dst, a, 0);
	uint32_t skip = jump(e, is_and ? SQL_OP_AWS_JUMP_FALSE : SQL_OP_AWS_JUMP_TRUE, n, dst);
	size_t mark = sql_emit_branch(e);
	uint16_t b = aws_emit_operand(e, n->b);
	sql_emit_step3(e, is_and ? SQL_OP_AWS_AND : SQL_OP_AWS_OR, n, dst, dst, b);
	sql_emit_end_branch(e, mark);
	sql_emit_patch(e, skip);
}

static void case_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint16_t subject = aws_emit_operand(e, n->a);
	uint32_t ends = SQL_NO_JUMP, there = jump(e, SQL_OP_JUMP_VALUE, n->a, subject);
	sql_emit_step3(e, SQL_OP_MOVE, n, dst, undefined(e, n), 0); /* whatever ELSE says */
	sql_emit_chain_jump(e, SQL_OP_JUMP, n, 0, &ends);
	sql_emit_patch(e, there);
	size_t outer = sql_emit_branch(e);
	for (struct sql_node *when = n->args; when; when = when->next->next) {
		uint32_t unmet = SQL_NO_JUMP;
		uint16_t w = aws_emit_operand(e, when), same = sql_emit_register(e);
		sql_emit_step3(e, SQL_OP_AWS_EQ, when, same, subject, w);
		sql_emit_chain_jump(e, SQL_OP_AWS_JUMP_UNMET, when, same, &unmet);
		aws_emit_into(e, when->next, dst);
		sql_emit_chain_jump(e, SQL_OP_JUMP, n, 0, &ends);
		sql_emit_patch_chain(e, unmet);
		sql_emit_end_branch(e, outer);
	}
	if (n->c)
		aws_emit_into(e, n->c, dst);
	else
		sql_emit_step3(e, SQL_OP_MOVE, n, dst, undefined(e, n), 0);
	sql_emit_end_branch(e, outer);
	sql_emit_patch_chain(e, ends);
}

/* ---- arrays, objects, calls ---- */

static uint16_t args_block(struct sql_emit *e, const struct sql_node *n) {
	uint16_t base = sql_emit_registers(e, n->n_args ? n->n_args : 1), at = base;
	for (struct sql_node *x = n->args; x; x = x->next) aws_emit_into(e, x, at++);
	return base;
}

static void list_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint16_t base = args_block(e, n);
	uint32_t s = sql_emit_step3(e, SQL_OP_AWS_LIST, n, dst, base, 0);
	e->steps[s].n = n->n_args;
}

static struct aws_shape *new_shape(struct sql_emit *e, uint32_t n) {
	struct aws_shape *shape = SL_ARENA_NEW(e->u->f->arena, struct aws_shape);
	shape->at = SL_ARENA_ARRAY(e->u->f->arena, struct aws_member, n + 1);
	return shape;
}

/* Only names, and none twice: then nobody need look for them in a run. */
static void find_plain(struct aws_shape *shape) {
	shape->plain = true;
	for (uint32_t i = 0; i < shape->n && shape->plain; i++) {
		shape->plain = !shape->at[i].spread && !shape->at[i].rest;
		for (uint32_t k = 0; k < i && shape->plain; k++)
			shape->plain = !slice_equal(shape->at[k].key, shape->at[i].key);
	}
}

static void shaped_step(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t dst, uint16_t base,
			const struct aws_shape *shape) {
	uint32_t s = sql_emit_step3(e, op, n, dst, base, 0);
	e->steps[s].n = shape->n;
	e->steps[s].shape = shape;
}

static void object_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint32_t members = n->n_args / 2u;
	struct aws_shape *shape = new_shape(e, members);
	uint16_t base = sql_emit_registers(e, members ? members : 1);
	for (struct sql_node *key = n->args; key; key = key->next->next) {
		aws_emit_into(e, key->next, (uint16_t)(base + shape->n));
		shape->at[shape->n++].key = sql_value_text(&key->value);
	}
	find_plain(shape);
	shaped_step(e, SQL_OP_AWS_OBJECT, n, dst, base, shape);
}

/* Null, Undefined and failures give way to the second argument; without one they vanish. */
static void default_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint32_t from = sql_emit_here(e);
	size_t mark = sql_emit_branch(e);
	aws_emit_into(e, n->args, dst);
	sql_emit_end_branch(e, mark);
	uint32_t to = sql_emit_here(e);
	uint32_t there = jump(e, SQL_OP_AWS_JUMP_PRESENT, n, dst);
	SL_GROW(e->handlers, e->n_handlers, e->room_handlers);
	e->handlers[e->n_handlers++] = (struct sql_handler){.from = from, .to = to, .target = to + 1};
	if (n->args->next)
		aws_emit_into(e, n->args->next, dst);
	else
		sql_emit_step3(e, SQL_OP_MOVE, n, dst, undefined(e, n), 0);
	sql_emit_end_branch(e, mark);
	sql_emit_patch(e, there);
}

static void call_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	if (strcmp(n->fn->name, "get_or_default") == 0) {
		default_into(e, n, dst);
		return;
	}
	uint16_t base = args_block(e, n);
	uint32_t s = sql_emit_step3(e, SQL_OP_CALL, n, dst, base, 0);
	e->steps[s].n = n->n_args;
	e->steps[s].jump = sql_emit_site(e, n);
}

/* ---- nested queries ---- */

static void member_into(struct sql_emit *e, const struct sql_node *n, uint16_t a, uint16_t dst) {
	struct sql_value key = sql_string(n->name);
	sql_emit_step3(e, SQL_OP_AWS_MEMBER, n, dst, a, sql_emit_const(e, &key, n->at));
}

/* The members of n down to `root`, whose value stands in `reg`. */
static void chain_into(struct sql_emit *e, const struct sql_node *n, const struct sql_node *root, uint16_t reg,
		       uint16_t dst) {
	if (n->a != root) {
		uint16_t a = sql_emit_register(e);
		chain_into(e, n->a, root, reg, a);
		reg = a;
	}
	member_into(e, n, reg, dst);
}

static void scoped_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	bool direct = n->b == n->a;
	uint16_t root = direct ? dst : sql_emit_register(e);
	aws_emit_into(e, n->a, root);
	uint32_t there = jump(e, SQL_OP_JUMP_VALUE, n, root);
	size_t mark = sql_emit_branch(e);
	aws_emit_into(e, n->c, dst);
	sql_emit_end_branch(e, mark);
	if (direct) {
		sql_emit_patch(e, there);
		return;
	}
	uint32_t end = jump(e, SQL_OP_JUMP, n, 0);
	sql_emit_patch(e, there);
	chain_into(e, n->b, n->a, root, dst);
	sql_emit_patch(e, end);
}

static struct aws_shape *fields_into(struct sql_emit *e, const struct sql_statement *s, uint16_t *base) {
	struct aws_shape *shape = new_shape(e, s->fields.n);
	*base = sql_emit_registers(e, s->fields.n);
	for (const struct sql_field *f = s->fields.first; f; f = f->next) {
		struct aws_member *m = &shape->at[shape->n];
		aws_emit_into(e, f->expr, (uint16_t)(*base + shape->n));
		m->spread = f->spread;
		m->payload = f->star && s == e->u->aws->statement;
		if (!f->spread) {
			m->key = f->target.first->key;
			m->rest = f->target.first->next;
		}
		shape->n++;
	}
	find_plain(shape);
	return shape;
}

/* The row of a nested query, in a register. */
static uint16_t row_of(struct sql_emit *e, const struct sql_node *n) {
	uint16_t base, row;
	if (n->query->value) return aws_emit_operand(e, n->query->fields.first->expr);
	struct aws_shape *shape = fields_into(e, n->query, &base);
	row = sql_emit_register(e);
	shaped_step(e, SQL_OP_AWS_OBJECT, n, row, base, shape);
	return row;
}

/* One walk over the source. With `found`, the first row ends it there. *none leaves when there is nothing to walk. */
static uint16_t walk_into(struct sql_emit *e, const struct sql_node *n, uint32_t *none, uint32_t *found) {
	struct sql_statement *q = n->query;
	uint16_t source = aws_emit_operand(e, q->source), walk = sql_emit_register(e);
	q->element_reg = sql_emit_register(e);
	*none = sql_emit_step3(e, SQL_OP_AWS_ROWS, n, walk, source, 0);
	size_t mark = sql_emit_branch(e);
	uint32_t top = sql_emit_step3(e, SQL_OP_AWS_ELEMENT, n, q->element_reg, walk, 0), unmet = SQL_NO_JUMP;
	if (q->where) condition(e, q->where, &unmet);
	if (found && !q->value) {
		sql_emit_chain_jump(e, SQL_OP_JUMP, n, 0, found);
	} else {
		uint16_t row = row_of(e, n);
		if (found)
			sql_emit_chain_jump(e, SQL_OP_JUMP_VALUE, n, row, found);
		else
			sql_emit_step3(e, SQL_OP_AWS_ROWS_ADD, n, 0, walk, row);
	}
	sql_emit_patch_chain(e, unmet);
	uint32_t back = jump(e, SQL_OP_JUMP, n, 0);
	e->steps[back].jump = top;
	e->steps[top].n = sql_emit_here(e) - top;
	sql_emit_patch(e, top);
	sql_emit_end_branch(e, mark);
	return walk;
}

static void query_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint32_t none;
	uint16_t walk = walk_into(e, n, &none, NULL);
	sql_emit_step3(e, SQL_OP_AWS_ROWS_END, n, dst, walk, 0);
	uint32_t end = jump(e, SQL_OP_JUMP, n, 0);
	sql_emit_patch(e, none);
	sql_emit_step3(e, SQL_OP_MOVE, n, dst, undefined(e, n), 0);
	sql_emit_patch(e, end);
}

static void exists_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	struct sql_value no = sql_bool(false), yes = sql_bool(true);
	uint32_t none, found = SQL_NO_JUMP;
	walk_into(e, n->a, &none, &found);
	sql_emit_patch(e, none);
	sql_emit_step3(e, SQL_OP_MOVE, n, dst, sql_emit_const(e, &no, n->at), 0);
	uint32_t end = jump(e, SQL_OP_JUMP, n, 0);
	sql_emit_patch_chain(e, found);
	sql_emit_step3(e, SQL_OP_MOVE, n, dst, sql_emit_const(e, &yes, n->at), 0);
	sql_emit_patch(e, end);
}

/* ---- expressions ---- */

/* What stands somewhere already. SQL_NONE for what must be computed. */
static uint16_t standing(struct sql_emit *e, const struct sql_node *n) {
	if (n->kind == SQL_N_LITERAL) return sql_emit_const(e, &n->value, n->at);
	if (n->kind == SQL_N_COLUMN || n->kind == SQL_N_PATH) return sql_emit_home(e, n);
	if (n->kind == SQL_N_ELEMENT) return n->query->element_reg;
	if (n->kind == SQL_N_VARIABLE && !e->u->in_template) return (uint16_t)(e->u->p->aws->first_variable + n->index);
	return SQL_NONE;
}

uint16_t aws_emit_operand(struct sql_emit *e, struct sql_node *n) {
	if (e->u->f->status != SL_OK) return 0;
	uint16_t r = standing(e, n);
	if (r != SQL_NONE) return r;
	r = sql_emit_register(e);
	aws_emit_into(e, n, r);
	return r;
}

static void payload_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint16_t document = sql_emit_home(e, n->a);
	sql_emit_step3(e, SQL_OP_AWS_PAYLOAD, n, dst, document, 0);
}

static void cast_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint32_t s = two(e, SQL_OP_AWS_CAST, n, dst);
	e->steps[s].n = n->index;
}

static void compute_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	switch (n->kind) {
	case SQL_N_MEMBER: member_into(e, n, aws_emit_operand(e, n->a), dst); return;
	case SQL_N_LIST: list_into(e, n, dst); return;
	case SQL_N_OBJECT: object_into(e, n, dst); return;
	case SQL_N_CALL: call_into(e, n, dst); return;
	case SQL_N_NOT: two(e, SQL_OP_AWS_NOT, n, dst); return;
	case SQL_N_NEGATE: two(e, SQL_OP_AWS_NEGATE, n, dst); return;
	case SQL_N_BINARY: binary_into(e, n, dst); return;
	case SQL_N_AND:
	case SQL_N_OR: logic_into(e, n, dst); return;
	case SQL_N_IN_LIST: two(e, SQL_OP_AWS_IN, n, dst); return;
	case SQL_N_CASE: case_into(e, n, dst); return;
	case SQL_N_STAR: payload_into(e, n, dst); return;
	case SQL_N_CAST: cast_into(e, n, dst); return;
	case SQL_N_QUERY: query_into(e, n, dst); return;
	case SQL_N_EXISTS: exists_into(e, n, dst); return;
	case SQL_N_SCOPED: scoped_into(e, n, dst); return;
	case SQL_N_VARIABLE:
		sql_emit_step(e, SQL_OP_AWS_VARIABLE, n)->n = (uint32_t)(e->u->p->aws->first_variable + n->index);
		e->steps[e->n_steps - 1].dst = dst;
		return;
	case SQL_N_LITERAL:
	case SQL_N_COLUMN:
	case SQL_N_PATH:
	case SQL_N_ELEMENT: return; /* stand somewhere */
	case SQL_N_NAME:
	case SQL_N_INDEX:
	case SQL_N_SLICE:
	case SQL_N_RANGE:
	case SQL_N_PLUS:
	case SQL_N_IN:
	case SQL_N_BETWEEN:
	case SQL_N_LIKE:
	case SQL_N_IS_NULL:
	case SQL_N_METADATA:
	case SQL_N_ALIAS:
	case SQL_N_ITEM:
	case SQL_N_OUTPUT: sl_assert(false); return; /* not of this grammar */
	}
}

void aws_emit_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	if (e->u->f->status != SL_OK) return;
	uint16_t from = standing(e, n);
	if (from != SQL_NONE) {
		if (from != dst) sql_emit_step3(e, SQL_OP_MOVE, n, dst, from, 0);
		return;
	}
	uint32_t shared = sql_emit_shared(e, n, dst);
	size_t mark = sql_emit_branch(e);
	compute_into(e, n, dst);
	sql_emit_keep(e, n, dst, shared, mark);
}

/* Leaves by *unmet unless n is true. Nothing fails, so conjuncts may leave on their own. */
static void condition(struct sql_emit *e, struct sql_node *n, uint32_t *unmet) {
	if (e->u->f->status != SL_OK) return;
	if (n->kind == SQL_N_LITERAL && n->value.kind == SQL_BOOL && n->value.b) return;
	if (n->kind == SQL_N_AND) {
		condition(e, n->a, unmet);
		condition(e, n->b, unmet);
		return;
	}
	uint16_t a = aws_emit_operand(e, n->kind == SQL_N_OR ? n->a : n);
	if (n->kind != SQL_N_OR) {
		sql_emit_chain_jump(e, SQL_OP_AWS_JUMP_UNMET, n, a, unmet);
		return;
	}
	uint32_t met = jump(e, SQL_OP_AWS_JUMP_TRUE, n->a, a);
	size_t mark = sql_emit_branch(e);
	condition(e, n->b, unmet);
	sql_emit_end_branch(e, mark);
	sql_emit_patch(e, met);
}

/* ---- the statement ---- */

static void variables(struct sql_emit *e, uint32_t which) {
	uint32_t i = 0;
	for (const struct sql_field *f = e->u->aws->statement->sets.first; f; f = f->next, i++) {
		if (!(which >> i & 1)) continue;
		uint16_t reg = (uint16_t)(e->u->p->aws->first_variable + i);
		aws_emit_into(e, f->expr, reg);
		sql_emit_step3(e, SQL_OP_AWS_KEEP, f->expr, 0, reg, 0);
	}
}

static void emit_row(struct sql_emit *e, const struct sql_statement *s, const struct sql_node *whole) {
	struct sql_program *p = e->u->p;
	if (s->value) {
		uint16_t value = aws_emit_operand(e, s->fields.first->expr);
		uint32_t step = sql_emit_step3(e, SQL_OP_AWS_EMIT_VALUE, whole, 0, value, 0);
		e->steps[step].n = s->fields.first->expr->kind == SQL_N_STAR;
		return;
	}
	uint16_t base;
	struct aws_shape *shape = fields_into(e, s, &base);
	shaped_step(e, SQL_OP_AWS_EMIT, whole, 0, base, shape);
	if (!shape->plain) return;
	p->out_base = base;
	p->columns = SL_ARENA_ARRAY(&p->arena, struct sl_slice, shape->n + 1);
	for (uint32_t i = 0; i < shape->n; i++) p->columns[p->n_columns++] = sl_arena_dup(&p->arena, shape->at[i].key);
}

int aws_emit_program(struct sql_unit *u) {
	struct sql_emit e;
	struct sql_program *p = u->p;
	const struct sql_statement *s = u->aws->statement;
	struct sql_node whole = {.end = (uint32_t)u->f->text.n};
	uint32_t unmet = SQL_NO_JUMP;
	sql_emit_init(&e, u);
	p->aws->first_variable = sql_emit_registers(&e, p->aws->n_variables);
	variables(&e, u->aws->where_reads);
	if (u->where) condition(&e, u->where, &unmet);
	p->select_at = sql_emit_here(&e);
	p->where_paths = p->n_paths;
	variables(&e, ~u->aws->where_reads);
	emit_row(&e, s, &whole);
	sql_emit_step(&e, SQL_OP_HALT, &whole);
	sql_emit_patch_chain(&e, unmet);
	sql_emit_step(&e, SQL_OP_REJECT, u->where ? u->where : &whole);
	if (u->f->status == SL_OK) sql_emit_finish(&e, &p->arena, &p->code);
	p->code.text = p->text;
	sql_emit_fini(&e);
	return u->f->status;
}
