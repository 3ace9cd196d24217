/* share_choose.h: which member of a shared subscription gets a message.
 *
 *     round_robin      one after the other
 *     random           any
 *     sticky           each publisher keeps its member for as long as that one is there, however many others come; the first
 *                      time it is the one that hash_clientid names
 *     hash_clientid    by the publisher's client id  } rendezvous hashing: when a member goes, only what was its own moves; when
 *     hash_topic       by the topic                  } one comes, only what is its own from now on
 *     local_first      those on the publisher's worker, one after the other; when none is there, all
 *     least_inflight   who has fewest messages unacknowledged, waiting or on their way; among equals one after the other.
 *                      Of more than SHARE_LOOKED_AT members so many are looked at for a message, others for the next
 *
 * The hashes have no seed: after a restart the same members get the same again.
 * Pure, but for what share_choice remembers. Thread: the group's owner; share_load any. Never blocks. */
#ifndef SHARE_CHOOSE_H
#define SHARE_CHOOSE_H

#include <stdatomic.h>

#include "hash.h"
#include "slice.h"

enum broker_share {
	BROKER_SHARE_ROUND_ROBIN,
	BROKER_SHARE_RANDOM,
	BROKER_SHARE_STICKY,
	BROKER_SHARE_HASH_CLIENTID,
	BROKER_SHARE_HASH_TOPIC,
	BROKER_SHARE_LOCAL_FIRST,
	BROKER_SHARE_LEAST_INFLIGHT,
};

enum { SHARE_LOOKED_AT = 64, SHARE_STICKY_MAX = 65536 };

/* What a session has to do, for the owners of the groups it is in, who read it without asking. Counted references: a session's
 * and one of each of its members. */
struct share_load {
	_Atomic uint32_t refs;
	_Atomic int32_t arriving; /* chosen for, not yet with the session */
	_Atomic uint32_t held;    /* unacknowledged and queued there */
};
struct share_load *share_load_new(void) sl_warn_unused;
struct share_load *share_load_ref(struct share_load *l);
void share_load_unref(struct share_load *l); /* NULL is fine */

struct share_member {
	uint64_t ref;            /* session_ref */
	uint64_t key;            /* of its client id, sl_hash_stable() */
	struct share_load *load; /* a reference */
	uint32_t sub_id, worker;
	uint8_t qos;
	bool retain_as_published;
};

struct share_pick {
	uint64_t hash, ref; /* of the publisher; of its member */
	uint32_t at;        /* where that stood */
	bool used;
};
#define HMAP_NAME share_picks
#define HMAP_SLOT struct share_pick
#define HMAP_KEY uint64_t
#define HMAP_EQUAL(slot, key) ((slot)->hash == (key))
#include "hmap.h"

/* A group's memory. Zero is a good beginning. */
struct share_choice {
	uint32_t turn;
	struct share_picks
	    picks; /* sticky: at most SHARE_STICKY_MAX publishers; then all are forgotten, and most find the same again */
};
void share_choice_fini(struct share_choice *c);

/* Of the message; hashes are made of these when they are needed. */
struct share_message {
	struct sl_slice publisher, topic;
	uint32_t worker; /* the publisher's */
};

/* An index into members[0..n), n > 0. */
size_t share_choose(enum broker_share how, struct share_choice *c, const struct share_member *members, size_t n,
		    const struct share_message *m);

#endif
