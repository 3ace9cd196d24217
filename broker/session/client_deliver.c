#include "alias_out.h"
#include "client_access.h"
#include "events.h"

static struct msg_delivery delivery(const struct client *c, const struct msg *m, uint8_t qos, const uint32_t *ids,
				    size_t n) {
	struct msg_delivery d = {.version = (enum mqtt_version)c->version, .qos = qos, .expiry_left_s = MSG_NO_EXPIRY};
	if (client_is_v5(c)) {
		d.sub_ids = ids;
		d.sub_ids_len = n;
	}
	/* What is left of it goes on, whatever the version of the receiver: 3.x has no place for it [MQTT-3.3.2-6]. */
	if (m->expiry_s != MSG_NO_EXPIRY) d.expiry_left_s = msg_expiry_left(m, sl_loop_wall_ms(c->w->loop));
	return d;
}

static bool dropped(struct client *c, const struct msg *m, uint8_t qos, enum sl_metric metric, const char *why) {
	metric_inc(c->w, metric);
	if (event_wanted(c->w, EVENT(DELIVERY_DROPPED))) event_delivery_dropped(c->s, m, qos, why);
	return false;
}

/* [MQTT-3.1.2-25] not larger than the client takes. */
static bool fits(struct client *c, const struct msg *m, uint8_t qos, const uint32_t *ids, size_t n) {
	if (sl_likely(c->packet_max == UINT32_MAX)) return true;
	struct msg_delivery d = delivery(c, m, qos, ids, n);
	if (msg_encoded_size(m, &d) <= c->packet_max) return true;
	return dropped(c, m, qos, METRIC_DROPPED_TOO_LARGE, "too_large");
}

bool client_may_send_again(struct client *c, const struct msg *m, uint8_t qos, const uint32_t *ids, size_t n) {
	/* Who has the session now may be somebody else. Its time does not count any more: it was sent [MQTT-4.3.3-7]. */
	if (sl_unlikely(!client_access_receive(c->s, m)))
		return dropped(c, m, qos, METRIC_DROPPED_NOT_ALLOWED, "not_authorized");
	return fits(c, m, qos, ids, n);
}

bool client_may_send(struct client *c, const struct msg *m, uint8_t qos, const uint32_t *ids, size_t n) {
	struct worker *w = c->w;
	if (sl_unlikely(m->expiry_s != MSG_NO_EXPIRY) && msg_expiry_left(m, sl_loop_wall_ms(w->loop)) == 0)
		return dropped(c, m, qos, METRIC_DROPPED_EXPIRED, "expired"); /* [MQTT-3.3.2-5] */
	if (sl_unlikely(!client_access_receive(c->s, m)))
		return dropped(c, m, qos, METRIC_DROPPED_NOT_ALLOWED, "not_authorized");
	if (qos == 0 && sl_unlikely(sl_stream_pending(client_stream(c)) > w->b->set.max_queued_bytes))
		return dropped(c, m, qos, METRIC_DROPPED_SLOW_CLIENT, "queue_full");
	return fits(c, m, qos, ids, n);
}

enum { ALIAS_BYTES = 3, LENGTHS_GROW = 2 };

/* [MQTT-3.3.2-10] nothing above the client's maximum; and no packet that would be too large for the sake of an alias. */
static void set_alias(struct client *c, const struct msg *m, struct msg_delivery *d) {
	if (m->topic_len <= ALIAS_BYTES) return;
	if (c->packet_max != UINT32_MAX && msg_encoded_size(m, d) + ALIAS_BYTES + LENGTHS_GROW > c->packet_max) return;
	if (!c->alias_out) c->alias_out = alias_out_new(c->alias_max);
	d->topic_alias = alias_out_get(c->alias_out, m->topic_hash, msg_topic(m), &d->alias_known);
}

void client_send(struct client *c, const struct msg *m, uint8_t qos, bool retain, bool dup, uint16_t packet_id,
		 const uint32_t *ids, size_t n) {
	struct msg_delivery d = delivery(c, m, qos, ids, n);
	d.retain = retain;
	d.dup = dup;
	d.packet_id = packet_id;
	if (sl_unlikely(c->alias_max > 0)) set_alias(c, m, &d);
	msg_encode(m, &d, sl_stream_out(client_stream(c)));
	metric_inc(c->w, METRIC_PACKETS_OUT);
	sl_metric_add(&c->w->metrics, METRIC_PUBLISH_BYTES_OUT, m->payload_len);
	metric_inc(c->w, qos == 0   ? METRIC_PUBLISH_OUT_QOS0
			 : qos == 1 ? METRIC_PUBLISH_OUT_QOS1
				    : METRIC_PUBLISH_OUT_QOS2);
	if (!dup && event_wanted(c->w, EVENT(MESSAGE_DELIVERED))) event_delivered(c, m, qos, retain);
}

void client_send_ack(struct client *c, enum mqtt_type type, uint16_t packet_id, enum mqtt_reason reason) {
	struct sl_buf *out = sl_stream_out(client_stream(c));
	metric_inc(c->w, METRIC_PACKETS_OUT);
	if (reason == MQTT_RC_SUCCESS || !client_is_v5(c)) {
		mqtt_encode_ack_plain(type, packet_id, out);
		return;
	}
	enum { SIZE = 6 }; /* with a code and no properties */
	struct mqtt_ack a = {.packet_id = packet_id, .reason = reason};
	struct sl_buf props = SL_BUF_INIT;
	client_put_reason(c, type, client_reason_text(type, reason), SIZE, &props);
	mqtt_props_init(&a.props);
	a.props.raw = sl_buf_slice(&props);
	mqtt_encode_ack(type, &a, MQTT_V5, out);
	sl_buf_fini(&props);
}
