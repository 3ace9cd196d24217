#include "jscan.h"

#include "jscan_int.h"
#include "utf8.h"

const char *json_kind_name(enum json_kind kind) {
	switch (kind) {
	case JKIND_ABSENT: return "nothing";
	case JKIND_NULL: return "null";
	case JKIND_TRUE:
	case JKIND_FALSE: return "boolean";
	case JKIND_INT:
	case JKIND_DOUBLE: return "number";
	case JKIND_STRING: return "string";
	case JKIND_OBJECT: return "object";
	case JKIND_ARRAY: return "array";
	}
	return "nothing";
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* number = [ "-" ] ( "0" / digit1-9 *digit ) [ "." 1*digit ] [ "e" [ "+" / "-" ] 1*digit ] (RFC 8259, section 6). */
enum json_kind jscan_number_form(struct sl_slice raw) {
	const char *p = raw.p, *end = raw.p + raw.n;
	if (p < end && *p == '-') p++;
	const char *digits = p;
	while (p < end && is_digit(*p)) p++;
	if (p == digits || (*digits == '0' && p - digits > 1)) return JKIND_ABSENT;
	if (p == end) {
		int64_t v;
		return p - digits <= 18 || slice_to_i64(raw, &v) == SL_OK ? JKIND_INT : JKIND_DOUBLE;
	}
	if (*p == '.') {
		digits = ++p;
		while (p < end && is_digit(*p)) p++;
		if (p == digits) return JKIND_ABSENT;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-')) p++;
		digits = p;
		while (p < end && is_digit(*p)) p++;
		if (p == digits) return JKIND_ABSENT;
	}
	return p == end ? JKIND_DOUBLE : JKIND_ABSENT;
}

/* `any`, here and below: strings may hold bytes that are not UTF-8. */
static const char *capture_string(const char *p, const char *end, bool any, struct jpath_hit *out) {
	bool escaped = false, not_ascii = false;
	const char *quote = jscan_string_end(p + 1, end, &escaped, &not_ascii);
	if (!quote) return NULL;
	out->raw = slice_make(p + 1, (size_t)(quote - p - 1));
	out->kind = JKIND_STRING;
	out->flags = escaped ? JSCAN_ESCAPED : 0;
	return not_ascii && !any && !utf8_valid(out->raw) ? NULL : quote + 1;
}

/* The value at p, checked as one that is handed out; `depth` containers are open around it. */
static const char *capture(const char *p, const char *end, unsigned depth, bool any, struct jpath_hit *out) {
	if (p == end) return NULL;
	if (*p == '"') return capture_string(p, end, any, out);
	const char *after;
	enum json_kind kind;
	if (jscan_starts_number(*p)) {
		after = jscan_number_end(p + 1, end);
		kind = jscan_number_kind(slice_make(p, (size_t)(after - p)), p, end);
		if (kind == JKIND_ABSENT) return NULL;
	} else if (*p == '{' || *p == '[') {
		after = jscan_skip_container(p, end, depth);
		kind = *p == '{' ? JKIND_OBJECT : JKIND_ARRAY;
	} else {
		after = jscan_literal(p, end);
		kind = *p == 't' ? JKIND_TRUE : *p == 'f' ? JKIND_FALSE : JKIND_NULL;
	}
	if (!after) return NULL;
	*out = (struct jpath_hit){.raw = slice_make(p, (size_t)(after - p)), .kind = kind, .walk = out->walk};
	if (any && (kind == JKIND_OBJECT || kind == JKIND_ARRAY)) out->flags = JSCAN_ANY_TEXT;
	return after;
}

/* Are the backslashes of a string each the start of an escape that JSON has? */
static bool escapes_valid(struct sl_slice raw) {
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] != '\\') continue;
		if (++i == raw.n || !memchr("\"\\/bfnrtu", raw.p[i], 9)) return false;
		if (raw.p[i] != 'u') continue;
		if (raw.n - i < 5) return false;
		for (size_t k = 1; k <= 4; k++) {
			char c = raw.p[i + k], lower = (char)(c | 0x20);
			if (!is_digit(c) && !(lower >= 'a' && lower <= 'f')) return false;
		}
		i += 4;
	}
	return true;
}

static const char *check_scalar(const char *p, const char *end, bool any) {
	struct jpath_hit hit = {0};
	p = capture(p, end, 0, any, &hit);
	return p && (hit.flags & JSCAN_ESCAPED) && !escapes_valid(hit.raw) ? NULL : p;
}

enum care { CARE_BRACKETS, CARE_ALL_BUT_UTF8, CARE_ALL };

JSCAN_INLINE const char *skip_scalar(const char *p, const char *end, enum care care) {
	return care == CARE_BRACKETS ? jscan_skip_scalar(p, end) : check_scalar(p, end, care == CARE_ALL_BUT_UTF8);
}

/* A member's name and its colon, up to the value. */
JSCAN_INLINE const char *skip_name(const char *p, const char *end, enum care care) {
	if (p == end || *p != '"') return NULL;
	p = skip_scalar(p, end, care);
	return p ? jscan_colon(p, end) : NULL;
}

/* Steps over the container at p without recursion: the brackets that are open are bits of a word, 1 for an object,
 * the innermost lowest. `care` is constant where this is called: three functions come out of this one. */
JSCAN_INLINE const char *skip_container(const char *p, const char *end, unsigned depth, enum care care) {
	const unsigned base = depth;
	uint64_t objects = 0;
	for (;;) { /* p stands at a value */
		if (p == end) return NULL;
		if (*p == '{' || *p == '[') {
			if (++depth > JSCAN_DEPTH_MAX) return NULL;
			bool object = *p == '{';
			objects = objects << 1 | object;
			p = jscan_space(p + 1, end);
			if (p == end) return NULL;
			if (*p != (object ? '}' : ']')) {
				if (object && !(p = skip_name(p, end, care))) return NULL;
				continue;
			}
		} else {
			p = skip_scalar(p, end, care);
			if (!p) return NULL;
		}
		for (;;) { /* behind a value, or at the end of an empty container */
			p = jscan_space(p, end);
			if (p == end) return NULL;
			if (*p == ',') break;
			if (*p != (objects & 1 ? '}' : ']')) return NULL;
			p++;
			objects >>= 1;
			if (--depth == base) return p;
		}
		p = jscan_space(p + 1, end);
		if (objects & 1 && !(p = skip_name(p, end, care))) return NULL;
	}
}

const char *jscan_skip_container(const char *p, const char *end, unsigned depth) {
	return skip_container(p, end, depth, CARE_BRACKETS);
}

JSCAN_INLINE bool all_valid(struct sl_slice doc, enum care care) {
	if (doc.n == 0) return false;
	const char *end = doc.p + doc.n, *p = jscan_space(doc.p, end);
	if (p == end) return false;
	p = *p == '{' || *p == '[' ? skip_container(p, end, 0, care) : skip_scalar(p, end, care);
	return p && jscan_space(p, end) == end;
}

bool jscan_valid(struct sl_slice doc) { return all_valid(doc, CARE_ALL); }

bool jscan_too_deep(struct sl_slice text) {
	size_t depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < text.n && depth <= JSCAN_DEPTH_MAX; i++) {
		char c = text.p[i];
		if (c == '"')
			quoted = !quoted;
		else if (quoted)
			i += c == '\\';
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return depth > JSCAN_DEPTH_MAX;
}

static int the_value(struct sl_slice text, bool any, struct jpath_hit *out) {
	*out = (struct jpath_hit){0};
	if (text.n == 0) return SL_EMALFORMED;
	const char *end = text.p + text.n, *p = capture(jscan_space(text.p, end), end, 0, any, out);
	if (p && jscan_space(p, end) == end) return SL_OK;
	*out = (struct jpath_hit){0};
	return SL_EMALFORMED;
}

int jscan_value(struct sl_slice text, struct jpath_hit *out) { return the_value(text, false, out); }

int jscan_value_any_text(struct sl_slice text, struct jpath_hit *out) {
	if (jscan_valid(text)) return the_value(text, false, out);
	*out = (struct jpath_hit){0};
	return all_valid(text, CARE_ALL_BUT_UTF8) ? the_value(text, true, out) : SL_EMALFORMED;
}

int jscan_begin(struct jscan_iter *it, const struct jpath_hit *container) {
	if (container->kind != JKIND_OBJECT && container->kind != JKIND_ARRAY) return SL_ETYPE;
	*it = (struct jscan_iter){.at = container->raw.p + 1,
				  .end = container->raw.p + container->raw.n,
				  .object = container->kind == JKIND_OBJECT,
				  .first = true,
				  .any_text = (container->flags & JSCAN_ANY_TEXT) != 0};
	return SL_OK;
}

int jscan_next(struct jscan_iter *it, struct jpath_hit *key, struct jpath_hit *value) {
	const char *p = jscan_space(it->at, it->end);
	if (p == it->end) return SL_EMALFORMED;
	if (*p == (it->object ? '}' : ']')) {
		it->at = p; /* asked again, it says 0 again; after a comma we do not come here */
		return 0;
	}
	if (!it->first) {
		if (*p != ',') return SL_EMALFORMED;
		p = jscan_space(p + 1, it->end);
	}
	it->first = false;
	if (it->object) {
		if (p == it->end || *p != '"') return SL_EMALFORMED;
		p = capture_string(p, it->end, it->any_text, key);
		if (p) p = jscan_colon(p, it->end);
		if (!p) return SL_EMALFORMED;
	}
	/* The container was within the depth limit when it was found; each iterator adds one level at most. */
	p = capture(p, it->end, 1, it->any_text, value);
	if (!p) return SL_EMALFORMED;
	it->at = p;
	return 1;
}

static uint32_t hex4(const char *p) {
	uint32_t v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i], lower = (char)(c | 0x20);
		if (is_digit(c))
			v = v << 4 | (uint32_t)(c - '0');
		else if (lower >= 'a' && lower <= 'f')
			v = v << 4 | (uint32_t)(lower - 'a' + 10);
		else
			return UINT32_MAX;
	}
	return v;
}

/* The code point of the \u escape whose 'u' is at raw.p[*i]; *i moves to its last byte. UINT32_MAX when malformed. */
static uint32_t unescape_u(struct sl_slice raw, size_t *i) {
	if (raw.n - *i < 5) return UINT32_MAX;
	uint32_t v = hex4(raw.p + *i + 1);
	*i += 4;
	if (v < 0xd800 || v > 0xdbff) return v;
	if (raw.n - *i < 7 || raw.p[*i + 1] != '\\' || raw.p[*i + 2] != 'u') return v;
	uint32_t low = hex4(raw.p + *i + 3);
	if (low < 0xdc00 || low > 0xdfff) return v;
	*i += 6;
	return 0x10000 + ((v - 0xd800) << 10 | (low - 0xdc00));
}

static bool is_half(uint32_t code_point) { return code_point >= 0xd800 && code_point <= 0xdfff; }

/* The three bytes that UTF-8 would have for it, and has not: two halves stay two, and whoever wants UTF-8 finds out. */
static size_t put_half(uint32_t half, char *out) {
	out[0] = (char)0xed;
	out[1] = (char)(0x80 | (half >> 6 & 0x3f));
	out[2] = (char)(0x80 | (half & 0x3f));
	return 3;
}

ptrdiff_t jscan_unescape(struct sl_slice raw, char *out) {
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	char *at = out;
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] != '\\') {
			*at++ = raw.p[i];
			continue;
		}
		if (++i == raw.n) return SL_EMALFORMED;
		const char *simple = memchr(from, raw.p[i], sizeof from - 1);
		if (simple) {
			*at++ = to[simple - from];
			continue;
		}
		if (raw.p[i] != 'u') return SL_EMALFORMED;
		uint32_t code_point = unescape_u(raw, &i);
		if (code_point == UINT32_MAX) return SL_EMALFORMED;
		at += sl_unlikely(is_half(code_point)) ? put_half(code_point, at) : utf8_encode(code_point, at);
	}
	return at - out;
}

int jscan_string(const struct jpath_hit *hit, struct sl_arena *arena, struct sl_slice *out) {
	if (hit->kind != JKIND_STRING) return SL_ETYPE;
	if (!(hit->flags & JSCAN_ESCAPED)) {
		*out = hit->raw;
		return SL_OK;
	}
	char *text = sl_arena_alloc(arena, hit->raw.n);
	ptrdiff_t n = jscan_unescape(hit->raw, text);
	if (n < 0) return SL_EMALFORMED;
	*out = slice_make(text, (size_t)n);
	return SL_OK;
}

int jscan_i64(const struct jpath_hit *hit, int64_t *out) {
	return hit->kind == JKIND_INT ? slice_to_i64(hit->raw, out) : SL_ETYPE;
}

int jscan_double(const struct jpath_hit *hit, double *out) {
	if (hit->kind != JKIND_INT && hit->kind != JKIND_DOUBLE) return SL_ETYPE;
	return slice_to_double(hit->raw, out);
}
