/* redis_resp.h: RESP2, both ways: requests written straight into a buffer, replies read into small trees while they come.
 *
 * No reply is too large: what goes beyond the limits is read to its end and left out (`cut`), in bounded memory, so that the
 * replies behind it are found. A plain reply ("+OK", ":1", an entry's id) costs no allocation.
 *
 * Lifetime: a reply, with all it points to, until redis_reader_next() is called again; the limits as long as the reader.
 * Thread: one at a time. Never blocks.
 * Errors: SL_EPROTOCOL with a text for humans; the connection cannot be used any more then. */
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

struct redis_level;
struct redis_big;

struct redis_reader {
	const struct redis_limits *limits; /* may change between two replies */
	struct sl_slice rest;              /* given, and not yet read; only within a read */
	struct sl_buf line;                /* the beginning of a line whose end has not come */
	bool line_used;
	struct redis_level *level; /* the lists that are open, outermost first */
	size_t levels, level_cap;

	/* The text that comes now: so much of it is left, and so much room. */
	bool in_text;
	char *into;
	size_t room;
	uint64_t left;
	uint8_t end_left;

	struct redis_reply root, skipped;
	struct sl_arena arena;
	struct redis_big *bigs; /* texts with memory of their own */
	size_t parts, bytes;    /* that are kept */
	bool handed_out, cut;
	char why[160]; /* after an error */
};

void redis_reader_init(struct redis_reader *r, const struct redis_limits *limits);
void redis_reader_fini(struct redis_reader *r);

/* What came from the server: all of it is taken, and must stay where it is until redis_reader_next() gives 0. */
void redis_reader_feed(struct redis_reader *r, struct sl_slice bytes);
/* 1 and a reply; 0: the next one is not whole yet; SL_EPROTOCOL with r->why. */
int redis_reader_next(struct redis_reader *r, const struct redis_reply **reply);

/* ---- Requests: "*2\r\n$4\r\nAUTH\r\n$3\r\npw1\r\n". ---- */

void redis_put_head(struct sl_buf *out, size_t args);
void redis_put_arg(struct sl_buf *out, struct sl_slice arg);
/* A whole request of C strings, ended by NULL. */
void redis_put(struct sl_buf *out, const char *first, ...) __attribute__((sentinel));

/* Walks requests that we wrote ourselves: the next argument of the request at *p, or the head of the next request. */
uint32_t redis_walk_head(const char **p);
struct sl_slice redis_walk_arg(const char **p);

/* What a human is shown of a text that somebody else made: one line, printable, at most 200 bytes. Appends to out. */
void redis_show(struct sl_slice text, struct sl_buf *out);
/* The same, and behind it "; advice", when there is one. */
void redis_show_advice(struct sl_slice text, const char *advice, struct sl_buf *out);

#endif
