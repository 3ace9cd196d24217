/* emqx_template.h: "${...}" texts of EMQX's actions in our words.
 *
 * There a placeholder is a dotted name and nothing else, what is no such name stands as it is, "${$}" is a dollar, and a name
 * that SELECT does not give is written as "undefined", or as the kind of action has it. Here any expression may stand within, and a name that the row lacks is
 * looked up in the message: where the two differ the rule gets a note.
 *
 * Lifetime: what is returned lives in the import's arena. Thread: any. Never blocks. Errors: none; what can't be said here
 * fails the check of the action. */
#ifndef EMQX_TEMPLATE_H
#define EMQX_TEMPLATE_H

#include "import.h"

/* What is written for a name that nothing has. */
enum emqx_absent {
	EMQX_ABSENT_WORD,  /* "undefined" */
	EMQX_ABSENT_EMPTY, /* nothing: keys and values of Kafka */
	EMQX_ABSENT_NULL,  /* NULL: parameters of SQL, headers */
};

/* `action` names the action in notes. The rule is compiled. */
const char *emqx_template(struct import *imp, struct import_rule *rule, const char *action, const char *text);
const char *emqx_template_absent(struct import *imp, struct import_rule *rule, const char *action, const char *text,
				 enum emqx_absent absent);

#endif
