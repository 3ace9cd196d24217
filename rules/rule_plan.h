/* rule_plan.h: what a worker has to do for a message of one topic: the candidate rules, in order, which of them a message
 * can still match (guard_index.h), and the payload paths that they may read, to be extracted together.
 *
 * Plans are shared: a hundred thousand topics that match the same filters have one plan. The table of plans is found by the
 * list of filters; a topic cache holds references. Where each of very many topics has a list of its own beside a filter with
 * thousands of rules, their plans are bounded (alive_max), for a candidate is some 250 bytes: topics not asked for lately
 * give theirs back.
 *
 *     candidates  hot (payload.t, payload.unit)   cold (payload.t)
 *     one set     0 payload.t   1 payload.unit
 *     maps        hot: identity                   cold: 0
 *
 * The first pass holds what guards read. Rules that every message visits share passes; so do guarded ones as long as the
 * first pass stays small. Of thousands of guarded rules with paths of their own a message visits a few: each of these has a
 * pass to itself, whose set is made when it is first visited. A path number has 16 bits; where a union has more paths than
 * that, another pass begins.
 *
 * Counters: a plan counts its events. A candidate's share of that - matched once each time, and filtered unless the visit
 * said something else - is added to its cell when somebody looks (rule_plans_count_in()) or the plan ends.
 *
 * Lifetime: a plan while referenced, and no longer than the rule set it was made from.
 * Thread: table and plans belong to one worker; rule_plans_count_in() also while that stands still. Making a plan allocates;
 * using one does not, but for a rule's own set. */
#ifndef RULE_PLAN_H
#define RULE_PLAN_H

#include "guard_index.h"
#include "jpath.h"
#include "rule_index.h"
#include "ruleset.h"
#include "sql_shape.h"

enum {
	RULE_PLAN_PATHS_MAX = 65535,    /* of one pass */
	RULE_PLAN_SHARED_MAX = 64,      /* guarded rules join a pass up to here */
	RULE_PLANS_ALIVE_MAX = 1 << 19, /* of a worker: some 130 MB */
};

/* Two cache lines, for of ten thousand any one may be the next to be visited. Candidates of one shape (sql_shape.h) run the
 * program of the first of them, with constants that stand together. */
enum { RULE_PLAN_NO_PASS = 0xffff, RULE_PLAN_ALONE = 0xfffe };
struct rule_plan_candidate {
	const struct sql_program *program;
	const struct sql_value *constants; /* NULL: the program's */
	const struct rule *rule;
	struct rule_cell *cell; /* this worker's */
	const char *id;
	const struct sl_slice *matched; /* of FROM */
	const uint16_t *map;            /* program path number -> hit; NULL: the same number */
	uint16_t pass;                  /* in plan->passes; or it reads no path; or it has a pass to itself */
	uint8_t id_n;
	bool acts : 1;      /* it has actions */
	bool remembers : 1; /* rule->memory is there */
	bool shares : 1;    /* it has expressions that others have too (plan_share.h) */
	bool again : 1;     /* it does what the candidate before it does (sql_shape_same()) */
	uint16_t shadow;    /* 1 + its place in plan->shadows; 0: it has none and is none */
	union {
		struct sql_value own[4];   /* room for constants; more of them stand elsewhere */
		const uint16_t *share_map; /* shares: see sql_share_run() */
	};
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct rule_plan_candidate) == 128, "two cache lines");

struct rule_plan {
	uint32_t refs;
	uint32_t count;
	struct rule_plan_candidate *at;
	struct guard_index *guards;          /* NULL: every message visits every candidate */
	uint64_t events;                     /* that are not in the cells yet */
	struct rule_shadow **shadows;        /* of the candidates that have one or are one (rule_shadow.h) */
	uint32_t shadow_count, shadow_rules; /* rules: candidates that are one */
	size_t slots;                        /* of shared expressions */
	struct jpath_set **passes;
	size_t pass_count;
	struct jpath_set **own; /* by candidate: the set of one who is alone, once it was visited; NULL: nobody is */
	/* The rest is for making and freeing. */
	uint64_t hash;
	uint32_t *key; /* the list of filters */
	size_t key_len;
	struct sl_arena arena; /* maps, constants, what matched */
};

/* How many hits the caller must have room for: shared_max + own_max. */
struct rule_plans {
	const struct ruleset *set; /* borrowed */
	size_t worker;
	size_t shared_max;                 /* the most paths that any plan's passes have had */
	size_t own_max;                    /* and those of one rule's own pass, whose hits stand behind them */
	size_t count_max, slots_max;       /* the most candidates, and slots */
	size_t alive;                      /* candidates of all plans that there are */
	size_t alive_max;                  /* more of them, and the keeper of references gives some back */
	struct rule_candidates candidates; /* room for making a plan */
	struct rule_plan_map *table;       /* private */
};

void rule_plans_init(struct rule_plans *plans, const struct ruleset *set, size_t worker);
void rule_plans_fini(struct rule_plans *plans); /* every plan has been given back */
size_t rule_plans_count(const struct rule_plans *plans);

/* The plan for the topics that match these filters (at least one): a strong reference, to be given back with
 * rule_plan_unref(). */
struct rule_plan *rule_plans_get(struct rule_plans *plans, const struct rule_filters *filters) sl_warn_unused;
void rule_plan_unref(struct rule_plans *plans, struct rule_plan *plan);

/* Adds what the plans have counted to the cells of their candidates. */
void rule_plans_count_in(struct rule_plans *plans);

/* The set that serves a candidate, which makes that of one who is alone if need be; NULL: it reads no path. */
const struct jpath_set *rule_plan_set(const struct rule_plan *plan, const struct rule_plan_candidate *c);
/* What a run of the candidate is told, but for hits and the event. */
static inline void rule_plan_input(const struct rule_plan_candidate *c, struct sql_input *in) {
	in->map = c->map;
	in->rule_id = slice_make(c->id, c->id_n);
	in->from_matched = *c->matched;
}

/* One pass over one payload, made when the first rule that it serves gets to read a path, and never twice. */
struct rule_pass {
	const struct jpath_set *set;
	struct sl_slice payload;
	struct jpath_hit *hits;
	bool done;
	int status;
};
int rule_pass_extract(void *pass); /* sql_input.extract */

#endif
