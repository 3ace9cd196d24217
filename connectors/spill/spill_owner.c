/* spill_owner.c: small files beside a log, replaced whole; of them a few bytes of the caller's. See spill.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"

static char *owner_path(const char *dir) { return sl_asprintf("%s/owner", dir); }

int spill_small_read(const char *path, size_t max, struct sl_buf *out) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t before = out->n;
	ssize_t got = fd < 0 ? -(errno != ENOENT) : 1;
	while (got > 0 && out->n - before <= max) {
		char part[4096];
		do got = read(fd, part, sizeof part);
		while (got < 0 && errno == EINTR);
		if (got > 0) sl_buf_append(out, part, (size_t)got);
	}
	int r = got < 0 ? sl_status_from_errno(errno) : SL_OK;
	if (got != 0) out->n = before; /* too long, or not to be read */
	if (fd >= 0) close(fd);
	return r;
}

void spill_owner(const char *dir, size_t max, struct sl_buf *out) {
	char *path = owner_path(dir);
	int r = spill_small_read(path, max, out);
	if (r != SL_OK)
		log_warn(LOG_ACTION, "whose log it is cannot be read; its action's place says it", "path=%s err=%s",
			 path, sl_status_text(r));
	sl_free(path);
}

static int file_write(const char *path, struct sl_slice bytes, bool sync) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) return sl_status_from_errno(errno);
	int r = sl_disk_write(fd, bytes.p, bytes.n, 0);
	if (r == SL_OK && sync && fdatasync(fd) != 0) r = sl_status_from_errno(errno);
	close(fd);
	return r;
}

int spill_small_replace(const char *path, struct sl_slice bytes, bool sync) {
	char *made = sl_asprintf("%s.new", path);
	int r = file_write(made, bytes, sync);
	if (r == SL_OK && rename(made, path) != 0) r = sl_status_from_errno(errno);
	if (r != SL_OK) unlink(made);
	sl_free(made);
	return r;
}

static void owner_put(const char *dir, struct sl_slice owner, bool sync) {
	char *path = owner_path(dir);
	int r = spill_small_replace(path, owner, sync);
	if (r != SL_OK)
		log_warn(LOG_ACTION, "after a restart the rows of this log are known by their action's place only",
			 "path=%s err=%s", path, sl_status_text(r));
	sl_free(path);
}

void spill_owner_put(const char *dir, struct sl_slice owner) { owner_put(dir, owner, true); }

void spill_owner_write(const struct spill *s) {
	struct sl_buf there = SL_BUF_INIT;
	struct sl_slice owner = sl_buf_slice(&s->owner);
	spill_owner(s->dir, owner.n, &there);
	if (!slice_equal(sl_buf_slice(&there), owner)) owner_put(s->dir, owner, s->sync);
	sl_buf_fini(&there);
}

int spill_small_remove(const char *dir, const char *name) {
	char *path = sl_asprintf("%s/%s", dir, name), *made = sl_asprintf("%s.new", path);
	int r = SL_OK;
	if (unlink(path) != 0 && errno != ENOENT) r = sl_status_from_errno(errno);
	if (unlink(made) != 0 && errno != ENOENT) r = sl_status_from_errno(errno);
	sl_free(path);
	sl_free(made);
	return r;
}
