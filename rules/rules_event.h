/* rules_event.h: events as the broker tells them: who connected, what was delivered, why something was dropped.
 *
 *     if (sl_unlikely(rules_event_wanted(rw, EVENT(CLIENT_PING)))) {
 *             struct rules_about about = {...};
 *             rules_event(rw, &(struct rules_event){.kind = EVENT_CLIENT_PING, .about = &about, ...});
 *     }
 *
 * An event that no rule reads costs its caller that one branch. One that some rule reads runs there and then, as a message
 * does; but what such a rule republishes goes out later in the tick, for the caller may be in the middle of a delivery. So
 * rules_event() may be called anywhere on a worker but from within the publish callback's own evaluation of a rule.
 *
 * Loops: a message that a rule on events makes carries EVENT_HOPS more hops than the event (a message's own events have the
 * message's), not one: of a message that is made of its own delivery there are two generations, then it ends, counted as
 * looping. The fan-out between the two may be large, so the chain must be short.
 *
 * The `$aws/events/...` kinds are messages made of the same facts (event_aws.h): they walk through the rules by their
 * topic, which ends in the client id, and no subscriber sees them.
 *
 * Rows of events count as QoS 1 where a row asks (buffer.durability), those of a message's events as the message's QoS. No
 * acknowledgement waits for them.
 * Lifetime: all slices are borrowed for the call. Thread: the worker's. Nothing blocks, nothing fails. */
#ifndef RULES_EVENT_H
#define RULES_EVENT_H

#include <stdatomic.h>

#include "slice.h"

struct rules_worker;
struct sql_map;
struct sl_source_item;

enum rules_event_kind {
#define EVENT_KIND(id, event, topic, old, doc) EVENT_##id,
#define EVENT_AWS(id, type, topic) EVENT_##id,
#include "event_tbl.h"
#undef EVENT_KIND
#undef EVENT_AWS
	EVENT_KINDS,
	EVENT_AWS_FIRST = EVENT_AWS_CONNECTED,
};
#define EVENT(id) (1u << EVENT_##id)

enum { EVENT_HOPS = 4 };

/* What an event says beside the message that it may be about (the topic, payload and so on of struct rules_event, where
 * clientid and username are the publisher's). What a kind has no column for need not be set. */
struct rules_about {
	struct sl_slice clientid, username; /* the client that it is about; username empty: none */
	struct sl_slice peer, sock;         /* "address:port", its and ours; empty: not known */
	struct sl_slice reason;             /* `reason` or `reason_code` */
	struct sl_slice props;              /* MQTT 5 properties as in the packet: conn_props, sub_props, ... */
	int64_t connected_ms, disconnected_ms;
	uint32_t expiry_s;
	uint16_t keepalive_s, receive_maximum;
	uint8_t version; /* 3, 4 or 5 */
	bool clean_start, bridge, anonymous;
	bool by_client; /* disconnected: it said goodbye */
	/* subscriptions */
	struct sl_slice filter; /* with $share; `topic` */
	uint8_t qos;
	const struct sl_slice *filters; /* AWS: all of a packet */
	size_t filter_count;
	/* AWS: names the connection; serial grows with each connection of a client */
	uint64_t connection, serial;
	/* connectors */
	struct sl_slice connector, connector_kind, state, previous;
	int64_t since_ms;
	/* sources */
	const struct sl_source_item *item;
	struct sl_slice source; /* its name; connector_kind is its type */
	/* tools: the columns by their names, in place of all of this */
	const struct sql_map *given;
};

struct sl_stage;

/* The beginning of every struct rules_worker: what rules of its set read. */
struct rules_wants {
	uint32_t kinds; /* a bit for each kind of event */
	bool messages;
	struct sl_stage *no_room;     /* rules_room(): the last that took a row and has no room for more; NULL: none */
	const _Atomic uint32_t *gate; /* of sl_stages_gate() */
};
static inline bool rules_event_wanted(const struct rules_worker *rw, uint32_t kinds) {
	return (((const struct rules_wants *)(const void *)rw)->kinds & kinds) != 0;
}

struct rules_event;
void rules_event(struct rules_worker *rw, const struct rules_event *ev);

#endif
