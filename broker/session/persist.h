/* persist.h: what of the broker's state outlives the process.
 *
 * A session is *persistent* while its expiry is above 0 and settings.persistence is enabled. Such a session has a store_id: a
 * number for ever, which no other session gets, in this run of the broker or a later one. All that is kept about the session on
 * disk is kept under it. 0: not persistent, nothing of it is on disk, and nothing here costs it anything.
 *
 * What is kept here (broker/store/store.h): the session with its expiry, user name and the time when its client went; its
 * subscriptions; its will; and retained messages. Calls below append a change and give the number of the batch that it is in
 * (0: nothing had to be changed). The worker hands over what was appended once a tick. What tells a client that something is
 * so (CONNACK, SUBACK, UNSUBACK, the PUBACK of a retained message) waits for its batch with persist_wait().
 *
 * A session that comes back within moments, with the settings that it had, changes nothing on disk: when its client went is written
 * only for those who stay away for PERSIST_AWAY_MS.
 *
 * At a start the sessions are there again before anything else (broker_restore): no thread runs yet, so all workers are the
 * caller's. Whoever keeps more of a session under its store_id puts it back then, with persist_session(). A session's worker is
 * not the one that it had in the run before: hashes have another seed, and the number of workers may have changed.
 * Expiry and will delay go on while the broker is away, from when the client or, in order, the broker went. After a kill nobody knows
 * when that was: for clients that were connected then they begin with the start. Their connections were closed without
 * DISCONNECT, so their wills are published when the delay is over [MQTT-3.1.2-8]; so are those of clients that the broker
 * itself sent away at its end, and that do not come back in time (3.1.2.5 lets a server do that at its next start).
 *
 * Thread: a session's home worker, unless said otherwise. */
#ifndef PERSIST_H
#define PERSIST_H

#include "session.h"

struct persist;
struct sub_record;

enum { PERSIST_AWAY_MS = 2000 };

int persist_open(struct broker *b, struct sl_err *err); /* files; before threads start */
int persist_restore(struct broker *b, struct sl_err *err);
int persist_start(struct broker *b,
		  struct sl_err *err); /* sessions' names are not asked for any more; the store's thread runs */
void persist_close(struct broker *b);  /* after persist_settle() */

/* The session that is kept under this number; NULL: it has ended. Between persist_restore() and persist_start(). @thread main */
struct session *persist_session(const struct broker *b, uint64_t store_id);

/* Who wants to know when a session ends for good, or is persistent no longer: nothing that is kept under its store_id will be
 * asked for again. Called on its worker, with store_id and all else still there. Set before the start. */
typedef void (*persist_ended_cb)(struct session *s);
void persist_on_ended(struct broker *b, persist_ended_cb ended);

/* ---- waiting ---- */

/* done(arg) is called on w when the batch is on disk; never before this returns. */
void persist_wait(struct worker *w, uint64_t batch, void (*done)(void *arg), void *arg);
/* Something was appended on this worker, to this batch. */
void persist_touched(struct worker *w, uint64_t batch);
/* The store takes nothing new: its disk or its bound is full. */
bool persist_full(const struct broker *b);
/* A publisher of retained messages that nobody acknowledges is faster than the disk: it is not read from until the store has
 * caught up. */
void persist_slow_down(struct client *c);
/* It is not read from until the store takes new things again: for a packet that cannot be refused. */
void persist_wait_for_room(struct client *c);
/* The workers' threads have ended and clients have gone: writes all that there is, ends the store's thread; what still waits is
 * freed, nobody is told. */
void persist_settle(struct broker *b);

/* ---- sessions ---- */

/* CONNECT was taken: s has its settings, its will and its client. */
uint64_t persist_connected(struct session *s);
/* What the client is told waits for the batch; its stream is held meanwhile, so that all else it is told comes after it. Before the
 * CONNACK is put into the stream. */
void persist_hold(struct session *s, uint64_t batch);
void persist_offline(struct session *s); /* its connection has gone */
void persist_session_end(struct session *s);
void persist_will_gone(struct session *s); /* published, or not to be */
void persist_discard(struct session *s);   /* memory only */

/* New or with other options. */
uint64_t persist_subscribed(struct session *s, const struct sub_record *sub);
uint64_t persist_unsubscribed(struct session *s, struct sl_slice filter); /* with $share, if it has that */

/* ---- delayed messages (delayed.h), of QoS 1 and 2 ---- */

/* Keeps it until it has been published; *id is what it is kept under. Gives 0 when it is not to be kept. */
uint64_t persist_delayed(struct worker *w, const struct msg *m, uint64_t *id);
void persist_delayed_gone(struct worker *w, const struct msg *m, uint64_t id);

/* ---- numbers ---- */

void persist_metrics(const struct broker *b, struct sl_metrics *total); /* @thread any */

#endif
