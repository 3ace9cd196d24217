/* yaml.h: a YAML text read into a JSON tree that still knows where everything stood.
 *
 * A strict subset: one document; no anchors, aliases or merge; only the core tags (!!str !!int !!float !!bool
 * !!null !!map !!seq); keys are text, each at most once. What is refused says file, line and column. Plain scalars
 * are typed as in the YAML 1.2 core schema (so `no` and `on` are text); quoted and block scalars are text.
 * Bounded: YAML_DOC_SIZE_MAX bytes, YAML_DOC_DEPTH_MAX levels, YAML_DOC_NODES_MAX values, keys of at most
 * YAML_DOC_KEY_MAX bytes; no value holds a NUL.
 *
 * Places are asked for by path: "rules.hot.actions[2].topic". A key that is not made of letters, digits, '_' and
 * '-' stands in double quotes: `rules."a.b".sql` (yaml_path_key() and yaml_path_index() build paths). Lines and
 * columns are 1-based, columns in bytes, as in err.h. The empty path is the whole document.
 *
 *     struct yaml_doc *doc;
 *     if (yaml_doc_load_file("sluice.yaml", &doc, &err) != SL_OK) ...
 *     json_t *rules = json_object_get(yaml_doc_root(doc), "rules");
 *     ...
 *     yaml_doc_free(doc);
 *
 * The document owns the tree; whoever keeps a part takes a reference (json_incref) and does not change it.
 * Function names say yaml_doc_ and yaml_path_ because libyaml owns yaml_free() and its like.
 * Thread: one at a time; reading from several is fine once loaded. Loading blocks on the file. */
#ifndef SL_YAML_H
#define SL_YAML_H

#include <jansson.h>

#include "common.h"
#include "err.h"
#include "slice.h"

#define YAML_DOC_SIZE_MAX (16 * SL_MB)
#define YAML_DOC_DEPTH_MAX 32
#define YAML_DOC_NODES_MAX 1000000
#define YAML_DOC_KEY_MAX 1024

struct yaml_doc;

/* SL_ESYNTAX for what is not (our) YAML, SL_ELIMIT for too large, SL_EIO and its like when the file can't be read.
 * On failure *out is NULL and err names the place. An empty text is an empty object. */
int yaml_doc_load_file(const char *path, struct yaml_doc **out, struct sl_err *err) sl_warn_unused;
/* `name` is what messages call the text, as if a file; it and the text are copied. */
int yaml_doc_load(struct sl_slice text, const char *name, struct yaml_doc **out, struct sl_err *err) sl_warn_unused;
void yaml_doc_free(struct yaml_doc *doc); /* NULL is fine */

json_t *yaml_doc_root(const struct yaml_doc *doc);         /* borrowed; never NULL */
const char *yaml_doc_file(const struct yaml_doc *doc);     /* as given to load */
struct sl_slice yaml_doc_text(const struct yaml_doc *doc); /* the source, without a byte order mark */

/* Where a key stands, and where its value starts. For an item of a list both are the item's start. For a path
 * that is not there: false, and the place of the nearest part that is (so the values are always usable). */
bool yaml_key_position(const struct yaml_doc *doc, const char *path, uint32_t *line, uint32_t *column);
bool yaml_value_position(const struct yaml_doc *doc, const char *path, uint32_t *line, uint32_t *column);
/* Whether a number stands in the file as this text: 0.10 is the number 0.1, and another text. */
bool yaml_number_is_written(const struct yaml_doc *doc, const char *path, const char *text);

/* Maps a place inside the text of a string value (1-based, column in bytes) to the file: an SQL error at 2:14 of
 * `rules.hot.sql` becomes the line and column an editor shows. Exact for literal blocks (|), plain and quoted
 * scalars; for folded ones (>) the place of the same character in the source. False, and the value's start, when
 * the path is no string. */
bool yaml_text_position(const struct yaml_doc *doc, const char *path, uint32_t line_in_text, uint32_t column_in_text,
			uint32_t *line, uint32_t *column);

/* "path.key" and "path[index]" on the heap; an empty path gives "key" alone. Free with sl_free(). */
char *yaml_path_key(const char *path, const char *key) sl_warn_unused;
char *yaml_path_index(const char *path, size_t index) sl_warn_unused;

#endif
