/* sql_window.h: windows: GROUP BY ..., tumbling('10s') or hopping('1m', '10s').
 *
 * A statement with GROUP BY is two programs. The first meets each message: FROM and WHERE, and as its columns the keys of
 * GROUP BY, then the arguments of the aggregates. The second makes the row of each group when a window ends: its source has
 * the columns that the keys and aggregates have become; HAVING is its WHERE. (sql_window_bind.c takes them apart.)
 *
 *     message -> sql_run(program) -> row of keys and arguments -> sql_windows_add()
 *     clock   -> sql_windows_next() -> a group with its results -> sql_run(sql_program_window(p)->out) -> row
 *
 * Time is what the caller says it is, in ms since 1970; windows begin at multiples of their length (of the hop). A message is
 * of the window that is open when it is added. A message is never added to
 * what has come out: with a clock that runs behind it falls into the next window. Windows end in the order of time; groups come out of one in no particular
 * order (with one stripe: as they came in). Groups without a message give no row.
 *
 * Bounds: SQL_GROUPS_MAX groups in the windows of one rule, and the bytes of the ceiling (sql_state.h), a share of it for one
 * rule. Beyond, a message with a new group is refused and its run fails; groups that are there go on.
 *
 * Lifetime: a struct sql_windows belongs to its rule and outlives its program's reloads as long as the text is the same.
 * Thread: sql_windows_add() any, with a lock of one stripe for a look-up and a few additions (a text kept by min(), max() or
 * last_value() is copied under it). sql_windows_next() any, one at a time: a second caller is told that there is nothing. */
#ifndef SQL_WINDOW_H
#define SQL_WINDOW_H

#include "sql.h"
#include "sql_state.h"

enum {
	SQL_GROUPS_MAX = 100000,
	SQL_WINDOW_LEAST_MS = 100,
	SQL_WINDOW_PANES_MAX = 360,
	SQL_GROUP_KEYS_MAX = 32,
	SQL_AGGREGATES_MAX = 64,
};

enum sql_aggregate_kind { SQL_A_COUNT_ALL, SQL_A_COUNT, SQL_A_SUM, SQL_A_AVG, SQL_A_MIN, SQL_A_MAX, SQL_A_LAST };

/* What is to be done; part of a program. */
struct sql_window {
	int64_t size_ms, hop_ms; /* hop_ms divides size_ms; equal: tumbling */
	uint16_t n_keys, n_aggregates;
	const enum sql_aggregate_kind *aggregates; /* COUNT_ALL has no argument */
	struct sql_program *out;
};
const struct sql_window *sql_program_window(const struct sql_program *p); /* NULL: it has none */

struct sql_windows;
struct sql_windows *sql_windows_new(const struct sql_window *w, struct sql_memory *m, size_t stripes) sl_warn_unused;
void sql_windows_free(struct sql_windows *w); /* NULL is fine; what is open is dropped */

/* One message: the columns of its row. hops: how many rules it has come through. SL_OK, or a status after sql_vm_fail(). */
int sql_windows_add(struct sql_windows *w, struct sql_vm *vm, const struct sql_out *row, int64_t now_ms, uint8_t hops);

/* The next group of a window that has ended at now_ms (INT64_MAX: of all that are open), the earliest window first. The event
 * for a run of the second program; good until the next call. */
struct sql_window_row {
	int64_t start_ms, end_ms;
	uint8_t hops;
	const struct sql_value *values; /* keys, results of the aggregates, start, end */
};
bool sql_windows_next(struct sql_windows *w, int64_t now_ms, struct sl_arena *arena, struct sql_window_row *row);
size_t sql_windows_groups(const struct sql_windows *w); /* open now */

/* "10s", "500ms", "1m", "2h", "1d", "1h30m", "1.5h". SL_EMALFORMED for other text and what exceeds 36500 days. */
int sql_duration(struct sl_slice text, int64_t *ms);

#endif
