/* api.h: the status pages: GET /metrics (Prometheus), /health, /api/v1/status (JSON), and / which lists them.
 *
 * Runs on its own loop and thread. Numbers are read while all loops of `sources` stand at a quiet point, so each page adds
 * up; workers pause for the time of the copy.
 * Lifetime: what `sources` points to outlives the api. Thread: all on the main thread. */
#ifndef API_H
#define API_H

#include <jansson.h>

#include "err.h"
#include "listen_at.h"
#include "loop.h"
#include "metrics.h"
#include "rules.h"

struct api_sources {
	struct sl_loop *const *loops; /* the workers and the connectors' loop */
	size_t loop_count;
	struct rules *rules;
	struct connectors *connectors;
	/* Adds the broker's counters to *total; called while the loops stand still. */
	void (*metrics)(void *arg, struct sl_metrics *total);
	/* Adds what the program knows of itself to the status page: process, configuration, reloads. */
	void (*about)(void *arg, json_t *out);
	/* Appends series of Prometheus that stand nowhere else; NULL: none. */
	void (*series)(void *arg, struct sl_buf *out);
	void *arg; /* of all of these */
	const char *node, *version;
};

struct api;

int api_bind(const char *bind, struct api **out, struct sl_err *err); /* takes the address; nobody is let in yet */
int api_start(struct api *a, const struct api_sources *sources, struct sl_err *err); /* once */
int api_port(const struct api *a);
struct sl_listen_at api_at(const struct api *a);
void api_stop(struct api *a); /* started or not; NULL is fine */

#endif
