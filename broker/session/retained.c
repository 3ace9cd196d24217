#include "retained.h"

#include <pthread.h>

#include "list.h"
#include "mem.h"
#include "topic.h"

/* A level of a topic. Children hang in a list (for wildcards) and are found by text in the tree's one table. */
struct node {
	struct node *parent, *chain; /* chain: next with the same place in the table */
	struct sl_list children, sibling;
	struct sl_list expiring; /* in the tree's list when its message can expire */
	struct msg *m;           /* NULL: only a way to others */
	uint64_t hash;
	size_t level_len;
	char level[];
};

struct retained {
	pthread_mutex_t lock;
	_Atomic size_t count;
	uint64_t count_max;
	struct node *root;
	struct node **table;
	size_t nodes, mask;
	struct sl_list expiring;
	retained_keep_cb keep; /* NULL: nobody does */
	void *keep_arg;
};

static struct node *node_new(struct node *parent, struct sl_slice level, uint64_t hash) {
	struct node *n = sl_alloc(sizeof *n + level.n);
	*n = (struct node){.parent = parent, .hash = hash, .level_len = level.n};
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
	r->nodes++;
	return n;
}

/* Takes a node and its ancestors away as far as nothing needs them. */
static void prune(struct retained *r, struct node *n) {
	while (n != r->root && !n->m && sl_list_empty(&n->children)) {
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

struct matches {
	struct msg **v;
	size_t n, cap;
	int64_t now_ms;
};

static void take(struct matches *out, const struct node *n) {
	if (!n->m || msg_expiry_left(n->m, out->now_ms) == 0) return;
	SL_GROW(out->v, out->n, out->cap);
	out->v[out->n++] = msg_ref(n->m);
}

/* Depth is bounded: a topic has at most TOPIC_LEVELS_MAX levels. */
static void take_all(struct matches *out, const struct node *n) {
	take(out, n);
	SL_LIST_FOREACH(it, &n->children) take_all(out, SL_LIST_ENTRY(it, struct node, sibling));
}

/* A leading wildcard does not see topics that begin with "$" [MQTT-4.7.2-1]. */
static bool hidden(const struct retained *r, const struct node *parent, const struct node *n) {
	return parent == r->root && n->level_len > 0 && n->level[0] == '$';
}

static void match(const struct retained *r, const struct node *n, struct sl_slice rest, struct matches *out) {
	if (!rest.p) {
		take(out, n);
		return;
	}
	struct sl_slice level = slice_next_part(&rest, '/');
	if (slice_equal_str(level, "#")) {
		if (n != r->root) take(out, n); /* "a/#" includes "a" */
		SL_LIST_FOREACH(it, &n->children) {
			const struct node *child = SL_LIST_ENTRY(it, struct node, sibling);
			if (!hidden(r, n, child)) take_all(out, child);
		}
	} else if (slice_equal_str(level, "+")) {
		SL_LIST_FOREACH(it, &n->children) {
			const struct node *child = SL_LIST_ENTRY(it, struct node, sibling);
			if (!hidden(r, n, child)) match(r, child, rest, out);
		}
	} else {
		const struct node *child = child_find(r, n, level, child_hash(n, level));
		if (child) match(r, child, rest, out);
	}
}

size_t retained_match(struct retained *r, struct sl_slice filter, int64_t now_ms, struct msg ***v) {
	struct matches out = {.now_ms = now_ms};
	if (retained_count(r) > 0) {
		pthread_mutex_lock(&r->lock);
		match(r, r->root, filter, &out);
		pthread_mutex_unlock(&r->lock);
	}
	*v = out.v;
	return out.n;
}

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
