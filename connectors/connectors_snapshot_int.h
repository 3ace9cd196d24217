/* connectors_snapshot_int.h: a copy of the numbers, as the pages of connectors_status.c read it. See connectors.h. */
#ifndef CONNECTORS_SNAPSHOT_INT_H
#define CONNECTORS_SNAPSHOT_INT_H

#include "connectors_int.h"

/* What never changes while a pipeline or a connection lives (names, kind, settings) is read through the pointer. */
struct action_copy {
	const struct sl_pipeline *p;
	const struct sl_stage *stages;
	const struct spill *log;
	struct sl_action_counts n;
	uint64_t in_flight, oldest_ms, cut[CUT_CAUSES];
	bool retiring, holding, not_ready;
	uint64_t latency[LATENCY_BUCKETS + 1],
	    latency_sum_ms; /* zero, and not looked at, until something is delivered */
};
struct conn_copy {
	const struct sl_conn *c;
	char *text;
	int64_t since_ms;
	enum conn_state state;
	bool retired;
};

struct connectors_snapshot {
	struct sl_post unpin;
	struct connectors *from;
	struct action_copy *actions;
	struct conn_copy *conns;
	size_t action_count, conn_count;
};

#endif
