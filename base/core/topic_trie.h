/* topic_trie.h: many topic filters, each with values; finds all filters that match a topic name.
 *
 * Serves subscriptions (one trie a worker, values are pointers to subscription records) and the FROM filters of
 * rules. A filter is a path of nodes, one a level. A node is 32 bytes in one array and is named by its index, the
 * *handle*; it knows its parent, so a filter's text can be told from its handle and nobody needs to store the text
 * again. Level strings are interned: "telemetry" in a million filters is one string. Literal children are found in one
 * hash table for the whole trie, keyed by the parent and the level's text, so that a topic's levels are hashed once per
 * match; "+" and "#" children are named in the node.
 *
 *     sensor/+/temp, sensor/#         0 root
 *                                      +- 1 "sensor"      + -> 2, # -> 4
 *                                           +- 2 "+"
 *                                           |    +- 3 "temp"   values
 *                                           +- 4 "#"           values
 *
 * Values are 64-bit and opaque: a pointer cast through uintptr_t, or an index. One (filter, value) pair may be
 * inserted once only; the owner knows which pairs are in (nothing here searches for it).
 * `generation` grows with every change: whatever was computed by a match is stale when it differs (topic_cache.h).
 *
 * Memory: about 100 to 150 bytes for a filter with one value whose last two levels are its own.
 * Lifetime: the trie owns nodes and strings, not what values point to. Handles stay valid while the filter has a value.
 * Thread: one at a time; matching changes nothing, so many may match a trie that nobody changes. Never blocks. */
#ifndef SL_TOPIC_TRIE_H
#define SL_TOPIC_TRIE_H

#include "buf.h"
#include "slice.h"

struct topic_trie;

enum { TOPIC_TRIE_NONE = 0 }; /* the handle that is no filter */

struct topic_trie *topic_trie_new(void) sl_warn_unused;
void topic_trie_free(struct topic_trie *t); /* NULL is fine */

uint64_t topic_trie_generation(const struct topic_trie *t);
size_t topic_trie_filters(const struct topic_trie *t); /* distinct filters that have a value */
size_t topic_trie_values_total(const struct topic_trie *t);
size_t topic_trie_bytes(const struct topic_trie *t); /* memory held, for metrics */

/* Adds a value to a valid filter (topic_filter_valid; the part after $share). Returns the filter's handle. */
uint32_t topic_trie_insert(struct topic_trie *t, struct sl_slice filter, uint64_t value);

/* Takes one value off. False when the filter or the value is not there. */
bool topic_trie_remove(struct topic_trie *t, struct sl_slice filter, uint64_t value);
bool topic_trie_remove_at(struct topic_trie *t, uint32_t handle, uint64_t value); /* without walking the text */

/* The handle of exactly this filter, or TOPIC_TRIE_NONE when it has no value. */
uint32_t topic_trie_find(const struct topic_trie *t, struct sl_slice filter);

/* The values of a filter; borrowed, valid until the next change of the trie. */
const uint64_t *topic_trie_values(const struct topic_trie *t, uint32_t handle, size_t *count);

/* Appends the filter's text. */
void topic_trie_text(const struct topic_trie *t, uint32_t handle, struct sl_buf *out);

/* Called once for each matching filter, in no promised order; must not change the trie. */
typedef void (*topic_trie_match_cb)(void *arg, uint32_t handle, const uint64_t *values, size_t count);

/* All filters that match a valid topic name. Leading wildcards skip topics that start with "$" [MQTT-4.7.2-1].
 * Returns how many nodes the walk came by: what it cost. */
size_t topic_trie_match(const struct topic_trie *t, struct sl_slice topic, topic_trie_match_cb cb, void *arg);

/* Called for every filter, in no promised order; must not change the trie. */
void topic_trie_each(const struct topic_trie *t, topic_trie_match_cb cb, void *arg);

#endif
