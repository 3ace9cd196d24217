/* persist.h: what of the broker's state outlives the process.
 *
 * A session is *persistent* while its expiry is above 0 and settings.persistence is enabled. Such a session has a store_id: a
 * number for ever, which no other session gets, in this run of the broker or a later one. All that is kept about the session on
 * disk is kept under it. 0: not persistent, nothing of it is on disk.
 *
 * At a start the sessions are there again before anything else (broker_restore): no thread runs yet, so all workers are the
 * caller's. Whoever keeps more of a session under its store_id puts it back then, with persist_session(). A session's worker is
 * not the one that it had in the run before: hashes have another seed, and the number of workers may have changed.
 *
 * Thread: a session's home worker, unless said otherwise. */
#ifndef PERSIST_H
#define PERSIST_H

#include "session.h"

struct persist;

int persist_open(struct broker *b, struct sl_err *err); /* before threads start */
void persist_close(struct broker *b);                   /* after they have ended */

/* The session that is kept under this number; NULL: it has ended. Between the restore and the start only. @thread main */
struct session *persist_session(const struct broker *b, uint64_t store_id);
void persist_restored(struct broker *b); /* the names are not asked for any more */

/* Who wants to know when a session ends for good, or is persistent no longer: nothing that is kept under its store_id will be
 * asked for again. Called on its worker, with store_id and all else still there. Set before the start. */
typedef void (*persist_ended_cb)(struct session *s);
void persist_on_ended(struct broker *b, persist_ended_cb ended);

/* The session's settings have changed, or may have: CONNECT, DISCONNECT. */
void persist_session_set(struct session *s);
/* It ends. */
void persist_session_end(struct session *s);

#endif
