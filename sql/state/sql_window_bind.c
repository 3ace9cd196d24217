/* sql_window_bind.c: a statement with GROUP BY becomes two; see sql_window.h.
 *
 *     SELECT topic(2) AS hall, avg(payload.t) * 2 AS d FROM 'plant/#' WHERE payload.ok GROUP BY hall, tumbling('10s')
 *
 *     first    SELECT topic(2), payload.t FROM 'plant/#' WHERE payload.ok             keys, then arguments of aggregates
 *     second   SELECT <key 1> AS hall, <aggregate 1> * 2 AS d FROM the window         what HAVING says is its WHERE
 *
 * All of it on the tree before names are bound: a part of SELECT or HAVING that looks like a key is that key, a call of an
 * aggregate is its result, and what is left may only name columns of SELECT. */
#include "sql_window.h"

#include "mem.h"
#include "sql_unit.h"

enum { AGGREGATE_ID = 1000, START_ID = 2000, END_ID = 2001, COPIED_MAX = 4096 };

struct splitter {
	struct sql_unit *u;
	struct sql_window *w;
	const struct sql_statement *s;
	const struct sql_field *upto; /* fields before this one have names */
	size_t copied;
	struct sql_node *keys[SQL_GROUP_KEYS_MAX];
	struct sql_node *arguments[SQL_AGGREGATES_MAX]; /* NULL: of count(*) */
	enum sql_aggregate_kind kinds[SQL_AGGREGATES_MAX];
};

/* ---- trees ---- */

static bool same_value(const struct sql_value *a, const struct sql_value *b) {
	if (a->kind != b->kind) return false;
	if (a->kind == SQL_STRING || a->kind == SQL_NUMBER_TEXT)
		return slice_equal(sql_value_text(a), sql_value_text(b));
	return a->kind == SQL_NULL || (a->kind == SQL_BOOL ? a->b == b->b : a->i == b->i);
}

static bool same_tree(const struct sql_node *a, const struct sql_node *b) {
	if (!a || !b) return a == b;
	if (a->kind != b->kind || a->op != b->op || a->negated != b->negated || a->n_args != b->n_args) return false;
	if (!slice_equal(a->name, b->name)) return false;
	if (a->kind == SQL_N_LITERAL && !same_value(&a->value, &b->value)) return false;
	const struct sql_node *x = a->args, *y = b->args;
	for (; x && y; x = x->next, y = y->next)
		if (!same_tree(x, y)) return false;
	return !x && !y && same_tree(a->a, b->a) && same_tree(a->b, b->b) && same_tree(a->c, b->c);
}

/* What a name stands for. Names of names could make a large tree of a short text. */
static struct sql_node *copy_tree(struct splitter *x, const struct sql_node *n) {
	if (!n) return NULL;
	struct sql_node *copy = SL_ARENA_NEW(x->u->f->arena, struct sql_node);
	if (++x->copied > COPIED_MAX) {
		sql_front_fail(x->u->f, n->at, SL_ELIMIT, "names of SELECT stand for too much here");
		*copy = (struct sql_node){.kind = SQL_N_LITERAL, .at = n->at, .end = n->end, .depth = 1};
		return copy;
	}
	*copy = *n;
	copy->next = NULL;
	copy->a = copy_tree(x, n->a);
	copy->b = copy_tree(x, n->b);
	copy->c = copy_tree(x, n->c);
	struct sql_node **link = &copy->args;
	for (const struct sql_node *y = n->args; y; y = y->next) {
		*link = copy_tree(x, y);
		link = &(*link)->next;
	}
	return copy;
}

static bool is_call(const struct sql_node *n, const char *name) {
	return n->kind == SQL_N_CALL && slice_equal_nocase(n->name, slice_from_str(name));
}

/* The aggregate that a call is, or -1. last_value(x) without a key is one here. */
static int aggregate_of(const struct sql_node *n) {
	static const struct {
		const char *name;
		enum sql_aggregate_kind kind;
	} all[] = {{"count", SQL_A_COUNT}, {"sum", SQL_A_SUM}, {"avg", SQL_A_AVG},
		   {"min", SQL_A_MIN},     {"max", SQL_A_MAX}, {"last_value", SQL_A_LAST}};
	for (size_t i = 0; i < SL_ARRAY_LEN(all); i++) {
		if (!is_call(n, all[i].name) || n->n_args != 1) continue;
		return n->args->kind == SQL_N_STAR ? SQL_A_COUNT_ALL : (int)all[i].kind;
	}
	return -1;
}

static bool is_result(const struct sql_node *n) {
	return aggregate_of(n) >= 0 || is_call(n, "window_start") || is_call(n, "window_end");
}

static bool has_aggregate(const struct sql_node *n) {
	if (!n) return false;
	if (is_result(n)) return true;
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (has_aggregate(x)) return true;
	return has_aggregate(n->a) || has_aggregate(n->b) || has_aggregate(n->c);
}

/* The last field of SELECT before `upto` that is called `name`. */
static const struct sql_field *field_named(const struct splitter *x, struct sl_slice name) {
	const struct sql_field *last = NULL;
	for (const struct sql_field *f = x->s->fields.first; f && f != x->upto; f = f->next)
		if (f->target.n == 1 && slice_equal(f->target.first->key, name)) last = f;
	return last;
}

static void each_child(struct splitter *x, struct sql_node *n,
		       struct sql_node *(*change)(struct splitter *x, struct sql_node *n)) {
	if (n->a) n->a = change(x, n->a);
	if (n->b) n->b = change(x, n->b);
	if (n->c) n->c = change(x, n->c);
	SQL_CHANGE_ARGS(n, y, change(x, y));
}

/* ---- names of SELECT ---- */

/* Is it known only when a window ends? A name that is left after names_out() stands for such a thing. */
static bool of_window(const struct splitter *x, const struct sql_node *n) {
	if (!n) return false;
	const struct sql_field *f = n->kind == SQL_N_NAME ? field_named(x, n->name) : NULL;
	if (f ? f->of_window : is_result(n)) return true;
	for (const struct sql_node *y = n->args; y; y = y->next)
		if (of_window(x, y)) return true;
	return of_window(x, n->a) || of_window(x, n->b) || of_window(x, n->c);
}

/* Names of fields before `upto` that hold what messages have become that. */
static struct sql_node *names_out(struct splitter *x, struct sql_node *n) {
	if (x->u->f->status != SL_OK) return n;
	const struct sql_field *f = n->kind == SQL_N_NAME ? field_named(x, n->name) : NULL;
	if (f && !f->of_window) return copy_tree(x, f->expr);
	if (!f) each_child(x, n, names_out);
	return n;
}

/* Fields keep the names that they would have had. */
static void name_fields(struct splitter *x) {
	for (struct sql_field *f = x->s->fields.first; f && x->u->f->status == SL_OK; f = f->next) {
		if (f->star) {
			sql_front_fail(x->u->f, f->at, SL_EUNSUPPORTED,
				       "* is of one message; name the columns of the window's rows");
			return;
		}
		struct sql_place_name place = {0};
		if (!f->target.n && !has_aggregate(f->expr) && sql_bind_place(x->u, f->expr, &place)) f->target = place;
		x->upto = f;
		f->expr = names_out(x, f->expr);
		f->of_window = of_window(x, f->expr);
	}
	x->upto = NULL;
}

/* ---- GROUP BY ---- */

static int64_t length_of(struct splitter *x, const struct sql_node *n) {
	int64_t ms = 0;
	bool text = n->kind == SQL_N_LITERAL && n->value.kind == SQL_STRING;
	if (!text || sql_duration(sql_value_text(&n->value), &ms) != SL_OK || ms < SQL_WINDOW_LEAST_MS)
		sql_front_fail(
		    x->u->f, n->at, SL_EINVAL,
		    "a window's length is text with ms, s, m, h or d, such as '10s' or '1m', at least '%dms'",
		    SQL_WINDOW_LEAST_MS);
	return ms;
}

static bool window_item(struct splitter *x, const struct sql_node *n) {
	bool hopping = is_call(n, "hopping");
	if (!hopping && !is_call(n, "tumbling")) return false;
	struct sql_window *w = x->w;
	struct sql_front *f = x->u->f;
	if (w->size_ms) sql_front_fail(f, n->at, SL_EUNSUPPORTED, "one window is enough");
	if (n->n_args != (hopping ? 2 : 1)) {
		sql_front_fail(f, n->at, SL_ETYPE, "write tumbling('10s') or hopping('1m', '10s')");
		return true;
	}
	w->size_ms = w->hop_ms = length_of(x, n->args);
	if (hopping) w->hop_ms = length_of(x, n->args->next);
	if (f->status == SL_OK && w->size_ms % w->hop_ms != 0)
		sql_front_fail(f, n->at, SL_EINVAL, "the second length must go into the first: hopping('1m', '10s')");
	if (f->status == SL_OK && w->size_ms / w->hop_ms > SQL_WINDOW_PANES_MAX)
		sql_front_fail(f, n->at, SL_ELIMIT, "the first length is at most %d times the second",
			       SQL_WINDOW_PANES_MAX);
	return true;
}

static void group_items(struct splitter *x) {
	struct sql_unit *u = x->u;
	for (struct sql_node *n = x->s->group.first, *next; n && u->f->status == SL_OK; n = next) {
		next = n->next;
		n->next = NULL;
		if (window_item(x, n)) continue;
		const struct sql_field *f = n->kind == SQL_N_NAME ? field_named(x, n->name) : NULL;
		struct sql_node *key = f ? copy_tree(x, f->expr) : n;
		if (of_window(x, key))
			sql_front_fail(u->f, n->at, SL_EINVAL,
				       "GROUP BY says what messages have in common, an aggregate comes after that");
		else if (x->w->n_keys >= SQL_GROUP_KEYS_MAX)
			sql_front_fail(u->f, n->at, SL_ELIMIT, "GROUP BY takes at most %d expressions",
				       SQL_GROUP_KEYS_MAX);
		else
			x->keys[x->w->n_keys++] = key;
	}
	if (!x->w->size_ms)
		sql_front_fail(u->f, x->s->group.first->at, SL_EUNSUPPORTED,
			       "GROUP BY needs a window, for messages never end: GROUP BY ..., tumbling('10s') or "
			       "hopping('1m', '10s')");
}

/* ---- WHERE: of single messages ---- */

/* Names of SELECT stand for what they name. */
static struct sql_node *in_where(struct splitter *x, struct sql_node *n) {
	if (x->u->f->status != SL_OK) return n;
	const struct sql_field *f = n->kind == SQL_N_NAME ? field_named(x, n->name) : NULL;
	if ((is_result(n) && !is_call(n, "last_value")) || (f && f->of_window)) {
		sql_front_fail(x->u->f, n->at, SL_EINVAL,
			       "WHERE looks at one message; a condition on a window's results goes behind HAVING");
		return n;
	}
	if (f) return copy_tree(x, f->expr);
	each_child(x, n, in_where);
	return n;
}

/* ---- SELECT and HAVING: of windows ---- */

static struct sql_node *column(struct splitter *x, const struct sql_node *like, uint16_t id) {
	struct sql_node *n = SL_ARENA_NEW(x->u->f->arena, struct sql_node);
	*n = (struct sql_node){.kind = SQL_N_COLUMN, .at = like->at, .end = like->end, .depth = 1, .index = id};
	return n;
}

static struct sql_node *aggregate(struct splitter *x, struct sql_node *n, enum sql_aggregate_kind kind) {
	struct sql_window *w = x->w;
	struct sql_node *arg = kind == SQL_A_COUNT_ALL ? NULL : n->args;
	uint16_t i = 0;
	while (i < w->n_aggregates && (x->kinds[i] != kind || !same_tree(x->arguments[i], arg))) i++;
	if (i == SQL_AGGREGATES_MAX) {
		sql_front_fail(x->u->f, n->at, SL_ELIMIT, "a statement has at most %d aggregates", SQL_AGGREGATES_MAX);
		return n;
	}
	if (of_window(x, arg))
		sql_front_fail(x->u->f, n->at, SL_EINVAL, "an aggregate of an aggregate: one rule for each");
	x->kinds[i] = kind;
	x->arguments[i] = arg;
	if (i == w->n_aggregates) w->n_aggregates++;
	return column(x, n, (uint16_t)(AGGREGATE_ID + i));
}

static void not_of_window(struct splitter *x, const struct sql_node *n) {
	struct sl_slice text = slice_sub(x->u->f->text, n->at, n->end - n->at);
	sql_front_fail(x->u->f, n->at, SL_ENOTFOUND,
		       "%.*s is not the same for all messages of a window: put it behind GROUP BY, or say which one is "
		       "meant, such as last_value(%.*s)",
		       SL_SLICE_ARG(text), SL_SLICE_ARG(text));
}

/* Functions that read a column of the message. */
static bool reads_message(const struct sql_node *n) {
	if (n->kind != SQL_N_CALL) return false;
	const struct sql_fn *fn = sql_fn_find(SQL_STANDARD, n->name);
	return fn && !fn->call && !fn->aggregate && !slice_equal_str(n->name, "try") &&
	       !slice_equal_str(n->name, "coalesce");
}

static const struct sql_node *root_of(const struct sql_node *n) {
	while (n->kind == SQL_N_MEMBER || n->kind == SQL_N_INDEX || n->kind == SQL_N_SLICE) n = n->a;
	return n;
}

static struct sql_node *in_select(struct splitter *x, struct sql_node *n) {
	if (x->u->f->status != SL_OK) return n;
	for (uint16_t i = 0; i < x->w->n_keys; i++)
		if (same_tree(n, x->keys[i])) return column(x, n, i);
	int kind = aggregate_of(n);
	if (kind >= 0) return aggregate(x, n, (enum sql_aggregate_kind)kind);
	if (is_call(n, "window_start") && n->n_args == 0) return column(x, n, START_ID);
	if (is_call(n, "window_end") && n->n_args == 0) return column(x, n, END_ID);
	const struct sql_node *root = root_of(n);
	if (reads_message(root) || (root->kind == SQL_N_NAME && !field_named(x, root->name))) {
		bool key = false; /* an element of one, such as key[1] */
		for (const struct sql_node *y = n; y != root && !key; y = y->a)
			for (uint16_t i = 0; i < x->w->n_keys; i++) key |= same_tree(y->a, x->keys[i]);
		if (!key) {
			not_of_window(x, n);
			return n;
		}
	}
	each_child(x, n, in_select);
	return n;
}

static void select_fields(struct splitter *x) {
	for (struct sql_field *f = x->s->fields.first; f && x->u->f->status == SL_OK; f = f->next) {
		x->upto = f;
		f->expr = in_select(x, f->expr);
	}
	x->upto = NULL;
}

/* ---- the two programs ---- */

static struct sql_field *internal_field(struct splitter *x, struct sql_node *expr, const char *what, unsigned i) {
	struct sql_field *f = SL_ARENA_NEW(x->u->f->arena, struct sql_field);
	struct sql_target_step *t = SL_ARENA_NEW(x->u->f->arena, struct sql_target_step);
	t->key = sl_arena_printf(x->u->f->arena, "(%s %u)", what, i + 1);
	f->expr = expr;
	f->at = expr->at;
	f->target = (struct sql_place_name){.first = t, .last = t, .n = 1};
	return f;
}

static void add_field(struct sql_fields *list, struct sql_field *f) { SQL_LINK(list, f); }

static struct sql_value window_get(const void *event, uint16_t id, struct sl_arena *arena) {
	const struct sql_window_row *row = event;
	(void)arena;
	return row->values[id];
}

/* The columns: keys, aggregates, start, end. Their numbers become places in sql_window_row.values. */
static struct sql_source *window_source(struct splitter *x, struct sl_arena *arena) {
	const struct sql_window *w = x->w;
	struct sql_source *s = SL_ARENA_NEW(arena, struct sql_source);
	uint16_t n = 0;
	struct sql_column *c = SL_ARENA_ARRAY(arena, struct sql_column, (size_t)w->n_keys + w->n_aggregates + 2);
	for (uint16_t i = 0; i < w->n_keys; i++, n++) c[n].name = sl_arena_printf(arena, "(key %u)", i + 1u).p;
	for (uint16_t i = 0; i < w->n_aggregates; i++, n++)
		c[n].name = sl_arena_printf(arena, "(aggregate %u)", i + 1u).p;
	c[n++].name = "(window start)";
	c[n++].name = "(window end)";
	for (uint16_t i = 0; i < n; i++) {
		c[i].kind = SQL_JSON_NULL;
		c[i].id = i;
		c[i].hidden = true; /* not to be named in messages */
	}
	*s = (struct sql_source){
	    .name = "window", .columns = c, .column_count = n, .payload_column = UINT16_MAX, .get = window_get};
	return s;
}

/* How many aggregates there are is known only now. */
static struct sql_node *number(struct splitter *x, struct sql_node *n) {
	const struct sql_window *w = x->w;
	if (n->kind == SQL_N_COLUMN && n->index >= START_ID)
		n->index = (uint16_t)(w->n_keys + w->n_aggregates + (n->index - START_ID));
	else if (n->kind == SQL_N_COLUMN && n->index >= AGGREGATE_ID)
		n->index = (uint16_t)(w->n_keys + (n->index - AGGREGATE_ID));
	each_child(x, n, number);
	return n;
}

static const struct sql_source *the_source(void *arg, struct sl_slice from, struct sl_err *err) {
	(void)from, (void)err;
	return arg;
}

static int compile_out(struct splitter *x, struct sql_statement *second, const struct sql_compile_opts *opts) {
	struct sql_program *p = SL_NEW(struct sql_program);
	sl_arena_init(&p->arena, 1024);
	p->text = sl_arena_dup(&p->arena, x->u->p->text);
	p->dialect = opts->dialect;
	x->w->out = p; /* freed with the program it belongs to */
	for (struct sql_field *f = second->fields.first; f; f = f->next) f->expr = number(x, f->expr);
	if (second->where) second->where = number(x, second->where);
	struct sql_compile_opts o = *opts;
	o.source = the_source;
	o.source_arg = window_source(x, &p->arena);
	int r = sql_compile_statement(x->u->f, p, second, &o);
	p->of_event = NULL; /* its columns are those of windows */
	x->u->p->remembers |= p->remembers;
	return r;
}

int sql_window_split(struct sql_unit *u, struct sql_statement *s, const struct sql_compile_opts *opts) {
	struct splitter x = {.u = u, .s = s};
	if (s->foreach)
		return sql_front_fail(u->f, s->group.n ? s->group.first->at : s->having->at, SL_EUNSUPPORTED,
				      "GROUP BY and FOREACH do not go together; let a rule with FOREACH republish its "
				      "rows, and another one group those");
	if (!s->group.n)
		return sql_front_fail(
		    u->f, s->having->at, SL_EUNSUPPORTED,
		    "HAVING goes with GROUP BY ..., tumbling('10s'); a condition on messages is WHERE");
	struct sql_window *w = x.w = SL_ARENA_NEW(&u->p->arena, struct sql_window);
	u->p->window = w;
	name_fields(&x);
	if (u->f->status == SL_OK) group_items(&x);
	if (s->where) s->where = in_where(&x, s->where);
	select_fields(&x);
	if (s->having) s->having = in_select(&x, names_out(&x, s->having));
	if (u->f->status != SL_OK) return u->f->status;

	struct sql_from from = {.name = SL_SLICE_LIT("(window)"), .at = s->from.first->at};
	struct sql_statement second = {.fields = s->fields, .where = s->having, .from = {&from, &from, 1}};
	s->fields = (struct sql_fields){0};
	for (uint16_t i = 0; i < w->n_keys; i++) add_field(&s->fields, internal_field(&x, x.keys[i], "key", i));
	for (uint16_t i = 0; i < w->n_aggregates; i++)
		if (x.arguments[i]) add_field(&s->fields, internal_field(&x, x.arguments[i], "argument", i));
	s->group = (struct sql_nodes){0};
	s->having = NULL;
	enum sql_aggregate_kind *kinds = SL_ARENA_ARRAY(&u->p->arena, enum sql_aggregate_kind, w->n_aggregates + 1u);
	memcpy(kinds, x.kinds, w->n_aggregates * sizeof *kinds);
	w->aggregates = kinds;
	return compile_out(&x, &second, opts);
}

const struct sql_window *sql_program_window(const struct sql_program *p) { return p->window; }
