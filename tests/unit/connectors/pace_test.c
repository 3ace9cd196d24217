/* How large batches are where whole ones take longer than `timeout`: small enough to be done, and not for longer than need be. */
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "connectors_int.h"

/* A server that takes so long for a batch, and so much longer for each row. Without threads or clocks. */
struct server {
	struct sl_pipeline p;
	struct sl_conn_action action;
	uint64_t fixed_ms, row_ms;
	unsigned sent, late; /* batches */
	uint64_t rows;       /* of those in time */
};

static struct server *server_new(uint64_t fixed_ms, uint64_t row_ms) {
	struct server *s = SL_NEW(struct server);
	s->p.action = &s->action;
	s->p.now_ms = 1000;
	s->action.conf.batch.rows = 1000;
	s->action.conf.timeout_ms = 1000;
	s->fixed_ms = fixed_ms;
	s->row_ms = row_ms;
	return s;
}

static uint32_t rows_most(const struct server *s) { return s->p.pace.most ? s->p.pace.most : 1000; }

/* `batches` of as many rows as they may have, one after the other, each of `out` that are sent at once. */
static void serve(struct server *s, unsigned batches, unsigned out) {
	enum { OUT_MOST = 4 };
	struct pipeline_batch bt[OUT_MOST];
	uint8_t result[1000] = {SL_RESULT_DONE};
	for (unsigned done = 0; done < batches; done += out) {
		uint64_t sent_ms = s->p.now_ms;
		uint32_t n = rows_most(s);
		for (unsigned i = 0; i < out; i++) {
			uint64_t took_ms = (s->fixed_ms + s->row_ms * n) * (i + 1);
			bt[i] = (struct pipeline_batch){.p = &s->p, .sent_ms = sent_ms};
			bt[i].b.count = n;
			bt[i].b.result = result;
			bt[i].overdue = took_ms >= 1000;
			s->p.now_ms = sent_ms + (bt[i].overdue ? 1000 : took_ms);
			s->sent++;
			s->late += bt[i].overdue;
			s->rows += bt[i].overdue ? 0 : n;
			if (pipeline_pace_counts(&bt[i])) pipeline_pace(&bt[i]);
		}
		s->p.now_ms++;
	}
}

static void test_pace__batches_that_take_too_long_get_smaller_until_they_do_not(void **state) {
	(void)state;
	struct server *s = server_new(10, 3); /* 330 rows are what it can do */
	serve(s, 3, 1);
	assert_int_equal(s->late, 2);
	assert_int_equal(s->rows, 250);
	serve(s, 200, 1);
	/* It is asked for more now and then, and ever more rarely. */
	assert_in_range(s->late, 3, 8);
	sl_free(s);
}

static void test_pace__a_single_row_gets_through_where_two_do_not(void **state) {
	(void)state;
	struct server *s = server_new(0, 600);
	serve(s, 100, 1);
	assert_in_range(s->rows, 80, 100);
	sl_free(s);
}

/* The time that is left says nothing where the way alone takes most of it. */
static void test_pace__they_grow_again_when_a_hiccup_is_over(void **state) {
	(void)state;
	static const uint64_t way_ms[] = {0, 10, 300, 600, 900};
	for (size_t i = 0; i < sizeof way_ms / sizeof *way_ms; i++) {
		struct server *s = server_new(5000, 0);
		serve(s, 30, 1);
		assert_int_equal(rows_most(s), 1);
		s->fixed_ms = way_ms[i];
		serve(s, 60, 1);
		assert_int_equal(rows_most(s), 1000);
		assert_int_equal(s->late, 30);
		sl_free(s);
	}
}

static void test_pace__many_hiccups_hold_up_no_longer_than_one(void **state) {
	(void)state;
	struct server *s = server_new(300, 0);
	for (int i = 0; i < 50; i++) {
		s->fixed_ms = 5000;
		serve(s, 3, 1);
		s->fixed_ms = 300;
		serve(s, 60, 1);
		assert_int_equal(rows_most(s), 1000);
	}
	sl_free(s);
}

/* Hours may lie between: each begins anew, and a batch that is in time anyway says so. */
static void test_pace__hiccups_of_a_single_batch_do_not_add_up(void **state) {
	(void)state;
	struct server *s = server_new(300, 0);
	for (int i = 0; i < 50; i++) {
		s->fixed_ms = 5000;
		serve(s, 1, 1);
		assert_int_equal(rows_most(s), 500);
		s->fixed_ms = 300;
		serve(s, 5, 1);
		assert_int_equal(rows_most(s), 1000);
	}
	assert_int_equal(s->late, 50);
	sl_free(s);
}

static void test_pace__of_those_that_were_out_together_one_counts(void **state) {
	(void)state;
	struct server *s = server_new(2000, 0);
	serve(s, 4, 4);
	assert_int_equal(s->late, 4);
	assert_int_equal(rows_most(s), 500);
	serve(s, 4, 4);
	assert_int_equal(rows_most(s), 250);
	sl_free(s);
}

static bool some_were_late(const struct sl_action_counts *n) { return n->retried >= 64 * 3; }

/* What is sent to may be another server: nothing is held against it. */
static void test_pace__a_reload_begins_anew(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	const char *conf = "connectors: {n: {type: 'null', delay: %s}}\n"
			   "actions: [{connector: n, columns: {a: x, b: x, c: x}, order: none, timeout: %s, batch: "
			   "{rows: 64, linger: 0}, "
			   "retry: {first: 1ms, max: 1ms}}]\n";
	rig_load(r, conf, "1h", "20ms");
	rig_stage(r, 0, 256, 0, rig_row);
	assert_true(rig_until(r, 0, some_were_late));
	rig_load(r, conf, "500ms", "1900ms"); /* most of the time is not needed, but not three quarters of it */
	uint64_t before = rig_counts(r, 0).batches;
	assert_int_equal(rig_settle(r, 0).delivered, 256);
	assert_in_range(rig_counts(r, 0).batches - before, 0, 6);
	rig_free(r);
}

/* Who is in doubt gets more rows each time, whatever a batch may have, until one is decided. */
static void test_doubt__batches_grow_until_a_row_gets_through(void **state) {
	(void)state;
	struct server *s = server_new(0, 0);
	struct sl_way way = {.p = &s->p};
	uint8_t result[1] = {SL_RESULT_LOST};
	struct pipeline_batch bt = {.p = &s->p, .way = &way};
	bt.b.result = result;
	s->action.conf.batch.rows = 1;
	s->action.conf.batch.bytes = 100;
	s->action.conf.buffer.memory = 64 * SL_MB;
	assert_false(pipeline_doubt_counts(&bt));
	for (uint32_t rows = 1, n = 0; n < 20; rows = (uint32_t)pipeline_rows_most(&way), n++) {
		bt.b.count = rows;
		bt.b.doubt = true;
		pipeline_doubt_look(&bt);
		assert_true(pipeline_rows_most(&way) > rows || rows == 16384);
	}
	assert_int_equal(pipeline_bytes_most(&way), 100 * 16385);
	bt.b.doubt = false;
	bt.fenced = true;
	pipeline_doubt_look(&bt);
	assert_int_equal(pipeline_rows_most(&way), 16384);
	bt.fenced = false;
	result[0] = SL_RESULT_DONE;
	pipeline_doubt_look(&bt);
	assert_int_equal(pipeline_rows_most(&way), 1);
	assert_int_equal(pipeline_bytes_most(&way), 100);
	sl_free(s);
}

/* Of large rows there are fewer: what a client holds of them all is several times as much. */
static void test_doubt__batches_take_no_more_than_a_part_of_the_memory(void **state) {
	static const struct {
		int64_t bytes, memory;
		uint64_t most;
	} of[] = {{SL_MB, 64 * SL_MB, 8 * SL_MB},
		  {SL_MB, SL_GB, 16 * SL_MB},
		  {32 * SL_MB, SL_GB, 32 * SL_MB},
		  {SL_MB, SL_MB, SL_MB}};
	(void)state;
	struct server *s = server_new(0, 0);
	struct sl_way way = {.p = &s->p, .doubt_rows = 16384};
	for (size_t i = 0; i < SL_ARRAY_LEN(of); i++) {
		s->action.conf.batch.bytes = of[i].bytes;
		s->action.conf.buffer.memory = of[i].memory;
		assert_int_equal(pipeline_bytes_most(&way), of[i].most);
	}
	sl_free(s);
}

int main(int argc, char **argv) {
	if (argc > 1) cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_doubt__batches_grow_until_a_row_gets_through),
	    cmocka_unit_test(test_doubt__batches_take_no_more_than_a_part_of_the_memory),
	    cmocka_unit_test(test_pace__batches_that_take_too_long_get_smaller_until_they_do_not),
	    cmocka_unit_test(test_pace__a_single_row_gets_through_where_two_do_not),
	    cmocka_unit_test(test_pace__they_grow_again_when_a_hiccup_is_over),
	    cmocka_unit_test(test_pace__many_hiccups_hold_up_no_longer_than_one),
	    cmocka_unit_test(test_pace__hiccups_of_a_single_batch_do_not_add_up),
	    cmocka_unit_test(test_pace__of_those_that_were_out_together_one_counts),
	    cmocka_unit_test(test_pace__a_reload_begins_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
