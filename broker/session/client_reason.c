/* What is said to a client of MQTT 5 beside a reason code, and whether it may be: reason strings, where Request Problem
 * Information [MQTT-3.1.2-29] and the client's maximum packet size [MQTT-3.2.2-19] allow. The code says the same: a string that
 * may not be sent is left out, the packet is not. */
#include "client.h"

enum { STRING_HEAD = 3, LENGTHS_GROW = 4 }; /* of the property; of remaining and property length, at the most */

void client_put_reason(const struct client *c, enum mqtt_type type, struct sl_slice text, size_t size,
		       struct sl_buf *props) {
	bool always = type == MQTT_CONNACK || type == MQTT_DISCONNECT;
	if (!client_is_v5(c) || text.n == 0 || !(c->problem_info || always)) return;
	if (size + STRING_HEAD + text.n + LENGTHS_GROW > c->packet_max) return;
	mqtt_put_bytes(props, MQTT_PROP_REASON_STRING, text);
}

struct sl_slice client_reason_text(enum mqtt_type type, enum mqtt_reason reason) {
	bool publish = type == MQTT_PUBACK || type == MQTT_PUBREC;
	switch (reason) {
	case MQTT_RC_NOT_AUTHORIZED:
		return publish ? SL_SLICE_LIT("this client may not publish to this topic")
			       : SL_SLICE_LIT("this client may not subscribe to this filter");
	case MQTT_RC_TOPIC_NAME_INVALID: return SL_SLICE_LIT("the topic has more levels than this server takes");
	case MQTT_RC_TOPIC_FILTER_INVALID:
		return SL_SLICE_LIT("no valid topic filter, or more levels than this server takes");
	case MQTT_RC_QUOTA_EXCEEDED:
		return publish ? SL_SLICE_LIT("a limit of this server is reached")
			       : SL_SLICE_LIT("this session has as many subscriptions as it may have");
	default: return SL_SLICE_EMPTY; /* the code says all there is to say */
	}
}

bool client_may_take(struct client *c, size_t before) {
	struct sl_buf *out = sl_stream_out(client_stream(c));
	if (sl_likely(out->n - before <= c->packet_max)) return true;
	out->n = before;
	/* [MQTT-3.1.2-24]. What has to be said and may not be ends the connection. */
	client_protocol_error(c, MQTT_RC_PACKET_TOO_LARGE, "the answer is larger than the client takes");
	return false;
}
