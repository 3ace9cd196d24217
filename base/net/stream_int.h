/* stream_int.h: what streams of one loop share: the scratch buffer for reading, spare output buffers, the dirty list. */
#ifndef SL_STREAM_INT_H
#define SL_STREAM_INT_H

#include "loop_int.h"
#include "stream.h"

enum {
	STREAM_SCRATCH = 128 * 1024, /* what is kept and what one read(2) brings */
	STREAM_READ = 32 * 1024,     /* so much of small packets at a time, */
	STREAM_LARGE = 32 * 1024,    /* and all there is of one that has so much already */
	STREAM_PLAIN = 64 * 1024,    /* and so much of it is decrypted before it is presented */
	STREAM_OUT_FIRST = 4096,
	STREAM_SPARE_BYTES_MAX = 512 * 1024, /* a larger buffer is given back to the heap */
	STREAM_SPARES_BYTES_MAX = 4 * 1024 * 1024,
	STREAM_SPARES_MAX = 512,
};

struct sl_stream_pool {
	struct sl_loop *loop;
	struct sl_hook write_hook;
	struct sl_barrier *barrier; /* NULL: none */
	struct sl_list dirty;
	struct sl_list lingering; /* stream_linger.c */
	struct sl_timer linger_timer;
	uint32_t lingers;
	size_t spares, spare_bytes;
	struct sl_buf spare[STREAM_SPARES_MAX];
	char scratch[STREAM_SCRATCH];
	char plain[STREAM_PLAIN]; /* costs memory only where there is TLS */
};

struct sl_stream_pool *stream_pool(struct sl_loop *l);
/* stream_linger.c. Our side is shut already: reads what still comes until the other side closes, for a while, and closes fd. */
void stream_linger(struct sl_loop *l, int fd);
void stream_linger_init(struct sl_stream_pool *p);
void stream_linger_fini(struct sl_stream_pool *p);
void stream_init(struct sl_stream *s, const struct sl_stream_ops *ops, const struct sl_stream_events *events,
		 struct sl_loop *l);
void stream_out_release(struct sl_stream *s); /* all sent: the buffer goes back to the pool */
void stream_keep(struct sl_stream *s, struct sl_slice rest);

/* Where to read to: what is kept of the last read stands there already, in front of *room free bytes. It is copied to
 * `scratch` (of `size` bytes) while it is small, and read on behind in place when it is a large packet in the making. */
char *stream_room(struct sl_stream *s, char *scratch, size_t size, size_t *room);
/* Gives the owner what is there, keeps what it leaves. */
void stream_present(struct sl_stream *s, struct sl_slice bytes);
/* After `out_sent` moved: when all is sent the buffer goes back and on_drain() is told. */
void stream_sent(struct sl_stream *s);
/* A layer's own part of a move: what is collected goes along. */
void stream_leave(struct sl_stream *s);
void stream_arrive(struct sl_stream *s, struct sl_loop *l);
/* Gives the connection and all memory back, now and without a word: from a deferred call. */
void stream_end(struct sl_stream *s);

#endif
