/* sql_window.c: groups of open windows, and the rows of those that end; see sql_window.h.
 *
 *     stripe   lock | the pane that is filling | panes that are full | (the closer's) panes by time
 *     pane     a hop's time: groups by key, and in the order they came
 *
 * A message adds to one group of one pane, however many windows it is part of. A window is the panes of its time: each of its
 * groups is taken from the first pane that has it, and what later panes know of it is added. So a closing window takes no
 * memory. A pane goes when the last window that it is part of has ended.
 *
 * Full panes are touched by nobody but the closer, so only taking them needs the lock. `floor` is the time up to which they
 * have been taken from a stripe: what comes late is added to the first pane behind it. */
#include "sql_window.h"

#include <pthread.h>
#include <stdlib.h>

#include "hash.h"
#include "mem.h"
#include "sql_aggregate.h"

struct group {
	uint64_t hash;
	uint8_t hops;
	size_t cost;
	struct sql_value *keys;
	struct sql_aggregate at[];
};

struct group_slot {
	uint64_t hash;
	bool used;
	struct group *g;
};
struct group_key {
	const struct sql_value *at;
	size_t n;
};
static bool keys_equal(const struct group *g, struct group_key key);
#define HMAP_NAME group_map
#define HMAP_SLOT struct group_slot
#define HMAP_KEY struct group_key
#define HMAP_EQUAL(slot, key) keys_equal((slot)->g, (key))
#include "hmap.h"

struct pane {
	int64_t start_ms;
	struct pane *next;
	struct group_map map;
	struct group **groups;
	size_t len, cap;
};

struct stripe {
	pthread_mutex_t lock;
	struct pane *filling;
	struct pane *full; /* newest first */
	int64_t floor;
	/* the closer's: oldest first */
	struct pane **past;
	size_t past_len, past_cap;
} __attribute__((aligned(64)));

struct sql_windows {
	int64_t size_ms, hop_ms;
	uint16_t n_keys, n_aggregates;
	enum sql_aggregate_kind *kinds;
	struct sql_memory *memory;
	size_t bytes_max;
	_Atomic size_t bytes, groups;
	_Atomic bool closing; /* somebody is in sql_windows_next() */
	/* the closer's */
	bool emitting;
	int64_t last_end_ms; /* of the window that is, or was last, emitted */
	size_t at_stripe, at_pane, at_group;
	size_t n_stripes;
	struct stripe stripes[];
};

/* ---- lengths ---- */

/* One number with its unit, taken off the text; negative when it is none. */
static double length_part(struct sl_slice *text) {
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
	size_t n = 0, end;
	double number;
	while (n < text->n && ((text->p[n] >= '0' && text->p[n] <= '9') || text->p[n] == '.')) n++;
	for (end = n; end < text->n && text->p[end] >= 'a' && text->p[end] <= 'z';) end++;
	if (n == 0 || slice_to_double(slice_sub(*text, 0, n), &number) != SL_OK) return -1;
	struct sl_slice unit = slice_sub(*text, n, end - n);
	*text = slice_from(*text, end);
	for (size_t i = 0; i < SL_ARRAY_LEN(units); i++)
		if (slice_equal_str(unit, units[i].unit)) return number * units[i].ms;
	return -1;
}

int sql_duration(struct sl_slice text, int64_t *ms) {
	double total = 0;
	if (text.n == 0) return SL_EMALFORMED;
	while (text.n) {
		double part = length_part(&text);
		total += part;
		if (part < 0 || total > 36500 * 86400e3) return SL_EMALFORMED;
	}
	*ms = (int64_t)total;
	return SL_OK;
}

/* ---- keys ---- */

static bool has_bytes(const struct sql_value *v) {
	return v->kind == SQL_STRING || v->kind == SQL_BYTES || v->kind == SQL_NUMBER_TEXT || v->kind == SQL_JSON;
}

static bool keys_equal(const struct group *g, struct group_key key) {
	for (size_t i = 0; i < key.n; i++) {
		const struct sql_value *a = &g->keys[i], *b = &key.at[i];
		if (a->kind != b->kind) return false;
		if (has_bytes(a)          ? !slice_equal(sql_value_text(a), sql_value_text(b))
		    : a->kind == SQL_BOOL ? a->b != b->b
					  : (a->kind == SQL_INT || a->kind == SQL_DOUBLE) && a->i != b->i)
			return false;
	}
	return true;
}

/* 21 and 21.0 are one group; objects and arrays are told apart by their text. */
static struct sql_value key_value(struct sql_vm *vm, const struct sql_value *v) {
	struct sql_value k = sql_number(*v);
	if (k.kind == SQL_DOUBLE && k.d > -9e15 && k.d < 9e15 && k.d == (double)(int64_t)k.d) k = sql_int((int64_t)k.d);
	if (k.kind == SQL_DOUBLE && !__builtin_isfinite(k.d)) return *v; /* 1e999 stays as it is written */
	if (k.kind != SQL_LIST && k.kind != SQL_MAP) return k;
	struct sl_slice text = sql_text(vm, &k);
	return (struct sql_value){.kind = SQL_JSON, .is_array = k.kind == SQL_LIST, .n = (uint32_t)text.n, .p = text.p};
}

static uint64_t key_hash(struct group_key key) {
	uint64_t hash = key.n;
	for (size_t i = 0; i < key.n; i++) {
		const struct sql_value *v = &key.at[i];
		uint64_t part = v->kind;
		if (has_bytes(v)) part ^= sl_hash(sql_value_text(v));
		if (v->kind == SQL_BOOL) part ^= (uint64_t)v->b << 8;
		if (v->kind == SQL_INT || v->kind == SQL_DOUBLE)
			part ^= sl_hash(slice_make(&v->i, sizeof v->i)); /* the bits of either */
		hash = (hash ^ part) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
	}
	return hash;
}

/* ---- groups ---- */

static bool take(struct sql_windows *w, size_t bytes) {
	size_t have = atomic_fetch_add_explicit(&w->bytes, bytes, memory_order_relaxed);
	if (have + bytes <= w->bytes_max && sql_memory_take(w->memory, bytes)) return true;
	atomic_fetch_sub_explicit(&w->bytes, bytes, memory_order_relaxed);
	return false;
}

static void give(struct sql_windows *w, size_t bytes) {
	atomic_fetch_sub_explicit(&w->bytes, bytes, memory_order_relaxed);
	sql_memory_give(w->memory, bytes);
}

static void group_free(struct sql_windows *w, struct group *g) {
	give(w, g->cost);
	atomic_fetch_sub_explicit(&w->groups, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&w->memory->keys, 1, memory_order_relaxed);
	for (uint16_t i = 0; i < w->n_aggregates; i++) sl_free(g->at[i].text);
	sl_free(g);
}

/* NULL: the ceiling. */
static struct group *group_new(struct sql_windows *w, struct group_key key, uint64_t hash) {
	size_t bytes =
	    sizeof(struct group) + w->n_aggregates * sizeof(struct sql_aggregate) + key.n * sizeof(struct sql_value);
	size_t text = 0;
	for (size_t i = 0; i < key.n; i++) text += has_bytes(&key.at[i]) ? key.at[i].n : 0;
	size_t cost = bytes + text + 2 * sizeof(struct group_slot) + 2 * sizeof(void *) + 16;
	if (atomic_fetch_add_explicit(&w->groups, 1, memory_order_relaxed) >= SQL_GROUPS_MAX || !take(w, cost)) {
		atomic_fetch_sub_explicit(&w->groups, 1, memory_order_relaxed);
		return NULL;
	}
	atomic_fetch_add_explicit(&w->memory->keys, 1, memory_order_relaxed);
	struct group *g = sl_zalloc(bytes + text);
	g->hash = hash;
	g->cost = cost;
	g->keys = (struct sql_value *)&g->at[w->n_aggregates];
	char *at = (char *)(g->keys + key.n);
	for (size_t i = 0; i < key.n; i++) {
		g->keys[i] = key.at[i];
		if (!has_bytes(&key.at[i])) continue;
		if (key.at[i].n) memcpy(at, key.at[i].p, key.at[i].n);
		g->keys[i].p = at;
		at += key.at[i].n;
	}
	return g;
}

/* Adds to the group, or not at all. The stripe is locked. */
static bool group_add(struct sql_windows *w, struct sql_vm *vm, struct group *g, const struct sql_value *args,
		      uint8_t hops) {
	for (uint16_t i = 0; i < w->n_aggregates; i++) {
		struct sql_aggregate *a = &g->at[i];
		uint32_t room = sql_aggregate_room(w->kinds[i], a, &args[i]);
		if (!room) continue;
		if (!take(w, room - a->room)) return false;
		g->cost += room - a->room;
		a->text = sl_realloc(a->text, room);
		a->room = room;
		if (has_bytes(&a->kept)) a->kept.p = a->text;
	}
	for (uint16_t i = 0; i < w->n_aggregates; i++) sql_aggregate_add(vm, w->kinds[i], &g->at[i], &args[i]);
	if (hops > g->hops) g->hops = hops;
	return true;
}

static void pane_free(struct sql_windows *w, struct pane *p) {
	if (!p) return;
	for (size_t i = 0; i < p->len; i++) group_free(w, p->groups[i]);
	group_map_fini(&p->map);
	sl_free(p->groups);
	sl_free(p);
}

/* ---- the face ---- */

struct sql_windows *sql_windows_new(const struct sql_window *def, struct sql_memory *m, size_t stripes) {
	size_t size = (sizeof(struct sql_windows) + stripes * sizeof(struct stripe) + 63) & ~(size_t)63;
	struct sql_windows *w = aligned_alloc(64, size);
	sl_assert(w);
	memset(w, 0, size);
	w->size_ms = def->size_ms;
	w->hop_ms = def->hop_ms;
	w->n_keys = def->n_keys;
	w->n_aggregates = def->n_aggregates;
	w->kinds = SL_NEW_ARRAY(enum sql_aggregate_kind, def->n_aggregates + 1u);
	memcpy(w->kinds, def->aggregates, def->n_aggregates * sizeof *w->kinds);
	w->memory = m;
	w->bytes_max = m->bytes_max / SQL_STATE_SHARE;
	w->last_end_ms = INT64_MIN;
	w->n_stripes = stripes;
	for (size_t i = 0; i < stripes; i++) {
		pthread_mutex_init(&w->stripes[i].lock, NULL);
		w->stripes[i].floor = INT64_MIN;
	}
	return w;
}

void sql_windows_free(struct sql_windows *w) {
	if (!w) return;
	for (size_t i = 0; i < w->n_stripes; i++) {
		struct stripe *s = &w->stripes[i];
		pane_free(w, s->filling);
		for (struct pane *p = s->full, *next; p; p = next) {
			next = p->next;
			pane_free(w, p);
		}
		for (size_t k = 0; k < s->past_len; k++) pane_free(w, s->past[k]);
		sl_free(s->past);
		pthread_mutex_destroy(&s->lock);
	}
	sl_free(w->kinds);
	free(w); /* aligned_alloc()'s */
}

size_t sql_windows_groups(const struct sql_windows *w) {
	return atomic_load_explicit(&w->groups, memory_order_relaxed);
}

static int64_t floor_to(int64_t ms, int64_t step) {
	int64_t r = ms % step;
	return ms - (r < 0 ? r + step : r);
}

/* The pane of the time, made and put in place of the former one if need be. The stripe is locked. */
static struct pane *pane_at(struct sql_windows *w, struct stripe *s, int64_t now_ms) {
	int64_t start = floor_to(now_ms, w->hop_ms);
	if (start < s->floor) start = s->floor;
	struct pane *p = s->filling;
	if (p && p->start_ms >= start) return p;
	if (p) {
		p->next = s->full;
		s->full = p;
	}
	s->filling = SL_NEW(struct pane);
	s->filling->start_ms = start;
	return s->filling;
}

/* Arguments of aggregates as they take them; count(*) has none in the row. */
static int arguments(struct sql_windows *w, struct sql_vm *vm, const struct sql_out *row, struct sql_value *args) {
	size_t at = w->n_keys;
	for (uint16_t i = 0; i < w->n_aggregates; i++) {
		args[i] = w->kinds[i] == SQL_A_COUNT_ALL ? sql_null() : row->values[at++];
		int r = sql_aggregate_check(vm, w->kinds[i], &args[i]);
		if (r != SL_OK) return r;
	}
	return SL_OK;
}

static int refused(struct sql_windows *w, struct sql_vm *vm) {
	atomic_fetch_add_explicit(&w->memory->refused, 1, memory_order_relaxed);
	if (sql_windows_groups(w) >= SQL_GROUPS_MAX)
		return sql_vm_fail(vm, SL_ELIMIT,
				   "GROUP BY: more than %d groups are open; group by less, or make "
				   "the window shorter",
				   SQL_GROUPS_MAX);
	return sql_vm_fail(vm, SL_ENOSPACE,
			   "GROUP BY: the memory for state is used up; group by less, make the window "
			   "shorter or raise state.max_bytes");
}

int sql_windows_add(struct sql_windows *w, struct sql_vm *vm, const struct sql_out *row, int64_t now_ms, uint8_t hops) {
	struct sql_value keys[SQL_GROUP_KEYS_MAX], args[SQL_AGGREGATES_MAX];
	struct group_key key = {keys, w->n_keys};
	for (uint16_t i = 0; i < w->n_keys; i++) {
		keys[i] = key_value(vm, &row->values[i]);
		if (has_bytes(&keys[i]) && keys[i].n > SQL_STATE_KEY_MAX)
			return sql_vm_fail(vm, SL_ELIMIT, "GROUP BY: a value has at most %d bytes", SQL_STATE_KEY_MAX);
	}
	int r = arguments(w, vm, row, args);
	if (r != SL_OK) return r;
	uint64_t hash = key_hash(key);
	struct stripe *s = &w->stripes[(hash >> 48) % w->n_stripes];

	pthread_mutex_lock(&s->lock);
	struct group_slot *slot = group_map_find(&pane_at(w, s, now_ms)->map, hash, key);
	bool done = slot && group_add(w, vm, slot->g, args, hops);
	pthread_mutex_unlock(&s->lock);
	if (done) return SL_OK;
	if (slot) return refused(w, vm);

	struct group *fresh = group_new(w, key, hash);
	if (!fresh) return refused(w, vm);
	bool there;
	pthread_mutex_lock(&s->lock);
	struct pane *p = pane_at(w, s, now_ms);
	slot = group_map_put(&p->map, hash, key, &there);
	if (!there) {
		slot->g = fresh;
		SL_GROW(p->groups, p->len, p->cap);
		p->groups[p->len++] = fresh;
	}
	done = group_add(w, vm, slot->g, args, hops);
	bool empty = !there && !done; /* it would be a row of no message */
	if (empty) {
		group_map_remove(&p->map, slot);
		p->len--;
	}
	pthread_mutex_unlock(&s->lock);
	if (there || empty) group_free(w, fresh); /* there: another thread was faster */
	return done ? SL_OK : refused(w, vm);
}

/* ---- windows that end ---- */

/* Takes what is full at now_ms from the stripe. */
static void collect(struct sql_windows *w, struct stripe *s, int64_t now_ms) {
	pthread_mutex_lock(&s->lock);
	struct pane *full = s->full, *last = s->filling;
	s->full = NULL;
	bool ended = last && (now_ms == INT64_MAX || last->start_ms + w->hop_ms <= now_ms);
	int64_t upto =
	    now_ms == INT64_MAX ? (last ? last->start_ms + w->hop_ms : s->floor) : floor_to(now_ms, w->hop_ms);
	if (upto > s->floor) s->floor = upto;
	if (ended) s->filling = NULL;
	pthread_mutex_unlock(&s->lock);

	size_t n = ended;
	for (struct pane *p = full; p; p = p->next) n++;
	if (n == 0) return;
	while (s->past_len + n > s->past_cap) {
		s->past_cap = s->past_cap * 2 + 4;
		s->past = sl_realloc_array(s->past, s->past_cap, sizeof(struct pane *));
	}
	s->past_len += n;
	size_t at = s->past_len; /* they are given newest first */
	if (ended) s->past[--at] = last;
	for (struct pane *p = full; p; p = p->next) s->past[--at] = p;
}

/* Frees panes that no window after the last one has. */
static void drop_past(struct sql_windows *w, struct stripe *s) {
	size_t gone = 0;
	while (gone < s->past_len && s->past[gone]->start_ms <= w->last_end_ms - w->size_ms)
		pane_free(w, s->past[gone++]);
	s->past_len -= gone;
	if (gone) memmove(s->past, s->past + gone, s->past_len * sizeof *s->past);
}

/* Goes to the next window that has ended and has something in it. */
static bool window_begin(struct sql_windows *w, int64_t now_ms) {
	int64_t end = INT64_MAX;
	for (size_t i = 0; i < w->n_stripes; i++) {
		struct stripe *s = &w->stripes[i];
		collect(w, s, now_ms);
		if (s->past_len && s->past[0]->start_ms + w->hop_ms < end) end = s->past[0]->start_ms + w->hop_ms;
	}
	if (end == INT64_MAX) return false;
	if (w->last_end_ms != INT64_MIN && end <= w->last_end_ms) end = w->last_end_ms + w->hop_ms;
	if (end > now_ms) return false;
	w->last_end_ms = end;
	w->emitting = true;
	w->at_stripe = w->at_pane = w->at_group = 0;
	return true;
}

static bool in_window(const struct sql_windows *w, const struct pane *p) {
	return p->start_ms >= w->last_end_ms - w->size_ms && p->start_ms < w->last_end_ms;
}

static const struct group *find_in(const struct sql_windows *w, const struct pane *p, const struct group *like) {
	struct group_slot *slot = group_map_find(&p->map, like->hash, (struct group_key){like->keys, w->n_keys});
	return slot ? slot->g : NULL;
}

static bool earlier_has(const struct sql_windows *w, const struct stripe *s, size_t pane, const struct group *g) {
	for (size_t i = 0; i < pane; i++)
		if (in_window(w, s->past[i]) && find_in(w, s->past[i], g)) return true;
	return false;
}

/* The group of this pane, with what the later panes of the window have of it. */
static void make_row(const struct sql_windows *w, const struct stripe *s, size_t pane, const struct group *g,
		     struct sl_arena *arena, struct sql_window_row *row) {
	struct sql_value *values = SL_ARENA_ARRAY(arena, struct sql_value, (size_t)w->n_keys + w->n_aggregates + 2);
	struct sql_aggregate *total = SL_ARENA_ARRAY(arena, struct sql_aggregate, w->n_aggregates + 1u);
	row->hops = 0;
	for (size_t i = pane; i < s->past_len && in_window(w, s->past[i]); i++) {
		const struct group *part = i == pane ? g : find_in(w, s->past[i], g);
		for (uint16_t k = 0; part && k < w->n_aggregates; k++)
			sql_aggregate_merge(w->kinds[k], &total[k], &part->at[k]);
		if (part && part->hops > row->hops) row->hops = part->hops;
	}
	size_t n = 0;
	for (; n < w->n_keys; n++) values[n] = g->keys[n];
	for (uint16_t k = 0; k < w->n_aggregates; k++) values[n++] = sql_aggregate_result(w->kinds[k], &total[k]);
	row->start_ms = w->last_end_ms - w->size_ms;
	row->end_ms = w->last_end_ms;
	values[n++] = sql_int(row->start_ms);
	values[n] = sql_int(row->end_ms);
	row->values = values;
}

static bool next_group(struct sql_windows *w, struct sl_arena *arena, struct sql_window_row *row) {
	for (; w->at_stripe < w->n_stripes; w->at_stripe++, w->at_pane = w->at_group = 0) {
		const struct stripe *s = &w->stripes[w->at_stripe];
		for (; w->at_pane < s->past_len; w->at_pane++, w->at_group = 0) {
			const struct pane *p = s->past[w->at_pane];
			while (in_window(w, p) && w->at_group < p->len) {
				const struct group *g = p->groups[w->at_group++];
				if (earlier_has(w, s, w->at_pane, g)) continue;
				make_row(w, s, w->at_pane, g, arena, row);
				return true;
			}
		}
	}
	return false;
}

bool sql_windows_next(struct sql_windows *w, int64_t now_ms, struct sl_arena *arena, struct sql_window_row *row) {
	if (atomic_exchange_explicit(&w->closing, true, memory_order_acquire)) return false;
	bool found = w->emitting && next_group(w, arena, row);
	while (!found) {
		if (w->emitting)
			for (size_t i = 0; i < w->n_stripes; i++) drop_past(w, &w->stripes[i]);
		w->emitting = false;
		if (!window_begin(w, now_ms)) break;
		found = next_group(w, arena, row);
	}
	atomic_store_explicit(&w->closing, false, memory_order_release);
	return found;
}
