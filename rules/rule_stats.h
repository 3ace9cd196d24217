/* rule_stats.h: the counters of a rule and of its actions, and the last failures of each rule.
 *
 * Counters outlive the set of rules they were made for: a reload hands them on to the rule of the same id, and to the
 * action that goes on with what was there (likeness.h). Each worker has a cell of its own and adds to it with plain
 * increments; sums are exact while the workers stand still (sl_loops_park) and its plans have been counted in (rule_plans_count_in(): matched and filtered are kept by the plan until
 * then, and `filtered` alone may be below zero meanwhile). At every such point, for every rule,
 *
 *     matched = filtered + produced + failed        runs of the rule
 *
 * and for every action of it, as long as it has been there,
 *
 *     rows that runs produced = taken + failed
 *
 * A failed run leaves no row. A row that one action can't take (a topic with a wildcard in it) fails there and
 * goes to the other actions all the same.
 *
 * Lifetime: counted references; taken and dropped by whoever builds or frees a set, on any thread.
 * Thread: a cell its worker's. */
#ifndef RULE_STATS_H
#define RULE_STATS_H

#include <stdatomic.h>

#include "buf.h"
#include "slice.h"

enum { RULE_FAILURES_KEPT = 8, RULE_FAILURE_TEXT_MAX = 300 };

/* One failure of a rule: when, on which topic, whose doing (empty: not known), why. */
struct rule_failure {
	int64_t at_ms;
	uint64_t number;                       /* counts the worker's failures of this rule, from 1 */
	struct sl_buf topic, clientid, reason; /* at most RULE_FAILURE_TEXT_MAX bytes; the memory is used again */
};

struct rule_cell {
	uint64_t matched, filtered, produced, failed; /* runs */
	uint64_t rows;                                /* of the runs that produced */
	uint64_t action_failed;                       /* rows that one of the actions could not take */
	uint64_t failures_len;                        /* ever put into the ring */
	struct rule_failure *failures;                /* ring; NULL until the first */
} __attribute__((aligned(64)));

/* Cells of many rules or actions stand side by side, for a status page reads them all while the workers wait. A room hands
 * them out while a set is built; a block of them is freed with the last of its counters. */
struct cells_block;
struct cells_room {
	struct cells_block *block; /* NULL at first */
};
void cells_room_fini(struct cells_room *room);

struct rule_stats {
	_Atomic uint32_t refs;
	size_t workers;
	struct cells_block *block; /* a reference */
	struct rule_cell *cells;   /* one a worker */
	_Atomic int64_t warned_ms; /* when the log last told of a failure (rule_failure.h) */
};

struct action_cell {
	uint64_t taken;   /* staged, published or printed */
	uint64_t failed;  /* a value that the action can't use, or the broker refused the message */
	uint64_t looping; /* of the failed: refused because too many rules had republished it on its way */
	uint64_t unused[5];
} __attribute__((aligned(64)));

struct action_stats {
	_Atomic uint32_t refs;
	size_t workers;
	struct cells_block *block;
	struct action_cell *cells;
};

struct rule_stats *rule_stats_new(struct cells_room *room, size_t workers) sl_warn_unused;
struct rule_stats *rule_stats_ref(struct rule_stats *s);
void rule_stats_unref(struct rule_stats *s); /* NULL is fine */
/* The counters of all workers' cells; without the ring. While the workers stand still. */
struct rule_cell rule_cells_sum(const struct rule_cell *cells, size_t workers);

struct action_stats *action_stats_new(struct cells_room *room, size_t workers) sl_warn_unused;
struct action_stats *action_stats_ref(struct action_stats *s);
void action_stats_unref(struct action_stats *s); /* NULL is fine */
struct action_cell action_cells_sum(const struct action_cell *cells, size_t workers);

/* Remembers a failure in the cell's ring. Counts nothing else. */
void rule_failure_add(struct rule_cell *cell, int64_t at_ms, struct sl_slice topic, struct sl_slice clientid,
		      struct sl_slice reason);

/* The failures that all workers remember, newest first, at most `room`. Returns how many. Borrowed; while parked. */
size_t rule_failures_newest(const struct rule_stats *s, const struct rule_failure **out, size_t room);

#endif
