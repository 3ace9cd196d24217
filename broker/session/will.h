/* will.h: the message that a session leaves behind: kept as it came in CONNECT, made a message when it is due.
 * Lifetime: owned by its session. Thread: the session's home worker. */
#ifndef WILL_H
#define WILL_H

#include "mqtt.h"

struct session;
struct will {
	uint32_t delay_s;
	uint32_t topic_len, payload_len, props_len; /* behind each other in bytes, then the user name */
	uint32_t username_len;
	uint8_t qos;
	bool retain;
	char bytes[];
};

/* props_raw keeps its length prefix away: it is the block as mqtt_props.raw has it. username: of the connection, for rules; the
 * will may outlive it. */
struct will *will_new(const struct mqtt_will *will, struct sl_slice username) sl_warn_unused;
/* Publishes it in the session's name and frees it; nothing when there is none. */
void will_publish(struct session *s);
/* It is not to be published any more. */
void will_drop(struct session *s);

/* How many bytes it holds. */
static inline size_t will_bytes(const struct will *will) {
	return (size_t)will->topic_len + will->payload_len + will->props_len + will->username_len;
}

#endif
