/* share_notes.h: a session's own notes of its shared subscriptions, by "group/filter". See hmap.h for the functions. */
#ifndef SHARE_NOTES_H
#define SHARE_NOTES_H

#include <stdatomic.h>

#include "mem.h"
#include "slice.h"

/* "group/filter", for messages of it on their way between workers: should the broker be killed then, the next one knows by it whose
 * they were. Counted; any thread. */
struct share_name {
	_Atomic uint32_t refs;
	size_t n;
	char text[];
};
static inline struct share_name *share_name_new(struct sl_slice text) {
	struct share_name *name = (struct share_name *)sl_alloc(sizeof *name + text.n);
	atomic_init(&name->refs, 1);
	name->n = text.n;
	memcpy(name->text, text.p, text.n);
	return name;
}
static inline struct share_name *share_name_ref(struct share_name *name) {
	if (name) atomic_fetch_add_explicit(&name->refs, 1, memory_order_relaxed);
	return name;
}
static inline void share_name_unref(struct share_name *name) {
	if (name && atomic_fetch_sub_explicit(&name->refs, 1, memory_order_acq_rel) == 1) sl_free(name);
}
static inline struct sl_slice share_name_text(const struct share_name *name) {
	return name ? slice_make(name->text, name->n) : SL_SLICE_EMPTY;
}

struct share_note {
	uint64_t hash;
	struct sl_slice text; /* owned */
	uint64_t number;      /* of the group; 0: not heard of yet */
	uint32_t sub_id;
	uint8_t qos;
	bool retain_as_published;
	bool used;
};

#define HMAP_NAME share_notes
#define HMAP_SLOT struct share_note
#define HMAP_KEY struct sl_slice
#define HMAP_EQUAL(slot, key) slice_equal((slot)->text, key)
#include "hmap.h"

#endif
