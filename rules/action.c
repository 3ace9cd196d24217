/* action.c: see action.h. */
#include "action.h"

#include "hash.h"
#include "mem.h"
#include "rule_failure.h"
#include "rules_int.h"
#include "source_columns.h"

static void action_connector_fini(struct action_connector *a) {
	for (uint16_t i = 0; i < a->param_count; i++) sql_template_free(a->params[i]);
	sl_free(a->params);
	sql_template_free(a->order_key);
}

void rule_action_fini(struct rule_action *a) {
	switch (a->kind) {
	case ACTION_CONNECTOR: action_connector_fini(&a->connector); break;
	case ACTION_REPUBLISH: action_republish_fini(&a->republish); break;
	case ACTION_CONSOLE: break;
	}
	action_stats_unref(a->stats);
	sl_free(a->console_site);
	sl_free(a->label);
	sl_free(a->face);
}

static int action_connector_eval(const struct rule_action *action, const struct action_cause *cause, struct sql_vm *vm,
				 const struct sql_out *row, struct action_row *out) {
	const struct action_connector *a = &action->connector;
	struct sql_value *values = sl_arena_alloc(sql_vm_arena(vm), sizeof *values * a->param_count);
	for (uint16_t i = 0; i < a->param_count; i++) {
		int rc = sql_template_eval(vm, a->params[i], row, &values[i]);
		if (rc != SL_OK) return rc;
	}
	out->connector.values = values;
	if (!a->order_key) {
		out->connector.order = cause->rw->any_order++;
		return SL_OK;
	}
	struct sql_value key;
	int rc = sql_template_eval(vm, a->order_key, row, &key);
	if (rc != SL_OK) return rc;
	struct sl_slice text = key.kind == SQL_STRING ? sql_value_text(&key) : SL_SLICE_EMPTY;
	/* What a source brings keeps the order of its partition, unless the rule knows better. */
	bool of_source = text.n == 0 && cause->ev->kind == EVENT_SOURCE_MESSAGE && cause->ev->about->item;
	out->connector.order = of_source ? source_order(cause->ev->about) : sl_hash_stable(text);
	return SL_OK;
}

/* The failure is remembered here and now, where the vm still knows its text; it is counted with the run. */
static void eval_failed(const struct rule_action *a, const struct action_cause *cause, struct sql_vm *vm) {
	struct sl_slice reason = sl_arena_printf(sql_vm_arena(vm), "actions[%u] (%s): %s", (unsigned)a->index, a->label,
						 sl_err_text(sql_vm_error(vm)));
	rule_failed(cause->rw, cause->rule, cause->ev->at_ms, cause->ev->topic, rule_failure_client(cause->ev), reason);
}

int rule_action_eval(const struct rule_action *a, const struct action_cause *cause, struct sql_vm *vm,
		     const struct sql_out *row, struct action_row *out) {
	int rc = SL_OK;
	out->action = a;
	switch (a->kind) {
	case ACTION_CONNECTOR: rc = action_connector_eval(a, cause, vm, row, out); break;
	case ACTION_REPUBLISH: rc = action_republish_eval(a, cause, vm, row, out); break;
	case ACTION_CONSOLE: action_console_eval(vm, row, out); break;
	}
	out->failed = rc != SL_OK;
	if (sl_unlikely(out->failed)) eval_failed(a, cause, vm);
	return rc;
}

void rule_action_deliver(const struct action_row *row, const struct action_cause *cause) {
	const struct rule_action *a = row->action;
	struct rules_worker *rw = cause->rw;
	if (sl_unlikely(row->failed)) {
		a->stats->cells[rw->index].failed++;
		cause->rule->stats->cells[rw->index].action_failed++;
		return;
	}
	switch (a->kind) {
	case ACTION_CONNECTOR:
		a->stats->cells[rw->index].taken++;
		if (sl_unlikely(!sl_stage_row(rw->stages[a->connector.slot], row->connector.values,
					      a->connector.param_count, row->connector.order, &cause->from,
					      cause->ticket)))
			rw->wants.no_room = rw->stages[a->connector.slot];
		break;
	case ACTION_REPUBLISH: action_republish_deliver(row, cause); break;
	case ACTION_CONSOLE: action_console_deliver(row, cause); break;
	}
}
