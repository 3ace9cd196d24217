/* bench_events.c: what events cost: the branch for one that no rule reads, and rules that read one.
 *
 *     build/release/bench/bench_events [events]
 *
 * Nanoseconds per event on one thread, without a loop; each scenario runs RUNS times, the quickest counts. */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "hash.h"
#include "log.h"
#include "rules.h"
#include "yaml.h"

enum { RUNS = 5 };

static const struct rules_about about = {.clientid = {"press-17", 8},
					 .peer = {"10.1.2.3:40000", 14},
					 .keepalive_s = 60,
					 .version = 5,
					 .connected_ms = 1700000000000};
static const struct rules_event event = {.kind = EVENT_CLIENT_PING,
					 .about = &about,
					 .at_ms = 1700000000000,
					 .qos = 1,
					 .version = 5,
					 .message_expiry_s = -1,
					 .payload_format = -1};

static const struct scenario {
	const char *name, *yaml;
} scenarios[] = {
    {"an empty loop", NULL},
    {"an event that no rule reads", "rules:\n  r:\n    sql: SELECT * FROM \"$events/client/connected\"\n"},
    {"one rule, WHERE false",
     "rules:\n  r:\n    sql: SELECT peername FROM \"$events/client/ping\" WHERE clientid = 'x'\n"},
    {"one rule, three columns",
     "rules:\n  r:\n    sql: SELECT clientid, peername, keepalive FROM \"$events/client/ping\"\n"},
    {"AWS's message, WHERE false",
     "rules:\n  r:\n    sql: SELECT topic FROM \"$aws/events/presence/connected/+\" WHERE payload.clientId = 'x'\n"},
};

static void load(struct rules *r, const char *text) {
	struct conf_report report = CONF_REPORT_INIT;
	struct sl_err err = SL_ERR_INIT;
	struct yaml_doc *doc = NULL;
	struct rules_prepared *prepared = NULL;
	if (yaml_doc_load(slice_from_str(text), "bench.yaml", &doc, &err) != SL_OK) exit(2);
	struct conf_at at = {doc, "rules"};
	if (rules_prepare(r, json_object_get(yaml_doc_root(doc), "rules"), at, NULL, &report, &prepared) != SL_OK)
		exit(2);
	rules_commit(r, prepared, NULL, NULL);
	yaml_doc_free(doc);
	conf_report_fini(&report);
	sl_err_fini(&err);
}

static double run(struct rules_worker *rw, const struct rules_event *ev, uint64_t events, bool any) {
	double best = 0;
	for (int i = 0; i < RUNS; i++) {
		uint64_t begin = sl_clock_mono_us();
		for (uint64_t k = 0; k < events; k++) {
			__asm__ volatile("" ::: "memory"); /* the bit is read each time */
			if (any && sl_unlikely(rules_event_wanted(rw, 1u << ev->kind))) rules_event(rw, ev);
		}
		double ns = (double)(sl_clock_mono_us() - begin) * 1000 / (double)events;
		if (i == 0 || ns < best) best = ns;
	}
	return best;
}

int main(int argc, char **argv) {
	uint64_t events = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
	sl_hash_init();
	log_set_level(LOG_ERROR);
	for (size_t i = 0; i < SL_ARRAY_LEN(scenarios); i++) {
		struct rules_event ev = event;
		struct rules *r = rules_new(&(struct rules_opts){.node = "bench", .worker_count = 1});
		if (scenarios[i].yaml) load(r, scenarios[i].yaml);
		struct rules_worker *rw = rules_worker_new(r, 0, NULL, NULL);
		if (scenarios[i].yaml && strstr(scenarios[i].yaml, "$aws")) ev.kind = EVENT_AWS_CONNECTED;
		printf("%-32s %8.2f ns/event\n", scenarios[i].name, run(rw, &ev, events, scenarios[i].yaml != NULL));
		rules_worker_free(rw);
		rules_free(r);
	}
	return 0;
}
