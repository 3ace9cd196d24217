/* bench_rules.c: what rules cost a publish: CPU nanoseconds per message, of all threads together.
 *
 *     build/release/bench/bench_rules [messages]
 *
 * A worker loop evaluates messages, 64 to a tick, as the broker does for a busy publisher; the connector loop takes
 * the rows. Each scenario runs RUNS times; the quickest counts. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "log.h"
#include "mem.h"
#include "rules.h"
#include "yaml.h"

enum { TICK_MESSAGES = 64, TOPICS = 64, RUNS = 5, OTHER_RULES = 10000 };

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
    {.name = "three fields into null, QoS 0",
     .yaml =
	 NULL_CONNECTOR "rules:\n  r:\n    sql: SELECT payload.asset AS asset, payload.measurements.temperature AS t, "
			"payload.measurements.rpm AS rpm FROM \"factory/#\"\n"
			"    actions: [{connector: nowhere, value: \"${asset} ${t} ${rpm}\"}]\n"},
    {.name = "three fields into null, QoS 1",
     .qos = 1,
     .yaml =
	 NULL_CONNECTOR "rules:\n  r:\n    sql: SELECT payload.asset AS asset, payload.measurements.temperature AS t, "
			"payload.measurements.rpm AS rpm FROM \"factory/#\"\n"
			"    actions: [{connector: nowhere, value: \"${asset} ${t} ${rpm}\"}]\n"},
};

struct bench {
	struct sl_post post;
	struct rules_worker *rw;
	struct rules_event events[TOPICS];
	struct sl_ticket ticket; /* stays open: nobody waits for it */
	uint64_t left;
	_Atomic bool done;
};

static void die(struct sl_err *err) {
	fprintf(stderr, "bench_rules: %s\n", sl_err_text(err));
	exit(3);
}

static void ticket_done(struct sl_ticket *t) { (void)t; }

static void tick(struct sl_post *post, struct sl_loop *l) {
	struct bench *b = sl_container_of(post, struct bench, post);
	for (int i = 0; i < TICK_MESSAGES; i++) {
		const struct rules_event *ev = &b->events[i % TOPICS];
		/* As route_publish does: the topic is known, its hash was made with the message. */
		rules_eval(b->rw, ev, ev->qos ? &b->ticket : NULL);
	}
	b->left -= TICK_MESSAGES;
	if (b->left)
		sl_loop_post(l, &b->post);
	else
		b->done = true;
}

static double cpu_now(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run_messages(struct bench *b, struct sl_loop *l, uint64_t messages) {
	b->left = messages;
	b->done = false;
	sl_loop_post(l, &b->post);
	while (!b->done) usleep(1000);
}

static void load(struct connectors *cs, struct rules *r, const struct scenario *s, struct connectors_set **set) {
	struct sl_err err = SL_ERR_INIT;
	struct conf_report report = CONF_REPORT_INIT;
	struct rules_prepared *prepared;
	struct yaml_doc *doc;
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_append_str(&text, s->yaml);
	for (int i = 0; s->other_rules && i < OTHER_RULES; i++)
		sl_buf_printf(&text, "  other%d:\n    sql: SELECT payload.a AS a FROM \"other/%d/+\"\n", i, i);
	if (yaml_doc_load(sl_buf_slice(&text), "bench", &doc, &err) != SL_OK) die(&err);
	json_t *root = yaml_doc_root(doc);
	(void)connectors_prepare(cs, json_object_get(root, "connectors"), (struct conf_at){doc, "connectors"}, &report,
				 set);
	(void)rules_prepare(r, json_object_get(root, "rules"), (struct conf_at){doc, "rules"}, *set, &report,
			    &prepared);
	if (report.len) {
		fprintf(stderr, "%s\n", conf_report_format(&report));
		exit(3);
	}
	if (connectors_commit(cs, *set, &err) != SL_OK) die(&err);
	rules_commit(r, prepared, NULL, NULL);
	connectors_commit_done(cs);
	yaml_doc_free(doc);
	sl_buf_fini(&text);
}

/* Rows that the connector layer let go, for the figures would be worth nothing then. All loops have ended. */
static void check_delivered(struct connectors *cs) {
	json_t *status = json_object(), *action;
	size_t i;
	struct connectors_snapshot *s = connectors_snapshot_new(cs);
	connectors_snapshot_take(s);
	connectors_status(s, status);
	connectors_snapshot_free(s);
	json_array_foreach(json_object_get(status, "actions"), i, action) {
		json_int_t received = json_integer_value(json_object_get(action, "received"));
		json_int_t delivered = json_integer_value(json_object_get(action, "delivered"));
		if (received != delivered)
			printf("    only %lld of %lld rows were delivered\n", (long long)delivered,
			       (long long)received);
	}
	json_decref(status);
}

static double run_scenario(const struct scenario *s, uint64_t messages, const char *dir) {
	struct sl_err err = SL_ERR_INIT;
	struct sl_loop *l;
	struct connectors *cs;
	struct connectors_set *set;
	if (sl_loop_new("worker", 0, &l, &err) != SL_OK) die(&err);
	struct connectors_opts copts = {.data_dir = dir, .workers = &l, .worker_count = 1};
	if (connectors_new(&copts, &cs, &err) != SL_OK || connectors_start(cs, &err) != SL_OK) die(&err);
	struct rules_opts ropts = {.connectors = cs, .node = "bench", .worker_count = 1};
	struct rules *r = rules_new(&ropts);
	load(cs, r, s, &set);
	struct bench b = {
	    .post = {.run = tick}, .rw = rules_worker_new(r, 0, l, NULL), .ticket = {.done = ticket_done}};
	char topics[TOPICS][64];
	for (int i = 0; i < TOPICS; i++) {
		(void)snprintf(topics[i], sizeof topics[i], "factory/berlin/b2/line7/press-%d/telemetry", i);
		struct sl_slice topic = slice_from_str(topics[i]);
		b.events[i] = (struct rules_event){.topic = topic,
						   .payload = SL_SLICE_LIT(payload),
						   .clientid = SL_SLICE_LIT("press-17"),
						   .peer = SL_SLICE_LIT("10.0.0.7:40000"),
						   .topic_hash = sl_hash(topic),
						   .at_ms = 1700000000000,
						   .qos = s->qos,
						   .version = 4,
						   .message_expiry_s = -1,
						   .payload_format = -1};
	}
	if (sl_loop_start(l, &err) != SL_OK) die(&err);
	run_messages(&b, l, messages / 10); /* warm */
	double best = 1e18;
	for (int i = 0; i < RUNS; i++) {
		double start = cpu_now();
		run_messages(&b, l, messages);
		double ns = (cpu_now() - start) / (double)messages;
		if (ns < best) best = ns;
	}
	connectors_stop(cs, 5000);
	sl_loop_stop(l);
	sl_loop_join(l);
	check_delivered(cs);
	rules_worker_free(b.rw);
	rules_free(r);
	connectors_set_free(set);
	connectors_free(cs);
	sl_loop_free(l);
	return best;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int main(int argc, char **argv) {
	uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	char dir[] = P_tmpdir "/bench_rules.XXXXXX";
	double none = 0;
	messages -= messages % (TICK_MESSAGES * 10);
	if (messages == 0 || !mkdtemp(dir)) return 2;
	sl_hash_init();
	log_set_level(LOG_WARN);
	printf("%zu-byte payload, %llu messages, best of %d; CPU of all threads\n", sizeof payload - 1,
	       (unsigned long long)messages, RUNS);
	for (size_t i = 0; i < SL_ARRAY_LEN(scenarios); i++) {
		double ns = run_scenario(&scenarios[i], messages, dir);
		if (i == 0) none = ns;
		printf("%-40s %8.1f ns/message   over no rule %8.1f ns\n", scenarios[i].name, ns, ns - none);
	}
	(void)nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
