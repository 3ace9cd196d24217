/* tree_json.h: between a tree of the configuration (jansson) and JSON text of the engine: writing the one as the other,
 * and comparing them value by value.
 *
 * A number is the same when its value is and when both are integers or neither is: 31 is not 31.0. Members of objects may
 * stand in any order. The text "${any}" in the tree is the same as everything.
 *
 * Thread: any. Never blocks. */
#ifndef TREE_JSON_H
#define TREE_JSON_H

#include <jansson.h>

#include "buf.h"
#include "slice.h"

/* Compact, numbers in their shortest form. NULL: null. */
void tree_json_write(const json_t *tree, struct sl_buf *out);

/* Is `got` (valid JSON) what `want` says? Where not, a line "PATH: expected X, got Y" for each place goes to `diff`, at most
 * TREE_DIFF_MAX in it, a path beginning with `name`. some: members of the outermost object that `want` does not name may be
 * anything, and a text is the same as a tree when it is the tree's JSON. */
enum { TREE_DIFF_MAX = 10 };
bool tree_json_same(const json_t *want, struct sl_slice got, const char *name, bool some, struct sl_buf *diff);

#endif
