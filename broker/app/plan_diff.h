/* plan_diff.h: what a configuration would change in a running broker: two trees compared, lines for people.
 *
 *     + rule hot_rooms                          created
 *     ~ rule cold_rooms: sql, action 0 (archive)     changed, and what of it
 *     ~ rule two: action 1 (archive) is action 0 now     it keeps its queue and counters wherever it stands: what is the same action is
 *                                                 found as a reload finds it (likeness.h)
 *     - rule old: 12 queued rows go out first   removed
 *     ~ connector archive: path "a.db" -> "b.db"
 *     ~ auth: anonymous true -> false
 *     ~ mqtt: max_inflight 10 -> 20; needs a restart
 *
 * `running` is a status page; `wanted` has members "rules", "connectors" and "sources" as rules_definitions(),
 * connectors_definitions() and connectors_sources_definitions() make them, and "settings" of broker_conf_show(). Thread: any. Pure. */
#ifndef PLAN_DIFF_H
#define PLAN_DIFF_H

#include <jansson.h>

#include "buf.h"

struct plan_counts {
	size_t create, change, remove;
};

/* Appends a line for each difference. tag: only rules that have it, nothing else; NULL: all. */
struct plan_counts plan_diff(const json_t *running, const json_t *wanted, const char *tag, struct sl_buf *out);

/* Whether a rule of a tree, of either kind, has it. */
bool plan_has_tag(const json_t *tree, const char *tag);

static inline size_t plan_changes(const struct plan_counts *c) { return c->create + c->change + c->remove; }

#endif
