/* sql_compare.c: which value comes first, and which are the same; see sql_vm.h.
 *
 * What compares with what:
 *     number   with number: by value, exact also between int64 and double; with text that is a number: likewise
 *     text     with text: byte order
 *     boolean  with boolean: false < true; with text: as its word
 *     object < array < text; objects by size, then member by member; arrays element by element
 *     NULL     equals NULL; with anything else every comparison is false (SQL_ONE_NULL)
 *     JSON null equals JSON null
 * All else is unlike: only != holds. */
#include "sql_vm.h"

static enum sql_order order_of(int c) { return c < 0 ? SQL_LESS : c > 0 ? SQL_GREATER : SQL_EQUAL; }

static enum sql_order compare_numbers(struct sql_value a, struct sql_value b) {
	a = sql_number(a);
	b = sql_number(b);
	if (a.kind == SQL_INT && b.kind == SQL_INT) return order_of((a.i > b.i) - (a.i < b.i));
	/* A long double holds every int64 and every double. */
	long double x = a.kind == SQL_INT ? (long double)a.i : (long double)a.d;
	long double y = b.kind == SQL_INT ? (long double)b.i : (long double)b.d;
	return order_of((x > y) - (x < y));
}

static enum sql_order compare_lists(struct sql_vm *vm, const struct sql_list *a, const struct sql_list *b) {
	for (uint32_t i = 0; i < a->n && i < b->n; i++) {
		enum sql_order o = sql_compare(vm, &a->at[i], &b->at[i]);
		if (o != SQL_EQUAL) return o == SQL_ONE_NULL ? SQL_UNLIKE : o;
	}
	return order_of((a->n > b->n) - (a->n < b->n));
}

const struct sql_value *sql_map_find(const struct sql_map *m, struct sl_slice key, uint32_t guess) {
	if (guess < m->n && slice_equal(m->at[guess].key, key)) return &m->at[guess].value;
	for (uint32_t i = 0; i < m->n; i++)
		if (slice_equal(m->at[i].key, key)) return &m->at[i].value;
	return NULL;
}

/* Members mostly stand at the same place in both. Where they do not each is searched for, which is charged: two objects of
 * a payload may have their many names in opposite orders. */
static const struct sql_value *member_of(struct sql_vm *vm, const struct sql_map *m, struct sl_slice key,
					 uint32_t guess) {
	if (guess < m->n && slice_equal(m->at[guess].key, key)) return &m->at[guess].value;
	sql_vm_charge(vm, 1 + m->n / 8);
	return vm->budget ? sql_map_find(m, key, m->n) : NULL;
}

static enum sql_order compare_maps(struct sql_vm *vm, const struct sql_map *a, const struct sql_map *b) {
	if (a->n != b->n) return a->n < b->n ? SQL_LESS : SQL_GREATER;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct sql_value *other = member_of(vm, b, a->at[i].key, i);
		if (!other) return SQL_UNLIKE;
		enum sql_order o = sql_compare(vm, &a->at[i].value, other);
		if (o != SQL_EQUAL) return o == SQL_ONE_NULL ? SQL_UNLIKE : o;
	}
	return SQL_EQUAL;
}

static enum sql_order compare_boolean_word(bool b, const struct sql_value *text) {
	return order_of(slice_compare(b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false"), sql_value_text(text)));
}

static enum sql_order reversed(enum sql_order o) {
	return o == SQL_LESS ? SQL_GREATER : o == SQL_GREATER ? SQL_LESS : o;
}

/* object < array < text; 0 for everything else. */
static int shape_rank(const struct sql_value *v) {
	if (sql_is_map(v)) return 1;
	if (sql_is_list(v)) return 2;
	return sql_is_text(v) ? 3 : 0;
}

static enum sql_order compare_shapes(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b) {
	int ra = shape_rank(a), rb = shape_rank(b);
	if (ra == 0 || rb == 0) return SQL_UNLIKE;
	if (ra != rb) return ra < rb ? SQL_LESS : SQL_GREATER;
	struct sql_value x = *a, y = *b;
	/* Their text was checked when it was read: a failure here cannot be, and unlike is harmless. */
	if (sql_unfold(vm, &x) != SL_OK || sql_unfold(vm, &y) != SL_OK) return SQL_UNLIKE;
	return ra == 1 ? compare_maps(vm, x.map, y.map) : compare_lists(vm, x.list, y.list);
}

enum sql_order sql_compare(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b) {
	bool a_text = sql_is_text(a), b_text = sql_is_text(b);
	bool a_number = sql_is_number(a), b_number = sql_is_number(b);
	if (a_number && b_number) return compare_numbers(*a, *b);
	if (a_text && b_text) {
		sql_vm_charge(vm, a->n / 64);
		return order_of(slice_compare(sql_value_text(a), sql_value_text(b)));
	}
	if (a->kind == SQL_NULL || b->kind == SQL_NULL) return a->kind == b->kind ? SQL_EQUAL : SQL_ONE_NULL;
	if (a_number && b_text) {
		struct sql_value n;
		return sql_number_from_text(sql_value_text(b), &n) ? compare_numbers(*a, n) : SQL_UNLIKE;
	}
	if (a_text && b_number) return reversed(sql_compare(vm, b, a));
	if (a->kind == SQL_BOOL && b->kind == SQL_BOOL) return order_of(a->b - b->b);
	if (a->kind == SQL_BOOL && b_text) return compare_boolean_word(a->b, b);
	if (a_text && b->kind == SQL_BOOL) return reversed(compare_boolean_word(b->b, a));
	if (a->kind == SQL_JSON_NULL && b->kind == SQL_JSON_NULL) return SQL_EQUAL;
	return compare_shapes(vm, a, b);
}

static bool same_lists(struct sql_vm *vm, const struct sql_list *a, const struct sql_list *b) {
	if (a->n != b->n) return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!sql_same(vm, &a->at[i], &b->at[i])) return false;
	return true;
}

static bool same_maps(struct sql_vm *vm, const struct sql_map *a, const struct sql_map *b) {
	if (a->n != b->n) return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct sql_value *other = member_of(vm, b, a->at[i].key, i);
		if (!other || !sql_same(vm, &a->at[i].value, other)) return false;
	}
	return true;
}

bool sql_same(struct sql_vm *vm, const struct sql_value *a, const struct sql_value *b) {
	if (sql_is_text(a) && sql_is_text(b)) return slice_equal(sql_value_text(a), sql_value_text(b));
	struct sql_value x = sql_number(*a), y = sql_number(*b);
	if (sql_unfold(vm, &x) != SL_OK || sql_unfold(vm, &y) != SL_OK || x.kind != y.kind) return false;
	switch (x.kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: return true;
	case SQL_BOOL: return x.b == y.b;
	case SQL_INT: return x.i == y.i;
	case SQL_DOUBLE: return !(x.d < y.d) && !(x.d > y.d);
	case SQL_LIST: return same_lists(vm, x.list, y.list);
	case SQL_MAP: return same_maps(vm, x.map, y.map);
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: break; /* converted or answered above */
	}
	return false;
}

bool sql_same_in(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *list) {
	struct sql_value l = *list, x = *v; /* taken apart once, not for each element */
	if (sql_unfold(vm, &x) != SL_OK || sql_unfold(vm, &l) != SL_OK || l.kind != SQL_LIST) return false;
	sql_vm_charge(vm, l.list->n);
	for (uint32_t i = 0; i < l.list->n && vm->budget; i++)
		if (sql_same(vm, &x, &l.list->at[i])) return true;
	return false;
}

static size_t char_length(struct sl_slice s, size_t i) {
	size_t n = 1;
	while (i + n < s.n && ((uint8_t)s.p[i + n] & 0xc0) == 0x80) n++;
	return n;
}

/* % any run of characters, _ one character. Greedy with one point to come back to: time is at most text x pattern. */
bool sql_like(struct sl_slice text, struct sl_slice pattern) {
	size_t t = 0, p = 0, back_t = 0, back_p = SIZE_MAX;
	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '%') {
			back_p = ++p;
			back_t = t;
		} else if (p < pattern.n && pattern.p[p] == '_') {
			p++;
			t += char_length(text, t);
		} else if (p < pattern.n && pattern.p[p] == text.p[t]) {
			p++;
			t++;
		} else if (back_p != SIZE_MAX) {
			back_t += char_length(text, back_t);
			t = back_t;
			p = back_p;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '%') p++;
	return p == pattern.n;
}
