/* jpath.h: many paths out of one document in one pass.
 *
 * A set of paths is compiled once to a trie, immutable and shared by every worker. jpath_extract() walks the document
 * along the trie, always to its end. That is the price of a rule: about 110 ns for three fields of a 276-byte
 * telemetry object; nothing is allocated.
 *
 *     paths  measurements.temp   measurements.rpm   tags[0]
 *     trie   root -- measurements -- temp  (hit 0)
 *             |            `-------- rpm   (hit 1)
 *             `----- tags -- [0]           (hit 2)
 *
 * A document is JSON or it is not: every token is checked to the letter, whether a path wants it or not, so that the answer
 * to one path never depends on which others are asked for. Of a broken document nothing is found.
 *
 * A name that occurs twice: the last counts, at every level, whatever the path below it finds there: in
 * {"a":{"x":1},"a":{"y":2}} a.x is absent.
 *
 * Lifetime: the set copies its paths; hits borrow the document. Thread: a set any, once made. Never blocks. */
#ifndef SL_JPATH_H
#define SL_JPATH_H

#include "jscan.h"

struct jpath_step {
	struct sl_slice key; /* decoded text of the member's name */
	int32_t index;       /* 0-based element of an array */
	bool is_index;
};
struct jpath {
	const struct jpath_step *steps;
	uint16_t n; /* 0: the whole document */
};

/* Do both lead to the same place? Equal paths have equal hashes, within one process. */
bool jpath_equal(const struct jpath *a, const struct jpath *b);
uint64_t jpath_hash(const struct jpath *path);

enum { JPATH_KEY_MAX = 1024 /* bytes of one key; JSCAN_DEPTH_MAX bounds the steps */ };

struct jpath_set;

/* hits[i] of jpath_extract() answers paths[i]; the same path may be there many times. SL_ELIMIT: a path with too
 * many steps or too long a key; SL_EINVAL: a negative index. */
int jpath_set_new(const struct jpath *paths, size_t n, struct jpath_set **out);
void jpath_set_free(struct jpath_set *set); /* NULL is fine */
size_t jpath_set_count(const struct jpath_set *set);

/* Fills hits[0 .. count-1], JKIND_ABSENT where the document has no such value. SL_EMALFORMED when the text is not one JSON
 * value with at most white space around it, as jscan_valid() has it; then all hits are JKIND_ABSENT. An empty set does
 * not look at the text at all. */
int jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);
/* The same for a payload: strings may hold bytes that are not UTF-8. See jscan.h. */
int jpath_extract_any_text(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);

#endif
