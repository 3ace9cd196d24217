/* sql_rfc3339.h: reading points in time that are written as in RFC 3339: 2024-01-01T08:00:00.25+02:00.
 * A blank or a small t may stand for the T, a small z for the Z, and an offset may lack its colon or have seconds.
 * Thread: any. Never blocks. */
#ifndef SQL_RFC3339_H
#define SQL_RFC3339_H

#include "slice.h"
#include "sql_calendar.h"

/* All of `text`: the date in its own zone, and that zone's offset in seconds. False for other text. */
bool sql_rfc3339_read(struct sl_slice text, struct sql_date *date, int64_t *offset);
/* The same as milliseconds since 1970. */
bool sql_rfc3339_ms(struct sl_slice text, int64_t *ms);

/* Takes exactly `n` digits off the front; an offset: Z, +hh:mm, +hhmm, +hh:mm:ss. */
bool sql_time_digits(struct sl_slice *s, int n, int64_t *out);
bool sql_time_offset(struct sl_slice *s, int64_t *out);

#endif
