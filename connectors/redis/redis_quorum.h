/* redis_quorum.h: what sentinels say about a master, one by one and together. No network; redis_sentinel.c asks.
 *
 *     redis_answer_master(&a, reply)      to SENTINEL MASTER name: its epoch, how the master is, how many replicas there are
 *     redis_answer_address(&a, reply)     to SENTINEL GET-MASTER-ADDR-BY-NAME name, behind it: the address that counts
 *     struct redis_verdict v = redis_quorum(answers, n);
 *
 * After a failover the sentinel that led it knows the new master at once, and the others up to two seconds later: so it is not what
 * most of them say that counts, but the answer of the highest configuration epoch, which every failover raises. Where no epoch is
 * told (an ACL that does not permit SENTINEL MASTER) most votes count.
 * SENTINEL MASTER alone does not do: a sentinel that makes the replicas follow the new master has raised the epoch by then, and still
 * names the old address there.
 *
 * Lifetime: an answer owns its host until redis_answer_forget(); a verdict points into the answers. Thread: any. Never blocks. */
#ifndef REDIS_QUORUM_H
#define REDIS_QUORUM_H

#include "redis_resp.h"

struct redis_answer {
	bool given;
	char *host;
	uint16_t port;
	int64_t epoch;    /* -1: not told */
	int64_t replicas; /* that the sentinel knows, those that are down included; -1: not told */
	bool down;        /* the sentinel does not reach that server */
	bool replaced;    /* the sentinels agreed that it is down, or a failover is under way */
};

void redis_answer_forget(struct redis_answer *a);
/* False: the sentinel did not tell. */
bool redis_answer_master(struct redis_answer *a, const struct redis_reply *reply);
/* False: the sentinel knows no such master; the answer is forgotten. */
bool redis_answer_address(struct redis_answer *a, const struct redis_reply *reply);

struct redis_verdict {
	const struct redis_answer *best; /* NULL: nobody gave an answer */
	bool most;                       /* more than half of all say so */
	bool replaced;                   /* not to be written to: another server is about to take its place */
	int64_t replicas;                /* the most that any of them knows; -1: nobody told */
};
struct redis_verdict redis_quorum(const struct redis_answer *a, size_t n);

/* ---- One verdict after the other. All have a limit, for sentinels may be wrong for good, or be set up anew. ---- */

#define REDIS_OUTDATED_MS 10000 /* so long a lower epoch is not believed, after a higher one was told last */
#define REDIS_REPLACED_MS 30000 /* so long a master is left alone whose place another one is about to take */

struct redis_memory {
	int64_t epoch; /* the highest of late; -1 at first, */
	uint64_t epoch_ms;
	bool replaced; /* the master is on its way out, */
	uint64_t replaced_ms;
};
/* It has an answer. */
void redis_memory_take(struct redis_memory *m, const struct redis_verdict *v, uint64_t now_ms);
/* Of the verdict that was taken: there was a failover of which those that answer have not heard. */
bool redis_memory_is_outdated(const struct redis_memory *m, const struct redis_verdict *v);
bool redis_memory_is_replaced(const struct redis_memory *m, uint64_t now_ms);

#endif
