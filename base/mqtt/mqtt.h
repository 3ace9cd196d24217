/* mqtt.h: the MQTT codec: packets as views, bytes to view and view to bytes, for 3.1, 3.1.1 and 5.0, both directions.
 *
 * Decoding copies nothing: every slice of a view points into the frame it came from and lives as long as those bytes.
 * It checks all that can be judged from one packet alone (lengths, flags, UTF-8, allowed properties and reason codes,
 * topic syntax). What needs the connection's state (aliases, packet ids in use, order of packets) is the session's.
 * On failure a function returns SL_EMALFORMED, SL_EPROTOCOL, SL_ELIMIT or SL_EUNSUPPORTED and *reason is the code for
 * the DISCONNECT (or CONNACK) that ends the connection [MQTT-4.13.1-1]; the view is then undefined.
 * Encoding appends one whole packet to a buffer; it cannot fail: the caller hands in what the standard allows
 * (strings of at most 65535 bytes, a whole of at most MQTT_REMAINING_MAX).
 * For PUBLISH towards subscribers there is the faster msg_encode() in msg.h.
 *
 *     while (mqtt_frame_next(in, limit, &f, &reason) == SL_OK) {    // SL_EAGAIN: read more
 *         mqtt_decode(&f, version, MQTT_FROM_CLIENT, &packet, &reason);
 *         in = slice_from(in, f.size);
 *     }
 *
 * Thread: any; there is no state. Never blocks. */
#ifndef SL_MQTT_H
#define SL_MQTT_H

#include "buf.h"
#include "err.h"
#include "mqtt_frame.h"
#include "mqtt_props.h"
#include "slice.h"

/* Values are those of the CONNECT packet. */
enum mqtt_version { MQTT_V31 = 3, MQTT_V311 = 4, MQTT_V5 = 5 };

enum mqtt_sender { MQTT_FROM_CLIENT, MQTT_FROM_SERVER };

struct mqtt_will {
	uint8_t qos;
	bool retain;
	struct sl_slice topic, payload;
	struct mqtt_props props;
};

struct mqtt_connect {
	enum mqtt_version version;
	bool clean_start; /* 3.x: clean session */
	bool bridge;      /* bit 7 of the version, as bridges of mosquitto set it */
	bool has_username, has_password, has_will;
	uint16_t keep_alive_s;
	struct sl_slice client_id, username, password;
	struct mqtt_props props;
	struct mqtt_will will;
};

struct mqtt_connack {
	bool session_present;
	enum mqtt_reason reason; /* 3.x return codes are translated both ways */
	struct mqtt_props props;
};

struct mqtt_publish {
	uint8_t qos;
	bool retain, dup;
	uint16_t packet_id;    /* 0 with QoS 0 */
	struct sl_slice topic; /* empty only with a topic alias */
	struct sl_slice payload;
	struct mqtt_props props;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
struct mqtt_ack {
	uint16_t packet_id;
	enum mqtt_reason reason; /* SUCCESS in 3.x */
	struct mqtt_props props;
};

/* SUBSCRIBE and UNSUBSCRIBE: walk the entries with mqtt_subscribe_next() / mqtt_unsubscribe_next(). */
struct mqtt_subscribe {
	uint16_t packet_id;
	uint32_t count;
	struct sl_slice entries;
	struct mqtt_props props;
};
struct mqtt_sub_entry {
	struct sl_slice filter; /* as sent, with $share; syntax is not judged yet: see topic_filter_valid() */
	uint8_t qos;
	bool no_local, retain_as_published;
	uint8_t retain_handling; /* 0 always, 1 only for a new subscription, 2 never */
};

/* SUBACK and UNSUBACK: one code a byte; UNSUBACK of 3.x has none. */
struct mqtt_suback {
	uint16_t packet_id;
	struct sl_slice codes;
	struct mqtt_props props;
};

/* DISCONNECT and AUTH. */
struct mqtt_bye {
	enum mqtt_reason reason;
	struct mqtt_props props;
};

struct mqtt_packet {
	enum mqtt_type type;
	union {
		struct mqtt_connect connect;
		struct mqtt_connack connack;
		struct mqtt_publish publish;
		struct mqtt_ack ack;             /* PUBACK PUBREC PUBREL PUBCOMP */
		struct mqtt_subscribe subscribe; /* SUBSCRIBE UNSUBSCRIBE */
		struct mqtt_suback suback;       /* SUBACK UNSUBACK */
		struct mqtt_bye bye;             /* DISCONNECT AUTH */
	};
};

const char *mqtt_type_name(enum mqtt_type type);       /* "PUBLISH"; "?" for 0 */
const char *mqtt_reason_name(enum mqtt_reason reason); /* "Packet too large"; "unknown reason" */
bool mqtt_reason_allowed(enum mqtt_reason reason, enum mqtt_where where);

/* The return code of a 3.x CONNACK (1 to 5) for a reason, and back. */
uint8_t mqtt_connack_code_v3(enum mqtt_reason reason);
enum mqtt_reason mqtt_connack_reason_v3(uint8_t code);

/* Any packet by its type. A packet that `sender` may not send is a protocol error. CONNECT ignores `version`. */
int mqtt_decode(const struct mqtt_frame *f, enum mqtt_version version, enum mqtt_sender sender, struct mqtt_packet *out,
		enum mqtt_reason *reason);

/* One by one; the frame's type is the caller's promise. */
int mqtt_decode_connect(const struct mqtt_frame *f, struct mqtt_connect *out, enum mqtt_reason *reason);
int mqtt_decode_connack(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_connack *out,
			enum mqtt_reason *reason);
int mqtt_decode_publish(const struct mqtt_frame *f, enum mqtt_version version, enum mqtt_sender sender,
			struct mqtt_publish *out, enum mqtt_reason *reason);
int mqtt_decode_ack(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_ack *out,
		    enum mqtt_reason *reason);
int mqtt_decode_subscribe(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_subscribe *out,
			  enum mqtt_reason *reason);
int mqtt_decode_unsubscribe(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_subscribe *out,
			    enum mqtt_reason *reason);
int mqtt_decode_suback(const struct mqtt_frame *f, enum mqtt_version version, struct mqtt_suback *out,
		       enum mqtt_reason *reason);
int mqtt_decode_bye(const struct mqtt_frame *f, enum mqtt_version version, enum mqtt_sender sender,
		    struct mqtt_bye *out, enum mqtt_reason *reason);

/* Entries of a decoded packet: start with rest = view.entries; false at the end. */
bool mqtt_subscribe_next(struct sl_slice *rest, enum mqtt_version version, struct mqtt_sub_entry *out);
bool mqtt_unsubscribe_next(struct sl_slice *rest, struct sl_slice *filter);

/* One whole packet behind out->n. Of `props` only `raw` is used (left out in 3.x). */
void mqtt_encode_connect(const struct mqtt_connect *c, struct sl_buf *out);
void mqtt_encode_connack(const struct mqtt_connack *c, enum mqtt_version version, struct sl_buf *out);
void mqtt_encode_publish(const struct mqtt_publish *p, enum mqtt_version version, struct sl_buf *out);
void mqtt_encode_ack(enum mqtt_type type, const struct mqtt_ack *a, enum mqtt_version version, struct sl_buf *out);
void mqtt_encode_subscribe(const struct mqtt_subscribe *s, enum mqtt_version version, struct sl_buf *out);
void mqtt_encode_unsubscribe(const struct mqtt_subscribe *s, enum mqtt_version version, struct sl_buf *out);
void mqtt_encode_suback(enum mqtt_type type, const struct mqtt_suback *s, enum mqtt_version version,
			struct sl_buf *out);
void mqtt_encode_bye(enum mqtt_type type, const struct mqtt_bye *b, enum mqtt_version version, struct sl_buf *out);
void mqtt_encode_ping(enum mqtt_type type, struct sl_buf *out); /* PINGREQ, PINGRESP */
void mqtt_encode(const struct mqtt_packet *p, enum mqtt_version version, struct sl_buf *out);

/* An acknowledgement without reason and properties: the four bytes that nearly all of them are. */
static inline void mqtt_encode_ack_plain(enum mqtt_type type, uint16_t packet_id, struct sl_buf *out) {
	char *p = sl_buf_add(out, 4);
	/* PUBREL carries flags 0010 [MQTT-3.6.1-1]. */
	p[0] = (char)((unsigned)type << 4 | (type == MQTT_PUBREL ? 2u : 0u));
	p[1] = 2;
	p[2] = (char)(packet_id >> 8);
	p[3] = (char)packet_id;
}

/* For building the `entries` of SUBSCRIBE and UNSUBSCRIBE. */
void mqtt_put_sub_entry(struct sl_buf *entries, const struct mqtt_sub_entry *e);
void mqtt_put_string(struct sl_buf *out, struct sl_slice s); /* 16-bit length, bytes */

#endif
