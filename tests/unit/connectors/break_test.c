/* Rows at which the server ends the connection (pipeline_break.c): they are found and given up, others get past them; and a server
 * that breaks connections by itself loses no row. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUICK "retry: {first: 1ms, max: 4ms}, batch: {linger: 1ms}"

static uint64_t named(uint64_t serial, struct sql_value *v, char *text, size_t cap, uint64_t order) {
	int n = snprintf(text, cap, "r%llu", (unsigned long long)serial);
	v[0] = sql_string(slice_make(text, (size_t)n));
	v[1] = sql_int((int64_t)serial);
	v[2] = sql_int((int64_t)order);
	return order;
}

static uint64_t row_of_seven_keys(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	return named(serial, v, text, cap, serial % 7);
}

static uint64_t row_of_one_key(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	return named(serial, v, text, cap, 3);
}

static uint64_t row_that_may_be_bad(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	uint64_t order = row_of_seven_keys(serial, v, text, cap);
	if (serial % 250 == 77) v[0] = sql_string(SL_SLICE_LIT("bad"));
	return order;
}

/* What was delivered, each once; whether those of a key came in order. */
struct came {
	size_t n, twice, disorder;
};

static struct came came(const char *dir, const char *file) {
	struct came all = {0};
	char *path = sl_asprintf("%s/%s", dir, file), *text = rig_read(path);
	uint8_t *seen = SL_NEW_ARRAY(uint8_t, 100000);
	long last[16] = {0};
	for (char *line = text, *end; line && (end = strchr(line, '\n')); line = end + 1) {
		char *number = strchr(line, ' ');
		assert_true(number && number < end);
		long serial = strtol(number, &number, 10), key = strtol(number, NULL, 10);
		assert_in_range(serial, 0, 99999);
		assert_in_range(key, 0, 15);
		all.n++;
		all.twice += seen[serial];
		seen[serial] = 1;
		all.disorder += serial + 1 <= last[key];
		last[key] = serial + 1;
	}
	sl_free(seen);
	sl_free(text);
	sl_free(path);
	return all;
}

static void assert_came(const struct rig *r, const char *file, size_t n) {
	struct came all = came(r->dir, file);
	assert_int_equal(all.n, n);
	assert_int_equal(all.twice, 0);
	assert_int_equal(all.disorder, 0);
}

static char *letters(const struct rig *r, size_t a) {
	char *path = sl_asprintf("%s/dead/r.%zu.jsonl", r->dir, a), *text = rig_read(path);
	sl_free(path);
	return text;
}

/* One action whose rows come to the file `out`, with further options of its connector and of it. */
static struct rig *quick_rig(const char *conn, const char *action) {
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', reconnect: {first: 1ms, max: 4ms}%s}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/out, " QUICK "%s}]\n",
		 conn, r->dir, action);
	return r;
}

/* 3,000 rows, one of them at which the connection breaks; how it works is up to the options. */
static void one_among_thousands(const char *conn, const char *action, rig_row_fn row, bool ordered) {
	char *options = sl_asprintf(", breaks: r1234%s", action);
	struct rig *r = quick_rig(conn, options);
	sl_free(options);
	rig_stage(r, 0, 3000, 300, row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 2999);
	assert_int_equal(n.rejected, 1);
	if (ordered) assert_came(r, "out", 2999);
	char *said = letters(r, 0);
	assert_int_equal(rig_lines(said), 1);
	assert_non_null(strstr(said, "\"r1234\""));
	assert_non_null(strstr(said, "the connection ended "));
	assert_non_null(strstr(said, "broken, as breaks asks for"));
	sl_free(said);
	rig_free(r);
}

static void test_break__one_row_among_thousands_is_found(void **state) {
	(void)state;
	one_among_thousands("", "", row_of_seven_keys, true);
}

static void test_break__without_an_order(void **state) {
	(void)state;
	one_among_thousands("", ", order: none", row_of_seven_keys, false);
}

static void test_break__where_all_rows_are_of_one_key(void **state) {
	(void)state;
	one_among_thousands("", "", row_of_one_key, true);
}

/* A second and more to connect: its successors get their turn all the same, though not at once. */
static void test_break__where_connecting_takes_long(void **state) {
	(void)state;
	struct rig *r = quick_rig(", connect_delay: 1100ms", ", breaks: r2");
	rig_stage(r, 0, 5, 5, row_of_one_key);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 4);
	assert_int_equal(n.rejected, 1);
	assert_came(r, "out", 4);
	rig_free(r);
}

static void test_break__in_a_pool_of_connections(void **state) {
	(void)state;
	one_among_thousands(", ways: 4, delay: 1ms", "", row_of_seven_keys, true);
}

static void test_break__with_a_thread_of_its_own(void **state) {
	(void)state;
	one_among_thousands(", blocking: true", "", row_of_seven_keys, true);
}

/* The connection breaks at every second or third batch, whatever is sent, and every other one gets through: rows are at hand for
 * which all is as if they were to blame. */
static void test_break__a_network_that_breaks_now_and_then_rejects_nothing(void **state) {
	(void)state;
	for (int every = 2; every <= 3; every++) {
		char *options = sl_asprintf(", down_after: %d, ways: 2", every);
		struct rig *r = quick_rig(options, "");
		sl_free(options);
		for (int i = 0; i < 60; i++) {
			rig_stage(r, 0, 5, 1, row_of_seven_keys);
			usleep(3000);
		}
		struct sl_action_counts n = rig_settle(r, 0);
		assert_int_equal(n.rejected, 0);
		assert_int_equal(n.delivered, 300);
		assert_came(r, "out", 300);
		rig_free(r);
	}
}

/* What a server has not answered to is no attempt. */
static void test_break__attempts_are_not_charged(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', down_first: 20, reconnect: {first: 1ms, max: 4ms}}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/out, retry: {first: 1ms, max: 4ms, "
		 "attempts: 1}}]\n",
		 r->dir);
	rig_stage(r, 0, 100, 0, row_of_seven_keys);
	assert_int_equal(rig_settle(r, 0).delivered, 100);
	rig_free(r);
}

/* Every batch, whoever's, breaks the connection for a while: at no number of breaks anything is given up. */
static void server_breaks_everything(unsigned breaks, const char *action, rig_row_fn row, size_t rows) {
	char *options = sl_asprintf(", down_first: %u", breaks);
	struct rig *r = quick_rig(options, action);
	sl_free(options);
	struct sl_action_counts n = rig_deliver(r, rows, row);
	assert_int_equal(n.delivered, rows);
	assert_int_equal(n.rejected, 0);
	struct came all = came(r->dir, "out");
	assert_int_equal(all.n, rows);
	assert_int_equal(all.twice, 0);
	rig_free(r);
}

static void test_break__a_server_that_breaks_everything_loses_nothing(void **state) {
	(void)state;
	for (unsigned breaks = 4; breaks < 20; breaks += 9) {
		server_breaks_everything(breaks, "", row_of_seven_keys, 50);
		server_breaks_everything(breaks, ", order: none", row_of_seven_keys, 50);
		server_breaks_everything(breaks, "", row_of_one_key, 50);
		server_breaks_everything(breaks, "", row_of_one_key, 1);
	}
}

/* Now and then, while rows trickle in and out of the pool's ways: all come, in their order. */
static void test_break__connections_that_break_now_and_then_keep_the_order(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', ways: 4, delay: 1ms, jitter: 2ms, down_after: 23, reconnect: {first: "
		 "1ms, max: "
		 "40ms}}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/out, " QUICK "}]\n",
		 r->dir);
	for (int round = 0; round < 600; round++) {
		rig_stage(r, 0, 5, 0, row_of_seven_keys);
		usleep(1000);
	}
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.rejected, 0);
	assert_came(r, "out", 3000);
	rig_free(r);
}

static bool four_retried(const struct sl_action_counts *n) { return n->retried >= 4; }
static bool nine_retried(const struct sl_action_counts *n) { return n->retried >= 9; }

/* As long as nothing else comes, nobody knows whether the row or the server is to blame. */
static void test_break__the_only_row_waits_for_another_one(void **state) {
	(void)state;
	struct rig *r = quick_rig("", ", breaks: r10");
	rig_deliver(r, 10, row_of_one_key);
	rig_stage(r, 0, 1, 0, row_of_one_key);
	assert_true(rig_until(r, 0, nine_retried));
	struct sl_action_counts n = rig_counts(r, 0);
	assert_int_equal(n.delivered, 10);
	assert_int_equal(n.queued, 1);
	for (int i = 0; i < 500 && rig_counts(r, 0).queued > 0; i++) { /* some that come by and by */
		rig_stage(r, 0, 1, 0, row_of_one_key);
		usleep(20000);
	}
	n = rig_settle(r, 0);
	assert_int_equal(n.rejected, 1);
	assert_came(r, "out", n.delivered);
	rig_free(r);
}

/* They share the connection, and each row of theirs that is out is lost with it. */
static void test_break__another_action_of_the_connector_goes_on(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(
	    r,
	    "connectors: {n: {type: 'null', delay: 2ms, reconnect: {first: 1ms, max: 4ms}}}\n"
	    "actions:\n"
	    "- {connector: n, columns: {a: x, b: x, c: x}, breaks: r3, trace: %s/out, retry: {first: 100ms, max: 1h}, "
	    "batch: {rows: 10, linger: 1ms}}\n"
	    "- {connector: n, columns: {a: x, b: x, c: x}, trace: %s/others, batch: {rows: 10, linger: 1ms}}\n",
	    r->dir, r->dir);
	rig_stage(r, 0, 3, 0, row_of_one_key);
	rig_settle(r, 0);
	rig_stage(r, 0, 1, 0, row_of_one_key); /* it, and nothing comes behind it */
	assert_true(rig_until(r, 0, four_retried));
	rig_stage(r, 1, 2000, 20, row_of_seven_keys);
	assert_int_equal(rig_settle(r, 1).delivered, 2000);
	assert_came(r, "others", 2000);
	struct sl_action_counts n = rig_counts(r, 0);
	assert_int_equal(n.delivered, 3);
	assert_int_equal(n.queued, 1); /* deliveries of others prove nothing */
	rig_free(r);
}

/* Many such rows, two of them side by side, and those of another action at the same time. */
static void test_break__several_rows_of_several_actions(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', ways: 2, delay: 1ms, reconnect: {first: 1ms, max: 4ms}}}\n"
		 "actions:\n"
		 "- {connector: n, columns: {a: x, b: x, c: x}, breaks: bad, order: none, " QUICK "}\n"
		 "- {connector: n, columns: {a: x, b: x, c: x}, breaks: bad, " QUICK "}\n%s",
		 "");
	for (size_t a = 0; a < 2; a++) rig_stage(r, a, 500, 100, row_that_may_be_bad);
	for (size_t a = 0; a < 2; a++) {
		struct sl_action_counts n = rig_settle(r, a);
		assert_int_equal(n.rejected, 2);
		assert_int_equal(n.delivered, 498);
	}
	rig_free(r);
}

static uint64_t row_that_is_often_bad(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	uint64_t order = row_of_seven_keys(serial, v, text, cap);
	if (serial % 50 == 27) v[0] = sql_string(SL_SLICE_LIT("bad"));
	return order;
}

static uint64_t row_of_one_key_that_may_be_bad(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	uint64_t order = row_of_one_key(serial, v, text, cap);
	if (serial % 250 == 77) v[0] = sql_string(SL_SLICE_LIT("bad"));
	return order;
}

/* However many were to blame before: where connections end by chance as well, few breaks would find the wrong ones. */
static void assert_enough_breaks(struct rig *r, size_t a, size_t bad) {
	static const char before[] = "the connection ended ";
	char *said = letters(r, a);
	size_t n = 0;
	for (const char *at = said; (at = strstr(at, before)); n++) {
		at += strlen(before);
		assert_in_range(strtoul(at, NULL, 10), 6, UINT8_MAX);
	}
	assert_int_equal(n, bad);
	sl_free(said);
}

/* Two actions with such rows among theirs, one without: none waits for ever, and each row ends where it belongs. */
static void many_rows_of_several_actions(const char *conn, const char *action, rig_row_fn row, size_t rows,
					 size_t bad) {
	struct rig *r = rig_new(1);
	rig_load(
	    r,
	    "connectors: {n: {type: 'null', connect_fails: 3, reconnect: {first: 1ms, max: 4ms}%s}}\n"
	    "actions:\n"
	    "- {connector: n, columns: {a: x, b: x, c: x}, breaks: bad, retry: {first: 1ms, max: 4ms}, batch: {rows: "
	    "100}%s}\n"
	    "- {connector: n, columns: {a: x, b: x, c: x}, breaks: bad, retry: {first: 1ms, max: 4ms}, batch: {rows: "
	    "100}%s}\n"
	    "- {connector: n, columns: {a: x, b: x, c: x}, trace: %s/clean, batch: {rows: 100}}\n",
	    conn, action, action, r->dir);
	for (size_t a = 0; a < 2; a++) {
		r->serial = 0;
		rig_stage(r, a, rows, 0, row);
	}
	rig_stage(r, 2, rows, 0, row_of_seven_keys);
	for (size_t a = 3; a-- > 0;) {
		size_t more = 0;
		for (; more < 2000 && rig_counts(r, a).queued > 0; more++) {
			rig_stage(r, a, 1, 0, row_of_seven_keys); /* the last ones need something to compare with */
			usleep(5000);
		}
		struct sl_action_counts n = rig_settle(r, a);
		assert_int_equal(n.rejected, a < 2 ? bad : 0);
		assert_int_equal(n.delivered, (a < 2 ? rows - bad : rows) + more);
		if (a < 2) assert_enough_breaks(r, a, bad);
	}
	struct came clean = came(r->dir, "clean");
	assert_true(clean.n >= rows);
	assert_int_equal(clean.disorder, 0);
	rig_free(r);
}

static void test_break__many_rows_of_several_actions(void **state) {
	(void)state;
	many_rows_of_several_actions("", "", row_that_is_often_bad, 1000, 20);
	many_rows_of_several_actions("", ", order: none", row_that_is_often_bad, 1000, 20);
	many_rows_of_several_actions(", delay: 1ms", "", row_of_one_key_that_may_be_bad, 1000, 4);
}

static void test_break__many_rows_of_several_actions_in_a_pool(void **state) {
	(void)state;
	many_rows_of_several_actions(", ways: 2, delay: 1ms", ", order: none", row_that_is_often_bad, 1000, 20);
	many_rows_of_several_actions(", ways: 4, delay: 1ms", "", row_that_is_often_bad, 1000, 20);
}

static uint64_t row_with_two_bad_neighbours(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	uint64_t order = row_of_one_key(serial, v, text, cap);
	if (serial % 100 == 40 || serial % 100 == 41) v[0] = sql_string(SL_SLICE_LIT("bad"));
	return order;
}

/* Where all are of one key neither can tell whether the other or the server is to blame. */
static void test_break__neighbours_of_one_key(void **state) {
	(void)state;
	struct rig *r = quick_rig("", ", breaks: bad");
	struct sl_action_counts n = rig_deliver(r, 500, row_with_two_bad_neighbours);
	assert_int_equal(n.rejected, 10);
	assert_came(r, "out", 490);
	rig_free(r);
}

/* The server works, then breaks every batch for a while, and works again. */
static size_t disorder_after_an_outage(unsigned from, unsigned breaks, rig_row_fn row) {
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {n: {type: 'null', down_from: %u, down_first: %u, reconnect: {first: 1ms, max: 4ms}}}\n"
		 "actions: [{connector: n, columns: {a: x, b: x, c: x}, trace: %s/out, retry: {first: 1ms, max: 2ms}, "
		 "batch: {rows: 20, linger: 1ms}}]\n",
		 from, breaks, r->dir);
	rig_stage(r, 0, 100, 0, row);
	struct sl_action_counts n = rig_settle(r, 0);
	assert_int_equal(n.delivered, 100);
	assert_int_equal(n.rejected, 0);
	struct came all = came(r->dir, "out");
	assert_int_equal(all.twice, 0);
	rig_free(r);
	return all.disorder;
}

/* Below eight breaks none steps aside; above, only those that did can come late (README.md). */
static void test_break__an_outage_keeps_the_order(void **state) {
	(void)state;
	for (unsigned breaks = 1; breaks < 8; breaks++) {
		assert_int_equal(disorder_after_an_outage(breaks % 3, breaks, row_of_one_key), 0);
		assert_int_equal(disorder_after_an_outage(breaks % 3, breaks, row_of_seven_keys), 0);
	}
	for (unsigned breaks = 8; breaks < 40; breaks += 5) {
		assert_in_range(disorder_after_an_outage(breaks % 3, breaks, row_of_one_key), 0, 5);
		assert_in_range(disorder_after_an_outage(breaks % 3, breaks, row_of_seven_keys), 0, 10);
	}
}

static uint64_t row_one_is_bad(uint64_t serial, struct sql_value *v, char *text, size_t cap) {
	uint64_t order = row_of_seven_keys(serial, v, text, cap);
	if (serial == 70) v[0] = sql_string(SL_SLICE_LIT("bad"));
	return order;
}

/* A row is searched, some get through, and then the server breaks everything: the one that is looked at by then is not to blame for it. */
static void test_break__an_outage_amid_a_search_blames_nobody(void **state) {
	(void)state;
	for (unsigned from = 4; from < 8; from++)
		for (int order = 0; order < 2; order++) {
			struct rig *r = rig_new(1);
			rig_load(r,
				 "connectors: {n: {type: 'null', down_from: %u, down_first: 25, reconnect: {first: "
				 "1ms, max: "
				 "4ms}}}\n"
				 "actions: [{connector: n, columns: {a: x, b: x, c: x}, breaks: bad, retry: {first: "
				 "1ms, max: "
				 "4ms}%s}]\n",
				 from, order ? "" : ", order: none");
			rig_stage(r, 0, 100, 0, row_one_is_bad);
			for (int i = 0; i < 1000 && rig_counts(r, 0).queued > 0; i++) {
				rig_stage(r, 0, 1, 0, row_of_seven_keys); /* they show that it works again */
				usleep(5000);
			}
			struct sl_action_counts n = rig_settle(r, 0);
			assert_int_equal(n.rejected, 1);
			char *said = letters(r, 0);
			assert_non_null(strstr(said, "\"bad\""));
			sl_free(said);
			rig_free(r);
		}
}

int main(int argc, char **argv) {
	if (argc > 1) cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_break__one_row_among_thousands_is_found),
	    cmocka_unit_test(test_break__without_an_order),
	    cmocka_unit_test(test_break__where_all_rows_are_of_one_key),
	    cmocka_unit_test(test_break__where_connecting_takes_long),
	    cmocka_unit_test(test_break__in_a_pool_of_connections),
	    cmocka_unit_test(test_break__with_a_thread_of_its_own),
	    cmocka_unit_test(test_break__a_network_that_breaks_now_and_then_rejects_nothing),
	    cmocka_unit_test(test_break__attempts_are_not_charged),
	    cmocka_unit_test(test_break__a_server_that_breaks_everything_loses_nothing),
	    cmocka_unit_test(test_break__connections_that_break_now_and_then_keep_the_order),
	    cmocka_unit_test(test_break__the_only_row_waits_for_another_one),
	    cmocka_unit_test(test_break__another_action_of_the_connector_goes_on),
	    cmocka_unit_test(test_break__several_rows_of_several_actions),
	    cmocka_unit_test(test_break__neighbours_of_one_key),
	    cmocka_unit_test(test_break__an_outage_keeps_the_order),
	    cmocka_unit_test(test_break__an_outage_amid_a_search_blames_nobody),
	    cmocka_unit_test(test_break__many_rows_of_several_actions),
	    cmocka_unit_test(test_break__many_rows_of_several_actions_in_a_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
