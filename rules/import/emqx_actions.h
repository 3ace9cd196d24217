/* emqx_actions.h: one action of a rule of EMQX, as one of ours or as a note on what to map it to.
 *
 * Lifetime: what is made belongs to the import. Thread: the program's main one. Never blocks. Errors: none; what has no like
 * here becomes a note. */
#ifndef EMQX_ACTIONS_H
#define EMQX_ACTIONS_H

#include "import.h"

/* Where settings that rules refer to may stand: the trees of all files. */
struct emqx {
	struct import *imp;
	json_t **roots;
	size_t root_count;
};

/* "type:name", or {function, args}. */
void emqx_action_add(struct emqx *e, struct import_rule *rule, json_t *action);

#endif
