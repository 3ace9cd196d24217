/* pg_source.h: rows of a query into rules, each of them a message.
 *
 *     query, from time to time or when a NOTIFY says so -> rows -> messages -> through -> position saved, or `ack` run
 *
 * Where it goes on is known in one of two ways:
 *     cursor   the query asks for what lies behind ${cursor}; the last cursor below which all rows are through is saved on
 *              our disk (pg_position.h)
 *     ack      a statement tells the server which rows are through, and the query gives those of which this was not said. What is
 *              under way comes in every page, and is known by its cursor
 *
 * One session of its own, by the connector's settings, and one command at a time: LISTEN, a page, an ack. When it is lost another
 * one is made, and what is under way goes on: only our own end makes rows come again.
 *
 * Memory: a page is read row by row; what is beyond half of `max_pending.bytes` is read over and asked for again, in smaller pages.
 * Thread: the loop's own; positions are written on libuv's. Never blocks, but for opening the position's file. */
#ifndef PG_SOURCE_H
#define PG_SOURCE_H

#include "pg_int.h"
#include "pg_position.h"
#include "source.h"

struct pg_source_conf {
	char *query, *cursor, *start, *ack, *listen;
	int64_t poll_ms, limit;
};
extern const struct conf_field pg_source_fields[];

/* A row that is under way, or through and not yet told. Its address is the message's mark. */
struct pg_taken {
	struct sl_list link; /* under, through or acking */
	uint64_t hash;
	bool done;
	size_t n;
	char cursor[]; /* n bytes and a zero */
};

struct pg_taken_slot {
	uint64_t hash;
	bool used;
	struct pg_taken *taken;
};
#define HMAP_NAME pg_taken_map
#define HMAP_SLOT struct pg_taken_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal(slice_make((slot)->taken->cursor, (slot)->taken->n), key)
#include "hmap.h"

enum pg_source_at {
	PG_SOURCE_AWAY,   /* no session, or one in the making */
	PG_SOURCE_READY,  /* nothing is asked */
	PG_SOURCE_LISTEN, /* what was said has no answer yet */
	PG_SOURCE_PAGE,
	PG_SOURCE_ACK
};

struct pg_save;
struct pg_source {
	struct pg_source_conf conf; /* first: filled by the framework */
	struct sl_source *s;
	struct sl_source_part *part;
	char *query, *ack; /* as the server gets them; ack NULL: by cursor */
	struct sl_param_list query_params, ack_params;

	/* The session. */
	struct pg_link link;
	enum pg_source_at at;
	struct sl_timer timer;
	struct sl_deferred next; /* what is to be done now? */
	uint64_t backoff_ms, closing_ms;
	uint32_t skip;          /* answers that come before the one that counts */
	char *sqlstate, *error; /* of the command that is out; owned */
	char *changed;          /* rows, as the server says it of an ack; owned */
	bool listening, no_listen, notified, paused, closing, ended;

	/* Pages. */
	uint64_t poll_at_ms, ack_at_ms;
	int64_t limit;              /* of the next one */
	uint64_t asked, rows, news; /* of this one: its limit, what came, what was taken of that */
	size_t bytes;
	bool more, cut, bare, idle_ack;
	bool twins; /* stays: it is the settings that are wrong */

	/* Rows. */
	struct sl_list under, through, acking;
	size_t under_n, through_n, acking_n;
	uint64_t unsaved_n, marked_n; /* by cursor: through, and not in the file; of these, below `mark` */
	struct pg_taken_map known;    /* ack: all of them */
	char *read_at;                /* cursor: the last that was taken; owned */

	/* cursor: what is saved. */
	struct pg_position position;
	bool position_open;
	char *mark; /* not yet saved, or NULL; owned */
	struct pg_save *save;
	struct sl_timer save_timer;
	char *save_error;
};

extern const struct sl_source_kind pg_source_kind;

/* pg_source_conf.c */
int pg_source_check(struct pg_source *p, struct sl_err *err);

/* pg_source.c */
void pg_source_go(struct pg_source *p); /* soon */
bool pg_source_saving(const struct pg_source *p);

/* pg_source_rows.c: what is said to the server, and what it answers. */
void pg_source_result(struct pg_link *l, PGresult *res);
void pg_source_query_end(struct pg_link *l);
void pg_source_listen(struct pg_source *p);
void pg_source_page(struct pg_source *p);
void pg_source_ack(struct pg_source *p);
void pg_source_lost(struct pg_source *p); /* no answer will come */

/* pg_source_look.c: sl_connector_kind.source_look */
int pg_source_look(struct sl_conn *conn, struct sl_source *s, struct sl_batch *b);

#endif
