/* redis_errors.h: what each error of Redis means for the row, the action and the connection, by the word it begins with.
 *
 * Lifetime: constant. Thread: any. Never blocks. */
#ifndef REDIS_ERRORS_H
#define REDIS_ERRORS_H

#include "connector_errors.h"

enum redis_effect {
	REDIS_OF_ROW,    /* the row gets the result, nothing else happens */
	REDIS_NOT_READY, /* no row is to blame: the action waits; result is LOST */
	REDIS_NOT_KEY,   /* the same, unless it is the row, whose key is not ours: see redis_denied.c */
	REDIS_NOT_WORD, /* the same of a subcommand, or a script's name, that a template makes; of one that is fixed NOT_READY */
	REDIS_IN_SCRIPT, /* the same of what a script does: no question shows whether it lies */
	REDIS_RECONNECT, /* the connection begins anew: the server is no master any more, or wants a login */
	REDIS_MOVED,     /* cluster: to that node, and the slots are asked for anew */
	REDIS_ASK        /* cluster: to that node, this once */
};

struct redis_error {
	const char *prefix;
	enum sl_result result;
	enum redis_effect effect;
	const char *meaning;
	const char *advice; /* for who reads the reason; NULL */
};

/* Never NULL. text: the error without its '-'. */
const struct redis_error *redis_error_find(struct sl_slice text);

/* The text as it is shown, with the advice: "WRONGTYPE Operation against ...: ...". single: no other `mode` is set,
 * so advice to set one is of use. Appends to out. */
void redis_error_show(const struct redis_error *e, struct sl_slice text, bool single, struct sl_buf *out);

void redis_errors_print(struct sl_buf *out);

#endif
