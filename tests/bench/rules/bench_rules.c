/* bench_rules.c: what rules cost a publish: CPU nanoseconds per message, of all threads together.
 *
 *     build/release/bench/bench_rules [messages [part of a scenario's name]]
 *
 * Each scenario runs RULE_BENCH_RUNS times; the quickest counts. */
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "log.h"
#include "rule_bench.h"

enum { TOPICS = 64, OTHER_RULES = 10000 };

static const char payload[] =
    "{\"ts\":1700000000123,\"site\":\"berlin\",\"building\":\"b2\",\"line\":7,\"asset\":\"press-17\",\"state\":\"run\","
    "\"measurements\":{\"temperature\":21.5,\"humidity\":40.25,\"pressure\":1013.2,\"vibration\":0.017,\"rpm\":1480,"
    "\"current\":12.75},\"firmware\":\"1.4.2\",\"seq\":123456}";

struct scenario {
	const char *name;
	const char *yaml; /* connectors and rules */
	bool other_rules; /* and OTHER_RULES on topics that no message has */
	uint8_t qos;
};

#define NULL_CONNECTOR "connectors:\n  nowhere: {type: \"null\"}\n"
#define INTO_NULL(options)                                                                                             \
	NULL_CONNECTOR "rules:\n  r:\n    sql: SELECT payload.asset AS asset, payload.measurements.temperature AS t, " \
		       "payload.measurements.rpm AS rpm FROM \"factory/#\"\n"                                          \
		       "    actions: [{connector: nowhere, value: \"${asset} ${t} ${rpm}\"" options "}]\n"
static const struct scenario scenarios[] = {
    {.name = "no rule", .yaml = "rules: {}\n"},
    {.name = "10,000 rules on other topics", .yaml = "rules:\n", .other_rules = true},
    {.name = "one rule, WHERE false",
     .yaml =
	 "rules:\n  r:\n    sql: SELECT payload.site AS s FROM \"factory/#\" WHERE payload.measurements.temperature "
	 "> 90\n    actions: [{console: {}}]\n"},
    {.name = "the same, and 10,000 on other topics",
     .yaml =
	 "rules:\n  r:\n    sql: SELECT payload.site AS s FROM \"factory/#\" WHERE payload.measurements.temperature "
	 "> 90\n    actions: [{console: {}}]\n",
     .other_rules = true},
    {.name = "three fields into null, QoS 0", .yaml = INTO_NULL("")},
    {.name = "three fields into null, QoS 1", .qos = 1, .yaml = INTO_NULL("")},
    {.name = "the row as JSON with a key, QoS 1",
     .qos = 1,
     .yaml = NULL_CONNECTOR
     "rules:\n  r:\n    sql: SELECT payload.asset AS asset, payload.measurements.temperature AS t, payload.ts AS ts "
     "FROM \"factory/#\"\n"
     "    actions: [{connector: nowhere, columns: {key: \"${asset}\", value: \"${.}\"}}]\n"},
    {.name = "the same, no payload in dead letters", .qos = 1, .yaml = INTO_NULL(", dead_letter: {payload: 0}")},
};

static double run_scenario(const struct scenario *s, uint64_t messages, const char *dir) {
	struct sl_buf text = SL_BUF_INIT;
	char topics[TOPICS][64];
	struct rules_event events[TOPICS];
	sl_buf_append_str(&text, s->yaml);
	for (int i = 0; s->other_rules && i < OTHER_RULES; i++)
		sl_buf_printf(&text, "  other%d:\n    sql: SELECT payload.a AS a FROM \"other/%d/+\"\n", i, i);
	struct rule_bench *b = rule_bench_new(sl_buf_slice(&text), dir);
	sl_buf_fini(&text);
	for (int i = 0; i < TOPICS; i++) {
		(void)snprintf(topics[i], sizeof topics[i], "factory/berlin/b2/line7/press-%d/telemetry", i);
		events[i] = rule_bench_event(slice_from_str(topics[i]), SL_SLICE_LIT(payload), s->qos);
	}
	double ns = rule_bench_run(b, events, TOPICS, messages);
	rule_bench_free(b);
	return ns;
}

int main(int argc, char **argv) {
	uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
	char dir[] = P_tmpdir "/bench_rules.XXXXXX";
	double none = 0;
	messages -= messages % RULE_BENCH_TICK;
	if (messages == 0 || !mkdtemp(dir)) return 2;
	sl_hash_init();
	log_set_level(LOG_WARN);
	printf("%zu-byte payload, %llu messages, best of %d; CPU of all threads\n", sizeof payload - 1,
	       (unsigned long long)messages, RULE_BENCH_RUNS);
	for (size_t i = 0; i < SL_ARRAY_LEN(scenarios); i++) {
		if (argc > 2 && !strstr(scenarios[i].name, argv[2])) continue;
		double ns = run_scenario(&scenarios[i], messages, dir);
		if (i == 0) none = ns;
		printf("%-40s %8.1f ns/message   over no rule %8.1f ns\n", scenarios[i].name, ns, ns - none);
	}
	rule_bench_remove(dir);
	return 0;
}
