/* rule_index.c: see rule_index.h. */
#include "rule_index.h"

#include <stdlib.h>

#include "mem.h"
#include "topic.h"
#include "topic_trie.h"

struct filter {
	char *text;
	struct rule_candidates candidates; /* by rule: rules are added in order */
};
struct filter_slot {
	uint64_t hash;
	bool used;
	uint32_t number;
	struct sl_slice text; /* the filter's */
};
#define HMAP_NAME filter_map
#define HMAP_SLOT struct filter_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->text, key)
#include "hmap.h"

struct rule_index {
	struct topic_trie *trie; /* filter -> its number */
	struct filter_map numbers;
	struct filter *filters;
	size_t len, cap;
};

struct rule_index *rule_index_new(void) {
	struct rule_index *index = SL_NEW(struct rule_index);
	index->trie = topic_trie_new();
	return index;
}

void rule_index_free(struct rule_index *index) {
	if (!index) return;
	topic_trie_free(index->trie);
	filter_map_fini(&index->numbers);
	for (size_t i = 0; i < index->len; i++) {
		sl_free(index->filters[i].candidates.at);
		sl_free(index->filters[i].text);
	}
	sl_free(index->filters);
	sl_free(index);
}

static struct filter *filter_put(struct rule_index *index, struct sl_slice text) {
	bool there;
	struct filter_slot *slot = filter_map_put(&index->numbers, sl_hash(text), text, &there);
	if (!there) {
		SL_GROW(index->filters, index->len, index->cap);
		struct filter *f = &index->filters[index->len];
		*f = (struct filter){.text = slice_dup(text)};
		slot->number = (uint32_t)index->len++;
		slot->text = slice_from_str(f->text);
		topic_trie_insert(index->trie, slot->text, slot->number);
	}
	return &index->filters[slot->number];
}

void rule_index_add(struct rule_index *index, uint32_t rule, const struct sl_slice *filters, size_t count) {
	for (size_t i = 0; i < count; i++) {
		if (!topic_filter_valid(filters[i])) continue;
		struct rule_candidates *c = &filter_put(index, filters[i])->candidates;
		SL_GROW(c->at, c->len, c->cap);
		c->at[c->len++] = rule_candidate(rule, (uint32_t)i);
	}
}

static void filters_add(void *arg, uint32_t handle, const uint64_t *values, size_t count) {
	(void)handle;
	struct rule_filters *out = arg;
	for (size_t i = 0; i < count; i++) {
		SL_GROW(out->at, out->len, out->cap);
		out->at[out->len++] = (uint32_t)values[i];
	}
}

static int filter_order(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

void rule_index_match(const struct rule_index *index, struct sl_slice topic, struct rule_filters *out) {
	out->len = 0;
	topic_trie_match(index->trie, topic, filters_add, out);
	if (out->len > 1) qsort(out->at, out->len, sizeof *out->at, filter_order);
}

static int candidate_order(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

void rule_index_candidates(const struct rule_index *index, const uint32_t *filters, size_t count,
			   struct rule_candidates *out) {
	out->len = 0;
	for (size_t i = 0; i < count; i++) {
		const struct rule_candidates *c = &index->filters[filters[i]].candidates;
		for (size_t k = 0; k < c->len; k++) {
			SL_GROW(out->at, out->len, out->cap);
			out->at[out->len++] = c->at[k];
		}
	}
	if (out->len < 2) return;
	bool sorted = true;
	for (size_t i = 1; i < out->len && sorted; i++) sorted = out->at[i - 1] < out->at[i];
	if (!sorted) qsort(out->at, out->len, sizeof *out->at, candidate_order);
	size_t kept = 1;
	for (size_t i = 1; i < out->len; i++)
		if (rule_candidate_rule(out->at[i]) != rule_candidate_rule(out->at[kept - 1]))
			out->at[kept++] = out->at[i];
	out->len = kept;
}
