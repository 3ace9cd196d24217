/* sql_set.c: see sql_set.h. */
#include "sql_set.h"

#include "hash.h"

static uint64_t mix(enum sql_kind kind, uint64_t bits) { return (bits ^ ((uint64_t)kind << 56)) * 0x9e3779b97f4a7c15u; }

static uint64_t hash_double(double d) {
	uint64_t bits;
	d += 0.0; /* -0 is 0 */
	memcpy(&bits, &d, sizeof bits);
	return mix(SQL_DOUBLE, bits);
}

/* What is the same has the same hash. False: it is an array or an object. */
static bool hash_of(const struct sql_value *v, uint64_t *hash) {
	struct sql_value x = sql_number(*v);
	switch (x.kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: *hash = mix(x.kind, 0); return true;
	case SQL_BOOL: *hash = mix(x.kind, x.b); return true;
	case SQL_INT: *hash = mix(x.kind, (uint64_t)x.i); return true;
	case SQL_DOUBLE: *hash = hash_double(x.d); return true;
	case SQL_STRING:
	case SQL_BYTES: *hash = sl_hash(sql_value_text(&x)); return true;
	case SQL_NUMBER_TEXT: /* converted above */
	case SQL_JSON:
	case SQL_LIST:
	case SQL_MAP: break;
	}
	return false;
}

/* The multiplication leaves what is best at the top. */
static uint32_t first_slot(const struct sql_set *set, uint64_t hash) { return (uint32_t)(hash >> 32) & set->mask; }

const struct sql_list *sql_set_new(struct sl_arena *arena, const struct sql_list *list) {
	struct sql_set *set = SL_ARENA_NEW(arena, struct sql_set);
	uint32_t room = 16;
	while (room < list->n * 2) room *= 2;
	set->list = *list;
	set->mask = room - 1;
	set->slots = SL_ARENA_ARRAY(arena, uint32_t, room);
	for (uint32_t i = 0; i < list->n; i++) {
		uint64_t hash;
		if (!hash_of(&list->at[i], &hash)) {
			set->composite = true;
			continue;
		}
		uint32_t at = first_slot(set, hash);
		while (set->slots[at]) at = (at + 1) & set->mask;
		set->slots[at] = i + 1;
	}
	return &set->list;
}

bool sql_set_has(struct sql_vm *vm, const struct sql_value *list, const struct sql_value *v) {
	const struct sql_set *set = sl_container_of(list->list, const struct sql_set, list);
	uint64_t hash;
	if (!hash_of(v, &hash)) return set->composite && sql_same_in(vm, v, list);
	for (uint32_t at = first_slot(set, hash); set->slots[at]; at = (at + 1) & set->mask)
		if (sql_same(vm, v, &set->list.at[set->slots[at] - 1])) return true;
	return false;
}
