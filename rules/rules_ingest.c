/* rules_ingest.c: basic ingest (basic_ingest.h) on a worker. The plan of such a topic is that of one rule; the topic cache
 * keeps it under the whole topic, which no other message has. */
#include "basic_ingest.h"
#include "reject.h"
#include "rules_int.h"

static sl_noinline struct rule_plan *ingest_plan_make(struct rules_worker *rw, const struct rules_event *ev,
						      struct sl_slice rule, struct sl_slice rest) {
	struct rule_plan *plan = NULL;
	uint32_t number, filter;
	if (ruleset_number(rw->set, rule, &number) && rw->set->rules[number]->enabled &&
	    basic_ingest_covers(rw->set->rules[number], rest, &filter)) {
		struct sl_buf name = SL_BUF_INIT;
		ruleset_private_topic(number, &name);
		plan = rules_plan_of(rw, sl_buf_slice(&name));
		sl_buf_fini(&name);
	}
	rules_plan_keep(rw, ev->topic, ev->topic_hash, plan);
	return plan;
}

static struct rule_plan *ingest_plan(struct rules_worker *rw, const struct rules_event *ev, struct sl_slice rule,
				     struct sl_slice rest, struct rules_event *inner) {
	void *found;
	struct rule_plan *plan;
	if (sl_likely(topic_cache_get(rw->cache, ev->topic_hash, ev->topic, rw->generation, &found)))
		plan = found;
	else
		plan = ingest_plan_make(rw, ev, rule, rest);
	*inner = *ev;
	inner->topic = rest;
	inner->basic_ingest = true;
	return plan;
}

struct sl_stage *rules_shut(struct rules_worker *rw, const struct rules_event *ev) {
	struct sl_slice rule, rest;
	struct rules_event inner;
	if (sl_likely(!basic_ingest_split(ev->topic, &rule, &rest))) {
		struct rule_plan *plan = rules_plan_find(rw, ev->topic, ev->topic_hash);
		return plan ? rules_plan_shut(rw, plan, ev) : NULL;
	}
	struct rule_plan *plan = ingest_plan(rw, ev, rule, rest, &inner);
	return plan ? rules_plan_shut(rw, plan, &inner) : NULL;
}

bool rules_ingest(struct rules_worker *rw, const struct rules_event *ev, struct sl_ticket *ticket) {
	struct sl_slice rule, rest;
	struct rules_event inner;
	if (!basic_ingest_split(ev->topic, &rule, &rest)) return false;
	if (ev->hops == REJECT_HOPS) return true;
	struct rule_plan *plan = ingest_plan(rw, ev, rule, rest, &inner);
	if (plan) {
		rules_plan_publish(rw, plan, &inner, ticket);
		return true;
	}
	uint32_t number;
	if (ruleset_number(rw->set, rule, &number)) return true; /* it is there, and its FROM said no */
	sl_metric_inc(rw->metrics, METRIC_INGEST_UNKNOWN);
	log_warn(LOG_RULE, "a publish named a rule that is not there", "rule=%.*s topic=%.*s clientid=%.*s",
		 SL_SLICE_ARG(rule), SL_SLICE_ARG(rest), SL_SLICE_ARG(ev->clientid));
	return true;
}
