/* What rows may take: who publishes hears that there is no room before the budget is gone, and when there is again. */
#include "rig.h"

#include <stdatomic.h>
#include <unistd.h>

#include "connectors_int.h"
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
	/* A block grows twofold, so the last one may be beyond it by its half. */
	assert_true(p.way <= r->cs->way_max + CHUNK_BYTES_MAX / 2 + LONGEST_ROW);
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

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_memory__rows_on_their_way_are_bounded),
	    cmocka_unit_test(test_memory__the_parts_are_the_budget),
	    cmocka_unit_test(test_memory__rows_held_are_bounded_and_tried_as_soon_as_there_is_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
