/* rule_try.h: one rule on one message, outside of any worker: for `sluice sql` and for dry runs.
 *
 * The same index, plan, extraction, vm and encoder as on the publish path; only the actions are left out.
 *
 * Thread: any, one call at a time per rule. Never blocks. */
#ifndef RULE_TRY_H
#define RULE_TRY_H

#include "rule.h"
#include "rules.h"

enum rule_try_outcome {
	RULE_TRY_ROWS,     /* it ran; rows may be none */
	RULE_TRY_NO_TOPIC, /* FROM said no */
	RULE_TRY_NO_MATCH, /* WHERE said no */
	RULE_TRY_FAILED    /* the run failed: err says why */
};

/* Takes over r (its set is made, used and freed). *rows gets the rows appended as JSON objects, one a line. */
enum rule_try_outcome rule_try(struct rule *r, const struct rules_event *ev, const char *node, struct sl_buf *rows,
			       struct sl_err *err);

#endif
