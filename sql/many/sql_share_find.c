/* sql_share_find.c: which expressions of a statement can be shared, their keys, and the steps that do it; see
 * sql_share.h. */
#include "aws_steps.h"
#include "aws_unit.h"
#include "hash.h"
#include "mem.h"
#include "sql_share.h"
#include "sql_vm.h"

enum {
	KEY_MAX = 1024,     /* bytes; what is longer is not shared */
	KEY_DEPTH_MAX = 64, /* of nodes and aliases */
	WORTH = 30,         /* nanoseconds: taking and keeping cost some of these */
	COST_STEP = 5,
	COST_NUMBERS = 15, /* numbers in the payload are text */
	COST_MADE = 20,
	COST_CALL = 40,
};

/* A key in the making: the bound tree, written down. */
struct key {
	const struct sql_unit *u;
	struct sl_buf *out;
	uint32_t cost, depth;
};

static bool put_tree(struct key *k, const struct sql_node *n);

static void put(struct key *k, const void *p, size_t n) { sl_buf_append(k->out, p, n); }
static void put_u32(struct key *k, uint32_t x) { put(k, &x, sizeof x); }
static void put_text(struct key *k, struct sl_slice s) {
	put_u32(k, (uint32_t)s.n);
	sl_buf_append_slice(k->out, s);
}

static bool put_literal(struct key *k, const struct sql_value *v) {
	if (k->out->n > KEY_MAX || k->depth > KEY_DEPTH_MAX) return false;
	bool fine = true;
	uint8_t kind[2] = {(uint8_t)v->kind, v->kind == SQL_JSON && v->is_array};
	put(k, kind, sizeof kind);
	k->depth++;
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: break;
	case SQL_BOOL: put_u32(k, v->b); break;
	case SQL_INT:
	case SQL_DOUBLE: put(k, &v->i, sizeof v->i); break; /* bit by bit: 0.0 is not -0.0 */
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: put_text(k, sql_value_text(v)); break;
	case SQL_LIST:
		put_u32(k, v->list->n);
		for (uint32_t i = 0; i < v->list->n && fine; i++) fine = put_literal(k, &v->list->at[i]);
		break;
	case SQL_MAP:
		put_u32(k, v->map->n);
		for (uint32_t i = 0; i < v->map->n && fine; i++) {
			put_text(k, v->map->at[i].key);
			fine = put_literal(k, &v->map->at[i].value);
		}
		break;
	}
	k->depth--;
	return fine;
}

static void put_path(struct key *k, const struct jpath *path) {
	put_u32(k, path->n);
	for (uint16_t i = 0; i < path->n; i++) {
		const struct jpath_step *s = &path->steps[i];
		uint8_t is_index = s->is_index;
		put(k, &is_index, 1);
		if (s->is_index)
			put(k, &s->index, sizeof s->index);
		else
			put_text(k, s->key);
	}
}

/* try() and its like give way to failures, which may be the limits of one run. */
static bool same_for_all(const struct sql_fn *fn) {
	if (!fn || fn->varies || fn->remembers || fn->aggregate) return false;
	return strcmp(fn->name, "try") != 0 && strcmp(fn->name, "get_or_default") != 0;
}

/* What a node of that kind costs; UINT32_MAX: it is not the same for all. */
static uint32_t cost_of(const struct sql_node *n) {
	switch (n->kind) {
	case SQL_N_LITERAL:
	case SQL_N_PLUS:
	case SQL_N_ALIAS: return 0;
	case SQL_N_CALL: return same_for_all(n->fn) ? COST_CALL : UINT32_MAX;
	case SQL_N_BINARY: return n->op < SQL_B_EQ ? COST_NUMBERS : n->op == SQL_B_MATCH ? COST_MADE : COST_STEP;
	case SQL_N_NEGATE: return COST_NUMBERS;
	case SQL_N_IN: return COST_STEP + n->n_args;
	case SQL_N_SLICE:
	case SQL_N_RANGE:
	case SQL_N_LIST:
	case SQL_N_OBJECT:
	case SQL_N_LIKE:
	case SQL_N_CAST: return COST_MADE;
	case SQL_N_MEMBER:
	case SQL_N_INDEX:
	case SQL_N_NOT:
	case SQL_N_AND:
	case SQL_N_OR:
	case SQL_N_IN_LIST:
	case SQL_N_BETWEEN:
	case SQL_N_IS_NULL:
	case SQL_N_CASE:
	case SQL_N_COLUMN:
	case SQL_N_PATH:
	case SQL_N_STAR: return COST_STEP;
	case SQL_N_NAME:
	case SQL_N_QUERY:
	case SQL_N_EXISTS:
	case SQL_N_METADATA:
	case SQL_N_ITEM:
	case SQL_N_OUTPUT:
	case SQL_N_VARIABLE:
	case SQL_N_ELEMENT:
	case SQL_N_SCOPED: return UINT32_MAX;
	}
	return UINT32_MAX;
}

static void put_own(struct key *k, const struct sql_node *n) {
	uint8_t head[4] = {(uint8_t)n->kind, n->op, n->negated,
			   (uint8_t)((n->a != NULL) | (n->b != NULL) << 1 | (n->c != NULL) << 2)};
	put(k, head, sizeof head);
	put_u32(k, (uint32_t)n->n_args << 16 | n->index);
	if (n->kind == SQL_N_CALL) put(k, &n->fn, sizeof n->fn);
	if (n->kind == SQL_N_MEMBER) put_text(k, n->name);
	if (n->kind == SQL_N_PATH) put_path(k, n->path);
}

static bool put_node(struct key *k, const struct sql_node *n) {
	uint32_t cost = cost_of(n);
	if (cost == UINT32_MAX) return false;
	k->cost += cost;
	if (n->kind == SQL_N_ALIAS) { /* what it stands for; not a place in a larger value */
		const struct sql_alias *a = &k->u->aliases[n->index];
		return !a->rest && a->expr && put_tree(k, a->expr);
	}
	put_own(k, n);
	if (n->kind == SQL_N_LITERAL) return put_literal(k, &n->value);
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (!put_tree(k, x)) return false;
	return (!n->a || put_tree(k, n->a)) && (!n->b || put_tree(k, n->b)) && (!n->c || put_tree(k, n->c));
}

static bool put_tree(struct key *k, const struct sql_node *n) {
	if (k->out->n > KEY_MAX || k->depth > KEY_DEPTH_MAX) return false;
	k->depth++;
	bool fine = put_node(k, n);
	k->depth--;
	return fine;
}

/* What else the value hangs on: the dialect, and who reads the columns. */
static void put_circumstances(struct key *k) {
	const struct sql_program *p = k->u->p;
	uint8_t head[3] = {(uint8_t)p->dialect, p->aws && p->aws->decimal_division, p->aws && p->aws->whole_decimals};
	put(k, head, sizeof head);
	if (p->source) put(k, &p->source->get, sizeof p->source->get);
}

/* ---- finding them ---- */

/* The statement at work, and what was found in it. */
struct finder {
	struct sql_unit *u;
	struct sl_buf room;
	struct sql_shared at[SQL_SHARED_MAX];
	uint16_t n;
};

static uint16_t number_of(struct finder *f, struct sl_slice key, const struct sql_node *n, uint16_t within) {
	uint64_t hash = sl_hash(key);
	for (uint16_t i = 0; i < f->n; i++) {
		struct sql_shared *s = &f->at[i];
		if (s->hash != hash || !slice_equal(s->key, key)) continue;
		if (s->within != within) s->within = SQL_SHARE_NONE;
		return i;
	}
	if (f->n == SQL_SHARED_MAX) return SQL_SHARE_NONE;
	struct sl_slice kept = sl_arena_dup(&f->u->p->arena, key);
	f->at[f->n] = (struct sql_shared){.key = kept, .hash = hash, .within = within, .at = n->at, .end = n->end};
	return f->n++;
}

/* AND, OR and NOT may be taken apart where they are conditions. */
static bool stays_whole(enum sql_node_kind kind) {
	return kind != SQL_N_LITERAL && kind != SQL_N_COLUMN && kind != SQL_N_PATH && kind != SQL_N_ALIAS &&
	       kind != SQL_N_PLUS && kind != SQL_N_AND && kind != SQL_N_OR && kind != SQL_N_NOT;
}

static void find(struct finder *f, struct sql_node *n, uint16_t within) {
	if (!n) return;
	if (stays_whole(n->kind) && cost_of(n) != UINT32_MAX) {
		struct key k = {.u = f->u, .out = &f->room};
		sl_buf_clear(&f->room);
		put_circumstances(&k);
		if (put_tree(&k, n) && k.cost >= WORTH) {
			uint16_t number = number_of(f, sl_buf_slice(&f->room), n, within);
			n->shared = (uint16_t)(number + 1); /* NONE becomes 0 */
			if (number != SQL_SHARE_NONE) within = number;
		}
	}
	find(f, n->a, within);
	find(f, n->b, within);
	find(f, n->c, within);
	for (struct sql_node *x = n->args; x; x = x->next) find(f, x, within);
}

static void find_fields(struct finder *f, const struct sql_fields *fields) {
	for (const struct sql_field *x = fields->first; x; x = x->next) find(f, x->expr, SQL_SHARE_NONE);
}

static void find_all(struct sql_unit *u) {
	struct finder f = {.u = u, .n = 0};
	struct sql_program *p = u->p;
	find(&f, u->where, SQL_SHARE_NONE);
	for (size_t i = 0; i < u->n_aliases; i++) find(&f, u->aliases[i].expr, SQL_SHARE_NONE);
	find(&f, u->list, SQL_SHARE_NONE);
	find(&f, u->incase, SQL_SHARE_NONE);
	if (u->aws) {
		find_fields(&f, &u->aws->statement->sets);
		find_fields(&f, &u->aws->statement->fields);
	}
	sl_buf_fini(&f.room);
	struct sql_shared *at = SL_ARENA_ARRAY(&p->arena, struct sql_shared, f.n);
	if (f.n) memcpy(at, f.at, f.n * sizeof *at);
	p->shared = at;
	p->n_shared = f.n;
}

/* ---- steps ---- */

uint32_t sql_emit_shared(struct sql_emit *e, const struct sql_node *n, uint16_t dst) {
	if (!e->u->sharing || !n->shared) return SQL_NO_JUMP;
	uint32_t s = sql_emit_step3(e, SQL_OP_SHARED, n, dst, 0, 0);
	e->steps[s].n = n->shared - 1u;
	return s;
}

void sql_emit_keep(struct sql_emit *e, const struct sql_node *n, uint16_t dst, uint32_t shared, size_t mark) {
	if (shared == SQL_NO_JUMP || e->u->f->status != SL_OK) return;
	uint32_t s = sql_emit_step3(e, SQL_OP_KEEP, n, 0, dst, 0);
	e->steps[s].n = n->shared - 1u;
	sql_emit_patch(e, shared);
	sql_emit_end_branch(e, mark);
}

/* The statement once more, with steps that take and keep. Whatever does not hang on that stays as it was. Should this
 * outgrow its bounds, nothing is shared. */
void sql_share_emit(struct sql_unit *u) {
	struct sql_program *p = u->p;
	if (p->window || p->remembers) return;
	find_all(u);
	if (p->n_shared == 0) return;
	struct sql_program plain = *p;
	for (size_t i = 0; i < u->n_aliases; i++) {
		u->aliases[i].reg = SQL_NONE;
		u->aliases[i].once = -1;
	}
	p->n_columns = 0;
	p->code = (struct sql_code){0};
	u->sharing = true;
	u->steps_max = plain.code.n_steps * 3 + 64;
	int status = u->aws ? aws_emit_program(u) : sql_emit_program(u);
	u->sharing = false;
	p->sharing = p->code;
	p->code = plain.code;
	p->select_at = plain.select_at;
	p->where_paths = plain.where_paths;
	p->out_base = plain.out_base;
	p->columns = plain.columns;
	p->columns_json = plain.columns_json;
	p->n_columns = plain.n_columns;
	if (status == SL_OK) { /* templates stand behind the registers of either */
		uint32_t most =
		    plain.code.n_registers > p->sharing.n_registers ? plain.code.n_registers : p->sharing.n_registers;
		p->code.n_registers = p->sharing.n_registers = most;
		return;
	}
	p->sharing = (struct sql_code){0};
	p->n_shared = 0;
	u->f->status = SL_OK;
	if (u->f->err) sl_err_fini(u->f->err);
}
