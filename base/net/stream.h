/* stream.h: a connection as a stream of bytes, both ways, with writes collected until the end of the tick.
 *
 * The base is TCP (or any stream socket); TLS and WebSocket are layers that look the same from above: a layer is a
 * stream whose ops push what it makes into the stream below.
 *
 * Reading: on_read() gets all bytes that are there, in a scratch buffer that belongs to the loop; it returns how many it
 * has used up. The rest (an incomplete packet) is kept by the stream and stands in front of the next bytes. So a
 * connection between two packets owns no read buffer.
 * Writing: append to sl_stream_out(), the connection's output buffer, and the bytes leave in SL_PHASE_WRITE with one
 * system call. The buffer comes from a pool of the loop and goes back when all is sent. What the socket does not take
 * stays until it is writable again; then on_drain() tells whoever waits for room (sl_stream_pending).
 * Closing: sl_stream_close() tries to send what is pending, and never calls back before it returns; on_closed() comes
 * later, once, from the loop's own thread. After it the stream is dead and its memory the owner's again.
 *
 * Lifetime: the owner embeds the struct. Thread: the loop's baton (a visitor may do all of it). Never blocks. */
#ifndef SL_STREAM_H
#define SL_STREAM_H

#include "buf.h"
#include "loop.h"

struct sl_stream;

/* What the owner hears. */
struct sl_stream_events {
	size_t (*on_read)(struct sl_stream *s, struct sl_slice bytes);
	void (*on_drain)(struct sl_stream *s); /* asked for by sl_stream_tell_drained(): all that was pending is sent */
	/* The other side will send no more (`hup`); what it had sent is read on to its end. Also while reading rests, which the owner
	 * may want to end. May be NULL. TCP only. */
	void (*on_hup)(struct sl_stream *s);
	/* Before each read(2): false leaves the bytes with the kernel, until sl_stream_pause() and sl_stream_resume(). May be NULL.
	 * TCP only. */
	bool (*may_read)(struct sl_stream *s);
	/* status: what sl_stream_close() was given; SL_ECLOSED the other side closed; SL_EIO the connection broke. */
	void (*on_closed)(struct sl_stream *s, int status);
};

/* What a layer does. */
struct sl_stream_ops {
	void (*flush)(struct sl_stream *s);  /* send what is in `out` */
	void (*resume)(struct sl_stream *s); /* reading may go on: present what is kept, then read */
	void (*finish)(struct sl_stream *s); /* give the connection back; the stream is closed */
};

struct sl_stream {
	const struct sl_stream_ops *ops;
	const struct sl_stream_events *events;
	struct sl_loop *loop;
	struct sl_list dirty; /* in the pool's list while `out` has bytes that were not tried yet */
	struct sl_deferred closing;
	struct sl_buf in;  /* the incomplete rest of what was read; no memory while empty */
	struct sl_buf out; /* bytes from `out_sent` on are pending; no memory while empty */
	size_t out_sent;
	int16_t status; /* why it closes */
	bool paused, closed;
	bool readable; /* the kernel may have more */
	bool blocked;  /* the kernel took less than it was given: wait until it is writable */
	bool tell_drained;
	bool hup; /* the other side will send no more: read on until 0 */
};

/* A stream on a connected socket. The socket becomes non-blocking, and the stream's. */
struct sl_stream_tcp {
	struct sl_stream s;
	struct sl_watch watch;
	uint64_t *bytes_in, *bytes_out; /* counters to add to (metrics), never NULL */
};

/* 0 or SL_ESYSTEM (the fd is still the caller's then). Reading starts with the next event. */
int sl_stream_tcp_open(struct sl_stream_tcp *t, struct sl_loop *l, int fd, const struct sl_stream_events *events,
		       uint64_t *bytes_in, uint64_t *bytes_out);
/* Takes the stream off its loop, with socket and unread bytes, and puts it on another one: the two halves of a move.
 * Detach in a deferred call or a letter, never inside on_read(); attach with the other loop's baton. Nothing may be
 * pending to be sent. After attaching, kept bytes are presented again. */
void sl_stream_tcp_detach(struct sl_stream_tcp *t);
int sl_stream_tcp_attach(struct sl_stream_tcp *t, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out);

/* The output buffer to append to. Marks the stream for the end of the tick. */
void sl_stream_mark_dirty(struct sl_stream *s);
static inline struct sl_buf *sl_stream_out(struct sl_stream *s) {
	if (!sl_list_linked(&s->dirty)) sl_stream_mark_dirty(s);
	return &s->out;
}
static inline size_t sl_stream_pending(const struct sl_stream *s) { return s->out.n - s->out_sent; }

/* Wishes to hear on_drain() once, when nothing is pending any more (not before this call returns). */
static inline void sl_stream_tell_drained(struct sl_stream *s) { s->tell_drained = true; }

/* on_read() is not called until resume; kept bytes are presented again then. Both may be called inside on_read(). */
void sl_stream_pause(struct sl_stream *s);
void sl_stream_resume(struct sl_stream *s);

void sl_stream_flush(struct sl_stream *s); /* now, instead of at the end of the tick */
void sl_stream_close(struct sl_stream *s, int status);

/* Sends what all streams of the loop collected: the WRITE hook, and what a visitor does before it leaves. */
void sl_streams_flush(struct sl_loop *l);

#endif
