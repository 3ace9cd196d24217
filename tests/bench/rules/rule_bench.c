/* rule_bench.c: see rule_bench.h. A worker evaluates 64 messages to a tick, as the broker does for a busy publisher. */
#include "rule_bench.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "hash.h"
#include "mem.h"
#include "yaml.h"

struct rule_bench {
	struct sl_post post;
	struct sl_loop *loop;
	struct connectors *connectors;
	struct connectors_set *set;
	struct rules *rules;
	struct rules_worker *worker;
	struct sl_ticket ticket; /* stays open: nobody waits for it */
	bool started;
	double load_ms, first_ms;
	/* of the run that is on */
	const struct rules_event *events;
	size_t count, next;
	uint64_t left;
	_Atomic bool done;
};

static void die(struct sl_err *err) {
	fprintf(stderr, "bench: %s\n", sl_err_text(err));
	exit(3);
}

static double cpu_now(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void ticket_done(struct sl_ticket *t) { (void)t; }

static void publish(struct rule_bench *b) {
	const struct rules_event *ev = &b->events[b->next];
	if (++b->next == b->count) b->next = 0;
	/* As route_publish does: the topic is known, its hash was made with the message. */
	rules_eval(b->worker, ev, ev->qos ? &b->ticket : NULL);
}

static void tick(struct sl_post *post, struct sl_loop *l) {
	struct rule_bench *b = sl_container_of(post, struct rule_bench, post);
	int n = RULE_BENCH_TICK;
	if (b->first_ms < 0) {
		double start = cpu_now();
		publish(b);
		b->first_ms = (cpu_now() - start) / 1e6;
		n--;
	}
	while (n-- > 0) publish(b);
	b->left -= RULE_BENCH_TICK;
	if (b->left)
		sl_loop_post(l, &b->post);
	else
		b->done = true;
}

static void run_messages(struct rule_bench *b, uint64_t messages) {
	b->left = messages;
	b->done = false;
	sl_loop_post(b->loop, &b->post);
	while (!b->done) usleep(1000);
}

static void load(struct rule_bench *b, struct sl_slice yaml) {
	struct sl_err err = SL_ERR_INIT;
	struct conf_report report = CONF_REPORT_INIT;
	struct rules_prepared *prepared;
	struct yaml_doc *doc;
	if (yaml_doc_load(yaml, "bench", &doc, &err) != SL_OK) die(&err);
	json_t *root = yaml_doc_root(doc);
	(void)connectors_prepare(b->connectors, json_object_get(root, "connectors"),
				 (struct conf_at){doc, "connectors"}, &report, &b->set);
	double start = cpu_now();
	(void)rules_prepare(b->rules, json_object_get(root, "rules"), (struct conf_at){doc, "rules"}, b->set, &report,
			    &prepared);
	b->load_ms = (cpu_now() - start) / 1e6;
	if (report.len) {
		fprintf(stderr, "%s\n", conf_report_format(&report));
		exit(3);
	}
	if (connectors_commit(b->connectors, b->set, &err) != SL_OK) die(&err);
	start = cpu_now();
	rules_commit(b->rules, prepared, NULL, NULL);
	b->load_ms += (cpu_now() - start) / 1e6;
	connectors_commit_done(b->connectors);
	yaml_doc_free(doc);
}

struct rule_bench *rule_bench_new(struct sl_slice yaml, const char *dir) {
	struct sl_err err = SL_ERR_INIT;
	struct rule_bench *b = SL_NEW(struct rule_bench);
	b->post.run = tick;
	b->ticket.done = ticket_done;
	b->first_ms = -1;
	if (sl_loop_new("worker", 0, &b->loop, &err) != SL_OK) die(&err);
	struct connectors_opts copts = {.data_dir = dir, .workers = &b->loop, .worker_count = 1};
	if (connectors_new(&copts, &b->connectors, &err) != SL_OK || connectors_start(b->connectors, &err) != SL_OK)
		die(&err);
	struct rules_opts ropts = {.connectors = b->connectors, .node = "bench", .worker_count = 1};
	b->rules = rules_new(&ropts);
	load(b, yaml);
	b->worker = rules_worker_new(b->rules, 0, b->loop, NULL);
	return b;
}

double rule_bench_run(struct rule_bench *b, const struct rules_event *events, size_t count, uint64_t messages) {
	struct sl_err err = SL_ERR_INIT;
	double best = 1e18;
	b->events = events;
	b->count = count;
	b->next = 0;
	if (!b->started && sl_loop_start(b->loop, &err) != SL_OK) die(&err);
	b->started = true;
	run_messages(b, messages / 10 / RULE_BENCH_TICK * RULE_BENCH_TICK + RULE_BENCH_TICK); /* warm */
	for (int i = 0; i < RULE_BENCH_RUNS; i++) {
		double start = cpu_now();
		run_messages(b, messages);
		double ns = (cpu_now() - start) / (double)messages;
		if (ns < best) best = ns;
	}
	return best;
}

uint64_t rule_bench_rows(struct rule_bench *b) {
	uint64_t rows = 0;
	json_t *status = json_object(), *rule;
	size_t i;
	struct rules_snapshot *s = rules_snapshot_new(b->rules);
	rules_snapshot_take(s); /* nothing runs between two calls of rule_bench_run() */
	rules_status(s, status);
	rules_snapshot_free(s);
	json_array_foreach(json_object_get(status, "rules"), i, rule) {
		rows += (uint64_t)json_integer_value(json_object_get(rule, "rows"));
	}
	json_decref(status);
	return rows;
}

double rule_bench_first_ms(const struct rule_bench *b) { return b->first_ms; }
double rule_bench_load_ms(const struct rule_bench *b) { return b->load_ms; }

/* Rows that the connector layer let go. All loops have ended. */
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

void rule_bench_free(struct rule_bench *b) {
	connectors_stop(b->connectors, 5000);
	if (b->started) {
		sl_loop_stop(b->loop);
		sl_loop_join(b->loop);
	}
	check_delivered(b->connectors);
	rules_worker_free(b->worker);
	rules_free(b->rules);
	connectors_set_free(b->set);
	connectors_free(b->connectors);
	sl_loop_free(b->loop);
	sl_free(b);
}

struct rules_event rule_bench_event(struct sl_slice topic, struct sl_slice payload, uint8_t qos) {
	return (struct rules_event){.topic = topic,
				    .payload = payload,
				    .clientid = SL_SLICE_LIT("press-17"),
				    .peer = SL_SLICE_LIT("10.0.0.7:40000"),
				    .topic_hash = sl_hash(topic),
				    .at_ms = 1700000000000,
				    .qos = qos,
				    .version = 4,
				    .message_expiry_s = -1,
				    .payload_format = -1};
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void rule_bench_remove(const char *dir) { (void)nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS); }
