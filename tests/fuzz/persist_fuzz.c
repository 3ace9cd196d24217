/* Any bytes as a record of a session, a subscription, a will or a retained message (the first byte says which): what is read is
 * written again and read again as the same. */
#include <stdint.h>
#include <stdlib.h>

#include "mem.h"
#include "persist_record.h"
#include "will.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct sl_slice a, struct sl_slice b) {
	if (!slice_equal(a, b)) abort();
}

static void session(struct sl_slice bytes, struct sl_buf *again) {
	struct session_record a, b;
	if (session_record_read(bytes, &a) != SL_OK) return;
	session_record_put(again, &a);
	if (session_record_read(sl_buf_slice(again), &b) != SL_OK) abort();
	same(a.client_id, b.client_id);
	same(a.username, b.username);
	if (a.expiry_s != b.expiry_s || a.offline_ms != b.offline_ms || a.created_ms != b.created_ms) abort();
}

static void sub(struct sl_slice bytes, struct sl_buf *again) {
	struct sub_record a, b;
	if (sub_record_read(bytes, &a) != SL_OK) return;
	sub_record_put(again, &a);
	if (sub_record_read(sl_buf_slice(again), &b) != SL_OK) abort();
	same(a.filter, b.filter);
	if (a.qos != b.qos || a.sub_id != b.sub_id || a.no_local != b.no_local) abort();
}

static void will(struct sl_slice bytes, struct sl_buf *again) {
	struct will *a, *b;
	if (will_record_read(bytes, &a) != SL_OK) return;
	will_record_put(again, a);
	if (will_record_read(sl_buf_slice(again), &b) != SL_OK) abort();
	same(slice_make(a->bytes, will_bytes(a)), slice_make(b->bytes, will_bytes(b)));
	sl_free(a);
	sl_free(b);
}

static void retained(struct sl_slice bytes, struct sl_buf *again) {
	struct msg *a, *b;
	char head[RETAINED_HEAD_MAX];
	if (retained_record_read(bytes, &a) != SL_OK) return;
	sl_buf_append_slice(again, retained_record_head(head, a));
	sl_buf_append_slice(again, retained_record_rest(a));
	if (retained_record_read(sl_buf_slice(again), &b) != SL_OK) abort();
	same(retained_record_rest(a), retained_record_rest(b));
	if (a->expiry_s != b->expiry_s || a->props_present != b->props_present) abort();
	msg_unref(a);
	msg_unref(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static void (*const kinds[])(struct sl_slice, struct sl_buf *) = {session, sub, will, retained};
	if (size == 0) return 0;
	struct sl_buf again = SL_BUF_INIT;
	kinds[data[0] % SL_ARRAY_LEN(kinds)](slice_make(data + 1, size - 1), &again);
	sl_buf_fini(&again);
	return 0;
}
