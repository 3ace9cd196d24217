/* rules_events.c: events through the rules of their worker, see rules_event.h.
 *
 * The plan of a kind is found once and kept: there are a dozen kinds. AWS's messages have the client id in their topic, so
 * they go the way of messages, through the topic cache. */
#include "event_aws.h"
#include "event_kind.h"
#include "event_source.h"
#include "hash.h"
#include "mem.h"
#include "reject.h"
#include "rules_int.h"

/* What rules have republished leaves here, when the delivery that the event came from is over. Also wakes a loop whose
 * rows a visitor has staged. */
static void settle_run(struct sl_deferred *d) {
	struct rules_worker *rw = sl_container_of(d, struct rules_worker, settle);
	rules_settle(rw);
}

void rules_events_init(struct rules_worker *rw) { sl_deferred_init(&rw->settle, settle_run); }

void rules_settle(struct rules_worker *rw) {
	if (rw->queue.len > 0 && !rw->queue.draining) rules_republish_drain(rw);
}

void rules_events_use(struct rules_worker *rw) {
	rw->wants =
	    (struct rules_wants){.kinds = rw->set->kinds, .messages = rw->set->messages, .gate = rw->wants.gate};
	rw->plans_known = 0;
}

void rules_events_forget(struct rules_worker *rw) {
	for (int k = 0; k < EVENT_AWS_FIRST; k++) {
		rule_plan_unref(&rw->plans, rw->kind_plans[k]);
		rw->kind_plans[k] = NULL;
	}
	rw->wants = (struct rules_wants){.gate = rw->wants.gate};
}

void rules_events_fini(struct rules_worker *rw) {
	sl_deferred_cancel(&rw->settle);
	sl_buf_fini(&rw->aws_topic);
	sl_buf_fini(&rw->aws_payload);
}

static struct rule_plan *kind_plan(struct rules_worker *rw, enum rules_event_kind kind) {
	uint32_t bit = 1u << kind;
	if (!(rw->plans_known & bit)) {
		rw->kind_plans[kind] = rules_plan_of(rw, event_kind_topic(kind));
		rw->plans_known |= bit;
	}
	return rw->kind_plans[kind];
}

static void aws_event(struct rules_worker *rw, const struct rules_event *ev) {
	if (!event_aws_message(ev, &rw->aws_topic, &rw->aws_payload)) return;
	struct rules_event m = {
	    .topic = sl_buf_slice(&rw->aws_topic),
	    .payload = sl_buf_slice(&rw->aws_payload),
	    .clientid = ev->about->clientid,
	    .username = ev->about->username,
	    .peer = ev->about->peer,
	    .at_ms = ev->at_ms,
	    .qos = 1,
	    .version = 5,
	    .hops = ev->hops,
	    .message_expiry_s = -1,
	    .payload_format = -1,
	};
	m.topic_hash = sl_hash(m.topic);
	struct rule_plan *plan = rules_plan_find(rw, m.topic, m.topic_hash);
	if (plan) rules_plan_run(rw, plan, &m, NULL);
}

void rules_event(struct rules_worker *rw, const struct rules_event *event) {
	/* Messages made of rejected rows (reject.h) are not for rules, nor is what becomes of them. */
	if (!rules_event_wanted(rw, 1u << event->kind) || event->hops == REJECT_HOPS) return;
	struct rules_event ev = *event;
	ev.hops = (uint8_t)(ev.hops + EVENT_HOPS - 1);
	if (ev.kind >= EVENT_AWS_FIRST) {
		aws_event(rw, &ev);
	} else {
		/* Where there is no message: for log lines and failures. */
		if (ev.topic.n == 0) ev.topic = event_kind_topic((enum rules_event_kind)ev.kind);
		/* A document in which every path is absent. */
		if (!event_has_payload((enum rules_event_kind)ev.kind)) ev.payload = SL_SLICE_LIT("null");
		struct rule_plan *plan = kind_plan(rw, (enum rules_event_kind)ev.kind);
		if (plan) rules_plan_run(rw, plan, &ev, NULL);
	}
	if (rw->loop)
		sl_loop_defer(rw->loop, &rw->settle);
	else
		rules_settle(rw);
}
