/* metrics.h: counters without locks, and the Prometheus text that shows them.
 *
 * Each loop owns one shard (struct sl_metrics) and adds to it with plain increments. A reader sums all shards while
 * the loops stand at their quiet point, so no atomics are needed and all numbers of a page belong to one moment:
 * sums over them add up. A gauge may go up on one loop and down on another; only its sum means anything.
 *
 * Names, kinds and meanings stand in metric_tbl.h. Layers with series of their own (one per rule, one per action)
 * write them with sl_prom_family() and sl_prom_value().
 * Thread: a shard its loop's; the writers work on the caller's buffer. Never blocks. */
#ifndef SL_METRICS_H
#define SL_METRICS_H

#include "buf.h"
#include "common.h"
#include "slice.h"

enum sl_metric_kind { SL_METRIC_COUNTER, SL_METRIC_GAUGE };

enum sl_metric {
#define METRIC(id, family, labels, kind, unit, help) METRIC_##id,
#include "metric_tbl.h"
#undef METRIC
	METRIC_COUNT
};

struct sl_metrics {
	uint64_t v[METRIC_COUNT];
} __attribute__((aligned(64))); /* two loops never share a cache line */

static inline void sl_metric_inc(struct sl_metrics *m, enum sl_metric id) { m->v[id]++; }
static inline void sl_metric_add(struct sl_metrics *m, enum sl_metric id, uint64_t n) { m->v[id] += n; }
static inline void sl_metric_dec(struct sl_metrics *m, enum sl_metric id) { m->v[id]--; } /* gauges only */
static inline void sl_metric_sub(struct sl_metrics *m, enum sl_metric id, uint64_t n) { m->v[id] -= n; }

/* One row of the table, for pages and documents made from it. */
struct sl_metric_info {
	const char *family; /* Prometheus name */
	const char *labels; /* name="value" text that tells rows of a family apart; "" when alone */
	enum sl_metric_kind kind;
	const char *unit; /* "", "bytes", "seconds" (counted in microseconds) */
	const char *help;
};
const struct sl_metric_info *sl_metric_info(enum sl_metric id);

/* total += shard, row by row. */
void sl_metrics_sum(struct sl_metrics *total, const struct sl_metrics *shard);
/* A gauge's sum, which different loops may have moved up and down. */
int64_t sl_metrics_gauge(const struct sl_metrics *total, enum sl_metric id);

/* The whole table in Prometheus' text format 0.0.4. */
void sl_metrics_write(struct sl_buf *b, const struct sl_metrics *total);

/* One family: # HELP and # TYPE, then its values with their labels (name must be a valid label name; the value is
 * any text and gets escaped, bytes that are not UTF-8 become U+FFFD). */
struct sl_prom_label {
	const char *name;
	struct sl_slice value;
};
void sl_prom_family(struct sl_buf *b, const char *name, enum sl_metric_kind kind, const char *help);
void sl_prom_value(struct sl_buf *b, const char *name, const struct sl_prom_label *labels, size_t n, uint64_t value);
void sl_prom_value_double(struct sl_buf *b, const char *name, const struct sl_prom_label *labels, size_t n,
			  double value);

#endif
