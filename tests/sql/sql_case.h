/* sql_case.h: a small source of events for the tests of the language: a message with its usual columns, no broker.
 * Lifetime and thread: the test's. */
#ifndef SQL_CASE_H
#define SQL_CASE_H

#include "sql.h"

struct sql_case {
	struct sl_slice topic, payload, clientid, username;
	int64_t qos, timestamp;
	const struct sql_state *state; /* NULL: a new one for this run */
};

extern const struct sql_source sql_case_source;
/* For sql_compile_opts: every FROM but "$events/nonsense" speaks of messages. */
const struct sql_source *sql_case_find(void *arg, struct sl_slice from, struct sl_err *err);
int sql_case_compile(struct sl_slice text, struct sql_program **out, struct sl_err *err);
int sql_case_compile_as(enum sql_dialect dialect, struct sl_slice text, struct sql_program **out, struct sl_err *err);

struct sql_memory;
void sql_case_state_init(struct sql_state *s, struct sql_memory *memory);
void sql_case_state_fini(struct sql_state *s);

/* Extracts the program's paths and runs it. */
enum sql_outcome sql_case_run(struct sql_vm *vm, const struct sql_program *p, const struct sql_case *c,
			      sql_row_fn on_row, void *arg);
/* The rows as JSON, one a line, appended to `rows`. */
enum sql_outcome sql_case_rows(struct sql_vm *vm, const struct sql_program *p, const struct sql_case *c,
			       struct sl_buf *rows);

#endif
