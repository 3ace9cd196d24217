/* mqtt_decode.c: CONNECT, CONNACK, PUBLISH, the acknowledgements, DISCONNECT and AUTH: bytes to views. See mqtt.h. */
#include "mqtt_int.h"
#include "topic.h"
#include "utf8.h"

/* --- CONNECT ------------------------------------------------------------------------------------------------- */

enum connect_flag {
	CF_RESERVED = 1,
	CF_CLEAN = 2,
	CF_WILL = 4,
	CF_WILL_QOS_SHIFT = 3,
	CF_WILL_QOS = 0x18,
	CF_WILL_RETAIN = 0x20,
	CF_PASSWORD = 0x40,
	CF_USERNAME = 0x80,
};

static int decode_version(struct sl_slice *in, struct mqtt_connect *out, enum mqtt_reason *reason) {
	struct sl_slice name;
	uint8_t level;
	if (!mqtt_take_binary(in, &name) || !mqtt_take_u8(in, &level)) return mqtt_malformed(reason);
	out->bridge = (level & 0x80) != 0;
	out->version = (enum mqtt_version)(level & 0x7f);
	/* [MQTT-3.1.2-1, MQTT-3.1.2-2] another name or level: 0x84. */
	bool mqtt = slice_equal(name, SL_SLICE_LIT("MQTT"));
	bool old = slice_equal(name, SL_SLICE_LIT("MQIsdp"));
	if (mqtt && (out->version == MQTT_V311 || out->version == MQTT_V5)) return SL_OK;
	if (old && out->version == MQTT_V31) return SL_OK;
	*reason = MQTT_RC_UNSUPPORTED_VERSION;
	return SL_EUNSUPPORTED;
}

static int decode_connect_flags(uint8_t flags, struct mqtt_connect *out, enum mqtt_reason *reason) {
	if (flags & CF_RESERVED) return mqtt_malformed(reason); /* [MQTT-3.1.2-3] */
	out->clean_start = (flags & CF_CLEAN) != 0;
	out->has_will = (flags & CF_WILL) != 0;
	out->has_username = (flags & CF_USERNAME) != 0;
	out->has_password = (flags & CF_PASSWORD) != 0;
	out->will.qos = (uint8_t)((flags & CF_WILL_QOS) >> CF_WILL_QOS_SHIFT);
	out->will.retain = (flags & CF_WILL_RETAIN) != 0;
	/* [MQTT-3.1.2-11, MQTT-3.1.2-13] without a will its QoS and retain are 0; [MQTT-3.1.2-12] QoS 3 is none. */
	if (!out->has_will && (out->will.qos || out->will.retain)) return mqtt_malformed(reason);
	if (out->will.qos > 2) return mqtt_malformed(reason);
	/* [MQTT-3.1.2-22 of 3.1.1] a password needs a user name; 5.0 lifted that. */
	if (out->version != MQTT_V5 && out->has_password && !out->has_username) return mqtt_malformed(reason);
	return SL_OK;
}

static int decode_will(struct sl_slice *in, struct mqtt_connect *out, enum mqtt_reason *reason) {
	int rc = mqtt_take_props(in, out->version, MQTT_WHERE_WILL, &out->will.props, reason);
	if (rc) return rc;
	if (!mqtt_take_binary(in, &out->will.topic)) return mqtt_malformed(reason);
	if (!utf8_valid_mqtt(out->will.topic)) return mqtt_malformed(reason); /* [MQTT-3.1.3-11] */
	if (!mqtt_take_binary(in, &out->will.payload)) return mqtt_malformed(reason);
	if (!topic_name_valid(out->will.topic)) return mqtt_refuse(reason, MQTT_RC_TOPIC_NAME_INVALID);
	return SL_OK;
}

static int decode_login(struct sl_slice *in, struct mqtt_connect *out, enum mqtt_reason *reason) {
	out->username = out->password = SL_SLICE_EMPTY;
	if (out->has_username) {
		if (!mqtt_take_binary(in, &out->username)) return mqtt_malformed(reason);
		if (!utf8_valid_mqtt(out->username)) return mqtt_malformed(reason); /* [MQTT-3.1.3-12] */
	}
	if (out->has_password && !mqtt_take_binary(in, &out->password)) return mqtt_malformed(reason);
	return in->n == 0 ? SL_OK : mqtt_malformed(reason);
}

int mqtt_decode_connect(const struct mqtt_frame *f, struct mqtt_connect *out, enum mqtt_reason *reason) {
	struct sl_slice in = f->body;
	uint8_t flags;
	if (f->flags != 0) return mqtt_malformed(reason);
	int rc = decode_version(&in, out, reason);
	if (rc) return rc;
	if (!mqtt_take_u8(&in, &flags)) return mqtt_malformed(reason);
	rc = decode_connect_flags(flags, out, reason);
	if (rc) return rc;
	if (!mqtt_take_u16(&in, &out->keep_alive_s)) return mqtt_malformed(reason);
	rc = mqtt_take_props(&in, out->version, MQTT_WHERE_CONNECT, &out->props, reason);
	if (rc) return rc;
	if (!mqtt_take_binary(&in, &out->client_id)) return mqtt_malformed(reason);
	if (!utf8_valid_mqtt(out->client_id)) return mqtt_malformed(reason); /* [MQTT-3.1.3-4] */
	out->will.topic = out->will.payload = SL_SLICE_EMPTY;
	mqtt_props_init(&out->will.props);
	if (out->has_will) {
		rc = decode_will(&in, out, reason);
		if (rc) return rc;
	}
	return decode_login(&in, out, reason);
}

/* --- CONNACK ------------------------------------------------------------------------------------------------- */

int mqtt_decode_connack(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_connack *out,
			enum mqtt_reason *reason) {
	struct sl_slice in = f->body;
	uint8_t flags, code;
	if (f->flags != 0) return mqtt_malformed(reason);
	if (!mqtt_take_u8(&in, &flags) || !mqtt_take_u8(&in, &code)) return mqtt_malformed(reason);
	if (flags > 1) return mqtt_malformed(reason); /* [MQTT-3.2.2-1] */
	out->session_present = flags != 0;
	out->reason = version == MQTT_V5 ? (enum mqtt_reason)code : mqtt_connack_reason_v3(code);
	/* A broker that refuses version 5 may answer in the words of 3.1.1, with no properties: see mqtt_client.c. */
	if (version == MQTT_V5 && in.n == 0 && code >= 1 && code <= 5) {
		out->reason = mqtt_connack_reason_v3(code);
		mqtt_props_init(&out->props);
		return SL_OK;
	}
	if (version == MQTT_V5 && !mqtt_reason_allowed(out->reason, MQTT_WHERE_CONNACK))
		return mqtt_protocol_error(reason);
	int rc = mqtt_take_props(&in, version, MQTT_WHERE_CONNACK, &out->props, reason);
	if (rc) return rc;
	return in.n == 0 ? SL_OK : mqtt_malformed(reason);
}

/* --- PUBLISH ------------------------------------------------------------------------------------------------- */

static int check_topic(const struct mqtt_publish *p, enum mqtt_reason *reason) {
	if (sl_likely(topic_name_plain(p->topic))) return SL_OK;
	if (p->topic.n > 0) {
		if (!utf8_valid_mqtt(p->topic)) return mqtt_malformed(reason); /* [MQTT-3.3.2-1] */
		if (!topic_name_valid(p->topic)) return mqtt_refuse(reason, MQTT_RC_TOPIC_NAME_INVALID);
		return SL_OK;
	}
	/* MQTT5 3.3.2.1: an empty topic is for those who gave it an alias before. */
	return mqtt_props_has(&p->props, MQTT_PROP_TOPIC_ALIAS) ? SL_OK : mqtt_protocol_error(reason);
}

int mqtt_decode_publish(const struct mqtt_frame *f, enum mqtt_version version, enum mqtt_sender sender,
			struct mqtt_publish *out, enum mqtt_reason *reason) {
	struct sl_slice in = f->body;
	out->retain = (f->flags & 1) != 0;
	out->qos = (f->flags >> 1) & 3;
	out->dup = (f->flags & 8) != 0;
	/* [MQTT-3.3.1-4] QoS 3 is none; [MQTT-3.3.1-2] DUP is 0 with QoS 0. */
	if (out->qos == 3 || (out->dup && out->qos == 0)) return mqtt_malformed(reason);
	if (!mqtt_take_binary(&in, &out->topic)) return mqtt_malformed(reason);
	out->packet_id = 0;
	if (out->qos > 0) {
		if (!mqtt_take_u16(&in, &out->packet_id)) return mqtt_malformed(reason);
		if (out->packet_id == 0) return mqtt_protocol_error(reason); /* [MQTT-2.2.1-3] */
	}
	if (version == MQTT_V5) {
		enum mqtt_where where = sender == MQTT_FROM_CLIENT ? MQTT_WHERE_PUBLISH_UP : MQTT_WHERE_PUBLISH_DOWN;
		int rc = mqtt_props_read(&in, where, &out->props, reason);
		if (rc) return rc;
	} else {
		mqtt_props_init(&out->props);
	}
	out->payload = in;
	return check_topic(out, reason);
}

/* --- PUBACK, PUBREC, PUBREL, PUBCOMP ------------------------------------------------------------------------- */

static enum mqtt_where ack_where(enum mqtt_type type) {
	if (type == MQTT_PUBACK) return MQTT_WHERE_PUBACK;
	if (type == MQTT_PUBREC) return MQTT_WHERE_PUBREC;
	return type == MQTT_PUBREL ? MQTT_WHERE_PUBREL : MQTT_WHERE_PUBCOMP;
}

/* The rest of a packet of version 5 that may end before its reason code, or before its properties. */
static int take_reason(struct sl_slice *in, enum mqtt_version version, enum mqtt_where where, enum mqtt_reason *out,
		       struct mqtt_props *props, enum mqtt_reason *reason) {
	uint8_t code;
	*out = MQTT_RC_SUCCESS;
	mqtt_props_init(props);
	if (in->n == 0) return SL_OK;
	if (version != MQTT_V5) return mqtt_malformed(reason);
	if (!mqtt_take_u8(in, &code)) return mqtt_malformed(reason);
	*out = (enum mqtt_reason)code;
	if (!mqtt_reason_allowed(*out, where)) return mqtt_protocol_error(reason);
	if (in->n == 0) return SL_OK;
	int rc = mqtt_props_read(in, where, props, reason);
	if (rc) return rc;
	return in->n == 0 ? SL_OK : mqtt_malformed(reason);
}

int mqtt_decode_ack(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_ack *out,
		    enum mqtt_reason *reason) {
	struct sl_slice in = f->body;
	/* [MQTT-3.6.1-1] PUBREL has flags 0010, the others 0000. */
	if (f->flags != (f->type == MQTT_PUBREL ? 2 : 0)) return mqtt_malformed(reason);
	if (!mqtt_take_u16(&in, &out->packet_id)) return mqtt_malformed(reason);
	if (out->packet_id == 0) return mqtt_protocol_error(reason);
	return take_reason(&in, version, ack_where(f->type), &out->reason, &out->props, reason);
}

/* --- DISCONNECT, AUTH ---------------------------------------------------------------------------------------- */

static enum mqtt_where bye_where(enum mqtt_type type, enum mqtt_sender sender) {
	if (type == MQTT_AUTH) return MQTT_WHERE_AUTH;
	return sender == MQTT_FROM_CLIENT ? MQTT_WHERE_DISCONNECT_UP : MQTT_WHERE_DISCONNECT_DOWN;
}

int mqtt_decode_bye(const struct mqtt_frame *f, enum mqtt_version version, enum mqtt_sender sender,
		    struct mqtt_bye *out, enum mqtt_reason *reason) {
	struct sl_slice in = f->body;
	enum mqtt_where where = bye_where(f->type, sender);
	if (f->flags != 0) return mqtt_malformed(reason); /* [MQTT-3.14.1-1, MQTT-3.15.1-1] */
	return take_reason(&in, version, where, &out->reason, &out->props, reason);
}

/* --- any packet ---------------------------------------------------------------------------------------------- */

static bool may_send(enum mqtt_type type, enum mqtt_sender sender) {
	/* Bit per packet type: what only one side sends. */
	enum {
		CLIENT_ONLY = 1 << MQTT_CONNECT | 1 << MQTT_SUBSCRIBE | 1 << MQTT_UNSUBSCRIBE | 1 << MQTT_PINGREQ,
		SERVER_ONLY = 1 << MQTT_CONNACK | 1 << MQTT_SUBACK | 1 << MQTT_UNSUBACK | 1 << MQTT_PINGRESP,
	};
	unsigned forbidden = sender == MQTT_FROM_CLIENT ? SERVER_ONLY : CLIENT_ONLY;
	return (forbidden >> type & 1) == 0;
}

static int decode_ping(const struct mqtt_frame *f, enum mqtt_reason *reason) {
	return f->flags == 0 && f->body.n == 0 ? SL_OK : mqtt_malformed(reason);
}

int mqtt_decode(const struct mqtt_frame *f, enum mqtt_version version, enum mqtt_sender sender, struct mqtt_packet *out,
		enum mqtt_reason *reason) {
	out->type = f->type;
	if (!may_send(f->type, sender)) return mqtt_protocol_error(reason);
	switch (f->type) {
	case MQTT_CONNECT: return mqtt_decode_connect(f, &out->connect, reason);
	case MQTT_CONNACK: return mqtt_decode_connack(f, version, &out->connack, reason);
	case MQTT_PUBLISH: return mqtt_decode_publish(f, version, sender, &out->publish, reason);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP: return mqtt_decode_ack(f, version, &out->ack, reason);
	case MQTT_SUBSCRIBE: return mqtt_decode_subscribe(f, version, &out->subscribe, reason);
	case MQTT_SUBACK: return mqtt_decode_suback(f, version, &out->suback, reason);
	case MQTT_UNSUBSCRIBE: return mqtt_decode_unsubscribe(f, version, &out->subscribe, reason);
	case MQTT_UNSUBACK: return mqtt_decode_suback(f, version, &out->suback, reason);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP: return decode_ping(f, reason);
	case MQTT_DISCONNECT:
		/* Servers of 3.x have no DISCONNECT. */
		if (version != MQTT_V5 && sender == MQTT_FROM_SERVER) return mqtt_protocol_error(reason);
		return mqtt_decode_bye(f, version, sender, &out->bye, reason);
	case MQTT_AUTH:
		if (version != MQTT_V5) return mqtt_malformed(reason); /* type 15 is reserved in 3.x */
		return mqtt_decode_bye(f, version, sender, &out->bye, reason);
	}
	return mqtt_malformed(reason);
}
