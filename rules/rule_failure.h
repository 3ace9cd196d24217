/* rule_failure.h: a run of a rule, or a row in one of its actions, has failed: it is remembered for the status page, and the
 * log tells of it, once in RULE_WARN_MS a rule. Counting is the caller's.
 *
 * Thread: the worker's. Never blocks. */
#ifndef RULE_FAILURE_H
#define RULE_FAILURE_H

#include "rule.h"
#include "rules.h"

enum { RULE_WARN_MS = 10000 };

/* clientid empty: not known. Slices are borrowed. */
void rule_failed(const struct rules_worker *rw, const struct rule *r, int64_t at_ms, struct sl_slice topic,
		 struct sl_slice clientid, struct sl_slice reason);

/* Who caused the event: the client that it is about, or the publisher. */
static inline struct sl_slice rule_failure_client(const struct rules_event *ev) {
	return ev->about ? ev->about->clientid : ev->clientid;
}

#endif
