/* flow_test.c: rules and the connector layer together, on real loops: tickets, sums over both layers, rejected rows that
 * come back as messages, a reload in the stream. */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "hash.h"
#include "log.h"
#include "mem.h"
#include "connectors_int.h"
#include "sources.h"

enum { WORKERS = 2, TICK_MESSAGES = 50 };

struct sender {
	struct sl_post post;
	struct flow *flow;
	struct rules_worker *rw;
	uint32_t left, in_tick;
	_Atomic uint32_t waited, confirmed; /* messages that had to wait, and those whose wait is over */
	_Atomic bool ended;
};

/* One QoS 1 message on its way: what the broker keeps until the PUBACK. */
struct unacked {
	struct sl_ticket ticket;
	struct sender *sender;
};

struct flow {
	char dir[64];
	struct sl_loop *loops[WORKERS];
	struct connectors *cs;
	struct connectors_set *set;
	struct rules *rules;
	struct sender senders[WORKERS];
	_Atomic uint32_t published;
	char *first_topic, *first_payload;
	char *trace; /* folder: what an action has seen */
};

static int host_publish(void *broker, int worker, const struct rules_publish *m) {
	struct flow *f = broker;
	struct rules_event ev = fixture_event("", "");
	ev.topic = m->topic;
	ev.topic_hash = sl_hash(m->topic);
	ev.payload = m->payload;
	ev.hops = m->hops;
	if (atomic_fetch_add(&f->published, 1) == 0) {
		f->first_topic = slice_dup(m->topic);
		f->first_payload = slice_dup(m->payload);
	}
	rules_eval(f->senders[worker].rw, &ev, NULL);
	return SL_OK;
}

static void set_true(void *arg) { *(_Atomic bool *)arg = true; }

static void load(struct flow *f, const char *yaml) {
	struct sl_err err = SL_ERR_INIT;
	struct conf_report report = CONF_REPORT_INIT;
	struct yaml_doc *doc = NULL;
	struct connectors_set *set = NULL;
	struct rules_prepared *prepared = NULL;
	if (yaml_doc_load(slice_from_str(yaml), "t.yaml", &doc, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	json_t *root = yaml_doc_root(doc);
	(void)connectors_prepare(f->cs, json_object_get(root, "connectors"), (struct conf_at){doc, "connectors"},
				 &report, &set);
	(void)connectors_prepare_sources(set, json_object_get(root, "sources"), (struct conf_at){doc, "sources"},
					 &report);
	(void)rules_prepare(f->rules, json_object_get(root, "rules"), (struct conf_at){doc, "rules"}, set, &report,
			    &prepared);
	if (report.len) fail_msg("%s", conf_report_format(&report));
	if (connectors_commit(f->cs, set, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	_Atomic bool done = false;
	rules_commit(f->rules, prepared, set_true, &done);
	while (!done) usleep(500);
	connectors_commit_done(f->cs);
	connectors_set_free(set);
	yaml_doc_free(doc);
}

static void flow_init(struct flow *f, const char *yaml) {
	struct sl_err err = SL_ERR_INIT;
	memset(f, 0, sizeof *f);
	log_set_level(LOG_OFF);
	(void)snprintf(f->dir, sizeof f->dir, "%s/flow_test.XXXXXX", P_tmpdir);
	assert_non_null(mkdtemp(f->dir));
	for (int w = 0; w < WORKERS; w++) assert_int_equal(sl_loop_new("worker", w, &f->loops[w], &err), SL_OK);
	struct connectors_opts copts = {.data_dir = f->dir, .workers = f->loops, .worker_count = WORKERS};
	assert_int_equal(connectors_new(&copts, &f->cs, &err), SL_OK);
	struct rules_opts ropts = {
	    .host = {.broker = f, .publish = host_publish}, .connectors = f->cs, .node = "n1", .worker_count = WORKERS};
	f->rules = rules_new(&ropts);
	assert_int_equal(connectors_start(f->cs, &err), SL_OK);
	load(f, yaml);
	for (size_t w = 0; w < WORKERS; w++) {
		f->senders[w].flow = f;
		f->senders[w].rw = rules_worker_new(f->rules, w, f->loops[w], NULL);
		assert_int_equal(sl_loop_start(f->loops[w], &err), SL_OK);
	}
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at) {
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void flow_fini(struct flow *f) {
	for (size_t w = 0; w < WORKERS; w++) {
		sl_loop_stop(f->loops[w]);
		sl_loop_join(f->loops[w]);
		rules_worker_free(f->senders[w].rw);
	}
	rules_free(f->rules);
	connectors_free(f->cs);
	for (size_t w = 0; w < WORKERS; w++) sl_loop_free(f->loops[w]);
	assert_int_equal(nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	sl_free(f->first_topic);
	sl_free(f->first_payload);
	log_set_level(LOG_INFO);
}

static void ticket_done(struct sl_ticket *t) {
	struct unacked *u = sl_container_of(t, struct unacked, ticket);
	/* Never while the message is still being evaluated. */
	assert_int_equal(u->sender->in_tick, 0);
	u->sender->confirmed++;
	sl_free(u);
}

static void send_tick(struct sl_post *post, struct sl_loop *l) {
	struct sender *s = sl_container_of(post, struct sender, post);
	for (int i = 0; i < TICK_MESSAGES && s->left; i++, s->left--) {
		char payload[64];
		(void)snprintf(payload, sizeof payload, "{\"n\":%u,\"s\":\"%s\"}", s->left,
			       s->left == 7 ? "bad" : "good");
		struct rules_event ev = fixture_event("t/1", payload);
		struct unacked *u = SL_NEW(struct unacked);
		u->ticket.done = ticket_done;
		u->sender = s;
		s->in_tick = 1;
		rules_eval(s->rw, &ev, &u->ticket);
		s->in_tick = 0;
		if (u->ticket.pending)
			s->waited++;
		else
			sl_free(u);
	}
	if (s->left)
		sl_loop_post(l, &s->post);
	else
		s->ended = true;
}

static void send_begin(struct flow *f, uint32_t messages) {
	for (size_t w = 0; w < WORKERS; w++) {
		f->senders[w].left = messages;
		f->senders[w].ended = false;
		f->senders[w].post.run = send_tick;
		sl_loop_post(f->loops[w], &f->senders[w].post);
	}
}

static void send_end(struct flow *f) {
	for (size_t w = 0; w < WORKERS; w++) {
		struct sender *s = &f->senders[w];
		for (int i = 0; i < 120000 && (!s->ended || s->confirmed < s->waited); i++) usleep(500);
		assert_true(s->ended);
		assert_int_equal(s->confirmed, s->waited);
	}
}

/* The whole status of both layers, taken while everything stands still. */
static void take_status(void *arg) {
	void **both = arg;
	assert_true(rules_snapshot_take(both[0]));
	connectors_snapshot_take(both[1]);
}

static json_t *status_parked(struct flow *f) {
	struct sl_loop *all[WORKERS + 1] = {f->loops[0], f->loops[1], connectors_loop(f->cs)};
	json_t *status = json_object();
	struct rules_snapshot *rules = rules_snapshot_new(f->rules);
	struct connectors_snapshot *actions = connectors_snapshot_new(f->cs);
	void *both[] = {rules, actions};
	sl_loops_park(all, WORKERS + 1, take_status, both);
	rules_status(rules, status);
	connectors_status(actions, status);
	rules_snapshot_free(rules);
	connectors_snapshot_free(actions);
	return status;
}

static int64_t number(const json_t *object, const char *name) {
	const json_t *v = json_object_get(object, name);
	assert_true(json_is_integer(v));
	return json_integer_value(v);
}

/* The first rule's first action: every row it took is somewhere in the connector layer. */
static void check_sums(struct flow *f, int64_t *taken, int64_t *delivered) {
	json_t *status = status_parked(f);
	json_t *rule = json_array_get(json_object_get(status, "rules"), 0);
	json_t *action = json_array_get(json_object_get(rule, "actions"), 0);
	json_t *path = json_array_get(json_object_get(status, "actions"), 0);
	json_t *dropped = json_object_get(path, "dropped");
	assert_int_equal(number(rule, "matched"),
			 number(rule, "filtered") + number(rule, "produced") + number(rule, "failed"));
	assert_int_equal(number(rule, "rows"), number(action, "taken") + number(action, "failed"));
	assert_int_equal(number(action, "taken"), number(path, "received"));
	assert_int_equal(number(path, "received"), number(path, "delivered") + number(path, "rejected") +
						       number(dropped, "overflow") + number(dropped, "expired") +
						       number(dropped, "shutdown") + number(path, "queued"));
	*taken = number(action, "taken");
	*delivered = number(path, "delivered");
	json_decref(status);
}

static void await_delivered(struct flow *f, int64_t rows) {
	int64_t taken = 0, delivered = 0;
	for (int i = 0; i < 20000 && delivered < rows; i++) {
		check_sums(f, &taken, &delivered);
		usleep(5000);
	}
	assert_int_equal(delivered, rows);
}

#define RULE "rules:\n  r:\n    sql: SELECT payload.n AS n, payload.s AS s FROM \"t/+\"\n    actions:\n"

static void test_flow__every_publisher_is_confirmed_and_every_row_delivered(void **state) {
	(void)state;
	struct flow f;
	flow_init(&f, "connectors:\n  c: {type: \"null\", delay: 1ms, jitter: 3ms}\n" RULE
		      "      - {connector: c, columns: {s: \"${s}\", n: \"${n}\"}}\n");
	send_begin(&f, 2000);
	for (int i = 0; i < 20; i++) {
		int64_t taken, delivered;
		check_sums(&f, &taken, &delivered);
		usleep(1000);
	}
	send_end(&f);
	assert_int_equal(f.senders[0].waited, 2000);
	await_delivered(&f, 4000);
	connectors_stop(f.cs, 5000);
	flow_fini(&f);
}

static void test_flow__rows_in_memory_make_nobody_wait(void **state) {
	(void)state;
	struct flow f;
	flow_init(&f, "connectors:\n  c: {type: \"null\"}\n" RULE
		      "      - {connector: c, value: \"${n}\", buffer: {durability: memory}}\n");
	send_begin(&f, 200);
	send_end(&f);
	assert_int_equal(f.senders[0].waited, 0);
	await_delivered(&f, 400);
	connectors_stop(f.cs, 5000);
	flow_fini(&f);
}

static void test_flow__a_rejected_row_comes_back_as_a_message_that_no_rule_sees(void **state) {
	(void)state;
	struct flow f;
	flow_init(&f, "connectors:\n  c: {type: \"null\"}\n" RULE
		      "      - connector: c\n        columns: {s: \"${s}\", n: \"${n}\"}\n        poison: bad\n"
		      "        on_error: {republish: {topic: \"t/${rule}\", payload: \"${.}\"}}\n");
	send_begin(&f, 100);
	send_end(&f);
	await_delivered(&f, 198);
	for (int i = 0; i < 60000 && f.published < 2; i++) usleep(1000);
	assert_int_equal(f.published, 2);
	assert_string_equal(f.first_topic, "t/r");
	assert_non_null(strstr(f.first_payload, "\"s\":\"bad\""));
	assert_non_null(strstr(f.first_payload, "\"reason\":"));
	assert_non_null(strstr(f.first_payload, "\"message\":{\"topic\":\"t/"));
	int64_t taken, delivered;
	check_sums(&f, &taken, &delivered);
	assert_int_equal(taken, 200);
	connectors_stop(f.cs, 5000);
	flow_fini(&f);
}

static void test_flow__a_reload_in_the_stream_loses_no_row(void **state) {
	(void)state;
	struct flow f;
	const char *yaml =
	    "connectors:\n  c: {type: \"null\", delay: 1ms}\n" RULE "      - {connector: c, value: \"${n}\"}\n";
	flow_init(&f, yaml);
	send_begin(&f, 4000);
	for (int i = 0; i < 10; i++) {
		int64_t taken, delivered;
		load(&f, yaml);
		check_sums(&f, &taken, &delivered);
	}
	send_end(&f);
	await_delivered(&f, 8000);
	connectors_stop(f.cs, 5000);
	flow_fini(&f);
}

/* ---- The way back: messages of sources. ---------------------------------------------------------------------------------- */

#define SOURCE(options) "connectors:\n  c: {type: \"null\", %s}\nsources:\n  gen: {connector: c, " options "}\n"
#define SOURCE_RULE                                                                                                    \
	"rules:\n  r:\n    sql: SELECT value.part AS part, payload.n AS n FROM \"$sources/null:gen\"\n    actions:\n"  \
	"      - {connector: c, columns: {p: \"${part}\", n: \"${n}\"}, trace: %s/trace%s}\n"

static void flow_source(struct flow *f, const char *source, const char *connector, const char *action) {
	struct sl_buf yaml = SL_BUF_INIT;
	char dir[] = P_tmpdir "/source_test.XXXXXX";
	assert_non_null(mkdtemp(dir));
	sl_buf_printf(&yaml, source, connector);
	sl_buf_printf(&yaml, SOURCE_RULE, dir, action);
	flow_init(f, sl_buf_cstr(&yaml));
	f->trace = sl_strdup(dir);
	sl_buf_fini(&yaml);
}

static void flow_source_fini(struct flow *f) {
	assert_int_equal(nftw(f->trace, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	sl_free(f->trace);
	flow_fini(f);
}

/* One number of the source; what came, what is through and what is under way must agree. */
static int64_t source_number(struct flow *f, const char *name) {
	json_t *status = status_parked(f);
	json_t *source = json_array_get(json_object_get(status, "sources"), 0);
	assert_int_equal(number(source, "received"), number(source, "acknowledged") + number(source, "unacknowledged") +
							 number(source, "forgotten") + number(source, "pending"));
	const json_t *v = json_object_get(source, name);
	int64_t found = json_is_integer(v) ? json_integer_value(v) : json_is_true(v);
	json_decref(status);
	return found;
}

static bool source_reaches(struct flow *f, const char *name, int64_t least) {
	for (int i = 0; i < 30000; i++) {
		if (source_number(f, name) >= least) return true;
		usleep(2500);
	}
	return false;
}

/* Of each part everything has come, what came first in order; how many rows came in all. */
static size_t trace_check(const struct flow *f, size_t parts, long each) {
	char *path = sl_asprintf("%s/trace", f->trace);
	long *highest = SL_NEW_ARRAY(long, parts), part, n;
	size_t rows = 0;
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	for (char line[256]; fgets(line, sizeof line, file); rows++) {
		assert_int_equal(sscanf(line, "%ld %ld", &part, &n), 2);
		assert_true(part >= 0 && part < (long)parts);
		assert_true(n <= highest[part]); /* the next, or one that came before */
		if (n == highest[part]) highest[part]++;
	}
	for (size_t i = 0; i < parts; i++) assert_int_equal(highest[i], each);
	fclose(file);
	sl_free(highest);
	sl_free(path);
	return rows;
}

static void test_source__every_message_in_order_and_through_once(void **state) {
	(void)state;
	struct flow f;
	flow_source(&f, SOURCE("messages: 3000, parts: 4"), "delay: 1ms", "");
	assert_true(source_reaches(&f, "acknowledged", 12000));
	await_delivered(&f, 12000);
	assert_int_equal(source_number(&f, "pending"), 0);
	connectors_stop(f.cs, 5000);
	assert_int_equal(trace_check(&f, 4, 3000), 12000);
	flow_source_fini(&f);
}

static void test_source__parts_that_go_give_again_what_was_not_through(void **state) {
	(void)state;
	struct flow f;
	flow_source(&f, SOURCE("messages: 2000, parts: 3, burst: 7, revoke_every: 500, max_pending: {messages: 900}"),
		    "delay: 2ms, fail_every: 50, fail_result: retry",
		    ", buffer: {durability: memory}, retry: {first: 1ms, max: 2ms}, order_key: \"${part}\"");
	for (int i = 0; i < 30000 && source_number(&f, "pending") + source_number(&f, "acknowledged") < 6000; i++)
		usleep(2500);
	for (int i = 0; i < 30000 && source_number(&f, "pending") > 0; i++) usleep(2500);
	assert_int_equal(source_number(&f, "pending"), 0);
	connectors_stop(f.cs, 5000);
	assert_true(trace_check(&f, 3, 2000) >= 6000);
	flow_source_fini(&f);
}

static void test_source__too_much_under_way_pauses_it(void **state) {
	(void)state;
	struct flow f;
	flow_source(&f, SOURCE("messages: 50000, burst: 5000, max_pending: {messages: 1000}"), "delay: 1h",
		    ", buffer: {durability: memory}, batch: {rows: 10}, timeout: 60s");
	assert_true(source_reaches(&f, "paused", 1));
	usleep(100000);
	assert_int_equal(source_number(&f, "pending"), 1000);
	assert_int_equal(source_number(&f, "received"), 1000);
	connectors_stop(f.cs, 100);
	flow_source_fini(&f);
}

static void test_source__a_reload_changes_it_in_the_stream(void **state) {
	(void)state;
	struct flow f;
	struct sl_buf yaml = SL_BUF_INIT;
	flow_source(&f, SOURCE("messages: 100000, parts: 2"), "delay: 1ms", "");
	for (int i = 0; i < 6; i++) {
		sl_buf_clear(&yaml);
		sl_buf_printf(&yaml, i % 2 ? SOURCE("messages: 500, parts: 2") : SOURCE("messages: 400, parts: 5"),
			      i < 4 ? "delay: 1ms" : "delay: 2ms");
		sl_buf_printf(&yaml, SOURCE_RULE, f.trace, "");
		load(&f, sl_buf_cstr(&yaml));
	}
	sl_buf_fini(&yaml);
	for (int i = 0; i < 30000; i++) {
		json_t *status = status_parked(&f);
		size_t left = json_array_size(json_object_get(status, "sources"));
		json_decref(status);
		if (left == 1) break;
		usleep(2500);
	}
	assert_true(source_reaches(&f, "acknowledged", 1000));
	connectors_stop(f.cs, 5000);
	flow_source_fini(&f);
}

/* ---- What a row is called by. ------------------------------------------------------------------------------------------------ */

/* How its key holds the message's identifier; the first action's first parameter. */
static enum sl_msgid msgid_from(const char *from) {
	struct flow f;
	char *yaml = sl_asprintf("connectors: {c: {type: 'null'}}\nsources: {gen: {connector: c, messages: "
				 "1}}\nrules:\n  r:\n    sql: SELECT 1 AS x FROM %s\n    actions:\n"
				 "      - {connector: c, columns: {k: '${msgid()}'}}\n",
				 from);
	flow_init(&f, yaml);
	enum sl_msgid how =
	    sl_action_param_msgid(SL_LIST_ENTRY(f.cs->pipelines.next, struct sl_pipeline, link)->action, 0);
	connectors_stop(f.cs, 5000);
	flow_fini(&f);
	sl_free(yaml);
	return how;
}

static void test_flow__the_name_of_a_message_is_shared_where_others_have_it(void **state) {
	(void)state;
	assert_int_equal(msgid_from("\"a/#\", \"b/#\""), SL_MSGID_ALONE);
	/* Each has its own: what comes twice is a repeat. */
	assert_int_not_equal(msgid_from("\"a/#\", \"$sources/null:gen\""), SL_MSGID_SHARED);
	assert_int_equal(msgid_from("\"a/#\", \"$events/message/dropped\""), SL_MSGID_SHARED);
	assert_int_equal(msgid_from("\"a/#\", \"$events/client/connected\""), SL_MSGID_SHARED); /* NULL there */
	assert_int_equal(msgid_from("\"$events/message/delivered\""), SL_MSGID_SHARED);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_flow__every_publisher_is_confirmed_and_every_row_delivered),
	    cmocka_unit_test(test_flow__rows_in_memory_make_nobody_wait),
	    cmocka_unit_test(test_flow__a_rejected_row_comes_back_as_a_message_that_no_rule_sees),
	    cmocka_unit_test(test_flow__a_reload_in_the_stream_loses_no_row),
	    cmocka_unit_test(test_source__every_message_in_order_and_through_once),
	    cmocka_unit_test(test_source__parts_that_go_give_again_what_was_not_through),
	    cmocka_unit_test(test_source__too_much_under_way_pauses_it),
	    cmocka_unit_test(test_source__a_reload_changes_it_in_the_stream),
	    cmocka_unit_test(test_flow__the_name_of_a_message_is_shared_where_others_have_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
