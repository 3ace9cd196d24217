/* rules.h: the face of the rule engine: a message goes in, rows go to actions.
 *
 *     struct rules            one per process: the current rule set, reload, status
 *     struct rules_worker     one per worker loop: vm, topic cache, plans, counters, staged rows
 *     rules_eval()            every publish comes through here, on the worker of its publisher
 *
 * What a publish costs: where no rule reads messages, one branch. With rules elsewhere, one look-up in the worker's topic
 * cache (rules_find()), before anything is said of the message but its topic.
 * With candidates: one JSON pass for all of them together, then each one's WHERE, then rows into the worker's staging
 * chunks. No lock, no allocation per rule. Staged rows leave at the end of the tick (SL_PHASE_STAGE).
 *
 * Durability: when an action keeps rows of QoS 1 and 2 messages on disk (buffer.durability qos or disk), the publisher's
 * PUBACK or PUBREC must wait until the row is in the log. The caller passes a ticket; rules_eval() raises
 * ticket->pending once for each chunk of rows it must wait for, and when the last of them is confirmed, ticket->done()
 * runs on the same worker, never from inside rules_eval(). pending == 0 on return: acknowledge at once. Rows of messages
 * that a rule republishes because of this one count too.
 *
 * Sets of rules are immutable: a reload compiles a new one aside, then each worker changes over between two messages, and
 * the old one is freed when the last has. Counters of rules that stay (same id) go on.
 *
 * Start:   rules_new -> rules_prepare -> rules_commit -> rules_worker_new for each worker -> loops start
 * Reload:  rules_prepare (any error: rules_discard, nothing has changed) -> rules_commit
 * Stop:    no more rules_eval -> loops joined -> rules_worker_free for each -> rules_free
 *
 * Thread: rules_eval() and the rules_worker on their worker; rules_* else on the main thread unless said. */
#ifndef RULES_H
#define RULES_H

#include <jansson.h>

#include "attr.h"
#include "conf_report.h"
#include "connectors.h"
#include "err.h"
#include "loop.h"
#include "metrics.h"
#include "rules_event.h"
#include "rules_host.h"
#include "slice.h"
#include "ticket.h"

struct rules;
struct rules_worker;
struct rules_prepared; /* a compiled set that nobody runs yet */

enum { RULES_HOPS_MAX = 8 }; /* how often a message may be republished by rules, one out of the other */

/* ---- For the program: load, reload, status. --------------------------------------------------------------------- */

struct rules_opts {
	struct rules_host host;        /* copied; publish may be NULL in a mere check */
	struct connectors *connectors; /* NULL: actions with a connector are refused */
	struct sl_loop *home;          /* where a change-over ends (rules_commit); NULL: on the connectors' loop */
	const char *node;              /* the `node` column; copied */
	const char *account;           /* accountid() of the aws dialect; copied. NULL: Undefined */
	uint32_t worker_count;         /* 0 in a mere check */
	uint32_t hops_max;             /* 0 = RULES_HOPS_MAX */
	size_t state_bytes_max;        /* what rules may remember (sql_state.h); 0: SQL_STATE_DEFAULT_MB */
};
struct rules *rules_new(const struct rules_opts *opts) sl_warn_unused;
void rules_free(struct rules *r); /* NULL is fine; its workers are freed before */

/* Compiles the tree below `rules:` (NULL: none) aside. `connectors` is the connectors' half of the same configuration.
 * SL_OK and *out; or the status of the first mistake, all of them in the report, and *out NULL. */
int rules_prepare(struct rules *r, const json_t *tree, struct conf_at at, struct connectors_set *connectors,
		  struct conf_report *report, struct rules_prepared **out);
void rules_discard(struct rules_prepared *p); /* NULL is fine */

/* Puts the set in force and takes it over; call it after connectors_commit(), while the connectors' set is there. Each
 * worker changes over between two messages. When the last has, done(arg) runs (on `home`; without connectors on the last
 * worker; from inside this call when no worker runs yet): no worker stages into what belonged to the old set any more, so it
 * calls connectors_commit_done(). May be called again before that. */
typedef void (*rules_commit_cb)(void *arg);
void rules_commit(struct rules *r, struct rules_prepared *p, rules_commit_cb done, void *arg);

/* One for each worker, before its loop starts. With a loop: staged rows leave by themselves at the end of each tick.
 * Without (tests, benchmarks): the caller calls sl_stages_flush(). metrics: the worker's shard, or NULL.
 * Freed when the loop has ended and before it is freed. */
struct rules_worker *rules_worker_new(struct rules *r, size_t index, struct sl_loop *loop,
				      struct sl_metrics *metrics) sl_warn_unused;
void rules_worker_free(struct rules_worker *rw); /* NULL is fine */

/* A clean stop: rows of all windows that are open, ended or not, go to the actions. The workers' loops run; nobody publishes
 * any more. Blocks until it is done. */
void rules_let_out(struct rules *r);

/* Status pages. Workers stand still only while plain numbers are copied; before it room is made, after it text:
 *
 *     do {
 *         s = rules_snapshot_new(r);
 *         sl_loops_park(workers, n, <calls rules_snapshot_take(s)>);       all of a page in one such moment
 *     } while (it returned false: free it and begin again);
 *     while (rules_snapshot_failures_next(s)) sl_loops_park(workers, n, rules_snapshot_failures_take, s);
 *     rules_status(s, out), rules_prometheus(s, out);
 *     rules_snapshot_free(s);
 *
 * Failures (texts) come in small helpings of their own, and only when there are some; they are newer than the counters by
 * that much. The snapshot holds on to its set of rules: a reload waits for nothing, and names stay valid.
 * @thread any but a loop's; one at a time. rules_snapshot_new() not while parked. */
struct rules_snapshot;
struct rules_snapshot *rules_snapshot_new(struct rules *r) sl_warn_unused;
bool rules_snapshot_take(struct rules_snapshot *s);          /* parked. False: the rules were replaced meanwhile */
bool rules_snapshot_failures_next(struct rules_snapshot *s); /* makes room; false: no more to take */
void rules_snapshot_failures_take(void *snapshot);           /* parked */
void rules_snapshot_free(struct rules_snapshot *s);          /* NULL is fine */

/* Sets member "rules" of out (rules/README.md); the families per rule and action. */
void rules_status(const struct rules_snapshot *s, json_t *out);
/* Sets member "rules" of out to what rules_status() would say of these, but for what counts. */
void rules_definitions(const struct rules_prepared *p, json_t *out);
void rules_prometheus(const struct rules_snapshot *s, struct sl_buf *out);

/* The reference (rules/reference.md): options, actions, columns. @thread any */
void rules_describe(struct sl_buf *out);

/* ---- For the broker: one call a publish. Events have theirs in rules_event.h. ------------------------------------- */

/* What the engine sees of a publish. Borrowed for the call. */
struct rules_event {
	struct sl_slice topic, payload;
	struct sl_slice clientid, username, peer; /* peer: "address:port" */
	uint64_t topic_hash;                      /* sl_hash(topic) */
	int64_t at_ms;                            /* wall time of arrival */
	uint8_t qos, version;                     /* version: 4 or 5 */
	bool retain, dup;
	uint8_t hops;                    /* 0 for a client's own */
	struct sl_slice user_properties; /* the message's MQTT 5 properties as in the packet; others are skipped */
	struct sl_slice content_type, response_topic, correlation_data;
	int64_t message_expiry_s; /* -1 = none */
	int32_t payload_format;   /* -1 = none */
	/* For the aws dialect; empty when not known. principal: the certificate's thumbprint (the user name stands in for it);
	 * accountid: NULL is the configured one; traceid: a UUID (one is made up from the message's id). */
	struct sl_slice principal, accountid, traceid;
	const struct sl_attr *attrs; /* of the client: what authenticators know of it */
	size_t attrs_len;
	bool superuser;
	bool basic_ingest; /* was published to $aws/rules/RULE/..., of which topic is the rest: FROM may be missing */
	uint64_t number;   /* of the message: no other of this process has it; 0: not known */
	/* Of events (rules_event.h); a message's are 0. `at_ms` is then when the event happened. */
	uint8_t kind; /* enum rules_event_kind */
	const struct rules_about *about;
	int64_t published_ms; /* when the message that it is about arrived */
};

/* Returns false when no rule has ever to look at a message of this set: a branch for the caller to skip the rest. */
static inline bool rules_any(const struct rules_worker *rw) {
	return ((const struct rules_wants *)(const void *)rw)->messages;
}

/* Rows of what was run since the last call have filled what memory there is for rows (connectors/README.md): whoever published it
 * should not be read from until rules_room() says so of what is returned and the message's QoS, to be asked again whenever the host's room() is
 * called. NULL: there is room. */
static inline struct sl_stage *rules_no_room(struct rules_worker *rw) {
	struct rules_wants *wants = (struct rules_wants *)(void *)rw;
	struct sl_stage *full = wants->no_room;
	wants->no_room = NULL;
	return full;
}
bool rules_room(struct sl_stage *full, uint8_t qos);
/* The same of whatever rows may come. False: wait for room(). */
bool rules_room_for_any(struct rules_worker *rw);

/* Before a message of a client is taken: might it be that no row of it may come? Then rules_shut() knows: the rules that could give
 * one are run without effect; what is returned is waited for as above, and NULL is to take the message. */
static inline bool rules_gate(const struct rules_worker *rw) {
	const struct rules_wants *wants = (const struct rules_wants *)(const void *)rw;
	return wants->messages && atomic_load_explicit(wants->gate, memory_order_relaxed) != 0;
}
struct sl_stage *rules_shut(struct rules_worker *rw, const struct rules_event *ev);

/* What is to be done for messages of this topic; NULL: no rule reads it, and the caller need not say more of the message.
 * Borrowed until the next call of anything here. */
struct rule_plan;
struct rule_plan *rules_find(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash);

/* Evaluates the event against the current set, with what rules_find() gave for its topic. ticket may be NULL for QoS 0.
 * Never fails: failures of rules are counted per rule and kept in their failure ring. */
void rules_run(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev, struct sl_ticket *ticket);
/* Both. */
void rules_eval(struct rules_worker *rw, const struct rules_event *ev, struct sl_ticket *ticket);

/* The client's connection has ended: what proc_dict_put() kept for it goes. A branch when there is nothing. */
void rules_connection_closed(struct rules_worker *rw, struct sl_slice clientid);

/* A message whose topic is `$aws/rules/RULE/...` (basic_ingest.h): to that rule and no other. True when it is such a topic:
 * then it is nobody else's. A rule that is not there: counted, logged, true. */
bool rules_ingest(struct rules_worker *rw, const struct rules_event *ev, struct sl_ticket *ticket);

#endif
