/* hocon_resolve.c: references of a HOCON text: see hocon.h. The tree as read is not changed; a new one is made. Every value
 * made counts against one budget, so that references to references can't grow without bound. */
#include "hocon_int.h"
#include "mem.h"

struct resolver {
	struct hocon_reader *r;
	json_t *root;
	size_t nodes, bytes;
	int refs_open; /* references inside each other */
};

static json_t *resolve(struct resolver *v, json_t *value, int depth);

void hocon_merge(json_t *into, json_t *from) {
	const char *key;
	json_t *value;
	json_object_foreach(from, key, value) hocon_put(into, key, json_incref(value));
}

void hocon_put(json_t *into, const char *key, json_t *value) {
	json_t *old = json_object_get(into, key);
	bool both = json_is_object(old) && json_is_object(value);
	if (both && hocon_known(old) && hocon_known(value)) {
		hocon_merge(old, value);
		json_decref(value);
	} else if (old && hocon_marked(old, HOCON_MERGE)) {
		json_array_append_new(hocon_marked(old, HOCON_MERGE), value);
	} else if (old && (both || !hocon_known(value)) && (!hocon_known(old) || json_is_object(old))) {
		json_object_set_new(into, key, json_pack("{s:[O,o]}", HOCON_MERGE, old, value));
	} else {
		json_object_set_new(into, key, value);
	}
}

static bool spend(struct resolver *v, size_t bytes) {
	v->nodes++;
	v->bytes += bytes;
	if (v->nodes <= HOCON_NODES_MAX && v->bytes <= HOCON_SIZE_MAX) return true;
	hocon_fail(v->r, 0, 0, SL_ELIMIT, "references make more than %d values or %d MB of text of this file",
		   HOCON_NODES_MAX, (int)(HOCON_SIZE_MAX / SL_MB));
	return false;
}

static json_t *resolve_list(struct resolver *v, json_t *list, int depth) {
	json_t *made = json_array();
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item) {
		json_t *value = resolve(v, item, depth + 1);
		if (!value) {
			json_decref(made);
			return NULL;
		}
		json_array_append_new(made, value);
	}
	return made;
}

static json_t *resolve_object(struct resolver *v, json_t *object, int depth) {
	json_t *made = json_object();
	const char *key;
	json_t *item;
	json_object_foreach(object, key, item) {
		json_t *value = resolve(v, item, depth + 1);
		if (!value) {
			json_decref(made);
			return NULL;
		}
		json_object_set_new(made, key, value);
	}
	return made;
}

/* Borrowed from the tree, or *owned. NULL: nothing is there, or err is set. */
static json_t *look_up(struct resolver *v, json_t *ref, json_t **owned, int depth) {
	json_t *at = v->root;
	for (size_t i = 3; at && i < json_array_size(ref); i++) {
		if (!hocon_known(at)) {
			json_t *plain = resolve(v, at, depth);
			json_decref(*owned);
			*owned = at = plain;
		}
		at = json_object_get(at, json_string_value(json_array_get(ref, i)));
	}
	return at;
}

static void note_missing(struct resolver *v, json_t *ref) {
	struct sl_buf *notes = v->r->notes;
	if (json_is_true(json_array_get(ref, 2)) || !notes) return;
	sl_buf_printf(notes, "%d:%d: ${", (int)json_integer_value(json_array_get(ref, 0)),
		      (int)json_integer_value(json_array_get(ref, 1)));
	for (size_t i = 3; i < json_array_size(ref); i++)
		sl_buf_printf(notes, "%s%s", i > 3 ? "." : "", json_string_value(json_array_get(ref, i)));
	sl_buf_append_str(notes, "} is not said in this file; it counts as null\n");
}

static json_t *resolve_ref(struct resolver *v, json_t *ref, int depth) {
	uint32_t line = (uint32_t)json_integer_value(json_array_get(ref, 0));
	uint32_t column = (uint32_t)json_integer_value(json_array_get(ref, 1));
	if (v->refs_open >= HOCON_DEPTH_MAX)
		return hocon_fail(v->r, line, column, SL_ESYNTAX,
				  "this reference leads back to itself, or through more than %d others",
				  HOCON_DEPTH_MAX);
	v->refs_open++;
	json_t *owned = NULL, *found = look_up(v, ref, &owned, depth), *made = NULL;
	if (found) {
		made = resolve(v, found, depth);
	} else if (v->r->err->status == SL_OK) {
		note_missing(v, ref);
		made = json_null();
	}
	json_decref(owned);
	v->refs_open--;
	return made;
}

static void append_text(struct sl_buf *text, const json_t *part) {
	if (json_is_string(part)) {
		sl_buf_append(text, json_string_value(part), json_string_length(part));
	} else if (!json_is_null(part)) {
		char *dump = json_dumps(part, JSON_ENCODE_ANY | JSON_COMPACT);
		sl_buf_append_str(text, dump);
		free(dump);
	}
}

static bool is_blank(const json_t *part) {
	struct sl_slice text = slice_make(json_string_value(part), json_string_length(part));
	return json_is_null(part) || (json_is_string(part) && slice_trim(text).n == 0);
}

/* Objects merge, lists join, all else is text. The place is taken off the list. */
static json_t *concat(struct resolver *v, json_t *parts) {
	bool objects = false, lists = false, others = false;
	size_t i;
	json_t *part;
	uint32_t line = (uint32_t)json_integer_value(json_array_get(parts, 0));
	uint32_t column = (uint32_t)json_integer_value(json_array_get(parts, 1));
	json_array_remove(parts, 0);
	json_array_remove(parts, 0);
	json_array_foreach(parts, i, part) {
		objects = objects || json_is_object(part);
		lists = lists || json_is_array(part);
		others = others || (!json_is_object(part) && !json_is_array(part) && !is_blank(part));
	}
	if (objects + lists + others > 1)
		return hocon_fail(v->r, line, column, SL_ESYNTAX,
				  "objects, lists and texts stand side by side in one value; separate them by commas");
	json_t *made = objects ? json_object() : lists ? json_array() : NULL;
	struct sl_buf text = SL_BUF_INIT;
	json_array_foreach(parts, i, part) {
		if (objects && json_is_object(part)) hocon_merge(made, part);
		if (lists && json_is_array(part)) json_array_extend(made, part);
		if (!made) append_text(&text, part);
	}
	if (!made && spend(v, text.n)) made = json_stringn(text.n ? text.p : "", text.n);
	sl_buf_fini(&text);
	return made;
}

/* What the last of them says, or several objects together. Borrowed. */
static json_t *merge_all(json_t *values) {
	json_t *made = json_array_get(values, 0);
	for (size_t i = 1; i < json_array_size(values); i++) {
		json_t *later = json_array_get(values, i);
		if (json_is_object(made) && json_is_object(later))
			hocon_merge(made, later);
		else if (!json_is_null(later))
			made = later;
	}
	return made;
}

static json_t *resolve_marker(struct resolver *v, json_t *value, int depth) {
	json_t *ref = hocon_marked(value, HOCON_REF), *parts = hocon_marked(value, HOCON_CONCAT);
	if (ref) return resolve_ref(v, ref, depth);
	json_t *made = NULL, *known = resolve_list(v, parts ? parts : hocon_marked(value, HOCON_MERGE), depth);
	if (known && parts) {
		made = concat(v, known);
	} else if (known) {
		made = json_incref(merge_all(known));
	}
	json_decref(known);
	return made;
}

static json_t *resolve(struct resolver *v, json_t *value, int depth) {
	if (depth > 4 * HOCON_DEPTH_MAX)
		return hocon_fail(v->r, 0, 0, SL_ELIMIT, "references nest values more than %d deep",
				  4 * HOCON_DEPTH_MAX);
	if (!spend(v, json_is_string(value) ? json_string_length(value) : 0)) return NULL;
	if (!hocon_known(value)) return resolve_marker(v, value, depth + 1);
	if (json_is_object(value)) return resolve_object(v, value, depth);
	if (json_is_array(value)) return resolve_list(v, value, depth);
	return json_incref(value);
}

json_t *hocon_resolve(struct hocon_reader *r, json_t *root) {
	struct resolver v = {.r = r, .root = root};
	return resolve(&v, root, 0);
}
