/* hocon.h: a HOCON text (the configuration files of EMQX) read into a JSON tree. JSON is HOCON, too.
 *
 * Our own reader, because Debian packages no C library for it. What it takes: comments (# and //), `=`, `:` and nothing before
 * an object, dotted and quoted keys, objects that are said in several places and merge, `+=`, lists, quoted, """raw""" and
 * """~ indented ~""" texts, plain words, concatenation of all these, and references ${a.b} and ${?a.b} to other places of the
 * same text. Durations and sizes stay text ("10s", "1MB"). Plain true, false, null and numbers are what they look like.
 * A reference to nothing is no failure, for it may be to the environment of the other broker: it becomes null, and a line
 * "line:column: text" goes to `notes`. Refused: `include`, a reference to itself, control characters in keys, NUL.
 *
 * More lenient than the specification where nothing can be misread: line breaks within quotes, "http://x" without quotes.
 *
 * Bounded: HOCON_SIZE_MAX bytes, HOCON_DEPTH_MAX levels, HOCON_NODES_MAX values, HOCON_SIZE_MAX bytes of text that references
 * make. Lifetime: the tree is the caller's (json_decref). Thread: any. Never blocks. */
#ifndef HOCON_H
#define HOCON_H

#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "slice.h"

#define HOCON_SIZE_MAX (16 * SL_MB)
#define HOCON_DEPTH_MAX 64
#define HOCON_NODES_MAX 1000000

/* SL_ESYNTAX or SL_ELIMIT with file (`name`), line and column in err; *out is then NULL. The tree is an object or, when the
 * text begins with '[', a list. notes NULL: not wanted. */
int hocon_read(struct sl_slice text, const char *name, json_t **out, struct sl_buf *notes,
	       struct sl_err *err) sl_warn_unused;

#endif
