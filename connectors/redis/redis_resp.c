/* redis_resp.c: see redis_resp.h.
 *
 * hiredis keeps what it is fed in one buffer and moves the rest of it down after each kilobyte it has read, so it is fed in
 * small pieces and emptied in between: what is moved stays small. */
#include "redis_resp.h"

#include <hiredis/read.h>
#include <stdarg.h>
#include <stdio.h>

#include "conv.h"
#include "mem.h"

enum { PIECE = 4096, LINE_MAX_BYTES = 64 * 1024, SHOWN_MAX = 200 };

const struct redis_limits redis_limits_small = {
    .reply_bytes = 16 * 1024 * 1024, .reply_parts = 200000, .text_bytes = 4096};

/* ---- What hiredis calls. ---- */

static struct redis_reader *reader_of(const redisReadTask *task) { return task->privdata; }

/* NULL: a limit is reached, which hiredis takes for a lack of memory and stops. */
static struct redis_reply *reply_place(const redisReadTask *task) {
	struct redis_reader *r = reader_of(task);
	if (++r->parts > r->limits.reply_parts) {
		snprintf(r->why, sizeof r->why, "a reply has more than %zu parts", r->limits.reply_parts);
		return NULL;
	}
	struct redis_reply *list = task->parent ? task->parent->obj : NULL;
	struct redis_reply *place = list ? &list->items[task->idx] : &r->root;
	*place = (struct redis_reply){0};
	return place;
}

static void *create_text(const redisReadTask *task, char *text, size_t n) {
	struct redis_reader *r = reader_of(task);
	struct redis_reply *reply = reply_place(task);
	if (!reply) return NULL;
	reply->kind = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
		      : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
							 : REDIS_TEXT;
	/* Copied, for hiredis moves its buffer before the reply is handed out. */
	reply->text = sl_arena_dup(&r->arena, slice_make(text, sl_min_size(n, r->limits.text_bytes)));
	return reply;
}

static void *create_list(const redisReadTask *task, int n) {
	struct redis_reader *r = reader_of(task);
	struct redis_reply *reply = reply_place(task);
	if (!reply) return NULL;
	if (n < 0 || (size_t)n > r->limits.reply_parts - r->parts) {
		snprintf(r->why, sizeof r->why, "a reply announces %d parts, which is more than %zu", n,
			 r->limits.reply_parts);
		return NULL;
	}
	reply->kind = REDIS_LIST;
	reply->n = (uint32_t)n;
	reply->items = n ? SL_ARENA_ARRAY(&r->arena, struct redis_reply, (size_t)n) : NULL;
	return reply;
}

static void *create_number(const redisReadTask *task, long long number) {
	struct redis_reply *reply = reply_place(task);
	if (!reply) return NULL;
	reply->kind = REDIS_NUMBER;
	reply->number = number;
	return reply;
}

static void *create_nil(const redisReadTask *task) {
	struct redis_reply *reply = reply_place(task);
	if (reply) reply->kind = REDIS_NIL;
	return reply;
}

static void free_nothing(void *reply) { (void)reply; }

static redisReplyObjectFunctions functions = {.createString = create_text,
					      .createArray = create_list,
					      .createInteger = create_number,
					      .createNil = create_nil,
					      .freeObject = free_nothing};

/* ---- Replies. ---- */

void redis_reader_init(struct redis_reader *r, const struct redis_limits *limits) {
	*r = (struct redis_reader){.limits = *limits};
	r->hiredis = redisReaderCreateWithFunctions(&functions);
	sl_assert(r->hiredis);
	r->hiredis->privdata = r;
	sl_arena_init(&r->arena, 1024);
}

void redis_reader_fini(struct redis_reader *r) {
	if (!r->hiredis) return;
	redisReaderFree(r->hiredis);
	sl_arena_fini(&r->arena);
	r->hiredis = NULL;
}

void redis_reader_feed(struct redis_reader *r, struct sl_slice bytes) { r->rest = bytes; }

static int reader_fail(struct redis_reader *r) {
	if (r->why[0]) return SL_EPROTOCOL;
	struct sl_buf text = SL_BUF_INIT;
	redis_show(slice_from_str(r->hiredis->errstr), &text);
	snprintf(r->why, sizeof r->why, "the answer is not Redis' protocol (%s)", sl_buf_cstr(&text));
	sl_buf_fini(&text);
	return SL_EPROTOCOL;
}

/* hiredis looks for the end of a line from its beginning at every piece: a line that never ends would cost its square. */
static bool line_is_endless(const struct redisReader *h) {
	size_t n = h->len - h->pos;
	return n > LINE_MAX_BYTES && !memmem(h->buf + h->pos, LINE_MAX_BYTES, "\r\n", 2);
}

static bool reader_feed_piece(struct redis_reader *r) {
	if (line_is_endless(r->hiredis)) {
		snprintf(r->why, sizeof r->why, "the answer is not Redis' protocol (a line without an end)");
		return false;
	}
	struct sl_slice piece = slice_sub(r->rest, 0, PIECE);
	r->rest = slice_from(r->rest, piece.n);
	r->bytes += piece.n;
	if (r->bytes > r->limits.reply_bytes + PIECE) {
		snprintf(r->why, sizeof r->why, "a reply is larger than %zu bytes", r->limits.reply_bytes);
		return false;
	}
	return redisReaderFeed(r->hiredis, piece.p, piece.n) == REDIS_OK;
}

int redis_reader_next(struct redis_reader *r, const struct redis_reply **reply) {
	if (r->handed_out) {
		sl_arena_reset(&r->arena);
		r->handed_out = false;
		r->parts = r->bytes = 0;
	}
	if (r->why[0]) return SL_EPROTOCOL;
	for (;;) {
		void *got = NULL;
		if (redisReaderGetReply(r->hiredis, &got) != REDIS_OK) return reader_fail(r);
		if (got) {
			r->handed_out = true;
			*reply = got;
			return 1;
		}
		if (r->rest.n == 0) return 0;
		if (!reader_feed_piece(r)) return reader_fail(r);
	}
}

/* ---- Requests. ---- */

static void put_number_line(struct sl_buf *out, char kind, size_t n) {
	char digits[SL_FORMAT_I64_MAX];
	size_t len = sl_format_u64(n, digits);
	char *p = sl_buf_add(out, len + 3);
	*p++ = kind;
	memcpy(p, digits, len);
	memcpy(p + len, "\r\n", 2);
}

void redis_put_head(struct sl_buf *out, size_t args) { put_number_line(out, '*', args); }

void redis_put_arg(struct sl_buf *out, struct sl_slice arg) {
	put_number_line(out, '$', arg.n);
	char *p = sl_buf_add(out, arg.n + 2);
	if (arg.n) memcpy(p, arg.p, arg.n);
	memcpy(p + arg.n, "\r\n", 2);
}

void redis_put(struct sl_buf *out, const char *first, ...) {
	va_list ap;
	size_t n = 0;
	va_start(ap, first);
	for (const char *arg = first; arg; arg = va_arg(ap, const char *)) n++;
	va_end(ap);
	redis_put_head(out, n);
	va_start(ap, first);
	for (const char *arg = first; arg; arg = va_arg(ap, const char *)) redis_put_arg(out, slice_from_str(arg));
	va_end(ap);
}

static size_t walk_number(const char **p) {
	size_t n = 0;
	for ((*p)++; **p != '\r'; (*p)++) n = n * 10 + (size_t)(**p - '0');
	*p += 2;
	return n;
}

uint32_t redis_walk_head(const char **p) { return (uint32_t)walk_number(p); }

struct sl_slice redis_walk_arg(const char **p) {
	size_t n = walk_number(p);
	struct sl_slice arg = slice_make(*p, n);
	*p += n + 2;
	return arg;
}

void redis_show(struct sl_slice text, struct sl_buf *out) {
	for (size_t i = 0; i < text.n && i < SHOWN_MAX; i++) {
		unsigned char c = (unsigned char)text.p[i];
		sl_buf_put(out, c >= 0x20 && c < 0x7f ? (char)c : '?');
	}
	if (text.n > SHOWN_MAX) sl_buf_append_str(out, "...");
}

void redis_show_advice(struct sl_slice text, const char *advice, struct sl_buf *out) {
	redis_show(text, out);
	if (!advice) return;
	if (out->n && out->p[out->n - 1] == '.') out->n--;
	sl_buf_printf(out, "; %s", advice);
}
