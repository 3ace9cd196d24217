/* rules.c: the engine as a whole: sets in and out of force, and what it says about itself. */
#include "mem.h"
#include "reject.h"
#include "rule.h"
#include "rule_conf.h"
#include "rules_definition.h"
#include "rules_int.h"

struct rules_prepared {
	struct ruleset *set;
};

bool rules_room(struct sl_stage *full, uint8_t qos) { return sl_stage_room(full, qos > 0); }

bool rules_room_for_any(struct rules_worker *rw) {
	return !rw->rules->connectors || sl_stages_room(rw->rules->connectors, rw->index);
}

static void room_made(void *arg, size_t worker) {
	const struct rules *r = arg;
	if (r->host.room) r->host.room(r->host.broker, (int)worker, false);
}

struct rules *rules_new(const struct rules_opts *opts) {
	struct rules *r = SL_NEW(struct rules);
	r->host = opts->host;
	r->connectors = opts->connectors;
	/* Freeing a large set takes a while: rather the connectors' thread than a worker's. */
	r->home = opts->home ? opts->home : opts->connectors ? connectors_loop(opts->connectors) : NULL;
	r->node = slice_from_str(sl_strdup(opts->node ? opts->node : ""));
	r->account = slice_from_str(sl_strdup(opts->account ? opts->account : ""));
	r->worker_count = opts->worker_count;
	r->hops_max = opts->hops_max ? opts->hops_max : RULES_HOPS_MAX;
	if (r->hops_max >= REJECT_HOPS) r->hops_max = REJECT_HOPS - 1;
	r->workers = SL_NEW_ARRAY(struct rules_worker * _Atomic, opts->worker_count + 1);
	r->reject_vm = sql_vm_new();
	if (r->connectors) {
		connectors_on_reject(r->connectors, reject_row, r);
		connectors_on_state(r->connectors, rules_connector_state, r);
		connectors_on_source(r->connectors, rules_source_batch, r);
		connectors_on_room(r->connectors, room_made, r);
	}
	rule_state_init(&r->state, opts->state_bytes_max);
	r->set = ruleset_new();
	ruleset_complete(r->set, NULL, r->worker_count);
	return r;
}

void rules_free(struct rules *r) {
	if (!r) return;
	for (uint32_t w = 0; w < r->worker_count; w++) sl_assert(!r->workers[w]);
	ruleset_unref(r->set);
	rules_connector_fini(r);
	sql_vm_free(r->reject_vm);
	rule_state_fini(&r->state);
	sl_free(r->workers);
	sl_free((char *)(uintptr_t)r->node.p);
	sl_free((char *)(uintptr_t)r->account.p);
	sl_free(r);
}

int rules_prepare(struct rules *r, const json_t *tree, struct conf_at at, struct connectors_set *connectors,
		  struct conf_report *report, struct rules_prepared **out) {
	*out = NULL;
	struct ruleset *set = ruleset_new();
	set->state = &r->state;
	int rc = rule_conf_load(tree, at, connectors, report, set);
	if (rc != SL_OK) {
		ruleset_unref(set);
		return rc;
	}
	*out = SL_NEW(struct rules_prepared);
	(*out)->set = set;
	return SL_OK;
}

void rules_discard(struct rules_prepared *p) {
	if (!p) return;
	ruleset_unref(p->set);
	sl_free(p);
}

void rules_definitions(const struct rules_prepared *p, json_t *out) {
	json_t *list = json_array();
	for (size_t i = 0; i < p->set->len; i++) {
		const struct rule *r = p->set->rules[i];
		if (r->is_shadow) continue;
		json_t *rule = rule_definition(r), *actions = json_array();
		for (size_t k = 0; k < r->action_count; k++)
			json_array_append_new(actions, rule_action_definition(&r->actions[k]));
		json_object_set_new(rule, "actions", actions);
		json_array_append_new(list, rule);
	}
	json_object_set_new(out, "rules", list);
}

/* ---- Changing over. One swap per commit; one letter per worker; the last worker to answer ends it. --------------- */

struct swap_letter {
	struct sl_post post;
	struct rules_worker *rw;
	struct rules_swap *swap;
};
struct rules_swap {
	struct sl_post home_post;
	struct rules *rules;
	struct ruleset *next, *before;
	_Atomic uint32_t waiting; /* workers that have not changed over yet */
	rules_commit_cb done;
	void *arg;
	struct swap_letter letters[];
};

static void swap_end(struct rules_swap *swap) {
	if (swap->done) swap->done(swap->arg);
	ruleset_unref(swap->before);
	sl_free(swap);
}

static void swap_home(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	swap_end(sl_container_of(post, struct rules_swap, home_post));
}

static void swap_worker(struct sl_post *post, struct sl_loop *l) {
	(void)l;
	struct swap_letter *letter = sl_container_of(post, struct swap_letter, post);
	struct rules_swap *swap = letter->swap;
	/* Rows that this tick has staged so far go to pipelines that may end with the old set. */
	if (swap->rules->connectors) sl_stages_flush(swap->rules->connectors, letter->rw->index);
	rules_settle(letter->rw); /* what waits to be published names rules of the old set */
	rules_worker_use(letter->rw, swap->next);
	/* Release: we are done with the old set. Acquire, for the last: so is everybody. */
	if (atomic_fetch_sub_explicit(&swap->waiting, 1, memory_order_acq_rel) != 1) return;
	if (swap->rules->home)
		sl_loop_post(swap->rules->home, &swap->home_post);
	else
		swap_end(swap);
}

/* What connectors_commit() has made is taken over now; the specs end with the connectors' set. */
static void adopt_pipelines(struct ruleset *set) {
	for (size_t i = 0; i < set->len; i++) {
		for (size_t k = 0; k < set->rules[i]->action_count; k++) {
			struct rule_action *a = &set->rules[i]->actions[k];
			if (a->kind != ACTION_CONNECTOR) continue;
			a->connector.pipeline = sl_action_spec_pipeline(a->connector.spec);
			a->connector.spec = NULL;
		}
	}
}

/* A status page may be taking its reference to the set (rules_snapshot.c). It does so inside sl_loops_park(), and so does
 * this: one after the other. */
struct set_change {
	struct rules *rules;
	struct ruleset *next;
};
static void change_set(void *arg) {
	struct set_change *change = arg;
	change->rules->set = change->next;
}

void rules_commit(struct rules *r, struct rules_prepared *p, rules_commit_cb done, void *arg) {
	struct rules_swap *swap = sl_zalloc(sizeof *swap + r->worker_count * sizeof swap->letters[0]);
	uint32_t running = 0;
	swap->home_post.run = swap_home;
	swap->rules = r;
	swap->before = r->set;
	swap->next = p->set;
	swap->done = done;
	swap->arg = arg;
	adopt_pipelines(p->set);
	ruleset_complete(p->set, r->set, r->worker_count);
	sl_loops_park(NULL, 0, change_set, &(struct set_change){.rules = r, .next = p->set});
	sl_free(p);

	for (uint32_t w = 0; w < r->worker_count; w++) {
		struct swap_letter *letter = &swap->letters[w];
		*letter = (struct swap_letter){.post = {.run = swap_worker}, .rw = r->workers[w], .swap = swap};
		if (letter->rw && letter->rw->loop) running++;
	}
	atomic_init(&swap->waiting, running + 1);
	for (uint32_t w = 0; w < r->worker_count; w++) {
		struct swap_letter *letter = &swap->letters[w];
		if (!letter->rw) continue;
		if (letter->rw->loop)
			sl_loop_post(letter->rw->loop, &letter->post);
		else
			rules_worker_use(letter->rw, swap->next);
	}
	/* Our own share, so that the swap cannot end while letters are still being sent; and the end of it when no
	 * worker runs. */
	if (atomic_fetch_sub_explicit(&swap->waiting, 1, memory_order_acq_rel) == 1) swap_end(swap);
}
