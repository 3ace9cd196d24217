/* spill_recover.c: what a former run left: which segments, up to where they are whole, what is not done. See spill.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"

struct found {
	uint64_t *seq;
	size_t len, cap;
};

static int seq_order(const void *a, const void *b) {
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int segments_find(const char *dir, struct found *f) {
	DIR *d = opendir(dir);
	if (!d) return sl_status_from_errno(errno);
	for (struct dirent *e; (e = readdir(d));) {
		struct sl_slice name = slice_from_str(e->d_name);
		if (name.n != 24 || !slice_equal_str(slice_from(name, 20), ".log")) continue;
		uint64_t seq = 0;
		bool digits = true;
		for (size_t i = 0; i < 20; i++) {
			digits = digits && name.p[i] >= '0' && name.p[i] <= '9';
			seq = seq * 10 + (uint64_t)(name.p[i] - '0');
		}
		if (!digits) continue;
		SL_GROW(f->seq, f->len, f->cap);
		f->seq[f->len++] = seq;
	}
	closedir(d);
	if (f->len) qsort(f->seq, f->len, sizeof *f->seq, seq_order);
	return SL_OK;
}

/* Reads the names behind the fixed part. */
static int names_parse(struct sl_slice bytes, uint32_t count, struct spill_segment *g) {
	if (count > bytes.n / 2) return SL_ECORRUPT;
	struct sl_slice *names = SL_NEW_ARRAY(struct sl_slice, (size_t)count + 1);
	int r = SL_OK;
	for (uint32_t i = 0; r == SL_OK && i < count; i++) {
		uint16_t n = 0;
		if (bytes.n >= 2) memcpy(&n, bytes.p, 2);
		if (bytes.n < 2 || bytes.n - 2 < n)
			r = SL_ECORRUPT;
		else {
			names[i] = slice_make(bytes.p + 2, n);
			bytes = slice_from(bytes, 2 + (size_t)n);
		}
	}
	if (r == SL_OK) {
		g->names.at = spill_names_copy(names, count, &g->name_bytes);
		g->names.count = count;
	}
	sl_free(names);
	return r;
}

static int header_parse(struct spill_window *w, uint64_t limit, struct spill_segment *g) {
	struct spill_file_head head;
	const char *p = spill_window_get(w, g->fd, limit, 0, sizeof head);
	if (!p) return limit < sizeof head ? SL_EMALFORMED : SL_ECORRUPT; /* the first: killed while making it */
	memcpy(&head, p, sizeof head);
	bool known = memcmp(head.magic, SPILL_MAGIC, 8) == 0 || memcmp(head.magic, SPILL_MAGIC_1, 8) == 0;
	if (!known && memcmp(head.magic, SPILL_MAGIC, 5) == 0) return SL_EUNSUPPORTED;
	if (!known || head.bytes < sizeof head || head.bytes % 8 != 0 || head.bytes > SPILL_HEADER_MAX ||
	    head.zero != 0)
		return SL_ECORRUPT;
	p = spill_window_get(w, g->fd, limit, 0, head.bytes);
	if (!p) return SL_ECORRUPT;
	if (crc32c(0, p + 12, head.bytes - 12) != head.crc || head.first_seq > g->first_seq) return SL_ECORRUPT;
	g->start = g->end = head.bytes;
	g->end_seq = head.first_seq;
	return names_parse(slice_make(p + sizeof head, head.bytes - sizeof head), head.columns, g);
}

/* Where reading must begin, and how much there is. */
struct scan {
	uint64_t mark;
	const struct spill_marked *was; /* what is done above it; NULL: nothing */
	struct spill_told *decided;     /* rows of records that are not */
	uint64_t at, seq;               /* first record that is not done; at 0 = none */
	uint64_t records, rows, bytes;
	uint64_t size; /* of the file, with what is behind the last record */
};

/* Walks the records; true when the file, or what was written to it since it was used again, ends where a record does. */
static bool records_scan(struct spill_window *w, uint64_t limit, struct spill_segment *g, struct scan *scan) {
	struct spill_head head;
	const char *rows;
	while (g->end < limit) {
		if (g->end_seq > UINT64_MAX - UINT32_MAX) return false;
		if (spill_record_check(w, g->fd, limit, g->end, g->end_seq, &head, &rows) != SL_OK)
			return spill_end_here(w, g->fd, limit, g->end, g->end_seq);
		if (head.seq + head.rows > scan->mark && !spill_marked_done(scan->was, head.seq)) {
			if (scan->at == 0) {
				scan->at = g->end;
				scan->seq = head.seq;
			}
			scan->records++;
			scan->rows += head.rows - spill_decided_rows(scan->decided, head.seq, head.crc, head.rows);
			scan->bytes += head.bytes;
		}
		g->end += sizeof head + head.bytes;
		g->end_seq += head.rows;
	}
	return true;
}

/* A segment from its file. NULL when there is nothing in it to keep; *status tells a file that must stop the start. */
static struct spill_segment *segment_scan(const char *dir, uint64_t first_seq, struct scan *scan, int *status) {
	struct spill_segment *g = SL_NEW(struct spill_segment);
	struct spill_window w = {0};
	struct stat st = {0};
	char *path = spill_path(dir, first_seq);
	sl_list_init(&g->link);
	g->first_seq = first_seq;
	g->fd = open(path, O_RDONLY | O_CLOEXEC);
	int r = g->fd < 0 || fstat(g->fd, &st) != 0 ? sl_status_from_errno(errno) : SL_OK;
	uint64_t size = (uint64_t)st.st_size;
	if (r == SL_OK) r = header_parse(&w, size, g);
	bool older = r == SL_OK && g->end_seq < g->first_seq, whole = r != SL_OK || records_scan(&w, size, g, scan);
	/* A power cut came between the name and the header: all in it must be done. */
	if (older) {
		r = scan->records ? SL_ECORRUPT : SL_OK;
		g->end_seq = g->first_seq;
		*scan = (struct scan){.mark = scan->mark};
	} else if (r == SL_OK && !whole)
		log_warn(LOG_ACTION, "segment cut at its first bad record",
			 "path=%s offset=%" PRIu64 " bytes_cut=%" PRIu64 " rows_kept=%" PRIu64, path, g->end,
			 size - g->end, scan->rows);
	if ((r == SL_EMALFORMED && size > 0) || r == SL_ECORRUPT) /* an empty file: killed while making it */
		log_warn(LOG_ACTION, "segment has no readable header; nothing of it is kept",
			 "path=%s bytes_cut=%" PRIu64, path, size);
	scan->size = size;
	*status = r;
	sl_buf_fini(&w.buf);
	sl_free(path);
	return g;
}

/* A file whose head is not ours: set aside when there is something in it, so that a person can look. */
static void segment_set_aside(const char *dir, uint64_t seq, bool empty) {
	char *path = spill_path(dir, seq), *bad = sl_asprintf("%s.bad", path);
	if (empty ? unlink(path) != 0 : rename(path, bad) != 0)
		log_warn(LOG_ACTION, "segment cannot be set aside", "path=%s err=%s", path, strerror(errno));
	sl_free(bad);
	sl_free(path);
}

static void segment_adopt(struct spill *s, struct spill_segment *g, const struct scan *scan) {
	if (g->end_seq > s->next_seq) s->next_seq = g->end_seq;
	if (scan->records == 0) {
		spill_segment_delete(s, g);
		return;
	}
	g->same_columns = spill_names_equal(&g->names, &s->names);
	g->live = g->unread = scan->records;
	g->unread_rows = scan->rows;
	g->unread_bytes = scan->bytes;
	if (s->unread_records == 0) {
		s->read_segment = g;
		s->read_at = scan->at;
		s->read_seq = scan->seq;
	}
	s->unread_records += scan->records;
	s->unread_rows += scan->rows;
	s->unread_bytes += scan->bytes;
	close(g->fd);
	g->fd = -1;
	spill_segment_size(s, g, scan->size);
	sl_list_push_back(&s->segments, &g->link);
}

int spill_recover(struct spill *s, struct sl_err *err) {
	struct found f = {0};
	int r = spill_spares_remove(s->dir);
	if (r == SL_OK) r = segments_find(s->dir, &f);
	if (r != SL_OK) sl_err_set(err, r, "cannot read the folder %s: %s", s->dir, strerror(errno));
	for (size_t i = 0; r == SL_OK && i < f.len; i++) {
		struct scan scan = {.mark = s->mark_written, .was = s->was, .decided = &s->decided};
		struct spill_segment *g = segment_scan(s->dir, f.seq[i], &scan, &r);
		if (r == SL_OK) {
			segment_adopt(s, g, &scan);
			continue;
		}
		spill_segment_free(g);
		if (r == SL_EMALFORMED || r == SL_ECORRUPT) {
			segment_set_aside(s->dir, f.seq[i], r == SL_EMALFORMED);
			if (f.seq[i] >= s->next_seq && f.seq[i] < UINT64_MAX) s->next_seq = f.seq[i];
			r = SL_OK;
		} else if (r == SL_EUNSUPPORTED)
			sl_err_set(err, r,
				   "%s/%020" PRIu64 ".log was written by another version of Sluice; let that version "
				   "deliver it, or move it away",
				   s->dir, f.seq[i]);
		else
			sl_err_set(err, r, "cannot read %s/%020" PRIu64 ".log: %s", s->dir, f.seq[i],
				   sl_status_text(r));
	}
	sl_free(f.seq);
	return r;
}

int spill_count(const char *dir, uint64_t *rows) {
	struct found f = {0};
	struct spill_marked was = {.low = 1};
	struct spill_told decided = {.at = 0};
	uint64_t generation;
	char *path = sl_asprintf("%s/mark", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = segments_find(dir, &f);
	if (fd >= 0) {
		if (spill_mark_read(fd, &was, &generation) != SL_OK) was = (struct spill_marked){.low = 1};
		close(fd);
	}
	*rows = 0;
	spill_decided_read(dir, &decided);
	for (size_t i = 0; r == SL_OK && i < f.len; i++) {
		struct scan scan = {.mark = was.low, .was = &was, .decided = &decided};
		spill_segment_free(segment_scan(dir, f.seq[i], &scan, &r));
		if (r == SL_EMALFORMED) r = SL_OK; /* killed while making it */
		*rows += scan.rows;
	}
	sl_buf_fini(&decided.file);
	sl_free(path);
	sl_free(f.seq);
	return r;
}

int spill_remove(const char *dir) {
	struct found f = {0};
	int r = segments_find(dir, &f);
	if (r == SL_ENOTFOUND) return SL_OK;
	for (size_t i = 0; i < f.len; i++) {
		char *segment = spill_path(dir, f.seq[i]);
		if (unlink(segment) != 0) r = sl_status_from_errno(errno);
		sl_free(segment);
	}
	char *path = sl_asprintf("%s/mark", dir);
	if (r == SL_OK) r = spill_spares_remove(dir);
	if (r == SL_OK) r = spill_small_remove(dir, "owner");
	if (r == SL_OK) r = spill_small_remove(dir, "decided");
	if (r == SL_OK && unlink(path) != 0 && errno != ENOENT) r = sl_status_from_errno(errno);
	/* Files that were set aside keep the folder. */
	if (r == SL_OK && rmdir(dir) != 0 && errno != ENOTEMPTY && errno != EEXIST) r = sl_status_from_errno(errno);
	sl_free(path);
	sl_free(f.seq);
	return r;
}
