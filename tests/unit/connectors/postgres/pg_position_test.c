/* pg_position_test.c: how far a source has come, as its file has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "pg_position.h"

static char *folder; /* data_dir */

static int setup(void **state) {
	char name[] = "pg-position-XXXXXX";
	(void)state;
	assert_non_null(mkdtemp(name));
	folder = sl_strdup(name);
	return 0;
}

static int teardown(void **state) {
	char *sources = sl_asprintf("%s/sources", folder), *path = sl_asprintf("%s/in.position", sources);
	(void)state;
	(void)chmod(sources, 0700);
	unlink(path);
	rmdir(sources);
	rmdir(folder);
	sl_free(path);
	sl_free(sources);
	sl_free(folder);
	return 0;
}

/* What the file says to whoever opens it now; "" for nothing. */
static void expect(const char *column, const char *cursor) {
	struct pg_position p;
	char *got;
	assert_int_equal(pg_position_open(&p, folder, "in", slice_from_str(column), &got, NULL), SL_OK);
	assert_string_equal(got ? got : "", cursor);
	sl_free(got);
	pg_position_close(&p);
}

static void put(const char *cursor) {
	struct pg_position p;
	char *got;
	assert_int_equal(pg_position_open(&p, folder, "in", SL_SLICE_LIT("id"), &got, NULL), SL_OK);
	assert_int_equal(pg_position_write(&p, SL_SLICE_LIT("id"), slice_from_str(cursor), NULL), SL_OK);
	sl_free(got);
	pg_position_close(&p);
}

static void test_position__the_last_that_was_written(void **state) {
	(void)state;
	expect("id", "");
	put("1");
	expect("id", "1");
	put("2026-01-31 08:00:00+00");
	expect("id", "2026-01-31 08:00:00+00");
	put("");
	expect("id", "");
	put("3");
	expect("other", "");
	expect("id", "3");
}

static int file_open(void) {
	char *path = sl_asprintf("%s/sources/in.position", folder);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	sl_free(path);
	assert_true(fd >= 0);
	return fd;
}

/* Whatever byte of the newest is wrong, the one before counts. */
static void test_position__a_write_that_was_cut_short(void **state) {
	(void)state;
	put("41");
	put("42"); /* the first place: its number is even */
	int fd = file_open();
	for (off_t at = 0; at < 28; at++) {
		char was, is;
		assert_int_equal(pread(fd, &was, 1, at), 1);
		is = (char)(was ^ 0x40);
		assert_int_equal(pwrite(fd, &is, 1, at), 1);
		expect("id", "41");
		assert_int_equal(pwrite(fd, &was, 1, at), 1);
	}
	expect("id", "42");
	close(fd);
}

static void test_position__a_file_that_is_none(void **state) {
	(void)state;
	put("1");
	int fd = file_open();
	assert_int_equal(ftruncate(fd, 0), 0);
	expect("id", "");
	assert_int_equal(pwrite(fd, "SLUICEP1", 8, 0), 8);
	expect("id", "");
	char junk[9000];
	memset(junk, 'x', sizeof junk);
	assert_int_equal(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
	expect("id", "");
	put("7");
	expect("id", "7");
	close(fd);
}

static void test_position__one_at_a_time(void **state) {
	struct pg_position one, two;
	struct sl_err err = SL_ERR_INIT;
	char *got;
	(void)state;
	assert_int_equal(pg_position_open(&one, folder, "in", SL_SLICE_LIT("id"), &got, NULL), SL_OK);
	assert_int_equal(pg_position_open(&two, folder, "in", SL_SLICE_LIT("id"), &got, &err), SL_EAGAIN);
	assert_non_null(strstr(sl_err_text(&err), "in.position"));
	sl_err_fini(&err);
	pg_position_close(&one);
	expect("id", "");
}

static void test_position__a_folder_that_is_not_there(void **state) {
	struct pg_position p;
	struct sl_err err = SL_ERR_INIT;
	char *got;
	(void)state;
	assert_int_equal(pg_position_open(&p, "/nowhere", "in", SL_SLICE_LIT("id"), &got, &err), SL_EIO);
	assert_non_null(
	    strstr(sl_err_text(&err), "/nowhere/sources/in.position: No such file or directory; check node.data_dir"));
	sl_err_fini(&err);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_position__the_last_that_was_written, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_position__a_write_that_was_cut_short, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_position__a_file_that_is_none, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_position__one_at_a_time, setup, teardown),
	    cmocka_unit_test(test_position__a_folder_that_is_not_there),
	};
	return cmocka_run_group_tests_name("pg_position", tests, NULL, NULL);
}
