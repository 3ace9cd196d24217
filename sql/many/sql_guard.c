/* sql_guard.c: see sql_guard.h. Which values have a key in common follows sql_compare.c; what must not fail before a
 * guarded condition is what sql_emit.c evaluates before it: the conjuncts in their order. */
#include "sql_guard.h"

#include <math.h>
#include <stdlib.h>

#include "aws_decimal.h"
#include "hash.h"
#include "sql_unit.h"
#include "sql_vm.h"

enum {
	GUARDS_MAX = 16, /* of one program; more say little more */
	TESTS_MAX = 64,  /* of one guard: an OR of as many */
	KEYS_MAX = 3,    /* of one constant */
};

/* ---- keys ---- */

/* Texts meet texts; numbers meet numbers and text that spells one, and so on: a key belongs to one such meeting. */
enum meeting { MEET_TEXT = 1, MEET_NUMBER, MEET_NUMBER_AND_TEXT, MEET_BOOLEAN };

static uint64_t key_of(enum meeting meeting, uint64_t hash) {
	hash = (hash ^ (uint64_t)meeting) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 32;
}
static uint64_t text_key(struct sl_slice s) { return key_of(MEET_TEXT, sl_hash(s)); }
static uint64_t number_key(enum meeting meeting, double d) {
	uint64_t bits;
	d += 0.0; /* -0 is 0 */
	memcpy(&bits, &d, sizeof bits);
	return key_of(meeting, bits * 0xff51afd7ed558ccdu);
}

static bool all_digits(struct sl_slice *s) {
	size_t n = 0;
	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9') n++;
	*s = slice_from(*s, n);
	return n > 0;
}

/* -?digits(.digits)?(E-?digits)?: the text that the aws dialect reads as a number. */
static bool aws_number_text(struct sl_slice s) {
	if (s.n && s.p[0] == '-') s = slice_from(s, 1);
	if (!all_digits(&s)) return false;
	if (s.n && s.p[0] == '.') {
		s = slice_from(s, 1);
		if (!all_digits(&s)) return false;
	}
	if (s.n && (s.p[0] | 0x20) == 'e') {
		s = slice_from(s, 1);
		if (s.n && (s.p[0] == '-' || s.p[0] == '+')) s = slice_from(s, 1);
		if (!all_digits(&s)) return false;
	}
	return s.n == 0;
}

/* The aws dialect compares what is left of a number in 34 digits, which may be nearer to another double. */
static double to_double(enum sql_dialect dialect, const struct sql_value *v) {
	char text[AWS_DECIMAL_TEXT_MAX];
	struct aws_decimal d;
	struct sql_value kept = *v;
	if (dialect == SQL_AWS && v->kind == SQL_NUMBER_TEXT && v->n > AWS_DECIMAL_DIGITS &&
	    aws_decimal_parse(sql_value_text(v), &d, NULL)) {
		kept.n = (uint32_t)aws_decimal_format(&d, text);
		kept.p = text;
	}
	return sql_to_double(&kept);
}

/* Text as the number that a comparison would take it for. */
static bool text_number(enum sql_dialect dialect, struct sl_slice s, double *out) {
	struct sql_value v;
	if (dialect == SQL_AWS) {
		if (!aws_number_text(s)) return false;
		v = (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)s.n, .p = s.p};
	} else if (!sql_number_from_text(s, &v)) {
		return false;
	}
	*out = to_double(dialect, &v);
	return true;
}

bool sql_guard_number(enum sql_dialect dialect, const struct sql_value *v, double *out) {
	if (sql_is_text(v)) return text_number(dialect, sql_value_text(v), out);
	if (!sql_is_number(v)) return false;
	*out = to_double(dialect, v);
	return true;
}

uint32_t sql_guard_keys(enum sql_dialect dialect, const struct sql_value *v, uint64_t keys[SQL_GUARD_KEYS_MAX]) {
	double d;
	if (sql_is_text(v)) {
		keys[0] = text_key(sql_value_text(v));
		if (dialect == SQL_AWS || !text_number(dialect, sql_value_text(v), &d)) return 1;
		keys[1] = number_key(MEET_NUMBER, d);
		return 2;
	}
	if (sql_is_number(v)) {
		d = to_double(dialect, v);
		keys[0] = number_key(MEET_NUMBER, d);
		keys[1] = number_key(MEET_NUMBER_AND_TEXT, d);
		return 2;
	}
	if (v->kind != SQL_BOOL) return 0;
	keys[0] = key_of(MEET_BOOLEAN, v->b);
	return 1;
}

/* The keys of what equals a constant; 0 when they cannot be named. */
static uint32_t constant_keys(enum sql_dialect dialect, const struct sql_value *k, uint64_t keys[KEYS_MAX]) {
	double d;
	uint32_t n = 0;
	if (sql_is_number(k)) {
		d = to_double(dialect, k);
		if (isnan(d)) return 0;
		keys[n++] = number_key(MEET_NUMBER, d);
	} else if (k->kind == SQL_BOOL) {
		keys[n++] = key_of(MEET_BOOLEAN, k->b);
		keys[n++] = text_key(k->b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false"));
	} else if (sql_is_text(k)) {
		struct sl_slice s = sql_value_text(k);
		keys[n++] = text_key(s);
		if (text_number(dialect, s, &d)) keys[n++] = number_key(MEET_NUMBER_AND_TEXT, d);
		if (slice_equal_str(s, "true") || slice_equal_str(s, "false"))
			keys[n++] = key_of(MEET_BOOLEAN, s.n == 4);
	}
	return n;
}

/* ---- what cannot fail ---- */

/* Without signs that have no effect; in the aws dialect + makes a number of text. */
static const struct sql_node *bare(const struct sql_program *p, const struct sql_node *n) {
	while (n->kind == SQL_N_PLUS && p->dialect == SQL_STANDARD) n = n->a;
	return n;
}

/* A path into an array may have to open a text that holds one, and that may be too much for a run. */
static bool path_is_safe(const struct jpath *path) {
	for (uint16_t i = 1; i < path->n; i++)
		if (path->steps[i].is_index) return false;
	return true;
}

static uint32_t levels(struct sl_slice filter) {
	uint32_t n = 1;
	for (size_t i = 0; i < filter.n; i++) n += filter.p[i] == '/';
	return n - (filter.n && filter.p[filter.n - 1] == '#'); /* "a/#" matches "a" */
}

static bool level_operand(const struct sql_node *n, struct sql_guard_operand *out) {
	if (n->kind != SQL_N_CALL || n->fn != &sql_fn_topic_level || !n->args || !n->args->next) return false;
	const struct sql_node *topic = n->args, *level = n->args->next;
	if (topic->kind != SQL_N_COLUMN || level->kind != SQL_N_LITERAL || level->value.kind != SQL_INT) return false;
	if (level->value.i < 1 || level->value.i > UINT16_MAX) return false;
	*out = (struct sql_guard_operand){
	    .place = SQL_GUARD_LEVEL, .number = (uint32_t)level->value.i, .column = topic->index};
	return true;
}

/* Every topic that reaches the rule has the level. Events do not come by the topic that they tell of. */
static bool level_is_safe(const struct sql_program *p, const struct sql_node *n) {
	struct sql_guard_operand level;
	if (!level_operand(n, &level)) return false;
	for (size_t i = 0; i < p->n_from; i++)
		if (levels(p->from[i]) < level.number || slice_starts_with(p->from[i], SL_SLICE_LIT("$events/")))
			return false;
	return true;
}

static bool value_is_safe(const struct sql_program *p, const struct sql_node *n) {
	n = bare(p, n);
	if (n->kind == SQL_N_PATH) return path_is_safe(n->path);
	return n->kind == SQL_N_LITERAL || n->kind == SQL_N_COLUMN || n->kind == SQL_N_METADATA || level_is_safe(p, n);
}

static bool args_are_safe(const struct sql_program *p, const struct sql_node *n) {
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (!value_is_safe(p, x)) return false;
	return true;
}

/* is_null() and its like: they say what a value is, whatever it is. */
static bool is_question(const struct sql_node *n) {
	return n->kind == SQL_N_CALL && n->fn && n->fn->call && !n->fn->errors && !n->fn->prepare &&
	       strncmp(n->fn->name, "is_", 3) == 0;
}

/* Does evaluating the condition end well, with a boolean or NULL, whatever the event is? (But for a payload that is not
 * JSON: then no path has a value, and nobody is ruled out.) */
bool sql_condition_is_safe(const struct sql_program *p, const struct sql_node *n) {
	if (p->dialect == SQL_AWS) return true; /* what cannot be is Undefined there */
	switch (n->kind) {
	case SQL_N_LITERAL: return n->value.kind == SQL_BOOL || n->value.kind == SQL_NULL;
	case SQL_N_BINARY: return n->op >= SQL_B_EQ && value_is_safe(p, n->a) && value_is_safe(p, n->b);
	case SQL_N_AND:
	case SQL_N_OR: return sql_condition_is_safe(p, n->a) && sql_condition_is_safe(p, n->b);
	case SQL_N_NOT: return sql_condition_is_safe(p, n->a);
	case SQL_N_BETWEEN: return value_is_safe(p, n->a) && value_is_safe(p, n->b) && value_is_safe(p, n->c);
	case SQL_N_IN: return value_is_safe(p, n->a) && args_are_safe(p, n);
	case SQL_N_IN_LIST:
	case SQL_N_LIKE: return value_is_safe(p, n->a) && value_is_safe(p, n->b);
	case SQL_N_IS_NULL: return value_is_safe(p, n->a);
	case SQL_N_CALL: return is_question(n) && args_are_safe(p, n);
	case SQL_N_NAME:
	case SQL_N_MEMBER:
	case SQL_N_INDEX:
	case SQL_N_SLICE:
	case SQL_N_RANGE:
	case SQL_N_LIST:
	case SQL_N_NEGATE:
	case SQL_N_PLUS:
	case SQL_N_CASE:
	case SQL_N_COLUMN:
	case SQL_N_METADATA:
	case SQL_N_PATH:
	case SQL_N_ALIAS:
	case SQL_N_ITEM:
	case SQL_N_STAR:
	case SQL_N_OBJECT:
	case SQL_N_CAST:
	case SQL_N_VARIABLE:
	case SQL_N_QUERY:
	case SQL_N_EXISTS:
	case SQL_N_ELEMENT:
	case SQL_N_SCOPED:
	case SQL_N_OUTPUT: return false;
	}
	return false;
}

/* ---- from conditions to tests ---- */

struct derive {
	struct sql_program *p;
	struct sql_guard guards[GUARDS_MAX];
	size_t n_guards;
	bool open; /* nothing so far could fail */
	bool
	    read; /* but for reading a payload that is not JSON: only guards that read it too can rule out from here on */
};

static bool operand_of(struct derive *d, const struct sql_node *n, struct sql_guard_operand *out) {
	n = bare(d->p, n);
	if (level_operand(n, out)) return true;
	*out = (struct sql_guard_operand){.place = SQL_GUARD_COLUMN, .number = n->index};
	if (n->kind == SQL_N_COLUMN) return true;
	if (n->kind != SQL_N_PATH) return false;
	int number = sql_program_add_path(d->p, n->path);
	*out = (struct sql_guard_operand){.place = SQL_GUARD_PATH, .number = (uint32_t)number};
	return number >= 0;
}

static bool add_keys(struct derive *d, const struct sql_node *k, struct sql_guard_test *t, uint64_t *keys) {
	if (k->kind != SQL_N_LITERAL) return false;
	uint32_t n = constant_keys(d->p->dialect, &k->value, keys + t->n_keys);
	t->n_keys += n;
	return n > 0;
}

static bool equal_test(struct derive *d, const struct sql_node *a, const struct sql_node *k, struct sql_guard_test *t) {
	uint64_t *keys = SL_ARENA_ARRAY(&d->p->arena, uint64_t, KEYS_MAX);
	*t = (struct sql_guard_test){.kind = SQL_GUARD_EQUAL, .keys = keys};
	return operand_of(d, a, &t->operand) && add_keys(d, k, t, keys);
}

static bool in_test(struct derive *d, const struct sql_node *n, struct sql_guard_test *t) {
	uint64_t *keys = SL_ARENA_ARRAY(&d->p->arena, uint64_t, (size_t)n->n_args * KEYS_MAX + 1);
	*t = (struct sql_guard_test){.kind = SQL_GUARD_EQUAL, .keys = keys};
	if (n->negated || !operand_of(d, n->a, &t->operand)) return false;
	for (const struct sql_node *x = n->args; x; x = x->next)
		if (!add_keys(d, x, t, keys)) return false;
	return true;
}

/* LIKE without a wildcard wants exactly this text. */
static bool like_test(struct derive *d, const struct sql_node *n, struct sql_guard_test *t) {
	const struct sql_value *pattern = &n->b->value;
	if (n->negated || n->b->kind != SQL_N_LITERAL || pattern->kind != SQL_STRING) return false;
	struct sl_slice s = sql_value_text(pattern);
	if (slice_find_byte(s, '%') >= 0 || slice_find_byte(s, '_') >= 0) return false;
	return equal_test(d, n->a, n->b, t);
}

static bool constant_number(const struct derive *d, const struct sql_node *n, double *out) {
	if (n->kind != SQL_N_LITERAL || !sql_is_number(&n->value)) return false;
	*out = to_double(d->p->dialect, &n->value);
	return !isnan(*out);
}

static bool range_test(struct derive *d, const struct sql_node *a, double low, double high, struct sql_guard_test *t) {
	*t = (struct sql_guard_test){.kind = SQL_GUARD_RANGE, .low = low, .high = high};
	return operand_of(d, a, &t->operand);
}

static bool between_test(struct derive *d, const struct sql_node *n, struct sql_guard_test *t) {
	double low, high;
	if (n->negated || !constant_number(d, n->b, &low) || !constant_number(d, n->c, &high)) return false;
	return range_test(d, n->a, low, high, t);
}

static bool compare_test(struct derive *d, const struct sql_node *n, struct sql_guard_test *t) {
	static const uint8_t mirrored[] = {[SQL_B_EQ] = SQL_B_EQ, [SQL_B_NE] = SQL_B_NE, [SQL_B_LT] = SQL_B_GT,
					   [SQL_B_LE] = SQL_B_GE, [SQL_B_GT] = SQL_B_LT, [SQL_B_GE] = SQL_B_LE};
	const struct sql_node *a = n->a, *k = n->b;
	uint8_t op = n->op;
	double number;
	if (op < SQL_B_EQ || op > SQL_B_GE || op == SQL_B_NE) return false;
	if (a->kind == SQL_N_LITERAL) {
		k = n->a;
		a = n->b;
		op = mirrored[op];
	}
	if (op == SQL_B_EQ) return equal_test(d, a, k, t);
	if (!constant_number(d, k, &number)) return false;
	bool below = op == SQL_B_LT || op == SQL_B_LE;
	return range_test(d, a, below ? -HUGE_VAL : number, below ? number : HUGE_VAL, t);
}

/* May evaluating it read the payload? Everything that is not surely something else counts. */
static bool may_read(const struct sql_node *n) {
	if (!n) return false;
	if (n->kind == SQL_N_COLUMN || n->kind == SQL_N_LITERAL) return false;
	bool known = n->kind == SQL_N_BINARY || n->kind == SQL_N_AND || n->kind == SQL_N_OR || n->kind == SQL_N_NOT ||
		     n->kind == SQL_N_BETWEEN || n->kind == SQL_N_IN || n->kind == SQL_N_LIKE ||
		     n->kind == SQL_N_IS_NULL || (n->kind == SQL_N_CALL && n->fn == &sql_fn_topic_level);
	for (const struct sql_node *x = n->args; x && known; x = x->next) known = !may_read(x);
	return !known || may_read(n->a) || may_read(n->b) || may_read(n->c);
}

static bool can_rule_out(const struct derive *d, const struct sql_guard_test *t) {
	return t->operand.place == SQL_GUARD_PATH || !d->read;
}

static bool one_test(struct derive *d, const struct sql_node *n, struct sql_guard_test *t) {
	if (n->kind == SQL_N_BINARY) return compare_test(d, n, t);
	if (n->kind == SQL_N_BETWEEN) return between_test(d, n, t);
	if (n->kind == SQL_N_IN) return in_test(d, n, t);
	return n->kind == SQL_N_LIKE && like_test(d, n, t);
}

/* Adds tests of which one must hold for n to be met. False: there are none. */
static bool add_tests(struct derive *d, const struct sql_node *n, struct sql_guard_test *tests, uint32_t *count) {
	if (n->kind == SQL_N_OR) return add_tests(d, n->a, tests, count) && add_tests(d, n->b, tests, count);
	if (n->kind == SQL_N_AND) { /* either half will do */
		uint32_t before = *count;
		bool made = add_tests(d, n->a, tests, count);
		d->read |= d->p->dialect == SQL_STANDARD && may_read(n->a);
		if (made) return true;
		*count = before;
		return add_tests(d, n->b, tests, count);
	}
	bool made = *count < TESTS_MAX && one_test(d, n, &tests[*count]) && can_rule_out(d, &tests[*count]);
	d->read |= d->p->dialect == SQL_STANDARD && may_read(n);
	*count += made;
	return made;
}

static bool same_operand(const struct sql_guard_operand *a, const struct sql_guard_operand *b) {
	return a->place == b->place && a->number == b->number && a->column == b->column;
}

/* t > 20 AND t < 30 is one range. */
static bool joins_range(struct derive *d, const struct sql_guard_test *t, const struct sql_node *n) {
	if (t->kind != SQL_GUARD_RANGE) return false;
	for (size_t i = 0; i < d->n_guards; i++) {
		struct sql_guard *g = &d->guards[i];
		struct sql_guard_test *old = (struct sql_guard_test *)(uintptr_t)g->tests;
		if (g->n_tests != 1 || old->kind != SQL_GUARD_RANGE || !same_operand(&old->operand, &t->operand))
			continue;
		old->low = fmax(old->low, t->low);
		old->high = fmin(old->high, t->high);
		if (i + 1 == d->n_guards) g->end = n->end;
		return true;
	}
	return false;
}

static void add_guard(struct derive *d, const struct sql_node *n) {
	struct sql_guard_test tests[TESTS_MAX];
	uint32_t count = 0;
	bool never =
	    n->kind == SQL_N_LITERAL && (n->value.kind == SQL_NULL || (n->value.kind == SQL_BOOL && !n->value.b));
	if (d->n_guards == GUARDS_MAX || (never && d->read)) return;
	if (!never) {
		if (n->kind == SQL_N_OR && !sql_condition_is_safe(d->p, n)) return;
		if (!add_tests(d, n, tests, &count)) return;
		if (count == 1 && joins_range(d, &tests[0], n)) return;
	}
	struct sql_guard_test *kept = SL_ARENA_ARRAY(&d->p->arena, struct sql_guard_test, count + 1);
	if (count) memcpy(kept, tests, count * sizeof *kept);
	d->guards[d->n_guards++] = (struct sql_guard){.tests = kept, .n_tests = count, .at = n->at, .end = n->end};
}

static void add_conjuncts(struct derive *d, const struct sql_node *n) {
	if (!d->open) return;
	if (n->kind == SQL_N_AND) {
		add_conjuncts(d, n->a);
		add_conjuncts(d, n->b);
		return;
	}
	add_guard(d, n);
	d->read |= d->p->dialect == SQL_STANDARD && may_read(n);
	d->open = sql_condition_is_safe(d->p, n);
}

void sql_guard_derive(struct sql_unit *u) {
	struct derive d = {.p = u->p, .open = true};
	if (!u->where || u->f->status != SL_OK) return;
	add_conjuncts(&d, u->where);
	struct sql_guard *kept = SL_ARENA_ARRAY(&u->p->arena, struct sql_guard, d.n_guards + 1);
	if (d.n_guards) memcpy(kept, d.guards, d.n_guards * sizeof *kept);
	u->p->guards = kept;
	u->p->n_guards = d.n_guards;
}

const struct sql_guard *sql_program_guards(const struct sql_program *p, size_t *count) {
	*count = p->n_guards;
	return p->guards;
}
enum sql_dialect sql_program_dialect(const struct sql_program *p) { return p->dialect; }
const struct sql_source *sql_program_source(const struct sql_program *p) { return p->source; }

/* ---- the event's value ---- */

static int level_value(struct sql_vm *vm, const struct sql_guard_operand *operand, struct sql_value *out) {
	struct sql_value args[2], topic = vm->program->source->get(vm->in->event, operand->column, &vm->arena);
	struct sql_site site = {.fn = &sql_fn_topic_level};
	args[0] = topic;
	args[1] = sql_int(operand->number);
	return sql_fn_call(vm, &site, args, 2, out);
}

int sql_guard_value(struct sql_vm *vm, const struct sql_program *p, const struct sql_guard_operand *operand,
		    const struct jpath_hit *hit, struct sql_value *out) {
	vm->program = p;
	switch (operand->place) {
	case SQL_GUARD_PATH: return sql_vm_take_hit(vm, operand->number, hit, out);
	case SQL_GUARD_COLUMN:
		*out = p->source->get(vm->in->event, (uint16_t)operand->number, &vm->arena);
		return SL_OK;
	case SQL_GUARD_LEVEL: return level_value(vm, operand, out);
	}
	return SL_EINVAL;
}
