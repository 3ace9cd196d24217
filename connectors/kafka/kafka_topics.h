/* kafka_topics.h: topic handles of one librdkafka client, by name, bounded.
 *
 * Topic names may be made of what devices send, so there may be any number of them. At most `max` are kept; where another one
 * is wanted, the one that was used longest ago and has no rows out gives way. When all have, there is none to be had for now.
 *
 * What was learned of a topic (what is refused there) outlives the client, as long as the topic is kept.
 *
 * Lifetime: handles of one client; kafka_topics_reset() before that client ends. Thread: the connection's loop. */
#ifndef KAFKA_TOPICS_H
#define KAFKA_TOPICS_H

#include <librdkafka/rdkafka.h>

#include "kafka_gate.h"
#include "list.h"
#include "slice.h"

/* What brokers have said of a topic that is missing, or not ours to write to; see kafka_missing.c. */
struct kafka_missing {
	uint32_t answers; /* 0: nothing of that kind since it was there last; not counted on when they are enough */
	uint32_t ups;     /* kafka_producer.ups at the last one */
	bool denied;      /* it said that it is there, and not ours */
	uint64_t said_ms; /* when the last one came */
	uint64_t ms;      /* between answers, while the connection was up */
};
struct kafka_topic {
	struct sl_list used;         /* kafka_topics.used: last used last */
	rd_kafka_topic_t *rkt;       /* NULL: of no client for now */
	rd_kafka_topic_t *scout_rkt; /* the scout's; NULL: not needed yet */
	uint32_t out;                /* rows that are with librdkafka, or in line */
	struct kafka_part unknown, *part;
	int32_t part_n;
	bool known;     /* librdkafka has said how many partitions there are */
	int32_t sticky; /* where rows without a key go now */
	uint64_t sticky_ms;
	struct kafka_missing missing;
	const char *waits_why; /* its rows wait, and this was said of it; static */
	/* What the broker refused here: rows like it go alone, so that no other suffers. */
	size_t refused_bytes; /* 0: nothing */
	bool refused_keyless;
	bool denied;          /* all of them: it is not ours to write */
	size_t certain_bytes; /* refused alone, as it stood: nothing as large is taken */
	uint64_t certain_ms;
	const char *codec; /* of the handle; NULL: the connection's */
	uint64_t hash;
	struct sl_slice name; /* owned */
};
struct kafka_topic_slot {
	uint64_t hash;
	bool used;
	struct kafka_topic *topic;
};
#define HMAP_NAME kafka_topic_map
#define HMAP_SLOT struct kafka_topic_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->topic->name, key)
#include "hmap.h"

struct kafka_topics {
	struct kafka_topic_map map;
	struct sl_list used;
	size_t max;
};

void kafka_topics_init(struct kafka_topics *t, size_t max);
/* name: a valid one. compression: a codec's name, or NULL for the connection's; counts when the handle is made. NULL: all are in
 * use. */
struct kafka_topic *kafka_topics_get(struct kafka_topics *t, rd_kafka_t *rk, struct sl_slice name,
				     const char *compression);
/* The scout's handle of it; NULL: none is to be had. */
rd_kafka_topic_t *kafka_topic_scouted(struct kafka_topic *topic, rd_kafka_t *scout);
/* A broker answered with this code, for a row or for the topic; codes that do not say that it is missing are no matter. ups: a number
 * that changes whenever the connection comes up. */
void kafka_missing_said(struct kafka_topic *topic, rd_kafka_resp_err_t code, uint32_t ups, uint64_t now_ms);
void kafka_missing_over(struct kafka_topic *topic); /* it is there, and ours */
/* Has it been missing for so long? Only if it was said since the connection is up, too. */
bool kafka_missing_for(const struct kafka_topic *topic, uint32_t ups, uint64_t ms);
bool kafka_is_missing(rd_kafka_resp_err_t code);
void kafka_topics_reset(struct kafka_topics *t); /* lets go of all handles, rows out or not; may be used again */
void kafka_topics_clear(struct kafka_topics *t);

#endif
