/* rules_snapshot_int.h: a copy of the counters, as the pages of rules_status.c read it. See rules.h. */
#ifndef RULES_SNAPSHOT_INT_H
#define RULES_SNAPSHOT_INT_H

#include "rule.h"
#include "rules_int.h"

/* One failure of a rule; its texts stand in rules_snapshot.texts. */
struct failure_copy {
	int64_t at_ms;
	size_t topic_at, topic_n, clientid_at, clientid_n, reason_at, reason_n;
};

struct rule_copy {
	const struct rule_cell *cells; /* the workers' */
	struct rule_cell sum;
	size_t first_failure, failure_count; /* in rules_snapshot.failures */
};
struct action_copy {
	const struct action_cell *cells;
	struct action_cell sum;
};

struct rules_snapshot {
	struct rules *from;
	struct ruleset *set; /* a reference: rules, names, and the counters that the cells above belong to */
	struct rule_copy *rules;
	struct action_copy *actions; /* of all rules, one after the other */
	size_t action_count;

	size_t failures_from; /* rules before it have been looked at */
	struct failure_copy *failures;
	size_t failures_len, failures_cap;
	struct sl_buf texts;
};

#endif
