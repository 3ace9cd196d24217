/* mqtt_encode.c: views to bytes, one function a packet. See mqtt.h.
 *
 * Each packet's length is counted first, so that the header is written once and in place. */
#include "mqtt_int.h"

static size_t props_size(const struct mqtt_props *p, enum mqtt_version version) {
	if (version != MQTT_V5) return 0;
	return mqtt_varint_size((uint32_t)p->raw.n) + p->raw.n;
}

static void put_varint(struct sl_buf *out, size_t v) {
	sl_assert(v <= MQTT_REMAINING_MAX);
	mqtt_varint_write(sl_buf_add(out, mqtt_varint_size((uint32_t)v)), (uint32_t)v);
}

static void put_props(struct sl_buf *out, const struct mqtt_props *p, enum mqtt_version version) {
	if (version != MQTT_V5) return;
	put_varint(out, p->raw.n);
	sl_buf_append_slice(out, p->raw);
}

static void put_head(struct sl_buf *out, enum mqtt_type type, unsigned flags, size_t remaining) {
	sl_buf_put(out, (char)((unsigned)type << 4 | flags));
	put_varint(out, remaining);
}

/* --- CONNECT, CONNACK ---------------------------------------------------------------------------------------- */

static size_t connect_size(const struct mqtt_connect *c) {
	size_t size = (c->version == MQTT_V31 ? 8 : 6) + 4; /* name with length; level, flags, keep-alive */
	size += props_size(&c->props, c->version) + 2 + c->client_id.n;
	if (c->has_will) size += props_size(&c->will.props, c->version) + 4 + c->will.topic.n + c->will.payload.n;
	if (c->has_username) size += 2 + c->username.n;
	if (c->has_password) size += 2 + c->password.n;
	return size;
}

static unsigned connect_flags(const struct mqtt_connect *c) {
	unsigned flags = c->clean_start ? 2 : 0;
	if (c->has_will) flags |= 4u | (unsigned)c->will.qos << 3 | (c->will.retain ? 0x20u : 0);
	if (c->has_password) flags |= 0x40;
	if (c->has_username) flags |= 0x80;
	return flags;
}

void mqtt_encode_connect(const struct mqtt_connect *c, struct sl_buf *out) {
	put_head(out, MQTT_CONNECT, 0, connect_size(c));
	mqtt_put_string(out, c->version == MQTT_V31 ? SL_SLICE_LIT("MQIsdp") : SL_SLICE_LIT("MQTT"));
	sl_buf_put(out, (char)((unsigned)c->version | (c->bridge ? 0x80u : 0)));
	sl_buf_put(out, (char)connect_flags(c));
	sl_buf_put_u16be(out, c->keep_alive_s);
	put_props(out, &c->props, c->version);
	mqtt_put_string(out, c->client_id);
	if (c->has_will) {
		put_props(out, &c->will.props, c->version);
		mqtt_put_string(out, c->will.topic);
		mqtt_put_string(out, c->will.payload);
	}
	if (c->has_username) mqtt_put_string(out, c->username);
	if (c->has_password) mqtt_put_string(out, c->password);
}

void mqtt_encode_connack(const struct mqtt_connack *c, enum mqtt_version version, struct sl_buf *out) {
	put_head(out, MQTT_CONNACK, 0, 2 + props_size(&c->props, version));
	sl_buf_put(out, c->session_present ? 1 : 0);
	sl_buf_put(out, (char)(version == MQTT_V5 ? (unsigned)c->reason : mqtt_connack_code_v3(c->reason)));
	put_props(out, &c->props, version);
}

/* --- PUBLISH and its acknowledgements ------------------------------------------------------------------------ */

void mqtt_encode_publish(const struct mqtt_publish *p, enum mqtt_version version, struct sl_buf *out) {
	unsigned flags = (p->dup ? 8u : 0) | (unsigned)p->qos << 1 | (p->retain ? 1u : 0);
	size_t id_size = p->qos ? 2 : 0;
	put_head(out, MQTT_PUBLISH, flags, 2 + p->topic.n + id_size + props_size(&p->props, version) + p->payload.n);
	mqtt_put_string(out, p->topic);
	if (p->qos) sl_buf_put_u16be(out, p->packet_id);
	put_props(out, &p->props, version);
	sl_buf_append_slice(out, p->payload);
}

void mqtt_encode_ack(enum mqtt_type type, const struct mqtt_ack *a, enum mqtt_version version, struct sl_buf *out) {
	/* [MQTT-3.4.2-1] the reason may be left out when it is success and no properties follow; and with no
	 * properties their length may be left out too (MQTT5 3.4.2.2.1). */
	bool with_props = version == MQTT_V5 && a->props.raw.n > 0;
	bool with_reason = with_props || (version == MQTT_V5 && a->reason != MQTT_RC_SUCCESS);
	if (!with_reason) {
		mqtt_encode_ack_plain(type, a->packet_id, out);
		return;
	}
	unsigned flags = type == MQTT_PUBREL ? 2 : 0;
	put_head(out, type, flags, 3 + (with_props ? props_size(&a->props, version) : 0));
	sl_buf_put_u16be(out, a->packet_id);
	sl_buf_put(out, (char)a->reason);
	if (with_props) put_props(out, &a->props, version);
}

/* --- SUBSCRIBE, UNSUBSCRIBE and theirs ----------------------------------------------------------------------- */

static void encode_subs(enum mqtt_type type, const struct mqtt_subscribe *s, enum mqtt_version version,
			struct sl_buf *out) {
	put_head(out, type, 2, 2 + props_size(&s->props, version) + s->entries.n);
	sl_buf_put_u16be(out, s->packet_id);
	put_props(out, &s->props, version);
	sl_buf_append_slice(out, s->entries);
}

void mqtt_encode_subscribe(const struct mqtt_subscribe *s, enum mqtt_version version, struct sl_buf *out) {
	encode_subs(MQTT_SUBSCRIBE, s, version, out);
}

void mqtt_encode_unsubscribe(const struct mqtt_subscribe *s, enum mqtt_version version, struct sl_buf *out) {
	encode_subs(MQTT_UNSUBSCRIBE, s, version, out);
}

void mqtt_put_sub_entry(struct sl_buf *entries, const struct mqtt_sub_entry *e) {
	mqtt_put_string(entries, e->filter);
	unsigned options =
	    e->qos | (e->no_local ? 4u : 0) | (e->retain_as_published ? 8u : 0) | (unsigned)e->retain_handling << 4;
	sl_buf_put(entries, (char)options);
}

/* 3.x has one code for failure [MQTT-3.9.3-2 of 3.1.1]; and no codes at all in UNSUBACK. */
void mqtt_encode_suback(enum mqtt_type type, const struct mqtt_suback *s, enum mqtt_version version,
			struct sl_buf *out) {
	bool bare = type == MQTT_UNSUBACK && version != MQTT_V5;
	put_head(out, type, 0, 2 + props_size(&s->props, version) + (bare ? 0 : s->codes.n));
	sl_buf_put_u16be(out, s->packet_id);
	put_props(out, &s->props, version);
	if (bare) return;
	char *codes = sl_buf_add(out, s->codes.n);
	for (size_t i = 0; i < s->codes.n; i++) {
		uint8_t code = (uint8_t)s->codes.p[i];
		codes[i] = (char)(version != MQTT_V5 && code > 0x80 ? 0x80 : code);
	}
}

/* --- the rest ------------------------------------------------------------------------------------------------ */

void mqtt_encode_bye(enum mqtt_type type, const struct mqtt_bye *b, enum mqtt_version version, struct sl_buf *out) {
	bool with_props = version == MQTT_V5 && b->props.raw.n > 0;
	bool with_reason = with_props || (version == MQTT_V5 && b->reason != MQTT_RC_SUCCESS);
	put_head(out, type, 0, (with_reason ? 1u : 0u) + (with_props ? props_size(&b->props, version) : 0));
	if (with_reason) sl_buf_put(out, (char)b->reason);
	if (with_props) put_props(out, &b->props, version);
}

void mqtt_encode_ping(enum mqtt_type type, struct sl_buf *out) { put_head(out, type, 0, 0); }

void mqtt_encode(const struct mqtt_packet *p, enum mqtt_version version, struct sl_buf *out) {
	switch (p->type) {
	case MQTT_CONNECT: mqtt_encode_connect(&p->connect, out); return;
	case MQTT_CONNACK: mqtt_encode_connack(&p->connack, version, out); return;
	case MQTT_PUBLISH: mqtt_encode_publish(&p->publish, version, out); return;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: mqtt_encode_ack(p->type, &p->ack, version, out); return;
	case MQTT_SUBSCRIBE: mqtt_encode_subscribe(&p->subscribe, version, out); return;
	case MQTT_SUBACK: mqtt_encode_suback(p->type, &p->suback, version, out); return;
	case MQTT_UNSUBSCRIBE: mqtt_encode_unsubscribe(&p->subscribe, version, out); return;
	case MQTT_UNSUBACK: mqtt_encode_suback(p->type, &p->suback, version, out); return;
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: mqtt_encode_ping(p->type, out); return;
	case MQTT_DISCONNECT:
	case MQTT_AUTH: mqtt_encode_bye(p->type, &p->bye, version, out); return;
	}
}
