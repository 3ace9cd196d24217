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

/* A log whose last few records are not done, whatever comes. */
struct flow {
	char *dir;
	struct spill *s;
	struct spill_ref ref[UNDONE];
	uint64_t first[UNDONE], serial;
	uint32_t rows[UNDONE];
	size_t n; /* records ever */
};

static struct flow flow_in(char *dir) { return (struct flow){.dir = dir, .s = log_open(dir, SEGMENT)}; }

static void flow_step(struct flow *f) {
	size_t i = f->n % UNDONE;
	if (f->n >= UNDONE) spill_done(f->s, &f->ref[i]);
	f->first[i] = f->serial;
	f->rows[i] = 1 + (uint32_t)sl_rng_below(9);
	assert_int_equal(record_append(f->s, f->serial, f->rows[i], &f->ref[i]), SL_OK);
	f->serial += f->rows[i];
	f->n++;
}

static struct spill_stat flow_stat(const struct flow *f) {
	struct spill_stat stat;
	spill_stat(f->s, &stat);
	return stat;
}

/* Until its file has much of a former segment behind the end. */
static void flow_until_behind(struct flow *f) {
	for (int i = 0; i < 100 || flow_stat(f).spare_bytes < SEGMENT / 2; i++) flow_step(f);
}

static void flow_done(struct flow *f) {
	for (size_t i = 0; i < UNDONE && i < f->n; i++)
		if (spill_ref_logged(&f->ref[i])) spill_done(f->s, &f->ref[i]);
}

/* The folder goes, too. */
static void flow_end(struct flow *f) {
	flow_done(f);
	spill_close(f->s);
	rig_rmdir(f->dir);
	sl_free(f->dir);
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

/* The log opened as a killed process leaves it; returns how much was told of it. */
static off_t flow_killed(struct flow *f, struct flow *after) {
	spill_mark_write(f->s);
	char *copy = log_copy(f->dir);
	int fd = said_begin();
	*after = flow_in(copy);
	return said_end(fd);
}

static void expect_counted(const struct flow *f) { assert_int_equal(flow_stat(f).disk_bytes, log_files_bytes(f->dir)); }

static void test_spare__files_go_round(void **state) {
	(void)state;
	struct flow f = flow_in(rig_tmpdir());
	size_t spares = 0;
	for (int i = 0; i < 400; i++) {
		flow_step(&f);
		spares += files(f.dir, ".spare") > 0;
		assert_in_range(files(f.dir, ".log"), 1, 3);
		assert_in_range(files(f.dir, ".spare"), 0, 2);
		if (i % 20 == 0) expect_counted(&f);
	}
	assert_true(spares > 10);
	/* Who needs the room gets all of it. */
	flow_done(&f);
	assert_true(spill_trim(f.s));
	assert_int_equal(flow_stat(&f).disk_bytes, 0);
	assert_int_equal(files(f.dir, ".log") + files(f.dir, ".spare"), 0);
	spill_close(f.s);
	assert_int_equal(access(f.dir, F_OK), -1);
	sl_free(f.dir);
}

static void test_spare__those_that_nobody_needs_go(void **state) {
	(void)state;
	struct flow f = flow_in(rig_tmpdir());
	while (files(f.dir, ".spare") == 0) flow_step(&f);
	spill_rest(f.s);
	assert_int_equal(files(f.dir, ".spare"), 1); /* it has just come */
	spill_rest(f.s);
	assert_int_equal(files(f.dir, ".spare"), 0);
	expect_counted(&f);
	flow_end(&f);
}

/* What is behind the end of the active file is given back, too, and the log goes on. */
static void test_spare__trim_takes_what_is_behind_the_end(void **state) {
	(void)state;
	struct flow f = flow_in(rig_tmpdir());
	flow_until_behind(&f);
	struct spill_stat stat = flow_stat(&f);
	assert_true(spill_trim(f.s));
	assert_int_equal(flow_stat(&f).disk_bytes, stat.disk_bytes - stat.spare_bytes);
	expect_counted(&f);
	for (int i = 0; i < 10; i++) flow_step(&f);
	spill_mark_write(f.s);
	uint64_t rows, expect = 0;
	for (size_t i = 0; i < UNDONE; i++) expect += f.rows[i];
	assert_int_equal(spill_count(f.dir, &rows), SL_OK);
	assert_int_equal(rows, expect);
	flow_end(&f);
}

/* In the log `after`, which was opened behind it. */
static void expect_undone(const struct flow *f, const struct flow *after) {
	struct spill_ref ref;
	uint32_t rows;
	for (size_t n = f->n < UNDONE ? 0 : f->n - UNDONE; n < f->n; n++) {
		assert_int_equal(record_read(after->s, &ref, &rows), f->first[n % UNDONE]);
		assert_int_equal(rows, f->rows[n % UNDONE]);
		spill_done(after->s, &ref);
	}
	assert_int_equal(record_read(after->s, &ref, &rows), -1);
}

/* Killed between any two records: what was not done comes back, once and in order, and nobody is told of damage. */
static void test_spare__a_kill_leaves_what_was_not_done_and_no_more(void **state) {
	(void)state;
	struct flow f = flow_in(rig_tmpdir()), after;
	for (int i = 0; i < 300; i++) {
		flow_step(&f);
		assert_int_equal(flow_killed(&f, &after), 0);
		assert_int_equal(files(after.dir, ".spare"), 0);
		expect_undone(&f, &after);
		assert_int_equal(record_append(after.s, 5, 1, NULL), SL_OK);
		flow_end(&after);
	}
	flow_end(&f);
}

/* One that a former run had in use is as large as it is: it counts whole, and when it is used again the end is told from what is behind. */
static void test_spare__a_recovered_file_is_used_again(void **state) {
	(void)state;
	struct flow f = flow_in(rig_tmpdir()), after, killed;
	flow_until_behind(&f);
	assert_int_equal(flow_killed(&f, &after), 0);
	expect_counted(&after);
	expect_undone(&f, &after);
	assert_in_range(files(after.dir, ".spare"), 1, 2);
	for (int i = 0; i < 60; i++) {
		flow_step(&after);
		expect_counted(&after);
		assert_int_equal(flow_killed(&after, &killed), 0);
		flow_end(&killed);
	}
	flow_end(&after);
	flow_end(&f);
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
	struct flow f = flow_in(rig_tmpdir());
	flow_until_behind(&f);
	spill_mark_write(f.s);
	for (int in_mark = 0; in_mark < 2; in_mark++) {
		char *copy = log_copy(f.dir), *path = spill_path(copy, f.s->active->first_seq);
		byte_flip(path, (off_t)f.s->active->end + (in_mark ? 4 : -1));
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
	flow_end(&f);
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
	struct flow f = flow_in(rig_tmpdir());
	struct spill_opts opts = {
	    .dir = f.dir, .segment_bytes = SEGMENT, .columns = log_columns, .column_count = 2, .sync = true};
	while (files(f.dir, ".spare") == 0) flow_step(&f);
	spill_change(f.s, &opts);
	size_t spares = files(f.dir, ".spare");
	for (int i = 0; i < 100; i++) {
		flow_step(&f);
		assert_int_equal(files(f.dir, ".spare"), spares);
	}
	flow_done(&f);
	spill_close(f.s);
	assert_int_equal(access(f.dir, F_OK), -1);
	sl_free(f.dir);
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
