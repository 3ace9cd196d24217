/* connector_errors.h: how a kind classifies what its server says, as a table that is both code and document.
 *
 * A kind keeps one such table, looks its errors up in it, and prints it into its folder's README; a test compares.
 * A row's code is whatever the server identifies its errors by (an SQLSTATE or its class, a number, a word).
 *
 * Lifetime: tables are constant. Thread: any. Never blocks. */
#ifndef CONNECTOR_ERRORS_H
#define CONNECTOR_ERRORS_H

#include "buf.h"
#include "connector.h"

struct sl_error_class {
	const char *code;
	enum sl_result result; /* what the row gets */
	const char *meaning;   /* what happened, and what becomes of it: a clause for the README */
};

/* Appends the rows as a Markdown table; heading names the first column ("SQLSTATE"). */
void sl_errors_print(const char *heading, const struct sl_error_class *rows, size_t n, struct sl_buf *out);

#endif
