/* events.h: what happens here, told to the rules that read events (rules_event.h).
 *
 *     if (event_wanted(w, EVENT(CLIENT_PING))) event_ping(c);
 *
 * The test stands where the thing happens, inline: an event that nobody's rule reads costs that branch. The calls run the
 * rules at once; nothing of the broker changes meanwhile, for what rules publish goes out later (rules_event.h), so
 * they may stand in the middle of a delivery.
 *
 * Lifetime: everything is borrowed for the call. Thread: the baton of the worker. */
#ifndef EVENTS_H
#define EVENTS_H

#include "client.h"
#include "rules.h"

static inline bool event_wanted(const struct worker *w, uint32_t kinds) {
	return w->rules && sl_unlikely(rules_event_wanted(w->rules, kinds));
}
#define EVENTS_PRESENCE_BEGIN (EVENT(CLIENT_CONNECTED) | EVENT(CLIENT_CONNACK) | EVENT(AWS_CONNECTED))
#define EVENTS_PRESENCE_END (EVENT(CLIENT_DISCONNECTED) | EVENT(AWS_DISCONNECTED))
#define EVENTS_REFUSED (EVENT(CLIENT_CONNACK) | EVENT(AWS_CONNECT_FAILED))
#define EVENTS_SUBSCRIBED (EVENT(SESSION_SUBSCRIBED) | EVENT(AWS_SUBSCRIBED))
#define EVENTS_UNSUBSCRIBED (EVENT(SESSION_UNSUBSCRIBED) | EVENT(AWS_UNSUBSCRIBED))
#define EVENTS_RECEIVERS (EVENT(MESSAGE_DELIVERED) | EVENT(MESSAGE_ACKED) | EVENT(DELIVERY_DROPPED))

/* Fills in what rules read of a message; peer, version and the user name of a connection are the caller's. */
void event_of_message(const struct msg *m, struct rules_event *ev);
/* What authenticators know of the client, for as long as it is connected. */
void event_identity(const struct client *c, struct rules_event *ev);

void event_authn(struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason);
void event_refused(struct client *c, const struct mqtt_connect *p, enum mqtt_reason reason);
void event_connected(struct client *c, const struct mqtt_connect *p); /* with the CONNACK before it */
/* why: a word of ours, or NULL for the reason's name. props: of the client's DISCONNECT, as in the packet. */
void event_disconnected(struct client *c, enum mqtt_reason reason, const char *why, struct sl_slice props,
			bool by_client);
void event_ping(struct client *c);

/* A SUBSCRIBE or UNSUBSCRIBE, or one turn of one that has very many filters (client_subscribe.c), filter by filter; then finish it. */
struct event_filters {
	struct client *c;
	struct sl_slice props;
	struct sl_slice *v;
	size_t len;
	bool subscribed;
};
void event_filters_init(struct event_filters *f, struct client *c, const struct mqtt_subscribe *packet,
			bool subscribed);
void event_filters_add(struct event_filters *f, struct sl_slice filter, uint8_t qos);
void event_filters_finish(struct event_filters *f);

void event_delivered(struct client *c, const struct msg *m, uint8_t qos, bool retain);
void event_acked(struct client *c, const struct msg *m, uint8_t qos, bool retain, struct sl_slice props);
/* Nobody is subscribed. c: the publisher's connection, or NULL. */
void event_dropped(struct worker *w, const struct msg *m, const struct client *c);
void event_delivery_dropped(struct session *s, const struct msg *m, uint8_t qos, const char *why);

#endif
