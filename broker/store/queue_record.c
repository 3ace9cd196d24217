#include "queue_record.h"

#include <stddef.h>

#include "crc32c.h"

uint32_t queue_frame_crc(const struct queue_frame_head *head, const char *records, uint64_t serial) {
	uint32_t crc = crc32c((uint32_t)serial, &head->bytes, sizeof *head - offsetof(struct queue_frame_head, bytes));
	return crc32c(crc, records, head->bytes);
}

uint32_t queue_head_crc(const struct queue_segment_head *head) {
	return crc32c(0, &head->bytes, sizeof *head - offsetof(struct queue_segment_head, bytes));
}

bool queue_get_uint(struct sl_slice *rest, uint64_t *v) {
	*v = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (rest->n == 0) return false;
		uint8_t byte = (uint8_t)*rest->p;
		*rest = slice_from(*rest, 1);
		*v |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) return shift < 63 || byte < 2;
	}
	return false;
}
