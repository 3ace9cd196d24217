/* stream_tls.h: a stream that speaks TLS over a TCP stream: from above it is a stream like any other (stream.h).
 *
 *     sl_stream_tls_connect(&c->tls, loop, &(struct sl_stream_tls_setup){
 *         .fd = fd, .events = &events, .bytes_in = &in, .bytes_out = &out}, client, "db.example", &err);
 *     sl_buf_append_str(sl_stream_out(&c->tls.s), "PING\r\n");    may be written at once: it leaves after the handshake
 *
 * What is written before the handshake is done waits in the output buffer. on_ready() tells that it is done, for who wants to
 * know; then on_read(), on_drain(), on_closed() as for TCP. When the handshake fails, or the server refuses our certificate
 * later (TLS 1.3 says so only after the handshake), on_closed() comes with SL_EPROTOCOL, or SL_EDENIED when one side does not
 * trust the other, and sl_stream_tls_error() is a sentence for humans until on_closed() returns. There is no time limit here:
 * whoever opens the stream has a deadline and closes it.
 *
 * Memory is bounded: at most STREAM_TLS_AHEAD encrypted bytes wait for the socket, the rest waits as it is in the owner's
 * output buffer, which the owner watches (sl_stream_pending). A peer that makes us answer and does not read is dropped.
 * A paused stream reads nothing.
 *
 * The same layer serves both sides: sl_stream_tls_accept() takes a listener's settings (tls_server.h).
 * Lifetime: the owner embeds the struct, and may free it from on_closed() on. Thread: the loop's baton. Never blocks. */
#ifndef SL_STREAM_TLS_H
#define SL_STREAM_TLS_H

#include "stream.h"
#include "tls_client.h"
#include "tls_peer.h"
#include "tls_server.h"

struct ssl_st;

enum { STREAM_TLS_AHEAD = 64 * 1024 };

struct sl_stream_tls_setup {
	int fd; /* connected; the stream's when the call succeeds */
	const struct sl_stream_events *events;
	uint64_t *bytes_in, *bytes_out; /* counters of what is on the wire, never NULL */
};

struct sl_stream_tls {
	struct sl_stream s; /* what the owner reads and writes */
	/* The rest belongs to stream_tls.c. */
	struct ssl_st *ssl;
	struct tls_client *client;     /* NULL on the server's side, */
	struct tls_server_conn server; /* which has this */
	struct sl_slice cipher;        /* what the peer sent and OpenSSL has not taken yet; only inside of a read */
	char *host;                    /* as dialled, for error texts; NULL on the server's side */
	char *error;
	struct tls_peer *peer;    /* once somebody has asked */
	bool ready;               /* the handshake is done */
	bool ended;               /* the stream below is finished */
	bool flood;               /* the peer makes us answer and does not read */
	struct sl_stream_tcp tcp; /* below, and last */
};

/* `host` is the name or address that was dialled, for SNI and for the check of the certificate, unless the settings have a
 * server_name. SL_OK, or SL_ESYSTEM / SL_EINVAL (the fd is still the caller's then). The handshake begins at once. */
int sl_stream_tls_connect(struct sl_stream_tls *t, struct sl_loop *l, const struct sl_stream_tls_setup *setup,
			  struct tls_client *client, const char *host, struct sl_err *err);
/* The server's side of it. */
int sl_stream_tls_accept(struct sl_stream_tls *t, struct sl_loop *l, const struct sl_stream_tls_setup *setup,
			 struct tls_server *server, struct sl_err *err);

/* The TLS layer in a stack; NULL when it has none. */
struct sl_stream_tls *sl_stream_tls_in(struct sl_stream *top);

/* Who is at the other end; NULL when it has shown nothing that was checked, or the handshake is not done. Valid until the top's
 * on_closed() returns; there only what was asked for before is told. */
const struct tls_peer *sl_stream_tls_peer(struct sl_stream_tls *t);

/* Why the connection failed, in words; NULL when TLS has nothing to say. Valid until the top's on_closed() returns. */
const char *sl_stream_tls_error(const struct sl_stream_tls *t);

/* After the handshake: an earlier session was taken up. */
bool sl_stream_tls_resumed(const struct sl_stream_tls *t);

/* "TLSv1.3, TLS_AES_256_GCM_SHA384", for who describes a connection; "" before the handshake is done. */
void sl_stream_tls_describe(const struct sl_stream_tls *t, struct sl_buf *out);

#endif
