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
	json_t *told; /* "type:name" of a connector -> the rule at which it was told what it needs, or "" */
};

/* What the files say below SECTION.TYPE.NAME; the last one counts. Borrowed, NULL for nothing. */
json_t *emqx_settings(const struct emqx *e, const char *section, const char *type, const char *name);

/* "type:name", or {function, args}. */
void emqx_action_add(struct emqx *e, struct import_rule *rule, json_t *action);

#endif
