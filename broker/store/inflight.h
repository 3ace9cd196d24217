/* inflight.h: QoS 1 and 2 messages that were sent to a client and are not acknowledged yet, by packet id.
 *
 * Packet ids are given out in rising order, so an entry is found at (id modulo capacity) with no search. When the place
 * of the next id is taken (an old message that was never acknowledged), that id is skipped.
 * Entries remember the order of sending: after a reconnection they are sent again in it [MQTT-4.6.0-1].
 * Lifetime: owns a reference to each message and its subscription ids. Thread: one at a time. */
#ifndef INFLIGHT_H
#define INFLIGHT_H

#include "msg.h"

/* Subscription identifiers that go with one delivery, and the shared group that chose its receiver; owned by a queue or
 * in-flight entry. */
struct sub_ids {
	uint64_t group; /* 0: none */
	uint32_t n;
	uint32_t id[];
};
/* From the log: some group; which one, the session knows. */
#define SUB_IDS_SOME_GROUP UINT64_MAX
/* NULL when there is nothing to keep. */
struct sub_ids *sub_ids_copy(const uint32_t *ids, size_t n, uint64_t group) sl_warn_unused;

enum inflight_state {
	INFLIGHT_FREE,
	INFLIGHT_PUBACK,  /* QoS 1 sent */
	INFLIGHT_PUBREC,  /* QoS 2 sent */
	INFLIGHT_PUBCOMP, /* PUBREL sent; the message is no longer needed */
};

struct inflight_entry {
	struct msg *m;
	struct sub_ids *ids;
	uint32_t order;
	uint32_t log_id; /* of the message in the log (queue_log.h); 0: it is not there */
	uint16_t packet_id;
	uint8_t state;
	bool retain;
	bool unsent; /* not yet sent again on this connection */
};

struct inflight {
	struct inflight_entry *v; /* NULL while never used */
	uint32_t cap, len;
	uint32_t unsent; /* entries that are */
	uint32_t order;
	uint16_t last_id;
};

void inflight_fini(struct inflight *f);

/* A new entry with a packet id of its own; takes the references. At most 65535 can be in. */
struct inflight_entry *inflight_add(struct inflight *f, uint8_t qos, struct msg *m, struct sub_ids *ids, bool retain);
/* One whose packet id is known, as it was before a restart; NULL: that id is in. Those that are added later get ids above it. */
struct inflight_entry *inflight_put(struct inflight *f, uint16_t packet_id, uint8_t qos, struct msg *m,
				    struct sub_ids *ids, bool retain);
struct inflight_entry *inflight_find(const struct inflight *f, uint16_t packet_id); /* NULL: not there */
void inflight_release(struct inflight *f,
		      struct inflight_entry *e); /* the message is received: keeps the entry (PUBCOMP) */
void inflight_remove(struct inflight *f, struct inflight_entry *e);

/* After a reconnection: whether the entry has been sent on this connection. */
void inflight_mark(struct inflight *f, struct inflight_entry *e, bool unsent);
struct inflight_entry *inflight_next_unsent(const struct inflight *f); /* the oldest; NULL: none */

/* All entries in the order of sending; free with sl_free(). NULL when empty. */
struct inflight_entry **inflight_sorted(const struct inflight *f, size_t *n) sl_warn_unused;

#endif
