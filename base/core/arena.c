#include "arena.h"

#include <stdio.h>

#include "mem.h"

struct sl_arena_chunk {
	struct sl_arena_chunk *older;
	char *end;
	_Alignas(16) char bytes[];
};

void sl_arena_init(struct sl_arena *a, size_t first_chunk_size) {
	*a = (struct sl_arena){.chunk_size = first_chunk_size < 256 ? 256 : first_chunk_size};
}

static void free_until(struct sl_arena *a, const struct sl_arena_chunk *keep) {
	while (a->chunk != keep) {
		struct sl_arena_chunk *older = a->chunk->older;
		sl_free(a->chunk);
		a->chunk = older;
	}
}

void sl_arena_fini(struct sl_arena *a) {
	free_until(a, NULL);
	a->at = a->end = NULL;
}

void sl_arena_reset(struct sl_arena *a) {
	struct sl_arena_chunk *newest = a->chunk;
	if (!newest) return;
	/* Chunks double, so the newest is the largest: keep it, free its elders. */
	a->chunk = newest->older;
	free_until(a, NULL);
	newest->older = NULL;
	a->chunk = newest;
	a->at = newest->bytes;
	a->end = newest->end;
}

struct sl_arena_mark sl_arena_mark(const struct sl_arena *a) {
	return (struct sl_arena_mark){a->chunk, a->at};
}

void sl_arena_rewind(struct sl_arena *a, struct sl_arena_mark mark) {
	if (!mark.chunk) {
		sl_arena_reset(a);
		return;
	}
	free_until(a, mark.chunk);
	a->at = mark.at;
	a->end = mark.chunk->end;
	/* Back to where growth stood: a loop of mark, large job, rewind must not double the chunk each time round. */
	a->chunk_size = (size_t)(mark.chunk->end - mark.chunk->bytes) * 2;
}

void *sl_arena_alloc_slow(struct sl_arena *a, size_t size) {
	size_t want = sl_max_size(a->chunk_size, size + 16);
	struct sl_arena_chunk *c = sl_alloc(sizeof *c + want);
	c->older = a->chunk;
	c->end = c->bytes + want;
	a->chunk = c;
	a->at = c->bytes + ((size + 15) & ~(size_t)15);
	a->end = c->end;
	a->chunk_size = want * 2;
	return c->bytes;
}

void *sl_arena_zalloc(struct sl_arena *a, size_t size) {
	void *p = sl_arena_alloc(a, size);
	if (size) memset(p, 0, size);
	return p;
}

struct sl_slice sl_arena_dup(struct sl_arena *a, struct sl_slice s) {
	char *p = sl_arena_alloc(a, s.n + 1);
	if (s.n) memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return slice_make(p, s.n);
}

char *sl_arena_strdup(struct sl_arena *a, struct sl_slice s) {
	char *p = sl_arena_alloc(a, s.n + 1);
	if (s.n) memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct sl_slice sl_arena_printf(struct sl_arena *a, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	struct sl_slice s = sl_arena_dup(a, slice_from_str(text));
	sl_free(text);
	return s;
}
