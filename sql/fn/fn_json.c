/* fn_json.c: JSON text in and out. */
#include "sql_vm.h"

static int fn_json_encode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	sl_buf_clear(&c->vm->scratch);
	sql_value_json(a, &c->vm->scratch);
	return sql_call_text(c, &c->vm->scratch, out);
}

static int fn_json_decode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	if (sql_from_json(c->vm, sql_value_text(a), out) == SL_OK) return SL_OK;
	return sql_call_fail(c, "the text is not JSON");
}

static const struct sql_fn table[] = {
    {.name = "json_encode",
     .args = "a",
     .call = fn_json_encode,
     .usage = "json_encode(value)",
     .doc = "The value as JSON text.",
     .example = "json_encode([1, 'a'])",
     .gives = "\"[1,\\\"a\\\"]\""},
    {.name = "json_decode",
     .args = "s",
     .call = fn_json_decode,
     .usage = "json_decode(text)",
     .doc = "The value that JSON text spells.",
     .errors = "when it is not JSON",
     .example = "json_decode('{\"a\":1}').a",
     .gives = "1"},
};
const struct sql_fn_family sql_fn_json = {"JSON", table, SL_ARRAY_LEN(table), SQL_STANDARD};
