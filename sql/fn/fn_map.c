/* fn_map.c: objects. Where one is wanted, text that holds one in JSON will do. */
#include "sql_vm.h"

static struct sl_slice next_key(struct sl_slice *rest) { return slice_next_part(rest, '.'); }

static int get(struct sql_call *c, struct sql_value v, struct sl_slice path, bool dotted, const struct sql_value * or,
	       struct sql_value *out) {
	struct sl_slice rest = path.p ? path : slice_make("", 0);
	int r = SL_OK;
	while (r == SL_OK && rest.p) {
		struct sl_slice key = dotted ? next_key(&rest) : rest;
		if (!dotted) rest = SL_SLICE_EMPTY;
		struct sql_value next;
		r = sql_member(c->vm, &v, key, &next);
		v = next;
	}
	*out = v.kind == SQL_NULL && or ? * or : v;
	return r;
}

static int fn_map_get(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return get(c, a[1], sql_value_text(&a[0]), true, n == 3 ? &a[2] : NULL, out);
}
static int fn_mget(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return get(c, a[1], sql_value_text(&a[0]), false, n == 3 ? &a[2] : NULL, out);
}

static int put(struct sql_call *c, const struct sql_value *a, bool dotted, struct sql_value *out) {
	struct sl_slice rest = a[0].p ? sql_value_text(&a[0]) : slice_make("", 0);
	struct sql_target_step first = {.next = NULL}, *at = &first;
	for (unsigned depth = 0; rest.p; depth++) {
		if (depth == 64) return sql_call_fail(c, "the path has more than 64 steps");
		if (depth) at = at->next = SL_ARENA_NEW(c->arena, struct sql_target_step);
		at->key = dotted ? next_key(&rest) : rest;
		if (!dotted) rest = SL_SLICE_EMPTY;
	}
	return sql_put(c->vm, &a[2], &first, &a[1], out);
}
static int fn_map_put(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return put(c, a, true, out);
}
static int fn_mput(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return put(c, a, false, out);
}

static int fn_map_new(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)a, (void)n;
	*out = (struct sql_value){.kind = SQL_MAP, .map = SL_ARENA_NEW(c->arena, struct sql_map)};
	return SL_OK;
}

static int fn_map_size(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int(a[0].map->n);
	return SL_OK;
}

enum part { KEYS, VALUES, ENTRIES };

/* In the order of the keys, so that a result does not hang on how a device wrote its object. */
static int parts(struct sql_call *c, const struct sql_map *m, enum part part, struct sql_value *out) {
	struct sql_list *l = sql_call_list(c, m->n);
	uint32_t *order = SL_ARENA_ARRAY(c->arena, uint32_t, (size_t)m->n + 1);
	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t j = i;
		for (; j > 0 && m->n <= 32 && slice_compare(m->at[order[j - 1]].key, m->at[i].key) > 0; j--)
			order[j] = order[j - 1];
		order[j] = i;
	}
	for (uint32_t i = 0; i < m->n; i++) {
		const struct sql_map_member *from = &m->at[order[i]];
		if (part == KEYS) l->at[i] = sql_string(from->key);
		if (part == VALUES) l->at[i] = from->value;
		if (part != ENTRIES) continue;
		struct sql_map *e = SL_ARENA_NEW(c->arena, struct sql_map);
		e->n = 2;
		e->at = SL_ARENA_ARRAY(c->arena, struct sql_map_member, 2);
		e->at[0] = (struct sql_map_member){SL_SLICE_LIT("key"), sql_string(from->key)};
		e->at[1] = (struct sql_map_member){SL_SLICE_LIT("value"), from->value};
		l->at[i] = (struct sql_value){.kind = SQL_MAP, .map = e};
	}
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return SL_OK;
}
static int fn_map_keys(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return parts(c, a[0].map, KEYS, out);
}
static int fn_map_values(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return parts(c, a[0].map, VALUES, out);
}
static int fn_map_to_entries(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return parts(c, a[0].map, ENTRIES, out);
}

static const struct sql_fn table[] = {
    {.name = "map_new",
     .args = "",
     .call = fn_map_new,
     .usage = "map_new()",
     .doc = "An empty object.",
     .example = "map_new()",
     .gives = "{}"},
    {.name = "map_get",
     .args = "sa?a",
     .call = fn_map_get,
     .usage = "map_get(path, object [, default])",
     .doc = "What stands at a dotted path; the default when nothing does.",
     .example = "map_get('b.c', '{\"b\":{\"c\":2}}')",
     .gives = "2"},
    {.name = "mget",
     .args = "sm?a",
     .call = fn_mget,
     .usage = "mget(key, object [, default])",
     .doc = "The member of that name; dots are part of it.",
     .example = "mget('a.b', '{\"a.b\":2}')",
     .gives = "2"},
    {.name = "map_put",
     .args = "saa",
     .call = fn_map_put,
     .usage = "map_put(path, value, object)",
     .doc = "The object with the value at a dotted path; what is missing on the way is made.",
     .errors = "for paths of more than 64 steps",
     .example = "map_put('x.y', 1, map_new())",
     .gives = "{\"x\":{\"y\":1}}"},
    {.name = "mput",
     .args = "sam",
     .call = fn_mput,
     .usage = "mput(key, value, object)",
     .doc = "The object with a member of that name set; dots are part of it.",
     .example = "mput('a', 1, '{\"b\":2}')",
     .gives = "{\"b\":2,\"a\":1}"},
    {.name = "map_size",
     .args = "m",
     .call = fn_map_size,
     .usage = "map_size(object)",
     .doc = "How many members it has.",
     .example = "map_size('{\"a\":1}')",
     .gives = "1"},
    {.name = "map_keys",
     .args = "m",
     .call = fn_map_keys,
     .usage = "map_keys(object)",
     .doc = "The names of its members; up to 32 of them sorted.",
     .example = "map_keys('{\"b\":1,\"a\":2}')",
     .gives = "[\"a\",\"b\"]"},
    {.name = "map_values",
     .args = "m",
     .call = fn_map_values,
     .usage = "map_values(object)",
     .doc = "The values of its members, in the order of map_keys().",
     .example = "map_values('{\"b\":1,\"a\":2}')",
     .gives = "[2,1]"},
    {.name = "map_to_entries",
     .args = "m",
     .call = fn_map_to_entries,
     .usage = "map_to_entries(object)",
     .doc = "Its members as objects with key and value, for FOREACH.",
     .example = "map_to_entries('{\"k\":\"v\"}')",
     .gives = "[{\"key\":\"k\",\"value\":\"v\"}]"},
};
const struct sql_fn_family sql_fn_map = {"Objects", table, SL_ARRAY_LEN(table), SQL_STANDARD};
