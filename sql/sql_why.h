/* sql_why.h: the conditions of a statement taken apart, each with a statement that shows its value: what `sluice sql --why`
 * tries on a message, one after the other.
 *
 *     ... WHERE temp > 80 AND payload.state = 'run'        temp being payload.t * 1.8
 *
 *     condition  temp > 80                    SELECT ((payload.t * 1.8) > 80) AS v FROM ...
 *       value    temp                         SELECT ((payload.t * 1.8)) AS v FROM ...
 *       value    payload.t * 1.8              SELECT (payload.t * 1.8) AS v FROM ...
 *       value    payload.t                    SELECT (payload.t) AS v FROM ...
 *     condition  payload.state = 'run'        SELECT (payload.state = 'run') AS v FROM ...
 *       value    payload.state                SELECT (payload.state) AS v FROM ...
 *
 * Aliases are replaced by what they stand for, which is shown below them, FOREACH's element by its place in the array. So the
 * publish path knows nothing of this: explaining is done by running other, smaller rules.
 *
 * Lifetime: all of it until sql_why_free(). Thread: any. Never blocks. */
#ifndef SQL_WHY_H
#define SQL_WHY_H

#include "err.h"
#include "sql.h"

enum sql_why_kind {
	SQL_WHY_ALL,       /* every part below must be met */
	SQL_WHY_ANY,       /* one of the parts below must be met */
	SQL_WHY_NOT,       /* the part below must not be met */
	SQL_WHY_CONDITION, /* met or not */
	SQL_WHY_VALUE      /* what a condition reads */
};

struct sql_why_part {
	enum sql_why_kind kind;
	uint16_t depth;        /* parts below one stand behind it, one deeper */
	struct sl_slice text;  /* as written */
	struct sl_slice probe; /* a statement with the one column v; empty: it cannot be told */
	bool wants_number;     /* VALUE that is compared with a number */
	/* A place in the payload: the names on the way there. */
	const struct sl_slice *steps;
	size_t n_steps;
};

struct sql_why {
	struct sl_arena arena;
	struct sql_why_part *parts;
	size_t count;
	struct sl_slice list_text, list_probe; /* FOREACH: the array; else empty */
	bool has_incase;
};

/* The parts of WHERE (SQL_WHY_WHERE); those of INCASE for an element of FOREACH's array, counted from 0; or what SELECT gives out
 * (SQL_WHY_COLUMNS), each column as a CONDITION. No parts: there is no such thing. Fails as sql_compile() does for what is not
 * grammatical. */
enum { SQL_WHY_WHERE = -1, SQL_WHY_COLUMNS = -2 };
int sql_why_new(struct sl_slice text, enum sql_dialect dialect, int64_t element, struct sql_why **out,
		struct sl_err *err);
void sql_why_free(struct sql_why *why); /* NULL is fine */

#endif
