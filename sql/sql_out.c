/* sql_out.c: rows as JSON; see sql.h and sql_vm.h. */
#include "conv.h"
#include "jwrite.h"
#include "sql_vm.h"

enum { NAME_BLOCK = 16 }; /* names are copied in blocks, so that many bytes behind each are readable */

struct sl_slice *sql_names_json(struct sl_arena *arena, const struct sl_slice *names, size_t n) {
	struct sl_slice *made = SL_ARENA_ARRAY(arena, struct sl_slice, n + 1);
	struct sl_buf text = SL_BUF_INIT;
	for (size_t i = 0; i < n; i++) {
		struct sql_value name = sql_string(names[i]);
		sl_buf_clear(&text);
		sl_buf_put(&text, i ? ',' : '{');
		sql_value_json(&name, &text);
		sl_buf_put(&text, ':');
		size_t bytes = text.n;
		memset(sl_buf_add(&text, NAME_BLOCK), 0, NAME_BLOCK);
		made[i] = slice_make(sl_arena_dup(arena, sl_buf_slice(&text)).p, bytes);
	}
	sl_buf_fini(&text);
	return made;
}

/* The most bytes that v takes as JSON, if it is plain; 0: it is of a kind that never is. */
static inline size_t plain_room(const struct sql_value *v) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL: return sizeof "false";
	case SQL_INT: return SL_FORMAT_I64_MAX;
	case SQL_DOUBLE: return SL_FORMAT_DOUBLE_MAX;
	case SQL_STRING:
	case SQL_BYTES: return (size_t)v->n + 2;
	case SQL_NUMBER_TEXT: return v->n;
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return 0;
}

/* Behind it, or NULL: it is not plain. */
static inline char *plain_json(const struct sql_value *v, char *to) {
	/* Most are one of these: nothing else is read to know where to go. */
	if (v->kind == SQL_STRING) return jwrite_quote_plain(to, sql_value_text(v)) ? to + v->n + 2 : NULL;
	if (v->kind == SQL_INT) return to + sl_format_i64(v->i, to);
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: memcpy(to, "null", 4); return to + 4;
	case SQL_BOOL: memcpy(to, v->b ? "true" : "false", 5); return to + (v->b ? 4 : 5);
	case SQL_INT: return to + sl_format_i64(v->i, to);
	case SQL_DOUBLE: return to + sl_format_double(v->d, to);
	case SQL_STRING:
	case SQL_BYTES: return jwrite_quote_plain(to, sql_value_text(v)) ? to + v->n + 2 : NULL;
	case SQL_NUMBER_TEXT: memcpy(to, v->p, v->n); return to + v->n;
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return NULL;
}

static inline char *put_name(char *to, struct sl_slice name) {
	for (size_t i = 0; i < name.n; i += NAME_BLOCK) memcpy(to + i, name.p + i, NAME_BLOCK);
	return to + name.n;
}

size_t sql_out_plain_room(const struct sql_out *row) {
	size_t room = NAME_BLOCK; /* of the last name; and the bracket */
	if (!row->names_json || row->count == 0) return 0;
	for (size_t i = 0; i < row->count; i++) {
		size_t value = plain_room(&row->values[i]);
		if (value == 0) return 0;
		room += row->names_json[i].n + value;
	}
	return room;
}

size_t sql_out_plain(const struct sql_out *row, char *to) {
	const char *start = to;
	for (size_t i = 0; i < row->count; i++) {
		to = plain_json(&row->values[i], put_name(to, row->names_json[i]));
		if (sl_unlikely(!to)) return 0;
	}
	*to++ = '}';
	return (size_t)(to - start);
}

void sql_out_json(const struct sql_out *row, struct sl_buf *out) {
	if (!row->names) { /* SELECT VALUE */
		sql_value_json(&row->values[0], out);
		return;
	}
	size_t room = sql_out_plain_room(row), n = room ? sql_out_plain(row, sl_buf_add(out, room)) : 0;
	out->n -= room - n;
	if (sl_likely(n)) return;
	sl_buf_put(out, '{');
	for (size_t i = 0; i < row->count; i++) {
		struct sql_value name = sql_string(row->names[i]);
		if (i) sl_buf_put(out, ',');
		sql_value_json(&name, out);
		sl_buf_put(out, ':');
		sql_value_json(&row->values[i], out);
	}
	sl_buf_put(out, '}');
}
