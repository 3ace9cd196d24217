/* worker.h: one worker: a loop, and all that lives on it.
 *
 * A session lives for life on the worker that the hash of its client id names (its *home*), whoever accepted the
 * connection. So sessions, their queues, the trie of their subscriptions and the timers around them are touched by
 * the holder of one baton only (loop.h).
 *
 * Each worker's trie also knows what other workers' sessions want: filters with the numbers of the workers that have a
 * subscriber for them. A message that is published here goes once to each interested worker, which finds its
 * subscribers in its own trie.
 *
 *     publish on W1 --route--> sessions of W1
 *                        |
 *                        +--workers {W2, W5}--> box for W2 --end of tick--> sessions of W2
 *
 * A session is named to other workers by a number (session_ref): worker, place in the table, generation; such a name may
 * be kept as long as one likes and simply stops to lead anywhere when the session has ended.
 *
 * Lifetime: with the broker. Thread: the loop's baton. */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>

#include "bind_state.h"
#include "broker.h"
#include "delayed.h"
#include "list.h"
#include "msg.h"
#include "retained.h"
#include "session_map.h"
#include "share_notes.h"
#include "stream.h"
#include "ticket.h"
#include "topic_cache.h"
#include "topic_trie.h"
#include "transport.h"

struct client;
struct persist;
struct session;
struct rewriter;
struct share_group;
struct shares;
struct sys_topics;
struct worker;
struct worker_log;
struct queue_former;

typedef uint64_t session_ref; /* 0 is nobody */

/* A message on its way to another worker. */
struct forward {
	struct msg *m;      /* a strong reference; NULL: word from a shared group to a member (shared_sub.h) */
	session_ref source; /* who published, to be held back when a queue is full; 0: nobody */
	/* With a shared subscription the member is chosen already: */
	session_ref member;      /* 0: whoever subscribed there */
	uint64_t group;          /* number of the group, to choose again when the member has gone */
	struct share_name *name; /* of the group, a reference; NULL: it is not known */
	uint64_t seq;            /* its number in the log of the sender; 0: it is not there */
	uint64_t after;          /* it leaves when that log has passed this */
	uint32_t sub_id;         /* 0: none */
	uint8_t qos;             /* granted to the member */
	uint8_t tries;           /* members tried before */
	bool retain_as_published;
	bool counted; /* in the member's load */
};

struct forward_box {
	struct forward *v;
	size_t len, cap;
};

struct worker_slot {
	struct session *s; /* NULL: free, next_free leads on */
	uint32_t generation, next_free;
};

struct worker {
	struct broker *b;
	struct sl_loop *loop;
	uint32_t index;
	struct rules_worker *rules; /* NULL: none */
	struct acl *acl;            /* NULL: no access rules */
	struct auth *auth;
	struct sl_ticket
	    *ticket; /* of the publish that the rules look at right now: what they republish waits with it */

	struct topic_trie *subs;    /* values: see subs.h */
	struct topic_cache *routes; /* topic -> struct route */
	struct router *router;      /* route.c's own */
	struct delayed *delayed;
	struct sys_topics *sys;    /* worker 0 only */
	struct rewriter *rewriter; /* NULL: no topic is written anew */
	struct shares *shares;     /* groups that this worker decides for */

	struct session_map sessions; /* by client id */
	struct worker_slot *slots;   /* by session_ref */
	uint32_t slots_len, slots_cap, slots_free;

	struct forward_box *boxes; /* one for each worker */
	uint32_t boxes_full;       /* how many hold something */
	struct sl_deferred nudge;  /* a visitor left something in the boxes */

	struct sl_list clients;       /* all connections, */
	struct sl_list proxied;       /* but for those whose proxy has not said yet who they are */
	struct sl_list congested;     /* sessions with a full queue */
	struct sl_list replays;       /* sessions with retained messages still to be sent */
	struct sl_list subscribing;   /* SUBSCRIBEs and UNSUBSCRIBEs of which filters are left */
	struct sl_list ending;        /* sessions of which subscriptions are left, */
	size_t ending_subs;           /* and so many */
	struct sl_list unacked;       /* clients that wait for acknowledgements, who does so longest first */
	struct sl_list no_room;       /* connections whose rows have filled their memory, */
	struct sl_list refused;       /* and those whose next one was not taken, or not read: their turn is first */
	struct sl_timer moment_timer; /* some of them are not read from, for a moment */
	struct sl_hook flush_hook;
	struct sl_timer congested_timer, replay_timer, ending_timer, subscribing_timer, sweep_timer;
	struct sl_timer access_timer; /* after other access rules came: sessions are judged again, */
	uint32_t access_at;           /* from this place of `slots` on */
	struct sl_list spare_acks;  /* of struct client_entry, for publishes that may have to wait (client_publish.c) */
	struct sl_list orphan_acks; /* that wait, though their clients have gone */
	uint32_t spare_acks_n;
	struct worker_log *log; /* NULL: nothing outlives the process */
	_Atomic bool lasting;   /* it has, or had, a session that does. @thread any reads */
	uint64_t serials;       /* of connections */
	uint64_t messages;      /* that came in here */
	bool draining;
	struct sl_metrics metrics;
};

struct broker {
	struct broker_settings set; /* binds: see below */
	uint32_t workers_len;
	struct worker *workers; /* array */
	struct sl_loop **loops;
	/* The main thread's, and the workers' to read; it changes them while the workers are parked, with the lock, which
	 * everybody else takes. */
	pthread_mutex_t binds_lock;
	struct bind_state **binds; /* those in force, in the order of the settings */
	size_t binds_len;
	struct bind_door **doors; /* theirs, and those of listeners that are gone and have connections */
	size_t doors_len;
	struct retained *retained;
	struct delayed_total delayed;
	struct {
		_Atomic uint32_t now, most;
	} clients;               /* connected, and the most there have been at a time */
	struct rewrite *rewrite; /* NULL: none */
	struct guard *guard;
	struct persist *persist;     /* NULL: nothing outlives the process */
	bool restoring;              /* no thread runs yet: all workers are the caller's, nothing needs a letter */
	uint64_t home_seed;          /* of worker_home(), this run's */
	struct queue_former *former; /* queue logs of former runs */
	_Atomic uint64_t group_numbers;
	struct auth *auth;
	bool started, stopped;
	struct {
		pthread_mutex_t lock;
		pthread_cond_t done;
		uint32_t left;
		bool hurried;
	} drain;
};

int worker_init(struct worker *w, struct broker *b, uint32_t index, struct sl_loop *loop);
void worker_fini(struct worker *w);

enum broker_share broker_share_of(const struct broker *b, struct sl_slice group);

/* The same of any run: its seed, its number of workers. */
static inline uint32_t worker_home_of(struct sl_slice client_id, uint64_t seed, uint32_t workers) {
	return workers == 1 ? 0 : (uint32_t)(sl_hash_seeded(client_id, seed) % workers);
}
static inline struct worker *worker_home(const struct broker *b, struct sl_slice client_id) {
	return &b->workers[worker_home_of(client_id, b->home_seed, b->workers_len)];
}

void worker_room(struct worker *w, bool all); /* there may be room for rows: connections are read from again */
void worker_client_gone(struct worker *w);    /* broker.c: who drains may wait for the last one */

session_ref worker_ref_new(struct worker *w, struct session *s);
void worker_ref_drop(struct worker *w, session_ref ref);
struct session *worker_session(const struct worker *w, session_ref ref); /* NULL when it has ended */
static inline uint32_t session_ref_worker(session_ref ref) { return (uint32_t)(ref >> 56); }

/* Puts a message in the box for another worker; the reference is the box's. It leaves at the end of the tick. */
void worker_forward(struct worker *w, uint32_t target, const struct forward *f);
/* The same for a member of a shared group; text: "group/filter". */

/* A number that no other message of this process gets. */
static inline uint64_t worker_message_number(struct worker *w) {
	return (uint64_t)(w->index + 1) << 56 | ++w->messages;
}

static inline uint32_t worker_of_message(uint64_t number) { return (uint32_t)(number >> 56) - 1; } /* number: not 0 */

static inline void metric_inc(struct worker *w, enum sl_metric id) { sl_metric_inc(&w->metrics, id); }

static inline void worker_client_in(struct worker *w) {
	metric_inc(w, METRIC_CLIENTS);
	uint32_t now = atomic_fetch_add_explicit(&w->b->clients.now, 1, memory_order_relaxed) + 1;
	uint32_t most = atomic_load_explicit(&w->b->clients.most, memory_order_relaxed);
	while (now > most && !atomic_compare_exchange_weak_explicit(&w->b->clients.most, &most, now,
								    memory_order_relaxed, memory_order_relaxed)) {
	}
}
static inline void worker_client_out(struct worker *w) {
	sl_metric_dec(&w->metrics, METRIC_CLIENTS);
	atomic_fetch_sub_explicit(&w->b->clients.now, 1, memory_order_relaxed);
}

/* A letter to another worker: `run` gets the worker; the memory is the receiver's to free. */
struct worker_letter {
	struct sl_post post;
	struct worker *to, *from;
};
void worker_post(struct worker *to, struct worker_letter *letter);

#endif
