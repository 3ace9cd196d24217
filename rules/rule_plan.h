/* rule_plan.h: what a worker has to do for a message of one topic: the candidate rules, in order, and the payload paths
 * that all of them together may read, to be extracted in one pass.
 *
 * Plans are shared: a hundred thousand topics that reach the same rules by the same filters have one plan. The table of
 * plans is found by the list of candidates; a topic cache holds references.
 *
 *     candidates  hot (payload.t, payload.unit)   cold (payload.t)
 *     one set     0 payload.t   1 payload.unit
 *     maps        hot: identity                   cold: 0
 *
 * A path number has 16 bits; where the union has more paths than that, the candidates fall into groups, and the first of
 * each group carries the set (`pass`) that serves it and those behind it.
 *
 * Lifetime: a plan while referenced, and no longer than the rule set it was made from.
 * Thread: table and plans belong to one worker. Making a plan allocates; using one does not. */
#ifndef RULE_PLAN_H
#define RULE_PLAN_H

#include "jpath.h"
#include "rule_index.h"
#include "ruleset.h"

enum { RULE_PLAN_PATHS_MAX = 65535 }; /* of one pass */

struct rule_plan_candidate {
	const struct rule *rule;
	struct rule_cell *cell; /* this worker's */
	struct sl_slice id, matched;
	const uint16_t *map;          /* program path number -> hit; NULL: the same number */
	const struct jpath_set *pass; /* the set that serves this rule and those behind it; NULL: the former one's */
};

struct rule_plan {
	uint32_t refs;
	uint32_t count;
	struct rule_plan_candidate *at;
	/* The rest is for making and freeing. */
	uint64_t hash;
	uint64_t *key; /* the list of candidates */
	struct jpath_set **passes;
	size_t pass_count;
	uint16_t *maps; /* of all candidates */
};

struct rule_plans {
	const struct ruleset *set; /* borrowed */
	size_t worker;
	size_t hits_max; /* the most paths any plan's pass has had: how many hits the caller must have room for */
	struct rule_plan_map *table; /* private */
};

void rule_plans_init(struct rule_plans *plans, const struct ruleset *set, size_t worker);
void rule_plans_fini(struct rule_plans *plans); /* every plan has been given back */
size_t rule_plans_count(const struct rule_plans *plans);

/* The plan for these candidates (at least one): a strong reference, to be given back with rule_plan_unref(). */
struct rule_plan *rule_plans_get(struct rule_plans *plans, const struct rule_candidates *candidates) sl_warn_unused;
void rule_plan_unref(struct rule_plans *plans, struct rule_plan *plan);

/* One pass over one payload, made when the first rule that it serves gets to read a path, and never twice. */
struct rule_pass {
	const struct jpath_set *set;
	struct sl_slice payload;
	struct jpath_hit *hits; /* hits_max of them */
	bool done;
	int status;
};
int rule_pass_extract(void *pass); /* sql_input.extract */

#endif
