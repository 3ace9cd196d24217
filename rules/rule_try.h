/* rule_try.h: one rule on messages, outside of any worker: for `sluice sql`, `sluice test` and for dry runs.
 *
 * The same index, plan, extraction, vm, templates and encoders as on the publish path. Actions are evaluated and then
 * described instead of delivered: nothing is opened, sent or written.
 *
 *     t = rule_try_new(set, "sluice");                     a set of one rule
 *     rule_try_run(t, &event, &result)                     once a message, in the order of their times
 *     rule_try_free(t);
 *
 * What a worker keeps for the rule from message to message lives in the try: a new one begins with nothing.
 *
 * Thread: any, one call at a time. Never blocks. */
#ifndef RULE_TRY_H
#define RULE_TRY_H

#include "rules.h"
#include "ruleset.h"

/* Times of messages end with the year 9999, so that sums of them are numbers. In ms since 1970. */
#define RULE_TRY_TIME_MAX INT64_C(253402300799999)

enum rule_try_outcome {
	RULE_TRY_ROWS,     /* it ran; rows may be none */
	RULE_TRY_NO_TOPIC, /* FROM said no */
	RULE_TRY_NO_MATCH, /* WHERE said no */
	RULE_TRY_FAILED    /* the run failed: err says why */
};

/* What became of one message. */
struct rule_try_result {
	enum rule_try_outcome outcome;
	struct sl_buf rows; /* JSON objects, one a line */
	struct sl_buf
	    actions; /* what each action would get of each row: JSON objects, one a line (action_describe.h) */
	struct sl_err err;
};
#define RULE_TRY_RESULT_INIT                                                                                           \
	{ 0 }
void rule_try_result_fini(struct rule_try_result *result); /* also makes it ready to be used again */

/* A complete set that holds one rule. Takes over r, enabled or not. */
struct ruleset *rule_try_set(struct rule *r) sl_warn_unused;

struct rule_try;
struct rule_try *rule_try_new(struct ruleset *set, const char *node) sl_warn_unused; /* keeps a reference to set */
void rule_try_free(struct rule_try *t);                                              /* NULL is fine */

/* Runs the rule on ev. `result` is made empty first. */
void rule_try_run(struct rule_try *t, const struct rules_event *ev, struct rule_try_result *result);

/* Rules with GROUP BY: a message's run gives no rows of its own, but those of windows that have ended by its time. This gives
 * what has ended at now_ms; INT64_MAX: all that is open. `result` is made empty first; without windows it stays so. */
void rule_try_advance(struct rule_try *t, int64_t now_ms, struct rule_try_result *result);

/* All of it for one message, windows ending right after it: takes over r; *rows gets the rows appended as JSON objects, one a line. */
enum rule_try_outcome rule_try(struct rule *r, const struct rules_event *ev, const char *node, struct sl_buf *rows,
			       struct sl_err *err);

#endif
