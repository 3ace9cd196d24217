/* sql_front.h: what the stages of one compilation share, and the stages themselves.
 *
 *     text --sql_parse--> struct sql_statement --sql_bind--> struct sql_unit --sql_fold--> --sql_emit--> steps
 *
 * Only for files of this folder. A stage that fails has set front->err (the first failure wins) and returns its status;
 * messages name line and column within the text.
 *
 * Lifetime: one call of sql_compile() or sql_template_compile(). Thread: the caller's. */
#ifndef SQL_FRONT_H
#define SQL_FRONT_H

#include "err.h"
#include "sql.h"
#include "sql_ast.h"

struct sql_front {
	struct sl_slice text; /* copied; a NUL follows it */
	uint32_t offset;      /* of `text` within what the user wrote: templates show columns of the whole template */
	struct sl_slice whole;
	struct sl_arena *arena;
	struct sl_err *err;
	int status; /* SL_OK until the first failure */
	enum sql_dialect dialect;
};

/* Line and column (1-based, in bytes) of an offset. */
void sql_place(struct sl_slice text, size_t at, uint32_t *line, uint32_t *column);

/* Records the first failure, with its place. Returns the status. */
int sql_front_fail(struct sql_front *f, uint32_t at, int status, const char *fmt, ...) sl_printf(4, 5);

/* Parses the statement; or, the text being an expression only, the expression. NULL after a failure. */
struct sql_statement *sql_parse(struct sql_front *f);
struct sql_node *sql_parse_expression(struct sql_front *f);

#endif
