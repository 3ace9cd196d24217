/* pg_int.h: the objects of the postgres kind.
 *
 *     connector (pg_conn) --- place: one server, as configured      pg_conf.c
 *        |
 *        +- link 0..pool-1: one session of libpq, non-blocking      pg_link.c (connecting), pg_io.c (bytes)
 *        |     +- job: the batch it is at                            pg_job.c, pg_copy.c, pg_bulk.c, pg_rows.c, pg_search.c, pg_probe.c, pg_guard.c, pg_look.c
 *        +- waiting: batches for which no link is free
 *     action (pg_action) --- meta: what the server says of the table or statement   pg_table.c
 *
 * The connector is up while one link is; the others are connected when there is work for them, and whatever link is free
 * takes the next batch. When a link breaks, idle ones are dropped too (nobody knows whether they still live); when none
 * is left the connector is down, and the framework has it connect again.
 *
 * Lifetime: links live in pg_conn until fini. A meta is counted: jobs hold the one they began with.
 * Thread: everything on the connection's loop. Nothing blocks: host names are looked up on libuv's threads. */
#ifndef PG_INT_H
#define PG_INT_H

#include <libpq-fe.h>

#include "connector.h"
#include "pg_error.h"
#include "pg_type.h"
#include "schema.h"
#include "statement.h"
#include "tls_client.h"

enum pg_prepared { PG_PREPARED_AUTO, PG_PREPARED_ON, PG_PREPARED_OFF };
enum pg_session {
	PG_SESSION_AUTO,
	PG_SESSION_ANY,
	PG_SESSION_READ_WRITE,
	PG_SESSION_READ_ONLY,
	PG_SESSION_PRIMARY,
	PG_SESSION_STANDBY,
	PG_SESSION_PREFER_STANDBY
};

struct pg_conf {
	char *url;
	struct conf_list hosts;
	char *database, *user, *password, *application_name;
	struct conf_list search_path;
	struct tls_client_conf tls;
	int64_t pool, connect_timeout_ms, statement_timeout_ms, keepalive_ms, user_timeout_ms;
	int session, prepared;
};

/* ---- Actions ---- */

enum pg_conflict { PG_CONFLICT_ERROR, PG_CONFLICT_IGNORE, PG_CONFLICT_UPDATE };

/* What the server says of an action's table or statement. */
struct pg_meta {
	uint32_t refs;
	uint64_t epoch, serial;    /* pg_conn.epoch when it was read; its own number */
	uint64_t read_ms;          /* the loop's time, then */
	struct pg_target *targets; /* one a parameter */
	Oid *oids;
	size_t count;
	char **names;      /* owned: what targets point to; 2 * count */
	char *fingerprint; /* of the table's columns; NULL with `sql` */
	char *statement;   /* one row: INSERT ... VALUES ($1, ...), or the user's */
	bool copy;         /* COPY does it */
	bool keyless;      /* a plain table in which no two rows can be in conflict */
	char *bulk;        /* a batch: ... SELECT * FROM unnest($1, ...); NULL where it cannot be */
	Oid *bulk_oids;
	uint64_t bulk_serial;
	char *guard;                       /* fails when the table is another one; NULL with `sql` */
	uint64_t guard_serial, guarded_ms; /* when it last held */
	bool returns_rows;
};
void pg_meta_unref(struct pg_meta *m); /* NULL is fine */

struct pg_action {
	/* Settings. */
	char *table, *sql;
	struct conf_map columns;
	json_t *on_conflict;
	struct conf_list conflict_on;
	int64_t doubt_timeout_ms;

	struct sl_param_list params;
	enum pg_conflict conflict;
	char *relation;  /* "schema"."table", quoted */
	char *statement; /* sql, with $1 for ${...} */
	char *copy;      /* COPY ... FROM STDIN */
	char *look;      /* the statement that gives the fingerprint */
	char *read;      /* look, and those that give columns and keys */
	char *shown;     /* for dry runs */
	struct pg_meta *meta;
	uint32_t failures; /* batches in a row with a row to blame */
	bool no_copy;      /* the server cannot COPY into it */
	bool override; /* INSERT says that it gives numbers that the server would give; COPY needs no words for that */
	bool told_keyless;  /* the log has it that `on_conflict` has no effect */
	bool no_bulk;       /* one INSERT for a batch does not do: rows of it have the same key */
	struct sl_buf good; /* the last row that was stored, when it is no large one */
	uint32_t probes;
	uint64_t passed_ms; /* when one of them found a row that gets through */
	/* When nobody knew who is to blame, though some get through: first, and last. 0: never. */
	uint64_t doubt_since_ms, doubt_last_ms;
};
/* pg_table.c: what is said to the server about a table action's table. */
void pg_action_texts(struct pg_action *a);
void pg_quote_name(struct sl_buf *b, struct sl_slice name);
void pg_quote_text(struct sl_buf *b, struct sl_slice text);
/* An answer is what its server makes it: before a value is taken from one it must have rows with so many columns. rows_max -1: any. */
bool pg_answer_has(const PGresult *res, int rows_max, int columns);
/* The meta out of the answers to `read`: fingerprint, columns, keys. SL_EMALFORMED when they are not these; SL_ENOTFOUND and err when the table, a column or a key is
 * missing: what, and what to do. */
int pg_meta_from_table(const struct pg_action *a, const PGresult *fingerprint, const PGresult *columns,
		       const PGresult *keys, struct pg_meta **out, struct sl_err *err);
/* The query about the types of parameters that not every server has, or NULL; and the meta out of both, NULL when the second answer
 * is none to it. */
char *pg_types_query(const PGresult *described);
bool pg_action_maps(const struct pg_action *a, const char *name);
/* Whether the column is one of those by which the server looks for a row that is there already; keys: the third of these answers. */
bool pg_action_finds_by(const struct pg_action *a, const PGresult *keys, const char *name);
struct sl_slice pg_action_schema(const struct pg_action *a); /* quoted; empty: the search path says */
struct pg_meta *pg_meta_from_statement(const struct pg_action *a, const PGresult *described, const PGresult *types);
extern const struct sl_statement_dialect pg_dialect;

/* ---- The connector ---- */

struct pg_place {
	char *host, *port; /* host NULL: libpq's own default */
	char *address;     /* of host, when the URL gives it; NULL: it is looked up */
};

enum pg_link_state {
	PG_LINK_OFF,
	PG_LINK_LOOKUP,
	PG_LINK_CONNECTING,
	PG_LINK_SETUP,
	PG_LINK_IDLE,
	PG_LINK_BUSY,
	PG_LINK_PROBING
};

/* What is said to a new server, one after the other. */
enum pg_setup {
	PG_SETUP_WHO,      /* who are you? */
	PG_SETUP_SETTINGS, /* ours */
	PG_SETUP_WISHES    /* what not every server can do: a refusal is no harm */
};

enum pg_step {
	PG_STEP_READ,   /* asking for the meta */
	PG_STEP_COPY,   /* COPY: asked, sending, ended */
	PG_STEP_BULK,   /* one statement a batch */
	PG_STEP_ROWS,   /* one statement a row, one transaction */
	PG_STEP_SEARCH, /* the same, each row behind a savepoint: who is to blame? */
	PG_STEP_PROBE,  /* some rows, and all taken back: does any get through? */
	PG_STEP_LOOK    /* no rows: could the action write? */
};

enum pg_probe {
	PG_PROBE_NOT_ASKED,
	PG_PROBE_FAILED, /* no row gets through */
	PG_PROBE_PASSED
};

enum pg_guard {
	PG_GUARD_NONE,     /* not sent, or answered */
	PG_GUARD_PREPARED, /* two answers to come */
	PG_GUARD_ASKED
};

struct pg_job {
	struct pg_action *a;
	struct sl_batch *b; /* NULL: none */
	struct pg_meta *meta;
	enum pg_step step;
	enum pg_guard guard;
	uint32_t rounds;              /* how often the meta was read */
	uint32_t row;                 /* next to send */
	uint32_t answer;              /* next to be answered */
	uint32_t before;              /* answers that come before those of rows */
	uint32_t answers;             /* of these, so far */
	uint32_t sent;                /* rows that went out; those refused here do not */
	uint32_t segment, in_segment; /* SEARCH: syncs so far, answers since */
	uint32_t bad_row;             /* the row that failed; UINT32_MAX: none, or unknown */
	bool copying;                 /* COPY: the server waits for data */
	bool ended;                   /* all is sent: from now on the outcome is open until the answer */
	bool stale;                   /* the table is not what the meta says */
	bool committed;               /* SEARCH */
	bool taken_back;              /* SEARCH: it was not, for rows would have overtaken others */
	bool tried;                   /* LOOK: the statement was; now its table is asked about */
	enum pg_probe probe;
	enum pg_step failed; /* what was done before the probe */
	bool bulk_failed;    /* and now the same rows go one by one */
	bool at_once;        /* SEARCH: constraints do not wait for the commit, so that it is known whose they are */
	uint32_t probe_rows, probe_from; /* PROBE: of the batch so many rows, and which, */
	bool probe_good;                 /* and the one that was stored */
	uint32_t passed;                 /* PROBE: the first row that got through; UINT32_MAX: none */
	uint32_t passed_idle;            /* PROBE: the same of those that changed nothing */
	uint32_t confirm;  /* SEARCH: that row goes in this segment, behind all others; 0: not yet, or none */
	bool confirmed;    /* and the table does still what is wanted of it */
	uint32_t fresh;    /* SEARCH: rows that got through and prove something */
	uint32_t searches; /* that were confirmed, and had rows in doubt */
	uint8_t *doubted;  /* count: in how many of them; NULL: there were none */
	bool again;        /* SEARCH: is taken back for another one */
	bool found;        /* SEARCH: somebody is to blame */
	bool waits;        /* SEARCH: the table may be, and rows wait for it */
	char *sqlstate, *reason, *context; /* the first error; owned */
	bool overriding;   /* it: a number that the server gives, and that could be given all the same */
	bool of_rights;    /* it: pg_error_is_of_rights() */
	PGresult *held[3]; /* answers of READ */
};

/* Whoever has a session for something else than batches (pg_source.h). It sets the link's state to BUSY when it has sent something
 * and to IDLE behind the last answer. */
struct pg_link;
struct pg_link_user {
	void (*ready)(struct pg_link *l);
	void (*gone)(struct pg_link *l,
		     const char *text);   /* connecting failed, or the session is lost; the link is dropped */
	void (*heard)(struct pg_link *l); /* all that has come is read */
	void (*result)(struct pg_link *l, PGresult *res); /* owns res */
	void (*query_end)(struct pg_link *l);
};

struct pg_lookup;
struct pg_link {
	const struct pg_link_user *user; /* NULL: batches */
	bool by_row;                     /* answers come in single rows */
	struct pg_conn *c;
	enum pg_link_state state;
	PGconn *pq;
	uint64_t life; /* another one whenever pq is */
	struct sl_watch watch;
	bool watching, flushing, want_read;
	enum pg_setup setup;
	struct sl_timer timer;
	/* Connecting: what is tried. */
	struct pg_lookup *lookup;
	size_t place;
	bool second_round; /* prefer-standby: now anyone */
	struct sl_list addresses;
	struct sl_buf tried;
	/* Connected. */
	struct pg_job job;
	uint64_t *prepared; /* serials of metas */
	size_t prepared_n, prepared_cap;
	struct sl_buf out, scratch;
	const char **values; /* of one row */
	int *lengths, *formats;
	size_t values_cap;
	struct sl_buf *columns; /* BULK: an array a column */
	size_t *marks;          /* where the row began in each */
	size_t columns_cap;
};

struct pg_asks;
struct pg_wait {
	struct sl_list link;
	struct pg_action *a;
	struct sl_batch *b;
};

struct pg_conn {
	struct pg_conf conf; /* first */
	struct sl_conn *conn;
	PQconninfoOption *url_options;
	struct pg_place *places;
	size_t place_count;
	int session;
	struct pg_link *links;
	size_t link_count;
	struct sl_list waiting;
	struct sl_deferred work; /* hands out batches */
	uint64_t epoch, serial;
	uint64_t no_more_until_ms; /* the server refused another session */
	bool up, probing;
	bool pooler;          /* was found between us and the server */
	bool unnamed;         /* nothing outlives a transaction: a pooler stands between */
	char *server;         /* "PostgreSQL 15.4 at db1:5432" */
	struct pg_asks *asks; /* pg_ask.c; NULL: nothing was asked yet */
};

/* pg_conf.c */
extern const struct conf_field pg_conn_fields[], pg_action_fields[];
int pg_conn_check(struct sl_conn *conn, struct sl_err *err);
void pg_targets(struct sl_conn *conn, sl_target_fn one, void *arg);
int pg_action_check(struct sl_conn_action *a, struct sl_err *err);
int pg_places_open(struct pg_conn *c, struct sl_err *err);
void pg_places_close(struct pg_conn *c);

/* pg_link.c */
void pg_link_init(struct pg_link *l, struct pg_conn *c);
void pg_link_start(struct pg_link *l);
void pg_link_refused(struct pg_link *l, const char *text); /* this address did not work: the next one */
void pg_link_lost(struct pg_link *l, const char *text);    /* its job's rows are LOST */
void pg_link_drop(struct pg_link *l);                      /* without a word; no job */
void pg_link_fini(struct pg_link *l);
void pg_link_free_now(struct pg_link *l); /* the job is done: idle, next */
void pg_conn_drop(struct pg_conn *c);     /* all sessions; rows are LOST */
void pg_conn_down(struct pg_conn *c, const char *text);
struct sl_slice pg_one_line(const char *text, struct sl_buf *out); /* libpq's messages have several */

/* pg_io.c */
void pg_link_ready(struct sl_watch *w, uint32_t events);
void pg_io_watch(struct pg_link *l);
void pg_io_unwatch(struct pg_link *l);
void pg_io_pump(struct pg_link *l);  /* reads, answers, sends */
bool pg_io_flush(struct pg_link *l); /* all that libpq holds has left; false: later, or the link is lost */
void pg_setup_begin(struct pg_link *l);

/* pg_job.c */
void pg_job_begin(struct pg_link *l, struct pg_action *a, struct sl_batch *b);
void pg_job_result(struct pg_link *l, PGresult *res); /* owns res */
void pg_job_query_end(struct pg_link *l);
void pg_job_send(struct pg_link *l); /* goes on sending, as far as the socket takes it */
void pg_job_fill(struct pg_link *l, enum sl_result r, const char *reason); /* ends it: undecided rows get r */
void pg_job_failed(struct pg_link *l);                   /* no row is to blame for job.sqlstate, or none can be named */
void pg_job_insert(struct pg_link *l);                   /* by INSERT: the batch at once, else row by row */
void pg_job_reread(struct pg_link *l);                   /* the meta, and begins again */
void pg_job_refresh(struct pg_link *l);                  /* the same, and it may be as it was */
void pg_job_note(struct pg_job *j, const PGresult *res); /* keeps the first error */
void pg_job_note_clear(struct pg_job *j);
void pg_job_rows_again(struct pg_job *j);                /* nothing of the batch is stored: none of them is decided */
void pg_job_stored(struct pg_link *l);                   /* ends it: undecided rows are DONE */
bool pg_job_may_override(const struct pg_job *j);        /* its error goes away with pg_action.override */
void pg_job_row_failed(struct pg_link *l, uint32_t row); /* job.reason is its fault; the others come again */
const char *pg_job_advice(const char *sqlstate);         /* "; what to do", or "" */
const char *pg_error_state(const PGresult *res);         /* its SQLSTATE, or NULL */
bool pg_error_is_of_rights(const PGresult *res);         /* to the statement's own tables: no row is to blame */
char *pg_error_text(const PGresult *res);                /* heap */
bool pg_error_wants_override(const PGresult *res);       /* see pg_job_may_override() */
/* Our settings: "SELECT set_config(...)", for the transaction (behind a pooler) or the session. Heap. */
char *pg_local_settings(const struct pg_conn *c, bool local);

/* pg_copy.c, pg_rows.c */
void pg_copy_begin(struct pg_link *l);
void pg_copy_send(struct pg_link *l);
void pg_copy_result(struct pg_link *l, PGresult *res);
void pg_copy_query_end(struct pg_link *l);
uint32_t pg_copy_line(const char *context);          /* the line that COPY complains of; 0: it does not say */
struct sl_slice pg_copy_column(const char *context); /* and the column; empty: it does not say */
void pg_rows_begin(struct pg_link *l);
void pg_rows_send(struct pg_link *l);
void pg_rows_result(struct pg_link *l, PGresult *res);
/* pg_rows.c: room for n values; statements that this session has prepared, by their serials. */
void pg_values_room(struct pg_link *l, size_t n);
bool pg_is_prepared(const struct pg_link *l, uint64_t serial);
void pg_prepared(struct pg_link *l, uint64_t serial);
enum { PG_STATEMENT_NAME_MAX = 32 };
void pg_statement_name(const struct pg_link *l, uint64_t serial, char name[PG_STATEMENT_NAME_MAX]); /* empty: unnamed */
/* pg_guard.c */
bool pg_types_old(const struct pg_link *l); /* too old to refuse a row by; not twice in a job */
bool pg_meta_holds(const struct pg_link *l, const struct pg_action *a);  /* a batch may begin with what a->meta says */
char *pg_guard_text(const struct pg_action *a, const char *fingerprint); /* heap */
int pg_guard_send(struct pg_link *l);                         /* into the pipeline, behind the rows; 0: libpq failed */
void pg_guard_result(struct pg_link *l, const PGresult *res); /* of whatever answers come behind those of rows */
/* pg_bulk.c */
bool pg_bulk_fits(const struct pg_link *l);
void pg_bulk_begin(struct pg_link *l);
void pg_bulk_result(struct pg_link *l, PGresult *res);
/* pg_look.c */
void pg_look_begin(struct pg_link *l);
void pg_look_result(struct pg_link *l, PGresult *res);
void pg_look_query_end(struct pg_link *l);
/* EXPLAIN of a statement goes into the pipeline or out; 0: libpq failed. oids NULL: the server finds them. */
int pg_look_send(struct pg_link *l, const char *statement, size_t count, const Oid *oids);
/* pg_search.c */
void pg_search_begin(struct pg_link *l);
void pg_search_send(struct pg_link *l);
void pg_search_result(struct pg_link *l, PGresult *res);
bool pg_search_commits(const struct pg_job *j); /* that was sent, and is not answered */
void pg_search_lost(struct pg_job *j);          /* the session ends: of rows in doubt nobody knows */
/* pg_probe.c */
/* Of an error: a row may be to blame for it as well as the table, and the server has not been asked. */
bool pg_probe_wanted(const struct pg_link *l, enum pg_consequence then);
void pg_probe_begin(struct pg_link *l);
void pg_probe_send(struct pg_link *l);
void pg_probe_result(struct pg_link *l, PGresult *res);
int pg_probe_row_send(struct pg_link *l,
		      uint32_t k); /* once more the k-th row that was asked about, and back; 0: libpq failed */
/* One row may go another way through its statement than the next: by ON CONFLICT, by a function. */
bool pg_may_skip(const struct pg_action *a);
bool pg_is_proof(const struct pg_job *j, PGresult *res); /* that rows get through */
bool pg_probe_passed(const struct pg_link *l);           /* others of the action get through */
bool pg_doubt_is_over(struct pg_link *l); /* it has lasted for `doubt_timeout`; else it begins, or goes on */
bool pg_probe_keep(struct pg_job *j);     /* rows are stored, and about to be DONE; false: there are none */
/* pg_rows.c: the row's values into l->values, l->lengths, l->formats. False: it was refused. */
bool pg_row_bind(struct pg_link *l, uint32_t row);
bool pg_bytes_bind(struct pg_link *l, const void *row, struct sl_err *err); /* the same of any row; false: err */
/* Rows wait for their answers in order; those that have a result were not sent, or have had theirs. UINT32_MAX: none waits. */
uint32_t pg_row_next(struct pg_job *j);

#endif
