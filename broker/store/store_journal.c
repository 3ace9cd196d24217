#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "store_int.h"

#define JOURNAL_MAGIC "SLJRN001"
enum { JOURNAL_HEAD = 16, END_MARK = sizeof(struct store_frame) };
enum { JOURNAL_KEEP = 64 << 20 }; /* a longer file is cut when it begins anew */

static uint32_t frame_crc(const struct store_frame *f, struct sl_slice ops) {
	uint32_t crc = crc32c(0, &f->zero, sizeof *f - sizeof f->crc);
	return crc32c(crc, ops.p, ops.n);
}

/* Batches that state.mdb has are read over: the journal begins anew in the same file, and is not emptied. */
size_t store_journal_walk(struct sl_slice bytes, uint64_t applied, store_batch_cb each, void *arg, uint64_t *last,
			  bool *clean) {
	size_t at = JOURNAL_HEAD;
	struct store_frame f;
	*last = applied;
	*clean = bytes.n <= at;
	while (at < bytes.n) {
		if (bytes.n - at < sizeof f) break;
		memcpy(&f, bytes.p + at, sizeof f);
		*clean = f.crc == 0 && f.bytes == 0 && f.seq == 0;
		if (*clean || bytes.n - at - sizeof f < f.bytes) break;
		struct sl_slice ops = slice_sub(bytes, at + sizeof f, f.bytes);
		if (frame_crc(&f, ops) != f.crc || (f.seq > applied && *last > applied && f.seq != *last + 1)) break;
		if (f.seq > applied && each(arg, f.seq, ops) != SL_OK) break;
		if (f.seq > applied) *last = f.seq;
		at += sizeof f + f.bytes;
		*clean = at == bytes.n;
	}
	return sl_min_size(at, bytes.n);
}

static int read_all(struct store_journal *j) {
	struct sl_buf *out = &j->found;
	while (out->n < j->size) {
		size_t want = j->size - out->n;
		sl_buf_grow(out, want);
		ssize_t n = pread(j->fd, out->p + out->n, want, (off_t)out->n);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return SL_EIO;
		if (n == 0) return SL_OK;
		out->n += (size_t)n;
	}
	return SL_OK;
}

static int write_all(const struct store_journal *j, const char *p, size_t n, uint64_t at) {
	while (n > 0) {
		ssize_t done = pwrite(j->fd, p, n, (off_t)at);
		if (done < 0 && errno == EINTR) continue;
		if (done < 0) return sl_status_from_errno(errno);
		p += done;
		n -= (size_t)done;
		at += (uint64_t)done;
	}
	return SL_OK;
}

int store_journal_open(struct store_journal *j, const char *dir, unsigned which, bool sync, struct sl_err *err) {
	*j = (struct store_journal){
	    .sync = sync, .path = sl_asprintf("%s/journal-%c", dir, "ab"[which]), .at = JOURNAL_HEAD};
	struct stat info;
	j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (j->fd < 0 || fstat(j->fd, &info) != 0)
		return sl_err_set(err, SL_ESYSTEM, "cannot write %s: %s; give this user the right to", j->path,
				  strerror(errno));
	j->size = (uint64_t)info.st_size;
	if (read_all(j) != SL_OK) return sl_err_set(err, SL_EIO, "cannot read %s: %s", j->path, strerror(errno));
	const struct sl_buf *all = &j->found;
	j->headed = all->n >= JOURNAL_HEAD && memcmp(all->p, JOURNAL_MAGIC, 8) == 0;
	if (!j->headed && all->n >= 8 && memcmp(all->p, JOURNAL_MAGIC, 5) == 0)
		return sl_err_set(
		    err, SL_EUNSUPPORTED,
		    "%s was written by a newer version of sluice (format %.3s, this one knows 001); start "
		    "that version, or move the folder away to begin without sessions and retained messages",
		    j->path, all->p + 5);
	return SL_OK;
}

static int note_first(void *arg, uint64_t seq, struct sl_slice ops) {
	(void)ops;
	*(uint64_t *)arg = seq;
	return SL_ENOTFOUND; /* enough */
}

uint64_t store_journal_first(const struct store_journal *j, uint64_t applied) {
	uint64_t first = 0, last;
	bool clean;
	if (j->headed) store_journal_walk(sl_buf_slice(&j->found), applied, note_first, &first, &last, &clean);
	return first;
}

void store_journal_read(struct store_journal *j, uint64_t applied, store_batch_cb each, void *arg, uint64_t *last) {
	bool clean = j->found.n == 0;
	size_t used = 0;
	*last = applied;
	if (j->headed) used = store_journal_walk(sl_buf_slice(&j->found), applied, each, arg, last, &clean);
	if (!clean)
		log_always(
		    LOG_WARN, LOG_STORE, "the journal is cut at its last good batch",
		    "file=%s at=%zu bytes_left=%zu last_batch=%llu; what was acknowledged after it is lost, unless "
		    "the process ended while it wrote: then nothing is",
		    j->path, used, j->found.n - used, (unsigned long long)*last);
	sl_buf_fini(&j->found);
}

void store_journal_restart(struct store_journal *j) {
	j->at = JOURNAL_HEAD;
	if (j->size > JOURNAL_KEEP && ftruncate(j->fd, JOURNAL_HEAD) == 0) j->size = JOURNAL_HEAD;
}

static int write_head(struct store_journal *j) {
	char head[JOURNAL_HEAD] = JOURNAL_MAGIC;
	int rc = write_all(j, head, sizeof head, 0);
	j->headed = rc == SL_OK;
	return rc;
}

int store_journal_write(struct store_journal *j, struct sl_buf *batch, uint64_t seq) {
	struct store_frame f = {.bytes = batch->n - sizeof f, .seq = seq};
	f.crc = frame_crc(&f, slice_from(sl_buf_slice(batch), sizeof f));
	memcpy(batch->p, &f, sizeof f);
	int rc = j->headed ? SL_OK : write_head(j);
	memset(sl_buf_add(batch, END_MARK), 0, END_MARK);
	if (rc == SL_OK) rc = write_all(j, batch->p, batch->n, j->at);
	batch->n -= END_MARK;
	if (rc == SL_OK && j->sync && fdatasync(j->fd) != 0) rc = sl_status_from_errno(errno);
	if (rc != SL_OK) return rc;
	j->at += batch->n;
	if (j->at + END_MARK > j->size) j->size = j->at + END_MARK;
	return SL_OK;
}

void store_journal_close(struct store_journal *j) {
	if (j->fd >= 0) close(j->fd);
	j->fd = -1;
	sl_buf_fini(&j->found);
	sl_free(j->path);
	j->path = NULL;
}
