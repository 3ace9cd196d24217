/* source_tracker.h: of messages that get through in any order, the mark below which all are through.
 *
 *     tracker_add(&t, 40), tracker_add(&t, 41), tracker_add(&t, 45)    taken, rising; gaps are fine
 *     tracker_done(&t, 41)  false: 40 is not through                   tracker_mark(&t) == -1
 *     tracker_done(&t, 40)  true: the mark moves                       tracker_mark(&t) == 42: go on here
 *
 * Lifetime: the caller's struct, zeroed; tracker_fini(). Thread: the owner's. Memory: 16 bytes a message that waits for an
 * earlier one; looking one up is a binary search, for they are in order. */
#ifndef SOURCE_TRACKER_H
#define SOURCE_TRACKER_H

#include "common.h"

struct tracker_entry {
	int64_t position;
	bool done;
};
struct source_tracker {
	struct tracker_entry *at; /* a ring */
	size_t first, n, cap;     /* cap: 0 or a power of two */
	int64_t mark;             /* one behind the last below which all are through; 0 means nothing yet when !moved */
	bool moved;
};

void tracker_add(struct source_tracker *t, int64_t position);
/* True when the mark has moved. A position that is not there is nobody's business: false. */
bool tracker_done(struct source_tracker *t, int64_t position);
/* -1: nothing was done yet. */
static inline int64_t tracker_mark(const struct source_tracker *t) { return t->moved ? t->mark : -1; }
static inline size_t tracker_pending(const struct source_tracker *t) { return t->n; }
void tracker_fini(struct source_tracker *t);

#endif
