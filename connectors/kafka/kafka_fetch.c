/* kafka_fetch.c: see kafka_fetch.h. */
#include "kafka_fetch.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "crc32c.h"
#include "kafka_reader.h"
#include "mem.h"

enum { ERROR_CORRUPT_MESSAGE = 2 };
/* A batch: first offset, length of what follows, epoch, magic, checksum of all that follows it; attributes, last offset less the
 * first, and more. Before Kafka 0.11 a message: offset, length of what follows, checksum, magic, which is at the same place. */
enum { BATCH_LENGTH = 8, BATCH_MAGIC = 16, BATCH_CRC = 17, BATCH_LAST = 23, BATCH_HEAD = 61 };
enum { BODY = 12, OLD_CRC = 12, OLD_HEAD = 26 };

struct asked {
	struct sl_slice topic;
	int32_t partition;
	bool answered;
};

/* ---- What was asked for. ------------------------------------------------------------------------------------------------- */

struct question {
	struct asked *list;
	size_t n, cap;
};

static int order(const void *a, const void *b) {
	const struct asked *x = a, *y = b;
	if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
	return slice_compare(x->topic, y->topic);
}

/* It is librdkafka's own, so it is what the protocol says; of another nothing was asked for. */
static void question_read(struct question *q, int version, struct sl_slice request) {
	struct kafka_reader r = {.p = (const uint8_t *)request.p, .n = request.n};
	kafka_pass(&r, 12u + (version >= 3 ? 4 : 0) + (version >= 4 ? 1 : 0) + (version >= 7 ? 8 : 0));
	for (int32_t topics = kafka_take_i32(&r); topics > 0 && !r.ends; topics--) {
		struct sl_slice topic = kafka_take_text(&r);
		for (int32_t count = kafka_take_i32(&r); count > 0 && !r.ends; count--) {
			int32_t partition = kafka_take_i32(&r);
			kafka_pass(&r, 12u + (version >= 9 ? 4 : 0) + (version >= 5 ? 8 : 0));
			if (r.ends) break;
			SL_GROW(q->list, q->n, q->cap);
			q->list[q->n++] = (struct asked){.topic = topic, .partition = partition};
		}
	}
	if (q->n > 1) qsort(q->list, q->n, sizeof *q->list, order);
}

static bool fail(struct kafka_fault *fault, size_t at, const char *what) {
	*fault = (struct kafka_fault){.at = at, .what = what};
	return false;
}

static bool was_asked(struct question *q, struct sl_slice topic, int32_t partition, size_t at,
		      struct kafka_fault *fault) {
	struct asked key = {.topic = topic, .partition = partition};
	struct asked *found = q->n ? bsearch(&key, q->list, q->n, sizeof *q->list, order) : NULL;
	if (!found) return fail(fault, at, "it has a partition that was not asked for");
	if (found->answered) return fail(fault, at, "it has a partition twice");
	found->answered = true;
	return true;
}

/* ---- Records. ------------------------------------------------------------------------------------------------------------ */

/* NULL: fine. `last` is the offset of the last message before, and then of the last in this one. */
static const char *batch_damage(const uint8_t *p, size_t n, int64_t *last) {
	struct kafka_reader r = {.p = p, .n = n};
	int64_t first = (int64_t)kafka_take(&r, 8);
	kafka_pass(&r, BATCH_LAST - 8);
	int64_t more = kafka_take_i32(&r);
	if (n < BATCH_HEAD) return "a batch has a length that it cannot have";
	r.at = BATCH_CRC;
	if ((uint32_t)kafka_take(&r, 4) != crc32c(0, p + r.at, n - r.at)) return "a checksum is wrong";
	if (first <= *last || more < 0 || first > INT64_MAX - more) return "the offsets of its batches do not grow";
	*last = first + more;
	return NULL;
}

static const char *old_damage(const uint8_t *p, size_t n, int64_t *last) {
	struct kafka_reader r = {.p = p, .n = n};
	int64_t offset = (int64_t)kafka_take(&r, 8);
	kafka_pass(&r, OLD_CRC - 8);
	uint32_t crc = (uint32_t)kafka_take(&r, 4);
	if (n < OLD_HEAD) return "a message has a length that it cannot have";
	if (crc != (uint32_t)crc32_z(crc32_z(0, NULL, 0), p + r.at, n - r.at)) return "a checksum is wrong";
	if (offset <= *last) return "the offsets of its messages do not grow";
	*last = offset;
	return NULL;
}

/* librdkafka looks at the version of a batch as soon as that is there, before it looks whether the batch is. */
static const char *records_damage(const uint8_t *p, size_t n) {
	int64_t last = -1;
	while (n > BATCH_MAGIC) {
		struct kafka_reader r = {.p = p, .n = n, .at = BATCH_LENGTH};
		int32_t length = kafka_take_i32(&r);
		if (length < 0) return "a batch has a length that it cannot have";
		if (p[BATCH_MAGIC] > 2) return "a batch has a version that nobody knows";
		size_t size = BODY + (size_t)length;
		if (size > n) return NULL; /* cut off */
		const char *what = (p[BATCH_MAGIC] == 2 ? batch_damage : old_damage)(p, size, &last);
		if (what) return what;
		p += size;
		n -= size;
	}
	return NULL;
}

/* ---- The answer. --------------------------------------------------------------------------------------------------------- */

struct fetch {
	int version;
	uint8_t *answer;
	bool may_mark;
	struct kafka_damage *damage;
	struct kafka_fault *fault;
	struct question q;
};

static bool partition_check(struct fetch *f, struct kafka_reader *r, struct sl_slice topic) {
	size_t at = r->at;
	int32_t partition = kafka_take_i32(r);
	if (!was_asked(&f->q, topic, partition, at, f->fault)) return false;
	size_t error_at = r->at;
	bool error = kafka_take(r, 2) != 0;
	kafka_pass(r, 8u + (f->version >= 4 ? 8 : 0) + (f->version >= 5 ? 8 : 0));
	if (f->version >= 4) {
		int32_t aborted = kafka_take_i32(r);
		kafka_pass(r, aborted > 0 ? (size_t)aborted * 16 : 0);
	}
	if (f->version >= 11) kafka_pass(r, 4);
	int32_t size = kafka_take_i32(r);
	at = r->at;
	kafka_pass(r, size > 0 ? (size_t)size : 0);
	const char *what = r->ends || error || size <= 0 ? NULL : records_damage(r->p + at, (size_t)size);
	if (!what) return true;
	if (!f->may_mark) return fail(f->fault, at, what);
	f->answer[error_at] = 0;
	f->answer[error_at + 1] = ERROR_CORRUPT_MESSAGE;
	if (!f->damage->what) *f->damage = (struct kafka_damage){.topic = topic, .partition = partition, .what = what};
	return true;
}

bool kafka_fetch_check(int version, struct sl_slice request, uint8_t *answer, size_t n, bool may_mark,
		       struct kafka_damage *damage, struct kafka_fault *fault) {
	struct fetch f = {.version = version, .answer = answer, .may_mark = may_mark, .damage = damage, .fault = fault};
	struct kafka_reader r = {.p = answer, .n = n};
	bool fine = true;
	*damage = (struct kafka_damage){.what = NULL};
	question_read(&f.q, version, request);
	kafka_pass(&r, (version >= 1 ? 4u : 0) + (version >= 7 ? 6 : 0));
	for (int32_t topics = kafka_take_i32(&r); topics > 0 && fine && !r.ends; topics--) {
		struct sl_slice topic = kafka_take_text(&r);
		for (int32_t count = kafka_take_i32(&r); count > 0 && fine && !r.ends; count--)
			fine = partition_check(&f, &r, topic);
	}
	sl_free(f.q.list);
	return fine;
}
