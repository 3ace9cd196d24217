/* bench_sql.c: what a rule costs, in nanoseconds and in units of the JSON extraction that feeds it. Also says how many
 * bytes of heap the runs took, which is none.
 *     bench_sql [seconds per line, default 0.5] */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mem.h"
#include "sql_case.h"
#include "sql_row.h"

static double seconds = 0.5;

static const char payload[] =
    "{\"asset\":\"press-07\",\"site\":\"north\",\"line\":4,\"seq\":182734,\"ts\":1700000000123,"
    "\"measurements\":{\"temp\":71.25,\"pressure\":4.81,\"rpm\":1480,\"vibration\":{\"x\":0.12,\"y\":0.09,\"z\":0.31}},"
    "\"state\":\"running\",\"alarms\":[],\"operator\":null,\"ok\":true}";

static const struct sql_case event = {.topic = {"factory/north/b1/l4/press-07/telemetry", 39},
				      .payload = {payload, sizeof payload - 1},
				      .clientid = {"press-07", 8},
				      .username = {"gw", 2},
				      .qos = 1,
				      .timestamp = 1700000000123};

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct bench {
	struct sql_program *p;
	struct jpath_set *set;
	struct jpath_hit *hits;
	struct sql_vm *vm;
	struct sql_input in;
	struct sl_buf row;
};

static int write_row(void *arg, struct sql_vm *vm, const struct sql_out *out) {
	struct bench *b = arg;
	(void)vm;
	sl_buf_clear(&b->row);
	sql_row_write(&b->row, out->values, (uint16_t)out->count, SQL_ROW_QOS1, 1, 2);
	return SL_OK;
}

static void open_rule(struct bench *b, const char *sql) {
	struct sl_err err = SL_ERR_INIT;
	size_t n;
	*b = (struct bench){.vm = sql_vm_new()};
	if (sql_case_compile(slice_from_str(sql), &b->p, &err) != SL_OK) {
		fprintf(stderr, "%s: %s\n", sql, sl_err_text(&err));
		exit(1);
	}
	const struct jpath *paths = sql_program_paths(b->p, &n);
	b->hits = SL_NEW_ARRAY(struct jpath_hit, n + 1);
	if (n && jpath_set_new(paths, n, &b->set) != SL_OK) exit(1);
	b->in =
	    (struct sql_input){.event = &event, .payload = event.payload, .hits = b->hits, .now_ms = event.timestamp};
	if (b->set) b->in.payload_status = jpath_extract_any_text(b->set, event.payload, b->hits);
}

static void close_rule(struct bench *b) {
	sql_program_free(b->p);
	jpath_set_free(b->set);
	sql_vm_free(b->vm);
	sl_buf_fini(&b->row);
	sl_free(b->hits);
}

/* The best of many short rounds: on a shared machine the smallest figure is the one least disturbed. */
static double best_ns(struct bench *b, void (*once)(struct bench *)) {
	enum { ROUND = 2000 };
	double best = 1e18, end = now() + seconds;
	for (double begin = now(); begin < end;) {
		for (int i = 0; i < ROUND; i++) once(b);
		double after = now(), each = (after - begin) * 1e9 / ROUND;
		if (each < best) best = each;
		begin = after;
	}
	return best;
}

static void extract_once(struct bench *b) { jpath_extract_any_text(b->set, event.payload, b->hits); }
static void run_once(struct bench *b) { sql_run(b->vm, b->p, &b->in, write_row, b); }

static void measure(const char *name, const char *sql, enum sql_outcome expected) {
	struct bench b;
	open_rule(&b, sql);
	enum sql_outcome o = sql_run(b.vm, b.p, &b.in, write_row, &b);
	if (o != expected) {
		fprintf(stderr, "%s: another outcome than expected\n", name);
		exit(1);
	}
	double json = b.set ? best_ns(&b, extract_once) : 0;
	size_t heap = mallinfo2().uordblks;
	double ns = best_ns(&b, run_once);
	size_t taken = mallinfo2().uordblks - heap;
	printf("%-44s %7.1f ns   heap %+zd", name, ns, (ssize_t)taken);
	if (b.set) printf("   extraction %6.1f ns   ratio %.2f", json, ns / json);
	printf("\n");
	close_rule(&b);
}

int main(int argc, char **argv) {
	if (argc > 1) seconds = strtod(argv[1], NULL);
	measure("WHERE on two fields, false",
		"SELECT topic AS t FROM 'f/#' WHERE payload.state = 'running' AND payload.measurements.temp > 90",
		SQL_FILTERED);
	measure("WHERE on one number, false", "SELECT topic AS t FROM 'f/#' WHERE payload.measurements.temp > 90",
		SQL_FILTERED);
	measure("WHERE on a column, false", "SELECT topic AS t FROM 'f/#' WHERE qos = 2", SQL_FILTERED);
	measure("three JSON fields into a row",
		"SELECT payload.asset AS a, payload.measurements.temp AS t, payload.ts AS ts FROM 'f/#'", SQL_PRODUCED);
	measure("WHERE true, five columns into a row",
		"SELECT clientid AS c, topic AS topic, payload.measurements.temp AS t, payload.measurements.rpm AS r, "
		"payload.ts AS ts FROM 'f/#' WHERE payload.measurements.temp > 28",
		SQL_PRODUCED);
	measure("arithmetic and CASE",
		"SELECT payload.measurements.temp * 1.8 + 32 AS f, CASE WHEN payload.line > 3 THEN 'far' ELSE 'near' "
		"END AS w "
		"FROM 'f/#'",
		SQL_PRODUCED);
	measure("a function and a topic level", "SELECT upper(payload.state) AS s, topic(2) AS site FROM 'f/#'",
		SQL_PRODUCED);
	measure("an object into a row", "SELECT payload.measurements AS m FROM 'f/#'", SQL_PRODUCED);
	return 0;
}
