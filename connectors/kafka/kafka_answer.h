/* kafka_answer.h: is an answer of a Kafka broker what the protocol says, to its last field?
 *
 * librdkafka 2.0 believes lists of negative length, absent names and partitions that cannot be, and the whole program dies of
 * them. So answers are looked at before (kafka_wire.h), against one table: what is answered x version -> the fields, in order.
 * The table has all that librdkafka 2.0 asks for. What it doesn't have (newer versions, other requests) passes.
 *
 *     struct kafka_fault fault;
 *     if (!kafka_answer_check(api, version, bytes, n, &fault))
 *             ... "Metadata v4: %s at byte %zu", fault.what, fault.at
 *
 * Looked at are the shape and the few values that librdkafka depends on; error codes may be any, and what stands behind the last
 * field does not matter. Records are looked into by kafka_fetch.h.
 *
 * Thread: any; pure functions. Memory: for Metadata a table of the topics' names, freed at the end; nothing for the others. Time: a
 * few nanoseconds a field. */
#ifndef KAFKA_ANSWER_H
#define KAFKA_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers of requests that others than the table must know. */
enum { KAFKA_API_PRODUCE = 0, KAFKA_API_FETCH = 1, KAFKA_API_METADATA = 3, KAFKA_API_SASL_HANDSHAKE = 17 };

struct kafka_fault {
	size_t at;        /* the byte, counted from the correlation id's end */
	const char *what; /* static */
};

/* bytes: the answer without its length and its correlation id. */
bool kafka_answer_check(int api, int version, const uint8_t *bytes, size_t n, struct kafka_fault *fault);

/* "Metadata"; "request 99" is "?" when it is in no table. */
const char *kafka_answer_name(int api);

/* How long one may be at all; what is longer is nonsense. */
size_t kafka_answer_max(int api);

#endif
