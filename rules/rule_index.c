/* rule_index.c: see rule_index.h. */
#include "rule_index.h"

#include <stdlib.h>

#include "mem.h"
#include "topic.h"
#include "topic_trie.h"

struct rule_index {
	struct topic_trie *trie;
};

struct rule_index *rule_index_new(void) {
	struct rule_index *index = SL_NEW(struct rule_index);
	index->trie = topic_trie_new();
	return index;
}

void rule_index_free(struct rule_index *index) {
	if (!index) return;
	topic_trie_free(index->trie);
	sl_free(index);
}

void rule_index_add(struct rule_index *index, uint32_t rule, const struct sl_slice *filters, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (topic_filter_valid(filters[i]))
			topic_trie_insert(index->trie, filters[i], rule_candidate(rule, (uint32_t)i));
}

static void candidates_add(void *arg, uint32_t handle, const uint64_t *values, size_t count) {
	(void)handle;
	struct rule_candidates *out = arg;
	for (size_t i = 0; i < count; i++) {
		SL_GROW(out->at, out->len, out->cap);
		out->at[out->len++] = values[i];
	}
}

static int candidate_order(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

void rule_index_match(const struct rule_index *index, struct sl_slice topic, struct rule_candidates *out) {
	out->len = 0;
	topic_trie_match(index->trie, topic, candidates_add, out);
	if (out->len < 2) return;
	qsort(out->at, out->len, sizeof *out->at, candidate_order);
	size_t kept = 1;
	for (size_t i = 1; i < out->len; i++)
		if (rule_candidate_rule(out->at[i]) != rule_candidate_rule(out->at[kept - 1]))
			out->at[kept++] = out->at[i];
	out->len = kept;
}
