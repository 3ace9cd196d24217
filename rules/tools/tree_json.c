/* tree_json.c: see tree_json.h. */
#include "tree_json.h"

#include "arena.h"
#include "jwrite.h"
#include "mem.h"
#include "yaml.h"

enum { SHOWN_MAX = 400 }; /* bytes of one value in a difference */

static struct sl_slice text_of(const json_t *v) { return slice_make(json_string_value(v), json_string_length(v)); }

static void write_value(struct jwrite *w, const json_t *tree) {
	const char *key;
	const json_t *value;
	size_t i;
	switch (json_typeof(tree)) {
	case JSON_OBJECT:
		jwrite_object_begin(w);
		json_object_foreach((json_t *)(uintptr_t)tree, key, value) {
			jwrite_key(w, slice_from_str(key));
			write_value(w, value);
		}
		jwrite_object_end(w);
		break;
	case JSON_ARRAY:
		jwrite_array_begin(w);
		json_array_foreach(tree, i, value) write_value(w, value);
		jwrite_array_end(w);
		break;
	case JSON_STRING: jwrite_string(w, text_of(tree)); break;
	case JSON_INTEGER: jwrite_i64(w, json_integer_value(tree)); break;
	case JSON_REAL: jwrite_double(w, json_real_value(tree)); break;
	case JSON_TRUE: jwrite_bool(w, true); break;
	case JSON_FALSE: jwrite_bool(w, false); break;
	case JSON_NULL: jwrite_null(w); break;
	}
}

void tree_json_write(const json_t *tree, struct sl_buf *out) {
	struct jwrite w;
	jwrite_init(&w, out);
	if (tree)
		write_value(&w, tree);
	else
		jwrite_null(&w);
}

/* ---- comparing ---------------------------------------------------------------------------------------------------- */

struct comparison {
	struct sl_arena arena;
	struct sl_buf *diff;
	size_t found;
	bool some; /* the caller's */
};

static void put_shown(struct sl_buf *out, struct sl_slice text) {
	sl_buf_append_slice(out, slice_sub(text, 0, SHOWN_MAX));
	if (text.n > SHOWN_MAX) sl_buf_printf(out, "... (%zu bytes)", text.n);
}

/* want NULL: nothing was expected there; got NULL: there is nothing. */
static bool differs(struct comparison *c, const char *path, const json_t *want, const struct jpath_hit *got) {
	if (c->found++ >= TREE_DIFF_MAX) return false;
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_printf(c->diff, "%s: ", path);
	if (want) {
		tree_json_write(want, &text);
		sl_buf_append_str(c->diff, "expected ");
		put_shown(c->diff, sl_buf_slice(&text));
	} else {
		sl_buf_append_str(c->diff, "expected nothing");
	}
	sl_buf_append_str(c->diff, ", got ");
	sl_buf_clear(&text);
	if (got) {
		struct jwrite w;
		jwrite_init(&w, &text);
		jwrite_hit(&w, got);
		put_shown(c->diff, sl_buf_slice(&text));
	} else {
		sl_buf_append_str(c->diff, "nothing");
	}
	sl_buf_put(c->diff, '\n');
	sl_buf_fini(&text);
	return false;
}

static bool same_scalar(struct comparison *c, const json_t *want, const struct jpath_hit *got) {
	int64_t i;
	double d;
	struct sl_slice text;
	switch (json_typeof(want)) {
	case JSON_STRING:
		return got->kind == JKIND_STRING && jscan_string(got, &c->arena, &text) == SL_OK &&
		       slice_equal(text, text_of(want));
	case JSON_INTEGER: return jscan_i64(got, &i) == SL_OK && i == json_integer_value(want);
	case JSON_REAL: {
		/* Exactly this value, not one nearby: bits, not a tolerance. */
		double wanted = json_real_value(want);
		return got->kind == JKIND_DOUBLE && jscan_double(got, &d) == SL_OK && !(d < wanted) && !(d > wanted);
	}
	case JSON_TRUE: return got->kind == JKIND_TRUE;
	case JSON_FALSE: return got->kind == JKIND_FALSE;
	case JSON_NULL: return got->kind == JKIND_NULL;
	case JSON_OBJECT:
	case JSON_ARRAY: break;
	}
	return false;
}

static bool same_value(struct comparison *c, const char *path, const json_t *want, const struct jpath_hit *got,
		       bool some);

static bool same_array(struct comparison *c, const char *path, const json_t *want, const struct jpath_hit *got) {
	struct jscan_iter it;
	struct jpath_hit item;
	size_t i = 0;
	bool same = true;
	if (jscan_begin(&it, got) != SL_OK) return differs(c, path, want, got);
	for (; jscan_next(&it, NULL, &item) == 1; i++) {
		char *item_path = yaml_path_index(path, i);
		const json_t *wanted = json_array_get(want, i);
		same &= wanted ? same_value(c, item_path, wanted, &item, false) : differs(c, item_path, NULL, &item);
		sl_free(item_path);
	}
	for (; i < json_array_size(want); i++) {
		char *item_path = yaml_path_index(path, i);
		same = differs(c, item_path, json_array_get(want, i), NULL);
		sl_free(item_path);
	}
	return same;
}

/* Of a name that occurs twice the last counts, as everywhere. */
static bool member_find(struct comparison *c, const struct jpath_hit *object, const char *name, struct jpath_hit *out) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	struct sl_slice text;
	bool found = false;
	if (jscan_begin(&it, object) != SL_OK) return false;
	while (jscan_next(&it, &key, &value) == 1) {
		if (jscan_string(&key, &c->arena, &text) != SL_OK || !slice_equal_str(text, name)) continue;
		*out = value;
		found = true;
	}
	return found;
}

static bool same_object(struct comparison *c, const char *path, const json_t *want, const struct jpath_hit *got,
			bool some) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	struct sl_slice text;
	const char *name;
	const json_t *wanted;
	bool same = true;
	json_object_foreach((json_t *)(uintptr_t)want, name, wanted) {
		char *member_path = yaml_path_key(path, name);
		bool found = member_find(c, got, name, &value);
		same &=
		    found ? same_value(c, member_path, wanted, &value, false) : differs(c, member_path, wanted, NULL);
		sl_free(member_path);
	}
	if (some || jscan_begin(&it, got) != SL_OK) return same;
	while (jscan_next(&it, &key, &value) == 1) {
		if (jscan_string(&key, &c->arena, &text) != SL_OK) continue;
		char *member = slice_dup(text), *member_path = yaml_path_key(path, member);
		if (!json_object_get(want, member)) same = differs(c, member_path, NULL, &value);
		sl_free(member_path);
		sl_free(member);
	}
	return same;
}

static bool same_value(struct comparison *c, const char *path, const json_t *want, const struct jpath_hit *got,
		       bool some) {
	if (json_is_string(want) && slice_equal_str(text_of(want), "${any}")) return true;
	struct jpath_hit inner;
	struct sl_slice text;
	bool container = json_is_object(want) || json_is_array(want);
	if (c->some && container && got->kind == JKIND_STRING && jscan_string(got, &c->arena, &text) == SL_OK &&
	    jscan_valid(text) && jscan_value(text, &inner) == SL_OK)
		got = &inner; /* a payload, say, given as a tree */
	if (json_is_object(want) && got->kind == JKIND_OBJECT) return same_object(c, path, want, got, some);
	if (json_is_array(want) && got->kind == JKIND_ARRAY) return same_array(c, path, want, got);
	return same_scalar(c, want, got) || differs(c, path, want, got);
}

bool tree_json_same(const json_t *want, struct sl_slice got, const char *name, bool some, struct sl_buf *diff) {
	struct comparison c = {.diff = diff, .some = some};
	struct jpath_hit hit;
	if (jscan_value(got, &hit) != SL_OK) hit = (struct jpath_hit){.kind = JKIND_NULL, .raw = SL_SLICE_LIT("null")};
	sl_arena_init(&c.arena, 1024);
	bool same = same_value(&c, name, want, &hit, some);
	sl_arena_fini(&c.arena);
	if (c.found > TREE_DIFF_MAX) sl_buf_printf(diff, "... and %zu more differences\n", c.found - TREE_DIFF_MAX);
	return same;
}
