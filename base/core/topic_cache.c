/* topic_cache.c: see topic_cache.h.
 *
 * An open-addressed table of (hash, entry pointer), linear probing, holes closed on removal. The clock hand is an
 * index into the table; an entry is "asked" when it was hit since the hand came by. */
#include "topic_cache.h"

#include "mem.h"

struct entry {
	uint64_t generation;
	void *value;
	uint32_t topic_len;
	bool asked;
	char topic[];
};

struct slot {
	uint64_t hash;
	struct entry *entry; /* NULL: free */
};

struct topic_cache {
	struct slot *slots;
	size_t cap; /* 0 or a power of two; load at most 3/4 */
	size_t max_entries;
	size_t hand;
	topic_cache_free_cb free_cb;
	void *arg;
	struct topic_cache_stats stats;
};

struct topic_cache *topic_cache_new(size_t max_entries, topic_cache_free_cb free_cb, void *arg) {
	struct topic_cache *c = SL_NEW(struct topic_cache);
	c->max_entries = max_entries ? max_entries : 1;
	c->free_cb = free_cb;
	c->arg = arg;
	return c;
}

static size_t entry_bytes(size_t topic_len) { return sizeof(struct entry) + topic_len; }

static void drop_value(struct topic_cache *c, struct entry *e) {
	if (e->value && c->free_cb) c->free_cb(c->arg, e->value);
	e->value = NULL;
}

static void drop_entry(struct topic_cache *c, struct entry *e) {
	c->stats.entries--;
	c->stats.bytes -= entry_bytes(e->topic_len);
	drop_value(c, e);
	sl_free(e);
}

void topic_cache_clear(struct topic_cache *c) {
	for (size_t i = 0; i < c->cap; i++)
		if (c->slots[i].entry) drop_entry(c, c->slots[i].entry);
	sl_free(c->slots);
	c->slots = NULL;
	c->stats.bytes = 0;
	c->cap = c->hand = 0;
}

void topic_cache_free(struct topic_cache *c) {
	if (!c) return;
	topic_cache_clear(c);
	sl_free(c);
}

static struct slot *find(const struct topic_cache *c, uint64_t hash, struct sl_slice topic) {
	if (c->cap == 0) return NULL;
	for (size_t i = hash & (c->cap - 1); c->slots[i].entry; i = (i + 1) & (c->cap - 1)) {
		struct slot *s = &c->slots[i];
		if (s->hash != hash) continue;
		if (s->entry->topic_len == topic.n && memcmp(s->entry->topic, topic.p, topic.n) == 0) return s;
	}
	return NULL;
}

bool topic_cache_get(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation, void **value) {
	struct slot *s = find(c, hash, topic);
	if (sl_unlikely(!s)) {
		c->stats.misses++;
		return false;
	}
	/* The same check for results and for "nothing": an old "nothing" would hide a new subscriber. */
	if (sl_unlikely(s->entry->generation != generation)) {
		c->stats.stale++;
		c->stats.misses++;
		return false;
	}
	s->entry->asked = true;
	c->stats.hits++;
	*value = s->entry->value;
	return true;
}

/* Closes the gap: every later entry of the run that may stand in the hole moves into it. */
static void remove_at(struct topic_cache *c, size_t hole) {
	size_t mask = c->cap - 1;
	drop_entry(c, c->slots[hole].entry);
	for (size_t i = (hole + 1) & mask; c->slots[i].entry; i = (i + 1) & mask) {
		size_t home = c->slots[i].hash & mask;
		if (((i - home) & mask) < ((i - hole) & mask)) continue;
		c->slots[hole] = c->slots[i];
		hole = i;
	}
	c->slots[hole].entry = NULL;
}

static void place(struct topic_cache *c, uint64_t hash, struct entry *e) {
	size_t i = hash & (c->cap - 1);
	while (c->slots[i].entry) i = (i + 1) & (c->cap - 1);
	c->slots[i] = (struct slot){.hash = hash, .entry = e};
}

static void grow(struct topic_cache *c) {
	struct slot *old = c->slots;
	size_t old_cap = c->cap;
	c->cap = old_cap ? old_cap * 2 : 64;
	c->slots = SL_NEW_ARRAY(struct slot, c->cap);
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].entry) place(c, old[i].hash, old[i].entry);
	sl_free(old);
	c->stats.bytes += (c->cap - old_cap) * sizeof(struct slot);
	c->hand = 0;
}

/* Makes one entry give way. An entry of another generation goes at once; one that was asked for gets a second
 * round. Ends within two rounds, for a round takes the marks off. */
static void evict_one(struct topic_cache *c, uint64_t generation) {
	for (;; c->hand = (c->hand + 1) & (c->cap - 1)) {
		struct entry *e = c->slots[c->hand].entry;
		if (!e) continue;
		if (e->asked && e->generation == generation) {
			e->asked = false;
			continue;
		}
		remove_at(c, c->hand);
		c->stats.evicted++;
		return;
	}
}

void topic_cache_put(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation, void *value) {
	struct slot *s = find(c, hash, topic);
	if (s) {
		if (s->entry->value != value) drop_value(c, s->entry);
		s->entry->value = value;
		s->entry->generation = generation;
		return;
	}
	if (c->stats.entries >= c->max_entries) evict_one(c, generation);
	if ((c->stats.entries + 1) * 4 > c->cap * 3) grow(c);
	struct entry *e = sl_alloc(entry_bytes(topic.n));
	*e = (struct entry){.generation = generation, .value = value, .topic_len = (uint32_t)topic.n};
	if (topic.n) memcpy(e->topic, topic.p, topic.n);
	place(c, hash, e);
	c->stats.entries++;
	c->stats.bytes += entry_bytes(topic.n);
}

size_t topic_cache_sweep(struct topic_cache *c, uint64_t generation, size_t budget) {
	size_t dropped = 0;
	budget = sl_min_size(budget, c->cap);
	for (size_t i = 0; i < budget; i++) {
		struct entry *e = c->slots[c->hand].entry;
		if (e && (e->generation != generation || !e->asked)) {
			/* Another entry may have moved into the hole: the hand stays for it. */
			remove_at(c, c->hand);
			dropped++;
			continue;
		}
		if (e) e->asked = false;
		c->hand = (c->hand + 1) & (c->cap - 1);
	}
	c->stats.evicted += dropped;
	return dropped;
}

void topic_cache_stats(const struct topic_cache *c, struct topic_cache_stats *out) { *out = c->stats; }
