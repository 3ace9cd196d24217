/* topic_cache.h: literal topic -> what was computed for it (subscribers, rule plan), one per worker.
 *
 * An entry belongs to a *generation*: the caller's number for "the world that the result was computed in" (the trie's
 * generation, the rule set's, or their sum). An entry of another generation is a miss, whether it holds a result or
 * the knowledge that there is none: NULL is a value like any other, cached empties included.
 *
 * Bounded: at most `max_entries`, each with its own copy of the topic, and 256 bytes an entry for topics and values on
 * average (topic_cache_limit() sets another bound). When full, the entry that was not asked for
 * since the clock hand last came by gives way; so a flood of topics that never come back cannot push out the steady
 * ones. topic_cache_sweep() does the same in small portions, from a timer, so that memory falls when traffic does.
 *
 * Lifetime: the cache owns the values it is given and hands each to `free_cb` once (never NULL ones): on replacement,
 * eviction, clear and free. A value got from topic_cache_get() is borrowed until the next put, sweep or clear.
 * Thread: one at a time. Never blocks. */
#ifndef SL_TOPIC_CACHE_H
#define SL_TOPIC_CACHE_H

#include "slice.h"

struct topic_cache;

typedef void (*topic_cache_free_cb)(void *arg, void *value);

struct topic_cache_stats {
	uint64_t hits, misses, stale, evicted;
	size_t entries, bytes; /* bytes: entries and table, and of the values what the caller said */
};

struct topic_cache *topic_cache_new(size_t max_entries, topic_cache_free_cb free_cb, void *arg) sl_warn_unused;
void topic_cache_free(struct topic_cache *c); /* NULL is fine */
void topic_cache_limit(struct topic_cache *c, size_t max_bytes);

/* True when the topic is known under this generation; *value may be NULL (known to have no result).
 * `hash` is topic_hash(topic). */
bool topic_cache_get(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation, void **value);

/* Stores (or replaces) the topic's value. bytes: what the value costs this cache. */
void topic_cache_put_sized(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation,
			   void *value, size_t bytes);
void topic_cache_put(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation,
		     void *value); /* the value is somebody else's */

/* Looks at up to `budget` table places from where the last sweep stopped; drops entries of another generation and
 * those not asked for since the hand came by last. Returns how many were dropped. */
size_t topic_cache_sweep(struct topic_cache *c, uint64_t generation, size_t budget);

void topic_cache_clear(struct topic_cache *c);
void topic_cache_stats(const struct topic_cache *c, struct topic_cache_stats *out);

#endif
