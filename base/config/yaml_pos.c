/* yaml_pos.c: answers "where in the file": from paths, and from places inside a text. */
#include "yaml.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "utf8.h"
#include "yaml_int.h"

size_t yaml_break_len(struct sl_slice s) {
	if (s.n == 0) return 0;
	if (s.p[0] == '\n') return 1;
	if (s.p[0] == '\r') return s.n > 1 && s.p[1] == '\n' ? 2 : 1;
	if (slice_starts_with(s, SL_SLICE_LIT("\xC2\x85"))) return 2;
	if (slice_starts_with(s, SL_SLICE_LIT("\xE2\x80\xA8")) || slice_starts_with(s, SL_SLICE_LIT("\xE2\x80\xA9")))
		return 3;
	return 0;
}

void yaml_offset_place(const struct yaml_doc *doc, size_t offset, uint32_t *line, uint32_t *column) {
	size_t low = 0, high = doc->lines_len; /* the last line that starts at or before offset */
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (doc->line_starts[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	*line = (uint32_t)low + 1;
	*column = (uint32_t)(offset - doc->line_starts[low]) + 1;
}

static bool is_plain_key_byte(char c) {
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_plain_key(struct sl_slice key) {
	for (size_t i = 0; i < key.n; i++)
		if (!is_plain_key_byte(key.p[i])) return false;
	return key.n > 0;
}

char *yaml_path_key(const char *path, const char *key) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, path);
	if (b.n) sl_buf_put(&b, '.');
	struct sl_slice k = slice_from_str(key);
	if (is_plain_key(k)) {
		sl_buf_append_slice(&b, k);
		return sl_buf_steal(&b);
	}
	sl_buf_put(&b, '"');
	for (size_t i = 0; i < k.n; i++) {
		if (k.p[i] == '"' || k.p[i] == '\\') sl_buf_put(&b, '\\');
		sl_buf_put(&b, k.p[i]);
	}
	sl_buf_put(&b, '"');
	return sl_buf_steal(&b);
}

char *yaml_path_index(const char *path, size_t index) { return sl_asprintf("%s[%zu]", path, index); }

/* Takes one step off the front of *rest: a key into `key` (list_index is then YAML_NODE_NONE), or an index. */
static bool next_step(struct sl_slice *rest, struct sl_buf *key, uint32_t *list_index) {
	sl_buf_clear(key);
	*list_index = YAML_NODE_NONE;
	if (rest->n && rest->p[0] == '[') {
		ptrdiff_t close = slice_find_byte(*rest, ']');
		int64_t value;
		if (close < 0 || slice_to_i64(slice_sub(*rest, 1, (size_t)close - 1), &value) != SL_OK) return false;
		if (value < 0 || value >= YAML_NODE_NONE) return false;
		*list_index = (uint32_t)value;
		*rest = slice_from(*rest, (size_t)close + 1);
		return true;
	}
	if (rest->n && rest->p[0] == '.') *rest = slice_from(*rest, 1);
	size_t i = 0;
	if (rest->n && rest->p[0] == '"') {
		for (i = 1; i < rest->n && rest->p[i] != '"'; i++) {
			if (rest->p[i] == '\\' && i + 1 < rest->n) i++;
			sl_buf_put(key, rest->p[i]);
		}
		i++;
	} else {
		while (i < rest->n && rest->p[i] != '.' && rest->p[i] != '[') sl_buf_put(key, rest->p[i++]);
	}
	*rest = slice_from(*rest, i);
	return key->n > 0;
}

/* The node of a path, or with *exact false the nearest one above it. */
static const struct yaml_node *find_node(const struct yaml_doc *doc, const char *path, bool *exact) {
	struct sl_slice rest = slice_from_str(path);
	struct sl_buf key = SL_BUF_INIT;
	uint32_t at = 0;
	*exact = true;
	while (rest.n > 0) {
		struct yaml_name name = {.nodes = doc->nodes, .parent = at};
		struct yaml_slot *slot = NULL;
		if (next_step(&rest, &key, &name.index)) {
			name.key = sl_buf_slice(&key);
			slot = yaml_node_map_find(&doc->by_name, yaml_name_hash(at, name.index, name.key), name);
		}
		if (!slot) {
			*exact = false;
			break;
		}
		at = slot->node;
	}
	sl_buf_fini(&key);
	return &doc->nodes[at];
}

bool yaml_key_position(const struct yaml_doc *doc, const char *path, uint32_t *line, uint32_t *column) {
	bool exact;
	const struct yaml_node *n = find_node(doc, path, &exact);
	*line = n->key_line;
	*column = n->key_col;
	return exact;
}

bool yaml_value_position(const struct yaml_doc *doc, const char *path, uint32_t *line, uint32_t *column) {
	bool exact;
	const struct yaml_node *n = find_node(doc, path, &exact);
	*line = n->line;
	*column = n->col;
	return exact;
}

bool yaml_number_is_written(const struct yaml_doc *doc, const char *path, const char *text) {
	bool exact;
	const struct yaml_node *n = find_node(doc, path, &exact);
	struct sl_slice there = slice_from(doc->source, n->offset), number = slice_from_str(text);
	if (!exact || !slice_starts_with(there, number)) return false;
	char next = there.n > number.n ? there.p[number.n] : ' ';
	return !strchr("0123456789abcdefABCDEFxo._+-", next);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Bytes of the white space at the front: YAML folds Unicode's line breaks too. */
static size_t blank_len(struct sl_slice s) { return s.n && is_space(s.p[0]) ? 1 : yaml_break_len(s); }

/* One piece of a scalar's source: how many bytes it has, and how many bytes of text it stands for, white space not
 * counted. */
struct unit {
	size_t source, text;
};

static struct unit escape_unit(struct sl_slice s) {
	if (s.n < 2) return (struct unit){1, 1};
	size_t digits = s.p[1] == 'x' ? 2 : s.p[1] == 'u' ? 4 : s.p[1] == 'U' ? 8 : 0;
	if (digits && s.n >= 2 + digits) {
		char hex[9] = {0}, encoded[4];
		memcpy(hex, s.p + 2, digits);
		uint32_t code = (uint32_t)strtoul(hex, NULL, 16);
		struct sl_slice text = slice_make(encoded, utf8_encode(code, encoded));
		return (struct unit){2 + digits, blank_len(text) ? 0 : text.n};
	}
	if (yaml_break_len(slice_from(s, 1))) return (struct unit){1 + yaml_break_len(slice_from(s, 1)), 0};
	if (strchr("ntrvf \tNLP", s.p[1])) return (struct unit){2, 0};
	if (s.p[1] == '_') return (struct unit){2, 2};
	return (struct unit){2, 1};
}

static struct unit next_unit(struct sl_slice s, enum yaml_text_style style) {
	if (blank_len(s)) return (struct unit){blank_len(s), 0};
	if (style == YAML_TEXT_DOUBLE && s.p[0] == '\\') return escape_unit(s);
	if (style == YAML_TEXT_SINGLE && slice_starts_with(s, SL_SLICE_LIT("''"))) return (struct unit){2, 1};
	return (struct unit){1, 1};
}

/* Where the scalar's characters begin: behind the quote, or on the line after a block scalar's header. */
static size_t content_start(const struct yaml_doc *doc, const struct yaml_node *n) {
	struct sl_slice s = slice_from(doc->source, n->offset);
	size_t i = 0;
	if (n->style == YAML_TEXT_PLAIN) return n->offset;
	if (n->style == YAML_TEXT_SINGLE || n->style == YAML_TEXT_DOUBLE) return n->offset + 1;
	while (i < s.n && yaml_break_len(slice_from(s, i)) == 0) i++;
	return n->offset + i + yaml_break_len(slice_from(s, i));
}

/* Text and source differ in white space and escapes only: the k-th visible byte of the one is the k-th of the
 * other. That holds for every style, and is exact but for a place within white space that was folded. */
static size_t walk_to(const struct yaml_doc *doc, const struct yaml_node *n, struct sl_slice text, size_t target) {
	size_t at = content_start(doc, n), owed = 0;
	for (size_t i = 0; i <= target && i < text.n;) {
		size_t blank = blank_len(slice_from(text, i));
		i += blank ? blank : 1;
		if (blank) {
			/* The source has the space too, unless a line was folded there. */
			if (i <= target && at < doc->source.n && doc->source.p[at] == ' ') at++;
			continue;
		}
		if (owed > 0 && i <= target) {
			owed--;
			continue;
		}
		while (at < doc->source.n && next_unit(slice_from(doc->source, at), n->style).text == 0)
			at += next_unit(slice_from(doc->source, at), n->style).source;
		if (i > target || at >= doc->source.n) break;
		struct unit u = next_unit(slice_from(doc->source, at), n->style);
		at += u.source;
		owed = u.text - 1;
	}
	return at;
}

/* The offset in text of a line and column, held inside the visible part of the text: an error "at the end" shows
 * right behind the last character and not somewhere below. */
static size_t text_offset(struct sl_slice text, uint32_t line, uint32_t column) {
	size_t end = text.n, at = 0;
	while (end > 0 && is_space(text.p[end - 1])) end--;
	for (uint32_t i = 1; i < line; i++) {
		ptrdiff_t lf = slice_find_byte(slice_from(text, at), '\n');
		if (lf < 0) return end;
		at += (size_t)lf + 1;
	}
	at += column > 0 ? column - 1 : 0;
	return sl_min_size(at, end);
}

static size_t leading_spaces(struct sl_slice s) {
	size_t n = 0;
	while (n < s.n && s.p[n] == ' ') n++;
	return n;
}

/* How much deeper a line stands in the file than in the text. */
static size_t line_indent(const struct yaml_doc *doc, size_t line, struct sl_slice text_line) {
	if (line >= doc->lines_len) return 0;
	size_t in_file = leading_spaces(slice_from(doc->source, doc->line_starts[line]));
	size_t in_text = leading_spaces(text_line);
	return in_file > in_text ? in_file - in_text : 0;
}

/* A literal block keeps its lines; each has the block's indentation in front. */
static size_t literal_offset(const struct yaml_doc *doc, const struct yaml_node *n, struct sl_slice text,
			     size_t target) {
	uint32_t first_line, column;
	yaml_offset_place(doc, content_start(doc, n), &first_line, &column);
	size_t line = first_line - 1, line_start = 0, indent = 0;
	bool indent_known = false;
	for (size_t i = 0; i < target;) {
		/* Unicode's line and paragraph separators stay in the text, but end a line of the file. */
		size_t line_break = yaml_break_len(slice_from(text, i));
		i += line_break ? line_break : 1;
		if (line_break) {
			line++;
			line_start = i;
		} else if (!indent_known) {
			indent = line_indent(doc, line, slice_from(text, line_start));
			indent_known = true;
		}
	}
	line_start = sl_min_size(line_start, target);
	if (line >= doc->lines_len) return doc->source.n;
	if (!indent_known) indent = line_indent(doc, line, slice_from(text, line_start));
	return sl_min_size(doc->line_starts[line] + indent + (target - line_start), doc->source.n);
}

bool yaml_text_position(const struct yaml_doc *doc, const char *path, uint32_t line_in_text, uint32_t column_in_text,
			uint32_t *line, uint32_t *column) {
	bool exact;
	const struct yaml_node *n = find_node(doc, path, &exact);
	*line = n->line;
	*column = n->col;
	if (!exact || !n->text || line_in_text == 0) return false;
	struct sl_slice text = slice_make(json_string_value(n->text), json_string_length(n->text));
	size_t target = text_offset(text, line_in_text, column_in_text);
	size_t offset =
	    n->style == YAML_TEXT_LITERAL ? literal_offset(doc, n, text, target) : walk_to(doc, n, text, target);
	yaml_offset_place(doc, offset, line, column);
	return true;
}
