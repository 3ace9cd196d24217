/* sql_kinds.c: what an expression can give, as far as the rule itself tells; see sql_unit.h.
 *
 * Members of a payload can be anything. But columns, literals and operators have kinds, and where none of those that an
 * operand can have would do, the rule is refused when it is made. NULL always does: it gives NULL, or is not met. */
#include "sql_unit.h"
#include "sql_vm.h"

enum { GIVES_NULL = 1, GIVES_BOOLEAN = 2, GIVES_NUMBER = 4, GIVES_TEXT = 8, GIVES_OTHER = 16, GIVES_ANY = 31 };

static unsigned of_kind(enum sql_kind kind) {
	switch (kind) {
	case SQL_NULL: return GIVES_NULL;
	case SQL_BOOL: return GIVES_BOOLEAN;
	case SQL_INT:
	case SQL_DOUBLE:
	case SQL_NUMBER_TEXT: return GIVES_NUMBER;
	case SQL_STRING:
	case SQL_BYTES: return GIVES_TEXT;
	case SQL_JSON_NULL:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return GIVES_OTHER;
}

static unsigned of_column(const struct sql_unit *u, uint16_t id) {
	const struct sql_source *s = u->p->source;
	for (uint16_t i = 0; s && i < s->column_count; i++) {
		if (s->columns[i].id != id) continue;
		return s->columns[i].kind == SQL_JSON_NULL ? GIVES_ANY : GIVES_NULL | of_kind(s->columns[i].kind);
	}
	return GIVES_ANY;
}

static unsigned gives(const struct sql_unit *u, const struct sql_node *n);

static unsigned of_binary(const struct sql_unit *u, const struct sql_node *n) {
	if (n->op >= SQL_B_EQ) return GIVES_BOOLEAN;
	if (n->op == SQL_B_CONCAT) return GIVES_TEXT | GIVES_NULL;
	if (n->op != SQL_B_ADD) return GIVES_NUMBER | GIVES_NULL;
	unsigned either = gives(u, n->a) | gives(u, n->b);
	return GIVES_NULL | GIVES_NUMBER | (either & GIVES_TEXT);
}

static unsigned gives(const struct sql_unit *u, const struct sql_node *n) {
	while (n->kind == SQL_N_PLUS) n = n->a;
	if (n->kind == SQL_N_LITERAL) return of_kind(n->value.kind);
	if (n->kind == SQL_N_COLUMN) return of_column(u, n->index);
	if (n->kind == SQL_N_BINARY) return of_binary(u, n);
	if (n->kind == SQL_N_NEGATE) return GIVES_NUMBER | GIVES_NULL;
	if (n->kind == SQL_N_AND || n->kind == SQL_N_OR || n->kind == SQL_N_BETWEEN || n->kind == SQL_N_IS_NULL ||
	    n->kind == SQL_N_IN || n->kind == SQL_N_IN_LIST)
		return GIVES_BOOLEAN;
	if (n->kind == SQL_N_LIKE || n->kind == SQL_N_NOT) return GIVES_BOOLEAN | GIVES_NULL;
	return GIVES_ANY;
}

bool sql_gives_boolean(const struct sql_unit *u, const struct sql_node *n) { return gives(u, n) == GIVES_BOOLEAN; }

/* As sql_kind_name() has it, where there is one kind. */
static const char *name_of(unsigned kinds) {
	if (kinds & GIVES_BOOLEAN) return sql_kind_name(SQL_BOOL);
	if (kinds & GIVES_NUMBER) return sql_kind_name(SQL_NUMBER_TEXT);
	return kinds & GIVES_TEXT ? sql_kind_name(SQL_STRING) : "an array or an object";
}

static bool fits(const struct sql_unit *u, const struct sql_node *n, unsigned wanted) {
	unsigned kinds = gives(u, n);
	return kinds & wanted || kinds == GIVES_NULL;
}

static void must_be_number(struct sql_unit *u, const struct sql_node *n, const char *what) {
	if (!fits(u, n, GIVES_NUMBER)) sql_front_fail(u->f, n->at, SL_ETYPE, "%s, got %s", what, name_of(gives(u, n)));
}

void sql_check_condition(struct sql_unit *u, const struct sql_node *n) {
	if (n->kind != SQL_N_LITERAL && !fits(u, n, GIVES_BOOLEAN))
		sql_front_fail(u->f, n->at, SL_ETYPE, "a condition must be true or false, this is %s",
			       name_of(gives(u, n)));
}

static void check_arithmetic(struct sql_unit *u, const struct sql_node *n) {
	static const char *const wants[] = {"+ needs numbers or text", "- needs numbers",   "* needs numbers",
					    "/ needs numbers",         "div needs numbers", "mod needs numbers"};
	if (n->op > SQL_B_MOD) return;
	bool text = n->op == SQL_B_ADD && (gives(u, n->a) | gives(u, n->b)) & GIVES_TEXT;
	if (text) return; /* joins: everything has a text */
	must_be_number(u, n->a, wants[n->op]);
	must_be_number(u, n->b, wants[n->op]);
}

/* 1.2.3, 5 .a: a number written out has no members. */
static void check_step(struct sql_unit *u, const struct sql_node *n) {
	if (n->a->kind == SQL_N_LITERAL && (sql_is_number(&n->a->value) || n->a->value.kind == SQL_BOOL))
		sql_front_fail(u->f, n->at, SL_ETYPE, "%s has no members and no elements",
			       sql_kind_name(n->a->value.kind));
}

void sql_check_kinds(struct sql_unit *u, const struct sql_node *n) {
	if (u->aws || u->f->status != SL_OK) return; /* what does not fit is Undefined there */
	if (n->kind == SQL_N_MEMBER || n->kind == SQL_N_INDEX) check_step(u, n);
	if (n->kind == SQL_N_BINARY) check_arithmetic(u, n);
	if (n->kind == SQL_N_NEGATE) must_be_number(u, n->a, "the minus sign needs a number");
	if (n->kind == SQL_N_NOT || n->kind == SQL_N_AND || n->kind == SQL_N_OR) sql_check_condition(u, n->a);
}
