/* rules_windows.h: rows of windows (GROUP BY) go to the actions when the windows end.
 *
 * Each rule with windows is closed by one worker, by a timer at the ends of its windows; should two think so during a
 * change-over, one finds nothing to do. Rows are made RULES_WINDOW_ROWS at a time, the rest in the next turns of the loop.
 *
 * A row of a window has no publisher who waits for it. Connector actions keep it like a row of a QoS 1 message; `republish`
 * sends with QoS 1 unless told otherwise, as many hops on its way as the group's farthest message.
 *
 * Thread: the worker's. Nothing blocks. */
#ifndef RULES_WINDOWS_H
#define RULES_WINDOWS_H

#include "rules_int.h"

enum { RULES_WINDOW_ROWS = 512 };

void rules_windows_init(struct rules_worker *rw);
void rules_windows_use(struct rules_worker *rw); /* the set has changed */
void rules_windows_fini(struct rules_worker *rw);

/* Gives out what has ended at now_ms (INT64_MAX: all that is open), at most `most` rows. True: there may be more. */
bool rules_windows_close(struct rules_worker *rw, int64_t now_ms, size_t most);

/* The event that stands for a window's row: for actions, and for failures. */
struct rules_event rules_window_event(const struct rule *r, const struct sql_window_row *row);

#endif
