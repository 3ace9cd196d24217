/* likeness.h: which action is which, when the list of a rule's actions has changed.
 *
 * Actions have no names but their places, and places shift when somebody adds or removes one: what waits must not go to a
 * neighbour. So each action has a *face*: a line for each of its settings, with a hash of what is set, the connector's name first.
 * Faces are compared at a reload with those of running actions, and at a start with those that stand in the logs (spill.h: `owner`).
 * An action is taken for another when all its settings are the same, wherever it stands; else when it stands at the same place, or has at
 * least one setting in common beside the connector, the most alike first. Never across connectors: rows that were meant for one would
 * land in another.
 * Secrets are not in it: values are hashed as they are written, references unresolved.
 * Pure; any thread. */
#ifndef LIKENESS_H
#define LIKENESS_H

#include <jansson.h>

#include "slice.h"

#define FACE_MAX (64 * 1024) /* a longer one, of many settings, is as good as none: places count */
#define LIKENESS_EQUAL 1000000

/* Heap. */
char *likeness_face(const json_t *action) sl_warn_unused;

struct likeness_side {
	struct sl_slice face; /* empty: of a former version, nothing is known but the place */
	uint32_t place;
};
/* 0: it is another action. LIKENESS_EQUAL and more: the same settings. */
uint32_t likeness(const struct likeness_side *a, const struct likeness_side *b);

#define LIKENESS_NONE SIZE_MAX
/* For each of `left` the one of `right` that it goes on with, or LIKENESS_NONE; each at most once, the most alike first. */
void likeness_pair(const struct likeness_side *left, size_t left_n, const struct likeness_side *right, size_t right_n,
		   size_t *pair);

#endif
