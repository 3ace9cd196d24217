/* sql_remember.c: what the compiler knows of lag(), changed() and last_value(); see sql_unit.h. */
#include "sql_emit.h"
#include "sql_window.h"

/* What a stream of messages is known by when the call does not say: its topic; of events without one, the client. */
static struct sql_node *default_key(struct sql_unit *u, const struct sql_node *call) {
	static const char *const names[] = {"topic", "clientid"};
	struct sql_node *n = SL_ARENA_NEW(u->f->arena, struct sql_node);
	*n = (struct sql_node){.kind = SQL_N_LITERAL, .at = call->at, .end = call->end, .depth = 1};
	n->value = sql_string(SL_SLICE_EMPTY);
	const struct sql_source *s = u->p->source;
	for (size_t i = 0; i < SL_ARRAY_LEN(names) && n->kind == SQL_N_LITERAL; i++)
		for (uint16_t k = 0; k < s->column_count; k++)
			if (!s->columns[k].hidden && strcmp(s->columns[k].name, names[i]) == 0) {
				n->kind = SQL_N_COLUMN;
				n->index = s->columns[k].id;
			}
	return n;
}

/* f(expression [, key [, default]]) becomes f(expression, key, place [, default]). */
struct sql_node *sql_bind_remember(struct sql_unit *u, struct sql_node *call) {
	if (u->in_template) {
		sql_front_fail(u->f, call->at, SL_EUNSUPPORTED,
			       "%s() remembers from message to message: SELECT it, and use its column here",
			       call->fn->name);
		return call;
	}
	struct sql_node *place = SL_ARENA_NEW(u->f->arena, struct sql_node);
	*place = (struct sql_node){.kind = SQL_N_LITERAL, .at = call->at, .end = call->end, .depth = 1};
	place->value = sql_int(call->at);
	struct sql_node *value = call->args, *key = value->next;
	struct sql_node *otherwise = key ? key->next : NULL;
	if (!key) key = default_key(u, call);
	value->next = key;
	key->next = place;
	place->next = otherwise;
	call->n_args = otherwise ? 4 : 3;
	call->fn = sql_fn_remember_at(call->name);
	u->p->remembers = true;
	return call;
}

bool sql_remembers(const struct sql_unit *u, const struct sql_node *n) {
	if (!n) return false;
	if (n->kind == SQL_N_ALIAS) return u->aliases[n->index].remembers;
	if (n->kind == SQL_N_CALL && n->fn && n->fn->remembers) return true;
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (sql_remembers(u, x)) return true;
	return sql_remembers(u, n->a) || sql_remembers(u, n->b) || sql_remembers(u, n->c);
}

/* ---- conditions ---- */

struct conjunct {
	struct sql_node *n;
	uint16_t reg;
	struct conjunct *next;
};

static void forgetful(struct sql_emit *e, struct sql_node *n, uint32_t *unmet) {
	if (!sql_remembers(e->u, n)) {
		sql_emit_condition(e, n, unmet);
	} else if (n->kind == SQL_N_AND) {
		forgetful(e, n->a, unmet);
		forgetful(e, n->b, unmet);
	}
}

static struct conjunct **remembering(struct sql_emit *e, struct sql_node *n, struct conjunct **link) {
	if (!sql_remembers(e->u, n)) return link;
	if (n->kind == SQL_N_AND) return remembering(e, n->b, remembering(e, n->a, link));
	struct conjunct *c = SL_ARENA_NEW(e->u->f->arena, struct conjunct);
	c->n = n;
	c->reg = sql_emit_operand(e, n);
	*link = c;
	return &c->next;
}

void sql_emit_remembering(struct sql_emit *e, struct sql_node *n, uint32_t *unmet) {
	struct conjunct *all = NULL;
	forgetful(e, n, unmet);
	remembering(e, n, &all);
	for (struct conjunct *c = all; c; c = c->next) sql_emit_chain_jump(e, SQL_OP_JUMP_FALSE, c->n, c->reg, unmet);
}

bool sql_program_remembers(const struct sql_program *p) { return p->remembers; }
