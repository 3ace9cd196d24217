/* slice.h: a borrowed view of bytes: pointer and length, no NUL at the end.
 *
 * The word of the whole project for "text or bytes that somebody else owns". A slice says nothing of lifetime:
 * whoever keeps the bytes copies them (slice_dup, sl_arena_dup). A NULL pointer with length 0 is the empty
 * slice and the same as "".
 * Thread: a value, any. */
#ifndef SL_SLICE_H
#define SL_SLICE_H

#include <string.h>

#include "common.h"

struct sl_slice {
	const char *p;
	size_t n;
};

/* For printf: "%.*s", SL_SLICE_ARG(s). Logs and messages only; lengths over INT_MAX are cut. */
#define SL_SLICE_ARG(s) ((int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n)), ((s).p ? (s).p : "")
#define SL_SLICE_LIT(lit) ((struct sl_slice){(lit), sizeof(lit) - 1})
#define SL_SLICE_EMPTY ((struct sl_slice){NULL, 0})

static inline struct sl_slice slice_make(const void *p, size_t n) { return (struct sl_slice){(const char *)p, n}; }
static inline struct sl_slice slice_from_str(const char *s) { return (struct sl_slice){s, s ? strlen(s) : 0}; }

static inline bool slice_equal(struct sl_slice a, struct sl_slice b) {
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool slice_equal_str(struct sl_slice a, const char *s) { return slice_equal(a, slice_from_str(s)); }
static inline bool slice_starts_with(struct sl_slice s, struct sl_slice prefix) {
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* The part from byte `from` (at most s.n) on, or `len` bytes of it (cut at the end). */
static inline struct sl_slice slice_from(struct sl_slice s, size_t from) {
	from = sl_min_size(from, s.n);
	return slice_make(s.p ? s.p + from : NULL, s.n - from);
}
static inline struct sl_slice slice_sub(struct sl_slice s, size_t from, size_t len) {
	struct sl_slice r = slice_from(s, from);
	r.n = sl_min_size(r.n, len);
	return r;
}

int slice_compare(struct sl_slice a, struct sl_slice b);         /* bytes, then length: <0, 0, >0 */
bool slice_equal_nocase(struct sl_slice a, struct sl_slice b);   /* ASCII only */
ptrdiff_t slice_find_byte(struct sl_slice s, char c);            /* index or -1 */
ptrdiff_t slice_find(struct sl_slice s, struct sl_slice needle); /* index or -1; "" is found at 0 */
struct sl_slice slice_trim(struct sl_slice s);                   /* ASCII white space at both ends */

/* Takes the part before the first `sep` off *rest and returns it; without a `sep` takes everything and sets
 * rest->p to NULL. Walks "a/b//c" as "a", "b", "", "c" with `while (rest.p)`. */
struct sl_slice slice_next_part(struct sl_slice *rest, char sep);

/* Whole-slice numbers, no spaces, no locale. SL_EINVAL for other text, SL_ELIMIT for out of range. */
int slice_to_i64(struct sl_slice s, int64_t *out);
int slice_to_double(struct sl_slice s, double *out); /* decimal only: no hex, inf or nan */

/* A heap copy with a final NUL; free with sl_free(). */
char *slice_dup(struct sl_slice s) sl_warn_unused;

/* The entry of names[] nearest to `s` for a "did you mean", or NULL when none is near (edit distance above a
 * third of the length). */
const char *slice_nearest(struct sl_slice s, const char *const names[], size_t count);

#endif
