/* redis_source_ack.c: what is under way, and what is through; see redis_source.h. */
#include "conv.h"
#include "mem.h"
#include "redis_source.h"

uint64_t redis_slot_take(struct redis_from *f, const struct redis_slot *slot) {
	size_t i;
	if (f->spares > 0) {
		i = f->spare[--f->spares];
	} else {
		SL_GROW(f->slot, f->slots, f->slot_cap);
		i = f->slots++;
	}
	f->slot[i] = *slot;
	f->slot[i].used = true;
	return i;
}

static struct redis_id_slot id_of(uint64_t ms, uint64_t seq) {
	uint64_t id[] = {ms, seq};
	return (struct redis_id_slot){.hash = sl_hash(slice_make((const char *)id, sizeof id)), .ms = ms, .seq = seq};
}

static struct redis_id_slot *id_find(const struct redis_from *f, uint64_t ms, uint64_t seq) {
	struct redis_id_slot id = id_of(ms, seq);
	return redis_id_map_find(&f->ids, id.hash, &id);
}

bool redis_slot_has(const struct redis_from *f, uint64_t ms, uint64_t seq) { return id_find(f, ms, seq); }

uint64_t redis_entry_take(struct redis_from *f, uint64_t ms, uint64_t seq) {
	struct redis_id_slot id = id_of(ms, seq);
	bool was_there;
	struct redis_id_slot *at = redis_id_map_put(&f->ids, id.hash, &id, &was_there);
	at->ms = ms;
	at->seq = seq;
	return redis_slot_take(f, &(struct redis_slot){.ms = ms, .seq = seq});
}

static void ack_stream(struct redis_source *r, struct redis_from *f, const struct redis_slot *slot) {
	char *id = sl_asprintf("%llu-%llu", (unsigned long long)slot->ms, (unsigned long long)slot->seq);
	const struct sl_slice ack[] = {SL_SLICE_LIT("XACK"), f->key, slice_from_str(r->conf.group), slice_from_str(id)};
	redis_put_texts(&f->acks, ack, SL_ARRAY_LEN(ack));
	sl_free(id);
}

/* The oldest of equal ones stands at the right end. */
static void ack_list(struct redis_source *r, struct redis_from *f, const struct redis_slot *slot) {
	char *pending = redis_source_pending_key(r);
	const struct sl_slice ack[] = {SL_SLICE_LIT("LREM"), slice_from_str(pending), SL_SLICE_LIT("-1"),
				       slice_make(slot->value, slot->n)};
	redis_put_texts(&f->acks, ack, SL_ARRAY_LEN(ack));
	sl_free(pending);
}

void redis_slot_done(struct redis_source *r, struct redis_from *f, uint64_t mark) {
	struct redis_slot *slot = &f->slot[mark];
	if (r->mode == REDIS_FROM_STREAMS) {
		ack_stream(r, f, slot);
		redis_id_map_remove(&f->ids, id_find(f, slot->ms, slot->seq));
	}
	if (r->mode == REDIS_FROM_LIST) ack_list(r, f, slot);
	f->ack_n += r->mode != REDIS_FROM_CHANNELS;
	r->untold += r->mode != REDIS_FROM_CHANNELS;
	sl_free(slot->value);
	*slot = (struct redis_slot){.used = false};
	SL_GROW(f->spare, f->spares, f->spare_cap);
	f->spare[f->spares++] = (size_t)mark;
}

#define REFUSED_MS 1000
#define REFUSED_MAX_MS 60000

/* Of an entry that is gone, or acknowledged already, the answer is 0, which is fine. */
static void acked(struct redis_request *q, const struct redis_reply *reply) {
	struct redis_source *r = sl_container_of(q, struct redis_source, ack);
	r->heard_ms = sl_loop_now_ms(sl_source_loop(r->s));
	r->acking = q->replies > 0;
	if (reply->kind == REDIS_ERROR) {
		struct sl_buf why = SL_BUF_INIT;
		sl_buf_append_str(&why, "acknowledging: ");
		redis_show(reply->text, &why);
		/* Whatever is through by then comes again each time. */
		uint64_t pause = (uint64_t)REFUSED_MS << r->refused;
		r->ack_at_ms = r->heard_ms + (pause < REFUSED_MAX_MS ? pause : REFUSED_MAX_MS);
		r->refused += pause < REFUSED_MAX_MS;
		redis_source_fail(r, sl_buf_cstr(&why));
		sl_buf_fini(&why);
		return;
	}
	r->untold--;
	if (r->acking) return;
	r->refused = 0;
	redis_acks_send(r);
}

static void ack_lost(struct redis_request *q, int status, const char *text) {
	(void)status, (void)text; /* the link's on_down() follows */
	sl_container_of(q, struct redis_source, ack)->acking = false;
}

/* While a list's leftovers are looked at, what lies there must not move. */
static bool may_ack(const struct redis_source *r, const struct redis_from *f) {
	return f->ack_n > 0 && !(r->mode == REDIS_FROM_LIST && f->history);
}

void redis_acks_send(struct redis_source *r) {
	uint32_t replies = 0;
	if (r->acking || !r->began || r->out.state != REDIS_LINK_READY) return;
	for (size_t i = 0; i < r->part_n; i++) {
		struct redis_from *f = redis_from(r->parts[i]);
		if (!may_ack(r, f)) continue;
		sl_buf_append_slice(redis_link_out(&r->out), sl_buf_slice(&f->acks));
		replies += f->ack_n;
		sl_buf_clear(&f->acks);
		f->ack_n = 0;
	}
	if (replies == 0) return;
	r->acking = true;
	r->ack = (struct redis_request){.on_reply = acked, .on_lost = ack_lost};
	redis_link_push(&r->out, &r->ack, replies);
}

void redis_from_fini(struct redis_from *f) {
	for (size_t i = 0; i < f->slots; i++) sl_free(f->slot[i].value);
	sl_free(f->slot);
	sl_free(f->spare);
	redis_id_map_fini(&f->ids);
	sl_buf_fini(&f->acks);
}
