/* redis_resp.c: see redis_resp.h. */
#include "redis_resp.h"

#include <stdarg.h>
#include <stdio.h>

#include "conv.h"
#include "mem.h"

enum {
	LINE_MAX_BYTES = 64 * 1024,
	LINE_KEPT = 64,         /* of a line, where nothing more is kept: enough for an error's first words */
	LEVELS_KEPT = 32,       /* lists in lists; what lies deeper is left out */
	LEVELS_MAX = 32 * 1024, /* a script of Redis gets to 8,000 */
	BIG = 16 * 1024,        /* a text of this size has memory of its own, given back with the reply */
	SHOWN_MAX = 200,
};

const struct redis_limits redis_limits_small = {
    .reply_bytes = 16 * 1024 * 1024, .reply_parts = 200000, .text_bytes = 4096};

struct redis_level {
	struct redis_reply *next; /* where the next item goes; NULL: the list is left out */
	uint64_t left;            /* how many are still to come */
};
struct redis_big {
	struct redis_big *next;
	char bytes[];
};

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

static struct redis_reply *place_next(struct redis_reader *r) {
	struct redis_reply **next = r->levels ? &r->level[r->levels - 1].next : NULL;
	struct redis_reply *place = !next ? &r->root : *next ? (*next)++ : &r->skipped;
	*place = (struct redis_reply){0};
	return place;
}

/* Memory for what is kept of a text of n bytes; of a line the beginning always is. */
static char *text_place(struct redis_reader *r, struct redis_reply *place, uint64_t n, size_t least) {
	if (place == &r->skipped) return NULL;
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

/* ---- Items. Each function gives 1 when its item is whole, 0 when more is to come, else an error. ---- */

static int not_redis(struct redis_reader *r, struct sl_slice shown) {
	struct sl_buf text = SL_BUF_INIT;
	redis_show(slice_sub(shown, 0, LINE_KEPT), &text);
	snprintf(r->why, sizeof r->why, "the answer is not Redis' protocol: %s", sl_buf_cstr(&text));
	sl_buf_fini(&text);
	return SL_EPROTOCOL;
}

static int line_item(struct redis_reader *r, enum redis_reply_kind kind, struct sl_slice text) {
	struct redis_reply *place = place_next(r);
	char *p = text_place(r, place, text.n, LINE_KEPT);
	place->kind = kind;
	if (p) memcpy(p, text.p, place->text.n);
	return 1;
}

static int number_item(struct redis_reader *r, int64_t n) {
	struct redis_reply *place = place_next(r);
	place->kind = REDIS_NUMBER;
	place->number = n;
	return 1;
}

static int nil_item(struct redis_reader *r) {
	place_next(r)->kind = REDIS_NIL;
	return 1;
}

static int text_go_on(struct redis_reader *r) {
	size_t n = r->left < r->rest.n ? (size_t)r->left : r->rest.n;
	size_t kept = sl_min_size(n, r->room);
	if (kept) {
		memcpy(r->into, r->rest.p, kept);
		r->into += kept;
		r->room -= kept;
	}
	r->left -= n;
	r->rest = slice_from(r->rest, n);
	if (r->left) return 0;
	for (; r->end_left; r->end_left--) {
		if (r->rest.n == 0) return 0;
		if (r->rest.p[0] != "\n\r"[r->end_left - 1])
			return not_redis(r, SL_SLICE_LIT("what follows a text does not belong there"));
		r->rest = slice_from(r->rest, 1);
	}
	r->in_text = false;
	return 1;
}

static int text_item(struct redis_reader *r, int64_t n) {
	struct redis_reply *place = place_next(r);
	place->kind = REDIS_TEXT;
	r->into = text_place(r, place, (uint64_t)n, 0);
	r->room = place->text.n;
	r->left = (uint64_t)n;
	r->end_left = 2;
	r->in_text = true;
	return text_go_on(r);
}

static int list_item(struct redis_reader *r, int64_t n) {
	struct redis_reply *place = place_next(r);
	place->kind = REDIS_LIST;
	if (n == 0) return 1;
	if (r->levels == LEVELS_MAX) return not_redis(r, SL_SLICE_LIT("lists in lists without an end"));
	place->cut = place == &r->skipped || r->levels >= LEVELS_KEPT ||
		     (uint64_t)n > r->limits->reply_parts - sl_min_size(r->parts, r->limits->reply_parts);
	r->cut = r->cut || place->cut;
	if (!place->cut) {
		place->n = (uint32_t)n;
		place->items = SL_ARENA_ARRAY(&r->arena, struct redis_reply, place->n);
		r->parts += place->n;
	}
	SL_GROW(r->level, r->levels, r->level_cap);
	r->level[r->levels++] = (struct redis_level){.next = place->items, .left = (uint64_t)n};
	return 0;
}

static int item_begin(struct redis_reader *r, struct sl_slice line) {
	struct sl_slice body = slice_from(line, 1);
	int64_t n;
	if (line.p[0] == '+') return line_item(r, REDIS_STATUS, body);
	if (line.p[0] == '-') return line_item(r, REDIS_ERROR, body);
	if (slice_to_i64(body, &n) != SL_OK || (line.p[0] != ':' && n < -1)) return not_redis(r, line);
	if (line.p[0] == ':') return number_item(r, n);
	if (n == -1) return nil_item(r);
	return line.p[0] == '$' ? text_item(r, n) : list_item(r, n);
}

/* ---- Lines. ---- */

/* 1 and a line without its end, which stays until the next call; 0: there is none yet. */
static int line_take(struct redis_reader *r, struct sl_slice *line) {
	if (r->line_used) sl_buf_clear(&r->line);
	r->line_used = false;
	if (r->rest.n == 0) return 0;
	if (r->line.n == 0 && !memchr("+-:$*", r->rest.p[0], 5)) return not_redis(r, r->rest);
	struct sl_slice all = r->rest;
	for (size_t n = 0;;) {
		const char *end = memchr(all.p + n, '\n', all.n - n);
		n = end ? (size_t)(end + 1 - all.p) : all.n;
		if (r->line.n + n > LINE_MAX_BYTES) return not_redis(r, SL_SLICE_LIT("a line without an end"));
		char before = n > 1 ? all.p[n - 2] : r->line.n ? r->line.p[r->line.n - 1] : '\0';
		if (end && before != '\r') continue;
		r->rest = slice_from(all, n);
		if (end && r->line.n == 0) {
			*line = slice_sub(all, 0, n - 2);
			return 1;
		}
		sl_buf_append(&r->line, all.p, n);
		if (!end) return 0;
		r->line_used = true;
		*line = slice_sub(sl_buf_slice(&r->line), 0, r->line.n - 2);
		return 1;
	}
}

/* ---- Replies. ---- */

void redis_reader_init(struct redis_reader *r, const struct redis_limits *limits) {
	*r = (struct redis_reader){.limits = limits, .parts = 1};
	sl_arena_init(&r->arena, 1024);
}

void redis_reader_fini(struct redis_reader *r) {
	bigs_free(r);
	sl_arena_fini(&r->arena);
	sl_buf_fini(&r->line);
	sl_free(r->level);
	r->level = NULL;
}

void redis_reader_feed(struct redis_reader *r, struct sl_slice bytes) { r->rest = bytes; }

/* An item is whole, and with it the lists that it ends. True: so is the reply. */
static bool item_end(struct redis_reader *r) {
	for (; r->levels; r->levels--)
		if (--r->level[r->levels - 1].left > 0) return false;
	return true;
}

int redis_reader_next(struct redis_reader *r, const struct redis_reply **reply) {
	if (r->handed_out) {
		sl_arena_reset(&r->arena);
		bigs_free(r);
		r->handed_out = r->cut = false;
		r->parts = 1;
		r->bytes = 0;
	}
	if (r->why[0]) return SL_EPROTOCOL;
	for (;;) {
		struct sl_slice line = SL_SLICE_EMPTY;
		int got;
		if (r->in_text)
			got = text_go_on(r);
		else if ((got = line_take(r, &line)) == 1)
			got = item_begin(r, line);
		if (got < 0) return got;
		if (got == 1 && item_end(r)) {
			r->root.cut = r->cut;
			r->handed_out = true;
			*reply = &r->root;
			return 1;
		}
		if (got == 0 && r->rest.n == 0) return 0;
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
