/* kafka_gate.h: which rows of a partition may be out together, so that the order of a key holds when a broker refuses some.
 *
 * Brokers refuse requests, not rows, and what was sent behind a refused request must not be stored before it. With idempotence it
 * is not: a broker takes no request whose sequence number leaves a gap, and librdkafka, told to be gapless, sends nothing more.
 * With one exception: of a producer that it has stored nothing of in this partition, a broker takes any sequence number. Hence
 *
 *     a client's first row to a partition goes alone; the others follow when it is confirmed
 *     rows as large as the largest one that was refused go alone, and so do those without a key if that may be the reason, and
 *     those to a topic that is not ours to write
 *     after a refusal, half as many rows as were refused are out at a time; when they are few, or refused again, the partition is
 *     *scouted*: its rows go one by one until all that were refused are decided and none was for a second
 *
 * What goes alone goes by the scout (kafka_producer.h), which survives a refusal.
 *
 * Rows that may not go yet wait in the line of their partition; other partitions go on. Where a row goes is known while librdkafka
 * takes it: kafka_gate_partitioner() is called then, and refuses rows that have to wait. Of a topic that librdkafka knows nothing
 * of yet, and of partitions that nobody has seen yet, one row at a time is out (`unknown`).
 *
 * Also here is what librdkafka does with rows without a key and we do in its place, so that every row passes the gate: one
 * partition takes them for some milliseconds, then another, which makes requests larger.
 *
 * Lifetime: parts of a topic live as long as it does; lines and counts end with the client, what was refused is remembered.
 * Thread: the connection's loop; the partitioner is also called on librdkafka's thread, where it touches settings only. */
#ifndef KAFKA_GATE_H
#define KAFKA_GATE_H

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kafka_conf;
struct kafka_slot;
struct kafka_topic;

struct kafka_part {
	struct kafka_slot *first, *last; /* rows that wait */
	uint32_t out;                    /* rows with librdkafka */
	uint32_t limit;                  /* so many may be; 0: any number */
	uint32_t suspects;               /* among so many next rows is the one that was refused */
	uint32_t halved;                 /* half of what was refused last */
	bool open;                       /* the broker has stored something of this client */
	bool alone;                      /* the row that is out may be refused: none goes with it */
	bool scouted;                    /* rows go one by one, by the scout */
	uint32_t refusals;               /* one soon after the other */
	uint64_t refused_ms;             /* the last of them */
	uint64_t stored_ms;              /* when it did so last */
	uint64_t limit_until_ms;         /* suspects 0: the limit ends */
};

enum { KAFKA_LINE_UNKNOWN = -1, KAFKA_LINE_NONE = -2 }; /* besides numbers of partitions */

/* The part of a partition; `unknown` of one that nobody has seen. Valid until the next row goes. */
struct kafka_part *kafka_gate_part(struct kafka_topic *topic, int32_t partition);
bool kafka_gate_free(const struct kafka_part *part, bool alone, uint64_t now_ms);
void kafka_gate_sent(struct kafka_part *part, bool alone, uint64_t now_ms);
/* A row was reported; stored: of this partition. */
void kafka_gate_reported(struct kafka_part *part);
void kafka_gate_stored(struct kafka_topic *topic, struct kafka_part *part, int32_t partition, bool by_scout,
		       uint64_t now_ms);
/* One request of so many rows was refused. */
void kafka_gate_refused(struct kafka_part *part, uint32_t rows, bool by_scout, uint64_t now_ms);
void kafka_gate_reset(struct kafka_topic *topic); /* the client ends */

/* The line. */
void kafka_gate_push(struct kafka_part *part, struct kafka_slot *slot);
void kafka_gate_push_front(struct kafka_part *part, struct kafka_slot *slot);
struct kafka_slot *kafka_gate_pop(struct kafka_part *part);

/* What the partitioner is asked on our own thread, between kafka_gate_ask() and its end. */
struct kafka_ask {
	struct kafka_topic *topic;
	int32_t head; /* of whose line this row was the first */
	bool alone;
	bool scout; /* there may be one, for rows that go alone */
	uint64_t now_ms;
	int32_t partition; /* the answer; -1: it was not asked */
	bool wait;         /* and there the row has to wait */
	bool by_scout;     /* or has to go by the scout */
};
void kafka_gate_ask(struct kafka_ask *ask); /* NULL: the end */

/* For the default topic configuration of a client. */
void kafka_gate_install(rd_kafka_conf_t *conf, const struct kafka_conf *settings);

#endif
