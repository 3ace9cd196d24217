/* sql_state.h: what rules remember from one message to the next: bounded stores of keys and values.
 *
 *     struct sql_memory   the ceiling that all stores of a process share, and what is counted about it
 *     struct sql_store    keys and values under one roof: kv_store_put() has one, proc_dict_put() has one, every rule
 *                         with lag(), changed() or last_value() has its own
 *     struct sql_state    what one run may use of these (struct sql_input.state)
 *
 * Bounds: a key has at most SQL_STATE_KEY_MAX bytes, a value SQL_STATE_VALUE_MAX; a store its share of the ceiling, all
 * together the ceiling. At either, the store forgets what it has not used for longest, and counts it (evicted). When it has
 * nothing to forget, for other stores hold the rest, the new key is refused, counted, and the run fails.
 * What has expired is not found any more; its memory goes when it is met, or at the ceiling first of all.
 *
 * "Longest unused" is exact within one of the stripes that a store is divided into, by the hash of the key; so all of it is
 * near enough.
 *
 * Values are kept as they are; lists and maps as JSON text. Values read are copied into the arena given.
 * Lifetime: stores end before their memory; a store is freed when nobody uses it any more.
 * Thread: stores any; each call holds the lock of one stripe for a look-up and a copy of at most SQL_STATE_VALUE_MAX bytes,
 * never while it allocates or frees. Errors: as said at each call. */
#ifndef SQL_STATE_H
#define SQL_STATE_H

#include <stdatomic.h>

#include "sql_value.h"

enum {
	SQL_STATE_KEY_MAX = 1024,
	SQL_STATE_VALUE_MAX = 64 * 1024,
	SQL_STATE_DEFAULT_MB = 64, /* the ceiling when nobody says another */
	SQL_STATE_SHARE = 4,       /* one store has at most a fourth of it */
};

struct sql_memory {
	size_t bytes_max;
	_Atomic size_t bytes;
	_Atomic size_t keys; /* kept, groups of open windows too */
	_Atomic uint64_t evicted;
	_Atomic uint64_t refused;
};
void sql_memory_init(struct sql_memory *m, size_t bytes_max); /* 0: SQL_STATE_DEFAULT_MB */
/* Takes bytes off the ceiling, or not: false when they are not to be had. */
bool sql_memory_take(struct sql_memory *m, size_t bytes);
void sql_memory_give(struct sql_memory *m, size_t bytes);

struct sql_store;
struct sql_store *sql_store_new(struct sql_memory *m, size_t bytes_max) sl_warn_unused; /* 0: its share */
void sql_store_free(struct sql_store *s);                                               /* NULL is fine */
size_t sql_store_keys(const struct sql_store *s);

/* The name of a value in a store. The owner (may be empty) groups keys that go at once; the number tells places of a program
 * apart. */
struct sql_key {
	struct sl_slice owner, text;
	uint64_t number;
};
/* All of these: SL_OK; SL_ELIMIT: the key or the value is too large; SL_ENOSPACE: the ceiling, and nothing to forget.
 * `old` (may be NULL) is what was there, NULL when nothing was; it comes from `arena`. */
int sql_store_get(struct sql_store *s, const struct sql_key *key, int64_t now_ms, struct sl_arena *arena,
		  struct sql_value *out);
/* expires_ms: wall time from which the value is gone; 0: never. */
int sql_store_put(struct sql_store *s, const struct sql_key *key, const struct sql_value *value, int64_t now_ms,
		  int64_t expires_ms, struct sl_arena *arena, struct sql_value *old);
int sql_store_del(struct sql_store *s, const struct sql_key *key, int64_t now_ms, struct sl_arena *arena,
		  struct sql_value *old);
/* Drops everything of an owner. One branch when the store is empty. */
void sql_store_drop_owner(struct sql_store *s, struct sl_slice owner);

/* A member that is NULL is not to be had where this run takes place: its functions fail. */
struct sql_state {
	struct sql_store *kv;       /* of all rules */
	struct sql_store *dict;     /* of connections */
	struct sl_slice connection; /* whose dictionary, the client's id */
	struct sql_store *rule;     /* of the rule */
};

#endif
