/* rule_eval.c: one event through the rules of its worker. This is the publish path: no lock, no allocation once warm,
 * and no look at the payload unless a candidate rule asks for it. */
#include "event_kind.h"
#include "event_source.h"
#include "mem.h"
#include "reject.h"
#include "rule_failure.h"
#include "rules_int.h"

enum { SURVIVORS_AHEAD = 8 };

struct rule_plan *rules_plan_of(struct rules_worker *rw, struct sl_slice topic) {
	rule_index_match(rw->set->index, topic, &rw->filters);
	if (rw->filters.len == 0) return NULL;
	struct rule_plan *plan = rule_plans_get(&rw->plans, &rw->filters);
	size_t hits = rw->plans.shared_max + rw->plans.own_max;
	if (hits > rw->hits_cap) {
		rw->hits_cap = hits;
		rw->hits = sl_realloc_array(rw->hits, rw->hits_cap, sizeof *rw->hits);
	}
	bit_tree_reserve(&rw->survivors, rw->plans.count_max);
	sql_share_reserve(&rw->share, rw->plans.slots_max);
	rule_shadow_room(rw, plan);
	return plan;
}

/* Too much for all plans together: topics that were not asked for lately give theirs back, a few at a time. */
static sl_noinline void plans_make_room(struct rules_worker *rw) {
	struct topic_cache_stats stats;
	do {
		topic_cache_sweep(rw->cache, rw->generation, RULES_PLANS_SWEEP_PLACES);
		topic_cache_stats(rw->cache, &stats);
	} while (stats.entries > 0 && rw->plans.alive > rw->plans.alive_max);
}

void rules_plan_keep(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash, struct rule_plan *plan) {
	if (sl_unlikely(rw->plans.alive > rw->plans.alive_max)) plans_make_room(rw);
	topic_cache_put(rw->cache, topic_hash, topic, rw->generation, plan);
	if (rw->loop && !sl_timer_armed(&rw->sweep_timer))
		sl_timer_set(rw->loop, &rw->sweep_timer, RULES_CACHE_SWEEP_MS);
}

/* What a topic reaches was not known, or not in this set: asks the index and remembers the answer, "nothing" too. A
 * message that a rule publishes to the topic of an event is no such event. */
static sl_noinline struct rule_plan *plan_make(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash) {
	struct rule_plan *plan = event_from(topic) ? NULL : rules_plan_of(rw, topic);
	rules_plan_keep(rw, topic, topic_hash, plan);
	return plan;
}

struct rule_plan *rules_plan_find(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash) {
	void *found;
	if (sl_likely(topic_cache_get(rw->cache, topic_hash, topic, rw->generation, &found))) return found;
	return plan_make(rw, topic, topic_hash);
}

/* A row of the run that is on. Its values live until the next run; what must not be handed on before the run has ended
 * well waits in rw->rows. */
int rules_row_add(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	const struct action_cause *cause = arg;
	struct rules_worker *rw = cause->rw;
	const struct rule *r = cause->rule;
	for (size_t i = 0; i < r->action_count; i++) {
		if (sl_unlikely(r->actions[i].disabled)) continue;
		SL_GROW(rw->rows, rw->rows_len, rw->rows_cap);
		rule_action_eval(&r->actions[i], cause, vm, row, &rw->rows[rw->rows_len++]);
	}
	rw->rows_made++;
	rw->row = *row;
	return SL_OK;
}

/* A row of a rule with GROUP BY: the keys, and what is to be added up. Its run counts as produced; rows come when the window
 * ends (rules_windows.h). */
static int row_group(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	const struct action_cause *cause = arg;
	return sql_windows_add(cause->rule->memory->windows, vm, row, cause->ev->at_ms, cause->ev->hops);
}

static void run_failed(struct rules_worker *rw, const struct rule_plan_candidate *c, const struct rules_event *ev) {
	c->cell->failed++;
	sl_metric_inc(rw->metrics, METRIC_RULE_FAILED);
	const struct sl_err *err = sql_vm_error(rw->vm);
	struct sl_slice reason =
	    sl_arena_printf(sql_vm_arena(rw->vm), "line %u, column %u: %s", err->line, err->column, sl_err_text(err));
	rule_failed(rw, c->rule, ev->at_ms, ev->topic, rule_failure_client(ev), reason);
}

/* What is kept of the event for dead letters. Field by field: a whole one copied at once waits for its parts to be written. */
static void origin_of(struct sl_origin *from, struct rules_worker *rw, const struct rules_event *ev) {
	from->serial = ++rw->serial;
	from->topic = ev->topic;
	from->clientid = rule_failure_client(ev);
	from->payload = ev->payload;
	from->id = SL_SLICE_EMPTY;
	from->payload_bytes = 0;
	from->at_ms = ev->at_ms;
	from->qos = ev->qos;
}

static void run_produced(struct rules_worker *rw, const struct rule_plan_candidate *c, struct action_cause *cause) {
	c->cell->produced++;
	c->cell->rows += rw->rows_made;
	sl_metric_inc(rw->metrics, METRIC_RULE_PRODUCED);
	if (rw->rows_len && cause->from.serial == 0) origin_of(&cause->from, rw, cause->ev);
	for (size_t i = 0; i < rw->rows_len; i++) rule_action_deliver(&rw->rows[i], cause);
}

/* An event on its way through the candidates of a plan. */
struct plan_walk {
	struct rules_worker *rw;
	const struct rule_plan *plan;
	struct action_cause cause;
	struct sql_input in;
	struct sql_state state;
	struct rule_pass pass, own; /* the one that candidates share, and that of one who is alone */
	struct sl_stage *shut;      /* rules_plan_shut() */
	uint32_t others;            /* candidates that WHERE did not filter */
	uint32_t next;              /* the candidate that could do with what the last run gave, */
	enum sql_outcome outcome;   /* which was that, */
	struct sl_arena_mark mark;  /* and stands before this in the vm's arena */
};

/* A row of a rule without actions is only counted. */
static int rows_count(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	const struct action_cause *cause = arg;
	(void)vm;
	cause->rw->rows_made++;
	cause->rw->row = *row;
	return SL_OK;
}

/* Reads the payload for the candidate from the pass of the others, or from its own. */
static void choose_pass(struct plan_walk *w, const struct rule_plan_candidate *c) {
	struct rules_worker *rw = w->rw;
	struct rule_pass *pass = &w->pass;
	const struct jpath_set *set = rule_plan_set(w->plan, c);
	w->in.hits = rw->hits;
	if (sl_unlikely(c->pass == RULE_PLAN_ALONE)) {
		pass = &w->own;
		pass->set = NULL;
		w->in.hits = rw->hits + rw->plans.shared_max;
	}
	w->in.extract_arg = pass;
	if (set && set != pass->set)
		*pass = (struct rule_pass){
		    .set = set, .payload = w->in.payload, .hits = (struct jpath_hit *)(uintptr_t)w->in.hits};
}

static enum sql_outcome run(struct plan_walk *w, const struct rule_plan_candidate *c) {
	struct rules_worker *rw = w->rw;
	const struct rule_memory *memory = c->remembers ? c->rule->memory : NULL;
	w->state.rule = memory ? memory->store : NULL;
	sql_row_fn on_row = memory && memory->windows ? row_group : c->acts ? rules_row_add : rows_count;
	if (sl_unlikely(c->shadow)) {
		rule_shadow_begin(rw, c, &w->state);
		on_row = rule_shadow_row;
	}
	rw->rows_len = rw->rows_made = 0;
	if (c->constants) {
		enum sql_outcome outcome = sql_shape_run(rw->vm, c->program, c->constants, &w->in, on_row, &w->cause);
		if (sl_likely(outcome != SQL_FAILED)) return outcome;
		/* The rule's own program knows where in its text it fails. */
		rw->rows_len = rw->rows_made = 0;
		if (c->shadow) rule_shadow_begin(rw, c, &w->state);
		return sql_run(rw->vm, c->rule->program, &w->in, on_row, &w->cause);
	}
	if (c->shares) return sql_share_run(rw->vm, c->program, &rw->share, c->share_map, &w->in, on_row, &w->cause);
	return sql_run(rw->vm, c->program, &w->in, on_row, &w->cause);
}

/* Remembers what the run of candidate i gave, for the next one does the same. Of one row only: more of them are gone. */
static void keep_outcome(struct plan_walk *w, uint32_t i, enum sql_outcome outcome) {
	struct rules_worker *rw = w->rw;
	bool one_row = outcome == SQL_PRODUCED && rw->rows_made == 1;
	w->next = one_row || outcome == SQL_FILTERED ? i + 1 : UINT32_MAX;
	w->outcome = outcome;
	w->mark = sl_arena_mark(sql_vm_arena(rw->vm));
}

/* What the candidate before gave is what this one would give; it has actions of its own. */
static enum sql_outcome run_again(struct plan_walk *w, const struct rule_plan_candidate *c) {
	struct rules_worker *rw = w->rw;
	if (w->outcome == SQL_FILTERED) return SQL_FILTERED;
	struct sql_out row = rw->row;
	sl_arena_rewind(sql_vm_arena(rw->vm), w->mark);
	sql_shape_again(rw->vm, c->program);
	rw->rows_len = rw->rows_made = 0;
	(void)(c->acts ? rules_row_add : rows_count)(&w->cause, rw->vm, &row);
	return SQL_PRODUCED;
}

/* The plan has counted the candidate as matched and filtered; what turns out otherwise is counted here. */
static void visit(struct plan_walk *w, uint32_t i) {
	const struct rule_plan_candidate *c = &w->plan->at[i];
	choose_pass(w, c);
	rule_plan_input(c, &w->in);
	w->cause.rule = c->rule;
	enum sql_outcome outcome;
	if (c->again && w->next == i) {
		outcome = run_again(w, c);
		w->next = i + 1;
	} else {
		outcome = run(w, c);
		if (i + 1 < w->plan->count && c[1].again) keep_outcome(w, i, outcome);
	}
	if (sl_unlikely(c->shadow) && rule_shadow_ran(w->rw, c, outcome, &w->state)) return;
	if (outcome == SQL_FILTERED) return;
	w->others++;
	c->cell->filtered--;
	if (outcome == SQL_PRODUCED)
		run_produced(w->rw, c, &w->cause);
	else
		run_failed(w->rw, c, w->cause.ev);
}

/* Takes the next few off; whatever lies about in memory for each of them is asked for, all at once. */
static uint32_t survivors_take(struct plan_walk *w, uint32_t *out, uint32_t room) {
	struct bit_tree *survivors = &w->rw->survivors;
	uint32_t n = 0;
	while (n < room && !bit_tree_empty(survivors)) {
		out[n] = bit_tree_least(survivors);
		bit_tree_remove(survivors, out[n]);
		__builtin_prefetch(&w->plan->at[out[n]]);
		__builtin_prefetch(w->plan->at[out[n++]].own);
	}
	for (uint32_t i = 0; i < n; i++) __builtin_prefetch(w->plan->at[out[i]].cell, 1);
	return n;
}

typedef void (*visit_fn)(struct plan_walk *w, uint32_t i);

/* Those that the event may match by their guards, and those without, in the order of the rules. Inlined, for `see` is known
 * where it is called. */
static inline __attribute__((always_inline)) void visit_survivors(struct plan_walk *w, visit_fn see) {
	const struct guard_index *guards = w->plan->guards;
	uint32_t next = 0, some[SURVIVORS_AHEAD], n;
	if (guards->reads_payload) { /* in the first pass */
		w->pass = (struct rule_pass){.set = w->plan->passes[0], .payload = w->in.payload, .hits = w->rw->hits};
		(void)rule_pass_extract(&w->pass);
	}
	guard_index_find(guards, w->rw->vm, &w->in, w->rw->hits, w->pass.status, &w->rw->survivors);
	while ((n = survivors_take(w, some, SURVIVORS_AHEAD)) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			while (next < guards->unguarded_len && guards->unguarded[next] < some[i])
				see(w, guards->unguarded[next++]);
			see(w, some[i]);
		}
	}
	while (next < guards->unguarded_len) see(w, guards->unguarded[next++]);
}

static const struct action_connector *connector_of(const struct rule_plan_candidate *c) {
	if (!c->acts || c->rule->actions->kind != ACTION_CONNECTOR) return NULL;
	return &c->rule->actions->connector;
}

/* Of many rules with an action each, nothing is in the caches when its turn comes: asks for it some turns before, one
 * pointer further each time. */
static inline void look_ahead(const struct plan_walk *w, uint32_t i) {
	const struct rule_plan_candidate *c = &w->plan->at[i];
	if (i + 4 >= w->plan->count) return;
	bool qos = w->cause.ev->qos > 0;
	if (c[4].acts) __builtin_prefetch(c[4].rule->actions);
	const struct action_connector *a = connector_of(&c[3]);
	if (a) __builtin_prefetch(w->rw->stages[a->slot], 1);
	a = connector_of(&c[2]);
	if (a) {
		sl_stage_expect(w->rw->stages[a->slot], qos, false);
		if (a->param_count) __builtin_prefetch(a->params[0]);
		if (a->order_key) __builtin_prefetch(a->order_key);
	}
	a = connector_of(&c[1]);
	if (a) sl_stage_expect(w->rw->stages[a->slot], qos, true);
}

/* What is not set here is set before it is read; all of it would be half a kilobyte of zeros for each event. */
static inline void walk_begin(struct plan_walk *w, struct event_view *view, struct rules_worker *rw,
			      const struct rule_plan *plan, const struct rules_event *ev) {
	view->ev = ev;
	view->node = rw->rules->node;
	view->account = rw->rules->account;
	view->now_ms = ev->at_ms;
	view->id_made = false;
	w->rw = rw;
	w->plan = plan;
	w->cause.rw = rw;
	w->cause.ev = ev;
	w->cause.ticket = NULL;
	w->cause.from.serial = 0;
	w->in = (struct sql_input){
	    .event = view, .payload = ev->payload, .extract = rule_pass_extract, .now_ms = ev->at_ms};
	w->pass.set = NULL;
	w->pass.status = SL_OK;
	w->shut = NULL;
	w->others = w->next = 0;
}

void rules_plan_run(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev,
		    struct sl_ticket *ticket) {
	struct event_view view;
	struct plan_walk w;
	walk_begin(&w, &view, rw, plan, ev);
	w.cause.ticket = ticket;
	w.state = rule_memory_state(&rw->rules->state, NULL, ev->clientid);
	w.in.state = &w.state;
	plan->events++;
	if (plan->slots) sql_share_begin(&rw->share, ev->payload);
	if (plan->guards)
		visit_survivors(&w, visit);
	else
		for (uint32_t i = 0; i < plan->count; i++) {
			look_ahead(&w, i);
			visit(&w, i);
		}
	if (sl_unlikely(plan->shadow_count)) rule_shadow_compare(rw, plan, ev);
	uint32_t rules = plan->count - plan->shadow_rules;
	sl_metric_add(rw->metrics, METRIC_RULE_MATCHED, rules);
	sl_metric_add(rw->metrics, METRIC_RULE_FILTERED, rules - w.others);
}

/* ---- Before a message is taken. --------------------------------------------------------------------------------------- */

static struct sl_stage *rule_shut_stage(const struct rules_worker *rw, const struct rule *r, bool qos) {
	for (size_t i = 0; i < r->action_count; i++) {
		if (r->actions[i].kind != ACTION_CONNECTOR || r->actions[i].disabled) continue;
		struct sl_stage *st = rw->stages[r->actions[i].connector.slot];
		if (sl_stage_shut(st, qos)) return st;
	}
	return NULL;
}

/* A row is all that is asked for. */
static int row_seen(void *arg, struct sql_vm *vm, const struct sql_out *row) {
	(void)vm;
	(void)row;
	*(bool *)arg = true;
	return SL_OK;
}

/* Would the rule give a row to a stage that takes none? One that remembers cannot be tried; where it reads another's memory, it
 * fails: both count as yes. Rows of windows come later. */
static void ask(struct plan_walk *w, uint32_t i) {
	const struct rule_plan_candidate *c = &w->plan->at[i];
	if (w->shut || !c->acts || (c->remembers && c->rule->memory->windows)) return;
	struct sl_stage *st = rule_shut_stage(w->rw, c->rule, w->cause.ev->qos > 0);
	if (!st) return;
	if (!c->remembers) {
		bool seen = false;
		choose_pass(w, c);
		rule_plan_input(c, &w->in);
		if (sql_run(w->rw->vm, c->rule->program, &w->in, row_seen, &seen) != SQL_FAILED && !seen) return;
	}
	w->shut = st;
}

struct sl_stage *rules_plan_shut(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev) {
	struct event_view view;
	struct plan_walk w;
	walk_begin(&w, &view, rw, plan, ev);
	if (plan->guards)
		visit_survivors(&w, ask);
	else
		for (uint32_t i = 0; i < plan->count; i++) ask(&w, i);
	return w.shut;
}

void rules_plan_publish(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev,
			struct sl_ticket *ticket) {
	/* Rows that come of republished messages are on this publisher's account too. */
	if (rw->queue.draining && !ticket) ticket = rw->ticket;
	rules_plan_run(rw, plan, ev, ticket);
	/* From here on the plan may be gone. */
	if (rw->queue.len == 0 || rw->queue.draining) return;
	rw->ticket = ticket;
	rules_republish_drain(rw);
	rw->ticket = NULL;
}

void rules_connection_closed(struct rules_worker *rw, struct sl_slice clientid) {
	sql_store_drop_owner(rw->rules->state.dict, clientid);
	sql_store_drop_owner(rw->rules->state.shadow_dict, clientid);
}

struct rule_plan *rules_find(struct rules_worker *rw, struct sl_slice topic, uint64_t topic_hash) {
	return rules_any(rw) ? rules_plan_find(rw, topic, topic_hash) : NULL;
}

void rules_run(struct rules_worker *rw, struct rule_plan *plan, const struct rules_event *ev,
	       struct sl_ticket *ticket) {
	/* Messages made of rejected rows (reject.h) are not for rules. */
	if (sl_likely(ev->hops != REJECT_HOPS)) rules_plan_publish(rw, plan, ev, ticket);
}

void rules_eval(struct rules_worker *rw, const struct rules_event *ev, struct sl_ticket *ticket) {
	struct rule_plan *plan = rules_find(rw, ev->topic, ev->topic_hash);
	if (plan) rules_run(rw, plan, ev, ticket);
}
