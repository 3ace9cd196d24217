/* emqx_template.h: "${...}" texts of EMQX's actions in our words.
 *
 * There a placeholder is a dotted name and nothing else, what is no such name stands as it is, "${$}" is a dollar, and a name
 * that SELECT does not give is written as "undefined". Here any expression may stand within, and a name that the row lacks is
 * looked up in the message: where the two differ the rule gets a note.
 *
 * Lifetime: what is returned lives in the import's arena. Thread: any. Never blocks. Errors: none; what can't be said here
 * fails the check of the action. */
#ifndef EMQX_TEMPLATE_H
#define EMQX_TEMPLATE_H

#include "import.h"

/* `action` names the action in notes. The rule is compiled. */
const char *emqx_template(struct import *imp, struct import_rule *rule, const char *action, const char *text);

#endif
