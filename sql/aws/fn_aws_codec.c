/* fn_aws_codec.c: base64 in the aws dialect, and identifiers. */
#include "aws_fn.h"
#include "sql_base64.h"

static bool is_base64(const struct sql_value *mode) {
	return mode->kind == SQL_STRING && slice_equal_nocase(sql_value_text(mode), SL_SLICE_LIT("base64"));
}

static int fn_encode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = SL_SLICE_EMPTY;
	if (n != 2 || !is_base64(&a[1])) return aws_undefined(out);
	int r = aws_texts(c, a, 1, 1, &s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	sl_buf_clear(&c->vm->scratch);
	sql_base64_encode(s, 0, &c->vm->scratch);
	return sql_call_text(c, &c->vm->scratch, out);
}

static int fn_decode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = SL_SLICE_EMPTY;
	if (n != 2 || !is_base64(&a[1])) return aws_undefined(out);
	int r = aws_texts(c, a, 1, 1, &s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	if (sql_base64_decode(s, 0, b) != SL_OK) {
		sl_buf_clear(b); /* padding may be left out, as Java's decoder has it */
		if (sql_base64_decode(s, SQL_BASE64_NO_PADDING, b) != SL_OK) {
			*out = (struct sql_value){.kind = SQL_JSON_NULL};
			return SL_OK;
		}
	}
	if ((r = sql_vm_made(c->vm, b->n)) != SL_OK) return r;
	struct sl_slice bytes = sl_arena_dup(c->arena, sl_buf_slice(b));
	r = sql_from_json(c->vm, bytes, out);
	if (r == SL_EMALFORMED) *out = sql_call_bytes(bytes);
	return r == SL_EMALFORMED ? SL_OK : r;
}

static int fn_newuuid(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)a;
	if (n) return aws_undefined(out);
	*out = sql_call_uuid(c, true);
	return SL_OK;
}

static const struct sql_fn table[] = {
    AWS_ROW("encode", "aa", fn_encode, "encode(value or *, 'base64')",
	    "The text of the value, or the bytes of the payload, in base64.",
	    "when the value is Null or Undefined, or for another encoding", "encode('red', 'base64')", "\"cmVk\""),
    AWS_ROW("decode", "aa", fn_decode, "decode(text, 'base64')",
	    "What base64 spells: a value when that is JSON, else text. Null when the text is not base64.",
	    "when the text is Null or Undefined, or for another encoding", "decode('WzEsMiwzXQ==', 'base64')",
	    "[1,2,3]"),
    {.name = "newuuid",
     .args = "?a",
     .varies = true,
     .call = fn_newuuid,
     .usage = "newuuid()",
     .doc = "A random UUID.",
     .example = "length(newuuid())",
     .gives = "36"},
};
const struct sql_fn_family aws_fn_codec = {"Encodings and identifiers", table, SL_ARRAY_LEN(table), SQL_AWS};
