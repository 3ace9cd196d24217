/* sql_order.c: the parts of AND and OR, cheapest first; see sql_unit.h.
 *
 * What a part costs is a guess in nanoseconds, and the first look into the payload costs more than anything but a regular
 * expression: it reads the whole document. So columns come before paths, and a payload stays untouched when a column rules
 * the message out.
 *
 * What a rule gives must not hang on the order. It cannot while parts end well, for AND and OR are met or not, never NULL;
 * but people write `is_num(payload.n) AND payload.n * 2 > 5`, where the first part keeps the second one from failing. So a
 * part moves ahead only if it cannot fail; one that reads the payload, which may be no JSON, only ahead of parts
 * that would have read it too. What is left: a failure may be hidden by a part that rules the message out. */
#include "sql_unit.h"

enum {
	PARTS_MAX = 256, /* more of them stay as they are: sorting is quadratic */
	COST_MAX = 1000000,
	COST_STEP = 2,
	COST_MADE = 20, /* makes something in the arena */
	COST_CALL = 40,
	COST_PREPARED = 200, /* what is worth preparing is dear still: a regular expression */
	COST_PAYLOAD = 150,
};

struct cost {
	uint32_t work;
	bool payload; /* reads it, maybe */
};
struct part {
	struct sql_node *n;
	uint32_t cost;
	bool safe, payload, payload_surely;
};

static void add(struct cost *sum, struct cost more) {
	sum->work = sum->work + more.work < COST_MAX ? sum->work + more.work : COST_MAX;
	sum->payload |= more.payload;
}

static uint32_t own_work(const struct sql_node *n) {
	switch (n->kind) {
	case SQL_N_LITERAL: return 0;
	case SQL_N_QUERY: return COST_PREPARED; /* walks an array */
	case SQL_N_CALL: return n->fn && n->fn->prepare ? COST_PREPARED : COST_CALL;
	case SQL_N_METADATA:
	case SQL_N_SLICE:
	case SQL_N_RANGE:
	case SQL_N_LIST:
	case SQL_N_OBJECT:
	case SQL_N_EXISTS:
	case SQL_N_LIKE:
	case SQL_N_CAST: return COST_MADE;
	case SQL_N_NAME:
	case SQL_N_MEMBER:
	case SQL_N_INDEX:
	case SQL_N_NOT:
	case SQL_N_NEGATE:
	case SQL_N_PLUS:
	case SQL_N_BINARY:
	case SQL_N_AND:
	case SQL_N_OR:
	case SQL_N_IN:
	case SQL_N_IN_LIST:
	case SQL_N_BETWEEN:
	case SQL_N_IS_NULL:
	case SQL_N_CASE:
	case SQL_N_COLUMN:
	case SQL_N_PATH:
	case SQL_N_ALIAS:
	case SQL_N_ITEM:
	case SQL_N_OUTPUT:
	case SQL_N_STAR:
	case SQL_N_VARIABLE:
	case SQL_N_ELEMENT:
	case SQL_N_SCOPED: return COST_STEP;
	}
	return COST_STEP;
}

/* An alias counts with what it stands for, kept from alias to alias: they may stand for each other. */
static struct cost cost_of(const struct sql_unit *u, const struct sql_node *n) {
	struct cost sum = {0};
	if (!n) return sum;
	sum = (struct cost){.work = own_work(n), .payload = n->kind == SQL_N_PATH};
	if (n->kind == SQL_N_ALIAS) {
		const struct sql_alias *a = &u->aliases[n->index];
		add(&sum, (struct cost){.work = a->cost, .payload = a->reads_payload});
	}
	for (const struct sql_node *x = n->args; x; x = x->next) add(&sum, cost_of(u, x));
	add(&sum, cost_of(u, n->a));
	add(&sum, cost_of(u, n->b));
	add(&sum, cost_of(u, n->c));
	return sum;
}

/* Does every evaluation read the payload? */
static bool surely_reads(const struct sql_node *n) {
	if (!n) return false;
	if (n->kind == SQL_N_PATH) return true;
	if (n->kind == SQL_N_AND || n->kind == SQL_N_OR || n->kind == SQL_N_BETWEEN) return surely_reads(n->a);
	if (n->kind == SQL_N_CASE) return n->a && surely_reads(n->a);
	if (n->kind == SQL_N_CALL && (!n->fn || !n->fn->call)) return false; /* coalesce() and its like skip */
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (surely_reads(x)) return true;
	return surely_reads(n->a) || surely_reads(n->b) || surely_reads(n->c);
}

static struct part part_of(const struct sql_unit *u, struct sql_node *n) {
	struct cost cost = cost_of(u, n);
	return (struct part){.n = n,
			     .cost = cost.work + (cost.payload ? COST_PAYLOAD : 0),
			     .safe = sql_condition_is_safe(u->p, n),
			     .payload = cost.payload,
			     .payload_surely = surely_reads(n)};
}

static bool may_pass(const struct part *p, const struct part *earlier) {
	return p->cost < earlier->cost && p->safe && (!p->payload || earlier->payload_surely);
}

static size_t count_parts(const struct sql_node *n, enum sql_node_kind kind) {
	return n->kind == kind ? count_parts(n->a, kind) + count_parts(n->b, kind) : 1;
}

static void sort_parts(const struct sql_unit *u, struct sql_node *n, enum sql_node_kind kind, struct part *parts,
		       size_t *count) {
	if (n->kind == kind) {
		sort_parts(u, n->a, kind, parts, count);
		sort_parts(u, n->b, kind, parts, count);
		return;
	}
	struct part part = part_of(u, n);
	size_t at = (*count)++;
	for (; at > 0 && may_pass(&part, &parts[at - 1]); at--) parts[at] = parts[at - 1];
	parts[at] = part;
}

/* Hands the parts out again, over the tree as it stands: so it gets no higher than its parts make it. */
static struct sql_node *place_parts(struct sql_node *n, enum sql_node_kind kind, const struct part **next) {
	if (n->kind != kind) return (*next)++->n;
	n->a = place_parts(n->a, kind, next);
	n->b = place_parts(n->b, kind, next);
	return n;
}

static struct sql_node *negation(const struct sql_unit *u, struct sql_node *n) {
	struct sql_node *not = SL_ARENA_NEW(u->f->arena, struct sql_node);
	*not = (struct sql_node){.kind = SQL_N_NOT, .at = n->at, .end = n->end, .depth = n->depth, .a = n};
	return not ;
}

/* NOT (a OR b) is NOT a AND NOT b, each of which may rule the message out; but not where a part may be NULL: that counts
 * as false in OR and stays NULL under NOT. A comparison is not turned round either: NOT x < 1 holds for an absent x. */
static void push_not(const struct sql_unit *u, struct sql_node *n) {
	struct sql_node *inner = n->a;
	if (n->kind != SQL_N_NOT || u->aws || (inner->kind != SQL_N_AND && inner->kind != SQL_N_OR)) return;
	if (!sql_gives_boolean(u, inner->a) || !sql_gives_boolean(u, inner->b) || sql_remembers(u, inner)) return;
	n->kind = inner->kind == SQL_N_AND ? SQL_N_OR : SQL_N_AND;
	n->a = negation(u, inner->a);
	n->b = negation(u, inner->b);
}

/* `within`: the kind of node above, for parts of a chain are no chain of their own. */
static void order(const struct sql_unit *u, struct sql_node *n, enum sql_node_kind within) {
	if (!n) return;
	push_not(u, n);
	order(u, n->a, n->kind);
	order(u, n->b, n->kind);
	order(u, n->c, n->kind);
	for (struct sql_node *x = n->args; x; x = x->next) order(u, x, n->kind);
	if ((n->kind != SQL_N_AND && n->kind != SQL_N_OR) || n->kind == within || sql_remembers(u, n)) return;
	size_t count = count_parts(n, n->kind);
	if (count > PARTS_MAX) return;
	struct part *parts = SL_ARENA_ARRAY(u->f->arena, struct part, count);
	const struct part *next = parts;
	count = 0;
	sort_parts(u, n, n->kind, parts, &count);
	place_parts(n, n->kind, &next);
}

void sql_order_all(struct sql_unit *u) {
	for (size_t i = 0; i < u->n_aliases; i++) {
		struct sql_alias *a = &u->aliases[i];
		order(u, a->expr, SQL_N_LITERAL);
		struct cost cost = cost_of(u, a->expr);
		a->cost = cost.work;
		a->reads_payload = cost.payload;
	}
	order(u, u->where, SQL_N_LITERAL);
	order(u, u->list, SQL_N_LITERAL);
	order(u, u->incase, SQL_N_LITERAL);
}
