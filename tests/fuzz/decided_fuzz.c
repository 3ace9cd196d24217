/* Any bytes as what a log says of rows that are decided: it is believed or not, and cuts rows, all of them whole. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"
#include "sql_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 10 };
static const struct spill_head head = {.crc = 0x01020304, .seq = 1, .rows = ROWS};
static char *dir, *path;
static struct sl_buf rows;

static void scratch_remove(void) {
	unlink(path);
	rmdir(dir);
	sl_buf_fini(&rows);
	sl_free(path);
	sl_free(dir);
}

static void scratch_make(void) {
	if (dir) return;
	const char *base = getenv("TMPDIR");
	if (!base) base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	dir = sl_asprintf("%s/sluice-decided-fuzz-XXXXXX", base);
	if (!mkdtemp(dir)) abort();
	path = sl_asprintf("%s/decided", dir);
	atexit(scratch_remove);
	log_set_level(LOG_OFF);
	for (int i = 0; i < ROWS; i++) {
		struct sql_value v = sql_int(i);
		sql_row_write(&rows, &v, 1, 0, 7, 1000);
	}
}

static void decided_try(const void *data, size_t size) {
	struct spill_told decided = {.at = 0};
	struct sl_buf left = SL_BUF_INIT;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
	close(fd);
	spill_decided_read(dir, &decided);
	uint32_t n = spill_decided_rows(&decided, head.seq, head.crc, head.rows);
	if (n >= ROWS) abort();
	if (n) {
		uint32_t found = 0, bytes;
		spill_decided_cut(&decided, &head, rows.p, &left);
		for (struct sl_slice rest = sl_buf_slice(&left); rest.n; rest = slice_from(rest, bytes), found++)
			if (sql_row_check(rest, &bytes) != SL_OK) abort();
		if (found != ROWS - n) abort();
	}
	sl_buf_fini(&left);
	sl_buf_fini(&decided.file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	scratch_make();
	decided_try(data, size);
	if (size < 16) return 0;
	/* With the length and the checksum that it should have. */
	char *mended = sl_memdup0(data, size);
	uint32_t bytes = (uint32_t)(size - 16), crc;
	memcpy(mended + 12, &bytes, 4);
	crc = crc32c(0, mended + 12, size - 12);
	memcpy(mended + 8, &crc, 4);
	decided_try(mended, size);
	sl_free(mended);
	return 0;
}
