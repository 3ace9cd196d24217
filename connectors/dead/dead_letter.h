/* dead_letter.h: the file of rows that will never be delivered, each with the reason.
 *
 *     data_dir/dead/rule.0.jsonl
 *     {"at":"2026-01-31T12:00:00.123Z",...,"row":{"device":"a7","t":31.5}}      dead_row.h
 *
 * At DEAD_LETTER_MAX bytes the file is renamed to ....jsonl.1 (which replaces the former one), so it is bounded.
 * A line that does not fit on the disk is taken off again: the caller keeps the row.
 * Lines are in the page cache when the call returns: they survive our own death.
 * Thread: the connector loop. Opens the file with the first row. */
#ifndef SL_DEAD_LETTER_H
#define SL_DEAD_LETTER_H

#include "connectors.h"

#define DEAD_LETTER_MAX (64 * SL_MB)

struct dead_letter;
struct dead_letter *dead_letter_new(const char *data_dir, const char *action_name);
void dead_letter_free(struct dead_letter *d); /* NULL is fine */
int dead_letter_write(struct dead_letter *d, const struct sl_reject *r, bool keyed);
/* A line that stays: without its newline, as it was. */
int dead_letter_put(struct dead_letter *d, struct sl_slice line);
const char *dead_letter_path(const struct dead_letter *d);

#endif
