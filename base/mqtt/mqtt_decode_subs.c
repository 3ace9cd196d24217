/* mqtt_decode_subs.c: SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK: bytes to views. See mqtt.h. */
#include "mqtt_int.h"
#include "topic.h"
#include "utf8.h"

enum sub_option {
	SO_QOS = 0x03,
	SO_NO_LOCAL = 0x04,
	SO_RETAIN_AS_PUBLISHED = 0x08,
	SO_RETAIN_HANDLING = 0x30,
	SO_RETAIN_HANDLING_SHIFT = 4,
	SO_RESERVED = 0xc0,
};

static bool take_filter(struct sl_slice *in, struct sl_slice *out) {
	/* [MQTT-3.8.3-1] UTF-8; its syntax is judged filter by filter, with a code in SUBACK for each. */
	return mqtt_take_binary(in, out) && utf8_valid_mqtt(*out);
}

static int check_options(struct sl_slice filter, uint8_t options, enum mqtt_version version, enum mqtt_reason *reason) {
	/* [MQTT-3.8.3-5] reserved bits are 0; in 3.x all but the QoS are reserved [MQTT-3-8.3-4]. */
	uint8_t reserved = version == MQTT_V5 ? SO_RESERVED : (uint8_t)~SO_QOS;
	if (options & reserved) return mqtt_malformed(reason);
	/* MQTT5 3.8.3.1: QoS 3 and retain handling 3 are protocol errors; 3.1.1 calls QoS 3 malformed. */
	if ((options & SO_QOS) == 3) return version == MQTT_V5 ? mqtt_protocol_error(reason) : mqtt_malformed(reason);
	if ((options & SO_RETAIN_HANDLING) == SO_RETAIN_HANDLING) return mqtt_protocol_error(reason);
	/* [MQTT-3.8.3-4] no-local on a shared subscription. */
	bool shared = slice_starts_with(filter, SL_SLICE_LIT("$share/"));
	if (shared && (options & SO_NO_LOCAL)) return mqtt_protocol_error(reason);
	return SL_OK;
}

static int decode_head(struct sl_slice *in, const struct mqtt_frame *f, enum mqtt_version version,
		       enum mqtt_where where, struct mqtt_subscribe *out, enum mqtt_reason *reason) {
	*in = f->body;
	if (f->flags != 2) return mqtt_malformed(reason); /* [MQTT-3.8.1-1, MQTT-3.10.1-1] */
	if (!mqtt_take_u16(in, &out->packet_id)) return mqtt_malformed(reason);
	if (out->packet_id == 0) return mqtt_protocol_error(reason); /* [MQTT-2.2.1-3] */
	int rc = mqtt_take_props(in, version, where, &out->props, reason);
	out->entries = *in;
	out->count = 0;
	return rc;
}

int mqtt_decode_subscribe(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_subscribe *out,
			  enum mqtt_reason *reason) {
	struct sl_slice in;
	int rc = decode_head(&in, f, version, MQTT_WHERE_SUBSCRIBE, out, reason);
	if (rc) return rc;
	for (; in.n > 0; out->count++) {
		struct sl_slice filter;
		uint8_t options;
		if (!take_filter(&in, &filter) || !mqtt_take_u8(&in, &options)) return mqtt_malformed(reason);
		rc = check_options(filter, options, version, reason);
		if (rc) return rc;
	}
	/* [MQTT-3.8.3-2] at least one. */
	return out->count ? SL_OK : mqtt_protocol_error(reason);
}

bool mqtt_subscribe_next(struct sl_slice *rest, enum mqtt_version version, struct mqtt_sub_entry *out) {
	uint8_t options;
	if (rest->n == 0 || !mqtt_take_binary(rest, &out->filter) || !mqtt_take_u8(rest, &options)) return false;
	out->qos = options & SO_QOS;
	out->no_local = (options & SO_NO_LOCAL) != 0;
	out->retain_as_published = (options & SO_RETAIN_AS_PUBLISHED) != 0;
	out->retain_handling = (uint8_t)((options & SO_RETAIN_HANDLING) >> SO_RETAIN_HANDLING_SHIFT);
	/* 3.x knows none of these: retained messages always come, and go out without the flag. */
	if (version != MQTT_V5) out->no_local = out->retain_as_published = false;
	return true;
}

int mqtt_decode_unsubscribe(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_subscribe *out,
			    enum mqtt_reason *reason) {
	struct sl_slice in;
	int rc = decode_head(&in, f, version, MQTT_WHERE_UNSUBSCRIBE, out, reason);
	if (rc) return rc;
	for (; in.n > 0; out->count++) {
		struct sl_slice filter;
		if (!take_filter(&in, &filter)) return mqtt_malformed(reason);
	}
	/* [MQTT-3.10.3-2] at least one. */
	return out->count ? SL_OK : mqtt_protocol_error(reason);
}

bool mqtt_unsubscribe_next(struct sl_slice *rest, struct sl_slice *filter) {
	return rest->n > 0 && mqtt_take_binary(rest, filter);
}

static bool code_allowed(uint8_t code, enum mqtt_type type, enum mqtt_version version) {
	if (version == MQTT_V5)
		return mqtt_reason_allowed((enum mqtt_reason)code,
					   type == MQTT_SUBACK ? MQTT_WHERE_SUBACK : MQTT_WHERE_UNSUBACK);
	return code <= 2 || code == 0x80; /* [MQTT-3.9.3-2 of 3.1.1] */
}

int mqtt_decode_suback(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_suback *out,
		       enum mqtt_reason *reason) {
	struct sl_slice in = f->body;
	enum mqtt_where where = f->type == MQTT_SUBACK ? MQTT_WHERE_SUBACK : MQTT_WHERE_UNSUBACK;
	if (f->flags != 0) return mqtt_malformed(reason);
	if (!mqtt_take_u16(&in, &out->packet_id)) return mqtt_malformed(reason);
	if (out->packet_id == 0) return mqtt_protocol_error(reason);
	int rc = mqtt_take_props(&in, version, where, &out->props, reason);
	if (rc) return rc;
	out->codes = in;
	/* UNSUBACK of 3.x ends here; all others carry a code for each filter asked for. */
	bool bare = f->type == MQTT_UNSUBACK && version != MQTT_V5;
	if (bare ? in.n > 0 : in.n == 0) return mqtt_malformed(reason);
	for (size_t i = 0; i < in.n; i++)
		if (!code_allowed((uint8_t)in.p[i], f->type, version)) return mqtt_protocol_error(reason);
	return SL_OK;
}
