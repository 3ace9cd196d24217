/* msg_queue.h: messages that wait for a session: first in, first out, in a ring that owns no memory while empty.
 * Limits are the session's business; here is only the count of messages and bytes.
 * Lifetime: owns a reference to each message and its subscription ids. Thread: one at a time. */
#ifndef MSG_QUEUE_H
#define MSG_QUEUE_H

#include "inflight.h"

struct msg_queue_entry {
	struct msg *m;
	struct sub_ids *ids;
	uint32_t log_id; /* of the message in the log (queue_log.h); 0: it is not there */
	uint8_t qos;
	bool retain;
};

struct msg_queue {
	struct msg_queue_entry *v;
	uint32_t cap, head, len;
	uint32_t qos0; /* of len */
	uint64_t bytes;
};

void msg_queue_fini(struct msg_queue *q);
void msg_queue_push(struct msg_queue *q, const struct msg_queue_entry *e); /* takes the references */
struct msg_queue_entry *msg_queue_front(struct msg_queue *q);              /* NULL when empty */
struct msg_queue_entry msg_queue_pop(struct msg_queue *q);                 /* gives the references; not when empty */
/* The i-th that waits, 0 the next to go. */
static inline struct msg_queue_entry *msg_queue_at(const struct msg_queue *q, uint32_t i) {
	return &q->v[(q->head + i) & (q->cap - 1)];
}
/* Takes it out of the middle; gives the references. Costs a move of those before it. */
struct msg_queue_entry msg_queue_remove(struct msg_queue *q, uint32_t i);
void msg_queue_entry_drop(struct msg_queue_entry *e); /* of what pop gave */

#endif
