/* republish_props.c: see republish_props.h. */
#include "republish_props.h"

#include <math.h>

#include "conf_units.h"
#include "mem.h"
#include "sql_vm.h"
#include "topic.h"
#include "utf8.h"

/* MQTT5 2.2.2.2 */
enum {
	ID_PAYLOAD_FORMAT = 0x01,
	ID_MESSAGE_EXPIRY = 0x02,
	ID_CONTENT_TYPE = 0x03,
	ID_RESPONSE_TOPIC = 0x08,
	ID_CORRELATION_DATA = 0x09,
	ID_USER_PROPERTY = 0x26
};

/* What a row gives; texts that are empty are left out. */
struct user_pair {
	struct sl_slice name, value;
};
struct made {
	bool has_format, has_expiry;
	uint32_t format, expiry;
	struct sl_slice content_type, response_topic, correlation_data;
	struct user_pair *users;
	size_t user_count, user_bytes;
};

struct eval {
	struct sql_vm *vm;
	const struct sql_out *row;
};

void republish_props_fini(struct republish_props *p) {
	sql_template_free(p->payload_format);
	sql_template_free(p->message_expiry);
	sql_template_free(p->content_type);
	sql_template_free(p->response_topic);
	sql_template_free(p->correlation_data);
	sql_template_free(p->users);
	for (size_t i = 0; i < p->pair_count; i++) {
		sql_template_free(p->pairs[i].value);
		sl_free(p->pairs[i].name);
	}
	sl_free(p->pairs);
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static bool is_null(const struct sql_value *v) { return v->kind == SQL_NULL || v->kind == SQL_JSON_NULL; }
static bool is_text(const struct sql_value *v) { return v->kind == SQL_STRING || v->kind == SQL_BYTES; }

/* NULL for the empty text, too. */
static int eval_value(const struct eval *e, const struct sql_template *t, struct sql_value *out) {
	*out = sql_null();
	if (!t) return SL_OK;
	int rc = sql_template_eval(e->vm, t, e->row, out);
	if (is_null(out) || (is_text(out) && out->n == 0)) *out = sql_null();
	return rc;
}

/* MQTT strings: well-formed, without U+0000, at most 65535 bytes [MQTT-1.5.4-1, MQTT-1.5.4-2]. */
static int check_string(const struct eval *e, const char *what, struct sl_slice text) {
	if (text.n > UINT16_MAX || !utf8_valid_mqtt(text))
		return sql_vm_fail(e->vm, SL_EINVAL, "%s: must be UTF-8 text of at most 65535 bytes", what);
	return SL_OK;
}

static int eval_string(const struct eval *e, const char *what, const struct sql_template *t, struct sl_slice *out) {
	struct sql_value v;
	int rc = eval_value(e, t, &v);
	if (rc != SL_OK || v.kind == SQL_NULL) return rc;
	*out = sql_text(e->vm, &v);
	return check_string(e, what, *out);
}

bool republish_format_parse(struct sl_slice text, uint32_t *out) {
	*out = slice_equal_str(text, "1") || slice_equal_str(text, "UTF8_DATA");
	return *out || slice_equal_str(text, "0") || slice_equal_str(text, "UNSPECIFIED_BYTES");
}

/* A sender vouches for what it says of its payload [MQTT5 3.3.2.3.2], and some receivers hang up when it is not so. */
static int eval_format(const struct eval *e, const struct sql_template *t, struct sl_slice payload, struct made *m) {
	struct sql_value v;
	int rc = eval_value(e, t, &v);
	if (rc != SL_OK || v.kind == SQL_NULL) return rc;
	m->has_format = true;
	if (v.kind == SQL_BOOL || !republish_format_parse(sql_text(e->vm, &v), &m->format))
		return sql_vm_fail(e->vm, SL_EINVAL, "payload_format: must be 0 (UNSPECIFIED_BYTES) or 1 (UTF8_DATA)");
	if (m->format == 1 && !utf8_valid(payload))
		return sql_vm_fail(e->vm, SL_EINVAL,
				   "payload_format: says UTF8_DATA, and the payload is no UTF-8 text");
	return SL_OK;
}

static bool expiry_from(double seconds, uint32_t *out) {
	if (!(seconds >= 0) || seconds > UINT32_MAX) return false;
	*out = (uint32_t)ceil(seconds);
	return true;
}

bool republish_expiry_parse(struct sl_slice text, uint32_t *out) {
	int64_t n;
	struct sql_value number;
	if (slice_to_i64(text, &n) == SL_OK) return expiry_from((double)n, out);
	if (sql_number_from_text(text, &number)) return expiry_from(sql_to_double(&number), out);
	return conf_parse_duration(text, &n, NULL) == SL_OK && expiry_from((double)n / 1000, out);
}

static int eval_expiry(const struct eval *e, const struct sql_template *t, struct made *m) {
	struct sql_value v;
	int rc = eval_value(e, t, &v);
	if (rc != SL_OK || v.kind == SQL_NULL) return rc;
	m->has_expiry = true;
	bool fine = sql_is_number(&v) ? expiry_from(sql_to_double(&v), &m->expiry)
				      : is_text(&v) && republish_expiry_parse(sql_value_text(&v), &m->expiry);
	if (fine) return SL_OK;
	return sql_vm_fail(e->vm, SL_EINVAL, "message_expiry: must be seconds (0 to 4294967295) or a duration as 10m");
}

static int eval_response_topic(const struct eval *e, const struct sql_template *t, struct made *m) {
	int rc = eval_string(e, "response_topic", t, &m->response_topic);
	if (rc != SL_OK || m->response_topic.n == 0 || topic_name_valid(m->response_topic)) return rc;
	return sql_vm_fail(e->vm, SL_EINVAL, "response_topic: '%.*s' is not a topic name that one can publish to",
			   SL_SLICE_ARG(slice_sub(m->response_topic, 0, 200)));
}

static int eval_correlation(const struct eval *e, const struct sql_template *t, struct made *m) {
	struct sql_value v;
	int rc = eval_value(e, t, &v);
	if (rc != SL_OK || v.kind == SQL_NULL) return rc;
	m->correlation_data = sql_text(e->vm, &v);
	if (m->correlation_data.n <= UINT16_MAX) return SL_OK;
	return sql_vm_fail(e->vm, SL_EINVAL, "correlation_data: must have at most 65535 bytes");
}

/* ---- user properties ---------------------------------------------------------------------------------------------- */

static int users_room(const struct eval *e, size_t count, struct made *m) {
	int rc = sql_vm_made(e->vm, count * sizeof *m->users);
	if (rc == SL_OK) m->users = SL_ARENA_ARRAY(sql_vm_arena(e->vm), struct user_pair, count);
	return rc;
}

static int users_add(const struct eval *e, struct sl_slice name, const struct sql_value *v, struct made *m) {
	if (is_null(v)) return SL_OK;
	struct user_pair pair = {name, sql_text(e->vm, v)};
	int rc = check_string(e, "user_properties", pair.name);
	if (rc == SL_OK) rc = check_string(e, "user_properties", pair.value);
	if (rc != SL_OK) return rc;
	m->users[m->user_count++] = pair;
	m->user_bytes += 5 + pair.name.n + pair.value.n;
	return SL_OK;
}

static int users_named(const struct eval *e, const struct republish_props *p, struct made *m) {
	int rc = p->pair_count ? users_room(e, p->pair_count, m) : SL_OK;
	for (size_t i = 0; i < p->pair_count && rc == SL_OK; i++) {
		struct sql_value v;
		rc = sql_template_eval(e->vm, p->pairs[i].value, e->row, &v);
		if (rc == SL_OK) rc = users_add(e, slice_from_str(p->pairs[i].name), &v, m);
	}
	return rc;
}

static int users_shape(const struct eval *e) {
	return sql_vm_fail(e->vm, SL_EINVAL,
			   "user_properties: must be an object {name: value} or a list of pairs, [name, value], {name: "
			   "value} or {key: name, value: value}");
}

/* One item of a list, in the forms that dialects and brokers give: 'User-Property-Pairs', get_user_properties(). */
static int users_add_item(const struct eval *e, const struct sql_value *item, struct made *m) {
	struct sql_value v = *item;
	int rc = sql_unfold(e->vm, &v);
	if (rc != SL_OK) return rc;
	if (v.kind == SQL_LIST && v.list->n == 2 && is_text(&v.list->at[0]))
		return users_add(e, sql_value_text(&v.list->at[0]), &v.list->at[1], m);
	if (v.kind != SQL_MAP) return users_shape(e);
	if (v.map->n == 1) return users_add(e, v.map->at[0].key, &v.map->at[0].value, m);
	const struct sql_value *key = sql_map_find(v.map, SL_SLICE_LIT("key"), 0);
	const struct sql_value *value = sql_map_find(v.map, SL_SLICE_LIT("value"), 1);
	if (v.map->n != 2 || !key || !value || !is_text(key)) return users_shape(e);
	return users_add(e, sql_value_text(key), value, m);
}

static int users_given(const struct eval *e, const struct sql_template *t, struct made *m) {
	struct sql_value v;
	int rc = eval_value(e, t, &v);
	if (rc == SL_OK) rc = sql_unfold(e->vm, &v);
	if (rc != SL_OK || v.kind == SQL_NULL) return rc;
	if (v.kind != SQL_MAP && v.kind != SQL_LIST) return users_shape(e);
	uint32_t count = v.kind == SQL_MAP ? v.map->n : v.list->n;
	rc = users_room(e, count, m);
	for (uint32_t i = 0; i < count && rc == SL_OK; i++)
		rc = v.kind == SQL_MAP ? users_add(e, v.map->at[i].key, &v.map->at[i].value, m)
				       : users_add_item(e, &v.list->at[i], m);
	return rc;
}

/* ---- the block ---------------------------------------------------------------------------------------------------- */

static void put_number(char **at, int id, size_t bytes, uint32_t value) {
	*(*at)++ = (char)id;
	while (bytes-- > 0) *(*at)++ = (char)(value >> 8 * bytes);
}

static void put_text(char **at, struct sl_slice text) {
	*(*at)++ = (char)(text.n >> 8);
	*(*at)++ = (char)text.n;
	if (text.n) memcpy(*at, text.p, text.n);
	*at += text.n;
}

static void put_some(char **at, int id, struct sl_slice text) {
	if (text.n == 0) return;
	*(*at)++ = (char)id;
	put_text(at, text);
}

static int encode(struct sql_vm *vm, const struct made *m, struct sl_slice *out) {
	enum { HEADS = 2 + 5 + 3 * 3 }; /* of all but the user properties */
	size_t most = HEADS + m->content_type.n + m->response_topic.n + m->correlation_data.n + m->user_bytes;
	int rc = sql_vm_made(vm, most);
	if (rc != SL_OK) return rc;
	char *start = sl_arena_alloc(sql_vm_arena(vm), most), *at = start;
	if (m->has_format) put_number(&at, ID_PAYLOAD_FORMAT, 1, m->format);
	if (m->has_expiry) put_number(&at, ID_MESSAGE_EXPIRY, 4, m->expiry);
	put_some(&at, ID_CONTENT_TYPE, m->content_type);
	put_some(&at, ID_RESPONSE_TOPIC, m->response_topic);
	put_some(&at, ID_CORRELATION_DATA, m->correlation_data);
	for (size_t i = 0; i < m->user_count; i++) {
		*at++ = ID_USER_PROPERTY;
		put_text(&at, m->users[i].name);
		put_text(&at, m->users[i].value);
	}
	*out = slice_make(start, (size_t)(at - start));
	return SL_OK;
}

int republish_props_eval(const struct republish_props *p, struct sql_vm *vm, const struct sql_out *row,
			 struct sl_slice payload, struct sl_slice *out) {
	struct eval e = {vm, row};
	struct made m = {.format = 0};
	*out = SL_SLICE_EMPTY;
	int rc = eval_format(&e, p->payload_format, payload, &m);
	if (rc == SL_OK) rc = eval_expiry(&e, p->message_expiry, &m);
	if (rc == SL_OK) rc = eval_string(&e, "content_type", p->content_type, &m.content_type);
	if (rc == SL_OK) rc = eval_response_topic(&e, p->response_topic, &m);
	if (rc == SL_OK) rc = eval_correlation(&e, p->correlation_data, &m);
	if (rc == SL_OK) rc = p->users ? users_given(&e, p->users, &m) : users_named(&e, p, &m);
	bool any = m.has_format || m.has_expiry || m.content_type.n || m.response_topic.n || m.correlation_data.n ||
		   m.user_count;
	return rc == SL_OK && any ? encode(vm, &m, out) : rc;
}
