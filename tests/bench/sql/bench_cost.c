/* bench_cost.c: what one rule costs on one 300-byte message, from the payload's bytes to the encoded row, beside the same
 * done on a tree of jansson's in the same run.
 *
 *     bench_cost [seconds per line, default 0.5]
 *
 * Each line: nanoseconds of the whole evaluation (extraction, WHERE, SELECT, row), the limit if the project promises one,
 * and how many times as long the tree takes. Lines without a twin of their own are compared with parsing alone. Both sides
 * take turns in short rounds, and the best round of each counts: what else the machine does meets both.
 * Exit status 1 when a limit is missed, or the tree is less than 10 times as dear where that is promised. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mem.h"
#include "sql_case.h"
#include "sql_row.h"

enum { ROUND = 2000, TREE_ROUND = 100, LEAST_RATIO = 10 };

static const char object_payload[] =
    "{\"deviceId\":\"press-0042\",\"ts\":1767225600123,\"site\":\"north\",\"line\":4,\"seq\":182734,\"state\":"
    "\"running\","
    "\"firmware\":\"2.11.4-b20260101\",\"measurements\":{\"temperature\":71.25,\"pressure\":4.81,\"rpm\":1480,"
    "\"vibration\":{\"x\":0.12,\"y\":0.09,\"z\":0.31}},\"alarms\":[],\"operator\":null,\"battery\":87,\"ok\":true,"
    "\"place\":\"hall 3\"}";
static const char array_payload[] =
    "{\"deviceId\":\"press-0042\",\"timestamp\":1767225600123,\"site\":\"north\",\"line\":4,\"state\":\"running\","
    "\"measurements\":[{\"name\":\"temperature\",\"value\":71.25,\"unit\":\"C\",\"quality\":\"good\"},"
    "{\"name\":\"pressure\",\"value\":4.81,\"unit\":\"bar\",\"quality\":\"good\"},"
    "{\"name\":\"rpm\",\"value\":1480,\"quality\":\"good\"}],\"battery\":87,\"ok\":true}";

static volatile uint64_t sink;

/* ---- the twins: the same on a tree ---- */

static json_t *member(json_t *root, const char *outer, const char *inner) {
	return json_object_get(json_object_get(root, outer), inner);
}

static void tree_nothing(json_t *root) { sink += json_object_size(root); }

static void tree_where(json_t *root) { sink += json_number_value(member(root, "measurements", "temperature")) > 90; }

/* {"device": ..., "f": temperature * 1.8 + 32, "state": upper(state)}, written as text. */
static void tree_select(json_t *root) {
	char state[32];
	const char *text = json_string_value(json_object_get(root, "state"));
	size_t n = json_string_length(json_object_get(root, "state"));
	double f = json_number_value(member(root, "measurements", "temperature")) * 1.8 + 32;
	if (n >= sizeof state) return;
	for (size_t i = 0; i < n; i++) state[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
	json_t *row =
	    json_pack("{s:O, s:f, s:s#}", "device", json_object_get(root, "deviceId"), "f", f, "state", state, (int)n);
	char *out = json_dumps(row, JSON_COMPACT);
	sink += (uint64_t)out[0];
	free(out);
	json_decref(row);
}

static void tree_seed(json_t *root) {
	json_t *first = json_array_get(json_object_get(root, "measurements"), 0);
	sink += json_number_value(json_object_get(first, "value")) > 85;
}

/* ---- ours ---- */

enum row_form { AS_ROW, AS_JSON };

struct cost_case {
	const char *name, *sql, *payload;
	enum sql_dialect dialect;
	enum row_form form;
	bool filtered; /* WHERE says no */
	double limit;  /* ns; 0: none is promised */
	void (*tree)(json_t *root);
};

#define TEMPERATURE "payload.measurements.temperature"
#define SELECT_THREE                                                                                                   \
	"SELECT payload.deviceId AS device, " TEMPERATURE " * 1.8 + 32 AS f, upper(payload.state) AS state FROM 'f/#'"
#define FALSE_WHERE(condition)                                                                                         \
	.sql = "SELECT topic AS t FROM 'f/#' WHERE " condition, .payload = object_payload, .filtered = true

static const struct cost_case cases[] = {
    {.name = "WHERE on one path, false", FALSE_WHERE(TEMPERATURE " > 90"), .limit = 150, .tree = tree_where},
    {.name = "SELECT of three paths, into a row",
     .sql = SELECT_THREE,
     .payload = object_payload,
     .limit = 600,
     .tree = tree_select},
    {.name = "SELECT of three paths, into JSON",
     .sql = SELECT_THREE,
     .payload = object_payload,
     .form = AS_JSON,
     .limit = 600,
     .tree = tree_select},
    {.name = "aws: WHERE on an element, false",
     .sql = "SELECT deviceId, timestamp, get(measurements, 0).value as temperature FROM 'factory/+/telemetry' WHERE "
	    "get(measurements, 0).name = 'temperature' AND get(measurements, 0).value > 85.0 AND "
	    "get(measurements, 0).quality = 'good'",
     .payload = array_payload,
     .dialect = SQL_AWS,
     .filtered = true,
     .tree = tree_seed},
    {.name = "a column rules it out, dear things follow",
     FALSE_WHERE("regex_match(payload.firmware, '^3[.]') AND payload.state = 'stopped' AND qos = 2")},
    {.name = "NOT, AND, OR on three paths",
     FALSE_WHERE("NOT (payload.ok = true AND payload.line < 5) OR " TEMPERATURE " > 90")},
    {.name = "arithmetic with constants",
     FALSE_WHERE("(payload.line * 3 - 1) mod 7 + payload.seq div 60 > 5 * payload.battery + 1e5 or "
		 "(" TEMPERATURE " - 32) / 1.8 * 2 > 100")},
    {.name = "arithmetic among columns and paths",
     FALSE_WHERE("payload.line * payload.seq - payload.battery + qos > timestamp - payload.seq or "
		 "- payload.measurements.rpm * qos > 5")},
    {.name = "CASE", FALSE_WHERE("CASE WHEN payload.line > 7 THEN 1 WHEN " TEMPERATURE " > 80 THEN 2 ELSE 3 END < 3")},
    {.name = "IN of eight texts",
     FALSE_WHERE("payload.deviceId IN ('press-1','press-2','press-3','press-4','press-5','press-6','press-7','x')")},
    {.name = "LIKE", FALSE_WHERE("payload.deviceId LIKE 'mill-%'")},
    {.name = "a regular expression", FALSE_WHERE("regex_match(payload.firmware, '^3[.][0-9]+')")},
    {.name = "text functions",
     .sql = "SELECT substr(payload.deviceId, 6) AS n, concat(payload.site, '-', payload.line) AS l, "
	    "topic(1) AS t FROM 'f/#'",
     .payload = object_payload},
};

struct bench {
	const struct cost_case *c;
	struct sql_case event;
	struct sql_program *p;
	struct jpath_set *set;
	struct jpath_hit *hits;
	struct sql_vm *vm;
	struct sql_input in;
	struct sl_buf row;
};

static double now_ns(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int extract(void *arg) {
	struct bench *b = arg;
	return jpath_extract_any_text(b->set, b->event.payload, b->hits);
}

static int write_row(void *arg, struct sql_vm *vm, const struct sql_out *out) {
	struct bench *b = arg;
	(void)vm;
	sl_buf_clear(&b->row);
	if (b->c->form == AS_JSON)
		sql_out_json(out, &b->row);
	else
		sql_row_write(&b->row, out->values, (uint16_t)out->count, SQL_ROW_QOS1, 1, 2);
	return SL_OK;
}

static bool open_case(struct bench *b, const struct cost_case *c) {
	struct sl_err err = SL_ERR_INIT;
	struct sql_compile_opts opts = {.dialect = c->dialect, .source = sql_case_find};
	size_t n;
	*b = (struct bench){.c = c,
			    .event = {.topic = SL_SLICE_LIT("factory/north/b1/l4/press-0042/telemetry"),
				      .payload = slice_from_str(c->payload),
				      .clientid = SL_SLICE_LIT("press-0042"),
				      .qos = 1,
				      .timestamp = 1767225600123}};
	if (sql_compile(slice_from_str(c->sql), &opts, &b->p, &err) != SL_OK) {
		printf("%-44s does not compile: %s\n", c->name, sl_err_text(&err));
		sl_err_fini(&err);
		return false;
	}
	const struct jpath *paths = sql_program_paths(b->p, &n);
	b->hits = SL_NEW_ARRAY(struct jpath_hit, n + 1);
	if (jpath_set_new(paths, n, &b->set) != SL_OK) exit(2);
	b->vm = sql_vm_new();
	b->in = (struct sql_input){.event = &b->event,
				   .payload = b->event.payload,
				   .hits = b->hits,
				   .extract = extract,
				   .extract_arg = b,
				   .now_ms = b->event.timestamp};
	return true;
}

static void close_case(struct bench *b) {
	sql_program_free(b->p);
	jpath_set_free(b->set);
	sql_vm_free(b->vm);
	sl_buf_fini(&b->row);
	sl_free(b->hits);
}

static double round_ours(struct bench *b) {
	double start = now_ns();
	for (int i = 0; i < ROUND; i++) sink += (uint64_t)sql_run(b->vm, b->p, &b->in, write_row, b);
	return (now_ns() - start) / ROUND;
}

static double round_tree(const struct bench *b) {
	double start = now_ns();
	for (int i = 0; i < TREE_ROUND; i++) {
		json_t *root = json_loadb(b->event.payload.p, b->event.payload.n, 0, NULL);
		if (b->c->tree)
			b->c->tree(root);
		else
			tree_nothing(root);
		json_decref(root);
	}
	return (now_ns() - start) / TREE_ROUND;
}

/* False when a promise was not kept. */
static bool measure(const struct cost_case *c, double seconds) {
	struct bench b;
	if (!open_case(&b, c)) return c->limit <= 0;
	if ((sql_run(b.vm, b.p, &b.in, write_row, &b) == SQL_FILTERED) != c->filtered || sql_vm_error(b.vm)->status) {
		fprintf(stderr, "%s: another outcome than expected: %s\n", c->name, sl_err_text(sql_vm_error(b.vm)));
		exit(2);
	}
	double ours = 1e18, tree = 1e18, end = now_ns() + seconds * 1e9;
	while (now_ns() < end) {
		double x = round_ours(&b), y = round_tree(&b);
		if (x < ours) ours = x;
		if (y < tree) tree = y;
	}
	bool within = c->limit <= 0 || (ours <= c->limit && tree / ours >= LEAST_RATIO);
	printf("%-44s %7.1f ns", c->name, ours);
	if (c->limit > 0)
		printf("   limit %3.0f ns, a tree %d times: %s", c->limit, LEAST_RATIO, within ? "within" : "MISSED");
	printf("   %s %.1f times\n", c->tree ? "the same on a tree" : "parsing a tree alone", tree / ours);
	close_case(&b);
	return within;
}

int main(int argc, char **argv) {
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;
	bool kept = true;
	printf("payload %zu bytes; extraction, WHERE, SELECT and row together\n", sizeof object_payload - 1);
	for (size_t i = 0; i < SL_ARRAY_LEN(cases); i++) kept &= measure(&cases[i], seconds);
	return kept ? 0 : 1;
}
