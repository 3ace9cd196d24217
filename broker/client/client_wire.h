/* client_wire.h: what a client command speaks through: a socket, TLS on it, WebSocket on either. Reads and writes like recv(2) and
 * send(2).
 *
 *     struct client_wire w = CLIENT_WIRE_INIT;
 *     client_wire_open(&w, &(struct client_target){.host = "broker.example", .port = 8883}, tls, 5000, &err)     tls: NULL for none
 *     client_wire_send(&w, bytes, n)     client_wire_wait(&w, POLLIN, 100)     client_wire_recv(&w, to, n)
 *     client_wire_close(&w)
 *
 * Errors of the options are told in the words of the command line.
 * Lifetime: settings are borrowed by connections. Thread: one at a time. open and wait block within their time. */
#ifndef SL_CLIENT_WIRE_H
#define SL_CLIENT_WIRE_H

#include <sys/types.h>

#include "err.h"

struct ssl_st;

/* As the command line has them. All zero: no TLS. */
struct client_tls_options {
	bool on;            /* --tls; any of the others turns it on as well */
	const char *cafile; /* NULL: the system's authorities */
	const char *cert, *key;
	bool insecure; /* the server may be anybody */
	int version;   /* index into client_tls_versions; 0: the best that both know */
	const char *alpn;
	const char *psk, *psk_identity; /* hexadecimal; both or none */
};
extern const char *const client_tls_versions[];

struct client_tls;
/* *out is NULL when nothing asks for TLS. SL_EINVAL and the like say which option is wrong. */
int client_tls_new(const struct client_tls_options *o, struct client_tls **out, struct sl_err *err);
void client_tls_free(struct client_tls *tls); /* NULL is fine */

/* Where the broker is. Texts are borrowed. */
struct client_target {
	const char *host;
	uint16_t port;
	const char *ws_path;   /* NULL: no WebSocket */
	const char *unix_path; /* instead of host and port; NULL: TCP */
};
char *client_target_text(const struct client_target *t) sl_warn_unused; /* "host:1883", "/run/s.sock"; sl_free() */

struct client_ws;

struct client_wire {
	int fd; /* -1: closed */
	struct ssl_st *ssl;
	struct client_ws *ws;
};
#define CLIENT_WIRE_INIT                                                                                               \
	{ .fd = -1 }

int client_wire_open(struct client_wire *w, const struct client_target *t, struct client_tls *tls, int timeout_ms,
		     struct sl_err *err);
void client_wire_close(struct client_wire *w); /* closed is fine */

/* Bytes, 0 for the end, or -1 and errno: EAGAIN when it must be waited for, EPROTO when TLS or WebSocket
 * broke. What send() has not taken has to be offered again as it was. */
ssize_t client_wire_recv(struct client_wire *w, void *to, size_t n);
ssize_t client_wire_send(struct client_wire *w, const void *bytes, size_t n);
/* Waits for events of poll(2); bytes that TLS holds already count as POLLIN. False after timeout_ms. */
bool client_wire_wait(struct client_wire *w, short events, int timeout_ms);
bool client_wire_holds(const struct client_wire *w); /* bytes to read that poll(2) does not know of */

#endif
