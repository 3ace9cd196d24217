/* event_kind.h: which kinds of event a FROM speaks of. The kinds themselves stand in event_tbl.h.
 *
 *     $events/client/connected    one kind          $events/client_connected    the same, by its old name
 *     $events/client/+            those it covers   $events/#                   all
 *     $aws/events/presence/#      messages about clients that come and go (event_aws.h)
 *     $sources/kafka:orders       what a source brings (source_from.h)
 *
 * Thread: any; there is no state. */
#ifndef EVENT_KIND_H
#define EVENT_KIND_H

#include "err.h"
#include "rules_event.h"

/* "client.connected" */
struct sl_slice event_kind_name(enum rules_event_kind kind);
/* "$events/client/connected"; of an AWS kind the beginning of its topics; of messages "". */
struct sl_slice event_kind_topic(enum rules_event_kind kind);

/* Does the FROM name events, by whatever spelling? Topics that start like this are no client's to publish to. */
bool event_from(struct sl_slice from);
/* The kinds that such a FROM covers: bits of EVENT(). 0: there is none; see event_kinds_unknown(). */
uint32_t event_kinds(struct sl_slice from);
/* Says what is wrong with it. */
void event_kinds_unknown(struct sl_slice from, struct sl_err *err);
/* The FROM as a filter over topics of kinds: old names become new ones. Others come back as they are. */
struct sl_slice event_filter(struct sl_slice from);

/* The AWS kinds some of whose topics a topic filter covers. */
uint32_t event_aws_kinds(struct sl_slice filter);

#endif
