#include "retained.h"

#include <pthread.h>

#include "list.h"
#include "mem.h"
#include "topic.h"

/* A level of a topic. Children hang in a list (for wildcards), oldest first, and are found by text in the tree's one table. */
struct node {
	struct node *parent, *chain; /* chain: next with the same place in the table */
	struct sl_list children, sibling;
	struct sl_list expiring; /* in the tree's list when its message can expire */
	struct msg *m;           /* NULL: only a way to others */
	uint64_t hash;
	uint64_t born; /* rises from node to node */
	uint32_t pins; /* cursors that stand here: it stays */
	uint32_t level_len;
	char level[];
};

struct retained {
	pthread_mutex_t lock;
	_Atomic size_t count;
	uint64_t count_max;
	struct node *root;
	struct node **table;
	size_t nodes, mask;
	uint64_t born; /* of the youngest node */
	struct sl_list expiring;
	retained_keep_cb keep; /* NULL: nobody does */
	void *keep_arg;
};

static struct node *node_new(struct node *parent, struct sl_slice level, uint64_t hash) {
	struct node *n = sl_alloc(sizeof *n + level.n);
	*n = (struct node){.parent = parent, .hash = hash, .level_len = (uint32_t)level.n};
	sl_list_init(&n->children);
	sl_list_init(&n->sibling);
	sl_list_init(&n->expiring);
	if (level.n) memcpy(n->level, level.p, level.n);
	return n;
}

struct retained *retained_new(uint64_t count_max) {
	struct retained *r = SL_NEW(struct retained);
	pthread_mutex_init(&r->lock, NULL);
	r->count_max = count_max;
	r->root = node_new(NULL, SL_SLICE_EMPTY, 0);
	r->mask = 63;
	r->table = SL_NEW_ARRAY(struct node *, r->mask + 1);
	sl_list_init(&r->expiring);
	return r;
}

void retained_free(struct retained *r) {
	if (!r) return;
	for (size_t i = 0; i <= r->mask; i++)
		for (struct node *n = r->table[i]; n;) {
			struct node *next = n->chain;
			msg_unref(n->m);
			sl_free(n);
			n = next;
		}
	sl_free(r->root);
	sl_free(r->table);
	pthread_mutex_destroy(&r->lock);
	sl_free(r);
}

/* ---- the tree ---- */

static uint64_t child_hash(const struct node *parent, struct sl_slice level) {
	return sl_hash(level) ^ ((uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15u >> 7);
}

static struct node *child_find(const struct retained *r, const struct node *parent, struct sl_slice level,
			       uint64_t hash) {
	for (struct node *n = r->table[hash & r->mask]; n; n = n->chain)
		if (n->hash == hash && n->parent == parent && slice_equal(slice_make(n->level, n->level_len), level))
			return n;
	return NULL;
}

static void table_grow(struct retained *r) {
	size_t mask = r->mask * 2 + 1;
	struct node **table = SL_NEW_ARRAY(struct node *, mask + 1);
	for (size_t i = 0; i <= r->mask; i++)
		for (struct node *n = r->table[i]; n;) {
			struct node *next = n->chain;
			n->chain = table[n->hash & mask];
			table[n->hash & mask] = n;
			n = next;
		}
	sl_free(r->table);
	r->table = table;
	r->mask = mask;
}

static struct node *child_add(struct retained *r, struct node *parent, struct sl_slice level, uint64_t hash) {
	if (r->nodes > r->mask) table_grow(r);
	struct node *n = node_new(parent, level, hash);
	n->chain = r->table[hash & r->mask];
	r->table[hash & r->mask] = n;
	sl_list_push_back(&parent->children, &n->sibling);
	n->born = ++r->born;
	r->nodes++;
	return n;
}

/* Takes a node and its ancestors away as far as nothing needs them. */
static void prune(struct retained *r, struct node *n) {
	while (n != r->root && !n->m && n->pins == 0 && sl_list_empty(&n->children)) {
		struct node *parent = n->parent, **at = &r->table[n->hash & r->mask];
		while (*at != n) at = &(*at)->chain;
		*at = n->chain;
		sl_list_remove(&n->sibling);
		sl_list_remove(&n->expiring);
		sl_free(n);
		r->nodes--;
		n = parent;
	}
}

static struct node *walk(struct retained *r, struct sl_slice topic, bool make) {
	struct node *n = r->root;
	struct sl_slice rest = topic;
	do {
		struct sl_slice level = slice_next_part(&rest, '/');
		uint64_t hash = child_hash(n, level);
		struct node *child = child_find(r, n, level, hash);
		if (!child && !make) return NULL;
		n = child ? child : child_add(r, n, level, hash);
	} while (rest.p);
	return n;
}

/* ---- set ---- */

void retained_keep(struct retained *r, retained_keep_cb keep, void *arg) {
	r->keep = keep;
	r->keep_arg = arg;
}

static void node_put(struct retained *r, struct node *n, struct msg *m, struct retained_change *change) {
	if (r->keep && (m || n->m)) change->batch = r->keep(r->keep_arg, m ? m : n->m, m == NULL);
	if (n->m) {
		change->count--;
		change->bytes -= (int64_t)n->m->topic_len + n->m->payload_len;
		msg_unref(n->m);
	}
	sl_list_remove(&n->expiring);
	n->m = m;
	if (!m) return;
	change->count++;
	change->bytes += (int64_t)m->topic_len + m->payload_len;
	if (m->expiry_s != MSG_NO_EXPIRY) sl_list_push_back(&r->expiring, &n->expiring);
}

int retained_set(struct retained *r, struct msg *m, struct retained_change *change) {
	bool remove = m->payload_len == 0;
	int rc = SL_OK;
	pthread_mutex_lock(&r->lock);
	struct node *n = walk(r, msg_topic(m), !remove);
	size_t count = atomic_load_explicit(&r->count, memory_order_relaxed);
	if (n && !remove && !n->m && count >= r->count_max) {
		rc = SL_ELIMIT;
	} else if (n) {
		node_put(r, n, remove ? NULL : msg_ref(m), change);
	}
	if (n) prune(r, n);
	atomic_store_explicit(&r->count, count + (size_t)change->count, memory_order_relaxed);
	pthread_mutex_unlock(&r->lock);
	return rc;
}

/* ---- match ---- */

/* The place of a walk is the node that was looked at last, which stays while a cursor stands on it. Nodes that are younger than the
 * walk are passed over, and siblings stand by age: so it has an end, whatever is published meanwhile. */
struct retained_cursor {
	struct retained *r;
	struct node *at;   /* NULL: the walk is over */
	uint64_t born_max; /* the youngest that it sees */
	uint32_t depth;    /* of `at`; the root's is 0 */
	uint32_t len;      /* levels of the filter, without "#" at the end */
	bool rest;         /* it ends in "#" */
	struct sl_slice levels[];
};

struct retained_cursor *retained_open(struct retained *r, struct sl_slice filter) {
	size_t n = topic_levels(filter);
	struct retained_cursor *c = sl_alloc(sizeof *c + n * sizeof *c->levels + filter.n);
	*c = (struct retained_cursor){.r = r};
	char *text = (char *)&c->levels[n];
	if (filter.n) memcpy(text, filter.p, filter.n);
	struct sl_slice rest = slice_make(text, filter.n);
	do {
		c->levels[c->len++] = slice_next_part(&rest, '/');
	} while (rest.p);
	c->rest = slice_equal_str(c->levels[c->len - 1], "#");
	if (c->rest) c->len--;
	if (retained_count(r) == 0) return c;
	pthread_mutex_lock(&r->lock);
	c->at = r->root;
	c->at->pins++;
	c->born_max = r->born;
	pthread_mutex_unlock(&r->lock);
	return c;
}

void retained_close(struct retained_cursor *c) {
	if (!c) return;
	if (c->at) {
		pthread_mutex_lock(&c->r->lock);
		c->at->pins--;
		prune(c->r, c->at);
		pthread_mutex_unlock(&c->r->lock);
	}
	sl_free(c);
}

/* Are all children of a node at this depth wanted? */
static bool wants_all(const struct retained_cursor *c, uint32_t depth) {
	return depth >= c->len ? c->rest : slice_equal_str(c->levels[depth], "+");
}

/* A leading wildcard does not see topics that begin with "$" [MQTT-4.7.2-1]. */
static bool hidden(const struct retained_cursor *c) {
	return c->depth == 1 && c->at->level_len > 0 && c->at->level[0] == '$' && wants_all(c, 0);
}

static struct node *seen(const struct retained_cursor *c, struct sl_list *it, const struct node *parent) {
	if (it == &parent->children) return NULL;
	struct node *n = SL_LIST_ENTRY(it, struct node, sibling);
	return n->born <= c->born_max ? n : NULL;
}

static struct node *first_below(const struct retained_cursor *c) {
	if (hidden(c)) return NULL;
	if (wants_all(c, c->depth)) return seen(c, c->at->children.next, c->at);
	if (c->depth >= c->len) return NULL;
	struct sl_slice level = c->levels[c->depth];
	struct node *n = child_find(c->r, c->at, level, child_hash(c->at, level));
	return n && n->born <= c->born_max ? n : NULL;
}

/* To the next node in the order of the tree: below, beside, or beside those above. */
static void step(struct retained_cursor *c, size_t *steps) {
	struct node *n = first_below(c);
	if (n) {
		c->depth++;
		c->at = n;
		return;
	}
	for (; c->depth > 0; c->depth--, c->at = c->at->parent) {
		n = wants_all(c, c->depth - 1) ? seen(c, c->at->sibling.next, c->at->parent) : NULL;
		if (n) break;
		if (*steps > 1) --*steps;
	}
	c->at = n;
}

/* "a/#" includes "a". */
static struct msg *here(const struct retained_cursor *c, int64_t now_ms) {
	struct msg *m = c->at->m;
	bool wanted = m && (c->rest ? c->depth >= c->len : c->depth == c->len) && !hidden(c);
	return wanted && msg_expiry_left(m, now_ms) > 0 ? msg_ref(m) : NULL;
}

struct msg *retained_next(struct retained_cursor *c, int64_t now_ms, size_t *steps) {
	struct retained *r = c->r;
	struct msg *m = NULL;
	if (!c->at || *steps == 0) return NULL;
	pthread_mutex_lock(&r->lock);
	struct node *before = c->at;
	while (!m && c->at && *steps > 0) {
		step(c, steps);
		--*steps;
		if (c->at) m = here(c, now_ms);
	}
	if (c->at) c->at->pins++;
	before->pins--;
	prune(r, before);
	pthread_mutex_unlock(&r->lock);
	return m;
}

bool retained_over(const struct retained_cursor *c) { return c->at == NULL; }

void retained_sweep(struct retained *r, int64_t now_ms, size_t budget, struct retained_change *change) {
	pthread_mutex_lock(&r->lock);
	struct sl_list seen;
	sl_list_init(&seen);
	for (struct sl_list *it; budget > 0 && (it = sl_list_pop_front(&r->expiring)) != NULL; budget--) {
		struct node *n = SL_LIST_ENTRY(it, struct node, expiring);
		if (msg_expiry_left(n->m, now_ms) > 0) {
			sl_list_push_back(&seen, it);
			continue;
		}
		node_put(r, n, NULL, change);
		prune(r, n);
	}
	sl_list_splice_back(&r->expiring, &seen);
	atomic_fetch_add_explicit(&r->count, (size_t)change->count, memory_order_relaxed);
	pthread_mutex_unlock(&r->lock);
}

size_t retained_count(const struct retained *r) { return atomic_load_explicit(&r->count, memory_order_relaxed); }
