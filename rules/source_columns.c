/* source_columns.c: see source_columns.h. */
#include "source_columns.h"

#include "event_props.h"
#include "hash.h"
#include "mem.h"

struct sql_value source_text(struct sl_slice text) {
	return text.p ? sql_string(text) : sql_null();
}
struct sql_value source_number(int64_t number) {
	return number >= 0 ? sql_int(number) : sql_null();
}

/* Where a name stands in the object, or will: a message may have very many headers. */
static uint32_t *name_place(uint32_t *table, size_t mask, const struct sql_map *object, struct sl_slice name) {
	size_t i = (size_t)sl_hash(name) & mask;
	while (table[i] && !slice_equal(object->at[table[i] - 1].key, name)) i = (i + 1) & mask;
	return &table[i];
}

struct sql_value source_headers(const struct sl_source_item *item, struct sl_arena *arena) {
	struct sql_map *object = event_map_new(arena, item->header_count + 1);
	size_t room = 8;
	while (room < (size_t)item->header_count * 2) room *= 2;
	uint32_t *table = SL_ARENA_ARRAY(arena, uint32_t, room);
	for (uint32_t i = 0; i < item->header_count; i++) {
		const struct sl_source_header *h = &item->headers[i];
		uint32_t *place = name_place(table, room - 1, object, h->name);
		if (*place) {
			object->at[*place - 1].value = source_text(h->value);
		} else {
			event_map_add(object, h->name, source_text(h->value));
			*place = object->n;
		}
	}
	return event_map_value(object);
}

struct sql_value source_headers_list(const struct sl_source_item *item, struct sl_arena *arena) {
	struct sql_list *list = SL_ARENA_NEW(arena, struct sql_list);
	list->at = SL_ARENA_ARRAY(arena, struct sql_value, item->header_count + 1);
	for (uint32_t i = 0; i < item->header_count; i++) {
		struct sql_map *pair = event_map_new(arena, 2);
		event_map_add(pair, SL_SLICE_LIT("key"), sql_string(item->headers[i].name));
		event_map_add(pair, SL_SLICE_LIT("value"), source_text(item->headers[i].value));
		list->at[list->n++] = event_map_value(pair);
	}
	return (struct sql_value){.kind = SQL_LIST, .list = list};
}

bool source_id(const struct rules_about *about, struct sl_arena *arena, char out[32]) {
	static const char digits[] = "0123456789ABCDEF";
	if (!about->item->id.n) return false;
	struct sl_slice whole = sl_arena_printf(arena, "%.*s:%.*s:%.*s", SL_SLICE_ARG(about->connector_kind),
						SL_SLICE_ARG(about->source), SL_SLICE_ARG(about->item->id));
	uint64_t bits[2] = {sl_hash_stable(whole), sl_hash_stable(slice_from(whole, 1))};
	for (int i = 0; i < 32; i++) out[i] = digits[bits[i / 16] >> (i % 16 * 4) & 15];
	return true;
}

uint64_t source_order(const struct rules_about *about) {
	uint64_t partition = (uint64_t)(uint32_t)about->item->partition;
	return (sl_hash_stable(about->source) ^ sl_hash_stable(about->item->topic)) + partition * 0x9e3779b97f4a7c15u;
}
