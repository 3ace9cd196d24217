/* Files of the log that are used again: what a former segment left in them is never seen, and never told of. */
#include "spill_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "rng.h"
#include "spill_int.h"

#define SEGMENT 4096
#define UNDONE 3

/* The last few records are not done, whatever comes. */
struct flow {
	struct spill_ref ref[UNDONE];
	uint64_t first[UNDONE], serial;
	uint32_t rows[UNDONE];
	size_t n; /* records ever */
};

static void flow_step(struct flow *f, struct spill *s) {
	size_t i = f->n % UNDONE;
	if (f->n >= UNDONE) spill_done(s, &f->ref[i]);
	f->first[i] = f->serial;
	f->rows[i] = 1 + (uint32_t)sl_rng_below(9);
	assert_int_equal(record_append(s, f->serial, f->rows[i], &f->ref[i]), SL_OK);
	f->serial += f->rows[i];
	f->n++;
}

static void flow_end(struct flow *f, struct spill *s) {
	for (size_t i = 0; i < UNDONE && i < f->n; i++)
		if (spill_ref_logged(&f->ref[i])) spill_done(s, &f->ref[i]);
}

/* A reader of what is told meanwhile; each time it is a later second, for within one nothing is told twice. */
static int said_begin(void) {
	static uint64_t now_ms = 1000000;
	now_ms += 2000;
	sl_clock_set_fake(now_ms, (int64_t)now_ms);
	int fd = fileno(tmpfile());
	log_set_fd(fd);
	log_set_level(LOG_WARN);
	return fd;
}

static off_t said_end(int fd) {
	off_t n = lseek(fd, 0, SEEK_END);
	sl_clock_set_real();
	log_set_level(LOG_OFF);
	log_set_fd(2);
	close(fd);
	return n;
}

static uint64_t disk_bytes(const struct spill *s) {
	struct spill_stat stat;
	spill_stat(s, &stat);
	return stat.disk_bytes;
}

static void test_spare__files_go_round(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0};
	size_t spares = 0;
	for (int i = 0; i < 400; i++) {
		flow_step(&f, s);
		spares += files(dir, ".spare") > 0;
		assert_in_range(files(dir, ".log"), 1, 3);
		assert_in_range(files(dir, ".spare"), 0, 2);
		if (i % 20 == 0) assert_int_equal(disk_bytes(s), log_files_bytes(dir));
	}
	assert_true(spares > 10);
	/* Who needs the room gets all of it. */
	flow_end(&f, s);
	assert_true(spill_trim(s));
	assert_int_equal(disk_bytes(s), 0);
	assert_int_equal(files(dir, ".log") + files(dir, ".spare"), 0);
	spill_close(s);
	assert_int_equal(access(dir, F_OK), -1);
	rig_rmdir(dir);
	sl_free(dir);
}

static void test_spare__those_that_nobody_needs_go(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0};
	while (files(dir, ".spare") == 0) flow_step(&f, s);
	spill_rest(s);
	assert_int_equal(files(dir, ".spare"), 1); /* it has just come */
	spill_rest(s);
	assert_int_equal(files(dir, ".spare"), 0);
	assert_int_equal(disk_bytes(s), log_files_bytes(dir));
	flow_end(&f, s);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

/* What is behind the end of the active file is given back, too, and the log goes on. */
static void test_spare__trim_takes_what_is_behind_the_end(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0};
	struct spill_stat stat = {0};
	for (int i = 0; i < 100 || stat.spare_bytes < SEGMENT / 2; i++) {
		flow_step(&f, s);
		spill_stat(s, &stat);
	}
	assert_true(spill_trim(s));
	assert_int_equal(disk_bytes(s), stat.disk_bytes - stat.spare_bytes);
	assert_int_equal(disk_bytes(s), log_files_bytes(dir));
	for (int i = 0; i < 10; i++) flow_step(&f, s);
	spill_mark_write(s);
	uint64_t rows, expect = 0;
	for (size_t i = 0; i < UNDONE; i++) expect += f.rows[i];
	assert_int_equal(spill_count(dir, &rows), SL_OK);
	assert_int_equal(rows, expect);
	flow_end(&f, s);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

static void expect_undone(struct spill *s, const struct flow *f) {
	struct spill_ref ref;
	uint32_t rows;
	for (size_t n = f->n < UNDONE ? 0 : f->n - UNDONE; n < f->n; n++) {
		assert_int_equal(record_read(s, &ref, &rows), f->first[n % UNDONE]);
		assert_int_equal(rows, f->rows[n % UNDONE]);
		spill_done(s, &ref);
	}
	assert_int_equal(record_read(s, &ref, &rows), -1);
}

/* Killed between any two records: what was not done comes back, once and in order, and nobody is told of damage. */
static void test_spare__a_kill_leaves_what_was_not_done_and_no_more(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0};
	for (int i = 0; i < 300; i++) {
		flow_step(&f, s);
		spill_mark_write(s);
		char *copy = log_copy(dir);
		int fd = said_begin();
		struct spill *after = log_open(copy, SEGMENT);
		assert_int_equal(files(copy, ".spare"), 0);
		expect_undone(after, &f);
		assert_int_equal(record_append(after, 5, 1, NULL), SL_OK);
		spill_close(after);
		assert_int_equal(said_end(fd), 0);
		rig_rmdir(copy);
		sl_free(copy);
	}
	flow_end(&f, s);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

/* One that a former run had in use is as large as it is: it counts whole, and when it is used again the end is told from what is behind. */
static void test_spare__a_recovered_file_is_used_again(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0}, next = {.n = 0};
	struct spill_stat stat = {0};
	for (int i = 0; i < 100 || stat.spare_bytes < SEGMENT / 2; i++) {
		flow_step(&f, s);
		spill_stat(s, &stat);
	}
	spill_mark_write(s);
	char *copy = log_copy(dir);
	struct spill *after = log_open(copy, SEGMENT);
	assert_int_equal(disk_bytes(after), log_files_bytes(copy));
	expect_undone(after, &f);
	assert_in_range(files(copy, ".spare"), 1, 2);
	for (int i = 0; i < 60; i++) {
		flow_step(&next, after);
		assert_int_equal(disk_bytes(after), log_files_bytes(copy));
		spill_mark_write(after);
		char *killed = log_copy(copy);
		int fd = said_begin();
		spill_close(log_open(killed, SEGMENT));
		assert_int_equal(said_end(fd), 0);
		rig_rmdir(killed);
		sl_free(killed);
	}
	flow_end(&next, after);
	spill_close(after);
	flow_end(&f, s);
	spill_close(s);
	rig_rmdir(copy);
	rig_rmdir(dir);
	sl_free(copy);
	sl_free(dir);
}

static void byte_flip(const char *path, off_t at) {
	char byte;
	int fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Damage is told as ever: in the last record, and in the mark behind it. */
static void test_spare__damage_before_older_records_is_told(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0};
	struct spill_stat stat = {0};
	for (int i = 0; i < 100 || stat.spare_bytes < SEGMENT / 2; i++) {
		flow_step(&f, s);
		spill_stat(s, &stat);
	}
	spill_mark_write(s);
	for (int in_mark = 0; in_mark < 2; in_mark++) {
		char *copy = log_copy(dir), *path = spill_path(copy, s->active->first_seq);
		byte_flip(path, (off_t)s->active->end + (in_mark ? 4 : -1));
		int fd = said_begin();
		struct spill *after = log_open(copy, SEGMENT);
		assert_true(said_end(fd) > 0);
		struct spill_ref ref;
		uint32_t rows;
		size_t kept = 0;
		while (record_read(after, &ref, &rows) >= 0) {
			spill_done(after, &ref);
			kept++;
		}
		assert_int_equal(kept, in_mark ? UNDONE : UNDONE - 1);
		spill_close(after);
		rig_rmdir(copy);
		sl_free(copy);
		sl_free(path);
	}
	flow_end(&f, s);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

/* A power cut may leave the new name and the old bytes. */
static void test_spare__a_name_without_its_header_yet(void **state) {
	(void)state;
	for (int done = 0; done < 2; done++) {
		char *dir = rig_tmpdir();
		struct spill *s = log_open(dir, SEGMENT);
		struct spill_ref ref = {0};
		assert_int_equal(record_append(s, 0, 3, &ref), SL_OK);
		if (done) spill_done(s, &ref);
		spill_mark_write(s);
		char *copy = log_copy(dir), *from = sl_asprintf("%s/%020d.log", copy, 1),
		     *to = sl_asprintf("%s/%020d.log", copy, 9);
		assert_int_equal(rename(from, to), 0);
		int fd = said_begin();
		struct spill *after = log_open(copy, SEGMENT);
		assert_int_equal(said_end(fd) > 0, !done);
		assert_int_equal(files(copy, ".bad"), !done);
		assert_int_equal(spill_unread_rows(after), 0);
		assert_int_equal(record_append(after, 7, 1, NULL), SL_OK);
		spill_close(after);
		uint64_t rows;
		assert_int_equal(spill_count(copy, &rows), SL_OK);
		assert_int_equal(rows, 1);
		spill_close(s);
		rig_rmdir(copy);
		rig_rmdir(dir);
		sl_free(from);
		sl_free(to);
		sl_free(copy);
		sl_free(dir);
	}
}

/* Killed between making a file and writing its header: nothing is in it, and nothing to be told. */
static void test_spare__an_empty_file_goes_in_silence(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *path = sl_asprintf("%s/%020d.log", dir, 7);
	close(open(path, O_WRONLY | O_CREAT, 0666));
	int fd = said_begin();
	struct spill *s = log_open(dir, SEGMENT);
	assert_int_equal(said_end(fd), 0);
	assert_int_equal(files(dir, ".log"), 0);
	assert_int_equal(record_append(s, 0, 1, NULL), SL_OK);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(path);
	sl_free(dir);
}

static void test_spare__none_where_files_are_synced(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill_opts opts = {
	    .dir = dir, .segment_bytes = SEGMENT, .columns = log_columns, .column_count = 2, .sync = false};
	struct spill *s = log_open(dir, SEGMENT);
	struct flow f = {.n = 0};
	while (files(dir, ".spare") == 0) flow_step(&f, s);
	opts.sync = true;
	spill_change(s, &opts);
	size_t spares = files(dir, ".spare");
	for (int i = 0; i < 100; i++) {
		flow_step(&f, s);
		assert_int_equal(files(dir, ".spare"), spares);
	}
	flow_end(&f, s);
	spill_close(s);
	assert_int_equal(access(dir, F_OK), -1);
	rig_rmdir(dir);
	sl_free(dir);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spare__files_go_round),
	    cmocka_unit_test(test_spare__those_that_nobody_needs_go),
	    cmocka_unit_test(test_spare__trim_takes_what_is_behind_the_end),
	    cmocka_unit_test(test_spare__a_kill_leaves_what_was_not_done_and_no_more),
	    cmocka_unit_test(test_spare__a_recovered_file_is_used_again),
	    cmocka_unit_test(test_spare__damage_before_older_records_is_told),
	    cmocka_unit_test(test_spare__a_name_without_its_header_yet),
	    cmocka_unit_test(test_spare__an_empty_file_goes_in_silence),
	    cmocka_unit_test(test_spare__none_where_files_are_synced),
	};
	log_set_level(LOG_OFF);
	return cmocka_run_group_tests_name("spill_spare", tests, NULL, NULL);
}
