/* kafka_gate.c: see kafka_gate.h. */
#include "kafka_gate.h"

#include "kafka_conf.h"
#include "kafka_producer.h"
#include "mem.h"

#define IDLE_MS (10 * 60 * 1000) /* brokers forget producers that say nothing, a day after by default */
#define LIMIT_MS 60000           /* no row was to blame, so requests of that size are: for this long they are smaller */
#define STICKY_MS 10
#define SCOUT_ROWS 500    /* so many that were refused together are not halved any more */
#define REFUSALS_MS 10000 /* two within this are one trouble */
#define SCOUTED_MS 1000   /* at least, after a refusal */

/* ---- Partitions. --------------------------------------------------------------------------------------------------------- */

struct kafka_part *kafka_gate_part(struct kafka_topic *topic, int32_t partition) {
	return partition >= 0 && partition < topic->part_n ? &topic->part[partition] : &topic->unknown;
}

/* partition_count: what a cluster said, so it is no number to be afraid of. */
static void grow(struct kafka_topic *topic, int32_t partition_count) {
	if (partition_count <= topic->part_n) return;
	topic->part = sl_realloc_array(topic->part, (size_t)partition_count, sizeof *topic->part);
	for (int32_t i = topic->part_n; i < partition_count; i++) topic->part[i] = (struct kafka_part){.open = false};
	topic->part_n = partition_count;
}

bool kafka_gate_free(const struct kafka_part *part, bool alone, uint64_t now_ms) {
	if (part->out == 0) return true;
	if (!part->open || part->alone || part->scouted || alone) return false;
	if (part->limit == 0 || part->out < part->limit) return true;
	return part->suspects == 0 && now_ms > part->limit_until_ms;
}

void kafka_gate_sent(struct kafka_part *part, bool alone, uint64_t now_ms) {
	if (sl_unlikely(part->out == 0 && part->open && now_ms - part->stored_ms > IDLE_MS)) part->open = false;
	if (sl_unlikely(part->limit && part->suspects == 0 && now_ms > part->limit_until_ms)) part->limit = 0;
	part->out++;
	part->alone = alone;
}

void kafka_gate_reported(struct kafka_part *part) {
	part->out--;
	if (part->out == 0) part->alone = false;
}

static void suspect_cleared(struct kafka_part *part, uint64_t now_ms) {
	part->suspects--;
	if (part->out == 0) part->limit = part->suspects - part->suspects / 2;
	if (part->suspects > 0) return;
	part->limit = part->halved;
	part->limit_until_ms = now_ms + LIMIT_MS;
}

/* What the scout has stored says nothing of the other client. */
void kafka_gate_stored(struct kafka_topic *topic, struct kafka_part *part, int32_t partition, bool by_scout,
		       uint64_t now_ms) {
	if (sl_unlikely(part == &topic->unknown) && !by_scout) {
		if (partition < 0) return;
		topic->known = true;
		grow(topic, partition + 1);
		part = &topic->part[partition];
	}
	if (sl_likely(!by_scout)) {
		part->open = true;
		part->stored_ms = now_ms;
	}
	if (sl_unlikely(part->suspects > 0)) suspect_cleared(part, now_ms);
	if (part->scouted && part->suspects == 0 && now_ms - part->refused_ms >= SCOUTED_MS) part->scouted = false;
}

/* The one to blame is found, and nothing is wrong with the size of requests; where rows go one by one there may be others. */
static void culprit_found(struct kafka_part *part) {
	part->suspects = part->scouted && part->suspects > 0 ? part->suspects - 1 : 0;
	part->limit = part->halved = 0;
}

void kafka_gate_refused(struct kafka_part *part, uint32_t rows, bool by_scout, uint64_t now_ms) {
	if (now_ms - part->refused_ms > REFUSALS_MS) part->refusals = 0;
	part->refused_ms = now_ms;
	part->refusals += !by_scout;
	if (rows == 1)
		culprit_found(part);
	else {
		part->suspects = rows;
		part->limit = part->halved = rows / 2;
	}
	if (by_scout) return;
	part->scouted = part->scouted || (rows > 1 && rows <= SCOUT_ROWS) || part->refusals > 1;
}

static void part_reset(struct kafka_part *part) {
	part->first = part->last = NULL;
	part->out = 0;
	part->open = part->alone = false;
}

void kafka_gate_reset(struct kafka_topic *topic) {
	topic->known = false;
	part_reset(&topic->unknown);
	for (int32_t i = 0; i < topic->part_n; i++) part_reset(&topic->part[i]);
}

/* ---- The line. ------------------------------------------------------------------------------------------------------------- */

void kafka_gate_push(struct kafka_part *part, struct kafka_slot *slot) {
	slot->next = NULL;
	if (part->first)
		part->last->next = slot;
	else
		part->first = slot;
	part->last = slot;
}

void kafka_gate_push_front(struct kafka_part *part, struct kafka_slot *slot) {
	slot->next = part->first;
	if (!part->first) part->last = slot;
	part->first = slot;
}

struct kafka_slot *kafka_gate_pop(struct kafka_part *part) {
	struct kafka_slot *slot = part->first;
	if (slot) part->first = slot->next;
	return slot;
}

/* ---- The partitioner. --------------------------------------------------------------------------------------------------------- */

static _Thread_local struct kafka_ask *asked;

void kafka_gate_ask(struct kafka_ask *ask) { asked = ask; }

typedef int32_t (*partitioner_fn)(const rd_kafka_topic_t *rkt, const void *key, size_t n, int32_t count, void *opaque,
				  void *msg_opaque);
/* In the order of the option's names. sticky: rows without a key go where they like. */
static const struct {
	partitioner_fn fn;
	bool sticky;
} partitioners[] = {
    {rd_kafka_msg_partitioner_murmur2_random, true},
    {rd_kafka_msg_partitioner_murmur2, false},
    {rd_kafka_msg_partitioner_consistent_random, true},
    {rd_kafka_msg_partitioner_consistent, false},
    {rd_kafka_msg_partitioner_fnv1a_random, true},
    {rd_kafka_msg_partitioner_fnv1a, false},
    {rd_kafka_msg_partitioner_random, true},
};

static int32_t sticky(struct kafka_ask *ask, const rd_kafka_topic_t *rkt, int32_t count) {
	struct kafka_topic *topic = ask->topic;
	if (topic->sticky_ms == 0 || ask->now_ms - topic->sticky_ms >= STICKY_MS || topic->sticky >= count) {
		topic->sticky = rd_kafka_msg_partitioner_random(rkt, NULL, 0, count, NULL, NULL);
		topic->sticky_ms = ask->now_ms;
	}
	return topic->sticky;
}

/* A partition that is none makes librdkafka refuse the row. */
static int32_t partition_of(const rd_kafka_topic_t *rkt, const void *key, size_t n, int32_t count, void *opaque,
			    void *msg_opaque) {
	const struct kafka_conf *conf = opaque;
	struct kafka_ask *ask = asked;
	bool roams = !key && partitioners[conf->partitioner].sticky;
	int32_t partition = ask && roams ? sticky(ask, rkt, count)
					 : partitioners[conf->partitioner].fn(rkt, key, n, count, NULL, msg_opaque);
	if (!ask || partition < 0 || partition >= count) return partition;
	ask->topic->known = true;
	grow(ask->topic, count);
	struct kafka_part *part = &ask->topic->part[partition];
	ask->partition = partition;
	ask->wait = (part->first && partition != ask->head) || !kafka_gate_free(part, ask->alone, ask->now_ms);
	ask->by_scout = !ask->wait && ask->scout && (ask->alone || part->scouted);
	return sl_unlikely(ask->wait || ask->by_scout) ? count : partition;
}

void kafka_gate_install(rd_kafka_conf_t *conf, const struct kafka_conf *settings) {
	rd_kafka_topic_conf_t *topics = rd_kafka_conf_get_default_topic_conf(conf);
	if (!topics) {
		topics = rd_kafka_topic_conf_new();
		rd_kafka_conf_set_default_topic_conf(conf, topics);
	}
	rd_kafka_topic_conf_set_partitioner_cb(topics, partition_of);
	rd_kafka_topic_conf_set_opaque(topics, (void *)(uintptr_t)settings);
}
