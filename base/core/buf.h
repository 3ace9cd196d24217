/* buf.h: a growable buffer to write bytes into.
 *
 * Starts empty without memory (SL_BUF_INIT). Appending never fails; a caller that writes what outsiders drive
 * checks its own limit on buf->n. Big-endian helpers serve the MQTT codec and record formats.
 * Thread: one at a time. Never blocks. */
#ifndef SL_BUF_H
#define SL_BUF_H

#include <stdarg.h>
#include <string.h>

#include "common.h"
#include "slice.h"

struct sl_buf {
	char *p;
	size_t n, cap;
};
#define SL_BUF_INIT                                                                                                    \
	{ 0 }

void sl_buf_fini(struct sl_buf *b);
void sl_buf_grow(struct sl_buf *b, size_t extra); /* room for `extra` more bytes behind n */

static inline void sl_buf_clear(struct sl_buf *b) { b->n = 0; }
static inline struct sl_slice sl_buf_slice(const struct sl_buf *b) { return slice_make(b->p, b->n); }

/* Room for `size` bytes; returns where to write them and counts them as written. */
static inline char *sl_buf_add(struct sl_buf *b, size_t size) {
	if (sl_unlikely(b->cap - b->n < size)) sl_buf_grow(b, size);
	char *at = b->p + b->n;
	b->n += size;
	return at;
}
static inline void sl_buf_append(struct sl_buf *b, const void *bytes, size_t size) {
	if (size) memcpy(sl_buf_add(b, size), bytes, size);
}
static inline void sl_buf_append_slice(struct sl_buf *b, struct sl_slice s) { sl_buf_append(b, s.p, s.n); }
static inline void sl_buf_append_str(struct sl_buf *b, const char *s) { sl_buf_append(b, s, strlen(s)); }
static inline void sl_buf_put(struct sl_buf *b, char c) { *sl_buf_add(b, 1) = c; }
static inline void sl_buf_put_u16be(struct sl_buf *b, uint16_t v) {
	char *p = sl_buf_add(b, 2);
	p[0] = (char)(v >> 8);
	p[1] = (char)v;
}
static inline void sl_buf_put_u32be(struct sl_buf *b, uint32_t v) {
	char *p = sl_buf_add(b, 4);
	p[0] = (char)(v >> 24);
	p[1] = (char)(v >> 16);
	p[2] = (char)(v >> 8);
	p[3] = (char)v;
}
void sl_buf_printf(struct sl_buf *b, const char *fmt, ...) sl_printf(2, 3);
void sl_buf_vprintf(struct sl_buf *b, const char *fmt, va_list ap) sl_printf(2, 0);

/* Writes a NUL behind the content (not counted) and returns it as a C string, valid until the next change. */
const char *sl_buf_cstr(struct sl_buf *b);
/* Hands the memory over, NUL-terminated; the buffer is empty afterwards. Free with sl_free(). */
char *sl_buf_steal(struct sl_buf *b) sl_warn_unused;
/* Drops the first `size` bytes; the rest moves down. */
void sl_buf_consume(struct sl_buf *b, size_t size);

#endif
