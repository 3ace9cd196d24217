/* emqx_options.h: settings of EMQX, read by their paths, and a word on each that is not carried over.
 *
 * A kind has a table of all the settings that EMQX has for it. What the mapping reads has no advice; what has no like here has
 * one, and the values with which nothing need be said. Settings that no table knows are named.
 *
 * "parameters." is left out of paths: it stands in newer files and not in older ones. Lifetime: what is returned lives as long
 * as the tree or the import. Thread: the program's main one. Never blocks. Errors: none. */
#ifndef EMQX_OPTIONS_H
#define EMQX_OPTIONS_H

#include "import_connect.h"

struct emqx_option {
	const char *path;   /* "resource_opts.query_mode"; "ssl.*" is all below ssl; NULL ends the table */
	const char *usual;  /* values that need no word, separated by '|'; NULL: none */
	const char *advice; /* NULL: the mapping reads it */
};

/* Borrowed; NULL when it is not there, or null. */
const json_t *emqx_get(const json_t *tree, const char *path);
/* A text, number or boolean as text; NULL for none and for "". */
const char *emqx_text(struct import *imp, const json_t *tree, const char *path);
bool emqx_true(const json_t *tree, const char *path);
/* Is the value one of those between '|'? */
bool emqx_is(struct import *imp, const json_t *tree, const char *path, const char *values);

/* Sets a member of ours to a duration, size or number of theirs, within our bounds: what lies outside is noted. Nothing when it is
 * not there, is `infinity`, or one of `usual` (or NULL). */
void emqx_put_duration(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		       const char *name, int64_t min, int64_t max);
void emqx_put_size(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		   const char *name, int64_t min, int64_t max);
void emqx_put_number(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		     const char *name, int64_t min, int64_t max);
/* In bytes or in ms, as text: librdkafka's properties. */
void emqx_put_bytes(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		    const char *name);
void emqx_put_ms(struct import_map *m, const json_t *tree, const char *path, const char *usual, json_t *into,
		 const char *name);
/* The member, made if it is not there. Borrowed. */
json_t *emqx_member(json_t *into, const char *name);

/* Notes that one setting is left out, by the table. */
void emqx_option_note(struct import_map *m, const char *path, const json_t *value, const struct emqx_option *table);
/* All of the tree; `more` is a second table, or NULL. */
void emqx_options_note(struct import_map *m, const json_t *tree, const struct emqx_option *table,
		       const struct emqx_option *more);

#endif
