#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* qsort_r */
#endif
#include "jpath.h"

#include <stdlib.h>

#include "hash.h"
#include "jindex_int.h"
#include "mem.h"
#include "utf8.h"

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
	const uint32_t *own;            /* hits of the paths that end here, and behind them of those below */
	uint64_t signs;                 /* bit key_sign() of each edge: most names are none of them */
	uint32_t n_edges, n_elements, n_own, n_paths, slot_mask;
	/* One path of this subtree: its hit's `walk` tells how deep along the path the walk has been, and so whether
	 * this node was seen, without memory of our own. Nodes that share a path lie on one line, upper before
	 * lower, so one number is enough. */
	uint32_t mark;
	uint8_t depth; /* 1: the root; so that no hit has seen it that was just cleared */
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

/* 0 .. 63, of the length and the last byte; of an empty name, that is the quote before it. */
JSCAN_INLINE unsigned key_sign(char last, size_t n) { return ((unsigned)n + (unsigned char)last * 3u) & 63; }

/* The keys of a set come from rules, not from clients: no seed is needed, and nobody can aim at a slot. */
JSCAN_INLINE uint32_t key_hash(const struct key *k) {
	uint64_t h = (k->head ^ (k->tail * 0x9e3779b97f4a7c15u) ^ k->n) * 0xff51afd7ed558ccdu;
	return (uint32_t)(h >> 32);
}

bool jpath_equal(const struct jpath *a, const struct jpath *b) {
	if (a->n != b->n) return false;
	for (uint16_t i = 0; i < a->n; i++) {
		const struct jpath_step *x = &a->steps[i], *y = &b->steps[i];
		if (x->is_index != y->is_index) return false;
		if (x->is_index ? x->index != y->index : !slice_equal(x->key, y->key)) return false;
	}
	return true;
}

uint64_t jpath_hash(const struct jpath *path) {
	uint64_t hash = path->n;
	for (uint16_t i = 0; i < path->n; i++) {
		const struct jpath_step *step = &path->steps[i];
		uint64_t part = step->is_index ? (uint64_t)step->index + 1 : sl_hash(step->key);
		hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	return hash;
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
	node->depth = (uint8_t)(depth + 1);
	node->mark = b->order[at];
	node->own = b->order + at;
	node->n_paths = end - at;
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
			node->signs |= (uint64_t)1 << key_sign(key.n ? key.p[key.n - 1] : '"', key.n);
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

/* Walking. One loop, with the open containers on a stack of its own, for all of them are walked: those that no path
 * enters have no node. The places of brackets, commas and colons come from the index, in order; what stands between two of
 * them, one string, number or literal, is looked at here. */

struct frame {
	const struct node *node;              /* NULL: nothing in here is wanted */
	uint64_t signs;                       /* of the members that are */
	const struct element *element, *last; /* the wanted elements of an array that are still to come */
	const char *start;
	uint32_t index; /* of the next element */
	char closer;
};

struct walk {
	struct jindex ix;
	const char *end;
	struct jpath_hit *hits;
};

static sl_noinline const struct node *find_any(const struct node *node, const char *p, size_t n, const char *end) {
	struct key key = key_make(p, n, (size_t)(end - p));
	if (!node->slots) {
		for (const struct edge *e = node->edges, *last = e + node->n_edges; e < last; e++)
			if (key_equal(&e->key, &key)) return e->node;
		return NULL;
	}
	for (uint32_t at = key_hash(&key) & node->slot_mask; node->slots[at]; at = (at + 1) & node->slot_mask) {
		const struct edge *e = &node->edges[node->slots[at] - 1];
		if (key_equal(&e->key, &key)) return e->node;
	}
	return NULL;
}

/* The member of this name; `end` is that of what may be read. Short names among few are settled here, in a function that
 * calls none and so saves no registers; it is not inline, for the walk's registers are worth more than the call. */
static sl_noinline const struct node *find_edge(const struct node *node, const char *p, size_t n, const char *end) {
	uint64_t head, tail = 0;
	if (sl_unlikely(node->slots || n > 16 || end - p < 8)) return find_any(node, p, n, end);
	memcpy(&head, p, 8);
	if (n >= 8) {
		memcpy(&tail, p + n - 8, 8);
	} else {
		uint64_t mask;
		memcpy(&mask, head_masks[n], 8);
		head &= mask;
	}
	for (const struct edge *e = node->edges, *last = e + node->n_edges; e < last; e++)
		if (((e->key.head ^ head) | (e->key.tail ^ tail) | (e->key.n ^ n)) == 0) return e->node;
	return NULL;
}

/* A name written with escapes is the same name. Longer than any key decoded, it is none of ours: escapes take at most
 * six bytes for one. */
static sl_noinline const struct node *find_escaped(const struct node *node, struct sl_slice raw) {
	char text[JPATH_KEY_MAX * 6];
	if (raw.n > sizeof text) return NULL;
	ptrdiff_t n = jscan_unescape(raw, text);
	if (n < 0) return NULL;
	return find_edge(node, text, (size_t)n, text + sizeof text);
}

JSCAN_INLINE bool has_escape(const struct walk *w, struct sl_slice raw) {
	return sl_unlikely(w->ix.escapes) && raw.n && memchr(raw.p, '\\', raw.n);
}

/* A later value in the place of one that was there: what was found in that is void. Of the marks in this range only our
 * own speaks of nodes above, and it stays. */
static sl_noinline void forget(const struct walk *w, const struct node *node) {
	for (uint32_t i = 0; i < node->n_paths; i++) w->hits[node->own[i]] = (struct jpath_hit){.walk = node->depth};
}

JSCAN_INLINE void take(const struct walk *w, const struct node *node) {
	struct jpath_hit *mark = &w->hits[node->mark];
	if (sl_unlikely(mark->walk >= node->depth)) forget(w, node);
	mark->walk = node->depth;
}

JSCAN_INLINE void put_hits(const struct walk *w, const struct node *node, struct sl_slice raw, enum json_kind kind,
			   uint8_t flags) {
	for (uint32_t i = 0; i < node->n_own; i++) {
		struct jpath_hit *hit = &w->hits[node->own[i]];
		hit->raw = raw;
		hit->kind = kind;
		hit->flags = flags;
	}
}

/* White space from p on up to the next place, which is there and ends it. */
JSCAN_INLINE const char *space_within(const char *p) {
	while (sl_unlikely(jscan_is_space(*p))) p++;
	return p;
}

/* Behind the last byte before this place that is no white space; there is one that is none. */
JSCAN_INLINE const char *token_end(const char *place) {
	while (sl_unlikely(jscan_is_space(place[-1]))) place--;
	return place;
}

/* The closing quote before this place, or NULL when something else stands there. */
JSCAN_INLINE const char *quote_before(const char *place) {
	if (sl_likely(place[-1] == '"')) return place - 1;
	place = token_end(place) - 1;
	return *place == '"' ? place : NULL;
}

/* From the name at p, white space before it allowed, to its value. The place just taken is the colon; then *place is the
 * first one at the value or behind it. *child is the node that wants the value. */
JSCAN_INLINE const char *walk_name(struct walk *w, struct jindex_cursor *c, const struct frame *f, const char *p,
				   const struct node **child, const char **place) {
	const char *colon = *place, *quote = colon - 1;
	if (sl_unlikely(*p != '"' || *quote != '"')) {
		p = space_within(p);
		quote = token_end(colon) - 1;
		if (*p != '"' || *quote != '"') return NULL;
	}
	if (*colon != ':') return NULL;
	const char *name = p + 1;
	size_t n = (size_t)(quote - name);
	*child = NULL;
	if (sl_unlikely(w->ix.escapes) && f->signs && has_escape(w, slice_make(name, n)))
		*child = find_escaped(f->node, slice_make(name, n));
	else if (sl_unlikely(f->signs >> key_sign(quote[-1], n) & 1))
		*child = find_edge(f->node, name, n, w->end);
	return jindex_next(&w->ix, c, place) ? space_within(colon + 1) : NULL;
}

JSCAN_INLINE const struct node *walk_element(struct frame *f) {
	if (!f->node) return NULL;
	bool wanted = f->element < f->last && f->element->index == f->index;
	f->index++;
	return wanted ? (f->element++)->node : NULL;
}

/* The string at p. Where a quote stands before the place, it is one string: the index lets no second one begin here. */
JSCAN_INLINE bool walk_string(const struct walk *w, const struct node *child, const char *p, const char *place) {
	const char *quote = quote_before(place);
	if (quote && child) {
		struct sl_slice raw = slice_make(p + 1, (size_t)(quote - p - 1));
		put_hits(w, child, raw, JKIND_STRING, has_escape(w, raw) ? JSCAN_ESCAPED : 0);
	}
	return quote;
}

static sl_noinline enum json_kind scalar_kind(const char *p, const char *end) {
	struct sl_slice raw = slice_make(p, (size_t)(end - p));
	return jscan_starts_number(*p) ? jscan_number_form(raw) : jscan_literal_kind(raw);
}

/* The number or literal at p. */
JSCAN_INLINE bool walk_scalar(const struct walk *w, const struct node *child, const char *p, const char *place) {
	struct sl_slice raw = slice_make(p, (size_t)(place - p));
	enum json_kind kind =
	    jscan_starts_number(*p) ? jscan_number_kind(raw, w->ix.start, w->end) : jscan_literal_kind(raw);
	if (sl_unlikely(kind == JKIND_ABSENT)) {
		raw.n = (size_t)(token_end(place) - p);
		kind = scalar_kind(p, p + raw.n);
	}
	if (child) put_hits(w, child, raw, kind, 0);
	return kind != JKIND_ABSENT;
}

JSCAN_INLINE void frame_open(struct frame *f, const struct node *node, const char *p) {
	f->node = node;
	f->start = p;
	f->index = 0;
	f->signs = node ? node->signs : 0;
	f->closer = (char)(*p + 2); /* ASCII: '[' and ']', '{' and '}' */
	if (!node || *p == '{') return;
	f->element = node->elements;
	f->last = f->element + node->n_elements;
}

JSCAN_INLINE void frame_close(const struct walk *w, const struct frame *f, const char *after) {
	if (!f->node) return;
	put_hits(w, f->node, slice_make(f->start, (size_t)(after - f->start)),
		 f->closer == '}' ? JKIND_OBJECT : JKIND_ARRAY, 0);
}

/* Walks the container that the document is; behind it, or NULL. `place` is always the last place
 * taken from the index, and p <= place: so p may be read. */
static const char *walk_document(struct walk *w, const struct node *root, struct sl_slice doc) {
	struct jindex_cursor c = jindex_init(&w->ix, doc);
	struct frame stack[JSCAN_DEPTH_MAX + 1], *f = stack, *const deepest = stack + JSCAN_DEPTH_MAX;
	const struct node *child = root;
	const char *place, *p;
	if (!jindex_next(&w->ix, &c, &place)) return NULL;
	p = place;
	for (;;) { /* p stands at a value, which child wants */
		bool more = false;
		if (child) take(w, child);
		if (*p == '"') {
			if (!walk_string(w, child, p, place)) return NULL;
		} else if (p < place) {
			if (!walk_scalar(w, child, p, place)) return NULL;
		} else if ((*p | 0x20) == '{') {
			if (f == deepest || !jindex_next(&w->ix, &c, &place)) return NULL;
			frame_open(++f, child, p);
			p = space_within(p + 1);
			more = *p != f->closer;
		} else {
			return NULL;
		}
		while (!more) { /* at the place behind a value, or at the end of an empty container */
			p = place + 1;
			if (*place == ',') {
				if (!jindex_next(&w->ix, &c, &place)) return NULL;
				more = true;
			} else if (*place == f->closer) {
				frame_close(w, f, p);
				if (--f == stack) return p;
				if (!jindex_next(&w->ix, &c, &place) || space_within(p) != place) return NULL;
			} else {
				return NULL;
			}
		}
		if (f->closer == '}') {
			if (!(p = walk_name(w, &c, f, p, &child, &place))) return NULL;
		} else {
			p = space_within(p);
			child = walk_element(f);
		}
	}
}

/* A document that is a single string, number or literal. */
static sl_noinline int extract_scalar(const struct walk *w, const struct node *root, struct sl_slice doc, bool any) {
	struct jpath_hit hit;
	int r = any ? jscan_value_any_text(doc, &hit) : jscan_valid(doc) ? jscan_value(doc, &hit) : SL_EMALFORMED;
	if (r == SL_OK) put_hits(w, root, hit.raw, hit.kind, hit.flags);
	return r;
}

static sl_noinline void mark_any_text(struct jpath_hit *hits, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (hits[i].kind == JKIND_OBJECT || hits[i].kind == JKIND_ARRAY) hits[i].flags |= JSCAN_ANY_TEXT;
}

static int extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits, bool any) {
	if (set->n == 0) return SL_OK;
	memset(hits, 0, set->n * sizeof *hits);
	if (doc.n == 0) return SL_EMALFORMED;
	struct walk w;
	w.end = doc.p + doc.n;
	w.hits = hits;
	const char *p = jscan_space(doc.p, w.end);
	if (p == w.end) return SL_EMALFORMED;
	if (*p != '{' && *p != '[') return extract_scalar(&w, set->root, doc, any);
	p = walk_document(&w, set->root, doc);
	bool sound = p && jscan_space(p, w.end) == w.end && !w.ix.broken;
	bool utf8 = !w.ix.not_ascii || utf8_valid(doc);
	if (sl_likely(sound && utf8)) return SL_OK;
	if (sound && any) {
		mark_any_text(hits, set->n);
		return SL_OK;
	}
	memset(hits, 0, set->n * sizeof *hits);
	return SL_EMALFORMED;
}

int jpath_extract(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits) {
	return extract(set, doc, hits, false);
}

int jpath_extract_any_text(const struct jpath_set *set, struct sl_slice doc, struct jpath_hit *hits) {
	return extract(set, doc, hits, true);
}
