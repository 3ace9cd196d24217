/* event_context.h: what functions of the aws dialect tell of a message (clientid(), traceid(), get_mqtt_property(), ...):
 * columns that no rule can name. They belong to the source "message" (event_source.c).
 *
 * Lifetime: values borrow from the event or live in the arena of the run. Thread: the worker's. Nothing fails: what the broker
 * does not know is SQL_NULL. */
#ifndef EVENT_CONTEXT_H
#define EVENT_CONTEXT_H

#include "event_source.h"

/* n/a for what did not come by MQTT. */
struct sql_value event_context_clientid(const struct rules_event *ev);
/* The certificate's thumbprint, otherwise the user name. */
struct sql_value event_context_principal(const struct rules_event *ev);
/* A UUID: the event's own, or its message's id written as one. */
struct sql_value event_context_traceid(const struct rules_event *ev, const struct sql_value *id,
				       struct sl_arena *arena);
/* [{key: value}, ...] as they stand in the packet. */
struct sql_value event_context_user_properties(const struct rules_event *ev, struct sl_arena *arena);
/* format_indicator, content_type, response_topic, correlation_data (base64): those that are there. */
struct sql_value event_context_properties(const struct rules_event *ev, struct sl_arena *arena);

#endif
