/* swap_test.c: sets change while workers evaluate: no message is lost to the counters, no set is freed too early (ASan),
 * nothing is touched by two threads at once (TSan), and status pages add up meanwhile. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "log.h"
#include "mem.h"

enum { WORKERS = 2, RELOADS = 60, MESSAGES_A_TICK = 16 };

struct load {
	struct sl_post post;
	struct rules_worker *rw;
	_Atomic uint64_t sent;
	_Atomic bool stop, stopped;
};

static void tick(struct sl_post *post, struct sl_loop *l) {
	struct load *load = sl_container_of(post, struct load, post);
	static const char *const topics[] = {"a/1", "a/2", "b", "c"};
	for (int i = 0; i < MESSAGES_A_TICK; i++) {
		struct rules_event ev = fixture_event(topics[i % 4], i % 5 ? "{\"x\":7}" : "{\"x\":");
		rules_eval(load->rw, &ev, NULL);
		load->sent++;
	}
	if (load->stop)
		load->stopped = true;
	else
		sl_loop_post(l, &load->post);
}

static struct rules_prepared *prepare(struct rules *r, int round) {
	struct sl_err err = SL_ERR_INIT;
	struct conf_report report = CONF_REPORT_INIT;
	struct yaml_doc *doc;
	struct rules_prepared *prepared;
	struct sl_buf text = SL_BUF_INIT;
	/* `all` sees every message in every set; the others come, go and change places. */
	if (round % 3) sl_buf_append_str(&text, "early:\n  sql: SELECT payload.y AS y FROM \"a/+\"\n");
	sl_buf_append_str(&text, "all:\n  sql: SELECT payload.x AS x FROM \"#\" WHERE payload.x > 5\n");
	sl_buf_append_str(&text, "  actions: [{console: {}}]\n");
	for (int i = 0; i < round % 7; i++)
		sl_buf_printf(&text, "r%d:\n  sql: SELECT payload.x AS x, payload.z%d AS z FROM \"a/%d\", \"b\"\n", i,
			      i, i);
	assert_int_equal(yaml_doc_load(sl_buf_slice(&text), "t.yaml", &doc, &err), SL_OK);
	int rc = rules_prepare(r, yaml_doc_root(doc), (struct conf_at){doc, ""}, NULL, &report, &prepared);
	assert_int_equal(rc, SL_OK);
	yaml_doc_free(doc);
	sl_buf_fini(&text);
	return prepared;
}

static void set_done(void *arg) { atomic_fetch_add((_Atomic int *)arg, 1); }

struct look {
	struct rules_snapshot *s;
	bool taken;
};
static void look_take(void *arg) {
	struct look *look = arg;
	look->taken = rules_snapshot_take(look->s);
}

/* As a status page does it, on a thread of its own, while sets change. The caller owns the tree. */
static json_t *status_of(struct rules *r, struct sl_loop *const *loops, size_t n) {
	struct look look = {.taken = false};
	while (!look.taken) {
		rules_snapshot_free(look.s);
		look.s = rules_snapshot_new(r);
		sl_loops_park(loops, n, look_take, &look);
	}
	while (rules_snapshot_failures_next(look.s)) sl_loops_park(loops, n, rules_snapshot_failures_take, look.s);
	json_t *status = json_object();
	rules_status(look.s, status);
	rules_snapshot_free(look.s);
	return status;
}

/* Returns how often rule `all` matched. */
static uint64_t check_identity(json_t *status) {
	size_t i;
	json_t *rule;
	uint64_t of_all = 0;
	json_array_foreach(json_object_get(status, "rules"), i, rule) {
		json_int_t matched = json_integer_value(json_object_get(rule, "matched"));
		json_int_t filtered = json_integer_value(json_object_get(rule, "filtered"));
		json_int_t produced = json_integer_value(json_object_get(rule, "produced"));
		json_int_t failed = json_integer_value(json_object_get(rule, "failed"));
		json_t *action, *actions = json_object_get(rule, "actions"),
				*failures = json_object_get(rule, "failures");
		size_t k;
		assert_int_equal(matched, filtered + produced + failed);
		/* The texts are taken later than the counters. */
		if (failed > 0) assert_int_not_equal(json_array_size(failures), 0);
		json_array_foreach(actions, k, action) {
			json_int_t taken = json_integer_value(json_object_get(action, "taken"));
			json_int_t not_taken = json_integer_value(json_object_get(action, "failed"));
			assert_int_equal(json_integer_value(json_object_get(rule, "rows")), taken + not_taken);
		}
		if (strcmp(json_string_value(json_object_get(rule, "id")), "all") == 0) of_all = (uint64_t)matched;
	}
	json_decref(status);
	return of_all;
}

struct watcher {
	struct rules *rules;
	struct sl_loop **loops;
	_Atomic bool stop;
	int looks;
};

static void *watch(void *arg) {
	struct watcher *watcher = arg;
	uint64_t before = 0;
	for (; !watcher->stop; watcher->looks++) {
		uint64_t now = check_identity(status_of(watcher->rules, watcher->loops, WORKERS));
		assert_true(now >= before);
		before = now;
	}
	return NULL;
}

static void test_rules_commit__under_load_loses_no_message(void **state) {
	(void)state;
	struct sl_err err = SL_ERR_INIT;
	struct rules_opts opts = {.node = "n", .worker_count = WORKERS};
	struct rules *r = rules_new(&opts);
	struct sl_loop *loops[WORKERS];
	struct load loads[WORKERS] = {0};
	_Atomic int done = 0;
	log_set_level(LOG_OFF);
	rules_commit(r, prepare(r, 0), set_done, &done);
	assert_int_equal(done, 1);
	for (size_t w = 0; w < WORKERS; w++) {
		assert_int_equal(sl_loop_new("worker", (int)w, &loops[w], &err), SL_OK);
		loads[w].rw = rules_worker_new(r, w, loops[w], NULL);
		loads[w].post.run = tick;
		sl_loop_post(loops[w], &loads[w].post);
		assert_int_equal(sl_loop_start(loops[w], &err), SL_OK);
	}
	struct watcher watcher = {.rules = r, .loops = loops};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
	for (int i = 1; i <= RELOADS; i++) {
		rules_commit(r, prepare(r, i), set_done, &done);
		usleep(500);
	}
	while (done < RELOADS + 1) usleep(1000);
	watcher.stop = true;
	pthread_join(thread, NULL);
	assert_true(watcher.looks > 0);
	uint64_t sent = 0;
	for (size_t w = 0; w < WORKERS; w++) {
		loads[w].stop = true;
		while (!loads[w].stopped) usleep(1000);
		sl_loop_stop(loops[w]);
		sl_loop_join(loops[w]);
		rules_worker_free(loads[w].rw);
		sl_loop_free(loops[w]);
		sent += loads[w].sent;
	}
	assert_int_equal(check_identity(status_of(r, NULL, 0)), sent);
	rules_free(r);
	log_set_level(LOG_INFO);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rules_commit__under_load_loses_no_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
