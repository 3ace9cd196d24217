/* pg_position.c: see pg_position.h.
 *
 *     "SLUICEP1"  number u64  column's length u16  cursor's length u16  crc32c u32 of all but itself  column  cursor */
#include "pg_position.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "crc32c.h"
#include "mem.h"

#define CRC_AT 20
#define HEAD 24
static const char magic[] = "SLUICEP1";

static uint64_t number_at(const char *p, size_t bytes) {
	uint64_t n = 0;
	for (size_t i = 0; i < bytes; i++) n = n << 8 | (unsigned char)p[i];
	return n;
}

static uint32_t checksum(struct sl_slice place, size_t n) {
	return crc32c(crc32c(0, place.p, CRC_AT), place.p + HEAD, n - HEAD);
}

bool pg_position_parse(struct sl_slice place, uint64_t *number, struct sl_slice *column, struct sl_slice *cursor) {
	if (place.n < HEAD || memcmp(place.p, magic, sizeof magic - 1) != 0) return false;
	size_t column_n = number_at(place.p + 16, 2), cursor_n = number_at(place.p + 18, 2);
	if (column_n > PG_POSITION_COLUMN_MAX || cursor_n > PG_POSITION_CURSOR_MAX) return false;
	size_t n = HEAD + column_n + cursor_n;
	if (n > place.n || checksum(place, n) != number_at(place.p + CRC_AT, 4)) return false;
	*number = number_at(place.p + 8, 8);
	*column = slice_sub(place, HEAD, column_n);
	*cursor = slice_sub(place, HEAD + column_n, cursor_n);
	return slice_find_byte(*cursor, '\0') < 0;
}

static int failed(const struct pg_position *p, const char *what, struct sl_err *err) {
	return sl_err_set(
	    err, SL_EIO,
	    "the position cannot be %s in %s: %s; check node.data_dir, its rights and the room on its disk", what,
	    p->path, strerror(errno));
}

static char *newest(struct pg_position *p, struct sl_slice column) {
	char place[PG_POSITION_PLACE], *found = NULL;
	for (off_t i = 0; i < 2; i++) {
		ssize_t got = pread(p->fd, place, sizeof place, i * PG_POSITION_PLACE);
		struct sl_slice of, cursor;
		uint64_t number;
		if (got <= 0 || !pg_position_parse(slice_make(place, (size_t)got), &number, &of, &cursor)) continue;
		if (number <= p->number) continue;
		p->number = number;
		sl_free(found);
		found = slice_equal(of, column) ? slice_dup(cursor) : NULL;
	}
	return found;
}

/* A file that was just made is there after a power cut only when its folder was written, too. */
static void folder_sync(const char *dir) {
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) return;
	(void)fsync(fd);
	close(fd);
}

int pg_position_open(struct pg_position *p, const char *data_dir, const char *name, struct sl_slice column,
		     char **cursor, struct sl_err *err) {
	char *dir = sl_asprintf("%s/sources", data_dir);
	*p = (struct pg_position){.fd = -1, .path = sl_asprintf("%s/%s.position", dir, name)};
	*cursor = NULL;
	int r = SL_OK;
	if (mkdir(dir, 0777) == 0 || errno == EEXIST) p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->fd < 0)
		r = failed(p, "kept", err);
	else if (flock(p->fd, LOCK_EX | LOCK_NB) != 0)
		r = sl_err_set(err, SL_EAGAIN, "another source still has %s", p->path);
	else
		*cursor = newest(p, column);
	if (r == SL_OK && p->number == 0) folder_sync(dir);
	sl_free(dir);
	if (r != SL_OK) pg_position_close(p);
	return r;
}

int pg_position_write(struct pg_position *p, struct sl_slice column, struct sl_slice cursor, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	uint64_t number = p->number + 1;
	sl_buf_append_str(&b, magic);
	sl_buf_put_u32be(&b, (uint32_t)(number >> 32));
	sl_buf_put_u32be(&b, (uint32_t)number);
	sl_buf_put_u16be(&b, (uint16_t)column.n);
	sl_buf_put_u16be(&b, (uint16_t)cursor.n);
	sl_buf_put_u32be(&b, 0);
	sl_buf_append_slice(&b, column);
	sl_buf_append_slice(&b, cursor);
	uint32_t crc = checksum(sl_buf_slice(&b), b.n);
	for (size_t i = 0; i < 4; i++) b.p[CRC_AT + i] = (char)(unsigned char)(crc >> (24 - 8 * i));
	ssize_t put = pwrite(p->fd, b.p, b.n, (off_t)(number % 2) * PG_POSITION_PLACE);
	if (put >= 0 && (size_t)put < b.n) errno = ENOSPC;
	int r = put == (ssize_t)b.n && fdatasync(p->fd) == 0 ? SL_OK : failed(p, "saved", err);
	if (r == SL_OK) p->number = number;
	sl_buf_fini(&b);
	return r;
}

void pg_position_close(struct pg_position *p) {
	if (p->fd >= 0) close(p->fd); /* and with it the lock goes */
	sl_free(p->path);
	*p = (struct pg_position){.fd = -1};
}
