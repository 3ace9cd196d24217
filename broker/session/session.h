/* session.h: what a client has at the broker beyond its connection: subscriptions, messages under way, messages waiting.
 *
 * A message for a session takes one of these ways:
 *
 *     QoS 0                     straight into the connection's output; offline or a full output: dropped, counted;
 *                               offline with queue_qos0: the queue, and behind it until that is empty
 *     QoS 1, 2, window open     sent with a packet id, remembered in `out` until acknowledged
 *     QoS 1, 2, window full     the queue; each acknowledgement lets the next one go
 *     QoS 1, 2, offline         the queue
 *
 * A full queue: while the client is connected and takes messages, nothing that was acknowledged to a publisher is dropped;
 * its publishers are held back instead (they are not read) until the queue is down to a half. A client that is offline,
 * or makes no progress for stall_timeout_ms, holds nobody: what does not fit is dropped and counted. That is QoS 0 first, if any
 * waits (of the first 1024), then the new one or the oldest, as the setting queue_full says.
 *
 * Lifetime: from CONNECT until its expiry (0: the end of the connection). Thread: its home worker's baton. */
#ifndef SESSION_H
#define SESSION_H

#include "share_notes.h"
#include "id_set.h"
#include "msg_queue.h"
#include "queue_log.h"
#include "worker.h"

#define SESSION_EXPIRY_NEVER UINT32_MAX

struct acl_client;
struct persist_note;
struct sub;
struct will;
struct replay;
struct share_load;

/* Who is held back because a session's queue is full. */
struct session_hold {
	session_ref *v;
	uint32_t len, cap;
};

struct session {
	struct worker *w;
	struct client *c; /* NULL: offline */
	struct sl_slice client_id;
	session_ref ref;
	uint64_t store_id;         /* its name on disk, for ever (persist.h); 0: it is not persistent */
	struct persist_note *note; /* what is there; NULL: nothing */
	struct sub **subs;         /* by trie handle, rising */
	uint32_t subs_len, subs_cap;
	struct share_notes shares; /* its shared subscriptions */
	struct share_load *load;   /* for their owners; NULL while it never had one */
	struct inflight out;
	struct msg_queue queue;
	struct id_set in;         /* QoS 2 packet ids that came in and are not released */
	struct id_set open;       /* of these, those that the log knows as not acknowledged; */
	struct id_set reroute;    /* and those of a former run: the rules have not seen them for sure */
	struct queue_lane lane;   /* what the log knows of it */
	struct sl_list unsettled; /* QoS 2 messages whose rules are not done, and whose connection has gone */
	struct will *will;
	struct acl_client
	    *acl; /* what it may do (client_access.h); NULL: no rules, or nobody has connected since the start */
	struct replay *replay, *replay_last; /* retained messages still to be sent */
	struct sl_timer timer;               /* offline: the will's delay, then the expiry */
	uint64_t offline_since_ms;
	uint32_t expiry_s;
	uint16_t window;    /* how many may be in `out` */
	uint32_t holds;     /* full queues that hold back this publisher */
	bool persistent_v3; /* 3.x: clean session was 0 */
	bool stalled;
	struct sl_list replaying; /* in the worker's list while `replay` is there */
	struct sl_list congested; /* in the worker's list while the queue is full */
	struct sl_list ending;    /* in the worker's list when all is gone but `subs` (session_free) */
	struct session_hold held;
	uint64_t progress_ms; /* when the client last took or acknowledged something */
};

struct session *session_find(const struct worker *w, struct sl_slice client_id);
struct session *session_new(struct worker *w, struct sl_slice client_id);
/* Ends it: subscriptions, queue, will (not published) and all. Its client is detached before. Nobody finds it any more, and its
 * name is free. But of very many subscriptions some stay in the trie for a while, so that others need not wait: what comes
 * for them is for nobody. */
void session_free(struct session *s);
void session_ending_timer(struct sl_timer *t); /* takes the next ones off */
void session_ending_discard(struct worker *w); /* memory only, at the broker's end */
/* Memory only, at the broker's end: tells nobody. */
void session_discard(struct session *s);

/* The connection is gone (c has been detached): publish the will or wait with it, expire or end. May free s. */
void session_offline(struct session *s, bool publish_will);

/* A message for the session, from a subscription. */
struct session_delivery {
	const uint32_t *ids; /* subscription identifiers */
	size_t ids_len;
	session_ref source; /* who to hold back; 0: nobody */
	uint64_t group;     /* number of the shared group that chose this session; 0: none */
	uint8_t qos;
	bool retain;
};
void session_deliver(struct session *s, struct msg *m, const struct session_delivery *d);

/* Its client is away and others of this shared group are there: they get what it has of the group, but for QoS 2 that was sent. */
void session_hand_on(struct session *s, uint64_t group);
/* Access rules: what waits and may not be received any more goes; with under_way also what would be sent again. */
void session_drop_denied(struct session *s, bool under_way);

/* After a connection: send what is under way once more [MQTT-4.4.0-1], then the queue. */
void session_resume(struct session *s);
/* Sends from the queue while the window is open. */
void session_pump(struct session *s);

/* The client's acknowledgements: false when the packet id is not known (PUBREC and PUBREL answer that). */
bool session_puback(struct session *s, uint16_t packet_id);
bool session_pubrec(struct session *s, uint16_t packet_id, bool refused);
bool session_pubcomp(struct session *s, uint16_t packet_id);

/* This session's client is held back (released) by a full queue elsewhere. */
void session_hold(struct session *s);
void session_release(struct session *s);
/* It should be held back, but its own queue is full: its acknowledgements come by the same way as its publishes. */
bool session_beyond_hold(const struct session *s);

/* Retained messages for subscriptions that were made on this connection: their filters (16-bit length and text each) are
 * queued up here. When a filter's turn comes, its messages are looked up and sent in slices, as fast as the client takes
 * them. So a session has the memory of one cursor (retained.h), however many messages and filters there are. */
void session_replay(struct session *s, struct sl_slice filters);
void session_replay_timer(struct sl_timer *t);
void session_replay_free(struct session *s);

/* The list of congested sessions, from a timer: who makes no progress holds nobody any longer. */
void session_congested_check(struct sl_timer *t);

#endif
