/* mongo_errors.h: what a server's error code means for rows, as a table that is code and document.
 * Lifetime: constant. Thread: any. */
#ifndef MONGO_ERRORS_H
#define MONGO_ERRORS_H

#include "connector_errors.h"

enum mongo_scope {
	SCOPE_ROW,  /* this row, or these rows: the class's result */
	SCOPE_WAIT, /* no row is to blame: the action is not ready, rows wait */
	SCOPE_DOWN  /* nor the action: the connection is down, rows wait */
};
struct mongo_error {
	int code;
	enum mongo_scope scope;
	struct sl_error_class class;
};
enum { MONGO_NO_RIGHT = 13, MONGO_DUPLICATE_KEY = 11000, MONGO_NAMESPACE_EXISTS = 48 };

/* NULL for a code that is not listed. */
const struct mongo_error *mongo_error_find(int code);
bool mongo_error_is_duplicate(int code);
bool mongo_error_is_inside(int code);    /* of the server: whether by a row's fault or not, nobody knows */
bool mongo_error_is_of_server(int code); /* never of one row: its disk is full */
bool mongo_error_is_time(int code);      /* the command took longer than the server lets it */
void mongo_errors_print(struct sl_buf *out);

#endif
