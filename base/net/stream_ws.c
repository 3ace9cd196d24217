/* stream_ws.c: frames between two streams. What the stream below presents is unmasked where it lies (its memory is the loop's
 * or its own, and all of it is taken at once, so nobody sees it again), and presented from there. */
#include "stream_ws.h"

#include "log.h"
#include "mem.h"
#include "rng.h"
#include "stream_int.h"

/* FRAME: what one frame takes of a long output. ANSWERS: how much of pongs may wait on top of STREAM_WS_AHEAD before the peer counts as
 * a flood. SPARE: so much unused memory may stand behind a packet in the making. */
enum { FRAME = 64 * 1024, ANSWERS = 64 * 1024, SPARE = 16 * 1024 };

static struct sl_stream_ws *ws_of(struct sl_stream *s) { return sl_container_of(s, struct sl_stream_ws, s); }
static struct sl_stream_ws *ws_above(struct sl_stream *below) { return SL_STREAM_ABOVE(below, struct sl_stream_ws); }

/* ---- failing --------------------------------------------------------------------------------------------- */

/* Closes the stream; the close frame says `code`. error: heap, or NULL. */
static void fail(struct sl_stream_ws *ws, uint16_t code, char *error) {
	if (ws->error)
		sl_free(error); /* the first one is the cause */
	else
		ws->error = error;
	if (ws->code == 0) ws->code = code;
	ws->failed = ws->s.blocked = true;
	sl_stream_close(&ws->s, SL_EPROTOCOL);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static void put_frame(struct sl_stream_ws *ws, enum ws_opcode opcode, const char *bytes, size_t n) {
	struct sl_buf *out = sl_stream_out(SL_STREAM_BELOW(ws));
	char head[WS_HEAD_MAX];
	uint8_t mask[4];
	if (ws->is_client) sl_random_bytes(mask, sizeof mask);
	size_t head_n = ws_put_head(head, opcode, n, ws->is_client ? mask : NULL);
	sl_buf_grow(out, head_n + n);
	sl_buf_append(out, head, head_n);
	if (ws->is_client)
		ws_mask(sl_buf_add(out, n), bytes, n, mask, 0);
	else
		sl_buf_append(out, bytes, n);
}

/* What is pending goes into the buffer below, while that has room. False: the stream below broke. */
static bool put_pending(struct sl_stream_ws *ws) {
	struct sl_stream *s = &ws->s, *below = SL_STREAM_BELOW(ws);
	while (sl_stream_pending(s) > 0) {
		if (sl_stream_pending(below) >= STREAM_WS_AHEAD) {
			sl_stream_flush(below);
			if (s->closed || below->closed) return false;
			if (sl_stream_pending(below) >= STREAM_WS_AHEAD) return true;
			continue; /* on_drain() may have had its turn */
		}
		size_t n = sl_min_size(sl_stream_pending(s), FRAME);
		put_frame(ws, WS_BINARY, s->out.p + s->out_sent, n);
		s->out_sent += n;
	}
	sl_stream_flush(below);
	return !s->closed && !below->closed;
}

static void ws_flush(struct sl_stream *s) {
	struct sl_stream_ws *ws = ws_of(s);
	struct sl_stream *below = SL_STREAM_BELOW(ws);
	if (!ws->ready || ws->failed || below->closed) return;
	if (!put_pending(ws)) return;
	bool waits = sl_stream_pending(below) > 0;
	s->blocked = sl_stream_pending(s) > 0 && waits;
	if (waits && (s->blocked || s->tell_drained)) sl_stream_tell_drained(below);
	/* on_drain() is for when the socket took all of it. */
	if (waits && sl_stream_pending(s) == 0)
		stream_out_release(s);
	else
		stream_sent(s);
}

static void below_drained(struct sl_stream *below) {
	struct sl_stream_ws *ws = ws_above(below);
	if (ws->s.closed || !ws->ready || ws->failed) return;
	ws->s.blocked = false;
	sl_stream_flush(&ws->s);
}

/* ---- the handshake --------------------------------------------------------------------------------------- */

static void refuse(struct sl_stream_ws *ws, const char *why) {
	log_debug(LOG_NET, "a WebSocket was refused", "why=%s", why);
	fail(ws, WS_CODE_PROTOCOL, sl_strdup(why));
}

/* SL_OK: done, and *used bytes were its part of these. */
static int shake_hands(struct sl_stream_ws *ws, struct sl_slice bytes, size_t *used) {
	struct sl_stream *s = &ws->s;
	int rc;
	if (ws->is_client) {
		struct sl_err err = SL_ERR_INIT;
		rc = ws->key ? ws_upgrade_answered(bytes, ws->key, used, &err) : SL_EAGAIN;
		if (rc != SL_OK && rc != SL_EAGAIN) refuse(ws, sl_err_text(&err));
		sl_err_fini(&err);
	} else {
		struct sl_buf answer = SL_BUF_INIT;
		const char *why = NULL;
		rc = ws_upgrade_serve(bytes, &ws->rules, &answer, used, &why);
		if (answer.n) sl_buf_append_slice(sl_stream_out(SL_STREAM_BELOW(ws)), sl_buf_slice(&answer));
		sl_buf_fini(&answer);
		if (rc != SL_OK && rc != SL_EAGAIN) refuse(ws, why);
	}
	if (rc != SL_OK) return rc;
	ws->ready = true;
	s->blocked = false;
	sl_free(ws->key);
	ws->key = NULL;
	if (sl_stream_pending(s) > 0 && !sl_list_linked(&s->dirty)) sl_stream_mark_dirty(s);
	return SL_OK;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

static void answer_ping(struct sl_stream_ws *ws, struct sl_slice bytes) {
	if (sl_stream_pending(SL_STREAM_BELOW(ws)) > STREAM_WS_AHEAD + ANSWERS)
		fail(ws, WS_CODE_POLICY, sl_strdup("the other side asks much and does not read the answers"));
	else
		put_frame(ws, WS_PONG, bytes.p, bytes.n);
}

static const char *broke(uint16_t code) {
	switch (code) {
	case WS_CODE_NOT_BINARY: return "the other side sent text, and MQTT is binary";
	case WS_CODE_TOO_LARGE: return "the other side sent a frame of more than 1 GB";
	default: return "the other side broke the protocol of WebSocket";
	}
}

/* All frames in these bytes; plain bytes are written from `to` on. Returns where they end. SL_EAGAIN, or how it ended. */
static char *take_frames(struct sl_stream_ws *ws, struct sl_slice in, char *to, int *status, uint16_t *code) {
	struct ws_event e;
	while ((*status = ws_parser_next(&ws->parser, &in, to, &e)) == SL_OK && !ws->s.closed) {
		switch (e.what) {
		case WS_DATA: to += e.bytes.n; break;
		case WS_PINGED: answer_ping(ws, e.bytes); break;
		case WS_PONGED: break;
		case WS_CLOSED: *code = e.code == WS_CODE_NONE ? WS_CODE_NORMAL : e.code; break;
		}
	}
	if (*status == SL_EPROTOCOL) *code = e.code;
	return to;
}

/* Behind what is kept, or where they lie when nothing is: the owner sees one piece. */
static void present_all(struct sl_stream_ws *ws, struct sl_slice bytes, int *status, uint16_t *code) {
	struct sl_stream *s = &ws->s;
	if (s->in.n == 0) {
		char *base = (char *)(uintptr_t)bytes.p, *end = take_frames(ws, bytes, base, status, code);
		if (end > base && !s->closed) stream_present(s, slice_make(base, (size_t)(end - base)));
		return;
	}
	sl_buf_grow(&s->in, bytes.n);
	size_t kept = s->in.n;
	char *base = s->in.p + kept, *end = take_frames(ws, bytes, base, status, code);
	if (s->closed || end == base) return;
	s->in.n += (size_t)(end - base);
	stream_present(s, sl_buf_slice(&s->in));
	if (!s->closed && s->in.n > 0 && s->in.cap > 2 * s->in.n + SPARE) {
		struct sl_buf fits = SL_BUF_INIT;
		sl_buf_append_slice(&fits, sl_buf_slice(&s->in));
		sl_buf_fini(&s->in);
		s->in = fits;
	}
}

/* The peer will send no more. Like the end of a TCP connection: what it had sent before is read to its end first. */
static void end_of_frames(struct sl_stream_ws *ws) {
	struct sl_stream *s = &ws->s;
	ws->over = true;
	if (!s->hup) {
		s->hup = true;
		if (ws->events->on_hup) ws->events->on_hup(s);
		if (s->in.n > 0 && !s->paused && !s->closed) stream_present(s, sl_buf_slice(&s->in));
	}
	if (!s->paused && !s->closed) sl_stream_close(s, SL_ECLOSED);
}

static size_t below_read(struct sl_stream *below, struct sl_slice bytes) {
	struct sl_stream_ws *ws = ws_above(below);
	struct sl_stream *s = &ws->s;
	size_t used = 0;
	if (s->closed || ws->over) return bytes.n; /* nobody listens any more */
	if (!ws->ready && shake_hands(ws, bytes, &used) != SL_OK) return s->closed ? bytes.n : 0;
	if (s->paused) {
		sl_stream_pause(below);
		return used;
	}
	int status = SL_EAGAIN;
	uint16_t code = 0;
	present_all(ws, slice_from(bytes, used), &status, &code);
	if (s->closed) return bytes.n;
	if (status == SL_EPROTOCOL) {
		fail(ws, code, sl_strdup(broke(code)));
	} else if (status == SL_ECLOSED) {
		ws->code = code; /* theirs is said back [RFC 6455, 5.5.1] */
		end_of_frames(ws);
	}
	if (s->paused && !s->closed) sl_stream_pause(below);
	return bytes.n;
}

/* After resume: first what was presented and left, then what lies below. */
static void below_turn(struct sl_stream *below) {
	struct sl_stream_ws *ws = ws_above(below);
	struct sl_stream *s = &ws->s;
	if (!s->closed && ws->events->on_turn) ws->events->on_turn(s);
	if (!s->closed && !s->paused && s->in.n > 0) stream_present(s, sl_buf_slice(&s->in));
	if (!s->closed && !s->paused && ws->over) sl_stream_close(s, SL_ECLOSED);
	if (!s->closed && s->paused && ws->ready) sl_stream_pause(below);
}

static void ws_resume(struct sl_stream *s) {
	struct sl_stream *below = SL_STREAM_BELOW(ws_of(s));
	sl_stream_pause(below); /* it may be waiting for may_read() */
	sl_stream_resume(below);
}

static void below_hup(struct sl_stream *below) {
	struct sl_stream_ws *ws = ws_above(below);
	struct sl_stream *s = &ws->s;
	if (s->closed || s->hup) return;
	s->hup = true;
	if (ws->events->on_hup) ws->events->on_hup(s);
	if (s->in.n > 0 && !s->paused && !s->closed) stream_present(s, sl_buf_slice(&s->in));
}

static bool below_may_read(struct sl_stream *below) {
	struct sl_stream_ws *ws = ws_above(below);
	return !ws->ready || ws->s.closed || !ws->events->may_read || ws->events->may_read(&ws->s);
}

/* ---- moving ---------------------------------------------------------------------------------------------- */

static struct sl_stream *ws_below(struct sl_stream *s) { return SL_STREAM_BELOW(ws_of(s)); }

static void ws_detach(struct sl_stream *s) {
	struct sl_stream *below = ws_below(s);
	stream_leave(s);
	below->ops->detach(below);
}

static int ws_attach(struct sl_stream *s, struct sl_loop *l, uint64_t *bytes_in, uint64_t *bytes_out) {
	struct sl_stream *below = ws_below(s);
	stream_arrive(s, l);
	return below->ops->attach(below, l, bytes_in, bytes_out);
}

/* ---- the end --------------------------------------------------------------------------------------------- */

static void below_closed(struct sl_stream *below, int status) {
	struct sl_stream_ws *ws = ws_above(below);
	ws->ended = true;
	if (ws->s.closed) return;
	ws->s.blocked = true;
	if (ws->is_client && !ws->ready && !ws->error)
		ws->error =
		    sl_strdup("the other side ended the connection in the middle of the WebSocket handshake; does it "
			      "speak WebSocket on this port?");
	sl_stream_close(&ws->s, status);
}

/* The stream below ends with us, at once. */
static void ws_finish(struct sl_stream *s) {
	struct sl_stream_ws *ws = ws_of(s);
	struct sl_stream *below = SL_STREAM_BELOW(ws);
	if (!ws->ended) {
		if (ws->ready && !below->closed && s->status != SL_EIO) {
			uint16_t code = ws->code ? ws->code : WS_CODE_NORMAL;
			put_frame(ws, WS_CLOSE, (char[2]){(char)(code >> 8), (char)code}, 2);
		}
		sl_stream_flush(below);
		below->status = s->status;
		stream_end(below);
		ws->ended = true;
	}
	sl_free(ws->key);
	ws->key = NULL;
}

static size_t above_read(struct sl_stream *s, struct sl_slice bytes) { return ws_of(s)->events->on_read(s, bytes); }
static void above_drained(struct sl_stream *s) { ws_of(s)->events->on_drain(s); }
static void above_closed(struct sl_stream *s, int status) {
	struct sl_stream_ws *ws = ws_of(s);
	char *error = ws->error;
	ws->events->on_closed(s, status); /* may free the stream */
	sl_free(error);
}

/* ---- opening --------------------------------------------------------------------------------------------- */

static const struct sl_stream_ops ws_ops = {.flush = ws_flush,
					    .resume = ws_resume,
					    .finish = ws_finish,
					    .below = ws_below,
					    .detach = ws_detach,
					    .attach = ws_attach};
static const struct sl_stream_events above_events = {
    .on_read = above_read, .on_drain = above_drained, .on_closed = above_closed};
const struct sl_stream_events sl_stream_ws_events = {.on_read = below_read,
						     .on_drain = below_drained,
						     .on_hup = below_hup,
						     .may_read = below_may_read,
						     .on_turn = below_turn,
						     .on_closed = below_closed};

static void ws_init(struct sl_stream_ws *ws, struct sl_loop *l, const struct sl_stream_events *events, bool is_client) {
	*ws = (struct sl_stream_ws){.events = events, .is_client = is_client};
	stream_init(&ws->s, &ws_ops, &above_events, l);
	ws->s.blocked = true; /* until the handshake is done */
	ws_parser_init(&ws->parser, !is_client);
}

void sl_stream_ws_serve(struct sl_stream_ws *ws, struct sl_loop *l, const struct sl_stream_events *events,
			const struct ws_upgrade_rules *rules) {
	ws_init(ws, l, events, false);
	ws->rules = *rules;
}

void sl_stream_ws_dial(struct sl_stream_ws *ws, struct sl_loop *l, const struct sl_stream_events *events) {
	ws_init(ws, l, events, true);
}

void sl_stream_ws_ask(struct sl_stream_ws *ws, const char *host_port, const char *path) {
	ws->key = sl_alloc(WS_KEY_CHARS + 1);
	ws_upgrade_ask(host_port, path, ws->key, sl_stream_out(SL_STREAM_BELOW(ws)));
}

const char *sl_stream_ws_error(const struct sl_stream_ws *ws) { return ws->error; }
