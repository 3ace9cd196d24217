/* bench_stat.c: see bench_stat.h. */
#include "bench_stat.h"

#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"

void hist_add(struct hist *h, uint64_t ns) {
	size_t at = (size_t)ns;
	if (ns >= HIST_STEPS) {
		unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5u;
		at = (size_t)(shift + 1) * HIST_STEPS + (size_t)(ns >> shift) - HIST_STEPS;
	}
	h->counts[sl_min_size(at, HIST_BUCKETS - 1)]++;
	h->total++;
}

static double bucket_ns(size_t at) {
	if (at < HIST_STEPS) return (double)at;
	size_t shift = at / HIST_STEPS - 1, step = at % HIST_STEPS + HIST_STEPS;
	return (double)(((uint64_t)step << shift) + ((uint64_t)1 << shift) / 2);
}

double hist_percentile_us(const struct hist *h, double percent) {
	uint64_t want = (uint64_t)((double)h->total * percent / 100.0), sum = 0;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		sum += h->counts[i];
		if (sum > want || (sum == h->total && sum > 0)) return bucket_ns(i) / 1000.0;
	}
	return 0;
}

static void stream_room(struct stream *s, uint32_t number) {
	size_t need = (size_t)number / 8 + 1;
	if (need <= s->seen_bytes) return;
	size_t bytes = sl_max_size(need, s->seen_bytes ? s->seen_bytes * 2 : 64);
	s->seen = sl_realloc(s->seen, bytes);
	memset(s->seen + s->seen_bytes, 0, bytes - s->seen_bytes);
	s->seen_bytes = bytes;
}

bool stream_add(struct stream *s, uint32_t number, struct stream_counts *counts) {
	stream_room(s, number);
	uint8_t bit = (uint8_t)(1u << (number & 7));
	if (s->seen[number >> 3] & bit) {
		counts->repeated++;
		return false;
	}
	s->seen[number >> 3] |= bit;
	counts->received++;
	if (number < s->next) {
		counts->out_of_order++;
	} else {
		s->next = number + 1;
	}
	return true;
}

void stream_fini(struct stream *s) {
	sl_free(s->seen);
	*s = (struct stream){0};
}

uint64_t bench_now_ns(void) {
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t proc_cpu_ns(int64_t pid) {
	clockid_t id;
	struct timespec ts;
	if (pid <= 0 || clock_getcpuclockid((pid_t)pid, &id) != 0 || clock_gettime(id, &ts) != 0) return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t proc_rss_bytes(int64_t pid) {
	char path[64];
	unsigned long long pages = 0;
	if (pid <= 0) return 0;
	snprintf(path, sizeof path, "/proc/%lld/statm", (long long)pid);
	FILE *f = fopen(path, "r");
	if (!f) return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1) pages = 0;
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
