/* rule_index.h: which rules does a topic reach? The FROM filters of a set in one topic trie, each text once, whatever the
 * number of rules that have it.
 *
 * A topic matches filters: that is quick, for ten thousand rules mostly have a few filters between them. The filters stand
 * for candidates: the number of the rule in its set, and which of its FROM filters matched. A rule whose filters match
 * several times is there once, with the first of them as it is written. Ordered by rule.
 *
 * As with subscriptions, "a/#" matches "a", and a leading wildcard does not match a topic that starts with "$"
 * [MQTT-4.7.2-1]. The empty filter matches nothing.
 *
 * Lifetime: filters are copied. Thread: built on one, then constant and read by all workers. Never blocks. */
#ifndef RULE_INDEX_H
#define RULE_INDEX_H

#include "slice.h"

struct rule_index;

/* rule << 32 | filter of the rule */
static inline uint64_t rule_candidate(uint32_t rule, uint32_t filter) { return (uint64_t)rule << 32 | filter; }
static inline uint32_t rule_candidate_rule(uint64_t c) { return (uint32_t)(c >> 32); }
static inline uint32_t rule_candidate_filter(uint64_t c) { return (uint32_t)c; }

struct rule_candidates { /* reused from call to call; sl_free(at) in the end */
	uint64_t *at;
	size_t len, cap;
};

struct rule_index *rule_index_new(void) sl_warn_unused;
void rule_index_free(struct rule_index *index); /* NULL is fine */

/* A filter may come twice in one rule; the first counts. */
void rule_index_add(struct rule_index *index, uint32_t rule, const struct sl_slice *filters, size_t count);

/* The filters that the topic matches, as numbers, rising. Replaces what `out` held. */
struct rule_filters { /* reused from call to call; sl_free(at) in the end */
	uint32_t *at;
	size_t len, cap;
};
void rule_index_match(const struct rule_index *index, struct sl_slice topic, struct rule_filters *out);

/* The candidates behind these filters. Replaces what `out` held. */
void rule_index_candidates(const struct rule_index *index, const uint32_t *filters, size_t count,
			   struct rule_candidates *out);

#endif
