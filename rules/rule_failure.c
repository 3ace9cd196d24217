/* rule_failure.c: see rule_failure.h. */
#include "rule_failure.h"

#include "log.h"
#include "rules_int.h"

/* One of the workers that see it at the same time may speak. A clock that went back is no reason to be silent. */
static bool may_warn(struct rule_stats *stats, int64_t now_ms) {
	int64_t last = atomic_load_explicit(&stats->warned_ms, memory_order_relaxed);
	if (last && now_ms >= last && now_ms - last < RULE_WARN_MS) return false;
	return atomic_compare_exchange_strong_explicit(&stats->warned_ms, &last, now_ms, memory_order_relaxed,
						       memory_order_relaxed);
}

void rule_failed(const struct rules_worker *rw, const struct rule *r, int64_t at_ms, struct sl_slice topic,
		 struct sl_slice clientid, struct sl_slice reason) {
	rule_failure_add(&r->stats->cells[rw->index], at_ms, topic, clientid, reason);
	if (!rw->rules) return; /* a try */
	if (may_warn(r->stats, at_ms))
		log_always(LOG_WARN, LOG_RULE, "rule failed; its next failures go to the status page only",
			   "rule=%s topic=%.*s clientid=%.*s reason=%.*s", r->id, SL_SLICE_ARG(topic),
			   SL_SLICE_ARG(clientid), SL_SLICE_ARG(reason));
	else
		log_debug(LOG_RULE, "rule failed", "rule=%s topic=%.*s clientid=%.*s reason=%.*s", r->id,
			  SL_SLICE_ARG(topic), SL_SLICE_ARG(clientid), SL_SLICE_ARG(reason));
}
