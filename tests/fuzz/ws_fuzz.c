/* ws_fuzz.c: frames of a WebSocket, from either side, in one piece and cut up: both ways of reading give the same bytes, the
 * same control frames and the same end. What was unmasked in place lies where it should.
 *
 * Input: one byte (bit 0: masked, the rest: how it is cut), then what is on the wire. */
#include <stdint.h>
#include <stdlib.h>

#include "buf.h"
#include "err.h"
#include "mem.h"
#include "ws_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard {
	struct sl_buf data, control;
	int end;
	uint16_t code;
};

/* In place, as the stream does it: plain bytes close up at the front. */
static int feed(struct ws_parser *p, char *bytes, size_t n, struct heard *out) {
	struct sl_slice in = slice_make(bytes, n);
	struct ws_event e;
	char *to = bytes;
	int rc;
	while ((rc = ws_parser_next(p, &in, to, &e)) == SL_OK) {
		if (e.bytes.n > 0 && e.what == WS_DATA) to += e.bytes.n;
		if (e.what == WS_DATA) continue;
		if (e.bytes.n > WS_CONTROL_MAX) abort();
		sl_buf_put(&out->control, (char)e.what);
		sl_buf_append_slice(&out->control, e.bytes);
		out->code = e.code;
	}
	if (rc == SL_EAGAIN && in.n > 0) abort();
	if (rc == SL_EPROTOCOL && out->code == 0) out->code = e.code;
	if (rc == SL_EPROTOCOL && !ws_code_valid(e.code)) abort();
	sl_buf_append(&out->data, bytes, (size_t)(to - bytes));
	return rc;
}

static void read_cut(const uint8_t *data, size_t size, bool masked, size_t step, struct heard *out) {
	struct ws_parser p;
	ws_parser_init(&p, masked);
	out->end = SL_EAGAIN;
	for (size_t at = 0; at < size && out->end == SL_EAGAIN; at += step) {
		size_t n = sl_min_size(step, size - at);
		char *piece = sl_alloc(n); /* of its own, so that a byte too far is noticed */
		memcpy(piece, data + at, n);
		out->end = feed(&p, piece, n, out);
		sl_free(piece);
	}
}

static void heard_fini(struct heard *h) {
	sl_buf_fini(&h->data);
	sl_buf_fini(&h->control);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 1) return 0;
	struct heard whole = {0}, cut = {0};
	bool masked = data[0] & 1;
	read_cut(data + 1, size - 1, masked, size, &whole);
	read_cut(data + 1, size - 1, masked, (size_t)(data[0] >> 1) + 1, &cut);
	if (whole.end != cut.end || whole.code != cut.code) abort();
	if (!slice_equal(sl_buf_slice(&whole.data), sl_buf_slice(&cut.data))) abort();
	if (!slice_equal(sl_buf_slice(&whole.control), sl_buf_slice(&cut.control))) abort();
	heard_fini(&whole);
	heard_fini(&cut);
	return 0;
}
