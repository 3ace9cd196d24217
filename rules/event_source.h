/* event_source.h: the kinds of event that rules read FROM, as tables of columns with one getter each.
 *
 * In this build there is one kind, "message": what a client (or a rule) published. A FROM that names another kind
 * ($events/..., $sources/..., $bridges/...) is refused when the rule is made, with what to write instead.
 *
 * The getter reads a struct event_view: the publish as the broker gave it, and what the engine knows around it. Values
 * borrow from the event, or are made in the run's arena (maps, host without port). A message id is made up only
 * when a rule reads it, once per message.
 *
 * Lifetime: a view lives as long as the rules_eval() it is made for.
 * Thread: tables are constant; a view belongs to one worker. Nothing blocks, nothing fails: what is absent is SQL_NULL. */
#ifndef EVENT_SOURCE_H
#define EVENT_SOURCE_H

#include "rules.h"
#include "sql.h"

enum { EVENT_ID_BYTES = 32 };

struct event_view {
	const struct rules_event *ev;
	struct sl_slice node;
	int64_t now_ms;          /* wall clock of the tick: the `timestamp` column */
	char id[EVENT_ID_BYTES]; /* upper-case hex */
	bool id_made;
};

extern const struct sql_source event_message;

/* A sql_source_fn: finds the source of a FROM name, or says why there is none. Also refuses what is no topic filter.
 * The empty name is a filter that no topic matches. */
const struct sql_source *event_source_find(void *arg, struct sl_slice from, struct sl_err *err);

#endif
