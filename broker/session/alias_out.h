/* alias_out.h: topic aliases that the broker gives to one client (MQTT 5, 3.3.2.3.4): which topic has which number on this
 * connection.
 *
 * A topic gets an alias with its first message as long as numbers are free: it costs three bytes, and each later
 * message is shorter by the topic. When they have run out, a topic has to come twice in a row of misses to take the place of the one
 * unused longest: topics that come once do not push out those that stay.
 * Numbers stand in groups of eight; a topic's hash names its group. So finding one costs a look at one line of memory, however
 * many there are.
 *
 * Lifetime: of the connection; owns a copy of each topic. Thread: one at a time. Allocates only when an alias is given. */
#ifndef ALIAS_OUT_H
#define ALIAS_OUT_H

#include "common.h"
#include "slice.h"

struct alias_out;

struct alias_out *alias_out_new(uint16_t max) sl_warn_unused; /* max > 0: the highest number there may be */
void alias_out_free(struct alias_out *a);                     /* NULL is fine */

/* The number to send with this topic; 0: none. *known: the client knows it already, the topic is left out. Otherwise the
 * caller must send topic and number. hash: topic_hash() of the topic. */
uint16_t alias_out_get(struct alias_out *a, uint64_t hash, struct sl_slice topic, bool *known);

#endif
