/* persist_int.h: what the files persist*.c share. */
#ifndef PERSIST_INT_H
#define PERSIST_INT_H

#include <stdatomic.h>

#include "persist.h"
#include "store.h"

/* What is on disk of a session. NULL: it is not persistent. */
struct persist_note {
	struct session *s;
	struct sl_list away; /* in the worker's list, until it is written that its client went */
	int64_t created_ms;
	int64_t offline_ms; /* as written; 0: connected */
	uint64_t will_hash; /* 0: none is there */
	uint32_t expiry_s;
	char *username; /* NULL: none */
};

struct persist_waiter {
	uint64_t batch;
	void (*done)(void *arg);
	void *arg;
};

struct persist_worker {
	struct worker *w;
	struct persist_waiter *waits; /* rising, from `head` on */
	size_t head, len, cap;
	struct sl_deferred push; /* at the end of the tick in which something was appended */
	struct sl_post told;
	_Atomic bool posted; /* `told` is on its way */
	uint64_t last;       /* batch that something was appended to here */
	struct sl_list away; /* of persist_note, who went first in front */
	struct sl_timer timer;
	struct sl_list no_room; /* of struct held: not read from while the store is full */
	struct sl_timer room_timer;
};

struct id_slot {
	uint64_t hash; /* the number, stirred */
	struct session *s;
	bool used;
};
#define HMAP_NAME id_map
#define HMAP_SLOT struct id_slot
#define HMAP_KEY uint64_t
#define HMAP_EQUAL(slot, key) ((slot)->s->store_id == (key))
#include "hmap.h"

struct persist {
	struct store *store;
	_Atomic uint64_t last_id;
	persist_ended_cb ended;
	struct id_map restored;
	uint64_t sessions_restored, subs_restored, wills_restored, retained_restored, expired, damaged;
	struct persist_worker *workers;
	bool started;
};

static inline uint64_t persist_id_hash(uint64_t id) { return id * 0x9e3779b97f4a7c15u; }
struct persist_note *persist_note_new(struct session *s); /* with the session's expiry; the rest is the caller's */
void persist_away_timer(struct sl_timer *t);
uint64_t will_hash(const struct will *will); /* never 0 */

int persist_delayed_restore(struct broker *b); /* persist_delayed.c */
/* persist_retained.c */
void persist_retained_begin(struct broker *b); /* from now on changes are appended */
int persist_retained_restore(struct broker *b);

#endif
