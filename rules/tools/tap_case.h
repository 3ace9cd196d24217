/* tap_case.h: live messages as cases of a test file (test_file.h), with what the rules make of them now as the expectation.
 *
 *     tap_begin(&tap, file, config, book, set)     set: of one rule; NULL: which of all rules match
 *     tap_message(&tap, &m)                         once a message
 *     tap_fini(&tap)
 *
 * Each message is run as `sluice test` will run it; twice, and what is not the same in both (made-up identifiers, random
 * numbers) is not expected. A rule that remembers gets one case with all messages, another a case for each.
 * The file is complete after each message. Thread: one at a time. Blocks on the file. */
#ifndef TAP_CASE_H
#define TAP_CASE_H

#include <stdio.h>

#include "rule_try.h"
#include "test_file.h"

struct tap {
	FILE *out;
	const struct rule_book *book;
	struct ruleset *set;
	struct rule_try *tries[2]; /* of a rule that remembers */
	size_t count;
};

void tap_begin(struct tap *tap, FILE *out, const char *config, const struct rule_book *book, struct ruleset *set);
/* Wanted of m: topic, clientid, bytes, qos, timestamp, properties. */
void tap_message(struct tap *tap, const struct rule_test_message *m);
void tap_fini(struct tap *tap);

#endif
