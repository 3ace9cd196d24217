/* connectors.h: the face of the connector layer towards rules/ and the program: connections, actions, staging.
 *
 * Data path:
 *     worker:  sl_stage_row() appends the row to this worker's chunk for the action (memory of the chunk, no lock)
 *     worker:  sl_stages_flush() at the end of the tick: one letter with all chunks of the tick to the connector loop
 *              (a chunk that is full goes before: one lock for each 128 KB of rows)
 *     loop:    the pipeline takes the chunk: charges budgets, appends it to the log when it must survive, confirms it back to
 *              the worker (its tickets), sorts rows into lanes, cuts batches, submits, takes results, retries, splits, ends
 *
 * Counting: for every action, at every quiet point (the workers and connectors_loop() parked):
 *     received = delivered + rejected + dropped{overflow, expired, shutdown, damaged} + queued
 * (queued counts all that is not decided: staged and on its way, in memory, on disk, in flight, waiting for retry).
 *
 * Load, in the order of calls (all of it again on SIGHUP; a failure before commit changes nothing):
 *     connectors_prepare(cs, tree of `connectors:`, ...)      checks and fills the connections     -> set
 *     connectors_prepare_action(set, one action object, ...)  for each action with `connector:`    -> spec
 *         the caller compiles sl_action_spec_params() and sl_action_spec_order_key() with sql_template_compile()
 *     connectors_commit(cs, set, err)                         opens logs, starts what is new; what is equal is kept
 *         the caller hands the new rules to the workers, with sl_pipeline_stage(sl_action_spec_pipeline(spec), worker)
 *     connectors_commit_done(cs)                              no worker stages into the old pipelines any more: they drain
 *     connectors_set_free(set)                                specs end here; pipelines live on
 * `sluice check` stops after prepare.
 *
 * Threads: connectors_* and sl_action_spec_* on the main thread, unless said otherwise; sl_stage_* and
 * sl_stages_flush() on the worker that owns the stage. Only connectors_commit() (files) and connectors_stop() block. */
#ifndef CONNECTORS_H
#define CONNECTORS_H

#include <jansson.h>
#include <stdatomic.h>

#include "conf_report.h"
#include "connector.h"
#include "loop.h"
#include "origin.h"
#include "ticket.h"

struct connectors;     /* all connections of a process, and the loop they live on */
struct connectors_set; /* a configuration, checked and not yet in force */
struct sl_action_spec; /* one action of a set */
struct sl_pipeline;    /* one action's path */
struct sl_stage;       /* one worker's end of a pipeline */

/* ---- The service. ---------------------------------------------------------------------------------------------- */

struct connectors_opts {
	const char *data_dir;           /* logs in actions/, dead letters in dead/; copied */
	struct sl_loop *const *workers; /* confirmations go back to these; copied */
	size_t worker_count;
	uint64_t memory; /* for rows of all actions together; 0: no bound but each action's own */
};
/* Makes the service with its own loop; starts nothing and touches no file. */
int connectors_new(const struct connectors_opts *opts, struct connectors **out, struct sl_err *err);
int connectors_start(struct connectors *cs, struct sl_err *err); /* starts the loop's thread; before the first commit */

/* Delivers what is queued until the deadline, closes every connection and ends the loop. The workers' loops may still run, and
 * even stage: what they stage now is kept like the rest. False: connectors_stop_now() was called, and a client library has not
 * come back with its rows in the second that it was given: then connectors_abandon() takes the place of connectors_free(). */
bool connectors_stop(struct connectors *cs, uint64_t deadline_ms);
/* The stop begins, and who would get the messages of `on_error` is about to be sent away: rows that are given up from now on stay in
 * their logs, and are tried again after the next start. @thread any */
void connectors_keep_rejects(struct connectors *cs);
/* A stop that runs, or comes, waits for no delivery: nothing more is sent, rows stay in their logs. @thread any, until
 * connectors_free() */
void connectors_stop_now(struct connectors *cs);
/* Writes rows that are in memory only to their logs, frees nothing, for threads of client libraries are still at it: the process
 * must end now, by _exit(). A row that is out may have been stored and is kept all the same. */
void connectors_abandon(struct connectors *cs);
/* After stop, or never started, and after the workers' threads have ended: rows that are left go to the logs, or are counted as
 * dropped{shutdown} in a log line where a log has no room. NULL is fine. */
void connectors_free(struct connectors *cs);

struct sl_loop *connectors_loop(struct connectors *cs); /* for sl_loops_park() */

/* A rejected row on its way out: names and values as the action's parameters. Borrowed for the call. */
struct sl_reject {
	const char *rule;
	uint32_t action; /* index in `actions:`, from 0 */
	const struct sl_param *params;
	size_t param_count;
	const void *row;              /* sql_row_get(row, i) is params[i]'s value */
	const struct sl_origin *from; /* the message that the row comes from; NULL: not known, or not one alone */
	const char *reason;
	const char *connector, *type; /* of the action: name and kind */
	const char *destination;      /* "table readings"; NULL: the kind names none */
	uint32_t attempts;            /* made in vain, those before a replay among them */
	int64_t given_up_ms;          /* wall time */
	void *on_error;               /* what sl_action_spec_on_error_set() gave */
};
/* For actions with `on_error`: called on the connector loop. SL_OK: taken. SL_EINVAL: no message can be made of this row,
 * it goes to the dead-letter file. Anything else: the row stays queued and is offered again later. Set once, before
 * start. */
typedef int (*connectors_reject_fn)(void *arg, const struct sl_reject *r);
void connectors_on_reject(struct connectors *cs, connectors_reject_fn fn, void *arg);

/* A connection has another state: connecting, up, degraded, stalled, down, stopped. Borrowed for the call; text: why, or NULL. */
struct sl_connector_change {
	const char *name, *kind, *state, *previous, *text;
	int64_t at_ms;
};
/* Called on the connector loop for every change. Set once, before start. */
typedef void (*connectors_state_fn)(void *arg, const struct sl_connector_change *change);
void connectors_on_state(struct connectors *cs, connectors_state_fn fn, void *arg);

/* ---- Load: prepare aside, then commit. -------------------------------------------------------------------------- */

/* Checks the tree below `connectors:` (NULL: none) and makes a set of it. Mistakes go to the report; the set is made all
 * the same, so that actions can be checked too, but it must then not be committed. cs may be NULL for a mere check. */
int connectors_prepare(struct connectors *cs, const json_t *tree, struct conf_at at, struct conf_report *report,
		       struct connectors_set **out);
/* Checks one action object (it has a member `connector`). rule is copied. *out is NULL on failure; else it lives as long
 * as the set. */
int connectors_prepare_action(struct connectors_set *set, const char *rule, uint32_t index, const json_t *tree,
			      struct conf_at at, struct conf_report *report, struct sl_action_spec **out);
void connectors_set_free(struct connectors_set *set); /* NULL is fine; committed or not */

/* The values the action wants of each row, in this order; params[i].path says where its text stands in the action. */
const struct sl_param *sl_action_spec_params(const struct sl_action_spec *spec, size_t *count);
/* What is known of a row only when it is sent; `meta` of a template. Parameter `param` of the action is such a value: rows are
 * staged with a value of its kind (BOOL, INT) in its place. Before commit. */
enum sl_late { SL_LATE_NONE, SL_LATE_REPLAYED, SL_LATE_DELAY_MS };
void sl_action_spec_late(struct sl_action_spec *spec, size_t param, enum sl_late what);
/* How parameter `param`, or `_id` of the whole row that it is, holds the message's identifier. Before commit. */
void sl_action_spec_msgid(struct sl_action_spec *spec, size_t param, enum sl_msgid how);
/* A hash of what makes the rows that its templates read, the rule's SQL: where it changes, a template of the same text may make another
 * value. Before commit; 0 when never called. */
void sl_action_spec_rows_of(struct sl_action_spec *spec, uint64_t hash);
/* What tells it from a rule's other actions, wherever it stands (likeness.h). Borrowed until the set is committed. */
const char *sl_action_spec_face(const struct sl_action_spec *spec);
bool sl_action_spec_enabled(const struct sl_action_spec *spec); /* false: stage no rows for it */
/* The template of the order key (SQL_TO_TEXT), or NULL for `order: none`: then any hash will do. The hash given to
 * sl_stage_row() must be sl_hash_stable() of the key's text, for rows outlive the process. */
const char *sl_action_spec_order_key(const struct sl_action_spec *spec);
/* The tree of `on_error` (borrowed) or NULL; its checks are the caller's. */
const json_t *sl_action_spec_on_error(const struct sl_action_spec *spec);
/* What sl_reject.on_error shall be. The caller keeps it alive until release(on_error) is called (on the connector loop, or
 * by whoever frees the set). A spec without it sends rejected rows to the dead-letter file. */
void sl_action_spec_on_error_set(struct sl_action_spec *spec, void *on_error, void (*release)(void *on_error));

/* What rows of all actions of a set may take at most, by each action's own settings. */
struct connectors_budget {
	size_t actions, counted; /* counted: those with a bound of rows */
	uint64_t memory, disk, rows;
	bool disk_unlimited; /* an action has no bound */
};
void connectors_budget(const struct connectors_set *set, struct connectors_budget *out);
int connectors_disk_free(const char *data_dir, uint64_t *bytes); /* SL_ESYSTEM: it is not there, say */

/* For dry runs, before commit: the kind's name, and what it would send of one row (sql_row.h) with the values of the params:
 * bytes are appended. SL_EUNSUPPORTED: the kind has none to show. */
const char *sl_action_spec_type(const struct sl_action_spec *spec);
int sl_action_spec_encode(const struct sl_action_spec *spec, const void *row, struct sl_buf *out, struct sl_err *err);

/* Puts the set in force. On failure (a log that cannot be opened) nothing has changed. Connections and pipelines with
 * equal settings are kept with queues and counters; what is gone goes on delivering until it is empty. */
int connectors_commit(struct connectors *cs, struct connectors_set *set, struct sl_err *err);
void connectors_commit_done(struct connectors *cs);
struct sl_pipeline *sl_action_spec_pipeline(const struct sl_action_spec *spec); /* after commit; NULL before */

/* ---- Staging, on a worker. --------------------------------------------------------------------------------------- */

struct sl_stage *sl_pipeline_stage(struct sl_pipeline *p, size_t worker);

/* A row will be staged soon, or very soon: asks for the memory that it will go to. */
void sl_stage_expect(const struct sl_stage *st, bool qos, bool very_soon);

/* Freezes one row, with what a dead letter says of the message that it comes from; its QoS and time are the row's. ticket
 * (or NULL) is raised once for each chunk that it must wait for, and lowered on this worker, never before the next
 * sl_stages_flush(), when the chunk is safe. */
/* False: it was taken, but there is no room for more. Who published it should not be heard until sl_stage_room() says so;
 * that is to be asked again whenever the callback below is called, or rules change. */
bool sl_stage_row(struct sl_stage *st, const struct sql_value *values, uint16_t count, uint64_t order,
		  const struct sl_origin *from, struct sl_ticket *ticket);
/* On the stage's worker. False: wait for the callback. */
bool sl_stage_room(struct sl_stage *st, bool qos);
/* The same of all stages of a worker: is there room on the way to the connectors? */
bool sl_stages_room(struct connectors *cs, size_t worker);
/* Before a message is taken of which this stage would get a row: true when not even that one may come, for those who publish
 * for it have filled what may be held, however many they are. Wait then as above. Need not be asked while *sl_stages_gate() is
 * 0, which is a load for each message and lives as long as `cs`. @thread the stage's worker */
bool sl_stage_shut(struct sl_stage *st, bool qos);
const _Atomic uint32_t *sl_stages_gate(const struct connectors *cs, size_t worker);
/* There may be room again for those who wait on this worker. Set once, before start. @thread the worker */
typedef void (*connectors_room_fn)(void *arg, size_t worker);
void connectors_on_room(struct connectors *cs, connectors_room_fn fn, void *arg);
/* Sends what this worker staged since the last call: from a SL_PHASE_STAGE hook. */
void sl_stages_flush(struct connectors *cs, size_t worker);
/* The action is full and makes publishers wait (overflow: hold): a message for it may be refused with 0x97. */
bool sl_stage_holding(const struct sl_stage *st);

/* ---- Status. ------------------------------------------------------------------------------------------------------- */

/* Pages are made in three steps, so that the loops stand still for no longer than it takes to copy numbers:
 *
 *     s = connectors_snapshot_new(cs);                                   lists what there is, and makes room
 *     sl_loops_park(workers and connectors_loop(), <calls connectors_snapshot_take(s)>);
 *     connectors_status(s, out), connectors_prometheus(s, out);          text
 *     connectors_snapshot_free(s);
 *
 * Until it is freed, nothing that it lists ends; what is replaced meanwhile waits. Freed before connectors_free().
 * @thread any but a loop's, one at a time; connectors_snapshot_new() not while parked. */
struct connectors_snapshot;
struct connectors_snapshot *connectors_snapshot_new(struct connectors *cs) sl_warn_unused;
void connectors_snapshot_take(struct connectors_snapshot *s); /* parked; may be called again */
void connectors_snapshot_free(struct connectors_snapshot *s); /* NULL is fine */

/* Sets members "connectors" and "actions" of out (docs: connectors/README.md). Parks the connector loop for a moment. */
void connectors_status(const struct connectors_snapshot *s, json_t *out);
/* Is a connector or a source not simply up, a queue nearly full, or has an action a problem with its files? Then sets members
 * "connectors", "sources", "queues" and "actions" of out to these, with state, since when and why. */
bool connectors_trouble(const struct connectors_snapshot *s, json_t *out);
/* Before commit: sets member "connectors" of out to what a status page would say of them, but for their states. */
void connectors_definitions(const struct connectors_set *set, json_t *out);
/* Before commit: calls one for each server that the settings of a connector name, as they name it. */
typedef void (*connectors_target_fn)(void *arg, const char *connector, const char *target);
void connectors_targets(const struct connectors_set *set, connectors_target_fn one, void *arg);
void connectors_prometheus(const struct connectors_snapshot *s, struct sl_buf *out);

/* One action's numbers, for tests; parked. */
struct sl_action_counts {
	/* recovered: read back from the log at start; replayed: given back from the dead letters; both part of received */
	uint64_t received, recovered, replayed;
	uint64_t delivered, rejected, dropped_overflow, dropped_expired, dropped_shutdown, dropped_damaged;
	uint64_t queued; /* counted, not derived */
	uint64_t queued_bytes, disk_bytes;
	uint64_t retried, maybe_duplicate, batches;
};
void sl_pipeline_counts(const struct sl_pipeline *p, struct sl_action_counts *out);

/* ---- Documents. ------------------------------------------------------------------------------------------------------ */

/* The reference of all kinds and of what every action takes, in Markdown. @thread any */
void connectors_describe(struct sl_buf *out);

#endif
