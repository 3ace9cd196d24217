#include "inflight.h"

#include <stdlib.h>

#include "mem.h"

enum { CAP_FIRST = 8, CAP_MAX = 65536 };

struct sub_ids *sub_ids_copy(const uint32_t *ids, size_t n, uint64_t group) {
	if (n == 0 && group == 0) return NULL;
	struct sub_ids *c = sl_alloc(sizeof *c + n * sizeof c->id[0]);
	c->group = group;
	c->n = (uint32_t)n;
	if (n) memcpy(c->id, ids, n * sizeof c->id[0]);
	return c;
}

static struct inflight_entry *place(const struct inflight *f, uint16_t id) { return &f->v[id & (f->cap - 1)]; }

static void grow(struct inflight *f) {
	struct inflight old = *f;
	f->cap = old.cap ? old.cap * 2 : CAP_FIRST;
	f->v = SL_NEW_ARRAY(struct inflight_entry, f->cap);
	for (uint32_t i = 0; i < old.cap; i++)
		/* Two ids that differ modulo the old capacity differ modulo the new one. */
		if (old.v[i].state != INFLIGHT_FREE) *place(f, old.v[i].packet_id) = old.v[i];
	sl_free(old.v);
}

struct inflight_entry *inflight_add(struct inflight *f, uint8_t qos, struct msg *m, struct sub_ids *ids, bool retain) {
	/* Id 0 is never used [MQTT-2.2.1-3], so its place may stay free for good: full is one less. */
	if (f->len + 1 >= f->cap && f->cap < CAP_MAX) grow(f);
	sl_assert(f->len + 1 < f->cap);
	struct inflight_entry *e;
	do {
		f->last_id++;
		e = place(f, f->last_id);
	} while (f->last_id == 0 || e->state != INFLIGHT_FREE);
	*e = (struct inflight_entry){.m = m,
				     .ids = ids,
				     .order = f->order++,
				     .packet_id = f->last_id,
				     .state = qos == 2 ? INFLIGHT_PUBREC : INFLIGHT_PUBACK,
				     .retain = retain};
	f->len++;
	return e;
}

struct inflight_entry *inflight_put(struct inflight *f, uint16_t packet_id, uint8_t qos, struct msg *m,
				    struct sub_ids *ids, bool retain) {
	sl_assert(packet_id != 0);
	if (inflight_find(f, packet_id)) return NULL;
	/* Its place is another's until there are so many that each id has its own. */
	while (f->len + 1 >= f->cap || place(f, packet_id)->state != INFLIGHT_FREE) {
		sl_assert(f->cap < CAP_MAX);
		grow(f);
	}
	struct inflight_entry *e = place(f, packet_id);
	*e = (struct inflight_entry){.m = m,
				     .ids = ids,
				     .order = f->order++,
				     .packet_id = packet_id,
				     .state = qos == 2 ? INFLIGHT_PUBREC : INFLIGHT_PUBACK,
				     .retain = retain};
	f->len++;
	f->last_id = packet_id;
	return e;
}

struct inflight_entry *inflight_find(const struct inflight *f, uint16_t packet_id) {
	if (f->len == 0) return NULL;
	struct inflight_entry *e = place(f, packet_id);
	return e->state != INFLIGHT_FREE && e->packet_id == packet_id ? e : NULL;
}

void inflight_release(struct inflight *f, struct inflight_entry *e) {
	inflight_mark(f, e, false);
	msg_unref(e->m);
	e->m = NULL;
	sl_free(e->ids);
	e->ids = NULL;
	e->state = INFLIGHT_PUBCOMP;
}

void inflight_mark(struct inflight *f, struct inflight_entry *e, bool unsent) {
	if (e->unsent == unsent) return;
	e->unsent = unsent;
	if (unsent)
		f->unsent++;
	else
		f->unsent--;
}

void inflight_remove(struct inflight *f, struct inflight_entry *e) {
	inflight_mark(f, e, false);
	msg_unref(e->m);
	sl_free(e->ids);
	*e = (struct inflight_entry){.state = INFLIGHT_FREE};
	f->len--;
}

static int by_order(const void *a, const void *b) {
	const struct inflight_entry *x = *(struct inflight_entry *const *)a, *y = *(struct inflight_entry *const *)b;
	/* The counter may have gone round: the difference tells, not the values. */
	return (int32_t)(x->order - y->order) < 0 ? -1 : 1;
}

/* Looked for in all places: only a client that came back and allows less than before has any. */
struct inflight_entry *inflight_next_unsent(const struct inflight *f) {
	struct inflight_entry *oldest = NULL;
	for (uint32_t i = 0; f->unsent > 0 && i < f->cap; i++) {
		struct inflight_entry *e = &f->v[i];
		if (e->state != INFLIGHT_FREE && e->unsent && (!oldest || (int32_t)(e->order - oldest->order) < 0))
			oldest = e;
	}
	return oldest;
}

struct inflight_entry **inflight_sorted(const struct inflight *f, size_t *n) {
	*n = f->len;
	if (f->len == 0) return NULL;
	struct inflight_entry **sorted = SL_NEW_ARRAY(struct inflight_entry *, f->len);
	size_t k = 0;
	for (uint32_t i = 0; i < f->cap; i++)
		if (f->v[i].state != INFLIGHT_FREE) sorted[k++] = &f->v[i];
	qsort(sorted, k, sizeof *sorted, by_order);
	return sorted;
}

void inflight_fini(struct inflight *f) {
	for (uint32_t i = 0; i < f->cap; i++)
		if (f->v[i].state != INFLIGHT_FREE) inflight_remove(f, &f->v[i]);
	sl_free(f->v);
	*f = (struct inflight){0};
}
