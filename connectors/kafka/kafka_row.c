/* kafka_row.c: see kafka_row.h. */
#include "kafka_row.h"

#include "conv.h"
#include "jscan.h"
#include "mem.h"
#include "sql_rfc3339.h"
#include "yaml.h"

#define TOPIC_MAX 249
#define HEADER_PREFIX "header."

/* ---- Templates. ------------------------------------------------------------------------------------------------------- */

static struct kafka_piece part_add(struct kafka_plan *plan, const char *name, struct sl_slice text, char *path) {
	struct kafka_piece part = {.given = true, .text = text};
	part.constant = slice_find(text, SL_SLICE_LIT("${")) < 0;
	if (part.constant) {
		sl_free(path);
		return part;
	}
	part.at = (uint16_t)plan->params.n;
	sl_params_add(&plan->params, slice_from_str(name), text, path);
	return part;
}

static struct kafka_piece option_part(struct kafka_plan *plan, const char *name, const char *text) {
	if (!text) return (struct kafka_piece){0};
	return part_add(plan, name, slice_from_str(text), sl_strdup(name));
}

static void topic_piece(struct kafka_plan *plan, struct sl_slice text) {
	if (text.n == 0) return;
	struct kafka_piece *pieces = sl_realloc_array(plan->topic, plan->topic_pieces + 1, sizeof *pieces);
	plan->topic = pieces;
	pieces[plan->topic_pieces++] = part_add(plan, "topic", text, sl_strdup("topic"));
}

static bool topic_chars(struct sl_slice s) {
	if (s.n == 0 || s.n > TOPIC_MAX) return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == '_' || c == '-'))
			return false;
	}
	return true;
}

/* Piece by piece, so that one that is NULL is seen, and is not just missing from the name. */
static int topic_split(struct kafka_plan *plan, const char *text, struct sl_err *err) {
	const char *literal = text, *p = text;
	while (*p) {
		if (p[0] != '$' || p[1] != '{') {
			p++;
			continue;
		}
		size_t n = sl_placeholder_length(p);
		if (n == 0) return sl_err_set(err, SL_ESYNTAX, "topic: `${` has no `}`");
		topic_piece(plan, slice_make(literal, (size_t)(p - literal)));
		topic_piece(plan, slice_make(p, n));
		literal = p += n;
	}
	topic_piece(plan, slice_make(literal, (size_t)(p - literal)));
	plan->topic_constant = plan->topic_pieces == 1 && plan->topic[0].constant;
	for (size_t i = 0; i < plan->topic_pieces; i++) {
		const struct kafka_piece *piece = &plan->topic[i];
		if (!piece->constant) continue;
		if (plan->topic_constant ? kafka_topic_valid(piece->text) : topic_chars(piece->text)) continue;
		return sl_err_set(
		    err, SL_EINVAL,
		    "topic: `%.*s` cannot be in the name of a topic, which has at most %d of a-z A-Z 0-9 . "
		    "_ -",
		    SL_SLICE_ARG(piece->text), TOPIC_MAX);
	}
	return SL_OK;
}

/* Names of a row's values are its columns where it is a dead letter: each is there once, whatever headers are called. */
static char *header_param(const char *name) {
	static const char *const taken[] = {"topic", "key", "value", "partition", "timestamp"};
	bool is_taken = strncmp(name, HEADER_PREFIX, strlen(HEADER_PREFIX)) == 0;
	for (size_t i = 0; i < SL_ARRAY_LEN(taken) && !is_taken; i++) is_taken = strcmp(name, taken[i]) == 0;
	return sl_asprintf("%s%s", is_taken ? HEADER_PREFIX : "", name);
}

static void headers_add(struct kafka_plan *plan, const struct conf_map *map) {
	if (map->len == 1 && !map->items[0].key) {
		plan->all_headers = option_part(plan, "headers", map->items[0].value);
		return;
	}
	plan->headers = SL_NEW_ARRAY(struct kafka_header, map->len);
	plan->header_count = map->len;
	for (size_t i = 0; i < map->len; i++) {
		const struct conf_pair *pair = &map->items[i];
		char *path = yaml_path_key("headers", pair->key);
		plan->headers[i].name = slice_from_str(pair->key);
		plan->headers[i].param = header_param(pair->key);
		plan->headers[i].value = part_add(plan, plan->headers[i].param, slice_from_str(pair->value), path);
	}
}

int kafka_plan_make(const struct kafka_templates *t, struct kafka_plan *plan, struct sl_err *err) {
	plan->value = option_part(plan, "value", t->value ? t->value : "${.}");
	/* A payload that a rule passes on as it came is bytes, not JSON. */
	if (!plan->value.constant && slice_equal(slice_trim(plan->value.text), SL_SLICE_LIT("${.}")))
		plan->params.at[plan->value.at].target = SQL_TO_BYTES;
	plan->key = option_part(plan, "key", t->key);
	plan->partition = option_part(plan, "partition", t->partition);
	plan->timestamp = option_part(plan, "timestamp", t->timestamp);
	int r = topic_split(plan, t->topic, err);
	if (r == SL_OK) headers_add(plan, &t->headers);
	return r;
}

void kafka_plan_fini(struct kafka_plan *plan) {
	sl_params_fini(&plan->params);
	sl_free(plan->topic);
	for (size_t i = 0; i < plan->header_count; i++) sl_free(plan->headers[i].param);
	sl_free(plan->headers);
	*plan = (struct kafka_plan){0};
}

/* ---- Rows. -------------------------------------------------------------------------------------------------------------- */

bool kafka_topic_valid(struct sl_slice name) {
	return topic_chars(name) && !slice_equal_str(name, ".") && !slice_equal_str(name, "..");
}

static struct kafka_bytes bytes_of(const struct sql_value *v, struct sl_arena *arena) {
	char *text;
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: break;
	case SQL_STRING:
	case SQL_BYTES:
	case SQL_NUMBER_TEXT:
	case SQL_JSON: return (struct kafka_bytes){v->p ? v->p : "", v->n};
	case SQL_BOOL: return v->b ? (struct kafka_bytes){"true", 4} : (struct kafka_bytes){"false", 5};
	case SQL_INT:
		text = sl_arena_alloc(arena, SL_FORMAT_I64_MAX);
		return (struct kafka_bytes){text, sl_format_i64(v->i, text)};
	case SQL_DOUBLE:
		text = sl_arena_alloc(arena, SL_FORMAT_DOUBLE_MAX);
		return (struct kafka_bytes){text, sl_format_double(v->d, text)};
	case SQL_LIST:
	case SQL_MAP: break; /* never in a row */
	}
	return (struct kafka_bytes){NULL, 0};
}

static struct sql_value part_value(const struct kafka_piece *part, const void *row) {
	if (!part->given) return sql_null();
	return part->constant ? sql_string(part->text) : sql_row_get(row, part->at);
}

static struct kafka_bytes part_bytes(const struct kafka_piece *part, const void *row, struct sl_arena *arena) {
	struct sql_value v = part_value(part, row);
	return bytes_of(&v, arena);
}

static int fail(struct kafka_row *out, struct sl_arena *arena, const char *fmt, ...) sl_printf(3, 4);
static int fail(struct kafka_row *out, struct sl_arena *arena, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	out->why = sl_arena_strdup(arena, slice_from_str(text));
	sl_free(text);
	return SL_EINVAL;
}

static bool is_null(const struct sql_value *v) { return v->kind == SQL_NULL || v->kind == SQL_JSON_NULL; }

static bool whole_number(const struct sql_value *v, int64_t *out) {
	double d = 0;
	switch (v->kind) {
	case SQL_INT: *out = v->i; return true;
	case SQL_STRING:
	case SQL_NUMBER_TEXT:
		if (slice_to_i64(sql_value_text(v), out) == SL_OK) return true;
		if (v->kind == SQL_STRING || slice_to_double(sql_value_text(v), &d) != SL_OK) return false;
		break;
	case SQL_DOUBLE: d = v->d; break;
	case SQL_NULL:
	case SQL_JSON_NULL:
	case SQL_BOOL:
	case SQL_BYTES:
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: return false;
	}
	if (!(d >= -9e15 && d <= 9e15) || d != (double)(int64_t)d) return false;
	*out = (int64_t)d;
	return true;
}

static struct sl_slice shown(const struct sql_value *v, struct sl_arena *arena) {
	struct sl_buf b = SL_BUF_INIT;
	sql_value_json(v, &b);
	struct sl_slice s = sl_arena_dup(arena, slice_sub(sl_buf_slice(&b), 0, 100));
	sl_buf_fini(&b);
	return s;
}

static int read_topic(const struct kafka_plan *plan, const void *row, struct sl_arena *arena, struct kafka_row *out) {
	if (plan->topic_constant) {
		out->topic = plan->topic[0].text;
		return SL_OK;
	}
	char *name = sl_arena_alloc(arena, TOPIC_MAX + 1);
	size_t n = 0;
	for (size_t i = 0; i < plan->topic_pieces; i++) {
		const struct kafka_piece *piece = &plan->topic[i];
		struct kafka_bytes b = part_bytes(piece, row, arena);
		if (!b.p) return fail(out, arena, "topic: %.*s is NULL", SL_SLICE_ARG(piece->text));
		if (b.n > TOPIC_MAX - n) return fail(out, arena, "topic: the name is longer than %d bytes", TOPIC_MAX);
		memcpy(name + n, b.p, b.n);
		n += b.n;
	}
	out->topic = slice_make(name, n);
	if (kafka_topic_valid(out->topic)) return SL_OK;
	struct sql_value v = sql_string(out->topic);
	return fail(out, arena, "topic: %.*s is no name of a topic, which has a-z A-Z 0-9 . _ - only",
		    SL_SLICE_ARG(shown(&v, arena)));
}

static int read_partition(const struct kafka_plan *plan, const void *row, struct sl_arena *arena,
			  struct kafka_row *out) {
	int64_t n;
	struct sql_value v = part_value(&plan->partition, row);
	out->partition = RD_KAFKA_PARTITION_UA;
	if (is_null(&v)) return SL_OK;
	if (!whole_number(&v, &n) || n < 0 || n > INT32_MAX)
		return fail(out, arena, "partition: %.*s is no number of a partition", SL_SLICE_ARG(shown(&v, arena)));
	out->partition = (int32_t)n;
	return SL_OK;
}

/* Without a template, or where it gives NULL: when the message came. */
static int read_timestamp(const struct kafka_plan *plan, const void *row, struct sl_arena *arena,
			  struct kafka_row *out) {
	struct sql_value v = part_value(&plan->timestamp, row);
	out->timestamp = sql_row_head(row)->at_ms;
	if (is_null(&v)) return SL_OK;
	bool ok = whole_number(&v, &out->timestamp) ||
		  (v.kind == SQL_STRING && sql_rfc3339_ms(sql_value_text(&v), &out->timestamp));
	if (ok && out->timestamp > 0) return SL_OK;
	if (!ok)
		return fail(out, arena,
			    "timestamp: %.*s is neither a whole number of milliseconds since 1970 nor an RFC 3339 time",
			    SL_SLICE_ARG(shown(&v, arena)));
	return fail(out, arena, "timestamp: %.*s %s", SL_SLICE_ARG(shown(&v, arena)),
		    out->timestamp < 0 ? "is before 1970, which Kafka has no time for"
				       : "cannot be sent: librdkafka takes 0 for now; NULL is when the message came");
}

static void header_add(struct kafka_row *out, size_t room, struct sl_slice name, struct kafka_bytes value) {
	if (!out->headers) out->headers = rd_kafka_headers_new(room);
	out->bytes += name.n + value.n;
	(void)rd_kafka_header_add(out->headers, name.p ? name.p : "", (ssize_t)name.n, value.p, (ssize_t)value.n);
}

static int json_bytes(const struct jpath_hit *hit, struct sl_arena *arena, struct kafka_bytes *out) {
	struct sl_slice s = hit->raw;
	if (hit->kind == JKIND_NULL || hit->kind == JKIND_ABSENT) {
		*out = (struct kafka_bytes){NULL, 0};
		return SL_OK;
	}
	if (hit->kind == JKIND_STRING && jscan_string(hit, arena, &s) != SL_OK) return SL_EMALFORMED;
	*out = (struct kafka_bytes){s.p ? s.p : "", s.n};
	return SL_OK;
}

/* {"key": k, "value": v}: one header of a list. */
static int header_of_object(const struct jpath_hit *object, struct sl_arena *arena, struct sl_slice *name,
			    struct kafka_bytes *value) {
	struct jscan_iter it;
	struct jpath_hit key, member;
	struct sl_slice word;
	bool named = false;
	int r = jscan_begin(&it, object);
	*value = (struct kafka_bytes){NULL, 0};
	while (r == SL_OK && (r = jscan_next(&it, &key, &member)) == 1) {
		r = jscan_string(&key, arena, &word);
		if (r == SL_OK && slice_equal_str(word, "key")) {
			r = jscan_string(&member, arena, name);
			named = r == SL_OK;
		} else if (r == SL_OK && slice_equal_str(word, "value"))
			r = json_bytes(&member, arena, value);
	}
	return r == SL_OK && !named ? SL_EINVAL : r;
}

static int read_all_headers(const struct kafka_plan *plan, const void *row, struct sl_arena *arena,
			    struct kafka_row *out) {
	struct sql_value v = part_value(&plan->all_headers, row);
	struct jpath_hit all, key, member;
	struct jscan_iter it;
	if (is_null(&v)) return SL_OK;
	int r = v.kind == SQL_JSON || v.kind == SQL_STRING ? jscan_value(sql_value_text(&v), &all) : SL_ETYPE;
	if (r == SL_OK) r = jscan_begin(&it, &all);
	while (r == SL_OK && (r = jscan_next(&it, &key, &member)) == 1) {
		struct sl_slice name = SL_SLICE_EMPTY;
		struct kafka_bytes value;
		if (all.kind == JKIND_ARRAY)
			r = member.kind == JKIND_OBJECT ? header_of_object(&member, arena, &name, &value) : SL_ETYPE;
		else {
			r = jscan_string(&key, arena, &name);
			if (r == SL_OK) r = json_bytes(&member, arena, &value);
		}
		if (r == SL_OK) header_add(out, 8, name, value);
	}
	if (r == SL_OK) return SL_OK;
	return fail(out, arena, "headers: %.*s is neither an object nor a list of {\"key\": ..., \"value\": ...}",
		    SL_SLICE_ARG(shown(&v, arena)));
}

int kafka_row_read(const struct kafka_plan *plan, const void *row, struct sl_arena *arena, struct kafka_row *out) {
	out->headers = NULL;
	out->why = NULL;
	out->value = part_bytes(&plan->value, row, arena);
	out->key = part_bytes(&plan->key, row, arena);
	out->bytes = out->key.n + out->value.n;
	int r = read_topic(plan, row, arena, out);
	if (r == SL_OK) r = read_partition(plan, row, arena, out);
	if (r == SL_OK) r = read_timestamp(plan, row, arena, out);
	if (r != SL_OK) return r;
	for (size_t i = 0; i < plan->header_count; i++)
		header_add(out, plan->header_count, plan->headers[i].name,
			   part_bytes(&plan->headers[i].value, row, arena));
	if (plan->all_headers.given) r = read_all_headers(plan, row, arena, out);
	if (r == SL_OK || !out->headers) return r;
	rd_kafka_headers_destroy(out->headers);
	out->headers = NULL;
	return r;
}
