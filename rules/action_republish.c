/* action_republish.c: a message made of a row.
 *
 * The loop guard: a message carries how many rules it has come through. One that a rule makes has one more than the
 * message that caused it; above the limit it is refused, counted, and named in the log with its topic, for such a loop
 * is a mistake in the rules. What may still come out of one message is bounded by the queue (republish_queue.h). */
#include "action.h"
#include "mem.h"
#include "rule_failure.h"
#include "rules_int.h"
#include "topic.h"
#include "utf8.h"

void action_republish_fini(struct action_republish *a) {
	sql_template_free(a->topic);
	sql_template_free(a->payload);
	sql_template_free(a->qos);
	sql_template_free(a->retain);
	republish_props_fini(&a->props);
}

/* The text of a template; NULL templates and NULL values give "". */
static int eval_text(const struct sql_template *t, struct sql_vm *vm, const struct sql_out *row, struct sl_slice *out) {
	*out = SL_SLICE_EMPTY;
	if (!t) return SL_OK;
	struct sql_value v;
	int rc = sql_template_eval(vm, t, row, &v);
	if (rc == SL_OK && (v.kind == SQL_STRING || v.kind == SQL_BYTES)) *out = sql_value_text(&v);
	return rc;
}

static int eval_topic(const struct action_republish *a, struct sql_vm *vm, const struct sql_out *row,
		      struct sl_slice *out) {
	int rc = eval_text(a->topic, vm, row, out);
	if (rc != SL_OK) return rc;
	if (!topic_name_valid(*out) || !utf8_valid_mqtt(*out)) {
		return sql_vm_fail(vm, SL_EINVAL, "topic: '%.*s' is not a topic name that one can publish to",
				   SL_SLICE_ARG(slice_sub(*out, 0, 200)));
	}
	return SL_OK;
}

/* 0, 1 or 2, as a number or as text; NULL is 0. */
static int eval_qos(const struct action_republish *a, struct sql_vm *vm, const struct sql_out *row, uint8_t *out) {
	if (!a->qos) return SL_OK;
	struct sql_value v;
	int64_t qos = -1;
	int rc = sql_template_eval(vm, a->qos, row, &v);
	if (rc != SL_OK) return rc;
	if (v.kind == SQL_INT)
		qos = v.i;
	else if (v.kind == SQL_NULL)
		qos = 0;
	else if (v.kind == SQL_STRING || v.kind == SQL_NUMBER_TEXT)
		(void)slice_to_i64(sql_value_text(&v), &qos);
	if (qos < 0 || qos > 2) return sql_vm_fail(vm, SL_EINVAL, "qos: must be 0, 1 or 2");
	*out = (uint8_t)qos;
	return SL_OK;
}

/* true or false, as a boolean or as text; NULL is false. */
static int eval_retain(const struct action_republish *a, struct sql_vm *vm, const struct sql_out *row, bool *out) {
	*out = false;
	if (!a->retain) return SL_OK;
	struct sql_value v;
	int rc = sql_template_eval(vm, a->retain, row, &v);
	if (rc != SL_OK || v.kind == SQL_NULL) return rc;
	if (v.kind == SQL_BOOL)
		*out = v.b;
	else if (v.kind == SQL_STRING && slice_equal_str(sql_value_text(&v), "true"))
		*out = true;
	else if (v.kind != SQL_STRING || !slice_equal_str(sql_value_text(&v), "false"))
		return sql_vm_fail(vm, SL_EINVAL, "retain: must be true or false");
	return SL_OK;
}

int republish_eval(const struct action_republish *a, uint8_t qos, struct sql_vm *vm, const struct sql_out *row,
		   struct republish_row *m) {
	m->qos = qos;
	int rc = eval_topic(a, vm, row, &m->topic);
	if (rc == SL_OK) rc = eval_text(a->payload, vm, row, &m->payload);
	if (rc == SL_OK) rc = eval_qos(a, vm, row, &m->qos);
	if (rc == SL_OK) rc = eval_retain(a, vm, row, &m->retain);
	if (rc == SL_OK) rc = republish_props_eval(&a->props, vm, row, m->payload, &m->properties);
	return rc;
}

int action_republish_eval(const struct rule_action *action, const struct action_cause *cause, struct sql_vm *vm,
			  const struct sql_out *row, struct action_row *out) {
	struct republish_row *m = SL_ARENA_NEW(sql_vm_arena(vm), struct republish_row);
	out->republish = m;
	return republish_eval(&action->republish, cause->ev->qos, vm, row, m);
}

static void republish_failed(struct rules_worker *rw, const struct rule *rule, const struct rule_action *action,
			     int64_t at_ms, struct sl_slice topic, struct sl_slice clientid, const char *why) {
	struct rule_cell *cell = &rule->stats->cells[rw->index];
	action->stats->cells[rw->index].failed++;
	cell->action_failed++;
	char *reason = sl_asprintf("actions[%u] (republish): %s", (unsigned)action->index, why);
	rule_failed(rw, rule, at_ms, topic, clientid, slice_from_str(reason));
	sl_free(reason);
}

void action_republish_deliver(const struct action_row *row, const struct action_cause *cause) {
	const struct republish_row *made = row->republish;
	const struct rules_event *ev = cause->ev;
	struct rules_worker *rw = cause->rw;
	if (ev->hops >= rw->rules->hops_max) {
		log_warn(LOG_RULE, "republish refused: rules feed each other in a loop",
			 "rule=%s topic=%.*s from=%.*s hops=%d", cause->rule->id, SL_SLICE_ARG(made->topic),
			 SL_SLICE_ARG(ev->topic), ev->hops);
		row->action->stats->cells[rw->index].looping++;
		republish_failed(rw, cause->rule, row->action, ev->at_ms, made->topic, rule_failure_client(ev),
				 "refused: rules feed each other in a loop; see to it that none of them reads what "
				 "comes out of it");
		return;
	}
	struct republish_entry entry = {
	    .m = {.topic = made->topic,
		  .payload = made->payload,
		  .properties = made->properties,
		  .qos = made->qos,
		  .retain = made->retain,
		  .hops = (uint8_t)(ev->hops + 1),
		  .rule_id = slice_from_str(cause->rule->id)},
	    .action = row->action,
	    .rule = cause->rule,
	    .at_ms = ev->at_ms,
	};
	if (republish_queue_add(&rw->queue, &entry) == SL_OK) return;
	log_warn(LOG_RULE, "republish refused: one message caused too many others", "rule=%s topic=%.*s from=%.*s",
		 cause->rule->id, SL_SLICE_ARG(made->topic), SL_SLICE_ARG(ev->topic));
	republish_failed(rw, cause->rule, row->action, ev->at_ms, made->topic, rule_failure_client(ev),
			 "refused: one message caused more than 10000 others, or 64 MB of them");
}

void rules_republish_drain(struct rules_worker *rw) {
	struct republish_queue *q = &rw->queue;
	q->draining = true;
	while (q->next < q->len) {
		/* A copy: publishing may run rules that queue more, and the array moves. */
		struct republish_entry e = q->at[q->next++];
		int rc = SL_EUNSUPPORTED;
		e.m.ticket = rw->ticket;
		if (rw->rules->host.publish) rc = rw->rules->host.publish(rw->rules->host.broker, (int)rw->index, &e.m);
		if (rc == SL_OK)
			e.action->stats->cells[rw->index].taken++;
		else
			republish_failed(rw, e.rule, e.action, e.at_ms, e.m.topic, SL_SLICE_EMPTY, sl_status_text(rc));
	}
	q->next = q->len = q->bytes = 0;
	sl_arena_reset(&q->arena);
	q->draining = false;
}
