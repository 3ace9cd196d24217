/* bit_tree.h: a set of small numbers that is filled in any order and emptied in rising order, at a price that hangs on how
 * many are in it and not on how many could be: three levels of words, each bit saying that the word below has some.
 *
 * Lifetime: bit_tree_fini(). Thread: one. Growing allocates; nothing else does. */
#ifndef BIT_TREE_H
#define BIT_TREE_H

#include <string.h>

#include "mem.h"

enum { BIT_TREE_MAX = 64 * 64 * 64 };

struct bit_tree {
	uint64_t top;
	uint64_t middle[64];
	uint64_t *low;
	size_t words; /* of low */
};

static inline void bit_tree_fini(struct bit_tree *t) { sl_free(t->low); }

/* Makes room for the numbers below n <= BIT_TREE_MAX. The set is empty. */
static inline void bit_tree_reserve(struct bit_tree *t, size_t n) {
	size_t words = (n + 63) / 64;
	sl_assert(n <= BIT_TREE_MAX && t->top == 0);
	if (words <= t->words) return;
	t->low = sl_realloc_array(t->low, words, sizeof *t->low);
	memset(t->low + t->words, 0, (words - t->words) * sizeof *t->low);
	t->words = words;
}

static inline void bit_tree_add(struct bit_tree *t, uint32_t n) {
	t->low[n >> 6] |= (uint64_t)1 << (n & 63);
	t->middle[n >> 12] |= (uint64_t)1 << (n >> 6 & 63);
	t->top |= (uint64_t)1 << (n >> 12);
}

static inline bool bit_tree_empty(const struct bit_tree *t) { return t->top == 0; }

/* Of a set that is not empty. */
static inline uint32_t bit_tree_least(const struct bit_tree *t) {
	uint32_t a = (uint32_t)__builtin_ctzll(t->top);
	uint32_t b = a << 6 | (uint32_t)__builtin_ctzll(t->middle[a]);
	return b << 6 | (uint32_t)__builtin_ctzll(t->low[b]);
}

static inline void bit_tree_remove(struct bit_tree *t, uint32_t n) {
	if ((t->low[n >> 6] &= ~((uint64_t)1 << (n & 63))) != 0) return;
	if ((t->middle[n >> 12] &= ~((uint64_t)1 << (n >> 6 & 63))) != 0) return;
	t->top &= ~((uint64_t)1 << (n >> 12));
}

#endif
