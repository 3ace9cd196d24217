/* sql_bind.c: what the names of a statement mean.
 *
 * A name is, in this order: an alias that was defined before (in DO: of DO), FOREACH's element, an alias of SELECT or a
 * variable of FOREACH, a column of the source. payload.a.b of the payload column is a path of the document. An alias
 * that only names a column or a path stands for it, so payload.s AS s, s.t reads payload.s.t in the one JSON pass. */
#include "sql_unit.h"

#include "mem.h"
#include "sql_vm.h"

static struct sql_node *bind(struct sql_unit *u, struct sql_node *n);

/* ---- columns of the sources ---- */

static const struct sql_column *source_column(const struct sql_source *s, struct sl_slice name) {
	for (uint16_t i = 0; i < s->column_count; i++)
		if (!s->columns[i].hidden && slice_equal_str(name, s->columns[i].name)) return &s->columns[i];
	return NULL;
}

struct sql_node *sql_bind_node(struct sql_unit *u, enum sql_node_kind kind, const struct sql_node *like) {
	struct sql_node *n = SL_ARENA_NEW(u->f->arena, struct sql_node);
	n->kind = kind;
	n->at = like->at;
	n->end = like->end;
	n->depth = 1;
	return n;
}

static bool is_payload(const struct sql_unit *u, const struct sql_node *n) {
	return n->kind == SQL_N_COLUMN && n->index == u->p->source->payload_column;
}

/* ---- paths ---- */

/* `base` (the payload column or a path) with one more step, or none. */
struct sql_node *sql_bind_path(struct sql_unit *u, const struct sql_node *like, const struct sql_node *base,
			       const struct jpath_step *step) {
	const struct jpath *old = base->path;
	uint16_t n = old ? old->n : 0;
	if (step && (n >= JSCAN_DEPTH_MAX || step->key.n > JPATH_KEY_MAX)) {
		sql_front_fail(u->f, like->at, SL_ELIMIT, "a path has at most %d steps of %d bytes", JSCAN_DEPTH_MAX,
			       JPATH_KEY_MAX);
		step = NULL;
	}
	struct jpath_step *steps = SL_ARENA_ARRAY(u->f->arena, struct jpath_step, (size_t)n + 1);
	if (n) memcpy(steps, old->steps, n * sizeof *steps);
	if (step) steps[n++] = *step;
	struct jpath *path = SL_ARENA_NEW(u->f->arena, struct jpath);
	*path = (struct jpath){.steps = steps, .n = n};
	struct sql_node *out = sql_bind_node(u, SQL_N_PATH, like);
	out->path = path;
	return out;
}

static struct sql_node *bind_member(struct sql_unit *u, struct sql_node *n) {
	n->a = bind(u, n->a);
	if (!n->a || (!is_payload(u, n->a) && n->a->kind != SQL_N_PATH)) return n;
	struct jpath_step step = {.key = n->name};
	return sql_bind_path(u, n, n->a, &step);
}

static struct sql_node *bind_index(struct sql_unit *u, struct sql_node *n) {
	n->a = bind(u, n->a);
	n->b = bind(u, n->b);
	if (!n->a || !n->b) return n;
	bool in_payload = is_payload(u, n->a) || n->a->kind == SQL_N_PATH;
	const struct sql_value *i = &n->b->value;
	if (in_payload && n->b->kind == SQL_N_LITERAL && i->kind == SQL_INT && i->i > 0 && i->i <= INT32_MAX) {
		struct jpath_step step = {.index = (int32_t)(i->i - 1), .is_index = true};
		return sql_bind_path(u, n, n->a, &step);
	}
	if (is_payload(u, n->a)) n->a = sql_bind_path(u, n->a, n->a, NULL);
	return n;
}

static struct sql_node *bind_slice(struct sql_unit *u, struct sql_node *n) {
	n->a = bind(u, n->a);
	n->b = bind(u, n->b);
	n->c = bind(u, n->c);
	if (n->a && is_payload(u, n->a)) n->a = sql_bind_path(u, n->a, n->a, NULL);
	return n;
}

/* ---- names ---- */

/* The alias as its reader sees it: what stands for something simple is that thing. */
static struct sql_node *alias_node(struct sql_unit *u, const struct sql_node *like, size_t i) {
	const struct sql_alias *a = &u->aliases[i];
	enum sql_node_kind kind = a->expr ? a->expr->kind : SQL_N_LITERAL;
	if (a->expr && !a->rest && (kind == SQL_N_COLUMN || kind == SQL_N_PATH || kind == SQL_N_METADATA)) {
		struct sql_node *n = sql_bind_node(u, kind, like);
		n->index = a->expr->index;
		n->path = a->expr->path;
		return n;
	}
	struct sql_node *n = sql_bind_node(u, SQL_N_ALIAS, like);
	n->index = (uint16_t)i;
	return n;
}

static struct sql_node *find_alias(struct sql_unit *u, const struct sql_node *n, size_t from, size_t to) {
	for (size_t i = to; i > from; i--)
		if (u->aliases[i - 1].visible && slice_equal(u->aliases[i - 1].root, n->name))
			return alias_node(u, n, i - 1);
	return NULL;
}

static struct sql_node *find_output(struct sql_unit *u, const struct sql_node *n) {
	for (size_t i = 0; u->in_template && i < u->p->n_columns; i++) {
		if (!slice_equal(u->p->columns[i], n->name)) continue;
		struct sql_node *out = sql_bind_node(u, SQL_N_OUTPUT, n);
		out->index = (uint16_t)i;
		return out;
	}
	return NULL;
}

static void unknown_name(struct sql_unit *u, const struct sql_node *n) {
	size_t most = u->n_aliases + u->p->n_columns + u->p->source->column_count + 2, count = 0;
	const char **names = SL_ARENA_ARRAY(u->f->arena, const char *, most);
	for (size_t i = 0; i < u->limit; i++)
		if (u->aliases[i].visible) names[count++] = sl_arena_strdup(u->f->arena, u->aliases[i].root);
	for (size_t i = 0; u->in_template && i < u->p->n_columns; i++)
		names[count++] = sl_arena_strdup(u->f->arena, u->p->columns[i]);
	if (u->item_visible) names[count++] = sl_arena_strdup(u->f->arena, u->item);
	for (uint16_t i = 0; i < u->p->source->column_count; i++)
		if (!u->p->source->columns[i].hidden) names[count++] = u->p->source->columns[i].name;
	names[count++] = "metadata";
	const char *near = slice_nearest(n->name, names, count);
	bool has_payload = u->p->source->payload_column != UINT16_MAX;
	for (const struct sql_field *f = u->later; f; f = f->next)
		if (f->target.n && slice_equal(f->target.first->key, n->name)) {
			sql_front_fail(u->f, n->at, SL_ENOTFOUND,
				       "'%.*s' is read before it is defined; move its definition to the left",
				       SL_SLICE_ARG(n->name));
			return;
		}
	if (near)
		sql_front_fail(u->f, n->at, SL_ENOTFOUND, "unknown column '%.*s'; did you mean %s?",
			       SL_SLICE_ARG(n->name), near);
	else if (n->at < u->f->text.n && u->f->text.p[n->at] == '"')
		sql_front_fail(u->f, n->at, SL_ENOTFOUND,
			       "unknown column \"%.*s\"; text stands in single quotes: '%.*s'", SL_SLICE_ARG(n->name),
			       SL_SLICE_ARG(n->name));
	else if (has_payload)
		sql_front_fail(u->f, n->at, SL_ENOTFOUND,
			       "unknown column '%.*s'; a member of the payload is written payload.%.*s",
			       SL_SLICE_ARG(n->name), SL_SLICE_ARG(n->name));
	else
		sql_front_fail(u->f, n->at, SL_ENOTFOUND, "unknown column '%.*s' of %s", SL_SLICE_ARG(n->name),
			       u->p->source->name);
}

static struct sql_node *bind_name(struct sql_unit *u, struct sql_node *n) {
	struct sql_node *out = find_output(u, n);
	if (!out && u->limit > u->first_each) out = find_alias(u, n, u->first_each, u->limit);
	if (!out && u->item_visible && slice_equal(n->name, u->item)) out = sql_bind_node(u, SQL_N_ITEM, n);
	if (!out) out = find_alias(u, n, 0, sl_min_size(u->limit, u->first_each));
	if (out) return out;
	const struct sql_column *c = source_column(u->p->source, n->name);
	if (c) {
		out = sql_bind_node(u, SQL_N_COLUMN, n);
		out->index = c->id;
		return out;
	}
	if (slice_equal(n->name, SL_SLICE_LIT("metadata"))) return sql_bind_node(u, SQL_N_METADATA, n);
	unknown_name(u, n);
	return n;
}

/* ---- calls ---- */

/* Functions that read a column: the same words as EMQX has, usable anywhere. */
static const struct {
	const char *fn, *column;
} column_fns[] = {
    {"topic", "topic"},       {"clientid", "clientid"}, {"username", "username"}, {"qos", "qos"},
    {"payload", "payload"},   {"flags", "flags"},       {"flag", "flags"},        {"peerhost", "peerhost"},
    {"clientip", "peerhost"}, {"msgid", "id"},
};

static struct sql_node *bind_payload_call(struct sql_unit *u, struct sql_node *n, struct sql_node *column) {
	struct sql_node *arg = n->args;
	if (arg->kind != SQL_N_LITERAL || arg->value.kind != SQL_STRING) {
		sql_front_fail(u->f, arg->at, SL_ETYPE, "payload() takes the path as a constant text; see map_get()");
		return n;
	}
	struct sl_slice rest = sql_value_text(&arg->value);
	struct sql_node *path = sql_bind_path(u, n, column, NULL);
	while (rest.p && rest.n) {
		struct jpath_step step = {.key = slice_next_part(&rest, '.')};
		path = sql_bind_path(u, n, path, &step);
	}
	return path;
}

static struct sql_node *bind_column_call(struct sql_unit *u, struct sql_node *n, const char *name) {
	struct sql_node *column = sql_bind_node(u, SQL_N_COLUMN, n);
	const struct sql_column *c = source_column(u->p->source, slice_from_str(name));
	if (!c) {
		sql_front_fail(u->f, n->at, SL_ENOTFOUND, "%.*s(): the events of this FROM have no column %s",
			       SL_SLICE_ARG(n->name), name);
		return n;
	}
	column->index = c->id;
	if (n->n_args == 0) return column;
	if (slice_equal_str(n->name, "payload")) return bind_payload_call(u, n, column);
	if (slice_equal_str(n->name, "flag")) { /* flag('retain') is flags.retain */
		struct sql_node *member = sql_bind_node(u, SQL_N_MEMBER, n);
		member->a = column;
		if (n->args->kind != SQL_N_LITERAL || n->args->value.kind != SQL_STRING)
			sql_front_fail(u->f, n->args->at, SL_ETYPE, "flag() takes the flag's name as constant text");
		member->name = sql_value_text(&n->args->value);
		member->depth = 2;
		return member;
	}
	column->next = n->args; /* topic(2): a level of the topic */
	n->args = column;
	n->n_args++;
	n->fn = &sql_fn_topic_level;
	return n;
}

/* Rules from AWS IoT that are given without their dialect are told by their functions. */
static void unknown_function(struct sql_unit *u, const struct sql_node *n) {
	const char *near = sql_fn_nearest(u->p->dialect, n->name);
	const struct sql_fn *other = sql_fn_find(SQL_AWS, n->name);
	if (other)
		sql_front_fail(u->f, n->at, SL_ENOTFOUND,
			       near ? "%s() belongs to the aws dialect (dialect: aws); in this one there is %s()"
				    : "%s() belongs to the aws dialect: write `dialect: aws` beside the rule's sql%s",
			       other->name, near ? near : "");
	else
		sql_front_fail(u->f, n->at, SL_ENOTFOUND,
			       near ? "unknown function '%.*s'; did you mean %s()?" : "unknown function '%.*s'%s",
			       SL_SLICE_ARG(n->name), near ? near : "");
}

static struct sql_node *bind_call(struct sql_unit *u, struct sql_node *n) {
	SQL_CHANGE_ARGS(n, x, bind(u, x));
	n->fn = sql_fn_find(u->p->dialect, n->name);
	if (!n->fn && sql_fn_refusal(u->p->dialect, n->name)) {
		sql_front_fail(u->f, n->at, SL_EUNSUPPORTED, "%.*s(): %s", SL_SLICE_ARG(n->name),
			       sql_fn_refusal(u->p->dialect, n->name));
		return n;
	}
	if (!n->fn) {
		unknown_function(u, n);
		return n;
	}
	uint32_t least, most;
	sql_fn_arity(n->fn, &least, &most);
	if (n->n_args < least || n->n_args > most) {
		sql_front_fail(u->f, n->at, SL_ETYPE, "%s takes %s%u argument%s, got %u: %s", n->fn->name,
			       n->n_args < least && least != most ? "at least "
			       : least != most                    ? "at most "
								  : "",
			       n->n_args < least ? least : most, (n->n_args < least ? least : most) == 1 ? "" : "s",
			       n->n_args, n->fn->usage);
		return n;
	}
	if (n->fn->aggregate)
		sql_front_fail(u->f, n->at, SL_EUNSUPPORTED,
			       "%s() is of a window: SELECT ... GROUP BY ..., tumbling('10s')", n->fn->name);
	if (n->fn->remembers) return sql_bind_remember(u, n);
	for (size_t i = 0; i < SL_ARRAY_LEN(column_fns); i++)
		if (slice_equal_str(n->name, column_fns[i].fn)) return bind_column_call(u, n, column_fns[i].column);
	return n;
}

/* A copy is made where one node would have to stand in two lists. */
static struct sql_node *bind(struct sql_unit *u, struct sql_node *n) {
	if (!n || u->f->status != SL_OK) return n;
	switch (n->kind) {
	case SQL_N_NAME: return bind_name(u, n);
	case SQL_N_MEMBER: return bind_member(u, n);
	case SQL_N_INDEX: return bind_index(u, n);
	case SQL_N_SLICE: return bind_slice(u, n);
	case SQL_N_CALL: return bind_call(u, n);
	case SQL_N_RANGE:
	case SQL_N_LIST:
	case SQL_N_NOT:
	case SQL_N_NEGATE:
	case SQL_N_PLUS:
	case SQL_N_BINARY:
	case SQL_N_AND:
	case SQL_N_OR:
	case SQL_N_IN:
	case SQL_N_IN_LIST:
	case SQL_N_BETWEEN:
	case SQL_N_LIKE:
	case SQL_N_IS_NULL:
	case SQL_N_CASE:
		n->a = bind(u, n->a);
		n->b = bind(u, n->b);
		n->c = bind(u, n->c);
		SQL_CHANGE_ARGS(n, x, bind(u, x));
		return n;
	case SQL_N_LITERAL:
	case SQL_N_COLUMN:
	case SQL_N_METADATA:
	case SQL_N_PATH:
	case SQL_N_ALIAS:
	case SQL_N_ITEM:
	case SQL_N_OUTPUT: return n;
	case SQL_N_STAR:
	case SQL_N_OBJECT:
	case SQL_N_CAST:
	case SQL_N_VARIABLE:
	case SQL_N_QUERY:
	case SQL_N_EXISTS:
	case SQL_N_ELEMENT:
	case SQL_N_SCOPED: return n; /* not of this grammar */
	}
	return n;
}

struct sql_node *sql_bind_expression(struct sql_unit *u, struct sql_node *n) {
	return bind(u, n);
}

/* ---- the selected columns ---- */

/* payload.a[2] without AS keeps its shape; false when the expression is no such place. */
bool sql_bind_place(struct sql_unit *u, const struct sql_node *n, struct sql_place_name *t) {
	struct sql_target_step *s = SL_ARENA_NEW(u->f->arena, struct sql_target_step);
	if (n->kind == SQL_N_NAME) {
		s->key = n->name;
	} else if (n->kind == SQL_N_MEMBER) {
		if (!sql_bind_place(u, n->a, t)) return false;
		s->key = n->name;
	} else if (n->kind == SQL_N_INDEX) {
		const struct sql_node *i = n->b->kind == SQL_N_NEGATE ? n->b->a : n->b;
		if (i->kind != SQL_N_LITERAL || i->value.kind != SQL_INT || i->value.i > INT32_MAX) return false;
		if (!sql_bind_place(u, n->a, t)) return false;
		s->is_index = true;
		s->index = (int32_t)(i == n->b ? i->value.i : -i->value.i);
	} else {
		return false;
	}
	SQL_LINK(t, s);
	return true;
}

static struct sql_alias *add_alias(struct sql_unit *u, struct sl_slice root, struct sql_node *expr, uint32_t at) {
	if (u->n_aliases >= SQL_COLUMNS_MAX)
		sql_front_fail(u->f, at, SL_ELIMIT, "more than %d columns", SQL_COLUMNS_MAX);
	SL_GROW(u->aliases, u->n_aliases, u->room);
	struct sql_alias *a = &u->aliases[u->n_aliases++];
	*a = (struct sql_alias){.root = root,
				.expr = expr,
				.previous = -1,
				.visible = true,
				.output = true,
				.at = at,
				.reg = SQL_NONE,
				.once = -1};
	return a;
}

/* The alias that the new last one replaces or extends. Variables of FOREACH are none of the row's business. */
static void link_previous(struct sql_unit *u) {
	struct sql_alias *a = &u->aliases[u->n_aliases - 1];
	size_t from = u->first_each <= u->n_aliases - 1 ? u->first_each : 0;
	for (size_t i = u->n_aliases - 1; i > from; i--)
		if (slice_equal(u->aliases[i - 1].root, a->root)) {
			a->previous = (int32_t)i - 1;
			return;
		}
}

static void add_column(struct sql_unit *u, const struct sql_column *c, uint32_t at) {
	struct sql_node *n = SL_ARENA_NEW(u->f->arena, struct sql_node);
	*n = (struct sql_node){.kind = SQL_N_COLUMN, .at = at, .end = at + 1, .index = c->id, .depth = 1};
	add_alias(u, slice_from_str(c->name), n, at);
	link_previous(u);
}

/* Of a column that stands there under two names, the first is enough. */
static bool another_name(const struct sql_source *s, uint16_t i) {
	for (uint16_t k = 0; k < i; k++)
		if (s->columns[k].id == s->columns[i].id) return true;
	return false;
}

static void add_star(struct sql_unit *u, uint32_t at) {
	const struct sql_source *s = u->p->source;
	bool own_metadata = false;
	for (uint16_t i = 0; i < s->column_count; i++) {
		if (s->columns[i].hidden || another_name(s, i)) continue;
		add_column(u, &s->columns[i], at);
		own_metadata |= strcmp(s->columns[i].name, "metadata") == 0;
	}
	if (own_metadata) return;
	struct sql_node *n = SL_ARENA_NEW(u->f->arena, struct sql_node);
	*n = (struct sql_node){.kind = SQL_N_METADATA, .at = at, .end = at + 1, .depth = 1};
	add_alias(u, SL_SLICE_LIT("metadata"), n, at);
	link_previous(u);
}

static void add_field(struct sql_unit *u, const struct sql_field *f) {
	if (u->f->status != SL_OK) return; /* many fields, quadratic work: no further than the first mistake */
	if (f->star) {
		add_star(u, f->at);
		return;
	}
	struct sql_place_name t = f->target;
	if (t.n == 0 && !sql_bind_place(u, f->expr, &t)) {
		/* Named after its text; text in quotes after itself. */
		t = (struct sql_place_name){.n = 1, .first = SL_ARENA_NEW(u->f->arena, struct sql_target_step)};
		t.first->key = f->expr->kind == SQL_N_LITERAL && f->expr->value.kind == SQL_STRING
				   ? sql_value_text(&f->expr->value)
				   : slice_sub(u->f->text, f->expr->at, f->expr->end - f->expr->at);
	}
	u->limit = u->n_aliases;
	u->later = f;
	struct sql_node *expr = bind(u, f->expr);
	for (struct sql_target_step *s = t.first; s; s = s->next) s->expr = bind(u, s->expr);
	u->later = NULL;
	struct sql_alias *a = add_alias(u, t.first->key, expr, f->at);
	a->rest = t.first->next;
	/* The payload is a document wherever it is; other text that is no object any more gives way. */
	for (struct sql_target_step *s = a->rest; s; s = s->next) s->closed = !slice_equal_str(a->root, "payload");
	a->remembers = sql_remembers(u, expr);
	/* AS payload.x builds the output and hides nothing: inputs are immutable. */
	a->visible = !a->rest || !source_column(u->p->source, a->root);
	link_previous(u);
}

/* ---- the statement ---- */

static int bind_from(struct sql_unit *u, const struct sql_statement *s, const struct sql_compile_opts *opts) {
	struct sql_program *p = u->p;
	p->from = SL_ARENA_ARRAY(&p->arena, struct sl_slice, s->from.n);
	u->sources = SL_ARENA_ARRAY(u->f->arena, const struct sql_source *, s->from.n);
	for (const struct sql_from *f = s->from.first; f; f = f->next) {
		struct sl_err why = SL_ERR_INIT;
		const struct sql_source *source = opts->source(opts->source_arg, f->name, &why);
		if (!source)
			sql_front_fail(u->f, f->at, why.status ? why.status : SL_ENOTFOUND, "%s", sl_err_text(&why));
		sl_err_fini(&why);
		if (!source) return u->f->status;
		p->from[p->n_from++] = sl_arena_dup(&p->arena, f->name);
		size_t i = 0;
		while (i < u->n_sources && u->sources[i] != source) i++;
		if (!sql_sources_agree(u, source))
			return sql_front_fail(u->f, f->at, SL_EUNSUPPORTED,
					      "%s and %s cannot share a FROM; make two rules", u->sources[0]->name,
					      source->name);
		if (i == u->n_sources) u->sources[u->n_sources++] = source;
	}
	p->source = sql_sources_merge(u);
	return SL_OK;
}

static void bind_foreach(struct sql_unit *u, const struct sql_statement *s) {
	const struct sql_field *f = s->fields.first;
	for (; f->next && !f->star; f = f->next) add_field(u, f);
	if (f->star || f->target.n > 1) {
		sql_front_fail(u->f, f->at, SL_ESYNTAX, "FOREACH takes an array%s",
			       f->star ? ", not *" : ", and names its elements by one word");
		return;
	}
	u->limit = u->n_aliases;
	u->list = bind(u, f->expr);
	/* The payload itself is meant as the document it holds. */
	if (u->list && is_payload(u, u->list)) u->list = sql_bind_path(u, u->list, u->list, NULL);
	u->item = f->target.n ? f->target.first->key : SL_SLICE_LIT("item");
	u->first_each = u->n_aliases;
	if (s->where) u->where = bind(u, s->where);
	for (size_t i = 0; i < u->first_each; i++) u->aliases[i].output = false;
	u->item_visible = true;
	if (s->has_do) {
		for (f = s->each.first; f; f = f->next) add_field(u, f);
	} else { /* all columns, the variables, and the element */
		struct sql_node *item = SL_ARENA_NEW(u->f->arena, struct sql_node);
		*item = (struct sql_node){.kind = SQL_N_ITEM, .at = u->list->at, .end = u->list->end, .depth = 1};
		add_star(u, u->list->at);
		for (size_t i = 0; i < u->first_each; i++) {
			struct sql_node *n = alias_node(u, u->aliases[i].expr, i);
			add_alias(u, u->aliases[i].root, n, u->aliases[i].at);
			link_previous(u);
		}
		add_alias(u, u->item, item, u->list->at);
		link_previous(u);
	}
	u->limit = u->n_aliases;
	u->incase = bind(u, s->incase);
}

int sql_bind(struct sql_unit *u, const struct sql_statement *s, const struct sql_compile_opts *opts) {
	u->first_each = SIZE_MAX;
	if (bind_from(u, s, opts) != SL_OK) return u->f->status;
	u->foreach = s->foreach;
	if (s->foreach) {
		bind_foreach(u, s);
		return u->f->status;
	}
	for (const struct sql_field *f = s->fields.first; f; f = f->next) add_field(u, f);
	u->limit = u->n_aliases;
	u->where = bind(u, s->where);
	return u->f->status;
}
