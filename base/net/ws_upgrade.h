/* ws_upgrade.h: how a WebSocket begins: one HTTP request and its answer (RFC 6455, section 4), for both sides. No socket.
 *
 *     GET /mqtt HTTP/1.1                          HTTP/1.1 101 Switching Protocols
 *     Host: broker.example                        Upgrade: websocket
 *     Upgrade: websocket                    -->   Connection: Upgrade
 *     Connection: Upgrade                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
 *     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ== Sec-WebSocket-Protocol: mqtt
 *     Sec-WebSocket-Version: 13
 *     Sec-WebSocket-Protocol: mqtt
 *
 * The request has to be whole before it is looked at; one that is longer than WS_UPGRADE_MAX is refused. What is not a proper
 * request gets an answer that says what would be: whoever opens the address in a browser reads a sentence. No extension is
 * agreed on, compression included. The only file but http_server.c that knows http-parser.
 * Thread: any. Never blocks. */
#ifndef WS_UPGRADE_H
#define WS_UPGRADE_H

#include "buf.h"
#include "err.h"

enum { WS_UPGRADE_MAX = 8 * 1024, WS_UPGRADE_HEADERS_MAX = 64, WS_KEY_CHARS = 24 };

/* What a listener takes. */
struct ws_upgrade_rules {
	const char *path;           /* "/mqtt"; a query behind it is not looked at. NULL: any */
	const char *const *origins; /* NULL-terminated: the pages that browsers may come from; NULL: all */
};

/* The server's side. SL_OK: *used bytes were the request, which is accepted, and `answer` got the 101; SL_EAGAIN: more bytes are
 * needed; SL_EDENIED: refused, `answer` got what to send before closing, and *why a text for the log (static). */
int ws_upgrade_serve(struct sl_slice bytes, const struct ws_upgrade_rules *rules, struct sl_buf *answer, size_t *used,
		     const char **why);

/* The client's side: a request with a new key, which is kept for the check of the answer. */
void ws_upgrade_ask(const char *host_port, const char *path, char key[WS_KEY_CHARS + 1], struct sl_buf *out);
/* SL_OK: *used bytes were the answer, and what follows are frames; SL_EAGAIN; SL_EPROTOCOL: no WebSocket for us, *err says why. */
int ws_upgrade_answered(struct sl_slice bytes, const char *key, size_t *used, struct sl_err *err);

#endif
