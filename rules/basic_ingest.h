/* basic_ingest.h: a publish to `$aws/rules/<rule>/<rest>` goes to that rule and to nobody else.
 *
 * The rule reads <rest> as its topic, and its FROM is asked about that; a rule without FROM takes all. Rules of both
 * dialects can be reached so. Neither subscribers nor the retained store nor other rules see the message.
 *
 * Thread: any; there is no state. */
#ifndef BASIC_INGEST_H
#define BASIC_INGEST_H

#include "rule.h"

/* True for such a topic; rule and rest point into it. rest may be empty. */
bool basic_ingest_split(struct sl_slice topic, struct sl_slice *rule, struct sl_slice *rest);

/* Does the rule's FROM cover the topic? *filter is the number of the first filter that does, 0 without FROM. */
bool basic_ingest_covers(const struct rule *r, struct sl_slice topic, uint32_t *filter);

#endif
