/* fn_zip.c: deflate in its three wrappings, and back. */
#include "sql_deflate.h"
#include "sql_vm.h"

static int pack(struct sql_call *c, const struct sql_value *a, enum sql_wrapping w, struct sql_value *out) {
	struct sl_buf *b = &c->vm->scratch;
	struct sl_slice bytes = sql_value_text(a);
	sl_buf_clear(b);
	sql_vm_charge(c->vm, 4096 + bytes.n); /* dearer than a step by far: FOREACH shall see its end */
	if (sql_deflate(c->arena, w, bytes, SQL_TEXT_MAX, b) != SL_OK)
		return sql_call_fail(c, "the result would exceed %d MB", SQL_TEXT_MAX >> 20);
	int r = sql_call_text(c, b, out);
	if (r == SL_OK) *out = sql_call_bytes(sql_value_text(out));
	return r;
}

static int unpack(struct sql_call *c, const struct sql_value *a, enum sql_wrapping w, const char *format,
		  struct sql_value *out) {
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	int r = sql_inflate(c->arena, w, sql_value_text(a), SQL_TEXT_MAX, b);
	sql_vm_charge(c->vm, 256 + b->n / 16);
	if (r == SL_ELIMIT) return sql_call_fail(c, "the result would exceed %d MB", SQL_TEXT_MAX >> 20);
	if (r != SL_OK) return sql_call_fail(c, "the bytes are not %s, or break off", format);
	r = sql_call_text(c, b, out);
	if (r == SL_OK) *out = sql_call_bytes(sql_value_text(out));
	return r;
}

static int fn_zip(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return pack(c, a, SQL_DEFLATE_RAW, out);
}
static int fn_gzip(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return pack(c, a, SQL_DEFLATE_GZIP, out);
}
static int fn_zip_compress(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return pack(c, a, SQL_DEFLATE_ZLIB, out);
}
static int fn_unzip(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return unpack(c, a, SQL_DEFLATE_RAW, "raw deflate data", out);
}
static int fn_gunzip(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return unpack(c, a, SQL_DEFLATE_GZIP, "gzip data", out);
}
static int fn_zip_uncompress(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return unpack(c, a, SQL_DEFLATE_ZLIB, "zlib data", out);
}

#define TOO_LARGE "when the result exceeds 16 MB"
#define NOT_THIS "for other or broken data, and " TOO_LARGE

static const struct sql_fn table[] = {
    {.name = "zip",
     .args = "s",
     .call = fn_zip,
     .usage = "zip(bytes)",
     .doc = "The bytes as raw deflate data.",
     .errors = TOO_LARGE,
     .example = "unzip(zip('abc'))",
     .gives = "\"abc\""},
    {.name = "unzip",
     .args = "s",
     .call = fn_unzip,
     .usage = "unzip(bytes)",
     .doc = "What raw deflate data holds.",
     .errors = NOT_THIS,
     .example = "unzip(hexstr2bin('4B4C840000'))",
     .gives = "\"aaaaaaaa\""},
    {.name = "gzip",
     .args = "s",
     .call = fn_gzip,
     .usage = "gzip(bytes)",
     .doc = "The bytes in gzip's format.",
     .errors = TOO_LARGE,
     .example = "gunzip(gzip('abc'))",
     .gives = "\"abc\""},
    {.name = "gunzip",
     .args = "s",
     .call = fn_gunzip,
     .usage = "gunzip(bytes)",
     .doc = "What gzip data holds.",
     .errors = NOT_THIS,
     .example = "gunzip(base64_decode('H4sIAAAAAAACA6tWKlGyMjKsBQChahi3CAAAAA=='))",
     .gives = "\"{\\\"t\\\":21}\""},
    {.name = "zip_compress",
     .args = "s",
     .call = fn_zip_compress,
     .usage = "zip_compress(bytes)",
     .doc = "The bytes in zlib's format.",
     .errors = TOO_LARGE,
     .example = "subbits(zip_compress('a'), 1, 8)",
     .gives = "120"},
    {.name = "zip_uncompress",
     .args = "s",
     .call = fn_zip_uncompress,
     .usage = "zip_uncompress(bytes)",
     .doc = "What zlib data holds.",
     .errors = NOT_THIS,
     .example = "zip_uncompress(zip_compress('abc'))",
     .gives = "\"abc\""},
};
const struct sql_fn_family sql_fn_zip = {"Compression", table, SL_ARRAY_LEN(table), SQL_STANDARD};
