/* cfn.c: see cfn.h. */
#include "cfn.h"

#include <ctype.h>

#include "buf.h"
#include "utf8.h"

enum { ASSUMED_BYTES_MAX = 100 }; /* that much of a default is told */

static bool append(struct cfn *c, const json_t *value, const json_t *vars, bool in_action, struct sl_buf *out);

static void append_unknown(struct cfn *c, struct sl_slice name, bool in_action, struct sl_buf *out) {
	char *key = sl_arena_strdup(c->arena, name);
	json_object_set_new(c->missing, key, json_true());
	sl_buf_printf(out, "%s{%s}", in_action ? "$$" : "$", key);
}

/* A parameter, a variable of Fn::Sub, or what only the stack knows. */
static bool append_name(struct cfn *c, struct sl_slice name, const json_t *vars, bool in_action, struct sl_buf *out) {
	const char *key = sl_arena_strdup(c->arena, name);
	const json_t *var = json_object_get(vars, key);
	const json_t *value = json_object_get(json_object_get(c->parameters, key), "Default");
	if (var) return append(c, var, NULL, in_action, out);
	if (!value || json_is_object(value) || json_is_array(value)) {
		append_unknown(c, name, in_action, out);
		return true;
	}
	size_t from = out->n;
	if (!append(c, value, NULL, in_action, out)) return false;
	struct sl_slice made = slice_sub(slice_from(sl_buf_slice(out), from), 0, ASSUMED_BYTES_MAX);
	made.n = utf8_valid_prefix(made);
	json_object_set_new(c->assumed, key, json_stringn(made.n ? made.p : "", made.n));
	return true;
}

/* "a/${Name}/${!topic()}" */
static bool append_sub(struct cfn *c, struct sl_slice text, const json_t *vars, bool in_action, struct sl_buf *out) {
	while (text.n) {
		ptrdiff_t at = slice_find(text, SL_SLICE_LIT("${"));
		if (at < 0) at = (ptrdiff_t)text.n;
		sl_buf_append_slice(out, slice_sub(text, 0, (size_t)at));
		text = slice_from(text, (size_t)at);
		if (out->n > CFN_TEXT_MAX) return false;
		ptrdiff_t end = slice_find_byte(text, '}');
		if (text.n == 0) return true;
		if (end < 0) {
			sl_buf_append_slice(out, text);
			return true;
		}
		struct sl_slice name = slice_trim(slice_sub(text, 2, (size_t)end - 2));
		if (name.n && name.p[0] == '!') { /* only the mark goes; what follows is not ours to look into */
			sl_buf_append_str(out, "${");
			text = slice_from(text, 3);
			continue;
		}
		if (!append_name(c, name, vars, in_action, out)) return false;
		text = slice_from(text, (size_t)end + 1);
	}
	return true;
}

static bool append_join(struct cfn *c, const json_t *args, bool in_action, struct sl_buf *out) {
	const json_t *parts = json_array_get(args, 1);
	struct sl_slice between = slice_from_str(json_string_value(json_array_get(args, 0)));
	for (size_t i = 0; i < json_array_size(parts); i++) {
		if (i) sl_buf_append_slice(out, between);
		if (!append(c, json_array_get(parts, i), NULL, in_action, out)) return false;
	}
	return true;
}

static void append_attribute(struct cfn *c, const json_t *arg, bool in_action, struct sl_buf *out) {
	const char *resource = json_string_value(json_array_get(arg, 0));
	const char *attribute = json_string_value(json_array_get(arg, 1));
	struct sl_slice name = json_is_string(arg) ? slice_from_str(json_string_value(arg))
						   : sl_arena_printf(c->arena, "%s.%s", resource ? resource : "?",
								     attribute ? attribute : "?");
	append_unknown(c, name, in_action, out);
}

/* {"Fn::Sub": ...} and its like. */
static bool append_call(struct cfn *c, const json_t *value, const json_t *vars, bool in_action, struct sl_buf *out) {
	void *first = json_object_iter((json_t *)(uintptr_t)value);
	if (json_object_size(value) != 1) return false;
	const char *name = json_object_iter_key(first);
	const json_t *arg = json_object_iter_value(first);
	if (strcmp(name, "Ref") == 0 && json_is_string(arg))
		return append_name(c, slice_from_str(json_string_value(arg)), vars, in_action, out);
	if (strcmp(name, "Fn::Sub") == 0 && json_is_string(arg))
		return append_sub(c, slice_from_str(json_string_value(arg)), NULL, in_action, out);
	if (strcmp(name, "Fn::Sub") == 0 && json_is_string(json_array_get(arg, 0)))
		return append_sub(c, slice_from_str(json_string_value(json_array_get(arg, 0))), json_array_get(arg, 1),
				  in_action, out);
	if (strcmp(name, "Fn::Join") == 0 && json_is_array(json_array_get(arg, 1)))
		return append_join(c, arg, in_action, out);
	if (strcmp(name, "Fn::GetAtt") == 0) {
		append_attribute(c, arg, in_action, out);
		return true;
	}
	if (strncmp(name, "Fn::", 4) != 0) return false;
	append_unknown(c, slice_from_str(name), in_action, out);
	return true;
}

static bool append(struct cfn *c, const json_t *value, const json_t *vars, bool in_action, struct sl_buf *out) {
	if (out->n > CFN_TEXT_MAX) return false;
	if (json_is_string(value))
		sl_buf_append(out, json_string_value(value), json_string_length(value));
	else if (json_is_integer(value))
		sl_buf_printf(out, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		sl_buf_printf(out, "%.17g", json_real_value(value));
	else if (json_is_boolean(value))
		sl_buf_append_str(out, json_is_true(value) ? "true" : "false");
	else
		return c->parameters && json_is_object(value) && append_call(c, value, vars, in_action, out);
	return true;
}

const char *cfn_text(struct cfn *c, const json_t *value, bool in_action) {
	struct sl_buf text = SL_BUF_INIT;
	const char *made = NULL;
	if (c->bytes > CFN_TEXTS_MAX) return NULL;
	bool fine = append(c, value, NULL, in_action, &text) && text.n <= CFN_TEXT_MAX;
	c->bytes += text.n; /* of those that failed, too: the work was done */
	if (fine && c->bytes <= CFN_TEXTS_MAX) made = sl_arena_strdup(c->arena, sl_buf_slice(&text));
	sl_buf_fini(&text);
	return made;
}

const json_t *cfn_member(const json_t *tree, const char *name) {
	const json_t *value = json_object_get(tree, name);
	char pascal[64];
	if (value || strlen(name) >= sizeof pascal) return value;
	memcpy(pascal, name, strlen(name) + 1);
	pascal[0] = (char)toupper((unsigned char)pascal[0]);
	return json_object_get(tree, pascal);
}
