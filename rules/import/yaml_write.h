/* yaml_write.h: writes a tree as YAML that yaml.h reads back as the same tree, and comments that no text can break out of.
 *
 * Texts are plain where they look like names, else in double quotes; a text of several lines is a literal block where a block
 * can hold it exactly. Comments show what YAML can't hold (control characters) as escapes.
 *
 * `indent` is how many spaces stand before what is written. Thread: any. Never blocks. Errors: none; the caller bounds what it
 * writes. Texts must be UTF-8 without NUL. */
#ifndef YAML_WRITE_H
#define YAML_WRITE_H

#include <jansson.h>

#include "buf.h"
#include "slice.h"

/* A scalar that may stand as a key or, in any place, as a value. */
void yaml_write_text(struct sl_buf *out, struct sl_slice text);
/* Behind "key:", with what separates it and the final line break: a literal block if it can be, else a scalar. */
void yaml_write_block(struct sl_buf *out, struct sl_slice text, int indent);
/* The members of an object, each on lines of its own; an item of a list begins with "- ". */
void yaml_write_members(struct sl_buf *out, const json_t *object, int indent);
/* "- " and the object, its first member on the same line. */
void yaml_write_item(struct sl_buf *out, const json_t *object, int indent);
/* Lines behind "# ". */
void yaml_write_comment(struct sl_buf *out, struct sl_slice text, int indent);

#endif
