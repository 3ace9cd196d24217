/* origin.h: the message that rows come from, so that a dead letter can name it.
 *
 * In a chunk (and so in the log) an origin stands once before the rows of its message, as a record of the same frame as a row,
 * marked SQL_ROW_FRAME: who walks over rows by their sizes walks over it too, and it is not counted as a row.
 *
 *     [origin] row row [origin] row ...
 *
 *     u32 size (a multiple of 8) | u16 0 | u16 flags | u32 bytes of the whole payload | u16 topic | u16 client id | i64 at ms
 *     | u32 bytes of payload kept | u8 qos | u8 bytes of id (0 or 16) | u16 zero | id | topic | client id | payload | padding
 *
 * The cost is one copy of these bytes for each message and action, however many rows it gives. Of the payload as much is kept
 * as the action says (`dead_letter.payload`); a cut falls between two characters where the payload is UTF-8.
 * An origin with nothing in it stands before rows that come of no single message: those of windows.
 *
 * As JSON, in a dead letter and for `on_error`:
 *
 *     {"topic":"plant/a7/temp","clientid":"a7","qos":1,"timestamp":1767225600000,"payload":"{\"t\":31.5}"}
 *
 * `payload_base64` stands for `payload` where that is not UTF-8, or nothing where none was kept; `payload_bytes` is how long it
 * was where it is not all there; `id` is 32 hexadecimal digits.
 *
 * Lifetime: what is read borrows from the record. Errors: reading checks every length, for records come back from disk.
 * Thread: immutable once written, any. Never blocks. */
#ifndef SL_ORIGIN_H
#define SL_ORIGIN_H

#include "buf.h"
#include "slice.h"

enum { ORIGIN_ID_BYTES = 16 };

struct sl_origin {
	/* Of the message, among those of one worker: rows staged one behind the other with the same serial share a record. Not
	 * written. */
	uint64_t serial;
	struct sl_slice topic, clientid, payload;
	struct sl_slice id;     /* of the message: ORIGIN_ID_BYTES, or empty: not known */
	uint64_t payload_bytes; /* of the whole payload, when read; payload may be less */
	int64_t at_ms;          /* wall time of arrival */
	uint8_t qos;
};

/* Nothing is known of the message. */
static inline bool sl_origin_empty(const struct sl_origin *o) { return o->topic.n == 0; }

/* Appends the record to `out`, whose end must be 8-aligned, with at most `keep` bytes of the payload. */
void sl_origin_write(struct sl_buf *out, const struct sl_origin *o, uint32_t keep);

void sl_origin_json(const struct sl_origin *o, struct sl_buf *out);

/* Reads a record whose frame is sound (sql_row_check()): SL_OK, or SL_ECORRUPT. */
int sl_origin_read(const void *record, struct sl_origin *out);

#endif
