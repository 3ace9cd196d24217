/* Actions that make no progress, connections that give no answer, and what is said of both. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "connectors_int.h"
#include "log.h"
#include "rig.h"
#include "test_db.h"
#include "utf8.h"

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

static json_t *trouble_of(struct rig *r) {
	struct sl_loop *loops[] = {r->workers[0], connectors_loop(r->cs)};
	struct connectors_snapshot *s = connectors_snapshot_new(r->cs);
	sl_loops_park(loops, 2, take_run, s);
	json_t *out = json_object();
	(void)connectors_trouble(s, out);
	connectors_snapshot_free(s);
	return out;
}

static bool queue_in_health(struct rig *r) {
	json_t *out = trouble_of(r);
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

/* The same of the first action, when it has said why, too; the first connector is in `conn` then (NULL: any state). On a busy machine an
 * action stalls before its first attempt is over. */
static json_t *status_when_stalled(struct rig *r, const char *conn, const char *why) {
	for (int i = 0; i < 30000; i++) {
		json_t *status = status_of(r), *c = first(status, "connectors");
		bool stalled = strcmp(text(first(status, "actions"), "state"), "stalled") == 0;
		const json_t *who = conn ? c : first(status, "actions");
		const char *error = text(who, "last_error");
		if (stalled && *error && strstr(error, why) && (!conn || strcmp(text(c, "state"), conn) == 0))
			return status;
		json_decref(status);
		usleep(2000);
	}
	fail_msg("never stalled");
	return NULL;
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
	json_t *status = status_when_stalled(r, NULL, "x");
	assert_true(json_integer_value(json_object_get(first(status, "actions"), "last_error_ms")) > 0);
	json_decref(status);
	reason_when(r, "connectors", "action r.0 makes no progress: the action is not ready");
	status = status_when(r, "connectors", "stalled");
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
	json_decref(status_when_stalled(r, "down", ""));
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

/* Every other row is none that a message can be made of. */
static int every_other(void *arg, const struct sl_reject *reject) {
	(void)reject;
	return ++*(int *)arg % 2 ? SL_OK : SL_EINVAL;
}

static void test_watch__a_row_that_on_error_does_not_take_is_where_the_line_says(void **state) {
	(void)state;
	int calls = 0;
	struct rig *r = rig_new(1);
	FILE *log = log_begin();
	connectors_on_reject(r->cs, every_other, &calls);
	r->on_error = &calls;
	rig_load(r,
		 "connectors: {n: {type: 'null', fail_every: 1, fail_result: reject}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, on_error: {republish: {topic: %s}}}]\n",
		 "x");
	rig_stage(r, 0, 2, 0, rig_row);
	assert_int_equal(rig_settle(r, 0).rejected, 2);
	rig_free(r);
	char *said = log_so_far(log);
	log_end(log);
	assert_int_equal(count(said, "dead_letter=on_error do=\"see the messages that on_error publishes\""), 1);
	assert_int_equal(count(said, "/dead/r.0.jsonl do=\"mend the cause first"), 1);
	sl_free(said);
}

static int none_of_them(void *arg, const struct sl_reject *reject) {
	(void)arg;
	(void)reject;
	return SL_EINVAL;
}

static void test_watch__a_letter_that_waits_says_where_it_cannot_go(void **state) {
	(void)state;
	int none;
	struct rig *r = rig_new(1);
	char *dead = sl_asprintf("%s/dead", r->dir);
	connectors_on_reject(r->cs, none_of_them, NULL);
	r->on_error = &none;
	rig_load(r,
		 "connectors: {n: {type: 'null', fail_every: 1, fail_result: reject}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, on_error: {republish: {topic: %s}}}]\n",
		 "x");
	(void)rmdir(dead);
	FILE *in_the_way = fopen(dead, "we");
	assert_non_null(in_the_way);
	fclose(in_the_way);
	rig_stage(r, 0, 1, 0, rig_row);
	char *path = NULL;
	for (int i = 0; i < 30000 && !path; i++) {
		json_t *trouble = trouble_of(r), *it = first(trouble, "actions");
		if (it) path = sl_strdup(text(it, "path"));
		json_decref(trouble);
		if (!path) usleep(2000);
	}
	assert_non_null(path);
	assert_non_null(strstr(path, "/dead/r.0.jsonl"));
	sl_free(path);
	assert_int_equal(unlink(dead), 0);
	sl_free(dead);
	assert_int_equal(rig_settle(r, 0).rejected, 1);
	rig_free(r);
}

static void test_watch__a_table_without_numbers_is_no_full_disk(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	db_exec(r->dir, "CREATE TABLE x(id INTEGER PRIMARY KEY AUTOINCREMENT, a);"
			"INSERT INTO x VALUES (9223372036854775807, 1)");
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: x, columns: {a: \"${n}\"}, retry: {first: 5ms, max: 5ms}}]\n",
		 r->dir);
	rig_stage(r, 0, 10, 0, rig_row);
	reason_when(r, "connectors", "the numbers of the AUTOINCREMENT table x are used up");
	db_exec(r->dir, "DELETE FROM x; UPDATE sqlite_sequence SET seq = 0");
	assert_int_equal(rig_settle(r, 0).delivered, 10);
	rig_free(r);
}

static uint64_t row_with_the_last_number(uint64_t serial, struct sql_value *values, char *room, size_t size) {
	(void)room;
	(void)size;
	values[0] = serial == 3 ? sql_int(INT64_MAX) : sql_null();
	values[1] = sql_int((int64_t)serial);
	return 1;
}

static void test_watch__a_row_that_uses_up_the_numbers_of_its_own_batch_fills_no_disk(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	db_exec(r->dir, "CREATE TABLE x(id INTEGER PRIMARY KEY AUTOINCREMENT, a)");
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: x, columns: {id: \"${id}\", a: \"${n}\"}, retry: {first: 5ms, max: "
		 "5ms}}]\n",
		 r->dir);
	rig_stage(r, 0, 10, 0, row_with_the_last_number);
	reason_when(r, "connectors", "the numbers of the AUTOINCREMENT table x are used up");
	assert_int_equal(rig_counts(r, 0).delivered, 4);
	db_exec(r->dir, "DELETE FROM x WHERE id > 3; UPDATE sqlite_sequence SET seq = 3");
	assert_int_equal(rig_settle(r, 0).delivered, 10);
	rig_free(r);
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

static void test_watch__an_action_that_stands_still_does_not_hide_others(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	const char *never = "create: false, columns: {a: x}, retry: {first: 5ms, max: 20ms}, stalled_after";
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}}\n"
		 "actions: [{connector: db, table: one, %s: 20ms}, {connector: db, table: two, %s: 20ms}, "
		 "{connector: db, table: three, %s: 1h}, {connector: db, table: four, %s: 1h}, "
		 "{connector: db, table: five, columns: {a: x}}]\n",
		 r->dir, never, never, never, never);
	for (size_t i = 0; i < 5; i++) rig_stage(r, i, 1, 0, rig_row);
	reason_when(r, "connectors", "action r.0 makes no progress: the action is not ready: no such table: one");
	reason_when(r, "connectors",
		    " (1 more actions make none); action r.2 and 1 more are not ready: no such table: three");
	db_exec(r->dir, "CREATE TABLE one(a); CREATE TABLE three(a)");
	reason_when(r, "connectors", "action r.1 makes no progress: the action is not ready: no such table: two");
	reason_when(r, "connectors", "action r.3 is not ready: no such table: four");
	db_exec(r->dir, "CREATE TABLE two(a); CREATE TABLE four(a)");
	json_decref(status_when(r, "connectors", "up"));
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

/* Half a character would keep all of it out of the status page. */
static void test_watch__a_long_error_is_cut_between_characters(void **state) {
	struct health h = {0};
	struct sl_buf text = SL_BUF_INIT;
	(void)state;
	sl_buf_put(&text, 'x');
	for (int i = 0; i < 400; i++) sl_buf_append_str(&text, "\xc3\xa4");
	health_bad(&h, 1, sl_buf_cstr(&text));
	assert_true(utf8_valid(slice_from_str(h.error)));
	assert_int_equal(strlen(h.error), 499);
	health_bad(&h, 2, "short");
	assert_string_equal(h.error, "short");
	health_fini(&h);
	sl_buf_fini(&text);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_watch__a_long_error_is_cut_between_characters),
	    cmocka_unit_test(test_watch__an_action_without_its_table_is_stalled_until_the_table_is_there),
	    cmocka_unit_test(test_watch__a_connection_without_answers_connects_again),
	    cmocka_unit_test(test_watch__a_connection_that_is_down_does_not_hide_what_stands_still),
	    cmocka_unit_test(test_watch__a_row_that_on_error_does_not_take_is_where_the_line_says),
	    cmocka_unit_test(test_watch__a_letter_that_waits_says_where_it_cannot_go),
	    cmocka_unit_test(test_watch__a_table_without_numbers_is_no_full_disk),
	    cmocka_unit_test(test_watch__a_row_that_uses_up_the_numbers_of_its_own_batch_fills_no_disk),
	    cmocka_unit_test(test_watch__the_second_reason_of_an_action_replaces_the_first),
	    cmocka_unit_test(test_watch__a_stalled_connection_says_what_is_wrong_now),
	    cmocka_unit_test(test_watch__an_action_that_stands_still_does_not_hide_others),
	    cmocka_unit_test(test_watch__every_reason_of_rejected_rows_is_said),
	    cmocka_unit_test(test_watch__slow_is_not_stalled),
	    cmocka_unit_test(test_watch__a_queue_that_fills_up_says_how_full_and_until_when),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
