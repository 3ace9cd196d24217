#include "jwrite.h"

#include <math.h>

#include "conv.h"
#include "jscan_int.h"
#include "utf8.h"

void jwrite_init(struct jwrite *w, struct sl_buf *buf) { *w = (struct jwrite){.buf = buf}; }

int jwrite_done(const struct jwrite *w) {
	if (w->status != SL_OK) return w->status;
	return w->depth == 0 && w->comma ? SL_OK : SL_EINVAL;
}

static bool in_object(const struct jwrite *w) { return w->depth > 0 && (w->objects & 1); }

static bool fail(struct jwrite *w, int status) {
	if (w->status == SL_OK) w->status = status;
	return false;
}

/* Makes ready for a value: a comma where one is due. False when no value may stand here. */
static bool before_value(struct jwrite *w) {
	if (w->status != SL_OK) return false;
	if (in_object(w) ? !w->after_key : w->depth == 0 && w->comma) return fail(w, SL_EINVAL);
	if (w->comma && !w->after_key) sl_buf_put(w->buf, ',');
	w->after_key = false;
	w->comma = true;
	return true;
}

static void begin(struct jwrite *w, bool object) {
	if (w->depth == JWRITE_DEPTH_MAX) fail(w, SL_ELIMIT);
	if (!before_value(w)) return;
	sl_buf_put(w->buf, object ? '{' : '[');
	w->objects = w->objects << 1 | object;
	w->depth++;
	w->comma = false;
}

static void finish(struct jwrite *w, bool object) {
	if (w->status == SL_OK && (w->depth == 0 || in_object(w) != object || w->after_key)) fail(w, SL_EINVAL);
	if (w->status != SL_OK) return;
	sl_buf_put(w->buf, object ? '}' : ']');
	w->objects >>= 1;
	w->depth--;
	w->comma = true; /* the container itself is a value of its level */
}

void jwrite_object_begin(struct jwrite *w) { begin(w, true); }
void jwrite_object_end(struct jwrite *w) { finish(w, true); }
void jwrite_array_begin(struct jwrite *w) { begin(w, false); }
void jwrite_array_end(struct jwrite *w) { finish(w, false); }

void jwrite_key(struct jwrite *w, struct sl_slice key) {
	if (w->status == SL_OK && (!in_object(w) || w->after_key)) fail(w, SL_EINVAL);
	if (w->status != SL_OK) return;
	if (w->comma) sl_buf_put(w->buf, ',');
	jwrite_quote(w->buf, key);
	sl_buf_put(w->buf, ':');
	w->after_key = true;
}

static void put_value(struct jwrite *w, const char *text, size_t n) {
	if (before_value(w)) sl_buf_append(w->buf, text, n);
}

void jwrite_null(struct jwrite *w) { put_value(w, "null", 4); }
void jwrite_bool(struct jwrite *w, bool v) { put_value(w, v ? "true" : "false", v ? 4 : 5); }

void jwrite_i64(struct jwrite *w, int64_t v) {
	char text[SL_FORMAT_I64_MAX];
	put_value(w, text, sl_format_i64(v, text));
}

void jwrite_u64(struct jwrite *w, uint64_t v) {
	char text[SL_FORMAT_I64_MAX];
	put_value(w, text, sl_format_u64(v, text));
}

void jwrite_double(struct jwrite *w, double v) {
	char text[SL_FORMAT_DOUBLE_MAX];
	if (isfinite(v))
		put_value(w, text, sl_format_double(v, text));
	else
		jwrite_null(w);
}

void jwrite_string(struct jwrite *w, struct sl_slice text) {
	if (before_value(w)) jwrite_quote(w->buf, text);
}

void jwrite_raw(struct jwrite *w, struct sl_slice json) { put_value(w, json.p, json.n); }

void jwrite_hit(struct jwrite *w, const struct jpath_hit *hit) {
	if (hit->kind == JKIND_ABSENT) {
		jwrite_null(w);
		return;
	}
	if (!before_value(w)) return;
	if (hit->kind == JKIND_STRING) sl_buf_put(w->buf, '"');
	sl_buf_append_slice(w->buf, hit->raw);
	if (hit->kind == JKIND_STRING) sl_buf_put(w->buf, '"');
}

static void append_escape(struct sl_buf *b, char c) {
	static const char hex[] = "0123456789abcdef";
	char *at;
	switch (c) {
	case '"': sl_buf_append(b, "\\\"", 2); return;
	case '\\': sl_buf_append(b, "\\\\", 2); return;
	case '\b': sl_buf_append(b, "\\b", 2); return;
	case '\f': sl_buf_append(b, "\\f", 2); return;
	case '\n': sl_buf_append(b, "\\n", 2); return;
	case '\r': sl_buf_append(b, "\\r", 2); return;
	case '\t': sl_buf_append(b, "\\t", 2); return;
	}
	at = sl_buf_add(b, 6);
	memcpy(at, "\\u00", 4);
	at[4] = hex[(unsigned char)c >> 4];
	at[5] = hex[(unsigned char)c & 15];
}

/* Text that is well-formed UTF-8, runs of plain bytes at once. */
static void append_good(struct sl_buf *b, struct sl_slice text) {
	const char *p = text.p, *end = p + text.n;
	while (p < end) {
		bool not_ascii = false;
		const char *stop = jscan_plain(p, end, &not_ascii);
		while (stop < end && *stop != '"' && *stop != '\\' && (unsigned char)*stop >= 0x20) stop++;
		sl_buf_append(b, p, (size_t)(stop - p));
		if (stop < end) append_escape(b, *stop++);
		p = stop;
	}
}

void jwrite_quote(struct sl_buf *buf, struct sl_slice text) {
	sl_buf_put(buf, '"');
	while (text.n) {
		size_t good = utf8_valid_prefix(text);
		append_good(buf, slice_sub(text, 0, good));
		if (good == text.n) break;
		sl_buf_append(buf, "\xef\xbf\xbd", 3);
		text = slice_from(text, good + 1);
	}
	sl_buf_put(buf, '"');
}
