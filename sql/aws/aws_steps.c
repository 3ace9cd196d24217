/* aws_steps.c: see aws_steps.h. */
#include "aws_steps.h"

#include "aws_ops.h"
#include "utf8.h"

enum { VARIABLE_BYTES_MAX = 128 * 1024 }; /* of one, and of all of an evaluation */

/* ---- reading ---- */

int aws_path(struct sql_vm *vm, uint32_t n, struct sql_value *out) {
	/* Of a payload that is not JSON nothing is found. */
	const struct jpath_hit *hit = sql_vm_hit(vm, n);
	if (hit->kind == JKIND_STRING && !(hit->flags & JSCAN_ESCAPED)) {
		*out = sql_string(hit->raw);
		return SL_OK;
	}
	return sql_from_hit(vm, hit, out);
}

struct sql_value aws_payload(struct sql_vm *vm, const struct sql_value *document) {
	if (document->kind != SQL_NULL) return *document;
	return sql_call_bytes(vm->in->payload);
}

int aws_member_of(struct sql_vm *vm, const struct sql_value *v, struct sl_slice key, struct sql_value *out) {
	/* Text that holds JSON is text here. */
	if (sql_is_map(v)) return sql_member(vm, v, key, out);
	*out = sql_null();
	return SL_OK;
}

/* ---- three-valued logic ---- */

struct sql_value aws_not(const struct sql_value *v) {
	struct sql_value t = aws_truth(v);
	return t.kind == SQL_BOOL ? sql_bool(!t.b) : t;
}

/* `decides`: the value that settles it from whichever side. */
static struct sql_value either(const struct sql_value *a, const struct sql_value *b, bool decides) {
	struct sql_value x = aws_truth(a), y = aws_truth(b);
	if (aws_is(&x, decides) || aws_is(&y, decides)) return sql_bool(decides);
	return x.kind == SQL_BOOL && y.kind == SQL_BOOL ? sql_bool(!decides) : sql_null();
}
struct sql_value aws_and(const struct sql_value *a, const struct sql_value *b) {
	return either(a, b, false);
}
struct sql_value aws_or(const struct sql_value *a, const struct sql_value *b) {
	return either(a, b, true);
}

/* ---- what is made is bounded ---- */

struct measure {
	size_t bytes, values, most;
	bool deep;
};

/* Values share their parts, so one that is written out may be far larger than what it takes: the walk ends at the limit. */
static void weigh(struct measure *m, const struct sql_value *v, unsigned depth) {
	m->bytes += 8;
	m->values++;
	if (v->kind == SQL_STRING || v->kind == SQL_BYTES || v->kind == SQL_NUMBER_TEXT || v->kind == SQL_JSON)
		m->bytes += v->n;
	if (v->kind != SQL_LIST && v->kind != SQL_MAP) return;
	m->deep |= depth >= SQL_VALUE_DEPTH_MAX;
	uint32_t n = v->kind == SQL_LIST ? v->list->n : v->map->n;
	for (uint32_t i = 0; i < n && m->bytes <= m->most && !m->deep; i++) {
		if (v->kind == SQL_MAP) m->bytes += v->map->at[i].key.n;
		weigh(m, v->kind == SQL_LIST ? &v->list->at[i] : &v->map->at[i].value, depth + 1);
	}
}

static int check_made(struct sql_vm *vm, const struct sql_value *v) {
	struct measure m = {.most = SQL_MADE_MAX};
	weigh(&m, v, 0);
	sql_vm_charge(vm, m.values / 4);
	if (m.deep)
		return sql_vm_fail(vm, SL_ELIMIT, "arrays and objects would stand more than %d deep inside each other",
				   SQL_VALUE_DEPTH_MAX);
	if (m.bytes > m.most) return sql_vm_fail(vm, SL_ELIMIT, "a value would exceed %d MB", SQL_MADE_MAX >> 20);
	return vm->budget == 0 ? sql_vm_exhausted(vm) : SL_OK;
}

int aws_keep(struct sql_vm *vm, const struct sql_value *v) {
	struct measure m = {.most = VARIABLE_BYTES_MAX};
	weigh(&m, v, 0);
	if (m.bytes > m.most)
		return sql_vm_fail(vm, SL_ELIMIT, "the value of a variable exceeds %d KB", VARIABLE_BYTES_MAX >> 10);
	vm->kept += m.bytes;
	if (vm->kept <= VARIABLE_BYTES_MAX) return SL_OK;
	return sql_vm_fail(vm, SL_ELIMIT,
			   "the values of the variables exceed %d KB together; keep only what is used, such as a "
			   "member of the payload in place of the whole",
			   VARIABLE_BYTES_MAX >> 10);
}

/* ---- arrays and objects ---- */

int aws_list(struct sql_vm *vm, const struct sql_value *values, uint32_t n, struct sql_value *out) {
	int r = sql_vm_made(vm, n * sizeof *values);
	if (r != SL_OK) return r;
	struct sql_list *l = sql_list_new(&vm->arena, n);
	l->n = 0;
	for (uint32_t i = 0; i < n; i++)
		if (values[i].kind != SQL_NULL) l->at[l->n++] = values[i];
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return check_made(vm, out);
}

/* An object under construction. */
struct maker {
	struct sql_vm *vm;
	struct sql_map map;
	uint32_t room;
};

static int make_room(struct maker *m, uint32_t room) {
	if (room <= m->room) return SL_OK;
	if (room < m->room * 2) room = m->room * 2;
	int r = sql_vm_made(m->vm, room * sizeof *m->map.at);
	if (r != SL_OK) return r;
	struct sql_map_member *grown = sl_arena_alloc(&m->vm->arena, room * sizeof *grown);
	if (m->map.n) memcpy(grown, m->map.at, m->map.n * sizeof *grown);
	m->map.at = grown;
	m->room = room;
	return SL_OK;
}

/* The value of the member `key`, which is added when it is not there. */
static int place_of(struct maker *m, struct sl_slice key, struct sql_value **out) {
	uint32_t i = 0;
	while (i < m->map.n && !slice_equal(m->map.at[i].key, key)) i++;
	sql_vm_charge(m->vm, i / 4);
	if (i == m->map.n) {
		int r = make_room(m, i + 1);
		if (r != SL_OK) return r;
		m->map.at[m->map.n++] = (struct sql_map_member){.key = key};
	}
	*out = &m->map.at[i].value;
	return m->vm->budget == 0 ? sql_vm_exhausted(m->vm) : SL_OK;
}

static struct sql_value made_map(struct maker *m) {
	struct sql_map *map = SL_ARENA_NEW(&m->vm->arena, struct sql_map);
	*map = m->map;
	return (struct sql_value){.kind = SQL_MAP, .map = map};
}

static int add_members(struct maker *m, const struct sql_value *object) {
	struct sql_value v = *object;
	if (!sql_is_map(&v)) return SL_OK;
	int r = sql_unfold(m->vm, &v);
	if (r != SL_OK || v.map->n == 0) return r;
	if ((r = make_room(m, m->map.n + v.map->n)) != SL_OK) return r;
	if (m->map.n == 0) { /* names of an object are unique */
		memcpy(m->map.at, v.map->at, v.map->n * sizeof *v.map->at);
		m->map.n = v.map->n;
		return SL_OK;
	}
	for (uint32_t i = 0; i < v.map->n && r == SL_OK; i++) {
		struct sql_value *place;
		r = place_of(m, v.map->at[i].key, &place);
		if (r == SL_OK) *place = v.map->at[i].value;
	}
	return r;
}

/* Puts `value` below *place; objects on the way are kept, all else is replaced. */
static int put_below(struct sql_vm *vm, struct sql_value *place, const struct sql_target_step *rest,
		     const struct sql_value *value) {
	int r = SL_OK;
	for (; rest && r == SL_OK; rest = rest->next) {
		struct maker m = {.vm = vm};
		struct sql_value *below;
		r = add_members(&m, place);
		if (r == SL_OK) r = place_of(&m, rest->key, &below);
		if (r != SL_OK) return r;
		*place = made_map(&m);
		place = below;
	}
	*place = *value;
	return r;
}

/* Text of JSON stands in quotes, so what begins where the payload does is all of one that is none. */
static bool is_raw(const struct sql_vm *vm, const struct sql_value *v) {
	struct sl_slice payload = vm->in->payload;
	return sql_is_text(v) && v->p == payload.p && v->n == payload.n;
}

/* A payload that is no object, beside other columns. */
static int add_payload(struct maker *m, const struct sql_value *v) {
	struct sql_value *place;
	if (v->kind == SQL_NULL || (is_raw(m->vm, v) && v->n == 0)) return SL_OK;
	int r = place_of(m, SL_SLICE_LIT(AWS_PAYLOAD_NAME), &place);
	if (r == SL_OK) *place = *v;
	return r;
}

static int make_object(struct maker *m, const struct aws_shape *shape, const struct sql_value *values) {
	int r = make_room(m, shape->n);
	for (uint32_t i = 0; i < shape->n && r == SL_OK && shape->plain; i++)
		if (values[i].kind != SQL_NULL)
			m->map.at[m->map.n++] = (struct sql_map_member){shape->at[i].key, values[i]};
	if (shape->plain) return r;
	for (uint32_t i = 0; i < shape->n && r == SL_OK; i++)
		if (shape->at[i].payload && !sql_is_map(&values[i]))
			r = add_payload(m, &values[i]);
		else if (shape->at[i].spread)
			r = add_members(m, &values[i]);
	for (uint32_t i = 0; i < shape->n && r == SL_OK; i++) {
		const struct aws_member *member = &shape->at[i];
		if (member->spread || values[i].kind == SQL_NULL) continue;
		struct sql_value *place;
		r = place_of(m, member->key, &place);
		if (r == SL_OK) r = put_below(m->vm, place, member->rest, &values[i]);
	}
	return r;
}

int aws_object(struct sql_vm *vm, const struct aws_shape *shape, const struct sql_value *values,
	       struct sql_value *out) {
	struct maker m = {.vm = vm};
	int r = make_object(&m, shape, values);
	if (r != SL_OK) return r;
	*out = made_map(&m);
	return check_made(vm, out);
}

static const struct sql_target_step *copy_steps(struct sl_arena *arena, const struct sql_target_step *t) {
	struct sql_target_step *first = NULL, **link = &first;
	for (; t; t = t->next) {
		*link = SL_ARENA_NEW(arena, struct sql_target_step);
		(*link)->key = sl_arena_dup(arena, t->key);
		link = &(*link)->next;
	}
	return first;
}

struct aws_shape *aws_shape_copy(struct sl_arena *arena, const struct aws_shape *shape) {
	struct aws_shape *copy = SL_ARENA_NEW(arena, struct aws_shape);
	*copy = *shape;
	copy->at = SL_ARENA_ARRAY(arena, struct aws_member, shape->n + 1);
	copy->names = SL_ARENA_ARRAY(arena, struct sl_slice, shape->n + 1);
	for (uint32_t i = 0; i < shape->n; i++) {
		copy->at[i] = shape->at[i];
		copy->at[i].key = copy->names[i] = sl_arena_dup(arena, shape->at[i].key);
		copy->at[i].rest = copy_steps(arena, shape->at[i].rest);
	}
	if (copy->plain) copy->names_json = sql_names_json(arena, copy->names, copy->n);
	return copy;
}

void aws_shape_print(const struct aws_shape *shape, struct sl_buf *out) {
	for (uint32_t i = 0; i < shape->n; i++) {
		if (i) sl_buf_append_str(out, ", ");
		if (shape->at[i].spread) sl_buf_append_str(out, "*");
		sl_buf_append_slice(out, shape->at[i].key);
		for (const struct sql_target_step *t = shape->at[i].rest; t; t = t->next)
			sl_buf_printf(out, ".%.*s", SL_SLICE_ARG(t->key));
	}
}

/* ---- nested queries ---- */

struct walk {
	struct sql_list elements, rows;
	uint32_t next;
};

/* The walk is the vm's own, behind a value that no expression can name. */
static struct walk *walk_of(const struct sql_value *v) { return (struct walk *)(uintptr_t)v->p; }

int aws_rows(struct sql_vm *vm, const struct sql_value *source, struct sql_value *walk, bool *any) {
	struct sql_value v = *source;
	struct walk *w = SL_ARENA_NEW(&vm->arena, struct walk);
	int r = SL_OK;
	*any = sql_is_list(&v) || sql_is_map(&v);
	if (sql_is_list(&v)) {
		r = sql_unfold(vm, &v);
		if (r == SL_OK) w->elements = *v.list;
	} else if (*any) { /* an object is one row */
		struct sql_list *one = sql_list_new(&vm->arena, 1);
		one->at[0] = v;
		w->elements = *one;
	}
	if (r == SL_OK) r = sql_vm_made(vm, sizeof *w + w->elements.n * sizeof v);
	if (r != SL_OK) return r;
	w->rows.at = SL_ARENA_ARRAY(&vm->arena, struct sql_value, w->elements.n + 1u);
	*walk = (struct sql_value){.kind = SQL_BYTES, .p = (const char *)w};
	return SL_OK;
}

int aws_element(struct sql_vm *vm, const struct sql_value *walk, uint32_t steps, struct sql_value *out, bool *more) {
	struct walk *w = walk_of(walk);
	*more = w->next < w->elements.n;
	if (!*more) return SL_OK;
	if (vm->budget < steps) return sql_vm_exhausted(vm);
	vm->budget -= steps;
	*out = w->elements.at[w->next++];
	return out->kind == SQL_JSON && !out->is_array ? sql_unfold(vm, out) : SL_OK;
}

void aws_rows_add(const struct sql_value *walk, const struct sql_value *row) {
	struct walk *w = walk_of(walk);
	if (row->kind != SQL_NULL) w->rows.at[w->rows.n++] = *row;
}

int aws_rows_end(struct sql_vm *vm, const struct sql_value *walk, struct sql_value *out) {
	*out = (struct sql_value){.kind = SQL_LIST, .list = &walk_of(walk)->rows};
	return check_made(vm, out);
}

/* ---- rows ---- */

static int give_out(struct sql_vm *vm, const struct sql_out *row) {
	struct measure m = {.most = SQL_MADE_MAX};
	for (size_t i = 0; i < row->count; i++) weigh(&m, &row->values[i], 0);
	if (m.bytes > m.most) return sql_vm_fail(vm, SL_ELIMIT, "a row would exceed %d MB", SQL_MADE_MAX >> 20);
	return vm->on_row(vm->arg, vm, row);
}

static bool all_defined(const struct sql_value *values, uint32_t n) {
	for (uint32_t i = 0; i < n; i++)
		if (values[i].kind == SQL_NULL) return false;
	return true;
}

int aws_emit(struct sql_vm *vm, const struct aws_shape *shape, const struct sql_value *values) {
	struct sql_out row = {
	    .names = shape->names, .names_json = shape->names_json, .values = values, .count = shape->n};
	if (shape->plain && all_defined(values, shape->n)) return give_out(vm, &row);
	struct maker m = {.vm = vm};
	int r = make_object(&m, shape, values);
	if (r == SL_OK) r = sql_vm_made(vm, m.map.n * sizeof *m.map.at);
	if (r != SL_OK) return r;
	struct sl_slice *names = SL_ARENA_ARRAY(&vm->arena, struct sl_slice, m.map.n + 1u);
	struct sql_value *members = SL_ARENA_ARRAY(&vm->arena, struct sql_value, m.map.n + 1u);
	for (uint32_t i = 0; i < m.map.n; i++) {
		names[i] = m.map.at[i].key;
		members[i] = m.map.at[i].value;
	}
	row = (struct sql_out){.names = names, .values = members, .count = m.map.n};
	for (uint32_t i = 0; i < shape->n && !row.raw; i++)
		row.raw = shape->at[i].payload && is_raw(vm, &values[i]) && values[i].n > 0;
	if (row.raw) row.bytes = vm->in->payload;
	return give_out(vm, &row);
}

int aws_emit_value(struct sql_vm *vm, const struct sql_value *v, bool all) {
	/* Undefined by itself is written as an empty text. */
	struct sql_value value = v->kind == SQL_NULL ? sql_string(SL_SLICE_LIT("")) : *v;
	struct sql_out row = {.values = &value, .count = 1, .raw = v->kind == SQL_NULL || is_raw(vm, v)};
	if (row.raw) row.bytes = sql_value_text(&value);
	/* Taken apart, as JSON with text that is not UTF-8 is: passed on, it is the payload. */
	bool apart = all && (v->kind == SQL_MAP || v->kind == SQL_LIST);
	if (apart && !utf8_valid(vm->in->payload)) {
		row.raw = true;
		row.bytes = vm->in->payload;
	}
	return give_out(vm, &row);
}
