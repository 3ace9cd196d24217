#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* qsort_r */
#endif
#include "jpath.h"

#include <stdlib.h>

#include "jscan_int.h"
#include "mem.h"

/* A key with its first and last eight bytes as words: two compares settle keys of up to 16 bytes. Shorter keys than
 * eight have zeros behind them in `head`, and no `tail`. */
struct key {
	uint64_t head, tail;
	const char *p;
	size_t n;
};
struct edge {
	struct key key;
	const struct node *node;
};
struct element {
	uint32_t index;
	const struct node *node;
};

/* Edges stand together in one array; more than LINEAR_MAX of them are found by hash. */
enum { LINEAR_MAX = 8 };
struct node {
	const struct edge *edges;
	const struct element *elements; /* by index */
	const uint32_t *slots;          /* hash table of edges, number + 1; NULL for few */
	const uint32_t *own;            /* hits of the paths that end here */
	uint32_t n_edges, n_elements, n_own, slot_mask;
	/* One path of this subtree: its hit's `walk` tells how deep along the path the walk has been, and so whether
	 * this node was seen, without memory of our own. Nodes that share a path lie on one line, upper before
	 * lower, so one number is enough. */
	uint32_t mark;
	uint8_t depth; /* 0: the root */
};

struct jpath_set {
	struct sl_arena arena;
	size_t n;
	const struct node *root;
};

static const unsigned char head_masks[8][8] = {
    {0},
    {0xff},
    {0xff, 0xff},
    {0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
};

/* `room`: bytes that may be read from p on, at least n. */
JSCAN_INLINE struct key key_make(const char *p, size_t n, size_t room) {
	struct key k = {.p = p, .n = n};
	if (n >= 8) {
		memcpy(&k.head, p, 8);
		memcpy(&k.tail, p + n - 8, 8);
	} else if (sl_likely(room >= 8)) {
		uint64_t mask;
		memcpy(&mask, head_masks[n], 8);
		memcpy(&k.head, p, 8);
		k.head &= mask;
	} else if (n) {
		memcpy(&k.head, p, n);
	}
	return k;
}

JSCAN_INLINE bool key_equal(const struct key *a, const struct key *b) {
	if (((a->head ^ b->head) | (a->tail ^ b->tail) | (a->n ^ b->n)) != 0) return false;
	return a->n <= 16 || memcmp(a->p + 8, b->p + 8, a->n - 16) == 0;
}

/* The keys of a set come from rules, not from clients: no seed is needed, and nobody can aim at a slot. */
JSCAN_INLINE uint32_t key_hash(const struct key *k) {
	uint64_t h = (k->head ^ (k->tail * 0x9e3779b97f4a7c15u) ^ k->n) * 0xff51afd7ed558ccdu;
	return (uint32_t)(h >> 32);
}

/* Building. Sorted paths with equal beginnings stand together: a node is a range of them. */

static int compare_steps(const struct jpath_step *a, const struct jpath_step *b) {
	if (a->is_index != b->is_index) return a->is_index ? 1 : -1;
	if (a->is_index) return (a->index > b->index) - (a->index < b->index);
	return slice_compare(a->key, b->key);
}

static int compare_paths(const void *pa, const void *pb, void *arg) {
	const struct jpath *paths = arg, *a = &paths[*(const uint32_t *)pa], *b = &paths[*(const uint32_t *)pb];
	for (uint16_t i = 0; i < a->n && i < b->n; i++) {
		int c = compare_steps(&a->steps[i], &b->steps[i]);
		if (c != 0) return c;
	}
	return (a->n > b->n) - (a->n < b->n);
}

struct build {
	struct sl_arena *arena;
	const struct jpath *paths;
	const uint32_t *order; /* path numbers, sorted; lives as long as the set */
};

/* The end of the run from `i` on whose step at `depth` is the same. */
static uint32_t run_end(const struct build *b, uint32_t i, uint32_t end, uint8_t depth) {
	const struct jpath_step *step = &b->paths[b->order[i]].steps[depth];
	while (i < end && compare_steps(&b->paths[b->order[i]].steps[depth], step) == 0) i++;
	return i;
}

static void build_slots(const struct build *b, struct node *node) {
	uint32_t cap = 16;
	while (cap < node->n_edges * 2) cap *= 2;
	uint32_t *slots = SL_ARENA_ARRAY(b->arena, uint32_t, cap);
	for (uint32_t i = 0; i < node->n_edges; i++) {
		uint32_t at = key_hash(&node->edges[i].key) & (cap - 1);
		while (slots[at]) at = (at + 1) & (cap - 1);
		slots[at] = i + 1;
	}
	node->slots = slots;
	node->slot_mask = cap - 1;
}

static const struct node *build_node(const struct build *b, uint32_t at, uint32_t end, uint8_t depth) {
	struct node *node = SL_ARENA_NEW(b->arena, struct node);
	node->depth = depth;
	node->mark = b->order[at];
	node->own = b->order + at;
	while (at < end && b->paths[b->order[at]].n == depth) at++, node->n_own++;
	for (uint32_t i = at; i < end; i = run_end(b, i, end, depth)) {
		if (b->paths[b->order[i]].steps[depth].is_index)
			node->n_elements++;
		else
			node->n_edges++;
	}
	struct edge *edge = SL_ARENA_ARRAY(b->arena, struct edge, node->n_edges);
	struct element *element = SL_ARENA_ARRAY(b->arena, struct element, node->n_elements);
	node->edges = edge;
	node->elements = element;
	while (at < end) {
		const struct jpath_step *step = &b->paths[b->order[at]].steps[depth];
		uint32_t next = run_end(b, at, end, depth);
		const struct node *child = build_node(b, at, next, (uint8_t)(depth + 1));
		if (step->is_index) {
			*element++ = (struct element){.index = (uint32_t)step->index, .node = child};
		} else {
			struct sl_slice key = sl_arena_dup(b->arena, step->key);
			*edge++ = (struct edge){.key = key_make(key.p, key.n, key.n), .node = child};
		}
		at = next;
	}
	if (node->n_edges > LINEAR_MAX) build_slots(b, node);
	return node;
}

static int check_path(const struct jpath *path) {
	if (path->n > JSCAN_DEPTH_MAX) return SL_ELIMIT;
	for (uint16_t i = 0; i < path->n; i++) {
		if (path->steps[i].is_index && path->steps[i].index < 0) return SL_EINVAL;
		if (!path->steps[i].is_index && path->steps[i].key.n > JPATH_KEY_MAX) return SL_ELIMIT;
	}
	return SL_OK;
}

int jpath_set_new(const struct jpath *paths, size_t n, struct jpath_set **out) {
	*out = NULL;
	if (n > UINT32_MAX / 2) return SL_ELIMIT;
	for (size_t i = 0; i < n; i++) {
		int r = check_path(&paths[i]);
		if (r != SL_OK) return r;
	}
	struct jpath_set *set = SL_NEW(struct jpath_set);
	sl_arena_init(&set->arena, 1024);
	set->n = n;
	if (n) {
		uint32_t *order = SL_ARENA_ARRAY(&set->arena, uint32_t, n);
		for (uint32_t i = 0; i < n; i++) order[i] = i;
		qsort_r(order, n, sizeof *order, compare_paths, (void *)(uintptr_t)paths);
		struct build b = {.arena = &set->arena, .paths = paths, .order = order};
		set->root = build_node(&b, 0, (uint32_t)n, 0);
	}
	*out = set;
	return SL_OK;
}

void jpath_set_free(struct jpath_set *set) {
	if (!set) return;
	sl_arena_fini(&set->arena);
	sl_free(set);
}

size_t jpath_set_count(const struct jpath_set *set) { return set->n; }

/* Walking. `finish` says that the end of the value is needed: a path ends at it or around it, or something outside
 * is still wanted. Without it the walk ends (`done`) with the last child that the node wants. */

struct walk {
	const char *end;
	struct jpath_hit *hits;
	bool done;
};

static const char *walk_value(struct walk *w, const struct node *node, const char *p, unsigned depth, bool finish);

JSCAN_INLINE const struct node *find_edge(const struct node *node, const struct key *key) {
	if (!node->slots) {
		for (const struct edge *e = node->edges, *last = e + node->n_edges; e < last; e++)
			if (key_equal(&e->key, key)) return e->node;
		return NULL;
	}
	for (uint32_t at = key_hash(key) & node->slot_mask; node->slots[at]; at = (at + 1) & node->slot_mask) {
		const struct edge *e = &node->edges[node->slots[at] - 1];
		if (key_equal(&e->key, key)) return e->node;
	}
	return NULL;
}

/* A name written with escapes is the same name. Longer than any key decoded, it is none of ours: escapes take at most
 * six bytes for one. */
static sl_noinline const struct node *find_escaped(const struct node *node, struct sl_slice raw) {
	char text[JPATH_KEY_MAX * 6];
	if (raw.n > sizeof text) return NULL;
	ptrdiff_t n = jscan_unescape(raw, text);
	if (n < 0) return NULL;
	struct key key = key_make(text, (size_t)n, sizeof text);
	return find_edge(node, &key);
}

/* Is this the node's first value in the document? Then it is taken, and no later one will be. */
JSCAN_INLINE bool take_first(struct walk *w, const struct node *node) {
	struct jpath_hit *mark = &w->hits[node->mark];
	if (mark->walk >= node->depth) return false;
	mark->walk = node->depth;
	return true;
}

static const char *walk_object(struct walk *w, const struct node *node, const char *p, unsigned depth, bool finish) {
	const char *end = w->end;
	uint32_t left = node->n_edges;
	p = jscan_space(p + 1, end);
	if (p < end && *p == '}') return p + 1;
	for (;;) {
		bool escaped = false, not_ascii = false;
		if (p == end || *p != '"') return NULL;
		const char *name = p + 1, *quote = jscan_string_end(name, end, &escaped, &not_ascii);
		if (!quote) return NULL;
		size_t n = (size_t)(quote - name);
		const struct node *child = NULL;
		if (left && sl_unlikely(escaped)) {
			child = find_escaped(node, slice_make(name, n));
		} else if (left) {
			struct key key = key_make(name, n, (size_t)(end - name));
			child = find_edge(node, &key);
		}
		p = jscan_colon(quote + 1, end);
		if (!p) return NULL;
		if (child && take_first(w, child)) {
			left--;
			p = walk_value(w, child, p, depth, finish || left > 0);
			if (!p || w->done) return p;
			if (left == 0 && !finish) {
				w->done = true;
				return p;
			}
		} else {
			p = jscan_skip(p, end, depth);
			if (!p) return NULL;
		}
		p = jscan_space(p, end);
		if (p == end) return NULL;
		if (*p == '}') return p + 1;
		if (*p != ',') return NULL;
		p = jscan_space(p + 1, end);
	}
}

static const char *walk_array(struct walk *w, const struct node *node, const char *p, unsigned depth, bool finish) {
	const char *end = w->end;
	const struct element *next = node->elements, *last = next + node->n_elements;
	p = jscan_space(p + 1, end);
	if (p < end && *p == ']') return p + 1;
	for (uint32_t index = 0;; index++) {
		if (next < last && next->index == index) {
			const struct node *child = (next++)->node;
			p = walk_value(w, child, p, depth, finish || next < last);
			if (!p || w->done) return p;
			if (next == last && !finish) {
				w->done = true;
				return p;
			}
		} else {
			p = jscan_skip(p, end, depth);
			if (!p) return NULL;
		}
		p = jscan_space(p, end);
		if (p == end) return NULL;
		if (*p == ']') return p + 1;
		if (*p != ',') return NULL;
		p = jscan_space(p + 1, end);
	}
}

/* `depth` containers are open around the value at p. */
static const char *walk_value(struct walk *w, const struct node *node, const char *p, unsigned depth, bool finish) {
	if (p == w->end) return NULL;
	bool into_object = *p == '{' && node->n_edges, into_array = *p == '[' && node->n_elements;
	if (!into_object && !into_array) {
		if (node->n_own == 0) return jscan_skip(p, w->end, depth);
		struct jpath_hit hit = {0};
		const char *after = jscan_capture(p, w->end, depth, &hit);
		if (!after) return NULL;
		for (uint32_t i = 0; i < node->n_own; i++) {
			hit.walk = w->hits[node->own[i]].walk;
			w->hits[node->own[i]] = hit;
		}
		return after;
	}
	if (depth >= JSCAN_DEPTH_MAX) return NULL;
	finish |= node->n_own > 0;
	const char *after =
	    into_object ? walk_object(w, node, p, depth + 1, finish) : walk_array(w, node, p, depth + 1, finish);
	if (!after) return NULL;
	for (uint32_t i = 0; i < node->n_own; i++) {
		struct jpath_hit *hit = &w->hits[node->own[i]];
		hit->raw = slice_make(p, (size_t)(after - p));
		hit->kind = into_object ? JKIND_OBJECT : JKIND_ARRAY;
	}
	return after;
}

int jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits) {
	if (set->n == 0) return SL_OK;
	memset(hits, 0, set->n * sizeof *hits);
	if (doc.n == 0) return SL_EMALFORMED;
	struct walk w = {.end = doc.p + doc.n, .hits = hits};
	const char *p = walk_value(&w, set->root, jscan_space(doc.p, w.end), 0, false);
	if (!p) return SL_EMALFORMED;
	return w.done || jscan_space(p, w.end) == w.end ? SL_OK : SL_EMALFORMED;
}
