/* redis_resp.h: RESP2, both ways: requests written straight into a buffer, replies read by hiredis' reader into small trees.
 *
 * The reader is bounded by us, for hiredis 0.14 is not: a reply's announced and buffered size, the number of its parts,
 * the text that is kept. A plain reply ("+OK", ":1", an entry's id) costs no allocation.
 *
 * Lifetime: a reply, with all it points to, until redis_reader_next() is called again. Thread: one at a time. Never blocks.
 * Errors: SL_EPROTOCOL with a text for humans; the connection cannot be used any more then. */
#ifndef REDIS_RESP_H
#define REDIS_RESP_H

#include "arena.h"
#include "buf.h"
#include "err.h"

struct redisReader;

enum redis_reply_kind { REDIS_TEXT, REDIS_STATUS, REDIS_ERROR, REDIS_NUMBER, REDIS_NIL, REDIS_LIST };

struct redis_reply {
	enum redis_reply_kind kind;
	uint32_t n;           /* LIST: how many items */
	int64_t number;       /* NUMBER */
	struct sl_slice text; /* TEXT, STATUS, ERROR */
	struct redis_reply *items;
};

struct redis_limits {
	size_t reply_bytes; /* of one reply, as it stands on the wire */
	size_t reply_parts; /* of one reply, nested ones counted */
	size_t text_bytes;  /* of one text; the rest is cut off and not kept */
};
/* For who only wants to know whether a command worked, and reads small tables. */
extern const struct redis_limits redis_limits_small;

struct redis_reader {
	struct redisReader *hiredis;
	struct redis_limits limits;
	struct sl_slice rest; /* given, and not yet with hiredis; only within a read */
	struct redis_reply root;
	struct sl_arena arena;
	size_t parts, bytes;
	bool handed_out;
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
