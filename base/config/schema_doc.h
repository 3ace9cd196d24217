/* schema_doc.h: prints option tables: the reference in Markdown, and a commented sample file.
 *
 * The same rows that check a file; so the printed reference is never out of date.
 * Thread: any. Never blocks. */
#ifndef SL_SCHEMA_DOC_H
#define SL_SCHEMA_DOC_H

#include "buf.h"
#include "field.h"

/* A table: option, type, default, meaning. Nested objects follow as rows "batch.rows". */
void schema_doc_markdown(const struct conf_field *fields, struct sl_buf *out);
/* YAML with every option that is not CONF_ADVANCED, commented out at its default; required ones stand uncommented
 * with their example. `indent` is the number of spaces before each line. */
void schema_doc_sample(const struct conf_field *fields, int indent, struct sl_buf *out);
/* "duration", "size or `unlimited`", "`round_robin`, `random` or `sticky`", ... */
void schema_doc_type(const struct conf_field *field, struct sl_buf *out);

#endif
