/* rule_plan.c: see rule_plan.h. */
#include "rule_plan.h"

#include <stdlib.h>

#include "mem.h"
#include "plan_share.h"

enum { AHEAD = 12 }; /* cells asked for before their turn */

struct plan_slot {
	uint64_t hash;
	bool used;
	struct rule_plan *plan;
};
struct plan_key {
	const uint32_t *at;
	size_t len;
};
#define HMAP_NAME rule_plan_map
#define HMAP_SLOT struct plan_slot
#define HMAP_KEY struct plan_key
#define HMAP_EQUAL(slot, k)                                                                                            \
	((slot)->plan->key_len == (k).len && memcmp((slot)->plan->key, (k).at, (k).len * sizeof *(k).at) == 0)
#include "hmap.h"

struct path_slot {
	uint64_t hash;
	bool used;
	uint16_t number;
	const struct jpath *path;
};
#define HMAP_NAME path_map
#define HMAP_SLOT struct path_slot
#define HMAP_KEY const struct jpath *
#define HMAP_EQUAL(slot, key) jpath_equal((slot)->path, (key))
#include "hmap.h"

/* The union of paths under construction: each path once. */
struct path_union {
	struct path_map map;
	struct jpath *paths;
	size_t len, cap;
};

/* How many of the paths are not in the union yet; at most one too many, when one is there twice. */
static size_t union_lacks(const struct path_union *u, const struct jpath *paths, size_t count) {
	size_t n = 0;
	for (size_t i = 0; i < count; i++) n += !path_map_find(&u->map, jpath_hash(&paths[i]), &paths[i]);
	return n;
}

static uint16_t union_put(struct path_union *u, const struct jpath *path) {
	bool there;
	struct path_slot *slot = path_map_put(&u->map, jpath_hash(path), path, &there);
	if (!there) {
		slot->path = path;
		slot->number = (uint16_t)u->len;
		SL_GROW(u->paths, u->len, u->cap);
		u->paths[u->len++] = *path;
	}
	return slot->number;
}

/* Gives the paths of one program their numbers in the union; false when they don't fit any more. */
static bool union_add(struct path_union *u, const struct jpath *paths, size_t count, uint16_t *numbers) {
	if (u->len + count > RULE_PLAN_PATHS_MAX) return false;
	for (size_t i = 0; i < count; i++) numbers[i] = union_put(u, &paths[i]);
	return true;
}

/* Closes the union: a pass of its own. */
static void union_close(struct rule_plans *plans, struct rule_plan *plan, struct path_union *u) {
	if (u->len) {
		struct jpath_set *set;
		/* Each path was accepted when its rule was made. */
		int rc = jpath_set_new(u->paths, u->len, &set);
		sl_assert(rc == SL_OK);
		plan->passes = sl_realloc_array(plan->passes, plan->pass_count + 1, sizeof *plan->passes);
		plan->passes[plan->pass_count++] = set;
		plans->shared_max = sl_max_size(plans->shared_max, u->len);
	}
	path_map_fini(&u->map);
	sl_free(u->paths);
	*u = (struct path_union){.paths = NULL};
}

static bool is_identity(const uint16_t *map, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (map[i] != i) return false;
	return true;
}

static void guards_paths(struct guard_index *guards, struct path_union *u) {
	for (size_t i = 0; i < guards->operand_len; i++) {
		struct guard_operand *o = &guards->operands[i];
		size_t count;
		if (o->at.place != SQL_GUARD_PATH) continue;
		o->hit = union_put(u, &sql_program_paths(o->program, &count)[o->at.number]);
	}
}

/* The candidate's place in a pass; those of one shape mostly have that of the first. */
static void candidate_paths(struct rule_plans *plans, struct rule_plan *plan, struct path_union *u, uint32_t i) {
	struct rule_plan_candidate *c = &plan->at[i];
	size_t count;
	const struct jpath *paths = sql_program_paths(c->program, &count);
	c->pass = RULE_PLAN_NO_PASS;
	if (count == 0) return;
	size_t lacks = plan->guards && guard_index_guards(plan->guards, i) ? union_lacks(u, paths, count) : 0;
	if (lacks && u->len + lacks > RULE_PLAN_SHARED_MAX) {
		c->pass = RULE_PLAN_ALONE;
		plans->own_max = sl_max_size(plans->own_max, count);
		return;
	}
	uint16_t *numbers = SL_ARENA_ARRAY(&plan->arena, uint16_t, count);
	if (!union_add(u, paths, count, numbers)) {
		union_close(plans, plan, u);
		/* A single program has fewer: its path numbers have 16 bits too. */
		bool fits = union_add(u, paths, count, numbers);
		sl_assert(fits);
	}
	if (!is_identity(numbers, count)) c->map = numbers;
	c->pass = (uint16_t)plan->pass_count;
}

static void plan_paths(struct rule_plans *plans, struct rule_plan *plan, const uint32_t *first_of_shape) {
	struct path_union u = {.paths = NULL};
	bool alone = false;
	if (plan->guards) guards_paths(plan->guards, &u);
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct rule_plan_candidate *first = &plan->at[first_of_shape[i]];
		struct rule_plan_candidate *c = &plan->at[i];
		if (first < c && (first->pass == plan->pass_count || first->pass == RULE_PLAN_NO_PASS)) {
			c->pass = first->pass;
			c->map = first->map;
		} else {
			candidate_paths(plans, plan, &u, i);
		}
		alone |= c->pass == RULE_PLAN_ALONE;
	}
	union_close(plans, plan, &u);
	if (alone) plan->own = SL_NEW_ARRAY(struct jpath_set *, plan->count);
}

const struct jpath_set *rule_plan_set(const struct rule_plan *plan, const struct rule_plan_candidate *c) {
	if (c->pass == RULE_PLAN_NO_PASS) return NULL;
	if (c->pass != RULE_PLAN_ALONE) return plan->passes[c->pass];
	struct jpath_set **own = &plan->own[c - plan->at];
	if (!*own) {
		size_t count;
		const struct jpath *paths = sql_program_paths(c->program, &count);
		int rc = jpath_set_new(paths, count, own);
		sl_assert(rc == SL_OK); /* each path was accepted when the rule was made */
	}
	return *own;
}

/* ---- shapes ---- */

struct shape_slot {
	uint64_t hash;
	bool used;
	uint32_t first; /* candidate */
	const struct sql_program *program;
};
#define HMAP_NAME shape_map
#define HMAP_SLOT struct shape_slot
#define HMAP_KEY const struct sql_program *
#define HMAP_EQUAL(slot, key) sql_shape_equal((slot)->program, (key))
#include "hmap.h"

/* first_of_shape[i]: the first candidate that has the shape of the i-th, which may be that one itself. */
static void plan_shapes(struct rule_plan *plan, uint32_t *first_of_shape) {
	struct shape_map shapes = {0};
	for (uint32_t i = 0; i < plan->count; i++) {
		struct rule_plan_candidate *c = &plan->at[i];
		uint64_t hash = c->shares ? 0 : sql_shape_hash(c->program);
		first_of_shape[i] = i;
		if (!hash) continue;
		bool there;
		struct shape_slot *slot = shape_map_put(&shapes, hash, c->program, &there);
		if (!there) {
			slot->program = c->program;
			slot->first = i;
			continue;
		}
		c->constants = sql_shape_constants_into(c->program, c->own, sizeof c->own)
				   ? c->own
				   : sql_shape_constants(c->program, &plan->arena);
		c->program = slot->program;
		first_of_shape[i] = slot->first;
	}
	shape_map_fini(&shapes);
}

static struct guard_index *plan_guards(const struct rule_plan *plan) {
	const struct sql_program **programs = SL_NEW_ARRAY(const struct sql_program *, plan->count);
	for (uint32_t i = 0; i < plan->count; i++) programs[i] = plan->at[i].rule->program;
	struct guard_index *guards = guard_index_new(programs, plan->count);
	sl_free(programs);
	return guards;
}

static void plan_candidates(const struct rule_plans *plans, struct rule_plan *plan) {
	struct sl_slice *matched = NULL;
	for (uint32_t i = 0; i < plan->count; i++) {
		uint64_t candidate = plans->candidates.at[i];
		const struct rule *r = plans->set->rules[rule_candidate_rule(candidate)];
		size_t count;
		const struct sl_slice *from = &sql_program_from(r->program, &count)[rule_candidate_filter(candidate)];
		if (!matched || !slice_equal(*matched, *from)) { /* mostly the same for all */
			matched = SL_ARENA_NEW(&plan->arena, struct sl_slice);
			*matched = *from;
		}
		plan->at[i] = (struct rule_plan_candidate){.program = r->program,
							   .rule = r,
							   .cell = &r->stats->cells[plans->worker],
							   .id = r->id,
							   .id_n = (uint8_t)strlen(r->id),
							   .matched = matched,
							   .acts = r->action_count > 0,
							   .remembers = r->memory != NULL};
	}
}

/* A shadow stands right behind its rule. Either may be among the candidates without the other. */
static void plan_shadows(struct rule_plan *plan) {
	uint32_t pairs = 0;
	for (uint32_t i = 0; i < plan->count; i++) {
		struct rule_plan_candidate *c = &plan->at[i];
		if (!c->rule->shadow) continue;
		plan->shadow_rules += c->rule->is_shadow;
		if (!plan->shadows) plan->shadows = SL_NEW_ARRAY(struct rule_shadow *, RULE_SHADOWS_MAX);
		if (pairs == 0 || plan->shadows[pairs - 1] != c->rule->shadow) plan->shadows[pairs++] = c->rule->shadow;
		c->shadow = (uint16_t)pairs;
	}
	plan->shadow_count = pairs;
}

/* Rules of one text, as people make them for one action each. Those that stand next to each other are run once. */
static void plan_again(struct rule_plan *plan) {
	for (uint32_t i = 1; i < plan->count; i++) {
		const struct rule_plan_candidate *before = &plan->at[i - 1];
		struct rule_plan_candidate *c = &plan->at[i];
		c->again = !c->shadow && !before->shadow && sql_shape_same(before->program, c->program);
	}
}

static struct rule_plan *plan_new(struct rule_plans *plans, const struct rule_filters *filters, uint64_t hash) {
	struct rule_plan *plan = SL_NEW(struct rule_plan);
	struct rule_candidates *candidates = &plans->candidates;
	rule_index_candidates(plans->set->index, filters->at, filters->len, candidates);
	plan->refs = 1;
	plan->hash = hash;
	plan->count = (uint32_t)candidates->len;
	plan->key_len = filters->len;
	plan->key = SL_NEW_ARRAY(uint32_t, filters->len);
	memcpy(plan->key, filters->at, filters->len * sizeof *plan->key);
	plan->at = aligned_alloc(_Alignof(struct rule_plan_candidate), candidates->len * sizeof *plan->at);
	sl_assert(plan->at);
	sl_arena_init(&plan->arena, 4096);
	plan_candidates(plans, plan);
	plan_shadows(plan);
	uint32_t *first_of_shape = SL_NEW_ARRAY(uint32_t, plan->count);
	plan->guards = plan_guards(plan);
	plan_again(plan);
	plan_share(plan);
	plan_shapes(plan, first_of_shape);
	plan_paths(plans, plan, first_of_shape);
	sl_free(first_of_shape);
	plans->count_max = sl_max_size(plans->count_max, plan->count);
	plans->slots_max = sl_max_size(plans->slots_max, plan->slots);
	plans->alive += plan->count;
	return plan;
}

/* Each event reached each candidate. Visits have taken back from `filtered` what they counted elsewhere. */
static void plan_count_in(struct rule_plan *plan) {
	if (plan->events == 0) return;
	for (uint32_t i = 0; i < plan->count; i++) {
		if (i + AHEAD < plan->count) __builtin_prefetch(plan->at[i + AHEAD].cell, 1);
		plan->at[i].cell->matched += plan->events;
		plan->at[i].cell->filtered += plan->events;
	}
	plan->events = 0;
}

void rule_plans_count_in(struct rule_plans *plans) {
	HMAP_FOREACH(rule_plan_map, slot, plans->table) plan_count_in(slot->plan);
}

static void plan_free(struct rule_plan *plan) {
	plan_count_in(plan);
	for (uint32_t i = 0; plan->own && i < plan->count; i++) jpath_set_free(plan->own[i]);
	sl_free(plan->own);
	guard_index_free(plan->guards);
	sl_arena_fini(&plan->arena);
	for (size_t i = 0; i < plan->pass_count; i++) jpath_set_free(plan->passes[i]);
	sl_free(plan->passes);
	sl_free(plan->shadows);
	sl_free(plan->key);
	free(plan->at);
	sl_free(plan);
}

void rule_plans_init(struct rule_plans *plans, const struct ruleset *set, size_t worker) {
	*plans = (struct rule_plans){
	    .set = set, .worker = worker, .alive_max = RULE_PLANS_ALIVE_MAX, .table = SL_NEW(struct rule_plan_map)};
}

void rule_plans_fini(struct rule_plans *plans) {
	if (!plans->table) return;
	sl_assert(plans->table->len == 0);
	rule_plan_map_fini(plans->table);
	sl_free(plans->table);
	sl_free(plans->candidates.at);
	plans->table = NULL;
}

size_t rule_plans_count(const struct rule_plans *plans) { return plans->table->len; }

struct rule_plan *rule_plans_get(struct rule_plans *plans, const struct rule_filters *filters) {
	struct plan_key key = {filters->at, filters->len};
	uint64_t hash = sl_hash(slice_make(key.at, key.len * sizeof *key.at));
	bool there;
	struct plan_slot *slot = rule_plan_map_find(plans->table, hash, key);
	if (slot) {
		slot->plan->refs++;
		return slot->plan;
	}
	struct rule_plan *plan = plan_new(plans, filters, hash);
	slot = rule_plan_map_put(plans->table, hash, key, &there);
	slot->plan = plan;
	return plan;
}

int rule_pass_extract(void *arg) {
	struct rule_pass *pass = arg;
	if (!pass->done) {
		pass->status = jpath_extract_any_text(pass->set, pass->payload, pass->hits);
		pass->done = true;
	}
	return pass->status;
}

void rule_plan_unref(struct rule_plans *plans, struct rule_plan *plan) {
	if (!plan || --plan->refs > 0) return;
	struct plan_key key = {plan->key, plan->key_len};
	struct plan_slot *slot = rule_plan_map_find(plans->table, plan->hash, key);
	sl_assert(slot && slot->plan == plan);
	rule_plan_map_remove(plans->table, slot);
	plans->alive -= plan->count;
	plan_free(plan);
}
