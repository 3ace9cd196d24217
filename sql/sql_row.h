/* sql_row.h: the frozen form of a few values: what a rule hands to an action, in memory and on disk alike.
 *
 * A row is one position-independent run of bytes, so it can be copied, written to a log and read back with no
 * further work. Layout, little-endian, all offsets from the row's first byte:
 *
 *     u32 size (whole row, a multiple of 8) | u16 count | u16 flags | u64 order hash | i64 accepted wall ms
 *     count x { u8 kind, u8 flag, u16 0, u32 length, u64 inline number or offset } | bytes ... | padding
 *
 * Lists, maps and JSON travel as JSON text (SQL_JSON), so a reader meets only NULL, JKIND_NULL, BOOL, INT, DOUBLE,
 * STRING, BYTES, NUMBER_TEXT and JSON.
 * Lifetime: the bytes belong to whoever holds them (a chunk, a batch); values read from a row borrow from it.
 * Errors: reading checks every offset, for rows come back from disk: a bad one is SL_ECORRUPT, never a crash.
 * Thread: immutable once written (but for sql_row_put()), any. */
#ifndef SQL_ROW_H
#define SQL_ROW_H

#include "sql_value.h"

enum {
	SQL_ROW_QOS1 = 1,  /* flags: came from a QoS 1 or 2 message, so it must not be lost */
	SQL_ROW_FRAME = 2, /* no row: something else in a row's frame, without values, that stands between rows */
	/* How often it was tried in vain before it was given back from the dead letters; at the most that is remembered. */
	SQL_ROW_TRIED_SHIFT = 4,
	SQL_ROW_TRIED_MAX = 0x3ff,
};
static inline unsigned sql_row_tried(unsigned flags) { return flags >> SQL_ROW_TRIED_SHIFT & SQL_ROW_TRIED_MAX; }

struct sql_row_head {
	uint32_t size;
	uint16_t count;
	uint16_t flags;
	uint64_t order; /* hash of the order key; rows with equal values keep their order */
	int64_t at_ms;  /* wall time at which the message was accepted */
};

/* Appends one row to `out`, whose end must be 8-aligned (rows keep it so). values[] may hold any kind. */
void sql_row_write(struct sl_buf *out, const struct sql_value *values, uint16_t count, uint16_t flags, uint64_t order,
		   int64_t at_ms);

/* Checks the frame at bytes (which may be anything): SL_OK and the row's size, or SL_ECORRUPT. */
int sql_row_check(struct sl_slice bytes, uint32_t *size);

static inline const struct sql_row_head *sql_row_head(const void *row) { return (const struct sql_row_head *)row; }

/* Another value in the place of the i-th, which has no bytes, as it has none: NULL, BOOL, INT or DOUBLE. Nothing where there is no
 * i-th. The row is the caller's alone. */
void sql_row_put(void *row, uint16_t i, struct sql_value v);

/* The i-th value of a checked row; SQL_NULL when i >= count. Borrows from the row. */
struct sql_value sql_row_get(const void *row, uint16_t i);

#endif
