/* guard_index.h: which of many candidate rules can a message still match? The guards of their programs (sql_guard.h), turned
 * round: from the values that a message has to the rules that want them.
 *
 *     rule 0  WHERE payload.id = 'a'                     operand payload.id:  'a' -> 0   'b' -> 1, 3
 *     rule 1  WHERE payload.id = 'b' AND payload.t > 9   operand payload.t:   20 .. 30 -> 2
 *     rule 2  WHERE payload.t BETWEEN 20 AND 30          unguarded:           4
 *     rule 3  WHERE payload.id IN ('b', 'c')
 *     rule 4  WHERE abs(payload.t) > 9
 *
 * Of several guards of a rule the one is used that the fewest others share; equality is a hash table, ranges are an
 * interval tree, all in flat arrays. A message costs a look-up for each operand and what it finds.
 *
 * Lifetime: programs outlive the index. Thread: constant once made. Making it allocates and takes n log n; asking does
 * not allocate. */
#ifndef GUARD_INDEX_H
#define GUARD_INDEX_H

#include "bit_tree.h"
#include "sql_guard.h"

/* Slots are small, so that a table of ten thousand stays in the caches. The tag is a part of the key: a slot may belong to
 * another key than the one looked for, for a guard that holds promises nothing. */
enum { GUARD_MANY = 1 << 30, GUARD_LAST = 1 << 30, GUARD_FREE = 1 << 29 };
struct guard_slot {
	uint32_t tag;
	uint32_t value; /* a candidate; or GUARD_MANY and the first of several in `many`; or GUARD_FREE */
};
/* One interval; they are sorted by low, and the middle one of each stretch of them knows the highest end in it. */
struct guard_range {
	double low, high, highest;
	uint32_t candidate;
};

struct guard_operand {
	const struct sql_program *program; /* one that has it */
	enum sql_dialect dialect;
	uint16_t hit; /* of a path: which of the pass's hits; the plan's to set */
	struct sql_guard_operand at;
	struct guard_slot *slots;
	size_t slot_mask; /* slots NULL: no equality */
	uint32_t *many;   /* candidates that share a key; the last of each such row has GUARD_LAST */
	struct guard_range *ranges;
	size_t range_len;
};

struct guard_index {
	struct guard_operand *operands;
	size_t operand_len;
	uint32_t *unguarded; /* candidates that every message must visit, rising */
	uint32_t unguarded_len;
	uint64_t *guarded; /* a bit for each of the others */
	bool reads_payload;
	struct sl_arena arena;
};

/* programs[i] is candidate i's. NULL when not one of them has a guard worth looking up. */
struct guard_index *guard_index_new(const struct sql_program *const *programs, uint32_t count);
void guard_index_free(struct guard_index *index); /* NULL is fine */

static inline bool guard_index_guards(const struct guard_index *index, uint32_t candidate) {
	return index->guarded[candidate >> 6] >> (candidate & 63) & 1;
}

/* Adds to `out` the guarded candidates that this event may match. hits: by operand's .hit, of a payload that is JSON; or
 * payload_status, which is not SL_OK then, and nobody who reads it is ruled out. */
void guard_index_find(const struct guard_index *index, struct sql_vm *vm, const struct sql_input *in,
		      const struct jpath_hit *hits, int payload_status, struct bit_tree *out);

#endif
