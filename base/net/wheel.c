#include "wheel.h"

/* Milliseconds in one slot of a ring, as a power of two. */
static const unsigned ring_shift[WHEEL_RINGS] = {0, 8, 14, 20};

void sl_wheel_init(struct sl_wheel *w, uint64_t now_ms) {
	*w = (struct sl_wheel){.now_ms = now_ms};
	for (size_t i = 0; i < WHEEL_SLOTS_0; i++) sl_list_init(&w->slot_0[i]);
	for (size_t r = 1; r < WHEEL_RINGS; r++)
		for (size_t i = 0; i < WHEEL_SLOTS; i++) sl_list_init(&w->slot[r][i]);
}

static void insert(struct sl_wheel *w, struct sl_timer *t) {
	uint64_t due = t->due_ms;
	if (due >> 8 == w->now_ms >> 8) {
		size_t i = due & (WHEEL_SLOTS_0 - 1);
		w->used_0[i / 64] |= (uint64_t)1 << (i % 64);
		sl_list_push_back(&w->slot_0[i], &t->link);
		return;
	}
	/* The first ring whose hand has not come round to this slot: same reading of all higher digits. */
	size_t r = 1;
	while (r < WHEEL_RINGS - 1 && due >> (ring_shift[r] + 6) != w->now_ms >> (ring_shift[r] + 6)) r++;
	uint64_t at = due >> ring_shift[r], hand = w->now_ms >> ring_shift[r];
	if (at - hand > WHEEL_SLOTS - 1) at = hand + WHEEL_SLOTS - 1; /* beyond 18 h: as far as the ring goes */
	size_t i = at & (WHEEL_SLOTS - 1);
	w->used[r] |= (uint64_t)1 << i;
	sl_list_push_back(&w->slot[r][i], &t->link);
}

void sl_wheel_set(struct sl_wheel *w, struct sl_timer *t, uint64_t due_ms) {
	sl_list_remove(&t->link);
	t->due_ms = due_ms > w->now_ms ? due_ms : w->now_ms + 1;
	insert(w, t);
}

/* The hand enters a new slot of ring r: its timers move nearer. */
static void cascade(struct sl_wheel *w, size_t r) {
	size_t i = (w->now_ms >> ring_shift[r]) & (WHEEL_SLOTS - 1);
	struct sl_list due;
	sl_list_init(&due);
	w->used[r] &= ~((uint64_t)1 << i);
	sl_list_splice_back(&due, &w->slot[r][i]);
	for (struct sl_list *it; (it = sl_list_pop_front(&due)) != NULL;)
		insert(w, SL_LIST_ENTRY(it, struct sl_timer, link));
}

static void fire_slot(struct sl_wheel *w) {
	size_t i = w->now_ms & (WHEEL_SLOTS_0 - 1);
	struct sl_list due;
	sl_list_init(&due);
	w->used_0[i / 64] &= ~((uint64_t)1 << (i % 64));
	sl_list_splice_back(&due, &w->slot_0[i]);
	/* A timer that is cancelled by another one's fire() leaves this list as it would leave the slot. */
	for (struct sl_list *it; (it = sl_list_pop_front(&due)) != NULL;) {
		struct sl_timer *t = SL_LIST_ENTRY(it, struct sl_timer, link);
		t->fire(t);
	}
}

void sl_wheel_advance(struct sl_wheel *w, uint64_t now_ms) {
	for (;;) {
		uint64_t next = sl_wheel_next_ms(w);
		if (next > now_ms) break;
		w->now_ms = next;
		/* Coarse rings first: what they hand down may be due in this very millisecond. */
		for (size_t r = WHEEL_RINGS - 1; r > 0; r--)
			if ((next & (((uint64_t)1 << ring_shift[r]) - 1)) == 0) cascade(w, r);
		fire_slot(w);
	}
	if (now_ms > w->now_ms) {
		/* Nothing is due on the way, but the hands of the rings move: whatever slot they come to rest in is
		 * empty, or sl_wheel_next_ms() would have named the moment of entering it. */
		w->now_ms = now_ms;
	}
}

/* Where the next used slot behind the hand is, in slots (1 to count), or 0 when none is. */
static unsigned next_used(uint64_t used, unsigned hand) {
	if (used == 0) return 0;
	unsigned by = (hand + 1) & 63;
	uint64_t turned = by ? (used >> by) | (used << (64 - by)) : used;
	return (unsigned)__builtin_ctzll(turned) + 1;
}

uint64_t sl_wheel_next_ms(const struct sl_wheel *w) {
	uint64_t best = UINT64_MAX;
	/* Ring 0 holds the current turn of 256 ms only. */
	for (size_t i = (w->now_ms & 255) + 1; i < WHEEL_SLOTS_0; i++) {
		uint64_t word = w->used_0[i / 64] >> (i % 64);
		if (word) {
			i += (size_t)__builtin_ctzll(word);
			best = (w->now_ms & ~(uint64_t)255) + i;
			break;
		}
		i |= 63;
	}
	for (size_t r = 1; r < WHEEL_RINGS; r++) {
		uint64_t hand = w->now_ms >> ring_shift[r];
		unsigned steps = next_used(w->used[r], (unsigned)(hand & 63));
		if (steps) {
			uint64_t at = (hand + steps) << ring_shift[r];
			if (at < best) best = at;
		}
	}
	return best;
}
