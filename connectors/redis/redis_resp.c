/* redis_resp.c: see redis_resp.h. */
#include "redis_resp.h"

#include <hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "conv.h"
#include "mem.h"

enum {
	PIECE = 4096, /* hiredis gets no more at once: what it has read it moves out of its buffer every 1024 bytes */
	HELD = 4096,  /* of this size or larger a text that is not whole yet goes around hiredis */
	SPARE = 16 * 1024, /* a buffer of hiredis that is larger goes when it is empty */
	LINE_MAX_BYTES = 64 * 1024,
	LINE_KEPT = 64,  /* of a line, where nothing more is kept: enough for an error's first words */
	BIG = 16 * 1024, /* a text of this size has memory of its own, given back with the reply */
	SHOWN_MAX = 200,
	ARGS_KEPT = 4096,       /* of arguments: room for so many */
	TEXTS_KEPT = 64 * 1024, /* and texts of so many bytes stay for the next command */
};

const struct redis_limits redis_limits_small = {
    .reply_bytes = 16 * 1024 * 1024, .reply_parts = 200000, .text_bytes = 4096};

struct redis_big {
	struct redis_big *next;
	char bytes[];
};

/* As sl_alloc() does it. */
static sl_noreturn void out_of_memory(void) {
	fprintf(stderr, "out of memory: hiredis was refused some; give the process more memory or lower its limits\n");
	abort();
}

/* ---- What is kept. ---- */

static void bigs_free(struct redis_reader *r) {
	for (struct redis_big *b = r->bigs, *next; b; b = next) {
		next = b->next;
		sl_free(b);
	}
	r->bigs = NULL;
}

static char *text_room(struct redis_reader *r, size_t n) {
	if (n < BIG) return sl_arena_alloc(&r->arena, n + 1);
	struct redis_big *b = sl_alloc(sizeof *b + n + 1);
	b->next = r->bigs;
	r->bigs = b;
	return b->bytes;
}

/* Where this item goes; &r->skipped, which hiredis takes for an item as any other, when its list is left out. */
static struct redis_reply *place_of(struct redis_reader *r, const redisReadTask *task) {
	const struct redis_reply *list = task->parent ? task->parent->obj : NULL;
	if (!list) return &r->root;
	return list->items ? &list->items[task->idx] : &r->skipped;
}

/* Memory for what is kept of a text of n bytes; of a line the beginning always is. */
static char *text_place(struct redis_reader *r, struct redis_reply *place, uint64_t n, size_t least) {
	size_t room = r->limits->reply_bytes - sl_min_size(r->bytes, r->limits->reply_bytes);
	room = sl_min_size(r->limits->text_bytes, sl_max_size(room, least));
	size_t kept = n < room ? (size_t)n : room;
	place->cut = kept < n;
	r->cut = r->cut || place->cut;
	r->bytes += kept;
	char *p = text_room(r, kept);
	p[kept] = '\0';
	place->text = slice_make(p, kept);
	return p;
}

/* ---- What is no reply. ---- */

static int not_redis(struct redis_reader *r, struct sl_slice seen, const char *said) {
	struct sl_buf text = SL_BUF_INIT;
	redis_show(slice_sub(seen, 0, LINE_KEPT), &text);
	snprintf(r->why, sizeof r->why, "the answer is not Redis' protocol: %s%s%s%s", sl_buf_cstr(&text),
		 said[0] && text.n ? " (" : "", said, said[0] && text.n ? ")" : "");
	sl_buf_fini(&text);
	return SL_EPROTOCOL;
}

/* hiredis has given up; so many bytes it had before it looked on. */
static int refused(struct redis_reader *r, size_t before) {
	const char *said = r->hiredis->errstr;
	if (r->why[0]) return SL_EPROTOCOL; /* one of ours made it give up */
	if (strstr(said, "nested")) {
		snprintf(r->why, sizeof r->why,
			 "the answer has lists in lists, more than 8 deep, which hiredis does not read; let the script "
			 "return less, or one text (cjson.encode)");
		r->too_deep = true;
		return SL_ELIMIT;
	}
	return not_redis(r, slice_from(r->piece, r->piece.n - sl_min_size(before, r->piece.n)), said);
}

/* ---- Items: what hiredis calls for each. NULL makes it give up. ---- */

static void *item_make(const redisReadTask *task, enum redis_reply_kind kind) {
	struct redis_reply *place = place_of(task->privdata, task);
	*place = (struct redis_reply){.kind = kind};
	return place;
}

static void *text_refuse(struct redis_reader *r, const char *why) {
	(void)not_redis(r, SL_SLICE_EMPTY, why);
	return NULL;
}

static void *text_make(const redisReadTask *task, char *text, size_t n) {
	struct redis_reader *r = task->privdata;
	bool is_text = task->type == REDIS_REPLY_STRING;
	struct redis_reply *place = item_make(task, is_text                            ? REDIS_TEXT
						    : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
										       : REDIS_ERROR);
	if (is_text && r->text_taken) {
		r->text_taken = false;
		if (place != &r->skipped) *place = r->taken;
		return place;
	}
	if (!is_text && n > LINE_MAX_BYTES) return text_refuse(r, "a line without an end");
	/* hiredis looks only at how many bytes there are. */
	if (is_text && (n >= r->hiredis->len || memcmp(text + n, "\r\n", 2) != 0))
		return text_refuse(r, "what follows a text does not belong there");
	if (place == &r->skipped) return place;
	char *p = text_place(r, place, n, is_text ? 0 : LINE_KEPT);
	if (place->text.n) memcpy(p, text, place->text.n);
	return place;
}

static void *number_make(const redisReadTask *task, long long n) {
	struct redis_reply *place = item_make(task, REDIS_NUMBER);
	place->number = n;
	return place;
}

static void *nil_make(const redisReadTask *task) { return item_make(task, REDIS_NIL); }

static void *list_make(const redisReadTask *task, int n) {
	struct redis_reader *r = task->privdata;
	struct redis_reply *place = item_make(task, REDIS_LIST);
	if (n == 0) return place;
	place->cut =
	    place == &r->skipped || (size_t)n > r->limits->reply_parts - sl_min_size(r->parts, r->limits->reply_parts);
	r->cut = r->cut || place->cut;
	if (!place->cut) {
		place->n = (uint32_t)n;
		place->items = SL_ARENA_ARRAY(&r->arena, struct redis_reply, place->n);
		r->parts += place->n;
	}
	return place;
}

static void item_free(void *item) { (void)item; /* the arena's */ }

static redisReplyObjectFunctions functions = {.createString = text_make,
					      .createArray = list_make,
					      .createInteger = number_make,
					      .createNil = nil_make,
					      .freeObject = item_free};

/* ---- Texts that go around hiredis. ---- */

/* 1: it is whole, 0: more of it is to come. */
static int text_go_on(struct redis_reader *r, struct sl_slice *from) {
	size_t n = r->left < from->n ? (size_t)r->left : from->n;
	size_t kept = sl_min_size(n, r->room);
	if (kept) {
		memcpy(r->into, from->p, kept);
		r->into += kept;
		r->room -= kept;
	}
	r->left -= n;
	*from = slice_from(*from, n);
	if (r->left) return 0;
	for (; r->end_left; r->end_left--) {
		if (from->n == 0) return 0;
		if (from->p[0] != "\n\r"[r->end_left - 1])
			return not_redis(r, SL_SLICE_EMPTY, "what follows a text does not belong there");
		*from = slice_from(*from, 1);
	}
	r->in_text = false;
	return 1;
}

/* hiredis waits for something. When that is a large text, whose length stands in its buffer ("5000\r\n", the '$' is read), what it
 * has of it is taken away, and in its place it gets, as soon as the text is through, an empty one: text_make() knows what that
 * stands for. */
static int text_begin(struct redis_reader *r) {
	redisReader *h = r->hiredis;
	if (h->ridx < 0) return 0;
	const redisReadTask *task = &h->rstack[h->ridx];
	struct sl_slice seen = slice_make(h->buf + h->pos, h->len - h->pos);
	bool is_text = task->type == REDIS_REPLY_STRING;
	ptrdiff_t end = is_text ? slice_find(seen, SL_SLICE_LIT("\r\n")) : -1;
	int64_t n;
	if (end < 0) return seen.n > LINE_MAX_BYTES + 1 ? not_redis(r, SL_SLICE_EMPTY, "a line without an end") : 0;
	if (slice_to_i64(slice_sub(seen, 0, (size_t)end), &n) != SL_OK || n < (int64_t)r->held) return 0;
	r->taken = (struct redis_reply){.kind = REDIS_TEXT};
	r->into = place_of(r, task) == &r->skipped ? NULL : text_place(r, &r->taken, (uint64_t)n, 0);
	r->room = r->taken.text.n;
	r->left = (uint64_t)n;
	r->end_left = 2;
	r->in_text = true;
	seen = slice_from(seen, (size_t)end + 2);
	h->pos = h->len;
	return text_go_on(r, &seen);
}

static int text_end(struct redis_reader *r) {
	static const char nothing[] = "0\r\n\r\n";
	int got = text_go_on(r, &r->rest);
	if (got != 1) return got;
	r->text_taken = true;
	r->piece = SL_SLICE_EMPTY;
	return redisReaderFeed(r->hiredis, nothing, sizeof nothing - 1) == REDIS_OK ? 1 : refused(r, 0);
}

/* ---- Replies. ---- */

void redis_reader_init(struct redis_reader *r, const struct redis_limits *limits) {
	*r = (struct redis_reader){.limits = limits, .held = HELD, .parts = 1};
	sl_arena_init(&r->arena, 1024);
	r->hiredis = redisReaderCreateWithFunctions(&functions);
	if (!r->hiredis) out_of_memory();
	r->hiredis->privdata = r;
	r->hiredis->maxbuf = SPARE;
}

void redis_reader_fini(struct redis_reader *r) {
	redisReaderFree(r->hiredis);
	bigs_free(r);
	sl_arena_fini(&r->arena);
}

void redis_reader_feed(struct redis_reader *r, struct sl_slice bytes) { r->rest = bytes; }

static int piece_feed(struct redis_reader *r) {
	r->piece = slice_sub(r->rest, 0, PIECE);
	r->rest = slice_from(r->rest, r->piece.n);
	return redisReaderFeed(r->hiredis, r->piece.p, r->piece.n) == REDIS_OK ? 1 : refused(r, 0);
}

/* Looks on in what hiredis has. 1: a reply. */
static int reply_find(struct redis_reader *r) {
	size_t before = r->hiredis->len - r->hiredis->pos;
	void *reply;
	if (before == 0) return 0;
	if (redisReaderGetReply(r->hiredis, &reply) != REDIS_OK) return refused(r, before);
	return reply ? 1 : text_begin(r);
}

static void reply_drop(struct redis_reader *r) {
	sl_arena_reset(&r->arena);
	bigs_free(r);
	r->handed_out = r->cut = false;
	r->parts = 1;
	r->bytes = 0;
}

int redis_reader_next(struct redis_reader *r, const struct redis_reply **reply) {
	if (r->handed_out) reply_drop(r);
	if (r->why[0]) return r->too_deep ? SL_ELIMIT : SL_EPROTOCOL;
	for (;;) {
		int got = r->in_text ? text_end(r) : 1;
		if (got == 1) got = reply_find(r);
		if (got < 0) return got;
		if (got == 1) {
			r->root.cut = r->cut;
			r->handed_out = true;
			*reply = &r->root;
			return 1;
		}
		if (r->rest.n == 0) return 0;
		if (!r->in_text && (got = piece_feed(r)) < 0) return got;
	}
}

/* ---- Requests. ---- */

void redis_args_init(struct redis_args *a) {
	a->at = a->few_at;
	a->len = a->few_len;
	a->n = a->made = 0;
	a->cap = SL_ARRAY_LEN(a->few_at);
	sl_arena_init(&a->texts, 1024);
}

void redis_args_fini(struct redis_args *a) {
	if (a->at != a->few_at) {
		sl_free(a->at);
		sl_free(a->len);
	}
	sl_arena_fini(&a->texts);
}

void redis_args_clear(struct redis_args *a) {
	if (a->cap > ARGS_KEPT || a->made > TEXTS_KEPT) {
		redis_args_fini(a);
		redis_args_init(a);
		return;
	}
	a->n = a->made = 0;
	sl_arena_reset(&a->texts);
}

static void args_grow(struct redis_args *a) {
	bool few = a->at == a->few_at;
	a->cap *= 2;
	a->at = sl_realloc_array(few ? NULL : a->at, a->cap, sizeof *a->at);
	a->len = sl_realloc_array(few ? NULL : a->len, a->cap, sizeof *a->len);
	if (!few) return;
	memcpy(a->at, a->few_at, sizeof a->few_at);
	memcpy(a->len, a->few_len, sizeof a->few_len);
}

void redis_args_add(struct redis_args *a, struct sl_slice arg) {
	if (a->n == a->cap) args_grow(a);
	a->at[a->n] = arg.p ? arg.p : "";
	a->len[a->n++] = arg.n;
}

void *redis_args_room(struct redis_args *a, size_t size) {
	a->made += size;
	return sl_arena_alloc(&a->texts, size);
}

void redis_args_number(struct redis_args *a, int64_t n) {
	char *text = redis_args_room(a, SL_FORMAT_I64_MAX);
	redis_args_add(a, slice_make(text, sl_format_i64(n, text)));
}

/* The variant whose result may be larger than an int says. */
static void format(sds *text, size_t n, const char **at, const size_t *len) {
	*text = NULL;
	(void)redisFormatSdsCommandArgv(text, (int)n, at, len);
	if (!*text) out_of_memory();
}

void redis_args_put(const struct redis_args *a, struct sl_buf *out) {
	sds text;
	format(&text, a->n, a->at, a->len);
	sl_buf_append(out, text, sdslen(text));
	redisFreeSdsCommand(text);
}

/* "$5\r\nhello\r\n" */
static size_t written_size(size_t len) {
	size_t n = len + sizeof "$0\r\n\r\n" - 1;
	for (; len > 9; len /= 10) n++;
	return n;
}

void redis_put_between(struct sl_buf *out, const struct sl_slice *ready, const char **at, const size_t *len, size_t n) {
	sds text;
	sl_buf_append_slice(out, ready[0]);
	format(&text, n, at, len);
	const char *p = strchr(text, '\n') + 1; /* behind its head */
	for (size_t i = 0; i < n; i++) {
		size_t size = written_size(len[i]);
		sl_buf_append(out, p, size);
		sl_buf_append_slice(out, ready[i + 1]);
		p += size;
	}
	redisFreeSdsCommand(text);
}

void redis_put_texts(struct sl_buf *out, const struct sl_slice *text, size_t n) {
	struct redis_args a;
	redis_args_init(&a);
	for (size_t i = 0; i < n; i++) redis_args_add(&a, text[i]);
	redis_args_put(&a, out);
	redis_args_fini(&a);
}

void redis_put(struct sl_buf *out, const char *first, ...) {
	struct redis_args a;
	va_list ap;
	redis_args_init(&a);
	va_start(ap, first);
	for (const char *arg = first; arg; arg = va_arg(ap, const char *)) redis_args_add(&a, slice_from_str(arg));
	va_end(ap);
	redis_args_put(&a, out);
	redis_args_fini(&a);
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
