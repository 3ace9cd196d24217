/* redis_source_read.c: what is asked for and what comes; see redis_source.h. */
#include "conv.h"
#include "mem.h"
#include "redis_source.h"
#include "sql_value.h"

#define MOVES 32      /* of a list, asked for at once */
#define WAIT_MS "500" /* so long a server waits for something to come; a stop waits for it */
#define WAIT_S "0.5"

#define MB (1024 * 1024)
#define SEVERAL_BYTES (32 * MB)
#define GROW_BYTES (4 * MB) /* an answer of this size is large enough */

const struct redis_limits redis_limits_several = {
    .reply_bytes = SEVERAL_BYTES, .reply_parts = 200000, .text_bytes = 512 * MB};
/* What Redis stores at most in one value. */
static const struct redis_limits limits_one = {.reply_bytes = 512 * MB, .reply_parts = 4 * MB, .text_bytes = 512 * MB};

static void lost(struct redis_request *q, int status, const char *text) {
	(void)q, (void)status, (void)text; /* the link's on_down() follows */
}

static void heard(struct redis_source *r) { r->heard_ms = sl_loop_now_ms(sl_source_loop(r->s)); }

/* False: it was, and the links are closed. */
static bool no_error(struct redis_source *r, const struct redis_reply *reply, const char *what) {
	if (reply->kind != REDIS_ERROR) return true;
	struct sl_buf why = SL_BUF_INIT;
	sl_buf_printf(&why, "%s: ", what);
	redis_show(reply->text, &why);
	redis_source_fail(r, sl_buf_cstr(&why));
	sl_buf_fini(&why);
	return false;
}

/* The same of what was read; the first time it shows that reading works. */
static bool is_read(struct redis_source *r, const struct redis_reply *reply, const char *what) {
	if (!no_error(r, reply, what)) return false;
	if (!r->up)
		sl_source_state(r->s, SL_SOURCE_UP,
				r->mode == REDIS_FROM_CHANNELS ? "Redis keeps nothing of channels" : NULL);
	r->up = true;
	return !r->closing;
}

/* How much the next answer may hold. */
static void limits_set(struct redis_source *r, bool one) {
	r->limits = one ? limits_one : redis_limits_several;
	r->bytes = 0;
}

static void count_adapt(struct redis_source *r, bool cut) {
	if (cut)
		r->count = 1;
	else if (r->bytes > GROW_BYTES)
		r->count = r->count > 1 ? r->count / 2 : 1;
	else if (r->bytes < GROW_BYTES / 2 && r->count < REDIS_SOURCE_COUNT)
		r->count *= 2;
}

static void add_str(struct redis_args *a, const char *text) { redis_args_add(a, slice_from_str(text)); }

/* ---- Streams. ---------------------------------------------------------------------------------------------------------- */

static bool number_read(struct sl_slice text, uint64_t *out) {
	uint64_t n = 0;
	for (size_t i = 0; i < text.n; i++) {
		uint64_t digit = (uint64_t)(text.p[i] - '0');
		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return text.n > 0;
}

/* Both halves of an id may be as large as 64 bits are. */
static bool id_read(struct sl_slice text, uint64_t *ms, uint64_t *seq) {
	ptrdiff_t dash = slice_find_byte(text, '-');
	return dash >= 0 && number_read(slice_sub(text, 0, (size_t)dash), ms) &&
	       number_read(slice_from(text, (size_t)dash + 1), seq);
}

static void json_text(struct sl_buf *out, struct sl_slice text) {
	struct sql_value v = sql_string(text);
	sql_value_json(&v, out);
}

/* All fields stand in the headers; the value is one of them, or all as an object. */
static struct sl_slice fields_value(struct redis_source *r, const struct redis_reply *fields, uint32_t *count) {
	struct sl_slice value = {.p = NULL};
	size_t n = 0;
	sl_buf_clear(&r->value);
	sl_buf_put(&r->value, '{');
	for (uint32_t i = 0; i + 1 < fields->n; i += 2) {
		struct sl_slice name = fields->items[i].text, text = fields->items[i + 1].text;
		SL_GROW(r->headers, n, r->header_cap);
		r->headers[n++] = (struct sl_source_header){name, text};
		r->bytes += name.n + text.n;
		if (r->conf.field && slice_equal_str(name, r->conf.field)) value = text;
		if (i) sl_buf_put(&r->value, ',');
		json_text(&r->value, name);
		sl_buf_put(&r->value, ':');
		json_text(&r->value, text);
	}
	sl_buf_put(&r->value, '}');
	*count = (uint32_t)n;
	return r->conf.field ? value : sl_buf_slice(&r->value);
}

/* [id, [field, value, ...]]; without fields when it was deleted meanwhile: then it has no value. */
static void entry_take(struct redis_source *r, struct sl_source_part *part, const struct redis_reply *entry) {
	struct redis_from *f = redis_from(part);
	struct redis_slot slot = {.ms = 0};
	if (entry->kind != REDIS_LIST || entry->n != 2 || !id_read(entry->items[0].text, &slot.ms, &slot.seq)) return;
	/* We wait so long ourselves that it looks left behind. */
	if (redis_slot_has(f, slot.ms, slot.seq)) return;
	uint32_t headers = 0;
	struct sl_slice value = {.p = NULL};
	if (entry->items[1].kind == REDIS_LIST) value = fields_value(r, &entry->items[1], &headers);
	sl_buf_clear(&r->id);
	sl_buf_printf(&r->id, "%.*s-%.*s", SL_SLICE_ARG(f->key), SL_SLICE_ARG(entry->items[0].text));
	struct sl_source_item item = {.value = value,
				      .headers = r->headers,
				      .header_count = headers,
				      .partition = -1,
				      .offset = -1,
				      .ts_ms = slot.ms <= INT64_MAX ? (int64_t)slot.ms : -1,
				      .ts_type = "append",
				      .topic = f->key,
				      .id = sl_buf_slice(&r->id)};
	sl_source_take(part, &item, redis_entry_take(f, slot.ms, slot.seq));
}

static struct sl_source_part *part_named(struct redis_source *r, struct sl_slice key) {
	for (size_t i = 0; i < r->part_n; i++)
		if (slice_equal(redis_from(r->parts[i])->key, key)) return r->parts[i];
	return NULL;
}

static bool entry_is_whole(const struct redis_reply *entry) {
	if (entry->cut) return false;
	for (uint32_t i = 0; i < entry->n; i++) {
		if (entry->items[i].cut) return false;
		for (uint32_t k = 0; k < entry->items[i].n; k++)
			if (entry->items[i].items[k].cut) return false;
	}
	return true;
}

/* Alone it was asked for, and still it is too large: it stays where it is. */
static void entry_skip(struct redis_source *r, const struct redis_from *f, const struct redis_reply *entry) {
	sl_source_state(r->s, SL_SOURCE_DEGRADED,
			"entry %.*s of `%.*s` is too large to be read (more than %d MB); it is left out, and not "
			"acknowledged",
			SL_SLICE_ARG(entry->n ? entry->items[0].text : SL_SLICE_EMPTY), SL_SLICE_ARG(f->key),
			(int)(limits_one.reply_bytes / MB));
}

/* Up to the first that is cut off. */
static void entries_take(struct redis_source *r, struct sl_source_part *part, const struct redis_reply *entries) {
	struct redis_from *f = redis_from(part);
	bool alone = r->limits.reply_bytes == limits_one.reply_bytes;
	for (uint32_t i = 0; i < entries->n; i++) {
		const struct redis_reply *entry = &entries->items[i];
		bool whole = entry_is_whole(entry);
		if (!whole && !alone) return;
		if (entry->n) (void)id_read(entry->items[0].text, &f->ms, &f->seq);
		if (whole)
			entry_take(r, part, entry);
		else
			entry_skip(r, f, entry);
	}
}

/* [[key, [entry, ...]], ...]; nil: nothing came. A stream whose past gives nothing more goes on with what is new. */
static void streams_read(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, read);
	heard(r);
	r->reading = false;
	if (!is_read(r, reply, "XREADGROUP")) return;
	for (uint32_t i = 0; reply->kind == REDIS_LIST && i < reply->n; i++) {
		const struct redis_reply *one = &reply->items[i];
		if (one->kind != REDIS_LIST || one->n != 2) continue;
		struct sl_source_part *part = part_named(r, one->items[0].text);
		const struct redis_reply *entries = &one->items[1];
		if (!part || entries->kind != REDIS_LIST) continue;
		if (entries->n == 0 && !entries->cut) redis_from(part)->history = false;
		entries_take(r, part, entries);
	}
	/* What was cut off is ours by now: it comes once more as what was read before, fewer at once. */
	for (size_t i = 0; reply->cut && i < r->part_n; i++) redis_from(r->parts[i])->history = true;
	count_adapt(r, reply->cut);
	sl_source_flush(r->s);
	redis_source_read(r);
}

/* When single messages are too large for several in an answer, so may be those of several streams. */
static size_t streams_choose(struct redis_source *r, bool *history) {
	*history = false;
	for (size_t i = 0; i < r->part_n; i++) {
		if (!redis_from(r->parts[i])->history) continue;
		*history = true;
		if (r->count == 1) return i;
	}
	return r->part_n;
}

static void streams_ask(struct redis_source *r) {
	struct redis_args a;
	bool history;
	size_t only = streams_choose(r, &history), n = only < r->part_n ? 1 : r->part_n;
	struct sl_source_part **part = r->parts + (n == 1 ? only % r->part_n : 0);
	limits_set(r, n == 1 && r->count == 1);
	redis_args_init(&a);
	add_str(&a, "XREADGROUP");
	add_str(&a, "GROUP");
	add_str(&a, r->conf.group);
	add_str(&a, r->conf.consumer);
	add_str(&a, "COUNT");
	redis_args_number(&a, (int64_t)r->count);
	if (!history) {
		add_str(&a, "BLOCK");
		add_str(&a, WAIT_MS);
	}
	add_str(&a, "STREAMS");
	for (size_t i = 0; i < n; i++) redis_args_add(&a, redis_from(part[i])->key);
	for (size_t i = 0; i < n; i++) {
		const struct redis_from *f = redis_from(part[i]);
		if (f->history)
			redis_args_add(&a, sl_arena_printf(&a.texts, "%llu-%llu", (unsigned long long)f->ms,
							   (unsigned long long)f->seq));
		else
			add_str(&a, ">");
	}
	redis_args_put(&a, redis_link_out(&r->in));
	redis_args_fini(&a);
	r->read = (struct redis_request){.on_reply = streams_read, .on_lost = lost};
	redis_link_push(&r->in, &r->read, 1);
}

/* Reading goes on without it. */
static void claim_failed(struct redis_source *r, struct sl_slice text) {
	struct sl_buf why = SL_BUF_INIT;
	redis_show(text, &why);
	sl_source_state(r->s, SL_SOURCE_DEGRADED,
			"XAUTOCLAIM, which Redis has since 6.2 (or set `claim_after: unlimited`): %s",
			sl_buf_cstr(&why));
	sl_buf_fini(&why);
	r->claim_bad = true;
}

/* [next, [entry, ...], deleted] */
static void claimed(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, claim);
	heard(r);
	r->claiming = false;
	if (r->closing) return;
	if (reply->kind == REDIS_ERROR) {
		claim_failed(r, reply->text);
		return;
	}
	if (r->claim_bad) sl_source_state(r->s, SL_SOURCE_UP, NULL);
	r->claim_bad = false;
	if (reply->kind != REDIS_LIST || reply->n < 2 || reply->items[1].kind != REDIS_LIST) return;
	struct sl_source_part *part = r->parts[r->claimed];
	if (reply->cut) {
		/* It is ours now: all of it is read as what was ours before, without what is under way. */
		struct redis_from *f = redis_from(part);
		f->history = true;
		f->ms = f->seq = 0;
		r->count = 1;
	} else
		for (uint32_t i = 0; i < reply->items[1].n; i++) entry_take(r, part, &reply->items[1].items[i]);
	sl_source_flush(r->s);
	r->claimed = (r->claimed + 1) % r->part_n;
}

void redis_source_claim(struct redis_source *r) {
	if (r->mode != REDIS_FROM_STREAMS || r->conf.claim_ms == CONF_UNLIMITED || r->claiming || r->paused) return;
	if (!r->began || redis_from(r->parts[r->claimed])->history) return;
	struct redis_args a;
	redis_args_init(&a);
	add_str(&a, "XAUTOCLAIM");
	redis_args_add(&a, redis_from(r->parts[r->claimed])->key);
	add_str(&a, r->conf.group);
	add_str(&a, r->conf.consumer);
	redis_args_number(&a, r->conf.claim_ms);
	add_str(&a, "0-0");
	add_str(&a, "COUNT");
	redis_args_number(&a, (int64_t)r->count);
	redis_args_put(&a, redis_link_out(&r->out));
	redis_args_fini(&a);
	r->claiming = true;
	r->claim = (struct redis_request){.on_reply = claimed, .on_lost = lost};
	redis_link_push(&r->out, &r->claim, 1);
}

/* ---- A list. --------------------------------------------------------------------------------------------------------------- */

static void value_take(struct redis_source *r, struct sl_slice text) {
	struct redis_from *f = redis_from(r->parts[0]);
	r->bytes += text.n;
	struct redis_slot slot = {.value = sl_memdup0(text.p, text.n), .n = text.n};
	struct sl_source_item item = {.value = text, .partition = -1, .offset = -1, .ts_ms = -1, .topic = f->key};
	sl_source_take(r->parts[0], &item, redis_slot_take(f, &slot));
}

/* What lies in our own list was taken before a restart; the oldest is at its right end. */
static void leftovers_read(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, read);
	struct redis_from *f = redis_from(r->parts[0]);
	heard(r);
	r->reading = false;
	if (!is_read(r, reply, "LRANGE")) return;
	uint32_t n = reply->kind == REDIS_LIST ? reply->n : 0;
	bool again = reply->cut && r->count > 1; /* not even the oldest is whole */
	for (uint32_t i = again ? 0 : n; i > 0; i--) value_take(r, reply->items[i - 1].text);
	f->history = again || n == r->count;
	if (!again) f->ms += n;
	count_adapt(r, reply->cut);
	sl_source_flush(r->s);
	if (!f->history) redis_acks_send(r);
	redis_source_read(r);
}

static void moved(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, read);
	heard(r);
	r->reading = q->replies > 0;
	if (!is_read(r, reply, "BLMOVE, which Redis has since 6.2")) return;
	if (reply->kind == REDIS_TEXT) value_take(r, reply->text);
	if (r->reading) return;
	count_adapt(r, false);
	sl_source_flush(r->s);
	redis_source_read(r);
}

static void list_ask(struct redis_source *r) {
	struct sl_buf *out = redis_link_out(&r->in);
	struct redis_from *f = redis_from(r->parts[0]);
	char *pending = redis_source_pending_key(r);
	uint32_t replies = 1;
	r->read = (struct redis_request){.on_reply = moved, .on_lost = lost};
	limits_set(r, !f->history || r->count == 1);
	if (f->history) {
		char *first = sl_asprintf("-%llu", (unsigned long long)f->ms + r->count);
		char *last = sl_asprintf("-%llu", (unsigned long long)f->ms + 1);
		redis_put(out, "LRANGE", pending, first, last, NULL);
		r->read.on_reply = leftovers_read;
		sl_free(first);
		sl_free(last);
	} else {
		/* The first waits when there is nothing; those behind it take what came meanwhile, and wait no more. */
		const char *end = r->conf.end ? "LEFT" : "RIGHT";
		redis_put(out, "BLMOVE", r->conf.list, pending, end, "LEFT", WAIT_S, NULL);
		for (; replies < MOVES && replies < r->count; replies++)
			redis_put(out, "LMOVE", r->conf.list, pending, end, "LEFT", NULL);
	}
	sl_free(pending);
	redis_link_push(&r->in, &r->read, replies);
}

/* ---- Channels. --------------------------------------------------------------------------------------------------------------- */

/* [message, channel, text], [pmessage, pattern, channel, text]; what else comes are answers to our commands. */
static void said(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, read);
	heard(r);
	q->replies = UINT32_MAX;
	if (!is_read(r, reply, "SUBSCRIBE")) return;
	if (reply->kind != REDIS_LIST || reply->n < 3) return;
	bool plain = slice_equal_str(reply->items[0].text, "message");
	if (!plain && !slice_equal_str(reply->items[0].text, "pmessage")) return;
	if (r->paused) {
		r->lost++;
		return;
	}
	struct sl_source_item item = {.value = reply->items[reply->n - 1].text,
				      .partition = -1,
				      .offset = -1,
				      .ts_ms = -1,
				      .topic = reply->items[reply->n - 2].text};
	struct redis_slot slot = {.ms = 0};
	sl_source_take(r->parts[0], &item, redis_slot_take(redis_from(r->parts[0]), &slot));
	sl_source_flush(r->s);
}

static void subscribe(struct redis_source *r, const char *command, const struct conf_list *names) {
	struct redis_args a;
	if (names->len == 0) return;
	redis_args_init(&a);
	add_str(&a, command);
	for (size_t i = 0; i < names->len; i++) add_str(&a, names->items[i]);
	redis_args_put(&a, redis_link_out(&r->in));
	redis_args_fini(&a);
}

static void channels_ask(struct redis_source *r) {
	subscribe(r, "SUBSCRIBE", &r->conf.channels);
	subscribe(r, "PSUBSCRIBE", &r->conf.patterns);
	limits_set(r, true);
	r->read = (struct redis_request){.on_reply = said, .on_lost = lost};
	redis_link_push(&r->in, &r->read, UINT32_MAX);
}

/* A subscriber's connection says nothing for hours; this it answers. */
void redis_source_ping(struct redis_source *r) {
	if (r->mode != REDIS_FROM_CHANNELS || r->in.state != REDIS_LINK_READY) return;
	redis_put(redis_link_out(&r->in), "PING", NULL);
}

/* ---- All. --------------------------------------------------------------------------------------------------------------------- */

static void began(struct redis_source *r) {
	r->began = true;
	redis_source_read(r);
}

static void group_made(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, read);
	heard(r);
	bool there = reply->kind == REDIS_ERROR && slice_starts_with(reply->text, SL_SLICE_LIT("BUSYGROUP"));
	if (!there && !no_error(r, reply, "XGROUP CREATE")) return;
	if (q->replies == 0) began(r);
}

void redis_source_begin(struct redis_source *r) {
	const char *start = strcmp(r->conf.start, "earliest") == 0 ? "0"
			    : strcmp(r->conf.start, "latest") == 0 ? "$"
								   : r->conf.start;
	heard(r);
	if (r->mode != REDIS_FROM_STREAMS) {
		began(r);
		return;
	}
	for (size_t i = 0; i < r->conf.streams.len; i++)
		redis_put(redis_link_out(&r->in), "XGROUP", "CREATE", r->conf.streams.items[i], r->conf.group, start,
			  "MKSTREAM", NULL);
	r->read = (struct redis_request){.on_reply = group_made, .on_lost = lost};
	redis_link_push(&r->in, &r->read, (uint32_t)r->conf.streams.len);
}

void redis_source_read(struct redis_source *r) {
	if (r->reading || !r->began || r->closing || r->in.state != REDIS_LINK_READY) return;
	if (r->paused && r->mode != REDIS_FROM_CHANNELS) return;
	r->reading = true;
	heard(r);
	switch (r->mode) {
	case REDIS_FROM_STREAMS: streams_ask(r); break;
	case REDIS_FROM_LIST: list_ask(r); break;
	case REDIS_FROM_CHANNELS: channels_ask(r); break;
	}
}
