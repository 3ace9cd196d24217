/* snapshot_test.c: pages are made while workers stage rows and settings change: the numbers of each add up, and what a page
 * names is there until it is written (ASan), and nobody else's (TSan). */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "log.h"

enum { WORKERS = 2, ACTIONS = 4, ROUNDS = 60, ROWS = 200 };

struct watcher {
	struct rig *r;
	_Atomic bool stop;
	int looks;
	_Atomic uint64_t most; /* rows of one page */
};

static void take(void *arg) { connectors_snapshot_take(arg); }

static struct connectors_snapshot *look(struct rig *r) {
	struct sl_loop *loops[WORKERS + 1] = {r->workers[0], r->workers[1], connectors_loop(r->cs)};
	struct connectors_snapshot *s = connectors_snapshot_new(r->cs);
	sl_loops_park(loops, WORKERS + 1, take, s);
	return s;
}

static uint64_t number(const json_t *o, const char *name) {
	const json_t *v = json_object_get(o, name);
	assert_true(json_is_integer(v));
	return (uint64_t)json_integer_value(v);
}

/* Returns the rows that all actions received. */
static uint64_t expect_identity(const struct connectors_snapshot *s) {
	json_t *status = json_object(), *action;
	uint64_t received = 0;
	size_t i;
	connectors_status(s, status);
	json_array_foreach(json_object_get(status, "actions"), i, action) {
		const json_t *dropped = json_object_get(action, "dropped");
		assert_int_equal(number(action, "received"), number(action, "delivered") + number(action, "rejected") +
								 number(dropped, "overflow") +
								 number(dropped, "expired") +
								 number(dropped, "shutdown") +
								 number(dropped, "damaged") + number(action, "queued"));
		assert_int_equal(number(action, "rejected"),
				 number(action, "dead_lettered") + number(action, "on_error"));
		assert_true(number(action, "in_flight") <= number(action, "queued"));
		received += number(action, "received");
	}
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(json_object_get(status, "connectors"), 0), "name")), "n");
	json_decref(status);
	return received;
}

/* The connector's histogram has all rows that its actions delivered. */
static void expect_histogram(const struct connectors_snapshot *s) {
	struct sl_buf text = SL_BUF_INIT;
	json_t *status = json_object(), *action;
	uint64_t delivered = 0;
	size_t i;
	connectors_status(s, status);
	json_array_foreach(json_object_get(status, "actions"), i, action) delivered += number(action, "delivered");
	connectors_prometheus(s, &text);
	char want[200];
	(void)snprintf(want, sizeof want,
		       "\nsluice_connector_latency_seconds_count{connector=\"n\",type=\"null\"} %llu\n",
		       (unsigned long long)delivered);
	assert_non_null(strstr(sl_buf_cstr(&text), want));
	json_decref(status);
	sl_buf_fini(&text);
}

static void *watch(void *arg) {
	struct watcher *watcher = arg;
	for (; !watcher->stop; watcher->looks++) {
		struct connectors_snapshot *s = look(watcher->r);
		usleep(1000); /* time for a reload */
		uint64_t received = expect_identity(s);
		expect_histogram(s);
		if (received > watcher->most) watcher->most = received;
		connectors_snapshot_free(s);
	}
	return NULL;
}

static void load(struct rig *r, int delay_ms) {
	struct sl_buf text = SL_BUF_INIT;
	sl_buf_printf(&text, "connectors: {n: {type: 'null', delay: %dms, fail_every: 7}}\nactions:\n", delay_ms);
	for (int i = 0; i < ACTIONS; i++)
		sl_buf_append_str(&text, "  - {connector: n, columns: {a: x, b: x, c: x}, batch: {linger: 1ms}, retry: "
					 "{first: 1ms, max: 5ms}}\n");
	rig_load(r, "%s", sl_buf_cstr(&text));
	sl_buf_fini(&text);
}

static void test_snapshot__adds_up_while_workers_count_and_settings_change(void **state) {
	(void)state;
	log_set_level(LOG_OFF);
	struct rig *r = rig_new(WORKERS);
	struct watcher watcher = {.r = r};
	pthread_t thread;
	load(r, 0);
	assert_int_equal(pthread_create(&thread, NULL, watch, &watcher), 0);
	for (int i = 0; i < ROUNDS; i++) {
		/* The last action stays idle. */
		size_t worker = (size_t)i % WORKERS;
		rig_stage_on(r, worker, (size_t)i % (ACTIONS - 1), ROWS, 20, worker == 0, rig_row);
		if (i % 8 == 7) load(r, i % 3);
	}
	for (int i = 0; i < 60000 && watcher.most == 0; i++) usleep(1000);
	watcher.stop = true;
	pthread_join(thread, NULL);
	assert_true(watcher.looks > 0);
	assert_true(watcher.most > 0);
	for (size_t a = 0; a < ACTIONS; a++) rig_settle(r, a);
	rig_free(r);
	log_set_level(LOG_INFO);
}

static void test_snapshot__what_it_names_outlives_a_reload(void **state) {
	(void)state;
	log_set_level(LOG_OFF);
	struct rig *r = rig_new(WORKERS);
	load(r, 0);
	rig_stage(r, 0, ROWS, 0, rig_row);
	rig_settle(r, 0);
	struct connectors_snapshot *s = look(r);
	load(r, 1); /* the connection and all actions are others now, and the old ones are idle */
	rig_stage(r, 1, ROWS, 0, rig_row);
	rig_settle(r, 1);
	assert_int_equal(expect_identity(s), ROWS);
	connectors_snapshot_free(s);
	/* Then the old ones go. */
	size_t actions = 0, conns = 0;
	for (int i = 0; i < 60000 && (actions != ACTIONS || conns != 1); i++) {
		usleep(1000);
		json_t *status = json_object();
		s = look(r);
		connectors_status(s, status);
		connectors_snapshot_free(s);
		actions = json_array_size(json_object_get(status, "actions"));
		conns = json_array_size(json_object_get(status, "connectors"));
		json_decref(status);
	}
	assert_int_equal(actions, ACTIONS);
	assert_int_equal(conns, 1);
	rig_free(r);
	log_set_level(LOG_INFO);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_snapshot__adds_up_while_workers_count_and_settings_change),
	    cmocka_unit_test(test_snapshot__what_it_names_outlives_a_reload),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
