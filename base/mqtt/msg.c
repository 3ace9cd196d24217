/* msg.c: see msg.h. */
#include "msg.h"

#include "mem.h"
#include "topic.h"

/* Properties that stand for one hop only; the receiver's are said anew when it is encoded. */
enum {
	PER_HOP = 1u << MQTT_PROP_TOPIC_ALIAS | 1u << MQTT_PROP_MESSAGE_EXPIRY | 1u << MQTT_PROP_SUBSCRIPTION_ID |
		  1u << MQTT_PROP_WILL_DELAY,
};

/* Copies the block without the properties above; returns the bytes written. out may be NULL to count. */
static size_t copy_forwarded(struct sl_slice raw, char *out) {
	size_t n = 0;
	struct mqtt_prop_item it;
	for (struct sl_slice rest = raw; rest.n > 0;) {
		const char *start = rest.p;
		if (!mqtt_props_next(&rest, &it)) break;
		size_t size = (size_t)(rest.p - start);
		if (1u << it.prop & PER_HOP) continue;
		if (out) memcpy(out + n, start, size);
		n += size;
	}
	return n;
}

struct msg *msg_new(const struct msg_spec *spec) {
	uint32_t present = spec->props ? spec->props->present : 0;
	struct sl_slice raw = spec->props ? spec->props->raw : SL_SLICE_EMPTY;
	bool whole = (present & PER_HOP) == 0;
	size_t props_len = whole ? raw.n : copy_forwarded(raw, NULL);
	size_t size = 2 + spec->topic.n + spec->payload.n + props_len + spec->client_id.n + spec->username.n;
	struct msg *m = sl_alloc(sizeof *m + size);
	atomic_init(&m->refs, 1);
	m->qos = spec->qos;
	m->retain = spec->retain;
	m->hops = spec->hops;
	m->topic_hash = topic_hash(spec->topic);
	m->arrived_ms = spec->arrived_ms;
	m->number = spec->number;
	m->expiry_s =
	    spec->props ? mqtt_props_num(spec->props, MQTT_PROP_MESSAGE_EXPIRY, MSG_NO_EXPIRY) : MSG_NO_EXPIRY;
	m->props_present = present & ~(uint32_t)PER_HOP;
	m->payload_len = (uint32_t)spec->payload.n;
	m->props_len = (uint32_t)props_len;
	m->topic_len = (uint16_t)spec->topic.n;
	m->client_id_len = (uint16_t)spec->client_id.n;
	m->username_len = (uint16_t)spec->username.n;
	char *p = m->wire;
	*p++ = (char)(spec->topic.n >> 8);
	*p++ = (char)spec->topic.n;
	if (spec->topic.n) memcpy(p, spec->topic.p, spec->topic.n);
	p += spec->topic.n;
	if (spec->payload.n) memcpy(p, spec->payload.p, spec->payload.n);
	p += spec->payload.n;
	if (!whole) {
		copy_forwarded(raw, p);
	} else if (props_len) {
		memcpy(p, raw.p, props_len);
	}
	p += props_len;
	if (spec->client_id.n) memcpy(p, spec->client_id.p, spec->client_id.n);
	if (spec->username.n) memcpy(p + spec->client_id.n, spec->username.p, spec->username.n);
	return m;
}

void msg_free(struct msg *m) {
	/* Pairs with the release of every msg_unref(): all other holders' reads are over. A load rather than a fence,
	 * which ThreadSanitizer does not see. */
	(void)atomic_load_explicit(&m->refs, memory_order_acquire);
	sl_free(m);
}

size_t msg_bytes(const struct msg *m) {
	return sizeof *m + 2 + m->topic_len + m->payload_len + m->props_len + m->client_id_len + m->username_len;
}

static bool find_prop(const struct msg *m, enum mqtt_prop prop, struct mqtt_prop_item *out) {
	if (!msg_has_prop(m, prop)) return false;
	for (struct sl_slice rest = msg_props(m); mqtt_props_next(&rest, out);)
		if (out->prop == prop) return true;
	return false;
}

struct sl_slice msg_prop_bytes(const struct msg *m, enum mqtt_prop prop) {
	struct mqtt_prop_item it;
	return find_prop(m, prop, &it) ? it.bytes : SL_SLICE_EMPTY;
}

uint32_t msg_prop_num(const struct msg *m, enum mqtt_prop prop, uint32_t otherwise) {
	struct mqtt_prop_item it;
	return find_prop(m, prop, &it) ? it.num : otherwise;
}

bool msg_user_property(const struct msg *m, struct sl_slice name, struct sl_slice *value) {
	if (!msg_has_prop(m, MQTT_PROP_USER_PROPERTY)) return false;
	struct mqtt_prop_item it;
	for (struct sl_slice rest = msg_props(m); mqtt_props_next(&rest, &it);) {
		if (it.prop != MQTT_PROP_USER_PROPERTY || !slice_equal(it.bytes, name)) continue;
		*value = it.value;
		return true;
	}
	return false;
}

uint32_t msg_expiry_left(const struct msg *m, int64_t now_ms) {
	if (m->expiry_s == MSG_NO_EXPIRY) return MSG_NO_EXPIRY;
	int64_t waited_s = now_ms > m->arrived_ms ? (now_ms - m->arrived_ms) / 1000 : 0;
	return waited_s >= m->expiry_s ? 0 : m->expiry_s - (uint32_t)waited_s;
}

/* --- encoding ------------------------------------------------------------------------------------------------ */

/* What MQTT 5 adds in front of the payload: properties of this hop, then the forwarded block. */
static size_t hop_props_size(const struct msg *m, const struct msg_delivery *d) {
	size_t size = m->props_len;
	if (d->expiry_left_s != MSG_NO_EXPIRY) size += 5;
	if (d->topic_alias) size += 3;
	for (size_t i = 0; i < d->sub_ids_len; i++) size += 1 + mqtt_varint_size(d->sub_ids[i]);
	return size;
}

static size_t remaining_size(const struct msg *m, const struct msg_delivery *d, size_t props) {
	size_t size = 2u + m->payload_len + (d->qos ? 2u : 0u);
	if (!d->alias_known) size += m->topic_len;
	if (d->version == MQTT_V5) size += mqtt_varint_size((uint32_t)props) + props;
	return size;
}

size_t msg_encoded_size(const struct msg *m, const struct msg_delivery *d) {
	size_t remaining = remaining_size(m, d, d->version == MQTT_V5 ? hop_props_size(m, d) : 0);
	return 1 + mqtt_varint_size((uint32_t)remaining) + remaining;
}

static char *write_bytes(char *p, const void *bytes, size_t n) {
	memcpy(p, bytes, n);
	return p + n;
}

static void put_hop_props(const struct msg *m, const struct msg_delivery *d, size_t size, struct sl_buf *out) {
	mqtt_varint_write(sl_buf_add(out, mqtt_varint_size((uint32_t)size)), (uint32_t)size);
	if (size == 0) return;
	if (d->expiry_left_s != MSG_NO_EXPIRY) mqtt_put_num(out, MQTT_PROP_MESSAGE_EXPIRY, d->expiry_left_s);
	if (d->topic_alias) mqtt_put_num(out, MQTT_PROP_TOPIC_ALIAS, d->topic_alias);
	for (size_t i = 0; i < d->sub_ids_len; i++) mqtt_put_num(out, MQTT_PROP_SUBSCRIPTION_ID, d->sub_ids[i]);
	sl_buf_append_slice(out, msg_props(m));
}

void msg_encode(const struct msg *m, const struct msg_delivery *d, struct sl_buf *out) {
	size_t props = d->version == MQTT_V5 ? hop_props_size(m, d) : 0;
	size_t remaining = remaining_size(m, d, props);
	/* Room for all of it at once: the appends below do not grow the buffer again. */
	if (sl_unlikely(out->cap - out->n < 5 + remaining)) sl_buf_grow(out, 5 + remaining);
	unsigned flags = (d->dup ? 8u : 0) | (unsigned)d->qos << 1 | (d->retain ? 1u : 0);
	char *p = out->p + out->n;
	*p++ = (char)((unsigned)MQTT_PUBLISH << 4 | flags);
	p = mqtt_varint_write(p, (uint32_t)remaining);
	if (d->version != MQTT_V5 && d->qos == 0) {
		p = write_bytes(p, m->wire, 2u + m->topic_len + m->payload_len);
		out->n = (size_t)(p - out->p);
		return;
	}
	if (d->alias_known) {
		*p++ = 0;
		*p++ = 0;
	} else {
		p = write_bytes(p, m->wire, 2u + m->topic_len);
	}
	if (d->qos) {
		*p++ = (char)(d->packet_id >> 8);
		*p++ = (char)d->packet_id;
	}
	out->n = (size_t)(p - out->p);
	if (d->version == MQTT_V5) put_hop_props(m, d, props, out);
	sl_buf_append(out, m->wire + 2 + m->topic_len, m->payload_len);
}
