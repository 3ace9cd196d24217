/* connector.h: the interface that a kind of connector implements. Read this file to write a connector.
 *
 * A kind (sqlite, file, kafka, ...) is one const struct, the only symbol its folder exports. The framework does
 * everything that kinds have in common: options, state machine and back-off, budgets, the log on disk, order, batches,
 * retry, splitting, dead letters, counters, health. A kind does four things: connect, turn rows into what its server
 * takes, send a batch, and say for each row what became of it.
 *
 * Objects
 *   kind        static const, for ever
 *   connection  one configured connector (struct sl_conn, framework's); the kind's own part is conn_size zeroed bytes
 *               (sl_conn_impl)
 *   action      one use of a connection by a rule (struct sl_conn_action, framework's): a table, a file, a topic; the
 *               kind's own part is action_size zeroed bytes (sl_action_impl)
 *   row         immutable bytes (sql_row.h): the values of the action's parameters, in the order the kind asked for them
 *   batch       made by the pipeline, LENT to the kind from submit() until sl_batch_done(): in between the kind may read
 *               the rows, and write only result[], reason[] and priv. After done it must not touch it.
 *
 * Threads: every call is made on the connection's loop, and none may block; unless the kind is flagged
 * SL_KIND_BLOCKING: then connect, probe, submit and disconnect run on a thread of this connection's own (one at a time,
 * in order) and may block; the sl_*_done calls may be made from there. open, action_open, the checks and fini always
 * run on the loop or at start and never block.
 *
 * Life: open -> connect -> [submit ...] -> close -> (sl_conn_closed) -> fini. connect is called again after any failure: one
 * that the kind reported, a probe without an answer, or rows to which no server answered while the connection seemed up
 * (`stalled_after`, see README.md: batches that are out are cancelled first). So connect drops whatever stands and begins anew. */
#ifndef CONNECTOR_H
#define CONNECTOR_H

#include "err.h"
#include "field.h"
#include "loop.h"
#include "sql.h"
#include "sql_row.h"

#define SL_CONNECTOR_ABI 1

enum {                             /* sl_connector_kind.flags */
       SL_KIND_BLOCKING = 1,       /* client library blocks: own thread */
       SL_KIND_ORDERED_BY_KEY = 2, /* client library keeps order within a key: several batches may be out */
       SL_KIND_IDEMPOTENT = 4,     /* repeating a row is harmless */
       SL_KIND_LOOKS = 8           /* takes a batch of no rows: asks the server whether the action can work, says so by
				      sl_batch_not_ready() if not, and writes nothing */
};

/* SL_RESULT(id, name, meaning): what became of a row. The pipeline's answer to each stands in pipeline.c. */
#define SL_RESULT_TBL(SL_RESULT)                                                                                       \
	SL_RESULT(PENDING, "pending", "not decided yet; none is left when a batch is done")                            \
	SL_RESULT(DONE, "done", "delivered and acknowledged by the other side")                                        \
	SL_RESULT(RETRY, "retry", "failed for now (deadlock, leader change, disk full): again after a pause")          \
	SL_RESULT(REJECT, "reject", "will never work (type, size, unique key): to the dead letters, with the reason")  \
	SL_RESULT(TIMEOUT, "timeout", "outcome unknown: again, counted as a possible duplicate")                       \
	SL_RESULT(LOST, "lost", "connection gone before the answer: again after reconnecting, no attempt charged")     \
	SL_RESULT(THROTTLED, "throttled", "the server asked to wait batch->wait_ms; no attempt charged")               \
	SL_RESULT(GROUP_FAILED, "group failed",                                                                        \
		  "the batch was refused and the server cannot say for which row: split and try the halves")
/* LOST is no verdict, yet not without consequence: a row that is LOST again and again when it is out alone, while others of its action
 * are DONE, is rejected (pipeline_break.c). So rows that were not sent, or that wait for something else than themselves (a
 * right, a leader, a table), are better RETRY, THROTTLED or LOST by sl_batch_not_ready(), or with sl_batch_again(), which do not count.
 * Say in the reason what the server or the library said last: it goes into the dead letter. */
enum sl_result {
#define SL_RESULT(id, name, meaning) SL_RESULT_##id,
	SL_RESULT_TBL(SL_RESULT)
#undef SL_RESULT
};

struct sl_conn;
struct sl_conn_action;
struct sl_source;
struct sl_source_kind;
struct sl_asks_kind;
typedef void (*sl_target_fn)(void *arg, const char *target);

/* One value that an action wants of each row: a name, and the template that makes it. */
struct sl_param {
	struct sl_slice name; /* column name, "topic", "key", ...; as the kind chose */
	struct sl_slice text; /* "${device}" */
	enum sql_target target;
	const char *path;      /* the option it stands in, below the action: "columns.device", "sql" */
	uint32_t line, column; /* where it starts within that option's text, 1-based; 0 when it is all of it */
	/* Rows with the same value, or values where several parameters say so, are one there: the second is refused, left out, or
	 * takes the place of the first. Who loads the rule warns where all rows of a message have the same. */
	bool names_row;
};

struct sl_batch {
	struct sl_conn_action *action;
	uint32_t count;
	const void *const *row; /* count rows; read with sql_row_get() */
	uint8_t *result;        /* count of enum sl_result, all PENDING at first */
	char **reason;          /* count; set with sl_batch_reason(); owned by the batch */
	uint32_t wait_ms;       /* with THROTTLED */
	uint32_t repeats; /* rows that the server took, or may have, and that come again: they may be there twice */
	void *priv;       /* the kind's */
	char *not_ready;  /* sl_batch_not_ready() */
	bool late;        /* a time limit of the server's ended it: the next ones have fewer rows */
	bool doubt;       /* sl_batch_in_doubt() */
	bool again;       /* sl_batch_again() */
};

struct sl_connector_kind {
	const char *name, *title, *summary;
	int abi; /* SL_CONNECTOR_ABI */
	unsigned flags;
	size_t conn_size, action_size;
	/* What kind and client library hold of rows that are out, beside the rows themselves, which stay where they are: so many
	 * bytes a row, and a hundredth of its bytes. It is charged to the action's budget. */
	uint32_t copy_row, copy_percent;
	/* Where an action's own settings make that more: adds to both. Pure. May be NULL. */
	void (*copies)(struct sl_conn_action *a, uint32_t *row, uint32_t *percent);

	/* Options: the framework fills the settings structs at the head of the kind's own parts before any other call (offsets
	 * count from the start of that part). */
	const struct conf_field *conn_fields, *action_fields; /* each ends with a row whose name is NULL */

	/* Cross-field checks; the message names the field and the way out. Pure; also run by `sluice check`. May be NULL.
	 * action_check and action_params look at the action alone: they are also called when the connection's settings are wrong. */
	int (*conn_check)(struct sl_conn *c, struct sl_err *err);
	int (*action_check)(struct sl_conn_action *a, struct sl_err *err);

	/* The values this action wants of each row, in order; called once after its settings are filled. The slices must
	 * live as long as the action. */
	int (*action_params)(struct sl_conn_action *a, const struct sl_param **params, size_t *count,
			     struct sl_err *err);

	int (*open)(struct sl_conn *c, struct sl_err *err); /* no network, no files; fails only for bad settings */
	void (*connect)(struct sl_conn *c);                 /* ends in sl_conn_up() or sl_conn_down() */
	void (*probe)(struct sl_conn *c);                   /* cheap round trip; ends in sl_probe_done(); may be NULL */
	void (*close)(struct sl_conn *c); /* no new work; ends in sl_conn_closed() after the last callback */
	void (*fini)(struct sl_conn *c);  /* frees what open made; also called when open never was. May be NULL */

	int (*action_open)(struct sl_conn_action *a, struct sl_err *err);
	void (*action_fini)(
	    struct sl_conn_action *a); /* also when action_open never was; no batch is out. May be NULL */

	/* Appends what the action writes to, in a few words and without secrets: "table readings", "topic hot.${device}", templates as
	 * they stand. It goes into dead letters, and a replay finds the action by it when the list of actions has changed: the same
	 * words, the same destination (sl_destination_*). Called once after action_params. May be NULL. */
	void (*destination)(struct sl_conn_action *a, struct sl_buf *out);

	/* Row -> the bytes that would be sent (SQL with parameters shown, a JSON line, ...). Pure: for dry runs and tests. */
	int (*encode)(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err);

	/* SL_OK: taken, exactly one sl_batch_done() follows (perhaps before return). SL_EAGAIN: not taken, offered again after
	 * sl_conn_writable(). */
	int (*submit)(struct sl_conn_action *a, struct sl_batch *b);
	/* The deadline passed: finish the batch as soon as it safely can, undecided rows TIMEOUT. May be NULL, may come twice. */
	void (*cancel)(struct sl_conn_action *a, struct sl_batch *b);

	/* For status pages and `sluice connector test`: members of the kind's own (server, version, nodes, its client library's
	 * queue), no secrets, nothing that is counted anyway. Called while the connection's loop stands still, from open to
	 * close, connected or not; the thread of a BLOCKING connection may be at work, so guard what it changes. It must not
	 * call anything of sl_conn_*, and not wait. May be NULL. */
	void (*describe)(struct sl_conn *c, json_t *out);

	/* For kinds whose far side is on this machine: what `sluice connector test` does instead of connecting, which would make
	 * files. Changes nothing; says in note what it found, or in err what is wrong and what to do. May block. May be NULL. */
	int (*look)(struct sl_conn *c, struct sl_buf *note, struct sl_err *err);

	/* The same of one of its actions, with the connection that was looked at: is there what it writes to? May be NULL. */
	int (*action_look)(struct sl_conn_action *a, struct sl_err *err);

	/* LOOKS, of a source of `sources:` that reads from this connection, which is up: can it work? Answers as a batch of no rows
	 * does (batch->action is NULL), and takes nothing from the server. May be NULL. */
	int (*source_look)(struct sl_conn *c, struct sl_source *s, struct sl_batch *b);

	const struct sl_asks_kind *asks; /* questions, see lookup.h; NULL: this kind answers none */

	const struct sl_source_kind *source; /* the way back, see source.h; NULL: this kind is only written to */

	/* The servers that checked settings name, one call for each: "host:port", "[::1]:5432", a path. `sluice check` asks before
	 * open, so that an address which is not allowed (outbound.h) is found early; what counts is what is dialled. May be NULL. */
	void (*targets)(struct sl_conn *c, sl_target_fn one, void *arg);
};

void *sl_conn_impl(struct sl_conn *c);
const char *sl_conn_name(const struct sl_conn *c);
void *sl_action_impl(struct sl_conn_action *a);
struct sl_conn *sl_action_conn(struct sl_conn_action *a);
const char *sl_action_name(const struct sl_conn_action *a); /* "rule.1": for logs and file names */
const struct sl_param *sl_action_params(const struct sl_conn_action *a, size_t *count); /* what action_params gave */

/* What parameter `param` has of the message's identifier (`${msgid()}`, or a column that the rule made of it), which is the same whenever
 * the row comes; of the whole row, its column `_id`. From action_open() on. */
enum sl_msgid {
	SL_MSGID_NOT,   /* nothing, or not as it stands */
	SL_MSGID_ALONE, /* it is the identifier, and no other row has it */
	SL_MSGID_SHARED /* nothing else tells its row from others: FOREACH makes several of one message; each receiver has events about it */
};
enum sl_msgid sl_action_param_msgid(const struct sl_conn_action *a, size_t param);

/* For `destination`. A name: "table readings"; all of it counts, and a long one is cut and told apart by its hash. A statement: from
 * its verb to the first bracket, value or clause in quotes: "INSERT INTO readings", so that a corrected one is still the same. */
void sl_destination_name(struct sl_buf *out, const char *what, const char *name);
void sl_destination_statement(struct sl_buf *out, const char *sql);

/* Why cancel() is called, for the connection that it ends: no answer in time, or nobody waits for one any more. Any thread. */
const char *sl_conn_cancel_why(struct sl_conn *c);
/* For kinds that work on the loop: timers, handles. */
struct sl_loop *sl_conn_loop(struct sl_conn *c);
/* From open() only: this connection is (not) BLOCKING, whatever its kind; up to n batches of one action may be out at once,
 * each with rows of other order keys (default 1). */
void sl_conn_set_blocking(struct sl_conn *c, bool blocking);
void sl_conn_set_ways(struct sl_conn *c, uint32_t n);
/* From open() only, for a kind that is ORDERED_BY_KEY: up to n batches of each way may be out (default 16). */
void sl_conn_set_depth(struct sl_conn *c, uint32_t n);

/* What a kind reports. Loop's thread, or the connection's own thread for BLOCKING kinds. text is copied. */
void sl_conn_up(struct sl_conn *c);
void sl_conn_down(struct sl_conn *c, int status, const char *fmt, ...) sl_printf(3, 4);
void sl_conn_closed(struct sl_conn *c);
void sl_conn_writable(struct sl_conn *c);
void sl_probe_done(struct sl_conn *c, int status, const char *text);
void sl_batch_reason(struct sl_batch *b, uint32_t i, const char *fmt, ...) sl_printf(3, 4);
/* Row i must be tried again: later rows of its order key that are still PENDING become LOST, so that they do not overtake it.
 * A kind that sends its rows one by one calls this and does not send them; one that has sent them already cannot keep the
 * order of this key, and says so in its README. */
void sl_batch_hold_key(struct sl_batch *b, uint32_t i);
void sl_batch_fill(struct sl_batch *b, enum sl_result r, const char *reason); /* all rows that are still PENDING */
/* The action cannot work as things stand and no row is to blame (no such table, no right): undecided rows become LOST
 * and wait, the connection shows DEGRADED with this text, which says what to do. Tried again after a pause; the first batch
 * without this call makes the action ready again. Then call sl_batch_done(). */
void sl_batch_not_ready(struct sl_batch *b, const char *fmt, ...) sl_printf(2, 3);
/* The same where it may be these rows' fault after all, and none of another kind was among them that would have told: the next
 * batches have more rows than `batch.rows`, twice as many each time, until one is among them that gets through. A kind that sees
 * rows get through while another one fails for the table's reason knows whose fault it is, and rejects that row: see
 * postgres/pg_probe.c, which asks the server once more before. */
void sl_batch_in_doubt(struct sl_batch *b, const char *fmt, ...) sl_printf(2, 3);
/* A hash that the i-th row has in every batch it goes out in: what is known only then (`${meta.delay_ms}`) is left out. */
uint64_t sl_batch_row_hash(const struct sl_batch *b, uint32_t i);
/* The connection is as it was: what is LOST of the batch comes again for a reason of the kind's (others of it were refused). */
void sl_batch_again(struct sl_batch *b);
void sl_batch_done(struct sl_batch *b);
/* Of a look: worth knowing, and no reason why the action could not work. */
void sl_batch_note(struct sl_batch *b, const char *fmt, ...) sl_printf(2, 3);
/* Some rows of the action wait for `what`, which is missing (a topic that a template names), while others go on: the connection
 * shows DEGRADED with this text, which says what to do. To be said with each row that comes back for it; of several the first is
 * shown. It ends by sl_action_goes_on() with the same `what`, or when nothing was said for longer than rows wait. Loop's thread. */
void sl_action_waits(struct sl_conn_action *a, const char *what, const char *fmt, ...) sl_printf(3, 4);
void sl_action_goes_on(struct sl_conn_action *a, const char *what);

/* The kinds built in, ended by NULL. */
extern const struct sl_connector_kind *const sl_connector_kinds[];

#endif
