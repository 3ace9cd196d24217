/* bind_state.h: a listener of the broker, all workers together: its settings, and what it counts. Same folder only.
 *
 *     accepted --> room? --> from a proxy? wait for its header --> client_accept()
 *
 * Lifetime: with the broker. Thread: settings are constant; the rest is atomic or has its lock. */
#ifndef BIND_STATE_H
#define BIND_STATE_H

#include "broker.h"
#include "listener_gate.h"
#include "transport.h"

struct client;
struct worker;

struct bind_state {
	char *name, *host; /* host: a unix socket's file */
	uint16_t port;
	bool is_unix;
	unsigned mode;
	const struct transport *transport;
	struct transport_opts opts; /* with copies of their own */
	bool proxy_protocol;
	struct sl_cidr *proxy_from;
	size_t proxy_from_len;
	struct broker_bind_limits limits; /* what is the same as everywhere, filled in */
	uint32_t connect_max;             /* of a CONNECT, beside the client id */
	struct listener_gate gate;
	_Atomic uint32_t connections;
};

/* Which of a listener's sockets this is: what the accept callback gets. */
struct worker_accept {
	struct worker *w;
	struct bind_state *bind;
};

void bind_init(struct bind_state *bind, const struct broker_bind *from, const struct broker_settings *set);
void bind_fini(struct bind_state *bind);
int bind_listen_all(struct broker *b, struct sl_err *err);
static inline void bind_left(struct bind_state *bind) {
	atomic_fetch_sub_explicit(&bind->connections, 1, memory_order_relaxed);
}

#endif
