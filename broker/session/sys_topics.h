/* sys_topics.h: what the broker says about itself under $SYS/broker/, by the names that mosquitto's users know.
 *
 * Every mqtt.sys_interval the values that somebody is subscribed to (or a rule reads) and that have changed are published, QoS 0,
 * without the retain flag. Who subscribes gets the values of that moment at once, with the retain flag, as if they were retained
 * (retain handling counts); they are not in the retained store. While nobody listens nothing is computed: the walk of
 * the trie that tells so is all. Moving averages go on with what has been counted since the last look, however long ago:
 * as if it had come evenly. They are per minute.
 *
 *     worker 0: timer, or somebody's ask -> a letter to each worker -> copies of their counters -> sum, texts, publish
 *
 * Clients cannot publish here (client_topic_reserved), and leading wildcards do not match.
 * What a value means is in the table of sys_topics.c, and in README.md.
 *
 * Thread: worker 0; sys_topics_ask() any worker. */
#ifndef SYS_TOPICS_H
#define SYS_TOPICS_H

#include "session.h"

struct sys_topics;

struct sys_topics *sys_topics_new(struct worker *w) sl_warn_unused; /* on worker 0 */
void sys_topics_free(struct sys_topics *t);                         /* NULL is fine */

static inline bool sys_topics_filter(struct sl_slice filter) {
	return filter.n > 5 && sl_unlikely(filter.p[0] == '$') && slice_starts_with(filter, SL_SLICE_LIT("$SYS/"));
}

/* The session gets all values that match its subscription's filter, soon. On the session's worker. */
void sys_topics_ask(struct session *s, struct sl_slice filter, uint32_t sub_id);

#endif
