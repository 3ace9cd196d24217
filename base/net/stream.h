/* stream.h: a connection as a stream of bytes, both ways, with writes collected until the end of the tick.
 *
 * The base is TCP (or any stream socket); TLS and WebSocket are layers that look the same from above: see "Layers".
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
 * Layers
 * A stack is one piece of memory: each layer's struct begins with its `struct sl_stream s`, and the stream below stands right behind
 * it, as its last member or as what follows it. So an owner that has room for a stack needs nothing but the address of its top, and a
 * layer finds both neighbours by its own size, without pointers (SL_STREAM_BELOW, SL_STREAM_ABOVE):
 *
 *     owner | sl_stream_ws | sl_stream_tls, which ends with its sl_stream_tcp
 *     owner | sl_stream_ws | sl_stream_tcp
 *     owner | sl_stream_tcp
 *
 * A layer is the owner of the stream below: it opens that with events of its own, which hand on what they make of them:
 *   on_read    takes what it can use, and presents what it makes of it (stream_present(), stream_int.h); what it leaves stays below
 *   on_drain   tries its own flush again. A layer sets `blocked` in its stream while the stream below takes no more
 *   on_hup     sets its own `hup`, tells its owner, then presents again what it keeps (`in`)
 *   may_read   asks its owner, if that has one; resume() pauses and resumes the stream below, for that may wait because of it
 *   on_turn    lets the layer above have its turn, then presents what it keeps. So streams have their turns in the order in which they
 *              were resumed, whatever their layers, and what one keeps does not come before what another has not read yet
 *   on_closed  closes its own stream with the same status; its memory goes with the whole stack
 * Its finish() ends the stream below too (stream_end()), at once: one on_closed(), that of the top, is heard outside.
 * Its detach() and attach() do its own part (deferred calls must not stay on the old loop), then the stream below's.
 *
 * Lifetime: the owner embeds the struct. Thread: the loop's baton (a visitor may do all of it). Never blocks. */
#ifndef SL_STREAM_H
#define SL_STREAM_H

#include "buf.h"
#include "loop.h"

struct sl_stream;

/* What the owner hears. */
struct sl_stream_events {
	/* The layers have agreed on how they speak: before the first on_read(). May be NULL. Not for plain TCP. */
	void (*on_ready)(struct sl_stream *s);
	size_t (*on_read)(struct sl_stream *s, struct sl_slice bytes);
	void (*on_drain)(struct sl_stream *s); /* asked for by sl_stream_tell_drained(): all that was pending is sent */
	/* The other side will send no more (`hup`); what it had sent is read on to its end. Also while reading rests, which the owner
	 * may want to end. May be NULL. */
	void (*on_hup)(struct sl_stream *s);
	/* Before each read(2): false leaves the bytes with the kernel, until sl_stream_pause() and sl_stream_resume(). May be NULL. */
	bool (*may_read)(struct sl_stream *s);
	/* For layers: the turn that resume() or a move has asked for; what is kept is presented before more is read. May be NULL. */
	void (*on_turn)(struct sl_stream *s);
	/* status: what sl_stream_close() was given; SL_ECLOSED the other side closed; SL_EIO the connection broke. */
	void (*on_closed)(struct sl_stream *s, int status);
};

/* What a layer does. All but `below` and `attach` only while its stream is not closed; finish() once. */
struct sl_stream_ops {
	void (*flush)(struct sl_stream *s);              /* send what is in `out` */
	void (*resume)(struct sl_stream *s);             /* reading may go on: present what is kept, then read */
	void (*finish)(struct sl_stream *s);             /* give the connection back; the stream is closed */
	struct sl_stream *(*below)(struct sl_stream *s); /* NULL: it is the base */
	void (*detach)(struct sl_stream *s);
	int (*attach)(struct sl_stream *s, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out);
};

/* The stream below a layer of its own struct type, and back. */
#define SL_STREAM_BELOW(layer) ((struct sl_stream *)(void *)((layer) + 1))
#define SL_STREAM_ABOVE(below, type) ((type *)(void *)(below)-1)

struct sl_stream {
	const struct sl_stream_ops *ops;
	const struct sl_stream_events *events;
	struct sl_loop *loop;
	struct sl_list dirty; /* in the pool's list while `out` has bytes that were not tried yet */
	struct sl_deferred closing;
	struct sl_buf in;  /* the incomplete rest of what was read; no memory while empty */
	struct sl_buf out; /* bytes from `out_sent` on are pending; no memory while empty */
	size_t out_sent;
	uint64_t after; /* `out` may not leave before the loop's barrier has passed this */
	int16_t status; /* why it closes */
	bool paused, closed;
	bool readable; /* the kernel may have more */
	bool blocked;  /* the kernel took less than it was given: wait until it is writable */
	bool tell_drained;
	bool held; /* sl_stream_hold() */
	bool hup;  /* the other side will send no more: read on until 0 */
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

/* Takes the whole stack off its loop, with socket, unread bytes and what is pending, and puts it on another one: the two halves of a
 * move. Detach in a deferred call or a letter, never inside on_read(); attach with the other loop's baton; nothing else is called
 * between. Detach: SL_OK, or SL_ECLOSED: it is closing, stays where it is, and on_closed() is to come. Attach: SL_OK, or SL_ESYSTEM:
 * it is on the new loop, to be closed there. After attaching, kept bytes are presented again. */
int sl_stream_detach(struct sl_stream *s);
int sl_stream_attach(struct sl_stream *s, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out);

/* The socket at the bottom of the stack; -1 when it is closed already. */
int sl_stream_fd(struct sl_stream *s);

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

/* What is put into the output stays there until sl_stream_let_go(); a close drops it. Of the top of a stack, while nothing is
 * pending. */
void sl_stream_hold(struct sl_stream *s);
void sl_stream_let_go(struct sl_stream *s);

void sl_stream_flush(struct sl_stream *s); /* now, instead of at the end of the tick */
void sl_stream_close(struct sl_stream *s, int status);

/* What some streams of a loop have to wait for before they send: numbers that rise, of which `passed` is the last that is reached.
 * A stream with a higher `after` asks reach() to get there, which may raise `passed`; if it is still too low the stream is held,
 * until sl_barrier_moved(). What is held when the stream closes is dropped. Only `after` of a stack's top counts. */
struct sl_barrier {
	uint64_t passed;
	struct sl_list held; /* streams */
	void (*reach)(struct sl_barrier *b);
};
void sl_barrier_init(struct sl_barrier *b, void (*reach)(struct sl_barrier *b));
void sl_barrier_set(struct sl_loop *l, struct sl_barrier *b); /* the loop's one; NULL: it has none, nothing waits */
void sl_barrier_moved(struct sl_loop *l);                     /* `passed` is higher: who was held has another turn */

/* Sends what all streams of the loop collected: the WRITE hook, and what a visitor does before it leaves. */
void sl_streams_flush(struct sl_loop *l);

#endif
