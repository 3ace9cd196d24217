/* yaml_write.c: see yaml_write.h. */
#include "yaml_write.h"

#include <stdlib.h>

#include "utf8.h"

static void write_value(struct sl_buf *out, const json_t *value, int indent);

static void write_indent(struct sl_buf *out, int indent) {
	for (int i = 0; i < indent; i++) sl_buf_put(out, ' ');
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/* A text that every reader of YAML takes for a text. */
static bool is_plain(struct sl_slice s) {
	static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
	if (s.n == 0 || s.n > 64 || !is_letter(s.p[0])) return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-') return false;
	for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
		if (slice_equal_nocase(s, slice_from_str(words[i]))) return false;
	return true;
}

/* What may not stand in a YAML text as it is, or counts as a line break. */
static bool is_odd(uint32_t code) {
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 || code == 0xfeff ||
	       code == 0xfffe || code == 0xffff || (code >= 0xd800 && code < 0xe000);
}

static void write_escaped(struct sl_buf *out, uint32_t code) {
	if (code == '\n')
		sl_buf_append_str(out, "\\n");
	else if (code == '\t')
		sl_buf_append_str(out, "\\t");
	else if (code == '\r')
		sl_buf_append_str(out, "\\r");
	else
		sl_buf_printf(out, "\\u%04X", (unsigned)code);
}

/* Every character, the odd ones escaped, and those in `also` with a backslash. */
static void write_characters(struct sl_buf *out, struct sl_slice text, const char *also) {
	while (text.n) {
		size_t len;
		uint32_t code = utf8_decode(text, &len);
		if (code && code < 0x80 && strchr(also, (int)code)) sl_buf_put(out, '\\');
		if (is_odd(code))
			write_escaped(out, code);
		else
			sl_buf_append(out, text.p, len);
		text = slice_from(text, len);
	}
}

void yaml_write_text(struct sl_buf *out, struct sl_slice text) {
	if (is_plain(text)) {
		sl_buf_append_slice(out, text);
		return;
	}
	sl_buf_put(out, '"');
	write_characters(out, text, "\"\\");
	sl_buf_put(out, '"');
}

/* No leading white space in the first line, which would be taken for indentation; none at an end of a line, which editors
 * remove; nothing that a block can't spell. */
static bool fits_block(struct sl_slice text) {
	if (text.n == 0 || text.p[0] == ' ' || text.p[0] == '\t' || text.p[0] == '\n') return false;
	if (text.p[text.n - 1] == '\n') return false;
	for (struct sl_slice rest = text; rest.p;) {
		struct sl_slice line = slice_next_part(&rest, '\n');
		if (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t')) return false;
	}
	while (text.n) {
		size_t len;
		uint32_t code = utf8_decode(text, &len);
		if (is_odd(code) && code != '\n' && code != '\t') return false;
		text = slice_from(text, len);
	}
	return true;
}

void yaml_write_block(struct sl_buf *out, struct sl_slice text, int indent) {
	if (!fits_block(text)) {
		sl_buf_put(out, ' ');
		yaml_write_text(out, text);
		sl_buf_put(out, '\n');
		return;
	}
	sl_buf_append_str(out, " |-\n");
	for (struct sl_slice rest = text; rest.p;) {
		struct sl_slice line = slice_next_part(&rest, '\n');
		if (line.n) write_indent(out, indent);
		sl_buf_append_slice(out, line);
		sl_buf_put(out, '\n');
	}
}

static void write_member(struct sl_buf *out, const char *key, const json_t *value, int indent) {
	yaml_write_text(out, slice_from_str(key));
	sl_buf_put(out, ':');
	write_value(out, value, indent);
}

void yaml_write_members(struct sl_buf *out, const json_t *object, int indent) {
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		write_indent(out, indent);
		write_member(out, key, value, indent);
	}
}

void yaml_write_item(struct sl_buf *out, const json_t *object, int indent) {
	const char *key;
	json_t *value;
	bool first = true;
	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		write_indent(out, first ? indent : indent + 2);
		if (first) sl_buf_append_str(out, "- ");
		first = false;
		write_member(out, key, value, indent + 2);
	}
}

static void write_list(struct sl_buf *out, const json_t *list, int indent) {
	size_t i;
	json_t *item;
	sl_buf_put(out, '\n');
	json_array_foreach(list, i, item) {
		if (json_object_size(item)) {
			yaml_write_item(out, item, indent + 2);
			continue;
		}
		write_indent(out, indent + 2);
		sl_buf_put(out, '-');
		write_value(out, item, indent + 2);
	}
}

/* Behind "key:" or "-", up to and with the line break. */
static void write_value(struct sl_buf *out, const json_t *value, int indent) {
	struct sl_slice text = slice_make(json_string_value(value), json_string_length(value));
	if (json_object_size(value)) {
		sl_buf_put(out, '\n');
		yaml_write_members(out, value, indent + 2);
	} else if (json_array_size(value)) {
		write_list(out, value, indent);
	} else if (json_is_string(value) && slice_find_byte(text, '\n') >= 0) {
		yaml_write_block(out, text, indent + 2);
	} else if (json_is_string(value)) {
		sl_buf_put(out, ' ');
		yaml_write_text(out, text);
		sl_buf_put(out, '\n');
	} else {
		char *scalar = json_dumps(value, JSON_ENCODE_ANY);
		sl_buf_printf(out, " %s\n", scalar);
		free(scalar);
	}
}

void yaml_write_comment(struct sl_buf *out, struct sl_slice text, int indent) {
	for (struct sl_slice rest = text; rest.p;) {
		struct sl_slice line = slice_next_part(&rest, '\n');
		if (line.n && line.p[line.n - 1] == '\r') line.n--;
		write_indent(out, indent);
		sl_buf_append_str(out, line.n ? "# " : "#");
		write_characters(out, line, "");
		sl_buf_put(out, '\n');
	}
}
