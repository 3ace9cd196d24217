/* kafka_row.h: from an action's templates to the parts of a Kafka record, row by row.
 *
 * Templates are taken apart once (kafka_plan_make): what is constant is kept, everything else becomes a value that the rule
 * writes into each row. kafka_row_read() then makes a record of a row: it borrows the row's bytes wherever it can (text, JSON,
 * numbers as they stood in the message), so a record is valid as long as its row and the arena.
 *
 * What a value becomes, in value, key and headers alike: text and binary their bytes, numbers and booleans their text, objects
 * and arrays their JSON, NULL nothing: a null value (a tombstone), a null key, a null header.
 *
 * A row that can't be a record (no topic, a wrong partition or time, headers that are none) is told with a reason; it is the
 * row's fault.
 *
 * Thread: the connection's loop. Memory: the arena only, and librdkafka's own for headers. */
#ifndef KAFKA_ROW_H
#define KAFKA_ROW_H

#include <librdkafka/rdkafka.h>

#include "arena.h"
#include "connector.h"
#include "statement.h"

/* As they stand in the configuration; absent ones are NULL. */
struct kafka_templates {
	char *topic, *key, *value, *partition, *timestamp;
	struct conf_map headers; /* or one pair without a key: a template that gives all of them */
};

/* A template: constant text, or the at-th value of the row. */
struct kafka_piece {
	bool given, constant;
	uint16_t at;
	struct sl_slice text; /* of a constant */
};
struct kafka_header {
	struct sl_slice name;
	char *param; /* what its value is called in rows */
	struct kafka_piece value;
};
struct kafka_plan {
	struct sl_param_list params;
	struct kafka_piece value, key, partition, timestamp;
	struct kafka_piece *topic; /* pieces, joined */
	size_t topic_pieces;
	bool topic_constant; /* one piece, constant */
	struct kafka_header *headers;
	size_t header_count;
	struct kafka_piece all_headers;
};

int kafka_plan_make(const struct kafka_templates *t, struct kafka_plan *plan, struct sl_err *err);
void kafka_plan_fini(struct kafka_plan *plan);

/* p NULL: null. */
struct kafka_bytes {
	const void *p;
	size_t n;
};
struct kafka_row {
	struct sl_slice topic;
	struct kafka_bytes key, value;
	int32_t partition;           /* RD_KAFKA_PARTITION_UA: the partitioner decides */
	int64_t timestamp;           /* ms */
	rd_kafka_headers_t *headers; /* NULL: none; the caller's */
	size_t bytes;                /* of key, value and headers */
	const char *why;             /* with a failure; in the arena */
};
/* SL_OK, or SL_EINVAL with row->why. */
int kafka_row_read(const struct kafka_plan *plan, const void *row, struct sl_arena *arena, struct kafka_row *out);

/* Could this be the name of a topic? 1 to 249 of a-z A-Z 0-9 . _ -, and neither "." nor "..". */
bool kafka_topic_valid(struct sl_slice name);

#endif
