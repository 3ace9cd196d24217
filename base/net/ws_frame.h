/* ws_frame.h: the frames of WebSocket (RFC 6455, section 5), taken apart and put together. No socket, no memory of its own.
 *
 *      0               1               2               3
 *     |F|RSV|opcode   |M| length 7    | 16 or 64 bits of length follow where that is 126 or 127
 *     | mask, 4 bytes, when M         | payload: byte i is XORed with mask byte i % 4
 *
 * What is sent as data is a stream to us: a packet of MQTT may lie across frames and a frame may hold many [MQTT-6.0.0-2]. So payload
 * is given on as it comes, whatever the frame's length says, and no message is ever put together:
 *
 *     while ((rc = ws_parser_next(&p, &in, to, &e)) == SL_OK)
 *         if (e.what == WS_DATA) to += e.bytes.n;      plain bytes now lie where `to` was
 *
 * Between the pieces of a data message stand control frames: ping, pong, close, of at most 125 bytes, which are whole when
 * they are told. Text is refused: MQTT is binary [MQTT-6.0.0-1]. So is what RFC 6455 forbids, with the code that it has for it.
 * Thread: any, one at a time. */
#ifndef WS_FRAME_H
#define WS_FRAME_H

#include "slice.h"

enum { WS_HEAD_MAX = 14, WS_CONTROL_MAX = 125 };
#define WS_FRAME_MAX ((uint64_t)1 << 30) /* a longer one is no MQTT */

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* Why a connection is closed (RFC 6455, 7.4.1). */
enum ws_code {
	WS_CODE_NORMAL = 1000,
	WS_CODE_GOING_AWAY = 1001,
	WS_CODE_PROTOCOL = 1002,
	WS_CODE_NOT_BINARY = 1003,
	WS_CODE_NONE = 1005, /* never on the wire: the frame had no code */
	WS_CODE_BAD_TEXT = 1007,
	WS_CODE_POLICY = 1008,
	WS_CODE_TOO_LARGE = 1009,
};

struct ws_parser {
	bool masked;  /* what the other side's frames have to be: true at a server [RFC 6455, 5.1] */
	bool message; /* a data message has begun and its last frame has not come */
	bool ended;   /* after a close frame, or a mistake */
	bool fin;
	uint8_t opcode; /* of the frame whose payload comes */
	uint8_t head_n; /* bytes of the head that are here; 0 while payload comes */
	uint8_t control_n;
	uint64_t left; /* payload that has still to come */
	uint8_t mask[4];
	uint8_t head[WS_HEAD_MAX];
	uint8_t control[WS_CONTROL_MAX];
};

enum ws_what { WS_DATA, WS_PINGED, WS_PONGED, WS_CLOSED };

struct ws_event {
	enum ws_what what;
	struct sl_slice bytes; /* of a data frame, of the ping, or the reason of the close; valid until the next call */
	uint16_t code;         /* WS_CLOSED: theirs. After SL_EPROTOCOL: ours, to be sent */
};

void ws_parser_init(struct ws_parser *p, bool masked);

/* Takes bytes from the front of *in. Payload of data frames is written to `to`, unmasked, which has room for in->n bytes and may be
 * the very place where *in lies, or begin before it.
 * SL_OK: *e; SL_EAGAIN: all of *in is taken; SL_EPROTOCOL: refused, e->code says how. After that, and
 * after WS_CLOSED, SL_ECLOSED: nothing is read any more. */
int ws_parser_next(struct ws_parser *p, struct sl_slice *in, char *to, struct ws_event *e);

/* to[i] = from[i] ^ mask[(at + i) % 4]; `to` may be `from`, or begin before it. */
void ws_mask(char *to, const char *from, size_t n, const uint8_t mask[4], size_t at);

/* The head of a frame that is whole (FIN); mask: NULL for none. Returns its length, at most WS_HEAD_MAX. */
size_t ws_put_head(char to[WS_HEAD_MAX], enum ws_opcode opcode, uint64_t length, const uint8_t mask[4]);

/* May a close frame say this code? */
bool ws_code_valid(uint16_t code);

#endif
