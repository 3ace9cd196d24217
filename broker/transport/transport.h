/* transport.h: what stands between a socket and MQTT: for each type of listener, how big a stack of streams a connection has, and
 * how it is put on an accepted socket (stream.h, "Layers").
 *
 *     struct client *c = sl_zalloc(sizeof *c + t->stack_bytes);         one allocation, whatever the transport
 *     t->open(client_stream(c), loop, fd, &events, &bind->opts, ...);   from now on a stream like any other
 *
 * What has to be known before the first layer (who connected, when the PROXY protocol tells) is peeled off the bare descriptor, before
 * open() is called.
 * Lifetime: the table is the program's; struct transport_opts and what it names outlives the connections.
 * Thread: open() with the loop's baton. Never blocks. */
#ifndef TRANSPORT_H
#define TRANSPORT_H

#include "err.h"
#include "stream.h"

enum transport_kind { TRANSPORT_TCP, TRANSPORT_TLS, TRANSPORT_WS, TRANSPORT_WSS, TRANSPORT_UNIX, TRANSPORT_KINDS };

struct tls_server;

/* Of a listener; each transport reads what it needs. */
struct transport_opts {
	struct tls_server *tls;     /* tls, wss */
	const char *path;           /* ws, wss */
	const char *const *origins; /* ws, wss; NULL-terminated, NULL: all */
};

struct transport {
	const char *name;   /* the listener's `type` */
	size_t stack_bytes; /* memory of a stack, as aligned as a pointer */
	/* Puts the stack into `top`, stack_bytes of zeros. SL_OK: the descriptor is the stack's, and the events come; else it is
	 * still the caller's, and err says why. The counters count what is on the wire, and are never NULL. */
	int (*open)(struct sl_stream *top, struct sl_loop *l, int fd, const struct sl_stream_events *events,
		    const struct transport_opts *opts, uint64_t *bytes_in, uint64_t *bytes_out, struct sl_err *err);
};

const struct transport *transport_of(enum transport_kind kind); /* never NULL */

#endif
