/* mqtt_int.h: what the decoder's files share: taking fields off a slice, and saying why not.
 * Each `take` moves *in on and returns false when the bytes end too early. Same folder only. */
#ifndef SL_MQTT_INT_H
#define SL_MQTT_INT_H

#include "mqtt.h"

static inline int mqtt_refuse(enum mqtt_reason *reason, enum mqtt_reason why) {
	*reason = why;
	return why == MQTT_RC_PROTOCOL_ERROR || why == MQTT_RC_TOPIC_ALIAS_INVALID ? SL_EPROTOCOL : SL_EMALFORMED;
}
static inline int mqtt_malformed(enum mqtt_reason *reason) { return mqtt_refuse(reason, MQTT_RC_MALFORMED_PACKET); }
static inline int mqtt_protocol_error(enum mqtt_reason *reason) { return mqtt_refuse(reason, MQTT_RC_PROTOCOL_ERROR); }

static inline void mqtt_skip(struct sl_slice *in, size_t size) {
	in->p += size;
	in->n -= size;
}
static inline bool mqtt_take_u8(struct sl_slice *in, uint8_t *out) {
	if (in->n < 1) return false;
	*out = (uint8_t)in->p[0];
	mqtt_skip(in, 1);
	return true;
}
static inline bool mqtt_take_u16(struct sl_slice *in, uint16_t *out) {
	if (in->n < 2) return false;
	*out = (uint16_t)((uint8_t)in->p[0] << 8 | (uint8_t)in->p[1]);
	mqtt_skip(in, 2);
	return true;
}
/* Two bytes of length, then that many bytes. */
static inline bool mqtt_take_binary(struct sl_slice *in, struct sl_slice *out) {
	uint16_t len;
	if (!mqtt_take_u16(in, &len) || in->n < len) return false;
	*out = slice_make(in->p, len);
	mqtt_skip(in, len);
	return true;
}

/* Properties where the version has them; else an empty block. */
static inline int mqtt_take_props(struct sl_slice *in, enum mqtt_version version, enum mqtt_where where,
				  struct mqtt_props *out, enum mqtt_reason *reason) {
	if (version == MQTT_V5) return mqtt_props_read(in, where, out, reason);
	mqtt_props_init(out);
	return SL_OK;
}

#endif
