/* schema_show.c: settings as they may be shown, and their end. */
#include <string.h>

#include "conf_exec.h"
#include "conf_units.h"
#include "mem.h"
#include "schema.h"

/* ---- secrets --------------------------------------------------------------------------------------------- */

static ptrdiff_t find_nocase(struct sl_slice s, struct sl_slice needle) {
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (slice_equal_nocase(slice_sub(s, i, needle.n), needle)) return (ptrdiff_t)i;
	return -1;
}

/* "postgresql://iot:secret@host/db": from the first colon of the user part to the last @. A password may hold any
 * character, so too much is masked rather than too little. Returns where the unmasked rest begins. */
static size_t mask_user_part(struct sl_slice s, struct sl_buf *out) {
	ptrdiff_t scheme = slice_find(s, SL_SLICE_LIT("://"));
	const char *last_at = s.n ? memrchr(s.p, '@', s.n) : NULL;
	if (scheme < 0 || !last_at) return 0;
	size_t start = (size_t)scheme + 3, end = (size_t)(last_at - s.p);
	if (end < start) return 0;
	ptrdiff_t colon = slice_find_byte(slice_sub(s, start, end - start), ':');
	if (colon < 0) return 0;
	sl_buf_append(out, s.p, start + (size_t)colon + 1);
	sl_buf_append_str(out, "***");
	return end;
}

static size_t skip_spaces(struct sl_slice s, size_t at) {
	while (at < s.n && s.p[at] == ' ') at++;
	return at;
}

/* Where the value of the first `password=` begins; SIZE_MAX: there is none. */
static size_t password_find(struct sl_slice s) {
	struct sl_slice word = SL_SLICE_LIT("password");
	size_t from = 0;
	for (ptrdiff_t at; (at = find_nocase(slice_from(s, from), word)) >= 0;) {
		size_t equals = skip_spaces(s, from += (size_t)at + word.n);
		if (equals < s.n && s.p[equals] == '=') return skip_spaces(s, equals + 1);
	}
	return SIZE_MAX;
}

static size_t token_find(struct sl_slice s) {
	struct sl_slice word = SL_SLICE_LIT("AWS_SESSION_TOKEN:");
	ptrdiff_t at = find_nocase(s, word);
	return at < 0 ? SIZE_MAX : (size_t)at + word.n;
}

/* "host=a password = secret user=b", "?password=secret&x=1", and what MongoDB has for AWS. */
static void mask_pairs(struct sl_slice s, struct sl_buf *out) {
	for (;;) {
		size_t password = password_find(s), token = token_find(s);
		size_t end = password < token ? password : token;
		char stop = password < token ? '&' : ',';
		if (end == SIZE_MAX) break;
		sl_buf_append(out, s.p, end);
		sl_buf_append_str(out, "***");
		bool quoted = end < s.n && s.p[end] == '\'';
		if (quoted) {
			for (end++; end < s.n && s.p[end] != '\''; end++)
				if (s.p[end] == '\\') end++;
			end++;
		} else {
			while (end < s.n && s.p[end] != ' ' && s.p[end] != '&' && s.p[end] != stop) end++;
		}
		s = slice_from(s, end);
	}
	sl_buf_append_slice(out, s);
}

void conf_mask(const struct conf_field *field, const char *value, struct sl_buf *out) {
	struct sl_slice s = slice_from_str(value);
	struct sl_buf shown = SL_BUF_INIT;
	if (field->flags & CONF_SECRET)
		sl_buf_append_str(out, "***");
	else if (field->flags & CONF_SECRET_URL)
		mask_pairs(slice_from(s, mask_user_part(s, &shown)), &shown);
	else
		sl_buf_append_slice(&shown, s);
	conf_exec_hide(sl_buf_slice(&shown), out);
	sl_buf_fini(&shown);
}

/* ---- showing --------------------------------------------------------------------------------------------- */

static json_t *show_text(const struct conf_field *f, const char *text) {
	if (!text) return NULL;
	struct sl_buf b = SL_BUF_INIT;
	conf_mask(f, text, &b);
	json_t *value = json_string(sl_buf_cstr(&b));
	sl_buf_fini(&b);
	return value;
}

static json_t *show_with_unit(const struct conf_field *f, int64_t v) {
	struct sl_buf b = SL_BUF_INIT;
	if (f->type == CONF_SIZE)
		conf_write_size(&b, v);
	else
		conf_write_duration(&b, v);
	json_t *value = json_string(sl_buf_cstr(&b));
	sl_buf_fini(&b);
	return value;
}

static json_t *show_int(const struct conf_field *f, int64_t v) {
	if (f->type == CONF_INT_AUTO && v == CONF_AUTO) return json_string("auto");
	if (f->flags & CONF_UNLIMITED_OK && v == CONF_UNLIMITED) return json_string("unlimited");
	return json_integer(v);
}

static json_t *show_list(const struct conf_field *f, const struct conf_list *list) {
	json_t *value = json_array();
	for (size_t i = 0; i < list->len; i++) json_array_append_new(value, show_text(f, list->items[i]));
	return value;
}

static json_t *show_map(const struct conf_field *f, const struct conf_map *map) {
	if (map->len == 1 && !map->items[0].key) return show_text(f, map->items[0].value); /* CONF_TEMPLATE_OK */
	json_t *value = json_object();
	for (size_t i = 0; i < map->len; i++)
		json_object_set_new(value, map->items[i].key, show_text(f, map->items[i].value));
	return value;
}

static json_t *show_objects(const struct conf_field *f, const struct conf_objects *objects) {
	json_t *value = json_array();
	for (size_t i = 0; i < objects->len; i++)
		json_array_append_new(value, conf_show(f->fields, (const char *)objects->items + i * f->item_size));
	return value;
}

static json_t *show_percent(double v) {
	char *text = sl_asprintf("%.15g%%", v);
	json_t *value = json_string(text);
	sl_free(text);
	return value;
}

static json_t *show_value(const struct conf_field *f, const void *from) {
	switch (f->type) {
	case CONF_STRING:
	case CONF_TEMPLATE: return show_text(f, *(char *const *)from);
	case CONF_BOOL: return json_boolean(*(const bool *)from);
	case CONF_INT:
	case CONF_INT_AUTO: return show_int(f, *(const int64_t *)from);
	case CONF_DOUBLE: return json_real(*(const double *)from);
	case CONF_DURATION:
	case CONF_SIZE: return show_with_unit(f, *(const int64_t *)from);
	case CONF_PERCENT: return show_percent(*(const double *)from);
	case CONF_ENUM: return json_string(f->names[*(const int *)from]);
	case CONF_STRING_LIST:
	case CONF_TEMPLATE_LIST: return show_list(f, from);
	case CONF_STRING_MAP:
	case CONF_TEMPLATE_MAP: return show_map(f, from);
	case CONF_TREE: return f->flags & CONF_SECRET ? json_string("***") : json_deep_copy(*(json_t *const *)from);
	case CONF_OBJECT: return f->flags & CONF_GIVEN && !*(const bool *)from ? NULL : conf_show(f->fields, from);
	case CONF_OBJECT_LIST: return show_objects(f, from);
	}
	return NULL;
}

json_t *conf_show(const struct conf_field *fields, const void *from) {
	json_t *tree = json_object();
	for (const struct conf_field *f = fields; f->name; f++) {
		json_t *value = show_value(f, (const char *)from + f->at);
		if (value) json_object_set_new(tree, f->name, value);
	}
	return tree;
}

/* ---- the end --------------------------------------------------------------------------------------------- */

/* A secret does not stay in freed memory. */
static void free_text(const struct conf_field *f, char *text) {
	if (text && f->flags & (CONF_SECRET | CONF_SECRET_URL)) explicit_bzero(text, strlen(text));
	sl_free(text);
}

static void fini_objects(const struct conf_field *f, struct conf_objects *objects) {
	for (size_t i = 0; i < objects->len; i++) conf_fini(f->fields, (char *)objects->items + i * f->item_size);
	sl_free(objects->items);
	*objects = (struct conf_objects){0};
}

static void fini_value(const struct conf_field *f, void *at) {
	switch (f->type) {
	case CONF_STRING:
	case CONF_TEMPLATE:
		free_text(f, *(char **)at);
		*(char **)at = NULL;
		return;
	case CONF_STRING_LIST:
	case CONF_TEMPLATE_LIST: {
		struct conf_list *list = at;
		for (size_t i = 0; i < list->len; i++) free_text(f, list->items[i]);
		sl_free(list->items);
		*list = (struct conf_list){0};
		return;
	}
	case CONF_STRING_MAP:
	case CONF_TEMPLATE_MAP: {
		struct conf_map *map = at;
		for (size_t i = 0; i < map->len; i++) {
			sl_free(map->items[i].key);
			free_text(f, map->items[i].value);
		}
		sl_free(map->items);
		*map = (struct conf_map){0};
		return;
	}
	case CONF_TREE:
		json_decref(*(json_t **)at);
		*(json_t **)at = NULL;
		return;
	case CONF_OBJECT:
		conf_fini(f->fields, at);
		if (f->flags & CONF_GIVEN) *(bool *)at = false;
		return;
	case CONF_OBJECT_LIST: fini_objects(f, at); return;
	case CONF_BOOL:
	case CONF_INT:
	case CONF_INT_AUTO:
	case CONF_DOUBLE:
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_PERCENT:
	case CONF_ENUM: return;
	}
}

void conf_fini(const struct conf_field *fields, void *into) {
	for (const struct conf_field *f = fields; f->name; f++) fini_value(f, (char *)into + f->at);
}
