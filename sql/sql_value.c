/* sql_value.c: names of kinds, and the two written forms of a value; see sql_value.h. */
#include "sql_value.h"

#include "conv.h"
#include "jwrite.h"
#include "sql_base64.h"
#include "utf8.h"

const char *sql_kind_name(enum sql_kind kind) {
	switch (kind) {
#define SQL_KIND(id, name)                                                                                             \
	case id: return name;
		SQL_KIND_TBL(SQL_KIND)
#undef SQL_KIND
	}
	return "unknown";
}

static void append_i64(int64_t v, struct sl_buf *out) {
	char *to = sl_buf_add(out, SL_FORMAT_I64_MAX);
	out->n -= SL_FORMAT_I64_MAX - sl_format_i64(v, to);
}

static void append_double(double v, struct sl_buf *out) {
	char *to = sl_buf_add(out, SL_FORMAT_DOUBLE_MAX);
	out->n -= SL_FORMAT_DOUBLE_MAX - sl_format_double(v, to);
}

/* JSON is text: bytes that are none travel as base64 rather than as a guess. */
static void append_quoted(struct sl_slice s, struct sl_buf *out) {
	if (sl_likely(jwrite_quote_plain(sl_buf_add(out, s.n + 2), s))) return;
	out->n -= s.n + 2;
	if (utf8_valid(s)) {
		jwrite_quote(out, s);
		return;
	}
	sl_buf_put(out, '"');
	sql_base64_encode(s, 0, out);
	sl_buf_put(out, '"');
}

static void append_list(const struct sql_list *list, struct sl_buf *out) {
	sl_buf_put(out, '[');
	for (uint32_t i = 0; i < list->n; i++) {
		if (i) sl_buf_put(out, ',');
		sql_value_json(&list->at[i], out);
	}
	sl_buf_put(out, ']');
}

static void append_map(const struct sql_map *map, struct sl_buf *out) {
	sl_buf_put(out, '{');
	for (uint32_t i = 0; i < map->n; i++) {
		if (i) sl_buf_put(out, ',');
		append_quoted(map->at[i].key, out);
		sl_buf_put(out, ':');
		sql_value_json(&map->at[i].value, out);
	}
	sl_buf_put(out, '}');
}

/* A byte up to the space is among them, be it in a string. */
static bool has_space(struct sl_slice text) {
	const uint64_t ones = 0x0101010101010101u;
	uint64_t any = 0, word;
	size_t i = 0;
	for (; i + 8 <= text.n; i += 8) {
		memcpy(&word, text.p + i, 8);
		any |= (word - ones * (' ' + 1)) & ~word & ones * 0x80;
	}
	for (; i < text.n; i++) any |= (unsigned char)text.p[i] <= ' ';
	return any != 0;
}

/* Documents keep their text but for the white space between tokens: a row is one line wherever it goes. */
void sql_json_compact(struct sl_slice text, struct sl_buf *out) {
	if (!has_space(text)) { /* rows that we have made */
		sl_buf_append_slice(out, text);
		return;
	}
	char *to = sl_buf_add(out, text.n);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
		to[n++] = c;
		if (c != '"') continue;
		for (i++; i < text.n && text.p[i] != '"'; i++) { /* a string, as it is */
			to[n++] = text.p[i];
			if (text.p[i] == '\\' && i + 1 < text.n) to[n++] = text.p[++i];
		}
		if (i < text.n) to[n++] = '"';
	}
	out->n -= text.n - n;
}

void sql_value_json(const struct sql_value *v, struct sl_buf *out) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: sl_buf_append_str(out, "null"); return;
	case SQL_BOOL: sl_buf_append_str(out, v->b ? "true" : "false"); return;
	case SQL_INT: append_i64(v->i, out); return;
	case SQL_DOUBLE: append_double(v->d, out); return;
	case SQL_STRING:
	case SQL_BYTES: append_quoted(sql_value_text(v), out); return;
	case SQL_NUMBER_TEXT: sl_buf_append(out, v->p, v->n); return;
	case SQL_JSON: sql_json_compact(sql_value_text(v), out); return;
	case SQL_LIST: append_list(v->list, out); return;
	case SQL_MAP: append_map(v->map, out); return;
	}
}

void sql_value_to_text(const struct sql_value *v, struct sl_buf *out) {
	switch (v->kind) {
	case SQL_NULL: return;
	case SQL_STRING:
	case SQL_BYTES: sl_buf_append(out, v->p, v->n); return;
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_INT:
	case SQL_DOUBLE:
	case SQL_NUMBER_TEXT:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: sql_value_json(v, out); return;
	}
}
