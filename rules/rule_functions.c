/* rule_functions.c: see rule_functions.h. */
#include "rule_functions.h"

void rule_functions_register(void) { sql_fn_register(&rule_fn_jq); }
