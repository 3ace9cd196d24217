/* sql_why.c: see sql_why.h. */
#include "sql_why.h"

#include "mem.h"
#include "sql_front.h"

enum { PROBE_MAX = 60 * 1024, PARTS_MAX = 2000, VALUES_MAX = 12, SHALLOW = 40 };

struct why_build {
	struct sql_why *why;
	const struct sql_statement *s;
	struct sl_slice text;
	enum sql_dialect dialect;
	int64_t element; /* < 0: names mean what they mean in WHERE */
	size_t room;
};

/* ---- names to what they stand for --------------------------------------------------------------------------------- */

static const struct sql_field *list_field(const struct sql_statement *s) { return s->foreach ? s->fields.last : NULL; }

/* The last field before `limit` (NULL: of all) that gives the name. */
static const struct sql_field *field_find(const struct sql_field *first, const struct sql_field *limit,
					  const struct sql_field *skip, struct sl_slice name) {
	const struct sql_field *found = NULL;
	for (const struct sql_field *f = first; f && f != limit; f = f->next)
		if (f != skip && !f->star && f->target.n && slice_equal(f->target.first->key, name)) found = f;
	return found;
}

static bool expand(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, struct sl_buf *out);

static bool field_in(const struct sql_field *list, const struct sql_field *f) {
	while (list && list != f) list = list->next;
	return list != NULL;
}

static bool put_element(struct why_build *b, struct sl_buf *out) {
	const struct sql_field *list = list_field(b->s);
	sl_buf_put(out, '(');
	bool fine = expand(b, list->expr, list, out);
	sl_buf_printf(out, ")[%lld]", (long long)b->element + 1);
	return fine;
}

static bool in_each(const struct why_build *b, const struct sql_field *limit) {
	return b->element >= 0 && (!limit || field_in(b->s->each.first, limit));
}

/* Is the name FOREACH's element there? Fields of the same name hide it. */
static bool is_element(const struct why_build *b, const struct sql_node *n, const struct sql_field *limit) {
	if (n->kind != SQL_N_NAME || b->dialect != SQL_STANDARD || !in_each(b, limit)) return false;
	if (field_find(b->s->each.first, limit, NULL, n->name)) return false;
	const struct sql_field *list = list_field(b->s);
	return slice_equal(n->name, list->target.n ? list->target.first->key : SL_SLICE_LIT("item"));
}

/* The column or variable that a name stands for, or NULL. */
static const struct sql_field *field_of(const struct why_build *b, const struct sql_node *n,
					const struct sql_field *limit) {
	const struct sql_statement *s = b->s;
	bool each = in_each(b, limit);
	if (n->kind == SQL_N_VARIABLE)
		return field_find(s->sets.first, limit && field_in(s->sets.first, limit) ? limit : NULL, NULL, n->name);
	if (n->kind != SQL_N_NAME || b->dialect != SQL_STANDARD || is_element(b, n, limit)) return NULL;
	const struct sql_field *f = each ? field_find(s->each.first, limit, NULL, n->name) : NULL;
	return f ? f : field_find(s->fields.first, each ? NULL : limit, list_field(s), n->name);
}

/* False when it has no text of its own: a place that several columns build. */
static bool put_name(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, struct sl_buf *out) {
	if (is_element(b, n, limit)) return put_element(b, out);
	const struct sql_field *f = field_of(b, n, limit);
	if (!f && n->kind == SQL_N_VARIABLE) return false;
	if (!f) {
		sl_buf_append_slice(out, slice_sub(b->text, n->at, n->end - n->at));
		return true;
	}
	if (f->target.n != 1) return false;
	sl_buf_put(out, '(');
	bool fine = expand(b, f->expr, f, out);
	sl_buf_put(out, ')');
	return fine;
}

/* The next name at or behind `from` below n, or NULL. */
static const struct sql_node *next_name(const struct sql_node *n, uint32_t from) {
	const struct sql_node *best = NULL;
	if (!n || n->end <= from) return NULL;
	if (n->kind == SQL_N_NAME || n->kind == SQL_N_VARIABLE) return n->at >= from ? n : NULL;
	const struct sql_node *below[] = {n->a, n->b, n->c};
	for (size_t i = 0; i < SL_ARRAY_LEN(below); i++) {
		const struct sql_node *x = next_name(below[i], from);
		if (x && (!best || x->at < best->at)) best = x;
	}
	for (const struct sql_node *arg = n->args; arg; arg = arg->next) {
		const struct sql_node *x = next_name(arg, from);
		if (x && (!best || x->at < best->at)) best = x;
	}
	return best;
}

/* The text of n, names replaced. */
static bool expand(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, struct sl_buf *out) {
	uint32_t at = n->at;
	for (const struct sql_node *name; (name = next_name(n, at)); at = name->end) {
		sl_buf_append_slice(out, slice_sub(b->text, at, name->at - at));
		if (out->n > PROBE_MAX || !put_name(b, name, limit, out)) return false;
	}
	sl_buf_append_slice(out, slice_sub(b->text, at, n->end - at));
	return out->n <= PROBE_MAX;
}

static struct sl_slice probe_of(struct why_build *b, const struct sql_node *n, const struct sql_field *limit) {
	struct sl_buf out = SL_BUF_INIT;
	sl_buf_append_str(&out, "SELECT (");
	bool fine = expand(b, n, limit, &out);
	sl_buf_append_str(&out, b->s->from.first ? ") AS v FROM " : ") AS v");
	for (const struct sql_from *f = b->s->from.first; f; f = f->next) {
		sl_buf_put(&out, '\'');
		for (size_t i = 0; i < f->name.n; i++) {
			if (f->name.p[i] == '\'') sl_buf_put(&out, '\'');
			sl_buf_put(&out, f->name.p[i]);
		}
		sl_buf_append_str(&out, f->next ? "', " : "'");
	}
	struct sl_slice probe = fine ? sl_arena_dup(&b->why->arena, sl_buf_slice(&out)) : SL_SLICE_EMPTY;
	sl_buf_fini(&out);
	return probe;
}

/* ---- parts -------------------------------------------------------------------------------------------------------- */

static struct sql_why_part *part_add(struct why_build *b, enum sql_why_kind kind, const struct sql_node *n,
				     const struct sql_field *limit, uint16_t depth) {
	struct sql_why *why = b->why;
	SL_GROW(why->parts, why->count, b->room);
	struct sql_why_part *p = &why->parts[why->count++];
	*p = (struct sql_why_part){
	    .kind = kind,
	    .depth = depth,
	    .text = sl_arena_dup(&why->arena, slice_trim(slice_sub(b->text, n->at, n->end - n->at)))};
	p->probe = probe_of(b, n, limit);
	return p;
}

/* A name, or members and constant indexes of one. */
static bool is_place(const struct sql_node *n) {
	while (n->kind == SQL_N_MEMBER || (n->kind == SQL_N_INDEX && n->b->kind == SQL_N_LITERAL)) n = n->a;
	return n->kind == SQL_N_NAME;
}

/* The names from the payload's root to a place; none when an index is on the way, or it is not of the payload. */
static void part_steps(struct why_build *b, struct sql_why_part *p, const struct sql_node *n) {
	size_t count = 0;
	const struct sql_node *x = n;
	for (; x->kind == SQL_N_MEMBER; x = x->a) count++;
	if (x->kind != SQL_N_NAME || count > SHALLOW) return;
	bool whole = b->dialect == SQL_STANDARD && slice_equal(x->name, SL_SLICE_LIT("payload"));
	if (b->dialect == SQL_STANDARD && !whole) return;
	if (!whole) count++; /* aws: the name itself is a member */
	struct sl_slice *steps = SL_ARENA_ARRAY(&b->why->arena, struct sl_slice, count + 1);
	p->steps = steps;
	p->n_steps = count;
	for (x = n; count > 0; x = x->a) steps[--count] = sl_arena_dup(&b->why->arena, x->name);
}

/* Once a condition. */
static void value_add(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, size_t condition,
		      uint16_t depth) {
	struct sql_why *why = b->why;
	struct sl_slice text = slice_trim(slice_sub(b->text, n->at, n->end - n->at));
	if (why->count - condition > VALUES_MAX) return;
	for (size_t i = condition; i < why->count; i++)
		if (slice_equal(why->parts[i].text, text)) return;
	part_steps(b, part_add(b, SQL_WHY_VALUE, n, limit, depth), n);
}

static void values_of(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, size_t condition,
		      uint16_t depth, bool itself);

static void behind_name(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, size_t condition,
			uint16_t depth) {
	while (n->kind == SQL_N_MEMBER || n->kind == SQL_N_INDEX) n = n->a;
	const struct sql_field *f = field_of(b, n, limit);
	if (f && f->target.n == 1 && b->why->count - condition <= VALUES_MAX)
		values_of(b, f->expr, f, condition, depth, true);
}

/* n and the places it is made of; of a name, what it stands for, too: an absent alias tells nothing, the misspelt member
 * behind it does. What is behind a nested query has names of its own. */
static void values_of(struct why_build *b, const struct sql_node *n, const struct sql_field *limit, size_t condition,
		      uint16_t depth, bool itself) {
	if (!n || n->kind == SQL_N_LITERAL) return;
	bool place = is_place(n) || n->kind == SQL_N_VARIABLE;
	if (itself || place) value_add(b, n, limit, condition, depth);
	if (place) {
		behind_name(b, n, limit, condition, depth);
		return;
	}
	values_of(b, n->a, limit, condition, depth, false);
	values_of(b, n->b, limit, condition, depth, false);
	values_of(b, n->c, limit, condition, depth, false);
	for (const struct sql_node *x = n->args; x; x = x->next) values_of(b, x, limit, condition, depth, false);
}

/* Of a comparison with a number as it stands in the text, the other side. */
static const struct sql_node *beside_number(const struct sql_node *n) {
	const struct sql_node *sides[] = {n->a, n->b};
	if (n->kind != SQL_N_BINARY || n->op < SQL_B_EQ || n->op > SQL_B_GE) return NULL;
	for (size_t i = 0; i < 2; i++) {
		enum sql_kind kind = sides[i]->value.kind;
		if (sides[i]->kind == SQL_N_LITERAL &&
		    (kind == SQL_INT || kind == SQL_DOUBLE || kind == SQL_NUMBER_TEXT))
			return sides[1 - i];
	}
	return NULL;
}

/* limit: the column whose expression it is, which sees those before it only; NULL for conditions. */
static void condition_add(struct why_build *b, const struct sql_node *n, const struct sql_field *limit,
			  uint16_t depth) {
	size_t condition = b->why->count;
	part_add(b, SQL_WHY_CONDITION, n, limit, depth);
	uint16_t below = (uint16_t)(depth + 1);
	if (is_place(n)) {
		part_steps(b, &b->why->parts[condition], n);
		behind_name(b, n, limit, condition, below);
		return;
	}
	if (beside_number(n) && beside_number(n)->kind != SQL_N_LITERAL) {
		values_of(b, beside_number(n), limit, condition, below, true);
		b->why->parts[condition + 1].wants_number = true;
	}
	values_of(b, n->a, limit, condition, below, true);
	values_of(b, n->b, limit, condition, below, true);
	values_of(b, n->c, limit, condition, below, true);
	for (const struct sql_node *x = n->args; x; x = x->next) values_of(b, x, limit, condition, below, true);
}

static void condition_parts(struct why_build *b, const struct sql_node *n, uint16_t depth);

/* a AND b AND c stand side by side. */
static void chain_parts(struct why_build *b, const struct sql_node *n, enum sql_node_kind kind, uint16_t depth) {
	if (n->kind == kind) {
		chain_parts(b, n->a, kind, depth);
		chain_parts(b, n->b, kind, depth);
	} else {
		condition_parts(b, n, depth);
	}
}

static bool is_logic(const struct sql_node *n) { return n->kind == SQL_N_AND || n->kind == SQL_N_OR; }

static void condition_parts(struct why_build *b, const struct sql_node *n, uint16_t depth) {
	if (b->why->count >= PARTS_MAX) return;
	uint16_t below = (uint16_t)(depth + 1);
	if (depth < SHALLOW && is_logic(n)) {
		part_add(b, n->kind == SQL_N_AND ? SQL_WHY_ALL : SQL_WHY_ANY, n, NULL, depth);
		chain_parts(b, n, n->kind, below);
	} else if (depth < SHALLOW && n->kind == SQL_N_NOT && is_logic(n->a)) {
		part_add(b, SQL_WHY_NOT, n, NULL, depth);
		condition_parts(b, n->a, below);
	} else {
		condition_add(b, n, NULL, depth);
	}
}

/* ---- the face ----------------------------------------------------------------------------------------------------- */

static void build(struct why_build *b) {
	const struct sql_statement *s = b->s;
	const struct sql_field *list = list_field(s);
	const struct sql_node *n = b->element < 0 ? s->where : s->incase;
	b->why->has_incase = s->incase != NULL;
	if (list && list->expr) {
		struct sl_slice text = slice_sub(b->text, list->expr->at, list->expr->end - list->expr->at);
		b->why->list_text = sl_arena_dup(&b->why->arena, text);
		b->why->list_probe = probe_of(b, list->expr, list);
	}
	/* Columns of a window's row are not of this message. */
	bool of_message = !list && !s->group.n;
	const struct sql_field *f = b->element == SQL_WHY_COLUMNS && of_message ? s->fields.first : NULL;
	for (; f; f = f->next)
		if (!f->star && !f->spread && f->expr) condition_add(b, f->expr, f, 0);
	if (b->element == SQL_WHY_COLUMNS) return;
	/* The outermost AND needs no line of its own. */
	if (n && n->kind == SQL_N_AND)
		chain_parts(b, n, SQL_N_AND, 0);
	else if (n)
		condition_parts(b, n, 0);
}

int sql_why_new(struct sl_slice text, enum sql_dialect dialect, int64_t element, struct sql_why **out,
		struct sl_err *err) {
	struct sql_why *why = SL_NEW(struct sql_why);
	struct sl_arena scratch;
	*out = NULL;
	sl_arena_init(&why->arena, 4096);
	sl_arena_init(&scratch, 8192);
	struct sql_front front = {
	    .text = sl_arena_dup(&scratch, text), .arena = &scratch, .err = err, .dialect = dialect};
	front.whole = front.text;
	struct sql_statement *s = sql_parse(&front);
	if (s) {
		struct why_build b = {.why = why, .s = s, .text = front.text, .dialect = dialect, .element = element};
		if (element < 0 || s->foreach) build(&b);
		*out = why;
	} else {
		sql_why_free(why);
	}
	sl_arena_fini(&scratch);
	return front.status;
}

void sql_why_free(struct sql_why *why) {
	if (!why) return;
	sl_free(why->parts);
	sl_arena_fini(&why->arena);
	sl_free(why);
}
