/* likeness.h: which action is which, when the list of a rule's actions has changed.
 *
 * Actions have no names but their places, and places shift when somebody adds or removes one: what waits must not go to a
 * neighbour. So each action has a *face*: a line for each of its settings, with a hash of what is set; before them the connector's name,
 * and what the action writes to (connector.h: `destination`).
 * Faces are compared at a reload with those of running actions, and at a start with those that stand in the logs (spill.h: `owner`).
 * An action is taken for another when all its settings are the same, wherever it stands; else when it writes to the same, or stands at
 * the same place: first those that write to the same, of these the most alike. What only looks alike, such as the same columns of another
 * table, is another action. A place tells nothing when a log says that who stands there now is another one: the neighbour that moved up, or one
 * that came after its own action had been taken away. Of a kind that names no destination those count as one that have a setting in common. Never across
 * connectors: rows that were meant for one would land in another.
 * Secrets are not in it: values are hashed as they are written, references unresolved.
 * Pure; any thread. */
#ifndef LIKENESS_H
#define LIKENESS_H

#include <jansson.h>

#include "slice.h"

#define OWNER_MAX (64 * 1024) /* a longer one, of many settings, is as good as none: places count */
#define LIKENESS_EQUAL 1000000
#define LIKENESS_DESTINATION 10000 /* more than all settings of an owner of OWNER_MAX */

/* Heap. destination: NULL when the kind names none. */
char *likeness_face(const json_t *action, const char *destination) sl_warn_unused;

struct likeness_side {
	struct sl_slice face; /* empty: of a former version, nothing is known but the place */
	uint32_t place;
	/* Of logs, NULL and false otherwise. */
	struct sl_slice others; /* known to be others than this one */
	bool gone;              /* it was taken away while we ran or before: who stands there is another */
};

/* What stands in a log (spill.h: `owner`): its action's face and place ("at 3"; its folder is called after the place where it was begun),
 * and whom it is not to be taken for when rows are left to a start with another list: a line for each of the rule's other actions, with
 * a hash of what it writes to, or of its face. Heap. */
char *likeness_owner(const char *face, uint32_t place, const char *const *others, size_t n) sl_warn_unused;
char *likeness_owner_gone(const char *owner) sl_warn_unused; /* the same of one that is taken away */
/* Borrows. False, and out is as it was: none of ours, or damaged. */
bool likeness_owner_read(struct sl_slice owner, struct likeness_side *out);

/* Of a, which is wanted, and b, which runs or has left a log. 0: it is another action. LIKENESS_EQUAL and more: the same settings;
 * LIKENESS_DESTINATION and more: it writes to the same. */
uint32_t likeness(const struct likeness_side *a, const struct likeness_side *b);

#define LIKENESS_NONE SIZE_MAX
/* For each of `left` the one of `right` that it goes on with, or LIKENESS_NONE; each at most once, the most alike first. */
void likeness_pair(const struct likeness_side *left, size_t left_n, const struct likeness_side *right, size_t right_n,
		   size_t *pair);

#endif
