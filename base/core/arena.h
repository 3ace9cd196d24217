/* arena.h: a bump allocator whose memory is given back all at once.
 *
 * For everything that lives as long as a tick, a message or a compilation. No call returns NULL, but one for 0 bytes may.
 *   mark ... rewind   gives back what was taken in between (a scratch area inside a larger job)
 *   reset             gives back everything and keeps the largest chunk, so that a steady load allocates nothing
 * Memory is aligned to 16 bytes and not zeroed unless the call says so.
 * Thread: one at a time. Never blocks. */
#ifndef SL_ARENA_H
#define SL_ARENA_H

#include <stdarg.h>

#include "common.h"
#include "slice.h"

struct sl_arena_chunk;
struct sl_arena {
	char *at, *end;
	struct sl_arena_chunk *chunk; /* newest first */
	size_t chunk_size;            /* least size of the next chunk */
};
struct sl_arena_mark {
	struct sl_arena_chunk *chunk;
	char *at;
};

void sl_arena_init(struct sl_arena *a, size_t first_chunk_size); /* takes no memory yet */
void sl_arena_fini(struct sl_arena *a);
void sl_arena_reset(struct sl_arena *a);
struct sl_arena_mark sl_arena_mark(const struct sl_arena *a);
void sl_arena_rewind(struct sl_arena *a, struct sl_arena_mark mark);

void *sl_arena_alloc_slow(struct sl_arena *a, size_t size) sl_warn_unused;
static inline void *sl_arena_alloc(struct sl_arena *a, size_t size) {
	size_t rounded = (size + 15) & ~(size_t)15;
	if (sl_unlikely(rounded < size || rounded > (size_t)(a->end - a->at))) return sl_arena_alloc_slow(a, size);
	void *p = a->at;
	a->at += rounded;
	return p;
}
void *sl_arena_zalloc(struct sl_arena *a, size_t size) sl_warn_unused;
struct sl_slice sl_arena_dup(struct sl_arena *a, struct sl_slice s); /* copy; a NUL follows it */
char *sl_arena_strdup(struct sl_arena *a, struct sl_slice s);        /* the same as a C string */
struct sl_slice sl_arena_printf(struct sl_arena *a, const char *fmt, ...) sl_printf(2, 3);

#define SL_ARENA_NEW(a, type) ((type *)sl_arena_zalloc((a), sizeof(type)))
#define SL_ARENA_ARRAY(a, type, n) ((type *)sl_arena_zalloc((a), sizeof(type) * (n)))

#endif
