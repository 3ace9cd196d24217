/* ruleset.h: all rules of one configuration, compiled, with their index: built aside, then run as a whole, never changed.
 *
 * Lifetime: counted references. The first is its maker's, then struct rules', which drops it when the last worker has
 * changed over to the next. What a worker keeps of a set (plans, stages) is gone before it says so. A status page holds
 * another while it writes about the set.
 * Thread: made on one, then constant and read by all workers. */
#ifndef RULESET_H
#define RULESET_H

#include <stdatomic.h>

#include "rule.h"
#include "buf.h"
#include "rule_index.h"

enum { RULESET_RULES_MAX = 100000 };

struct ruleset {
	_Atomic uint32_t refs;
	struct rule **rules; /* owned; in the order of the file; a rule's place is its number in the index */
	size_t len, cap;
	uint32_t connector_slots; /* connector actions in all rules: how many stages a worker has */
	struct rule_index *index; /* NULL until complete */
	struct rule_state *state; /* what rules remember in; NULL (tests): nothing. Set before the set is complete */
	struct id_map *by_id;     /* the same */
	uint32_t kinds;           /* of events that enabled rules read: bits of EVENT() */
	bool messages;            /* some enabled rule reads messages */
};

struct ruleset *ruleset_new(void) sl_warn_unused;
struct ruleset *ruleset_ref(struct ruleset *set);      /* @thread any, as the next */
void ruleset_unref(struct ruleset *set);               /* NULL is fine */
void ruleset_add(struct ruleset *set, struct rule *r); /* takes over r */

/* After the last rule: fills the index, numbers the connector actions and gives every rule its counters: those of the
 * rule with the same id in `before` (NULL: none), or new ones; and its memory, when its text is the same too. */
void ruleset_complete(struct ruleset *set, const struct ruleset *before, size_t workers);

const struct rule *ruleset_find(const struct ruleset *set, struct sl_slice id); /* NULL: none */
bool ruleset_number(const struct ruleset *set, struct sl_slice id, uint32_t *number);
/* The topic that reaches the rule of that number and no other, whatever their FROM says: nobody can publish to it, nor
 * write a filter for it, for it is no UTF-8. Appends it. */
void ruleset_private_topic(uint32_t number, struct sl_buf *topic);

#endif
