/* The list of a rule's actions shifts, at a reload or while stopped: what waits goes where it was meant for. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "likeness.h"
#include "rig.h"
#include "spill_rig.h"
#include "test_db.h"

#define DB "db: {type: sqlite, path: %s/a.db}"
#define WRONG "connectors: {db: {type: sqlite, path: /dev/null/%.0s/a.db, reconnect: {first: 5ms, max: 5ms}}}\n"
#define GOOD "connectors: {" DB "}\n"
#define INTO(table, more) "{connector: db, table: " table ", columns: {a: \"${device}\", b: \"${n}\"}" more "}"
#define TWO "actions: [" INTO("pa", "") ", " INTO("pb", "") "]\n"
#define COUNT(dir, table) db_int(dir, "SELECT count(DISTINCT b) FROM " table)

/* A broker's folder that outlives its service. */
struct home {
	char *dir, *data;
	struct rig *r; /* NULL: stopped */
};

static struct home home_new(void) {
	struct home h = {.dir = rig_tmpdir()};
	h.data = sl_asprintf("%s/data", h.dir);
	h.r = rig_new_in(1, h.data);
	return h;
}

/* With both actions of TWO, whose server is away: so many rows wait. */
static struct home home_of_two(size_t first, size_t second) {
	struct home h = home_new();
	rig_load(h.r, WRONG TWO, h.dir);
	rig_stage(h.r, 0, first, 0, rig_row);
	rig_stage(h.r, 1, second, 0, rig_row);
	return h;
}

static void home_stop(struct home *h) {
	if (h->r) rig_free(h->r);
	h->r = NULL;
}

static void home_again(struct home *h) {
	home_stop(h);
	h->r = rig_new_in(1, h->data);
}

static void home_end(struct home *h) {
	home_stop(h);
	rig_rmdir(h->dir);
	sl_free(h->data);
	sl_free(h->dir);
}

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
	assert_int_equal(COUNT(dir, "pn"), 5);
	assert_int_equal(COUNT(dir, "pa"), 10);
	assert_int_equal(COUNT(dir, "pb"), 20);
	rig_load(r, GOOD "actions: [" INTO("pb", "") "]\n", dir);
	assert_ptr_equal(r->p[0], pb);
	rig_free(r);
}

/* What was waiting in two logs under two places is found again under others, also when a reload had shifted them before. */
static void test_match__a_restart_with_another_list(void **state) {
	(void)state;
	for (int shifted = 0; shifted < 2; shifted++) {
		struct home h = home_of_two(10, 20);
		if (shifted) {
			rig_load(h.r, WRONG "actions: [" INTO("pn", "") ", " INTO("pa", "") ", " INTO("pb", "") "]\n",
				 h.dir);
			rig_stage(h.r, 0, 5, 0, rig_row);
		}
		home_again(&h);
		rig_load(h.r,
			 GOOD
			 "actions: [" INTO("pb", ", batch: {rows: 3}") ", " INTO("pn", "") ", " INTO("pa", "") "]\n",
			 h.dir);
		settle_all(h.r, 3);
		rig_stage(h.r, 1, 1, 0, rig_row);
		settle_all(h.r, 3);
		assert_int_equal(COUNT(h.dir, "pa"), 10);
		assert_int_equal(COUNT(h.dir, "pb"), 20);
		assert_int_equal(db_int(h.dir, "SELECT count(*) FROM pn"), shifted ? 6 : 1);
		home_end(&h);
	}
}

static void test_match__what_was_taken_away_waits_until_it_is_back(void **state) {
	(void)state;
	struct home h = home_of_two(10, 20);
	home_again(&h);
	rig_load(h.r, GOOD "actions: [" INTO("pb", "") "]\n", h.dir);
	rig_settle(h.r, 0);
	assert_int_equal(COUNT(h.dir, "pb"), 20);
	rig_stage(h.r, 0, 3, 0, rig_row); /* beside the folder that is still there */
	assert_int_equal(rig_settle(h.r, 0).delivered, 23);
	assert_false(table_there(h.dir, "pa"));
	home_again(&h);
	rig_load(h.r,
		 "connectors: {" DB ", other: {type: sqlite, path: %s/b.db}}\n"
		 "actions: [{connector: other, table: pa, columns: {a: \"${device}\", b: \"${n}\"}}]\n",
		 h.dir, h.dir);
	assert_int_equal(rig_settle(h.r, 0).delivered, 0);
	home_again(&h);
	rig_load(h.r, GOOD TWO, h.dir);
	settle_all(h.r, 2);
	assert_int_equal(COUNT(h.dir, "pa"), 10);
	assert_int_equal(db_int(h.dir, "SELECT count(*) FROM pb"), 23);
	home_end(&h);
}

/* Beside it another is put that has all but the table in common: it is another one, also when places have shifted. */
static void test_match__one_that_came_gets_nothing_of_one_that_went(void **state) {
	(void)state;
	for (int stopped = 0; stopped < 2; stopped++) {
		struct home h = home_of_two(10, 20);
		if (stopped) home_again(&h);
		rig_load(h.r, GOOD "actions: [" INTO("pb", "") ", " INTO("pc", "") "]\n", h.dir);
		rig_stage(h.r, 1, 3, 0, rig_row);
		settle_all(h.r, 2);
		assert_int_equal(COUNT(h.dir, "pb"), 20);
		assert_int_equal(COUNT(h.dir, "pc"), 3);
		home_again(&h);
		rig_load(h.r, GOOD "actions: [" INTO("pb", "") ", " INTO("pc", "") ", " INTO("pa", "") "]\n", h.dir);
		settle_all(h.r, 3);
		home_stop(&h);
		assert_int_equal(COUNT(h.dir, "pa"), 10);
		home_end(&h);
	}
}

/* The neighbour has nothing waiting, and so no log that tells of it: it is known to be another one all the same. */
static void test_match__a_neighbour_without_rows_gets_none(void **state) {
	(void)state;
	for (int reloads = 0; reloads < 3; reloads++) {
		struct home h = home_of_two(10, 0);
		/* Taken away, and another one comes to its place. */
		if (reloads > 0) rig_load(h.r, WRONG "actions: [" INTO("pb", "") "]\n", h.dir);
		if (reloads > 1) rig_load(h.r, WRONG "actions: [" INTO("pc", "") ", " INTO("pb", "") "]\n", h.dir);
		home_again(&h);
		rig_load(h.r, GOOD "actions: [%s" INTO("pb", ", batch: {rows: 3}") "]\n", h.dir,
			 reloads > 1 ? INTO("pc", "") ", " : "");
		assert_int_equal(rig_settle(h.r, 0).received, 0);
		home_again(&h);
		rig_load(h.r, GOOD TWO, h.dir);
		settle_all(h.r, 2);
		assert_int_equal(COUNT(h.dir, "pa"), 10);
		assert_int_equal(rig_counts(h.r, 1).received, 0);
		home_end(&h);
	}
}

/* The list changed after the log was begun: what it says of others does, too. A table that was corrected is none of theirs. */
static void test_match__a_neighbour_that_came_later_gets_none(void **state) {
	(void)state;
	for (int corrected = 0; corrected < 2; corrected++) {
		struct home h = home_new();
		rig_load(h.r, WRONG "actions: [" INTO("pa", "") "]\n", h.dir);
		rig_stage(h.r, 0, 10, 0, rig_row);
		rig_load(h.r, WRONG TWO, h.dir);
		home_again(&h);
		rig_load(h.r, GOOD "actions: [%s" INTO("pb", "") "]\n", h.dir, corrected ? INTO("pq", "") ", " : "");
		assert_int_equal(rig_settle(h.r, 0).delivered, corrected ? 10 : 0);
		home_end(&h);
	}
}

/* Taken away and put back while its server is away, it has two logs; then it is changed. */
static void test_match__all_logs_go_to_who_writes_to_the_same(void **state) {
	(void)state;
	struct home h = home_of_two(0, 5);
	rig_load(h.r, WRONG "actions: [" INTO("pa", "") "]\n", h.dir);
	rig_load(h.r, WRONG TWO, h.dir);
	rig_stage(h.r, 1, 7, 0, rig_row);
	home_again(&h);
	rig_load(h.r, GOOD "actions: [" INTO("pa", "") ", " INTO("pb", ", batch: {rows: 3}") "]\n", h.dir);
	assert_int_equal(rig_settle(h.r, 1).delivered, 12);
	assert_int_equal(COUNT(h.dir, "pb"), 12);
	home_end(&h);
}

/* Its folder has the number of the place where it was begun. */
static void test_match__a_log_goes_with_its_action_to_another_place(void **state) {
	(void)state;
	struct home h = home_new();
	rig_load(h.r, WRONG "actions: [" INTO("pa", "") "]\n", h.dir);
	rig_stage(h.r, 0, 10, 0, rig_row);
	rig_load(h.r, WRONG "actions: [" INTO("pn", "") ", " INTO("pa", "") "]\n", h.dir);
	home_again(&h);
	rig_load(h.r, GOOD "actions: [" INTO("pz", "") ", " INTO("pq", "") "]\n", h.dir);
	assert_int_equal(rig_settle(h.r, 0).received, 0);
	assert_int_equal(rig_settle(h.r, 1).delivered, 10);
	home_end(&h);
}

/* Not at the start that misses it, nor at a later change, when another one comes to the place. */
static void test_match__a_log_of_nobody_is_not_for_who_comes_later(void **state) {
	(void)state;
	for (int stopped = 0; stopped < 2; stopped++) {
		struct home h = home_of_two(10, 0);
		home_again(&h);
		rig_load(h.r, GOOD "actions: [" INTO("pb", "") "]\n", h.dir);
		if (stopped) home_again(&h);
		rig_load(h.r, GOOD "actions: [" INTO("pd", "") ", " INTO("pb", "") "]\n", h.dir);
		assert_int_equal(rig_settle(h.r, 0).received, 0);
		rig_load(h.r,
			 GOOD
			 "actions: [" INTO("pd", "") ", " INTO("pb", "") ", " INTO("pa", ", batch: {rows: 3}") "]\n",
			 h.dir);
		assert_int_equal(rig_settle(h.r, 2).delivered, 10);
		assert_int_equal(COUNT(h.dir, "pa"), 10);
		home_end(&h);
	}
}

static void record_leave(const char *data, const char *log, const struct sl_slice names[2], uint64_t first) {
	char *dir = sl_asprintf("%s/actions/%s", data, log);
	struct spill *s = log_open_with(dir, 1 << 20, names, 2);
	assert_int_equal(record_append(s, first, 5, NULL), SL_OK);
	spill_close(s);
	sl_free(dir);
}

/* Of the log of earlier settings one record has columns that the action does not know: what was moved before it is moved once. */
static void test_match__a_log_that_cannot_be_moved_whole_repeats_nothing(void **state) {
	(void)state;
	static const struct sl_slice strange[2] = {{"p", 1}, {"q", 1}};
	char *dir = rig_tmpdir(), *data = sl_asprintf("%s/data", dir);
	record_leave(data, "r.0", log_columns, 0);
	record_leave(data, "r.0~2", log_columns, 5);
	record_leave(data, "r.0~2", strange, 10);
	for (int run = 0; run < 2; run++) {
		struct rig *r = rig_new_in(1, data);
		rig_load(r,
			 GOOD "actions: [{connector: db, table: w, columns: {device: \"${device}\", n: \"${n}\"}}]\n",
			 dir);
		assert_int_equal(rig_settle(r, 0).delivered, run == 0 ? 10 : 0);
		rig_free(r);
	}
	assert_int_equal(db_int(dir, "SELECT count(*) FROM w"), 10);
	rig_rmdir(dir);
	sl_free(data);
	sl_free(dir);
}

static char *owner_of(const char *data, const char *log) {
	char *path = sl_asprintf("%s/actions/%s/owner", data, log), *text = rig_read(path);
	sl_free(path);
	return text;
}

/* The last of the new actions finds a log of another version: nothing is of the others by then. */
static void test_match__a_refused_reload_leaves_logs_of_nobody_as_they_are(void **state) {
	(void)state;
	static const struct sl_slice names[2] = {{"a", 1}, {"b", 1}};
	struct home h = home_of_two(10, 0);
	char *strange = sl_asprintf("%s/actions/r.2", h.data), *more = sl_asprintf("%s/actions/r.0~3", h.data);
	char *path = sl_asprintf("%s/00000000000000000001.log", strange);
	home_again(&h);
	rig_load(h.r, GOOD "actions: [" INTO("pb", "") "]\n", h.dir);
	record_leave(h.data, "r.0~3", names, 10);
	assert_int_equal(sl_disk_mkdirs(strange), SL_OK);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fprintf(f, "SLSEG999%60s", ""), 68);
	assert_int_equal(fclose(f), 0);
	char *before = owner_of(h.data, "r.0");
	char *why = rig_load_refused(
	    h.r, GOOD "actions: [" INTO("pa", ", batch: {rows: 3}") ", " INTO("pb", "") ", " INTO("pc", "") "]\n",
	    h.dir);
	assert_non_null(strstr(why, "another version"));
	sl_free(why);
	char *after = owner_of(h.data, "r.0");
	assert_non_null(before);
	assert_string_equal(before, after);
	assert_int_equal(access(more, F_OK), 0);
	rig_rmdir(strange);
	rig_load(h.r, GOOD "actions: [" INTO("pa", ", batch: {rows: 3}") ", " INTO("pb", "") "]\n", h.dir);
	assert_int_equal(rig_settle(h.r, 0).delivered, 15);
	assert_int_equal(COUNT(h.dir, "pa"), 15);
	home_end(&h);
	sl_free(before);
	sl_free(after);
	sl_free(path);
	sl_free(strange);
	sl_free(more);
}

static void face_spoil(const char *data, const char *with, size_t n) {
	char *path = sl_asprintf("%s/actions/r.0/owner", data);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(with, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	sl_free(path);
}

/* A file of zeros is what some file systems leave of one after a power cut. */
static void test_match__an_owner_file_that_says_nothing_sensible_counts_as_none(void **state) {
	(void)state;
	static const char zeros[99];
	static const struct sl_slice spoilt[] = {
	    {"", 0}, {zeros, 99}, {"Who is it that wrote this, and what for?\n", 41}};
	for (size_t i = 0; i < SL_ARRAY_LEN(spoilt); i++) {
		struct home h = home_of_two(10, 0);
		home_stop(&h);
		face_spoil(h.data, spoilt[i].p, spoilt[i].n);
		home_again(&h);
		rig_load(h.r, GOOD TWO, h.dir);
		assert_int_equal(rig_settle(h.r, 0).delivered, 10);
		home_end(&h);
	}
}

/* Nobody is told to deliver it any more, and it is not ours to read: all the less is it ours to delete. */
static void test_match__a_log_of_nobody_that_cannot_be_read_stays(void **state) {
	(void)state;
	static const char *const heads[] = {"SLSEG999", "damaged!"};
	for (size_t i = 0; i < SL_ARRAY_LEN(heads); i++) {
		struct home h = home_of_two(10, 1);
		char *path = sl_asprintf("%s/actions/r.0/00000000000000000001.log", h.data);
		home_stop(&h);
		FILE *f = fopen(path, "r+");
		assert_non_null(f);
		assert_int_equal(fwrite(heads[i], 1, 8, f), 8);
		assert_int_equal(fclose(f), 0);
		home_again(&h);
		rig_load(h.r, GOOD "actions: [" INTO("pb", "") "]\n", h.dir);
		home_stop(&h);
		assert_int_equal(access(path, F_OK), 0);
		sl_free(path);
		home_end(&h);
	}
}

#define REFUSES(table) "CREATE TABLE " table " (a, b CHECK (b < 0))"

/* Also when an action is put before it: who looks for the dead letters of `r.1` finds them. */
static void test_match__dead_letters_follow_the_place(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	char *first = sl_asprintf("%s/dead/r.0.jsonl", r->dir), *second = sl_asprintf("%s/dead/r.1.jsonl", r->dir);
	db_exec(r->dir, REFUSES("pa"));
	rig_load(r, GOOD "actions: [" INTO("pa", "") "]\n", r->dir);
	rig_stage(r, 0, 1, 0, rig_row);
	assert_int_equal(rig_settle(r, 0).rejected, 1);
	rig_load(r, GOOD "actions: [" INTO("pn", "") ", " INTO("pa", "") "]\n", r->dir);
	rig_stage(r, 1, 1, 0, rig_row);
	assert_int_equal(rig_settle(r, 1).rejected, 2);
	char *before = rig_read(first), *after = rig_read(second);
	assert_non_null(before);
	assert_non_null(strstr(before, "\"action\":0"));
	assert_null(strstr(before, "\"action\":1"));
	assert_non_null(after);
	assert_non_null(strstr(after, "\"action\":1"));
	sl_free(before);
	sl_free(after);
	sl_free(first);
	sl_free(second);
	rig_free(r);
}

static struct likeness_side side(const char *action, const char *destination, uint32_t place) {
	json_t *tree = json_loads(action, 0, NULL);
	assert_non_null(tree);
	struct likeness_side s = {.face = slice_from_str(likeness_face(tree, destination)), .place = place};
	json_decref(tree);
	return s;
}

static void sides_free(struct likeness_side *sides, size_t n) {
	for (size_t i = 0; i < n; i++) sl_free((char *)(uintptr_t)sides[i].face.p);
}

static void test_match__the_most_alike_first(void **state) {
	(void)state;
	struct likeness_side old[] = {side("{\"connector\":\"c\",\"table\":\"a\",\"columns\":{\"x\":1}}", "a", 0),
				      side("{\"connector\":\"c\",\"table\":\"b\",\"columns\":{\"x\":1}}", "b", 1),
				      side("{\"connector\":\"d\",\"table\":\"a\"}", "a", 2),
				      {.place = 3}};
	struct likeness_side new[] = {side("{\"connector\":\"c\",\"table\":\"b\",\"columns\":{\"x\":2}}", "b", 0),
				      side("{\"columns\":{\"x\":1},\"table\":\"a\",\"connector\":\"c\"}", "a", 1),
				      side("{\"connector\":\"c\",\"sql\":\"q\"}", "q", 2),
				      side("{\"connector\":\"e\",\"table\":\"a\"}", "a", 3)};
	size_t pair[4];
	likeness_pair(new, 4, old, 4, pair);
	assert_int_equal(pair[0], 1);
	assert_int_equal(pair[1], 0);
	assert_int_equal(pair[2], LIKENESS_NONE);
	assert_int_equal(pair[3], 3); /* of a former version: by its place */
	sides_free(old, 4);
	sides_free(new, 4);
}

/* The first is gone, and the statement of the second was corrected: it stands at the first one's place, which has as much in common. */
static void test_match__who_writes_to_the_same_goes_before_who_stands_there(void **state) {
	(void)state;
	struct likeness_side old[] = {side("{\"connector\":\"c\",\"sql\":\"a\",\"batch\":1}", "INTO a", 0),
				      side("{\"connector\":\"c\",\"sql\":\"b\",\"batch\":1}", "INTO b", 1)};
	struct likeness_side new[] = {side("{\"connector\":\"c\",\"sql\":\"better b\",\"batch\":1}", "INTO b", 0)};
	size_t pair[2];
	likeness_pair(new, 1, old, 2, pair);
	assert_int_equal(pair[0], 1);
	likeness_pair(old, 2, new, 0, pair);
	assert_int_equal(pair[0], LIKENESS_NONE);
	sides_free(old, 2);
	sides_free(new, 1);
}

/* Of a kind that names no destination. */
static void test_match__without_destinations_settings_count(void **state) {
	(void)state;
	struct likeness_side old[] = {side("{\"connector\":\"c\",\"delay\":1,\"trace\":\"a\"}", NULL, 0),
				      side("{\"connector\":\"c\"}", NULL, 1)};
	struct likeness_side new[] = {side("{\"connector\":\"c\",\"delay\":7}", NULL, 2),
				      side("{\"connector\":\"c\",\"delay\":2,\"trace\":\"a\"}", NULL, 3)};
	size_t pair[2];
	likeness_pair(new, 2, old, 2, pair);
	assert_int_equal(pair[0], LIKENESS_NONE);
	assert_int_equal(pair[1], 0);
	sides_free(old, 2);
	sides_free(new, 2);
}

/* What is cut or damaged anywhere says nothing at all, or is another hash. */
static void test_match__an_owner_is_read_whole_or_not_at_all(void **state) {
	(void)state;
	struct likeness_side a = side("{\"connector\":\"c\",\"table\":\"a\"}", "a", 0),
			     b = side("{\"connector\":\"c\"}", "b", 1), read = {0};
	const char *const others[] = {b.face.p, a.face.p, b.face.p};
	char *stays = likeness_owner(a.face.p, 1234, others, 3), *owner = likeness_owner_gone(stays);
	struct sl_slice all = slice_from_str(owner);
	assert_true(likeness_owner_read(all, &read));
	assert_true(read.gone && read.place == 1234);
	assert_true(slice_equal(read.face, a.face));
	assert_int_equal(read.others.n, (size_t)2 * 17); /* not itself */
	for (size_t n = 0; n < all.n; n++) {
		char *cut = slice_dup(slice_make(owner, n)), was = owner[n];
		struct likeness_side none = {0};
		(void)likeness_owner_read(slice_make(cut, n), &read);
		sl_free(cut);
		owner[n] = '~';
		assert_false(likeness_owner_read(all, &none));
		assert_true(none.face.n == 0 && none.others.n == 0 && !none.gone);
		owner[n] = was;
	}
	assert_true(likeness_owner_read(slice_from_str(stays), &read));
	assert_false(read.gone);
	sl_free(stays);
	sl_free(owner);
	sides_free(&a, 1);
	sides_free(&b, 1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match__an_action_before_others_leaves_them_their_rows),
	    cmocka_unit_test(test_match__a_restart_with_another_list),
	    cmocka_unit_test(test_match__what_was_taken_away_waits_until_it_is_back),
	    cmocka_unit_test(test_match__one_that_came_gets_nothing_of_one_that_went),
	    cmocka_unit_test(test_match__a_neighbour_without_rows_gets_none),
	    cmocka_unit_test(test_match__a_neighbour_that_came_later_gets_none),
	    cmocka_unit_test(test_match__all_logs_go_to_who_writes_to_the_same),
	    cmocka_unit_test(test_match__a_log_goes_with_its_action_to_another_place),
	    cmocka_unit_test(test_match__a_log_of_nobody_is_not_for_who_comes_later),
	    cmocka_unit_test(test_match__a_log_that_cannot_be_moved_whole_repeats_nothing),
	    cmocka_unit_test(test_match__a_refused_reload_leaves_logs_of_nobody_as_they_are),
	    cmocka_unit_test(test_match__an_owner_file_that_says_nothing_sensible_counts_as_none),
	    cmocka_unit_test(test_match__a_log_of_nobody_that_cannot_be_read_stays),
	    cmocka_unit_test(test_match__dead_letters_follow_the_place),
	    cmocka_unit_test(test_match__the_most_alike_first),
	    cmocka_unit_test(test_match__who_writes_to_the_same_goes_before_who_stands_there),
	    cmocka_unit_test(test_match__without_destinations_settings_count),
	    cmocka_unit_test(test_match__an_owner_is_read_whole_or_not_at_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
