/* spill_write.c: open, append, roll, done. See spill.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crc32c.h"
#include "disk.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"

#define APPEND_MAX 64 /* records to one writev */

char *spill_path(const char *dir, uint64_t first_seq) { return sl_asprintf("%s/%020" PRIu64 ".log", dir, first_seq); }

struct sl_slice *spill_names_copy(const struct sl_slice *from, size_t count, char **bytes) {
	size_t total = 1;
	for (size_t i = 0; i < count; i++) total += from[i].n;
	*bytes = sl_alloc(total);
	struct sl_slice *names = SL_NEW_ARRAY(struct sl_slice, count + 1);
	char *at = *bytes;
	for (size_t i = 0; i < count; i++) {
		if (from[i].n) memcpy(at, from[i].p, from[i].n);
		names[i] = slice_make(at, from[i].n);
		at += from[i].n;
	}
	return names;
}

bool spill_names_equal(const struct spill_names *a, const struct spill_names *b) {
	if (a->count != b->count) return false;
	for (size_t i = 0; i < a->count; i++)
		if (!slice_equal(a->at[i], b->at[i])) return false;
	return true;
}

void spill_segment_free(struct spill_segment *g) {
	if (g->fd >= 0) close(g->fd);
	sl_list_remove(&g->link);
	sl_free((void *)(uintptr_t)g->names.at);
	sl_free(g->name_bytes);
	sl_free(g);
}

void spill_segment_size(struct spill *s, struct spill_segment *g, uint64_t size) {
	s->disk_bytes += size - g->size;
	g->size = size;
}

void spill_segment_delete(struct spill *s, struct spill_segment *g) {
	char *path = spill_path(s->dir, g->first_seq);
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn(LOG_ACTION, "segment cannot be deleted", "path=%s err=%s", path, strerror(errno));
	sl_free(path);
	if (s->active == g) s->active = NULL;
	s->room_made++;
	spill_segment_size(s, g, 0);
	spill_segment_free(g);
}

static void spill_free(struct spill *s) {
	SL_LIST_FOREACH_SAFE(it, &s->segments) spill_segment_free(SL_LIST_ENTRY(it, struct spill_segment, link));
	if (s->mark_fd >= 0) close(s->mark_fd);
	sl_buf_fini(&s->window.buf);
	sl_buf_fini(&s->owner);
	sl_buf_fini(&s->decided.file);
	sl_free(s->back.decided);
	sl_free((void *)(uintptr_t)s->names.at);
	sl_free(s->name_bytes);
	sl_free(s->was);
	sl_free(s->dir);
	sl_free(s);
}

int spill_open(const struct spill_opts *opts, struct spill **out, struct sl_err *err) {
	*out = NULL;
	struct spill *s = SL_NEW(struct spill);
	s->dir = sl_strdup(opts->dir);
	s->segment_bytes = opts->segment_bytes;
	s->sync = opts->sync;
	s->names.count = opts->column_count;
	s->names.at = spill_names_copy(opts->columns, opts->column_count, &s->name_bytes);
	sl_buf_append(&s->owner, opts->owner.p, opts->owner.n);
	s->next_seq = 1;
	s->mark_fd = -1;
	sl_list_init(&s->segments);
	sl_list_init(&s->spares);
	sl_list_init(&s->kept);
	struct stat st;
	int r = SL_OK;
	if (stat(s->dir, &st) == 0) r = spill_mark_open(s, err);
	if (s->mark_fd >= 0) spill_decided_read(s->dir, &s->decided);
	if (s->mark_fd >= 0 && r == SL_OK) r = spill_recover(s, err);
	if (s->mark_fd >= 0 && r == SL_OK && s->owner.n) spill_owner_write(s);
	if (r != SL_OK) {
		spill_free(s); /* what cannot be read stays as it is */
		return r;
	}
	*out = s;
	return SL_OK;
}

void spill_close(struct spill *s) {
	if (!s) return;
	bool empty = true;
	if (spill_mark_due(s)) spill_mark_write(s);
	spill_decided_write(s);
	(void)spill_spares_drop(s);
	SL_LIST_FOREACH_SAFE(it, &s->segments) {
		struct spill_segment *g = SL_LIST_ENTRY(it, struct spill_segment, link);
		empty = empty && g->live == 0;
		if (g->live == 0) spill_segment_delete(s, g);
	}
	if (s->mark_fd >= 0 && empty && spill_remove(s->dir) != SL_OK)
		log_warn(LOG_ACTION, "empty log cannot be removed", "path=%s err=%s", s->dir, strerror(errno));
	spill_free(s);
}

static void header_write(const struct spill *s, uint64_t first_seq, struct sl_buf *out) {
	struct spill_file_head head = {.first_seq = first_seq, .columns = (uint32_t)s->names.count};
	memcpy(head.magic, SPILL_MAGIC, sizeof head.magic);
	sl_buf_append(out, &head, sizeof head);
	for (size_t i = 0; i < s->names.count; i++) {
		uint16_t n = (uint16_t)s->names.at[i].n;
		sl_buf_append(out, &n, sizeof n);
		sl_buf_append(out, s->names.at[i].p, n);
	}
	while (out->n % 8) sl_buf_put(out, 0);
	head.bytes = (uint32_t)out->n;
	memcpy(out->p, &head, sizeof head);
	head.crc = crc32c(0, out->p + 12, out->n - 12);
	memcpy(out->p, &head, sizeof head);
}

/* A file of its own. -SL_E, or its descriptor. */
static int file_new(const char *path, struct sl_slice header) {
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int r = fd < 0 ? sl_status_from_errno(errno) : sl_disk_write(fd, header.p, header.n, 0);
	if (r == SL_OK) return fd;
	if (fd >= 0) {
		unlink(path);
		close(fd);
	}
	return r;
}

static void segment_add(struct spill *s, int fd, uint64_t start, uint64_t size) {
	struct spill_segment *g = SL_NEW(struct spill_segment);
	g->first_seq = g->end_seq = s->next_seq;
	g->start = g->end = start;
	g->fd = fd;
	g->same_columns = true;
	g->names.count = s->names.count;
	g->names.at = spill_names_copy(s->names.at, s->names.count, &g->name_bytes);
	spill_segment_size(s, g, size);
	sl_list_push_back(&s->segments, &g->link);
	s->active = g;
}

static int segment_new(struct spill *s) {
	int made = s->mark_fd >= 0 ? SL_OK : sl_disk_mkdirs(s->dir);
	if (made == SL_OK && s->mark_fd < 0) {
		made = spill_mark_open(s, NULL);
		if (made == SL_OK && s->owner.n) spill_owner_write(s);
	}
	if (made != SL_OK) return made;
	char *path = spill_path(s->dir, s->next_seq);
	struct sl_buf header = SL_BUF_INIT;
	header_write(s, s->next_seq, &header);
	uint64_t size = header.n;
	int fd = spill_spare_take(s, path, sl_buf_slice(&header), &size);
	if (fd < 0) {
		size = header.n;
		fd = file_new(path, sl_buf_slice(&header));
	}
	if (fd >= 0) {
		segment_add(s, fd, header.n, size);
		if (s->sync && sl_disk_sync_dir(s->dir) != SL_OK)
			log_warn(LOG_ACTION, "folder cannot be synced", "path=%s err=%s", s->dir, strerror(errno));
	}
	sl_buf_fini(&header);
	sl_free(path);
	return fd < 0 ? fd : SL_OK;
}

/* All records of a segment that is not written to any more are done. */
static void segment_done(struct spill *s, struct spill_segment *g) {
	if (spill_spare_keep(s, g))
		s->room_made++; /* spill_trim() has something to give */
	else
		spill_segment_delete(s, g);
}

/* Ends the active segment. One that nobody needs is deleted at once. */
static void segment_seal(struct spill *s) {
	struct spill_segment *g = s->active;
	if (!g) return;
	s->active = NULL;
	if (g->live == 0) {
		segment_done(s, g);
		return;
	}
	if (s->sync && fdatasync(g->fd) != 0)
		log_error(LOG_ACTION, "segment cannot be synced", "path=%s err=%s", s->dir, strerror(errno));
	if (s->unread_records == 0 || s->read_segment != g) {
		close(g->fd);
		g->fd = -1;
	}
}

void spill_owner_change(struct spill *s, struct sl_slice owner) {
	if (slice_equal(owner, sl_buf_slice(&s->owner))) return;
	sl_buf_clear(&s->owner);
	sl_buf_append(&s->owner, owner.p, owner.n);
	if (s->mark_fd >= 0 && s->owner.n) spill_owner_write(s);
}

void spill_change(struct spill *s, const struct spill_opts *opts) {
	struct spill_names names = {.at = opts->columns, .count = opts->column_count};
	s->segment_bytes = opts->segment_bytes;
	if (opts->sync && !s->sync) segment_seal(s); /* nobody has synced its name */
	s->sync = opts->sync;
	spill_owner_change(s, opts->owner);
	if (spill_names_equal(&s->names, &names)) return;
	segment_seal(s);
	char *bytes;
	struct sl_slice *copy = spill_names_copy(opts->columns, opts->column_count, &bytes);
	sl_free((void *)(uintptr_t)s->names.at);
	sl_free(s->name_bytes);
	s->names = (struct spill_names){.at = copy, .count = opts->column_count};
	s->name_bytes = bytes;
	SL_LIST_FOREACH(it, &s->segments) {
		struct spill_segment *g = SL_LIST_ENTRY(it, struct spill_segment, link);
		g->same_columns = spill_names_equal(&g->names, &s->names);
	}
}

static void head_fill(void *record, size_t size, uint64_t seq) {
	struct spill_head *h = record;
	h->bytes = (uint32_t)(size - sizeof *h);
	h->seq = seq;
	h->zero = 0;
	h->crc = crc32c(0, (char *)record + 4, size - 4);
}

static void record_count(struct spill *s, struct spill_segment *g, const struct spill_head *h, struct spill_ref *keep) {
	uint64_t at = g->end;
	g->end += sizeof *h + h->bytes;
	if (g->end > g->size) spill_segment_size(s, g, g->end);
	g->end_seq = s->next_seq = h->seq + h->rows;
	g->live++;
	if (keep) {
		sl_assert(s->unread_records == 0);
		keep->segment = g;
		keep->seq = h->seq;
		keep->crc = h->crc;
		keep->rows = h->rows;
		sl_list_push_back(&s->kept, &keep->link);
		return;
	}
	g->unread++;
	g->unread_rows += h->rows;
	g->unread_bytes += h->bytes;
	if (s->unread_records++ == 0) {
		sl_buf_clear(&s->window.buf); /* perhaps of another file */
		s->read_segment = g;
		s->read_at = at;
		s->read_seq = h->seq;
	}
	s->unread_rows += h->rows;
	s->unread_bytes += h->bytes;
}

/* Writes what iov says, as far as that goes; returns how many bytes. */
static size_t iov_write(int fd, struct iovec *iov, size_t n, uint64_t at, int *status) {
	size_t written = 0;
	for (size_t first = 0; first < n;) {
		ssize_t w = pwritev(fd, iov + first, (int)(n - first), (off_t)(at + written));
		if (w < 0 && errno == EINTR) continue;
		if (w <= 0) {
			*status = w < 0 ? sl_status_from_errno(errno) : SL_EIO;
			break;
		}
		written += (size_t)w;
		for (size_t left = (size_t)w; left > 0;) {
			size_t part = sl_min_size(left, iov[first].iov_len);
			iov[first].iov_base = (char *)iov[first].iov_base + part;
			iov[first].iov_len -= part;
			left -= part;
			if (iov[first].iov_len == 0) first++;
		}
	}
	return written;
}

/* Writes n records behind the end of the active segment, and an end mark where older bytes follow; returns how many records are
 * whole there. What is left of one that did not fit is taken off again to give its room back; the next goes to the same place. */
static size_t records_write(struct spill *s, void *const record[], const size_t size[], size_t n, int *status) {
	struct spill_segment *g = s->active;
	struct iovec iov[APPEND_MAX + 1];
	size_t total = 0, done = 0, whole = 0;
	uint64_t seq = s->next_seq;
	for (size_t i = 0; i < n; i++) {
		iov[i] = (struct iovec){.iov_base = record[i], .iov_len = size[i]};
		total += size[i];
		seq += ((const struct spill_head *)record[i])->rows;
	}
	struct spill_head end = spill_end_mark(seq);
	bool older = g->end + total < g->size;
	if (older) iov[n] = (struct iovec){.iov_base = &end, .iov_len = sizeof end};
	size_t written = iov_write(g->fd, iov, n + older, g->end, status);
	while (done < n && whole + size[done] <= written) whole += size[done++];
	if (older && done == n && g->end + written > g->size) spill_segment_size(s, g, g->end + written);
	if (written == total + (older ? sizeof end : 0) || written == 0) return done;
	if (ftruncate(g->fd, (off_t)(g->end + whole)) == 0)
		spill_segment_size(s, g, g->end + whole);
	else
		log_warn(LOG_ACTION, "half a record stays until the next one is written over it", "path=%s err=%s",
			 s->dir, strerror(errno));
	return done;
}

size_t spill_append(struct spill *s, void *const record[], const size_t size[], struct spill_ref *const keep[],
		    size_t n, int *status) {
	size_t done = 0;
	*status = SL_OK;
	while (done < n && *status == SL_OK) {
		uint64_t most = spill_file_most(s);
		if (s->active && s->active->end > most) segment_seal(s);
		if (!s->active) *status = segment_new(s);
		if (*status != SL_OK) break;
		uint64_t seq = s->next_seq, room = s->active->end;
		size_t batch = 0;
		while (batch < APPEND_MAX && done + batch < n && (batch == 0 || room <= most)) {
			head_fill(record[done + batch], size[done + batch], seq);
			seq += ((struct spill_head *)record[done + batch])->rows;
			room += size[done + batch++];
		}
		size_t whole = records_write(s, record + done, size + done, batch, status);
		for (size_t i = done; i < done + whole; i++) record_count(s, s->active, record[i], keep[i]);
		done += whole;
	}
	return done;
}

void spill_done(struct spill *s, struct spill_ref *ref) {
	struct spill_segment *g = ref->segment;
	sl_list_remove(&ref->link);
	sl_free(ref->decided);
	*ref = (struct spill_ref){0};
	s->done_since = true;
	if (--g->live > 0) return;
	if (g == s->active)
		s->room_made++; /* spill_trim() has something to give */
	else
		segment_done(s, g);
}

/* What is behind the end of a file that is used again. */
static bool older_trim(struct spill *s) {
	struct spill_segment *g = s->active;
	if (g->end == g->size || ftruncate(g->fd, (off_t)g->end) != 0) return false;
	spill_segment_size(s, g, g->end);
	return true;
}

bool spill_trim(struct spill *s) {
	bool freed = s->active && older_trim(s);
	if (s->active && s->active->live == 0 && s->active->end > s->active->start) {
		segment_seal(s);
		freed = true;
	}
	return spill_spares_drop(s) || freed;
}

void spill_stat(const struct spill *s, struct spill_stat *out) {
	*out = (struct spill_stat){.disk_bytes = s->disk_bytes,
				   .spare_bytes = s->spare_bytes,
				   .unread_rows = s->unread_rows,
				   .unread_bytes = s->unread_bytes};
	if (s->active) out->spare_bytes += s->active->size - s->active->end;
}

uint64_t spill_unread_rows(const struct spill *s) { return s->unread_rows; }
uint64_t spill_room_made(const struct spill *s) { return s->room_made; }

int spill_sync_fd(const struct spill *s) { return s->active ? fcntl(s->active->fd, F_DUPFD_CLOEXEC, 0) : -1; }
