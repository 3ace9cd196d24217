/* redis_encode.c: a row to its commands; see redis_plan.h.
 *
 * Arguments point to where they stand, in the plan and in the row; only numbers, and text that has escapes in an object or array, are
 * made. hiredis makes requests of them, one at a time. */
#include "conv.h"
#include "jscan.h"
#include "redis_plan.h"

/* ---- One value, one argument. ---- */

static void put_double(double d, struct redis_args *out) {
	char *text = redis_args_room(out, SL_FORMAT_DOUBLE_MAX);
	redis_args_add(out, slice_make(text, sl_format_double(d, text)));
}

static void put_value(const struct sql_value *v, struct redis_args *out) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: redis_args_add(out, SL_SLICE_EMPTY); return;
	case SQL_BOOL: redis_args_add(out, v->b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false")); return;
	case SQL_INT: redis_args_number(out, v->i); return;
	case SQL_DOUBLE: put_double(v->d, out); return;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: redis_args_add(out, sql_value_text(v)); return;
	case SQL_LIST:
	case SQL_MAP: return; /* never in a row */
	}
}

/* ---- One value, many arguments. ---- */

/* A value inside of an object or array: text bare, anything else as it stands; null is empty text. */
static void put_hit(const struct jpath_hit *hit, struct redis_args *out) {
	if (hit->kind == JKIND_NULL) {
		redis_args_add(out, SL_SLICE_EMPTY);
		return;
	}
	if (hit->kind != JKIND_STRING || !(hit->flags & JSCAN_ESCAPED)) {
		redis_args_add(out, hit->raw);
		return;
	}
	char *text = redis_args_room(out, hit->raw.n + 4);
	ptrdiff_t n = jscan_unescape(hit->raw, text);
	redis_args_add(out, n >= 0 ? slice_make(text, (size_t)n) : hit->raw);
}

static void put_object(const struct jpath_hit *object, struct redis_args *out) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	if (jscan_begin(&it, object) != SL_OK) return;
	while (jscan_next(&it, &key, &value) == 1) {
		if (value.kind == JKIND_NULL) continue;
		put_hit(&key, out);
		put_hit(&value, out);
	}
}

static void put_array(const struct jpath_hit *array, bool marked, struct redis_args *out) {
	struct jscan_iter it;
	struct jpath_hit value;
	if (jscan_begin(&it, array) != SL_OK) return;
	while (jscan_next(&it, NULL, &value) == 1) {
		if (!marked) put_hit(&value, out);
		marked = false;
	}
}

/* What map_to_redis_hset_args() makes begins with the function's name. */
static bool is_marked(struct sl_slice json) {
	return slice_starts_with(json, SL_SLICE_LIT("[\"map_to_redis_hset_args\""));
}

/* False: it stays one argument. */
static bool put_many(const struct sql_value *v, enum redis_many many, struct redis_args *out) {
	struct jpath_hit hit;
	bool marked = v->is_array && is_marked(sql_value_text(v));
	if (!marked && (many == REDIS_ONE || (many == REDIS_ITEMS && !v->is_array))) return false;
	if (jscan_value(sql_value_text(v), &hit) != SL_OK) return false;
	if (v->is_array)
		put_array(&hit, marked, out);
	else
		put_object(&hit, out);
	return true;
}

/* ---- A command. ---- */

static int refuse(struct sl_buf *why, const struct redis_plan *p, const struct redis_piece *piece, const char *what) {
	sl_buf_append_slice(why, p->params.at[piece->param].text);
	sl_buf_append_str(why, what);
	return SL_EINVAL;
}

/* A script may have no arguments behind its keys; that there are as many keys as said, and none is missing, is seen here. */
static bool may_end_here(const struct redis_command *c, const struct redis_args *args) {
	enum { SCRIPT_HEAD = 3 }; /* the command, the script, the number of keys */
	int64_t keys = 0;
	return redis_command_is_script(c->info) && args->n >= SCRIPT_HEAD &&
	       slice_to_i64(redis_args_get(args, 2), &keys) == SL_OK && keys >= 0 &&
	       keys <= (int64_t)(args->n - SCRIPT_HEAD);
}

int redis_command_args(const struct redis_plan *p, size_t command, const void *row, struct redis_args *args,
		       struct sl_buf *why) {
	const struct redis_command *c = &p->command[command];
	redis_args_clear(args);
	for (size_t i = 0; i < c->pieces; i++) {
		const struct redis_piece *piece = &c->piece[i];
		struct sql_value v = {.kind = SQL_NULL};
		if (piece->param >= 0) v = sql_row_get(row, (uint16_t)piece->param);
		bool null = v.kind == SQL_NULL || v.kind == SQL_JSON_NULL;
		if (null && piece->key) return refuse(why, p, piece, " is the key and has no value (NULL)");
		if (null && piece->field) continue;
		for (size_t k = 0; k < piece->fixed_n; k++) redis_args_add(args, piece->fixed[k]);
		if (piece->param < 0) continue;
		size_t before = args->n;
		if (!piece->many || v.kind != SQL_JSON || !put_many(&v, c->info->many, args))
			put_value(&v, args);
		else if (args->n == before && !may_end_here(c, args))
			return refuse(why, p, piece, " is empty: the command would lack arguments");
	}
	if (c->least == 0 || args->n > c->least) return SL_OK;
	sl_buf_append_str(why, "every field of the entry is NULL");
	return SL_EINVAL;
}

/* What redis_args_put() writes, with less work: only the values are new. */
static void command_put(const struct redis_command *c, struct redis_args *args, struct sl_buf *out) {
	if (args->n != c->args || c->values == 0) {
		redis_args_put(args, out);
		return;
	}
	const char **at = redis_args_room(args, c->values * sizeof *at);
	size_t *len = redis_args_room(args, c->values * sizeof *len), n = 0;
	for (size_t i = 0, arg = 0; i < c->pieces; i++) {
		arg += c->piece[i].fixed_n;
		if (c->piece[i].param < 0) continue;
		at[n] = args->at[arg];
		len[n++] = args->len[arg++];
	}
	redis_put_between(out, c->ready, at, len, n);
}

int redis_encode(const struct redis_plan *p, const void *row, size_t first, size_t n, struct redis_args *args,
		 struct sl_buf *out, struct sl_buf *why) {
	size_t start = out->n;
	for (size_t i = first; i < first + n; i++) {
		if (redis_command_args(p, i, row, args, why) != SL_OK) {
			out->n = start;
			return SL_EINVAL;
		}
		command_put(&p->command[i], args, out);
	}
	return SL_OK;
}

static void command_show(const struct redis_args *args, struct sl_buf *out) {
	sl_buf_append_slice(out, redis_args_get(args, 0));
	for (size_t i = 1; i < args->n; i++) {
		struct sql_value v = sql_string(redis_args_get(args, i));
		sl_buf_put(out, ' ');
		sql_value_json(&v, out);
	}
}

int redis_encode_shown(const struct redis_plan *p, const void *row, struct sl_buf *out, struct sl_buf *why) {
	struct sl_buf text = SL_BUF_INIT;
	struct redis_args args;
	int r = SL_OK;
	redis_args_init(&args);
	for (size_t i = 0; i < p->commands && r == SL_OK; i++) {
		r = redis_command_args(p, i, row, &args, why);
		if (i > 0) sl_buf_put(&text, '\n');
		if (r == SL_OK) command_show(&args, &text);
	}
	if (r == SL_OK) {
		if (p->transaction) sl_buf_append_str(out, "MULTI\n");
		sl_buf_append_slice(out, sl_buf_slice(&text));
		if (p->transaction) sl_buf_append_str(out, "\nEXEC");
	}
	redis_args_fini(&args);
	sl_buf_fini(&text);
	return r;
}

struct sl_slice redis_key_of(const struct redis_command *c, const struct redis_args *args, bool *is_key) {
	uint8_t key = c->info->key;
	if (key == REDIS_KEY_BY_COUNT) key = slice_equal_str(redis_args_get(args, 2), "0") ? REDIS_NO_KEY : 3;
	*is_key = key != REDIS_NO_KEY && key < args->n;
	return redis_args_get(args, *is_key ? key : 1);
}

bool redis_command_word_is_template(const struct redis_command *c) {
	return c->pieces > 0 && c->piece[0].param >= 0 && c->piece[0].fixed_n <= 1;
}
