/* broker.h: the broker as one object: workers, listeners, sessions, routing. What the program starts and stops.
 *
 *     broker_new(&settings, ...)       loops exist, nothing runs
 *     broker_set_rules(b, i, rw)       one rules_worker for each worker, made for broker_loop(b, i)
 *     broker_set_auth(b, auth)         may be called again at any time (reload)
 *     broker_bind(b, ...)              takes the listeners' addresses; nobody can connect yet. The first thing to do at a start: where another
 *                                      process has one of them, nothing else may have been touched
 *     broker_restore(b, ...)           what was kept of the run before is there again; takes the folder: one broker to it
 *     broker_start(b, ...)             listens, starts the threads
 *     ...
 *     broker_drain(b, timeout_ms)      no new connections; clients are told and closed; loops still run
 *     broker_stop(b)                   ends and joins the threads
 *     broker_free(b)                   (free the rules_workers before: they belong to whoever made them)
 *
 * A worker is a loop on its own thread with everything on it that belongs to its sessions (worker.h). There is no lock on
 * the way of a message; what workers have to tell each other goes by letters and visits (loop.h). One structure is
 * shared, behind a mutex: retained messages (retained.h).
 *
 * Lifetime: settings are copied. Thread: the main thread, unless said otherwise. broker_drain and broker_stop block. */
#ifndef BROKER_H
#define BROKER_H

#include "auth.h"
#include "err.h"
#include "listen_at.h"
#include "loop.h"
#include "metrics.h"
#include "outbound.h"
#include "rate.h"
#include "rules_host.h"
#include "rewrite.h"
#include "share_choose.h"
#include "transport.h"

struct acl;
struct guard_rules;
struct broker;
struct rules_worker;

enum { BROKER_WORKERS_MAX = 64 };

/* What every client is subscribed to when it connects; a topic_template. */
struct broker_auto_subscribe {
	const char *topic;
	uint8_t qos, retain_handling;
	bool no_local, retain_as_published;
};

/* What is dropped when nobody can be held back. */
enum broker_queue_full { BROKER_QUEUE_DROP_NEW, BROKER_QUEUE_DROP_OLDEST };

/* Groups with a strategy of their own: by name, or by how the name begins when the pattern ends in "*". The first that fits. */
struct broker_share_group {
	const char *pattern;
	enum broker_share how;
};

/* Versions of MQTT, as bits. */
enum { BROKER_SPEAKS_31 = 1, BROKER_SPEAKS_311 = 2, BROKER_SPEAKS_5 = 4, BROKER_SPEAKS_ALL = 7 };

/* What a listener bears. A rate of 0 is no limit. */
struct broker_bind_limits {
	uint32_t max_connections; /* UINT32_MAX: no limit */
	struct sl_rate connects;  /* of all clients; above it, who comes waits */
	struct sl_rate messages;  /* that one client publishes; above it, it is not read from for a while */
	struct sl_rate bytes;     /* that one client sends; the same */
	uint32_t max_packet_size; /* 0: as everywhere */
	uint16_t client_id_max;   /* 0: as everywhere */
	uint8_t versions;         /* BROKER_SPEAKS_...; 0: all */
	uint8_t anonymous;        /* enum auth_anonymous */
};

struct broker_bind {
	const char *name, *host; /* host "" or "*": all addresses; of a unix socket its path */
	uint16_t port;           /* 0: the kernel chooses, see broker_port() */
	unsigned mode;           /* permissions of a unix socket */
	bool proxy_protocol;     /* required from everybody who comes from these networks; others are turned away, */
	const struct sl_cidr *proxy_from;
	size_t proxy_from_len; /* unless there are none */
	struct broker_bind_limits limits;
	enum transport_kind transport;
	struct transport_opts opts; /* path and origins are copied, of tls a reference taken */
};

/* See persist.h. Zeroed: all is in memory only. */
struct broker_persistence {
	bool enabled;
	bool sync;              /* what is acknowledged survives a power cut, too */
	const char *dir;        /* copied; made with its parents when it is not there */
	uint64_t segment_bytes; /* of the queue log, */
	uint64_t disk_max;      /* and its bound; UINT64_MAX: none */
	uint64_t store_max;     /* sessions, subscriptions, wills, retained messages */
};

struct broker_settings {
	uint32_t workers; /* 0: one per core */
	const struct broker_bind *binds;
	size_t binds_len;
	uint32_t max_packet_size;
	uint16_t max_inflight;         /* QoS 1 and 2 messages under way to a client */
	uint16_t receive_maximum;      /* and from a client */
	uint32_t max_queued;           /* messages waiting for a session */
	uint64_t max_queued_bytes;     /* and their bytes; also the most that waits in a connection's output */
	uint32_t session_expiry_max_s; /* UINT32_MAX: none */
	uint16_t keepalive_max_s;      /* 0: as the client asks */
	uint32_t connect_timeout_ms;   /* from accept to a good CONNECT */
	uint32_t connect_packet_max;   /* bytes of a CONNECT beside its client id */
	uint32_t stall_timeout_ms;     /* how long a full subscriber that makes no progress may hold publishers back */
	uint16_t topic_alias_max;      /* aliases that a client may set, and the most that we set */
	const char *response_info;     /* Response Information, with ${clientid}; NULL: none */
	uint16_t topic_levels_max;
	uint16_t client_id_max;
	uint32_t max_subscriptions; /* of one session */
	uint8_t max_qos;
	bool retain;
	uint64_t max_retained;
	enum broker_share share;
	enum broker_queue_full queue_full;
	bool queue_qos0;                         /* for clients that are away */
	uint32_t sys_interval_ms;                /* of $SYS topics; 0: none */
	const char *version;                     /* a literal */
	uint64_t max_delayed, max_delayed_bytes; /* messages to be published later */
	const struct broker_rewrite *rewrite;    /* compiled by broker_new() */
	size_t rewrite_len;
	const struct broker_auto_subscribe *auto_subscribe;
	size_t auto_subscribe_len;
	const struct broker_share_group *share_groups;
	size_t share_groups_len;
	struct broker_persistence persistence;
};

void broker_settings_default(struct broker_settings *s); /* all but the listeners */

int broker_new(const struct broker_settings *settings, struct broker **out, struct sl_err *err);
void broker_free(struct broker *b);

uint32_t broker_workers(const struct broker *b);
struct sl_loop *const *broker_loops(const struct broker *b); /* broker_workers() of them, for sl_loops_park() */
struct sl_loop *broker_loop(const struct broker *b, uint32_t worker);

/* The counters of a worker: its loop's alone to add to; add them up while the loops are parked (sl_metrics_sum). */
struct sl_metrics *broker_metrics(struct broker *b, uint32_t worker);
/* Adds those that no worker has. @thread any */
void broker_metrics_add(const struct broker *b, struct sl_metrics *total);

/* What rules_new() wants to be given: publishes go through broker_publish(). */
struct rules_host broker_rules_host(struct broker *b);
/* Parked: clients of this worker that are read from, and have had no acknowledgement for a second though they wait for one. */
uint64_t broker_publishers_stuck(const struct broker *b, uint32_t worker);
void broker_set_rules(struct broker *b, uint32_t worker, struct rules_worker *rw); /* before start; borrowed */
void broker_set_auth(struct broker *b,
		     struct auth *auth); /* takes a reference of its own; NULL: everybody may connect */

/* The ban list and the limits around CONNECT, for those who come from now on; who is connected is judged by it with the
 * next broker_set_acl(). Takes a reference of its own. */
void broker_set_guard(struct broker *b, struct guard_rules *rules);
/* Other access rules, for those who are connected, too; takes a reference of its own. NULL: none, all is allowed. */
void broker_set_acl(struct broker *b, struct acl *acl);

/* Two binds on one address are not refused here: who made the settings knows where they stand (broker_at). */
int broker_bind(struct broker *b, struct sl_err *err);
int broker_restore(struct broker *b, struct sl_err *err);
int broker_start(struct broker *b, struct sl_err *err);
uint16_t broker_port(const struct broker *b, size_t bind); /* after bind */
/* Appends what there is to say of each listener. @thread any */
void broker_prometheus(struct broker *b, struct sl_buf *out);
/* After bind: where a socket stands. */
struct sl_listen_at broker_at(const struct broker *b, size_t bind);

/* Other listeners, while the broker runs. First their sockets, where nobody of this broker has the address yet: listening, but
 * nobody is let in. SL_OK, or an error and *at is the bind that has it; nothing has changed then. */
struct broker_binds;
int broker_binds_prepare(struct broker *b, const struct broker_bind *want, size_t n, struct broker_binds **out,
			 size_t *at, struct sl_err *err);
bool broker_binds_opens(const struct broker_binds *next, size_t bind); /* a socket for it is new */
struct sl_listen_at broker_binds_at(const struct broker_binds *next, size_t bind);
/* Then the change, all at once, with the workers parked; either of the two frees `next`. Sockets that nobody wants any more are
 * closed; who is connected stays, with the settings that were in force when they came. */
void broker_binds_commit(struct broker_binds *next);
void broker_binds_discard(struct broker_binds *next); /* NULL is fine */

void broker_drain(struct broker *b, uint32_t timeout_ms);
void broker_drain_hurry(struct broker *b); /* broker_drain(), running or to come, does not wait. @thread any */
void broker_stop(struct broker *b);

/* Publishes as the broker itself, on a worker's thread: to rules, subscribers and the retained store. */
int broker_publish(struct broker *b, uint32_t worker, const struct rules_publish *m);

#endif
