/* kafka_fetch.h: are the records of a Fetch's answer those that were asked for, and undamaged?
 *
 * librdkafka 2.0 skips a message whose batch has a version that it doesn't know, reads on from a wrong place after a checksum that is
 * wrong, and ends the program at a partition that it had not asked for. So an answer whose shape is right (kafka_answer.h) is
 * looked at once more:
 *
 *     each partition     was asked for by this request, and comes once      or the whole answer is nonsense
 *     its records        their lengths, versions and checksums are right,   or the partition's error becomes CORRUPT_MESSAGE, in
 *                        and their offsets grow                             the answer itself: librdkafka reads none of them,
 *                                                                           tells of it, and asks again half a second later
 * So records that are damaged where the broker keeps them hold up their partition and no other. What a broker cut off at the end, as
 * it may, is left to librdkafka, which asks for it again. The first offset of a batch has no checksum: one that is wrong and larger than the
 * last is believed, as by every client.
 *
 * Thread: any; no state. Memory: 32 bytes a partition that was asked for, freed at the end. Time: that of the checksums, which
 * librdkafka need not look at then. */
#ifndef KAFKA_FETCH_H
#define KAFKA_FETCH_H

#include "kafka_answer.h"
#include "slice.h"

enum { KAFKA_FETCH_VERSIONS = 11 }; /* the last that it reads, and librdkafka 2.0 asks for */

/* The first partition whose records were damaged. */
struct kafka_damage {
	struct sl_slice topic; /* in the answer; n 0: nothing was */
	int32_t partition;
	const char *what; /* static */
};

/* request: what was sent behind the client's id. The answer has passed kafka_answer_check(); may_mark false: it cannot be
 * changed, so what is damaged makes it nonsense. */
bool kafka_fetch_check(int version, struct sl_slice request, uint8_t *answer, size_t n, bool may_mark,
		       struct kafka_damage *damage, struct kafka_fault *fault);

#endif
