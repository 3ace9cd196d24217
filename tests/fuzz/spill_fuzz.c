/* Any bytes as a segment of the log: recovery and reading must neither crash nor hand out a row that does not check. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "origin.h"
#include "spill.h"
#include "sql_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir;

static void scratch_remove(void) {
	rmdir(dir);
	sl_free(dir);
	dir = NULL;
}

static void scratch_dir(void) {
	if (dir) return;
	const char *base = getenv("TMPDIR");
	if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	atexit(scratch_remove);
	dir = sl_asprintf("%s/sluice-spill-fuzz-XXXXXX", base);
	if (!mkdtemp(dir)) abort();
	log_set_level(LOG_OFF);
}

static void origin_walk(const char *record) {
	struct sl_origin o;
	struct sl_buf json = SL_BUF_INIT;
	if (sl_origin_read(record, &o) != SL_OK) abort();
	sl_origin_json(&o, &json);
	sl_buf_fini(&json);
}

static void rows_walk(const char *row, uint32_t rows) {
	while (rows > 0) {
		uint32_t size;
		bool frame = sql_row_head(row)->flags & SQL_ROW_FRAME;
		rows -= !frame;
		if (frame) origin_walk(row);
		if (sql_row_check(slice_make(row, sql_row_head(row)->size), &size) != SL_OK) abort();
		for (uint16_t i = 0; i < sql_row_head(row)->count; i++) {
			struct sql_value v = sql_row_get(row, i);
			volatile char last = 0;
			if (v.kind >= SQL_STRING && v.n > 0) last = v.p[v.n - 1];
			(void)last;
		}
		row += size;
	}
}

static void log_read_all(void) {
	const struct sl_slice columns[] = {{"a", 1}, {"b", 1}};
	struct spill_opts opts = {.dir = dir, .segment_bytes = 65536, .columns = columns, .column_count = 2};
	struct spill *s;
	if (spill_open(&opts, &s, NULL) != SL_OK) return;
	for (int r = SL_OK; r == SL_OK || r == SL_ECORRUPT;) {
		struct sl_buf out = SL_BUF_INIT;
		struct spill_ref ref = {0};
		uint32_t rows = 0;
		r = spill_read(s, &out, &ref, &rows, NULL);
		if (r == SL_OK) {
			rows_walk(out.p, rows);
			spill_done(s, &ref);
		}
		sl_buf_fini(&out);
	}
	spill_close(s);
}

/* Makes the checksums right where the lengths allow, so that what lies behind them is tried too. */
static void checksums_mend(uint8_t *data, size_t size) {
	uint32_t bytes = 0, crc;
	if (size < 32) return;
	memcpy(&bytes, data + 12, 4);
	if (bytes < 32 || bytes > size) return;
	crc = crc32c(0, data + 12, bytes - 12);
	memcpy(data + 8, &crc, 4);
	for (size_t at = bytes; size - at >= 24; at += 24 + (size_t)bytes) {
		memcpy(&bytes, data + at + 4, 4);
		if (bytes > size - at - 24) return;
		crc = crc32c(0, data + at + 4, 20 + (size_t)bytes);
		memcpy(data + at, &crc, 4);
	}
}

static void segment_try(const uint8_t *data, size_t size) {
	char *path = sl_asprintf("%s/%020d.log", dir, 1), *bad = sl_asprintf("%s.bad", path),
	     *mark = sl_asprintf("%s/mark", dir);
	mkdir(dir, 0700); /* an empty log leaves no folder */
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
	close(fd);
	unlink(mark);
	log_read_all();
	unlink(path);
	unlink(bad);
	unlink(mark);
	sl_free(path);
	sl_free(bad);
	sl_free(mark);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	scratch_dir();
	segment_try(data, size);
	uint8_t *mended = sl_alloc(size + 1);
	if (size) memcpy(mended, data, size);
	checksums_mend(mended, size);
	if (size && memcmp(mended, data, size) != 0) segment_try(mended, size);
	sl_free(mended);
	return 0;
}
