/* fn_term.c: values in Erlang's external term format. */
#include "sql_term.h"

static int fn_term_encode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sl_buf b = SL_BUF_INIT; /* names of members are written by way of the vm's own */
	int r = sql_term_encode(c->vm, a, &b);
	if (r == SL_OK) r = sql_call_text(c, &b, out);
	if (r == SL_OK) *out = sql_call_bytes(sql_value_text(out));
	sl_buf_fini(&b);
	if (r != SL_OK) sl_err_prefix(&c->vm->err, "term_encode()");
	return r;
}

static int fn_term_decode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	int r = sql_term_decode(c->vm, sql_value_text(a), out);
	if (r != SL_OK) sl_err_prefix(&c->vm->err, "term_decode()");
	return r;
}

static const struct sql_fn table[] = {
    {.name = "term_encode",
     .args = "a",
     .call = fn_term_encode,
     .usage = "term_encode(value)",
     .doc = "The value in Erlang's external term format, objects with binary names.",
     .errors = "when the result exceeds 16 MB, or a number does not fit",
     .example = "bin2hexstr(term_encode([1, 'a']))",
     .gives = "\"836C0000000261016D00000001616A\""},
    {.name = "term_decode",
     .args = "s",
     .call = fn_term_decode,
     .usage = "term_decode(bytes)",
     .doc = "The value that such bytes hold; atoms other than true, false, null and undefined as text.",
     .errors = "for other bytes, and for what JSON has no form for, such as tuples",
     .example = "term_decode(hexstr2bin('8374000000016D00000001616106'))",
     .gives = "{\"a\":6}"},
};
const struct sql_fn_family sql_fn_term = {"Erlang terms", table, SL_ARRAY_LEN(table), SQL_STANDARD};
