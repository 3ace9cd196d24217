/* source_from.h: FROM over what connectors bring (connectors/sources/sources.h).
 *
 *     $sources/kafka:orders             one source; kafka_consumer:orders is the same, as EMQX calls it
 *     $sources/kafka:+                  all of a type            $sources/+:orders    of that name, whatever the type
 *     $sources/#, $sources/+            all
 *
 * Within the index of rules they stand as filters over topics that no client can publish to, for these are no UTF-8.
 * Thread: any; there is no state. */
#ifndef SOURCE_FROM_H
#define SOURCE_FROM_H

#include "arena.h"
#include "connectors.h"
#include "err.h"
#include "sources.h"

/* Does the FROM name sources? */
bool source_from(struct sl_slice from);
/* SL_OK, or what is wrong with it. Whether there is such a source is another matter. */
int source_from_check(struct sl_slice from, struct sl_err *err);
/* Of one that is fine: the filter that it is in the index; of one without wildcards that is the topic, too. */
struct sl_slice source_from_filter(struct sl_slice from, struct sl_arena *arena);
/* The topic of a source's messages in the index. */
struct sl_slice source_topic(const char *type, const char *name, struct sl_arena *arena);
bool source_from_is_pattern(struct sl_slice from);
/* Of one that is fine: SL_OK when the set has such a source, or SL_ENOTFOUND and what there is. */
int source_from_exists(struct sl_slice from, const struct connectors_set *set, struct sl_err *err);

#endif
