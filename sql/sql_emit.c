/* sql_emit.c: expressions to steps; see sql_emit.h.
 *
 * What is read from outside (column, path) has one home register per program and is loaded where it is first needed. A
 * home is "definite" when every way to here has loaded it; in a branch that may not run it is loaded again, which is
 * cheap. An alias is guarded by a bit instead, for its expression may be dear. */
#include "sql_emit.h"

#include "aws_steps.h"

#include "mem.h"
#include "sql_arith.h"
#include "sql_set.h"
#include "sql_vm.h"

void sql_emit_init(struct sql_emit *e, struct sql_unit *u) {
	*e = (struct sql_emit){.u = u, .metadata_reg = SQL_NONE, .item_reg = SQL_NONE};
	size_t columns = u->p->source ? u->p->source->column_count : 0;
	e->column_reg = SL_NEW_ARRAY(uint16_t, columns + 1);
	for (size_t i = 0; i < columns; i++) e->column_reg[i] = SQL_NONE;
	e->definite = SL_NEW_ARRAY(bool, SQL_REGISTERS_MAX + 1);
	e->journal = SL_NEW_ARRAY(uint16_t, SQL_REGISTERS_MAX + 1);
}

static void release_sites(const struct sql_site *sites, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (sites[i].prepared && !sites[i].borrowed && sites[i].fn->release)
			sites[i].fn->release(sites[i].prepared);
}

void sql_code_fini(struct sql_code *code) {
	release_sites(code->sites, code->n_sites);
	code->n_sites = 0;
}

void sql_emit_fini(struct sql_emit *e) {
	sl_free(e->steps);
	sl_free(e->consts);
	sl_free(e->handlers);
	release_sites(e->sites, e->n_sites);
	sl_free(e->sites);
	sl_free(e->path_reg);
	sl_free(e->column_reg);
	sl_free(e->definite);
	sl_free(e->journal);
}

static struct sql_target_step *copy_target(struct sl_arena *arena, const struct sql_target_step *t) {
	if (!t) return NULL;
	struct sql_target_step *copy = SL_ARENA_NEW(arena, struct sql_target_step);
	*copy = *t;
	copy->key = sl_arena_dup(arena, t->key);
	copy->next = copy_target(arena, t->next);
	return copy;
}

/* What a step can be given when it is known what its operands are, and what comes behind it. */
static void finish_step(const struct sql_code *code, struct sql_step *s, struct sl_arena *arena) {
	if (s->op == SQL_OP_IN && s->b & SQL_CONST) {
		struct sql_value *list = &code->consts[s->b & ~SQL_CONST];
		if (list->kind != SQL_LIST || list->list->n < SQL_SET_LEAST) return;
		list->list = sql_set_new(arena, list->list);
		s->op = SQL_OP_IN_SET;
	}
	/* A comparison jumps by itself; the step behind it stays, for those that are led there. */
	bool compares = s->op >= SQL_OP_EQ && s->op <= SQL_OP_NE_S;
	if (compares && s + 1 < code->steps + code->n_steps && s[1].op == SQL_OP_JUMP_FALSE && s[1].a == s->dst)
		s->n = SQL_THEN_JUMP;
}

void sql_emit_finish(struct sql_emit *e, struct sl_arena *arena, struct sql_code *code) {
	*code = (struct sql_code){.n_steps = (uint32_t)e->n_steps,
				  .n_consts = (uint32_t)e->n_consts,
				  .n_handlers = (uint32_t)e->n_handlers,
				  .n_registers = e->n_registers,
				  .n_once = e->n_once};
	code->steps = SL_ARENA_ARRAY(arena, struct sql_step, e->n_steps + 1);
	if (e->n_steps) memcpy(code->steps, e->steps, e->n_steps * sizeof *e->steps);
	code->sites = SL_ARENA_ARRAY(arena, struct sql_site, e->n_sites + 1);
	if (e->n_sites) memcpy(code->sites, e->sites, e->n_sites * sizeof *e->sites);
	code->n_sites = (uint32_t)e->n_sites;
	e->n_sites = 0; /* the code owns what they have prepared */
	for (uint32_t i = 0; i < code->n_steps; i++) {
		struct sql_step *s = &code->steps[i];
		if (s->op == SQL_OP_PUT) s->target = copy_target(arena, s->target);
		if (s->op == SQL_OP_AWS_OBJECT || s->op == SQL_OP_AWS_EMIT) s->shape = aws_shape_copy(arena, s->shape);
		if (s->op == SQL_OP_CALL) s->site = &code->sites[s->jump];
	}
	code->consts = SL_ARENA_ARRAY(arena, struct sql_value, e->n_consts + 1);
	for (size_t i = 0; i < e->n_consts; i++) code->consts[i] = sql_value_copy(arena, &e->consts[i]);
	for (uint32_t i = 0; i < code->n_steps; i++) finish_step(code, &code->steps[i], arena);
	code->handlers = SL_ARENA_ARRAY(arena, struct sql_handler, e->n_handlers + 1);
	if (e->n_handlers) memcpy(code->handlers, e->handlers, e->n_handlers * sizeof *e->handlers);
}

static void too_large(struct sql_emit *e, uint32_t at, const char *what) {
	sql_front_fail(e->u->f, at, SL_ELIMIT, "the rule is too large: it needs too many %s", what);
}

uint16_t sql_emit_registers(struct sql_emit *e, uint32_t n) {
	if (e->n_registers + n > SQL_REGISTERS_MAX) {
		too_large(e, 0, "registers");
		return 0;
	}
	uint16_t r = (uint16_t)e->n_registers;
	e->n_registers += n;
	return r;
}
uint16_t sql_emit_register(struct sql_emit *e) { return sql_emit_registers(e, 1); }

struct sql_step *sql_emit_step(struct sql_emit *e, enum sql_op op, const struct sql_node *n) {
	if (e->n_steps >= (e->u->steps_max ? e->u->steps_max : SQL_STEPS_MAX)) {
		too_large(e, n->at, "steps");
		e->n_steps--;
	}
	SL_GROW(e->steps, e->n_steps, e->room_steps);
	struct sql_step *s = &e->steps[e->n_steps++];
	*s = (struct sql_step){.op = (uint16_t)op, .at = n->at, .end = n->end};
	return s;
}

uint32_t sql_emit_here(const struct sql_emit *e) { return (uint32_t)e->n_steps; }
void sql_emit_patch(struct sql_emit *e, uint32_t step) { e->steps[step].jump = sql_emit_here(e); }
void sql_emit_patch_chain(struct sql_emit *e, uint32_t chain) {
	while (chain != SQL_NO_JUMP && e->u->f->status == SL_OK) {
		uint32_t next = e->steps[chain].jump;
		sql_emit_patch(e, chain);
		chain = next;
	}
}

uint32_t sql_emit_step3(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t dst, uint16_t a,
			uint16_t b) {
	struct sql_step *s = sql_emit_step(e, op, n);
	s->dst = dst;
	s->a = a;
	s->b = b;
	return sql_emit_here(e) - 1;
}

static bool same_const(const struct sql_value *a, const struct sql_value *b) {
	if (a->kind != b->kind) return false;
	if (a->kind == SQL_INT) return a->i == b->i;
	if (a->kind == SQL_STRING) return slice_equal(sql_value_text(a), sql_value_text(b));
	return a->kind == SQL_NULL;
}

uint16_t sql_emit_const(struct sql_emit *e, const struct sql_value *v, uint32_t at) {
	for (size_t i = 0; i < e->n_consts && i < 64; i++)
		if (same_const(&e->consts[i], v)) return (uint16_t)(SQL_CONST | i);
	if (e->n_consts >= SQL_CONSTS_MAX) {
		too_large(e, at, "constants");
		return SQL_CONST;
	}
	SL_GROW(e->consts, e->n_consts, e->room_consts);
	e->consts[e->n_consts] = *v;
	return (uint16_t)(SQL_CONST | e->n_consts++);
}

/* ---- homes ---- */

void sql_emit_definite(struct sql_emit *e, uint16_t reg) {
	if (e->definite[reg]) return;
	e->definite[reg] = true;
	e->journal[e->n_journal++] = reg;
}

size_t sql_emit_branch(const struct sql_emit *e) { return e->n_journal; }
void sql_emit_end_branch(struct sql_emit *e, size_t mark) {
	while (e->n_journal > mark) e->definite[e->journal[--e->n_journal]] = false;
}

static bool same_place(const struct sql_node *a, const struct sql_node *b) {
	if (a->kind != b->kind || a->kind == SQL_N_METADATA) return a->kind == b->kind;
	if (a->kind == SQL_N_COLUMN) return a->index == b->index;
	if (a->kind != SQL_N_PATH || a->path->n != b->path->n) return false;
	for (uint16_t i = 0; i < a->path->n; i++) {
		const struct jpath_step *x = &a->path->steps[i], *y = &b->path->steps[i];
		if (x->is_index != y->is_index || x->index != y->index || !slice_equal(x->key, y->key)) return false;
	}
	return true;
}

/* A value that is also an output column is loaded straight to its place in the row. */
static uint16_t new_home(struct sql_emit *e, const struct sql_node *n) {
	for (size_t i = 0; i < e->u->n_aliases; i++) {
		const struct sql_alias *a = &e->u->aliases[i];
		if (a->reg != SQL_NONE && a->expr && !a->rest && same_place(a->expr, n)) return a->reg;
	}
	return sql_emit_register(e);
}

static uint16_t *path_slot(struct sql_emit *e, const struct sql_node *n, uint32_t *number) {
	int i = sql_program_add_path(e->u->p, n->path);
	if (i < 0) {
		too_large(e, n->at, "payload paths");
		i = 0;
	}
	*number = (uint32_t)i;
	if (e->n_path_reg <= (size_t)i) {
		e->path_reg = sl_realloc_array(e->path_reg, (size_t)i + 1, sizeof *e->path_reg);
		while (e->n_path_reg <= (size_t)i) e->path_reg[e->n_path_reg++] = SQL_NONE;
	}
	return &e->path_reg[i];
}

static size_t column_position(const struct sql_emit *e, uint16_t id) {
	const struct sql_source *s = e->u->p->source;
	size_t i = 0;
	while (i < s->column_count && s->columns[i].id != id) i++;
	return i;
}

/* The register of a column, a path or the metadata, loaded. */
uint16_t sql_emit_home(struct sql_emit *e, const struct sql_node *n) {
	uint32_t number = n->index;
	enum sql_op op = SQL_OP_COLUMN;
	uint16_t *slot = &e->metadata_reg;
	if (n->kind == SQL_N_PATH) {
		op = e->u->aws ? SQL_OP_AWS_PATH : SQL_OP_PATH;
		slot = path_slot(e, n, &number);
	} else if (n->kind == SQL_N_COLUMN) {
		slot = &e->column_reg[column_position(e, n->index)];
	} else {
		op = SQL_OP_METADATA;
	}
	if (*slot == SQL_NONE) *slot = new_home(e, n);
	uint16_t reg = *slot;
	if (e->definite[reg]) return reg;
	uint32_t s = sql_emit_step3(e, op, n, reg, 0, 0);
	e->steps[s].n = number;
	sql_emit_definite(e, reg);
	return reg;
}

/* ---- aliases ---- */

/* AS a[i]: the indexes that only the run knows, into registers. A copy: the same alias may be evaluated on two ways. */
static const struct sql_target_step *indexes_into(struct sql_emit *e, const struct sql_target_step *target) {
	struct sql_target_step *first = copy_target(e->u->f->arena, target);
	for (struct sql_target_step *s = first; s; s = s->next) {
		if (!s->expr) continue;
		s->reg = sql_emit_operand(e, s->expr);
		s->varies = true;
		s->expr = NULL; /* gone when the program runs */
	}
	return first;
}

static void alias_body(struct sql_emit *e, size_t i) {
	struct sql_alias *a = &e->u->aliases[i];
	if (!a->rest) {
		uint16_t reg = a->reg;
		bool direct =
		    a->expr->kind == SQL_N_COLUMN || a->expr->kind == SQL_N_PATH || a->expr->kind == SQL_N_METADATA;
		if (direct) {
			uint16_t from = sql_emit_home(e, a->expr);
			if (from != reg) sql_emit_step3(e, SQL_OP_MOVE, a->expr, reg, from, 0);
		} else {
			sql_emit_into(e, a->expr, reg);
		}
		return;
	}
	struct sql_value null = sql_null();
	uint16_t base = sql_emit_const(e, &null, a->at);
	if (a->previous >= 0) {
		sql_emit_alias(e, (size_t)a->previous);
		base = e->u->aliases[a->previous].reg;
	}
	uint16_t value = sql_emit_operand(e, a->expr);
	const struct sql_target_step *target = indexes_into(e, a->rest);
	uint32_t s = sql_emit_step3(e, SQL_OP_PUT, a->expr, a->reg, base, value);
	e->steps[s].target = target;
}

void sql_emit_alias(struct sql_emit *e, size_t i) {
	struct sql_alias *a = &e->u->aliases[i];
	if (e->u->f->status != SL_OK) return;
	if (a->reg == SQL_NONE) a->reg = sql_emit_register(e);
	if (e->definite[a->reg]) return; /* evaluated on every way to here */
	if (!e->early && a->once < 0) {
		alias_body(e, i);
		sql_emit_definite(e, a->reg);
		return;
	}
	if (a->once < 0) a->once = (int32_t)e->n_once++;
	struct sql_step *test = sql_emit_step(e, SQL_OP_IF_DONE, a->expr);
	test->n = (uint32_t)a->once;
	uint32_t at = sql_emit_here(e) - 1;
	size_t mark = sql_emit_branch(e);
	alias_body(e, i);
	sql_emit_step(e, SQL_OP_DONE, a->expr)->n = (uint32_t)a->once;
	sql_emit_patch(e, at);
	/* What the body loaded may have been skipped by the jump, if another branch evaluated the alias. */
	sql_emit_end_branch(e, mark);
	sql_emit_definite(e, a->reg);
}

/* ---- expressions ---- */

static uint32_t jump_if(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t a) {
	return sql_emit_step3(e, op, n, 0, a, 0);
}

void sql_emit_chain_jump(struct sql_emit *e, enum sql_op op, const struct sql_node *n, uint16_t a, uint32_t *chain) {
	uint32_t j = jump_if(e, op, n, a);
	e->steps[j].jump = *chain;
	*chain = j;
}

static void truth_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	if (sql_gives_boolean(e->u, n)) {
		sql_emit_into(e, n, dst);
		return;
	}
	uint16_t a = sql_emit_operand(e, n);
	sql_emit_step3(e, SQL_OP_COND, n, dst, a, 0);
}

/* The right side is evaluated before the left one can skip it. */
static void both_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint16_t right = sql_emit_register(e);
	truth_into(e, n->b, right);
	truth_into(e, n->a, dst);
	uint32_t skip = jump_if(e, n->kind == SQL_N_AND ? SQL_OP_JUMP_FALSE : SQL_OP_JUMP_TRUE, n, dst);
	sql_emit_step3(e, SQL_OP_MOVE, n, dst, right, 0);
	sql_emit_patch(e, skip);
}

static void logic_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	if (sql_remembers(e->u, n->b)) {
		both_into(e, n, dst);
		return;
	}
	truth_into(e, n->a, dst);
	uint32_t skip = jump_if(e, n->kind == SQL_N_AND ? SQL_OP_JUMP_FALSE : SQL_OP_JUMP_TRUE, n, dst);
	size_t mark = sql_emit_branch(e);
	truth_into(e, n->b, dst);
	sql_emit_end_branch(e, mark);
	sql_emit_patch(e, skip);
}

static const enum sql_op binary_ops[] = {
    [SQL_B_ADD] = SQL_OP_ADD,   [SQL_B_SUB] = SQL_OP_SUB,     [SQL_B_MUL] = SQL_OP_MUL,       [SQL_B_DIV] = SQL_OP_DIV,
    [SQL_B_IDIV] = SQL_OP_IDIV, [SQL_B_MOD] = SQL_OP_MOD,     [SQL_B_CONCAT] = SQL_OP_CONCAT, [SQL_B_EQ] = SQL_OP_EQ,
    [SQL_B_NE] = SQL_OP_NE,     [SQL_B_LT] = SQL_OP_LT,       [SQL_B_LE] = SQL_OP_LE,         [SQL_B_GT] = SQL_OP_GT,
    [SQL_B_GE] = SQL_OP_GE,     [SQL_B_MATCH] = SQL_OP_MATCH,
};
/* 5 < x is x > 5, 2 * x is x * 2. */
static const uint8_t mirrored[] = {
    [SQL_B_MUL] = SQL_B_MUL, [SQL_B_EQ] = SQL_B_EQ, [SQL_B_NE] = SQL_B_NE, [SQL_B_LT] = SQL_B_GT,
    [SQL_B_LE] = SQL_B_GE,   [SQL_B_GT] = SQL_B_LT, [SQL_B_GE] = SQL_B_LE};

static bool number_literal(const struct sql_node *n) {
	return n->kind == SQL_N_LITERAL && (n->value.kind == SQL_INT || n->value.kind == SQL_DOUBLE);
}
static bool text_literal(const struct sql_node *n) { return n->kind == SQL_N_LITERAL && n->value.kind == SQL_STRING; }

static void compare_into(struct sql_emit *e, const struct sql_node *n, uint8_t op, uint16_t a, struct sql_node *right,
			 uint16_t dst) {
	uint16_t b = sql_emit_operand(e, right);
	enum sql_op code = binary_ops[op];
	if (op != SQL_B_MATCH && number_literal(right))
		code = (enum sql_op)(SQL_OP_EQ_N + (op - SQL_B_EQ));
	else if ((op == SQL_B_EQ || op == SQL_B_NE) && text_literal(right))
		code = op == SQL_B_EQ ? SQL_OP_EQ_S : SQL_OP_NE_S;
	sql_emit_step3(e, code, n, dst, a, b);
}

/* The step for arithmetic with this on the right. */
static enum sql_op arithmetic_op(uint8_t op, const struct sql_node *right) {
	if (op > SQL_B_MOD || !number_literal(right)) return binary_ops[op];
	const struct sql_value *k = &right->value;
	bool zero = k->kind == SQL_INT ? k->i == 0 : fpclassify(k->d) == FP_ZERO;
	if (op == SQL_B_DIV && zero) return binary_ops[op];
	if ((op == SQL_B_IDIV || op == SQL_B_MOD) && (k->kind != SQL_INT || !sql_divides(k->i))) return binary_ops[op];
	return (enum sql_op)(SQL_OP_ADD_N + (op - SQL_B_ADD));
}

static void binary_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint8_t op = n->op;
	struct sql_node *left = n->a, *right = n->b;
	bool comparison = op >= SQL_B_EQ && op <= SQL_B_GE;
	bool product = op == SQL_B_MUL && number_literal(left); /* not a sum, which may join text */
	if ((product || (comparison && left->kind == SQL_N_LITERAL)) && right->kind != SQL_N_LITERAL) {
		left = n->b;
		right = n->a;
		op = mirrored[op];
	}
	uint16_t a = sql_emit_operand(e, left);
	if (op >= SQL_B_EQ) {
		compare_into(e, n, op, a, right, dst);
		return;
	}
	uint16_t b = sql_emit_operand(e, right);
	sql_emit_step3(e, arithmetic_op(op, right), n, dst, a, b);
}

static void negate_if(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	if (n->negated) sql_emit_step3(e, SQL_OP_NOT, n, dst, dst, 0);
}

/* x BETWEEN b AND c is x >= b AND x <= c; negated x < b OR x > c: false with a NULL in either form. */
static void between_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint16_t x = sql_emit_operand(e, n->a);
	compare_into(e, n, n->negated ? SQL_B_LT : SQL_B_GE, x, n->b, dst);
	uint32_t skip = jump_if(e, n->negated ? SQL_OP_JUMP_TRUE : SQL_OP_JUMP_FALSE, n, dst);
	size_t mark = sql_emit_branch(e);
	compare_into(e, n, n->negated ? SQL_B_GT : SQL_B_LE, x, n->c, dst);
	sql_emit_end_branch(e, mark);
	sql_emit_patch(e, skip);
}

static void list_into(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	uint16_t base = sql_emit_args(e, n);
	uint32_t s = sql_emit_step3(e, SQL_OP_LIST, n, dst, base, 0);
	e->steps[s].n = n->n_args;
}

static void in_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint16_t x = sql_emit_operand(e, n->a), list;
	bool all_literal = true;
	for (struct sql_node *y = n->args; y; y = y->next) all_literal &= y->kind == SQL_N_LITERAL;
	if (n->kind == SQL_N_IN_LIST) {
		list = sql_emit_operand(e, n->b);
	} else if (all_literal) {
		struct sql_list *l = sql_list_new(e->u->f->arena, n->n_args);
		uint32_t i = 0;
		for (struct sql_node *y = n->args; y; y = y->next) l->at[i++] = y->value;
		struct sql_value v = {.kind = SQL_LIST, .list = l};
		list = sql_emit_const(e, &v, n->at);
	} else {
		list = sql_emit_register(e);
		list_into(e, n, list);
	}
	sql_emit_step3(e, SQL_OP_IN, n, dst, x, list);
	negate_if(e, n, dst);
}

static void case_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint16_t subject = n->a ? sql_emit_operand(e, n->a) : SQL_NONE;
	size_t outer = sql_emit_branch(e);
	uint32_t ends = SQL_NO_JUMP;
	for (struct sql_node *when = n->args; when; when = when->next->next) {
		uint32_t unmet = SQL_NO_JUMP;
		if (n->a) {
			uint16_t w = sql_emit_operand(e, when), same = sql_emit_register(e);
			sql_emit_step3(e, SQL_OP_SAME, when, same, subject, w);
			sql_emit_chain_jump(e, SQL_OP_JUMP_FALSE, when, same, &unmet);
		} else {
			sql_emit_condition(e, when, &unmet);
		}
		size_t mark = sql_emit_branch(e);
		sql_emit_into(e, when->next, dst);
		sql_emit_end_branch(e, mark);
		sql_emit_chain_jump(e, SQL_OP_JUMP, n, 0, &ends);
		sql_emit_patch_chain(e, unmet);
		sql_emit_end_branch(e, outer);
	}
	struct sql_value null = sql_null();
	if (n->c)
		sql_emit_into(e, n->c, dst);
	else
		sql_emit_step3(e, SQL_OP_MOVE, n, dst, sql_emit_const(e, &null, n->at), 0);
	sql_emit_end_branch(e, outer);
	sql_emit_patch_chain(e, ends);
}

static void slice_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint16_t a = sql_emit_operand(e, n->a);
	uint16_t ends = sql_emit_registers(e, 2);
	sql_emit_into(e, n->b, ends);
	sql_emit_into(e, n->c, (uint16_t)(ends + 1));
	sql_emit_step3(e, SQL_OP_SLICE, n, dst, a, ends);
}

static void two_into(struct sql_emit *e, enum sql_op op, struct sql_node *n, uint16_t dst) {
	uint16_t a = sql_emit_operand(e, n->a);
	uint16_t b = n->b ? sql_emit_operand(e, n->b) : 0;
	sql_emit_step3(e, op, n, dst, a, b);
}

static void member_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	uint16_t a = sql_emit_operand(e, n->a);
	struct sql_value key = sql_string(n->name);
	sql_emit_step3(e, SQL_OP_MEMBER, n, dst, a, sql_emit_const(e, &key, n->at));
}

/* What stands somewhere already: a constant, a home, an alias, the element. SQL_NONE for what must be computed. */
static uint16_t standing(struct sql_emit *e, struct sql_node *n) {
	if (n->kind == SQL_N_LITERAL) return sql_emit_const(e, &n->value, n->at);
	if (n->kind == SQL_N_COLUMN || n->kind == SQL_N_METADATA || n->kind == SQL_N_PATH) return sql_emit_home(e, n);
	if (n->kind == SQL_N_ITEM) return e->item_reg;
	if (n->kind != SQL_N_ALIAS) return SQL_NONE;
	sql_emit_alias(e, n->index);
	return e->u->aliases[n->index].reg;
}

uint16_t sql_emit_operand(struct sql_emit *e, struct sql_node *n) {
	if (e->u->f->status != SL_OK) return 0;
	if (n->kind == SQL_N_PLUS) return sql_emit_operand(e, n->a); /* a sign without effect */
	uint16_t r = standing(e, n);
	if (r != SQL_NONE) return r;
	r = sql_emit_known(e, n);
	if (r != SQL_NONE) return r;
	r = sql_emit_register(e);
	sql_emit_into(e, n, r);
	sql_emit_know(e, n, r);
	return r;
}

static void compute_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	switch (n->kind) {
	case SQL_N_LITERAL:
	case SQL_N_COLUMN:
	case SQL_N_METADATA:
	case SQL_N_PATH:
	case SQL_N_ALIAS:
	case SQL_N_ITEM: {
		uint16_t from = standing(e, n);
		if (from != dst) sql_emit_step3(e, SQL_OP_MOVE, n, dst, from, 0);
		return;
	}
	case SQL_N_PLUS: sql_emit_into(e, n->a, dst); return;
	case SQL_N_MEMBER: member_into(e, n, dst); return;
	case SQL_N_INDEX: two_into(e, SQL_OP_INDEX, n, dst); return;
	case SQL_N_SLICE: slice_into(e, n, dst); return;
	case SQL_N_RANGE: two_into(e, SQL_OP_RANGE, n, dst); return;
	case SQL_N_LIST: list_into(e, n, dst); return;
	case SQL_N_CALL: sql_emit_call(e, n, dst); return;
	case SQL_N_NOT: two_into(e, SQL_OP_NOT, n, dst); return;
	case SQL_N_NEGATE: two_into(e, SQL_OP_NEGATE, n, dst); return;
	case SQL_N_BINARY: binary_into(e, n, dst); return;
	case SQL_N_AND:
	case SQL_N_OR: logic_into(e, n, dst); return;
	case SQL_N_IN:
	case SQL_N_IN_LIST: in_into(e, n, dst); return;
	case SQL_N_BETWEEN: between_into(e, n, dst); return;
	case SQL_N_LIKE:
		two_into(e, SQL_OP_LIKE, n, dst);
		negate_if(e, n, dst);
		return;
	case SQL_N_IS_NULL:
		two_into(e, SQL_OP_IS_NULL, n, dst);
		negate_if(e, n, dst);
		return;
	case SQL_N_CASE: case_into(e, n, dst); return;
	case SQL_N_OUTPUT: sql_emit_step(e, SQL_OP_OUTPUT, n)->n = n->index; break;
	case SQL_N_STAR:
	case SQL_N_OBJECT:
	case SQL_N_CAST:
	case SQL_N_VARIABLE:
	case SQL_N_QUERY:
	case SQL_N_EXISTS:
	case SQL_N_ELEMENT:
	case SQL_N_SCOPED:
	case SQL_N_NAME: sl_assert(false); return; /* the binder left one, or it is of the other grammar */
	}
	e->steps[e->n_steps - 1].dst = dst;
}

void sql_emit_into(struct sql_emit *e, struct sql_node *n, uint16_t dst) {
	if (e->u->f->status != SL_OK) return;
	uint16_t known = sql_emit_known(e, n);
	if (known != SQL_NONE) {
		sql_emit_step3(e, SQL_OP_MOVE, n, dst, known, 0);
		return;
	}
	uint32_t shared = sql_emit_shared(e, n, dst);
	size_t mark = sql_emit_branch(e);
	compute_into(e, n, dst);
	sql_emit_keep(e, n, dst, shared, mark);
}

void sql_emit_condition(struct sql_emit *e, struct sql_node *n, uint32_t *unmet) {
	if (e->u->f->status != SL_OK) return;
	if (n->kind == SQL_N_LITERAL && n->value.kind != SQL_BOOL && n->value.kind != SQL_NULL) {
		sql_front_fail(e->u->f, n->at, SL_ETYPE, "a condition must be true or false, this is %s",
			       sql_kind_name(n->value.kind));
		return;
	}
	if (n->kind == SQL_N_LITERAL && n->value.kind == SQL_BOOL && n->value.b) return;
	if (n->kind == SQL_N_AND && sql_remembers(e->u, n)) {
		sql_emit_remembering(e, n, unmet);
		return;
	}
	if (n->kind == SQL_N_AND) { /* conjuncts leave on their own, in the order written */
		sql_emit_condition(e, n->a, unmet);
		sql_emit_condition(e, n->b, unmet);
		return;
	}
	bool turned = n->kind == SQL_N_NOT && sql_gives_boolean(e->u, n->a);
	uint16_t r = sql_emit_operand(e, turned ? n->a : n);
	sql_emit_chain_jump(e, turned ? SQL_OP_JUMP_TRUE : SQL_OP_JUMP_FALSE, n, r, unmet);
}
