/* dead_row.c: see dead_row.h. */
#include "dead_row.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "jwrite.h"
#include "mem.h"
#include "sql_base64.h"
#include "sql_row.h"
#include "utf8.h"

static const char kind_binary[] = "binary", kind_binary64[] = "binary base64", kind_string64[] = "string base64",
		  kind_number[] = "number", kind_float[] = "float", kind_json[] = "json",
		  kind_json_text[] = "json text", kind_null[] = "json null";

/* ---- writing ---- */

/* A document with half of a surrogate pair in it (\ud800 by itself): jq and others stop there, and read no further. */
static bool is_stumbling(struct sl_slice json) {
	bool whole = json.n >= 2 && strchr("{[\"", json.p[0]) && strchr("}]\"", json.p[json.n - 1]);
	if (!whole || !memmem(json.p, json.n, "\\u", 2) || !jscan_valid(json)) return false;
	char *text = sl_alloc(json.n);
	ptrdiff_t n = jscan_unescape(json, text);
	bool half = n >= 0 && !utf8_valid(slice_make(text, (size_t)n));
	sl_free(text);
	return half;
}

void dead_row_json(const struct sl_param *params, size_t count, const void *row, struct sl_buf *out) {
	sl_buf_put(out, '{');
	for (size_t i = 0; i < count; i++) {
		struct sql_value v = sql_row_get(row, (uint16_t)i);
		if (i) sl_buf_put(out, ',');
		jwrite_quote(out, params[i].name);
		sl_buf_put(out, ':');
		if (v.kind == SQL_JSON && is_stumbling(sql_value_text(&v)))
			jwrite_quote(out, sql_value_text(&v));
		else
			sql_value_json(&v, out);
	}
	sl_buf_put(out, '}');
}

static bool looks_like_float(struct sl_slice text) {
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '.' || text.p[i] == 'e' || text.p[i] == 'E') return true;
	return false;
}

/* What the JSON text of the value does not say by itself; NULL: it does. */
static const char *kind_of(const struct sql_value *v) {
	bool text = (v->kind != SQL_STRING && v->kind != SQL_BYTES) || utf8_valid(slice_make(v->p, v->n));
	switch (v->kind) {
	case SQL_JSON_NULL: return kind_null;
	case SQL_STRING: return text ? NULL : kind_string64;
	case SQL_BYTES: return text ? kind_binary : kind_binary64;
	case SQL_NUMBER_TEXT: return kind_number;
	case SQL_JSON:
		if (is_stumbling(sql_value_text(v))) return kind_json_text;
		return v->n && (v->p[0] == '{' || v->p[0] == '[') ? NULL : kind_json;
	case SQL_DOUBLE: {
		struct sl_buf b = SL_BUF_INIT;
		sql_value_json(v, &b);
		bool plain = looks_like_float(sl_buf_slice(&b));
		sl_buf_fini(&b);
		return plain ? NULL : kind_float;
	}
	case SQL_NULL:
	case SQL_BOOL:
	case SQL_INT:
	case SQL_LIST:
	case SQL_MAP: return NULL;
	}
	return NULL;
}

static void kinds_write(const struct sl_reject *r, struct sl_buf *b) {
	size_t n = 0;
	for (size_t i = 0; i < r->param_count; i++) {
		struct sql_value v = sql_row_get(r->row, (uint16_t)i);
		const char *kind = kind_of(&v);
		if (!kind) continue;
		sl_buf_append_str(b, n++ ? "," : ",\"kinds\":{");
		jwrite_quote(b, r->params[i].name);
		sl_buf_printf(b, ":\"%s\"", kind);
	}
	if (n) sl_buf_put(b, '}');
}

static void time_write(const char *member, int64_t ms, struct sl_buf *b) {
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	char text[48];
	gmtime_r(&s, &tm);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	sl_buf_printf(b, "\"%s\":\"%s.%03dZ\",", member, text, (int)(ms % 1000));
}

void dead_line_write(const struct sl_reject *r, bool keyed, struct sl_buf *b) {
	const struct sql_row_head *head = sql_row_head(r->row);
	sl_buf_put(b, '{');
	time_write("at", head->at_ms, b);
	time_write("given_up", r->given_up_ms, b);
	sl_buf_append_str(b, "\"rule\":");
	jwrite_quote(b, slice_from_str(r->rule));
	sl_buf_printf(b, ",\"action\":%u,\"connector\":", r->action);
	jwrite_quote(b, slice_from_str(r->connector));
	sl_buf_printf(b, ",\"type\":\"%s\"", r->type);
	if (r->destination) {
		sl_buf_append_str(b, ",\"destination\":");
		jwrite_quote(b, slice_from_str(r->destination));
	}
	sl_buf_printf(b, ",\"attempts\":%u,\"reason\":", r->attempts);
	jwrite_quote(b, slice_from_str(r->reason));
	if (keyed) sl_buf_printf(b, ",\"order\":\"%016" PRIx64 "\"", head->order);
	if (r->from) {
		sl_buf_append_str(b, ",\"message\":");
		sl_origin_json(r->from, b);
	}
	sl_buf_append_str(b, ",\"row\":");
	dead_row_json(r->params, r->param_count, r->row, b);
	kinds_write(r, b);
	sl_buf_append_str(b, "}\n");
}

/* ---- reading ---- */

/* 0: it is no time. */
static int64_t time_read(struct sl_slice text) {
	char copy[32];
	struct tm tm = {0};
	int ms = -1;
	if (text.n == 0 || text.n >= sizeof copy) return 0;
	memcpy(copy, text.p, text.n);
	copy[text.n] = 0;
	if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &tm.tm_sec, &ms) != 7)
		return 0;
	bool sound = tm.tm_year >= 1970 && tm.tm_mon >= 1 && tm.tm_mon <= 12 && tm.tm_mday >= 1 && tm.tm_mday <= 31 &&
		     tm.tm_hour >= 0 && tm.tm_hour <= 23 && tm.tm_min >= 0 && tm.tm_min <= 59 && tm.tm_sec >= 0 &&
		     tm.tm_sec <= 60 && ms >= 0;
	if (!sound) return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return (int64_t)timegm(&tm) * 1000 + ms;
}

static uint32_t number_read(const struct jpath_hit *v) {
	int64_t n = 0;
	if (jscan_i64(v, &n) != SL_OK || n < 0 || n > UINT32_MAX) return UINT32_MAX;
	return (uint32_t)n;
}

static void member_read(struct dead_line *l, struct sl_slice key, const struct jpath_hit *v, struct sl_arena *arena) {
	const struct {
		const char *name;
		struct sl_slice *to;
	} texts[] = {
	    {"at", &l->at},     {"given_up", &l->given_up},       {"rule", &l->rule},     {"connector", &l->connector},
	    {"type", &l->type}, {"destination", &l->destination}, {"reason", &l->reason}, {"order", &l->order}};
	for (size_t i = 0; i < SL_ARRAY_LEN(texts); i++)
		if (slice_equal_str(key, texts[i].name) && jscan_string(v, arena, texts[i].to) != SL_OK)
			*texts[i].to = SL_SLICE_EMPTY;
	if (slice_equal_str(key, "action")) l->action = number_read(v);
	if (slice_equal_str(key, "attempts")) l->attempts = number_read(v);
	if (slice_equal_str(key, "row")) l->row = *v;
	if (slice_equal_str(key, "kinds")) l->kinds = *v;
	if (slice_equal_str(key, "message")) l->message = *v;
}

int dead_line_read(struct sl_slice text, struct sl_arena *arena, struct dead_line *l, struct sl_err *err) {
	struct jpath_hit all, key, value;
	struct jscan_iter it;
	int r = SL_EMALFORMED;
	*l = (struct dead_line){.action = UINT32_MAX};
	if (jscan_valid(text) && jscan_value(text, &all) == SL_OK && all.kind == JKIND_OBJECT &&
	    jscan_begin(&it, &all) == SL_OK)
		while ((r = jscan_next(&it, &key, &value)) == 1) {
			struct sl_slice name;
			if (jscan_string(&key, arena, &name) == SL_OK) member_read(l, name, &value, arena);
		}
	if (r != 0) return sl_err_set(err, SL_EMALFORMED, "the line is not JSON; perhaps a crash has cut it");
	if (l->rule.n == 0 || l->action == UINT32_MAX || l->row.kind != JKIND_OBJECT)
		return sl_err_set(err, SL_EMALFORMED, "the line has no rule, no action or no row");
	l->at_ms = time_read(l->at);
	return SL_OK;
}

/* The member of that name; of a row the one at the same place, if that has the name. */
static bool member_find(const struct jpath_hit *object, struct sl_slice name, size_t place, struct sl_arena *arena,
			struct jpath_hit *out) {
	struct jpath_hit key, value;
	struct jscan_iter it;
	bool found = false;
	if (object->kind != JKIND_OBJECT || jscan_begin(&it, object) != SL_OK) return false;
	for (size_t i = 0; jscan_next(&it, &key, &value) == 1; i++) {
		struct sl_slice text;
		if (jscan_string(&key, arena, &text) != SL_OK || !slice_equal(text, name)) continue;
		if (!found || i == place) *out = value;
		found = true;
	}
	return found;
}

static size_t members_count(const struct jpath_hit *object) {
	struct jpath_hit key, value;
	struct jscan_iter it;
	size_t n = 0;
	if (object->kind != JKIND_OBJECT || jscan_begin(&it, object) != SL_OK) return 0;
	while (jscan_next(&it, &key, &value) == 1) n++;
	return n;
}

static int text_value(const struct jpath_hit *hit, enum sql_kind kind, bool base64, struct sl_arena *arena,
		      struct sql_value *v) {
	struct sl_slice text;
	int r = jscan_string(hit, arena, &text);
	if (r != SL_OK) return r;
	if (base64) {
		struct sl_buf bytes = SL_BUF_INIT;
		r = sql_base64_decode(text, 0, &bytes);
		text = sl_arena_dup(arena, sl_buf_slice(&bytes));
		sl_buf_fini(&bytes);
	}
	*v = (struct sql_value){.kind = kind, .n = (uint32_t)text.n, .p = text.p};
	return r;
}

static int json_text(const struct jpath_hit *hit, struct sl_arena *arena, struct sql_value *v) {
	int r = text_value(hit, SQL_JSON, false, arena, v);
	if (r == SL_OK && !is_stumbling(sql_value_text(v))) r = SL_ETYPE;
	if (r == SL_OK) v->is_array = v->p[0] == '[';
	return r;
}

static int value_read(const struct jpath_hit *hit, struct sl_slice kind, struct sl_arena *arena, struct sql_value *v) {
	const struct sl_slice raw = hit->raw;
	if (slice_equal_str(kind, kind_binary64)) return text_value(hit, SQL_BYTES, true, arena, v);
	if (slice_equal_str(kind, kind_string64)) return text_value(hit, SQL_STRING, true, arena, v);
	if (slice_equal_str(kind, kind_json_text)) return json_text(hit, arena, v);
	if (slice_equal_str(kind, kind_binary)) return text_value(hit, SQL_BYTES, false, arena, v);
	if (slice_equal_str(kind, kind_number)) {
		*v = (struct sql_value){.kind = SQL_NUMBER_TEXT, .n = (uint32_t)raw.n, .p = raw.p};
		return hit->kind == JKIND_INT || hit->kind == JKIND_DOUBLE ? SL_OK : SL_ETYPE;
	}
	if (slice_equal_str(kind, kind_json) && hit->kind != JKIND_ABSENT) {
		uint32_t quotes = hit->kind == JKIND_STRING;
		*v = (struct sql_value){.kind = SQL_JSON, .n = (uint32_t)raw.n + 2 * quotes, .p = raw.p - quotes};
		v->is_array = hit->kind == JKIND_ARRAY;
		return SL_OK;
	}
	*v = (struct sql_value){.kind = SQL_NULL};
	switch (hit->kind) {
	case JKIND_ABSENT: return SL_ETYPE;
	case JKIND_NULL: v->kind = slice_equal_str(kind, kind_null) ? SQL_JSON_NULL : SQL_NULL; return SL_OK;
	case JKIND_TRUE:
	case JKIND_FALSE: *v = (struct sql_value){.kind = SQL_BOOL, .b = hit->kind == JKIND_TRUE}; return SL_OK;
	case JKIND_INT:
		if (!slice_equal_str(kind, kind_float)) {
			v->kind = SQL_INT;
			return jscan_i64(hit, &v->i);
		}
		v->kind = SQL_DOUBLE;
		return jscan_double(hit, &v->d);
	case JKIND_DOUBLE: v->kind = SQL_DOUBLE; return jscan_double(hit, &v->d);
	case JKIND_STRING: return text_value(hit, SQL_STRING, false, arena, v);
	case JKIND_OBJECT:
	case JKIND_ARRAY:
		*v = (struct sql_value){
		    .kind = SQL_JSON, .is_array = hit->kind == JKIND_ARRAY, .n = (uint32_t)raw.n, .p = raw.p};
		return SL_OK;
	}
	return SL_ETYPE;
}

/* ---- the message ---- */

static struct sl_slice text_member(const struct jpath_hit *object, const char *name, bool base64,
				   struct sl_arena *arena) {
	struct jpath_hit hit;
	struct sql_value v;
	if (!member_find(object, slice_from_str(name), SIZE_MAX, arena, &hit) ||
	    text_value(&hit, SQL_BYTES, base64, arena, &v) != SL_OK)
		return SL_SLICE_EMPTY;
	return slice_make(v.p, v.n);
}

static int hex_digit(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static struct sl_slice id_read(struct sl_slice hex, struct sl_arena *arena) {
	char *id = sl_arena_alloc(arena, ORIGIN_ID_BYTES);
	if (hex.n != (size_t)2 * ORIGIN_ID_BYTES) return SL_SLICE_EMPTY;
	for (size_t i = 0; i < ORIGIN_ID_BYTES; i++) {
		int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);
		if (high < 0 || low < 0) return SL_SLICE_EMPTY;
		id[i] = (char)(high << 4 | low);
	}
	return slice_make(id, ORIGIN_ID_BYTES);
}

void dead_line_origin(const struct dead_line *l, struct sl_arena *arena, struct sl_origin *out) {
	const struct jpath_hit *m = &l->message;
	struct jpath_hit hit;
	*out = (struct sl_origin){.at_ms = l->at_ms};
	if (m->kind != JKIND_OBJECT) return;
	out->topic = text_member(m, "topic", false, arena);
	out->clientid = text_member(m, "clientid", false, arena);
	out->payload = text_member(m, "payload", false, arena);
	if (out->payload.n == 0) out->payload = text_member(m, "payload_base64", true, arena);
	out->id = id_read(text_member(m, "id", false, arena), arena);
	out->payload_bytes = out->payload.n;
	if (member_find(m, SL_SLICE_LIT("payload_bytes"), SIZE_MAX, arena, &hit)) {
		uint32_t bytes = number_read(&hit);
		if (bytes > out->payload.n) out->payload_bytes = bytes;
	}
	if (member_find(m, SL_SLICE_LIT("qos"), SIZE_MAX, arena, &hit)) {
		uint32_t qos = number_read(&hit);
		out->qos = qos <= 2 ? (uint8_t)qos : 0;
	}
}

/* ---- the row ---- */

static uint16_t flags_of(const struct dead_line *l) {
	uint32_t tried = l->attempts < SQL_ROW_TRIED_MAX ? l->attempts : SQL_ROW_TRIED_MAX;
	if (tried == 0) tried = 1; /* an old line, or one written by hand, which does not say */
	return (uint16_t)(SQL_ROW_QOS1 | tried << SQL_ROW_TRIED_SHIFT);
}

static uint64_t order_of(const struct dead_line *l) {
	uint64_t order = 0;
	for (size_t i = 0; i < l->order.n && i < 16; i++) {
		char c = l->order.p[i];
		order = order << 4 | (uint64_t)(c >= 'a' && c <= 'f'   ? c - 'a' + 10
						: c >= '0' && c <= '9' ? c - '0'
								       : 0);
	}
	return order;
}

int dead_line_row(const struct dead_line *l, const struct sl_param *params, size_t count, struct sl_arena *arena,
		  struct sl_buf *out, struct sl_err *err) {
	struct sql_value *values = SL_ARENA_ARRAY(arena, struct sql_value, count + 1);
	if (members_count(&l->row) != count)
		return sl_err_set(err, SL_ETYPE, "the row has %zu values, and the action now wants %zu",
				  members_count(&l->row), count);
	for (size_t i = 0; i < count; i++) {
		struct jpath_hit hit, named = {.kind = JKIND_ABSENT};
		struct sl_slice kind = SL_SLICE_EMPTY;
		if (!member_find(&l->row, params[i].name, i, arena, &hit))
			return sl_err_set(err, SL_ETYPE, "the row has no '%.*s', which the action now wants",
					  SL_SLICE_ARG(params[i].name));
		if (member_find(&l->kinds, params[i].name, SIZE_MAX, arena, &named))
			(void)jscan_string(&named, arena, &kind);
		if (value_read(&hit, kind, arena, &values[i]) != SL_OK)
			return sl_err_set(err, SL_EMALFORMED, "the value of '%.*s' cannot be read",
					  SL_SLICE_ARG(params[i].name));
	}
	sql_row_write(out, values, (uint16_t)count, flags_of(l), order_of(l), l->at_ms);
	return SL_OK;
}
