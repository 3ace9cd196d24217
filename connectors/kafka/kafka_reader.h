/* kafka_reader.h: numbers and texts of Kafka's protocol, one after the other. Where there are not enough bytes it stands at the end, and
 * `ends`: what is taken then is 0 or empty, so a caller looks once, behind a group of fields.
 *
 *     struct kafka_reader r = {.p = bytes, .n = n};
 *     for (int32_t count = kafka_take_i32(&r); count > 0 && !r.ends; count--) ...
 *
 * Lifetime: a text lies in the bytes. Thread: any. */
#ifndef KAFKA_READER_H
#define KAFKA_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "slice.h"

struct kafka_reader {
	const uint8_t *p;
	size_t n, at;
	bool ends;
};

static inline uint64_t kafka_take(struct kafka_reader *r, size_t size) {
	uint64_t v = 0;
	if (size > r->n - r->at) {
		r->ends = true;
		r->at = r->n;
		return 0;
	}
	for (size_t i = 0; i < size; i++) v = v << 8 | r->p[r->at++];
	return v;
}

static inline void kafka_pass(struct kafka_reader *r, size_t size) {
	r->ends = r->ends || size > r->n - r->at;
	r->at = r->ends ? r->n : r->at + size;
}

static inline int32_t kafka_take_i32(struct kafka_reader *r) { return (int32_t)(uint32_t)kafka_take(r, 4); }

static inline struct sl_slice kafka_take_text(struct kafka_reader *r) {
	size_t n = (size_t)kafka_take(r, 2), at = r->at;
	kafka_pass(r, n);
	return r->ends ? SL_SLICE_EMPTY : slice_make((const char *)r->p + at, n);
}

#endif
