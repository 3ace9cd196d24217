/* fn_string.c: text. Positions and lengths count what a reader sees as one character (a letter with its accents, an
 * emoji with its modifiers); positions begin at 0, as in EMQX. */
#include <locale.h>
#include <stdatomic.h>
#include <wctype.h>

#include "sql_vm.h"
#include "utf8.h"

/* ---- characters ---- */

/* Code points that belong to the character before them: accents, variation selectors, skin tones, tags. */
static bool extends(uint32_t cp) {
	static const uint32_t ranges[][2] = {
	    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},     {0x610, 0x61a},     {0x64b, 0x65f},
	    {0x6d6, 0x6dc},   {0x900, 0x903},   {0x93a, 0x93c},     {0x93e, 0x94f},     {0x981, 0x983},
	    {0x9bc, 0x9cd},   {0xe31, 0xe31},   {0xe34, 0xe3a},     {0xe47, 0xe4e},     {0x1ab0, 0x1aff},
	    {0x1dc0, 0x1dff}, {0x200c, 0x200d}, {0x20d0, 0x20f0},   {0x302a, 0x302f},   {0x3099, 0x309a},
	    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0x1f3fb, 0x1f3ff}, {0xe0020, 0xe007f}, {0xe0100, 0xe01ef},
	};
	if (cp < 0x300) return false;
	for (size_t i = 0; i < SL_ARRAY_LEN(ranges); i++)
		if (cp >= ranges[i][0] && cp <= ranges[i][1]) return true;
	return false;
}

static bool regional(uint32_t cp) { return cp >= 0x1f1e6 && cp <= 0x1f1ff; }

/* Bytes of the first character; s.n > 0. Broken UTF-8 counts byte by byte. */
static size_t character(struct sl_slice s, bool sound) {
	if (!sound) return 1;
	size_t n, len;
	uint32_t cp = utf8_decode(s, &n);
	if (cp == '\r' && s.n > 1 && s.p[1] == '\n') return 2;
	bool flag = regional(cp), joined = false;
	while (n < s.n) {
		cp = utf8_decode(slice_from(s, n), &len);
		if (!extends(cp) && !joined && !(flag && regional(cp))) break;
		flag = false; /* two regional letters make one flag */
		joined = cp == 0x200d;
		n += len;
	}
	return n;
}

static size_t count_characters(struct sl_slice s) {
	bool sound = utf8_valid(s);
	size_t count = 0;
	for (; s.n; count++) s = slice_from(s, character(s, sound));
	return count;
}

static struct sl_slice skip_characters(struct sl_slice s, int64_t n) {
	bool sound = utf8_valid(s);
	while (n-- > 0 && s.n) s = slice_from(s, character(s, sound));
	return s;
}

/* ---- case ---- */

static locale_t unicode_locale(void) {
	static _Atomic(locale_t) made;
	locale_t l = atomic_load(&made);
	if (l) return l;
	l = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t none = (locale_t)0;
	if (l && !atomic_compare_exchange_strong(&made, &none, l)) {
		freelocale(l);
		l = none;
	}
	return l;
}

int sql_change_case(struct sql_call *c, struct sl_slice s, bool upper, struct sql_value *out) {
	locale_t l = unicode_locale();
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	if (!utf8_valid(s)) l = (locale_t)0;
	while (s.n) {
		size_t len = 1;
		uint32_t cp = l ? utf8_decode(s, &len) : (uint8_t)s.p[0];
		s = slice_from(s, len);
		char bytes[4];
		if (cp < 0x80 || !l) {
			bool change = upper ? cp >= 'a' && cp <= 'z' : cp >= 'A' && cp <= 'Z';
			sl_buf_put(b, (char)(change ? cp ^ 0x20 : cp));
			continue;
		}
		if (upper && cp == 0xdf) { /* sharp s has no capital of its own */
			sl_buf_append_str(b, "SS");
			continue;
		}
		cp = (uint32_t)(upper ? towupper_l((wint_t)cp, l) : towlower_l((wint_t)cp, l));
		sl_buf_append(b, bytes, utf8_encode(cp, bytes));
	}
	int r = sql_call_text(c, b, out);
	return r;
}
static int fn_lower(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_change_case(c, sql_value_text(a), false, out);
}
static int fn_upper(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	return sql_change_case(c, sql_value_text(a), true, out);
}

/* ---- ends ---- */

/* The first and the last character; a byte, where the text is not UTF-8. */
static struct sl_slice first_char(struct sl_slice s) {
	uint8_t lead = (uint8_t)s.p[0];
	size_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (len > s.n || (len > 1 && !utf8_valid(slice_sub(s, 0, len)))) len = 1;
	return slice_sub(s, 0, len);
}
static struct sl_slice last_char(struct sl_slice s) {
	size_t at = s.n - 1;
	while (at > 0 && s.n - at < 4 && ((uint8_t)s.p[at] & 0xc0) == 0x80) at--;
	if (first_char(slice_from(s, at)).n != s.n - at) at = s.n - 1;
	return slice_from(s, at);
}
/* Whole characters only: in UTF-8 none is a part of another. */
static bool one_of(struct sl_slice ch, struct sl_slice set) { return slice_find(set, ch) >= 0; }

static int trim(const struct sql_value *a, uint32_t n, bool left, bool right, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]);
	struct sl_slice set = n == 2 ? sql_value_text(&a[1]) : SL_SLICE_LIT(" \t\n\v\f\r");
	while (left && s.n && one_of(first_char(s), set)) s = slice_from(s, first_char(s).n);
	while (right && s.n && one_of(last_char(s), set)) s.n -= last_char(s).n;
	*out = sql_string(s);
	return SL_OK;
}
static int fn_trim(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	return trim(a, n, true, true, out);
}
static int fn_ltrim(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	return trim(a, n, true, false, out);
}
static int fn_rtrim(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c;
	return trim(a, n, false, true, out);
}
static int fn_rm_prefix(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	struct sl_slice s = sql_value_text(&a[0]), p = sql_value_text(&a[1]);
	*out = sql_string(slice_starts_with(s, p) ? slice_from(s, p.n) : s);
	return SL_OK;
}

/* ---- parts ---- */

static int fn_strlen(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)c, (void)n;
	*out = sql_int((int64_t)count_characters(sql_value_text(a)));
	return SL_OK;
}

static int fn_substr(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]);
	if (a[1].i < 0 || (n == 3 && a[2].i < 0)) return sql_call_fail(c, "start and length must not be negative");
	struct sl_slice from = skip_characters(s, a[1].i);
	struct sl_slice after = n == 3 ? skip_characters(from, a[2].i) : slice_from(from, from.n);
	*out = sql_string(slice_sub(from, 0, from.n - after.n));
	return SL_OK;
}

static int fn_reverse(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sl_slice s = sql_value_text(a);
	bool sound = utf8_valid(s);
	char *p = sl_arena_alloc(c->arena, s.n + 1), *at = p + s.n;
	*out = sql_string(slice_make(p, s.n));
	while (s.n) {
		size_t len = character(s, sound);
		at -= len;
		memcpy(at, s.p, len);
		s = slice_from(s, len);
	}
	return SL_OK;
}

static int fn_ascii(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	struct sl_slice s = sql_value_text(a);
	size_t len;
	if (s.n == 0) return sql_call_fail(c, "the text is empty");
	*out = sql_int(utf8_valid(s) ? utf8_decode(s, &len) : (uint8_t)s.p[0]);
	return SL_OK;
}

static ptrdiff_t find_last(struct sl_slice s, struct sl_slice needle) {
	for (size_t i = s.n >= needle.n ? s.n - needle.n + 1 : 0; i > 0; i--)
		if (memcmp(s.p + i - 1, needle.p, needle.n) == 0) return (ptrdiff_t)i - 1;
	return -1;
}

enum where { ALL, LEADING, TRAILING, NOWHERE };
static enum where where(const struct sql_value *v) {
	struct sl_slice s = sql_value_text(v);
	if (slice_equal_str(s, "all")) return ALL;
	if (slice_equal_str(s, "leading")) return LEADING;
	return slice_equal_str(s, "trailing") ? TRAILING : NOWHERE;
}

static int fn_find(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]), needle = sql_value_text(&a[1]);
	enum where w = n == 3 ? where(&a[2]) : LEADING;
	if (w == NOWHERE || w == ALL) return sql_call_fail(c, "the third argument is 'leading' or 'trailing'");
	ptrdiff_t at = w == LEADING || needle.n == 0 ? slice_find(s, needle) : find_last(s, needle);
	*out = sql_string(at < 0 ? slice_make("", 0) : slice_from(s, (size_t)at));
	return SL_OK;
}

static int fn_replace(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]), find = sql_value_text(&a[1]), by = sql_value_text(&a[2]);
	enum where w = n == 4 ? where(&a[3]) : ALL;
	if (w == NOWHERE) return sql_call_fail(c, "the fourth argument is 'all', 'leading' or 'trailing'");
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	while (find.n && b->n <= SQL_TEXT_MAX) {
		ptrdiff_t at = w == TRAILING ? find_last(s, find) : slice_find(s, find);
		if (at < 0) break;
		sl_buf_append(b, s.p, (size_t)at);
		sl_buf_append_slice(b, by);
		s = slice_from(s, (size_t)at + find.n);
		if (w != ALL) break;
	}
	sl_buf_append_slice(b, s);
	return sql_call_text(c, b, out);
}

/* ---- lists of parts ---- */

/* Grows by doubling in the arena, within what a run may make. */
struct parts {
	struct sql_list list;
	uint32_t room;
};
static int add_part(struct sql_call *c, struct parts *p, struct sl_slice s, bool keep_empty) {
	if (s.n == 0 && !keep_empty) return SL_OK;
	if (p->list.n == p->room) {
		p->room = p->room ? p->room * 2 : 8;
		int r = sql_vm_made(c->vm, p->room * sizeof(struct sql_value));
		if (r != SL_OK) return r;
		struct sql_value *grown = SL_ARENA_ARRAY(c->arena, struct sql_value, p->room);
		if (p->list.n) memcpy(grown, p->list.at, p->list.n * sizeof *grown);
		p->list.at = grown;
	}
	p->list.at[p->list.n++] = sql_string(s);
	return SL_OK;
}
static int give_parts(struct sql_call *c, const struct parts *p, struct sql_value *out) {
	struct sql_list *l = SL_ARENA_NEW(c->arena, struct sql_list);
	*l = p->list;
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return SL_OK;
}

static int fn_split(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	static const char *const options[] = {"trim",           "notrim",   "leading",
					      "leading_notrim", "trailing", "trailing_notrim"};
	struct sl_slice s = sql_value_text(&a[0]), sep = sql_value_text(&a[1]);
	size_t option = 0;
	while (n == 3 && option < SL_ARRAY_LEN(options) && !slice_equal_str(sql_value_text(&a[2]), options[option]))
		option++;
	if (option == SL_ARRAY_LEN(options))
		return sql_call_fail(c, "the third argument is notrim, leading, trailing, leading_notrim or "
					"trailing_notrim");
	bool keep = option % 2 == 1, once = option >= 2, from_end = option >= 4;
	struct parts p = {.room = 0};
	int r = SL_OK;
	while (sep.n && r == SL_OK) {
		ptrdiff_t at = from_end ? find_last(s, sep) : slice_find(s, sep);
		if (at < 0) break;
		r = add_part(c, &p, slice_sub(s, 0, (size_t)at), keep);
		s = slice_from(s, (size_t)at + sep.n);
		if (once) break;
	}
	if (r == SL_OK) r = add_part(c, &p, s, keep);
	return r == SL_OK ? give_parts(c, &p, out) : r;
}

static int fn_tokens(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = sql_value_text(&a[0]), set = sql_value_text(&a[1]);
	bool crlf = n == 3 && slice_equal_str(sql_value_text(&a[2]), "nocrlf");
	if (n == 3 && !crlf) return sql_call_fail(c, "the third argument is 'nocrlf'");
	struct parts p = {.room = 0};
	size_t start = 0;
	int r = SL_OK;
	for (size_t i = 0, len; i < s.n && r == SL_OK; i += len) {
		struct sl_slice ch = first_char(slice_from(s, i));
		len = ch.n;
		if (!one_of(ch, set) && !(crlf && (s.p[i] == '\r' || s.p[i] == '\n'))) continue;
		r = add_part(c, &p, slice_sub(s, start, i - start), false);
		start = i + len;
	}
	if (r == SL_OK) r = add_part(c, &p, slice_from(s, start), false);
	return r == SL_OK ? give_parts(c, &p, out) : r;
}

/* ---- making text ---- */

static int fn_concat(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value l = a[0];
	struct sl_buf *b = &c->vm->scratch;
	if (n == 1 && sql_is_list(&l)) {
		int r = sql_unfold(c->vm, &l);
		if (r != SL_OK) return r;
		a = l.list->at;
		n = l.list->n;
	}
	sl_buf_clear(b);
	for (uint32_t i = 0; i < n && b->n <= SQL_TEXT_MAX; i++) sql_value_to_text(&a[i], b);
	return sql_call_text(c, b, out);
}

static int fn_join(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value l = a[n - 1];
	if (!sql_is_list(&l) || (n == 2 && !sql_is_text(&a[0]))) return sql_call_fail(c, "takes ([separator,] array)");
	int r = sql_unfold(c->vm, &l);
	if (r != SL_OK) return r;
	struct sl_slice sep = n == 2 ? sql_value_text(&a[0]) : SL_SLICE_LIT(", ");
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	for (uint32_t i = 0; i < l.list->n && b->n <= SQL_TEXT_MAX; i++) {
		if (i) sl_buf_append_slice(b, sep);
		sql_value_to_text(&l.list->at[i], b);
	}
	return sql_call_text(c, b, out);
}

static int fn_pad(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	enum { PAD_MAX = 1 << 20 };
	struct sl_slice s = sql_value_text(&a[0]), fill = n == 4 ? sql_value_text(&a[3]) : SL_SLICE_LIT(" ");
	bool both = n >= 3 && slice_equal_str(sql_value_text(&a[2]), "both");
	enum where w = n >= 3 && !both ? where(&a[2]) : TRAILING;
	if (w == NOWHERE || w == ALL) return sql_call_fail(c, "the third argument is leading, trailing or both");
	if (a[1].i > PAD_MAX) return sql_call_fail(c, "the length is at most %d", PAD_MAX);
	int64_t missing = a[1].i - (int64_t)count_characters(s);
	int64_t before = missing <= 0 ? 0 : both ? missing / 2 : w == LEADING ? missing : 0;
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	for (int64_t i = 0; i < before && b->n <= SQL_TEXT_MAX; i++) sl_buf_append_slice(b, fill);
	sl_buf_append_slice(b, s);
	for (int64_t i = before; i < missing && b->n <= SQL_TEXT_MAX; i++) sl_buf_append_slice(b, fill);
	return sql_call_text(c, b, out);
}

static int hex_value(char c) {
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'a' && c <= 'f') return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH..: as many hexadecimal digits as follow, the number of a code point. */
static int unescape_hex(struct sql_call *c, struct sl_slice *s, struct sl_buf *b) {
	uint32_t cp = 0;
	size_t n = 0;
	for (; n < s->n && hex_value(s->p[n]) >= 0 && cp <= 0x10ffff; n++) cp = cp << 4 | (uint32_t)hex_value(s->p[n]);
	if (n == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return sql_call_fail(c, "\\x needs the hexadecimal number of a character");
	char bytes[4];
	sl_buf_append(b, bytes, utf8_encode(cp, bytes));
	*s = slice_from(*s, n);
	return SL_OK;
}

static int fn_unescape(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	(void)n;
	static const char letters[] = "ntrbfva'\"?\\", values[] = "\n\t\r\b\f\v\a'\"?\\";
	struct sl_slice s = sql_value_text(a);
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	while (s.n) {
		char ch = s.p[0];
		s = slice_from(s, 1);
		if (ch != '\\') {
			sl_buf_put(b, ch);
			continue;
		}
		char letter = s.n ? s.p[0] : '\0';
		s = slice_from(s, 1);
		const char *at = letter ? strchr(letters, letter) : NULL;
		if (at) {
			sl_buf_put(b, values[at - letters]);
		} else if (letter == 'x') {
			int r = unescape_hex(c, &s, b);
			if (r != SL_OK) return r;
		} else {
			return sql_call_fail(c, "after a backslash comes one of n t r b f v a ' \" ? \\ x");
		}
	}
	return sql_call_text(c, b, out);
}

static const struct sql_fn table[] = {
    {.name = "lower",
     .args = "s",
     .call = fn_lower,
     .usage = "lower(text)",
     .doc = "In small letters.",
     .example = "lower('ÄB')",
     .gives = "\"äb\""},
    {.name = "upper",
     .args = "s",
     .call = fn_upper,
     .usage = "upper(text)",
     .doc = "In capital letters.",
     .example = "upper('äß')",
     .gives = "\"ÄSS\""},
    {.name = "trim",
     .args = "s?s",
     .call = fn_trim,
     .usage = "trim(text [, chars])",
     .doc = "Without white space, or any of the characters, at both ends.",
     .example = "trim('  a b ')",
     .gives = "\"a b\""},
    {.name = "ltrim",
     .args = "s?s",
     .call = fn_ltrim,
     .usage = "ltrim(text [, chars])",
     .doc = "The same in front.",
     .example = "ltrim('  a ')",
     .gives = "\"a \""},
    {.name = "rtrim",
     .args = "s?s",
     .call = fn_rtrim,
     .usage = "rtrim(text [, chars])",
     .doc = "The same at the end.",
     .example = "rtrim('a-+-', '-+')",
     .gives = "\"a\""},
    {.name = "rm_prefix",
     .args = "ss",
     .call = fn_rm_prefix,
     .usage = "rm_prefix(text, prefix)",
     .doc = "Without the prefix, if it has it.",
     .example = "rm_prefix('foobar', 'foo')",
     .gives = "\"bar\""},
    {.name = "strlen",
     .args = "s",
     .call = fn_strlen,
     .usage = "strlen(text)",
     .doc = "How many characters it has.",
     .example = "strlen('你好')",
     .gives = "2"},
    {.name = "substr",
     .args = "si?i",
     .call = fn_substr,
     .usage = "substr(text, start [, length])",
     .doc = "The part from a position on, counted from 0.",
     .errors = "for negative numbers",
     .example = "substr('abcdef', 1, 3)",
     .gives = "\"bcd\""},
    {.name = "reverse",
     .args = "s",
     .call = fn_reverse,
     .usage = "reverse(text)",
     .doc = "The last character first.",
     .example = "reverse('abc')",
     .gives = "\"cba\""},
    {.name = "ascii",
     .args = "s",
     .call = fn_ascii,
     .usage = "ascii(text)",
     .doc = "The first code point's number.",
     .errors = "for empty text",
     .example = "ascii('a')",
     .gives = "97"},
    {.name = "find",
     .args = "ss?s",
     .call = fn_find,
     .usage = "find(text, part [, 'trailing'])",
     .doc = "The rest of the text from the first (or last) place of the part on; empty when it has none.",
     .errors = "for another word than 'leading' and 'trailing'",
     .example = "find('a.b.c', '.', 'trailing')",
     .gives = "\".c\""},
    {.name = "replace",
     .args = "sss?s",
     .call = fn_replace,
     .usage = "replace(text, part, by [, 'leading'])",
     .doc = "All places of the part (or the leading, or the trailing one) replaced.",
     .errors = "for another word than 'all', 'leading' and 'trailing'",
     .example = "replace('a.b.c', '.', '/')",
     .gives = "\"a/b/c\""},
    {.name = "split",
     .args = "ss?s",
     .call = fn_split,
     .usage = "split(text, separator [, option])",
     .doc = "The parts between separators, empty ones dropped unless notrim; leading and trailing split once.",
     .errors = "for another option than notrim, leading, trailing, leading_notrim and trailing_notrim",
     .example = "split('a,b,,c', ',')",
     .gives = "[\"a\",\"b\",\"c\"]"},
    {.name = "tokens",
     .args = "ss?s",
     .call = fn_tokens,
     .usage = "tokens(text, chars [, 'nocrlf'])",
     .doc = "The parts between any of the characters.",
     .errors = "for another word than 'nocrlf'",
     .example = "tokens('/a/b//c', '/')",
     .gives = "[\"a\",\"b\",\"c\"]"},
    {.name = "concat",
     .args = "a?a*",
     .call = fn_concat,
     .usage = "concat(a, b, ...) or concat(array)",
     .doc = "The texts of all, one after the other; absent ones give nothing.",
     .example = "concat('v', 1, null)",
     .gives = "\"v1\""},
    {.name = "join_to_string",
     .args = "a?a",
     .call = fn_join,
     .usage = "join_to_string([separator,] array)",
     .doc = "The texts of the elements with a separator (', ') between.",
     .errors = "when it is no array",
     .example = "join_to_string('-', ['a', 1])",
     .gives = "\"a-1\""},
    {.name = "pad",
     .args = "si?ss",
     .call = fn_pad,
     .usage = "pad(text, length [, where [, fill]])",
     .doc = "Filled up to a length, trailing, leading or both.",
     .errors = "for lengths over a million (1048576), and for another word than trailing, leading and both",
     .example = "pad('7', 3, 'leading', '0')",
     .gives = "\"007\""},
    {.name = "unescape",
     .args = "s",
     .call = fn_unescape,
     .usage = "unescape(text)",
     .doc = "With \\n, \\t, \\x20AC and their like turned into the characters they stand for.",
     .errors = "for other letters after a backslash, and for \\x without the number of a character",
     .example = "unescape('a\\x41')",
     .gives = "\"aA\""},
};
const struct sql_fn_family sql_fn_string = {"Text", table, SL_ARRAY_LEN(table), SQL_STANDARD};
