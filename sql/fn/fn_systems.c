/* fn_systems.c: for other systems: their argument lists, and what surrounds the broker. */
#include <stdlib.h>

#include "sql_vm.h"

/* ---- Redis ---- */

/* As the fields of a hash are written: text as it is, floats with six decimals, no other kinds. */
static bool field_text(struct sql_call *c, struct sql_value v, struct sql_value *out) {
	v = sql_number(v);
	if (sql_is_list(&v) || sql_is_map(&v) || v.kind == SQL_NULL || v.kind == SQL_JSON_NULL) return false;
	if (v.kind == SQL_DOUBLE && __builtin_isfinite(v.d))
		*out = sql_string(sl_arena_printf(c->arena, "%.6f", v.d));
	else
		*out = sql_is_text(&v) ? v : sql_string(sql_text(c->vm, &v));
	return true;
}

static int fn_hset_args(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sql_value m = a[0];
	if (sql_is_text(&m) && sql_from_json(c->vm, sql_value_text(&a[0]), &m) != SL_OK) m = sql_null();
	int r = sql_is_map(&m) ? sql_unfold(c->vm, &m) : SL_OK;
	uint32_t count = m.kind == SQL_MAP ? m.map->n : 0;
	if (r == SL_OK) r = sql_vm_made(c->vm, (2 * (size_t)count + 1) * sizeof m);
	if (r != SL_OK) return r;
	struct sql_list *l = sql_call_list(c, 2 * count + 1);
	l->n = 0;
	l->at[l->n++] = sql_string(slice_from_str(c->fn->name));
	for (uint32_t i = 0; i < count; i++) {
		struct sql_value text;
		if (!field_text(c, m.map->at[i].value, &text)) continue;
		l->at[l->n++] = sql_string(m.map->at[i].key);
		l->at[l->n++] = text;
	}
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return SL_OK;
}

/* ---- environment ---- */

/* Only variables that are meant for rules: a rule's author is not shown the broker's secrets. */
static int fn_getenv(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	static const char *const prefixes[] = {"SLUICEVAR_", "EMQXVAR_"};
	enum { NAME_MAX_BYTES = 256 };
	struct sl_slice name = sql_value_text(a);
	const char *value = NULL;
	if (name.n > NAME_MAX_BYTES || slice_find_byte(name, '\0') >= 0 || slice_find_byte(name, '=') >= 0)
		return sql_call_fail(c, "this is no name of a variable");
	for (size_t i = 0; !value && i < SL_ARRAY_LEN(prefixes); i++) {
		struct sl_slice full = sl_arena_printf(c->arena, "%s%.*s", prefixes[i], SL_SLICE_ARG(name));
		value = getenv(sl_arena_strdup(c->arena, full));
	}
	*out = sql_call_bytes(slice_from_str(value ? value : ""));
	return SL_OK;
}

/* ---- subscriptions ---- */

/* In EMQX these read the broker's own lists of filters, which no event of ours carries; for JSON they are never true. */
static int fn_contains_topic(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)a, (void)c, (void)n;
	*out = sql_bool(false);
	return SL_OK;
}

static const struct sql_fn table[] = {
    {.name = "map_to_redis_hset_args",
     .args = "a",
     .call = fn_hset_args,
     .usage = "map_to_redis_hset_args(object)",
     .doc =
	 "The arguments of Redis's HSET for an object, behind the function's name: field, value, field, value. Arrays, "
	 "objects and nulls are left out, floats have six decimals.",
     .example = "map_to_redis_hset_args('{\"t\":21.5,\"s\":\"on\",\"l\":[]}')",
     .gives = "[\"map_to_redis_hset_args\",\"t\",\"21.500000\",\"s\",\"on\"]"},
    {.name = "getenv",
     .args = "s",
     .call = fn_getenv,
     .usage = "getenv(name)",
     .doc =
	 "The environment variable SLUICEVAR_name, or EMQXVAR_name, as it was when the broker started; empty text when "
	 "neither is set.",
     .errors = "for what is no name of a variable",
     .example = "getenv('SITE')",
     .gives = "\"\""},
    {.name = "contains_topic",
     .args = "as?i",
     .call = fn_contains_topic,
     .usage = "contains_topic(filters, topic [, qos])",
     .doc = "For rules that have it: false, as no event carries a broker's list of filters. Use IN or contains().",
     .example = "contains_topic([], 'a')",
     .gives = "false"},
    {.name = "contains_topic_match",
     .args = "as?i",
     .call = fn_contains_topic,
     .usage = "contains_topic_match(filters, topic [, qos])",
     .doc = "The same. Use topic =~ 'a/+'.",
     .example = "contains_topic_match([], 'a')",
     .gives = "false"},
};
const struct sql_fn_family sql_fn_systems = {"Other systems", table, SL_ARRAY_LEN(table), SQL_STANDARD};
