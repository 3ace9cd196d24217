/* event_source.h: what rules read FROM: for each kind of event a table of columns, one getter for all.
 *
 * Columns have one meaning, one kind of value and one id wherever they occur, so a FROM may mix kinds: it has all columns
 * that any of them has, and those that an event lacks are SQL_NULL. `$events/#` is such a mix.
 *
 * The getter reads a struct event_view: the event as the broker gave it, and what the engine knows around it. Values
 * borrow from the event, or are made in the run's arena (maps, host without port). A message's id comes from its number,
 * so that its publish, its deliveries and their acknowledgements have the same; without a number it is made up when a
 * rule reads it, once per view.
 *
 * Lifetime: a view lives as long as the rules_eval() or rules_event() it is made for; made sources until
 * event_sources_free(), which comes after the program is freed.
 * Thread: tables are constant; a view belongs to one worker. Nothing blocks, nothing fails: what is absent is SQL_NULL. */
#ifndef EVENT_SOURCE_H
#define EVENT_SOURCE_H

#include "rules.h"
#include "sql.h"

enum { EVENT_ID_BYTES = 32 };

struct event_view {
	const struct rules_event *ev;
	struct sl_slice node, account;
	int64_t now_ms;          /* wall clock of the tick: the `timestamp` column */
	char id[EVENT_ID_BYTES]; /* upper-case hex */
	bool id_made;
};

extern const struct sql_source event_message;

/* What a rule's FROM named: the sources of events are made for it. */
struct event_sources;
struct event_sources *event_sources_new(enum sql_dialect dialect) sl_warn_unused;
void event_sources_free(struct event_sources *s); /* NULL is fine */

/* A sql_source_fn; arg is the struct event_sources, or NULL where events are out of place. Finds the source of a FROM name,
 * or says why there is none. Also refuses what is no topic filter. The empty name is a filter that no topic matches. */
const struct sql_source *event_source_find(void *arg, struct sl_slice from, struct sl_err *err);

/* Has the kind a payload? A path into the payload of one that has none is absent. */
bool event_has_payload(enum rules_event_kind kind);
/* May several of these events have the same `id`? A message has as many deliveries as receivers. kinds: bits of EVENT(). */
bool event_shares_id(uint32_t kinds);
/* A column of the table below; i counts from 0. False behind the last. *kinds: bits of EVENT(). */
bool event_column(size_t i, const struct sql_column **column, uint32_t *kinds);

#endif
