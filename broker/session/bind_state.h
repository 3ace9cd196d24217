/* bind_state.h: a listener of the broker, all workers together, in three parts, for a reload changes one and leaves the others:
 *
 *     bind_place   the sockets, one a worker. They stay as long as somebody wants the address
 *     bind_state   the settings, as they were when a connection came. They never change: other settings are another one, and
 *                  this one goes with the last of its connections
 *     bind_door    what is counted under a name, through all settings; it stays as long as somebody is connected
 *
 *     accepted --> room? --> from a proxy? wait for its header --> client_accept()
 *
 * Same folder only. Thread: settings are constant; counters are atomic or have a lock; the rest see struct broker. */
#ifndef BIND_STATE_H
#define BIND_STATE_H

#include "broker.h"
#include "listener_gate.h"
#include "transport.h"

struct client;
struct worker;

struct bind_door {
	char *name;
	struct listener_gate gate;
	_Atomic uint32_t connections;
	bool in_force;
};

struct bind_place {
	char *host;           /* a unix socket's file */
	uint16_t asked, port; /* what the settings say, and what it is: 0 is the kernel's choice */
	bool is_unix;
	unsigned mode;
	struct listener **listeners; /* one for each worker */
};

/* Which of a listener's sockets this is: what the accept callback gets. */
struct worker_accept {
	struct worker *w;
	struct bind_state *bind;
};

struct bind_state {
	_Atomic uint32_t refs; /* one of the broker's, while it is in force, and one of each connection */
	char *name;
	struct bind_door *door;        /* the broker's */
	struct bind_place *place;      /* NULL: not in force. Who is in force owns it */
	struct worker_accept *accepts; /* one for each worker */
	const struct transport *transport;
	struct transport_opts opts; /* with copies of their own */
	bool proxy_protocol;
	struct sl_cidr *proxy_from;
	size_t proxy_from_len;
	struct broker_bind_limits limits; /* what is the same as everywhere, filled in */
	uint32_t connect_max;             /* of a CONNECT, beside the client id */
};

struct bind_state *bind_new(struct broker *b, const struct broker_bind *from) sl_warn_unused;
void bind_unref(struct bind_state *bind); /* @thread any */
/* A connection has ended; it had a reference. */
void bind_left(struct bind_state *bind);

struct bind_place *bind_place_new(const struct broker *b, const struct broker_bind *from) sl_warn_unused;
/* The sockets of all workers; shares: see listener_opts. */
int bind_place_open(struct broker *b, struct bind_state *bind, bool shares, struct sl_err *err);
int bind_place_listen(const struct broker *b, struct bind_state *bind, struct sl_err *err);
int bind_place_begin(const struct broker *b, struct bind_state *bind, struct sl_err *err);
void bind_place_free(const struct broker *b, struct bind_place *place); /* NULL is fine; see listener_free() */
int bind_listen_all(struct broker *b, struct sl_err *err);

void bind_door_free(struct bind_door *door);

#endif
