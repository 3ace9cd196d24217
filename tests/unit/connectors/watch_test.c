/* Actions that make no progress, connections that give no answer, and what is said of both. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "rig.h"
#include "test_db.h"

struct seen {
	pthread_mutex_t lock;
	char states[4096];
};

static bool saw(struct seen *seen, const char *what) {
	pthread_mutex_lock(&seen->lock);
	bool found = strstr(seen->states, what) != NULL;
	pthread_mutex_unlock(&seen->lock);
	return found;
}

static void on_state(void *arg, const struct sl_connector_change *change) {
	struct seen *seen = arg;
	pthread_mutex_lock(&seen->lock);
	size_t n = strlen(seen->states);
	(void)snprintf(seen->states + n, sizeof seen->states - n, "%s>%s(%s) ", change->previous, change->state,
		       change->text ? change->text : "");
	pthread_mutex_unlock(&seen->lock);
}

static void take_run(void *arg) { connectors_snapshot_take(arg); }

static json_t *status_of(struct rig *r) {
	struct sl_loop *loops[] = {r->workers[0], connectors_loop(r->cs)};
	struct connectors_snapshot *s = connectors_snapshot_new(r->cs);
	sl_loops_park(loops, 2, take_run, s);
	json_t *out = json_object();
	connectors_status(s, out);
	connectors_snapshot_free(s);
	return out;
}

static bool queue_in_health(struct rig *r) {
	struct sl_loop *loops[] = {r->workers[0], connectors_loop(r->cs)};
	struct connectors_snapshot *s = connectors_snapshot_new(r->cs);
	sl_loops_park(loops, 2, take_run, s);
	json_t *out = json_object();
	(void)connectors_trouble(s, out);
	connectors_snapshot_free(s);
	bool any = json_array_size(json_object_get(out, "queues")) > 0;
	json_decref(out);
	return any;
}

static json_t *first(const json_t *status, const char *what) {
	return json_array_get(json_object_get(status, what), 0);
}

static const char *text(const json_t *o, const char *name) {
	const char *s = json_string_value(json_object_get(o, name));
	return s ? s : "";
}

/* Until the first of `what` ("actions", "connectors") is in this state. */
static json_t *status_when(struct rig *r, const char *what, const char *state) {
	for (int i = 0; i < 30000; i++) {
		json_t *status = status_of(r);
		if (strcmp(text(first(status, what), "state"), state) == 0) return status;
		json_decref(status);
		usleep(2000);
	}
	fail_msg("never %s", state);
	return NULL;
}

static void test_watch__an_action_without_its_table_is_stalled_until_the_table_is_there(void **state) {
	(void)state;
	struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct rig *r = rig_new(1);
	connectors_on_state(r->cs, on_state, &seen);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: x, create: false, columns: {a: x, b: x, c: x}, stalled_after: 50ms, "
		 "retry: {first: 5ms, max: 20ms}}]\n",
		 r->dir);
	rig_stage(r, 0, 10, 0, rig_row);
	json_t *status = status_when(r, "actions", "stalled");
	assert_non_null(strstr(text(first(status, "actions"), "last_error"), "x"));
	assert_true(json_integer_value(json_object_get(first(status, "actions"), "last_error_ms")) > 0);
	json_decref(status);
	status = status_when(r, "connectors", "stalled");
	assert_non_null(strstr(text(first(status, "connectors"), "reason"), "action r.0 makes no progress: "
									    "the action is not ready"));
	assert_int_equal(json_integer_value(json_object_get(first(status, "connectors"), "actions_stalled")), 1);
	json_decref(status);
	db_exec(r->dir, "CREATE TABLE x(a, b, c)");
	rig_settle(r, 0);
	json_decref(status_when(r, "actions", "running"));
	status = status_when(r, "connectors", "up");
	assert_true(json_integer_value(json_object_get(first(status, "connectors"), "last_success_ms")) > 0);
	json_decref(status);
	rig_stop(r, 100);
	assert_true(saw(&seen, ">stalled(action r.0 makes no progress"));
	rig_free(r);
}

static void test_watch__a_connection_without_answers_connects_again(void **state) {
	(void)state;
	struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct rig *r = rig_new(1);
	connectors_on_state(r->cs, on_state, &seen);
	rig_load(r,
		 "connectors: {n: {type: 'null', delay: 1h, reconnect: {first: 1ms, max: 1ms}}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, stalled_after: 40ms, timeout: 60ms, "
		 "retry: {first: 1ms, max: 2ms}}]\n%s",
		 "");
	rig_stage(r, 0, 10, 0, rig_row);
	for (int i = 0; i < 30000 && !saw(&seen, "stalled>down(it is connected, yet gives no answer"); i++)
		usleep(2000);
	json_decref(status_when(r, "actions", "stalled"));
	assert_int_equal(rig_counts(r, 0).queued, 10);
	/* What is waiting goes on when the server is itself again. */
	rig_load(r,
		 "connectors: {n: {type: 'null'}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}}]\n%s",
		 "");
	assert_int_equal(rig_settle(r, 0).delivered, 10);
	json_decref(status_when(r, "actions", "running"));
	rig_stop(r, 100);
	assert_true(saw(&seen, "stalled>down(it is connected, yet gives no answer"));
	rig_free(r);
}

static void test_watch__a_connection_that_is_down_does_not_hide_what_stands_still(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', connect_fails: 1000000, reconnect: {first: 5ms, max: 5ms}}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, stalled_after: 20ms}]\n%s",
		 "");
	rig_stage(r, 0, 10, 0, rig_row);
	json_t *status = status_when(r, "actions", "stalled");
	assert_string_equal(text(first(status, "connectors"), "state"), "down");
	assert_true(*text(first(status, "connectors"), "last_error"));
	json_decref(status);
	rig_free(r);
}

/* ---- What the log says. -------------------------------------------------------------------------------------------------- */

static FILE *log_begin(void) {
	FILE *f = tmpfile();
	assert_non_null(f);
	log_set_fd(fileno(f));
	log_set_level(LOG_WARN);
	return f;
}

static char *log_so_far(FILE *f) {
	struct sl_buf b = SL_BUF_INIT;
	ssize_t n;
	do {
		char *to = sl_buf_add(&b, 65536);
		n = pread(fileno(f), to, 65536, (off_t)(b.n - 65536));
		b.n -= 65536 - (size_t)(n > 0 ? n : 0);
	} while (n > 0);
	(void)sl_buf_cstr(&b);
	return sl_buf_steal(&b);
}

static void log_end(FILE *f) {
	log_set_level(LOG_OFF);
	log_set_fd(2);
	fclose(f);
}

static size_t count(const char *text, const char *what) {
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, what)); at += strlen(what)) n++;
	return n;
}

/* Until the reason of the first of `what` says this. */
static void reason_when(struct rig *r, const char *what, const char *part) {
	bool found = false;
	for (int i = 0; i < 30000 && !found; i++) {
		json_t *status = status_of(r);
		found = strstr(text(first(status, what), "reason"), part) != NULL;
		json_decref(status);
		if (!found) usleep(2000);
	}
	if (!found) fail_msg("%s never say %s", what, part);
}

static void test_watch__the_second_reason_of_an_action_replaces_the_first(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	FILE *log = log_begin();
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: x, create: false, columns: {a: x, bb: x, cc: x}, stalled_after: 1h, "
		 "retry: {first: 5ms, max: 20ms}}]\n",
		 r->dir);
	rig_stage(r, 0, 10, 0, rig_row);
	reason_when(r, "actions", "no such table: x");
	reason_when(r, "connectors", "no such table: x");
	db_exec(r->dir, "CREATE TABLE x(a)");
	reason_when(r, "actions", "no column named bb");
	reason_when(r, "connectors", "no column named bb");
	char *said = log_so_far(log);
	assert_int_equal(count(said, "action is not ready; its rows wait action=r.0 connector=db"), 2);
	sl_free(said);
	db_exec(r->dir, "ALTER TABLE x ADD bb; ALTER TABLE x ADD cc");
	rig_settle(r, 0);
	json_decref(status_when(r, "connectors", "up"));
	log_end(log);
	rig_free(r);
}

static void test_watch__a_stalled_connection_says_what_is_wrong_now(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(
	    r,
	    "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
	    "actions: [{connector: db, table: x, create: false, columns: {a: x, bb: x, cc: x}, stalled_after: 20ms, "
	    "retry: {first: 5ms, max: 20ms}}]\n",
	    r->dir);
	rig_stage(r, 0, 10, 0, rig_row);
	json_decref(status_when(r, "connectors", "stalled"));
	reason_when(r, "connectors", "no such table: x");
	db_exec(r->dir, "CREATE TABLE x(a)");
	reason_when(r, "connectors", "no column named bb");
	rig_free(r);
}

/* Each of the first eight reasons of a minute, and one line for all others. */
static void test_watch__every_reason_of_rejected_rows_is_said(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	FILE *log = log_begin();
	struct sl_buf sql = SL_BUF_INIT;
	sl_buf_append_str(&sql, "CREATE TABLE x(a, b, c");
	for (int i = 0; i < 12; i++) sl_buf_printf(&sql, ", CONSTRAINT not%d_ CHECK (b != %d)", i, i);
	sl_buf_append_str(&sql, ")");
	db_exec(r->dir, sl_buf_cstr(&sql));
	sl_buf_fini(&sql);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: x, create: false, columns: {a: x, b: x, c: x}}]\n",
		 r->dir);
	for (int round = 0; round < 3; round++) {
		r->serial = 0;
		rig_stage(r, 0, 20, 0, rig_row);
	}
	assert_int_equal(rig_settle(r, 0).rejected, 36);
	char *said = log_so_far(log);
	assert_int_equal(count(said, "row rejected"), 8);
	for (int i = 0; i < 8; i++) {
		char *constraint = sl_asprintf("not%d_", i);
		assert_int_equal(count(said, constraint), 1);
		sl_free(constraint);
	}
	sl_free(said);
	rig_free(r); /* what is left to say is said at the end */
	said = log_so_far(log);
	assert_int_equal(count(said, "row rejected"), 8 + 8 + 1);
	assert_int_equal(count(said, "reason=\"several others, the last: "), 1);
	assert_non_null(strstr(said, "rows=12 first_topic=rig/topic"));
	sl_free(said);
	log_end(log);
}

static void test_watch__slow_is_not_stalled(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', delay: 20ms}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, stalled_after: 5s, batch: {rows: 10}}]\n%s",
		 "");
	rig_stage(r, 0, 200, 0, rig_row);
	json_decref(status_when(r, "connectors", "up"));
	json_t *status = status_of(r);
	assert_string_equal(text(first(status, "actions"), "state"), "running");
	json_decref(status);
	assert_int_equal(rig_settle(r, 0).delivered, 200);
	rig_free(r);
}

static json_t *queue_of(const json_t *status) { return json_object_get(first(status, "actions"), "queue"); }

/* Publishes a little each time, until the queue of the first action is so full. */
static json_t *status_when_full(struct rig *r, json_int_t percent) {
	for (int i = 0; i < 30000; i++) {
		json_t *status = status_of(r);
		if (json_integer_value(json_object_get(queue_of(status), "percent")) >= percent) return status;
		json_decref(status);
		rig_stage(r, 0, 10, 0, rig_row);
		usleep(2000);
	}
	fail_msg("never %d percent", (int)percent);
	return NULL;
}

static json_t *status_when_empty(struct rig *r) {
	for (int i = 0; i < 30000; i++) {
		json_t *status = status_of(r);
		if (json_integer_value(json_object_get(queue_of(status), "percent")) == 0) return status;
		json_decref(status);
		usleep(2000);
	}
	fail_msg("never empty");
	return NULL;
}

static void page_says(struct rig *r, const char *what) {
	struct sl_loop *loops[] = {r->workers[0], connectors_loop(r->cs)};
	struct connectors_snapshot *s = connectors_snapshot_new(r->cs);
	struct sl_buf page = SL_BUF_INIT;
	sl_loops_park(loops, 2, take_run, s);
	connectors_prometheus(s, &page);
	connectors_snapshot_free(s);
	if (!strstr(sl_buf_cstr(&page), what)) fail_msg("no %s in %s", what, page.p);
	sl_buf_fini(&page);
}

/* Half a megabyte of log, and nothing takes the rows. */
static void test_watch__a_queue_that_fills_up_says_how_full_and_until_when(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	FILE *log = log_begin();
	log_set_level(LOG_INFO);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: x, create: false, columns: {a: x, b: x, c: x}, stalled_after: 50ms, "
		 "retry: {first: 5ms, max: 20ms}, buffer: {memory: 64KB, disk: 512KB}}]\n",
		 r->dir);
	json_t *status = status_when_full(r, 0);
	assert_true(json_is_null(json_object_get(queue_of(status), "full_in_ms")));
	json_decref(status);
	json_decref(status_when_full(r, 5));
	sleep(1); /* a pace is measured over a second at least */
	status = status_when_full(r, 40);
	assert_true(json_integer_value(json_object_get(queue_of(status), "full_in_ms")) > 0);
	assert_string_equal(text(queue_of(status), "limit"), "buffer.disk");
	assert_false(queue_in_health(r));
	json_decref(status);
	json_decref(status_when_full(r, 80));
	assert_true(queue_in_health(r));
	page_says(r, "sluice_action_queue_fill_ratio{rule=\"r\",action=\"0\",connector=\"db\"} ");
	page_says(r, "sluice_action_queue_full_seconds{rule=\"r\",action=\"0\",connector=\"db\"} ");
	db_exec(r->dir, "CREATE TABLE x(a, b, c)");
	rig_settle(r, 0);
	status = status_when_empty(r);
	assert_false(queue_in_health(r));
	assert_true(json_is_null(json_object_get(queue_of(status), "full_in_ms")));
	json_decref(status);
	page_says(r, "sluice_action_queue_full_seconds{rule=\"r\",action=\"0\",connector=\"db\"} +Inf");
	char *said = log_so_far(log);
	assert_int_equal(count(said, "queue fills up action=r.0 rule=r connector=db"), 1);
	assert_int_equal(count(said, "limit=buffer.disk"), 1);
	assert_int_equal(count(said, "queue has room again action=r.0"), 1);
	sl_free(said);
	log_end(log);
	rig_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_watch__an_action_without_its_table_is_stalled_until_the_table_is_there),
	    cmocka_unit_test(test_watch__a_connection_without_answers_connects_again),
	    cmocka_unit_test(test_watch__a_connection_that_is_down_does_not_hide_what_stands_still),
	    cmocka_unit_test(test_watch__the_second_reason_of_an_action_replaces_the_first),
	    cmocka_unit_test(test_watch__a_stalled_connection_says_what_is_wrong_now),
	    cmocka_unit_test(test_watch__every_reason_of_rejected_rows_is_said),
	    cmocka_unit_test(test_watch__slow_is_not_stalled),
	    cmocka_unit_test(test_watch__a_queue_that_fills_up_says_how_full_and_until_when),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
