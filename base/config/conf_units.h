/* conf_units.h: durations, sizes, percentages, addresses with a port; the only place that parses them.
 *
 * Durations are milliseconds, sizes are bytes with binary multiples (KB = 1024; KiB is the same). Errors say what
 * is expected. Ranges are the caller's affair.
 * Thread: any. Never blocks. */
#ifndef SL_CONF_UNITS_H
#define SL_CONF_UNITS_H

#include "buf.h"
#include "common.h"
#include "err.h"
#include "slice.h"

/* "5ms" "10s" "1.5h" "1h30m" "0". A part of a millisecond is refused. */
int conf_parse_duration(struct sl_slice text, int64_t *ms, struct sl_err *err);
/* "512" "512B" "64KB" "1.5GB". */
int conf_parse_size(struct sl_slice text, int64_t *bytes, struct sl_err *err);
/* "80%" "2.5%": 0 to 100. */
int conf_parse_percent(struct sl_slice text, double *percent, struct sl_err *err);

/* "0.0.0.0:1883" "[::1]:1883" "localhost:1883" ":1883" (all addresses): host and port; host points into text and is
 * empty for all addresses; port 0 means that the kernel chooses. */
int conf_parse_bind(struct sl_slice text, struct sl_slice *host, uint16_t *port, struct sl_err *err);

/* The shortest text that parses back to the same value: "1h30m", "64KB". CONF_UNLIMITED gives "unlimited". */
void conf_write_duration(struct sl_buf *out, int64_t ms);
void conf_write_size(struct sl_buf *out, int64_t bytes);

#endif
