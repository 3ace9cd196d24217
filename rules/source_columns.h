/* source_columns.h: values of columns that messages of sources have and others lack (event_source.c has the table).
 *
 * Lifetime: values borrow from the item or live in the arena. Thread: the worker's. Nothing fails. */
#ifndef SOURCE_COLUMNS_H
#define SOURCE_COLUMNS_H

#include "rules.h"
#include "source.h"
#include "sql_value.h"

/* Text; NULL where there is none, which is not the same as empty. */
struct sql_value source_text(struct sl_slice text);
struct sql_value source_number(int64_t number); /* NULL when negative */
/* {name: value}, of equal names the last counts; [{key, value}, ...] in their order. */
struct sql_value source_headers(const struct sl_source_item *item, struct sl_arena *arena);
struct sql_value source_headers_list(const struct sl_source_item *item, struct sl_arena *arena);
/* 32 hexadecimal digits made of what the server calls the message, so that it is the same whenever that sends it again. False: the
 * server has no name for it. */
bool source_id(const struct rules_about *about, struct sl_arena *arena, char out[32]);
/* What keeps the order of rows when nothing else is said: hash of source and partition. */
uint64_t source_order(const struct rules_about *about);

#endif
