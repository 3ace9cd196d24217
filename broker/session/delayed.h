/* delayed.h: messages to be published later: `$delayed/SECONDS/topic`, as EMQX has it.
 *
 *     $delayed/10/a/b      a/b, in ten seconds; at most DELAYED_SECONDS_MAX
 *
 * The real topic is judged when the message comes in: access rules, rewriting, reserved topics. Subscribers, rules and the retained
 * store see it when it is due, and as if it had been sent then: its message expiry counts from there. QoS and the retain flag stay.
 * Two messages of one publisher that are due in the same moment come in the order in which they were sent.
 *
 * Messages wait in memory, in a heap of the worker that they came in on: bounded in number and bytes over all workers. Those of QoS 1
 * and 2 are in the store as well (persist.h), and acknowledged when they are on disk there; they leave it when they have been
 * published and those who keep them now have them safe. So a kill loses none that was acknowledged; one that was being published at that moment
 * may be published again. What was due while the broker was away is published at its start. QoS 0, and everything with
 * persistence off, is forgotten when the broker stops.
 *
 * Thread: the worker's. */
#ifndef DELAYED_H
#define DELAYED_H

#include <stdatomic.h>

#include "msg.h"

struct sl_ticket;
struct worker;
struct delayed;

enum { DELAYED_SECONDS_MAX = 4294967 };

/* What all workers together have. */
struct delayed_total {
	_Atomic uint64_t count, bytes;
};

enum delayed_form { DELAYED_NOT, DELAYED_GOOD, DELAYED_BAD };

/* "$delayed/10/a/b" gives 10 and "a/b" (into `topic`), which is a valid topic name and no delayed one again. */
enum delayed_form delayed_split(struct sl_slice topic, uint32_t *seconds, struct sl_slice *real);

struct delayed *delayed_new(struct worker *w) sl_warn_unused;
void delayed_free(struct delayed *d);

/* Keeps a reference of its own and routes the message in so many seconds. m->arrived_ms is that moment (delayed_arrives_ms). SL_ELIMIT:
 * there are as many as there may be. ticket: who waits until it is on disk; NULL: nobody. */
int delayed_add(struct delayed *d, struct msg *m, uint32_t seconds, struct sl_ticket *ticket);
/* One of a run before, kept under `id`; due at m->arrived_ms. Before threads run. */
void delayed_restore(struct delayed *d, struct msg *m, uint64_t id);
static inline int64_t delayed_arrives_ms(int64_t now_ms, uint32_t seconds) { return now_ms + (int64_t)seconds * 1000; }

#endif
