/* statement.h: an SQL statement with ${...} in it, taken apart: text with the database's own parameter marks, and the
 * values that are bound to them. One scanner for every SQL database.
 *
 *     INSERT INTO t(a, b) VALUES (${device}, ${t})    ->    INSERT INTO t(a, b) VALUES ($1, $2)
 *
 * A value is always bound, never pasted; so ${...} inside of quotes or a comment is refused, as are the database's own
 * parameters (nobody would give them a value) and a second statement behind a semicolon. The scanner knows where texts,
 * quoted names and comments begin and end, and no more of SQL than that.
 *
 * Lifetime: params borrow from the text that was scanned, which must outlive them; free with sl_params_fini().
 * Thread: any. Never blocks. Errors: SL_ESYNTAX with line:column within the text, and the way out. */
#ifndef STATEMENT_H
#define STATEMENT_H

#include "buf.h"
#include "connector.h"

/* The values that an action wants of each row, as they are collected. */
struct sl_param_list {
	struct sl_param *at;
	char **paths; /* what at[].path points to, owned */
	size_t n;
};
/* path: heap, taken over. */
void sl_params_add(struct sl_param_list *list, struct sl_slice name, struct sl_slice text, char *path);
void sl_params_fini(struct sl_param_list *list);

enum {                                 /* sl_statement_dialect.flags */
       SL_STATEMENT_BACKTICKS = 1,     /* `name` is a quoted name */
       SL_STATEMENT_DOLLAR_QUOTES = 2, /* $tag$ text $tag$ */
       SL_STATEMENT_ESCAPES = 4,       /* E'it\'s' */
       SL_STATEMENT_NESTED = 8,        /* comments within comments */
       SL_STATEMENT_INNER = 16         /* it will stand within another one: the semicolon at its end is left out */
};

struct sl_statement_dialect {
	const char *database; /* "SQLite": for messages */
	unsigned flags;
	void (*mark)(struct sl_buf *out, size_t number); /* writes the mark of the number-th parameter, from 1 */
	bool (*own_parameter)(const char *p);            /* does one of the database's own parameters stand at p? */
};

/* The length of the ${...} at p, or 0 when it does not end. Strings inside are stepped over. */
size_t sl_placeholder_length(const char *p);

/* Appends the statement to out and its values to params, with the path "sql". */
int sl_statement_scan(const char *text, const struct sl_statement_dialect *d, struct sl_param_list *params,
		      struct sl_buf *out, struct sl_err *err);
/* The first word, comments and opening brackets skipped; empty when there is none. */
struct sl_slice sl_statement_verb(const char *text, const struct sl_statement_dialect *d);

#endif
