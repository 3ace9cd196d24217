/* mongo_template.h: a document, a filter or an update as the author of a rule wrote it, and BSON made of it for each row.
 *
 * Two spellings of the same thing:
 *
 *     document: {device: "${device}", at: {"$date": "${ts}"}, tags: [a, "${tag}"]}      YAML: a value keeps its kind
 *     document: '{"device": "${device}", "t": ${t}, "note": "from ${topic}"}'           JSON text: in quotes it is text
 *
 * Structure, names and operators are the author's; what ${...} gives is a value, whatever it looks like. So JSON text is taken
 * apart before any value is known, and where a server would read a value as something else, it is guarded:
 *
 *     guard            where                                     the value
 *     GUARD_NONE       documents, $set, $inc, comparisons         goes in as it is
 *     GUARD_EQ         {field: "${x}"} in a filter, $pull         an object becomes {$eq: object}
 *     GUARD_EACH       {$push: {field: "${x}"}}, $addToSet        an object becomes {$each: [object]}
 *     GUARD_LITERAL    anywhere in an update that is a list       always {$literal: value}: a pipeline reads "$a" as a field
 *     GUARD_SCALAR     $bit, $slice, operators not known          an object or a list is refused
 *
 * A value inside of $expr, $where and other expressions is refused when the configuration is read.
 *
 * Lifetime: a template borrows the tree it was compiled from, unless that was JSON text. Thread: immutable once compiled.
 * Errors of compiling name the option and the place; those of writing come from the encoder. */
#ifndef MONGO_TEMPLATE_H
#define MONGO_TEMPLATE_H

#include <jansson.h>

#include "arena.h"
#include "mongo_bson.h"
#include "statement.h"

enum mongo_role { MONGO_DOCUMENT, MONGO_FILTER, MONGO_UPDATE };
enum mongo_guard { GUARD_NONE, GUARD_EQ, GUARD_EACH, GUARD_LITERAL, GUARD_SCALAR };

struct mongo_op {
	enum { OP_BYTES, OP_VALUE, OP_OPEN, OP_CLOSE, OP_ROW } what;
	enum mongo_guard guard;
	bool array;     /* OPEN */
	bool in_array;  /* VALUE: absent is null there, for places must stay */
	uint32_t param; /* VALUE, ROW */
	unsigned flags; /* ROW: MONGO_PLAIN_NAMES */
	struct sl_slice key;
	size_t at, n;                    /* BYTES: in consts */
	const struct mongo_types *types; /* of BYTES: what they were written by */
};

struct mongo_template {
	struct mongo_op *ops;
	size_t n, cap;
	struct sl_buf consts;
	json_t *own;           /* what JSON text was read as */
	struct sl_arena names; /* of places in lists */
	bool list;             /* an update that is a list: a pipeline */
	bool row;              /* all of it is one object of the row */
	bool id;               /* a document with a field _id */
};

/* option: "document", "filter", "update". tree NULL, of a document: the whole row. */
int mongo_template_compile(struct mongo_template *t, const json_t *tree, const char *option, enum mongo_role role,
			   const struct mongo_types *types, struct sl_param_list *params, struct sl_err *err);
void mongo_template_fini(struct mongo_template *t);
/* Is there a value for which this node, and what is below it, is asked? */
bool mongo_template_types(const struct mongo_template *t, const struct mongo_types *types);

/* The elements of the template onto e->out, in a document that is open. absent_out: fields whose value is absent (SQL NULL) are left
 * out. flags: MONGO_SKIP_ID, MONGO_PLAIN_NAMES for rows; MONGO_NO_NULL: a value that is null is refused. */
int mongo_template_write(const struct mongo_template *t, struct mongo_encoder *e, const void *row, bool absent_out,
			 unsigned flags, bool *had_id);

/* Adds a value to the list, or finds the one with this text and target; its number. path: heap, taken over. */
uint32_t mongo_param(struct sl_param_list *params, struct sl_slice text, enum sql_target target, char *path);

/* mongo_text.c: JSON text with ${...} in it, as a tree. A placeholder outside of quotes is a text that begins with
 * MONGO_BARE. NULL and err when it is no such text. */
#define MONGO_BARE '\001'
json_t *mongo_text_read(const char *text, const char *option, struct sl_err *err);

#endif
