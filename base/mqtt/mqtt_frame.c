/* mqtt_frame.c: see mqtt_frame.h. */
#include "mqtt_frame.h"

static int refuse(enum mqtt_reason *reason, enum mqtt_reason why, int status) {
	*reason = why;
	return status;
}

int mqtt_frame_next(struct sl_slice in, size_t size_max, struct mqtt_frame *out, enum mqtt_reason *reason) {
	out->size = 0;
	if (in.n < 2) return SL_EAGAIN;
	const unsigned char *p = (const unsigned char *)in.p;
	/* [MQTT-2.1.3-1] of the fixed header's flags is checked per packet by the decoder. Type 0 is reserved. */
	if (sl_unlikely(p[0] >> 4 == 0)) return refuse(reason, MQTT_RC_MALFORMED_PACKET, SL_EMALFORMED);
	size_t remaining = p[1], head = 2;
	if (remaining & 128) {
		remaining &= 127;
		for (unsigned shift = 7;; shift += 7) {
			if (shift > 21) return refuse(reason, MQTT_RC_MALFORMED_PACKET, SL_EMALFORMED);
			if (head == in.n) return SL_EAGAIN;
			unsigned char c = p[head++];
			remaining |= (size_t)(c & 127) << shift;
			if (c & 128) continue;
			/* [MQTT-1.5.5-1] the shortest form only: the last byte carries bits. */
			if (c == 0) return refuse(reason, MQTT_RC_MALFORMED_PACKET, SL_EMALFORMED);
			break;
		}
	}
	out->size = head + remaining;
	if (sl_unlikely(out->size > size_max)) return refuse(reason, MQTT_RC_PACKET_TOO_LARGE, SL_ELIMIT);
	if (in.n < out->size) return SL_EAGAIN;
	out->type = (enum mqtt_type)(p[0] >> 4);
	out->flags = p[0] & 15;
	out->body = slice_make(in.p + head, remaining);
	return SL_OK;
}
