/* sql_convert.c: between the kinds of values; see sql_vm.h. */
#include "sql_vm.h"

#include "hash.h"

static int unfold_list(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *v);
static int unfold_map(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *v);

/* An object or array that may hold text that is not UTF-8. SQL_JSON is JSON, which this is not: it is taken apart at once, as deep
 * as it goes, and whoever writes it writes JSON. */
static sl_noinline int take_apart(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *out) {
	sql_vm_charge(vm, hit->raw.n / 16);
	if (vm->budget == 0) return sql_vm_exhausted(vm);
	return hit->kind == JKIND_ARRAY ? unfold_list(vm, hit, out) : unfold_map(vm, hit, out);
}

int sql_from_hit(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *out) {
	switch (hit->kind) {
	case JKIND_ABSENT: *out = sql_null(); return SL_OK;
	case JKIND_NULL: *out = (struct sql_value){.kind = SQL_JSON_NULL}; return SL_OK;
	case JKIND_TRUE:
	case JKIND_FALSE: *out = sql_bool(hit->kind == JKIND_TRUE); return SL_OK;
	case JKIND_INT:
		if (sl_unlikely(slice_equal(hit->raw, SL_SLICE_LIT("-0")))) break; /* another text than 0 */
		out->kind = SQL_INT;
		return jscan_i64(hit, &out->i);
	case JKIND_DOUBLE: break;
	case JKIND_STRING: {
		struct sl_slice s = hit->raw;
		if ((hit->flags & JSCAN_ESCAPED) && jscan_string(hit, &vm->arena, &s) != SL_OK)
			return sql_vm_fail(vm, SL_EMALFORMED, "the payload is not JSON (a string has a wrong escape)");
		*out = sql_string(s);
		return SL_OK;
	}
	case JKIND_OBJECT:
	case JKIND_ARRAY:
		if (sl_unlikely(hit->flags & JSCAN_ANY_TEXT)) return take_apart(vm, hit, out);
		*out = (struct sql_value){
		    .kind = SQL_JSON, .is_array = hit->kind == JKIND_ARRAY, .n = (uint32_t)hit->raw.n, .p = hit->raw.p};
		return SL_OK;
	}
	*out = (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)hit->raw.n, .p = hit->raw.p};
	return SL_OK;
}

int sql_from_json(struct sql_vm *vm, struct sl_slice text, struct sql_value *out) {
	struct jpath_hit hit;
	if (jscan_value_any_text(text, &hit) != SL_OK) return SL_EMALFORMED;
	return sql_from_hit(vm, &hit, out);
}

bool sql_is_number(const struct sql_value *v) {
	return v->kind == SQL_INT || v->kind == SQL_DOUBLE || v->kind == SQL_NUMBER_TEXT;
}
bool sql_is_list(const struct sql_value *v) { return v->kind == SQL_LIST || (v->kind == SQL_JSON && v->is_array); }
bool sql_is_map(const struct sql_value *v) { return v->kind == SQL_MAP || (v->kind == SQL_JSON && !v->is_array); }
bool sql_is_text(const struct sql_value *v) { return v->kind == SQL_STRING || v->kind == SQL_BYTES; }

/* Text of a number from JSON or from the SQL text, so its form is sound; it may be out of a double's range. */
static double text_to_double(struct sl_slice s) {
	double d;
	int r = slice_to_double(s, &d);
	if (r == SL_OK) return d;
	return s.n && s.p[0] == '-' ? -__builtin_huge_val() : __builtin_huge_val();
}

struct sql_value sql_number(struct sql_value v) {
	if (v.kind != SQL_NUMBER_TEXT) return v;
	int64_t i;
	struct sl_slice s = sql_value_text(&v);
	return slice_to_i64(s, &i) == SL_OK ? sql_int(i) : sql_double(text_to_double(s));
}

double sql_to_double(const struct sql_value *v) {
	if (v->kind == SQL_INT) return (double)v->i;
	return v->kind == SQL_DOUBLE ? v->d : text_to_double(sql_value_text(v));
}

bool sql_number_from_text(struct sl_slice s, struct sql_value *out) {
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
	size_t digits = 0, fraction = 0;
	for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) digits++;
	bool point = i < s.n && s.p[i] == '.';
	if (point)
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) fraction++;
	if (i != s.n || digits == 0 || (point && fraction == 0)) return false;
	int64_t whole;
	if (!point && slice_to_i64(s, &whole) == SL_OK) {
		*out = sql_int(whole);
		return true;
	}
	double d;
	struct sl_slice bare = s.p[0] == '+' ? slice_from(s, 1) : s;
	if (slice_to_double(bare, &d) != SL_OK) return false;
	*out = sql_double(d);
	return true;
}

struct sql_list *sql_list_new(struct sl_arena *arena, uint32_t n) {
	struct sql_list *l = SL_ARENA_NEW(arena, struct sql_list);
	l->n = n;
	l->at = SL_ARENA_ARRAY(arena, struct sql_value, n ? n : 1);
	return l;
}

/* First pass counts, second fills: a document's arrays are short, and the arena cannot shrink. */
static uint32_t count_members(const struct jpath_hit *hit) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	uint32_t n = 0;
	if (jscan_begin(&it, hit) != SL_OK) return 0;
	while (jscan_next(&it, &key, &value) == 1) n++;
	return n;
}

static int unfold_list(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *v) {
	uint32_t n = count_members(hit);
	int r = sql_vm_made(vm, n * sizeof(struct sql_value));
	if (r != SL_OK) return r;
	struct sql_list *l = sql_list_new(&vm->arena, n);
	struct jscan_iter it;
	struct jpath_hit value;
	r = jscan_begin(&it, hit);
	for (uint32_t i = 0; r == SL_OK && i < l->n && jscan_next(&it, NULL, &value) == 1; i++)
		r = sql_from_hit(vm, &value, &l->at[i]);
	*v = (struct sql_value){.kind = SQL_LIST, .list = l};
	return r;
}

int sql_map_begin(struct sql_vm *vm, uint32_t room, struct sql_map_maker *maker) {
	enum { LOOK_THROUGH = 16 }; /* up to here names are compared one by one */
	uint32_t slots = room > LOOK_THROUGH ? 32 : 0;
	while (slots && slots < (uint64_t)room * 2) slots *= 2;
	int r = sql_vm_made(vm, room * sizeof(struct sql_map_member) + slots * sizeof *maker->slots);
	if (r != SL_OK) return r;
	*maker = (struct sql_map_maker){.map = SL_ARENA_NEW(&vm->arena, struct sql_map), .mask = slots ? slots - 1 : 0};
	maker->map->at = SL_ARENA_ARRAY(&vm->arena, struct sql_map_member, room ? room : 1);
	if (slots) maker->slots = SL_ARENA_ARRAY(&vm->arena, uint32_t, slots);
	return SL_OK;
}

struct sql_value *sql_map_place(struct sql_map_maker *maker, struct sl_slice name) {
	struct sql_map *m = maker->map;
	uint32_t i = 0;
	if (!maker->slots) {
		while (i < m->n && !slice_equal(m->at[i].key, name)) i++;
	} else { /* a slot holds a member's number + 1 */
		uint32_t at = (uint32_t)sl_hash(name) & maker->mask;
		while (maker->slots[at] && !slice_equal(m->at[maker->slots[at] - 1].key, name))
			at = (at + 1) & maker->mask;
		i = maker->slots[at] ? maker->slots[at] - 1 : m->n;
		maker->slots[at] = i + 1;
	}
	if (i == m->n) m->at[m->n++].key = name;
	return &m->at[i].value;
}

static int unfold_map(struct sql_vm *vm, const struct jpath_hit *hit, struct sql_value *v) {
	struct sql_map_maker maker;
	struct jscan_iter it;
	struct jpath_hit key, value;
	uint32_t room = count_members(hit);
	int r = sql_map_begin(vm, room, &maker);
	if (r == SL_OK) r = jscan_begin(&it, hit);
	for (uint32_t i = 0; r == SL_OK && i < room && jscan_next(&it, &key, &value) == 1; i++) {
		struct sl_slice name;
		r = jscan_string(&key, &vm->arena, &name);
		if (r == SL_OK) r = sql_from_hit(vm, &value, sql_map_place(&maker, name));
	}
	if (r == SL_OK) *v = (struct sql_value){.kind = SQL_MAP, .map = maker.map};
	return r;
}

int sql_unfold(struct sql_vm *vm, struct sql_value *v) {
	if (v->kind != SQL_JSON) return SL_OK;
	struct jpath_hit hit = {.raw = sql_value_text(v), .kind = v->is_array ? JKIND_ARRAY : JKIND_OBJECT};
	int r = v->is_array ? unfold_list(vm, &hit, v) : unfold_map(vm, &hit, v);
	return r == SL_OK || r == SL_ELIMIT ? r : sql_vm_fail(vm, r, "this is not JSON");
}

struct sl_slice sql_text(struct sql_vm *vm, const struct sql_value *v) {
	if (sql_is_text(v) || v->kind == SQL_NUMBER_TEXT) return sql_value_text(v);
	sl_buf_clear(&vm->scratch);
	sql_value_to_text(v, &vm->scratch);
	vm->made += vm->scratch.n; /* who uses it accounts too, and fails then */
	return sl_arena_dup(&vm->arena, sl_buf_slice(&vm->scratch));
}

size_t sql_value_weight(const struct sql_value *v) {
	size_t n = sizeof *v;
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_INT:
	case SQL_DOUBLE: break;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: n += v->n; break;
	case SQL_LIST:
		for (uint32_t i = 0; i < v->list->n; i++) n += sql_value_weight(&v->list->at[i]);
		break;
	case SQL_MAP:
		for (uint32_t i = 0; i < v->map->n; i++)
			n += v->map->at[i].key.n + sql_value_weight(&v->map->at[i].value);
		break;
	}
	return n;
}

struct sql_value sql_value_copy(struct sl_arena *arena, const struct sql_value *v) {
	struct sql_value copy = *v;
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_INT:
	case SQL_DOUBLE: return copy;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: copy.p = sl_arena_dup(arena, sql_value_text(v)).p; return copy;
	case SQL_LIST: {
		struct sql_list *l = sql_list_new(arena, v->list->n);
		for (uint32_t i = 0; i < l->n; i++) l->at[i] = sql_value_copy(arena, &v->list->at[i]);
		copy.list = l;
		return copy;
	}
	case SQL_MAP: {
		struct sql_map *m = SL_ARENA_NEW(arena, struct sql_map);
		m->n = v->map->n;
		m->at = SL_ARENA_ARRAY(arena, struct sql_map_member, m->n ? m->n : 1);
		for (uint32_t i = 0; i < m->n; i++) {
			m->at[i].key = sl_arena_dup(arena, v->map->at[i].key);
			m->at[i].value = sql_value_copy(arena, &v->map->at[i].value);
		}
		copy.map = m;
		return copy;
	}
	}
	return copy;
}
