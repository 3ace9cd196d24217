/* redis_resp.h: RESP2, both ways, read and written by hiredis: requests from their arguments, replies as small trees while they
 * come. Of hiredis only the reader and the formatter are used; sockets and TLS are ours.
 *
 * No reply is too large: what goes beyond the limits is read to its end and left out (`cut`), in bounded memory, so that the
 * replies behind it are found. hiredis would hold a text as a whole before it says anything of it; so it is fed in small pieces, and
 * where it begins to wait for a larger text, that goes around it: see text_begin(). Memory of ours is that of what is kept, taken
 * from an arena: none of its own for a part of a reply.
 * Lists stand in lists up to 8 deep, which is what hiredis 0.14 reads; a reply that is deeper ends the connection.
 *
 * Lifetime: a reply, with all it points to, until redis_reader_next() is called again; the limits as long as the reader.
 * Thread: one at a time. Never blocks.
 * Errors: SL_EPROTOCOL, or SL_ELIMIT of a reply that is too deep, with a text for humans; the connection cannot be used any more
 * then. */
#ifndef REDIS_RESP_H
#define REDIS_RESP_H

#include "arena.h"
#include "buf.h"
#include "err.h"

enum redis_reply_kind { REDIS_TEXT, REDIS_STATUS, REDIS_ERROR, REDIS_NUMBER, REDIS_NIL, REDIS_LIST };

struct redis_reply {
	enum redis_reply_kind kind;
	bool cut;       /* of a TEXT only the beginning is kept, of a LIST nothing; of a whole reply: somewhere in it */
	uint32_t n;     /* LIST: how many items */
	int64_t number; /* NUMBER */
	struct sl_slice text; /* TEXT, STATUS, ERROR */
	struct redis_reply *items;
};

/* How much of one reply is kept. */
struct redis_limits {
	size_t reply_bytes; /* of all texts together; of a line, such as an error, the beginning always is */
	size_t reply_parts; /* nested ones counted */
	size_t text_bytes;  /* of one text */
};
/* For who only wants to know whether a command worked, and reads small tables. */
extern const struct redis_limits redis_limits_small;

struct redisReader; /* of hiredis */
struct redis_big;

struct redis_reader {
	const struct redis_limits *limits; /* may change between two replies */
	struct redisReader *hiredis;
	size_t held;           /* a text so large that is not whole yet goes around hiredis; tests set less */
	struct sl_slice rest;  /* given, and not yet read; only within a read */
	struct sl_slice piece; /* what hiredis was given last; the same */

	/* A text that goes around hiredis: so much of it is left, and so much room. */
	bool in_text, text_taken;
	char *into;
	size_t room;
	uint64_t left;
	uint8_t end_left;
	struct redis_reply taken;

	struct redis_reply root, skipped;
	struct sl_arena arena;
	struct redis_big *bigs; /* texts with memory of their own */
	size_t parts, bytes;    /* that are kept */
	bool handed_out, cut, too_deep;
	char why[256]; /* after an error */
};

void redis_reader_init(struct redis_reader *r, const struct redis_limits *limits);
void redis_reader_fini(struct redis_reader *r);

/* What came from the server: all of it is taken, and must stay where it is until redis_reader_next() gives 0. */
void redis_reader_feed(struct redis_reader *r, struct sl_slice bytes);
/* 1 and a reply; 0: the next one is not whole yet; SL_EPROTOCOL, SL_ELIMIT with r->why. */
int redis_reader_next(struct redis_reader *r, const struct redis_reply **reply);

/* ---- Requests. ---- */

/* The arguments of one command, in the form that hiredis wants; used again for the next one. It must not be moved. */
struct redis_args {
	const char **at;
	size_t *len;
	size_t n, cap;
	struct sl_arena texts; /* what was made for them */
	size_t made;           /* bytes of it */
	const char *few_at[24];
	size_t few_len[24]; /* most commands need no more, and so no memory */
};

void redis_args_init(struct redis_args *a);
void redis_args_fini(struct redis_args *a);
void redis_args_clear(struct redis_args *a);
/* Points at the text, which must stay until redis_args_clear(). */
void redis_args_add(struct redis_args *a, struct sl_slice arg);
/* Room for a text that is then added. Until redis_args_clear(). */
void *redis_args_room(struct redis_args *a, size_t size);
void redis_args_number(struct redis_args *a, int64_t n);
static inline struct sl_slice redis_args_get(const struct redis_args *a, size_t i) {
	return i < a->n ? slice_make(a->at[i], a->len[i]) : SL_SLICE_EMPTY;
}

/* Appends the request: "*2\r\n$4\r\nAUTH\r\n$3\r\npw1\r\n". */
void redis_args_put(const struct redis_args *a, struct sl_buf *out);
/* The same of C strings, ended by NULL. */
void redis_put(struct sl_buf *out, const char *first, ...) __attribute__((sentinel));
/* Of texts of any bytes. */
void redis_put_texts(struct sl_buf *out, const struct sl_slice *text, size_t n);

/* Of a request that is written again and again, with other values: ready[0], value 0, ready[1], ... value n - 1, ready[n]; n > 0. */
void redis_put_between(struct sl_buf *out, const struct sl_slice *ready, const char **at, const size_t *len, size_t n);

/* What a human is shown of a text that somebody else made: one line, printable, at most 200 bytes. Appends to out. */
void redis_show(struct sl_slice text, struct sl_buf *out);
/* The same, and behind it "; advice", when there is one. */
void redis_show_advice(struct sl_slice text, const char *advice, struct sl_buf *out);

#endif
