/* mqtt_frame.h: where one packet ends and the next begins.
 *
 * A frame is the fixed header (type, flags, remaining length) and a slice of the rest. The reader keeps its own buffer
 * and asks again when more bytes came; nothing is remembered in between, two to five bytes are cheap to read again.
 * Thread: any. Never blocks. */
#ifndef SL_MQTT_FRAME_H
#define SL_MQTT_FRAME_H

#include "err.h"
#include "mqtt_props.h"
#include "slice.h"

enum mqtt_type {
#define MQTT_PACKET(name, number, text) MQTT_##name = (number),
#include "mqtt_tbl.h"
#undef MQTT_PACKET
};

#define MQTT_REMAINING_MAX 268435455u /* 0xff 0xff 0xff 0x7f */
#define MQTT_PACKET_MAX (5 + MQTT_REMAINING_MAX)

struct mqtt_frame {
	enum mqtt_type type;
	uint8_t flags;        /* the low four bits of the first byte */
	struct sl_slice body; /* behind the fixed header; points into the bytes given */
	size_t size;          /* of the whole packet, header included */
};

/* Looks at the first packet in `in`.
 *   SL_OK          it is whole: *out is filled; go on at in + out->size
 *   SL_EAGAIN      bytes are missing; out->size is the packet's size when the header is there already, else 0
 *   SL_EMALFORMED  type 0, or a remaining length that is over long or not in its shortest form
 *   SL_ELIMIT      the packet would be larger than `size_max` (told from the header, before the bytes are there)
 * With a negative status other than SL_EAGAIN, *reason says what to answer. */
int mqtt_frame_next(struct sl_slice in, size_t size_max, struct mqtt_frame *out, enum mqtt_reason *reason);

#endif
