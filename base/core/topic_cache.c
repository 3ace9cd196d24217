/* topic_cache.c: see topic_cache.h.
 *
 * An open-addressed table, linear probing, holes closed on removal. All but the topic's text stands in the slot: with
 * many topics each lookup misses the CPU's caches, and what is in the slot costs no second miss; the value is fetched
 * while the text is compared. The clock hand is an index into the table; an entry is "asked" when it was hit since the
 * hand came by. */
#include "topic_cache.h"

#include "mem.h"

enum { ENTRY_BYTES_MEAN = 256 };

struct text {
	uint32_t len;
	uint32_t value_bytes;
	char bytes[];
};

struct slot { /* 32 bytes: never across two cache lines */
	uint64_t generation;
	uint32_t hash; /* the low half: enough to find the place again and to tell most others apart */
	bool asked;
	struct text *text; /* NULL: free */
	void *value;
};
_Static_assert(sizeof(struct slot) == 32, "a slot is half a cache line");

struct topic_cache {
	void *memory;       /* what `slots` lies in */
	struct slot *slots; /* aligned to their size */
	size_t cap;         /* 0 or a power of two; load at most 3/4 */
	size_t max_entries;
	size_t used, max_bytes; /* texts and values */
	size_t hand;
	topic_cache_free_cb free_cb;
	void *arg;
	struct topic_cache_stats stats;
};

struct topic_cache *topic_cache_new(size_t max_entries, topic_cache_free_cb free_cb, void *arg) {
	struct topic_cache *c = SL_NEW(struct topic_cache);
	c->max_entries = max_entries ? max_entries : 1;
	c->max_bytes = c->max_entries * ENTRY_BYTES_MEAN;
	c->free_cb = free_cb;
	c->arg = arg;
	return c;
}

void topic_cache_limit(struct topic_cache *c, size_t max_bytes) { c->max_bytes = max_bytes; }

static size_t text_bytes(size_t topic_len) { return sizeof(struct text) + topic_len; }

static void charge(struct topic_cache *c, size_t bytes) {
	c->used += bytes;
	c->stats.bytes += bytes;
}

static void discharge(struct topic_cache *c, size_t bytes) {
	c->used -= bytes;
	c->stats.bytes -= bytes;
}

static void drop_value(struct topic_cache *c, struct slot *s) {
	if (s->value && c->free_cb) c->free_cb(c->arg, s->value);
	s->value = NULL;
}

static void drop_entry(struct topic_cache *c, struct slot *s) {
	c->stats.entries--;
	discharge(c, text_bytes(s->text->len) + s->text->value_bytes);
	drop_value(c, s);
	sl_free(s->text);
	s->text = NULL;
}

void topic_cache_clear(struct topic_cache *c) {
	for (size_t i = 0; i < c->cap; i++)
		if (c->slots[i].text) drop_entry(c, &c->slots[i]);
	sl_free(c->memory);
	c->memory = c->slots = NULL;
	c->stats.bytes = c->used = 0;
	c->cap = c->hand = 0;
}

void topic_cache_free(struct topic_cache *c) {
	if (!c) return;
	topic_cache_clear(c);
	sl_free(c);
}

static struct slot *find(const struct topic_cache *c, uint64_t hash, struct sl_slice topic) {
	if (c->cap == 0) return NULL;
	for (size_t i = (uint32_t)hash & (c->cap - 1); c->slots[i].text; i = (i + 1) & (c->cap - 1)) {
		struct slot *s = &c->slots[i];
		if (s->hash != (uint32_t)hash) continue;
		__builtin_prefetch(s->value);
		if (s->text->len == topic.n && memcmp(s->text->bytes, topic.p, topic.n) == 0) return s;
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
	if (sl_unlikely(s->generation != generation)) {
		c->stats.stale++;
		c->stats.misses++;
		return false;
	}
	s->asked = true;
	c->stats.hits++;
	*value = s->value;
	return true;
}

/* Closes the gap: every later entry of the run that may stand in the hole moves into it. */
static void remove_at(struct topic_cache *c, size_t hole) {
	size_t mask = c->cap - 1;
	drop_entry(c, &c->slots[hole]);
	for (size_t i = (hole + 1) & mask; c->slots[i].text; i = (i + 1) & mask) {
		size_t home = c->slots[i].hash & mask;
		if (((i - home) & mask) < ((i - hole) & mask)) continue;
		c->slots[hole] = c->slots[i];
		hole = i;
	}
	c->slots[hole].text = NULL;
}

static void place(struct topic_cache *c, const struct slot *s) {
	size_t i = s->hash & (c->cap - 1);
	while (c->slots[i].text) i = (i + 1) & (c->cap - 1);
	c->slots[i] = *s;
}

static void grow(struct topic_cache *c) {
	struct slot *old = c->slots;
	void *old_memory = c->memory;
	size_t old_cap = c->cap;
	c->cap = old_cap ? old_cap * 2 : 64;
	c->memory = sl_calloc(c->cap + 1, sizeof(struct slot));
	uintptr_t at = ((uintptr_t)c->memory + sizeof(struct slot) - 1) & ~(uintptr_t)(sizeof(struct slot) - 1);
	c->slots = (struct slot *)at;
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].text) place(c, &old[i]);
	sl_free(old_memory);
	c->stats.bytes += (c->cap - old_cap) * sizeof(struct slot);
	c->hand = 0;
}

/* Makes one entry give way. An entry of another generation goes at once; one that was asked for gets a second
 * round. Ends within two rounds, for a round takes the marks off. */
static void evict_one(struct topic_cache *c, uint64_t generation) {
	for (;; c->hand = (c->hand + 1) & (c->cap - 1)) {
		struct slot *s = &c->slots[c->hand];
		if (!s->text) continue;
		if (s->asked && s->generation == generation) {
			s->asked = false;
			continue;
		}
		remove_at(c, c->hand);
		c->stats.evicted++;
		return;
	}
}

void topic_cache_put(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation, void *value) {
	topic_cache_put_sized(c, hash, topic, generation, value, 0);
}

void topic_cache_put_sized(struct topic_cache *c, uint64_t hash, struct sl_slice topic, uint64_t generation,
			   void *value, size_t bytes) {
	uint32_t value_bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
	struct slot *known = find(c, hash, topic);
	if (known && known->value != value && c->used - known->text->value_bytes + value_bytes > c->max_bytes) {
		remove_at(c, (size_t)(known - c->slots)); /* others may have to give way */
		known = NULL;
	}
	if (known) {
		if (known->value != value) drop_value(c, known);
		discharge(c, known->text->value_bytes);
		charge(c, value_bytes);
		known->text->value_bytes = value_bytes;
		known->value = value;
		known->generation = generation;
		return;
	}
	size_t cost = text_bytes(topic.n) + value_bytes;
	/* One entry may be larger than the bound: then it is alone. */
	while (c->stats.entries > 0 && (c->stats.entries >= c->max_entries || c->used + cost > c->max_bytes))
		evict_one(c, generation);
	if ((c->stats.entries + 1) * 4 > c->cap * 3) grow(c);
	struct text *text = sl_alloc(text_bytes(topic.n));
	text->len = (uint32_t)topic.n;
	text->value_bytes = value_bytes;
	if (topic.n) memcpy(text->bytes, topic.p, topic.n);
	struct slot fresh = {.generation = generation, .hash = (uint32_t)hash, .text = text, .value = value};
	place(c, &fresh);
	c->stats.entries++;
	charge(c, cost);
}

size_t topic_cache_sweep(struct topic_cache *c, uint64_t generation, size_t budget) {
	size_t dropped = 0;
	budget = sl_min_size(budget, c->cap);
	for (size_t i = 0; i < budget; i++) {
		struct slot *s = &c->slots[c->hand];
		if (s->text && (s->generation != generation || !s->asked)) {
			/* Another entry may have moved into the hole: the hand stays for it. */
			remove_at(c, c->hand);
			dropped++;
			continue;
		}
		s->asked = false;
		c->hand = (c->hand + 1) & (c->cap - 1);
	}
	c->stats.evicted += dropped;
	return dropped;
}

void topic_cache_stats(const struct topic_cache *c, struct topic_cache_stats *out) { *out = c->stats; }
