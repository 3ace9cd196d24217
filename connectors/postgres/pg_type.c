/* pg_type.c: the types that every server knows, and values in their form. See pg_type.h. */
#include "pg_type.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <sys/socket.h>

#include "jscan.h"
#include "jwrite.h"
#include "pg_type_int.h"
#include "utf8.h"

#define SHOWN_MAX 60 /* bytes of a value in a message */

/* The server's pg_type.dat has these numbers, for ever. */
static const struct pg_type types[] = {
    {16, 1000, "boolean", PG_FORM_BOOL},
    {17, 1001, "bytea", PG_FORM_BYTEA},
    {19, 1003, "name", PG_FORM_STRING},
    {20, 1016, "bigint", PG_FORM_INT8},
    {21, 1005, "smallint", PG_FORM_INT2},
    {23, 1007, "integer", PG_FORM_INT4},
    {25, 1009, "text", PG_FORM_STRING},
    {114, 199, "json", PG_FORM_JSON},
    {650, 651, "cidr", PG_FORM_CIDR},
    {700, 1021, "real", PG_FORM_FLOAT4},
    {701, 1022, "double precision", PG_FORM_FLOAT8},
    {869, 1041, "inet", PG_FORM_INET},
    {1042, 1014, "character", PG_FORM_STRING},
    {1043, 1015, "character varying", PG_FORM_STRING},
    {1082, 1182, "date", PG_FORM_DATE},
    {1083, 1183, "time without time zone", PG_FORM_TIME},
    {1114, 1115, "timestamp without time zone", PG_FORM_TIMESTAMP},
    {1184, 1185, "timestamp with time zone", PG_FORM_TIMESTAMP},
    {1186, 1187, "interval", PG_FORM_INTERVAL},
    {1700, 1231, "numeric", PG_FORM_NUMERIC},
    {2950, 2951, "uuid", PG_FORM_UUID},
    {3802, 3807, "jsonb", PG_FORM_JSONB},
};

const struct pg_type *pg_type_find(uint32_t oid, bool *is_array) {
	for (size_t i = 0; i < SL_ARRAY_LEN(types); i++) {
		*is_array = types[i].array_oid == oid;
		if (types[i].oid == oid || *is_array) return &types[i];
	}
	return NULL;
}

/* ---- Bodies. ---- */

static int bool_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	static const struct sl_slice yes[] = {SL_SLICE_LIT("true"), SL_SLICE_LIT("t"),  SL_SLICE_LIT("yes"),
					      SL_SLICE_LIT("y"),    SL_SLICE_LIT("on"), SL_SLICE_LIT("1")};
	static const struct sl_slice no[] = {SL_SLICE_LIT("false"), SL_SLICE_LIT("f"),   SL_SLICE_LIT("no"),
					     SL_SLICE_LIT("n"),     SL_SLICE_LIT("off"), SL_SLICE_LIT("0")};
	int is = -1;
	if (v->kind == SQL_BOOL)
		is = v->b;
	else if (v->kind == SQL_INT && (v->i == 0 || v->i == 1))
		is = (int)v->i;
	else if (v->kind == SQL_DOUBLE && (v->d == 0 || v->d == 1))
		is = v->d != 0;
	else if (v->kind == SQL_STRING || v->kind == SQL_NUMBER_TEXT) {
		struct sl_slice s = slice_trim(sql_value_text(v));
		for (size_t i = 0; i < SL_ARRAY_LEN(yes); i++) {
			if (slice_equal_nocase(s, yes[i])) is = 1;
			if (slice_equal_nocase(s, no[i])) is = 0;
		}
	}
	*why = "it is neither true, false, 1 nor 0";
	if (is < 0) return SL_ETYPE;
	sl_buf_put(out, (char)is);
	return SL_OK;
}

static int text_check(struct sl_slice s, const char **why) {
	if (sl_likely(utf8_valid_mqtt(s))) return SL_OK;
	*why = s.n && memchr(s.p, '\0', s.n)
		   ? "it has a NUL character, which PostgreSQL's text cannot hold; bytea can"
		   : "it is not UTF-8; bytea takes any bytes, base64_encode() makes text of them";
	return SL_ETYPE;
}

static int string_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	size_t start = out->n;
	if (v->kind == SQL_STRING || v->kind == SQL_BYTES)
		sl_buf_append(out, v->p, v->n);
	else
		sql_value_to_text(v, out);
	return text_check(slice_make(out->p + start, out->n - start), why);
}

/* Text that is an object or an array is that document, for so a whole payload comes; any other text is a JSON string. */
static int json_text_put(struct sl_slice s, struct sl_buf *out, const char **why) {
	struct sl_slice bare = slice_trim(s);
	if (bare.n > 0 && (bare.p[0] == '{' || bare.p[0] == '[') && jscan_valid(bare)) {
		sl_buf_append_slice(out, bare);
		return SL_OK;
	}
	int r = text_check(s, why);
	if (r == SL_OK) jwrite_quote(out, s);
	return r;
}

static int json_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	switch (v->kind) {
	case SQL_STRING:
	case SQL_BYTES: return json_text_put(sql_value_text(v), out, why);
	case SQL_DOUBLE:
		*why = "JSON has no such number";
		if (!isfinite(v->d)) return SL_ETYPE;
		break;
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_INT:
	case SQL_NUMBER_TEXT:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	sql_value_json(v, out);
	return SL_OK;
}

static int jsonb_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	sl_buf_put(out, 1);
	return json_put(v, out, why);
}

static int bytea_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	*why = "bytea takes binary, text and JSON";
	if (v->kind != SQL_STRING && v->kind != SQL_BYTES && v->kind != SQL_JSON) return SL_ETYPE;
	sl_buf_append(out, v->p, v->n);
	return SL_OK;
}

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int uuid_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	struct sl_slice s = sql_value_text(v);
	*why = "it is no UUID such as 0190163d-8694-739b-aea5-966c26f8ad91";
	if (v->kind == SQL_BYTES && v->n == 16) {
		sl_buf_append(out, v->p, 16);
		return SL_OK;
	}
	if (v->kind != SQL_STRING) return SL_ETYPE;
	s = slice_trim(s);
	if (s.n > 2 && s.p[0] == '{' && s.p[s.n - 1] == '}') s = slice_sub(s, 1, s.n - 2);
	size_t digits = 0;
	int high = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '-' && digits > 0 && digits % 4 == 0 && s.p[i - 1] != '-') continue;
		int digit = hex_digit(s.p[i]);
		if (digit < 0 || digits == 32) return SL_ETYPE;
		if (digits++ % 2 == 0)
			high = digit;
		else
			sl_buf_put(out, (char)(high << 4 | digit));
	}
	return digits == 32 ? SL_OK : SL_ETYPE;
}

/* An address, with the bits of its network behind a slash. */
static int inet_put(const struct sql_value *v, bool network, struct sl_buf *out, const char **why) {
	enum { FAMILY_4 = 2, FAMILY_6 = 3 }; /* the server's own numbers */
	char text[64];
	unsigned char address[16];
	struct sl_slice s = v->kind == SQL_STRING ? slice_trim(sql_value_text(v)) : SL_SLICE_EMPTY;
	struct sl_slice host = slice_next_part(&s, '/');
	*why = network ? "it is no network such as 10.0.0.0/8" : "it is no address such as 10.0.0.7 or ::1";
	if (host.n == 0 || host.n >= sizeof text) return SL_ETYPE;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	bool six = memchr(text, ':', host.n) != NULL;
	if (inet_pton(six ? AF_INET6 : AF_INET, text, address) != 1) return SL_ETYPE;
	int64_t bits = six ? 128 : 32, most = bits;
	if (s.p && (slice_to_i64(s, &bits) != SL_OK || bits < 0 || bits > most)) return SL_ETYPE;
	sl_buf_put(out, six ? FAMILY_6 : FAMILY_4);
	sl_buf_put(out, (char)bits);
	sl_buf_put(out, network);
	sl_buf_put(out, six ? 16 : 4);
	sl_buf_append(out, address, six ? 16 : 4);
	return SL_OK;
}

static int interval_put(const struct sql_value *v, struct sl_buf *out, const char **why) {
	bool number = v->kind == SQL_INT || v->kind == SQL_DOUBLE || v->kind == SQL_NUMBER_TEXT;
	int r = string_put(v, out, why);
	if (number && r == SL_OK) sl_buf_append_str(out, " milliseconds");
	return r;
}

static int body_put(enum pg_form form, const struct sql_value *v, struct sl_buf *out, const char **why) {
	switch (form) {
	case PG_FORM_BOOL: return bool_put(v, out, why);
	case PG_FORM_INT2: return pg_int_put(v, 2, out, why);
	case PG_FORM_INT4: return pg_int_put(v, 4, out, why);
	case PG_FORM_INT8: return pg_int_put(v, 8, out, why);
	case PG_FORM_FLOAT4: return pg_float_put(v, 4, out, why);
	case PG_FORM_FLOAT8: return pg_float_put(v, 8, out, why);
	case PG_FORM_NUMERIC: return pg_numeric_put(v, out, why);
	case PG_FORM_INPUT:
	case PG_FORM_STRING: return string_put(v, out, why);
	case PG_FORM_JSON: return json_put(v, out, why);
	case PG_FORM_JSONB: return jsonb_put(v, out, why);
	case PG_FORM_BYTEA: return bytea_put(v, out, why);
	case PG_FORM_UUID: return uuid_put(v, out, why);
	case PG_FORM_TIMESTAMP: return pg_timestamp_put(v, out, why);
	case PG_FORM_DATE: return pg_date_put(v, out, why);
	case PG_FORM_TIME: return pg_time_put(v, out, why);
	case PG_FORM_INTERVAL: return interval_put(v, out, why);
	case PG_FORM_INET: return inet_put(v, false, out, why);
	case PG_FORM_CIDR: return inet_put(v, true, out, why);
	}
	return SL_ETYPE;
}

/* ---- A value: length and body. ---- */

static void length_patch(struct sl_buf *out, size_t start) {
	uint32_t n = (uint32_t)(out->n - start - 4);
	char *p = out->p + start;
	p[0] = (char)(n >> 24);
	p[1] = (char)(n >> 16);
	p[2] = (char)(n >> 8);
	p[3] = (char)n;
}

static bool is_null(const struct sql_value *v, enum pg_form form) {
	/* A null that stood in a document is a JSON value. */
	return v->kind == SQL_NULL || (v->kind == SQL_JSON_NULL && form != PG_FORM_JSON && form != PG_FORM_JSONB);
}

static int one_put(enum pg_form form, const struct sql_value *v, struct sl_buf *out, const char **why) {
	size_t start = out->n;
	if (is_null(v, form)) {
		sl_buf_put_u32be(out, UINT32_MAX);
		return SL_OK;
	}
	sl_buf_add(out, 4);
	int r = body_put(form, v, out, why);
	length_patch(out, start);
	return r;
}

static int element_value(const struct jpath_hit *hit, struct sl_buf *scratch, struct sql_value *v, const char **why) {
	*v = sql_null();
	switch (hit->kind) {
	case JKIND_ABSENT:
	case JKIND_NULL: return SL_OK;
	case JKIND_TRUE:
	case JKIND_FALSE: *v = sql_bool(hit->kind == JKIND_TRUE); return SL_OK;
	case JKIND_INT:
	case JKIND_DOUBLE: *v = (struct sql_value){.kind = SQL_NUMBER_TEXT}; break;
	case JKIND_STRING: *v = (struct sql_value){.kind = SQL_STRING}; break;
	case JKIND_OBJECT: *v = (struct sql_value){.kind = SQL_JSON}; break;
	case JKIND_ARRAY: *v = (struct sql_value){.kind = SQL_JSON, .is_array = true}; break;
	}
	struct sl_slice text = hit->raw;
	if (hit->kind == JKIND_STRING && hit->flags & JSCAN_ESCAPED) {
		sl_buf_clear(scratch);
		ptrdiff_t n = jscan_unescape(hit->raw, sl_buf_add(scratch, hit->raw.n));
		*why = "it is no valid JSON";
		if (n < 0) return SL_ETYPE;
		text = slice_make(scratch->p, (size_t)n);
	}
	v->p = text.p;
	v->n = (uint32_t)text.n;
	return SL_OK;
}

/* The next element of a list: 1 and *v, 0 at the end. Lists are elements of JSON only. */
static int element_next(const struct pg_target *t, struct jscan_iter *it, struct sl_buf *scratch, struct sql_value *v,
			const char **why) {
	bool json = t->form == PG_FORM_JSON || t->form == PG_FORM_JSONB;
	struct jpath_hit item;
	int r = jscan_next(it, NULL, &item);
	*why = "it is a list within a list; arrays of one dimension are supported";
	if (r != 1) return r;
	r = item.kind == JKIND_ARRAY && !json ? SL_ETYPE : element_value(&item, scratch, v, why);
	return r == SL_OK ? 1 : r;
}

static bool is_list(const struct sql_value *v, struct jpath_hit *list, struct jscan_iter *it) {
	return v->kind == SQL_JSON && v->is_array && jscan_value(sql_value_text(v), list) == SL_OK &&
	       jscan_begin(it, list) == SL_OK;
}

static int array_put(const struct pg_target *t, const struct sql_value *v, struct sl_buf *scratch, struct sl_buf *out,
		     const char **why) {
	struct jpath_hit list;
	struct jscan_iter it;
	struct sql_value element;
	size_t start = out->n;
	uint32_t count = 0;
	int r;
	*why = "the column is an array and takes a list";
	if (!is_list(v, &list, &it)) return SL_ETYPE;
	char *head = sl_buf_add(out, 24); /* length, dimensions, nulls?, element's type, count, first index */
	memset(head, 0, 24);
	for (; (r = element_next(t, &it, scratch, &element, why)) == 1; count++)
		if ((r = one_put(t->form, &element, out, why)) != SL_OK) break;
	if (r != SL_OK) return r;
	struct sl_buf at = {.p = out->p + start + 4, .cap = 20};
	sl_buf_put_u32be(&at, count > 0);
	sl_buf_put_u32be(&at, count > 0); /* there may be nulls */
	sl_buf_put_u32be(&at, t->element_oid);
	if (count > 0) {
		sl_buf_put_u32be(&at, count);
		sl_buf_put_u32be(&at, 1);
	} else
		out->n = start + 16;
	length_patch(out, start);
	return SL_OK;
}

/* A backslash before each quote and backslash that is there from `start` on. */
static void quotes_escape(struct sl_buf *b, size_t start) {
	size_t from = b->n, more = 0;
	for (size_t i = start; i < from; i++) more += b->p[i] == '"' || b->p[i] == '\\';
	if (more == 0) return;
	sl_buf_add(b, more);
	for (size_t to = b->n; more > 0;) {
		char c = b->p[--to] = b->p[--from];
		if (c != '"' && c != '\\') continue;
		b->p[--to] = '\\';
		more--;
	}
}

/* {"1 day","2 days",NULL}, or with the delimiter that its type has: for the array's input function, which gives each element to that of its type. */
static int array_text_put(const struct pg_target *t, struct jscan_iter *it, struct sl_buf *scratch, struct sl_buf *out,
			  const char **why) {
	struct sql_value element;
	size_t start = out->n;
	int r;
	sl_buf_add(out, 4);
	sl_buf_put(out, '{');
	for (bool first = true; (r = element_next(t, it, scratch, &element, why)) == 1; first = false) {
		if (!first) sl_buf_put(out, t->delimiter);
		if (is_null(&element, t->form)) {
			sl_buf_append_str(out, "NULL");
			continue;
		}
		sl_buf_put(out, '"');
		size_t at = out->n;
		if ((r = body_put(t->form, &element, out, why)) != SL_OK) break;
		quotes_escape(out, at);
		sl_buf_put(out, '"');
	}
	if (r != SL_OK) return r;
	sl_buf_put(out, '}');
	length_patch(out, start);
	return SL_OK;
}

static int any_put(const struct pg_target *t, const struct sql_value *v, struct sl_buf *scratch, struct sl_buf *out,
		   const char **why) {
	struct jpath_hit list;
	struct jscan_iter it;
	bool null = v->kind == SQL_NULL || v->kind == SQL_JSON_NULL;
	if (t->element_oid && !null) return array_put(t, v, scratch, out, why);
	if (t->text_array && is_list(v, &list, &it)) return array_text_put(t, &it, scratch, out, why);
	return one_put(t->element_oid || t->text_array ? PG_FORM_INPUT : t->form, v, out, why);
}

static int refuse(const struct pg_target *t, const struct sql_value *v, const char *why, struct sl_err *err) {
	struct sl_buf shown = SL_BUF_INIT;
	sql_value_json(v, &shown);
	bool cut = shown.n > SHOWN_MAX;
	if (cut) shown.n = utf8_valid_prefix(slice_make(shown.p, SHOWN_MAX));
	int r = sl_err_set(err, SL_ETYPE, "%s (%s) does not take the %s %s%s: %s", t->name, t->type,
			   sql_kind_name(v->kind), sl_buf_cstr(&shown), cut ? "..." : "", why);
	sl_buf_fini(&shown);
	return r;
}

int pg_value_put(const struct pg_target *t, const struct sql_value *v, struct sl_buf *scratch, struct sl_buf *out,
		 struct sl_err *err) {
	const char *why = "its type does not fit";
	size_t start = out->n;
	int r = any_put(t, v, scratch, out, &why);
	if (sl_likely(r == SL_OK)) return SL_OK;
	out->n = start;
	return refuse(t, v, why, err);
}
