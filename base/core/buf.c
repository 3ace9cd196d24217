#include "buf.h"

#include <stdio.h>

#include "mem.h"

void sl_buf_fini(struct sl_buf *b) {
	sl_free(b->p);
	*b = (struct sl_buf)SL_BUF_INIT;
}

void sl_buf_grow(struct sl_buf *b, size_t extra) {
	size_t need;
	/* An overflowing sum asks for SIZE_MAX, which sl_realloc turns down for the whole process. */
	if (__builtin_add_overflow(b->n, extra, &need)) need = SIZE_MAX;
	if (need <= b->cap) return;
	size_t cap = b->cap < 64 ? 64 : b->cap * 2;
	if (cap < need) cap = need;
	b->p = sl_realloc(b->p, cap);
	b->cap = cap;
}

void sl_buf_vprintf(struct sl_buf *b, const char *fmt, va_list ap) {
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0) return;
	sl_buf_grow(b, (size_t)n + 1);
	vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

void sl_buf_printf(struct sl_buf *b, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	sl_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

const char *sl_buf_cstr(struct sl_buf *b) {
	sl_buf_grow(b, 1);
	b->p[b->n] = '\0';
	return b->p;
}

char *sl_buf_steal(struct sl_buf *b) {
	sl_buf_cstr(b);
	char *p = b->p;
	*b = (struct sl_buf)SL_BUF_INIT;
	return p;
}

void sl_buf_consume(struct sl_buf *b, size_t size) {
	sl_assert(size <= b->n);
	b->n -= size;
	if (b->n) memmove(b->p, b->p + size, b->n);
}
