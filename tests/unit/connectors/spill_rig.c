/* spill_rig.c: see spill_rig.h. */
#include "spill_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sql_row.h"

const struct sl_slice log_columns[2] = {{"device", 6}, {"n", 1}};

struct spill *log_open_with(const char *dir, uint64_t segment_bytes, const struct sl_slice *names, size_t count) {
	struct spill_opts opts = {.dir = dir, .segment_bytes = segment_bytes, .columns = names, .column_count = count};
	struct spill *s;
	struct sl_err err = SL_ERR_INIT;
	if (spill_open(&opts, &s, &err) != SL_OK) fail_msg("%s", sl_err_text(&err));
	return s;
}
struct spill *log_open(const char *dir, uint64_t segment_bytes) {
	return log_open_with(dir, segment_bytes, log_columns, 2);
}

struct sl_buf record_make(uint64_t first, uint32_t rows) {
	struct sl_buf b = SL_BUF_INIT;
	struct spill_head head = {.rows = rows};
	sl_buf_append(&b, &head, sizeof head);
	for (uint32_t i = 0; i < rows; i++) {
		struct sql_value v[2] = {sql_string(SL_SLICE_LIT("a name")), sql_int((int64_t)(first + i))};
		sql_row_write(&b, v, 2, 0, 7, 1000);
	}
	return b;
}

int record_append(struct spill *s, uint64_t first, uint32_t rows, struct spill_ref *keep) {
	struct sl_buf b = record_make(first, rows);
	void *record = b.p;
	int status;
	(void)spill_append(s, &record, &b.n, &keep, 1, &status);
	sl_buf_fini(&b);
	return status;
}

int64_t record_read(struct spill *s, struct spill_ref *ref, uint32_t *rows) {
	struct sl_buf b = SL_BUF_INIT;
	*ref = (struct spill_ref){0};
	int r = spill_read(s, &b, ref, rows, NULL);
	int64_t first = -1;
	if (r == SL_OK) {
		first = sql_row_get(b.p, 1).i;
		const char *row = b.p;
		for (uint32_t i = 0; i < *rows; i++) {
			assert_int_equal(sql_row_get(row, 1).i, first + i);
			row += sql_row_head(row)->size;
		}
	} else
		assert_int_equal(r, SL_ENOTFOUND);
	sl_buf_fini(&b);
	return first;
}

size_t files(const char *dir, const char *end) {
	DIR *d = opendir(dir);
	size_t n = 0;
	if (!d) return 0; /* an empty log leaves no folder */
	for (struct dirent *e; (e = readdir(d));) {
		size_t len = strlen(e->d_name);
		n += len > strlen(end) && strcmp(e->d_name + len - strlen(end), end) == 0;
	}
	closedir(d);
	return n;
}

static void file_copy(const char *from, const char *to) {
	char bytes[4096];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	assert_true(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;) assert_int_equal(write(out, bytes, (size_t)n), n);
	close(in);
	close(out);
}

char *log_copy(const char *dir) {
	char *copy = rig_tmpdir();
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.') continue;
		char *from = sl_asprintf("%s/%s", dir, e->d_name), *to = sl_asprintf("%s/%s", copy, e->d_name);
		file_copy(from, to);
		sl_free(from);
		sl_free(to);
	}
	closedir(d);
	return copy;
}

uint64_t log_files_bytes(const char *dir) {
	uint64_t n = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		char *path = sl_asprintf("%s/%s", dir, e->d_name);
		bool counts = strcmp(e->d_name, "mark") != 0 && e->d_name[0] != '.';
		if (counts && stat(path, &st) == 0) n += (uint64_t)st.st_size;
		sl_free(path);
	}
	if (d) closedir(d);
	return n;
}
