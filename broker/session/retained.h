/* retained.h: the last retained message of each topic, for all workers together.
 *
 * This is the one structure that workers share, behind a mutex: it is met only by publishes with the retain flag and by
 * SUBSCRIBE, and what a publisher set is there for every subscriber from that moment on, with no letters to wait for.
 * The mutex is held for one change, or for as many nodes of a walk as the caller says: who subscribes to everything keeps
 * nobody waiting.
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

/* A walk over all messages whose topic matches, that rests whenever its owner likes, however the tree changes meanwhile. Each message
 * that is there all the time comes once, with what it is when its turn comes. Of those that are set or removed meanwhile some come
 * and others do not; a topic that had nothing when the walk began need not come: whoever subscribed before gets it live. No
 * topic comes twice. A filter that is valid, without $share. Closed before the tree is freed; memory: the filter and 16 bytes a
 * level. */
struct retained_cursor *retained_open(struct retained *r, struct sl_slice filter) sl_warn_unused;
/* The next, with a reference; expired ones are left out. Takes off *steps the nodes that it came by; NULL when there are none left
 * to take, or the walk is over. */
struct msg *retained_next(struct retained_cursor *c, int64_t now_ms, size_t *steps);
bool retained_over(const struct retained_cursor *c);
void retained_close(struct retained_cursor *c); /* NULL is fine */

/* Drops expired messages, at most `budget` looked at per call, going on where the last call ended. */
void retained_sweep(struct retained *r, int64_t now_ms, size_t budget, struct retained_change *change);

size_t retained_count(const struct retained *r); /* any thread, no lock */

#endif
