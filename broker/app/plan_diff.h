/* plan_diff.h: what a configuration would change in a running broker: two trees compared, lines for people.
 *
 *     + rule hot_rooms                          created
 *     ~ rule cold_rooms: sql, action 0 (archive)     changed, and what of it
 *     - rule old: 12 queued rows go out first   removed
 *     ~ connector archive: path "a.db" -> "b.db"
 *
 * `running` is a status page; `wanted` has members "rules", "connectors" and "sources" as rules_definitions(),
 * connectors_definitions() and connectors_sources_definitions() make them. Thread: any. Pure. */
#ifndef PLAN_DIFF_H
#define PLAN_DIFF_H

#include <jansson.h>

#include "buf.h"

struct plan_counts {
	size_t create, change, remove;
};

/* Appends a line for each difference. tag: only rules that have it, and no connectors; NULL: all. */
struct plan_counts plan_diff(const json_t *running, const json_t *wanted, const char *tag, struct sl_buf *out);

static inline size_t plan_changes(const struct plan_counts *c) { return c->create + c->change + c->remove; }

#endif
