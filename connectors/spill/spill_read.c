/* spill_read.c: reading records back, and the check that each record goes through. See spill.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "crc32c.h"
#include "log.h"
#include "mem.h"
#include "origin.h"
#include "spill_int.h"
#include "sql_row.h"

#define WINDOW_BYTES (256 * SL_KB)

const char *spill_window_get(struct spill_window *w, int fd, uint64_t limit, uint64_t at, size_t n) {
	if (n > limit || at > limit - n) return NULL;
	if (at >= w->at && at - w->at <= w->buf.n && n <= w->buf.n - (at - w->at)) return w->buf.p + (at - w->at);
	size_t want = sl_max_size(n, sl_min_size(WINDOW_BYTES, limit - at));
	sl_buf_clear(&w->buf);
	char *to = sl_buf_add(&w->buf, want);
	size_t got = 0;
	while (got < want) {
		ssize_t r = pread(fd, to + got, want - got, (off_t)(at + got));
		if (r < 0 && errno == EINTR) continue;
		if (r <= 0) break;
		got += (size_t)r;
	}
	w->buf.n = got;
	w->at = at;
	return got >= n ? w->buf.p : NULL;
}

static int rows_check(struct sl_slice rows, uint32_t count) {
	struct sl_origin origin;
	uint32_t size;
	while (count > 0) {
		if (sql_row_check(rows, &size) != SL_OK) return SL_ECORRUPT;
		bool frame = sql_row_head(rows.p)->flags & SQL_ROW_FRAME;
		if (frame && sl_origin_read(rows.p, &origin) != SL_OK) return SL_ECORRUPT;
		count -= !frame;
		rows = slice_from(rows, size);
	}
	return rows.n == 0 ? SL_OK : SL_ECORRUPT;
}

int spill_record_check(struct spill_window *w, int fd, uint64_t limit, uint64_t at, uint64_t seq,
		       struct spill_head *head, const char **rows) {
	const char *p = spill_window_get(w, fd, limit, at, sizeof *head);
	if (!p) return SL_ECORRUPT;
	memcpy(head, p, sizeof *head);
	if (head->bytes > SPILL_RECORD_MAX || head->rows == 0 || head->zero != 0 || head->seq != seq)
		return SL_ECORRUPT;
	p = spill_window_get(w, fd, limit, at, sizeof *head + head->bytes);
	if (!p || crc32c(0, p + 4, sizeof *head - 4 + head->bytes) != head->crc) return SL_ECORRUPT;
	*rows = p + sizeof *head;
	return rows_check(slice_make(*rows, head->bytes), head->rows);
}

static int segment_file(struct spill *s, struct spill_segment *g) {
	if (g->fd >= 0) return SL_OK;
	char *path = spill_path(s->dir, g->first_seq);
	g->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (g->fd < 0) log_error(LOG_ACTION, "segment cannot be read", "path=%s err=%s", path, strerror(errno));
	sl_free(path);
	return g->fd < 0 ? SL_EIO : SL_OK;
}

/* The reader goes on to the next segment that has records; all of them are unread. */
static void reader_next_segment(struct spill *s) {
	struct spill_segment *g = s->read_segment;
	if (g != s->active && g->fd >= 0) {
		close(g->fd);
		g->fd = -1;
	}
	do {
		sl_assert(g->link.next != &s->segments);
		g = SL_LIST_ENTRY(g->link.next, struct spill_segment, link);
	} while (g->unread == 0);
	s->read_segment = g;
	s->read_at = g->start;
	s->read_seq = g->first_seq;
	sl_buf_clear(&s->window.buf);
}

/* What is unread again stands first. */
static void back_forget(struct spill *s) {
	sl_free(s->back.decided);
	s->back = (struct spill_ref){0};
}

/* The rest of the reader's segment cannot be read: counts it out and goes on behind it. */
static void segment_lose(struct spill *s, uint32_t *rows) {
	struct spill_segment *g = s->read_segment;
	uint64_t lost = g->unread_rows;
	log_error(LOG_ACTION, "segment is damaged; its unread rows are lost",
		  "path=%s/%020" PRIu64 ".log offset=%" PRIu64 " rows=%" PRIu64, s->dir, g->first_seq, s->read_at,
		  lost);
	*rows = (uint32_t)lost;
	s->unread_rows -= lost;
	s->unread_bytes -= g->unread_bytes;
	s->unread_records -= g->unread;
	g->live -= g->unread;
	g->unread = g->unread_rows = g->unread_bytes = 0;
	back_forget(s);
	if (s->unread_records > 0) reader_next_segment(s);
	if (g == s->active) s->active = NULL; /* a new one begins with the next record */
	if (g->live == 0) spill_segment_delete(s, g);
}

uint64_t spill_next_bytes(struct spill *s) {
	struct spill_segment *g = s->read_segment;
	struct spill_head head;
	if (s->unread_records == 0 || segment_file(s, g) != SL_OK) return 0;
	for (uint64_t at = s->read_at, seq = s->read_seq;; at += sizeof head + head.bytes, seq += head.rows) {
		const char *p = spill_window_get(&s->window, g->fd, g->end, at, sizeof head);
		if (!p) return 0;
		memcpy(&head, p, sizeof head);
		if (head.bytes > SPILL_RECORD_MAX || head.rows == 0 || head.seq != seq) return 0;
		if (!spill_marked_done(s->was, head.seq)) return head.bytes;
	}
}

bool spill_unread(struct spill *s, struct spill_ref *ref, uint32_t rows, uint32_t done) {
	struct spill_segment *g = ref->segment;
	uint64_t next = s->unread_records ? s->read_seq : s->next_seq;
	uint32_t decided = spill_decided_rows(&s->decided, ref->seq, ref->crc, ref->rows);
	if (ref->at == 0 || ref->decided || next != ref->seq + ref->rows || s->kept.prev != &ref->link ||
	    !g->same_columns || rows != ref->rows - decided)
		return false;
	if (s->unread_records && s->read_segment != g && s->read_segment != s->active && s->read_segment->fd >= 0) {
		close(s->read_segment->fd);
		s->read_segment->fd = -1;
	}
	s->read_segment = g;
	s->read_at = ref->at;
	s->read_seq = ref->seq;
	s->back = (struct spill_ref){.seq = ref->seq, .rows = ref->rows, .crc = ref->crc};
	s->back_done = done;
	sl_buf_clear(&s->window.buf); /* perhaps of another file */
	done += decided;
	g->unread++;
	g->unread_rows += ref->rows - done;
	g->unread_bytes += ref->bytes;
	s->unread_records++;
	s->unread_rows += ref->rows - done;
	s->unread_bytes += ref->bytes;
	sl_list_remove(&ref->link);
	*ref = (struct spill_ref){0};
	return true;
}

int spill_read(struct spill *s, struct sl_buf *out, struct spill_ref *ref, uint32_t *rows,
	       const struct spill_names **columns) {
	if (s->unread_records == 0) return SL_ENOTFOUND;
	struct spill_segment *g = s->read_segment;
	struct spill_head head;
	const char *bytes = NULL;
	int r = segment_file(s, g);
	while (r == SL_OK) {
		r = spill_record_check(&s->window, g->fd, g->end, s->read_at, s->read_seq, &head, &bytes);
		/* A former run was done with it; one that is not stands behind. */
		if (r != SL_OK || !spill_marked_done(s->was, head.seq)) break;
		s->read_at += sizeof head + head.bytes;
		s->read_seq += head.rows;
	}
	if (r != SL_OK) {
		segment_lose(s, rows);
		return SL_ECORRUPT;
	}
	uint32_t decided = spill_decided_rows(&s->decided, head.seq, head.crc, head.rows);
	if (decided)
		spill_decided_cut(&s->decided, &head, bytes, out);
	else
		sl_buf_append(out, bytes, head.bytes);
	*rows = head.rows - decided;
	if (columns) *columns = g->same_columns ? NULL : &g->names;
	ref->segment = g;
	ref->seq = head.seq;
	ref->at = s->read_at;
	ref->bytes = head.bytes;
	ref->rows = head.rows;
	ref->crc = head.crc;
	uint32_t fresh = *rows - (head.seq == s->back.seq ? s->back_done : 0);
	back_forget(s);
	if (s->window.buf.cap > WINDOW_BYTES * 2)
		sl_buf_fini(&s->window.buf); /* a large one is not kept for the next */
	sl_list_push_back(&s->kept, &ref->link);
	s->read_at += sizeof head + head.bytes;
	s->read_seq += head.rows;
	g->unread--;
	g->unread_rows -= fresh;
	g->unread_bytes -= head.bytes;
	s->unread_records--;
	s->unread_rows -= fresh;
	s->unread_bytes -= head.bytes;
	if (g->unread > 0) return SL_OK;
	/* The segment may be deleted before the next call. */
	if (s->unread_records > 0)
		reader_next_segment(s);
	else if (g != s->active) {
		close(g->fd);
		g->fd = -1;
	}
	return SL_OK;
}
