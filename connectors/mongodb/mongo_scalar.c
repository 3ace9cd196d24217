/* mongo_scalar.c: one value that is no object and no list, as the type that is named for its field, or as what it is.
 * A value that would lose something is refused. */
#include <bson/bson.h>
#include <inttypes.h>
#include <math.h>

#include "conv.h"
#include "exact.h"
#include "mongo_bson.h"
#include "sql_base64.h"
#include "sql_rfc3339.h"
#include "utf8.h"

enum { BSON_D128 = 19, BSON_STAMP = 17, SUBTYPE_PLAIN = 0, SUBTYPE_UUID = 4 };

static int no_loss(struct mongo_encoder *e, struct sl_slice key, enum mongo_type type, const char *what) {
	return mongo_fail(e, SL_ETYPE, key, "%s cannot be stored as %s", what, mongo_type_name(type));
}

static const char *what_it_is(const struct sql_value *v) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: return "null";
	case SQL_BOOL: return "a boolean";
	case SQL_INT:
	case SQL_DOUBLE:
	case SQL_NUMBER_TEXT: return "this number";
	case SQL_STRING: return "this text";
	case SQL_BYTES: return "bytes";
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: return "an object";
	}
	return "this value";
}

/* ---- Numbers. ------------------------------------------------------------------------------------------------------- */

static bool is_number_text(struct sl_slice s) {
	struct jpath_hit hit;
	return s.n > 0 && s.p[0] != ' ' && jscan_value(s, &hit) == SL_OK && hit.raw.n == s.n &&
	       (hit.kind == JKIND_INT || hit.kind == JKIND_DOUBLE);
}

static bool to_i64(const struct sql_value *v, int64_t *out) {
	double d = 0;
	switch (v->kind) {
	case SQL_INT: *out = v->i; return true;
	case SQL_DOUBLE: d = v->d; break;
	case SQL_NUMBER_TEXT:
	case SQL_STRING:
		if (slice_to_i64(sql_value_text(v), out) == SL_OK) return true;
		if (!is_number_text(sql_value_text(v)) || slice_to_double(sql_value_text(v), &d) != SL_OK) return false;
		break;
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: return false;
	}
	/* 21.0 is 21; beyond 2^53 a fraction may have been rounded away. */
	if (!(fabs(d) <= 9007199254740992.0) || d != trunc(d)) return false;
	*out = (int64_t)d;
	return true;
}

/* What Extended JSON writes as text, for JSON has no number for it. */
static bool is_special(struct sl_slice text, double *out) {
	bool minus = text.n > 0 && text.p[0] == '-';
	if (slice_equal(text, SL_SLICE_LIT("NaN")))
		*out = (double)NAN;
	else if (slice_equal(slice_from(text, minus), SL_SLICE_LIT("Infinity")))
		*out = minus ? -(double)INFINITY : (double)INFINITY;
	else
		return false;
	return true;
}

static bool text_to_double(struct sl_slice text, double *out) {
	if (is_special(text, out)) return true;
	return is_number_text(text) && slice_to_double(text, out) == SL_OK &&
	       (!exact_is_whole(text) || exact_in_double(text, *out));
}

static bool to_double(const struct sql_value *v, double *out) {
	switch (v->kind) {
	case SQL_INT:
		*out = (double)v->i;
		return v->i >= -INT64_C(9007199254740992) && v->i <= INT64_C(9007199254740992);
	case SQL_DOUBLE: *out = v->d; return true;
	case SQL_NUMBER_TEXT:
	case SQL_STRING: return text_to_double(sql_value_text(v), out);
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return false;
}

static void put_decimal_bits(struct mongo_encoder *e, struct sl_slice key, uint64_t high, uint64_t low) {
	char *p = sl_buf_add(e->out, key.n + 2 + 16);
	p[0] = BSON_D128;
	if (key.n) memcpy(p + 1, key.p, key.n);
	p[key.n + 1] = '\0';
	p += key.n + 2;
	for (int i = 0; i < 8; i++) {
		p[i] = (char)(low >> (8 * i));
		p[8 + i] = (char)(high >> (8 * i));
	}
}

static int put_decimal(struct mongo_encoder *e, struct sl_slice key, struct sl_slice text) {
	bson_decimal128_t d;
	if (text.n > 6200 || !bson_decimal128_from_string_w_len(text.p, (int)text.n, &d))
		return mongo_fail(e, SL_ELIMIT, key,
				  "the number has more than the 34 digits of a decimal128, or is beyond its range");
	put_decimal_bits(e, key, d.high, d.low);
	return SL_OK;
}

/* Not by libbson, which looks for the end of these texts at a zero byte, whatever length it is told. */
static int put_decimal_special(struct mongo_encoder *e, struct sl_slice key, double d) {
	uint64_t infinity = UINT64_C(0x7800000000000000), nan = UINT64_C(0x7c00000000000000);
	put_decimal_bits(e, key, isnan(d) ? nan : infinity | (uint64_t)(d < 0) << 63, 0);
	return SL_OK;
}

static int to_decimal(struct mongo_encoder *e, struct sl_slice key, const struct sql_value *v) {
	char text[SL_FORMAT_DOUBLE_MAX];
	double special;
	switch (v->kind) {
	case SQL_INT: return put_decimal(e, key, slice_make(text, sl_format_i64(v->i, text)));
	case SQL_DOUBLE:
		if (!isfinite(v->d)) return put_decimal_special(e, key, v->d);
		return put_decimal(e, key, slice_make(text, sl_format_double(v->d, text)));
	case SQL_NUMBER_TEXT: return put_decimal(e, key, sql_value_text(v));
	case SQL_STRING:
		if (is_special(sql_value_text(v), &special)) return put_decimal_special(e, key, special);
		if (is_number_text(sql_value_text(v))) return put_decimal(e, key, sql_value_text(v));
		break;
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return no_loss(e, key, MONGO_DECIMAL128, what_it_is(v));
}

static bool has_fraction(struct sl_slice text) {
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '.' || text.p[i] == 'e' || text.p[i] == 'E') return true;
	return false;
}

/* A number that no type is named for: text of a document's number, too large for int64 or with a fraction. */
static int number_text(struct mongo_encoder *e, struct sl_slice key, struct sl_slice text) {
	double d;
	int64_t i;
	if (slice_to_i64(text, &i) == SL_OK) {
		mongo_put_int(e->out, key, i);
		return SL_OK;
	}
	int r = slice_to_double(text, &d);
	if (r == SL_OK && (has_fraction(text) || e->style.large == MONGO_LARGE_DOUBLE)) {
		mongo_put_double(e->out, key, d);
		return SL_OK;
	}
	switch (e->style.large) {
	case MONGO_LARGE_DECIMAL128: return put_decimal(e, key, text);
	case MONGO_LARGE_STRING: mongo_put_text(e->out, key, text); return SL_OK;
	case MONGO_LARGE_DOUBLE: break;
	}
	return mongo_fail(e, SL_ELIMIT, key, "the number is beyond the range of a double");
}

/* ---- Texts. --------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n bytes from hexadecimal digits; `dashes` are allowed between bytes. */
static bool hex_bytes(struct sl_slice text, uint8_t *out, size_t n, bool dashes) {
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		if (dashes && at < text.n && text.p[at] == '-' && i > 0) at++;
		if (at + 2 > text.n) return false;
		int high = hex_digit(text.p[at]), low = hex_digit(text.p[at + 1]);
		if (high < 0 || low < 0) return false;
		out[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	return at == text.n;
}

bool mongo_date_read(struct sl_slice text, int64_t *ms) {
	enum { LENGTH = sizeof "ISODate(2023-11-14T22:13:20.000Z)" - 1 };
	return text.n == LENGTH && memcmp(text.p, "ISODate(", 8) == 0 && text.p[LENGTH - 1] == ')' &&
	       text.p[LENGTH - 2] == 'Z' && sql_rfc3339_ms(slice_sub(text, 8, LENGTH - 9), ms);
}

static bool to_date(const struct sql_value *v, int64_t *ms) {
	double d;
	switch (v->kind) {
	case SQL_INT: *ms = v->i; return true;
	case SQL_DOUBLE:
	case SQL_NUMBER_TEXT:
		if (to_i64(v, ms)) return true;
		if (!to_double(v, &d) || !(fabs(d) < 9e15)) return false;
		*ms = (int64_t)floor(d);
		return true;
	case SQL_STRING:
		return sql_rfc3339_ms(sql_value_text(v), ms) || mongo_date_read(sql_value_text(v), ms) ||
		       slice_to_i64(sql_value_text(v), ms) == SL_OK;
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return false;
}

static bool is_text(const struct sql_value *v) { return v->kind == SQL_STRING || v->kind == SQL_BYTES; }

static int put_base64(struct mongo_encoder *e, struct sl_slice key, uint8_t subtype, struct sl_slice text) {
	sl_buf_clear(&e->scratch);
	if (sql_base64_decode(text, 0, &e->scratch) != SL_OK)
		return mongo_fail(e, SL_ETYPE, key, "this text is not base64");
	mongo_put_binary(e->out, key, subtype, sl_buf_slice(&e->scratch));
	return SL_OK;
}

static int put_string(struct mongo_encoder *e, struct sl_slice key, const struct sql_value *v) {
	if (is_text(v) && utf8_valid(sql_value_text(v))) {
		mongo_put_text(e->out, key, sql_value_text(v));
		return SL_OK;
	}
	if (is_text(v)) return mongo_fail(e, SL_ETYPE, key, "these bytes are not UTF-8 text");
	sl_buf_clear(&e->scratch);
	sql_value_to_text(v, &e->scratch);
	mongo_put_text(e->out, key, sl_buf_slice(&e->scratch));
	return SL_OK;
}

/* ---- What it is, and what it is to be. --------------------------------------------------------------------------------- */

static int as_it_is(struct mongo_encoder *e, struct sl_slice key, const struct sql_value *v) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: mongo_put_null(e->out, key); break;
	case SQL_BOOL: mongo_put_bool(e->out, key, v->b); break;
	case SQL_INT: mongo_put_int(e->out, key, v->i); break;
	case SQL_DOUBLE: mongo_put_double(e->out, key, v->d); break;
	case SQL_NUMBER_TEXT: return number_text(e, key, sql_value_text(v));
	case SQL_STRING:
		if (sl_likely(utf8_valid(sql_value_text(v))))
			mongo_put_text(e->out, key, sql_value_text(v));
		else
			mongo_put_binary(e->out, key, SUBTYPE_PLAIN, sql_value_text(v));
		break;
	case SQL_BYTES: mongo_put_binary(e->out, key, SUBTYPE_PLAIN, sql_value_text(v)); break;
	case SQL_JSON: return mongo_encode_value(e, key, v, NULL);
	case SQL_LIST:
	case SQL_MAP: return mongo_fail(e, SL_ETYPE, key, "no value of a row"); /* rows have JSON instead */
	}
	return SL_OK;
}

int mongo_scalar(struct mongo_encoder *e, struct sl_slice key, enum mongo_type type, const struct sql_value *v) {
	int64_t i;
	double d;
	uint8_t bytes[16];
	if (sl_likely(type == MONGO_AUTO) || v->kind == SQL_NULL || v->kind == SQL_JSON_NULL)
		return as_it_is(e, key, v);
	switch (type) {
	case MONGO_AUTO: break;
	case MONGO_DATE:
		if (!to_date(v, &i))
			return mongo_fail(
			    e, SL_ETYPE, key,
			    "%s is no date; write RFC 3339 text, milliseconds since 1970, or mongo_date()",
			    what_it_is(v));
		mongo_put_date(e->out, key, i);
		return SL_OK;
	case MONGO_OBJECTID:
		if (v->kind != SQL_STRING || !hex_bytes(sql_value_text(v), bytes, 12, false))
			return mongo_fail(e, SL_ETYPE, key, "%s is no objectid, which is 24 hexadecimal digits",
					  what_it_is(v));
		mongo_put_oid(e->out, key, bytes);
		return SL_OK;
	case MONGO_DECIMAL128: return to_decimal(e, key, v);
	case MONGO_INT32:
		if (!to_i64(v, &i) || i < INT32_MIN || i > INT32_MAX) break;
		mongo_put_i32(e->out, key, (int32_t)i);
		return SL_OK;
	case MONGO_INT64:
		if (!to_i64(v, &i)) break;
		mongo_put_i64(e->out, key, i);
		return SL_OK;
	case MONGO_DOUBLE:
		if (!to_double(v, &d)) break;
		mongo_put_double(e->out, key, d);
		return SL_OK;
	case MONGO_BINARY:
		if (!is_text(v)) break;
		mongo_put_binary(e->out, key, SUBTYPE_PLAIN, sql_value_text(v));
		return SL_OK;
	case MONGO_BASE64:
		if (!is_text(v)) break;
		if (v->kind == SQL_STRING) return put_base64(e, key, SUBTYPE_PLAIN, sql_value_text(v));
		mongo_put_binary(e->out, key, SUBTYPE_PLAIN, sql_value_text(v));
		return SL_OK;
	case MONGO_UUID:
		if (v->kind != SQL_STRING || !hex_bytes(sql_value_text(v), bytes, 16, true)) break;
		mongo_put_binary(e->out, key, SUBTYPE_UUID, slice_make(bytes, 16));
		return SL_OK;
	case MONGO_STRING: return put_string(e, key, v);
	}
	return no_loss(e, key, type, what_it_is(v));
}

/* ---- Extended JSON, where the author of the rule wrote it or allowed it. --------------------------------------------------- */

/* The value of member `name`, and whether the object has no others but `other`. */
static bool only_members(const struct jpath_hit *object, const char *name, struct jpath_hit *a, const char *other,
			 struct jpath_hit *b) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	int r = jscan_begin(&it, object);
	*a = *b = (struct jpath_hit){0};
	while (r == SL_OK && (r = jscan_next(&it, &key, &value)) == 1) {
		r = SL_OK;
		if (slice_equal_str(key.raw, name))
			*a = value;
		else if (other && slice_equal_str(key.raw, other))
			*b = value;
		else
			return false;
	}
	return r == SL_OK && a->kind != JKIND_ABSENT && (!other || b->kind != JKIND_ABSENT);
}

/* {"$binary": {"base64": "...", "subType": "00"}}, and {"$timestamp": {"t": 1, "i": 2}}. */
static int extended_pair(struct mongo_encoder *e, struct sl_slice key, struct sl_slice name,
			 const struct jpath_hit *v) {
	struct jpath_hit a, b;
	int64_t t, i;
	uint8_t subtype = 0;
	if (slice_equal(name, SL_SLICE_LIT("$binary")) && only_members(v, "base64", &a, "subType", &b) &&
	    a.kind == JKIND_STRING && b.kind == JKIND_STRING && b.raw.n <= 2 &&
	    (hex_bytes(b.raw, &subtype, 1, false) || (b.raw.n == 1 && hex_digit(b.raw.p[0]) >= 0))) {
		if (b.raw.n == 1) subtype = (uint8_t)hex_digit(b.raw.p[0]);
		int r = put_base64(e, key, subtype, a.raw);
		return r == SL_OK ? 1 : r;
	}
	if (!slice_equal(name, SL_SLICE_LIT("$timestamp")) || !only_members(v, "t", &a, "i", &b) ||
	    jscan_i64(&a, &t) != SL_OK || jscan_i64(&b, &i) != SL_OK || t < 0 || i < 0 || t > UINT32_MAX ||
	    i > UINT32_MAX)
		return mongo_fail(e, SL_ETYPE, key, "this is no %.*s of Extended JSON", SL_SLICE_ARG(name));
	size_t at = e->out->n;
	mongo_put_i64(e->out, key, (int64_t)((uint64_t)t << 32 | (uint64_t)i));
	e->out->p[at] = BSON_STAMP;
	return 1;
}

int mongo_extended(struct mongo_encoder *e, struct sl_slice key, const struct jpath_hit *object) {
	static const struct {
		const char *name;
		enum mongo_type type;
	} plain[] = {
	    {"$oid", MONGO_OBJECTID},     {"$date", MONGO_DATE},           {"$numberInt", MONGO_INT32},
	    {"$numberLong", MONGO_INT64}, {"$numberDouble", MONGO_DOUBLE}, {"$numberDecimal", MONGO_DECIMAL128},
	    {"$uuid", MONGO_UUID}};
	struct jscan_iter it;
	struct jpath_hit name, value, inner, none;
	if (jscan_begin(&it, object) != SL_OK || jscan_next(&it, &name, &value) != 1 || name.raw.n == 0 ||
	    name.raw.p[0] != '$')
		return 0;
	if (jscan_next(&it, &inner, &none) != 0) return 0; /* a second member: {"$ref": ..., "$id": ...} */
	if (slice_equal_str(name.raw, "$binary") || slice_equal_str(name.raw, "$timestamp"))
		return extended_pair(e, key, name.raw, &value);
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		if (!slice_equal_str(name.raw, plain[i].name)) continue;
		if (plain[i].type == MONGO_DATE && value.kind == JKIND_OBJECT &&
		    only_members(&value, "$numberLong", &inner, NULL, &none))
			value = inner;
		int r = value.kind == JKIND_OBJECT || value.kind == JKIND_ARRAY
			    ? mongo_fail(e, SL_ETYPE, key, "this is no %s of Extended JSON", plain[i].name)
			    : mongo_encode_hit(e, key, &value, &(struct mongo_types){.type = plain[i].type});
		return r == SL_OK ? 1 : r;
	}
	return 0;
}
