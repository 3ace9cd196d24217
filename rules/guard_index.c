/* guard_index.c: see guard_index.h. */
#include "guard_index.h"

#include <stdlib.h>

#include "hash.h"

enum {
	WORTH = 4,           /* fewer candidates are run one by one */
	OPERANDS_MAX = 4096, /* rules that would need more stay unguarded */
	RANGE_SHARE = 8,     /* of all ranges on an operand, as many as one in eight is thought to hold a value */
};

/* ---- operands: each once ---- */

struct operand_key {
	const struct sql_program *program;
	const struct sql_guard_operand *at;
};
struct operand_slot {
	uint64_t hash;
	bool used;
	uint32_t number;
	struct operand_key key;
	uint32_t ranges, keys; /* how many the programs' guards have, before any choice */
};

static const struct jpath *path_of(const struct operand_key *key) {
	size_t count;
	return &sql_program_paths(key->program, &count)[key->at->number];
}

static bool operand_equal(const struct operand_key *a, const struct operand_key *b) {
	if (a->at->place != b->at->place || sql_program_dialect(a->program) != sql_program_dialect(b->program))
		return false;
	if (sql_program_source(a->program)->get != sql_program_source(b->program)->get) return false;
	if (a->at->place == SQL_GUARD_PATH) return jpath_equal(path_of(a), path_of(b));
	return a->at->number == b->at->number && a->at->column == b->at->column;
}

static uint64_t operand_hash(const struct operand_key *key) {
	uint64_t hash = (uint64_t)key->at->place << 32 | key->at->column;
	hash ^= key->at->place == SQL_GUARD_PATH ? jpath_hash(path_of(key)) : key->at->number;
	hash *= 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 32;
}

#define HMAP_NAME operand_map
#define HMAP_SLOT struct operand_slot
#define HMAP_KEY struct operand_key
#define HMAP_EQUAL(slot, k) operand_equal(&(slot)->key, &(k))
#include "hmap.h"

/* How many tests want a key of an operand. */
struct wanted_slot {
	uint64_t hash;
	bool used;
	uint32_t count;
};
#define HMAP_NAME wanted_map
#define HMAP_SLOT struct wanted_slot
#define HMAP_KEY uint64_t
#define HMAP_EQUAL(slot, k) ((slot)->hash == (k))
#include "hmap.h"

/* ---- making ---- */

struct entry {
	uint64_t key;
	uint32_t candidate;
};
struct entries { /* of one operand */
	struct entry *keys;
	size_t keys_len, keys_cap;
	struct guard_range *ranges;
	size_t ranges_len, ranges_cap;
};

struct making {
	struct guard_index *index;
	const struct sql_program *const *programs;
	uint32_t count;
	struct operand_map operands;
	struct wanted_map wanted;
	struct operand_key *keys; /* of the operands, by number */
	struct entries *entries;
	size_t len, cap, entries_cap;
};

static uint64_t wanted_hash(uint32_t operand, uint64_t key) { return (key ^ operand) * 0x9e3779b97f4a7c15u; }

static struct operand_slot *operand_put(struct making *m, const struct sql_program *p, const struct sql_guard_test *t) {
	struct operand_key key = {p, &t->operand};
	uint64_t hash = operand_hash(&key);
	bool there;
	struct operand_slot *slot = operand_map_find(&m->operands, hash, key);
	if (slot || m->len == OPERANDS_MAX) return slot;
	slot = operand_map_put(&m->operands, hash, key, &there);
	slot->key = key;
	slot->number = (uint32_t)m->len;
	SL_GROW(m->keys, m->len, m->cap);
	m->keys[m->len++] = key;
	return slot;
}

static void count_test(struct making *m, const struct sql_program *p, const struct sql_guard_test *t) {
	struct operand_slot *slot = operand_put(m, p, t);
	if (!slot) return;
	if (t->kind == SQL_GUARD_RANGE) slot->ranges++;
	slot->keys += t->n_keys;
	for (uint32_t i = 0; i < t->n_keys; i++) {
		bool there;
		uint64_t hash = wanted_hash(slot->number, t->keys[i]);
		wanted_map_put(&m->wanted, hash, hash, &there)->count++;
	}
}

static void count_guards(struct making *m, const struct sql_program *p) {
	size_t n;
	const struct sql_guard *guards = sql_program_guards(p, &n);
	for (size_t g = 0; g < n; g++)
		for (uint32_t t = 0; t < guards[g].n_tests; t++) count_test(m, p, &guards[g].tests[t]);
}

/* How many rules a message is likely to visit because of this test; UINT64_MAX: it cannot be used. */
static uint64_t test_cost(struct making *m, const struct sql_program *p, const struct sql_guard_test *t) {
	struct operand_key key = {p, &t->operand};
	struct operand_slot *slot = operand_map_find(&m->operands, operand_hash(&key), key);
	uint64_t most = 0;
	if (!slot) return UINT64_MAX;
	if (t->kind == SQL_GUARD_RANGE) return slot->ranges / RANGE_SHARE + 1;
	for (uint32_t i = 0; i < t->n_keys; i++) {
		uint64_t hash = wanted_hash(slot->number, t->keys[i]);
		uint64_t n = wanted_map_find(&m->wanted, hash, hash)->count;
		if (n > most) most = n;
	}
	return most;
}

static const struct sql_guard *best_guard(struct making *m, const struct sql_program *p) {
	size_t n;
	uint64_t least = UINT64_MAX;
	const struct sql_guard *guards = sql_program_guards(p, &n), *best = NULL;
	for (size_t g = 0; g < n; g++) {
		uint64_t cost = 0;
		for (uint32_t t = 0; t < guards[g].n_tests && cost != UINT64_MAX; t++) {
			uint64_t one = test_cost(m, p, &guards[g].tests[t]);
			cost = one == UINT64_MAX ? one : cost + one;
		}
		if (cost >= least) continue;
		least = cost;
		best = &guards[g];
	}
	return best;
}

static void add_test(struct making *m, const struct sql_guard_test *t, uint32_t candidate) {
	struct operand_key key = {m->programs[candidate], &t->operand};
	struct entries *e = &m->entries[operand_map_find(&m->operands, operand_hash(&key), key)->number];
	if (t->kind == SQL_GUARD_RANGE) {
		SL_GROW(e->ranges, e->ranges_len, e->ranges_cap);
		e->ranges[e->ranges_len++] = (struct guard_range){t->low, t->high, 0, candidate};
	}
	for (uint32_t i = 0; i < t->n_keys; i++) {
		SL_GROW(e->keys, e->keys_len, e->keys_cap);
		e->keys[e->keys_len++] = (struct entry){t->keys[i], candidate};
	}
}

static int entry_order(const void *a, const void *b) {
	const struct entry *x = a, *y = b;
	if (x->key != y->key) return x->key < y->key ? -1 : 1;
	return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

static struct guard_slot *free_slot(const struct guard_operand *o, uint64_t key) {
	size_t at = key & o->slot_mask;
	while (o->slots[at].value != GUARD_FREE) at = (at + 1) & o->slot_mask;
	return &o->slots[at];
}

static void make_slots(struct guard_index *index, struct guard_operand *o, struct entries *e) {
	size_t keys = 0, cap = 4, n_many = 0, next;
	if (e->keys_len == 0) return;
	qsort(e->keys, e->keys_len, sizeof *e->keys, entry_order);
	for (size_t i = 0; i < e->keys_len; i++) keys += i == 0 || e->keys[i].key != e->keys[i - 1].key;
	while (cap * 5 < keys * 8) cap *= 2;
	o->slots = SL_ARENA_ARRAY(&index->arena, struct guard_slot, cap);
	o->slot_mask = cap - 1;
	for (size_t i = 0; i < cap; i++) o->slots[i] = (struct guard_slot){.value = GUARD_FREE};
	o->many = SL_ARENA_ARRAY(&index->arena, uint32_t, e->keys_len);
	for (size_t i = 0; i < e->keys_len; i = next) {
		struct guard_slot *slot = free_slot(o, e->keys[i].key);
		slot->tag = (uint32_t)(e->keys[i].key >> 32);
		slot->value = e->keys[i].candidate;
		for (next = i + 1; next < e->keys_len && e->keys[next].key == e->keys[i].key;) next++;
		if (next == i + 1) continue;
		slot->value = GUARD_MANY | (uint32_t)n_many;
		for (size_t k = i; k < next; k++) o->many[n_many++] = e->keys[k].candidate;
		o->many[n_many - 1] |= GUARD_LAST;
	}
}

static int range_order(const void *a, const void *b) {
	const struct guard_range *x = a, *y = b;
	if (x->low < y->low || x->low > y->low) return x->low < y->low ? -1 : 1;
	return (x->candidate > y->candidate) - (x->candidate < y->candidate);
}

static double set_highest(struct guard_range *r, size_t from, size_t to) {
	if (from == to) return -__builtin_huge_val();
	size_t mid = from + (to - from) / 2;
	double left = set_highest(r, from, mid), right = set_highest(r, mid + 1, to);
	double most = left > right ? left : right;
	r[mid].highest = most > r[mid].high ? most : r[mid].high;
	return r[mid].highest;
}

static void make_ranges(struct guard_index *index, struct guard_operand *o, struct entries *e) {
	if (e->ranges_len == 0) return;
	qsort(e->ranges, e->ranges_len, sizeof *e->ranges, range_order);
	o->ranges = SL_ARENA_ARRAY(&index->arena, struct guard_range, e->ranges_len);
	memcpy(o->ranges, e->ranges, e->ranges_len * sizeof *e->ranges);
	o->range_len = e->ranges_len;
	(void)set_highest(o->ranges, 0, o->range_len);
}

/* Operands that no chosen guard uses are left out. */
static void make_operands(struct making *m) {
	struct guard_index *index = m->index;
	index->operands = SL_ARENA_ARRAY(&index->arena, struct guard_operand, m->len + 1);
	for (size_t i = 0; i < m->len; i++) {
		struct entries *e = &m->entries[i];
		if (e->keys_len + e->ranges_len) {
			struct guard_operand *o = &index->operands[index->operand_len++];
			*o = (struct guard_operand){.program = m->keys[i].program,
						    .dialect = sql_program_dialect(m->keys[i].program),
						    .at = *m->keys[i].at};
			make_slots(index, o, e);
			make_ranges(index, o, e);
			index->reads_payload |= o->at.place == SQL_GUARD_PATH;
		}
		sl_free(e->keys);
		sl_free(e->ranges);
	}
}

static void choose_guards(struct making *m) {
	struct guard_index *index = m->index;
	size_t words = (m->count + 63) / 64;
	index->guarded = SL_ARENA_ARRAY(&index->arena, uint64_t, words);
	memset(index->guarded, 0, words * sizeof *index->guarded);
	index->unguarded = SL_ARENA_ARRAY(&index->arena, uint32_t, m->count);
	for (uint32_t i = 0; i < m->count; i++) {
		const struct sql_guard *g = best_guard(m, m->programs[i]);
		if (!g) {
			index->unguarded[index->unguarded_len++] = i;
			continue;
		}
		index->guarded[i >> 6] |= (uint64_t)1 << (i & 63);
		for (uint32_t t = 0; t < g->n_tests; t++) add_test(m, &g->tests[t], i);
	}
}

struct guard_index *guard_index_new(const struct sql_program *const *programs, uint32_t count) {
	uint32_t guarded = 0;
	for (uint32_t i = 0; i < count && guarded < WORTH; i++) {
		size_t n;
		(void)sql_program_guards(programs[i], &n);
		guarded += n > 0;
	}
	if (guarded < WORTH || count > BIT_TREE_MAX) return NULL;
	struct making m = {.index = SL_NEW(struct guard_index), .programs = programs, .count = count};
	sl_arena_init(&m.index->arena, 4096);
	for (uint32_t i = 0; i < count; i++) count_guards(&m, programs[i]);
	m.entries = SL_NEW_ARRAY(struct entries, m.len + 1);
	choose_guards(&m);
	make_operands(&m);
	operand_map_fini(&m.operands);
	wanted_map_fini(&m.wanted);
	sl_free(m.entries);
	sl_free(m.keys);
	return m.index;
}

void guard_index_free(struct guard_index *index) {
	if (!index) return;
	sl_arena_fini(&index->arena);
	sl_free(index);
}

/* ---- asking ---- */

static void take_slot(const struct guard_operand *o, uint32_t value, struct bit_tree *out) {
	if (!(value & GUARD_MANY)) {
		bit_tree_add(out, value);
		return;
	}
	const uint32_t *at = o->many + (value & ~(uint32_t)GUARD_MANY);
	for (; !(*at & GUARD_LAST); at++) bit_tree_add(out, *at);
	bit_tree_add(out, *at & ~(uint32_t)GUARD_LAST);
}

static void find_key(const struct guard_operand *o, uint64_t key, struct bit_tree *out) {
	uint32_t tag = (uint32_t)(key >> 32);
	for (size_t at = key & o->slot_mask; o->slots[at].value != GUARD_FREE; at = (at + 1) & o->slot_mask)
		if (o->slots[at].tag == tag) take_slot(o, o->slots[at].value, out);
}

static void find_ranges(const struct guard_range *r, size_t from, size_t to, double x, struct bit_tree *out) {
	while (from < to) {
		size_t mid = from + (to - from) / 2;
		if (r[mid].highest < x) return; /* all of them end before x */
		find_ranges(r, from, mid, x, out);
		if (r[mid].low > x) return; /* this one and those behind it begin after x */
		if (r[mid].high >= x) bit_tree_add(out, r[mid].candidate);
		from = mid + 1;
	}
}

static void find_all(const struct guard_operand *o, struct bit_tree *out) {
	for (size_t i = 0; o->slots && i <= o->slot_mask; i++)
		if (o->slots[i].value != GUARD_FREE) take_slot(o, o->slots[i].value, out);
	for (size_t i = 0; i < o->range_len; i++) bit_tree_add(out, o->ranges[i].candidate);
}

static void find_value(const struct guard_operand *o, const struct sql_value *v, struct bit_tree *out) {
	uint64_t keys[SQL_GUARD_KEYS_MAX];
	double x;
	uint32_t n = o->slots ? sql_guard_keys(o->dialect, v, keys) : 0;
	for (uint32_t i = 0; i < n; i++) find_key(o, keys[i], out);
	if (o->ranges && sql_guard_number(o->dialect, v, &x)) find_ranges(o->ranges, 0, o->range_len, x, out);
}

void guard_index_find(const struct guard_index *index, struct sql_vm *vm, const struct sql_input *in,
		      const struct jpath_hit *hits, int payload_status, struct bit_tree *out) {
	sql_guard_begin(vm, in);
	for (size_t i = 0; i < index->operand_len; i++) {
		const struct guard_operand *o = &index->operands[i];
		const struct jpath_hit *hit = o->at.place == SQL_GUARD_PATH ? &hits[o->hit] : NULL;
		struct sql_value v;
		if ((hit && payload_status != SL_OK) || sql_guard_value(vm, o->program, &o->at, hit, &v) != SL_OK)
			find_all(o, out);
		else
			find_value(o, &v, out);
	}
}
