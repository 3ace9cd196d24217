/* mongo_template.c: see mongo_template.h. Compiling walks the tree once; writing walks a flat list of steps. */
#include "mongo_template.h"

#include "mem.h"
#include "sql_row.h"
#include "yaml.h"

enum { OPS_MAX = 4000, LEVELS_MAX = 64 };

struct walk {
	struct mongo_template *t;
	struct sl_param_list *params;
	struct sl_err *err;
	const char *option;
	bool text; /* it was JSON text: a placeholder in quotes is text */
	unsigned depth;
};

static int tree_walk(struct walk *w, struct sl_slice key, const json_t *v, const char *path,
		     const struct mongo_types *types, enum mongo_guard guard, bool in_array);
static int filter_members(struct walk *w, const json_t *object, const char *path, const struct mongo_types *types);

static int refuse(struct walk *w, const char *path, const char *fmt, ...) sl_printf(3, 4);
static int refuse(struct walk *w, const char *path, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	(void)sl_err_setv(w->err, SL_EINVAL, fmt, ap);
	va_end(ap);
	sl_err_prefix(w->err, "`%s`", path);
	return SL_EINVAL;
}

static struct mongo_op *op_add(struct walk *w, struct mongo_op op) {
	SL_GROW(w->t->ops, w->t->n, w->t->cap);
	w->t->ops[w->t->n] = op;
	return &w->t->ops[w->t->n++];
}

uint32_t mongo_param(struct sl_param_list *params, struct sl_slice text, enum sql_target target, char *path) {
	for (size_t i = 0; i < params->n; i++)
		if (params->at[i].target == target && slice_equal(params->at[i].text, text)) {
			sl_free(path);
			return (uint32_t)i;
		}
	sl_params_add(params, slice_from_str(path), text, path);
	params->at[params->n - 1].target = target;
	return (uint32_t)(params->n - 1);
}

/* ---- Leaves. ------------------------------------------------------------------------------------------------------------- */

static bool has_value(const json_t *v) {
	const char *s = json_string_value(v), *key;
	json_t *inner;
	size_t i;
	if (s) return *s == MONGO_BARE || strstr(s, "${") != NULL;
	json_object_foreach((json_t *)v, key, inner) if (has_value(inner)) return true;
	json_array_foreach((json_t *)v, i, inner) if (has_value(inner)) return true;
	return false;
}

static bool is_leaf(const json_t *v) { return json_is_string(v) && has_value(v); }

static struct sl_slice leaf_text(const struct walk *w, const json_t *v, enum sql_target *target) {
	struct sl_slice text = slice_make(json_string_value(v), json_string_length(v));
	bool bare = text.n && text.p[0] == MONGO_BARE;
	*target = w->text && !bare ? SQL_TO_TEXT : SQL_TO_VALUE;
	return slice_from(text, bare);
}

/* Dotted names of filters and updates lead into the tree of types as well; `$`, `$[]` and `$[id]` are places in a list, and a number
 * behind a name, where no type is named for a field that is called so. */
static const struct mongo_types *types_of(const struct mongo_types *types, struct sl_slice key) {
	for (bool behind = false; types && key.p; behind = true) {
		struct sl_slice part = slice_next_part(&key, '.');
		int64_t number;
		const struct mongo_types *inner = mongo_types_inner(types, part);
		bool place = behind && part.n && (part.p[0] == '$' || slice_to_i64(part, &number) == SL_OK);
		if (inner || !place) types = inner;
	}
	return types;
}

static int leaf(struct walk *w, struct sl_slice key, const json_t *v, const char *path, const struct mongo_types *types,
		enum mongo_guard guard, bool in_array) {
	enum sql_target target;
	struct sl_slice text = leaf_text(w, v, &target);
	op_add(w, (struct mongo_op){.what = OP_VALUE,
				    .guard = guard,
				    .in_array = in_array,
				    .param = mongo_param(w->params, text, target, sl_strdup(path)),
				    .key = key,
				    .types = types});
	return SL_OK;
}

static int constant(struct walk *w, struct sl_slice key, const json_t *v, const char *path,
		    const struct mongo_types *types) {
	struct mongo_encoder e;
	struct jpath_hit hit;
	size_t at = w->t->consts.n;
	char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
	if (!text) return refuse(w, path, "this value cannot be written as JSON");
	mongo_encoder_init(&e, &w->t->consts);
	e.style.extended = true;
	e.start = at;
	int r = jscan_value(slice_from_str(text), &hit);
	if (r == SL_OK) r = mongo_encode_hit(&e, key, &hit, types);
	if (r != SL_OK) (void)refuse(w, path, "%s", sl_err_text(&e.err));
	mongo_encoder_fini(&e);
	free(text);
	size_t n = w->t->consts.n - at;
	if (r == SL_OK) op_add(w, (struct mongo_op){.what = OP_BYTES, .key = key, .at = at, .n = n, .types = types});
	return r == SL_OK ? SL_OK : SL_EINVAL;
}

/* {"$date": "${ts}"}: a type that is written down where the value is. 1: it was one. */
static int typed_leaf(struct walk *w, struct sl_slice key, const json_t *v, const char *path,
		      const struct mongo_types *types, enum mongo_guard guard, bool in_array) {
	static const struct {
		const char *name;
		struct mongo_types types;
	} known[] = {{"$date", {.type = MONGO_DATE}},
		     {"$oid", {.type = MONGO_OBJECTID}},
		     {"$numberDecimal", {.type = MONGO_DECIMAL128}},
		     {"$numberInt", {.type = MONGO_INT32}},
		     {"$numberLong", {.type = MONGO_INT64}},
		     {"$numberDouble", {.type = MONGO_DOUBLE}},
		     {"$binary", {.type = MONGO_BINARY}},
		     {"$base64", {.type = MONGO_BASE64}},
		     {"$uuid", {.type = MONGO_UUID}}};
	const json_t *inner;
	if (json_object_size(v) != 1) return 0;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (!(inner = json_object_get(v, known[i].name))) continue;
		if (!has_value(inner)) return 0; /* a constant of Extended JSON */
		if (!is_leaf(inner))
			return refuse(w, path, "%s takes one value here: {\"%s\": \"${...}\"}", known[i].name,
				      known[i].name);
		if (types && types->type && types->type != known[i].types.type)
			return refuse(w, path,
				      "%s says one type, and %s is another, which `types` or `timeseries` "
				      "asks for; keep one of them",
				      known[i].name, mongo_type_name(types->type));
		types = types && types->type ? types : &known[i].types;
		int r = leaf(w, key, inner, path, types, guard, in_array);
		return r == SL_OK ? 1 : r;
	}
	return 0;
}

/* ---- Plain trees: documents, and what stands below an operator that takes values. ---------------------------------------------- */

static int name_check(struct walk *w, const char *key, const char *path) {
	if (strstr(key, "${"))
		return refuse(w, path, "a name is the rule's, not the data's: write it out, and ${...} in the value");
	return SL_OK;
}

static int open_close(struct walk *w, struct sl_slice key, bool array, size_t *opened) {
	*opened = w->t->n;
	if (w->t->n > OPS_MAX || ++w->depth > LEVELS_MAX)
		return refuse(w, w->option, "more than %d fields, or %d levels", OPS_MAX, LEVELS_MAX);
	op_add(w, (struct mongo_op){.what = OP_OPEN, .key = key, .array = array});
	return SL_OK;
}

static void close_op(struct walk *w) {
	w->depth--;
	op_add(w, (struct mongo_op){.what = OP_CLOSE});
}

static int list_walk(struct walk *w, const json_t *list, const char *path, const struct mongo_types *types,
		     enum mongo_guard guard) {
	json_t *inner;
	size_t i;
	json_array_foreach((json_t *)list, i, inner) {
		char text[12], *below = yaml_path_index(path, i);
		struct sl_slice place = sl_arena_dup(&w->t->names, mongo_index((uint32_t)i, text));
		int r = tree_walk(w, place, inner, below, types, guard, true);
		sl_free(below);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

static int members_walk(struct walk *w, const json_t *object, const char *path, const struct mongo_types *types,
			enum mongo_guard guard) {
	const char *key;
	json_t *inner;
	json_object_foreach((json_t *)object, key, inner) {
		char *below = yaml_path_key(path, key);
		int r = name_check(w, key, below);
		if (r == SL_OK && *key == '$' && guard != GUARD_LITERAL)
			r = refuse(w, below,
				   "no operator has its place here; a type is written {\"$date\": \"${ts}\"}, or "
				   "named in `types`");
		if (r == SL_OK)
			r = tree_walk(w, slice_from_str(key), inner, below, types_of(types, slice_from_str(key)), guard,
				      false);
		sl_free(below);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

static int tree_walk(struct walk *w, struct sl_slice key, const json_t *v, const char *path,
		     const struct mongo_types *types, enum mongo_guard guard, bool in_array) {
	if (is_leaf(v)) return leaf(w, key, v, path, types, guard, in_array);
	int typed = json_is_object(v) ? typed_leaf(w, key, v, path, types, guard, in_array) : 0;
	if (typed) return typed < 0 ? typed : SL_OK;
	if (!has_value(v)) return constant(w, key, v, path, types);
	size_t opened;
	int r = open_close(w, key, json_is_array(v), &opened);
	if (r == SL_OK)
		r = json_is_array(v) ? list_walk(w, v, path, types, guard) : members_walk(w, v, path, types, guard);
	close_op(w);
	return r;
}

/* ---- Filters. ------------------------------------------------------------------------------------------------------------ */

/* Operators of a filter whose operand is a value, or a list of them, to compare with. */
static bool compares(const char *op) {
	static const char *const names[] = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(op, names[i]) == 0) return true;
	return false;
}

static int operators_walk(struct walk *w, const json_t *object, const char *path, const struct mongo_types *types);

static int operand_walk(struct walk *w, const char *op, const json_t *v, const char *path,
			const struct mongo_types *types) {
	size_t opened;
	struct sl_slice key = slice_from_str(op);
	if (!has_value(v)) return constant(w, key, v, path, types);
	if (compares(op)) return tree_walk(w, key, v, path, types, GUARD_NONE, false);
	if (is_leaf(v) && (strcmp(op, "$size") == 0 || strcmp(op, "$exists") == 0))
		return tree_walk(w, key, v, path, NULL, GUARD_SCALAR, false);
	if (!json_is_object(v) || (strcmp(op, "$not") != 0 && strcmp(op, "$elemMatch") != 0))
		return refuse(w, path,
			      "a value of the data may not stand in %s: the server would read it as an expression", op);
	int r = open_close(w, key, false, &opened);
	if (r == SL_OK) r = operators_walk(w, v, path, types);
	close_op(w);
	return r;
}

static int operators_walk(struct walk *w, const json_t *object, const char *path, const struct mongo_types *types) {
	const char *key;
	json_t *inner;
	json_object_foreach((json_t *)object, key, inner) {
		if (*key != '$') return filter_members(w, object, path, types); /* $elemMatch on objects */
		char *below = yaml_path_key(path, key);
		int r = operand_walk(w, key, inner, below, types);
		sl_free(below);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

static bool has_operator(const json_t *v) {
	const char *key;
	json_t *inner;
	json_object_foreach((json_t *)v, key, inner) if (*key == '$') return true;
	return false;
}

static int filter_field(struct walk *w, const char *name, const json_t *v, const char *path,
			const struct mongo_types *types) {
	struct sl_slice key = slice_from_str(name);
	size_t opened;
	int typed = json_is_object(v) ? typed_leaf(w, key, v, path, types, GUARD_EQ, false) : 0;
	if (typed) return typed < 0 ? typed : SL_OK;
	if (!has_operator(v) || !has_value(v)) return tree_walk(w, key, v, path, types, GUARD_EQ, false);
	int r = open_close(w, key, false, &opened);
	if (r == SL_OK) r = operators_walk(w, v, path, types);
	close_op(w);
	return r;
}

/* $and, $or, $nor: lists of filters. */
static int filter_list(struct walk *w, const char *op, const json_t *list, const char *path,
		       const struct mongo_types *types) {
	size_t opened, i;
	json_t *inner;
	int r = open_close(w, slice_from_str(op), true, &opened);
	json_array_foreach((json_t *)list, i, inner) {
		char text[12], *below = yaml_path_index(path, i);
		size_t at;
		if (r == SL_OK && !json_is_object(inner)) r = refuse(w, below, "%s takes a list of filters", op);
		if (r == SL_OK)
			r = open_close(w, sl_arena_dup(&w->t->names, mongo_index((uint32_t)i, text)), false, &at);
		if (r == SL_OK) r = filter_members(w, inner, below, types);
		if (r == SL_OK) close_op(w);
		sl_free(below);
		if (r != SL_OK) return r;
	}
	close_op(w);
	return r;
}

static int filter_members(struct walk *w, const json_t *object, const char *path, const struct mongo_types *types) {
	const char *key;
	json_t *inner;
	json_object_foreach((json_t *)object, key, inner) {
		char *below = yaml_path_key(path, key);
		int r = name_check(w, key, below);
		bool list = strcmp(key, "$and") == 0 || strcmp(key, "$or") == 0 || strcmp(key, "$nor") == 0;
		if (r == SL_OK && *key != '$')
			r = filter_field(w, key, inner, below, types_of(types, slice_from_str(key)));
		else if (r == SL_OK && list && json_is_array(inner))
			r = filter_list(w, key, inner, below, types);
		else if (r == SL_OK && !has_value(inner))
			r = constant(w, slice_from_str(key), inner, below, NULL);
		else if (r == SL_OK)
			r = refuse(w, below,
				   "a value of the data may not stand in %s: the server would read it as an expression",
				   key);
		sl_free(below);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

/* ---- Updates. ------------------------------------------------------------------------------------------------------------- */

enum operator_kind { TAKES_VALUES, TAKES_ELEMENTS, TAKES_CONDITIONS, TAKES_SCALARS };
static enum operator_kind operator_kind(const char *op) {
	static const struct {
		const char *name;
		enum operator_kind kind;
	} known[] = {{"$set", TAKES_VALUES},        {"$setOnInsert", TAKES_VALUES}, {"$inc", TAKES_VALUES},
		     {"$mul", TAKES_VALUES},        {"$min", TAKES_VALUES},         {"$max", TAKES_VALUES},
		     {"$unset", TAKES_VALUES},      {"$pullAll", TAKES_VALUES},     {"$push", TAKES_ELEMENTS},
		     {"$addToSet", TAKES_ELEMENTS}, {"$pull", TAKES_CONDITIONS}};
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(op, known[i].name) == 0) return known[i].kind;
	return TAKES_SCALARS;
}

/* {$push: {list: {$each: "${values}", $slice: -100}}} */
static int element_modifiers(struct walk *w, const char *name, const json_t *v, const char *path,
			     const struct mongo_types *types) {
	const char *key;
	json_t *inner;
	size_t opened;
	int r = open_close(w, slice_from_str(name), false, &opened);
	json_object_foreach((json_t *)v, key, inner) {
		char *below = yaml_path_key(path, key);
		bool each = strcmp(key, "$each") == 0;
		if (r == SL_OK)
			r = tree_walk(w, slice_from_str(key), inner, below, each ? types : NULL,
				      each ? GUARD_NONE : GUARD_SCALAR, false);
		sl_free(below);
	}
	close_op(w);
	return r;
}

static int update_field(struct walk *w, enum operator_kind kind, const char *name, const json_t *v, const char *path,
			const struct mongo_types *types) {
	struct sl_slice key = slice_from_str(name);
	switch (kind) {
	case TAKES_VALUES: return tree_walk(w, key, v, path, types, GUARD_NONE, false);
	case TAKES_ELEMENTS: {
		bool modifiers = json_object_get(v, "$each") != NULL;
		return modifiers ? element_modifiers(w, name, v, path, types)
				 : tree_walk(w, key, v, path, types, GUARD_EACH, false);
	}
	case TAKES_CONDITIONS: return filter_field(w, name, v, path, types);
	case TAKES_SCALARS: return tree_walk(w, key, v, path, types, GUARD_SCALAR, false);
	}
	return SL_EINVAL;
}

static int row_op(struct walk *w, const json_t *v, const char *path, const struct mongo_types *types, unsigned flags) {
	enum sql_target target;
	struct sl_slice text = leaf_text(w, v, &target);
	op_add(w, (struct mongo_op){.what = OP_ROW,
				    .flags = flags,
				    .param = mongo_param(w->params, text, SQL_TO_VALUE, sl_strdup(path)),
				    .types = types});
	return SL_OK;
}

static int update_operator(struct walk *w, const char *op, const json_t *fields, const char *path,
			   const struct mongo_types *types) {
	enum operator_kind kind = operator_kind(op);
	const char *key;
	json_t *inner;
	size_t opened;
	if (*op != '$')
		return refuse(
		    w, path,
		    "an update is made of operators, {$set: {...}}; to store a whole document take `operation: "
		    "replace` or `upsert` with `document`");
	if (!json_is_object(fields) && !(is_leaf(fields) && kind == TAKES_VALUES))
		return refuse(w, path, "%s takes an object of fields", op);
	int r = open_close(w, slice_from_str(op), false, &opened);
	if (r == SL_OK && is_leaf(fields)) r = row_op(w, fields, path, types, MONGO_PLAIN_NAMES | MONGO_SKIP_ID);
	json_object_foreach((json_t *)fields, key, inner) {
		char *below = yaml_path_key(path, key);
		if (r == SL_OK) r = name_check(w, key, below);
		if (r == SL_OK) r = update_field(w, kind, key, inner, below, types_of(types, slice_from_str(key)));
		sl_free(below);
	}
	close_op(w);
	return r;
}

static int update_walk(struct walk *w, const json_t *tree, const struct mongo_types *types) {
	const char *key;
	json_t *inner;
	if (json_is_array(tree)) {
		w->t->list = true;
		return list_walk(w, tree, w->option, NULL, GUARD_LITERAL);
	}
	if (json_object_size(tree) == 0) return refuse(w, w->option, "this update changes nothing");
	json_object_foreach((json_t *)tree, key, inner) {
		char *below = yaml_path_key(w->option, key);
		int r = update_operator(w, key, inner, below, types);
		sl_free(below);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

/* ---- The whole. ------------------------------------------------------------------------------------------------------------ */

static int root_walk(struct walk *w, const json_t *tree, enum mongo_role role, const struct mongo_types *types) {
	switch (role) {
	case MONGO_DOCUMENT:
		if (is_leaf(tree)) {
			w->t->row = true;
			return row_op(w, tree, w->option, types, 0);
		}
		if (!json_is_object(tree))
			return refuse(w, w->option, "a document is an object, {device: \"${device}\"}");
		w->t->id = json_object_get(tree, "_id") != NULL;
		return members_walk(w, tree, w->option, types, GUARD_NONE);
	case MONGO_FILTER:
		if (!json_is_object(tree))
			return refuse(w, w->option, "a filter is an object, {device: \"${device}\"}");
		return filter_members(w, tree, w->option, types);
	case MONGO_UPDATE:
		if (!json_is_object(tree) && !json_is_array(tree))
			return refuse(w, w->option, "an update is an object of operators, {$set: {t: \"${t}\"}}");
		return update_walk(w, tree, types);
	}
	return SL_EINVAL;
}

int mongo_template_compile(struct mongo_template *t, const json_t *tree, const char *option, enum mongo_role role,
			   const struct mongo_types *types, struct sl_param_list *params, struct sl_err *err) {
	*t = (struct mongo_template){0};
	sl_arena_init(&t->names, 256);
	struct walk w = {.t = t, .params = params, .err = err, .option = option};
	const char *text = json_string_value(tree);
	if (!tree) { /* "${.}" as JSON, whatever the row is made of */
		t->row = true;
		op_add(&w, (struct mongo_op){
			       .what = OP_ROW,
			       .param = mongo_param(params, SL_SLICE_LIT("${.}"), SQL_TO_JSON, sl_strdup(option)),
			       .types = types});
		return SL_OK;
	}
	if (text && !(text[0] == '$' && text[1] == '{' && text[sl_placeholder_length(text)] == '\0')) {
		w.text = true;
		t->own = mongo_text_read(text, option, err);
		if (!t->own) return SL_ESYNTAX;
		tree = t->own;
	}
	return root_walk(&w, tree, role, types);
}

bool mongo_template_types(const struct mongo_template *t, const struct mongo_types *types) {
	for (size_t i = 0; i < t->n; i++)
		if (t->ops[i].types == types) return true;
	return false;
}

void mongo_template_fini(struct mongo_template *t) {
	sl_free(t->ops);
	sl_buf_fini(&t->consts);
	json_decref(t->own);
	sl_arena_fini(&t->names);
	*t = (struct mongo_template){0};
}

/* ---- Writing. -------------------------------------------------------------------------------------------------------------- */

static bool is_object(const struct sql_value *v) { return v->kind == SQL_JSON && !v->is_array; }

/* Of a filter: null, or one of those that a list of the data gives to choose from. */
static bool is_null(const struct mongo_op *op, const struct sql_value *v) {
	struct jpath_hit list, one;
	struct jscan_iter it;
	bool chooses = slice_equal_str(op->key, "$in") || slice_equal_str(op->key, "$nin");
	if (v->kind == SQL_NULL || v->kind == SQL_JSON_NULL) return true;
	if (!chooses || v->kind != SQL_JSON || !v->is_array) return false;
	if (jscan_value(sql_value_text(v), &list) != SL_OK || jscan_begin(&it, &list) != SL_OK) return false;
	while (jscan_next(&it, NULL, &one) == 1)
		if (one.kind == JKIND_NULL) return true;
	return false;
}

static int value_write(const struct mongo_op *op, struct mongo_encoder *e, const struct sql_value *v) {
	size_t outer, list;
	int r;
	switch (op->guard) {
	case GUARD_NONE: break;
	case GUARD_SCALAR:
		if (v->kind == SQL_JSON)
			return mongo_fail(e, SL_ETYPE, op->key, "an object or a list may not stand here");
		break;
	case GUARD_EQ:
	case GUARD_LITERAL:
		if (op->guard == GUARD_EQ && !is_object(v)) break;
		outer = mongo_inner_begin(e->out, op->key, false);
		r = mongo_encode_value(e, op->guard == GUARD_EQ ? SL_SLICE_LIT("$eq") : SL_SLICE_LIT("$literal"), v,
				       op->types);
		mongo_doc_end(e->out, outer);
		return r;
	case GUARD_EACH:
		if (!is_object(v)) break;
		outer = mongo_inner_begin(e->out, op->key, false);
		list = mongo_inner_begin(e->out, SL_SLICE_LIT("$each"), true);
		r = mongo_encode_value(e, SL_SLICE_LIT("0"), v, op->types);
		mongo_doc_end(e->out, list);
		mongo_doc_end(e->out, outer);
		return r;
	}
	return mongo_encode_value(e, op->key, v, op->types);
}

static int row_write(const struct mongo_op *op, struct mongo_encoder *e, const void *row, unsigned flags,
		     bool *had_id) {
	struct sql_value v = sql_row_get(row, (uint16_t)op->param);
	if (v.kind != SQL_JSON && v.kind != SQL_STRING)
		return mongo_fail(e, SL_ETYPE, SL_SLICE_EMPTY, "the document is no object");
	return mongo_encode_members(e, sql_value_text(&v), op->types, op->flags | flags, had_id);
}

int mongo_template_write(const struct mongo_template *t, struct mongo_encoder *e, const void *row, bool absent_out,
			 unsigned flags, bool *had_id) {
	size_t open[LEVELS_MAX + 1], depth = 0;
	*had_id = t->id;
	for (const struct mongo_op *op = t->ops, *end = op + t->n; op < end; op++) {
		int r = SL_OK;
		switch (op->what) {
		case OP_BYTES: sl_buf_append(e->out, t->consts.p + op->at, op->n); break;
		case OP_OPEN: open[depth++] = mongo_inner_begin(e->out, op->key, op->array); break;
		case OP_CLOSE: mongo_doc_end(e->out, open[--depth]); break;
		case OP_ROW: r = row_write(op, e, row, flags, had_id); break;
		case OP_VALUE: {
			struct sql_value v = sql_row_get(row, (uint16_t)op->param);
			if (sl_unlikely(flags & MONGO_NO_NULL) && is_null(op, &v))
				r = mongo_fail(e, SL_ETYPE, SL_SLICE_EMPTY,
					       "filter: a value of this row is null or not there, and null would fit "
					       "documents without the field, too; let the rule leave such rows out "
					       "(WHERE)");
			else if (!(absent_out && v.kind == SQL_NULL && !op->in_array))
				r = value_write(op, e, &v);
			break;
		}
		}
		if (sl_unlikely(r != SL_OK)) return r;
	}
	return SL_OK;
}
