/* shared_sub.h: $share groups: each message goes to one member.
 *
 * A group is decided for by one worker, which the hash of its text ("group/filter") names: there it stands in the trie as
 * one subscriber, and its members are known by session_ref. Members are chosen among the connected ones; when none
 * is, among all (a session that waits for its client queues). A member whose session has ended meanwhile sends the
 * message back to choose again; so do messages of QoS 1 that a session still had when it ended.
 *
 *     SUBSCRIBE on W --join--> owner O --announce to all--> O --done--> W --> SUBACK
 *
 * Thread: share_* of a group on its owner; share_sub_* on the session's worker. */
#ifndef SHARED_SUB_H
#define SHARED_SUB_H

#include "session.h"

struct share_member {
	session_ref ref;
	uint32_t sub_id;
	uint8_t qos;
	bool online, retain_as_published;
};

struct share_group {
	uint64_t number;      /* unique in the broker */
	struct sl_slice text; /* "group/filter" */
	struct sl_slice filter;
	uint32_t handle;
	uint32_t turn; /* round robin; the sticky one's place */
	struct share_member *members;
	size_t members_len, members_cap;
};

struct share_slot {
	uint64_t hash;
	struct share_group *g;
	bool used;
};
#define HMAP_NAME share_map
#define HMAP_SLOT struct share_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->g->text, key)
#include "hmap.h"

/* Joins (or changes the options); done(arg) is called on the session's worker once every worker knows, maybe before this
 * returns. */
void share_sub_join(struct session *s, struct sl_slice group, struct sl_slice filter, const struct mqtt_sub_entry *opts,
		    uint32_t sub_id, void (*done)(void *arg), void *arg);
bool share_sub_has(const struct session *s, struct sl_slice group, struct sl_slice filter);
bool share_sub_leave(struct session *s, struct sl_slice group, struct sl_slice filter);
void share_sub_leave_all(struct session *s);
void share_sub_forget(struct session *s); /* memory only */
void share_sub_online(struct session *s, bool online);

/* On the owner: one member gets the message. */
void share_dispatch(struct worker *w, struct share_group *g, struct msg *m, session_ref source, uint8_t tries);
/* The chosen member is here. */
void share_deliver(struct session *s, struct msg *m, const struct forward *f);
/* The member had gone: again, with another. */
void share_again(struct worker *w, const struct forward *f);
void share_map_free(struct share_map *m);

#endif
