/* bench_stat.h: what the load generator counts: latencies, losses and repeats of a stream, and the broker's own costs.
 * Thread: one at a time. Never blocks. */
#ifndef SL_BENCH_STAT_H
#define SL_BENCH_STAT_H

#include "common.h"

/* --- latencies: a histogram of 32 steps for each power of two, so within 3% --- */
enum { HIST_STEPS = 32, HIST_BUCKETS = 40 * HIST_STEPS };
struct hist {
	uint64_t counts[HIST_BUCKETS];
	uint64_t total;
};
void hist_add(struct hist *h, uint64_t ns);
double hist_percentile_us(const struct hist *h, double percent); /* 0 when empty */

/* --- one stream: the numbered messages of one publisher to one subscriber --- */
struct stream {
	uint32_t next; /* the number expected */
	uint8_t *seen; /* one bit a number */
	size_t seen_bytes;
};
struct stream_counts {
	uint64_t received; /* different messages */
	uint64_t repeated, out_of_order;
};
/* True when this number is new. */
bool stream_add(struct stream *s, uint32_t number, struct stream_counts *counts);
void stream_fini(struct stream *s);

/* --- the broker's process; pid 0: unknown, all zero --- */
uint64_t proc_cpu_ns(int64_t pid); /* user and system time of all its threads */
uint64_t proc_rss_bytes(int64_t pid);

uint64_t bench_now_ns(void);

#endif
