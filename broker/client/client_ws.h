/* client_ws.h: WebSocket for client commands, between client_wire.c and what is below (a socket, or TLS): pieces of it are read and
 * written by two functions that work like recv(2) and send(2).
 * Same folder only. Lifetime: client_ws_new() to client_ws_free(). Thread: one at a time. Blocks in client_ws_open() only. */
#ifndef SL_CLIENT_WS_H
#define SL_CLIENT_WS_H

#include <sys/types.h>

#include "err.h"

struct client_ws;
struct client_wire;

/* What is below. */
struct client_ws_below {
	ssize_t (*recv)(struct client_wire *w, void *to, size_t n);
	ssize_t (*send)(struct client_wire *w, const void *bytes, size_t n);
	bool (*wait)(struct client_wire *w, short events, int timeout_ms);
};

/* The handshake; at most timeout_ms. */
int client_ws_open(struct client_wire *w, const struct client_ws_below *below, const char *host_port, const char *path,
		   int timeout_ms, struct client_ws **out, struct sl_err *err);
void client_ws_close(struct client_ws *ws); /* says goodbye; NULL is fine */

/* Like recv(2) and send(2). What send() has not taken has to be offered again, as it was, for a part of it may be under way. */
ssize_t client_ws_recv(struct client_ws *ws, void *to, size_t n);
ssize_t client_ws_send(struct client_ws *ws, const void *bytes, size_t n);
bool client_ws_holds(const struct client_ws *ws); /* bytes that are here already */

#endif
