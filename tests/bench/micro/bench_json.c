/* bench_json.c: what a rule's look into a payload costs, beside jansson doing the same.
 *
 * One telemetry payload of 276 bytes, 13 members, one object and one array inside. Each line is the best of several
 * rounds: on a shared machine the smallest figure is the one least disturbed. Numbers are ns per document. */
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "conv.h"
#include "jpath.h"
#include "jscan.h"
#include "jwrite.h"

static const char payload[] =
    "{\"ts\":1767225600123,\"site\":\"plant-7\",\"line\":\"L3\",\"asset\":\"press-0042\",\"seq\":184467,"
    "\"status\":\"running\",\"temp\":71.25,\"vibration\":0.0173,\"rpm\":1480,"
    "\"measurements\":{\"pressure\":4.125,\"flow\":12.75,\"power_kw\":37.5},"
    "\"tags\":[\"a1\",\"b2\"],\"ok\":true,\"fw\":\"2.11.4-build.20260101-factory+9\"}";

static volatile uint64_t sink;

static double now_ns(void) {
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

typedef void (*bench_fn)(const void *arg);

static double measure(bench_fn fn, const void *arg, int runs) {
	double best = 1e18;
	for (int round = 0; round < 200; round++) {
		double start = now_ns();
		for (int i = 0; i < runs; i++) fn(arg);
		double each = (now_ns() - start) / runs;
		if (each < best) best = each;
	}
	return best;
}

static void run_extract(const void *arg) {
	const struct jpath_set *set = arg;
	struct jpath_hit hits[8];
	jpath_extract(set, SL_SLICE_LIT(payload), hits);
	sink += hits[0].raw.n;
}

/* The same telemetry with changing numbers and texts: what the CPU cannot learn by heart. */
enum { VARIED = 1024 };
static char varied[VARIED][400];
static size_t varied_len[VARIED];

static void make_varied(void) {
	static const char *const statuses[] = {"running", "idle", "maintenance"};
	for (int i = 0; i < VARIED; i++) {
		unsigned r = (unsigned)i * 2654435761u;
		varied_len[i] = (size_t)snprintf(
		    varied[i], sizeof varied[i],
		    "{\"ts\":%llu,\"site\":\"plant-%u\",\"line\":\"L%u\",\"asset\":\"press-%04u\",\"seq\":%u,"
		    "\"status\":\"%s\",\"temp\":%.*f,\"vibration\":%.4g,\"rpm\":%u,"
		    "\"measurements\":{\"pressure\":%.*f,\"flow\":%.2f,\"power_kw\":%.1f},"
		    "\"tags\":[\"a%u\",\"b2\"],\"ok\":%s,\"fw\":\"2.11.4-build.20260101-factory+9\"}",
		    1767225600123 + (unsigned long long)r % 100000, r % 30, r >> 3 & 15, r % 9999, r >> (r % 20),
		    statuses[r >> 7 & 1], (int)(r >> 9 & 3), r % 1000 / 8.0, r % 997 / 1e4, r % 3001,
		    (int)(r >> 11 & 3), r % 91 / 8.0, r % 901 / 8.0, r % 899 / 8.0, r >> 5 & 15,
		    r >> 13 & 1 ? "true" : "false");
	}
}

static void run_extract_varied(const void *arg) {
	static unsigned next;
	struct jpath_hit hits[8];
	unsigned i = next++ % VARIED;
	jpath_extract(arg, slice_make(varied[i], varied_len[i]), hits);
	sink += hits[0].raw.n;
}

static void run_extract_and_read(const void *arg) {
	struct jpath_hit hits[8];
	double a = 0, b = 0;
	jpath_extract(arg, SL_SLICE_LIT(payload), hits);
	jscan_double(&hits[0], &a);
	jscan_double(&hits[1], &b);
	sink += (uint64_t)(a + b) + hits[2].raw.n;
}

static void run_valid(const void *arg) {
	(void)arg;
	sink += jscan_valid(SL_SLICE_LIT(payload));
}

static void run_jansson(const void *arg) {
	(void)arg;
	json_t *root = json_loadb(payload, sizeof payload - 1, 0, NULL);
	double a = json_number_value(json_object_get(root, "temp"));
	double b = json_number_value(json_object_get(json_object_get(root, "measurements"), "pressure"));
	sink += (uint64_t)(a + b) + json_string_length(json_object_get(root, "asset"));
	json_decref(root);
}

static void run_write(const void *arg) {
	struct sl_buf *buf = (struct sl_buf *)(uintptr_t)arg;
	struct jwrite w;
	sl_buf_clear(buf);
	jwrite_init(&w, buf);
	jwrite_object_begin(&w);
	jwrite_key(&w, SL_SLICE_LIT("asset"));
	jwrite_string(&w, SL_SLICE_LIT("press-0042"));
	jwrite_key(&w, SL_SLICE_LIT("temp"));
	jwrite_double(&w, 71.25);
	jwrite_key(&w, SL_SLICE_LIT("seq"));
	jwrite_i64(&w, 184467);
	jwrite_object_end(&w);
	sink += buf->n;
}

static void run_write_jansson(const void *arg) {
	(void)arg;
	json_t *row = json_pack("{s:s, s:f, s:i}", "asset", "press-0042", "temp", 71.25, "seq", 184467);
	char *text = json_dumps(row, JSON_COMPACT);
	sink += (uint64_t)text[0];
	free(text);
	json_decref(row);
}

static void run_double(const void *arg) {
	char text[SL_FORMAT_DOUBLE_MAX];
	sink += sl_format_double(*(const double *)arg, text);
}

static struct jpath_set *make_set(const char *const names[], size_t n) {
	static struct jpath_step steps[8][4];
	struct jpath paths[8];
	for (size_t i = 0; i < n; i++) {
		struct sl_slice rest = slice_from_str(names[i]);
		uint16_t count = 0;
		while (rest.p) steps[i][count++] = (struct jpath_step){.key = slice_next_part(&rest, '.')};
		paths[i] = (struct jpath){.steps = steps[i], .n = count};
	}
	struct jpath_set *set;
	return jpath_set_new(paths, n, &set) == SL_OK ? set : NULL;
}

int main(void) {
	struct jpath_set *early = make_set((const char *const[]){"temp", "measurements.pressure", "asset"}, 3);
	struct jpath_set *all = make_set((const char *const[]){"temp", "measurements.pressure", "fw"}, 3);
	struct jpath_set *absent = make_set((const char *const[]){"absent"}, 1);
	struct jpath_set *first = make_set((const char *const[]){"ts"}, 1);
	struct sl_buf buf = SL_BUF_INIT;
	const double decimal = 71.25, average = 71.25 / 7;
	make_varied();
	double tree = measure(run_jansson, NULL, 200);
	double tree_write = measure(run_write_jansson, NULL, 200);
	const struct {
		const char *what;
		double ns, against;
	} rows[] = {
	    {"3 fields, one nested", measure(run_extract, early, 2000), tree},
	    {"3 fields, the last one at the end", measure(run_extract, all, 2000), tree},
	    {"3 fields as in the first, of changing payloads", measure(run_extract_varied, early, VARIED), tree},
	    {"the same as the first, two read as double", measure(run_extract_and_read, early, 2000), tree},
	    {"1 field, the first", measure(run_extract, first, 2000), tree},
	    {"1 field that is not there", measure(run_extract, absent, 2000), tree},
	    {"jscan_valid", measure(run_valid, NULL, 2000), tree},
	    {"write a row of 3", measure(run_write, &buf, 2000), tree_write},
	};
	printf("payload %zu bytes; jansson: read 3 fields %.0f ns, write a row of 3 %.0f ns\n", sizeof payload - 1,
	       tree, tree_write);
	for (size_t i = 0; i < SL_ARRAY_LEN(rows); i++)
		printf("%-48s %7.1f ns   jansson takes %5.1f times as long\n", rows[i].what, rows[i].ns,
		       rows[i].against / rows[i].ns);
	printf("%-48s %7.1f ns, of 17 digits %.1f ns\n", "double to text, few digits",
	       measure(run_double, &decimal, 2000), measure(run_double, &average, 200));
	jpath_set_free(early);
	jpath_set_free(all);
	jpath_set_free(absent);
	jpath_set_free(first);
	sl_buf_fini(&buf);
	return 0;
}
