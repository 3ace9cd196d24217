/* spill_write.c: open, append, roll, done, the mark. See spill.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"

#define APPEND_MAX 64 /* records to one writev */

int spill_mkdirs(const char *dir) {
	char *path = sl_strdup(dir);
	int r = SL_OK;
	for (char *p = path + 1; r == SL_OK && *p; p++) {
		if (*p != '/') continue;
		*p = '\0';
		if (mkdir(path, 0777) != 0 && errno != EEXIST) r = sl_status_from_errno(errno);
		*p = '/';
	}
	if (r == SL_OK && mkdir(path, 0777) != 0 && errno != EEXIST) r = sl_status_from_errno(errno);
	sl_free(path);
	return r;
}

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

void spill_segment_delete(struct spill *s, struct spill_segment *g) {
	char *path = spill_path(s->dir, g->first_seq);
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn(LOG_ACTION, "segment cannot be deleted", "path=%s err=%s", path, strerror(errno));
	sl_free(path);
	if (s->active == g) s->active = NULL;
	s->room_made++;
	spill_segment_free(g);
}

int spill_open(const struct spill_opts *opts, struct spill **out, struct sl_err *err) {
	*out = NULL;
	struct spill *s = SL_NEW(struct spill);
	s->dir = sl_strdup(opts->dir);
	s->segment_bytes = opts->segment_bytes;
	s->sync = opts->sync;
	s->names.count = opts->column_count;
	s->names.at = spill_names_copy(opts->columns, opts->column_count, &s->name_bytes);
	s->next_seq = 1;
	s->mark_fd = -1;
	sl_list_init(&s->segments);
	sl_list_init(&s->kept);
	struct stat st;
	int r = SL_OK;
	if (stat(s->dir, &st) == 0) r = spill_mark_open(s, err);
	if (s->mark_fd >= 0 && r == SL_OK) r = spill_recover(s, err);
	if (r != SL_OK) {
		spill_close(s);
		return r;
	}
	*out = s;
	return SL_OK;
}

void spill_close(struct spill *s) {
	if (!s) return;
	bool empty = true;
	if (spill_mark_due(s)) spill_mark_write(s);
	SL_LIST_FOREACH_SAFE(it, &s->segments) {
		struct spill_segment *g = SL_LIST_ENTRY(it, struct spill_segment, link);
		empty = empty && g->live == 0;
		if (g->live == 0)
			spill_segment_delete(s, g);
		else
			spill_segment_free(g);
	}
	if (s->mark_fd >= 0) close(s->mark_fd);
	if (s->mark_fd >= 0 && empty && spill_remove(s->dir) != SL_OK)
		log_warn(LOG_ACTION, "empty log cannot be removed", "path=%s err=%s", s->dir, strerror(errno));
	sl_buf_fini(&s->window.buf);
	sl_free((void *)(uintptr_t)s->names.at);
	sl_free(s->name_bytes);
	sl_free(s->was);
	sl_free(s->dir);
	sl_free(s);
}

static void dir_sync(const char *dir) {
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) return;
	if (fsync(fd) != 0) log_warn(LOG_ACTION, "folder cannot be synced", "path=%s err=%s", dir, strerror(errno));
	close(fd);
}

static int write_all(int fd, const char *p, size_t n, uint64_t at) {
	while (n) {
		ssize_t w = pwrite(fd, p, n, (off_t)at);
		if (w < 0 && errno == EINTR) continue;
		if (w <= 0) return w < 0 ? sl_status_from_errno(errno) : SL_EIO;
		p += w;
		n -= (size_t)w;
		at += (uint64_t)w;
	}
	return SL_OK;
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

static int segment_new(struct spill *s) {
	int made = s->mark_fd >= 0 ? SL_OK : spill_mkdirs(s->dir);
	if (made == SL_OK && s->mark_fd < 0) made = spill_mark_open(s, NULL);
	if (made != SL_OK) return made;
	char *path = spill_path(s->dir, s->next_seq);
	struct sl_buf header = SL_BUF_INIT;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int r = fd < 0 ? sl_status_from_errno(errno) : SL_OK;
	if (r == SL_OK) {
		header_write(s, s->next_seq, &header);
		r = write_all(fd, header.p, header.n, 0);
		if (r != SL_OK) unlink(path);
	}
	if (r == SL_OK) {
		struct spill_segment *g = SL_NEW(struct spill_segment);
		g->first_seq = g->end_seq = s->next_seq;
		g->start = g->end = header.n;
		g->fd = fd;
		g->same_columns = true;
		g->names.count = s->names.count;
		g->names.at = spill_names_copy(s->names.at, s->names.count, &g->name_bytes);
		sl_list_push_back(&s->segments, &g->link);
		s->active = g;
		if (s->sync) dir_sync(s->dir);
	} else if (fd >= 0)
		close(fd);
	sl_buf_fini(&header);
	sl_free(path);
	return r;
}

/* Ends the active segment. One that nobody needs is deleted at once. */
static void segment_seal(struct spill *s) {
	struct spill_segment *g = s->active;
	if (!g) return;
	s->active = NULL;
	if (g->live == 0) {
		spill_segment_delete(s, g);
		return;
	}
	if (s->sync && fdatasync(g->fd) != 0)
		log_error(LOG_ACTION, "segment cannot be synced", "path=%s err=%s", s->dir, strerror(errno));
	if (s->unread_records == 0 || s->read_segment != g) {
		close(g->fd);
		g->fd = -1;
	}
}

void spill_change(struct spill *s, const struct spill_opts *opts) {
	struct spill_names names = {.at = opts->columns, .count = opts->column_count};
	s->segment_bytes = opts->segment_bytes;
	s->sync = opts->sync;
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
	g->end_seq = s->next_seq = h->seq + h->rows;
	g->live++;
	if (keep) {
		sl_assert(s->unread_records == 0);
		keep->segment = g;
		keep->seq = h->seq;
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

/* Writes n records behind the end of the active segment; returns how many are whole there. What is left of a record that did
 * not fit is taken off again to give its room back; the next record goes to the same place. */
static size_t records_write(struct spill *s, void *const record[], const size_t size[], size_t n, int *status) {
	struct spill_segment *g = s->active;
	struct iovec iov[APPEND_MAX];
	size_t total = 0, done = 0, written = 0;
	for (size_t i = 0; i < n; i++) {
		iov[i] = (struct iovec){.iov_base = record[i], .iov_len = size[i]};
		total += size[i];
	}
	size_t first = 0;
	while (written < total) {
		ssize_t w = pwritev(g->fd, iov + first, (int)(n - first), (off_t)(g->end + written));
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
	size_t whole = 0;
	while (done < n && whole + size[done] <= written) whole += size[done++];
	if (written > whole && ftruncate(g->fd, (off_t)(g->end + whole)) != 0)
		log_warn(LOG_ACTION, "half a record stays until the next one is written over it", "path=%s err=%s",
			 s->dir, strerror(errno));
	return done;
}

size_t spill_append(struct spill *s, void *const record[], const size_t size[], struct spill_ref *const keep[],
		    size_t n, int *status) {
	size_t done = 0;
	*status = SL_OK;
	while (done < n && *status == SL_OK) {
		if (s->active && s->active->end > s->segment_bytes) segment_seal(s);
		if (!s->active) *status = segment_new(s);
		if (*status != SL_OK) break;
		uint64_t seq = s->next_seq, room = s->active->end;
		size_t batch = 0;
		while (batch < APPEND_MAX && done + batch < n && (batch == 0 || room <= s->segment_bytes)) {
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
	*ref = (struct spill_ref){0};
	s->done_since = true;
	if (--g->live > 0) return;
	if (g == s->active)
		s->room_made++; /* spill_trim() has something to give */
	else
		spill_segment_delete(s, g);
}

bool spill_trim(struct spill *s) {
	if (!s->active || s->active->live > 0 || s->active->end == s->active->start) return false;
	segment_seal(s);
	return true;
}

void spill_stat(const struct spill *s, struct spill_stat *out) {
	*out = (struct spill_stat){.unread_rows = s->unread_rows, .unread_bytes = s->unread_bytes};
	SL_LIST_FOREACH(it, &s->segments) {
		out->disk_bytes += SL_LIST_ENTRY(it, struct spill_segment, link)->end;
		out->segments++;
	}
}

uint64_t spill_unread_rows(const struct spill *s) { return s->unread_rows; }
uint64_t spill_room_made(const struct spill *s) { return s->room_made; }

int spill_sync_fd(const struct spill *s) { return s->active ? fcntl(s->active->fd, F_DUPFD_CLOEXEC, 0) : -1; }

/* ---- The mark. ------------------------------------------------------------------------------------------------------ */

/* Two, written in turn; a former form had neither high nor a list, and lay closer. */
struct mark_slot {
	char magic[8];
	uint64_t seq, generation;
	uint32_t zero, crc;
};
struct mark_slot2 {
	char magic[8];
	uint32_t crc, count; /* crc of what follows it, count included */
	uint64_t generation, low, high, undone[SPILL_UNDONE_MAX];
};
#define MARK_MAGIC_1 "SLMARK01"
#define MARK_MAGIC "SLMARK02"
#define MARK_SLOT_BYTES 2048

uint64_t spill_mark(const struct spill *s) {
	if (!sl_list_empty(&s->kept)) return SL_LIST_ENTRY(s->kept.next, struct spill_ref, link)->seq;
	return s->unread_records ? s->read_seq : s->next_seq;
}

bool spill_mark_due(const struct spill *s) {
	return s->mark_fd >= 0 && (spill_mark(s) != s->mark_written || s->done_since);
}

bool spill_marked_done(const struct spill_marked *m, uint64_t seq) {
	if (!m || seq >= m->high) return false;
	for (uint32_t from = 0, to = m->count; from < to;) {
		uint32_t middle = from + (to - from) / 2;
		if (m->undone[middle] == seq) return false;
		if (m->undone[middle] < seq)
			from = middle + 1;
		else
			to = middle;
	}
	return true;
}

/* A row that waits for another attempt keeps its record; the many behind it that are done need not repeat after a crash. */
static void marked_fill(const struct spill *s, struct mark_slot2 *slot) {
	slot->low = slot->high = spill_mark(s);
	slot->count = 0;
	SL_LIST_FOREACH(it, &s->kept) {
		if (slot->count == SPILL_UNDONE_MAX) {
			slot->count = 0;
			return;
		}
		slot->undone[slot->count++] = SL_LIST_ENTRY(it, struct spill_ref, link)->seq;
	}
	slot->high = s->unread_records ? s->read_seq : s->next_seq;
	/* What the former run had left, and is still to be read. */
	const struct spill_marked *was = s->was;
	if (!was || was->high <= slot->high || slot->count + was->count > SPILL_UNDONE_MAX) return;
	for (uint32_t i = 0; i < was->count; i++)
		if (was->undone[i] >= slot->high) slot->undone[slot->count++] = was->undone[i];
	slot->high = was->high;
}

static struct spill_marked *marked_copy(const struct spill_marked *m) {
	struct spill_marked *copy = SL_NEW(struct spill_marked);
	*copy = *m;
	return copy;
}

static void mark_slot_write(struct spill *s, uint64_t seq, bool whole) {
	struct mark_slot2 slot = {.generation = ++s->mark_generation, .low = seq, .high = seq};
	memcpy(slot.magic, MARK_MAGIC, sizeof slot.magic);
	if (!whole) marked_fill(s, &slot);
	size_t used = offsetof(struct mark_slot2, undone) + slot.count * sizeof slot.undone[0];
	slot.crc = crc32c(0, &slot.count, used - offsetof(struct mark_slot2, count));
	int r = write_all(s->mark_fd, (const char *)&slot, whole ? sizeof slot : used,
			  (slot.generation & 1) * MARK_SLOT_BYTES);
	if (r != SL_OK && !s->mark_failed)
		log_warn(LOG_ACTION, "mark cannot be written; rows will repeat after a crash", "path=%s err=%s", s->dir,
			 strerror(errno));
	s->mark_failed = r != SL_OK;
	s->done_since = false;
	if (r == SL_OK) s->mark_written = slot.low;
}

void spill_mark_write(struct spill *s) { mark_slot_write(s, 0, false); }

static int mark_read_1(int fd, struct spill_marked *out, uint64_t *generation) {
	struct mark_slot slot[2] = {0};
	int r = SL_ECORRUPT;
	if (pread(fd, slot, sizeof slot, 0) < 0) return sl_status_from_errno(errno);
	for (int i = 0; i < 2; i++) {
		if (memcmp(slot[i].magic, MARK_MAGIC_1, sizeof slot[i].magic) != 0) continue;
		if (slot[i].crc != crc32c(0, &slot[i], offsetof(struct mark_slot, crc))) continue;
		if (r == SL_OK && slot[i].generation <= *generation) continue;
		*out = (struct spill_marked){.low = slot[i].seq, .high = slot[i].seq};
		*generation = slot[i].generation;
		r = SL_OK;
	}
	return r;
}

int spill_mark_read(int fd, struct spill_marked *out, uint64_t *generation) {
	struct mark_slot2 slot;
	int r = SL_ECORRUPT;
	for (off_t i = 0; i < 2; i++) {
		memset(&slot, 0, sizeof slot);
		ssize_t got = pread(fd, &slot, sizeof slot, i * MARK_SLOT_BYTES);
		if (got < 0) return sl_status_from_errno(errno);
		size_t used = offsetof(struct mark_slot2, undone) + (size_t)slot.count * sizeof slot.undone[0];
		if (memcmp(slot.magic, MARK_MAGIC, sizeof slot.magic) != 0) continue;
		if (slot.count > SPILL_UNDONE_MAX || used > (size_t)got) continue;
		if (slot.crc != crc32c(0, &slot.count, used - offsetof(struct mark_slot2, count))) continue;
		if (r == SL_OK && slot.generation <= *generation) continue;
		*out = (struct spill_marked){.low = slot.low, .high = slot.high, .count = slot.count};
		memcpy(out->undone, slot.undone, slot.count * sizeof slot.undone[0]);
		*generation = slot.generation;
		r = SL_OK;
	}
	return r == SL_OK ? r : mark_read_1(fd, out, generation);
}

int spill_mark_open(struct spill *s, struct sl_err *err) {
	char *path = sl_asprintf("%s/mark", s->dir);
	s->mark_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	struct spill_marked was = {0};
	int r = SL_OK;
	if (s->mark_fd < 0)
		r = sl_err_set(err, sl_status_from_errno(errno), "cannot open %s: %s; check the rights of the folder",
			       path, strerror(errno));
	else if (spill_mark_read(s->mark_fd, &was, &s->mark_generation) == SL_OK) {
		s->mark_written = was.low;
		if (was.high > was.low) s->was = marked_copy(&was);
		if (was.high > s->next_seq) s->next_seq = was.high;
	} else {
		struct stat st;
		if (fstat(s->mark_fd, &st) == 0 && st.st_size > 0)
			log_warn(LOG_ACTION, "mark is damaged; rows delivered before may repeat", "path=%s", path);
		/* Both slots now, so that later ones need no room on a full disk. */
		mark_slot_write(s, 1, true);
		mark_slot_write(s, 1, true);
	}
	if (s->mark_written > s->next_seq) s->next_seq = s->mark_written;
	sl_free(path);
	return r;
}
