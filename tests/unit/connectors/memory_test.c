/* What rows may take: who publishes hears that there is no room before the budget is gone, and when there is again. */
#include "rig.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "connectors_int.h"
#include "log.h"
#include "test_db.h"

#define MANY 100000 /* rows, ten times what fits */
#define LONGEST_ROW 512
#define WAIT_MS 60000

static atomic_int told;
static void room(void *arg, size_t worker) {
	(void)arg;
	(void)worker;
	atomic_fetch_add(&told, 1);
}

static struct rig *rig_of(uint64_t memory) {
	rig_memory = memory;
	atomic_store(&told, 0);
	struct rig *r = rig_new(1);
	connectors_on_room(r->cs, room, NULL);
	return r;
}

static bool wait_told(void) {
	for (int ms = 0; ms < WAIT_MS && !atomic_load(&told); ms++) usleep(1000);
	return atomic_load(&told) > 0;
}

struct parked {
	struct rig *r;
	size_t staged;
	uint64_t way;
};

static void stage_while_parked(void *arg) {
	struct parked *p = arg;
	p->staged = rig_stage_until_full(p->r, 0, MANY, true);
	p->way = worker_end_way(&p->r->cs->ends[0]);
}

static void test_memory__rows_on_their_way_are_bounded(void **state) {
	(void)state;
	struct rig *r = rig_of(1 << 20);
	rig_load(r, WAITING, r->dir);
	table_make(r->dir);
	struct parked p = {.r = r};
	struct sl_loop *loop = connectors_loop(r->cs);
	sl_loops_park(&loop, 1, stage_while_parked, &p);
	assert_in_range(p.staged, 100, MANY - 1);
	/* Behind a full chunk the next one has its whole block at once. */
	assert_true(p.way <= r->cs->way_max + CHUNK_BYTES_MAX + LONGEST_ROW);
	assert_true(wait_told());
	assert_int_equal(rig_settle(r, 0).delivered, p.staged);
	assert_int_equal(rig_stage_until_full(r, 0, 1, true), 1);
	assert_int_equal(rig_settle(r, 0).delivered, p.staged + 1);
	rig_free(r);
}

static void test_memory__the_parts_are_the_budget(void **state) {
	(void)state;
	struct rig *r = rig_of(8 << 20);
	assert_int_equal(r->cs->mem_max + r->cs->way_max + r->cs->spare_max, 8 << 20);
	rig_free(r);
	r = rig_of((uint64_t)1 << 30);
	assert_int_equal(r->cs->mem_max + r->cs->way_max + r->cs->spare_max, (uint64_t)1 << 30);
	assert_true(r->cs->way_max <= 2 << 20);
	rig_free(r);
}

struct blocks {
	struct rig *r;
	size_t seen, largest;
};

static void blocks_look(void *arg) {
	struct blocks *b = arg;
	struct worker_end *end = &b->r->cs->ends[0];
	struct sl_chunk *lines[] = {end->chunks, atomic_load(&end->back)};
	for (int i = 0; i < 2; i++)
		for (const struct sl_chunk *c = lines[i]; c; c = c->next, b->seen++)
			if (c->buf.cap > b->largest) b->largest = c->buf.cap;
}

/* Rows with a part of their message: whatever the first one's size, the blocks are as large as said. */
static void test_memory__a_block_is_as_large_as_said_whatever_the_first_row(void **state) {
	(void)state;
	static char payload[1000];
	for (size_t size = 100; size < sizeof payload; size += 180) {
		struct rig *r = rig_of(0);
		rig_load(r, WAITING, r->dir);
		table_make(r->dir);
		memset(payload, 'a', sizeof payload);
		r->payload = slice_make(payload, size);
		rig_stage(r, 0, 3000, 0, rig_row);
		rig_settle(r, 0);
		struct blocks blocks = {.r = r};
		sl_loops_park(&r->workers[0], 1, blocks_look, &blocks);
		assert_true(blocks.seen > 0);
		assert_int_equal(blocks.largest, CHUNK_BYTES_MAX);
		rig_free(r);
	}
}

struct look {
	struct rig *r;
	uint64_t rows, held, all, by_room;
};

static void look_run(void *arg) {
	struct look *look = arg;
	const struct sl_pipeline *p = look->r->p[0];
	look->rows = p->mem_bytes;
	look->held = p->held_cost;
	look->by_room = p->held_by_room;
	look->all = look->r->cs->mem_bytes;
}

static struct look look_at(struct rig *r) {
	struct look look = {.r = r};
	struct sl_loop *loop = connectors_loop(r->cs);
	sl_loops_park(&loop, 1, look_run, &look);
	return look;
}

/* Rows that are held fill an eighth of the action's budget; then their publishers are not heard, but those of QoS 0 are. */
static void test_memory__rows_held_are_bounded_and_tried_as_soon_as_there_is_room(void **state) {
	(void)state;
	struct rig *r = rig_of(0);
	size_t staged = 0, n = 0;
	uint64_t budget = 256 * 1024;
	rig_load(r, WAITING "    buffer: {memory: 256KB, disk: 512KB}\n", r->dir);
	struct sl_pipeline *p = r->p[0];
	/* Small ticks, so that what is on its way is little. */
	for (; staged < MANY && !atomic_load(&p->shared.full); staged += n) {
		n = rig_stage_until_full(r, 0, 20, true);
		while (worker_end_way(&r->cs->ends[0]) > 0) usleep(100);
		(void)look_at(r); /* and the loop is through with it */
	}
	assert_in_range(staged, 2000, MANY - 1);
	while (rig_stage_until_full(r, 0, 2, true) == 2) staged += 2; /* at most some: the flag is there */
	staged++;
	struct sl_action_counts counts = rig_counts(r, 0);
	assert_int_equal(counts.queued, staged);
	struct look look = look_at(r);
	assert_in_range(look.held, budget / 8, budget / 8 + CHUNK_BYTES_MAX);
	assert_true(look.rows <= budget - budget / 8);
	assert_int_equal(rig_stage_until_full(r, 0, 10, false), 10);
	assert_int_equal(atomic_load(&told), 0);
	table_make(r->dir);
	assert_true(wait_told());
	assert_true(rig_settle(r, 0).delivered >= staged);
	look = look_at(r);
	assert_true(look.by_room > 0);
	assert_int_equal(look.held, 0);
	assert_int_equal(look.all, 0);
	assert_false(atomic_load(&p->shared.full));
	assert_int_equal(rig_stage_until_full(r, 0, 10, true), 10);
	rig_settle(r, 0);
	rig_free(r);
}

/* ---- Rows that are larger than an action may have beyond the budget. ---- */

#define LARGE ((size_t)600 * 1024)
#define EACH 3 /* such rows for each action */

static uint64_t large_row(uint64_t serial, struct sql_value *values, char *text, size_t text_size) {
	static char bytes[LARGE];
	memset(bytes, 'x', sizeof bytes);
	(void)text;
	(void)text_size;
	values[0] = sql_string(slice_make(bytes, sizeof bytes));
	values[1] = sql_int((int64_t)serial);
	values[2] = sql_double(0);
	return serial;
}

#define TO_NULL(name) "  - {connector: " name ", value: \"${device}\", retry: {first: 1ms, max: 5ms, attempts: 4}}\n"
#define TO_DB                                                                                                          \
	"  - {connector: db, table: x, create: false, retry: {first: 5ms, max: 20ms}, "                                \
	"columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}}\n"

/* One within the budget, one beyond it, and no more, whatever the actions' servers do. */
static void bound_checked(struct rig *r, const char *when) {
	struct look look = look_at(r);
	if (look.all > 2 * LARGE + 2 * CHUNK_BYTES_MAX) fail_msg("%s: %zu KB", when, (size_t)look.all / 1024);
}

static void settle_bounded(struct rig *r, size_t a, const char *when) {
	int ms = 0;
	for (; ms < WAIT_MS && rig_counts(r, a).queued > 0; ms++) {
		bound_checked(r, when);
		usleep(1000);
	}
	assert_int_equal(rig_counts(r, a).queued, 0);
}

static void test_memory__large_rows_of_many_actions_come_one_after_the_other(void **state) {
	(void)state;
	struct rig *r = rig_of(1 << 20);
	rig_load(r, "connectors: {slow: {type: null, delay: 5ms}, bad: {type: null, fail_every: 1, delay: "
		    "1ms}}\nactions:\n" TO_NULL("slow") TO_NULL("bad") TO_NULL("slow") TO_NULL("bad") TO_NULL("slow"));
	for (size_t i = 0; i < EACH; i++)
		for (size_t a = 0; a < r->action_count; a++) {
			rig_stage(r, a, 1, 0, large_row);
			while (worker_end_way(&r->cs->ends[0]) > 0) usleep(100);
		}
	for (size_t a = 0; a < r->action_count; a++) settle_bounded(r, a, "on their way");
	for (size_t a = 0; a < r->action_count; a++) {
		struct sl_action_counts n = rig_counts(r, a);
		assert_int_equal(a % 2 ? n.rejected : n.delivered, EACH);
		/* Also one that went back to its log in between has been tried as often as it says. */
		if (a % 2) assert_int_equal(n.retried, EACH * 3);
	}
	assert_int_equal(look_at(r).all, 0);
	rig_free(r);
}

static void test_memory__a_large_row_that_cannot_go_makes_way_for_others(void **state) {
	(void)state;
	struct rig *r = rig_of(1 << 20);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}, good: {type: null}}\nactions:\n" TO_DB TO_DB TO_DB
		     TO_NULL("good"),
		 r->dir);
	for (size_t i = 0; i < EACH; i++)
		for (size_t a = 0; a < r->action_count; a++) {
			rig_stage(r, a, 1, 0, large_row);
			while (worker_end_way(&r->cs->ends[0]) > 0) usleep(100);
		}
	settle_bounded(r, 3, "those that can");
	for (int i = 0; i < 200; i++) {
		bound_checked(r, "those that cannot");
		usleep(1000);
	}
	table_make(r->dir);
	for (size_t a = 0; a < 3; a++) settle_bounded(r, a, "and then");
	assert_int_equal(db_int(r->dir, "SELECT count(*) FROM x"), 3 * EACH);
	assert_int_equal(db_int(r->dir, "SELECT count(DISTINCT b) FROM x"), 3 * EACH);
	assert_int_equal(look_at(r).all, 0);
	rig_free(r);
}

/* ---- A large row that went back to its log, beside a small one of its chunk that was delivered. ---- */

static uint64_t small_then_large(uint64_t serial, struct sql_value *values, char *text, size_t text_size) {
	if (serial % 2) return large_row(serial, values, text, text_size);
	return rig_row(serial, values, text, text_size);
}

#define AWAY                                                                                                           \
	"{db: {type: sqlite, path: /dev/null/a.db, reconnect: {first: 1h, max: 1h}}, some: {type: null, fail_every: "  \
	"2}}\n"
#define PAUSES(columns, more)                                                                                          \
	"  - {connector: some, columns: {" columns "}, retry: {first: 1h, max: 1h}, order: none" more "}\n"
#define THREE "a: '${device}', b: '${n}', c: '${t}'"

static bool logs_a_megabyte(const struct sl_action_counts *n) { return n->disk_bytes > 1 << 20; }
static bool one_delivered(const struct sl_action_counts *n) { return n->delivered == 1; }
static bool large_is_back(const struct sl_pipeline *p) { return p->kept.n == 1; }

/* Rows of the first action use up the memory of all; of the third one's, another large one wants the turn. */
static struct rig *large_back_rig(const char *dir, const char *more) {
	rig_memory = 1 << 20;
	struct rig *r = rig_new_in(1, dir);
	rig_load(r, "connectors: " AWAY "actions:\n" TO_DB "%s" TO_NULL("some"), more);
	rig_stage(r, 0, 40000, 1000, rig_row);
	assert_true(rig_until(r, 0, logs_a_megabyte));
	assert_int_equal(r->serial % 2, 0);
	rig_stage(r, 1, 2, 0, small_then_large);
	assert_true(rig_until(r, 1, one_delivered));
	rig_stage(r, 2, 1, 0, large_row);
	assert_true(rig_until(r, 2, one_delivered));
	rig_counts(r, 1);
	assert_true(large_is_back(r->p[1]));
	return r;
}

static void test_memory__a_large_row_that_went_back_is_counted_once(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = large_back_rig(data, PAUSES(THREE, ""));
	rig_stop(r, 1);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: /dev/null/a.db}, some: {type: null}}\nactions:\n" TO_DB PAUSES(
		     THREE, "") TO_NULL("some") "%s",
		 "");
	assert_int_equal(rig_settle(r, 1).recovered, 1);
	rig_free(r);
	rig_rmdir(data);
	/* Where there is no room the oldest go: it, and not what was delivered. */
	r = large_back_rig(data, PAUSES(THREE, ", buffer: {rows: 2, overflow: drop_oldest}"));
	rig_stage(r, 1, 2, 0, rig_row);
	assert_true(rig_confirms(r, r->serial));
	struct sl_action_counts n = rig_counts(r, 1);
	assert_int_equal(n.dropped_overflow, 1);
	assert_int_equal(n.delivered + n.queued, 3);
	rig_stop(r, 1);
	rig_free(r);
	rig_rmdir(data);
	/* None of its names is known any more. */
	r = large_back_rig(data, PAUSES(THREE, ""));
	rig_load(r,
		 "connectors: " AWAY "actions:\n" TO_DB PAUSES("p: '${q}', q: '${q}', r: '${q}'", "")
		     TO_NULL("some") "%s",
		 "");
	n = rig_settle(r, 1);
	assert_int_equal(n.rejected, 1);
	assert_int_equal(n.delivered, 1);
	rig_stop(r, 1);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static bool most_delivered(const struct sl_action_counts *n) { return n->delivered == 2450; }

/* Every fiftieth row waits for an hour. */
static void test_memory__rows_that_wait_for_another_attempt_let_others_in(void **state) {
	(void)state;
	struct rig *r = rig_of(1 << 20);
	rig_load(r,
		 "connectors: {db: {type: sqlite, path: %s/a.db}, some: {type: null, fail_every: 50}}\nactions:\n" TO_DB
		 "  - {connector: some, value: \"${device}\", retry: {first: 1h, max: 1h}, order: none, batch: {rows: "
		 "10}}\n",
		 r->dir);
	rig_stage(r, 0, 40000, 1000, rig_row); /* which use up the memory of all */
	assert_true(rig_until(r, 0, logs_a_megabyte));
	rig_stage(r, 1, 2500, 0, rig_row);
	assert_true(rig_until(r, 1, most_delivered));
	assert_int_equal(rig_counts(r, 1).queued, 50);
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 40000);
	rig_free(r);
}

static bool hundred_dropped(const struct sl_action_counts *n) { return n->dropped_overflow >= 100; }

/* Rows less make no room where nothing can be written. */
static void test_memory__drop_oldest_keeps_what_waits_where_the_log_fails(void **state) {
	(void)state;
	struct rlimit was, small = {.rlim_cur = 64};
	char said[4096] = "";
	int ends[2];
	struct rig *r = rig_new(1);
	rig_load(r, WAITING "    buffer: {overflow: drop_oldest}\n", r->dir);
	signal(SIGXFSZ, SIG_IGN);
	rig_stage(r, 0, 500, 100, rig_row);
	assert_true(rig_confirms(r, 500));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small.rlim_max = was.rlim_max;
	assert_int_equal(pipe(ends), 0);
	log_set_fd(ends[1]);
	log_set_level(LOG_WARN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	rig_stage(r, 0, 100, 100, rig_row);
	bool dropped = rig_until(r, 0, hundred_dropped);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	log_set_level(LOG_OFF);
	log_set_fd(2);
	assert_int_equal(rig_counts(r, 0).dropped_overflow, 100);
	close(ends[1]);
	assert_true(dropped && read(ends[0], said, sizeof said - 1) > 0);
	close(ends[0]);
	assert_non_null(strstr(said, "rows dropped: the log cannot be written"));
	assert_null(strstr(said, "the buffer is full"));
	table_make(r->dir);
	assert_int_equal(rig_settle(r, 0).delivered, 500);
	assert_int_equal(db_int(r->dir, "SELECT max(b) FROM x"), 499);
	rig_free(r);
}

/* ---- What clients of the far sides hold. ---- */

static void test_memory__held_rows_leave_each_action_one_batch_in_its_client(void **state) {
	(void)state;
	const uint64_t budget = 1 << 20, row = 100, batch = 64 * 1024;
	struct sl_connector_kind kind = {.copy_row = 512, .copy_percent = 100};
	struct sl_conn conn = {.kind = &kind};
	struct connectors cs = {.mem_max = budget, .mem_bytes = 2 * budget};
	struct sl_conn_action action = {.conn = &conn};
	action.conf.buffer.memory = (int64_t)budget;
	action.conf.batch.bytes = (int64_t)batch;
	struct sl_pipeline p = {.cs = &cs, .action = &action, .held_cost = 2 * budget};
	struct sl_way way = {.p = &p, .q = {.bytes = row}};
	uint64_t out = 0;
	while (pipeline_copies_fit(&p, &way, 1)) {
		p.copy_bytes += pipeline_copies(&p, 1, row);
		assert_in_range(++out, 1, batch);
	}
	assert_in_range(out, batch / (512 + row), batch / (512 + row) + 1);
	cs.mem_bytes = p.held_cost = 0;
	assert_true(pipeline_copies_fit(&p, &way, 1));
	p.copy_bytes = 2 * budget;
	assert_false(pipeline_copies_fit(&p, &way, 1));
}

/* A batch that is larger than others, for its way is in doubt, counts as large as it is. */
static void test_memory__a_batch_in_doubt_is_counted_whole(void **state) {
	(void)state;
	struct sl_connector_kind kind = {.copy_percent = 300};
	struct sl_conn conn = {.kind = &kind};
	struct connectors cs = {.mem_max = SL_GB};
	struct sl_conn_action action = {.conn = &conn};
	action.conf.buffer.memory = 64 * SL_MB;
	action.conf.batch.bytes = SL_MB;
	action.conf.batch.rows = 500;
	struct sl_pipeline p = {.cs = &cs, .action = &action, .mem_bytes = 16 * SL_MB, .copy_bytes = 24 * SL_MB};
	struct sl_way way = {.p = &p, .q = {.bytes = 8 * SL_MB}};
	assert_true(pipeline_copies_fit(&p, &way, 500));
	way.doubt_rows = 16384;
	p.copy_bytes += SL_MB;
	assert_false(pipeline_copies_fit(&p, &way, 16384));
	p.copy_bytes = 0;
	assert_true(pipeline_copies_fit(&p, &way, 16384));
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory__rows_on_their_way_are_bounded),
	    cmocka_unit_test(test_memory__the_parts_are_the_budget),
	    cmocka_unit_test(test_memory__a_block_is_as_large_as_said_whatever_the_first_row),
	    cmocka_unit_test(test_memory__rows_held_are_bounded_and_tried_as_soon_as_there_is_room),
	    cmocka_unit_test(test_memory__large_rows_of_many_actions_come_one_after_the_other),
	    cmocka_unit_test(test_memory__a_large_row_that_cannot_go_makes_way_for_others),
	    cmocka_unit_test(test_memory__a_large_row_that_went_back_is_counted_once),
	    cmocka_unit_test(test_memory__rows_that_wait_for_another_attempt_let_others_in),
	    cmocka_unit_test(test_memory__drop_oldest_keeps_what_waits_where_the_log_fails),
	    cmocka_unit_test(test_memory__held_rows_leave_each_action_one_batch_in_its_client),
	    cmocka_unit_test(test_memory__a_batch_in_doubt_is_counted_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
