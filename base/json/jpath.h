/* jpath.h: many paths out of one document in one pass.
 *
 * A set of paths is compiled once to a trie, immutable and shared by every worker. jpath_extract() walks the document
 * along the trie, steps over what no path wants, and stops at the last value that can still matter. That is the
 * price of a rule: about 140 ns for three fields of a 276-byte telemetry object; nothing is allocated.
 *
 *     paths  measurements.temp   measurements.rpm   tags[0]
 *     trie   root -- measurements -- temp  (hit 0)
 *             |            `-------- rpm   (hit 1)
 *             `----- tags -- [0]           (hit 2)
 *
 * A name that occurs twice: the first counts, whatever the path below it finds there: in {"a":{"x":1},"a":{"y":2}}
 * a.y is absent. So the answer does not depend on where the walk stops.
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

enum { JPATH_KEY_MAX = 1024 /* bytes of one key; JSCAN_DEPTH_MAX bounds the steps */ };

struct jpath_set;

/* hits[i] of jpath_extract() answers paths[i]; the same path may be there many times. SL_ELIMIT: a path with too
 * many steps or too long a key; SL_EINVAL: a negative index. */
int jpath_set_new(const struct jpath *paths, size_t n, struct jpath_set **out);
void jpath_set_free(struct jpath_set *set); /* NULL is fine */
size_t jpath_set_count(const struct jpath_set *set);

/* Fills hits[0 .. count-1], JKIND_ABSENT where the document has no such value. SL_EMALFORMED when the text is broken
 * before the last wanted value was found (or, when something is absent, anywhere); what was found before the break
 * is in hits[] and sound, so that one rule's answer need not depend on what others ask for. */
int jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits);

#endif
