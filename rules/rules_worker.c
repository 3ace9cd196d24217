/* rules_worker.c: a worker's half of the rule engine: made, switched to another set, swept, freed. */
#include <stdlib.h>

#include "mem.h"
#include "rule.h"
#include "rules_windows.h"

static void cache_value_free(void *arg, void *value) { rule_plan_unref(&((struct rules_worker *)arg)->plans, value); }

static void stage_hook_run(struct sl_hook *hook) {
	struct rules_worker *rw = sl_container_of(hook, struct rules_worker, stage_hook);
	sl_stages_flush(rw->rules->connectors, rw->index);
}

/* Looks at a portion of the cache, and comes again as long as there is something in it. */
static void sweep_timer_fire(struct sl_timer *t) {
	struct rules_worker *rw = sl_container_of(t, struct rules_worker, sweep_timer);
	struct topic_cache_stats stats;
	topic_cache_sweep(rw->cache, rw->generation, RULES_CACHE_SWEEP_PLACES);
	topic_cache_stats(rw->cache, &stats);
	if (stats.entries) sl_timer_set(rw->loop, t, RULES_CACHE_SWEEP_MS);
}

void rules_worker_use(struct rules_worker *rw, const struct ruleset *set) {
	/* Who waits names stages of the former set. */
	rw->wants.no_room = NULL;
	if (rw->set && rw->loop && rw->rules->host.room)
		rw->rules->host.room(rw->rules->host.broker, (int)rw->index, true);
	topic_cache_clear(rw->cache); /* gives its plans back */
	if (rw->set) rules_events_forget(rw);
	rule_plans_fini(&rw->plans);
	rule_plans_init(&rw->plans, set, rw->index);
	rw->set = set;
	rules_windows_use(rw);
	rules_events_use(rw);
	rw->generation++;
	sl_free(rw->stages);
	rw->stages = SL_NEW_ARRAY(struct sl_stage *, set->connector_slots + 1);
	for (size_t i = 0; i < set->len; i++) {
		for (size_t k = 0; k < set->rules[i]->action_count; k++) {
			const struct rule_action *a = &set->rules[i]->actions[k];
			if (a->kind == ACTION_CONNECTOR)
				rw->stages[a->connector.slot] = sl_pipeline_stage(a->connector.pipeline, rw->index);
		}
	}
}

struct rules_worker *rules_worker_new(struct rules *r, size_t index, struct sl_loop *loop, struct sl_metrics *metrics) {
	sl_assert(index < r->worker_count && !r->workers[index]);
	struct rules_worker *rw = SL_NEW(struct rules_worker);
	rw->rules = r;
	rw->index = index;
	rw->loop = loop;
	if (!metrics) {
		rw->own_metrics = aligned_alloc(64, sizeof *rw->own_metrics);
		sl_assert(rw->own_metrics);
		memset(rw->own_metrics, 0, sizeof *rw->own_metrics);
	}
	rw->metrics = metrics ? metrics : rw->own_metrics;
	static const _Atomic uint32_t open_gate;
	rw->wants.gate = r->connectors ? sl_stages_gate(r->connectors, index) : &open_gate;
	rw->cache = topic_cache_new(RULES_CACHE_ENTRIES, cache_value_free, rw);
	rw->vm = sql_vm_new();
	sql_share_init(&rw->share);
	republish_queue_init(&rw->queue);
	rules_events_init(rw);
	rules_windows_init(rw);
	rules_worker_use(rw, r->set);
	sl_timer_init(&rw->sweep_timer, sweep_timer_fire);
	if (loop && r->connectors) {
		rw->stage_hook.run = stage_hook_run;
		sl_loop_hook_add(loop, SL_PHASE_STAGE, &rw->stage_hook);
	}
	r->workers[index] = rw;
	if (index == 0) rules_connector_early(r);
	return rw;
}

void rules_worker_free(struct rules_worker *rw) {
	if (!rw) return;
	if (rw->stage_hook.run) sl_loop_hook_remove(&rw->stage_hook);
	sl_timer_cancel(&rw->sweep_timer);
	rules_windows_fini(rw);
	rw->rules->workers[rw->index] = NULL;
	topic_cache_free(rw->cache);
	rules_events_forget(rw);
	rules_events_fini(rw);
	rule_plans_fini(&rw->plans);
	republish_queue_fini(&rw->queue);
	sql_vm_free(rw->vm);
	sql_share_fini(&rw->share);
	sl_free(rw->filters.at);
	bit_tree_fini(&rw->survivors);
	rule_shadow_room_fini(rw);
	sl_free(rw->stages);
	sl_free(rw->hits);
	sl_free(rw->rows);
	free(rw->own_metrics);
	sl_free(rw);
}
