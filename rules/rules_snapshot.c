/* rules_snapshot.c: the counters of all rules at one moment, for status pages. See rules.h.
 *
 * The workers' cells lie all over the memory: a cache line for each rule and worker, and as many for the actions. Copying is
 * waiting for those lines, so they are asked for a few rules ahead. All memory that the copy needs is there, and was
 * written to, before the workers stand still. */
#include "mem.h"
#include "rules_snapshot_int.h"

enum {
	AHEAD = 12,          /* cells asked for before their turn */
	FAILURES_RULES = 64, /* rules in one helping of failures */
};

static void take_reference(void *arg) {
	struct rules_snapshot *s = arg;
	s->set = ruleset_ref(s->from->set);
}

/* Pages that were never written to would be given by the system one by one, in the worst moment. */
static void *zeroed(size_t count, size_t size) {
	void *at = sl_calloc(sl_max_size(count, 1), size);
	for (size_t i = 0; i < count * size; i += 1024) ((volatile char *)at)[i] = 0;
	return at;
}

struct rules_snapshot *rules_snapshot_new(struct rules *r) {
	struct rules_snapshot *s = SL_NEW(struct rules_snapshot);
	s->from = r;
	sl_loops_park(NULL, 0, take_reference, s); /* takes turns with rules_commit() */
	for (size_t i = 0; i < s->set->len; i++) s->action_count += s->set->rules[i]->action_count;
	s->rules = zeroed(s->set->len, sizeof *s->rules);
	s->actions = zeroed(s->action_count, sizeof *s->actions);
	struct action_copy *a = s->actions;
	for (size_t i = 0; i < s->set->len; i++) {
		const struct rule *rule = s->set->rules[i];
		s->rules[i].cells = rule->stats->cells;
		for (size_t k = 0; k < rule->action_count; k++) (a++)->cells = rule->actions[k].stats->cells;
	}
	return s;
}

bool rules_snapshot_take(struct rules_snapshot *s) {
	if (s->from->set != s->set) return false;
	size_t workers = s->from->worker_count;
	for (size_t w = 0; w < workers; w++) {
		struct rules_worker *rw = s->from->workers[w];
		if (rw) rule_plans_count_in(&rw->plans);
	}
	for (size_t i = 0; i < s->set->len; i++) {
		if (i + AHEAD < s->set->len)
			for (size_t w = 0; w < workers; w++) __builtin_prefetch(&s->rules[i + AHEAD].cells[w]);
		s->rules[i].sum = rule_cells_sum(s->rules[i].cells, workers);
	}
	for (size_t i = 0; i < s->action_count; i++) {
		if (i + AHEAD < s->action_count)
			for (size_t w = 0; w < workers; w++) __builtin_prefetch(&s->actions[i + AHEAD].cells[w]);
		s->actions[i].sum = action_cells_sum(s->actions[i].cells, workers);
	}
	return true;
}

bool rules_snapshot_failures_next(struct rules_snapshot *s) {
	while (s->failures_from < s->set->len && s->rules[s->failures_from].sum.failures_len == 0) s->failures_from++;
	if (s->failures_from == s->set->len) return false;
	size_t most = (size_t)FAILURES_RULES * RULE_FAILURES_KEPT;
	if (s->failures_cap - s->failures_len < most) {
		s->failures_cap = s->failures_cap * 2 + most;
		s->failures = sl_realloc_array(s->failures, s->failures_cap, sizeof *s->failures);
	}
	sl_buf_grow(&s->texts, most * 3 * RULE_FAILURE_TEXT_MAX);
	return true;
}

static void failures_copy(struct rules_snapshot *s, size_t at) {
	const struct rule_failure *newest[RULE_FAILURES_KEPT];
	size_t n = rule_failures_newest(s->set->rules[at]->stats, newest, SL_ARRAY_LEN(newest));
	s->rules[at].first_failure = s->failures_len;
	s->rules[at].failure_count = n;
	for (size_t i = 0; i < n; i++) {
		struct failure_copy *f = &s->failures[s->failures_len++];
		f->at_ms = newest[i]->at_ms;
		f->topic_at = s->texts.n;
		f->topic_n = newest[i]->topic.n;
		sl_buf_append_slice(&s->texts, sl_buf_slice(&newest[i]->topic));
		f->clientid_at = s->texts.n;
		f->clientid_n = newest[i]->clientid.n;
		sl_buf_append_slice(&s->texts, sl_buf_slice(&newest[i]->clientid));
		f->reason_at = s->texts.n;
		f->reason_n = newest[i]->reason.n;
		sl_buf_append_slice(&s->texts, sl_buf_slice(&newest[i]->reason));
	}
}

void rules_snapshot_failures_take(void *snapshot) {
	struct rules_snapshot *s = snapshot;
	int left = FAILURES_RULES;
	for (; s->failures_from < s->set->len && left > 0; s->failures_from++) {
		if (s->rules[s->failures_from].sum.failures_len == 0) continue;
		failures_copy(s, s->failures_from);
		left--;
	}
}

void rules_snapshot_free(struct rules_snapshot *s) {
	if (!s) return;
	ruleset_unref(s->set);
	sl_buf_fini(&s->texts);
	sl_free(s->failures);
	sl_free(s->actions);
	sl_free(s->rules);
	sl_free(s);
}
