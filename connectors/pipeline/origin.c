/* origin.c: see origin.h. */
#include "origin.h"

#include <inttypes.h>
#include <string.h>

#include "err.h"
#include "jwrite.h"
#include "mem.h"
#include "sql_base64.h"
#include "sql_row.h"
#include "utf8.h"

struct origin_head {
	uint32_t size;
	uint16_t count, flags; /* as in struct sql_row_head */
	uint32_t whole;
	uint16_t topic, clientid;
	int64_t at_ms; /* likewise */
	uint32_t payload;
	uint8_t qos, id;
	uint16_t zero;
};
_Static_assert(sizeof(struct origin_head) == 32, "the layout is written to disk");
_Static_assert(offsetof(struct origin_head, at_ms) == offsetof(struct sql_row_head, at_ms),
	       "a record has a row's frame");

/* Not in the middle of a character, if it can be helped. */
static size_t payload_cut(struct sl_slice payload, size_t keep) {
	if (payload.n <= keep) return payload.n;
	size_t n = keep;
	while (n > 0 && keep - n < 3 && ((unsigned char)payload.p[n] & 0xc0) == 0x80) n--;
	return ((unsigned char)payload.p[n] & 0xc0) == 0x80 ? keep : n;
}

static char *put(char *to, struct sl_slice bytes) {
	if (bytes.n) memcpy(to, bytes.p, bytes.n);
	return to + bytes.n;
}

void sl_origin_write(struct sl_buf *out, const struct sl_origin *o, uint32_t keep) {
	struct sl_slice topic = slice_sub(o->topic, 0, UINT16_MAX), clientid = slice_sub(o->clientid, 0, UINT16_MAX);
	struct sl_slice id = o->id.n == ORIGIN_ID_BYTES ? o->id : SL_SLICE_EMPTY;
	struct sl_slice payload = slice_sub(o->payload, 0, payload_cut(o->payload, keep));
	uint64_t whole = o->payload_bytes > o->payload.n ? o->payload_bytes : o->payload.n;
	size_t bytes = sizeof(struct origin_head) + id.n + topic.n + clientid.n + payload.n,
	       padding = (8 - bytes % 8) % 8;
	/* Each part where it stays: what is copied as soon as it is put together waits for its parts to be written. */
	struct origin_head *head = (struct origin_head *)(void *)sl_buf_add(out, bytes + padding);
	memset((char *)head + bytes + padding - 8, 0, 8); /* the padding; what else stands there is written next */
	head->size = (uint32_t)(bytes + padding);
	head->count = 0;
	head->flags = SQL_ROW_FRAME;
	head->whole = whole < UINT32_MAX ? (uint32_t)whole : UINT32_MAX;
	head->topic = (uint16_t)topic.n;
	head->clientid = (uint16_t)clientid.n;
	head->at_ms = o->at_ms;
	head->payload = (uint32_t)payload.n;
	head->qos = o->qos;
	head->id = o->id.n == ORIGIN_ID_BYTES ? ORIGIN_ID_BYTES : 0;
	head->zero = 0;
	(void)put(put(put(put((char *)(head + 1), id), topic), clientid), payload);
}

int sl_origin_read(const void *record, struct sl_origin *out) {
	struct origin_head head;
	uint32_t size = sql_row_head(record)->size;
	if (size < sizeof head) return SL_ECORRUPT;
	memcpy(&head, record, sizeof head);
	uint64_t bytes = sizeof head + (uint64_t)head.id + head.topic + head.clientid + head.payload;
	if (head.count != 0 || bytes > size || (head.id != 0 && head.id != ORIGIN_ID_BYTES) || head.qos > 2 ||
	    head.payload > head.whole)
		return SL_ECORRUPT;
	const char *at = (const char *)record + sizeof head;
	*out = (struct sl_origin){.payload_bytes = head.whole, .at_ms = head.at_ms, .qos = head.qos};
	out->id = slice_make(at, head.id);
	out->topic = slice_make(out->id.p + head.id, head.topic);
	out->clientid = slice_make(out->topic.p + head.topic, head.clientid);
	out->payload = slice_make(out->clientid.p + head.clientid, head.payload);
	return SL_OK;
}

void sl_origin_json(const struct sl_origin *o, struct sl_buf *out) {
	sl_buf_append_str(out, "{\"topic\":");
	jwrite_quote(out, o->topic);
	sl_buf_append_str(out, ",\"clientid\":");
	jwrite_quote(out, o->clientid);
	sl_buf_printf(out, ",\"qos\":%u,\"timestamp\":%" PRId64, o->qos, o->at_ms);
	if (o->payload.n && utf8_valid(o->payload)) {
		sl_buf_append_str(out, ",\"payload\":");
		jwrite_quote(out, o->payload);
	} else if (o->payload.n) {
		sl_buf_append_str(out, ",\"payload_base64\":\"");
		sql_base64_encode(o->payload, 0, out);
		sl_buf_put(out, '"');
	}
	if (o->payload_bytes > o->payload.n) sl_buf_printf(out, ",\"payload_bytes\":%" PRIu64, o->payload_bytes);
	if (o->id.n) sl_buf_append_str(out, ",\"id\":\"");
	for (size_t i = 0; i < o->id.n; i++) sl_buf_printf(out, "%02x", (unsigned char)o->id.p[i]);
	sl_buf_append_str(out, o->id.n ? "\"}" : "}");
}
