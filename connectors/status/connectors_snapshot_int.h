/* connectors_snapshot_int.h: a copy of the numbers, as the pages of connectors_status.c read it. See connectors.h. */
#ifndef CONNECTORS_SNAPSHOT_INT_H
#define CONNECTORS_SNAPSHOT_INT_H

#include "source_int.h"
#include "spill.h"

/* What counts in a pipeline, as it stands there: sums are made later. */
struct pipeline_numbers {
	uint64_t received, staged, posted; /* of the workers' ends */
	uint64_t past_received, past_posted;
	uint64_t taken, mem_rows, mem_bytes, flight_rows, held_rows, held_bytes, held_cost, copy_bytes, incoming_rows;
	struct spill_stat log;
	struct pipeline_counters count;
};
struct sl_action_counts pipeline_numbers_sum(const struct pipeline_numbers *n);

/* PROBLEM(id, name, meaning): what is wrong with an action's own files and buffers. */
#define ACTION_PROBLEMS(PROBLEM)                                                                                       \
	PROBLEM(BUFFER, "buffer", "the buffer is full, publishers wait")                                               \
	PROBLEM(LOG, "log", "the log cannot be written: a full disk, no right, an error")                              \
	PROBLEM(SYNC, "sync", "the log cannot be synced, publishers wait")                                             \
	PROBLEM(DEAD_LETTER, "dead_letter", "rows were given up, and their dead letters cannot be written")
enum action_problem_id {
#define PROBLEM(id, name, meaning) PROBLEM_##id,
	ACTION_PROBLEMS(PROBLEM)
#undef PROBLEM
	    PROBLEMS
};
struct action_problem {
	const char *why, *advice; /* static; NULL: all is well */
	const char *path;         /* the action's; NULL: of its log */
};

/* What never changes while a pipeline or a connection lives (names, kind, settings) is read through the pointer. */
struct action_copy {
	const struct sl_pipeline *p;
	const struct sl_conn_action *action;
	const struct sl_stage *stages;
	const struct old_stages *old;
	bool retiring, holding, stalled;
	struct action_problem problem[PROBLEMS];
	char *not_ready_why;  /* NULL: it is ready */
	char *waits_why;      /* NULL: no row waits for something of its own */
	struct health health; /* a copy */
	uint64_t oldest_ms;
	struct queue_fill fill;
	uint8_t busiest_percent;
	char *busiest_client; /* heap */
	struct pipeline_numbers n;
};
struct conn_copy {
	const struct sl_conn *c;
	char *text;
	int64_t since_ms;
	enum conn_state state;
	bool retired;
	struct health health; /* a copy */
	uint32_t out, stalled;
	uint64_t past_latency[LATENCY_BUCKETS + 1], past_latency_sum_ms;
};

/* Who holds what of node.buffer_memory, in bytes: README.md, "Memory". */
struct memory_copy {
	uint64_t limit, rows, held, clients, on_way, idle;
};
#define MEMORY_OWNERS(OWNER)                                                                                           \
	OWNER(rows, "Rows in memory, with their origins.")                                                             \
	OWNER(held, "Rows that no log has room for; their publishers wait.")                                           \
	OWNER(clients, "Of rows that are out: what clients of the far sides may hold beside them.")                    \
	OWNER(on_way, "Rows on their way from the workers.")                                                           \
	OWNER(idle, "Blocks that wait for other rows.")

/* problems.c */
extern const char *const action_problem_names[PROBLEMS];
void pipeline_problems(const struct sl_pipeline *p, struct action_problem *out); /* parked */
json_t *action_problem_status(const struct action_copy *a, enum action_problem_id id);
bool connectors_action_trouble(const struct connectors_snapshot *s, json_t *out); /* member "actions" of /health */

extern const char *const batch_cut_names[CUT_CAUSES];

struct connectors_snapshot {
	struct sl_post unpin;
	struct connectors *from;
	struct action_copy *actions;
	struct conn_copy *conns;
	struct sources_copy sources;
	struct memory_copy memory;
	size_t action_count, action_cap, conn_count, conn_cap;
	uint64_t changes; /* connectors.changes when it was listed */
	bool listed;
};

#endif
