/* try_event.h: an event made of what somebody says about it, for `sluice sql` and tests: its name, and columns as JSON.
 *
 *     try_event_make(&e, "$events/client/connected", "{\"clientid\":\"c1\",\"conn_props\":{...}}", &err)
 *
 * A source's message is named by its source, "$sources/kafka:orders"; its payload may also be the message's own.
 *
 * A column that is not said is NULL; timestamp, node and event are known by themselves. Columns of other events, and what is
 * no column, are refused.
 *
 * Lifetime: what is made lives until try_event_fini(), which is fine after a failure and on a zeroed one. Thread: one at a
 * time. */
#ifndef TRY_EVENT_H
#define TRY_EVENT_H

#include "rules.h"
#include "sql_value.h"

struct try_event {
	uint8_t kind; /* enum rules_event_kind; 0: none was made */
	struct rules_about about;
	struct sql_map given;
	struct sl_slice topic; /* in the index of rules */
	struct sl_arena arena;
	bool made; /* the arena is there */
};

/* columns empty: none. SL_OK, or what is wrong with name or columns. */
int try_event_make(struct try_event *e, struct sl_slice name, struct sl_slice columns, struct sl_err *err);
void try_event_fini(struct try_event *e);

/* Turns a message into the event. */
void try_event_apply(const struct try_event *e, struct rules_event *ev);

#endif
