/* aws_bind.c: what the names of an aws statement mean.
 *
 * A bare name is a member of the payload. In a nested query it is a member of the element at hand, if that has one, and
 * otherwise what it was outside: known only at run time, so both are kept (SCOPED). The name after the source's AS is the
 * element itself. */
#include "aws_parse.h"
#include "aws_steps.h"
#include "aws_unit.h"
#include "mem.h"

static struct sql_node *bind(struct sql_unit *u, struct sql_node *n);

void aws_warn(struct sql_unit *u, uint32_t at, const char *what) {
	const struct aws_unit *a = u->aws;
	if (!a->old_version || !a->opts || !a->opts->warnings) return;
	uint32_t line, column;
	sql_place(u->f->text, at, &line, &column);
	sl_buf_printf(a->opts->warnings, "%u:%u: version 2015-10-08 has no %s; it works here as in 2016-03-23\n", line,
		      column, what);
}

/* ---- names ---- */

static struct sql_node *element(struct sql_unit *u, const struct sql_node *like, const struct aws_scope *scope) {
	struct sql_node *n = sql_bind_node(u, SQL_N_ELEMENT, like);
	n->query = scope->query;
	return n;
}

static struct sql_node *member(struct sql_unit *u, const struct sql_node *like, struct sql_node *a,
			       struct sl_slice name) {
	struct sql_node *n = sql_bind_node(u, SQL_N_MEMBER, like);
	n->a = a;
	n->name = name;
	n->depth = (uint16_t)(a->depth + 1);
	return n;
}

/* `n` with one more step down: paths grow, so that the one pass over the payload answers them. */
static struct sql_node *below(struct sql_unit *u, const struct sql_node *like, struct sql_node *n,
			      struct sl_slice name) {
	struct jpath_step step = {.key = name};
	struct sql_node *place = aws_place(u, n);
	if (place) return sql_bind_path(u, like, place, &step);
	if (n->kind != SQL_N_SCOPED) return member(u, like, n, name);
	struct sql_node *out = sql_bind_node(u, SQL_N_SCOPED, like);
	out->a = n->a;
	out->b = member(u, like, n->b, name);
	out->c = below(u, like, n->c, name);
	out->depth = (uint16_t)(sl_max_size(out->b->depth, out->c->depth) + 1);
	return out;
}

static struct sql_node *name_in(struct sql_unit *u, const struct sql_node *n, const struct aws_scope *scope) {
	if (!scope) {
		struct jpath_step step = {.key = n->name};
		return sql_bind_path(u, n, n, &step);
	}
	if (scope->query->as.n && slice_equal(scope->query->as, n->name)) return element(u, n, scope);
	struct sql_node *out = sql_bind_node(u, SQL_N_SCOPED, n);
	out->a = out->b = member(u, n, element(u, n, scope), n->name);
	out->c = name_in(u, n, scope->outer);
	out->depth = (uint16_t)(out->c->depth + 1);
	return out;
}

static struct sql_node *document(struct sql_unit *u, const struct sql_node *like) {
	return sql_bind_path(u, like, like, NULL);
}

static struct sql_node *bind_star(struct sql_unit *u, struct sql_node *n) {
	if (u->aws->scope) return element(u, n, u->aws->scope);
	n->a = document(u, n);
	return n;
}

static struct sql_node *bind_member(struct sql_unit *u, struct sql_node *n) {
	bool of_payload = n->a->kind == SQL_N_STAR && !u->aws->scope;
	struct sql_node *a = of_payload ? document(u, n->a) : bind(u, n->a);
	if (u->f->status != SL_OK) return n;
	return below(u, n, a, n->name);
}

static struct sql_node *bind_variable(struct sql_unit *u, struct sql_node *n) {
	const struct aws_program *p = u->p->aws;
	const char *names[64];
	uint32_t visible = u->in_template ? p->n_variables : u->aws->visible;
	for (uint32_t i = 0; i < p->n_variables; i++) {
		if (!slice_equal(p->variables[i], n->name)) continue;
		n->index = (uint16_t)i;
		if (i < visible)
			u->aws->reads |= 1u << i;
		else
			sql_front_fail(u->f, n->at, SL_ENOTFOUND,
				       "@%.*s is read before it is set; move its SET to the left",
				       SL_SLICE_ARG(n->name));
		return n;
	}
	for (uint32_t i = 0; i < visible; i++) names[i] = sl_arena_strdup(u->f->arena, p->variables[i]);
	const char *near = slice_nearest(n->name, names, visible);
	sql_front_fail(u->f, n->at, SL_ENOTFOUND,
		       near ? "there is no variable @%.*s; did you mean @%s?"
			    : "there is no variable @%.*s; set it before SELECT: SET @name = ...%s",
		       SL_SLICE_ARG(n->name), near ? near : "");
	return n;
}

/* ---- what is selected ---- */

static struct sl_slice field_name(const struct sql_unit *u, const struct sql_node *n) {
	if (n->kind == SQL_N_NAME || n->kind == SQL_N_MEMBER || n->kind == SQL_N_CALL || n->kind == SQL_N_VARIABLE)
		return n->name;
	if (n->kind == SQL_N_CAST) return SL_SLICE_LIT("cast");
	return slice_sub(u->f->text, n->at, n->end - n->at);
}

/* A field without AS is called by the last part of its place, or by its function; '*' spreads its members. */
static void bind_fields(struct sql_unit *u, struct sql_statement *s) {
	if (s->value) aws_warn(u, s->at, "SELECT VALUE");
	if (s->fields.n > SQL_COLUMNS_MAX)
		sql_front_fail(u->f, s->at, SL_ELIMIT, "more than %d columns", SQL_COLUMNS_MAX);
	for (struct sql_field *f = s->fields.first; f && u->f->status == SL_OK; f = f->next) {
		if (f->target.n == 0 && f->expr->kind == SQL_N_STAR) f->star = f->spread = true;
		if (f->target.n == 0 && !f->spread && !s->value) {
			struct sql_target_step *t = SL_ARENA_NEW(u->f->arena, struct sql_target_step);
			t->key = field_name(u, f->expr);
			f->target = (struct sql_place_name){.first = t, .last = t, .n = 1};
		}
		f->expr = bind(u, f->expr);
	}
	/* A lone '*' gives what is there, whatever it is. */
	if (s->fields.n == 1 && s->fields.first->star) s->value = true;
}

static struct sql_node *bind_query(struct sql_unit *u, struct sql_node *n) {
	struct sql_statement *q = n->query;
	aws_warn(u, n->at, "nested query");
	q->source = q->source->kind == SQL_N_STAR ? document(u, q->source) : bind(u, q->source);
	struct aws_scope scope = {.query = q, .outer = u->aws->scope};
	u->aws->scope = &scope;
	q->where = bind(u, q->where);
	bind_fields(u, q);
	u->aws->scope = scope.outer;
	n->a = q->source; /* for those who ask what the query reads */
	return n;
}

static struct sql_node *bind(struct sql_unit *u, struct sql_node *n) {
	if (!n || u->f->status != SL_OK) return n;
	if (n->kind == SQL_N_NAME) return name_in(u, n, u->aws->scope);
	if (n->kind == SQL_N_MEMBER) return bind_member(u, n);
	if (n->kind == SQL_N_STAR) return bind_star(u, n);
	if (n->kind == SQL_N_VARIABLE) return bind_variable(u, n);
	if (n->kind == SQL_N_QUERY) return bind_query(u, n);
	if (n->kind == SQL_N_OBJECT) aws_warn(u, n->at, "object literal");
	if (n->kind == SQL_N_LIST) aws_warn(u, n->at, "array literal");
	n->a = bind(u, n->a);
	n->b = bind(u, n->b);
	n->c = bind(u, n->c);
	SQL_CHANGE_ARGS(n, x, bind(u, x));
	return n->kind == SQL_N_CALL && u->f->status == SL_OK ? aws_bind_call(u, n) : n;
}

/* ---- the statement ---- */

static int bind_version(struct sql_unit *u, const struct sql_compile_opts *opts) {
	static const char *const versions[] = {"2016-03-23", "2015-10-08", "beta"};
	const char *wanted = opts->sql_version && *opts->sql_version ? opts->sql_version : versions[0];
	size_t i = 0;
	while (i < SL_ARRAY_LEN(versions) && strcmp(wanted, versions[i]) != 0) i++;
	if (i == SL_ARRAY_LEN(versions))
		return sql_front_fail(
		    u->f, 0, SL_EINVAL,
		    "there is no version '%s' of the aws dialect; it is 2016-03-23, 2015-10-08 or beta", wanted);
	u->p->aws->version = slice_from_str(versions[i]);
	u->p->aws->whole_decimals = u->aws->old_version = i == 1;
	u->p->aws->decimal_division = opts->decimal_division;
	return SL_OK;
}

/* One filter; none for a rule that is reached by its name only. */
static int bind_from(struct sql_unit *u, const struct sql_statement *s, const struct sql_compile_opts *opts) {
	struct sql_program *p = u->p;
	const struct sql_from *f = s->from.first;
	struct sl_err why = SL_ERR_INIT;
	p->from = SL_ARENA_ARRAY(&p->arena, struct sl_slice, 2);
	if (f && f->name.n == 0)
		return sql_front_fail(u->f, f->at, SL_EINVAL, "FROM needs a topic filter, as in FROM 'sensors/+/data'");
	p->source = opts->source(opts->source_arg, f ? f->name : SL_SLICE_EMPTY, &why);
	if (!p->source)
		sql_front_fail(u->f, f ? f->at : 0, why.status ? why.status : SL_ENOTFOUND, "%s", sl_err_text(&why));
	sl_err_fini(&why);
	if (f) p->from[p->n_from++] = sl_arena_dup(&p->arena, f->name);
	return u->f->status;
}

static void bind_sets(struct sql_unit *u, struct sql_statement *s) {
	struct aws_program *p = u->p->aws;
	p->variables = SL_ARENA_ARRAY(&u->p->arena, struct sl_slice, s->sets.n + 1);
	u->aws->reads_of = SL_ARENA_ARRAY(u->f->arena, uint32_t, s->sets.n + 1);
	for (const struct sql_field *f = s->sets.first; f; f = f->next)
		p->variables[p->n_variables++] = sl_arena_dup(&u->p->arena, f->target.first->key);
	for (struct sql_field *f = s->sets.first; f; f = f->next) {
		u->aws->reads = 0;
		f->expr = bind(u, f->expr);
		uint32_t reads = u->aws->reads;
		for (uint32_t i = 0; i < u->aws->visible; i++)
			if (reads >> i & 1) reads |= u->aws->reads_of[i];
		u->aws->reads_of[u->aws->visible++] = reads;
	}
}

int aws_bind(struct sql_unit *u, struct sql_statement *s, const struct sql_compile_opts *opts) {
	struct aws_unit *a = SL_ARENA_NEW(u->f->arena, struct aws_unit);
	a->opts = opts;
	a->statement = s;
	u->aws = a;
	u->p->aws = SL_ARENA_NEW(&u->p->arena, struct aws_program);
	if (bind_version(u, opts) != SL_OK || bind_from(u, s, opts) != SL_OK) return u->f->status;
	bind_sets(u, s);
	a->reads = 0;
	u->where = s->where = bind(u, s->where);
	for (uint32_t i = 0; i < a->visible; i++)
		if (a->reads >> i & 1) a->where_reads |= 1u << i | a->reads_of[i];
	bind_fields(u, s);
	return u->f->status;
}

/* ---- folding ---- */

static void fold_statement(struct sql_unit *u, struct sql_statement *s);

/* Queries keep their expressions where sql_fold() does not look. */
static void fold_queries(struct sql_unit *u, struct sql_node *n) {
	if (!n) return;
	if (n->kind == SQL_N_QUERY) fold_statement(u, n->query);
	if (n->kind == SQL_N_QUERY || n->kind == SQL_N_SCOPED) return;
	fold_queries(u, n->a);
	fold_queries(u, n->b);
	fold_queries(u, n->c);
	for (struct sql_node *x = n->args; x; x = x->next) fold_queries(u, x);
}

static struct sql_node *fold(struct sql_unit *u, struct sql_node *n) {
	fold_queries(u, n);
	return sql_fold(u, n, false);
}

static void fold_statement(struct sql_unit *u, struct sql_statement *s) {
	s->where = fold(u, s->where);
	s->source = fold(u, s->source);
	for (struct sql_field *f = s->sets.first; f; f = f->next) f->expr = fold(u, f->expr);
	for (struct sql_field *f = s->fields.first; f; f = f->next) f->expr = fold(u, f->expr);
}

void aws_fold(struct sql_unit *u) {
	fold_statement(u, u->aws->statement);
	u->where = u->aws->statement->where;
}

struct sql_node *aws_bind_template(struct sql_unit *u, struct sql_node *n) {
	u->aws = SL_ARENA_NEW(u->f->arena, struct aws_unit);
	n = bind(u, n);
	return u->f->status == SL_OK ? fold(u, n) : n;
}
