/* junit.h: results of tests as JUnit XML, as build servers read it: one suite a file, one case a test.
 *
 * Texts may hold anything: what XML cannot say (control characters, broken UTF-8) becomes U+FFFD.
 * Lifetime: the writer borrows nothing after a call. Thread: any. Only junit_write() blocks. */
#ifndef JUNIT_H
#define JUNIT_H

#include "buf.h"
#include "err.h"
#include "slice.h"

struct junit {
	struct sl_buf suites, cases; /* done; of the suite that is open */
	size_t tests, failures, errors, all_tests, all_failures, all_errors;
	double seconds, all_seconds;
};
#define JUNIT_INIT                                                                                                     \
	{ 0 }

enum junit_kind { JUNIT_PASSED, JUNIT_FAILURE, JUNIT_ERROR };
struct junit_case {
	const char *name, *group, *file; /* group: what it is about, such as a rule */
	uint32_t line;
	double seconds;
	enum junit_kind kind;
	struct sl_slice text; /* of a failure or an error; its first line is the headline */
};

void junit_case_add(struct junit *j, const struct junit_case *c);
void junit_suite_end(struct junit *j, const char *name); /* the cases since the last */
int junit_write(struct junit *j, const char *path, struct sl_err *err);
void junit_fini(struct junit *j);

#endif
