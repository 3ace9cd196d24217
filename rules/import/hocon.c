/* hocon.c: text to tree, by recursive descent; see hocon.h. What refers to other places is resolved by hocon_resolve.c. */
#include "hocon.h"

#include "hocon_int.h"
#include "mem.h"
#include "utf8.h"

static json_t *read_value(struct hocon_reader *r, int depth);
static json_t *read_members(struct hocon_reader *r, int depth, bool braces);

json_t *hocon_fail(struct hocon_reader *r, uint32_t line, uint32_t column, int status, const char *fmt, ...) {
	if (!r->err || r->err->status != SL_OK) return NULL;
	va_list ap;
	va_start(ap, fmt);
	sl_err_setv(r->err, status, fmt, ap);
	va_end(ap);
	sl_err_at(r->err, r->name, line, column);
	return NULL;
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

static uint32_t column(const struct hocon_reader *r) { return (uint32_t)(r->at - r->line_start + 1); }

#define FAIL_HERE(r, status, ...) hocon_fail((r), (r)->line, column(r), (status), __VA_ARGS__)

static char peek(const struct hocon_reader *r, size_t ahead) {
	return r->at + ahead < r->s.n ? r->s.p[r->at + ahead] : '\0';
}
static bool at_end(const struct hocon_reader *r) { return r->at >= r->s.n; }

static void step(struct hocon_reader *r) {
	if (r->s.p[r->at++] != '\n') return;
	r->line++;
	r->line_start = r->at;
}

static bool starts_with(const struct hocon_reader *r, const char *text) {
	return slice_starts_with(slice_from(r->s, r->at), slice_from_str(text));
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }
static bool at_comment(const struct hocon_reader *r) { return peek(r, 0) == '#' || starts_with(r, "//"); }

/* Spaces and a comment, up to the end of the line. */
static void skip_space(struct hocon_reader *r) {
	while (!at_end(r) && is_space(peek(r, 0))) step(r);
	if (at_comment(r))
		while (!at_end(r) && peek(r, 0) != '\n') step(r);
}

static void skip_lines(struct hocon_reader *r) {
	for (skip_space(r); !at_end(r) && peek(r, 0) == '\n'; skip_space(r)) step(r);
}

static void skip_separators(struct hocon_reader *r) {
	for (skip_lines(r); peek(r, 0) == ','; skip_lines(r)) step(r);
}

/* One more value, or part of a key. */
static bool count_node(struct hocon_reader *r) {
	if (++r->nodes <= HOCON_NODES_MAX) return true;
	FAIL_HERE(r, SL_ELIMIT, "there are more than %d values; split the file", HOCON_NODES_MAX);
	return false;
}

static bool deep(struct hocon_reader *r, int depth) {
	if (depth <= HOCON_DEPTH_MAX) return false;
	FAIL_HERE(r, SL_ELIMIT, "values stand more than %d deep in each other", HOCON_DEPTH_MAX);
	return true;
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

static int hex4(struct hocon_reader *r) {
	int value = 0;
	for (size_t i = 0; i < 4; i++) {
		char c = peek(r, i);
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;
		if (digit < 0) return -1;
		value = value * 16 + digit;
	}
	r->at += 4;
	return value;
}

/* Behind \u. */
static bool read_unicode(struct hocon_reader *r, struct sl_buf *out) {
	int code = hex4(r);
	if (code >= 0xd800 && code < 0xdc00 && starts_with(r, "\\u")) {
		r->at += 2;
		int low = hex4(r);
		code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + (code - 0xd800) * 1024 + (low - 0xdc00) : -1;
	}
	if (code <= 0 || (code >= 0xd800 && code < 0xe000)) {
		FAIL_HERE(r, SL_ESYNTAX, "\\u wants four hexadecimal digits of a character (and NUL is none)");
		return false;
	}
	char bytes[4];
	sl_buf_append(out, bytes, utf8_encode((uint32_t)code, bytes));
	return true;
}

/* At the backslash. */
static bool read_escape(struct hocon_reader *r, struct sl_buf *out) {
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	char c = peek(r, 1);
	const char *known = c ? strchr(from, c) : NULL;
	if (!known && c != 'u') {
		FAIL_HERE(r, SL_ESYNTAX, "there is no escape \\%c; a backslash is written \\\\", c > ' ' ? c : '?');
		return false;
	}
	r->at += 2;
	if (!known) return read_unicode(r, out);
	sl_buf_put(out, to[known - from]);
	return true;
}

/* """~ ... ~""": the line break behind the first ~ and what all lines are indented by is not part of the text. */
static void unindent(struct sl_buf *text) {
	struct sl_slice all = sl_buf_slice(text), rest;
	if (all.n < 2 || all.p[0] != '~' || all.p[1] != '\n') return;
	all = slice_from(all, 2);
	if (all.n && all.p[all.n - 1] == '~') all.n--;
	size_t indent = SIZE_MAX;
	for (rest = all; rest.p;) {
		struct sl_slice line = slice_next_part(&rest, '\n');
		size_t n = 0;
		while (n < line.n && is_space(line.p[n])) n++;
		if (n < line.n && n < indent) indent = n;
	}
	struct sl_buf made = SL_BUF_INIT;
	for (rest = all; rest.p;) {
		struct sl_slice line = slice_next_part(&rest, '\n');
		sl_buf_append_slice(&made, slice_trim(line).n ? slice_from(line, indent) : SL_SLICE_EMPTY);
		if (rest.p) sl_buf_put(&made, '\n');
	}
	sl_buf_fini(text);
	*text = made;
}

/* Raw up to the last three of the next run of quotes. */
static bool read_raw(struct hocon_reader *r, struct sl_buf *out) {
	uint32_t line = r->line, start = column(r);
	r->at += 3;
	while (!at_end(r) && !(starts_with(r, "\"\"\"") && peek(r, 3) != '"')) {
		sl_buf_put(out, peek(r, 0));
		step(r);
	}
	if (at_end(r)) {
		hocon_fail(r, line, start, SL_ESYNTAX, "this \"\"\" has no closing \"\"\"");
		return false;
	}
	r->at += 3;
	unindent(out);
	return true;
}

/* At a quote. */
static bool read_quoted(struct hocon_reader *r, struct sl_buf *out) {
	if (starts_with(r, "\"\"\"")) return read_raw(r, out);
	uint32_t line = r->line, start = column(r);
	r->at++;
	while (!at_end(r) && peek(r, 0) != '"') {
		if (peek(r, 0) == '\\') {
			if (!read_escape(r, out)) return false;
			continue;
		}
		sl_buf_put(out, peek(r, 0));
		step(r);
	}
	if (at_end(r)) {
		hocon_fail(r, line, start, SL_ESYNTAX, "this quote is never closed");
		return false;
	}
	r->at++;
	return true;
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

static bool is_key_byte(char c) { return (uint8_t)c > ' ' && !strchr("$\"{}[]:=,+#`^?!@*&\\.", c); }

/* One part of a dotted key. */
static json_t *read_key_part(struct hocon_reader *r) {
	struct sl_buf text = SL_BUF_INIT;
	bool quoted = peek(r, 0) == '"';
	json_t *part = NULL;
	size_t from = r->at;
	if (quoted) {
		if (!read_quoted(r, &text)) goto out;
	} else {
		while (!at_end(r) && is_key_byte(peek(r, 0)) && !starts_with(r, "//")) step(r);
		sl_buf_append_slice(&text, slice_sub(r->s, from, r->at - from));
	}
	bool control = false;
	for (size_t i = 0; i < text.n; i++) control = control || (uint8_t)text.p[i] < 0x20;
	if (control)
		FAIL_HERE(r, SL_ESYNTAX, "a key may not hold control characters");
	else if (text.n == 0 && !quoted)
		FAIL_HERE(r, SL_ESYNTAX, "a key is expected here, such as name or \"odd name\"");
	else if (count_node(r))
		part = json_stringn(text.n ? text.p : "", text.n);
out:
	sl_buf_fini(&text);
	return part;
}

/* a."b c".d: the parts are appended to the list. */
static bool read_path(struct hocon_reader *r, json_t *path) {
	for (;;) {
		json_t *part = read_key_part(r);
		if (!part) return false;
		json_array_append_new(path, part);
		if (deep(r, (int)json_array_size(path))) return false;
		if (peek(r, 0) != '.') return true;
		step(r);
	}
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

/* ${a.b}, at the dollar. */
static json_t *read_ref(struct hocon_reader *r) {
	uint32_t line = r->line, start = column(r);
	r->at += 2;
	bool optional = peek(r, 0) == '?';
	r->at += optional;
	json_t *path = json_pack("[i,i,b]", (int)line, (int)start, (int)optional);
	while (is_space(peek(r, 0))) step(r);
	if (read_path(r, path)) {
		while (is_space(peek(r, 0))) step(r);
		if (peek(r, 0) == '}') {
			step(r);
			return json_pack("{s:o}", HOCON_REF, path);
		}
		hocon_fail(r, line, start, SL_ESYNTAX, "this ${ has no closing }; in a text, quote it");
	}
	json_decref(path);
	return NULL;
}

static json_t *read_list(struct hocon_reader *r, int depth) {
	uint32_t line = r->line, start = column(r);
	json_t *list = json_array();
	step(r);
	for (skip_separators(r); peek(r, 0) != ']'; skip_separators(r)) {
		json_t *item = at_end(r) ? hocon_fail(r, line, start, SL_ESYNTAX, "this [ has no closing ]")
					 : read_value(r, depth + 1);
		if (!item) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, item);
		skip_space(r);
		if (peek(r, 0) == ',' || peek(r, 0) == '\n' || peek(r, 0) == ']' || at_end(r)) continue;
		FAIL_HERE(r, SL_ESYNTAX, "a comma, a new line or ] is expected here");
		json_decref(list);
		return NULL;
	}
	step(r);
	return list;
}

static bool ends_word(const struct hocon_reader *r) {
	char c = peek(r, 0);
	return (uint8_t)c <= ' ' || strchr("\"{}[],=#`\\", c) || (c == '$' && peek(r, 1) == '{');
}

static json_t *word_value(struct sl_slice word) {
	int64_t whole;
	double number;
	if (slice_equal_str(word, "true")) return json_true();
	if (slice_equal_str(word, "false")) return json_false();
	if (slice_equal_str(word, "null")) return json_null();
	bool numeric = word.n && (word.p[0] == '-' || (word.p[0] >= '0' && word.p[0] <= '9'));
	if (numeric && slice_to_i64(word, &whole) == SL_OK) return json_integer(whole);
	bool fraction =
	    slice_find_byte(word, '.') >= 0 || slice_find_byte(word, 'e') >= 0 || slice_find_byte(word, 'E') >= 0;
	if (numeric && fraction && slice_to_double(word, &number) == SL_OK) return json_real(number);
	return json_stringn(word.p, word.n);
}

static json_t *read_word(struct hocon_reader *r) {
	size_t from = r->at;
	while (!at_end(r) && !ends_word(r)) step(r);
	if (r->at == from)
		return FAIL_HERE(r, SL_ESYNTAX, "a value is expected here; a text with such characters is quoted");
	return json_stringn(r->s.p + from, r->at - from);
}

static json_t *read_part(struct hocon_reader *r, int depth, bool *word) {
	*word = false;
	if (!count_node(r) || deep(r, depth)) return NULL;
	if (peek(r, 0) == '{') {
		step(r);
		return read_members(r, depth, true);
	}
	if (peek(r, 0) == '[') return read_list(r, depth);
	if (starts_with(r, "${")) return read_ref(r);
	if (peek(r, 0) == '"') {
		struct sl_buf text = SL_BUF_INIT;
		json_t *made = read_quoted(r, &text) ? json_stringn(text.n ? text.p : "", text.n) : NULL;
		sl_buf_fini(&text);
		return made;
	}
	*word = true;
	return read_word(r);
}

static bool ends_value(const struct hocon_reader *r) {
	char c = peek(r, 0);
	return at_end(r) || c == '\n' || c == ',' || c == '}' || c == ']' || at_comment(r);
}

/* The parts as one value. Takes the list over. */
static json_t *join_parts(json_t *parts, bool word, uint32_t line, uint32_t start) {
	json_t *first = json_array_get(parts, 0), *part, *made;
	size_t i;
	bool texts = true;
	json_array_foreach(parts, i, part) texts = texts && json_is_string(part);
	if (json_array_size(parts) == 1) {
		struct sl_slice text = slice_make(json_string_value(first), json_string_length(first));
		made = word ? word_value(text) : json_incref(first);
	} else if (texts) {
		struct sl_buf all = SL_BUF_INIT;
		json_array_foreach(parts, i, part)
		    sl_buf_append(&all, json_string_value(part), json_string_length(part));
		made = json_stringn(all.n ? all.p : "", all.n);
		sl_buf_fini(&all);
	} else {
		json_array_insert_new(parts, 0, json_integer(start));
		json_array_insert_new(parts, 0, json_integer(line));
		return json_pack("{s:o}", HOCON_CONCAT, parts);
	}
	json_decref(parts);
	return made;
}

static json_t *read_value(struct hocon_reader *r, int depth) {
	json_t *parts = json_array();
	bool word = false;
	uint32_t line = r->line, start = column(r);
	while (!ends_value(r) || json_array_size(parts) == 0) {
		json_t *part = read_part(r, depth, &word);
		if (!part) {
			json_decref(parts);
			return NULL;
		}
		json_array_append_new(parts, part);
		size_t from = r->at;
		while (is_space(peek(r, 0))) step(r);
		if (ends_value(r) || r->at == from) continue;
		json_array_append_new(parts, json_stringn(r->s.p + from, r->at - from));
	}
	return join_parts(parts, word, line, start);
}

/* ---- members ------------------------------------------------------------------------------------------------------ */

static bool append_to(struct hocon_reader *r, json_t *into, const char *key, json_t *value) {
	json_t *old = json_object_get(into, key);
	if (old && !json_is_array(old)) {
		json_decref(value);
		FAIL_HERE(r, SL_ESYNTAX, "+= adds to a list, and what stands before it in this file is none");
		return false;
	}
	if (!old) json_object_set_new(into, key, old = json_array());
	json_array_append_new(old, value);
	return true;
}

/* The object that holds the last part of the path; made where it is missing. */
static json_t *open_path(json_t *into, const json_t *path) {
	for (size_t i = 0; i + 1 < json_array_size(path); i++) {
		const char *key = json_string_value(json_array_get(path, i));
		json_t *next = json_object_get(into, key);
		if (!next || !json_is_object(next) || !hocon_known(next)) {
			json_t *made = json_object();
			hocon_put(into, key, json_incref(made)); /* merges with a reference later */
			next = made;
			json_decref(made); /* the tree has it */
		}
		into = next;
	}
	return into;
}

static bool read_member(struct hocon_reader *r, json_t *into, int depth) {
	json_t *path = json_array(), *value = NULL;
	if (!read_path(r, path)) goto out;
	int inner = depth + (int)json_array_size(path);
	skip_space(r);
	bool adds = starts_with(r, "+=");
	if (peek(r, 0) != '{') {
		if (!adds && peek(r, 0) != '=' && peek(r, 0) != ':') {
			FAIL_HERE(r, SL_ESYNTAX, "a key wants =, : or { after it");
			goto out;
		}
		r->at += adds ? 2 : 1;
		skip_lines(r);
	}
	value = read_value(r, inner);
	if (!value) goto out;
	const char *last = json_string_value(json_array_get(path, json_array_size(path) - 1));
	into = open_path(into, path);
	bool fine = true;
	if (adds)
		fine = append_to(r, into, last, value);
	else
		hocon_put(into, last, value);
	json_decref(path);
	return fine;
out:
	json_decref(path);
	return false;
}

/* include "file" and its forms. */
static bool at_include(const struct hocon_reader *r) {
	if (!starts_with(r, "include")) return false;
	struct sl_slice rest = slice_trim(slice_sub(r->s, r->at + 7, 64));
	return rest.n && (is_space(peek(r, 7))) &&
	       (rest.p[0] == '"' || slice_starts_with(rest, SL_SLICE_LIT("file(")) ||
		slice_starts_with(rest, SL_SLICE_LIT("url(")) || slice_starts_with(rest, SL_SLICE_LIT("required(")) ||
		slice_starts_with(rest, SL_SLICE_LIT("classpath(")));
}

/* Behind the brace, up to and with the closing one; without braces up to the end of the text. */
static json_t *read_members(struct hocon_reader *r, int depth, bool braces) {
	uint32_t line = r->line, start = braces ? column(r) - 1 : column(r);
	json_t *object = json_object();
	for (skip_separators(r); !at_end(r); skip_separators(r)) {
		if (braces && peek(r, 0) == '}') {
			step(r);
			return object;
		}
		if (at_include(r)) {
			FAIL_HERE(r, SL_EUNSUPPORTED,
				  "include is not followed; name the other file on the command line, too, and remove "
				  "this line");
			goto fail;
		}
		if (!read_member(r, object, depth)) goto fail;
		skip_space(r);
		if (peek(r, 0) == ',' || peek(r, 0) == '\n' || at_end(r) || (braces && peek(r, 0) == '}')) continue;
		FAIL_HERE(r, SL_ESYNTAX, "a comma or a new line is expected between members");
		goto fail;
	}
	if (!braces) return object;
	hocon_fail(r, line, start, SL_ESYNTAX, "this { has no closing }");
fail:
	json_decref(object);
	return NULL;
}

static json_t *read_root(struct hocon_reader *r) {
	json_t *root;
	skip_lines(r);
	if (peek(r, 0) == '[') {
		root = read_list(r, 1);
	} else {
		bool braces = peek(r, 0) == '{';
		if (braces) step(r);
		root = read_members(r, 1, braces);
	}
	if (!root) return NULL;
	skip_separators(r);
	if (at_end(r)) return root;
	FAIL_HERE(r, SL_ESYNTAX, "this stands behind the end of the document");
	json_decref(root);
	return NULL;
}

int hocon_read(struct sl_slice text, const char *name, json_t **out, struct sl_buf *notes, struct sl_err *err) {
	struct sl_err own = SL_ERR_INIT;
	struct hocon_reader r = {.s = text, .line = 1, .name = name, .notes = notes, .err = err ? err : &own};
	*out = NULL;
	if (slice_starts_with(text, SL_SLICE_LIT("\xef\xbb\xbf"))) r.at = r.line_start = 3;
	size_t valid = utf8_valid_prefix(text);
	if (text.n > HOCON_SIZE_MAX) {
		FAIL_HERE(&r, SL_ELIMIT, "the file has more than %d MB", (int)(HOCON_SIZE_MAX / SL_MB));
	} else if (valid < text.n || memchr(text.n ? text.p : "", '\0', text.n)) {
		hocon_fail(&r, 0, 0, SL_ESYNTAX, "the file is not UTF-8 text (byte %zu)", valid + 1);
	} else {
		json_t *root = read_root(&r);
		*out = root ? hocon_resolve(&r, root) : NULL;
		json_decref(root);
	}
	int status = *out ? SL_OK : r.err->status;
	sl_err_fini(&own);
	return status;
}
