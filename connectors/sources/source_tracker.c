/* source_tracker.c: see source_tracker.h. */
#include "source_tracker.h"

#include "mem.h"

static struct tracker_entry *entry(const struct source_tracker *t, size_t i) {
	return &t->at[(t->first + i) & (t->cap - 1)];
}

static void grow(struct source_tracker *t) {
	size_t cap = t->cap ? t->cap * 2 : 64;
	struct tracker_entry *at = SL_NEW_ARRAY(struct tracker_entry, cap);
	for (size_t i = 0; i < t->n; i++) at[i] = *entry(t, i);
	sl_free(t->at);
	t->at = at;
	t->first = 0;
	t->cap = cap;
}

void tracker_add(struct source_tracker *t, int64_t position) {
	if (t->n == t->cap) grow(t);
	*entry(t, t->n++) = (struct tracker_entry){.position = position};
}

/* The first whose position is not below. */
static size_t find(const struct source_tracker *t, int64_t position) {
	size_t low = 0, high = t->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (entry(t, middle)->position < position)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool tracker_done(struct source_tracker *t, int64_t position) {
	size_t i = find(t, position);
	if (i == t->n || entry(t, i)->position != position) return false;
	entry(t, i)->done = true;
	if (i > 0) return false;
	while (t->n > 0 && entry(t, 0)->done) {
		t->mark = entry(t, 0)->position + 1;
		t->first = (t->first + 1) & (t->cap - 1);
		t->n--;
	}
	t->moved = true;
	return true;
}

void tracker_fini(struct source_tracker *t) {
	sl_free(t->at);
	*t = (struct source_tracker){.at = NULL};
}
