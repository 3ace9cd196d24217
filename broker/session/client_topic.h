/* client_topic.h: from the topic that a client sends to the one that is meant.
 * Lifetime: slices are of the packet, or of the tick. Thread: the client's loop. */
#ifndef CLIENT_TOPIC_H
#define CLIENT_TOPIC_H

#include "client.h"

#define CLIENT_NO_DELAY UINT32_MAX

enum mqtt_reason client_publish_topic_slow(struct client *c, struct sl_slice *topic, uint32_t *delay_s);
bool client_filter_slow(struct client *c, struct sl_slice *filter);

/* Of PUBLISH, an alias resolved before. *topic becomes what is meant; *delay_s: when, or CLIENT_NO_DELAY. Otherwise: refuse it. */
static inline enum mqtt_reason client_publish_topic(struct client *c, struct sl_slice *topic, uint32_t *delay_s) {
	*delay_s = CLIENT_NO_DELAY;
	if (sl_likely(!c->w->rewriter && topic->n > 0 && topic->p[0] != '$')) return MQTT_RC_SUCCESS;
	return client_publish_topic_slow(c, topic, delay_s);
}

/* Of the will in CONNECT, judged as the real topic is; `$delayed/` stays in front. */
enum mqtt_reason client_will_topic(struct client *c, struct mqtt_connect *p, struct sl_slice id,
				   struct sl_slice username);

/* Of SUBSCRIBE and UNSUBSCRIBE. False: it would become no valid filter. */
static inline bool client_filter(struct client *c, struct sl_slice *filter) {
	return sl_likely(!c->w->rewriter) || client_filter_slow(c, filter);
}

#endif
