/* hmap.h: an open-addressing hash map as an include-template.
 *
 * Define the three names below, include this file, and get a map type with static inline functions; include it
 * again with other names for another map. Linear probing over one array of elements; an element holds its key,
 * its value and its hash, and is moved when the map grows or another is removed: keep no pointer to one across
 * a change.
 *
 *     struct session_slot { uint64_t hash; bool used; struct sl_slice id; struct session *s; };
 *     #define HMAP_NAME session_map            // the struct and the prefix of the functions
 *     #define HMAP_SLOT struct session_slot    // must have members `uint64_t hash` and `bool used`
 *     #define HMAP_KEY struct sl_slice
 *     #define HMAP_EQUAL(slot, key) slice_equal((slot)->id, key)
 *     #include "hmap.h"
 *
 *     session_map_find(&m, hash, key)    -> slot or NULL
 *     session_map_put(&m, hash, key, &was_there) -> slot; when !was_there the caller fills key and value
 *     session_map_remove(&m, slot)       -> the hole is closed by moving later elements back
 *     HMAP_FOREACH(session_map, it, &m) { it->... }
 *
 * The caller hashes, with sl_hash(): seeded per process, so that outsiders can't aim at one bucket.
 * Load stays at or below 3/4. Thread: one at a time. */
#ifndef SL_HMAP_H
#define SL_HMAP_H

#include <string.h>

#include "common.h"
#include "hash.h"
#include "mem.h"

#define HMAP_FOREACH(name, it, map)                                                                                    \
	for (size_t it##_i = 0; it##_i < (map)->cap; it##_i++)                                                         \
		for (name##_slot_t *it = &(map)->slots[it##_i]; it && it->used; it = NULL)

#define HMAP_PASTE_(a, b) a##b
#define HMAP_PASTE(a, b) HMAP_PASTE_(a, b)

#endif

#define HMAP_FN(verb) HMAP_PASTE(HMAP_NAME, verb)

typedef HMAP_SLOT HMAP_FN(_slot_t);

struct HMAP_NAME {
	HMAP_SLOT *slots; /* NULL while empty and never grown */
	size_t len, cap;  /* cap is 0 or a power of two */
};

static inline sl_unused void HMAP_FN(_fini)(struct HMAP_NAME *m) {
	sl_free(m->slots);
	memset(m, 0, sizeof *m);
}

static inline sl_unused HMAP_SLOT *HMAP_FN(_find)(const struct HMAP_NAME *m, uint64_t hash, HMAP_KEY key) {
	if (m->len == 0) return NULL;
	for (size_t i = hash & (m->cap - 1); m->slots[i].used; i = (i + 1) & (m->cap - 1))
		if (m->slots[i].hash == hash && HMAP_EQUAL(&m->slots[i], key)) return &m->slots[i];
	return NULL;
}

static inline sl_unused void HMAP_FN(_resize)(struct HMAP_NAME *m, size_t cap) {
	HMAP_SLOT *old = m->slots;
	size_t old_cap = m->cap;
	m->slots = (HMAP_SLOT *)sl_calloc(cap, sizeof(HMAP_SLOT));
	m->cap = cap;
	for (size_t j = 0; j < old_cap; j++) {
		if (!old[j].used) continue;
		size_t i = old[j].hash & (cap - 1);
		while (m->slots[i].used) i = (i + 1) & (cap - 1);
		m->slots[i] = old[j];
	}
	sl_free(old);
}

static inline sl_unused HMAP_SLOT *HMAP_FN(_put)(struct HMAP_NAME *m, uint64_t hash, HMAP_KEY key, bool *was_there) {
	HMAP_SLOT *slot = HMAP_FN(_find)(m, hash, key);
	*was_there = slot != NULL;
	if (slot) return slot;
	if ((m->len + 1) * 4 > m->cap * 3) HMAP_FN(_resize)(m, m->cap ? m->cap * 2 : 8);
	size_t i = hash & (m->cap - 1);
	while (m->slots[i].used) i = (i + 1) & (m->cap - 1);
	m->slots[i].hash = hash;
	m->slots[i].used = true;
	m->len++;
	return &m->slots[i];
}

/* Closes the gap: every later element of the run that may stand in the hole moves into it (no tombstones). */
static inline sl_unused void HMAP_FN(_remove)(struct HMAP_NAME *m, HMAP_SLOT *slot) {
	size_t hole = (size_t)(slot - m->slots), mask = m->cap - 1;
	for (size_t i = (hole + 1) & mask; m->slots[i].used; i = (i + 1) & mask) {
		size_t home = m->slots[i].hash & mask;
		if (((i - home) & mask) < ((i - hole) & mask)) continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	memset(&m->slots[hole], 0, sizeof m->slots[hole]);
	m->len--;
}

#undef HMAP_FN
#undef HMAP_NAME
#undef HMAP_SLOT
#undef HMAP_KEY
#undef HMAP_EQUAL
