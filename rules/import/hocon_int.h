/* hocon_int.h: what hocon.c (text to tree) and hocon_resolve.c (references in the tree) share.
 *
 * Until references are resolved, what is not yet known stands in the tree as an object with one member, whose key no text
 * can have: control characters are refused in keys. */
#ifndef HOCON_INT_H
#define HOCON_INT_H

#include "hocon.h"

#define HOCON_REF "\x01"    /* [line, column, optional, segment, ...]: ${a.b} */
#define HOCON_CONCAT "\x02" /* [line, column, part, ...]: written side by side */
#define HOCON_MERGE "\x03"  /* [earlier, later, ...]: the same key said again, one of them not known yet */

struct hocon_reader {
	struct sl_slice s;
	size_t at, line_start;
	uint32_t line;
	size_t nodes;
	const char *name;
	struct sl_buf *notes; /* or NULL */
	struct sl_err *err;
};

/* NULL, with the place in err. */
json_t *hocon_fail(struct hocon_reader *r, uint32_t line, uint32_t column, int status, const char *fmt, ...)
    sl_printf(5, 6);

/* The member of a marker, or NULL when the value is none of that kind. */
static inline json_t *hocon_marked(const json_t *value, const char *mark) {
	return json_is_object(value) ? json_object_get(value, mark) : NULL;
}
static inline bool hocon_known(const json_t *value) {
	return !hocon_marked(value, HOCON_REF) && !hocon_marked(value, HOCON_CONCAT) &&
	       !hocon_marked(value, HOCON_MERGE);
}

/* Members of `from` go into `into`, objects into objects. A value that is not known yet is merged later. */
void hocon_merge(json_t *into, json_t *from);
/* Puts the value (reference taken over) where `key` says, merging it with what is there. */
void hocon_put(json_t *into, const char *key, json_t *value);

/* A new tree without markers. NULL and err when it can't be had. */
json_t *hocon_resolve(struct hocon_reader *r, json_t *root);

#endif
