/* rule_try.c: see rule_try.h. */
#include "rule_try.h"

#include "action_describe.h"
#include "basic_ingest.h"
#include "event_source.h"
#include "mem.h"
#include "rule_plan.h"
#include "rules_windows.h"

struct rule_try {
	struct ruleset *set;
	struct rule_plans plans;
	struct rule_filters filters;
	struct sql_vm *vm;
	struct rule_state state;
	struct rule_memory *memory; /* of the one rule */
	char *node;
	struct rules_worker worker;     /* what evaluating actions wants of one: nothing else of it is ever used */
	struct rule_try_result *result; /* of the run that is on */
};

void rule_try_result_fini(struct rule_try_result *result) {
	sl_buf_fini(&result->rows);
	sl_buf_fini(&result->actions);
	sl_err_fini(&result->err);
	*result = (struct rule_try_result)RULE_TRY_RESULT_INIT;
}

struct ruleset *rule_try_set(struct rule *r) {
	struct ruleset *set = ruleset_new();
	r->enabled = true;
	ruleset_add(set, r);
	ruleset_complete(set, NULL, 1);
	return set;
}

struct rule_try *rule_try_new(struct ruleset *set, const char *node) {
	struct rule_try *t = SL_NEW(struct rule_try);
	t->set = ruleset_ref(set);
	t->vm = sql_vm_new();
	rule_state_init(&t->state, 0);
	t->memory = rule_memory_new(set->rules[0]->program, &t->state, 1);
	t->node = sl_strdup(node);
	rule_plans_init(&t->plans, set, 0);
	return t;
}

void rule_try_free(struct rule_try *t) {
	if (!t) return;
	rule_plans_fini(&t->plans);
	sl_free(t->filters.at);
	sql_vm_free(t->vm);
	rule_memory_unref(t->memory);
	rule_state_fini(&t->state);
	ruleset_unref(t->set);
	sl_free(t->node);
	sl_free(t);
}

struct try_row {
	struct rule_try *t;
	struct action_cause cause;
};

static int row_take(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct try_row *run = arg;
	struct rule_try_result *result = run->t->result;
	const struct rule *r = run->cause.rule;
	sql_out_json(row, &result->rows);
	sl_buf_put(&result->rows, '\n');
	for (size_t i = 0; i < r->action_count; i++) {
		struct action_row made;
		if (r->actions[i].disabled) continue;
		rule_action_eval(&r->actions[i], &run->cause, vm, row, &made);
		action_describe(&made, &run->cause, vm, &result->actions);
		sl_buf_put(&result->actions, '\n');
	}
	return SL_OK;
}

static int row_group(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	struct try_row *run = arg;
	return sql_windows_add(run->t->memory->windows, vm, row, run->cause.ev->at_ms, run->cause.ev->hops);
}

static void take_error(struct sl_err *err, const struct sl_err *from) {
	sl_err_set(err, from->status, "%s", sl_err_text(from));
	sl_err_at(err, NULL, from->line, from->column);
}

/* Runs the one candidate of the plan. */
static enum rule_try_outcome plan_try(struct rule_try *t, const struct rule_plan *plan, const struct rules_event *ev) {
	const struct rule_plan_candidate *c = &plan->at[0];
	struct event_view view = {.ev = ev, .node = slice_from_str(t->node), .now_ms = ev->at_ms};
	struct jpath_hit *hits = SL_NEW_ARRAY(struct jpath_hit, t->plans.shared_max + 1);
	struct rule_pass pass = {.set = rule_plan_set(plan, c), .payload = ev->payload, .hits = hits};
	struct try_row run = {.t = t, .cause = {.rw = &t->worker, .rule = c->rule, .ev = ev}};
	struct sql_state state = rule_memory_state(&t->state, t->memory, ev->clientid);
	struct sql_input in = {.event = &view,
			       .payload = ev->payload,
			       .hits = hits,
			       .extract = rule_pass_extract,
			       .extract_arg = &pass,
			       .now_ms = ev->at_ms,
			       .state = &state};
	sql_row_fn take = t->memory && t->memory->windows ? row_group : row_take;
	enum rule_try_outcome outcome = RULE_TRY_FAILED;
	rule_plan_input(c, &in);
	switch (sql_run(t->vm, c->rule->program, &in, take, &run)) {
	case SQL_PRODUCED: outcome = RULE_TRY_ROWS; break;
	case SQL_FILTERED: outcome = RULE_TRY_NO_MATCH; break;
	case SQL_FAILED:
		sl_buf_clear(&t->result->rows);
		sl_buf_clear(&t->result->actions);
		take_error(&t->result->err, sql_vm_error(t->vm));
		break;
	}
	sl_free(hits);
	return outcome;
}

/* Rows of windows that have ended. */
static void windows_out(struct rule_try *t, int64_t now_ms) {
	const struct rule *r = t->set->rules[0];
	struct sl_arena arena;
	struct sql_window_row row;
	if (!t->memory || !t->memory->windows) return;
	sl_arena_init(&arena, 1024);
	while (sql_windows_next(t->memory->windows, now_ms, &arena, &row)) {
		struct rules_event ev = rules_window_event(r, &row);
		struct try_row run = {.t = t, .cause = {.rw = &t->worker, .rule = r, .ev = &ev}};
		struct sql_state state = rule_memory_state(&t->state, t->memory, ev.clientid);
		struct sql_input in = {.event = &row,
				       .now_ms = now_ms == INT64_MAX ? row.end_ms : now_ms,
				       .rule_id = slice_from_str(r->id),
				       .state = &state};
		if (sql_run(t->vm, sql_program_window(r->program)->out, &in, row_take, &run) == SQL_FAILED) {
			t->result->outcome = RULE_TRY_FAILED;
			take_error(&t->result->err, sql_vm_error(t->vm));
		}
		sl_arena_reset(&arena);
	}
	sl_arena_fini(&arena);
}

void rule_try_advance(struct rule_try *t, int64_t now_ms, struct rule_try_result *result) {
	rule_try_result_fini(result);
	result->outcome = RULE_TRY_ROWS;
	t->result = result;
	windows_out(t, now_ms);
}

/* A message that names the rule (basic_ingest.h) is found by the rule's own topic, and the rule sees the rest; a name that is
 * another's finds nothing. */
static void find_rule(const struct rule_try *t, struct rules_event *ev, struct sl_buf *topic) {
	const struct rule *r = t->set->rules[0];
	struct sl_slice name, rest;
	uint32_t filter;
	if (!basic_ingest_split(ev->topic, &name, &rest)) return;
	if (slice_equal_str(name, r->id) && basic_ingest_covers(r, rest, &filter)) ruleset_private_topic(0, topic);
	if (topic->n == 0) sl_buf_append_str(topic, "$"); /* no filter is about it */
	ev->topic = rest;
	ev->basic_ingest = true;
}

void rule_try_run(struct rule_try *t, const struct rules_event *ev, struct rule_try_result *result) {
	rule_try_result_fini(result);
	result->outcome = RULE_TRY_NO_TOPIC;
	t->result = result;
	windows_out(t, ev->at_ms);
	struct rules_event inner = *ev;
	struct sl_buf topic = SL_BUF_INIT;
	find_rule(t, &inner, &topic);
	rule_index_match(t->set->index, topic.n ? sl_buf_slice(&topic) : inner.topic, &t->filters);
	sl_buf_fini(&topic);
	if (t->filters.len == 0) return;
	struct rule_plan *plan = rule_plans_get(&t->plans, &t->filters);
	result->outcome = plan_try(t, plan, &inner);
	rule_plan_unref(&t->plans, plan);
}

enum rule_try_outcome rule_try(struct rule *r, const struct rules_event *ev, const char *node, struct sl_buf *rows,
			       struct sl_err *err) {
	struct rule_try_result result = RULE_TRY_RESULT_INIT;
	struct ruleset *set = rule_try_set(r);
	struct rule_try *t = rule_try_new(set, node);
	rule_try_run(t, ev, &result);
	if (result.outcome == RULE_TRY_ROWS && sql_program_window(r->program)) rule_try_advance(t, INT64_MAX, &result);
	enum rule_try_outcome outcome = result.outcome;
	sl_buf_append_slice(rows, sl_buf_slice(&result.rows));
	if (outcome == RULE_TRY_FAILED) take_error(err, &result.err);
	rule_try_result_fini(&result);
	rule_try_free(t);
	ruleset_unref(set);
	return outcome;
}
