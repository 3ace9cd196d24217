/* event_props.c: see event_props.h. */
#include "event_props.h"

#include "hash.h"

enum prop_type { PROP_BYTE, PROP_U16, PROP_U32, PROP_VARINT, PROP_TEXT, PROP_PAIR };

enum { PROP_USER = 0x26 };

/* MQTT5 2.2.2.2 */
static const struct prop_row {
	uint8_t id;
	uint8_t type; /* enum prop_type */
	const char *name;
} prop_rows[] = {
    {0x01, PROP_BYTE, "Payload-Format-Indicator"},
    {0x02, PROP_U32, "Message-Expiry-Interval"},
    {0x03, PROP_TEXT, "Content-Type"},
    {0x08, PROP_TEXT, "Response-Topic"},
    {0x09, PROP_TEXT, "Correlation-Data"},
    {0x0b, PROP_VARINT, "Subscription-Identifier"},
    {0x11, PROP_U32, "Session-Expiry-Interval"},
    {0x15, PROP_TEXT, "Authentication-Method"},
    {0x16, PROP_TEXT, "Authentication-Data"},
    {0x17, PROP_BYTE, "Request-Problem-Information"},
    {0x18, PROP_U32, "Will-Delay-Interval"},
    {0x19, PROP_BYTE, "Request-Response-Information"},
    {0x1c, PROP_TEXT, "Server-Reference"},
    {0x1f, PROP_TEXT, "Reason-String"},
    {0x21, PROP_U16, "Receive-Maximum"},
    {0x22, PROP_U16, "Topic-Alias-Maximum"},
    {0x23, PROP_U16, "Topic-Alias"},
    {PROP_USER, PROP_PAIR, "User-Property"},
    {0x27, PROP_U32, "Maximum-Packet-Size"},
};

/* One property; a text in `text`, a number in `number`. */
struct prop {
	const struct prop_row *row;
	struct sl_slice text, value;
	uint32_t number;
};

static bool take_number(struct sl_slice *rest, size_t bytes, uint32_t *out) {
	*out = 0;
	if (rest->n < bytes) return false;
	for (size_t i = 0; i < bytes; i++) *out = *out << 8 | (uint8_t)rest->p[i];
	*rest = slice_from(*rest, bytes);
	return true;
}

static bool take_varint(struct sl_slice *rest, uint32_t *out) {
	*out = 0;
	for (unsigned shift = 0; shift < 28; shift += 7) {
		uint32_t digit;
		if (!take_number(rest, 1, &digit)) return false;
		*out |= (digit & 0x7f) << shift;
		if (!(digit & 0x80)) return true;
	}
	return false;
}

static bool take_text(struct sl_slice *rest, struct sl_slice *out) {
	uint32_t n;
	if (!take_number(rest, 2, &n) || rest->n < n) return false;
	*out = slice_sub(*rest, 0, n);
	*rest = slice_from(*rest, n);
	return true;
}

/* Takes the next property off the block; false at its end. */
static bool prop_next(struct sl_slice *rest, struct prop *p) {
	uint32_t id;
	*p = (struct prop){.row = NULL};
	if (!take_number(rest, 1, &id)) return false;
	for (size_t i = 0; i < SL_ARRAY_LEN(prop_rows); i++)
		if (prop_rows[i].id == id) p->row = &prop_rows[i];
	if (!p->row) return false;
	switch ((enum prop_type)p->row->type) {
	case PROP_BYTE: return take_number(rest, 1, &p->number);
	case PROP_U16: return take_number(rest, 2, &p->number);
	case PROP_U32: return take_number(rest, 4, &p->number);
	case PROP_VARINT: return take_varint(rest, &p->number);
	case PROP_TEXT: return take_text(rest, &p->text);
	case PROP_PAIR: return take_text(rest, &p->text) && take_text(rest, &p->value);
	}
	return false;
}

struct sql_map *event_map_new(struct sl_arena *arena, size_t room) {
	struct sql_map *map = SL_ARENA_NEW(arena, struct sql_map);
	map->at = SL_ARENA_ARRAY(arena, struct sql_map_member, room);
	return map;
}

void event_map_add(struct sql_map *map, struct sl_slice key, struct sql_value value) {
	map->at[map->n++] = (struct sql_map_member){key, value};
}

/* Where a name stands in the object, or will: a place of a small open-addressing table, for a packet may hold
 * a hundred thousand pairs. */
static uint32_t *name_place(uint32_t *table, size_t mask, const struct sql_map *object, struct sl_slice name) {
	size_t i = (size_t)sl_hash(name) & mask;
	while (table[i] && !slice_equal(object->at[table[i] - 1].key, name)) i = (i + 1) & mask;
	return &table[i];
}

static bool pair_next(struct sl_slice *rest, struct prop *p) {
	while (prop_next(rest, p))
		if (p->row->id == PROP_USER) return true;
	return false;
}

void event_props_add_user(struct sql_map *map, struct sl_slice block, struct sl_arena *arena) {
	struct sl_slice rest = block;
	struct prop p;
	size_t count = 0, room = 8;
	while (pair_next(&rest, &p)) count++;
	if (count == 0) return;
	while (room < count * 2) room *= 2;

	uint32_t *table = SL_ARENA_ARRAY(arena, uint32_t, room);
	struct sql_map *object = event_map_new(arena, count);
	struct sql_list *pairs = SL_ARENA_NEW(arena, struct sql_list);
	pairs->at = SL_ARENA_ARRAY(arena, struct sql_value, count);
	rest = block;
	while (pair_next(&rest, &p)) {
		struct sql_map *pair = event_map_new(arena, 2);
		event_map_add(pair, SL_SLICE_LIT("key"), sql_string(p.text));
		event_map_add(pair, SL_SLICE_LIT("value"), sql_string(p.value));
		pairs->at[pairs->n++] = event_map_value(pair);
		uint32_t *place = name_place(table, room - 1, object, p.text);
		if (*place) {
			object->at[*place - 1].value = sql_string(p.value);
		} else {
			event_map_add(object, p.text, sql_string(p.value));
			*place = object->n;
		}
	}
	event_map_add(map, SL_SLICE_LIT("User-Property"), event_map_value(object));
	event_map_add(map, SL_SLICE_LIT("User-Property-Pairs"), (struct sql_value){.kind = SQL_LIST, .list = pairs});
}

struct sql_value event_props(struct sl_slice block, struct sl_arena *arena) {
	struct sql_map *map = event_map_new(arena, SL_ARRAY_LEN(prop_rows) + 1);
	struct sl_slice rest = block;
	uint32_t seen = 0; /* bit per row: each once, but for user properties */
	struct prop p;
	while (prop_next(&rest, &p)) {
		uint32_t bit = 1u << (p.row - prop_rows);
		if (p.row->type == PROP_PAIR || seen & bit) continue;
		seen |= bit;
		bool text = p.row->type == PROP_TEXT;
		event_map_add(map, slice_from_str(p.row->name), text ? sql_string(p.text) : sql_int(p.number));
	}
	event_props_add_user(map, block, arena);
	return event_map_value(map);
}
