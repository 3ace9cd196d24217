/* mqtt_props.c: see mqtt_props.h. */
#include "mqtt_props.h"

#include "mqtt_int.h"
#include "topic.h"
#include "utf8.h"

struct prop_row {
	uint8_t id;
	uint8_t type; /* enum mqtt_prop_type */
	uint16_t where;
	bool repeatable;
	const char *name;
};

static const struct prop_row rows[MQTT_PROP_COUNT] = {
#define MQTT_PROP(name_, id_, text, type_, packets, repeatable_)                                                       \
	[MQTT_PROP_##name_] = {                                                                                        \
	    .id = (id_), .type = MQTT_TYPE_##type_, .where = (packets), .repeatable = (repeatable_), .name = (text)},
#include "mqtt_tbl.h"
#undef MQTT_PROP
};

enum { ID_MAX = 0x2a };

/* Identifier on the wire -> row + 1; 0 = unknown. */
static const uint8_t row_of_id[ID_MAX + 1] = {
#define MQTT_PROP(name_, id_, text, type_, packets, repeatable_) [id_] = MQTT_PROP_##name_ + 1,
#include "mqtt_tbl.h"
#undef MQTT_PROP
};

const char *mqtt_prop_name(enum mqtt_prop prop) { return rows[prop].name; }
enum mqtt_prop_type mqtt_prop_type(enum mqtt_prop prop) { return (enum mqtt_prop_type)rows[prop].type; }

size_t mqtt_varint_read(struct sl_slice in, uint32_t *out) {
	uint32_t v = 0;
	for (size_t i = 0; i < 4 && i < in.n; i++) {
		uint32_t c = (uint8_t)in.p[i];
		v |= (c & 127) << (7 * i);
		if (c & 128) continue;
		/* [MQTT-1.5.5-1] the shortest form only. */
		if (c == 0 && i > 0) return 0;
		*out = v;
		return i + 1;
	}
	return 0;
}

static bool take_num(struct sl_slice *in, size_t size, uint32_t *out) {
	if (in->n < size) return false;
	uint32_t v = 0;
	for (size_t i = 0; i < size; i++) v = v << 8 | (uint8_t)in->p[i];
	*out = v;
	mqtt_skip(in, size);
	return true;
}

static bool take_varint(struct sl_slice *in, uint32_t *out) {
	size_t size = mqtt_varint_read(*in, out);
	mqtt_skip(in, size);
	return size > 0;
}

/* One property by its shape; says nothing of whether it may stand there. */
static bool take_item(struct sl_slice *in, struct mqtt_prop_item *out) {
	uint8_t id;
	/* Identifiers are variable byte integers; all there are fit one byte. */
	if (!mqtt_take_u8(in, &id) || id > ID_MAX || row_of_id[id] == 0) return false;
	out->prop = (enum mqtt_prop)(row_of_id[id] - 1);
	out->num = 0;
	out->bytes = out->value = SL_SLICE_EMPTY;
	switch ((enum mqtt_prop_type)rows[out->prop].type) {
	case MQTT_TYPE_BOOL: return take_num(in, 1, &out->num);
	case MQTT_TYPE_U16: return take_num(in, 2, &out->num);
	case MQTT_TYPE_U32: return take_num(in, 4, &out->num);
	case MQTT_TYPE_VARINT: return take_varint(in, &out->num);
	case MQTT_TYPE_STRING:
	case MQTT_TYPE_BINARY: return mqtt_take_binary(in, &out->bytes);
	case MQTT_TYPE_PAIR: return mqtt_take_binary(in, &out->bytes) && mqtt_take_binary(in, &out->value);
	}
	return false;
}

bool mqtt_props_next(struct sl_slice *rest, struct mqtt_prop_item *out) { return rest->n > 0 && take_item(rest, out); }

static bool text_valid(const struct mqtt_prop_item *it) {
	if (rows[it->prop].type == MQTT_TYPE_STRING) return utf8_valid_mqtt(it->bytes);
	if (rows[it->prop].type == MQTT_TYPE_PAIR) return utf8_valid_mqtt(it->bytes) && utf8_valid_mqtt(it->value);
	return true;
}

/* Values that the standard rules out one by one. SUCCESS when it may be. */
static enum mqtt_reason check_value(const struct mqtt_prop_item *it) {
	if (rows[it->prop].type == MQTT_TYPE_BOOL && it->num > 1) return MQTT_RC_PROTOCOL_ERROR;
	bool zero = it->num == 0;
	if (it->prop == MQTT_PROP_TOPIC_ALIAS && zero) return MQTT_RC_TOPIC_ALIAS_INVALID; /* [MQTT-3.3.2-8] */
	if (it->prop == MQTT_PROP_RECEIVE_MAXIMUM && zero) return MQTT_RC_PROTOCOL_ERROR;
	if (it->prop == MQTT_PROP_MAXIMUM_PACKET_SIZE && zero) return MQTT_RC_PROTOCOL_ERROR;
	if (it->prop == MQTT_PROP_SUBSCRIPTION_ID && zero) return MQTT_RC_PROTOCOL_ERROR;
	/* [MQTT-3.3.2-14] a response topic is a topic name, and so not empty and without wildcards. */
	if (it->prop == MQTT_PROP_RESPONSE_TOPIC && !topic_name_valid(it->bytes)) return MQTT_RC_PROTOCOL_ERROR;
	return MQTT_RC_SUCCESS;
}

static int check_item(const struct mqtt_props *seen, const struct mqtt_prop_item *it, enum mqtt_where where,
		      enum mqtt_reason *reason) {
	/* MQTT5 2.2.2.2: an identifier that is not for this packet makes it malformed. */
	if ((rows[it->prop].where >> where & 1) == 0) return mqtt_malformed(reason);
	if (!text_valid(it)) return mqtt_malformed(reason); /* [MQTT-1.5.4-1] */
	bool again = mqtt_props_has(seen, it->prop);
	bool may_repeat = rows[it->prop].repeatable && !(it->prop == MQTT_PROP_SUBSCRIPTION_ID &&
							 where == MQTT_WHERE_SUBSCRIBE); /* MQTT5 3.8.2.1.2 */
	if (again && !may_repeat) return mqtt_protocol_error(reason);
	enum mqtt_reason why = check_value(it);
	return why == MQTT_RC_SUCCESS ? SL_OK : mqtt_refuse(reason, why);
}

static bool is_number(enum mqtt_prop prop) { return rows[prop].type <= MQTT_TYPE_VARINT; }

int mqtt_props_read(struct sl_slice *in, enum mqtt_where where, struct mqtt_props *out, enum mqtt_reason *reason) {
	mqtt_props_init(out);
	/* No properties is what nearly all packets say. */
	if (sl_likely(in->n && in->p[0] == 0)) {
		out->raw = slice_make(in->p + 1, 0);
		mqtt_skip(in, 1);
		return SL_OK;
	}
	uint32_t size;
	if (!take_varint(in, &size) || in->n < size) return mqtt_malformed(reason);
	out->raw = slice_make(in->p, size);
	mqtt_skip(in, size);
	for (struct sl_slice rest = out->raw; rest.n > 0;) {
		struct mqtt_prop_item it;
		if (!take_item(&rest, &it)) return mqtt_malformed(reason);
		int rc = check_item(out, &it, where, reason);
		if (rc) return rc;
		out->user_count += it.prop == MQTT_PROP_USER_PROPERTY;
		out->sub_id_count += it.prop == MQTT_PROP_SUBSCRIPTION_ID;
		if (mqtt_props_has(out, it.prop)) continue;
		out->present |= 1u << it.prop;
		if (is_number(it.prop)) {
			out->v[it.prop].num = it.num;
		} else {
			out->v[it.prop].bytes = it.bytes;
		}
	}
	/* MQTT5 3.1.2.11.10: authentication data without a method. */
	bool lone_data = mqtt_props_has(out, MQTT_PROP_AUTH_DATA) && !mqtt_props_has(out, MQTT_PROP_AUTH_METHOD);
	return lone_data ? mqtt_protocol_error(reason) : SL_OK;
}

void mqtt_put_num(struct sl_buf *out, enum mqtt_prop prop, uint32_t value) {
	sl_assert(is_number(prop));
	sl_buf_put(out, (char)rows[prop].id);
	switch ((enum mqtt_prop_type)rows[prop].type) {
	case MQTT_TYPE_BOOL: sl_buf_put(out, (char)value); return;
	case MQTT_TYPE_U16: sl_buf_put_u16be(out, (uint16_t)value); return;
	case MQTT_TYPE_U32: sl_buf_put_u32be(out, value); return;
	case MQTT_TYPE_VARINT: mqtt_varint_write(sl_buf_add(out, mqtt_varint_size(value)), value); return;
	case MQTT_TYPE_STRING:
	case MQTT_TYPE_BINARY:
	case MQTT_TYPE_PAIR: break;
	}
}

void mqtt_put_string(struct sl_buf *out, struct sl_slice s) {
	sl_assert(s.n <= UINT16_MAX);
	sl_buf_put_u16be(out, (uint16_t)s.n);
	sl_buf_append_slice(out, s);
}

void mqtt_put_bytes(struct sl_buf *out, enum mqtt_prop prop, struct sl_slice bytes) {
	sl_assert(rows[prop].type == MQTT_TYPE_STRING || rows[prop].type == MQTT_TYPE_BINARY);
	sl_buf_put(out, (char)rows[prop].id);
	mqtt_put_string(out, bytes);
}

void mqtt_put_user(struct sl_buf *out, struct sl_slice name, struct sl_slice value) {
	sl_buf_put(out, (char)rows[MQTT_PROP_USER_PROPERTY].id);
	mqtt_put_string(out, name);
	mqtt_put_string(out, value);
}
