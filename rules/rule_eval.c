/* rule_eval.c: one event through the rules of its worker. This is the publish path: no lock, no allocation once warm,
 * and no look at the payload unless a candidate rule asks for it. */
#include "event_source.h"
#include "mem.h"
#include "reject.h"
#include "rule.h"
#include "rules_int.h"

bool rules_any(const struct rules_worker *rw) { return rw->set->active > 0; }

/* What a topic reaches was not known, or not in this set: asks the index and remembers the answer, "nothing" too. */
static sl_noinline struct rule_plan *plan_make(struct rules_worker *rw, const struct rules_event *ev) {
	struct rule_plan *plan = NULL;
	rule_index_match(rw->set->index, ev->topic, &rw->candidates);
	if (rw->candidates.len) plan = rule_plans_get(&rw->plans, &rw->candidates);
	if (rw->plans.hits_max > rw->hits_cap) {
		rw->hits_cap = rw->plans.hits_max;
		rw->hits = sl_realloc_array(rw->hits, rw->hits_cap, sizeof *rw->hits);
	}
	topic_cache_put(rw->cache, ev->topic_hash, ev->topic, rw->generation, plan);
	if (rw->loop && !sl_timer_armed(&rw->sweep_timer))
		sl_timer_set(rw->loop, &rw->sweep_timer, RULES_CACHE_SWEEP_MS);
	return plan;
}

/* A row of the run that is on. Its values live until the next run; what must not be handed on before the run has ended
 * well waits in rw->rows. */
static int rows_add(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	const struct action_cause *cause = arg;
	struct rules_worker *rw = cause->rw;
	const struct rule *r = cause->rule;
	for (size_t i = 0; i < r->action_count; i++) {
		SL_GROW(rw->rows, rw->rows_len, rw->rows_cap);
		rule_action_eval(&r->actions[i], cause, vm, row, &rw->rows[rw->rows_len++]);
	}
	rw->rows_made++;
	return SL_OK;
}

static void run_failed(struct rules_worker *rw, const struct rule_plan_candidate *c, const struct rules_event *ev) {
	c->cell->failed++;
	sl_metric_inc(rw->metrics, METRIC_RULE_FAILED);
	const struct sl_err *err = sql_vm_error(rw->vm);
	struct sl_slice reason =
	    sl_arena_printf(sql_vm_arena(rw->vm), "line %u, column %u: %s", err->line, err->column, sl_err_text(err));
	rule_failure_add(c->cell, ev->at_ms, ev->topic, reason);
	log_debug(LOG_RULE, "rule failed", "rule=%s topic=%.*s err=%.*s", c->rule->id, SL_SLICE_ARG(ev->topic),
		  SL_SLICE_ARG(reason));
}

static void run_produced(struct rules_worker *rw, const struct rule_plan_candidate *c,
			 const struct action_cause *cause) {
	c->cell->produced++;
	c->cell->rows += rw->rows_made;
	sl_metric_inc(rw->metrics, METRIC_RULE_PRODUCED);
	for (size_t i = 0; i < rw->rows_len; i++) rule_action_deliver(&rw->rows[i], cause);
}

static void plan_run(struct rules_worker *rw, const struct rule_plan *plan, const struct rules_event *ev,
		     struct sl_ticket *ticket) {
	struct event_view view = {.ev = ev, .node = slice_from_str(rw->rules->node), .now_ms = ev->at_ms};
	struct action_cause cause = {.rw = rw, .ev = ev, .ticket = ticket};
	struct rule_pass pass;
	struct sql_input in = {.event = &view,
			       .payload = ev->payload,
			       .hits = rw->hits,
			       .extract = rule_pass_extract,
			       .extract_arg = &pass,
			       .now_ms = ev->at_ms};
	sl_metric_add(rw->metrics, METRIC_RULE_MATCHED, plan->count);
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct rule_plan_candidate *c = &plan->at[i];
		if (c->pass) pass = (struct rule_pass){.set = c->pass, .payload = ev->payload, .hits = rw->hits};
		in.map = c->map;
		in.rule_id = c->id;
		in.from_matched = c->matched;
		cause.rule = c->rule;
		rw->rows_len = rw->rows_made = 0;
		c->cell->matched++;
		switch (sql_run(rw->vm, c->rule->program, &in, rows_add, &cause)) {
		case SQL_FILTERED:
			c->cell->filtered++;
			sl_metric_inc(rw->metrics, METRIC_RULE_FILTERED);
			break;
		case SQL_PRODUCED: run_produced(rw, c, &cause); break;
		case SQL_FAILED: run_failed(rw, c, ev); break;
		}
	}
}

void rules_eval(struct rules_worker *rw, const struct rules_event *ev, struct sl_ticket *ticket) {
	/* Messages made of rejected rows (reject.h) are not for rules. */
	if (rw->set->active == 0 || ev->hops == REJECT_HOPS) return;
	void *found;
	struct rule_plan *plan;
	if (sl_likely(topic_cache_get(rw->cache, ev->topic_hash, ev->topic, rw->generation, &found)))
		plan = found;
	else
		plan = plan_make(rw, ev);
	if (!plan) return;
	/* Rows that come of republished messages are on this publisher's account too. */
	if (rw->queue.draining && !ticket) ticket = rw->ticket;
	plan_run(rw, plan, ev, ticket);
	/* From here on the plan may be gone. */
	if (rw->queue.len == 0 || rw->queue.draining) return;
	rw->ticket = ticket;
	rules_republish_drain(rw);
	rw->ticket = NULL;
}
