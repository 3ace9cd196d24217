/* sql_access.c: reading and replacing parts of arrays and objects; see sql_vm.h.
 *
 * Reading never fails on what is not there (NULL); text met on the way that holds JSON is read as JSON, for devices put
 * documents into strings. Arrays count from 1, negative numbers from the end. */
#include "sql_vm.h"

/* Text on the way of a path: the document it holds, or NULL. */
static struct sql_value open_text(struct sql_vm *vm, const struct sql_value *v) {
	struct sql_value out;
	if (!sql_is_text(v)) return *v;
	return sql_from_json(vm, sql_value_text(v), &out) == SL_OK ? out : sql_null();
}

static bool key_is(struct sql_vm *vm, const struct jpath_hit *hit, struct sl_slice key) {
	struct sl_slice s = hit->raw;
	if ((hit->flags & JSCAN_ESCAPED) && jscan_string(hit, &vm->arena, &s) != SL_OK) return false;
	return slice_equal(s, key);
}

static int member_of_text(struct sql_vm *vm, const struct sql_value *v, struct sl_slice key, struct sql_value *out) {
	struct jpath_hit object = {.raw = sql_value_text(v), .kind = JKIND_OBJECT}, name, value;
	struct jscan_iter it;
	*out = sql_null();
	if (jscan_begin(&it, &object) != SL_OK) return SL_OK;
	struct jpath_hit found = {.kind = JKIND_ABSENT};
	while (jscan_next(&it, &name, &value) == 1)
		if (key_is(vm, &name, key)) found = value; /* a name that occurs twice: the last counts */
	return sql_from_hit(vm, &found, out);
}

int sql_member(struct sql_vm *vm, const struct sql_value *v, struct sl_slice key, struct sql_value *out) {
	struct sql_value o = open_text(vm, v);
	if (o.kind == SQL_JSON && !o.is_array) return member_of_text(vm, &o, key, out);
	if (o.kind == SQL_MAP)
		for (uint32_t i = 0; i < o.map->n; i++)
			if (slice_equal(o.map->at[i].key, key)) {
				*out = o.map->at[i].value;
				return SL_OK;
			}
	*out = sql_null();
	return SL_OK;
}

int sql_index(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *index, struct sql_value *out) {
	struct sql_value i = sql_number(*index), l = open_text(vm, v);
	*out = sql_null();
	if (i.kind == SQL_NULL) return SL_OK;
	if (i.kind != SQL_INT)
		return sql_vm_fail(vm, SL_ETYPE, "an index must be an integer, got %s", sql_kind_name(index->kind));
	if (!sql_is_list(&l)) return SL_OK;
	int r = sql_unfold(vm, &l);
	if (r != SL_OK) return r;
	int64_t at = i.i > 0 ? i.i - 1 : i.i < 0 ? (int64_t)l.list->n + i.i : -1;
	if (at >= 0 && at < (int64_t)l.list->n) *out = l.list->at[at];
	return SL_OK;
}

int sql_slice_of(struct sql_vm *vm, const struct sql_value *v, const struct sql_value *from, const struct sql_value *to,
		 struct sql_value *out) {
	struct sql_value a = sql_number(*from), b = sql_number(*to), l = open_text(vm, v);
	if (a.kind != SQL_INT || b.kind != SQL_INT)
		return sql_vm_fail(vm, SL_ETYPE, "the ends of a range must be integers");
	if (!sql_is_list(&l))
		return sql_vm_fail(vm, SL_ETYPE, "a range needs an array, got %s", sql_kind_name(v->kind));
	if (a.i == 0 || b.i == 0) return sql_vm_fail(vm, SL_EINVAL, "arrays count from 1; a range cannot hold 0");
	int r = sql_unfold(vm, &l);
	if (r != SL_OK) return r;
	int64_t n = l.list->n;
	int64_t first = a.i > 0 ? a.i - 1 : n + a.i, last = b.i > 0 ? b.i - 1 : n + b.i;
	if (first > last + 1 || (first > last && n > 0 && last >= 0 && first < n))
		return sql_vm_fail(vm, SL_EINVAL, "the range ends before it begins");
	if (first < 0) first = 0;
	if (last >= n) last = n - 1;
	uint32_t count = first <= last ? (uint32_t)(last - first + 1) : 0;
	struct sql_list *part = SL_ARENA_NEW(&vm->arena, struct sql_list);
	*part = (struct sql_list){.n = count, .at = count ? l.list->at + first : l.list->at};
	*out = (struct sql_value){.kind = SQL_LIST, .list = part};
	return SL_OK;
}

int sql_range(struct sql_vm *vm, const struct sql_value *from, const struct sql_value *to, struct sql_value *out) {
	struct sql_value a = sql_number(*from), b = sql_number(*to);
	if (a.kind != SQL_INT || b.kind != SQL_INT)
		return sql_vm_fail(vm, SL_ETYPE, "the ends of a range must be integers");
	int64_t n;
	if (__builtin_sub_overflow(b.i, a.i, &n) || n < -1)
		return sql_vm_fail(vm, SL_EINVAL, "the range ends before it begins");
	if (n >= 65536) return sql_vm_fail(vm, SL_ELIMIT, "a range holds at most 65536 integers");
	int r = sql_vm_made(vm, (size_t)(n + 1) * sizeof a);
	if (r != SL_OK) return r;
	struct sql_list *l = sql_list_new(&vm->arena, (uint32_t)(n + 1));
	for (uint32_t i = 0; i < l->n; i++) l->at[i] = sql_int(a.i + i);
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return SL_OK;
}

static int put_at(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
		  const struct sql_value *value, struct sql_value *out);

static int put_rest(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
		    const struct sql_value *value, struct sql_value *out) {
	if (step->next) return put_at(vm, v, step->next, value, out);
	*out = *value;
	return SL_OK;
}

static int put_member(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
		      const struct sql_value *value, struct sql_value *out) {
	struct sql_value base = step->closed ? *v : open_text(vm, v);
	int r = sql_is_map(&base) ? sql_unfold(vm, &base) : SL_OK;
	if (r != SL_OK) return r;
	uint32_t n = base.kind == SQL_MAP ? base.map->n : 0, i = 0;
	if ((r = sql_vm_made(vm, n * sizeof(struct sql_map_member))) != SL_OK) return r;
	struct sql_map *m = SL_ARENA_NEW(&vm->arena, struct sql_map);
	m->at = SL_ARENA_ARRAY(&vm->arena, struct sql_map_member, n + 1);
	if (n) memcpy(m->at, base.map->at, n * sizeof *m->at);
	while (i < n && !slice_equal(m->at[i].key, step->key)) i++;
	struct sql_value old = i < n ? m->at[i].value : sql_null();
	m->at[i].key = step->key;
	m->n = i < n ? n : n + 1;
	*out = (struct sql_value){.kind = SQL_MAP, .map = m};
	return put_rest(vm, &old, step, value, &m->at[i].value);
}

static int put_element(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
		       const struct sql_value *value, struct sql_value *out) {
	struct sql_value base = step->closed ? *v : open_text(vm, v), none = sql_null();
	bool is_list = sql_is_list(&base);
	int r = is_list ? sql_unfold(vm, &base) : SL_OK;
	if (r != SL_OK) return r;
	uint32_t n = is_list ? base.list->n : 0;
	bool insert = !is_list || step->append || step->index == 0;
	int64_t at = !is_list || (step->index == 0 && !step->append) ? 0
		     : step->append                                  ? n
		     : step->index > 0                               ? step->index - 1
								     : (int64_t)n + step->index;
	if (!insert && (at < 0 || at >= n)) { /* outside: the array stays as it is */
		*out = base;
		return SL_OK;
	}
	if ((r = sql_vm_made(vm, n * sizeof *v)) != SL_OK) return r;
	struct sql_list *l = sql_list_new(&vm->arena, insert ? n + 1 : n);
	if (n) {
		memcpy(l->at, base.list->at, (size_t)at * sizeof *l->at);
		memcpy(l->at + at + insert, base.list->at + at, (n - (size_t)at) * sizeof *l->at);
	}
	struct sql_value old = insert ? none : l->at[at];
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return put_rest(vm, &old, step, value, &l->at[at]);
}

static int put_at(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
		  const struct sql_value *value, struct sql_value *out) {
	return step->is_index ? put_element(vm, v, step, value, out) : put_member(vm, v, step, value, out);
}

/* Takes the weight of v off `left`. An array may hold one value many times over, which costs nothing until somebody walks
 * or writes it: 40 columns of four times the last one each would be four to the 40th. */
static int weigh(const struct sql_value *v, unsigned levels, size_t *left) {
	bool is_list = v->kind == SQL_LIST, is_map = v->kind == SQL_MAP;
	size_t weight = sizeof *v + (sql_has_bytes(v) ? v->n : 0);
	if ((is_list || is_map) && levels == 0) return SL_EMALFORMED;
	if (weight > *left) return SL_ELIMIT;
	*left -= weight;
	uint32_t n = is_list ? v->list->n : is_map ? v->map->n : 0;
	for (uint32_t i = 0; i < n; i++) {
		int r = weigh(is_list ? &v->list->at[i] : &v->map->at[i].value, levels - 1, left);
		if (r != SL_OK) return r;
		if (is_map && v->map->at[i].key.n > *left) return SL_ELIMIT;
		*left -= is_map ? v->map->at[i].key.n : 0;
	}
	return SL_OK;
}

int sql_check_size(struct sql_vm *vm, const struct sql_value *v) {
	size_t left = SQL_TEXT_MAX;
	int r = weigh(v, SQL_VALUE_DEPTH_MAX, &left);
	sql_vm_charge(vm, (SQL_TEXT_MAX - left) / 64);
	if (vm->budget == 0) return sql_vm_exhausted(vm);
	if (r == SL_OK) return SL_OK;
	if (r == SL_ELIMIT)
		return sql_vm_fail(vm, SL_ELIMIT, "the array or object would exceed %d MB", SQL_TEXT_MAX >> 20);
	return sql_vm_fail(vm, SL_ELIMIT, "arrays and objects would stand more than %d deep inside each other",
			   SQL_VALUE_DEPTH_MAX);
}

int sql_put(struct sql_vm *vm, const struct sql_value *v, const struct sql_target_step *step,
	    const struct sql_value *value, struct sql_value *out) {
	int r = put_at(vm, v, step, value, out);
	return r == SL_OK ? sql_check_size(vm, out) : r;
}

int sql_walk(struct sql_vm *vm, const struct jpath *path, struct sql_value *out) {
	struct sql_value v;
	if (sql_from_json(vm, vm->in->payload, &v) != SL_OK) return sql_vm_fail_payload(vm);
	int r = SL_OK;
	for (uint16_t i = 0; r == SL_OK && i < path->n && v.kind != SQL_NULL; i++) {
		const struct jpath_step *s = &path->steps[i];
		struct sql_value index = sql_int((int64_t)s->index + 1), next;
		r = s->is_index ? sql_index(vm, &v, &index, &next) : sql_member(vm, &v, s->key, &next);
		v = next;
	}
	*out = v;
	return r;
}
