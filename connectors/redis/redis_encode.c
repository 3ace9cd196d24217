/* redis_encode.c: a row to its commands, as RESP; see redis_plan.h.
 *
 * Nearly every row has as many arguments as its command has words, so the head is written first, and corrected afterwards where an
 * object became many arguments or a field was left out. */
#include "conv.h"
#include "jscan.h"
#include "redis_plan.h"
#include "redis_resp.h"

/* ---- One value, one argument. ---- */

static void put_double(double d, struct sl_buf *out) {
	char text[SL_FORMAT_DOUBLE_MAX];
	redis_put_arg(out, slice_make(text, sl_format_double(d, text)));
}

static void put_int(int64_t i, struct sl_buf *out) {
	char text[SL_FORMAT_I64_MAX];
	redis_put_arg(out, slice_make(text, sl_format_i64(i, text)));
}

static void put_value(const struct sql_value *v, struct sl_buf *out) {
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: redis_put_arg(out, SL_SLICE_EMPTY); return;
	case SQL_BOOL: redis_put_arg(out, v->b ? SL_SLICE_LIT("true") : SL_SLICE_LIT("false")); return;
	case SQL_INT: put_int(v->i, out); return;
	case SQL_DOUBLE: put_double(v->d, out); return;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: redis_put_arg(out, sql_value_text(v)); return;
	case SQL_LIST:
	case SQL_MAP: return; /* never in a row */
	}
}

/* ---- One value, many arguments. ---- */

/* A value inside of an object or array: text bare, anything else as it stands; null is empty text. */
static void put_hit(const struct jpath_hit *hit, struct sl_buf *out) {
	if (hit->kind == JKIND_NULL) {
		redis_put_arg(out, SL_SLICE_EMPTY);
		return;
	}
	if (hit->kind != JKIND_STRING || !(hit->flags & JSCAN_ESCAPED)) {
		redis_put_arg(out, hit->raw);
		return;
	}
	/* Decoded where it will stand; its length is known only then. */
	size_t start = out->n, room = SL_FORMAT_I64_MAX;
	sl_buf_grow(out, room + hit->raw.n + 4);
	char *at = out->p + start + room;
	ptrdiff_t n = jscan_unescape(hit->raw, at);
	struct sl_slice text = n >= 0 ? slice_make(at, (size_t)n) : hit->raw;
	char head[SL_FORMAT_I64_MAX + 3];
	head[0] = '$';
	size_t digits = sl_format_u64(text.n, head + 1);
	memcpy(head + 1 + digits, "\r\n", 2);
	memmove(out->p + start + digits + 3, text.p, text.n);
	memcpy(out->p + start, head, digits + 3);
	out->n = start + digits + 3 + text.n;
	sl_buf_append(out, "\r\n", 2);
}

static uint32_t put_object(const struct jpath_hit *object, struct sl_buf *out) {
	struct jscan_iter it;
	struct jpath_hit key, value;
	uint32_t n = 0;
	if (jscan_begin(&it, object) != SL_OK) return 0;
	while (jscan_next(&it, &key, &value) == 1) {
		if (value.kind == JKIND_NULL) continue;
		put_hit(&key, out);
		put_hit(&value, out);
		n += 2;
	}
	return n;
}

static uint32_t put_array(const struct jpath_hit *array, bool marked, struct sl_buf *out) {
	struct jscan_iter it;
	struct jpath_hit value;
	uint32_t n = 0;
	if (jscan_begin(&it, array) != SL_OK) return 0;
	while (jscan_next(&it, NULL, &value) == 1) {
		if (!marked) {
			put_hit(&value, out);
			n++;
		}
		marked = false;
	}
	return n;
}

/* What map_to_redis_hset_args() makes begins with the function's name. */
static bool is_marked(struct sl_slice json) {
	return slice_starts_with(json, SL_SLICE_LIT("[\"map_to_redis_hset_args\""));
}

/* False: it stays one argument. */
static bool put_many(const struct sql_value *v, enum redis_many many, struct sl_buf *out, uint32_t *n) {
	struct jpath_hit hit;
	bool marked = v->is_array && is_marked(sql_value_text(v));
	if (!marked && (many == REDIS_ONE || (many == REDIS_ITEMS && !v->is_array))) return false;
	if (jscan_value(sql_value_text(v), &hit) != SL_OK) return false;
	*n = v->is_array ? put_array(&hit, marked, out) : put_object(&hit, out);
	return true;
}

/* ---- A command. ---- */

static int refuse(struct sl_buf *why, const struct redis_plan *p, const struct redis_piece *piece, const char *what) {
	sl_buf_append_slice(why, p->params.at[piece->param].text);
	sl_buf_append_str(why, what);
	return SL_EINVAL;
}

static int command_encode(const struct redis_plan *p, const struct redis_command *c, const void *row,
			  struct sl_buf *out, struct sl_buf *why) {
	size_t start = out->n;
	uint32_t args = c->args;
	sl_buf_append(out, c->head, c->head_n);
	for (size_t i = 0; i < c->pieces; i++) {
		const struct redis_piece *piece = &c->piece[i];
		if (piece->param < 0) {
			sl_buf_append_slice(out, piece->fixed);
			continue;
		}
		struct sql_value v = sql_row_get(row, (uint16_t)piece->param);
		bool null = v.kind == SQL_NULL || v.kind == SQL_JSON_NULL;
		if (null && piece->key) return refuse(why, p, piece, " is the key and has no value (NULL)");
		if (null && piece->field) {
			args -= 2;
			continue;
		}
		sl_buf_append_slice(out, piece->fixed);
		uint32_t n;
		if (piece->many && v.kind == SQL_JSON && put_many(&v, c->info->many, out, &n)) {
			if (n == 0) return refuse(why, p, piece, " is empty: the command would lack arguments");
			args += n - 1;
		} else
			put_value(&v, out);
	}
	if (sl_likely(args == c->args)) return SL_OK;
	if (args == c->least) {
		sl_buf_append_str(why, "every field of the entry is NULL");
		return SL_EINVAL;
	}
	struct sl_buf head = SL_BUF_INIT;
	redis_put_head(&head, args);
	size_t body = out->n - start - c->head_n;
	if (head.n > c->head_n) (void)sl_buf_add(out, head.n - c->head_n);
	memmove(out->p + start + head.n, out->p + start + c->head_n, body);
	memcpy(out->p + start, head.p, head.n);
	out->n = start + head.n + body;
	sl_buf_fini(&head);
	return SL_OK;
}

int redis_encode(const struct redis_plan *p, const void *row, size_t first, size_t n, struct sl_buf *out,
		 struct sl_buf *why) {
	size_t start = out->n;
	for (size_t i = first; i < first + n; i++) {
		if (command_encode(p, &p->command[i], row, out, why) == SL_OK) continue;
		out->n = start;
		return SL_EINVAL;
	}
	return SL_OK;
}

int redis_encode_shown(const struct redis_plan *p, const void *row, struct sl_buf *out, struct sl_buf *why) {
	struct sl_buf resp = SL_BUF_INIT;
	int r = redis_encode(p, row, 0, p->commands, &resp, why);
	if (r == SL_OK && p->transaction) sl_buf_append_str(out, "MULTI\n");
	for (const char *at = resp.p; r == SL_OK && at < resp.p + resp.n;) {
		uint32_t args = redis_walk_head(&at);
		if (at != resp.p && out->n && out->p[out->n - 1] != '\n') sl_buf_put(out, '\n');
		sl_buf_append_slice(out, redis_walk_arg(&at));
		while (--args > 0) {
			struct sql_value v = sql_string(redis_walk_arg(&at));
			sl_buf_put(out, ' ');
			sql_value_json(&v, out);
		}
	}
	if (r == SL_OK && p->transaction) sl_buf_append_str(out, "\nEXEC");
	sl_buf_fini(&resp);
	return r;
}

struct sl_slice redis_key_of(const struct redis_command *c, const char *resp, bool *is_key) {
	struct sl_slice arg[4] = {{0}};
	uint32_t n = redis_walk_head(&resp);
	for (uint32_t i = 0; i < n && i < SL_ARRAY_LEN(arg); i++) arg[i] = redis_walk_arg(&resp);
	uint8_t key = c->info->key;
	if (key == REDIS_KEY_BY_COUNT) key = slice_equal_str(arg[2], "0") ? REDIS_NO_KEY : 3;
	*is_key = key != REDIS_NO_KEY && key < n;
	return *is_key ? arg[key] : arg[1];
}

bool redis_command_word_is_template(const struct redis_command *c) {
	if (c->pieces == 0 || c->piece[0].param < 0) return false;
	const char *at = c->piece[0].fixed.p, *end = at + c->piece[0].fixed.n;
	if (at < end) (void)redis_walk_arg(&at); /* its name */
	return at >= end;
}
