/* rules_status.c: what the rules say about themselves: a tree for the API and the quickstart, families for Prometheus.
 * Written from a copy of the counters (rules_snapshot.c), while the workers go on. */
#include "conv.h"
#include "metrics.h"
#include "rules_definition.h"
#include "rules_snapshot_int.h"

/* Text that came from outside and was cut or may not be UTF-8. */
static json_t *json_text(struct sl_slice s) {
	json_t *text = json_stringn(s.p ? s.p : "", s.n);
	return text ? text : json_string("(not UTF-8)");
}

static void set_count(json_t *object, const char *name, uint64_t n) {
	json_object_set_new(object, name, json_integer((json_int_t)n));
}

static json_t *action_status(const struct rule_action *a, const struct action_cell *sum) {
	json_t *out = rule_action_definition(a);
	set_count(out, "taken", sum->taken);
	set_count(out, "failed", sum->failed);
	if (a->kind == ACTION_REPUBLISH) set_count(out, "looping", sum->looping);
	return out;
}

static json_t *failures_status(const struct rules_snapshot *s, const struct rule_copy *copy) {
	json_t *out = json_array();
	for (size_t i = 0; i < copy->failure_count; i++) {
		const struct failure_copy *from = &s->failures[copy->first_failure + i];
		json_t *f = json_object();
		json_object_set_new(f, "at_ms", json_integer(from->at_ms));
		json_object_set_new(f, "topic", json_text(slice_make(s->texts.p + from->topic_at, from->topic_n)));
		json_object_set_new(f, "clientid",
				    json_text(slice_make(s->texts.p + from->clientid_at, from->clientid_n)));
		json_object_set_new(f, "reason", json_text(slice_make(s->texts.p + from->reason_at, from->reason_n)));
		json_array_append_new(out, f);
	}
	return out;
}

/* *a is the copy of the rule's first action; it is moved behind its last. */
static json_t *rule_status(const struct rules_snapshot *s, size_t at, const struct action_copy **a) {
	const struct rule *r = s->set->rules[at];
	const struct rule_cell *sum = &s->rules[at].sum;
	json_t *out = rule_definition(r), *actions = json_array();
	set_count(out, "matched", sum->matched);
	set_count(out, "filtered", sum->filtered);
	set_count(out, "produced", sum->produced);
	set_count(out, "failed", sum->failed);
	set_count(out, "rows", sum->rows);
	for (size_t i = 0; i < r->action_count; i++)
		json_array_append_new(actions, action_status(&r->actions[i], &(*a)++->sum));
	json_object_set_new(out, "actions", actions);
	json_object_set_new(out, "failures", failures_status(s, &s->rules[at]));
	if (r->shadow) rule_shadow_status(r->shadow, json_object_get(out, "shadow"));
	return out;
}

/* What all rules remember. The numbers are of now: whoever changes them does so with atomic additions. */
static const struct state_family {
	const char *name, *family, *help;
	enum sl_metric_kind kind;
} state_families[] = {
    {"bytes", "sluice_state_bytes", "Memory that what rules remember takes.", SL_METRIC_GAUGE},
    {"bytes_max", "sluice_state_max_bytes", "What it may take (state.max_bytes).", SL_METRIC_GAUGE},
    {"keys", "sluice_state_keys", "Keys that are kept, groups of open windows among them.", SL_METRIC_GAUGE},
    {"evicted", "sluice_state_evicted_total", "Keys forgotten at the limit, the longest unused first.",
     SL_METRIC_COUNTER},
    {"refused", "sluice_state_refused_total", "Keys and groups refused at the limit: their runs failed.",
     SL_METRIC_COUNTER},
    {"window_failed", "sluice_window_rows_failed_total", "Rows of windows that could not be made.", SL_METRIC_COUNTER},
    {"window_lost", "sluice_window_groups_lost_total", "Groups of open windows that went with a rule that changed.",
     SL_METRIC_COUNTER},
};

static void state_numbers(const struct rules_snapshot *s, uint64_t out[SL_ARRAY_LEN(state_families)]) {
	const struct rule_state *state = &s->from->state;
	const uint64_t n[] = {atomic_load_explicit(&state->memory.bytes, memory_order_relaxed),
			      state->memory.bytes_max,
			      atomic_load_explicit(&state->memory.keys, memory_order_relaxed),
			      atomic_load_explicit(&state->memory.evicted, memory_order_relaxed),
			      atomic_load_explicit(&state->memory.refused, memory_order_relaxed),
			      atomic_load_explicit(&state->window_failed, memory_order_relaxed),
			      atomic_load_explicit(&state->window_lost, memory_order_relaxed)};
	_Static_assert(sizeof n == sizeof(uint64_t[SL_ARRAY_LEN(state_families)]), "a number for each family");
	memcpy(out, n, sizeof n);
}

static void state_status(const struct rules_snapshot *s, json_t *out) {
	uint64_t n[SL_ARRAY_LEN(state_families)];
	json_t *state = json_object();
	state_numbers(s, n);
	for (size_t i = 0; i < SL_ARRAY_LEN(n); i++) set_count(state, state_families[i].name, n[i]);
	json_object_set_new(out, "state", state);
}

void rules_status(const struct rules_snapshot *s, json_t *out) {
	json_t *list = json_array();
	const struct action_copy *a = s->actions;
	for (size_t i = 0; i < s->set->len; i++)
		if (!s->set->rules[i]->is_shadow) json_array_append_new(list, rule_status(s, i, &a));
	json_object_set_new(out, "rules", list);
	state_status(s, out);
}

/* ---- Prometheus --------------------------------------------------------------------------------------------------- */

static const struct rule_family {
	const char *name, *help;
	size_t at; /* of the counter in struct rule_cell */
} rule_families[] = {
    {"sluice_rule_matched_total", "Times a message reached the rule by its topic.",
     offsetof(struct rule_cell, matched)},
    {"sluice_rule_filtered_total", "Of these, how often WHERE said no.", offsetof(struct rule_cell, filtered)},
    {"sluice_rule_produced_total", "Of these, how often the rule ran to its end.",
     offsetof(struct rule_cell, produced)},
    {"sluice_rule_failed_total", "Of these, how often the rule failed.", offsetof(struct rule_cell, failed)},
    {"sluice_rule_rows_total", "Rows that came out of the rule.", offsetof(struct rule_cell, rows)},
};
static const struct rule_family action_families[] = {
    {"sluice_rule_action_taken_total", "Rows that the action took: staged, published or printed.",
     offsetof(struct action_cell, taken)},
    {"sluice_rule_action_failed_total", "Rows that the action could not take.", offsetof(struct action_cell, failed)},
    {"sluice_rule_action_looping_total",
     "Of the failed, messages that were refused because rules feed each other in a loop.",
     offsetof(struct action_cell, looping)},
};

static uint64_t counter_at(const void *cell, size_t at) {
	uint64_t n;
	memcpy(&n, (const char *)cell + at, sizeof n);
	return n;
}

static void rule_family_write(const struct rules_snapshot *s, const struct rule_family *family, struct sl_buf *out) {
	sl_prom_family(out, family->name, SL_METRIC_COUNTER, family->help);
	for (size_t i = 0; i < s->set->len; i++) {
		if (s->set->rules[i]->is_shadow) continue;
		struct sl_prom_label label = {"rule", slice_from_str(s->set->rules[i]->id)};
		sl_prom_value(out, family->name, &label, 1, counter_at(&s->rules[i].sum, family->at));
	}
}

static void action_family_write(const struct rules_snapshot *s, const struct rule_family *family, struct sl_buf *out) {
	sl_prom_family(out, family->name, SL_METRIC_COUNTER, family->help);
	const struct action_copy *a = s->actions;
	for (size_t i = 0; i < s->set->len; i++) {
		const struct rule *r = s->set->rules[i];
		for (size_t k = 0; k < r->action_count; k++, a++) {
			char index[SL_FORMAT_I64_MAX];
			struct sl_prom_label labels[] = {
			    {"rule", slice_from_str(r->id)},
			    {"action", slice_make(index, sl_format_u64(k, index))},
			    {"name", slice_from_str(r->actions[k].label)},
			};
			sl_prom_value(out, family->name, labels, SL_ARRAY_LEN(labels), counter_at(&a->sum, family->at));
		}
	}
}

static void shadow_family_write(const struct rules_snapshot *s, struct sl_buf *out) {
	static const char name[] = "sluice_rule_shadow_total";
	sl_prom_family(out, name, SL_METRIC_COUNTER,
		       "Messages on which the rule and its shadow were compared, and what came of it.");
	for (size_t i = 0; i < s->set->len; i++) {
		const struct rule *r = s->set->rules[i];
		if (!r->shadow || r->is_shadow) continue;
		const struct rule_shadow_sum sum = rule_shadow_sum(r->shadow);
		const struct {
			const char *result;
			uint64_t n;
		} rows[] = {{"same", sum.same}, {"different", sum.different}, {"failed", sum.failed}};
		for (size_t k = 0; k < SL_ARRAY_LEN(rows); k++) {
			struct sl_prom_label labels[] = {{"rule", slice_from_str(r->id)},
							 {"result", slice_from_str(rows[k].result)}};
			sl_prom_value(out, name, labels, SL_ARRAY_LEN(labels), rows[k].n);
		}
	}
}

void rules_prometheus(const struct rules_snapshot *s, struct sl_buf *out) {
	for (size_t i = 0; i < SL_ARRAY_LEN(rule_families); i++) rule_family_write(s, &rule_families[i], out);
	for (size_t i = 0; i < SL_ARRAY_LEN(action_families); i++) action_family_write(s, &action_families[i], out);
	shadow_family_write(s, out);
	uint64_t n[SL_ARRAY_LEN(state_families)];
	state_numbers(s, n);
	for (size_t i = 0; i < SL_ARRAY_LEN(n); i++) {
		sl_prom_family(out, state_families[i].family, state_families[i].kind, state_families[i].help);
		sl_prom_value(out, state_families[i].family, NULL, 0, n[i]);
	}
}
