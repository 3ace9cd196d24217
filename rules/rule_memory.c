/* rule_memory.c: see rule_memory.h. */
#include "rule_memory.h"

#include "log.h"
#include "mem.h"

void rule_state_init(struct rule_state *s, size_t bytes_max) {
	sql_memory_init(&s->memory, bytes_max);
	s->kv = sql_store_new(&s->memory, 0);
	s->dict = sql_store_new(&s->memory, 0);
	s->shadow_kv = sql_store_new(&s->memory, 0);
	s->shadow_dict = sql_store_new(&s->memory, 0);
	atomic_init(&s->window_failed, 0);
	atomic_init(&s->window_lost, 0);
}

void rule_state_fini(struct rule_state *s) {
	sql_store_free(s->kv);
	sql_store_free(s->dict);
	sql_store_free(s->shadow_kv);
	sql_store_free(s->shadow_dict);
	s->kv = s->dict = s->shadow_kv = s->shadow_dict = NULL;
}

struct rule_memory *rule_memory_new(const struct sql_program *p, struct rule_state *s, size_t stripes) {
	const struct sql_window *window = sql_program_window(p);
	bool remembers = sql_program_remembers(p);
	if (!window && !remembers) return NULL;
	struct rule_memory *m = SL_NEW(struct rule_memory);
	atomic_init(&m->refs, 1);
	m->state = s;
	if (remembers) m->store = sql_store_new(&s->memory, 0);
	if (window) m->windows = sql_windows_new(window, &s->memory, stripes);
	return m;
}

struct rule_memory *rule_memory_ref(struct rule_memory *m) {
	if (m) atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void rule_memory_unref(struct rule_memory *m) {
	if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
	size_t lost = m->windows ? sql_windows_groups(m->windows) : 0;
	if (lost) {
		atomic_fetch_add_explicit(&m->state->window_lost, lost, memory_order_relaxed);
		log_info(LOG_RULE, "open windows are dropped with their rule", "groups=%zu", lost);
	}
	sql_windows_free(m->windows);
	sql_store_free(m->store);
	sl_free(m);
}
