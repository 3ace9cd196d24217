/* floor.h: what the tight loops have in common: the row, the clock, the line at the end.
 *
 * A row is what the rule of tests/bench makes of a message: a device's name, a number, a time in milliseconds. The line is
 * "ROWS-A-SECOND CPU-MICROSECONDS-A-ROW", CPU that of the whole process, threads of the library included. */
#ifndef FLOOR_H
#define FLOOR_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct floor_row {
	char device[32];
	int device_n;
	double t;
	int64_t ts;
};

struct floor_clock {
	double wall_s, cpu_s;
};

static inline double floor_seconds(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline struct floor_clock floor_start(void) {
	return (struct floor_clock){floor_seconds(CLOCK_MONOTONIC), floor_seconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static inline void floor_end(struct floor_clock began, long long rows) {
	struct floor_clock now = floor_start();
	printf("%.0f %.3f\n", (double)rows / (now.wall_s - began.wall_s),
	       (now.cpu_s - began.cpu_s) * 1e6 / (double)rows);
}

static inline struct floor_row floor_row_make(int64_t i) {
	struct floor_row r = {.t = 71.57, .ts = INT64_C(1769860800000)};
	r.device_n = snprintf(r.device, sizeof r.device, "asset-%d", (int)(i % 50));
	return r;
}

/* A count of rows; 0 when it is none. */
static inline long long floor_rows(const char *text) {
	long long rows = strtoll(text, NULL, 10);
	return rows > 0 ? rows : 0;
}

#endif
