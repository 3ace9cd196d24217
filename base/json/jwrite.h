/* jwrite.h: writes JSON onto an sl_buf: commas, quotes and escapes come by themselves.
 *
 *     struct jwrite w;
 *     jwrite_init(&w, &buf);
 *     jwrite_object_begin(&w);
 *     jwrite_key(&w, SL_SLICE_LIT("temp"));
 *     jwrite_double(&w, 21.5);
 *     jwrite_object_end(&w);
 *     int r = jwrite_done(&w);       // SL_OK: what was appended is one JSON text
 *
 * Always gives valid JSON or an error: text that is not UTF-8 has its broken bytes replaced by U+FFFD, a double
 * that JSON cannot say becomes null. Mistakes of nesting (a value without a key, an end too many) and more than
 * JWRITE_DEPTH_MAX levels are remembered, swallow what follows, and come out of jwrite_done().
 * Lifetime: borrows the buffer. Thread: one at a time. Never blocks. */
#ifndef SL_JWRITE_H
#define SL_JWRITE_H

#include "buf.h"
#include "err.h"
#include "jscan.h"

enum { JWRITE_DEPTH_MAX = JSCAN_DEPTH_MAX };

struct jwrite {
	struct sl_buf *buf;
	uint64_t objects; /* one bit a level, the innermost lowest: 1 an object */
	uint8_t depth;
	bool comma;     /* a value stands before us on this level */
	bool after_key; /* a key waits for its value */
	int status;
};

void jwrite_init(struct jwrite *w, struct sl_buf *buf);
/* SL_OK; SL_EINVAL when the nesting is wrong, incomplete or empty; SL_ELIMIT when too deep. */
int jwrite_done(const struct jwrite *w);

void jwrite_object_begin(struct jwrite *w);
void jwrite_object_end(struct jwrite *w);
void jwrite_array_begin(struct jwrite *w);
void jwrite_array_end(struct jwrite *w);
void jwrite_key(struct jwrite *w, struct sl_slice key);

void jwrite_null(struct jwrite *w);
void jwrite_bool(struct jwrite *w, bool v);
void jwrite_i64(struct jwrite *w, int64_t v);
void jwrite_u64(struct jwrite *w, uint64_t v);
void jwrite_double(struct jwrite *w, double v); /* shortest text that reads back the same; see conv.h */
void jwrite_string(struct jwrite *w, struct sl_slice text);

/* JSON text that is already valid, spliced in as it is: no check here. */
void jwrite_raw(struct jwrite *w, struct sl_slice json);
/* A value found by jscan or jpath, as it stood in its document (absent: null). The caller vouches for the inside of
 * containers and escapes: only jscan_valid() documents give valid output. */
void jwrite_hit(struct jwrite *w, const struct jpath_hit *hit);

/* Only the quoted and escaped string, onto any buffer. */
void jwrite_quote(struct sl_buf *buf, struct sl_slice text);
/* The same for most text, which is ASCII and needs no escape: with its quotes to `to`, where text.n + 2 bytes are free. False when
 * it is something else; what was written then is of no use. */
bool jwrite_quote_plain(char *to, struct sl_slice text);

#endif
