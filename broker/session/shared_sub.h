/* shared_sub.h: $share groups: each message goes to one member.
 *
 * A group is decided for by one worker, its *owner*, which the hash of its text ("group/filter") names: there it stands in the
 * trie as one subscriber, and its members are known by session_ref. A member is chosen (share_choose.h) among the connected
 * ones; when none is, among all (a session that waits for its client queues).
 *
 *     SUBSCRIBE on W --join--> owner O --announce to all--> O --done--> W --> SUBACK
 *
 * Nothing that was meant for the group stays with a member that cannot take it while another can:
 *     the session has ended          what is queued, and QoS 1 without its PUBACK, goes back to the owner and to another member;
 *                                    QoS 2 that was sent is lost with the session, for the client may have it [MQTT-4.8.2-5]
 *     the client is away             the same, as soon as another member is connected; QoS 2 that was sent waits for this one
 *     the client refuses it          dropped: PUBACK or PUBREC of 0x80 and more [MQTT-4.8.2-6]
 * So a client may get a QoS 1 message that another has had and not acknowledged, and never a QoS 2 message.
 * What a member gets of one publisher and topic comes in order; what is handed on comes behind what the other has already.
 *
 * "Hand on" goes through the boxes of messages, behind those that the owner had sent to this member before.
 *
 * Thread: share_* of a group on its owner; share_sub_* on the session's worker. */
#ifndef SHARED_SUB_H
#define SHARED_SUB_H

#include "session.h"
#include "share_choose.h"

struct share_group {
	uint64_t number; /* unique in the broker; the owner is its top byte */
	struct share_name *name;
	struct sl_slice text; /* "group/filter", in `name` */
	struct sl_slice filter;
	uint32_t handle;
	enum broker_share how;
	struct share_choice choice;
	struct share_member *members; /* the connected ones first */
	size_t online, members_len, members_cap;
};

struct shares *shares_new(void) sl_warn_unused; /* the groups that a worker owns */
void shares_free(struct shares *s);

/* Joins (or changes the options); done(arg) is called on the session's worker once every worker knows, maybe before this
 * returns. True: there was none, or it had other options. */
bool share_sub_join(struct session *s, struct sl_slice group, struct sl_slice filter, const struct mqtt_sub_entry *opts,
		    uint32_t sub_id, void (*done)(void *arg), void *arg);
bool share_sub_has(const struct session *s, struct sl_slice group, struct sl_slice filter);
bool share_sub_leave(struct session *s, struct sl_slice group, struct sl_slice filter);
/* The number of one of its groups that may have given it a message of this topic; 0: none. Before threads run. */
uint64_t share_sub_group_of(const struct session *s, struct sl_slice topic);
void share_sub_leave_all(struct session *s); /* its notes stay, until share_sub_forget() */
void share_sub_forget(struct session *s);    /* memory only */
void share_sub_online(struct session *s, bool online);

const struct share_group *share_group_find(const struct worker *owner, struct sl_slice text); /* NULL: there is none */

/* On the owner: one member gets the message. had: when nobody is connected, this member (0: any). */
void share_dispatch(struct worker *w, struct share_group *g, struct msg *m, session_ref source, session_ref had,
		    uint8_t tries);
/* What came in a box with a group's number: a message for the member here, one that another worker's member does not take, or word
 * that a member here shall hand on. */
void share_forwarded(struct worker *w, const struct forward *f);
/* What was given to `s` by the group: again, with another if there is one. */
void share_again(struct session *s, struct msg *m, uint64_t group);

#endif
