/* cmd_bench.c: `sluice bench`: the load generator's options, scenarios and report. See bench_int.h for its parts. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench_int.h"
#include "commands.h"
#include "topic.h"

static const char *const scenario_names[] = {"fanin", "pairs", "fanout", "wild", "idle", "sink", "storm", NULL};

/* What a scenario is when nothing else is said; numbers follow the method that the targets were set with. */
struct scenario_row {
	int64_t pubs, subs, filters, outstanding, outstanding_acked;
};
static const struct scenario_row scenarios[] = {
    [BENCH_FANIN] = {.pubs = 100, .subs = 1, .filters = 1, .outstanding = 2000, .outstanding_acked = 400},
    [BENCH_PAIRS] = {.pubs = 50, .subs = 50, .filters = 1, .outstanding = 5000, .outstanding_acked = 5000},
    [BENCH_FANOUT] = {.pubs = 1, .subs = 200, .filters = 1, .outstanding = 20000, .outstanding_acked = 20000},
    [BENCH_WILD] = {.pubs = 10, .subs = 10, .filters = 10000, .outstanding = 2000, .outstanding_acked = 400},
    [BENCH_IDLE] = {.pubs = 0, .subs = 10000, .filters = 1},
    [BENCH_SINK] = {.pubs = 50, .subs = 0, .filters = 0},
    [BENCH_STORM] = {.pubs = 0, .subs = 10000, .filters = 1},
};

#define AT(member) offsetof(struct bench_options, member)
#define NUMBER(name_, member, value_, min_, max_, doc_)                                                                \
	{                                                                                                              \
		.name = (name_), .type = CLI_NUMBER, .at = AT(member), .value = (value_), .min = (min_),               \
		.max = (max_), .doc = (doc_)                                                                           \
	}
static const struct cli_option options[] = {
    CMD_COMMON_OPTIONS(struct bench_options),
    {.letter = 's',
     .name = "scenario",
     .type = CLI_CHOICE,
     .at = AT(scenario),
     .value = "NAME",
     .choices = scenario_names,
     .doc = "fanin, pairs, fanout, wild, idle, sink or storm, see below"},
    NUMBER("pubs", pubs, "N", 0, 100000, "publishers (0: the scenario's)"),
    NUMBER("subs", subs, "N", 0, 100000, "subscribers (0: the scenario's)"),
    NUMBER("filters", filters, "N", 0, 1000000, "filters of each subscriber in wild and idle (0: the scenario's)"),
    CMD_QOS_OPTION(AT(qos), "0, 1 or 2"),
    {.letter = 'n',
     .name = "messages",
     .type = CLI_NUMBER,
     .at = AT(messages),
     .value = "N",
     .min = 1,
     .max = 4000000000,
     .doc = "messages to publish in all"},
    NUMBER("payload", payload, "BYTES", BENCH_STAMP, 1 << 20, "payload size"),
    NUMBER("per-write", per_write, "N", 1, 10000, "publishes in one write of a publisher"),
    NUMBER("rate", rate, "N", 0, 100000000, "messages a second of all publishers; 0: as fast as it goes"),
    NUMBER("outstanding", outstanding, "N", 0, 100000000,
	   "deliveries under way at most, so that none need be dropped (0: the scenario's)"),
    NUMBER("window", window, "N", 1, 65535, "QoS 1 and 2: messages of one publisher that wait for acknowledgement"),
    NUMBER("warmup", warmup, "N", 0, 4000000000, "messages before the measurement; 0: a tenth"),
    NUMBER("linger", linger_s, "SECONDS", 1, 3600, "what does not arrive for so long is lost"),
    NUMBER("hold", hold_s, "SECONDS", 0, 3600, "idle and storm: how long to stay"),
    NUMBER("parallel", parallel, "N", 0, 1000000, "storm: connections that come at a time; 0: all"),
    {.name = "persistent", .type = CLI_FLAG, .at = AT(persistent), .doc = "sessions that outlive their connections"},
    NUMBER("broker-pid", broker_pid, "PID", 0, INT32_MAX, "the broker's process: its CPU time and memory are reported"),
    {.name = "topic",
     .type = CLI_TEXT,
     .at = AT(topic),
     .value = "TOPIC",
     .doc = "sink: where to publish to; {n} is the publisher's number"},
    {.name = "payload-text",
     .type = CLI_TEXT,
     .at = AT(payload_text),
     .value = "TEXT",
     .doc = "sink: another payload; its last number of ten digits counts up"},
    {.name = "json", .type = CLI_FLAG, .at = AT(json), .doc = "one JSON object instead of text"},
};
static const struct cli_command command = {
    .usage = "sluice bench SCENARIO [options]",
    .summary = "Loads an MQTT broker and says what arrived, how fast, and what it cost the broker.\n"
	       "CPU-s/M: CPU seconds of the broker per million messages, each counted once when it comes in and once\n"
	       "for each delivery.",
    .options = options,
    .options_len = SL_ARRAY_LEN(options),
    .word = 's',
    .examples = "scenarios:\n"
		"  fanin   100 publishers to 1 subscriber\n"
		"  pairs   50 publishers, each to its own subscriber\n"
		"  fanout  1 publisher to 200 subscribers\n"
		"  wild    10 subscribers with 10,000 wildcard filters each; every message meets one\n"
		"  idle    10,000 connections with one subscription each, nothing published\n"
		"  sink    50 publishers of JSON telemetry, no subscriber: for rules\n"
		"  storm   10,000 connections with one subscription each come at once, are dropped, and come back\n"
		"examples:\n"
		"  sluice bench fanin -n 1000000 --broker-pid $(pidof mosquitto)\n"
		"  sluice bench pairs -q 1 --rate 2000 -n 20000 --per-write 1\n",
};

/* --- the report ---------------------------------------------------------------------------------------------- */

static double per_million(double cpu_s, const struct bench_result *r) {
	double messages = (double)(r->sent + r->received + r->repeated);
	return messages > 0 ? cpu_s * 1e6 / messages : 0;
}

struct figure {
	const char *name;
	double value; /* NAN: unknown */
	int decimals;
	const char *text; /* what the text report says; "" = json only */
};

static size_t figures(const struct bench *b, const struct bench_result *r, struct figure out[24]) {
	double seconds = r->seconds > 0 ? r->seconds : 1;
	double connections = (double)(b->pubs_len + b->subs_len);
	double filters = (double)b->subs_len * (double)b->o.filters;
	/* Of a process that was not named, or is not there, nothing is known. */
	double broker = r->rss_before ? 1 : NAN, rss = broker * ((double)r->rss_connected - (double)r->rss_before);
	const struct figure all[] = {
	    {"messages", (double)r->sent, 0, "messages in"},
	    {"deliveries", (double)r->received, 0, "deliveries"},
	    {"lost", (double)r->lost, 0, "lost"},
	    {"repeated", (double)r->repeated, 0, "repeated"},
	    {"out_of_order", (double)r->out_of_order, 0, "out of order"},
	    {"refused", (double)r->refused, 0, "refused"},
	    {"first_s", r->first_s, 3, b->o.scenario == BENCH_STORM ? "first coming s" : ""},
	    {"seconds", r->seconds, 3, "seconds"},
	    {"messages_per_s", (double)r->sent / seconds, 0, "messages/s"},
	    {"deliveries_per_s", (double)r->received / seconds, 0, "deliveries/s"},
	    {"p50_us", hist_percentile_us(&b->latency, 50), 1, "latency p50 us"},
	    {"p99_us", hist_percentile_us(&b->latency, 99), 1, "latency p99 us"},
	    {"p999_us", hist_percentile_us(&b->latency, 99.9), 1, "latency p99.9 us"},
	    {"broker_cpu_s", broker * r->broker_cpu_s, 3, "broker CPU s"},
	    {"broker_cpu_s_per_million", broker * per_million(r->broker_cpu_s, r), 3, "broker CPU-s/M"},
	    {"own_us_per_message", per_million(r->own_cpu_s, r), 3, "generator us/message"},
	    {"connections", connections, 0, "connections"},
	    {"connect_cpu_us", broker * r->connect_cpu_s * 1e6 / (connections > 0 ? connections : 1), 1,
	     "connect CPU us"},
	    {"rss_bytes_per_connection", rss / (connections > 0 ? connections : 1), 0, "RSS bytes/connection"},
	    {"filters", filters, 0, "filters"},
	    {"rss_bytes_per_filter", filters > 0 ? rss / filters : broker * 0, 0, "RSS bytes/filter"},
	    {"rss_bytes", broker * (double)r->rss_after, 0, "RSS bytes"},
	};
	memcpy(out, all, sizeof all);
	return SL_ARRAY_LEN(all);
}

static void figure_print(const char *before, const struct figure *f, const char *unknown) {
	if (isnan(f->value))
		printf("%s%s", before, unknown);
	else
		printf("%s%.*f", before, f->decimals, f->value);
}

static void report(const struct bench *b, const struct bench_result *r) {
	struct figure f[24];
	size_t n = figures(b, r, f);
	const char *name = scenario_names[b->o.scenario];
	if (b->o.json) {
		printf("{\"scenario\":\"%s\",\"qos\":%lld,\"payload\":%lld,\"per_write\":%lld,\"rate\":%lld", name,
		       (long long)b->o.qos, (long long)b->o.payload, (long long)b->o.per_write, (long long)b->o.rate);
		for (size_t i = 0; i < n; i++) {
			printf(",\"%s\"", f[i].name);
			figure_print(":", &f[i], "null");
		}
		printf("}\n");
		return;
	}
	printf("%s: QoS %lld, %zu publishers, %zu subscribers, %lld per write\n", name, (long long)b->o.qos,
	       b->pubs_len, b->subs_len, (long long)b->o.per_write);
	for (size_t i = 0; i < n; i++) {
		if (!f[i].text[0]) continue;
		printf("  %-22s", f[i].text);
		figure_print(" ", &f[i], "- (needs --broker-pid, of a process of this machine)");
		putchar('\n');
	}
}

/* --- the run ------------------------------------------------------------------------------------------------- */

static double own_cpu_s(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void measure(struct bench *b, struct bench_result *r) {
	int64_t warmup = b->o.warmup ? b->o.warmup : b->o.messages / 10;
	if (warmup) bench_phase(b, (uint64_t)warmup);
	uint64_t cpu_ns = proc_cpu_ns(b->o.broker_pid), start_ns = bench_now_ns();
	double own_s = own_cpu_s();
	bench_phase(b, (uint64_t)b->o.messages);
	/* The wait that found something lost is not the broker's time. */
	uint64_t end_ns = b->given_up ? b->arrived_ns : bench_now_ns();
	r->seconds = (double)(end_ns - start_ns) / 1e9;
	r->broker_cpu_s = (double)(proc_cpu_ns(b->o.broker_pid) - cpu_ns) / 1e9;
	r->own_cpu_s = own_cpu_s() - own_s;
	r->sent = b->sent;
	r->received = b->counts.received;
	r->repeated = b->counts.repeated;
	r->out_of_order = b->counts.out_of_order;
	r->refused = b->refused;
	uint64_t due = b->sent * b->fan;
	r->lost = due > r->received ? due - r->received : 0;
}

static void stay_idle(struct bench *b, struct bench_result *r) {
	uint64_t cpu_ns = proc_cpu_ns(b->o.broker_pid);
	sleep((unsigned)b->o.hold_s);
	r->seconds = (double)b->o.hold_s;
	r->broker_cpu_s = (double)(proc_cpu_ns(b->o.broker_pid) - cpu_ns) / 1e9;
}

static int run(struct bench *b) {
	struct sl_err err = SL_ERR_INIT;
	struct bench_result r = {.rss_before = proc_rss_bytes(b->o.broker_pid)};
	uint64_t cpu_ns = proc_cpu_ns(b->o.broker_pid);
	bool storm = b->o.scenario == BENCH_STORM;
	int rc = storm ? bench_storm(b, &r, &err) : bench_connect(b, &err);
	if (rc == 0 && !storm) rc = bench_subscribe(b, &err);
	if (!storm) {
		r.connect_cpu_s = (double)(proc_cpu_ns(b->o.broker_pid) - cpu_ns) / 1e9;
		r.rss_connected = proc_rss_bytes(b->o.broker_pid);
	}
	if (rc == 0 && b->o.scenario == BENCH_IDLE) {
		stay_idle(b, &r);
	} else if (rc == 0 && !storm) {
		rc = bench_prepare(b, &err);
		if (rc == 0) measure(b, &r);
	}
	r.rss_after = proc_rss_bytes(b->o.broker_pid);
	if (rc == 0 && b->broken) rc = sl_err_set(&err, SL_ECLOSED, "a connection was lost in the run");
	if (rc == 0) report(b, &r);
	int exit_code = rc ? cmd_fail("bench", &err) : CLI_OK;
	bench_fini(b);
	sl_err_fini(&err);
	return exit_code;
}

static bool fill_in(struct bench *b) {
	struct bench_options *o = &b->o;
	const struct scenario_row *s = &scenarios[o->scenario];
	const char *wrong = NULL;
	if (o->pubs == 0) o->pubs = s->pubs;
	if (o->subs == 0) o->subs = s->subs;
	if (o->filters == 0 || o->scenario <= BENCH_FANOUT) o->filters = s->filters;
	if (o->outstanding == 0) o->outstanding = o->qos ? s->outstanding_acked : s->outstanding;
	if (o->rate) o->per_write = 1;
	if (o->qos && o->per_write > o->window) o->per_write = o->window;
	if (o->scenario == BENCH_PAIRS && o->pubs != o->subs) wrong = "pairs needs as many publishers as subscribers";
	if (o->scenario == BENCH_SINK && o->subs) wrong = "sink has no subscribers";
	if (o->scenario == BENCH_IDLE && o->pubs) wrong = "idle has no publishers";
	if (o->scenario == BENCH_STORM && (o->pubs || o->common.tls.on))
		wrong = "storm has no publishers, and speaks plain TCP";
	if (o->scenario == BENCH_SINK && strlen(o->topic) > 60000) wrong = "--topic is too long";
	if (o->scenario == BENCH_SINK && !topic_name_valid(slice_from_str(o->topic)))
		wrong = "--topic must not be empty and must not hold + or #";
	if (wrong) fprintf(stderr, "bench: %s\nusage: %s\n(--help lists the options)\n", wrong, command.usage);
	b->version = cmd_version(&o->common);
	b->pubs_len = (size_t)o->pubs;
	b->subs_len = (size_t)o->subs;
	bool to_all = o->scenario == BENCH_FANIN || o->scenario == BENCH_FANOUT;
	b->fan = o->scenario == BENCH_SINK ? 0 : to_all ? (uint64_t)o->subs : 1;
	return wrong == NULL;
}

int cmd_bench(int argc, char **argv) {
	struct bench b = {.o = {.common = CMD_COMMON_DEFAULTS,
				.messages = 200000,
				.payload = 256,
				.per_write = 16,
				.window = 20, /* mosquitto drops QoS 2 beyond its receive maximum */
				.linger_s = 3,
				.hold_s = 5,
				.topic = "factory/site-1/building-1/line-1/asset-{n}/telemetry"}};
	b.o.common.version = 1; /* 3.1.1, as the brokers' figures were taken */
	int exit_code;
	signal(SIGPIPE, SIG_IGN);
	if (!cli_parse(&command, argc, argv, &b.o, &exit_code)) return exit_code;
	exit_code = fill_in(&b) && cmd_common_ready(&b.o.common, "bench") ? run(&b) : CLI_USAGE;
	cmd_common_fini(&b.o.common);
	return exit_code;
}
