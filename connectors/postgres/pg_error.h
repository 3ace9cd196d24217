/* pg_error.h: what PostgreSQL's errors (SQLSTATE) mean for a batch. The table in pg_error.c is the one place that knows; the
 * README's is printed from it.
 * Lifetime: constant. Thread: any. */
#ifndef PG_ERROR_H
#define PG_ERROR_H

#include "connector_errors.h"

/* What else follows, besides the result of the row or the batch. */
enum pg_consequence {
	PG_THEN_ROW,       /* a row is to blame: it is found, the others go on */
	PG_THEN_NOTHING,   /* the batch gets the result */
	PG_THEN_NOT_READY, /* the action cannot work as things stand; its rows wait */
	PG_THEN_RELOAD,    /* what we know of the table is old: it is read again */
	PG_THEN_LEAVE,     /* this server is left, and the hosts are tried anew */
};

/* By the whole code, else by its class (the first two characters). Unknown ones are tried again. */
enum pg_consequence pg_error_find(const char *sqlstate, enum sl_result *result);
const struct sl_error_class *pg_error_classes(size_t *count);

#endif
