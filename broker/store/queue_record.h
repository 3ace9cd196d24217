/* queue_record.h: how the queue log looks on disk (queue_log.h). Numbers are LEB128 where they are often small, else of this machine.
 *
 * A record is its operation (a byte) and what the list below says. `id` is a session's store_id as the difference to that of the record
 * before in the frame (zigzag); `m` a message, as how far it lies behind the frame's next number.
 * Thread: any; nothing here has state but what is passed in. */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include "buf.h"

#define QUEUE_MAGIC "SLQUE001"
#define QUEUE_NAME_END ".queue"
#define QUEUE_VOID_BEGIN "void-" /* and a run's number: files of earlier ones are over */

struct queue_segment_head {
	char magic[8];
	uint32_t crc, bytes; /* crc of all behind it, seeded like frames are not: with 0 */
	uint64_t run, serial, home_seed;
	uint32_t worker, workers;
};

struct queue_frame_head {
	uint32_t crc, bytes; /* crc: of all behind `bytes`, seeded with the segment's number; bytes: of records */
	uint32_t first, zero;
};
#define QUEUE_END_BYTES 8

enum queue_op {
	QUEUE_OP_NONE,
	QUEUE_MSG,         /* flags, hops, arrived ms, expiry + 1, five lengths, bytes: the next number is its */
	QUEUE_QUEUED,      /* id, flags, m [, count, ids]: the message waits */
	QUEUE_ALSO_QUEUED, /* id: the same for another session */
	QUEUE_SENT_NOW,    /* id, packet id, flags, m [, count, ids] */
	QUEUE_ALSO_SENT,   /* id, packet id: the same for another session */
	QUEUE_SENT,        /* id, m, packet id: it waited, now it is sent */
	QUEUE_DROPPED,     /* id, m: it waited */
	QUEUE_DONE,        /* id, packet id */
	QUEUE_RECEIVED,    /* id, packet id: PUBREC has come */
	QUEUE_IN,          /* id, packet id */
	QUEUE_IN_OPEN,     /* id, packet id */
	QUEUE_SETTLED,     /* id, packet id */
	QUEUE_RELEASED,    /* id, packet id */
	QUEUE_RESET,       /* id, packet id that was given last: forget what was said of it, all follows */
	QUEUE_RELEASE,     /* id, packet id: PUBREL is out; after RESET */
	QUEUE_OUT,         /* worker, seq, m, length, text */
	QUEUE_SEEN,        /* worker, seq */
	QUEUE_OP_COUNT
};

enum { QUEUE_FLAG_QOS = 3, QUEUE_FLAG_RETAIN = 4, QUEUE_FLAG_IDS = 8, QUEUE_FLAG_GROUP = 16 };

uint32_t queue_frame_crc(const struct queue_frame_head *head, const char *records, uint64_t serial);
uint32_t queue_head_crc(const struct queue_segment_head *head);

static inline char *queue_put_uint(char *p, uint64_t v) {
	for (; v >= 0x80; v >>= 7) *p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}
enum { QUEUE_UINT_MAX = 10 }; /* bytes */
static inline uint64_t queue_zigzag(uint64_t difference) {
	return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}
static inline uint64_t queue_unzigzag(uint64_t v) { return v >> 1 ^ (0 - (v & 1)); }

/* Reads from *rest; false: it ends too early, or is no number. */
bool queue_get_uint(struct sl_slice *rest, uint64_t *v);

#endif
