#include "ws_frame.h"

#include "err.h"
#include "utf8.h"

void ws_parser_init(struct ws_parser *p, bool masked) { *p = (struct ws_parser){.masked = masked}; }

/* ---- masking --------------------------------------------------------------------------------------------- */

void ws_mask(char *to, const char *from, size_t n, const uint8_t mask[4], size_t at) {
	uint8_t turned[8];
	uint64_t word;
	for (size_t i = 0; i < sizeof turned; i++) turned[i] = mask[(at + i) & 3];
	memcpy(&word, turned, sizeof word);
	size_t i = 0;
	/* All four are read before one is written: `to` may begin a few bytes before `from`. */
	for (; i + 32 <= n; i += 32) {
		uint64_t v[4];
		memcpy(v, from + i, sizeof v);
		for (size_t k = 0; k < 4; k++) v[k] ^= word;
		memcpy(to + i, v, sizeof v);
	}
	for (; i + 8 <= n; i += 8) {
		uint64_t v;
		memcpy(&v, from + i, sizeof v);
		v ^= word;
		memcpy(to + i, &v, sizeof v);
	}
	for (; i < n; i++) to[i] = (char)((uint8_t)from[i] ^ turned[i & 7]);
}

/* ---- the head -------------------------------------------------------------------------------------------- */

/* How long the head is, as far as `have` bytes of it tell. */
static size_t head_length(const uint8_t *h, size_t have) {
	if (have < 2) return 2;
	size_t length = h[1] & 0x7f;
	return 2 + (length == 127 ? 8u : length == 126 ? 2u : 0u) + (h[1] & 0x80 ? 4u : 0u);
}

static uint64_t payload_length(const uint8_t *h) {
	uint64_t length = h[1] & 0x7f;
	size_t bytes = length == 127 ? 8 : length == 126 ? 2 : 0;
	if (bytes == 0) return length;
	length = 0;
	for (size_t i = 0; i < bytes; i++) length = length << 8 | h[2 + i];
	return length;
}

/* 0, or the code to close with. Two bytes are enough for most of it, so nobody sends more in vain. */
static enum ws_code judge_start(const struct ws_parser *p, const uint8_t *h) {
	uint8_t opcode = h[0] & 0x0f;
	bool fin = h[0] & 0x80, control = opcode & 0x08;
	if (h[0] & 0x70) return WS_CODE_PROTOCOL; /* no extension was agreed on [RFC 6455, 5.2] */
	if ((h[1] & 0x80) != (p->masked ? 0x80 : 0)) return WS_CODE_PROTOCOL; /* [5.1] */
	if (control) {
		if (opcode > WS_PONG || !fin || (h[1] & 0x7f) > WS_CONTROL_MAX) return WS_CODE_PROTOCOL; /* [5.5] */
		return (enum ws_code)0;
	}
	if (opcode == WS_TEXT) return WS_CODE_NOT_BINARY; /* [MQTT-6.0.0-1] */
	if (opcode > WS_BINARY) return WS_CODE_PROTOCOL;
	if ((opcode == WS_CONTINUATION) != p->message) return WS_CODE_PROTOCOL; /* [5.4] */
	return (enum ws_code)0;
}

static enum ws_code judge_length(const uint8_t *h, uint64_t length) {
	unsigned form = h[1] & 0x7f;
	/* The shortest form [5.2]; and the highest bit is 0, which is above our limit anyway. */
	if ((form == 126 && length < 126) || (form == 127 && length <= UINT16_MAX)) return WS_CODE_PROTOCOL;
	return length > WS_FRAME_MAX ? WS_CODE_TOO_LARGE : (enum ws_code)0;
}

static int refuse(struct ws_parser *p, enum ws_code code, struct ws_event *e) {
	p->ended = true;
	*e = (struct ws_event){.code = (uint16_t)code};
	return SL_EPROTOCOL;
}

static void begin_payload(struct ws_parser *p, size_t head, uint64_t length) {
	if (p->masked) memcpy(p->mask, p->head + head - 4, 4);
	p->opcode = p->head[0] & 0x0f;
	p->fin = p->head[0] & 0x80;
	p->left = length;
	p->head_n = 0;
	p->control_n = 0;
	if (p->opcode <= WS_BINARY) p->message = !p->fin;
}

/* SL_OK: the head is whole, payload is what comes next. */
static int take_head(struct ws_parser *p, struct sl_slice *in, struct ws_event *e) {
	for (;;) {
		size_t want = head_length(p->head, p->head_n);
		size_t n = sl_min_size(want - p->head_n, in->n);
		if (n) memcpy(p->head + p->head_n, in->p, n);
		p->head_n = (uint8_t)(p->head_n + n);
		*in = slice_from(*in, n);
		enum ws_code code = p->head_n >= 2 ? judge_start(p, p->head) : (enum ws_code)0;
		if (code) return refuse(p, code, e);
		if (p->head_n < want) return SL_EAGAIN;
		if (want != head_length(p->head, p->head_n)) continue; /* now the rest of it */
		uint64_t length = payload_length(p->head);
		code = judge_length(p->head, length);
		if (code) return refuse(p, code, e);
		begin_payload(p, want, length);
		return SL_OK;
	}
}

/* ---- payload --------------------------------------------------------------------------------------------- */

bool ws_code_valid(uint16_t code) {
	if (code >= 3000) return code < 5000; /* of libraries and applications */
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/* A close frame is empty, or has a code and a text [5.5.1]. */
static int take_close(struct ws_parser *p, struct ws_event *e) {
	struct sl_slice body = slice_make(p->control, p->control_n);
	*e = (struct ws_event){.what = WS_CLOSED, .code = WS_CODE_NONE};
	p->ended = true;
	if (body.n == 0) return SL_OK;
	if (body.n == 1) return refuse(p, WS_CODE_PROTOCOL, e);
	e->code = (uint16_t)(p->control[0] << 8 | p->control[1]);
	e->bytes = slice_from(body, 2);
	if (!ws_code_valid(e->code)) return refuse(p, WS_CODE_PROTOCOL, e);
	return utf8_valid(e->bytes) ? SL_OK : refuse(p, WS_CODE_BAD_TEXT, e);
}

/* SL_EAGAIN: not whole yet. */
static int take_control(struct ws_parser *p, struct sl_slice *in, struct ws_event *e) {
	size_t n = sl_min_size((size_t)p->left, in->n);
	char *to = (char *)p->control + p->control_n;
	if (p->masked)
		ws_mask(to, in->p, n, p->mask, p->control_n);
	else if (n)
		memcpy(to, in->p, n);
	p->control_n = (uint8_t)(p->control_n + n);
	p->left -= n;
	*in = slice_from(*in, n);
	if (p->left > 0) return SL_EAGAIN;
	uint8_t opcode = p->opcode;
	p->opcode = WS_CONTINUATION; /* told once */
	if (opcode == WS_CLOSE) return take_close(p, e);
	*e = (struct ws_event){.what = opcode == WS_PING ? WS_PINGED : WS_PONGED,
			       .bytes = slice_make(p->control, p->control_n)};
	return SL_OK;
}

int ws_parser_next(struct ws_parser *p, struct sl_slice *in, char *to, struct ws_event *e) {
	*e = (struct ws_event){0};
	if (p->ended) return SL_ECLOSED;
	for (;;) {
		if (p->opcode >= WS_CLOSE) return take_control(p, in, e);
		if (p->left > 0 && in->n > 0) break;
		if (in->n == 0) return SL_EAGAIN;
		int rc = take_head(p, in, e);
		if (rc != SL_OK) return rc;
	}
	size_t n = in->n < p->left ? in->n : (size_t)p->left;
	if (p->masked) {
		ws_mask(to, in->p, n, p->mask, 0);
		/* The next piece begins at another byte of the mask. */
		uint8_t turned[4];
		for (size_t i = 0; i < 4; i++) turned[i] = p->mask[(n + i) & 3];
		memcpy(p->mask, turned, sizeof turned);
	} else {
		memmove(to, in->p, n);
	}
	p->left -= n;
	*in = slice_from(*in, n);
	*e = (struct ws_event){.what = WS_DATA, .bytes = slice_make(to, n)};
	return SL_OK;
}

size_t ws_put_head(char to[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t length, const uint8_t mask[4]) {
	uint8_t *h = (uint8_t *)to;
	size_t n = 2, bytes = length < 126 ? 0 : length <= UINT16_MAX ? 2 : 8;
	h[0] = (uint8_t)(0x80 | opcode);
	h[1] = (uint8_t)((mask ? 0x80 : 0) | (bytes == 0 ? length : bytes == 2 ? 126 : 127));
	for (size_t i = bytes; i > 0; i--) h[n++] = (uint8_t)(length >> 8 * (i - 1));
	if (mask) {
		memcpy(h + n, mask, 4);
		n += 4;
	}
	return n;
}
