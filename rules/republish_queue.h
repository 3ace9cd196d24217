/* republish_queue.h: messages that rules made, waiting until the event that caused them is through.
 *
 * Publishing at once would run rules inside a rule: the vm, its arena and the hits are in use. So a worker queues them
 * here, and the outermost rules_eval() publishes them one by one when its rules are done; what they cause in turn is
 * queued behind. The bounds are for the whole cascade of one message: a loop of rules ends at the hop limit, but ten
 * rules that feed each other would make ten to the power of eight messages before it does.
 *
 * Lifetime: entries and their bytes until the queue is emptied for the next event.
 * Thread: its worker's. Never blocks. */
#ifndef REPUBLISH_QUEUE_H
#define REPUBLISH_QUEUE_H

#include "action.h"
#include "arena.h"
#include "rules_host.h"

enum { REPUBLISH_CASCADE_MAX = 10000, REPUBLISH_CASCADE_BYTES_MAX = 64 * 1024 * 1024 };

struct republish_entry {
	struct rules_publish m; /* slices point into the queue's arena */
	/* Borrowed: the set does not change between queueing and publishing. */
	const struct rule_action *action;
	const struct rule *rule;
	int64_t at_ms;
};

struct republish_queue {
	struct republish_entry *at;
	size_t next, len, cap; /* entries before next are published */
	size_t bytes;
	struct sl_arena arena;
	bool draining;
};

void republish_queue_init(struct republish_queue *q);
void republish_queue_fini(struct republish_queue *q);

/* Copies m. SL_ELIMIT when this cascade has had its share. */
int republish_queue_add(struct republish_queue *q, const struct republish_entry *entry);

#endif
