#include "persist_record.h"

#include <string.h>

#include "topic.h"
#include "utf8.h"
#include "will.h"

enum { VERSION = 1, NO_LOCAL = 1, RETAIN_AS_PUBLISHED = 2 };

struct session_head {
	uint8_t version, has_username;
	uint16_t client_id_len, username_len, zero;
	uint32_t expiry_s, zero2;
	int64_t created_ms, offline_ms;
};
struct sub_head {
	uint8_t version, qos, options, retain_handling;
	uint32_t sub_id, filter_len;
};
struct will_head {
	uint8_t version, qos, retain, zero;
	uint32_t delay_s, payload_len, props_len;
	uint16_t topic_len, username_len;
};
struct retained_head {
	uint8_t version, qos, hops, zero;
	uint32_t expiry_s;
	int64_t arrived_ms;
	uint32_t payload_len, props_len;
	uint16_t topic_len, client_id_len, username_len, zero2;
};
_Static_assert(sizeof(struct session_head) == 32 && sizeof(struct sub_head) == 12 && sizeof(struct will_head) == 20 &&
		   sizeof(struct retained_head) == 32,
	       "heads have no gaps");

/* The head of a record of our version, taken off *rest. */
static bool head_read(struct sl_slice *rest, void *head, size_t size) {
	if (rest->n < size || rest->p[0] != VERSION) return false;
	memcpy(head, rest->p, size);
	*rest = slice_from(*rest, size);
	return true;
}

static bool take(struct sl_slice *rest, size_t n, struct sl_slice *out) {
	if (rest->n < n) return false;
	*out = slice_sub(*rest, 0, n);
	*rest = slice_from(*rest, n);
	return true;
}

static bool topic_good(struct sl_slice topic) {
	return topic_name_valid(topic) && utf8_valid_mqtt(topic) && topic_levels(topic) <= TOPIC_LEVELS_MAX;
}

/* The block as PUBLISH or a will had it: whole, and the numbers that are looked at by themselves. */
static bool props_read(struct sl_slice raw, struct mqtt_props *out) {
	struct mqtt_prop_item it;
	mqtt_props_init(out);
	out->raw = raw;
	while (raw.n > 0) {
		if (!mqtt_props_next(&raw, &it)) return false;
		out->present |= 1u << it.prop;
		if (it.prop == MQTT_PROP_MESSAGE_EXPIRY || it.prop == MQTT_PROP_WILL_DELAY)
			out->v[it.prop].num = it.num;
	}
	return true;
}

/* ---- sessions ---- */

void session_record_put(struct sl_buf *out, const struct session_record *r) {
	struct session_head h = {.version = VERSION,
				 .has_username = r->has_username,
				 .client_id_len = (uint16_t)r->client_id.n,
				 .username_len = (uint16_t)r->username.n,
				 .expiry_s = r->expiry_s,
				 .created_ms = r->created_ms,
				 .offline_ms = r->offline_ms};
	sl_buf_append(out, &h, sizeof h);
	sl_buf_append_slice(out, r->client_id);
	sl_buf_append_slice(out, r->username);
}

int session_record_read(struct sl_slice bytes, struct session_record *out) {
	struct session_head h;
	*out = (struct session_record){.has_username = false};
	if (!head_read(&bytes, &h, sizeof h) || !take(&bytes, h.client_id_len, &out->client_id) ||
	    !take(&bytes, h.username_len, &out->username) || bytes.n > 0 || out->client_id.n == 0)
		return SL_ECORRUPT;
	if (!utf8_valid_mqtt(out->client_id) || !utf8_valid_mqtt(out->username)) return SL_ECORRUPT;
	out->has_username = h.has_username != 0;
	out->expiry_s = h.expiry_s;
	out->created_ms = h.created_ms;
	out->offline_ms = h.offline_ms;
	return SL_OK;
}

/* ---- subscriptions ---- */

void sub_record_put(struct sl_buf *out, const struct sub_record *r) {
	struct sub_head h = {
	    .version = VERSION,
	    .qos = r->qos,
	    .options = (uint8_t)((r->no_local ? NO_LOCAL : 0) | (r->retain_as_published ? RETAIN_AS_PUBLISHED : 0)),
	    .retain_handling = r->retain_handling,
	    .sub_id = r->sub_id,
	    .filter_len = (uint32_t)r->filter.n};
	sl_buf_append(out, &h, sizeof h);
	sl_buf_append_slice(out, r->filter);
}

int sub_record_read(struct sl_slice bytes, struct sub_record *out) {
	struct sub_head h;
	*out = (struct sub_record){.qos = 0};
	if (!head_read(&bytes, &h, sizeof h) || !take(&bytes, h.filter_len, &out->filter) || bytes.n > 0)
		return SL_ECORRUPT;
	if (h.qos > 2 || h.retain_handling > 2 || out->filter.n > UINT16_MAX || !utf8_valid_mqtt(out->filter) ||
	    !topic_filter_valid(out->filter))
		return SL_ECORRUPT;
	struct sl_slice group, filter;
	topic_share_split(out->filter, &group, &filter);
	if (topic_levels(filter) > TOPIC_LEVELS_MAX) return SL_ECORRUPT;
	out->qos = h.qos;
	out->retain_handling = h.retain_handling;
	out->sub_id = h.sub_id;
	out->no_local = (h.options & NO_LOCAL) != 0;
	out->retain_as_published = (h.options & RETAIN_AS_PUBLISHED) != 0;
	return SL_OK;
}

/* ---- wills ---- */

void will_record_put(struct sl_buf *out, const struct will *will) {
	struct will_head h = {.version = VERSION,
			      .qos = will->qos,
			      .retain = will->retain,
			      .delay_s = will->delay_s,
			      .payload_len = will->payload_len,
			      .props_len = will->props_len,
			      .topic_len = (uint16_t)will->topic_len,
			      .username_len = (uint16_t)will->username_len};
	sl_buf_append(out, &h, sizeof h);
	sl_buf_append(out, will->bytes, will_bytes(will));
}

int will_record_read(struct sl_slice bytes, struct will **out) {
	struct will_head h;
	struct mqtt_will will = {.qos = 0};
	struct sl_slice props, username;
	if (!head_read(&bytes, &h, sizeof h) || !take(&bytes, h.topic_len, &will.topic) ||
	    !take(&bytes, h.payload_len, &will.payload) || !take(&bytes, h.props_len, &props) ||
	    !take(&bytes, h.username_len, &username) || bytes.n > 0)
		return SL_ECORRUPT;
	if (h.qos > 2 || !topic_good(will.topic) || !props_read(props, &will.props)) return SL_ECORRUPT;
	will.qos = h.qos;
	will.retain = h.retain != 0;
	*out = will_new(&will, username);
	return SL_OK;
}

/* ---- retained messages ---- */

struct sl_slice retained_record_head(char head[RETAINED_HEAD_MAX], const struct msg *m) {
	struct retained_head h = {.version = VERSION,
				  .qos = m->qos,
				  .hops = m->hops,
				  .expiry_s = m->expiry_s,
				  .arrived_ms = m->arrived_ms,
				  .payload_len = m->payload_len,
				  .props_len = m->props_len,
				  .topic_len = m->topic_len,
				  .client_id_len = m->client_id_len,
				  .username_len = m->username_len};
	_Static_assert(sizeof h <= RETAINED_HEAD_MAX, "room for the head");
	memcpy(head, &h, sizeof h);
	return slice_make(head, sizeof h);
}

struct sl_slice retained_record_rest(const struct msg *m) {
	return slice_make(msg_topic(m).p,
			  (size_t)m->topic_len + m->payload_len + m->props_len + m->client_id_len + m->username_len);
}

static int message_read(struct sl_slice bytes, bool retain, uint32_t payload_min, struct msg **out) {
	struct retained_head h;
	struct msg_spec spec = {.retain = retain};
	struct mqtt_props props;
	struct sl_slice raw;
	if (!head_read(&bytes, &h, sizeof h) || !take(&bytes, h.topic_len, &spec.topic) ||
	    !take(&bytes, h.payload_len, &spec.payload) || !take(&bytes, h.props_len, &raw) ||
	    !take(&bytes, h.client_id_len, &spec.client_id) || !take(&bytes, h.username_len, &spec.username) ||
	    bytes.n > 0)
		return SL_ECORRUPT;
	if (h.qos > 2 || h.payload_len < payload_min || !topic_good(spec.topic) || !props_read(raw, &props))
		return SL_ECORRUPT;
	if (mqtt_props_has(&props, MQTT_PROP_MESSAGE_EXPIRY) || mqtt_props_has(&props, MQTT_PROP_TOPIC_ALIAS))
		return SL_ECORRUPT;
	if (h.expiry_s != MSG_NO_EXPIRY) {
		/* Said to msg_new() as PUBLISH would; the block itself is without it. */
		props.present |= 1u << MQTT_PROP_MESSAGE_EXPIRY;
		props.v[MQTT_PROP_MESSAGE_EXPIRY].num = h.expiry_s;
	}
	spec.props = &props;
	spec.arrived_ms = h.arrived_ms;
	spec.qos = h.qos;
	spec.hops = h.hops;
	*out = msg_new(&spec);
	return SL_OK;
}

int retained_record_read(struct sl_slice bytes, struct msg **out) { return message_read(bytes, true, 1, out); }

int delayed_record_read(struct sl_slice bytes, bool retain, struct msg **out) {
	return message_read(bytes, retain, 0, out);
}
