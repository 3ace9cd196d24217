/* Run by hand: how many rows a second go from a staging worker into a kind; 4 columns, QoS 1, log on.
 * connectors_bench [rows] [null|sqlite] [durability]
 * Prints JSON: rows a second, and CPU microseconds per row of the whole process. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"

static double cpu_s(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
	size_t rows = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
	const char *kind = argc > 2 ? argv[2] : "sqlite", *durability = argc > 3 ? argv[3] : "qos";
	struct rig *r = rig_new(1);
	if (strcmp(kind, "sqlite") == 0)
		rig_load(r,
			 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
			 "actions:\n"
			 "  - {connector: db, table: x, columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}, "
			 "buffer: {durability: %s}}\n",
			 r->dir, durability);
	else
		rig_load(r,
			 "connectors: {db: {type: 'null'}}\n"
			 "actions:\n"
			 "  - {connector: db, columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}, "
			 "buffer: {durability: %s}}\n",
			 durability);
	uint64_t from = sl_clock_mono_us();
	double cpu = cpu_s();
	for (size_t done = 0; done < rows; done += 100000) {
		rig_stage(r, 0, 100000, 200, rig_row);
		while (rig_counts(r, 0).queued > 200000) usleep(500);
	}
	double staged = (double)(sl_clock_mono_us() - from) / 1e6;
	while (rig_counts(r, 0).queued > 0) usleep(500);
	double s = (double)(sl_clock_mono_us() - from) / 1e6;
	struct sl_action_counts n = rig_counts(r, 0);
	printf("{\"kind\": \"%s\", \"rows\": %llu, \"rows_per_s\": %.0f, \"staged_s\": %.3f, \"cpu_us_per_row\": %.3f, "
	       "\"batches\": %llu}\n",
	       kind, (unsigned long long)n.delivered, (double)n.delivered / s, staged,
	       (cpu_s() - cpu) * 1e6 / (double)n.delivered, (unsigned long long)n.batches);
	rig_free(r);
	return 0;
}
