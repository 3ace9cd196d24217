/* bench_many.c: what many rules on one topic cost a message, against one rule in the same run, and against the limit that
 * the project has set itself.
 *
 *     build/release/bench/bench_many [messages [equality|ranges|matching|sharing]]
 *
 * CPU nanoseconds of all threads per message of 300 bytes. The messages differ: so do the rules that they reach. Ends with 1
 * when a limit is not kept. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"
#include "log.h"
#include "mem.h"
#include "rng.h"
#include "rule_bench.h"

enum { EVENTS = 4096 };

struct crowd { /* of messages */
	struct sl_buf texts[EVENTS];
	struct rules_event events[EVENTS];
};

struct figures {
	double ns, rows, load_ms, first_ms, bytes;
};

static const char *dir;
static uint64_t messages;
static bool failed;

/* device: 'd<number below devices>'; t: below t_max. */
static void crowd_make(struct crowd *c, const char *prefix, uint64_t devices, uint64_t t_max) {
	for (size_t i = 0; i < EVENTS; i++) {
		struct sl_buf *text = &c->texts[i];
		sl_buf_clear(text);
		sl_buf_printf(text,
			      "{\"ts\":1700000000123,\"deviceId\":\"%s%llu\",\"site\":\"berlin\",\"building\":\"b2\","
			      "\"line\":7,\"asset\":\"press-17\",\"state\":\"run\",\"t\":%llu.%llu,\"measurements\":{"
			      "\"humidity\":40.25,\"pressure\":1013.2,\"vibration\":0.017,\"rpm\":1480,\"current\":"
			      "12.75,\"voltage\":229.8},\"firmware\":\"1.4.2-rc3\",\"boot\":\"warm\",\"seq\":123456}",
			      prefix, (unsigned long long)sl_rng_below(devices),
			      (unsigned long long)sl_rng_below(t_max), (unsigned long long)sl_rng_below(10));
		c->events[i] = rule_bench_event(SL_SLICE_LIT("factory/berlin/telemetry"), sl_buf_slice(text), 0);
	}
}

static void crowd_fini(struct crowd *c) {
	for (size_t i = 0; i < EVENTS; i++) sl_buf_fini(&c->texts[i]);
}

static struct figures measure(struct sl_buf *yaml, struct crowd *c) {
	struct figures f = {0};
	size_t before = mallinfo2().uordblks;
	struct rule_bench *b = rule_bench_new(sl_buf_slice(yaml), dir);
	f.bytes = (double)(mallinfo2().uordblks - before);
	f.load_ms = rule_bench_load_ms(b);
	f.ns = rule_bench_run(b, c->events, EVENTS, messages);
	f.first_ms = rule_bench_first_ms(b);
	uint64_t runs =
	    messages * RULE_BENCH_RUNS + messages / 10 / RULE_BENCH_TICK * RULE_BENCH_TICK + RULE_BENCH_TICK;
	f.rows = (double)rule_bench_rows(b) / (double)runs;
	rule_bench_free(b);
	sl_buf_fini(yaml);
	return f;
}

static void show(const char *name, struct figures f, double one, double limit) {
	printf("%-58s %9.1f ns  %6.2f rows", name, f.ns, f.rows);
	if (one > 0) printf("  %6.2f x one", f.ns / one);
	if (limit > 0) {
		bool kept = f.ns <= one * limit;
		printf(", limit %.1f%s", limit, kept ? "" : "  NOT KEPT");
		failed |= !kept;
	}
	printf("\n");
}

static void show_costs(struct figures f, double rules) {
	printf("    compiled and in force %.0f ms, %.0f bytes a rule; first message %.2f ms\n", f.load_ms,
	       f.bytes / rules, f.first_ms);
}

#define SELECT "SELECT payload.site AS site, payload.asset AS asset, payload.measurements.rpm AS rpm FROM \"factory/#\""

static struct sl_buf equality_rules(int count) {
	struct sl_buf yaml = SL_BUF_INIT;
	sl_buf_append_str(&yaml, "rules:\n");
	for (int i = 0; i < count; i++)
		sl_buf_printf(&yaml, "  r%d:\n    sql: %s WHERE payload.deviceId = 'd%d'\n", i, SELECT, i);
	return yaml;
}

static struct sl_buf range_rules(int count) {
	struct sl_buf yaml = SL_BUF_INIT;
	sl_buf_append_str(&yaml, "rules:\n");
	for (int i = 0; i < count; i++) {
		double at = 1000.0 * i / count;
		sl_buf_printf(&yaml, "  r%d:\n    sql: %s WHERE ", i, SELECT);
		if (i % 3 == 0)
			sl_buf_printf(&yaml, "payload.t > %.3f\n", 999.899 + at); /* met by the highest t only */
		else if (i % 3 == 1)
			sl_buf_printf(&yaml, "payload.t BETWEEN %.2f AND %.2f\n", at, at + 0.3);
		else
			sl_buf_printf(&yaml, "payload.t > %.2f AND payload.t < %.2f\n", at, at + 0.3);
	}
	return yaml;
}

static struct sl_buf one_rule(const char *where) {
	struct sl_buf yaml = SL_BUF_INIT;
	sl_buf_printf(&yaml, "rules:\n  r:\n    sql: %s %s\n", SELECT, where);
	return yaml;
}

static struct sl_buf matching_rules(int count, bool into_null) {
	struct sl_buf yaml = SL_BUF_INIT;
	sl_buf_append_str(&yaml, "connectors:\n  nowhere: {type: \"null\"}\nrules:\n");
	for (int i = 0; i < count; i++) {
		sl_buf_printf(&yaml, "  r%d:\n    sql: %s\n", i, SELECT);
		if (into_null) sl_buf_append_str(&yaml, "    actions: [{connector: nowhere, value: \"${rpm}\"}]\n");
	}
	return yaml;
}

static void bench_equality(struct crowd *c) {
	struct sl_buf yaml = one_rule("WHERE payload.deviceId = 'd0'");
	crowd_make(c, "x", 10000, 1000);
	struct figures none = measure(&yaml, c);
	crowd_make(c, "d", 1, 1000);
	yaml = one_rule("WHERE payload.deviceId = 'd0'");
	struct figures met = measure(&yaml, c);
	show("one rule, deviceId = 'd0', not met", none, 0, 0);
	show("one rule, deviceId = 'd0', met", met, 0, 0);
	for (int count = 1000; count <= 10000; count *= 10) {
		char name[64];
		crowd_make(c, "x", 10000, 1000);
		yaml = equality_rules(count);
		struct figures f = measure(&yaml, c);
		(void)snprintf(name, sizeof name, "%d rules, deviceId = 'd<n>', none met", count);
		show(name, f, none.ns, 1.5);
		crowd_make(c, "d", (uint64_t)count, 1000);
		yaml = equality_rules(count);
		f = measure(&yaml, c);
		(void)snprintf(name, sizeof name, "%d rules, deviceId = 'd<n>', one of them met", count);
		show(name, f, met.ns, 1.5);
		show_costs(f, count);
	}
}

static void bench_ranges(struct crowd *c) {
	struct sl_buf yaml = one_rule("WHERE payload.t > 500");
	crowd_make(c, "d", 10000, 1000);
	struct figures one = measure(&yaml, c);
	show("one rule, t > 500, met every other time", one, 0, 0);
	yaml = range_rules(10000);
	struct figures f = measure(&yaml, c);
	show("10,000 rules, t > a, BETWEEN a AND b, > a AND < b", f, one.ns, 3);
	show_costs(f, 10000);
}

static void bench_matching(struct crowd *c) {
	crowd_make(c, "d", 10000, 1000);
	for (int into_null = 0; into_null < 2; into_null++) {
		struct sl_buf yaml = matching_rules(1, into_null);
		struct figures one = measure(&yaml, c);
		yaml = matching_rules(100, into_null);
		struct figures all = measure(&yaml, c);
		show(into_null ? "one rule, three paths, into null" : "one rule, three paths", one, 0, 0);
		/* Into null, each rule has a pipeline of its own to fill: what that costs is not the evaluation's. */
		show(into_null ? "100 rules, the same three paths, into null" : "100 rules, the same three paths", all,
		     one.ns, into_null ? 0 : 40);
	}
}

/* Rules that differ in their actions' and columns' names, and have in common what is dear: a search, arithmetic, calls. With
 * another constant in each they have nothing in common. */
static struct sl_buf dear_rules(int count, bool common) {
	struct sl_buf yaml = SL_BUF_INIT;
	sl_buf_append_str(&yaml, "rules:\n");
	for (int i = 0; i < count; i++) {
		int own = common ? 0 : i;
		sl_buf_printf(
		    &yaml,
		    "  r%d:\n    sql: SELECT upper(substr(payload.asset, %d)) AS a%d, (payload.t * 1.8 + %d) / 2 AS f "
		    "FROM \"factory/#\" WHERE regex_match(payload.firmware, '^[0-%d]+[.].*rc[0-9]') AND "
		    "round(payload.measurements.pressure * 100 - %d) > 0\n",
		    i, own % 5, i, 32 + own, own % 8 + 2, own);
	}
	return yaml;
}

static void bench_sharing(struct crowd *c) {
	crowd_make(c, "d", 10000, 1000);
	struct sl_buf yaml = dear_rules(1, true);
	struct figures one = measure(&yaml, c);
	show("one rule: a regular expression, arithmetic, functions", one, 0, 0);
	yaml = dear_rules(100, false);
	show("100 rules that differ in the constants of those", measure(&yaml, c), one.ns, 0);
	yaml = dear_rules(100, true);
	show("100 rules that have those in common", measure(&yaml, c), one.ns, 15);
}

static const struct {
	const char *name;
	void (*run)(struct crowd *c);
} benches[] = {
    {"equality", bench_equality}, {"ranges", bench_ranges}, {"matching", bench_matching}, {"sharing", bench_sharing}};

int main(int argc, char **argv) {
	static struct crowd crowd;
	char path[] = P_tmpdir "/bench_many.XXXXXX";
	messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 40000;
	messages -= messages % RULE_BENCH_TICK;
	if (messages == 0 || !mkdtemp(path)) return 2;
	dir = path;
	sl_hash_init();
	log_set_level(LOG_WARN);
	for (size_t i = 0; i < SL_ARRAY_LEN(benches); i++)
		if (argc < 3 || strcmp(argv[2], benches[i].name) == 0) benches[i].run(&crowd);
	printf("%zu bytes a message, %llu messages, best of %d\n", crowd.texts[0].n, (unsigned long long)messages,
	       RULE_BENCH_RUNS);
	crowd_fini(&crowd);
	rule_bench_remove(dir);
	return failed;
}
