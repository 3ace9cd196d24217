/* rule_conf_int.h: what rule_conf.c and rule_conf_action.c share. */
#ifndef RULE_CONF_INT_H
#define RULE_CONF_INT_H

#include "rule_conf.h"

/* One rule being loaded. */
struct rule_load {
	struct rule *rule;           /* NULL when its SQL is wrong: actions are then checked as far as that goes */
	struct sql_program *program; /* what templates are compiled against: the rule's, mostly; NULL: they are not */
	const char *id;
	struct connectors_set *connectors;
	struct conf_report *report;
	const struct yaml_doc *doc;
	int status; /* of the first mistake */
};

void rule_load_failed(struct rule_load *load, int status);

/* Of a tree as it is written, whatever the order of its members; the same in every process. */
uint64_t rule_conf_hash(const json_t *tree);

/* Checks one item of `actions:` and fills *a, which is zeroed. `path` names the item. Failures are in the report. */
void rule_conf_action(struct rule_load *load, const json_t *tree, const char *path, struct rule_action *a);

#endif
