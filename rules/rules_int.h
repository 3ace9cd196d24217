/* rules_int.h: the insides of struct rules and struct rules_worker, for the files of this folder. */
#ifndef RULES_INT_H
#define RULES_INT_H

#include "republish_queue.h"
#include "rule_memory.h"
#include "rule_plan.h"
#include "rules.h"
#include "sources.h"
#include "sql_share.h"
#include "topic_cache.h"

enum {
	/* Topics a worker remembers. A steady crowd of as many devices, each with a topic of its own, is all hits. */
	RULES_CACHE_ENTRIES = 128 * 1024,
	RULES_CACHE_SWEEP_MS = 1000,
	RULES_CACHE_SWEEP_PLACES = 4096,
	RULES_PLANS_SWEEP_PLACES = 16,
};

struct rules {
	struct rules_host host;
	struct connectors *connectors;
	struct sl_loop *home;
	struct sl_slice node, account; /* owned */
	uint32_t worker_count, hops_max;
	struct rule_state state; /* what rules remember */
	struct ruleset *set;     /* the newest committed; workers may be a moment behind. Never NULL */
	/* worker_count; NULL where none was made yet. Atomic, for the connector loop may have a rejected row to send before
	 * the workers are there. */
	struct rules_worker *_Atomic *workers;
	struct sql_vm *reject_vm;           /* the connector loop's: makes messages of rejected rows */
	struct state_letter *_Atomic early; /* changes of connectors that no worker was there for yet, newest first */
};

struct rules_worker {
	/* What every message reads stands together. */
	struct rules_wants wants; /* first: rules_any() and rules_event_wanted() read it */
	struct rules *rules;
	struct topic_cache *cache; /* topic -> struct rule_plan, or NULL: no candidate */
	uint64_t generation;       /* grows with each set: what the topic cache goes by */
	struct sql_vm *vm;
	struct jpath_hit *hits;
	struct action_row *rows; /* of the run that is on, until it ends well */
	size_t rows_len, rows_cap;
	size_t rows_made;         /* rows of that run, whatever the number of actions, */
	struct sql_out row;       /* and the last of them */
	struct sl_stage **stages; /* by action_connector.slot */
	uint64_t serial;          /* of the event at hand, or the window's row */
	uint64_t any_order;       /* spreads the rows of actions without order over the lanes */
	struct sl_metrics *metrics;
	size_t index;
	struct republish_queue queue;
	struct sl_ticket *ticket; /* of the publish that the messages in `queue` come from */

	struct sl_loop *loop;      /* NULL in tests and tools that call rules_worker_flush() themselves */
	const struct ruleset *set; /* the one this worker runs */
	struct rule_plans plans;
	size_t hits_cap;
	struct rule_filters filters;    /* room for a look-up */
	struct shadow_run *shadow_runs; /* rule_shadow.h: room for the pairs of a plan; all filtered between events */
	size_t shadow_cap;
	struct sl_buf *shadow_rows;     /* of the run that is on */
	struct bit_tree survivors;      /* of the candidates of a plan; empty between events */
	struct sql_share share;         /* what rules of the event at hand have in common */
	struct sl_metrics *own_metrics; /* when the caller gave none */
	struct sl_hook stage_hook;
	struct sl_deferred settle; /* publishes what events have caused */
	struct rule_plan
	    *kind_plans[EVENT_AWS_FIRST]; /* of events, with plans_known a bit for each that was looked up */
	uint32_t plans_known;
	struct sl_buf aws_topic, aws_payload; /* of the event at hand */
	struct sl_timer sweep_timer;
	struct sl_timer window_timer; /* rules_windows.h */
	struct sl_arena window_arena;
	const struct rule **window_rules; /* those that this worker closes */
	size_t window_count, window_cap;
	struct sl_stage *window_full; /* rows of windows went there, and there was no room for more; NULL: none */
};

/* Lets the worker run `set` from the next message on; forgets everything of the former. */
void rules_worker_use(struct rules_worker *rw, const struct ruleset *set);

/* Publishes what is in rw->queue, and what that causes. Empties the queue. */
void rules_republish_drain(struct rules_worker *rw);
/* The same, unless it is empty or on its way out already. Not in the middle of a delivery. */
void rules_settle(struct rules_worker *rw);

/* rule_eval.c: the plan for a topic, a strong reference or NULL: no rule reads it. */
struct rule_plan *rules_plan_of(struct rules_worker *rw, struct sl_slice topic) sl_warn_unused;
/* The same through the topic cache, for a message: borrowed until the next look-up. */
struct rule_plan *rules_plan_find(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash);
/* Gives the cache a reference to keep. */
void rules_plan_keep(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash, struct rule_plan *plan);
/* A sql_row_fn: evaluates the rule's actions of the row into rw->rows. arg: struct action_cause. */
int rules_row_add(void *arg, struct sql_vm *vm, const struct sql_out *row);
/* Runs the rules of the plan. rules_plan_publish() then lets out what they republish. */
void rules_plan_run(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev,
		    struct sl_ticket *ticket);
void rules_plan_publish(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev,
			struct sl_ticket *ticket);
struct sl_stage *rules_plan_shut(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev);

/* rules_events.c: a worker's part in events. use: the set has changed; forget: it is about to, or the worker ends. */
void rules_events_init(struct rules_worker *rw);
void rules_events_use(struct rules_worker *rw);
void rules_events_forget(struct rules_worker *rw);
void rules_events_fini(struct rules_worker *rw);

/* rules_connector.c: a connectors_state_fn; what waits for the first worker, once that is there. */
void rules_connector_state(void *arg, const struct sl_connector_change *change);
void rules_connector_early(struct rules *r);
void rules_connector_fini(struct rules *r);

/* rules_source.c: a connectors_source_fn. */
bool rules_source_batch(void *arg, size_t worker, const struct sl_source_batch *b);

#endif
