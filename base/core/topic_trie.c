/* topic_trie.c: see topic_trie.h for the picture.
 *
 * Three arrays that only grow, with free lists, and two open-addressed tables of 32-bit indices over them:
 *     nodes    one a level of a filter; node 0 is the root
 *     levels   interned level strings; level 0 is unused, 1 is "+", 2 is "#" (never looked up by text)
 *     level_table   text -> level            child_table   (parent, hash of the level's text) -> node
 * Indices instead of pointers halve the memory, and growing never moves what others point to.
 *
 * A large trie is met with cold caches, so a walk's cost is the cache lines that it touches. Nodes are aligned: none lies
 * in two lines, and a node made right after its parent ("x", "x/#") mostly shares its parent's. A slot of a table holds
 * the index in its low bits and bits of the hash in those above: entries that merely stand in the way are told apart
 * without a look at them. A walk goes from slot to node to slot; that the text is the same one, too, is looked up aside,
 * and the CPU need not wait for it. */
#include "topic_trie.h"

#include "mem.h"
#include "topic.h"

enum { LEVEL_PLUS = 1, LEVEL_HASH = 2, LEVEL_INLINE = 12, NODE_ALIGN = 64, SHIFT_MAX = 31 };

struct node {
	uint32_t parent; /* of a free node: the next free one */
	uint32_t level;
	uint32_t plus, hash; /* wildcard children, 0 = none */
	uint32_t literals;   /* how many literal children */
	uint32_t value_count;
	union {
		uint64_t one;   /* value_count == 1 */
		uint64_t *many; /* value_count > 1; capacity is the next power of two */
	};
};
_Static_assert(sizeof(struct node) * 2 == NODE_ALIGN, "two nodes are a cache line");

struct level {
	uint32_t hash;
	uint32_t refs; /* nodes that use it; of a free level: the next free one */
	uint32_t len;
	union {
		char text[LEVEL_INLINE];
		char far[sizeof(char *)]; /* a heap pointer when len > LEVEL_INLINE; kept unaligned to save 4 bytes */
	};
};

struct table {
	uint32_t *slots; /* hash bits above, index below; 0 = free */
	uint32_t shift;  /* how many bits the index takes */
	uint32_t mask;
	uint32_t len;
};

struct topic_trie {
	char *nodes_raw;    /* what `nodes` lies in */
	struct node *nodes; /* aligned to NODE_ALIGN */
	struct level *levels;
	uint32_t nodes_len, nodes_cap, nodes_free;
	uint32_t levels_len, levels_cap, levels_free;
	struct table level_table, child_table;
	uint64_t generation;
	size_t filters, values, far_bytes, many_bytes;
};

static const char *level_text(const struct level *l) {
	if (l->len <= LEVEL_INLINE) return l->text;
	const char *far;
	memcpy(&far, l->far, sizeof far);
	return far;
}

static uint32_t level_hash(struct sl_slice text) { return (uint32_t)sl_hash(text); }

static uint32_t child_hash(uint32_t parent, uint32_t level_hash) {
	/* Parents are small dense numbers: one multiplication spreads them, the high half has the good bits. */
	uint64_t key = (uint64_t)parent << 32 | level_hash;
	return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32) ^ (uint32_t)(key >> 17);
}

/* --- the two tables ------------------------------------------------------------------------------------------ */

static uint32_t slot_hash(const struct topic_trie *t, const struct table *table, uint32_t index) {
	if (table == &t->level_table) return t->levels[index].hash;
	const struct node *n = &t->nodes[index];
	return child_hash(n->parent, t->levels[n->level].hash);
}

static uint32_t slot_index(const struct table *table, uint32_t slot) { return slot & ((1u << table->shift) - 1); }

/* Bits for every index below `cap`, a power of two. */
static uint32_t shift_for(uint32_t cap) {
	uint32_t bits = (uint32_t)__builtin_ctz(cap);
	return bits < SHIFT_MAX ? bits : SHIFT_MAX;
}

static void table_place(const struct topic_trie *t, struct table *table, uint32_t index) {
	uint32_t hash = slot_hash(t, table, index), i = hash & table->mask;
	while (table->slots[i]) i = (i + 1) & table->mask;
	table->slots[i] = hash >> table->shift << table->shift | index;
}

static void table_resize(const struct topic_trie *t, struct table *table, uint32_t cap) {
	uint32_t *old = table->slots;
	uint32_t old_cap = old ? table->mask + 1 : 0;
	table->slots = SL_NEW_ARRAY(uint32_t, cap);
	table->mask = cap - 1;
	for (uint32_t i = 0; i < old_cap; i++)
		if (old[i]) table_place(t, table, slot_index(table, old[i]));
	sl_free(old);
}

/* Indices need more room in the slots: their hash bits give way, the places stay. */
static void table_widen(struct table *table, uint32_t shift) {
	uint32_t cap = table->slots ? table->mask + 1 : 0;
	for (uint32_t i = 0; i < cap; i++) {
		uint32_t index = slot_index(table, table->slots[i]);
		table->slots[i] = table->slots[i] >> shift << shift | index;
	}
	table->shift = shift;
}

static void table_add(const struct topic_trie *t, struct table *table, uint32_t index) {
	uint32_t cap = table->slots ? table->mask + 1 : 0;
	/* Load at most 2/3: four bytes a slot are cheap, long runs are not. */
	if ((table->len + 1) * 3 > cap * 2) table_resize(t, table, cap ? cap * 2 : 16);
	table_place(t, table, index);
	table->len++;
}

static void table_remove(const struct topic_trie *t, struct table *table, uint32_t index) {
	uint32_t mask = table->mask, hole = slot_hash(t, table, index) & mask;
	while (slot_index(table, table->slots[hole]) != index) hole = (hole + 1) & mask;
	for (uint32_t i = (hole + 1) & mask; table->slots[i]; i = (i + 1) & mask) {
		uint32_t home = slot_hash(t, table, slot_index(table, table->slots[i])) & mask;
		if (((i - home) & mask) < ((i - hole) & mask)) continue;
		table->slots[hole] = table->slots[i];
		hole = i;
	}
	table->slots[hole] = 0;
	table->len--;
	/* A trie that shrank gives its table back; far from the growing bound, so that it does not swing. */
	if (mask >= 64 && table->len * 8 < mask) table_resize(t, table, (mask + 1) / 2);
}

static bool level_is(const struct level *l, struct sl_slice text, uint32_t hash) {
	return l->hash == hash && l->len == text.n && (text.n == 0 || memcmp(level_text(l), text.p, text.n) == 0);
}

static uint32_t level_find(const struct topic_trie *t, struct sl_slice text, uint32_t hash) {
	const struct table *table = &t->level_table;
	if (!table->slots) return 0;
	for (uint32_t i = hash & table->mask; table->slots[i]; i = (i + 1) & table->mask) {
		uint32_t slot = table->slots[i], id = slot_index(table, slot);
		if ((slot ^ hash) >> table->shift) continue;
		const struct level *l = &t->levels[id];
		if (level_is(l, text, hash)) return id;
	}
	return 0;
}

static uint32_t child_find(const struct topic_trie *t, uint32_t parent, struct sl_slice text, uint32_t level_hash) {
	const struct table *table = &t->child_table;
	if (t->nodes[parent].literals == 0) return 0;
	uint32_t hash = child_hash(parent, level_hash);
	for (uint32_t i = hash & table->mask; table->slots[i]; i = (i + 1) & table->mask) {
		uint32_t slot = table->slots[i], id = slot_index(table, slot);
		if ((slot ^ hash) >> table->shift) continue;
		const struct node *n = &t->nodes[id];
		if (n->parent == parent && level_is(&t->levels[n->level], text, level_hash)) return id;
	}
	return 0;
}

/* --- levels and nodes ---------------------------------------------------------------------------------------- */

static uint32_t level_new(struct topic_trie *t) {
	if (t->levels_free) {
		uint32_t id = t->levels_free;
		t->levels_free = t->levels[id].refs;
		return id;
	}
	SL_GROW(t->levels, t->levels_len, t->levels_cap);
	if (t->level_table.shift < shift_for(t->levels_cap)) table_widen(&t->level_table, shift_for(t->levels_cap));
	return t->levels_len++;
}

static uint32_t level_take(struct topic_trie *t, struct sl_slice text) {
	uint32_t hash = level_hash(text), id = level_find(t, text, hash);
	if (id == 0) {
		id = level_new(t);
		struct level *l = &t->levels[id];
		*l = (struct level){.hash = hash, .len = (uint32_t)text.n};
		if (text.n > LEVEL_INLINE) {
			const char *far = sl_memdup0(text.p, text.n);
			memcpy(l->far, &far, sizeof far);
			t->far_bytes += text.n + 1;
		} else if (text.n) {
			memcpy(l->text, text.p, text.n);
		}
		table_add(t, &t->level_table, id);
	}
	t->levels[id].refs++;
	return id;
}

static void level_drop(struct topic_trie *t, uint32_t id) {
	struct level *l = &t->levels[id];
	if (--l->refs > 0) return;
	table_remove(t, &t->level_table, id);
	if (l->len > LEVEL_INLINE) {
		char *far;
		memcpy(&far, l->far, sizeof far);
		sl_free(far);
		t->far_bytes -= l->len + 1;
	}
	l->len = 0;
	l->refs = t->levels_free;
	t->levels_free = id;
}

static void nodes_grow(struct topic_trie *t) {
	size_t before = t->nodes_raw ? (size_t)((char *)t->nodes - t->nodes_raw) : 0;
	t->nodes_cap = t->nodes_cap ? t->nodes_cap * 2 : 8;
	t->nodes_raw = sl_realloc(t->nodes_raw, t->nodes_cap * sizeof *t->nodes + NODE_ALIGN);
	size_t after = -(uintptr_t)t->nodes_raw & (NODE_ALIGN - 1);
	/* Large blocks keep their place within a page: nothing to move. */
	if (after != before) memmove(t->nodes_raw + after, t->nodes_raw + before, t->nodes_len * sizeof *t->nodes);
	t->nodes = (struct node *)(void *)(t->nodes_raw + after);
	table_widen(&t->child_table, shift_for(t->nodes_cap));
}

static uint32_t node_new(struct topic_trie *t, uint32_t parent, uint32_t level) {
	uint32_t id = t->nodes_free;
	if (id) {
		t->nodes_free = t->nodes[id].parent;
	} else {
		if (t->nodes_len == t->nodes_cap) nodes_grow(t);
		id = t->nodes_len++;
	}
	t->nodes[id] = (struct node){.parent = parent, .level = level};
	return id;
}

static uint32_t wildcard_of(struct sl_slice level) {
	if (level.n != 1) return 0;
	return level.p[0] == '+' ? LEVEL_PLUS : level.p[0] == '#' ? LEVEL_HASH : 0;
}

static uint32_t child_get(const struct topic_trie *t, uint32_t parent, struct sl_slice level) {
	switch (wildcard_of(level)) {
	case LEVEL_PLUS: return t->nodes[parent].plus;
	case LEVEL_HASH: return t->nodes[parent].hash;
	default: return child_find(t, parent, level, level_hash(level));
	}
}

static uint32_t child_add(struct topic_trie *t, uint32_t parent, struct sl_slice level) {
	uint32_t wildcard = wildcard_of(level);
	uint32_t id = node_new(t, parent, wildcard ? wildcard : level_take(t, level));
	if (wildcard == LEVEL_PLUS) {
		t->nodes[parent].plus = id;
	} else if (wildcard == LEVEL_HASH) {
		t->nodes[parent].hash = id;
	} else {
		t->nodes[parent].literals++;
		table_add(t, &t->child_table, id);
	}
	return id;
}

/* Frees the node and those above it that are left without use. */
static void prune(struct topic_trie *t, uint32_t id) {
	while (id) {
		struct node *n = &t->nodes[id];
		if (n->value_count || n->literals || n->plus || n->hash) return;
		uint32_t parent = n->parent;
		if (n->level == LEVEL_PLUS) {
			t->nodes[parent].plus = 0;
		} else if (n->level == LEVEL_HASH) {
			t->nodes[parent].hash = 0;
		} else {
			table_remove(t, &t->child_table, id);
			t->nodes[parent].literals--;
			level_drop(t, n->level);
		}
		n->parent = t->nodes_free;
		n->level = 0;
		t->nodes_free = id;
		id = parent;
	}
}

/* --- values -------------------------------------------------------------------------------------------------- */

static bool is_power_of_two(uint32_t n) { return (n & (n - 1)) == 0; }

static void value_add(struct topic_trie *t, struct node *n, uint64_t value) {
	uint32_t count = n->value_count;
	if (count == 0) {
		n->one = value;
		t->filters++;
	} else if (count == 1) {
		uint64_t *many = sl_alloc(2 * sizeof *many);
		many[0] = n->one;
		many[1] = value;
		n->many = many;
		t->many_bytes += 2 * sizeof *many;
	} else {
		if (is_power_of_two(count)) {
			n->many = sl_realloc_array(n->many, (size_t)count * 2, sizeof *n->many);
			t->many_bytes += count * sizeof *n->many;
		}
		n->many[count] = value;
	}
	n->value_count++;
	t->values++;
}

static bool value_remove(struct topic_trie *t, struct node *n, uint64_t value) {
	uint32_t count = n->value_count, i = 0;
	uint64_t *values = count > 1 ? n->many : &n->one;
	while (i < count && values[i] != value) i++;
	if (i == count) return false;
	values[i] = values[count - 1];
	count = --n->value_count;
	t->values--;
	if (count == 0) {
		t->filters--;
	} else if (count == 1) {
		uint64_t one = values[0];
		sl_free(values);
		n->one = one;
		t->many_bytes -= 2 * sizeof *values;
	} else if (is_power_of_two(count)) {
		n->many = sl_realloc_array(values, count, sizeof *values);
		t->many_bytes -= count * sizeof *values;
	}
	return true;
}

/* --- the face ------------------------------------------------------------------------------------------------ */

struct topic_trie *topic_trie_new(void) {
	struct topic_trie *t = SL_NEW(struct topic_trie);
	t->levels_len = LEVEL_HASH + 1;
	t->levels_cap = 8;
	t->levels = SL_NEW_ARRAY(struct level, t->levels_cap);
	t->level_table.shift = shift_for(t->levels_cap);
	nodes_grow(t);
	t->nodes[t->nodes_len++] = (struct node){.parent = 0};
	return t;
}

void topic_trie_free(struct topic_trie *t) {
	if (!t) return;
	for (uint32_t i = 1; i < t->nodes_len; i++)
		if (t->nodes[i].value_count > 1) sl_free(t->nodes[i].many);
	for (uint32_t i = LEVEL_HASH + 1; i < t->levels_len; i++) {
		if (t->levels[i].len <= LEVEL_INLINE) continue;
		char *far;
		memcpy(&far, t->levels[i].far, sizeof far);
		sl_free(far);
	}
	sl_free(t->level_table.slots);
	sl_free(t->child_table.slots);
	sl_free(t->levels);
	sl_free(t->nodes_raw);
	sl_free(t);
}

uint64_t topic_trie_generation(const struct topic_trie *t) { return t->generation; }
size_t topic_trie_filters(const struct topic_trie *t) { return t->filters; }
size_t topic_trie_values_total(const struct topic_trie *t) { return t->values; }

size_t topic_trie_bytes(const struct topic_trie *t) {
	size_t slots =
	    (t->level_table.slots ? t->level_table.mask + 1 : 0) + (t->child_table.slots ? t->child_table.mask + 1 : 0);
	return sizeof *t + t->nodes_len * sizeof *t->nodes + t->levels_len * sizeof *t->levels +
	       slots * sizeof(uint32_t) + t->far_bytes + t->many_bytes;
}

uint32_t topic_trie_insert(struct topic_trie *t, struct sl_slice filter, uint64_t value) {
	uint32_t id = 0;
	while (filter.p) {
		struct sl_slice level = slice_next_part(&filter, '/');
		uint32_t child = child_get(t, id, level);
		id = child ? child : child_add(t, id, level);
	}
	sl_assert(id != 0);
	value_add(t, &t->nodes[id], value);
	t->generation++;
	return id;
}

bool topic_trie_remove_at(struct topic_trie *t, uint32_t handle, uint64_t value) {
	if (handle == 0 || handle >= t->nodes_len) return false;
	if (!value_remove(t, &t->nodes[handle], value)) return false;
	prune(t, handle);
	t->generation++;
	return true;
}

uint32_t topic_trie_find(const struct topic_trie *t, struct sl_slice filter) {
	uint32_t id = 0;
	while (filter.p) {
		id = child_get(t, id, slice_next_part(&filter, '/'));
		if (id == 0) return TOPIC_TRIE_NONE;
	}
	return t->nodes[id].value_count ? id : TOPIC_TRIE_NONE;
}

bool topic_trie_remove(struct topic_trie *t, struct sl_slice filter, uint64_t value) {
	return topic_trie_remove_at(t, topic_trie_find(t, filter), value);
}

static const uint64_t *values_of(const struct node *n) { return n->value_count > 1 ? n->many : &n->one; }

const uint64_t *topic_trie_values(const struct topic_trie *t, uint32_t handle, size_t *count) {
	sl_assert(handle < t->nodes_len);
	*count = t->nodes[handle].value_count;
	return values_of(&t->nodes[handle]);
}

void topic_trie_text(const struct topic_trie *t, uint32_t handle, struct sl_buf *out) {
	uint32_t path[TOPIC_LEVELS_MAX];
	size_t depth = 0;
	for (uint32_t id = handle; id && depth < TOPIC_LEVELS_MAX; id = t->nodes[id].parent) path[depth++] = id;
	while (depth > 0) {
		uint32_t level = t->nodes[path[--depth]].level;
		if (level == LEVEL_PLUS) {
			sl_buf_put(out, '+');
		} else if (level == LEVEL_HASH) {
			sl_buf_put(out, '#');
		} else {
			sl_buf_append(out, level_text(&t->levels[level]), t->levels[level].len);
		}
		if (depth > 0) sl_buf_put(out, '/');
	}
}

struct walk {
	const struct topic_trie *t;
	topic_trie_match_cb cb;
	void *arg;
	size_t depth, nodes;
	struct {
		struct sl_slice text;
		uint32_t hash;
	} levels[TOPIC_LEVELS_MAX]; /* of the topic */
};

static void visit(const struct walk *w, uint32_t id) {
	const struct node *n = &w->t->nodes[id];
	if (n->value_count) w->cb(w->arg, id, values_of(n), n->value_count);
}

/* `from`: how many levels of the topic were taken on the way to `id`. */
static void match_below(struct walk *w, uint32_t id, size_t from) {
	for (;;) {
		w->nodes++;
		const struct node *n = &w->t->nodes[id];
		/* "#" takes the rest, and no rest at all: "a/#" matches "a" (MQTT 4.7.1.2). */
		if (n->hash) visit(w, n->hash);
		if (from == w->depth) {
			visit(w, id);
			return;
		}
		uint32_t literal = child_find(w->t, id, w->levels[from].text, w->levels[from].hash);
		from++;
		if (n->plus && literal) match_below(w, n->plus, from);
		id = literal ? literal : n->plus;
		if (id == 0) return;
	}
}

size_t topic_trie_match(const struct topic_trie *t, struct sl_slice topic, topic_trie_match_cb cb, void *arg) {
	if (t->filters == 0) return 0;
	struct walk w; /* not zeroed: some kilobytes, of which few are used */
	w.t = t;
	w.cb = cb;
	w.arg = arg;
	w.depth = w.nodes = 0;
	bool dollar = topic.n && topic.p[0] == '$';
	while (topic.p && w.depth < TOPIC_LEVELS_MAX) {
		struct sl_slice level = slice_next_part(&topic, '/');
		w.levels[w.depth].text = level;
		w.levels[w.depth++].hash = level_hash(level);
	}
	if (!dollar) {
		match_below(&w, 0, 0);
		return w.nodes;
	}
	/* [MQTT-4.7.2-1] Only the literal child of the root. */
	uint32_t first = child_find(t, 0, w.levels[0].text, w.levels[0].hash);
	if (first) match_below(&w, first, 1);
	return w.nodes;
}

void topic_trie_each(const struct topic_trie *t, topic_trie_match_cb cb, void *arg) {
	for (uint32_t i = 1; i < t->nodes_len; i++)
		if (t->nodes[i].value_count) cb(arg, i, values_of(&t->nodes[i]), t->nodes[i].value_count);
}
