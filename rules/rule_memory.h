/* rule_memory.h: what rules remember between messages, and where (sql_state.h, sql_window.h say what it is).
 *
 *     struct rule_state    one per process (or per try): the ceiling, the key-value store, the connections' dictionaries
 *     struct rule_memory   of one rule: values of lag() and its like, groups of open windows
 *
 * A reload hands a rule's memory on when its id, text and dialect stay; otherwise it is dropped with the old rule, open
 * windows included. It is gone when the process ends: nothing of it is on disk.
 *
 * Lifetime: the state outlives every memory made of it; a memory has counted references, of its rules in old and new sets.
 * Thread: made and dropped on any; what is in it has locks of its own. */
#ifndef RULE_MEMORY_H
#define RULE_MEMORY_H

#include "sql_state.h"
#include "sql_window.h"

enum { RULE_STRIPES = 16 }; /* of windows on the publish path */

struct rule_state {
	struct sql_memory memory;
	struct sql_store *kv, *dict;
	struct sql_store *shadow_kv, *shadow_dict; /* what shadows (rule_shadow.h) write to */
	_Atomic uint64_t window_failed;            /* rows of windows that could not be made */
	_Atomic uint64_t window_lost;              /* groups of open windows that went with their rule */
};
void rule_state_init(struct rule_state *s, size_t bytes_max); /* 0: the default */
void rule_state_fini(struct rule_state *s);

struct rule_memory {
	_Atomic uint32_t refs;
	struct rule_state *state;
	struct sql_store *store;     /* NULL: the rule has no lag() nor its like */
	struct sql_windows *windows; /* NULL: no GROUP BY */
};
/* NULL: the program needs none. */
struct rule_memory *rule_memory_new(const struct sql_program *p, struct rule_state *s, size_t stripes) sl_warn_unused;
struct rule_memory *rule_memory_ref(struct rule_memory *m); /* NULL is fine, as below */
void rule_memory_unref(struct rule_memory *m);

/* What a run of the rule may use. */
static inline struct sql_state rule_memory_state(const struct rule_state *s, const struct rule_memory *m,
						 struct sl_slice connection) {
	return (struct sql_state){.kv = s->kv, .dict = s->dict, .connection = connection, .rule = m ? m->store : NULL};
}

#endif
