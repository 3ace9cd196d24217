/* test_run.h: one case of a test file, run: does the rule do what the case expects, and if not, what instead?
 * Thread: the program's main one. Never blocks. */
#ifndef TEST_RUN_H
#define TEST_RUN_H

#include "test_file.h"

/* True when everything is as expected. Else `why` gets lines: each difference, then what really came. */
bool rule_test_run(const struct rule_tests *tests, const struct rule_test_case *c, struct sl_buf *why);

/* The message as a rule sees it, arriving at now_ms. Borrows from m and from *properties, which is made anew. */
void rule_test_event(const struct rule_test_message *m, int64_t now_ms, struct sl_buf *properties,
		     struct rules_event *ev);

#endif
