/* ruleset.c: see ruleset.h. */
#include "ruleset.h"

#include "mem.h"

struct ruleset *ruleset_new(void) {
	struct ruleset *set = SL_NEW(struct ruleset);
	atomic_init(&set->refs, 1);
	return set;
}

struct ruleset *ruleset_ref(struct ruleset *set) {
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void ruleset_unref(struct ruleset *set) {
	if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < set->len; i++) rule_free(set->rules[i]);
	sl_free(set->rules);
	rule_index_free(set->index);
	sl_free(set);
}

void ruleset_add(struct ruleset *set, struct rule *r) {
	SL_GROW(set->rules, set->len, set->cap);
	set->rules[set->len++] = r;
}

struct id_slot {
	uint64_t hash;
	bool used;
	const struct rule *rule;
};
#define HMAP_NAME id_map
#define HMAP_SLOT struct id_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal(slice_from_str((slot)->rule->id), key)
#include "hmap.h"

/* An action keeps its counters when the same kind of thing stands at the same place of the rule. */
static void action_stats_adopt(struct rule_action *a, const struct rule *before, struct cells_room *room,
			       size_t workers) {
	const struct rule_action *same = before && a->index < before->action_count ? &before->actions[a->index] : NULL;
	if (same && same->kind == a->kind && strcmp(same->label, a->label) == 0)
		a->stats = action_stats_ref(same->stats);
	else
		a->stats = action_stats_new(room, workers);
}

/* rooms: the rules', and the actions'. */
static void rule_stats_adopt(struct rule *r, const struct rule *before, struct cells_room rooms[2], size_t workers) {
	r->stats = before ? rule_stats_ref(before->stats) : rule_stats_new(&rooms[0], workers);
	for (size_t i = 0; i < r->action_count; i++) action_stats_adopt(&r->actions[i], before, &rooms[1], workers);
}

void ruleset_complete(struct ruleset *set, const struct ruleset *before, size_t workers) {
	struct id_map old = {0};
	struct cells_room rooms[2] = {{.block = NULL}};
	for (size_t i = 0; before && i < before->len; i++) {
		bool there;
		struct sl_slice id = slice_from_str(before->rules[i]->id);
		id_map_put(&old, sl_hash(id), id, &there)->rule = before->rules[i];
	}
	set->index = rule_index_new();
	for (size_t i = 0; i < set->len; i++) {
		struct rule *r = set->rules[i];
		struct sl_slice id = slice_from_str(r->id);
		struct id_slot *slot = id_map_find(&old, sl_hash(id), id);
		rule_stats_adopt(r, slot ? slot->rule : NULL, rooms, workers);
		for (size_t k = 0; k < r->action_count; k++)
			if (r->actions[k].kind == ACTION_CONNECTOR)
				r->actions[k].connector.slot = set->connector_slots++;
		if (!r->enabled) continue;
		size_t count;
		const struct sl_slice *from = sql_program_from(r->program, &count);
		rule_index_add(set->index, (uint32_t)i, from, count);
		set->active++;
	}
	id_map_fini(&old);
	for (int i = 0; i < 2; i++) cells_room_fini(&rooms[i]);
}

const struct rule *ruleset_find(const struct ruleset *set, struct sl_slice id) {
	for (size_t i = 0; i < set->len; i++)
		if (slice_equal_str(id, set->rules[i]->id)) return set->rules[i];
	return NULL;
}
