/* fn_codec.c: bytes as hexadecimal digits and as base64, and back. */
#include "sql_base64.h"
#include "sql_vm.h"

static int to_hex(struct sql_call *c, struct sl_slice bytes, struct sl_slice prefix, struct sql_value *out) {
	static const char digits[] = "0123456789ABCDEF";
	char *p = sl_arena_alloc(c->arena, prefix.n + bytes.n * 2 + 1);
	if (prefix.n) memcpy(p, prefix.p, prefix.n);
	for (size_t i = 0; i < bytes.n; i++) {
		p[prefix.n + 2 * i] = digits[(uint8_t)bytes.p[i] >> 4];
		p[prefix.n + 2 * i + 1] = digits[(uint8_t)bytes.p[i] & 15];
	}
	*out = sql_string(slice_make(p, prefix.n + bytes.n * 2));
	return SL_OK;
}
static int fn_bin2hexstr(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return to_hex(c, sql_value_text(&a[0]), n == 2 ? sql_value_text(&a[1]) : SL_SLICE_EMPTY, out);
}
static int fn_sqlserver(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return to_hex(c, sql_value_text(&a[0]), SL_SLICE_LIT("0x"), out);
}

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int fn_hexstr2bin(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]);
	if (n == 2) {
		struct sl_slice prefix = sql_value_text(&a[1]);
		if (!slice_starts_with(s, prefix))
			return sql_call_fail(c, "the text does not begin with '%.*s'", SL_SLICE_ARG(prefix));
		s = slice_from(s, prefix.n);
	}
	size_t odd = s.n % 2, len = (s.n + odd) / 2;
	uint8_t *p = sl_arena_zalloc(c->arena, len + 1);
	for (size_t i = 0; i < s.n; i++) {
		int d = hex_digit(s.p[i]);
		if (d < 0) return sql_call_fail(c, "'%c' is no hexadecimal digit", s.p[i]);
		p[(i + odd) / 2] = (uint8_t)(p[(i + odd) / 2] << 4 | d);
	}
	*out = sql_call_bytes(slice_make(p, len));
	return SL_OK;
}

static unsigned base64_flags(const struct sql_value *a, uint32_t n) {
	unsigned flags = 0;
	for (uint32_t i = 1; i < n; i++) {
		if (slice_equal_str(sql_value_text(&a[i]), "urlsafe")) flags |= SQL_BASE64_URLSAFE;
		if (slice_equal_str(sql_value_text(&a[i]), "no_padding")) flags |= SQL_BASE64_NO_PADDING;
	}
	return flags;
}
static int fn_base64_encode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	sl_buf_clear(&c->vm->scratch);
	sql_base64_encode(sql_value_text(&a[0]), base64_flags(a, n), &c->vm->scratch);
	return sql_call_text(c, &c->vm->scratch, out);
}
static int fn_base64_decode(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	sl_buf_clear(&c->vm->scratch);
	if (sql_base64_decode(sql_value_text(&a[0]), base64_flags(a, n), &c->vm->scratch) != SL_OK)
		return sql_call_fail(c, "the text is not base64");
	*out = sql_call_bytes(sl_arena_dup(c->arena, sl_buf_slice(&c->vm->scratch)));
	return SL_OK;
}

static const struct sql_fn table[] = {
    {.name = "bin2hexstr",
     .args = "s?s",
     .call = fn_bin2hexstr,
     .usage = "bin2hexstr(bytes [, prefix])",
     .doc = "Two capital hexadecimal digits a byte.",
     .example = "bin2hexstr('az', '0x')",
     .gives = "\"0x617A\""},
    {.name = "sqlserver_bin2hexstr",
     .args = "s",
     .call = fn_sqlserver,
     .usage = "sqlserver_bin2hexstr(bytes)",
     .doc = "The same with 0x in front.",
     .example = "sqlserver_bin2hexstr('a')",
     .gives = "\"0x61\""},
    {.name = "hexstr2bin",
     .args = "s?s",
     .call = fn_hexstr2bin,
     .usage = "hexstr2bin(digits [, prefix])",
     .doc = "The bytes that hexadecimal digits spell; an odd one at the front counts alone.",
     .errors = "for another character or when the prefix is missing",
     .example = "hexstr2bin('4A4b')",
     .gives = "\"JK\""},
    {.name = "base64_encode",
     .args = "s?ss",
     .call = fn_base64_encode,
     .usage = "base64_encode(bytes [, 'urlsafe'] [, 'no_padding'])",
     .doc = "The bytes in base64.",
     .example = "base64_encode('a')",
     .gives = "\"YQ==\""},
    {.name = "base64_decode",
     .args = "s?ss",
     .call = fn_base64_decode,
     .usage = "base64_decode(text [, 'urlsafe'] [, 'no_padding'])",
     .doc = "The bytes that base64 spells.",
     .errors = "when it is not base64, or the padding is not as said",
     .example = "base64_decode('YQ==')",
     .gives = "\"a\""},
};
const struct sql_fn_family sql_fn_codec = {"Encodings", table, SL_ARRAY_LEN(table), SQL_STANDARD};
