/* cfn.h: texts of a CloudFormation template, with its functions taken out as far as they can be known here.
 *
 * Ref and ${Name} of a parameter with a default become the default; Fn::Sub and Fn::Join are done; "${!topic()}" is the
 * escaped form of "${topic()}". What only a deployed stack knows (${AWS::AccountId}, another resource's ARN, Fn::If,
 * parameters without a default) stays in the text as ${Name} and is remembered for the report.
 *
 * Lifetime: texts live in the arena. Thread: any. Never blocks. Errors: see cfn_text(). */
#ifndef CFN_H
#define CFN_H

#include <jansson.h>

#include "arena.h"

#define CFN_TEXT_MAX (1 * SL_MB)   /* one text */
#define CFN_TEXTS_MAX (64 * SL_MB) /* all texts of an import */

struct cfn {
	struct sl_arena *arena;
	const json_t *parameters; /* of the template; NULL: the texts are no template's, and stand as they are */
	size_t bytes;             /* made so far */
	json_t *missing;          /* names that nobody knows here: a set */
	json_t *assumed;          /* parameters taken by their default: name -> text */
};

/* The value's text; numbers and booleans have one, too. in_action: what is not known must not be taken for a template of an
 * action, so it is escaped as $${Name}. NULL for lists, other objects, and texts beyond the bounds. */
const char *cfn_text(struct cfn *c, const json_t *value, bool in_action);

/* The member that the API writes as "sql" and CloudFormation as "Sql". */
const json_t *cfn_member(const json_t *tree, const char *name);

#endif
