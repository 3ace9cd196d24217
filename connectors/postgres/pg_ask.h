/* pg_ask.h: questions to PostgreSQL (lookup.h): a statement with bound values, over sessions of their own, so that a batch of rows holds no
 * login up. They are made when they are needed, as many as PG_ASKERS at the most, each with one statement at a time.
 * Thread: the loop's own. Never blocks. */
#ifndef PG_ASK_H
#define PG_ASK_H

#include "lookup.h"
#include "pg_int.h"

enum { PG_ASKERS = 4 };

extern const struct sl_asks_kind pg_asks_kind;

void pg_asks_close(struct pg_conn *c); /* who waits is told, sessions end */
void pg_asks_fini(struct pg_conn *c);

#endif
