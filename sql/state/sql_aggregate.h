/* sql_aggregate.h: one aggregate of one group: count, sum, avg, min, max, last. Only for sql_window.c.
 *
 * Integers are added exactly; from the first float on, or the first sum beyond 64 bits, the sum is a float. NULL and JSON's
 * null are passed over. min() and max() take numbers and texts; of both, texts are the larger ones.
 * Lifetime: the group's. Thread: as its group. */
#ifndef SQL_AGGREGATE_H
#define SQL_AGGREGATE_H

#include "sql_vm.h"
#include "sql_window.h"

struct sql_aggregate {
	uint64_t count;
	int64_t whole;
	double rest;
	bool is_float;
	uint32_t room;         /* of text */
	struct sql_value kept; /* min, max, last */
	char *text;            /* what kept points to, when it has bytes */
};

/* The value as the aggregate takes it, or NULL to pass it over; `arena` holds what had to be made. SL_OK, or a status after
 * sql_vm_fail(). */
int sql_aggregate_check(struct sql_vm *vm, enum sql_aggregate_kind kind, struct sql_value *v);
/* Bytes of text that the value would need room for, or 0. */
uint32_t sql_aggregate_room(enum sql_aggregate_kind kind, const struct sql_aggregate *a, const struct sql_value *v);
/* The room is there. */
void sql_aggregate_add(struct sql_vm *vm, enum sql_aggregate_kind kind, struct sql_aggregate *a,
		       const struct sql_value *v);
/* total += part, which came later. `total` borrows its text. */
void sql_aggregate_merge(enum sql_aggregate_kind kind, struct sql_aggregate *total, const struct sql_aggregate *part);
struct sql_value sql_aggregate_result(enum sql_aggregate_kind kind, const struct sql_aggregate *a);

#endif
