/* mqtt_props.h: the property block of MQTT 5 packets: read, check, walk, write; all from the table in mqtt_tbl.h.
 *
 * A read block is a struct mqtt_props: which properties are there (one bit each), their values, and the raw bytes.
 * Values are slices into the packet. Repeatable ones (user properties, subscription identifiers) are walked in the raw
 * bytes with mqtt_props_next(), which repeats no checks.
 * To write, append properties with the mqtt_put_* functions to a buffer of their own and hand that to the encoder as
 * `raw`; the order is the caller's.
 * Thread: any. Never blocks. */
#ifndef SL_MQTT_PROPS_H
#define SL_MQTT_PROPS_H

#include "buf.h"
#include "slice.h"

/* A place that properties or reason codes occur in: a bit each, MQTT_IN(PUBLISH_UP). UP: sent by a client. */
enum mqtt_where {
	MQTT_WHERE_CONNECT,
	MQTT_WHERE_WILL,
	MQTT_WHERE_CONNACK,
	MQTT_WHERE_PUBLISH_UP,
	MQTT_WHERE_PUBLISH_DOWN,
	MQTT_WHERE_PUBACK,
	MQTT_WHERE_PUBREC,
	MQTT_WHERE_PUBREL,
	MQTT_WHERE_PUBCOMP,
	MQTT_WHERE_SUBSCRIBE,
	MQTT_WHERE_SUBACK,
	MQTT_WHERE_UNSUBSCRIBE,
	MQTT_WHERE_UNSUBACK,
	MQTT_WHERE_DISCONNECT_UP,
	MQTT_WHERE_DISCONNECT_DOWN,
	MQTT_WHERE_AUTH,
};
#define MQTT_IN(where) (1u << MQTT_WHERE_##where)

/* The table's rows, numbered from 0: MQTT_PROP_TOPIC_ALIAS and so on. Not the identifiers on the wire. */
enum mqtt_prop {
#define MQTT_PROP(name, id, text, type, packets, repeatable) MQTT_PROP_##name,
#include "mqtt_tbl.h"
#undef MQTT_PROP
	MQTT_PROP_COUNT
};

/* Reason codes, MQTT_RC_PROTOCOL_ERROR and so on, with their values on the wire. */
enum mqtt_reason {
#define MQTT_RC(name, value, text, packets) MQTT_RC_##name = (value),
#include "mqtt_tbl.h"
#undef MQTT_RC
};

enum mqtt_prop_type {
	MQTT_TYPE_BOOL, /* one byte that may be 0 or 1 only */
	MQTT_TYPE_U16,
	MQTT_TYPE_U32,
	MQTT_TYPE_VARINT,
	MQTT_TYPE_STRING,
	MQTT_TYPE_BINARY,
	MQTT_TYPE_PAIR,
};

/* One property. Numbers in `num`, strings and binary data in `bytes`, a pair in `bytes` (name) and `value`. */
struct mqtt_prop_item {
	enum mqtt_prop prop;
	uint32_t num;
	struct sl_slice bytes, value;
};

union mqtt_prop_value {
	uint32_t num;
	struct sl_slice bytes; /* of a user property: the first one's name; walk `raw` for them */
};

struct mqtt_props {
	uint32_t present;                         /* bit per enum mqtt_prop; values without their bit are not set */
	uint32_t user_count;                      /* user properties */
	uint32_t sub_id_count;                    /* subscription identifiers */
	struct sl_slice raw;                      /* the block without its length */
	union mqtt_prop_value v[MQTT_PROP_COUNT]; /* of repeatable ones: the first */
};

static inline void mqtt_props_init(struct mqtt_props *p) {
	p->present = p->user_count = p->sub_id_count = 0;
	p->raw = SL_SLICE_EMPTY;
}
static inline bool mqtt_props_has(const struct mqtt_props *p, enum mqtt_prop prop) {
	return (p->present >> prop & 1) != 0;
}
static inline uint32_t mqtt_props_num(const struct mqtt_props *p, enum mqtt_prop prop, uint32_t otherwise) {
	return mqtt_props_has(p, prop) ? p->v[prop].num : otherwise;
}
static inline struct sl_slice mqtt_props_bytes(const struct mqtt_props *p, enum mqtt_prop prop) {
	return mqtt_props_has(p, prop) ? p->v[prop].bytes : SL_SLICE_EMPTY;
}

const char *mqtt_prop_name(enum mqtt_prop prop); /* "topic alias" */
enum mqtt_prop_type mqtt_prop_type(enum mqtt_prop prop);

/* Reads the block at the start of *in (length first), takes it off *in. SL_EMALFORMED or SL_EPROTOCOL with the reason
 * code: unknown or misplaced property, one given twice, a value that may not be, a text that is no UTF-8. */
int mqtt_props_read(struct sl_slice *in, enum mqtt_where where, struct mqtt_props *out, enum mqtt_reason *reason);

/* Takes the next property off *rest (a raw block). False at the end. For blocks that were read with
 * mqtt_props_read(): a damaged rest ends the walk. */
bool mqtt_props_next(struct sl_slice *rest, struct mqtt_prop_item *out);

/* Writers: identifier and value. The type must be the table's; strings are cut by nobody: at most 65535 bytes. */
void mqtt_put_num(struct sl_buf *out, enum mqtt_prop prop, uint32_t value);
void mqtt_put_bytes(struct sl_buf *out, enum mqtt_prop prop, struct sl_slice bytes);
void mqtt_put_user(struct sl_buf *out, struct sl_slice name, struct sl_slice value);

/* Variable byte integer (MQTT5 1.5.5): how long, write, read (0 bytes read = not whole or not valid). */
static inline size_t mqtt_varint_size(uint32_t v) { return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4; }
static inline char *mqtt_varint_write(char *p, uint32_t v) {
	while (v >= 128) {
		*p++ = (char)(v | 128);
		v >>= 7;
	}
	*p++ = (char)v;
	return p;
}
size_t mqtt_varint_read(struct sl_slice in, uint32_t *out);

#endif
