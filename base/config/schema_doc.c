#include "schema_doc.h"

#include <string.h>

#include "conf_units.h"
#include "mem.h"

static void write_names(const struct conf_field *f, struct sl_buf *out) {
	for (size_t i = 0; f->names[i]; i++)
		sl_buf_printf(out, "%s`%s`", i == 0 ? "" : f->names[i + 1] ? ", " : " or ", f->names[i]);
}

static const char *type_name(enum conf_type type) {
	switch (type) {
	case CONF_STRING: return "text";
	case CONF_TEMPLATE: return "template";
	case CONF_BOOL: return "true or false";
	case CONF_INT: return "whole number";
	case CONF_INT_AUTO: return "whole number or `auto`";
	case CONF_DOUBLE: return "number";
	case CONF_DURATION: return "duration";
	case CONF_SIZE: return "size";
	case CONF_PERCENT: return "percentage";
	case CONF_ENUM: return "";
	case CONF_STRING_LIST: return "list of text";
	case CONF_TEMPLATE_LIST: return "list of templates";
	case CONF_STRING_MAP: return "map of text";
	case CONF_TEMPLATE_MAP: return "map of templates";
	case CONF_TREE: return "any value";
	case CONF_OBJECT: return "map of options";
	case CONF_OBJECT_LIST: return "list of maps";
	}
	return "";
}

void schema_doc_type(const struct conf_field *field, struct sl_buf *out) {
	if (field->type == CONF_ENUM)
		write_names(field, out);
	else
		sl_buf_append_str(out, type_name(field->type));
	if (field->flags & CONF_UNLIMITED_OK) sl_buf_append_str(out, " or `unlimited`");
	if (field->flags & CONF_TEMPLATE_OK) sl_buf_append_str(out, " or a template");
	if (field->flags & CONF_GIVEN) sl_buf_append_str(out, ", may be empty");
}

static void write_number(const struct conf_field *f, int64_t value, struct sl_buf *out) {
	if (f->type == CONF_DURATION)
		conf_write_duration(out, value);
	else if (f->type == CONF_SIZE)
		conf_write_size(out, value);
	else
		sl_buf_printf(out, "%lld", (long long)value);
}

static bool has_range(const struct conf_field *f) {
	bool number = f->type == CONF_INT || f->type == CONF_INT_AUTO || f->type == CONF_DOUBLE ||
		      f->type == CONF_DURATION || f->type == CONF_SIZE;
	return number && (f->min || f->max);
}

/* "1 to 65535", "at least 1s". */
static void write_range(const struct conf_field *f, struct sl_buf *out) {
	if (!f->max) sl_buf_append_str(out, "at least ");
	write_number(f, f->min, out);
	if (!f->max) return;
	sl_buf_append_str(out, " to ");
	write_number(f, f->max, out);
}

/* ---- Markdown -------------------------------------------------------------------------------------------- */

/* A cell must not end its own row. */
static void write_cell(const char *text, struct sl_buf *out) {
	for (; *text; text++) {
		if (*text == '|') sl_buf_put(out, '\\');
		sl_buf_put(out, *text == '\n' ? ' ' : *text);
	}
}

static void markdown_rows(const struct conf_field *fields, const char *prefix, struct sl_buf *out) {
	for (const struct conf_field *f = fields; f->name; f++) {
		sl_buf_printf(out, "| `%s%s` | ", prefix, f->name);
		schema_doc_type(f, out);
		if (has_range(f)) {
			sl_buf_append_str(out, ", ");
			write_range(f, out);
		}
		sl_buf_append_str(out, " | ");
		if (f->flags & CONF_REQUIRED) sl_buf_append_str(out, "required");
		if (f->flags & CONF_GIVEN) sl_buf_append_str(out, "not there");
		if (f->def) {
			sl_buf_put(out, '`');
			write_cell(f->def, out);
			sl_buf_put(out, '`');
		}
		sl_buf_append_str(out, " | ");
		write_cell(f->doc ? f->doc : "", out);
		sl_buf_append_str(out, " |\n");
		if (f->type != CONF_OBJECT && f->type != CONF_OBJECT_LIST) continue;
		char *inner = sl_asprintf("%s%s%s.", prefix, f->name, f->type == CONF_OBJECT_LIST ? "[]" : "");
		markdown_rows(f->fields, inner, out);
		sl_free(inner);
	}
}

void schema_doc_markdown(const struct conf_field *fields, struct sl_buf *out) {
	sl_buf_append_str(out, "| option | type | default | meaning |\n| --- | --- | --- | --- |\n");
	markdown_rows(fields, "", out);
}

/* ---- the sample ------------------------------------------------------------------------------------------ */

enum { SAMPLE_WIDTH = 110 };

/* The sentence as comment lines, broken at spaces. */
static void write_comment(const char *text, int indent, struct sl_buf *out) {
	struct sl_slice rest = slice_from_str(text);
	size_t width = (size_t)sl_max_size(40, (size_t)(SAMPLE_WIDTH - indent));
	while (rest.n > 0) {
		size_t n = rest.n;
		if (n > width) {
			for (n = width; n > 0 && rest.p[n] != ' ';) n--;
			if (n == 0) n = width;
		}
		sl_buf_printf(out, "%*s# %.*s\n", indent, "", (int)n, rest.p);
		rest = slice_trim(slice_from(rest, n));
	}
}

/* What may stand unquoted in YAML: a word, a number with a unit. */
static bool needs_quotes(const char *text) {
	if (!*text) return true;
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./%") != strlen(text) ||
	       text[0] == '%';
}

static void write_scalar(const char *text, bool literal, struct sl_buf *out) {
	if (literal || !needs_quotes(text)) {
		sl_buf_append_str(out, text);
		return;
	}
	sl_buf_put(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\') sl_buf_put(out, '\\');
		sl_buf_put(out, *text);
	}
	sl_buf_put(out, '"');
}

static const char *empty_value(enum conf_type type) {
	switch (type) {
	case CONF_STRING_LIST:
	case CONF_TEMPLATE_LIST:
	case CONF_OBJECT_LIST: return "[]";
	case CONF_STRING_MAP:
	case CONF_TEMPLATE_MAP:
	case CONF_TREE:
	case CONF_OBJECT: return "{}";
	case CONF_STRING:
	case CONF_TEMPLATE:
	case CONF_ENUM: return "\"\"";
	case CONF_BOOL: return "false";
	case CONF_INT:
	case CONF_INT_AUTO:
	case CONF_DOUBLE:
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_PERCENT: return "0";
	}
	return "";
}

static void sample_value(const struct conf_field *f, struct sl_buf *out) {
	/* An example is written as it stands in a file (it may be a list or a map); a default is a plain text. */
	if (f->example)
		write_scalar(f->example, f->type != CONF_STRING && f->type != CONF_TEMPLATE, out);
	else if (f->def)
		write_scalar(f->def, false, out);
	else
		sl_buf_append_str(out, empty_value(f->type));
}

static bool has_required(const struct conf_field *fields) {
	for (const struct conf_field *f = fields; f->name; f++)
		if (f->flags & CONF_REQUIRED) return true;
	return false;
}

static void sample_rows(const struct conf_field *fields, int indent, bool first_item, bool commented,
			struct sl_buf *out) {
	for (const struct conf_field *f = fields; f->name; f++) {
		if (f->flags & CONF_ADVANCED) continue;
		if (f->doc) write_comment(f->doc, indent, out);
		bool nested = (f->type == CONF_OBJECT || f->type == CONF_OBJECT_LIST) && !f->example;
		bool off = commented || (!(f->flags & CONF_REQUIRED) && !(nested && has_required(f->fields)));
		sl_buf_printf(out, "%*s%s%s%s:", indent, "", off ? "#" : "", first_item ? "- " : "", f->name);
		if (first_item) indent += 2;
		first_item = false;
		if (nested) {
			sl_buf_put(out, '\n');
			sample_rows(f->fields, indent + 2, f->type == CONF_OBJECT_LIST, off, out);
			continue;
		}
		sl_buf_put(out, ' ');
		sample_value(f, out);
		sl_buf_append_str(out, "\n");
	}
}

void schema_doc_sample(const struct conf_field *fields, int indent, struct sl_buf *out) {
	sample_rows(fields, indent, false, false, out);
}
