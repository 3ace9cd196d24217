/* event_props.h: a block of MQTT 5 properties as rules read it: an object with the names that EMQX gives them.
 *
 *     26 00 01 k 00 01 v  1f 00 02 o k   ->   {"User-Property":{"k":"v"}, "User-Property-Pairs":[...], "Reason-String":"ok"}
 *
 * 'User-Property' is an object, of equal names the last counts; 'User-Property-Pairs' keeps all, in order. A damaged block,
 * which the decoder of packets lets through to nobody, ends where it is damaged.
 * Lifetime: the value borrows from the block and lives in the arena. Thread: any. */
#ifndef EVENT_PROPS_H
#define EVENT_PROPS_H

#include "sql_value.h"

/* All of a block without its length. Never NULL: an empty object. */
struct sql_value event_props(struct sl_slice block, struct sl_arena *arena);

/* For building such objects by hand: a map with room for so many members, and one more member of it. */
struct sql_map *event_map_new(struct sl_arena *arena, size_t room);
void event_map_add(struct sql_map *map, struct sl_slice key, struct sql_value value);
static inline struct sql_value event_map_value(const struct sql_map *map) {
	return (struct sql_value){.kind = SQL_MAP, .map = map};
}
/* Adds 'User-Property' and 'User-Property-Pairs', when the block has any. */
void event_props_add_user(struct sql_map *map, struct sl_slice block, struct sl_arena *arena);

#endif
