/* retained.h: the last retained message of each topic, for all workers together.
 *
 * This is the one structure that workers share, behind a mutex: it is met only by publishes with the retain flag and by
 * SUBSCRIBE, and what a publisher set is there for every subscriber from that moment on, with no letters to wait for.
 * The mutex is held for one walk; matching messages are handed out as references, to be sent later at leisure.
 *
 * A tree of levels, where children are found in one hash table by (parent, level), and listed for wildcards.
 * Lifetime: with the broker; a reference to each message. Thread: any. Blocks only for the mutex. */
#ifndef RETAINED_H
#define RETAINED_H

#include "msg.h"

struct retained;

struct retained *retained_new(uint64_t count_max) sl_warn_unused;
void retained_free(struct retained *r); /* NULL is fine */

struct retained_change {
	int64_t count, bytes; /* what the call added, for the caller's gauges */
	uint64_t batch;       /* what the change was kept in (retained_keep); 0: in nothing */
};

/* Told of each change, in its order, under the mutex: the message that is there now, or (gone) that was. What it returns
 * is given to who made the change. Set before threads run. */
typedef uint64_t (*retained_keep_cb)(void *arg, const struct msg *m, bool gone);
void retained_keep(struct retained *r, retained_keep_cb keep, void *arg);

/* Keeps a reference to m in place of the topic's former one; an empty payload removes it [MQTT-3.3.1-6]. SL_ELIMIT when
 * the store is full (the message is not kept). */
int retained_set(struct retained *r, struct msg *m, struct retained_change *change);

/* All messages whose topic matches, with a reference each; expired ones are left out. *v is from sl_alloc. */
size_t retained_match(struct retained *r, struct sl_slice filter, int64_t now_ms, struct msg ***v);

/* Drops expired messages, at most `budget` looked at per call, going on where the last call ended. */
void retained_sweep(struct retained *r, int64_t now_ms, size_t budget, struct retained_change *change);

size_t retained_count(const struct retained *r); /* any thread, no lock */

#endif
