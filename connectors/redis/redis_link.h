/* redis_link.h: one connection to one Redis server: dialled, through TLS, logged in, its database chosen; then requests in a row and
 * their replies in the same order. Whatever speaks to Redis (the action, sentinels, a cluster's nodes, a source) does it over links.
 *
 *     redis_link_init(&l, &dock, &events);
 *     redis_link_open(&l, &(struct redis_link_setup){.host = "10.0.0.1", .port = 6379, .login = &login, ...});
 *     on_ready: redis_put(redis_link_out(&l), "XLEN", "s", NULL);
 *               redis_link_push(&l, &request, 1);
 *     request.on_reply(&request, reply) comes once for each reply; after the last one the request is the owner's again.
 *
 * When the connection is lost, or is closed by redis_link_fail(), every request gets on_lost(), in order, and then events.on_down()
 * comes. All of it may be called from inside of a callback; the link may be opened again at once. A reply that is no answer to
 * anything, or no RESP, ends the connection.
 * The link has a time limit for coming up, none for replies: whoever sends has a deadline, and calls redis_link_fail().
 *
 * Lifetime: the owner embeds link and requests; strings of the setup must live as long as the link is open. Sockets outlive the
 * link for a moment, so they are counted in the dock, which the owner keeps until `empty` was called.
 * Thread: the loop's own. Never blocks. No text holds a password. */
#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include "redis_conf.h"
#include "redis_resp.h"
#include "stream_dial.h"
#include "stream_tls.h"

struct redis_link;
struct redis_wire;

/* What all links of one owner share. */
struct redis_dock {
	struct sl_loop *loop;
	uint32_t wires;                         /* sockets that are not closed yet */
	void (*empty)(struct redis_dock *dock); /* the last one is; may be NULL */
	uint64_t bytes_in, bytes_out;
};

struct redis_request {
	struct sl_list link;
	uint32_t replies; /* how many are still to come */
	void (*on_reply)(struct redis_request *q, const struct redis_reply *reply);
	/* In no list any more. SL_ELIMIT: its own reply is too deep to be read (redis_resp.h). */
	void (*on_lost)(struct redis_request *q, int status, const char *text);
};

struct redis_link_events {
	void (*on_ready)(struct redis_link *l);
	/* Not called for what redis_link_close() ends. text is gone after the call. */
	void (*on_down)(struct redis_link *l, int status, const char *text);
};

struct redis_link_setup {
	const char *host;
	uint16_t port;
	const struct redis_login *login; /* NULL: none */
	uint32_t database;
	const char *client_name;           /* NULL: none */
	struct tls_client *tls;            /* NULL: none */
	bool wants_master;                 /* a replica is not what we look for: ROLE is asked, where we may */
	bool of_sentinel;                  /* advice names its options */
	uint64_t timeout_ms;               /* until it is ready */
	const struct redis_limits *limits; /* NULL: redis_limits_small */
};

enum redis_link_state { REDIS_LINK_CLOSED, REDIS_LINK_OPENING, REDIS_LINK_READY };

struct redis_link {
	struct redis_dock *dock;
	const struct redis_link_events *events;
	enum redis_link_state state;
	struct redis_link_setup setup;
	struct sl_dial *dial;
	struct redis_wire *wire;
	struct sl_timer timer; /* while it comes up */
	struct sl_list requests;
	int64_t replicas; /* wants_master: how many are attached to the server; -1: it was not told */
	uint8_t greeting[5], greetings, greeted; /* which replies of the greeting are expected, and how many came */
};

void redis_link_init(struct redis_link *l, struct redis_dock *dock, const struct redis_link_events *events);
void redis_link_open(struct redis_link *l, const struct redis_link_setup *setup); /* it is closed */

/* Ready only. The request is put behind what was appended to `out` before: append, then push. */
struct sl_buf *redis_link_out(struct redis_link *l);
void redis_link_push(struct redis_link *l, struct redis_request *q, uint32_t replies);

/* Ends the connection: requests get on_lost(), then on_down() comes; nothing happens when it is closed. */
void redis_link_fail(struct redis_link *l, int status, const char *text);
/* The same without on_down(); text is for on_lost(). */
void redis_link_close(struct redis_link *l, const char *text);

/* How many replicas a master has, by its answer to ROLE; -1: it does not say. */
int64_t redis_role_replicas(const struct redis_reply *reply);

/* "TLSv1.3, TLS_AES_256_GCM_SHA384", appended; nothing without TLS. */
void redis_link_tls(const struct redis_link *l, struct sl_buf *out);

#endif
