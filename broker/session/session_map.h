/* session_map.h: client id -> session, on the session's home worker. See hmap.h for the functions. */
#ifndef SESSION_MAP_H
#define SESSION_MAP_H

#include "slice.h"

struct session;
struct sl_slice session_map_id(const struct session *s); /* session.c */

struct session_slot {
	uint64_t hash;
	struct session *s;
	bool used;
};
#define HMAP_NAME session_map
#define HMAP_SLOT struct session_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal(session_map_id((slot)->s), key)
#include "hmap.h"

#endif
