/* mongodb_int.h: the parts of the mongodb kind, and who works with what.
 *
 *     loop                                     threads (mongo_pool.c), `pool` of them
 *     ----                                     -------
 *     submit ── job ──> queue ─────────────>   mongo_batch_run()    mongo_batch.c: rows -> commands -> results
 *     connect, probe ── call ─────────────>    mongo_link_ping()    mongo_link.c: client, login, description
 *     cancel ── wakes the thread's socket ─>   mongo_stream.c: our sockets and TLS under libmongoc
 *
 * libmongoc blocks and cannot be interrupted, and one thread sends one command at a time. So the kind is not flagged as
 * blocking, but has threads of its own: as many commands are under way as `pool` says, and because the sockets are ours,
 * a deadline or the program's end interrupts them at once.
 * Each thread has a client of its own; nothing of libmongoc is shared but the URI, which is not changed. */
#ifndef MONGODB_INT_H
#define MONGODB_INT_H

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "connector.h"
#include "lookup.h"
#include "mongo_template.h"
#include "tls_client.h"

struct mongo_concern_conf {
	bool given;
	char *w;
	int j; /* index of auto, true, false */
	int64_t wtimeout_ms;
};

struct mongo_conn {
	/* Settings. */
	char *url, *database, *app_name;
	struct tls_client_conf tls;
	struct mongo_concern_conf concern;
	struct conf_list compressors;
	bool retry_writes;
	int64_t pool, timeout_ms, connect_timeout_ms, selection_timeout_ms;

	/* From open() on. */
	struct sl_conn *conn;
	mongoc_uri_t *uri;
	struct tls_client *tls_client; /* NULL: plain */
	struct mongo_pool *threads;
	_Atomic uint32_t generation; /* counts attempts to connect: clients of an older one are made anew */

	/* What we are connected to; under lock. */
	pthread_mutex_t lock;
	char *topology, *version, *host;
};

enum mongo_operation { MONGO_INSERT, MONGO_UPDATE_ONE, MONGO_UPSERT, MONGO_REPLACE, MONGO_DELETE };
enum { MONGO_SUSPECTS = 64 };
enum mongo_duplicates { DUPLICATES_AUTO, DUPLICATES_DONE, DUPLICATES_REJECT };

struct mongo_series_conf {
	bool given;
	char *time, *meta;
	int granularity;
	int64_t expire_ms;
};

struct mongo_action {
	/* Settings. */
	char *collection, *id;
	json_t *document, *filter, *update;
	struct conf_map types_conf;
	int operation, duplicates, large, absent;
	bool extended_json, dates, many, create;
	struct mongo_series_conf series;

	struct sl_param_list params;
	struct mongo_types types;
	struct mongo_template doc, query, change;
	struct mongo_style style;
	char *collection_fixed; /* without ${}; else NULL */
	uint32_t collection_param, id_param;
	const struct mongo_types *id_types;
	bool done_twice;                           /* a duplicate _id is a row that is there already */
	_Atomic uint32_t series_ready;             /* the generation for which the collection was looked after */
	_Atomic uint32_t wary;                     /* rows were denied: so many batches go piece by piece */
	_Atomic uint64_t suspects[MONGO_SUSPECTS]; /* mongo_denied.c */
	struct {
		_Atomic uint64_t collection, since, last; /* ms; since 0: it is not denied */
	} denied[MONGO_SUSPECTS];                         /* collections that rows name, by their hash */
};

/* mongo_conf.c */
extern const struct conf_field mongo_conn_fields[], mongo_action_fields[];
int mongo_conn_check(struct sl_conn *c, struct sl_err *err);
void mongo_targets(struct sl_conn *c, sl_target_fn one, void *arg);
int mongo_action_check(struct sl_conn_action *a, struct sl_err *err);
int mongo_action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err);
int mongo_action_open(struct sl_conn_action *a, struct sl_err *err);
void mongo_action_fini(struct sl_conn_action *a);

/* mongo_uri.c: settings -> URI and TLS. No network. */
int mongo_uri_make(const struct mongo_conn *c, mongoc_uri_t **out, struct sl_err *err);
/* Where the library asks for a login by itself, on a socket of its own: cloud machines have it. NULL: nowhere. Static. */
const char *mongo_uri_login_host(const mongoc_uri_t *uri);
int mongo_uri_tls(const struct mongo_conn *c, const mongoc_uri_t *uri, struct tls_client_conf *tls, struct sl_err *err);

/* One thread's side. */
struct mongo_link {
	struct mongo_conn *c;
	mongoc_client_t *client;
	uint32_t generation; /* of client */
	bson_context_t *ids;
	mongoc_client_session_t *session; /* under whose name writes are numbered; NULL: the server cannot */
	int64_t number;                   /* of the last numbered write */
	bool looked;                      /* whether the server can is known for this client */
	int wake_fd;                      /* readable: give up what you are doing */
	_Atomic bool cancelled;           /* and that is why */
	bool answering;                   /* libmongoc has got an answer and nothing else of its sockets since */
	char *
	    unreached; /* why the last stream that was made all the same is none, or what a server has against our certificate */
	struct sl_buf command;
	struct mongo_encoder e;
	uint32_t *rows; /* of the command that is being made: numbers of the batch's rows */
	size_t rows_cap;
	/* Of the batch. */
	struct mongo_denied *denied; /* rows of which it is open whether they are to blame */
	size_t denied_n, denied_cap;
	size_t denials; /* answers that said so */
	size_t stored;  /* commands that stored rows */
	bool wary;      /* in one before it rows were denied */
};
int mongo_link_init(struct mongo_link *l, struct mongo_conn *c); /* SL_ESYSTEM: no descriptor left */
void mongo_link_fini(struct mongo_link *l);
bool mongo_link_open(struct mongo_link *l, bson_error_t *error); /* a client, if there is none of this generation */
/* Finds a server that takes writes, and whether it knows numbered (retryable) ones. */
bool mongo_link_session(struct mongo_link *l, bson_error_t *error);
/* A round trip; with `describe` also finds out what is on the other side. False: *why (heap) says what to do. */
bool mongo_link_ping(struct mongo_link *l, bool describe, char **why);
/* Why a call failed, for people. Heap. */
struct mongo_error;
bool mongo_has_login(const struct mongo_conn *c); /* does `url` say who we are? */
/* What a server's error means, and what to do here. */
const char *mongo_advice(const struct mongo_conn *c, const struct mongo_error *known);
char *mongo_link_why(const struct mongo_link *l, const bson_error_t *error);

/* mongo_stream.c: mongoc_stream_initiator_t; arg is the struct mongo_link. */
mongoc_stream_t *mongo_stream_open(const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *arg,
				   bson_error_t *error);

/* mongo_row.c: the part of a command that stands for one row, as element `key` of the command's list. */
int mongo_row_write(struct mongo_encoder *e, const struct mongo_action *s, bson_context_t *ids, struct sl_slice key,
		    const void *row);
/* The collection of a row; SL_EINVAL with e->err when it can be none. */
int mongo_row_collection(struct mongo_encoder *e, const struct mongo_action *s, const void *row, struct sl_slice *out);
int mongo_encode_row(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err);

/* mongo_batch.c: all rows of the batch get a result. */
void mongo_batch_run(struct mongo_link *l, struct sl_batch *b);
/* mongo_denied.c: rows of which the server says what it says of a collection that cannot be written to. */
struct mongo_denied {
	uint32_t row;
	uint8_t proofs, before; /* before: this batch */
	bool whole;             /* all rows of its collection */
	bool asked, again;      /* once more, and denied */
	uint64_t collection;    /* its hash, where rows name it */
};
void mongo_row_denied(struct mongo_link *l, struct sl_batch *b, uint32_t row, bool whole,
		      const struct mongo_error *known, const char *said);
/* Must row i wait for one that is denied? own: its key alone is no reason. */
bool mongo_denied_holds(struct mongo_link *l, const struct sl_batch *b, uint32_t i, bool own);
bool mongo_denied_open(const struct mongo_link *l); /* proofs are wanting */
/* Before and after the first n are sent once more, behind a row that was stored. */
void mongo_denied_begin(struct mongo_link *l, struct sl_batch *b, size_t n);
void mongo_denied_end(struct mongo_link *l, const struct sl_batch *b, size_t n);
void mongo_denied_decide(struct mongo_link *l, struct sl_batch *b);
/* Rows of a collection were let in. */
void mongo_denied_none(struct mongo_action *s, struct sl_slice collection);
/* Is there a row that would be rejected, had its collection been denied for long enough? */
bool mongo_denied_too_early(struct mongo_link *l, const struct sl_batch *b);
bool mongo_denied_sleep(const struct mongo_link *l, int ms);      /* false: the link was cancelled */
void mongo_denied_wait(struct mongo_link *l, struct sl_batch *b); /* the batch is over; those that are open wait */

/* mongo_reply.c: what a command's answer means for its rows. */
enum mongo_then {
	MONGO_GO_ON,
	MONGO_STOP, /* no further command makes sense now */
	MONGO_ALONE /* rows that are still open or lost go again, each by itself */
};
enum mongo_then mongo_reply_apply(struct mongo_link *l, struct sl_batch *b, size_t n, bool ordered, bool ok,
				  const bson_t *reply, const bson_error_t *error);
/* May the same numbered command be sent once more? */
bool mongo_reply_again(const bson_t *reply, const bson_error_t *error);
/* mongo_there.c: is the _id of row `at` of the insert in l->command in the collection? One question for many. False: what is still
 * open could not be found out, by *error or because the link was cancelled. Sorts the asks by `at`. */
struct mongo_ask {
	int64_t at, code;
	const char *said;  /* the caller's */
	size_t from, size; /* of the _id among those that are asked for */
	enum { MONGO_ASK_OPEN, MONGO_ASK_THERE, MONGO_ASK_ABSENT } state;
};
bool mongo_ids_there(struct mongo_link *l, struct mongo_ask *asks, size_t n, bson_error_t *error);
/* mongo_series.c: the time-series collection is there. False: the batch is decided. */
bool mongo_series_ensure(struct mongo_link *l, struct sl_batch *b);

/* mongo_look.c: of a batch of no rows. */
void mongo_look(struct mongo_link *l, struct sl_batch *b);

/* mongo_find.c: a question, on a thread of the pool; ends it. */
void mongo_find_run(struct mongo_link *l, struct sl_lookup *a);
extern const struct sl_asks_kind mongo_asks_kind;

/* mongo_pool.c */
struct mongo_pool *mongo_pool_new(struct mongo_conn *c, size_t threads);
void mongo_pool_call(struct mongo_pool *p, bool connect); /* connect or probe; reports to the framework */
void mongo_pool_submit(struct mongo_pool *p, struct sl_batch *b);
void mongo_pool_cancel(struct mongo_pool *p, struct sl_batch *b);
void mongo_pool_ask(struct mongo_pool *p, struct sl_lookup *a);
void mongo_pool_ask_cancel(struct mongo_pool *p, struct sl_lookup *a);
void mongo_pool_close(struct mongo_pool *p); /* ends in sl_conn_closed() */
void mongo_pool_free(struct mongo_pool *p);  /* after that; joins */

#endif
