/* rules_host.h: what the rule engine needs from the broker around it. The broker fills it in at start; the rule
 * layer never includes a header of the broker.
 * Thread: every call is made on the worker whose number is given. */
#ifndef RULES_HOST_H
#define RULES_HOST_H

#include "slice.h"

struct sl_ticket;

/* A message that a rule's republish action makes. Slices are borrowed for the call. */
struct rules_publish {
	struct sl_slice topic, payload;
	struct sl_slice properties; /* as they stand in an MQTT 5 PUBLISH, without the length; may be empty */
	uint8_t qos;
	bool retain;
	uint8_t hops; /* of the message that caused it, plus one; the broker carries it along */
	struct sl_slice rule_id;
	struct sl_ticket *ticket; /* raised until the message is as safe as its receivers want; NULL: nobody waits */
};

struct rules_host {
	void *broker;
	/* Routes the message as if a client had published it (rules see it too: hops bounds the loop). 0 or -SL_E;
	 * the row that caused it counts as rejected when it fails. */
	int (*publish)(void *broker, int worker, const struct rules_publish *m);
	/* There may be room for rows again (rules_room()). all: whoever waits, for the rules have changed. May be NULL. */
	void (*room)(void *broker, int worker, bool all);
};

#endif
