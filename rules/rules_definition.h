/* rules_definition.h: what a rule is, as a tree: the part of the status page that does not count, and what `sluice plan`
 * compares. Secrets are not in it: an action shows a hash of what is written of it.
 *
 *     {"id", "description", "dialect", "enabled", "tags": [], "sql", "hash", "shadow": {"sql"}}
 *     {"kind", "name", "hash"}                                                 of an action
 *
 * Thread: any; the rules don't change. A new reference is the caller's. */
#ifndef RULES_DEFINITION_H
#define RULES_DEFINITION_H

#include <jansson.h>

#include "rule.h"

json_t *rule_definition(const struct rule *r) sl_warn_unused; /* without actions */
json_t *rule_action_definition(const struct rule_action *a) sl_warn_unused;

#endif
