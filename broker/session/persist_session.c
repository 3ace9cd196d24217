/* persist_session.c: see persist.h: which sessions are kept, and under which number. */
#include "clock.h"
#include "mem.h"
#include "persist.h"

struct id_slot {
	uint64_t hash; /* the number itself, stirred */
	struct session *s;
	bool used;
};
#define HMAP_NAME id_map
#define HMAP_SLOT struct id_slot
#define HMAP_KEY uint64_t
#define HMAP_EQUAL(slot, key) ((slot)->s->store_id == (key))
#include "hmap.h"

struct persist {
	_Atomic uint64_t last_id;
	persist_ended_cb ended;
	struct id_map restored;
};

static uint64_t id_hash(uint64_t id) { return id * 0x9e3779b97f4a7c15u; }

int persist_open(struct broker *b, struct sl_err *err) {
	(void)err;
	if (!b->set.persistence.enabled) return SL_OK;
	b->persist = SL_NEW(struct persist);
	/* The second of the start above the count of the run: no run gives a number that another one gave. */
	atomic_store(&b->persist->last_id, (uint64_t)(sl_clock_wall_ms() / 1000) << 32);
	return SL_OK;
}

void persist_close(struct broker *b) {
	if (!b->persist) return;
	id_map_fini(&b->persist->restored);
	sl_free(b->persist);
	b->persist = NULL;
}

struct session *persist_session(const struct broker *b, uint64_t store_id) {
	if (!b->persist) return NULL;
	struct id_slot *slot = id_map_find(&b->persist->restored, id_hash(store_id), store_id);
	return slot ? slot->s : NULL;
}

void persist_restored(struct broker *b) {
	if (b->persist) id_map_fini(&b->persist->restored);
}

void persist_on_ended(struct broker *b, persist_ended_cb ended) {
	if (b->persist) b->persist->ended = ended;
}

void persist_session_end(struct session *s) {
	if (s->store_id == 0) return;
	if (s->w->b->persist->ended) s->w->b->persist->ended(s);
	s->store_id = 0;
}

void persist_session_set(struct session *s) {
	struct persist *p = s->w->b->persist;
	if (!p) return;
	if (s->expiry_s == 0)
		persist_session_end(s);
	else if (s->store_id == 0)
		s->store_id = atomic_fetch_add_explicit(&p->last_id, 1, memory_order_relaxed) + 1;
}
