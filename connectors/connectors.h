/* connectors.h: the face of the connector layer towards rules/ and the program: connections, actions, staging.
 *
 * Data path:
 *     worker:  sl_stage_row() appends the row to this worker's chunk for the action (memory of the chunk, no lock)
 *     worker:  sl_stages_flush() at the end of the tick: one letter per action to its pipeline's loop
 *     loop:    pipeline takes the chunk: charges budgets, appends it to the log when it must survive, confirms it back to the
 *              worker (its tickets), sorts rows into lanes, cuts batches, submits, takes results, retries, splits, ends
 *
 * Counting: for every action, at every quiet point:
 *     received = delivered + rejected + dropped{overflow, expired, shutdown} + queued
 * (queued counts all that is not decided: staged and on its way, in memory, on disk, in flight, waiting for retry).
 *
 * Threads: connectors_* on the main thread; sl_stage_* on the worker that owns the stage. */
#ifndef CONNECTORS_H
#define CONNECTORS_H

#include <jansson.h>

#include "connector.h"
#include "loop.h"
#include "ticket.h"
#include "yaml.h"

struct connectors;  /* all connections of a process, and the loop they live on */
struct sl_pipeline; /* one action's path */
struct sl_stage;    /* one worker's end of a pipeline */

/* ---- Load: prepare aside, then commit. -------------------------------------------------------------------------- */

struct connectors_opts {
	const char *data_dir;
	struct sl_loop *const *workers; /* confirmations go back to these */
	size_t worker_count;
};
/* Makes the service with its own loop; starts nothing. In a mere check (`sluice check`) workers may be none. */
int connectors_new(const struct connectors_opts *opts, struct connectors **out, struct sl_err *err);

#endif
