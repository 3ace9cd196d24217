#include "share_choose.h"

#include "mem.h"
#include "rng.h"

/* ---- load ---- */

struct share_load *share_load_new(void) {
	struct share_load *l = SL_NEW(struct share_load);
	atomic_init(&l->refs, 1);
	return l;
}

struct share_load *share_load_ref(struct share_load *l) {
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void share_load_unref(struct share_load *l) {
	if (l && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1) sl_free(l);
}

/* The two are read one after the other: a message that moves from the one to the other meanwhile counts twice, or not. */
static int64_t load_of(const struct share_member *m) {
	if (!m->load) return 0;
	return (int64_t)atomic_load_explicit(&m->load->arriving, memory_order_relaxed) +
	       atomic_load_explicit(&m->load->held, memory_order_relaxed);
}

/* ---- choosing ---- */

void share_choice_fini(struct share_choice *c) { share_picks_fini(&c->picks); }

static size_t next_turn(struct share_choice *c, size_t n, size_t at) {
	c->turn = (uint32_t)((at + 1) % n);
	return at;
}

/* Weight of a member for a key: any function that mixes both well. This is the end of splitmix64. */
static uint64_t weight(uint64_t member, uint64_t key) {
	uint64_t x = member ^ (key * 0x9e3779b97f4a7c15ull);
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static size_t heaviest(const struct share_member *v, size_t n, uint64_t key) {
	size_t best = 0;
	uint64_t most = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t w = weight(v[i].key, key);
		if (i > 0 && w <= most) continue;
		most = w;
		best = i;
	}
	return best;
}

/* The table's hash has a seed, so that nobody can fill one corner of it; the member's has none. */
static size_t sticky(struct share_choice *c, const struct share_member *v, size_t n, struct sl_slice publisher) {
	if (c->picks.len >= SHARE_STICKY_MAX) share_picks_fini(&c->picks);
	bool was_there;
	uint64_t hash = sl_hash(publisher);
	struct share_pick *p = share_picks_put(&c->picks, hash, hash, &was_there);
	if (was_there && p->at < n && v[p->at].ref == p->ref) return p->at;
	size_t at = 0;
	while (was_there && at < n && v[at].ref != p->ref) at++;
	if (!was_there || at == n) at = heaviest(v, n, sl_hash_stable(publisher));
	p->ref = v[at].ref;
	p->at = (uint32_t)at;
	return at;
}

static size_t local_first(struct share_choice *c, const struct share_member *v, size_t n, uint32_t worker) {
	for (size_t i = 0, at = c->turn % n; i < n; i++, at = (at + 1) % n)
		if (v[at].worker == worker) return next_turn(c, n, at);
	return next_turn(c, n, c->turn % n);
}

static size_t least(struct share_choice *c, const struct share_member *v, size_t n) {
	size_t best = c->turn % n, looked = n < SHARE_LOOKED_AT ? n : SHARE_LOOKED_AT;
	int64_t fewest = load_of(&v[best]);
	for (size_t i = 1, at = best; i < looked && fewest > 0; i++) {
		at = (at + 1) % n;
		int64_t load = load_of(&v[at]);
		if (load >= fewest) continue;
		fewest = load;
		best = at;
	}
	return next_turn(c, n, best);
}

size_t share_choose(enum broker_share how, struct share_choice *c, const struct share_member *v, size_t n,
		    const struct share_message *m) {
	switch (how) {
	case BROKER_SHARE_ROUND_ROBIN: break;
	case BROKER_SHARE_RANDOM: return (size_t)sl_rng_below(n);
	case BROKER_SHARE_STICKY: return sticky(c, v, n, m->publisher);
	case BROKER_SHARE_HASH_CLIENTID: return heaviest(v, n, sl_hash_stable(m->publisher));
	case BROKER_SHARE_HASH_TOPIC: return heaviest(v, n, sl_hash_stable(m->topic));
	case BROKER_SHARE_LOCAL_FIRST: return local_first(c, v, n, m->worker);
	case BROKER_SHARE_LEAST_INFLIGHT: return least(c, v, n);
	}
	return next_turn(c, n, c->turn % n);
}
