/* sql_deflate.c: see sql_deflate.h. */
#include "sql_deflate.h"

#include <zlib.h>

enum { STEP = 16 * 1024 };

static void *take(void *arena, unsigned count, unsigned size) { return sl_arena_alloc(arena, (size_t)count * size); }
static void leave(void *arena, void *p) { (void)arena, (void)p; } /* the arena is rewound */

static int window_bits(enum sql_wrapping w) {
	switch (w) {
	case SQL_DEFLATE_RAW: return -MAX_WBITS;
	case SQL_DEFLATE_ZLIB: return MAX_WBITS;
	case SQL_DEFLATE_GZIP: return MAX_WBITS + 16;
	}
	return 0;
}

/* Gives the stream up to STEP bytes of room in `out`. */
static void begin_step(z_stream *z, struct sl_buf *out) {
	sl_buf_grow(out, STEP);
	z->next_out = (Bytef *)out->p + out->n;
	z->avail_out = STEP;
}
static void end_step(const z_stream *z, struct sl_buf *out) { out->n += STEP - z->avail_out; }

int sql_deflate(struct sl_arena *scratch, enum sql_wrapping w, struct sl_slice bytes, size_t most, struct sl_buf *out) {
	struct sl_arena_mark mark = sl_arena_mark(scratch);
	z_stream z = {.zalloc = take, .zfree = leave, .opaque = scratch};
	size_t before = out->n;
	int r = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits(w), 8, Z_DEFAULT_STRATEGY);
	z.next_in = (Bytef *)(uintptr_t)bytes.p;
	z.avail_in = (uInt)bytes.n;
	while (r == Z_OK && out->n - before <= most) {
		begin_step(&z, out);
		r = deflate(&z, Z_FINISH);
		end_step(&z, out);
	}
	(void)deflateEnd(&z);
	sl_arena_rewind(scratch, mark);
	return r == Z_STREAM_END && out->n - before <= most ? SL_OK : SL_ELIMIT;
}

/* One step. Z_STREAM_END at the end of all; Z_BUF_ERROR when the input breaks off. */
static int inflate_step(z_stream *z, enum sql_wrapping w, struct sl_buf *out) {
	begin_step(z, out);
	int r = inflate(z, Z_NO_FLUSH);
	end_step(z, out);
	if (r == Z_STREAM_END && w == SQL_DEFLATE_GZIP && z->avail_in) return inflateReset(z);
	return r;
}

int sql_inflate(struct sl_arena *scratch, enum sql_wrapping w, struct sl_slice bytes, size_t most, struct sl_buf *out) {
	struct sl_arena_mark mark = sl_arena_mark(scratch);
	z_stream z = {.zalloc = take, .zfree = leave, .opaque = scratch};
	size_t before = out->n;
	int r = inflateInit2(&z, window_bits(w));
	z.next_in = (Bytef *)(uintptr_t)(bytes.p ? bytes.p : "");
	z.avail_in = (uInt)bytes.n;
	while (r == Z_OK && out->n - before <= most) r = inflate_step(&z, w, out);
	(void)inflateEnd(&z);
	sl_arena_rewind(scratch, mark);
	if (out->n - before > most) return SL_ELIMIT;
	return r == Z_STREAM_END ? SL_OK : SL_EMALFORMED;
}
