/* plan_share.h: which expressions do the candidates of a plan have in common (sql_share.h)? Each that at least two have gets
 * a slot; one that only ever stands in a larger one that has a slot needs none.
 *
 * A rule that guards are looked up for, and that has the shape of others, keeps to its shape: of thousands like it a message
 * visits a few.
 *
 * Lifetime: maps live in the plan's arena. Thread: the worker's; only while a plan is made. */
#ifndef PLAN_SHARE_H
#define PLAN_SHARE_H

#include "rule_plan.h"

/* Sets shares and share_map of the candidates, and plan->slots. Guards are known, shapes not yet. */
void plan_share(struct rule_plan *plan);

#endif
