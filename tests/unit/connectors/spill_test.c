/* The segment log: against an array twin, cut at every byte, on a full disk, and under damage. */
#include "spill_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "rng.h"
#include "sql_row.h"

static uint64_t unread(const struct spill *s) {
	struct spill_stat stat;
	spill_stat(s, &stat);
	return stat.unread_rows;
}

static void test_spill__what_was_not_done_comes_back_in_order(void **state) {
	char *dir = rig_tmpdir();
	(void)state;
	struct spill *s = log_open(dir, 1 << 20);
	for (uint64_t i = 0; i < 10; i++) assert_int_equal(record_append(s, i * 3, 3, NULL), SL_OK);
	struct spill_ref ref;
	uint32_t rows;
	for (int64_t i = 0; i < 4; i++) {
		assert_int_equal(record_read(s, &ref, &rows), i * 3);
		spill_done(s, &ref);
	}
	spill_close(s);
	s = log_open(dir, 1 << 20);
	assert_int_equal(unread(s), 18);
	for (int64_t i = 4; i < 10; i++) {
		assert_int_equal(record_read(s, &ref, &rows), i * 3);
		spill_done(s, &ref);
	}
	assert_int_equal(record_read(s, &ref, &rows), -1);
	spill_close(s);
	assert_int_equal(files(dir, ".log"), 0);
	rig_rmdir(dir);
	sl_free(dir);
}

static void test_spill__the_mark_stands_at_the_oldest_undone_record(void **state) {
	char *dir = rig_tmpdir();
	(void)state;
	struct spill *s = log_open(dir, 1 << 20);
	struct spill_ref ref[3] = {0};
	for (uint64_t i = 0; i < 3; i++) assert_int_equal(record_append(s, i, 1, &ref[i]), SL_OK);
	spill_done(s, &ref[1]);
	spill_done(s, &ref[2]);
	spill_mark_write(s);
	uint64_t rows;
	assert_int_equal(spill_count(dir, &rows), SL_OK);
	assert_int_equal(rows, 1);
	spill_done(s, &ref[0]);
	spill_mark_write(s);
	assert_int_equal(spill_count(dir, &rows), SL_OK);
	assert_int_equal(rows, 0);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

static void test_spill__segments_are_deleted_whole(void **state) {
	char *dir = rig_tmpdir();
	(void)state;
	struct spill *s = log_open(dir, 4096);
	for (uint64_t i = 0; i < 400; i++) assert_int_equal(record_append(s, i, 1, NULL), SL_OK);
	size_t before = files(dir, ".log");
	assert_true(before > 5);
	struct spill_ref ref;
	uint32_t rows;
	for (int i = 0; i < 200; i++) {
		assert_int_equal(record_read(s, &ref, &rows), i);
		spill_done(s, &ref);
	}
	assert_in_range(files(dir, ".log"), before / 2 - 1, before / 2 + 2);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

static void expect_reads(struct spill *s, struct spill_ref *refs, const int64_t *firsts, size_t n) {
	uint32_t rows;
	assert_int_equal(unread(s), n * 2);
	for (size_t i = 0; i < n; i++) assert_int_equal(record_read(s, &refs[i], &rows), firsts[i]);
	struct spill_ref none;
	assert_int_equal(record_read(s, &none, &rows), -1);
}

/* Rows that are tried again and again keep their records; what is done behind them does not come back, in however many runs. */
static void test_spill__records_done_behind_one_that_is_not_do_not_repeat(void **state) {
	(void)state;
	for (uint64_t segment = 500; segment <= 1 << 20; segment *= 2048) {
		char *dir = rig_tmpdir();
		struct spill *s = log_open(dir, segment);
		static struct spill_ref refs[200], again[3];
		memset(refs, 0, sizeof refs);
		for (uint64_t i = 0; i < 200; i++) assert_int_equal(record_append(s, i * 10, 2, &refs[i]), SL_OK);
		for (uint64_t i = 0; i < 200; i++)
			if (i != 5 && i != 150) spill_done(s, &refs[i]);
		assert_true(spill_mark_due(s));
		spill_mark_write(s);
		assert_false(spill_mark_due(s));
		spill_close(s);
		uint64_t rows;
		assert_int_equal(spill_count(dir, &rows), SL_OK);
		assert_int_equal(rows, 4);
		/* Nothing is read, some is read, and more comes: still the same. */
		s = log_open(dir, segment);
		assert_int_equal(unread(s), 4);
		spill_mark_write(s);
		spill_close(s);
		s = log_open(dir, segment);
		uint32_t n;
		assert_int_equal(record_read(s, &again[0], &n), 50);
		assert_int_equal(record_append(s, 5000, 2, NULL), SL_OK);
		spill_mark_write(s);
		spill_close(s);
		s = log_open(dir, segment);
		expect_reads(s, again, (const int64_t[]){50, 1500, 5000}, 3);
		spill_done(s, &again[1]);
		spill_mark_write(s);
		spill_close(s);
		s = log_open(dir, segment);
		expect_reads(s, again, (const int64_t[]){50, 5000}, 2);
		for (int i = 0; i < 2; i++) spill_done(s, &again[i]);
		spill_close(s);
		assert_int_equal(files(dir, ".log"), 0);
		rig_rmdir(dir);
		sl_free(dir);
	}
}

/* The last record is cut at each of its bytes: all before it are kept, and none after. */
static void test_spill__a_torn_record_is_cut_wherever_it_breaks(void **state) {
	(void)state;
	struct sl_buf last = record_make(100, 3);
	for (size_t cut = 1; cut <= last.n; cut++) {
		char *dir = rig_tmpdir();
		struct spill *s = log_open(dir, 1 << 20);
		for (uint64_t i = 0; i < 3; i++) assert_int_equal(record_append(s, i * 10, 2, NULL), SL_OK);
		assert_int_equal(record_append(s, 100, 3, NULL), SL_OK);
		spill_close(s);
		char *path = sl_asprintf("%s/%020d.log", dir, 1);
		struct stat st;
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, st.st_size - (off_t)cut), 0);
		s = log_open(dir, 1 << 20);
		assert_int_equal(unread(s), 6);
		/* What comes later is behind the cut, and both are read. */
		assert_int_equal(record_append(s, 200, 1, NULL), SL_OK);
		spill_close(s);
		s = log_open(dir, 1 << 20);
		struct spill_ref ref;
		uint32_t rows;
		int64_t expect[] = {0, 10, 20, 200};
		for (size_t i = 0; i < SL_ARRAY_LEN(expect); i++) {
			assert_int_equal(record_read(s, &ref, &rows), expect[i]);
			spill_done(s, &ref);
		}
		assert_int_equal(record_read(s, &ref, &rows), -1);
		spill_close(s);
		sl_free(path);
		rig_rmdir(dir);
		sl_free(dir);
	}
	sl_buf_fini(&last);
}

static void test_spill__a_flipped_bit_never_gives_a_wrong_row(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, 1 << 20);
	for (uint64_t i = 0; i < 3; i++) assert_int_equal(record_append(s, i * 10, 2, NULL), SL_OK);
	spill_close(s);
	char *path = sl_asprintf("%s/%020d.log", dir, 1), *mark = sl_asprintf("%s/mark", dir);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	char *whole = sl_alloc((size_t)st.st_size);
	int fd = open(path, O_RDONLY);
	assert_int_equal(read(fd, whole, (size_t)st.st_size), st.st_size);
	close(fd);
	for (off_t at = 0; at < st.st_size; at++) {
		whole[at] ^= 0x10;
		mkdir(dir, 0777);
		fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0666);
		assert_int_equal(write(fd, whole, (size_t)st.st_size), st.st_size);
		close(fd);
		whole[at] ^= 0x10;
		unlink(mark);
		struct spill_opts opts = {
		    .dir = dir, .segment_bytes = 1 << 20, .columns = log_columns, .column_count = 2};
		if (spill_open(&opts, &s, NULL) != SL_OK) continue; /* its version was hit */
		struct spill_ref ref;
		uint32_t rows;
		for (int64_t i = 0, first; (first = record_read(s, &ref, &rows)) >= 0; i += 10) {
			assert_int_equal(first, i);
			spill_done(s, &ref);
		}
		spill_close(s);
		char *bad = sl_asprintf("%s.bad", path);
		unlink(bad);
		sl_free(bad);
	}
	sl_free(whole);
	sl_free(mark);
	sl_free(path);
	rig_rmdir(dir);
	sl_free(dir);
}

/* Reads the one record that is there, tells that `bits` of its rows are decided, and closes. Returns a bit for each row that was given. */
static uint64_t decided_run(const char *dir, uint64_t bits, uint32_t told) {
	struct spill *s = log_open(dir, 1 << 20);
	struct sl_buf b = SL_BUF_INIT;
	struct spill_ref ref = {0};
	uint32_t rows = 0;
	uint64_t counted, given = 0, unread = spill_unread_rows(s);
	assert_int_equal(spill_count(dir, &counted), SL_OK);
	assert_int_equal(spill_read(s, &b, &ref, &rows, NULL), SL_OK);
	assert_int_equal(rows, unread);
	assert_int_equal(rows, counted);
	assert_int_equal(spill_unread_rows(s), 0);
	const char *row = b.p;
	for (uint32_t i = 0; i < rows; row += sql_row_head(row)->size) {
		if (sql_row_head(row)->flags & SQL_ROW_FRAME) continue;
		given |= (uint64_t)1 << sql_row_get(row, 1).i;
		i++;
	}
	assert_ptr_equal(row, b.p + b.n);
	if (told) spill_decided(s, &ref, &bits, told);
	spill_close(s);
	sl_buf_fini(&b);
	return given;
}

/* Of a record that is not done: each run tells of the rows that it got. */
static void test_spill__rows_that_are_decided_do_not_repeat(void **state) {
	(void)state;
	char *dir = rig_tmpdir(), *path = sl_asprintf("%s/decided", dir);
	struct spill *s = log_open(dir, 1 << 20);
	struct spill_ref ref = {0};
	uint64_t bits = 0x1c; /* 2, 3 and 4 */
	assert_int_equal(record_append(s, 0, 10, &ref), SL_OK);
	spill_decided(s, &ref, &bits, 10);
	spill_close(s);
	assert_int_equal(decided_run(dir, 0x1, 8), 0x3e3); /* another number: passed over */
	assert_int_equal(decided_run(dir, 0, 0), 0x3e3);   /* nothing new */
	assert_int_equal(decided_run(dir, 0x5, 7), 0x3e3); /* the first and the third of those: 0 and 5 */
	assert_int_equal(decided_run(dir, 0, 0), 0x3c2);
	/* Damaged: all come again. */
	int fd = open(path, O_RDWR);
	assert_int_equal(pwrite(fd, "x", 1, 30), 1);
	close(fd);
	assert_int_equal(decided_run(dir, 0, 0), 0x3ff);
	assert_int_equal(decided_run(dir, 0x1, 10), 0x3ff);
	assert_int_equal(decided_run(dir, 0, 0), 0x3fe);
	/* Another record with the same number: of a version that does not know of the file, and left it when the log was empty. */
	char *log = sl_asprintf("%s/%020d.log", dir, 1), *mark = sl_asprintf("%s/mark", dir);
	assert_int_equal(unlink(log) + unlink(mark), 0);
	s = log_open(dir, 1 << 20);
	assert_int_equal(record_append(s, 20, 10, NULL), SL_OK);
	spill_close(s);
	assert_int_equal(decided_run(dir, 0, 0), 0x3ff << 20);
	sl_free(log);
	sl_free(mark);
	sl_free(path);
	rig_rmdir(dir);
	sl_free(dir);
}

/* Of several records, also when the one that came later is told of first: numbers say in which order they were written. */
static void test_spill__decided_rows_are_told_in_any_order(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, 1 << 20);
	struct spill_ref ref[3] = {0};
	uint64_t bits = 0x1c;
	for (uint64_t i = 0; i < 3; i++) assert_int_equal(record_append(s, i * 10, 10, &ref[i]), SL_OK);
	spill_decided(s, &ref[2], &bits, 10);
	spill_decided(s, &ref[0], &bits, 10);
	spill_decided(s, &ref[1], &bits, 10);
	spill_close(s);
	s = log_open(dir, 1 << 20);
	assert_int_equal(spill_unread_rows(s), 21);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

/* Who has given the others away cannot find its rows again in the whole record. */
static void test_spill__a_record_goes_back_as_it_came(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, 1 << 20);
	struct spill_ref ref;
	uint32_t rows;
	assert_int_equal(record_append(s, 0, 10, NULL), SL_OK);
	assert_int_equal(record_read(s, &ref, &rows), 0);
	assert_false(spill_unread(s, &ref, 7, 0));
	assert_true(spill_unread(s, &ref, 10, 3));
	assert_int_equal(spill_unread_rows(s), 7);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

/* Whoever reads it again in this run gets all of it, and the next run what was not decided. */
static void test_spill__a_record_that_goes_back_says_which_rows_are_decided(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, 1 << 20);
	struct spill_ref ref;
	uint64_t bits = 0x7;
	uint32_t rows;
	for (uint64_t i = 0; i < 3; i++) assert_int_equal(record_append(s, i * 10, 10, NULL), SL_OK);
	assert_int_equal(record_read(s, &ref, &rows), 0);
	assert_true(spill_unread(s, &ref, 10, 3));
	spill_unread_decided(s, &bits, 10);
	assert_int_equal(record_read(s, &ref, &rows), 0);
	assert_int_equal(rows, 10);
	assert_int_equal(spill_unread_rows(s), 20);
	assert_true(spill_unread(s, &ref, 10, 3));
	spill_unread_decided(s, &bits, 10);
	spill_close(s);
	s = log_open(dir, 1 << 20);
	assert_int_equal(spill_unread_rows(s), 27);
	/* And of those again, one more. */
	assert_int_equal(record_read(s, &ref, &rows), 3);
	assert_int_equal(rows, 7);
	bits = 0x1;
	assert_true(spill_unread(s, &ref, 7, 1));
	spill_unread_decided(s, &bits, 7);
	assert_int_equal(spill_unread_rows(s), 26);
	spill_close(s);
	s = log_open(dir, 1 << 20);
	assert_int_equal(spill_unread_rows(s), 26);
	assert_int_equal(record_read(s, &ref, &rows), 4);
	assert_int_equal(rows, 6);
	spill_done(s, &ref);
	spill_close(s);
	rig_rmdir(dir);
	sl_free(dir);
}

static void test_spill__a_segment_tells_the_names_it_was_written_with(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, 1 << 20);
	assert_int_equal(record_append(s, 0, 1, NULL), SL_OK);
	spill_close(s);
	const struct sl_slice others[] = {{"n", 1}, {"colour", 6}};
	s = log_open_with(dir, 1 << 20, others, 2);
	struct sl_buf b = SL_BUF_INIT;
	struct spill_ref ref = {0};
	uint32_t rows;
	const struct spill_names *old = NULL;
	assert_int_equal(spill_read(s, &b, &ref, &rows, &old), SL_OK);
	assert_non_null(old);
	assert_int_equal(old->count, 2);
	assert_true(slice_equal_str(old->at[0], "device"));
	spill_close(s);
	sl_buf_fini(&b);
	rig_rmdir(dir);
	sl_free(dir);
}

/* Refused, counted as unknown, and left as it is: that version shall deliver it. */
static void test_spill__what_another_version_wrote_stays(void **state) {
	char *dir = rig_tmpdir(), *path = sl_asprintf("%s/00000000000000000001.log", dir);
	(void)state;
	struct spill *s = log_open(dir, 1 << 20);
	assert_int_equal(record_append(s, 1, 3, NULL), SL_OK);
	spill_close(s);
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0 && pwrite(fd, "SLSEG999", 8, 0) == 8);
	close(fd);
	struct spill_opts opts = {.dir = dir, .segment_bytes = 4096, .columns = log_columns, .column_count = 2};
	struct sl_err err = SL_ERR_INIT;
	uint64_t rows;
	assert_int_equal(spill_open(&opts, &s, &err), SL_EUNSUPPORTED);
	assert_non_null(strstr(sl_err_text(&err), "another version of Sluice"));
	assert_int_equal(spill_count(dir, &rows), SL_EUNSUPPORTED);
	assert_int_equal(access(path, F_OK), 0);
	sl_err_fini(&err);
	rig_rmdir(dir);
	sl_free(path);
	sl_free(dir);
}

static void test_spill__a_record_that_does_not_fit_leaves_no_trace(void **state) {
	(void)state;
	char *dir = rig_tmpdir();
	struct spill *s = log_open(dir, 1 << 20);
	assert_int_equal(record_append(s, 0, 1, NULL), SL_OK);
	struct stat st;
	char *path = sl_asprintf("%s/%020d.log", dir, 1);
	assert_int_equal(stat(path, &st), 0);
	/* A file size limit cuts a write short just as a full disk does. */
	pid_t child = fork();
	if (child == 0) {
		struct sl_buf big = record_make(1, 100);
		struct rlimit limit = {(rlim_t)st.st_size + 100, (rlim_t)st.st_size + 100};
		signal(SIGXFSZ, SIG_IGN);
		if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
		void *record = big.p;
		struct spill_ref *none = NULL;
		int status;
		size_t n = spill_append(s, &record, &big.n, &none, 1, &status);
		_exit(n == 0 && status != SL_OK ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	struct stat after;
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, st.st_size);
	assert_int_equal(record_append(s, 1, 1, NULL), SL_OK);
	spill_close(s);
	s = log_open(dir, 1 << 20);
	assert_int_equal(unread(s), 2);
	spill_close(s);
	sl_free(path);
	rig_rmdir(dir);
	sl_free(dir);
}

/* ---- Random steps against an array. ---- */

#define TWIN_MAX 4000
struct twin {
	struct {
		uint64_t first;
		uint32_t rows;
		bool done;
		struct spill_ref ref;
	} record[TWIN_MAX];
	size_t n, next_read; /* records; the first one that is only in the log */
	uint64_t serial;
};

static void twin_append(struct twin *t, struct spill *s) {
	size_t i = t->n;
	if (i == TWIN_MAX) return;
	t->record[i].first = t->serial;
	t->record[i].rows = 1 + (uint32_t)sl_rng_below(5);
	t->record[i].done = false;
	t->record[i].ref = (struct spill_ref){0};
	bool keep = t->next_read == t->n && sl_rng_below(4) != 0;
	assert_int_equal(record_append(s, t->serial, t->record[i].rows, keep ? &t->record[i].ref : NULL), SL_OK);
	t->serial += t->record[i].rows;
	t->n++;
	if (keep) t->next_read = t->n;
}

static void twin_read(struct twin *t, struct spill *s) {
	struct spill_ref ref;
	uint32_t rows = 0;
	struct sl_buf b = SL_BUF_INIT;
	if (t->next_read == t->n) {
		assert_int_equal(record_read(s, &ref, &rows), -1);
		return;
	}
	size_t i = t->next_read++;
	assert_int_equal(spill_read(s, &b, &t->record[i].ref, &rows, NULL), SL_OK);
	assert_int_equal(rows, t->record[i].rows);
	assert_int_equal(sql_row_get(b.p, 1).i, t->record[i].first);
	sl_buf_fini(&b);
}

static void twin_done(struct twin *t, struct spill *s) {
	if (t->next_read == 0) return;
	size_t i = t->next_read - 1 - sl_rng_below(t->next_read < 50 ? t->next_read : 50);
	if (t->record[i].done) return;
	t->record[i].done = true;
	spill_done(s, &t->record[i].ref);
}

/* Closing and opening: all from the oldest undone record of each segment on comes back; the twin learns which were repeated by
 * reading them, and only done ones may be missing. */
static struct spill *twin_reopen(struct twin *t, struct spill *s, const char *dir) {
	spill_close(s);
	s = log_open(dir, 2048);
	size_t i = 0;
	struct twin *fresh = SL_NEW(struct twin);
	for (;;) {
		struct spill_ref ref;
		uint32_t rows;
		int64_t first = record_read(s, &ref, &rows);
		while (i < t->n && (first < 0 || t->record[i].first != (uint64_t)first))
			assert_true(t->record[i++].done);
		if (first < 0) break;
		assert_true(i < t->n);
		fresh->record[fresh->n].first = (uint64_t)first;
		fresh->record[fresh->n].rows = rows;
		fresh->n++;
		i++;
		spill_done(s, &ref);
	}
	/* Put back what was read here: as new records. */
	size_t n = fresh->n;
	fresh->n = 0;
	fresh->serial = t->serial;
	for (size_t k = 0; k < n; k++) {
		fresh->record[k].ref = (struct spill_ref){0};
		fresh->record[k].done = false;
		assert_int_equal(record_append(s, fresh->record[k].first, fresh->record[k].rows, NULL), SL_OK);
		fresh->n++;
	}
	fresh->next_read = 0;
	memcpy(t, fresh, sizeof *t);
	sl_free(fresh);
	return s;
}

static void test_spill__random_steps_agree_with_an_array(void **state) {
	(void)state;
	for (int round = 0; round < 8; round++) {
		char *dir = rig_tmpdir();
		struct spill *s = log_open(dir, 2048);
		struct twin *t = SL_NEW(struct twin);
		for (int step = 0; step < 4000; step++) {
			uint64_t dice = sl_rng_below(1000);
			if (dice < 400)
				twin_append(t, s);
			else if (dice < 650)
				twin_read(t, s);
			else if (dice < 980)
				twin_done(t, s);
			else if (dice < 996)
				spill_mark_write(s);
			else if (sl_rng_below(4) == 0)
				s = twin_reopen(t, s, dir);
		}
		/* Links of records in memory live in the twin. */
		s = twin_reopen(t, s, dir);
		while (t->next_read < t->n) {
			twin_read(t, s);
			spill_done(s, &t->record[t->next_read - 1].ref);
		}
		spill_close(s);
		assert_int_equal(files(dir, ".log"), 0);
		sl_free(t);
		rig_rmdir(dir);
		sl_free(dir);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_spill__what_was_not_done_comes_back_in_order),
	    cmocka_unit_test(test_spill__the_mark_stands_at_the_oldest_undone_record),
	    cmocka_unit_test(test_spill__segments_are_deleted_whole),
	    cmocka_unit_test(test_spill__records_done_behind_one_that_is_not_do_not_repeat),
	    cmocka_unit_test(test_spill__a_torn_record_is_cut_wherever_it_breaks),
	    cmocka_unit_test(test_spill__a_flipped_bit_never_gives_a_wrong_row),
	    cmocka_unit_test(test_spill__rows_that_are_decided_do_not_repeat),
	    cmocka_unit_test(test_spill__decided_rows_are_told_in_any_order),
	    cmocka_unit_test(test_spill__a_record_goes_back_as_it_came),
	    cmocka_unit_test(test_spill__a_record_that_goes_back_says_which_rows_are_decided),
	    cmocka_unit_test(test_spill__a_segment_tells_the_names_it_was_written_with),
	    cmocka_unit_test(test_spill__what_another_version_wrote_stays),
	    cmocka_unit_test(test_spill__a_record_that_does_not_fit_leaves_no_trace),
	    cmocka_unit_test(test_spill__random_steps_agree_with_an_array),
	};
	log_set_level(LOG_OFF);
	return cmocka_run_group_tests_name("spill", tests, NULL, NULL);
}
