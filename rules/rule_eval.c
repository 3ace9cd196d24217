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
	rule_index_match(rw->set->index, ev->topic, &rw->filters);
	if (rw->filters.len) plan = rule_plans_get(&rw->plans, &rw->filters);
	size_t hits = rw->plans.shared_max + rw->plans.own_max;
	if (hits > rw->hits_cap) {
		rw->hits_cap = hits;
		rw->hits = sl_realloc_array(rw->hits, rw->hits_cap, sizeof *rw->hits);
	}
	bit_tree_reserve(&rw->survivors, rw->plans.count_max);
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

/* An event on its way through the candidates of a plan. */
struct plan_walk {
	struct rules_worker *rw;
	struct action_cause cause;
	struct sql_input in;
	struct rule_pass pass, own; /* the one that candidates share, and that of one who is alone */
	uint32_t others;            /* candidates that WHERE did not filter */
};

/* Reads the payload for the candidate from the pass of the others, or from its own. */
static void choose_pass(struct plan_walk *w, struct rule_plan_candidate *c) {
	struct rules_worker *rw = w->rw;
	if (c->alone) {
		if (!c->pass) rule_plan_own_pass(c);
		struct jpath_hit *hits = rw->hits + rw->plans.shared_max;
		w->own = (struct rule_pass){.set = c->pass, .payload = w->in.payload, .hits = hits};
		w->in.hits = hits;
		w->in.extract_arg = &w->own;
		return;
	}
	w->in.hits = rw->hits;
	w->in.extract_arg = &w->pass;
	if (c->pass && c->pass != w->pass.set)
		w->pass = (struct rule_pass){.set = c->pass, .payload = w->in.payload, .hits = rw->hits};
}

/* The plan has counted the candidate as matched and filtered; what turns out otherwise is counted here. */
static void visit(struct plan_walk *w, struct rule_plan_candidate *c) {
	struct rules_worker *rw = w->rw;
	choose_pass(w, c);
	w->in.map = c->map;
	w->in.rule_id = c->id;
	w->in.from_matched = c->matched;
	w->cause.rule = c->rule;
	rw->rows_len = rw->rows_made = 0;
	enum sql_outcome outcome = sql_run(rw->vm, c->rule->program, &w->in, rows_add, &w->cause);
	if (outcome == SQL_FILTERED) return;
	w->others++;
	c->cell->filtered--;
	if (outcome == SQL_PRODUCED)
		run_produced(rw, c, &w->cause);
	else
		run_failed(rw, c, w->cause.ev);
}

/* Those that the event may match by their guards, and those without, in the order of the rules. */
static void visit_survivors(struct plan_walk *w, const struct rule_plan *plan) {
	const struct guard_index *guards = plan->guards;
	struct bit_tree *survivors = &w->rw->survivors;
	uint32_t next = 0;
	if (plan->first) {
		w->pass = (struct rule_pass){.set = plan->first, .payload = w->in.payload, .hits = w->rw->hits};
		if (guards->reads_payload) (void)rule_pass_extract(&w->pass);
	}
	guard_index_find(guards, w->rw->vm, &w->in, w->rw->hits, w->pass.status, survivors);
	while (!bit_tree_empty(survivors)) {
		uint32_t i = bit_tree_least(survivors);
		bit_tree_remove(survivors, i);
		while (next < guards->unguarded_len && guards->unguarded[next] < i)
			visit(w, &plan->at[guards->unguarded[next++]]);
		visit(w, &plan->at[i]);
	}
	while (next < guards->unguarded_len) visit(w, &plan->at[guards->unguarded[next++]]);
}

static void plan_run(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev,
		     struct sl_ticket *ticket) {
	struct event_view view = {.ev = ev, .node = slice_from_str(rw->rules->node), .now_ms = ev->at_ms};
	struct plan_walk w = {
	    .rw = rw,
	    .cause = {.rw = rw, .ev = ev, .ticket = ticket},
	    .in = {.event = &view, .payload = ev->payload, .extract = rule_pass_extract, .now_ms = ev->at_ms}};
	plan->events++;
	if (plan->guards)
		visit_survivors(&w, plan);
	else
		for (uint32_t i = 0; i < plan->count; i++) visit(&w, &plan->at[i]);
	sl_metric_add(rw->metrics, METRIC_RULE_MATCHED, plan->count);
	sl_metric_add(rw->metrics, METRIC_RULE_FILTERED, plan->count - w.others);
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
