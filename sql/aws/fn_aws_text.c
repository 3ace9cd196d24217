/* fn_aws_text.c: text in the aws dialect. Positions and lengths count code points and begin at 0. */
#include "aws_fn.h"
#include "utf8.h"

#define NO_TEXT "when the argument is Null or Undefined"
#define NO_TEXTS "when an argument is Null or Undefined"

int aws_texts(struct sql_call *c, const struct sql_value *a, uint32_t n, uint32_t want, struct sl_slice *out) {
	if (n != want) return 0;
	for (uint32_t i = 0; i < n; i++) {
		struct sql_value v;
		int r = aws_to_string(c->vm, &a[i], &v);
		if (r != SL_OK) return r;
		if (v.kind == SQL_NULL) return 0;
		out[i] = sql_value_text(&v);
	}
	return 1;
}

/* Takes `want` texts into s, or leaves the function. */
#define TEXTS(want)                                                                                                    \
	struct sl_slice s[want] = {{0}};                                                                               \
	int got = aws_texts(c, a, n, want, s);                                                                         \
	if (got < 0) return got;                                                                                       \
	if (got == 0) return aws_undefined(out)

/* ---- characters ---- */

static size_t length_of(struct sl_slice s) { return utf8_valid(s) ? utf8_length(s) : s.n; }

/* Where the character behind the one at `at` begins. */
static size_t next_character(struct sl_slice s, size_t at) {
	at++;
	while (at < s.n && ((uint8_t)s.p[at] & 0xc0) == 0x80) at++;
	return at;
}

/* The byte where character n begins; s.n when there are fewer. */
static size_t byte_of(struct sl_slice s, int64_t n) {
	if (n >= (int64_t)s.n) return s.n; /* a character has at least a byte */
	if (!utf8_valid(s)) return (size_t)n;
	size_t at = 0;
	while (n-- > 0 && at < s.n) at = next_character(s, at);
	return at;
}

static int fn_length(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	*out = sql_int((int64_t)length_of(s[0]));
	return SL_OK;
}
static int fn_numbytes(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	*out = sql_int((int64_t)s[0].n);
	return SL_OK;
}

static int fn_substring(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sl_slice s = SL_SLICE_EMPTY;
	struct sql_value at[2] = {sql_int(0), sql_int(INT64_MAX)};
	if (n < 2 || n > 3) return aws_undefined(out);
	int r = aws_texts(c, a, 1, 1, &s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	for (uint32_t i = 1; i < n; i++) {
		if ((r = aws_to_int(c->vm, &a[i], &at[i - 1])) != SL_OK) return r;
		if (at[i - 1].kind != SQL_INT) return aws_undefined(out);
		if (at[i - 1].i < 0) at[i - 1].i = 0;
	}
	size_t from = byte_of(s, at[0].i), to = byte_of(s, at[1].i);
	*out = sql_call_bytes(slice_sub(s, from, to > from ? to - from : 0));
	return SL_OK;
}

static int fn_indexof(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(2);
	ptrdiff_t at = slice_find(s[0], s[1]);
	*out = sql_int(at < 0 ? -1 : (int64_t)length_of(slice_sub(s[0], 0, (size_t)at)));
	return SL_OK;
}
static int fn_startswith(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(2);
	*out = sql_bool(slice_starts_with(s[0], s[1]));
	return SL_OK;
}
static int fn_endswith(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(2);
	*out = sql_bool(s[0].n >= s[1].n && slice_equal(slice_from(s[0], s[0].n - s[1].n), s[1]));
	return SL_OK;
}

/* ---- other forms ---- */

static int fn_lower(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	return sql_change_case(c, s[0], false, out);
}
static int fn_upper(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	return sql_change_case(c, s[0], true, out);
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }
static struct sl_slice trim(struct sl_slice s, bool left, bool right) {
	while (left && s.n && is_blank(s.p[0])) s = slice_from(s, 1);
	while (right && s.n && is_blank(s.p[s.n - 1])) s.n--;
	return s;
}
static int fn_trim(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	*out = sql_call_bytes(trim(s[0], true, true));
	return SL_OK;
}
static int fn_ltrim(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	*out = sql_call_bytes(trim(s[0], true, false));
	return SL_OK;
}
static int fn_rtrim(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(1);
	*out = sql_call_bytes(trim(s[0], false, true));
	return SL_OK;
}

static int pad(struct sql_call *c, const struct sql_value *a, uint32_t n, bool left, struct sql_value *out) {
	enum { PAD_MAX = 1000 };
	struct sl_slice s = SL_SLICE_EMPTY;
	struct sql_value count = sql_null();
	if (n != 2) return aws_undefined(out);
	int r = aws_texts(c, a, 1, 1, &s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	if ((r = aws_to_int_down(c->vm, &a[1], &count)) != SL_OK) return r;
	if (count.kind != SQL_INT) return aws_undefined(out);
	size_t spaces = count.i < 0 ? 0 : count.i > PAD_MAX ? PAD_MAX : (size_t)count.i;
	if ((r = sql_vm_made(c->vm, s.n + spaces)) != SL_OK) return r;
	char *p = sl_arena_alloc(c->arena, s.n + spaces + 1);
	memset(left ? p : p + s.n, ' ', spaces);
	if (s.n) memcpy(left ? p + spaces : p, s.p, s.n);
	*out = sql_call_bytes(slice_make(p, s.n + spaces));
	return SL_OK;
}
static int fn_lpad(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return pad(c, a, n, true, out);
}
static int fn_rpad(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	return pad(c, a, n, false, out);
}

static int too_long(struct sql_call *c) {
	return sql_call_fail(c, "the result would exceed %d MB", SQL_TEXT_MAX >> 20);
}

static int fn_replace(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	TEXTS(3);
	struct sl_buf *b = &c->vm->scratch;
	struct sl_slice rest = s[0];
	bool characters = s[1].n == 0 && utf8_valid(rest);
	sl_buf_clear(b);
	while (rest.n) {
		/* nothing stands before every character, and at the end */
		ptrdiff_t at = slice_find(rest, s[1]);
		if (at < 0) break;
		sl_buf_append(b, rest.p, (size_t)at);
		sl_buf_append_slice(b, s[2]);
		rest = slice_from(rest, (size_t)at + s[1].n);
		if (s[1].n == 0) {
			size_t first = characters ? next_character(rest, 0) : 1;
			sl_buf_append(b, rest.p, first);
			rest = slice_from(rest, first);
		}
		if (b->n > SQL_TEXT_MAX) return too_long(c);
	}
	sl_buf_append_slice(b, rest.n || s[1].n ? rest : s[2]);
	return sql_call_text(c, b, out);
}

static int fn_chr(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	struct sql_value code = sql_null();
	if (n != 1) return aws_undefined(out);
	int r = aws_to_int_down(c->vm, a, &code);
	if (r != SL_OK || code.kind != SQL_INT || code.i < 0 || code.i > 127) {
		*out = sql_null();
		return r;
	}
	char ch = (char)code.i;
	*out = sql_string(sl_arena_dup(c->arena, slice_make(&ch, 1)));
	return SL_OK;
}

/* ---- concat ---- */

static int splice(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	uint64_t room = 0;
	struct sql_value *part = SL_ARENA_ARRAY(c->arena, struct sql_value, n);
	for (uint32_t i = 0; i < n; i++) {
		part[i] = a[i];
		int r = sql_is_list(&part[i]) ? sql_unfold(c->vm, &part[i]) : SL_OK;
		if (r != SL_OK) return r;
		room += part[i].kind == SQL_LIST ? part[i].list->n : 1;
	}
	if (room > SQL_ELEMENTS_MAX)
		return sql_call_fail(c, "the result would have more than %d elements", SQL_ELEMENTS_MAX);
	int r = sql_vm_made(c->vm, room * sizeof *part);
	if (r != SL_OK) return r;
	struct sql_list *l = sql_call_list(c, (uint32_t)room);
	l->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (part[i].kind == SQL_NULL) continue; /* as in an array literal */
		if (part[i].kind != SQL_LIST) {
			l->at[l->n++] = part[i];
			continue;
		}
		if (part[i].list->n) memcpy(l->at + l->n, part[i].list->at, part[i].list->n * sizeof *part);
		l->n += part[i].list->n;
	}
	*out = (struct sql_value){.kind = SQL_LIST, .list = l};
	return sql_check_size(c->vm, out);
}

static int fn_concat(struct sql_call *c, const struct sql_value *a, uint32_t n, struct sql_value *out) {
	bool text = false;
	if (n == 0) return aws_undefined(out);
	if (n == 1) {
		*out = *a;
		return SL_OK;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (sql_is_list(&a[i])) return splice(c, a, n, out);
		text |= sql_is_text(&a[i]);
	}
	if (!text) return aws_undefined(out);
	struct sl_slice *s = SL_ARENA_ARRAY(c->arena, struct sl_slice, n);
	int r = aws_texts(c, a, n, n, s);
	if (r <= 0) return r < 0 ? r : aws_undefined(out);
	struct sl_buf *b = &c->vm->scratch;
	sl_buf_clear(b);
	for (uint32_t i = 0; i < n; i++) {
		if (b->n + s[i].n > SQL_TEXT_MAX) return too_long(c);
		sl_buf_append_slice(b, s[i]);
	}
	return sql_call_text(c, b, out);
}

static const struct sql_fn table[] = {
    AWS_ROW(
	"concat", "?a*", fn_concat, "concat(a, b, ...)",
	"With an array among them one array, the elements of arrays and the other values in order; else their texts "
	"joined. A single value as it is.",
	"without an argument, when there is neither text nor an array, or text is joined with Null or Undefined",
	"concat([1, 2, 3], 'hello')", "[1,2,3,\"hello\"]"),
    AWS_ROW("lower", "a", fn_lower, "lower(text)", "In small letters.", NO_TEXT, "lower('HELLO')", "\"hello\""),
    AWS_ROW("upper", "a", fn_upper, "upper(text)", "In capital letters.", NO_TEXT, "upper('hello')", "\"HELLO\""),
    AWS_ROW("trim", "a", fn_trim, "trim(text)", "Without spaces and tabs at both ends.", NO_TEXT, "trim(' hi ')",
	    "\"hi\""),
    AWS_ROW("ltrim", "a", fn_ltrim, "ltrim(text)", "The same in front.", NO_TEXT, "ltrim(' h i ')", "\"h i \""),
    AWS_ROW("rtrim", "a", fn_rtrim, "rtrim(text)", "The same at the end.", NO_TEXT, "rtrim(' h i ')", "\" h i\""),
    AWS_ROW("lpad", "aa", fn_lpad, "lpad(text, n)",
	    "With n more spaces in front; n is rounded down and taken from 0 to 1000.", NO_TEXT ", or n is no number",
	    "lpad(1, 3)", "\"   1\""),
    AWS_ROW("rpad", "aa", fn_rpad, "rpad(text, n)", "The same at the end.", NO_TEXT ", or n is no number",
	    "rpad('hello', 2)", "\"hello  \""),
    AWS_ROW("length", "a", fn_length, "length(text)",
	    "How many characters (code points) it has; of an array or object, those of its JSON text.", NO_TEXT,
	    "length(['Hello'])", "9"),
    AWS_ROW("numbytes", "a", fn_numbytes, "numbytes(text)", "How many bytes it has in UTF-8.", NO_TEXT, "numbytes('€')",
	    "3"),
    AWS_ROW("substring", "aa?a", fn_substring, "substring(text, from [, to])",
	    "From character from, counted from 0, up to, not including, to. Numbers are cut to Int and to the text.",
	    NO_TEXT ", or from or to is no number", "substring('012345', 1, 3)", "\"12\""),
    AWS_ROW("indexof", "aa", fn_indexof, "indexof(text, part)", "Where the part begins, counted from 0; -1: nowhere.",
	    NO_TEXTS, "indexof('abcd', 'bc')", "1"),
    AWS_ROW("startswith", "aa", fn_startswith, "startswith(text, part)", "Does the text begin with it?", NO_TEXTS,
	    "startswith('ranger', 'ran')", "true"),
    AWS_ROW("endswith", "aa", fn_endswith, "endswith(text, part)", "Does the text end with it?", NO_TEXTS,
	    "endswith('cat', 'at')", "true"),
    AWS_ROW("replace", "aaa", fn_replace, "replace(text, part, by)",
	    "All places of the part replaced; nothing in it is a pattern.", NO_TEXTS, "replace('abcd', 'bc', 'x')",
	    "\"axd\""),
    AWS_ROW("chr", "a", fn_chr, "chr(n)", "The ASCII character of that number, which is rounded down.",
	    "when n is no number or not from 0 to 127", "chr(65)", "\"A\""),
};
const struct sql_fn_family aws_fn_text = {"Text", table, SL_ARRAY_LEN(table), SQL_AWS};
