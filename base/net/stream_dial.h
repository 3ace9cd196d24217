/* stream_dial.h: from "host:port" to a connected socket, without blocking.
 *
 *     sl_dial_start(loop, "db.example", 5432, 5000, on_dialled, c, &c->dial);
 *     ...
 *     static void on_dialled(void *arg, int fd, const struct sl_err *err);     fd -1: err says host, port and reason
 *
 * A name is looked up on libuv's thread pool; numeric addresses need no lookup. Every address of a name is tried in its order;
 * each gets its share of the time that is left, so that one silent address does not keep the others from their turn. A host
 * that begins with `/` is the path of a unix socket (the port is ignored). An address that outbound.h does not allow is not tried. TCP sockets get keep-alive probes, so that a peer
 * that vanished silently is noticed within a minute even when nothing is sent.
 *
 * Lifetime: the dial is on the heap, and gone when `done` is called; done is called exactly once, never from inside
 * sl_dial_start(). sl_dial_cancel() at any time before: done is not called then.
 * Thread: the loop's own (not a visitor: libuv is used). Never blocks. */
#ifndef SL_STREAM_DIAL_H
#define SL_STREAM_DIAL_H

#include "err.h"
#include "loop.h"
#include "slice.h"

struct sl_dial;

/* fd: connected, non-blocking, the receiver's; or -1 with err: SL_ENOTFOUND (no such host), SL_EIO (no connection) or
 * SL_EDENIED (no address of it is allowed). */
typedef void (*sl_dial_fn)(void *arg, int fd, const struct sl_err *err);

/* host is copied. timeout_ms is for all of it: lookup and connecting. */
void sl_dial_start(struct sl_loop *l, const char *host, uint16_t port, uint64_t timeout_ms, sl_dial_fn done, void *arg,
		   struct sl_dial **out);
void sl_dial_cancel(struct sl_dial *d); /* NULL is fine */

/* "db.example:5432", "db.example" (with default_port), "[::1]:5432", "[::1]", "::1", "/run/db.sock": host points into text,
 * without brackets. default_port 0: a port must be there. SL_EINVAL with what is expected. */
int sl_dial_parse(struct sl_slice text, uint16_t default_port, struct sl_slice *host, uint16_t *port,
		  struct sl_err *err);

#endif
