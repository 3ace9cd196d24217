/* subs.h: who subscribed to what, on one worker, and what the other workers know of it.
 *
 * Values in the worker's trie are pointers to struct sub; with the lowest bit set, to struct share_group (a group is one
 * subscriber to the trie; shared_sub.h chooses the member); with the second bit set, the number of another worker that
 * has a subscriber for the filter. One trie for all, so that a message's topic is walked once.
 *
 * The first value of a filter is announced to all other workers, the last one's end withdrawn. A SUBACK waits until all
 * have heard: who has it gets every message that is published later, whoever's worker it enters.
 *
 * Thread: the worker's baton. */
#ifndef SUBS_H
#define SUBS_H

#include "session.h"

struct sub {
	struct session *s;
	uint32_t handle;        /* of its filter in w->subs */
	uint32_t sub_id;        /* subscription identifier; 0: none */
	uint32_t replay_serial; /* of the connection that waits for retained messages of it; 0: none does */
	uint8_t qos;
	bool no_local, retain_as_published;
};

enum { SUBS_SHARED_BIT = 1, SUBS_REMOTE_BIT = 2, SUBS_REMOTE_SHIFT = 2 };

/* The filters that became known (or unknown) here and have to be told; and who waits for that. Collect filters with
 * announce_add, then announce_send: `done` is called when the last worker has heard, maybe before announce_send
 * returns; then the announcement is freed. */
struct announce {
	struct worker *w;
	struct sl_buf filters; /* 16-bit length and text each */
	uint32_t waiting;
	void (*done)(struct announce *a);
};
void announce_init(struct announce *a, struct worker *w, void (*done)(struct announce *a));
void announce_add(struct announce *a, struct sl_slice filter);
void announce_send(struct announce *a);
void announce_withdraw(struct worker *w, struct sl_slice filter);

/* Adds or replaces. *is_new: there was none. Filters without $share. The first on this worker is put into `a`. */
struct sub *subs_add(struct session *s, struct sl_slice filter, const struct mqtt_sub_entry *opts, uint32_t sub_id,
		     struct announce *a, bool *is_new);
/* Is there exactly one subscriber of this worker behind the handle? Then it is the first, or the last. */
bool subs_only_one(const struct worker *w, uint32_t handle);
struct sub *subs_find(const struct session *s, struct sl_slice filter); /* NULL: there is none */
bool subs_remove(struct session *s, struct sl_slice filter);            /* false: there was none */
void subs_remove_some(struct session *s, uint32_t n);                   /* n of them, if it has as many */

#endif
