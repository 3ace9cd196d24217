/* The list of a rule's actions shifts, at a reload or while stopped: what waits goes where it was meant for. */
#include <jansson.h>
#include <string.h>

#include "likeness.h"
#include "rig.h"
#include "test_db.h"

#define DB "db: {type: sqlite, path: %s/a.db}"
#define WRONG "connectors: {db: {type: sqlite, path: /dev/null/%.0s/a.db, reconnect: {first: 5ms, max: 5ms}}}\n"
#define GOOD "connectors: {" DB "}\n"
#define INTO(table, more) "{connector: db, table: " table ", columns: {a: \"${device}\", b: \"${n}\"}" more "}"
#define TWO "actions: [" INTO("pa", "") ", " INTO("pb", "") "]\n"
#define COUNT(table) db_int(dir, "SELECT count(DISTINCT b) FROM " table)

static bool table_there(const char *dir, const char *name) {
	char *sql = sl_asprintf("SELECT count(*) FROM sqlite_master WHERE name = '%s'", name);
	int64_t n = db_int(dir, sql);
	sl_free(sql);
	return n > 0;
}

static void settle_all(struct rig *r, size_t actions) {
	for (size_t i = 0; i < actions; i++) rig_settle(r, i);
}

static void test_match__an_action_before_others_leaves_them_their_rows(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	const char *dir = r->dir;
	rig_load(r, WRONG TWO, dir);
	struct sl_pipeline *pa = r->p[0], *pb = r->p[1];
	rig_stage(r, 0, 10, 0, rig_row);
	rig_stage(r, 1, 20, 0, rig_row);
	rig_load(r, GOOD "actions: [" INTO("pn", "") ", " INTO("pa", "") ", " INTO("pb", ", batch: {rows: 3}") "]\n",
		 dir);
	assert_ptr_equal(r->p[1], pa);
	assert_ptr_equal(r->p[2], pb);
	rig_stage(r, 0, 5, 0, rig_row);
	settle_all(r, 3);
	assert_int_equal(COUNT("pn"), 5);
	assert_int_equal(COUNT("pa"), 10);
	assert_int_equal(COUNT("pb"), 20);
	rig_load(r, GOOD "actions: [" INTO("pb", "") "]\n", dir);
	assert_ptr_equal(r->p[0], pb);
	rig_free(r);
}

/* What was waiting in two logs under two places is found again under others, also when a reload had shifted them before. */
static void test_match__a_restart_with_another_list(void **state) {
	(void)state;
	for (int shifted = 0; shifted < 2; shifted++) {
		char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
		struct rig *r = rig_new_in(1, data);
		rig_load(r, WRONG TWO, dir);
		rig_stage(r, 0, 10, 0, rig_row);
		rig_stage(r, 1, 20, 0, rig_row);
		if (shifted) {
			rig_load(r, WRONG "actions: [" INTO("pn", "") ", " INTO("pa", "") ", " INTO("pb", "") "]\n",
				 dir);
			rig_stage(r, 0, 5, 0, rig_row);
		}
		rig_free(r);
		r = rig_new_in(1, data);
		rig_load(
		    r, GOOD "actions: [" INTO("pb", ", batch: {rows: 3}") ", " INTO("pn", "") ", " INTO("pa", "") "]\n",
		    dir);
		settle_all(r, 3);
		rig_stage(r, 1, 1, 0, rig_row);
		settle_all(r, 3);
		assert_int_equal(COUNT("pa"), 10);
		assert_int_equal(COUNT("pb"), 20);
		assert_int_equal(db_int(dir, "SELECT count(*) FROM pn"), shifted ? 6 : 1);
		rig_free(r);
		rig_rmdir(dir);
		sl_free(data);
		sl_free(dir);
	}
}

static void test_match__what_was_taken_away_waits_until_it_is_back(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	struct rig *r = rig_new_in(1, data);
	rig_load(r, WRONG TWO, dir);
	rig_stage(r, 0, 10, 0, rig_row);
	rig_stage(r, 1, 20, 0, rig_row);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, GOOD "actions: [" INTO("pb", "") "]\n", dir);
	rig_settle(r, 0);
	assert_int_equal(COUNT("pb"), 20);
	rig_stage(r, 0, 3, 0, rig_row); /* beside the folder that is still there */
	assert_int_equal(rig_settle(r, 0).delivered, 23);
	assert_false(table_there(dir, "pa"));
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r,
		 "connectors: {" DB ", other: {type: sqlite, path: %s/b.db}}\n"
		 "actions: [{connector: other, table: pa, columns: {a: \"${device}\", b: \"${n}\"}}]\n",
		 dir, dir);
	assert_int_equal(rig_settle(r, 0).delivered, 0);
	rig_free(r);
	r = rig_new_in(1, data);
	rig_load(r, GOOD TWO, dir);
	settle_all(r, 2);
	assert_int_equal(COUNT("pa"), 10);
	assert_int_equal(db_int(dir, "SELECT count(*) FROM pb"), 23);
	rig_free(r);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static struct likeness_side side(const char *action, uint32_t place) {
	json_t *tree = json_loads(action, 0, NULL);
	assert_non_null(tree);
	struct likeness_side s = {.face = slice_from_str(likeness_face(tree)), .place = place};
	json_decref(tree);
	return s;
}

static void test_match__the_most_alike_first(void **state) {
	(void)state;
	struct likeness_side old[] = {side("{\"connector\":\"c\",\"table\":\"a\",\"columns\":{\"x\":1}}", 0),
				      side("{\"connector\":\"c\",\"table\":\"b\",\"columns\":{\"x\":1}}", 1),
				      side("{\"connector\":\"d\",\"table\":\"a\"}", 2),
				      {.place = 3}};
	struct likeness_side new[] = {side("{\"connector\":\"c\",\"table\":\"b\",\"columns\":{\"x\":2}}", 0),
				      side("{\"columns\":{\"x\":1},\"table\":\"a\",\"connector\":\"c\"}", 1),
				      side("{\"connector\":\"c\",\"sql\":\"q\"}", 2),
				      side("{\"connector\":\"e\",\"table\":\"a\"}", 3)};
	size_t pair[4];
	likeness_pair(new, 4, old, 4, pair);
	assert_int_equal(pair[0], 1);
	assert_int_equal(pair[1], 0);
	assert_int_equal(pair[2], LIKENESS_NONE);
	assert_int_equal(pair[3], 3); /* of a former version: by its place */
	for (size_t i = 0; i < 4; i++) {
		sl_free((char *)(uintptr_t) new[i].face.p);
		sl_free((char *)(uintptr_t)old[i].face.p);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match__an_action_before_others_leaves_them_their_rows),
	    cmocka_unit_test(test_match__a_restart_with_another_list),
	    cmocka_unit_test(test_match__what_was_taken_away_waits_until_it_is_back),
	    cmocka_unit_test(test_match__the_most_alike_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
