/* rule_functions.h: functions of the rule language that need more than values: a process, a store.
 *
 * Lifetime: the tables are static. Thread: register before the first rule is compiled, on the thread that compiles.
 * Errors: none. */
#ifndef RULE_FUNCTIONS_H
#define RULE_FUNCTIONS_H

#include "sql_fn.h"

extern const struct sql_fn_family rule_fn_jq; /* fn_jq.c */

/* May be called again. */
void rule_functions_register(void);

#endif
