/* stream_ws.h: a stream that speaks WebSocket over another stream: from above it is a stream like any other (stream.h, "Layers").
 *
 *     struct { struct sl_stream_ws ws; struct sl_stream_tcp tcp; } *c;             or sl_stream_tls in place of the latter
 *     sl_stream_ws_serve(&c->ws, loop, &events, &rules);                           first the layer,
 *     sl_stream_tcp_open(&c->tcp, loop, fd, &sl_stream_ws_events, &in, &out);      then what is below it
 *
 * A client calls sl_stream_ws_dial(), opens what is below, and then asks: sl_stream_ws_ask().
 * What is written before the handshake is done waits in the output buffer. Then what a tick has collected leaves in one frame
 * (a large one in several), and what comes in frames is presented as it comes: frames are not seen above, nor pings, which are
 * answered here. A close frame ends the stream as the end of a TCP connection does; closing the stream sends one.
 *
 * on_closed() has SL_EPROTOCOL when the handshake failed or the peer broke the protocol (it was told why), and
 * sl_stream_ws_error() is a sentence then until on_closed() returns. There is no time limit here: the owner has one.
 *
 * Memory is bounded: frames are not collected; about STREAM_WS_AHEAD bytes wait below, the rest in the owner's output buffer. A
 * peer that makes us answer (pings) and does not read is dropped.
 * Lifetime: the owner's memory, until on_closed(). Thread: the loop's baton. Never blocks. */
#ifndef SL_STREAM_WS_H
#define SL_STREAM_WS_H

#include "stream.h"
#include "ws_frame.h"
#include "ws_upgrade.h"

enum { STREAM_WS_AHEAD = 128 * 1024 };

struct sl_stream_ws {
	struct sl_stream s; /* what the owner reads and writes */
	/* The rest belongs to stream_ws.c. */
	const struct sl_stream_events *events;
	struct ws_upgrade_rules rules; /* the server's side */
	struct ws_parser parser;
	char *key; /* the client's side, until it is answered */
	char *error;
	uint16_t code;  /* of the close frame that will be sent; 0: normal */
	bool is_client; /* which masks what it sends */
	bool failed;    /* nothing more is framed but that */
	bool ready;     /* the handshake is done */
	bool over;      /* the peer has sent its close frame */
	bool ended;     /* the stream below is finished */
};

/* For the stream below. */
extern const struct sl_stream_events sl_stream_ws_events;

/* Zeroes the layer. What the rules name outlives the connection. */
void sl_stream_ws_serve(struct sl_stream_ws *ws, struct sl_loop *l, const struct sl_stream_events *events,
			const struct ws_upgrade_rules *rules);
void sl_stream_ws_dial(struct sl_stream_ws *ws, struct sl_loop *l, const struct sl_stream_events *events);
/* Once, when the stream below is open; both texts are used in the call only. */
void sl_stream_ws_ask(struct sl_stream_ws *ws, const char *host_port, const char *path);

/* Why the stream ends, in words; NULL when WebSocket has nothing to say. Valid until on_closed() returns. */
const char *sl_stream_ws_error(const struct sl_stream_ws *ws);

#endif
