/* client_ws.c: see client_ws.h. */
#include "client_ws.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "mem.h"
#include "rng.h"
#include "ws_frame.h"
#include "ws_upgrade.h"

enum { FRAME = 64 * 1024, ANSWERS = 64 * 1024 };

struct client_ws {
	struct client_wire *w;
	struct client_ws_below below;
	struct ws_parser parser;
	struct sl_buf rest; /* came behind the answer to the handshake */
	struct sl_buf out;  /* frames, or a part of one, that wait for room */
	size_t owed;        /* bytes that are in a frame already, though send() said they were not taken */
};

/* ---- the handshake ---- */

static int ask(struct client_ws *ws, const struct sl_buf *request, uint64_t end_ms, struct sl_err *err) {
	for (size_t done = 0; done < request->n;) {
		ssize_t n = ws->below.send(ws->w, request->p + done, request->n - done);
		uint64_t now_ms = sl_clock_mono_ms();
		if (n > 0) {
			done += (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			return sl_err_set(err, SL_ECLOSED, "%s", strerror(errno));
		} else if (now_ms >= end_ms || !ws->below.wait(ws->w, POLLOUT, (int)(end_ms - now_ms))) {
			return sl_err_set(err, SL_ESYSTEM, "the WebSocket handshake took too long");
		}
	}
	return SL_OK;
}

static int hear(struct client_ws *ws, const char *key, uint64_t end_ms, struct sl_err *err) {
	for (;;) {
		size_t used = 0;
		int rc = ws_upgrade_answered(sl_buf_slice(&ws->rest), key, &used, err);
		if (rc == SL_OK) sl_buf_consume(&ws->rest, used);
		if (rc != SL_EAGAIN) return rc;
		sl_buf_grow(&ws->rest, 4096);
		ssize_t n = ws->below.recv(ws->w, ws->rest.p + ws->rest.n, ws->rest.cap - ws->rest.n);
		uint64_t now_ms = sl_clock_mono_ms();
		if (n > 0)
			ws->rest.n += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return sl_err_set(err, SL_ECLOSED,
					  "the connection broke in the middle of the WebSocket handshake; does "
					  "the broker speak WebSocket on this port?");
		else if (now_ms >= end_ms || !ws->below.wait(ws->w, POLLIN, (int)(end_ms - now_ms)))
			return sl_err_set(err, SL_ESYSTEM,
					  "no answer to the WebSocket handshake in time; does the broker speak "
					  "WebSocket on this port?");
	}
}

int client_ws_open(struct client_wire *w, const struct client_ws_below *below, const char *host_port, const char *path,
		   int timeout_ms, struct client_ws **out, struct sl_err *err) {
	struct client_ws *ws = SL_NEW(struct client_ws);
	*ws = (struct client_ws){.w = w, .below = *below};
	ws_parser_init(&ws->parser, false);
	char key[WS_KEY_CHARS + 1];
	struct sl_buf request = SL_BUF_INIT;
	uint64_t end_ms = sl_clock_mono_ms() + (uint64_t)timeout_ms;
	ws_upgrade_ask(host_port, path, key, &request);
	int rc = ask(ws, &request, end_ms, err);
	if (rc == SL_OK) rc = hear(ws, key, end_ms, err);
	sl_buf_fini(&request);
	if (rc == SL_OK) {
		*out = ws;
		return rc;
	}
	sl_buf_fini(&ws->rest);
	sl_free(ws);
	return rc;
}

/* ---- frames ---- */

static void put_frame(struct client_ws *ws, enum ws_opcode opcode, const char *bytes, size_t n) {
	char head[WS_HEAD_MAX];
	uint8_t mask[4];
	sl_random_bytes(mask, sizeof mask);
	size_t head_n = ws_put_head(head, opcode, n, mask);
	sl_buf_append(&ws->out, head, head_n);
	ws_mask(sl_buf_add(&ws->out, n), bytes, n, mask, 0);
}

/* 0: all has left; else -1 and errno. */
static int flush(struct client_ws *ws) {
	while (ws->out.n > 0) {
		ssize_t n = ws->below.send(ws->w, ws->out.p, ws->out.n);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return -1;
		sl_buf_consume(&ws->out, (size_t)n);
	}
	return 0;
}

ssize_t client_ws_send(struct client_ws *ws, const void *bytes, size_t n) {
	if (flush(ws) != 0) return -1;
	size_t before = sl_min_size(ws->owed, n);
	ws->owed -= before;
	if (before == n) return (ssize_t)n;
	size_t take = sl_min_size(n - before, FRAME);
	put_frame(ws, WS_BINARY, (const char *)bytes + before, take);
	if (flush(ws) == 0) return (ssize_t)(before + take);
	if (errno != EAGAIN) return -1;
	/* A part of the frame waits. So that the caller comes again, one byte counts as not taken. */
	ws->owed = 1;
	if (before + take > 1) return (ssize_t)(before + take - 1);
	errno = EAGAIN;
	return -1;
}

static ssize_t recv_below(struct client_ws *ws, char *to, size_t n) {
	if (ws->rest.n == 0) return ws->below.recv(ws->w, to, n);
	n = sl_min_size(n, ws->rest.n);
	memcpy(to, ws->rest.p, n);
	sl_buf_consume(&ws->rest, n);
	return (ssize_t)n;
}

ssize_t client_ws_recv(struct client_ws *ws, void *to, size_t n) {
	for (;;) {
		struct ws_event e;
		char *at = to;
		ssize_t got = recv_below(ws, at, n);
		if (got <= 0) return got;
		struct sl_slice in = slice_make(to, (size_t)got);
		int rc;
		while ((rc = ws_parser_next(&ws->parser, &in, at, &e)) == SL_OK) {
			if (e.what == WS_DATA) at += e.bytes.n;
			if (e.what == WS_PINGED && ws->out.n < ANSWERS) put_frame(ws, WS_PONG, e.bytes.p, e.bytes.n);
		}
		if (ws->out.n > 0) (void)flush(ws);
		if (at > (char *)to) return at - (char *)to;
		if (rc == SL_ECLOSED) return 0;
		if (rc == SL_EPROTOCOL) {
			errno = EPROTO;
			return -1;
		}
	}
}

bool client_ws_holds(const struct client_ws *ws) { return ws->rest.n > 0; }

void client_ws_close(struct client_ws *ws) {
	if (!ws) return;
	if (flush(ws) == 0) {
		put_frame(ws, WS_CLOSE, "\x03\xe8", 2);
		(void)flush(ws);
	}
	sl_buf_fini(&ws->rest);
	sl_buf_fini(&ws->out);
	sl_free(ws);
}
