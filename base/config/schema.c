/* schema.c: one function per option type takes a JSON value into the struct; all report through struct spot. */
#include "schema.h"

#include <stdlib.h>
#include <string.h>

#include "conf_units.h"
#include "conv.h"
#include "mem.h"
#include "yaml_int.h"

/* Where a value stands and who wants to hear about its faults. */
struct spot {
	struct conf_at at;
	struct conf_report *report;
};

static int set_value(struct spot s, const struct conf_field *f, const json_t *value, void *to);

#define FAULT(s, ...) conf_report_add((s).report, (s).at, CONF_AT_VALUE, __VA_ARGS__)

/* ---- what a message calls a value ------------------------------------------------------------------------ */

/* Itself, or an option below it: what stands in the wrong place may be meant for that. */
static bool secret_within(const struct conf_field *f) {
	if (f->flags & (CONF_SECRET | CONF_SECRET_URL)) return true;
	if (f->type != CONF_OBJECT) return false;
	for (const struct conf_field *below = f->fields; below && below->name; below++)
		if (secret_within(below)) return true;
	return false;
}

/* "'abc'", "12", "a list": enough to recognise the value. Secrets are only "the value". Heap. */
static char *value_name(const struct conf_field *f, const json_t *value) {
	bool secret = f->flags & (CONF_SECRET | CONF_SECRET_URL);
	if (secret || ((json_is_string(value) || json_is_number(value)) && secret_within(f)))
		return sl_strdup("the value");
	switch (json_typeof(value)) {
	case JSON_OBJECT: return sl_strdup("a map");
	case JSON_ARRAY: return sl_strdup("a list");
	case JSON_STRING: {
		const char *text = json_string_value(value);
		size_t shown = sl_min_size(strcspn(text, "\n"), 60);
		while (shown < strlen(text) && shown > 0 && ((unsigned char)text[shown] & 0xC0) == 0x80) shown--;
		return sl_asprintf("'%.*s%s'", (int)shown, text, text[shown] ? "..." : "");
	}
	case JSON_INTEGER: return sl_asprintf("%lld", (long long)json_integer_value(value));
	case JSON_REAL: return sl_asprintf("%.15g", json_real_value(value));
	case JSON_TRUE: return sl_strdup("true");
	case JSON_FALSE: return sl_strdup("false");
	case JSON_NULL: return sl_strdup("nothing");
	}
	return sl_strdup("the value");
}

/* "X is not Y". */
static int not_a(struct spot s, const struct conf_field *f, const json_t *value, const char *wanted) {
	if (json_is_null(value)) return FAULT(s, SL_ETYPE, "has no value; write %s, or remove the line", wanted);
	char *name = value_name(f, value);
	int rc = FAULT(s, SL_ETYPE, "%s is not %s", name, wanted);
	sl_free(name);
	return rc;
}

/* ---- numbers --------------------------------------------------------------------------------------------- */

static void write_bound(struct sl_buf *b, const struct conf_field *f, int64_t value) {
	switch (f->type) {
	case CONF_DURATION: conf_write_duration(b, value); return;
	case CONF_SIZE: conf_write_size(b, value); return;
	case CONF_INT:
	case CONF_INT_AUTO:
	case CONF_DOUBLE:
	case CONF_PERCENT:
	case CONF_STRING:
	case CONF_TEMPLATE:
	case CONF_BOOL:
	case CONF_ENUM:
	case CONF_STRING_LIST:
	case CONF_TEMPLATE_LIST:
	case CONF_STRING_MAP:
	case CONF_TEMPLATE_MAP:
	case CONF_TREE:
	case CONF_OBJECT:
	case CONF_OBJECT_LIST: sl_buf_printf(b, "%lld", (long long)value); return;
	}
}

static int out_of_range(struct spot s, const struct conf_field *f, const char *value) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, f->max ? "between " : "at least ");
	write_bound(&b, f, f->min);
	if (f->max) {
		sl_buf_append_str(&b, " and ");
		write_bound(&b, f, f->max);
	}
	int rc = FAULT(s, SL_EINVAL, "%s is out of range: it must be %s", value, sl_buf_cstr(&b));
	sl_buf_fini(&b);
	return rc;
}

static int check_range(struct spot s, const struct conf_field *f, int64_t value) {
	if (value >= f->min && (f->max == 0 || value <= f->max)) return SL_OK;
	struct sl_buf b = SL_BUF_INIT;
	write_bound(&b, f, value);
	int rc = out_of_range(s, f, sl_buf_cstr(&b));
	sl_buf_fini(&b);
	return rc;
}

static bool is_word(const json_t *value, const char *word) {
	return json_is_string(value) && strcmp(json_string_value(value), word) == 0;
}

static bool take_unlimited(const struct conf_field *f, const json_t *value, int64_t *to) {
	if (!(f->flags & CONF_UNLIMITED_OK) || !is_word(value, "unlimited")) return false;
	*to = CONF_UNLIMITED;
	return true;
}

static bool is_quoted_number(const json_t *value) {
	double ignored;
	return json_is_string(value) && slice_to_double(slice_from_str(json_string_value(value)), &ignored) == SL_OK;
}

static int set_int(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	int64_t *out = to;
	if (take_unlimited(f, value, out)) return SL_OK;
	if (f->type == CONF_INT_AUTO && is_word(value, "auto")) {
		*out = CONF_AUTO;
		return SL_OK;
	}
	if (!json_is_integer(value))
		return not_a(s, f, value,
			     is_quoted_number(value)        ? "a whole number; remove the quotes"
			     : f->type == CONF_INT_AUTO     ? "a whole number or `auto`"
			     : f->flags & CONF_UNLIMITED_OK ? "a whole number or `unlimited`"
							    : "a whole number");
	*out = json_integer_value(value);
	return check_range(s, f, *out);
}

static int set_double(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	if (!json_is_number(value))
		return not_a(s, f, value, is_quoted_number(value) ? "a number; remove the quotes" : "a number");
	double v = json_number_value(value);
	*(double *)to = v;
	if (v >= (double)f->min && (f->max == 0 || v <= (double)f->max)) return SL_OK;
	char *text = sl_asprintf("%.15g", v);
	int rc = out_of_range(s, f, text);
	sl_free(text);
	return rc;
}

static int set_bool(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	/* YAML 1.1's words, which everybody has written somewhere: text to a reader of YAML 1.2, and no doubt what is meant. */
	static const char *const words[] = {"no", "yes", "off", "on"};
	if (json_is_boolean(value)) {
		*(bool *)to = json_is_true(value);
		return SL_OK;
	}
	for (size_t i = 0; i < SL_ARRAY_LEN(words); i++)
		if (is_word(value, words[i])) {
			*(bool *)to = i % 2;
			return SL_OK;
		}
	return not_a(s, f, value, "true or false");
}

/* The text of a value with a unit: a bare number is text too. Heap, or NULL for other types. */
static char *unit_text(const json_t *value) {
	if (json_is_string(value)) return sl_strdup(json_string_value(value));
	if (json_is_integer(value)) return sl_asprintf("%lld", (long long)json_integer_value(value));
	if (json_is_real(value)) return sl_asprintf("%.15g", json_real_value(value));
	return NULL;
}

static int set_with_unit(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	int64_t *out = to;
	if (take_unlimited(f, value, out)) return SL_OK;
	char *text = unit_text(value);
	if (!text)
		return not_a(s, f, value,
			     f->type == CONF_SIZE ? "a size, for example 64KB" : "a duration, for example 5ms");
	struct sl_err err = SL_ERR_INIT;
	struct sl_slice slice = slice_from_str(text);
	int rc = f->type == CONF_SIZE ? conf_parse_size(slice, out, &err) : conf_parse_duration(slice, out, &err);
	if (rc != SL_OK)
		FAULT(s, rc, "%s%s", sl_err_text(&err), f->flags & CONF_UNLIMITED_OK ? ", or `unlimited`" : "");
	else
		rc = check_range(s, f, *out);
	sl_err_fini(&err);
	sl_free(text);
	return rc;
}

static int set_percent(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	struct sl_err err = SL_ERR_INIT;
	char *text = unit_text(value);
	if (!text) return not_a(s, f, value, "a percentage, for example 80%");
	int rc = conf_parse_percent(slice_from_str(text), to, &err);
	if (rc != SL_OK) FAULT(s, rc, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	sl_free(text);
	return rc;
}

static int set_enum(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	size_t count = 0;
	while (f->names[count]) count++;
	/* `yes` is true to those who write YAML by hand, and the other way round: see set_bool. */
	const char *word = json_is_string(value)  ? json_string_value(value)
			   : json_is_true(value)  ? "yes"
			   : json_is_false(value) ? "no"
						  : "";
	for (size_t i = 0; i < count; i++) {
		if (strcmp(f->names[i], word) != 0) continue;
		*(int *)to = (int)i;
		return SL_OK;
	}
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, count > 1 ? "one of " : "");
	for (size_t i = 0; i < count; i++)
		sl_buf_printf(&b, "%s`%s`", i == 0 ? "" : i + 1 == count ? " or " : ", ", f->names[i]);
	const char *near = slice_nearest(slice_from_str(word), f->names, count);
	if (near) sl_buf_printf(&b, "; did you mean `%s`?", near);
	int rc = not_a(s, f, value, sl_buf_cstr(&b));
	sl_buf_fini(&b);
	return rc;
}

/* ---- text ------------------------------------------------------------------------------------------------ */

static bool is_template(const struct conf_field *f) {
	return f->type == CONF_TEMPLATE || f->type == CONF_TEMPLATE_LIST || f->type == CONF_TEMPLATE_MAP;
}

/* `as_written`: the text is the file's own, so a place inside it can be found there. */
static int check_text(struct spot s, const struct conf_field *f, struct sl_slice text, bool as_written) {
	if (f->flags & CONF_NONEMPTY && text.n == 0) return FAULT(s, SL_EINVAL, "must not be empty");
	/* For lists and maps min and max bound the count. */
	bool single = f->type == CONF_STRING || f->type == CONF_TEMPLATE;
	if (single && (text.n < (size_t)f->min || (f->max && text.n > (size_t)f->max)))
		return FAULT(s, SL_EINVAL, "has %zu bytes; it must have %lld to %lld", text.n, (long long)f->min,
			     (long long)(f->max ? f->max : (int64_t)YAML_DOC_SIZE_MAX));
	if (!f->validate) return SL_OK;
	struct sl_err err = SL_ERR_INIT;
	int rc = f->validate(f, text, &err);
	if (rc == SL_OK) {
		sl_err_fini(&err);
		return SL_OK;
	}
	if (err.status == SL_OK) err.status = rc;
	if (!as_written) sl_err_at(&err, NULL, 0, 0);
	return conf_report_text(s.report, s.at, &err);
}

static char *number_text(const json_t *value) {
	char text[SL_FORMAT_DOUBLE_MAX];
	if (json_is_integer(value)) return sl_asprintf("%lld", (long long)json_integer_value(value));
	return slice_dup(slice_make(text, sl_format_double(json_real_value(value), text)));
}

/* NULL: of 0.10 and 0x10 the number does not tell how it is written in the file, if there is one. */
static char *number_as_written(struct spot s, const json_t *value) {
	char *text = number_text(value);
	if (!s.at.doc || yaml_number_is_written(s.at.doc, s.at.path, text)) return text;
	sl_free(text);
	return NULL;
}

/* One text, on the heap: of a string field, or one value of its list or map. */
static int take_text(struct spot s, const struct conf_field *f, const json_t *value, char **to) {
	char *text = NULL;
	bool plain = is_template(f) || f->flags & CONF_PLAIN_OK;
	if (json_is_string(value)) {
		text = sl_strdup(json_string_value(value));
	} else if (f->flags & CONF_PLAIN_OK && json_is_number(value)) {
		text = number_as_written(s, value);
	} else if (plain && json_is_integer(value)) {
		text = number_text(value);
	} else if (plain && json_is_boolean(value)) {
		text = sl_strdup(json_is_true(value) ? "true" : "false");
	}
	bool scalar = json_is_number(value) || json_is_boolean(value), as_written = true;
	if (!text) return not_a(s, f, value, scalar ? "text; write it in quotes" : "text");
	if (f->flags & CONF_EXPAND && !is_template(f) && json_is_string(value)) {
		struct sl_err err = SL_ERR_INIT;
		char *expanded;
		int rc = f->flags & CONF_SECRET ? conf_expand_secret(slice_from_str(text), &expanded, &err)
						: conf_expand(slice_from_str(text), &expanded, &err);
		sl_free(text);
		if (rc != SL_OK) return conf_report_text(s.report, s.at, &err);
		text = expanded;
		as_written = strcmp(text, json_string_value(value)) == 0;
	}
	int rc = check_text(s, f, slice_from_str(text), as_written);
	sl_free(*to);
	*to = text;
	return rc;
}

static int set_text(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	return take_text(s, f, value, to);
}

/* ---- lists, maps, objects -------------------------------------------------------------------------------- */

static int check_count(struct spot s, const struct conf_field *f, size_t count) {
	size_t min = f->flags & CONF_NONEMPTY && f->min == 0 ? 1 : (size_t)f->min;
	size_t max = f->max ? (size_t)f->max : CONF_LIST_MAX;
	if (count >= min && count <= max) return SL_OK;
	return FAULT(s, SL_EINVAL, "has %zu entries; it must have %zu to %zu", count, min, max);
}

static int set_list(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	struct conf_list *list = to;
	if (json_is_string(value)) { /* `brokers: one` means a list of one */
		list->items = SL_NEW_ARRAY(char *, 1);
		list->len = 1;
		int rc = take_text(s, f, value, &list->items[0]);
		if (!list->items[0]) list->items[0] = sl_strdup("");
		return rc;
	}
	if (!json_is_array(value)) return not_a(s, f, value, "a list of text");
	size_t count = json_array_size(value);
	int rc = check_count(s, f, count);
	if (rc != SL_OK) return rc;
	list->items = SL_NEW_ARRAY(char *, count);
	list->len = count;
	for (size_t i = 0; i < count; i++) {
		char *path = yaml_path_index(s.at.path, i);
		struct spot item = {{s.at.doc, path}, s.report};
		int item_rc = take_text(item, f, json_array_get(value, i), &list->items[i]);
		if (!list->items[i]) list->items[i] = sl_strdup("");
		if (rc == SL_OK) rc = item_rc;
		sl_free(path);
	}
	return rc;
}

static int set_map(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	struct conf_map *map = to;
	if (f->flags & CONF_TEMPLATE_OK && json_is_string(value)) {
		map->items = SL_NEW_ARRAY(struct conf_pair, 1);
		map->len = 1;
		return take_text(s, f, value, &map->items[0].value);
	}
	if (!json_is_object(value)) return not_a(s, f, value, "a map, for example {name: text}");
	int rc = check_count(s, f, json_object_size(value));
	if (rc != SL_OK) return rc;
	map->items = SL_NEW_ARRAY(struct conf_pair, json_object_size(value));
	const char *key;
	json_t *item;
	json_object_foreach((json_t *)(uintptr_t)value, key, item) {
		char *path = yaml_path_key(s.at.path, key);
		struct conf_pair *pair = &map->items[map->len++];
		pair->key = sl_strdup(key);
		int item_rc = take_text((struct spot){{s.at.doc, path}, s.report}, f, item, &pair->value);
		if (!pair->value) pair->value = sl_strdup("");
		if (rc == SL_OK) rc = item_rc;
		sl_free(path);
	}
	return rc;
}

static int set_tree(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	if (json_is_null(value) && !(f->flags & CONF_NULL_OK)) return not_a(s, f, value, "a value");
	json_decref(*(json_t **)to);
	*(json_t **)to = json_incref((json_t *)(uintptr_t)value);
	return SL_OK;
}

static int set_object(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	if (json_is_null(value) && f->flags & (CONF_NULL_OK | CONF_GIVEN)) value = NULL;
	if (value && !json_is_object(value)) {
		if (!(f->flags & CONF_GIVEN)) return not_a(s, f, value, "a map of options, {name: value}");
		/* Whoever writes `tls: true` wants a switch. */
		char *wanted = sl_asprintf("a map of options, {name: value}; `%s:` alone takes all defaults, without "
					   "the line it is off",
					   f->name);
		int rc = not_a(s, f, value, wanted);
		sl_free(wanted);
		return rc;
	}
	if (f->flags & CONF_GIVEN) *(bool *)to = true;
	return conf_apply(f->fields, value, s.at, to, s.report);
}

static int set_objects(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	struct conf_objects *objects = to;
	if (!json_is_array(value)) return not_a(s, f, value, "a list (each entry begins with `-`)");
	size_t count = json_array_size(value);
	int rc = check_count(s, f, count);
	if (rc != SL_OK) return rc;
	objects->items = sl_calloc(count, f->item_size);
	objects->len = count;
	for (size_t i = 0; i < count; i++) {
		char *path = yaml_path_index(s.at.path, i);
		struct spot item = {{s.at.doc, path}, s.report};
		void *into = (char *)objects->items + i * f->item_size;
		int item_rc = set_object(item, f, json_array_get(value, i), into);
		if (rc == SL_OK) rc = item_rc;
		sl_free(path);
	}
	return rc;
}

/* ---- tables ---------------------------------------------------------------------------------------------- */

static int set_value(struct spot s, const struct conf_field *f, const json_t *value, void *to) {
	switch (f->type) {
	case CONF_STRING:
	case CONF_TEMPLATE: return set_text(s, f, value, to);
	case CONF_BOOL: return set_bool(s, f, value, to);
	case CONF_INT:
	case CONF_INT_AUTO: return set_int(s, f, value, to);
	case CONF_DOUBLE: return set_double(s, f, value, to);
	case CONF_DURATION:
	case CONF_SIZE: return set_with_unit(s, f, value, to);
	case CONF_PERCENT: return set_percent(s, f, value, to);
	case CONF_ENUM: return set_enum(s, f, value, to);
	case CONF_STRING_LIST:
	case CONF_TEMPLATE_LIST: return set_list(s, f, value, to);
	case CONF_STRING_MAP:
	case CONF_TEMPLATE_MAP: return set_map(s, f, value, to);
	case CONF_TREE: return set_tree(s, f, value, to);
	case CONF_OBJECT: return set_object(s, f, value, to);
	case CONF_OBJECT_LIST: return set_objects(s, f, value, to);
	}
	return SL_EINVAL;
}

/* A default, or a command-line flag: read as a plain YAML scalar, but text stays text. */
static json_t *text_to_value(const struct conf_field *f, const char *text, struct sl_err *err) {
	bool is_text = f->type == CONF_STRING || is_template(f) || f->type == CONF_STRING_LIST;
	return yaml_scalar_value(slice_from_str(text), NULL, !is_text, err);
}

int conf_set_text(const struct conf_field *field, const char *text, void *into, struct sl_err *err) {
	json_t *value = text_to_value(field, text, err);
	if (!value) return err ? err->status : SL_EINVAL;
	struct conf_report report = CONF_REPORT_INIT;
	struct spot s = {{NULL, field->name}, &report};
	int rc = set_value(s, field, value, (char *)into + field->at);
	if (rc != SL_OK) sl_err_set(err, rc, "%s", report.len ? sl_err_text(&report.errs[0]) : sl_status_text(rc));
	conf_report_fini(&report);
	json_decref(value);
	return rc;
}

static const struct conf_field *find_field(const struct conf_part *parts, size_t count, const char *name) {
	for (size_t i = 0; i < count; i++)
		for (const struct conf_field *f = parts[i].fields; f->name; f++)
			if (strcmp(f->name, name) == 0) return f;
	return NULL;
}

/* The key of the tree that is no option, and looks like this one; NULL: none. */
static const char *misspelt(const struct conf_part *parts, size_t count, const json_t *tree, const char *name) {
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
		if (!find_field(parts, count, key) && slice_nearest(slice_from_str(key), &name, 1)) return key;
	}
	return NULL;
}

/* The option has no place of its own: points at the object that lacks it. */
static int required(struct conf_at parent, const struct conf_field *f, const char *near, struct conf_report *report) {
	const char *example = f->example ? f->example : "";
	struct conf_at at = {parent.doc, parent.path};
	if (near)
		return conf_report_add(report, at, CONF_AT_KEY, SL_EINVAL,
				       "the option `%s` is required; did you mean it by `%s`?", f->name, near);
	return conf_report_add(report, at, CONF_AT_KEY, SL_EINVAL, "the option `%s` is required%s%s%s%s%s", f->name,
			       example[0] ? ", for example `" : "", example[0] ? f->name : "", example[0] ? ": " : "",
			       example, example[0] ? "`" : "");
}

/* near: a key that may be meant for it, or NULL. */
static int set_absent(struct spot s, const struct conf_field *f, const char *near, struct conf_at parent, void *into) {
	if (f->type == CONF_OBJECT && !(f->flags & CONF_REQUIRED))
		return conf_apply(f->fields, NULL, s.at, (char *)into + f->at, s.report);
	if (f->flags & CONF_REQUIRED) return required(parent, f, near, s.report);
	if (!f->def) return SL_OK;
	struct sl_err err = SL_ERR_INIT;
	int rc = conf_set_text(f, f->def, into, &err);
	/* A default can meet the world only through ${...}; other failures are ours. */
	if (rc != SL_OK) FAULT(s, rc, "the default does not work: %s", sl_err_text(&err));
	sl_err_fini(&err);
	return rc;
}

/* `pasword` where `sasl.password` is meant, or `sasl.password` where `sasl: {password: ...}` is. Heap, or NULL. */
static char *nearest_below(const struct conf_field *f, const char *key) {
	size_t len = 0, cap = 0, parent = strlen(f->name);
	const char **names = NULL;
	if (f->type != CONF_OBJECT) return NULL;
	if (strncmp(key, f->name, parent) == 0 && key[parent] == '.') key += parent + 1;
	for (const struct conf_field *below = f->fields; below->name; below++) {
		SL_GROW(names, len, cap);
		names[len++] = below->name;
	}
	const char *near = slice_nearest(slice_from_str(key), names, len);
	sl_free(names);
	return near ? sl_asprintf("%s.%s", f->name, near) : NULL;
}

/* What stands elsewhere, or is called something else. Heap, or NULL. */
static char *meant_elsewhere(const struct conf_part *parts, size_t count, const char *key) {
	for (size_t i = 0; i < count; i++) {
		const struct conf_field *f = parts[i].fields;
		while (f->name) f++;
		for (const struct conf_hint *h = f->hints; h && h->name; h++)
			if (strcmp(h->name, key) == 0) return sl_asprintf("write %s", h->text);
	}
	for (size_t i = 0; i < count; i++)
		for (const struct conf_field *f = parts[i].fields; f->name; f++) {
			char *near = nearest_below(f, key);
			char *text = near ? sl_asprintf("did you mean `%s`?", near) : NULL;
			sl_free(near);
			if (text) return text;
		}
	return NULL;
}

static int unknown_key(struct spot s, const struct conf_part *parts, size_t count, const char *key) {
	const char **names = NULL;
	size_t len = 0, cap = 0;
	for (size_t i = 0; i < count; i++)
		for (const struct conf_field *f = parts[i].fields; f->name; f++) {
			SL_GROW(names, len, cap);
			names[len++] = f->name;
		}
	const char *near = slice_nearest(slice_from_str(key), names, len);
	struct sl_buf said = SL_BUF_INIT;
	char *elsewhere = near ? NULL : meant_elsewhere(parts, count, key);
	if (near)
		sl_buf_printf(&said, "did you mean `%s`?", near);
	else
		sl_buf_append_str(&said, elsewhere ? elsewhere : "the options here are: ");
	for (size_t i = 0; !near && !elsewhere && i < len; i++) sl_buf_printf(&said, "%s%s", i ? ", " : "", names[i]);
	int rc = conf_report_add(s.report, s.at, CONF_AT_KEY, SL_ENOTFOUND, "unknown option; %s", sl_buf_cstr(&said));
	sl_free(elsewhere);
	sl_buf_fini(&said);
	sl_free(names);
	return rc;
}

static int refuse_unknown(const struct conf_part *parts, size_t count, const json_t *tree, struct conf_at at,
			  struct conf_report *report) {
	int first = SL_OK;
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
		if (find_field(parts, count, key)) continue;
		char *path = yaml_path_key(at.path, key);
		int rc = unknown_key((struct spot){{at.doc, path}, report}, parts, count, key);
		if (first == SL_OK) first = rc;
		sl_free(path);
	}
	return first;
}

int conf_apply_parts(const struct conf_part *parts, size_t count, const json_t *tree, struct conf_at at,
		     struct conf_report *report) {
	if (tree && !json_is_object(tree))
		return conf_report_add(report, at, CONF_AT_VALUE, SL_ETYPE, "must be a map of options, {name: value}");
	int first = tree ? refuse_unknown(parts, count, tree, at, report) : SL_OK;
	for (size_t i = 0; i < count; i++) {
		for (const struct conf_field *f = parts[i].fields; f->name; f++) {
			char *path = yaml_path_key(at.path, f->name);
			struct spot s = {{at.doc, path}, report};
			bool mine = find_field(parts, count, f->name) == f;
			const json_t *value = tree && mine ? json_object_get(tree, f->name) : NULL;
			const char *near =
			    value || !(f->flags & CONF_REQUIRED) ? NULL : misspelt(parts, count, tree, f->name);
			int rc = value ? set_value(s, f, value, (char *)parts[i].into + f->at)
				       : set_absent(s, f, near, at, parts[i].into);
			if (first == SL_OK) first = rc;
			sl_free(path);
		}
	}
	return first;
}

int conf_apply(const struct conf_field *fields, const json_t *tree, struct conf_at at, void *into,
	       struct conf_report *report) {
	struct conf_part part = {fields, into};
	return conf_apply_parts(&part, 1, tree, at, report);
}

void conf_defaults(const struct conf_field *fields, void *into) {
	struct conf_report report = CONF_REPORT_INIT;
	int rc = conf_apply(fields, NULL, (struct conf_at){NULL, ""}, into, &report);
	conf_report_fini(&report);
	sl_assert(rc == SL_OK);
}
