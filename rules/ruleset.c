/* ruleset.c: see ruleset.h. */
#include "ruleset.h"

#include "event_kind.h"
#include "hash.h"
#include "likeness.h"
#include "mem.h"
#include "source_from.h"

struct id_slot {
	uint64_t hash;
	bool used;
	uint32_t number;
	const struct rule *rule;
};
#define HMAP_NAME id_map
#define HMAP_SLOT struct id_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal(slice_from_str((slot)->rule->id), key)
#include "hmap.h"

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
	if (set->by_id) id_map_fini(set->by_id);
	sl_free(set->by_id);
	sl_free(set);
}

void ruleset_add(struct ruleset *set, struct rule *r) {
	SL_GROW(set->rules, set->len, set->cap);
	set->rules[set->len++] = r;
}

struct alike {
	struct likeness_side sides[RULE_ACTIONS_MAX];
	struct rule_action *actions[RULE_ACTIONS_MAX];
	size_t n;
};

static void actions_of(const struct rule *r, enum action_kind kind, struct alike *of) {
	of->n = 0;
	for (size_t i = 0; r && i < r->action_count; i++) {
		struct rule_action *a = &r->actions[i];
		if (a->kind != kind) continue;
		of->sides[of->n] = (struct likeness_side){.face = slice_from_str(a->face), .place = a->index};
		of->actions[of->n++] = a;
	}
}

/* An action keeps its counters wherever it stands now, as it keeps what waits in its pipeline. */
static void action_stats_adopt(struct rule *r, const struct rule *before, enum action_kind kind,
			       struct cells_room *room, size_t workers) {
	struct alike now, then;
	size_t pair[RULE_ACTIONS_MAX];
	actions_of(r, kind, &now);
	actions_of(before, kind, &then);
	likeness_pair(now.sides, now.n, then.sides, then.n, pair);
	for (size_t i = 0; i < now.n; i++)
		now.actions[i]->stats = pair[i] == LIKENESS_NONE ? action_stats_new(room, workers)
								 : action_stats_ref(then.actions[pair[i]]->stats);
}

/* rooms: the rules', and the actions'. */
static void rule_stats_adopt(struct rule *r, const struct rule *before, struct cells_room rooms[2], size_t workers) {
	r->stats = before ? rule_stats_ref(before->stats) : rule_stats_new(&rooms[0], workers);
	for (enum action_kind kind = ACTION_CONNECTOR; r->action_count && kind <= ACTION_CONSOLE; kind++)
		action_stats_adopt(r, before, kind, &rooms[1], workers);
}

/* What an enabled rule remembers stays while it says the same. */
static void rule_memory_adopt(struct rule *r, const struct rule *before, struct rule_state *state) {
	if (!state || !r->enabled || r->memory) return;
	bool same = before && before->memory && before->dialect == r->dialect && strcmp(before->text, r->text) == 0;
	r->memory = same ? rule_memory_ref(before->memory) : rule_memory_new(r->program, state, RULE_STRIPES);
}

/* Goes on counting while both say the same. */
static void rule_shadow_adopt(struct rule *r, const struct rule *before, size_t workers) {
	struct rule *shadow = r->shadow_rule;
	if (!shadow) return;
	const struct rule *old = before ? before->shadow_rule : NULL;
	bool same = old && old->dialect == shadow->dialect && strcmp(old->text, shadow->text) == 0 &&
		    strcmp(before->text, r->text) == 0;
	r->shadow = same ? rule_shadow_ref(before->shadow) : rule_shadow_new(workers);
	shadow->shadow = rule_shadow_ref(r->shadow);
}

static struct id_slot *id_find(const struct ruleset *set, struct sl_slice id) {
	return set && set->by_id ? id_map_find(set->by_id, sl_hash(id), id) : NULL;
}

/* In the aws dialect "a/#" does not match "a": it is what "a/+/#" is elsewhere. */
static struct sl_slice rule_filter(const struct rule *r, struct sl_slice from, struct sl_arena *made) {
	if (source_from(from)) return source_from_filter(from, made);
	struct sl_slice filter = event_filter(from);
	if (r->dialect != SQL_AWS || filter.n < 2 || memcmp(filter.p + filter.n - 2, "/#", 2) != 0) return filter;
	return sl_arena_printf(made, "%.*s+/#", (int)filter.n - 1, filter.p);
}

/* What FROM covers, by the topics that events and messages have, and the way in for those who name the rule. */
static void index_rule(struct ruleset *set, uint32_t number) {
	const struct rule *r = set->rules[number];
	size_t count;
	const struct sl_slice *from = sql_program_from(r->program, &count);
	struct sl_slice *filters = SL_NEW_ARRAY(struct sl_slice, count + 1);
	struct sl_buf own = SL_BUF_INIT;
	struct sl_arena made;
	sl_arena_init(&made, 256);
	for (size_t i = 0; i < count; i++) {
		filters[i] = rule_filter(r, from[i], &made);
		bool event = event_from(from[i]);
		set->kinds |= event ? event_kinds(from[i]) : event_aws_kinds(from[i]);
		set->messages |= !event && from[i].n > 0;
	}
	rule_index_add(set->index, number, filters, count);
	/* Who names the rule means its shadow too. */
	ruleset_private_topic(r->is_shadow ? number - 1 : number, &own);
	filters[0] = sl_buf_slice(&own);
	rule_index_add(set->index, number, filters, 1);
	sl_buf_fini(&own);
	sl_arena_fini(&made);
	sl_free(filters);
}

void ruleset_complete(struct ruleset *set, const struct ruleset *before, size_t workers) {
	struct cells_room rooms[2] = {{.block = NULL}};
	set->index = rule_index_new();
	set->by_id = SL_NEW(struct id_map);
	for (size_t i = 0; i < set->len; i++) {
		struct rule *r = set->rules[i];
		struct sl_slice id = slice_from_str(r->id);
		const struct id_slot *slot_before = id_find(before, id);
		const struct rule *old = slot_before ? slot_before->rule : NULL;
		if (r->is_shadow && old) old = old->shadow_rule;
		rule_stats_adopt(r, old, rooms, workers);
		rule_memory_adopt(r, old, set->state);
		if (r->enabled) index_rule(set, (uint32_t)i);
		if (r->is_shadow) continue;
		rule_shadow_adopt(r, old, workers);
		for (size_t k = 0; k < r->action_count; k++)
			if (r->actions[k].kind == ACTION_CONNECTOR)
				r->actions[k].connector.slot = set->connector_slots++;
		bool there;
		struct id_slot *slot = id_map_put(set->by_id, sl_hash(id), id, &there);
		slot->rule = r;
		slot->number = (uint32_t)i;
	}
	for (int i = 0; i < 2; i++) cells_room_fini(&rooms[i]);
}

const struct rule *ruleset_find(const struct ruleset *set, struct sl_slice id) {
	const struct id_slot *slot = id_find(set, id);
	return slot ? slot->rule : NULL;
}

bool ruleset_number(const struct ruleset *set, struct sl_slice id, uint32_t *number) {
	const struct id_slot *slot = id_find(set, id);
	if (slot) *number = slot->number;
	return slot != NULL;
}

void ruleset_private_topic(uint32_t number, struct sl_buf *topic) { sl_buf_printf(topic, "$\xff/%u", number); }
