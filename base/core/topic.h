/* topic.h: topic names and topic filters of MQTT: valid or not, levels, match, $share.
 *
 * Everything here is a pure function over borrowed text. The text is valid UTF-8 already (the decoder checked it);
 * these functions look at wildcards, levels and lengths only, unless their comment says otherwise.
 *
 * A worked list (MQTT 4.7.1):
 *     filter          topic          match
 *     sport/#         sport          yes: "#" includes the parent level
 *     sport/+         sport/         yes: an empty level is a level
 *     +               /finance       no:  "/finance" has two levels
 *     #               $SYS/uptime    no:  a leading wildcard never matches a topic that starts with "$"
 *     $SYS/#          $SYS/uptime    yes
 * Thread: any. Never blocks. */
#ifndef SL_TOPIC_H
#define SL_TOPIC_H

#include "hash.h"
#include "slice.h"

enum {
	TOPIC_BYTES_MAX = 65535, /* [MQTT-4.7.3-3] */
	/* Our own bound, so that walks of a trie are bounded: a topic with more levels is refused. */
	TOPIC_LEVELS_MAX = 128,
};

/* A name to publish to: not empty, no "+" or "#" [MQTT-3.3.2-2], no U+0000, within the bounds above. */
bool topic_name_valid(struct sl_slice topic);

/* True for the topics that nearly all are: valid (as above), short and all ASCII, hence valid UTF-8 too, in one pass.
 * False says nothing: ask topic_name_valid() and utf8_valid_mqtt(). */
bool topic_name_plain(struct sl_slice topic);

/* A filter to subscribe to: "+" alone in its level, "#" alone in the last [MQTT-4.7.1-1, MQTT-4.7.1-2]. A shared
 * one is judged as a whole: "$share/group/filter" with a group of at least one character without wildcards
 * [MQTT-4.8.2-1, MQTT-4.8.2-2]. */
bool topic_filter_valid(struct sl_slice filter);

/* True when the filter holds a wildcard level. */
bool topic_filter_has_wildcard(struct sl_slice filter);

size_t topic_levels(struct sl_slice topic); /* "a/b//" has 4; "" has 1 */

/* Does a valid filter (without $share) match a valid topic name? */
bool topic_matches(struct sl_slice filter, struct sl_slice topic);

/* "$share/g/a/+" gives group "g" and filter "a/+" and returns true. Any other text: false, *filter is the whole
 * text, *group is empty. Slices point into `text`. */
bool topic_share_split(struct sl_slice text, struct sl_slice *group, struct sl_slice *filter);

/* The hash that msg, topic_cache and route tables share, so that a topic is hashed once per publish. */
static inline uint64_t topic_hash(struct sl_slice topic) { return sl_hash(topic); }

#endif
