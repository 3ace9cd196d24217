/* sql_state.c: see sql_state.h.
 *
 * A store is sixteen stripes: a lock, a hash map, a list from the longest unused on. All keys of an owner fall into one
 * stripe, chained to each other there, so that they go without a search. An entry is made before the lock is taken and
 * freed after it is given back; a value that fits into the old one's room is written over it and allocates nothing. */
#include "sql_state.h"

#include <pthread.h>
#include <stdlib.h>

#include "err.h"
#include "hash.h"
#include "list.h"
#include "mem.h"

enum { STRIPES = 16 };

struct entry {
	struct sl_list used;  /* in the stripe: longest unused first */
	struct sl_list mates; /* others of the owner, in a circle */
	uint64_t hash, number;
	int64_t expires_ms;
	uint32_t owner_n, text_n;
	uint32_t room;          /* bytes behind the key for the value's */
	struct sql_value value; /* .p is set when it is read */
	char bytes[];           /* owner, text, value */
};

struct entry_slot {
	uint64_t hash;
	bool used;
	struct entry *entry;
};

static struct sl_slice entry_owner(const struct entry *e) { return slice_make(e->bytes, e->owner_n); }
static struct sl_slice entry_text(const struct entry *e) { return slice_make(e->bytes + e->owner_n, e->text_n); }
static char *entry_value(struct entry *e) { return e->bytes + e->owner_n + e->text_n; }
static bool entry_is(const struct entry *e, const struct sql_key *key) {
	return e->number == key->number && slice_equal(entry_text(e), key->text) &&
	       slice_equal(entry_owner(e), key->owner);
}

#define HMAP_NAME entry_map
#define HMAP_SLOT struct entry_slot
#define HMAP_KEY const struct sql_key *
#define HMAP_EQUAL(slot, key) entry_is((slot)->entry, (key))
#include "hmap.h"

/* The last entry met of each owner: a way into its circle. */
struct owner_slot {
	uint64_t hash;
	bool used;
	struct entry *any;
};
#define HMAP_NAME owner_map
#define HMAP_SLOT struct owner_slot
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal(entry_owner((slot)->any), (key))
#include "hmap.h"

struct stripe {
	pthread_mutex_t lock;
	struct entry_map map;
	struct owner_map owners;
	struct sl_list used;
} __attribute__((aligned(64)));

struct sql_store {
	struct stripe stripes[STRIPES];
	struct sql_memory *memory;
	size_t bytes_max;
	_Atomic size_t bytes, keys;
};

/* ---- the ceiling ---- */

void sql_memory_init(struct sql_memory *m, size_t bytes_max) {
	m->bytes_max = bytes_max ? bytes_max : (size_t)SQL_STATE_DEFAULT_MB << 20;
	atomic_init(&m->bytes, 0);
	atomic_init(&m->keys, 0);
	atomic_init(&m->evicted, 0);
	atomic_init(&m->refused, 0);
}

bool sql_memory_take(struct sql_memory *m, size_t bytes) {
	if (atomic_fetch_add_explicit(&m->bytes, bytes, memory_order_relaxed) + bytes <= m->bytes_max) return true;
	atomic_fetch_sub_explicit(&m->bytes, bytes, memory_order_relaxed);
	return false;
}
void sql_memory_give(struct sql_memory *m, size_t bytes) {
	atomic_fetch_sub_explicit(&m->bytes, bytes, memory_order_relaxed);
}

/* ---- the store ---- */

struct sql_store *sql_store_new(struct sql_memory *m, size_t bytes_max) {
	size_t size = (sizeof(struct sql_store) + 63) & ~(size_t)63;
	struct sql_store *s = aligned_alloc(64, size);
	sl_assert(s);
	memset(s, 0, size);
	s->memory = m;
	s->bytes_max = bytes_max ? bytes_max : m->bytes_max / SQL_STATE_SHARE;
	for (size_t i = 0; i < STRIPES; i++) {
		pthread_mutex_init(&s->stripes[i].lock, NULL);
		sl_list_init(&s->stripes[i].used);
	}
	return s;
}

/* An entry costs its bytes, its two places in tables, and what an allocator adds. */
static size_t entry_cost(const struct entry *e) {
	return sizeof *e + e->owner_n + e->text_n + e->room + 2 * sizeof(struct entry_slot) + 16;
}

/* What happens to the numbers of the store and of all stores. */
static void account(struct sql_store *s, size_t give, size_t keys_less) {
	sql_memory_give(s->memory, give);
	atomic_fetch_sub_explicit(&s->bytes, give, memory_order_relaxed);
	atomic_fetch_sub_explicit(&s->keys, keys_less, memory_order_relaxed);
	atomic_fetch_sub_explicit(&s->memory->keys, keys_less, memory_order_relaxed);
}

void sql_store_free(struct sql_store *s) {
	if (!s) return;
	for (size_t i = 0; i < STRIPES; i++) {
		struct stripe *p = &s->stripes[i];
		SL_LIST_FOREACH_SAFE(it, &p->used) {
			struct entry *e = SL_LIST_ENTRY(it, struct entry, used);
			account(s, entry_cost(e), 1);
			sl_free(e);
		}
		entry_map_fini(&p->map);
		owner_map_fini(&p->owners);
		pthread_mutex_destroy(&p->lock);
	}
	free(s); /* aligned_alloc()'s */
}

size_t sql_store_keys(const struct sql_store *s) { return atomic_load_explicit(&s->keys, memory_order_relaxed); }

static uint64_t key_hash(const struct sql_key *key, uint64_t *owner) {
	uint64_t text = sl_hash(key->text) ^ (key->number + 1) * 0x9e3779b97f4a7c15u;
	*owner = key->owner.n ? sl_hash(key->owner) : text;
	return key->owner.n ? (text ^ *owner * 0xff51afd7ed558ccdu) : text;
}

/* By the owner, or by the key of those that have none. */
static struct stripe *stripe_of(struct sql_store *s, uint64_t hash) { return &s->stripes[hash >> 60]; }

/* Takes the entry out of the stripe's tables; it is the caller's to free, after the lock. */
static void entry_unlink(struct stripe *p, struct entry *e) {
	struct sql_key key = {.owner = entry_owner(e), .text = entry_text(e), .number = e->number};
	if (e->owner_n) {
		struct owner_slot *o = owner_map_find(&p->owners, sl_hash(key.owner), key.owner);
		if (sl_list_empty(&e->mates))
			owner_map_remove(&p->owners, o);
		else if (o->any == e)
			o->any = SL_LIST_ENTRY(e->mates.next, struct entry, mates);
		sl_list_remove(&e->mates);
	}
	entry_map_remove(&p->map, entry_map_find(&p->map, e->hash, &key));
	sl_list_remove(&e->used);
}

static void entry_link(struct stripe *p, struct entry *e) {
	struct sql_key key = {.owner = entry_owner(e), .text = entry_text(e), .number = e->number};
	bool there;
	entry_map_put(&p->map, e->hash, &key, &there)->entry = e;
	sl_list_push_back(&p->used, &e->used);
	sl_list_init(&e->mates);
	if (!e->owner_n) return;
	struct owner_slot *o = owner_map_put(&p->owners, sl_hash(key.owner), key.owner, &there);
	if (there) sl_list_push_back(&o->any->mates, &e->mates);
	o->any = e;
}

static bool has_bytes(const struct sql_value *v) {
	return v->kind == SQL_STRING || v->kind == SQL_BYTES || v->kind == SQL_NUMBER_TEXT || v->kind == SQL_JSON;
}

static void value_write(struct entry *e, const struct sql_value *v, int64_t expires_ms) {
	e->value = *v;
	e->expires_ms = expires_ms;
	if (has_bytes(v) && v->n) memcpy(entry_value(e), v->p, v->n);
}

static struct sql_value value_read(struct entry *e, struct sl_arena *arena) {
	struct sql_value v = e->value;
	if (has_bytes(&v)) v.p = sl_arena_dup(arena, slice_make(entry_value(e), v.n)).p;
	return v;
}

static bool expired(const struct entry *e, int64_t now_ms) { return e->expires_ms && e->expires_ms <= now_ms; }

/* The entry of the key, not expired; it becomes the last used. The stripe is locked. */
static struct entry *lookup(struct stripe *p, uint64_t hash, const struct sql_key *key, int64_t now_ms,
			    struct entry **gone) {
	struct entry_slot *slot = entry_map_find(&p->map, hash, key);
	if (!slot) return NULL;
	struct entry *e = slot->entry;
	if (expired(e, now_ms)) {
		entry_unlink(p, e);
		*gone = e;
		return NULL;
	}
	sl_list_remove(&e->used);
	sl_list_push_back(&p->used, &e->used);
	return e;
}

static void bury(struct sql_store *s, struct entry *gone) {
	if (!gone) return;
	account(s, entry_cost(gone), 1);
	sl_free(gone);
}

/* Lets go of what this stripe has not used for longest. False: it has nothing. */
static bool forget_one(struct sql_store *s, struct stripe *p, int64_t now_ms) {
	pthread_mutex_lock(&p->lock);
	struct entry *oldest = sl_list_empty(&p->used) ? NULL : SL_LIST_ENTRY(p->used.next, struct entry, used);
	if (oldest) entry_unlink(p, oldest);
	pthread_mutex_unlock(&p->lock);
	if (!oldest) return false;
	if (!expired(oldest, now_ms)) atomic_fetch_add_explicit(&s->memory->evicted, 1, memory_order_relaxed);
	bury(s, oldest);
	return true;
}

/* Gets bytes for this store, forgetting for it what must be: in the stripe first, then in the others in turn. */
static bool make_room(struct sql_store *s, struct stripe *p, size_t bytes, int64_t now_ms) {
	if (bytes > s->bytes_max) return false;
	for (;;) {
		size_t have = atomic_fetch_add_explicit(&s->bytes, bytes, memory_order_relaxed);
		if (have + bytes <= s->bytes_max && sql_memory_take(s->memory, bytes)) return true;
		atomic_fetch_sub_explicit(&s->bytes, bytes, memory_order_relaxed);
		bool any = forget_one(s, p, now_ms);
		for (size_t i = 0; !any && i < STRIPES; i++) any = forget_one(s, &s->stripes[i], now_ms);
		if (!any) return false;
	}
}

int sql_store_get(struct sql_store *s, const struct sql_key *key, int64_t now_ms, struct sl_arena *arena,
		  struct sql_value *out) {
	uint64_t owner, hash = key_hash(key, &owner);
	struct stripe *p = stripe_of(s, owner);
	struct entry *gone = NULL;
	*out = sql_null();
	if (key->text.n > SQL_STATE_KEY_MAX || key->owner.n > UINT16_MAX) return SL_ELIMIT;
	pthread_mutex_lock(&p->lock);
	struct entry *e = lookup(p, hash, key, now_ms, &gone);
	if (e) *out = value_read(e, arena);
	pthread_mutex_unlock(&p->lock);
	bury(s, gone);
	return SL_OK;
}

static struct entry *entry_new(const struct sql_key *key, uint64_t hash, uint32_t bytes) {
	uint32_t room = (bytes + 15) & ~15u;
	struct entry *e = sl_alloc(sizeof *e + key->owner.n + key->text.n + room);
	*e = (struct entry){.hash = hash,
			    .number = key->number,
			    .owner_n = (uint32_t)key->owner.n,
			    .text_n = (uint32_t)key->text.n,
			    .room = room};
	if (key->owner.n) memcpy(e->bytes, key->owner.p, key->owner.n);
	if (key->text.n) memcpy(e->bytes + key->owner.n, key->text.p, key->text.n);
	return e;
}

/* Writes over the old value where it fits. */
static bool put_in_place(struct sql_store *s, struct stripe *p, uint64_t hash, const struct sql_key *key,
			 const struct sql_value *v, int64_t now_ms, int64_t expires_ms, struct sl_arena *arena,
			 struct sql_value *old) {
	struct entry *gone = NULL;
	pthread_mutex_lock(&p->lock);
	struct entry *e = lookup(p, hash, key, now_ms, &gone);
	bool fits = e && (!has_bytes(v) || (v->n <= e->room && e->room <= v->n * 4 + 64));
	if (fits) {
		if (old) *old = value_read(e, arena);
		value_write(e, v, expires_ms);
	}
	pthread_mutex_unlock(&p->lock);
	bury(s, gone);
	return fits;
}

/* Lists and maps become JSON text. */
static struct sql_value flat(const struct sql_value *v, struct sl_arena *arena) {
	if (v->kind != SQL_LIST && v->kind != SQL_MAP) return *v;
	struct sl_buf text = SL_BUF_INIT;
	sql_value_json(v, &text);
	struct sl_slice copy = sl_arena_dup(arena, sl_buf_slice(&text));
	sl_buf_fini(&text);
	return (struct sql_value){
	    .kind = SQL_JSON, .is_array = v->kind == SQL_LIST, .n = (uint32_t)copy.n, .p = copy.p};
}

int sql_store_put(struct sql_store *s, const struct sql_key *key, const struct sql_value *value, int64_t now_ms,
		  int64_t expires_ms, struct sl_arena *arena, struct sql_value *old) {
	uint64_t owner, hash = key_hash(key, &owner);
	struct stripe *p = stripe_of(s, owner);
	struct sql_value v = flat(value, arena);
	if (old) *old = sql_null();
	if (key->text.n > SQL_STATE_KEY_MAX || key->owner.n > UINT16_MAX) return SL_ELIMIT;
	if (has_bytes(&v) && v.n > SQL_STATE_VALUE_MAX) return SL_ELIMIT;
	if (put_in_place(s, p, hash, key, &v, now_ms, expires_ms, arena, old)) return SL_OK;

	struct entry *fresh = entry_new(key, hash, has_bytes(&v) ? v.n : 0), *gone = NULL;
	if (!make_room(s, p, entry_cost(fresh), now_ms)) {
		atomic_fetch_add_explicit(&s->memory->refused, 1, memory_order_relaxed);
		sl_free(fresh);
		return SL_ENOSPACE;
	}
	atomic_fetch_add_explicit(&s->keys, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->memory->keys, 1, memory_order_relaxed);
	value_write(fresh, &v, expires_ms);
	pthread_mutex_lock(&p->lock);
	struct entry *before = lookup(p, hash, key, now_ms, &gone);
	if (before) { /* too small for the value, or put there by another thread meanwhile */
		if (old) *old = value_read(before, arena);
		entry_unlink(p, before);
		gone = before;
	}
	entry_link(p, fresh);
	pthread_mutex_unlock(&p->lock);
	bury(s, gone);
	return SL_OK;
}

int sql_store_del(struct sql_store *s, const struct sql_key *key, int64_t now_ms, struct sl_arena *arena,
		  struct sql_value *old) {
	uint64_t owner, hash = key_hash(key, &owner);
	struct stripe *p = stripe_of(s, owner);
	struct entry *gone = NULL;
	if (old) *old = sql_null();
	if (key->text.n > SQL_STATE_KEY_MAX || key->owner.n > UINT16_MAX) return SL_ELIMIT;
	pthread_mutex_lock(&p->lock);
	struct entry *e = lookup(p, hash, key, now_ms, &gone);
	if (e) {
		if (old) *old = value_read(e, arena);
		entry_unlink(p, e);
		gone = e;
	}
	pthread_mutex_unlock(&p->lock);
	bury(s, gone);
	return SL_OK;
}

void sql_store_drop_owner(struct sql_store *s, struct sl_slice owner) {
	if (sql_store_keys(s) == 0 || owner.n == 0) return;
	uint64_t hash = sl_hash(owner);
	struct stripe *p = stripe_of(s, hash);
	struct sl_list gone;
	sl_list_init(&gone);
	pthread_mutex_lock(&p->lock);
	struct owner_slot *o;
	while ((o = owner_map_find(&p->owners, hash, owner)) != NULL) {
		struct entry *e = o->any;
		entry_unlink(p, e);
		sl_list_push_back(&gone, &e->used);
	}
	pthread_mutex_unlock(&p->lock);
	for (struct sl_list *it; (it = sl_list_pop_front(&gone)) != NULL;)
		bury(s, SL_LIST_ENTRY(it, struct entry, used));
}
