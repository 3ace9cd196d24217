/* rule_try.c: see rule_try.h. */
#include "rule_try.h"

#include "event_source.h"
#include "mem.h"
#include "rule_plan.h"

static int rows_write(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct sl_buf *rows = arg;
	(void)vm;
	sql_out_json(row, rows);
	sl_buf_put(rows, '\n');
	return SL_OK;
}

static void take_error(struct sl_err *err, const struct sl_err *from) {
	sl_err_set(err, from->status, "%s", sl_err_text(from));
	sl_err_at(err, NULL, from->line, from->column);
}

/* Runs the one candidate of the plan. */
static enum rule_try_outcome plan_try(const struct rule_plan *plan, size_t hits_max, const struct rules_event *ev,
				      const char *node, struct sl_buf *rows, struct sl_err *err) {
	const struct rule_plan_candidate *c = &plan->at[0];
	struct event_view view = {.ev = ev, .node = slice_from_str(node), .now_ms = ev->at_ms};
	struct jpath_hit *hits = SL_NEW_ARRAY(struct jpath_hit, hits_max + 1);
	struct rule_pass pass = {.set = c->pass, .payload = ev->payload, .hits = hits};
	struct sql_input in = {.event = &view,
			       .payload = ev->payload,
			       .hits = hits,
			       .extract = rule_pass_extract,
			       .extract_arg = &pass,
			       .map = c->map,
			       .now_ms = ev->at_ms,
			       .rule_id = c->id,
			       .from_matched = c->matched};
	struct sql_vm *vm = sql_vm_new();
	enum rule_try_outcome outcome = RULE_TRY_FAILED;
	size_t before = rows->n;
	switch (sql_run(vm, c->rule->program, &in, rows_write, rows)) {
	case SQL_PRODUCED: outcome = RULE_TRY_ROWS; break;
	case SQL_FILTERED: outcome = RULE_TRY_NO_MATCH; break;
	case SQL_FAILED:
		rows->n = before;
		take_error(err, sql_vm_error(vm));
		break;
	}
	sql_vm_free(vm);
	sl_free(hits);
	return outcome;
}

enum rule_try_outcome rule_try(struct rule *r, const struct rules_event *ev, const char *node, struct sl_buf *rows,
			       struct sl_err *err) {
	struct ruleset *set = ruleset_new();
	struct rule_candidates candidates = {.at = NULL};
	enum rule_try_outcome outcome = RULE_TRY_NO_TOPIC;
	ruleset_add(set, r);
	ruleset_complete(set, NULL, 1);
	rule_index_match(set->index, ev->topic, &candidates);
	if (candidates.len) {
		struct rule_plans plans;
		rule_plans_init(&plans, set, 0);
		struct rule_plan *plan = rule_plans_get(&plans, &candidates);
		outcome = plan_try(plan, plans.hits_max, ev, node, rows, err);
		rule_plan_unref(&plans, plan);
		rule_plans_fini(&plans);
	}
	sl_free(candidates.at);
	ruleset_unref(set);
	return outcome;
}
