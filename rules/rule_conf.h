/* rule_conf.h: rules from the configuration: the option tables, and the tree below `rules:` compiled into a set.
 *
 * All that is wrong is found in one go and put into the report with its place: options, SQL (the place inside the YAML
 * scalar), templates of actions, connectors that do not exist.
 *
 * Thread: the caller's. Never blocks. */
#ifndef RULE_CONF_H
#define RULE_CONF_H

#include "conf_report.h"
#include "connectors.h"
#include "field.h"
#include "ruleset.h"

/* Tables, for the reference and the sample; each ends with CONF_END. */
extern const struct conf_field rule_fields[];
extern const struct conf_field republish_fields[];

/* Adds the rules of `tree` (an object, id -> rule; NULL: none) to `set`. SL_OK, or the status of the first mistake; the set
 * is then of no use but to be freed. `connectors` NULL: every action with `connector` is a mistake. */
int rule_conf_load(const json_t *tree, struct conf_at at, struct connectors_set *connectors, struct conf_report *report,
		   struct ruleset *set);

#endif
