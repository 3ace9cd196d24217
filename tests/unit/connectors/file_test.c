#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static char *file_read(const struct rig *r, const char *name) {
	char *path = sl_asprintf("%s/%s", r->dir, name), *text = rig_read(path);
	sl_free(path);
	return text;
}

static size_t lines_of(const struct rig *r, const char *name) {
	char *text = file_read(r, name);
	size_t n = rig_lines(text);
	sl_free(text);
	return n;
}

static void assert_holds(const struct rig *r, const char *name, const char *expected) {
	char *text = file_read(r, name);
	assert_string_equal(text ? text : "no file", expected);
	sl_free(text);
}

static void file_write(const struct rig *r, const char *name, const char *mode, const char *text) {
	char *path = sl_asprintf("%s/%s", r->dir, name);
	FILE *f = fopen(path, mode);
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	sl_free(path);
}

static void file_load(struct rig *r, const char *action) {
	rig_load(r, "connectors: {f: {type: file, dir: %s}}\nactions: [{connector: f, %s}]\n", r->dir, action);
}

#define PLAIN "file: out.txt"
#define ROTATES "file: out.txt, rotate_size: 30, keep: 2, batch: {rows: 10}"

static uint64_t row_awkward(uint64_t serial, struct sql_value *values, char *text, size_t text_size) {
	int n = snprintf(text, text_size, "say \"%u\", then\nstop", (unsigned)serial);
	values[0] = sql_string(slice_make(text, (size_t)n));
	values[1] = sql_int((int64_t)serial);
	values[2] = sql_null();
	return 1;
}

static void test_file__a_row_is_a_line(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	file_load(r, "file: sub/out.txt");
	rig_deliver(r, 2, row_awkward);
	assert_holds(r, "sub/out.txt", "say \"0\", then\\nstop\nsay \"1\", then\\nstop\n");
	rig_free(r);
}

static void test_file__csv_has_a_header_and_quotes(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	file_load(r, "file: out.csv, format: csv, columns: {a: x, \"b,c\": x, d: x}");
	rig_deliver(r, 1, row_awkward);
	rig_deliver(r, 1, row_awkward);
	assert_holds(r, "out.csv", "a,\"b,c\",d\n\"say \"\"0\"\", then\nstop\",0,\n\"say \"\"1\"\", then\nstop\",1,\n");
	rig_free(r);
}

static void test_file__half_a_line_of_a_crash_is_cut_off(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	file_write(r, "out.txt", "w", "whole\nhal");
	file_load(r, PLAIN);
	rig_deliver(r, 1, rig_row);
	assert_holds(r, "out.txt", "whole\nd0\n");
	rig_free(r);
}

static void test_file__full_files_are_put_aside_and_the_oldest_go(void **state) {
	(void)state;
	static const char *const names[] = {"out.txt", "out.txt.1", "out.txt.2"};
	struct rig *r = rig_new(1);
	file_load(r, ROTATES);
	rig_deliver(r, 100, rig_row);
	for (int i = 0; i < 3; i++) assert_int_equal(lines_of(r, names[i]), 10);
	assert_null(file_read(r, "out.txt.3"));
	rig_free(r);
}

static void test_file__two_actions_share_a_file_and_its_rotation(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	rig_load(r,
		 "connectors: {f: {type: file, dir: %s}}\nactions:\n"
		 "  - {connector: f, file: out.txt, rotate_size: 10}\n  - {connector: f, file: out.txt}\n",
		 r->dir);
	for (size_t i = 0; i < 6; i++) {
		rig_stage(r, i % 2, 1, 0, rig_row);
		rig_settle(r, i % 2);
	}
	assert_holds(r, "out.txt.1", "d0\nd1\nd2\nd3\n");
	assert_holds(r, "out.txt", "d4\nd5\n");
	rig_free(r);
}

enum { BY_TWO = 2 * 20 * 300 };

/* Two actions, each from a worker of its own. */
static void deliver_by_two(struct rig *r) {
	for (int round = 0; round < 20; round++) {
		rig_stage_on(r, 0, 0, 300, 50, true, rig_row);
		rig_stage_on(r, 1, 1, 300, 50, true, rig_row);
	}
	rig_settle(r, 0);
	rig_settle(r, 1);
}

static void test_file__two_connectors_share_a_file_and_overwrite_nothing(void **state) {
	(void)state;
	struct rig *r = rig_new(2);
	rig_load(r,
		 "connectors: {f: {type: file, dir: %s}, g: {type: file, dir: %s}}\n"
		 "actions: [{connector: f, file: out.txt, batch: {rows: 3}}, {connector: g, file: out.txt, batch: "
		 "{rows: 5}}]\n",
		 r->dir, r->dir);
	deliver_by_two(r);
	assert_int_equal(lines_of(r, "out.txt"), BY_TWO);
	rig_free(r);
}

static void test_file__two_connectors_that_rotate_a_file_lose_none(void **state) {
	(void)state;
	struct rig *r = rig_new(2);
	rig_load(r,
		 "connectors: {f: {type: file, dir: %s}, g: {type: file, dir: %s}}\nactions:\n"
		 "  - {connector: f, file: out.txt, rotate_size: 1000, keep: 100, batch: {rows: 30}}\n"
		 "  - {connector: g, file: out.txt, rotate_size: 1000, keep: 100, batch: {rows: 50}}\n",
		 r->dir, r->dir);
	deliver_by_two(r);
	size_t there = lines_of(r, "out.txt");
	for (int i = 1; i <= 100; i++) {
		char *name = sl_asprintf("out.txt.%d", i);
		there += lines_of(r, name);
		sl_free(name);
	}
	assert_int_equal(there, BY_TWO);
	rig_free(r);
}

static bool second_is_out(const struct sl_action_counts *n) { return n->batches == 2; }

/* Whoever else writes to it and puts it aside holds its lock meanwhile. */
static void test_file__what_waits_for_a_file_goes_to_the_one_that_is_there_then(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	char *path = sl_asprintf("%s/out.txt", r->dir), *aside = sl_asprintf("%s/out.txt.1", r->dir);
	file_load(r, PLAIN);
	rig_deliver(r, 1, rig_row);
	int fd = open(path, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	rig_stage(r, 0, 1, 0, rig_row);
	assert_true(rig_until(r, 0, second_is_out)); /* it waits by now, mostly */
	assert_int_equal(rename(path, aside), 0);
	close(fd);
	rig_settle(r, 0);
	assert_int_equal(lines_of(r, "out.txt.1"), 1);
	assert_int_equal(lines_of(r, "out.txt"), 1);
	sl_free(path);
	sl_free(aside);
	rig_free(r);
}

static void test_file__half_a_line_of_anothers_crash_is_cut_off(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	file_load(r, PLAIN);
	rig_deliver(r, 1, rig_row);
	file_write(r, "out.txt", "a", "another\nhal");
	rig_deliver(r, 1, rig_row);
	assert_holds(r, "out.txt", "d0\nanother\nd1\n");
	rig_free(r);
}

static void test_file__one_that_cannot_be_put_aside_grows(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	char *wall = sl_asprintf("%s/out.txt.2", r->dir);
	assert_int_equal(mkdir(wall, 0700), 0);
	file_load(r, ROTATES);
	rig_deliver(r, 50, rig_row);
	assert_int_equal(lines_of(r, "out.txt.1"), 10);
	assert_int_equal(lines_of(r, "out.txt"), 40);
	assert_int_equal(rmdir(wall), 0);
	rig_deliver(r, 10, rig_row);
	assert_int_equal(lines_of(r, "out.txt.2"), 10);
	assert_int_equal(lines_of(r, "out.txt.1"), 40);
	assert_int_equal(lines_of(r, "out.txt"), 10);
	sl_free(wall);
	rig_free(r);
}

static void test_file__a_folder_that_cannot_be_made_makes_rows_wait(void **state) {
	(void)state;
	struct rig *r = rig_new(1);
	char *path = sl_asprintf("%s/sub", r->dir);
	close(open(path, O_WRONLY | O_CREAT, 0600)); /* a file where the folder should be */
	rig_load(r,
		 "connectors: {f: {type: file, dir: %s/sub}}\n"
		 "actions: [{connector: f, file: out.txt, retry: {first: 5ms, max: 10ms}}]\n",
		 r->dir);
	rig_stage(r, 0, 5, 0, rig_row);
	assert_true(rig_tries(r, 0, 3));
	assert_int_equal(rig_counts(r, 0).queued, 5);
	unlink(path);
	assert_int_equal(rig_settle(r, 0).delivered, 5);
	sl_free(path);
	rig_free(r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_file__a_row_is_a_line),
	    cmocka_unit_test(test_file__csv_has_a_header_and_quotes),
	    cmocka_unit_test(test_file__half_a_line_of_a_crash_is_cut_off),
	    cmocka_unit_test(test_file__full_files_are_put_aside_and_the_oldest_go),
	    cmocka_unit_test(test_file__two_actions_share_a_file_and_its_rotation),
	    cmocka_unit_test(test_file__two_connectors_share_a_file_and_overwrite_nothing),
	    cmocka_unit_test(test_file__two_connectors_that_rotate_a_file_lose_none),
	    cmocka_unit_test(test_file__what_waits_for_a_file_goes_to_the_one_that_is_there_then),
	    cmocka_unit_test(test_file__half_a_line_of_anothers_crash_is_cut_off),
	    cmocka_unit_test(test_file__one_that_cannot_be_put_aside_grows),
	    cmocka_unit_test(test_file__a_folder_that_cannot_be_made_makes_rows_wait),
	};
	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
