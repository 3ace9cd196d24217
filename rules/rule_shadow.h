/* rule_shadow.h: a changed version of a rule that runs beside it on the same live messages (option `shadow`). Its rows go
 * nowhere; they are compared with the rule's, byte by byte as JSON, message by message.
 *
 *     same         both gave the same rows, or none, or both failed
 *     different    one gave other rows than the other, or the rule failed and the shadow did not
 *     failed       the shadow failed and the rule did not
 *
 * In a set the shadow is a rule of its own behind the one it belongs to: indexed by its own FROM, visited when it may match
 * by its own conditions, with a memory of its own. It has no actions, no place in the table of ids, and counts nowhere but
 * here. A plan that has a shadow among its candidates compares at the end of each event; others pay a branch for each visit.
 *
 * Lifetime: counted references; a reload hands it on while both texts stay. Thread: cells a worker's, read by any; the
 * differences have a lock that a worker only tries: when a page is being written, that difference is counted and not kept. */
#ifndef RULE_SHADOW_H
#define RULE_SHADOW_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "buf.h"
#include "sql.h"

enum { RULE_SHADOWS_MAX = 1000, RULE_SHADOW_KEPT = 5, RULE_SHADOW_TEXT_MAX = 1000 };

struct rules_event;
struct rules_worker;
struct rule_plan;
struct rule_plan_candidate;

struct shadow_cell {
	_Atomic uint64_t same, different, failed;
} __attribute__((aligned(64)));

struct shadow_difference {
	int64_t at_ms;
	struct sl_buf topic, rule, shadow; /* rows as JSON, one a line, or why it failed; cut at RULE_SHADOW_TEXT_MAX */
};

struct rule_shadow {
	_Atomic uint32_t refs;
	size_t workers;
	struct shadow_cell *cells; /* one a worker */
	pthread_mutex_t lock;
	uint64_t kept; /* ever */
	struct shadow_difference last[RULE_SHADOW_KEPT];
};

struct rule_shadow *rule_shadow_new(size_t workers) sl_warn_unused;
struct rule_shadow *rule_shadow_ref(struct rule_shadow *s);
void rule_shadow_unref(struct rule_shadow *s); /* NULL is fine */

struct rule_shadow_sum {
	uint64_t same, different, failed;
};
struct rule_shadow_sum rule_shadow_sum(const struct rule_shadow *s); /* @thread any */
/* The numbers and the last differences, newest first, as members of an object. @thread any but a worker's */
void rule_shadow_status(struct rule_shadow *s, json_t *out);

/* ---- on a worker ---- */

/* What came of a rule and of its shadow for the event at hand. */
struct shadow_run {
	enum sql_outcome outcome[2]; /* of the rule, of the shadow */
	struct sl_buf rows[2];       /* or why it failed */
};

/* Before a candidate that has to do with a shadow runs: *state becomes the one that it may use. */
void rule_shadow_begin(struct rules_worker *rw, const struct rule_plan_candidate *c, struct sql_state *state);
/* A sql_row_fn for such a candidate. arg: struct action_cause. */
int rule_shadow_row(void *arg, struct sql_vm *vm, const struct sql_out *row);
/* After its run. True: it was the shadow, of which nothing more is to be counted. */
bool rule_shadow_ran(struct rules_worker *rw, const struct rule_plan_candidate *c, enum sql_outcome outcome,
		     struct sql_state *state);
/* After all candidates of an event. */
void rule_shadow_compare(struct rules_worker *rw, const struct rule_plan *plan, const struct rules_event *ev);
/* Room for the plan's runs; when a plan is made, and when the worker ends. */
void rule_shadow_room(struct rules_worker *rw, const struct rule_plan *plan);
void rule_shadow_room_fini(struct rules_worker *rw);

#endif
