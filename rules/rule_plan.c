/* rule_plan.c: see rule_plan.h. */
#include "rule_plan.h"

#include "mem.h"

struct plan_slot {
	uint64_t hash;
	bool used;
	struct rule_plan *plan;
};
struct plan_key {
	const uint64_t *at;
	size_t len;
};
#define HMAP_NAME rule_plan_map
#define HMAP_SLOT struct plan_slot
#define HMAP_KEY struct plan_key
#define HMAP_EQUAL(slot, key)                                                                                          \
	((slot)->plan->count == (key).len && memcmp((slot)->plan->key, (key).at, (key).len * sizeof(uint64_t)) == 0)
#include "hmap.h"

static uint64_t path_hash(const struct jpath *path) {
	uint64_t hash = path->n;
	for (uint16_t i = 0; i < path->n; i++) {
		const struct jpath_step *step = &path->steps[i];
		uint64_t part = step->is_index ? (uint64_t)step->index + 1 : sl_hash(step->key);
		hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	return hash;
}

static bool path_equal(const struct jpath *a, const struct jpath *b) {
	if (a->n != b->n) return false;
	for (uint16_t i = 0; i < a->n; i++) {
		const struct jpath_step *x = &a->steps[i], *y = &b->steps[i];
		if (x->is_index != y->is_index) return false;
		if (x->is_index ? x->index != y->index : !slice_equal(x->key, y->key)) return false;
	}
	return true;
}

struct path_slot {
	uint64_t hash;
	bool used;
	uint16_t number;
	const struct jpath *path;
};
#define HMAP_NAME path_map
#define HMAP_SLOT struct path_slot
#define HMAP_KEY const struct jpath *
#define HMAP_EQUAL(slot, key) path_equal((slot)->path, (key))
#include "hmap.h"

/* The union of paths under construction: each path once. */
struct path_union {
	struct path_map map;
	struct jpath *paths;
	size_t len, cap;
};

/* Gives the paths of one program their numbers in the union; false when they don't fit any more. */
static bool union_add(struct path_union *u, const struct jpath *paths, size_t count, uint16_t *numbers) {
	if (u->len + count > RULE_PLAN_PATHS_MAX) return false;
	for (size_t i = 0; i < count; i++) {
		bool there;
		struct path_slot *slot = path_map_put(&u->map, path_hash(&paths[i]), &paths[i], &there);
		if (!there) {
			slot->path = &paths[i];
			slot->number = (uint16_t)u->len;
			SL_GROW(u->paths, u->len, u->cap);
			u->paths[u->len++] = paths[i];
		}
		numbers[i] = slot->number;
	}
	return true;
}

/* Closes the union: its set serves the candidates from `first` on. */
static void union_close(struct rule_plans *plans, struct rule_plan *plan, struct path_union *u, uint32_t first) {
	if (u->len) {
		struct jpath_set *set = NULL;
		/* Each path was accepted when its rule was made. */
		int rc = jpath_set_new(u->paths, u->len, &set);
		sl_assert(rc == SL_OK);
		plan->passes = sl_realloc_array(plan->passes, plan->pass_count + 1, sizeof *plan->passes);
		plan->passes[plan->pass_count++] = set;
		plan->at[first].pass = set;
		plans->hits_max = sl_max_size(plans->hits_max, u->len);
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

static void plan_paths(struct rule_plans *plans, struct rule_plan *plan) {
	size_t total = 0, count;
	for (uint32_t i = 0; i < plan->count; i++) {
		sql_program_paths(plan->at[i].rule->program, &count);
		total += count;
	}
	plan->maps = SL_NEW_ARRAY(uint16_t, total + 1);

	uint16_t *numbers = plan->maps;
	struct path_union u = {.paths = NULL};
	uint32_t first = 0;
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct jpath *paths = sql_program_paths(plan->at[i].rule->program, &count);
		if (!union_add(&u, paths, count, numbers)) {
			union_close(plans, plan, &u, first);
			first = i;
			/* A single program has fewer: its path numbers have 16 bits too. */
			bool fits = union_add(&u, paths, count, numbers);
			sl_assert(fits);
		}
		if (!is_identity(numbers, count)) plan->at[i].map = numbers;
		numbers += count;
	}
	union_close(plans, plan, &u, first);
}

static struct rule_plan *plan_new(struct rule_plans *plans, const struct rule_candidates *candidates, uint64_t hash) {
	struct rule_plan *plan = SL_NEW(struct rule_plan);
	plan->refs = 1;
	plan->hash = hash;
	plan->count = (uint32_t)candidates->len;
	plan->key = SL_NEW_ARRAY(uint64_t, candidates->len);
	memcpy(plan->key, candidates->at, candidates->len * sizeof *plan->key);
	plan->at = SL_NEW_ARRAY(struct rule_plan_candidate, candidates->len);
	for (uint32_t i = 0; i < plan->count; i++) {
		const struct rule *r = plans->set->rules[rule_candidate_rule(candidates->at[i])];
		size_t filters;
		const struct sl_slice *from = sql_program_from(r->program, &filters);
		plan->at[i] = (struct rule_plan_candidate){
		    .rule = r,
		    .cell = &r->stats->cells[plans->worker],
		    .id = slice_from_str(r->id),
		    .matched = from[rule_candidate_filter(candidates->at[i])],
		};
	}
	plan_paths(plans, plan);
	return plan;
}

static void plan_free(struct rule_plan *plan) {
	for (size_t i = 0; i < plan->pass_count; i++) jpath_set_free(plan->passes[i]);
	sl_free(plan->passes);
	sl_free(plan->maps);
	sl_free(plan->key);
	sl_free(plan->at);
	sl_free(plan);
}

void rule_plans_init(struct rule_plans *plans, const struct ruleset *set, size_t worker) {
	*plans = (struct rule_plans){.set = set, .worker = worker, .table = SL_NEW(struct rule_plan_map)};
}

void rule_plans_fini(struct rule_plans *plans) {
	if (!plans->table) return;
	sl_assert(plans->table->len == 0);
	rule_plan_map_fini(plans->table);
	sl_free(plans->table);
	plans->table = NULL;
}

size_t rule_plans_count(const struct rule_plans *plans) { return plans->table->len; }

struct rule_plan *rule_plans_get(struct rule_plans *plans, const struct rule_candidates *candidates) {
	struct plan_key key = {candidates->at, candidates->len};
	uint64_t hash = sl_hash(slice_make(key.at, key.len * sizeof *key.at));
	bool there;
	struct plan_slot *slot = rule_plan_map_find(plans->table, hash, key);
	if (slot) {
		slot->plan->refs++;
		return slot->plan;
	}
	struct rule_plan *plan = plan_new(plans, candidates, hash);
	slot = rule_plan_map_put(plans->table, hash, key, &there);
	slot->plan = plan;
	return plan;
}

int rule_pass_extract(void *arg) {
	struct rule_pass *pass = arg;
	if (!pass->done) {
		pass->status = jpath_extract(pass->set, pass->payload, pass->hits);
		pass->done = true;
	}
	return pass->status;
}

void rule_plan_unref(struct rule_plans *plans, struct rule_plan *plan) {
	if (!plan || --plan->refs > 0) return;
	struct plan_key key = {plan->key, plan->count};
	struct plan_slot *slot = rule_plan_map_find(plans->table, plan->hash, key);
	sl_assert(slot && slot->plan == plan);
	rule_plan_map_remove(plans->table, slot);
	plan_free(plan);
}
