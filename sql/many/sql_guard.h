/* sql_guard.h: what an event must have for WHERE to be met: conditions that can be looked up for thousands of rules at
 * once instead of being evaluated for each.
 *
 *     WHERE payload.deviceId = 'x' AND payload.t BETWEEN 20 AND 30
 *     guards  { payload.deviceId: key of 'x' }   { payload.t: 20 .. 30 }
 *
 * A program has any number of guards; each is a set of tests of which at least one must hold (a = 1 OR b = 2 is one guard
 * with two tests). If a guard does not hold, running the program would end as SQL_FILTERED: not met, and not failed,
 * for nothing that is evaluated before the guarded condition can fail. The reverse is not said: a guard that holds may
 * belong to a condition that does not. So keys are hashes and numbers are rounded to doubles.
 *
 * What compares as equal has a key in common: sql_guard_keys() of the event's value gives the keys to look up. Ranges are
 * ranges of sql_guard_number().
 *
 * Who reads: a value that cannot be had (SL_E..., the payload is broken) guards nothing: run every program that asks.
 *
 * Lifetime: guards live in their program. Thread: constant once compiled; sql_guard_value() on the vm's. Never blocks,
 * allocates in the vm's arena only. */
#ifndef SQL_GUARD_H
#define SQL_GUARD_H

#include "sql.h"

enum sql_guard_place { SQL_GUARD_PATH, SQL_GUARD_COLUMN, SQL_GUARD_LEVEL };

struct sql_guard_operand {
	enum sql_guard_place place;
	uint32_t number; /* of the program's path; the column's id; the level of the topic, from 1 */
	uint16_t column; /* of LEVEL: the topic's id */
};

enum sql_guard_kind { SQL_GUARD_EQUAL, SQL_GUARD_RANGE };
struct sql_guard_test {
	enum sql_guard_kind kind;
	uint32_t n_keys;
	struct sql_guard_operand operand;
	const uint64_t *keys; /* EQUAL: one of these */
	double low, high;     /* RANGE: both belong to it; low > high: nothing does */
};
struct sql_guard {
	const struct sql_guard_test *tests;
	uint32_t n_tests;
	uint32_t at, end; /* the condition in the text; of several conditions on one operand the first */
};

const struct sql_guard *sql_program_guards(const struct sql_program *p, size_t *count);
enum sql_dialect sql_program_dialect(const struct sql_program *p);
const struct sql_source *sql_program_source(const struct sql_program *p);

/* Prepares the vm for sql_guard_value(): forgets the values of former runs. */
void sql_guard_begin(struct sql_vm *vm, const struct sql_input *in);
/* The event's value at an operand of p. hit: of a path, from a payload that is JSON. Else a negative status: not to be
 * had. */
int sql_guard_value(struct sql_vm *vm, const struct sql_program *p, const struct sql_guard_operand *operand,
		    const struct jpath_hit *hit, struct sql_value *out);

enum { SQL_GUARD_KEYS_MAX = 2 };
uint32_t sql_guard_keys(enum sql_dialect dialect, const struct sql_value *v, uint64_t keys[SQL_GUARD_KEYS_MAX]);
bool sql_guard_number(enum sql_dialect dialect, const struct sql_value *v, double *out);

/* "payload.deviceId = 'x'": the conditions as they are written, for EXPLAIN. */
void sql_guards_print(const struct sql_program *p, struct sl_buf *out);

#endif
