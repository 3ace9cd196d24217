/* plan_share.c: see plan_share.h. */
#include "plan_share.h"

#include "mem.h"
#include "sql_share.h"

struct key_slot {
	uint64_t hash;
	bool used;
	uint16_t number; /* SQL_SHARE_NONE: not yet */
	uint32_t count;  /* candidates that have it */
	struct sl_slice key;
};
#define HMAP_NAME key_map
#define HMAP_SLOT struct key_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, k) slice_equal((slot)->key, (k))
#include "hmap.h"

static const struct sql_shared *shared_of(const struct rule_plan *plan, uint32_t i, size_t *count) {
	const struct sql_program *p = plan->at[i].program;
	const struct sql_shared *shared = sql_program_shared(p, count);
	if (*count && plan->guards && guard_index_guards(plan->guards, i) && sql_shape_hash(p)) *count = 0;
	return shared;
}

static void count_keys(const struct rule_plan *plan, struct key_map *keys) {
	for (uint32_t i = 0; i < plan->count; i++) {
		size_t count;
		const struct sql_shared *shared = shared_of(plan, i, &count);
		for (size_t k = 0; k < count; k++) {
			bool there;
			struct key_slot *slot = key_map_put(keys, shared[k].hash, shared[k].key, &there);
			if (!there) {
				slot->key = shared[k].key;
				slot->number = SQL_SHARE_NONE;
				slot->count = 0;
			}
			slot->count++;
		}
	}
}

static uint16_t number_of(struct rule_plan *plan, struct key_map *keys, const struct sql_shared *shared, size_t k) {
	struct key_slot *slot = key_map_find(keys, shared[k].hash, shared[k].key);
	if (slot->count < 2) return SQL_SHARE_NONE;
	if (shared[k].within != SQL_SHARE_NONE) {
		const struct sql_shared *outer = &shared[shared[k].within];
		/* Whoever has the larger one has this: as many are the same ones. */
		if (key_map_find(keys, outer->hash, outer->key)->count == slot->count) return SQL_SHARE_NONE;
	}
	if (slot->number == SQL_SHARE_NONE && plan->slots < SQL_SHARE_NONE) slot->number = (uint16_t)plan->slots++;
	return slot->number;
}

void plan_share(struct rule_plan *plan) {
	struct key_map keys = {0};
	count_keys(plan, &keys);
	for (uint32_t i = 0; keys.len && i < plan->count; i++) {
		size_t count;
		const struct sql_shared *shared = shared_of(plan, i, &count);
		if (!count) continue;
		struct rule_plan_candidate *c = &plan->at[i];
		uint16_t *map = SL_ARENA_ARRAY(&plan->arena, uint16_t, count);
		for (size_t k = 0; k < count; k++) {
			map[k] = number_of(plan, &keys, shared, k);
			c->shares |= map[k] != SQL_SHARE_NONE;
		}
		if (c->shares) c->share_map = map;
	}
	key_map_fini(&keys);
}
