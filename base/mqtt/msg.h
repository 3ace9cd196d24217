/* msg.h: a published message: one allocation, immutable from birth, shared by reference count.
 *
 * The one copy that a publish makes. Everything a subscriber or a rule needs stands in one block, the parts that go
 * on the wire in wire order, so that the delivery of a QoS 0 message in 3.1.1 is a header and one memcpy:
 *
 *     struct msg | topic length (2) | topic | payload | properties | publisher's client id | its user name
 *
 * `properties` is the raw block that MQTT 5 says to forward unchanged and in order: payload format, content type,
 * response topic, correlation data, user properties [MQTT-3.3.2-17, MQTT-3.3.2-18]. Topic alias and message expiry
 * are taken out of it when the message is made: they are said anew for each receiver.
 *
 * Lifetime: msg_new() returns a strong reference; msg_ref() another; the last msg_unref() frees. The slices are valid
 * while a reference is held.
 * Thread: any; the count is atomic, all else is constant (`hops` is set by msg_new only). Never blocks. */
#ifndef SL_MSG_H
#define SL_MSG_H

#include <stdatomic.h>

#include "mqtt.h"

#define MSG_NO_EXPIRY UINT32_MAX

struct msg {
	_Atomic uint32_t refs;
	uint8_t qos;
	bool retain;
	uint8_t hops; /* how many rules republished it on its way: the loop guard */
	uint64_t topic_hash;
	int64_t arrived_ms;     /* wall clock */
	uint64_t number;        /* no other message of this process has it; 0: not given */
	uint32_t expiry_s;      /* message expiry interval as sent, or MSG_NO_EXPIRY */
	uint32_t props_present; /* bit per enum mqtt_prop, of what `properties` holds */
	uint32_t payload_len, props_len;
	uint16_t topic_len, client_id_len, username_len;
	char wire[]; /* see the drawing above */
};

/* What msg_new() makes a message of; slices are borrowed for the call. */
struct msg_spec {
	struct sl_slice topic; /* valid (topic_name_valid), an alias already resolved */
	struct sl_slice payload;
	struct sl_slice client_id;      /* of the publisher; empty for the broker itself */
	struct sl_slice username;       /* the same; empty: none, or nobody will ask */
	const struct mqtt_props *props; /* read from PUBLISH or a will; NULL = none */
	int64_t arrived_ms;
	uint64_t number;
	uint8_t qos;
	bool retain;
	uint8_t hops;
};

struct msg *msg_new(const struct msg_spec *spec) sl_warn_unused;
void msg_free(struct msg *m); /* for msg_unref() */

static inline struct msg *msg_ref(struct msg *m) {
	/* Relaxed: who can add a reference holds one already. */
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}
static inline void msg_unref(struct msg *m) {
	if (!m) return;
	/* Release: our reads are done before the count falls; msg_free() acquires. */
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_release) == 1) msg_free(m);
}

static inline struct sl_slice msg_topic(const struct msg *m) { return slice_make(m->wire + 2, m->topic_len); }
static inline struct sl_slice msg_payload(const struct msg *m) {
	return slice_make(m->wire + 2 + m->topic_len, m->payload_len);
}
static inline struct sl_slice msg_props(const struct msg *m) { /* raw; walk with mqtt_props_next() */
	return slice_make(m->wire + 2 + m->topic_len + m->payload_len, m->props_len);
}
static inline struct sl_slice msg_client_id(const struct msg *m) {
	return slice_make(m->wire + 2 + m->topic_len + m->payload_len + m->props_len, m->client_id_len);
}
static inline struct sl_slice msg_username(const struct msg *m) {
	return slice_make(m->wire + 2 + m->topic_len + m->payload_len + m->props_len + m->client_id_len,
			  m->username_len);
}
static inline bool msg_has_prop(const struct msg *m, enum mqtt_prop prop) {
	return (m->props_present >> prop & 1) != 0;
}
size_t msg_bytes(const struct msg *m); /* of the whole block, for queue limits */

/* Content type, response topic, correlation data; empty when there is none (ask msg_has_prop to tell from ""). */
struct sl_slice msg_prop_bytes(const struct msg *m, enum mqtt_prop prop);
uint32_t msg_prop_num(const struct msg *m, enum mqtt_prop prop, uint32_t otherwise); /* payload format */
/* The value of the first user property of that name. */
bool msg_user_property(const struct msg *m, struct sl_slice name, struct sl_slice *value);

/* Seconds that are left at `now_ms`; MSG_NO_EXPIRY when it never expires, 0 when it has [MQTT-3.3.2-5]. A clock that
 * went back adds nothing. */
uint32_t msg_expiry_left(const struct msg *m, int64_t now_ms);

/* How one receiver gets it. Zero is: QoS 0, nothing special; `version` and `expiry_left_s` must be set. */
struct msg_delivery {
	enum mqtt_version version;
	uint8_t qos;
	bool retain, dup;
	uint16_t packet_id;      /* with QoS 1 and 2 */
	uint16_t topic_alias;    /* 0: none */
	bool alias_known;        /* the receiver knows the alias: the topic is left out */
	uint32_t expiry_left_s;  /* MSG_NO_EXPIRY: not sent (msg_expiry_left) */
	const uint32_t *sub_ids; /* subscription identifiers, in any order */
	size_t sub_ids_len;
};

/* Appends the PUBLISH packet. Small and straight: call it per receiver, there is nothing to cache. */
void msg_encode(const struct msg *m, const struct msg_delivery *d, struct sl_buf *out);
/* How long it would be: for the receiver's maximum packet size [MQTT-3.1.2-24]. */
size_t msg_encoded_size(const struct msg *m, const struct msg_delivery *d);

#endif
