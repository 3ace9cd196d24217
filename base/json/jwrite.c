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

#ifdef __SSE2__
JSCAN_INLINE bool all_plain(__m128i v) {
	__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
	__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
	return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), _mm_or_si128(control, v))) == 0;
}

JSCAN_INLINE bool copy_block(char *to, const char *p) {
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
	_mm_storeu_si128((__m128i *)(void *)to, v);
	return all_plain(v);
}

/* Fewer than 16 bytes: two pieces that may overlap. */
JSCAN_INLINE bool copy_short(char *to, const char *p, size_t n) {
	if (n >= 8) {
		int64_t a, b;
		memcpy(&a, p, 8);
		memcpy(&b, p + n - 8, 8);
		memcpy(to, &a, 8);
		memcpy(to + n - 8, &b, 8);
		return all_plain(_mm_set_epi64x(a, b));
	}
	if (n >= 4) {
		int32_t a, b;
		memcpy(&a, p, 4);
		memcpy(&b, p + n - 4, 4);
		memcpy(to, &a, 4);
		memcpy(to + n - 4, &b, 4);
		return all_plain(_mm_set_epi32(a, b, a, b));
	}
	if (n == 0) return true;
	char a = p[0], b = p[n / 2], c = p[n - 1];
	to[0] = a;
	to[n / 2] = b;
	to[n - 1] = c;
	return all_plain(_mm_set_epi8(a, a, a, a, a, a, a, a, a, a, a, a, a, a, b, c));
}

static inline bool copy_plain(char *to, const char *p, size_t n) {
	if (n < 16) return copy_short(to, p, n);
	for (; n > 16; n -= 16, p += 16, to += 16) {
		if (!copy_block(to, p)) return false;
		if (n < 32) { /* the last block begins where it ends with the text */
			p -= 32 - n;
			to -= 32 - n;
			n = 32;
		}
	}
	return copy_block(to, p);
}
#else
static inline bool copy_plain(char *to, const char *p, size_t n) {
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)p[i] < 0x20 || (unsigned char)p[i] >= 0x80 || p[i] == '"' || p[i] == '\\')
			return false;
		to[i] = p[i];
	}
	return true;
}
#endif

bool jwrite_quote_plain(char *to, struct sl_slice text) {
	to[0] = '"';
	to[text.n + 1] = '"';
	return copy_plain(to + 1, text.p, text.n);
}

void jwrite_quote(struct sl_buf *buf, struct sl_slice text) {
	if (sl_likely(jwrite_quote_plain(sl_buf_add(buf, text.n + 2), text))) return;
	buf->n -= text.n + 2;
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
