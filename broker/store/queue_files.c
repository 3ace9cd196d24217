/* queue_files.c: segments of the queue log: made, written, used again, deleted. See queue_log.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "mem.h"
#include "queue_log_int.h"

#define ROLL_BYTES (1 * SL_MB) /* files become so large while little is alive */
#define RESERVE_BYTES (4 * SL_MB)
enum { SPARES_MAX = 4, FILES_LIKED = 8, TIGHT_SHARE = 8 };

static char *segment_path(const struct queue_log *q, uint64_t serial) {
	return sl_asprintf("%s/%010" PRIu64 "-%03u-%010" PRIu64 QUEUE_NAME_END, q->opts.dir, q->opts.run,
			   q->opts.worker, serial);
}

static char *spare_path(const struct queue_log *q, uint64_t serial) {
	return sl_asprintf("%s/spare-%03u-%010" PRIu64, q->opts.dir, q->opts.worker, serial);
}

static uint64_t file_most(const struct queue_log *q) {
	uint64_t most = q->disk_bytes / FILES_LIKED;
	if (most < ROLL_BYTES) most = ROLL_BYTES;
	return q->sync || most > q->opts.segment_bytes ? q->opts.segment_bytes : most;
}

static void segment_size(struct queue_log *q, struct queue_segment *g, uint64_t size) {
	q->disk_bytes += size - g->size;
	g->size = size;
}

static void segment_free(struct queue_log *q, struct queue_segment *g) {
	if (g->fd >= 0) close(g->fd);
	segment_size(q, g, 0);
	sl_list_remove(&g->link);
	sl_free(g);
}

/* ---- spares ---- */

static void spare_drop(struct queue_log *q, struct queue_segment *g) {
	char *path = spare_path(q, g->serial);
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn(LOG_STORE, "spare file of the queue log cannot be deleted", "path=%s err=%s", path,
			 strerror(errno));
	sl_free(path);
	q->spare_count--;
	segment_free(q, g);
}

static bool spares_drop(struct queue_log *q) {
	bool any = q->spare_count > 0;
	SL_LIST_FOREACH_SAFE(it, &q->spares) spare_drop(q, SL_LIST_ENTRY(it, struct queue_segment, link));
	return any;
}

static bool spare_keep(struct queue_log *q, struct queue_segment *g) {
	if (q->sync || q->spare_count >= SPARES_MAX || g->size > 2 * ROLL_BYTES) return false;
	char *from = segment_path(q, g->serial), *to = spare_path(q, g->serial);
	bool kept = rename(from, to) == 0;
	sl_free(from);
	sl_free(to);
	if (!kept) return false;
	sl_list_remove(&g->link);
	sl_list_push_back(&q->spares, &g->link);
	q->spare_count++;
	return true;
}

/* Nothing in it is needed. */
static void segment_drop(struct queue_log *q, struct queue_segment *g) {
	if (spare_keep(q, g)) return;
	char *path = segment_path(q, g->serial);
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn(LOG_STORE, "segment of the queue log cannot be deleted", "path=%s err=%s", path,
			 strerror(errno));
	sl_free(path);
	segment_free(q, g);
}

static bool out_all_seen(const struct queue_log *q, const struct queue_segment *g) {
	for (uint32_t i = 0; i < q->opts.workers; i++)
		if (g->out_last[i] > q->out_seen[i]) return false;
	return true;
}

/* Records in the buffer that replace older ones are not safe yet: then the older ones stay. */
void queue_segments_release(struct queue_log *q) {
	if (q->reset_at > q->n.passed) return;
	/* Bodies that some slices have written, for sessions that are not written anew yet. */
	uint64_t needed = q->slicing ? q->map_serial : UINT64_MAX;
	/* A lane in files of a former run needs none of ours, but those behind it do. */
	SL_LIST_FOREACH(it, &q->lanes) {
		uint64_t oldest = SL_LIST_ENTRY(it, struct queue_lane, link)->oldest;
		if (oldest == 0) continue;
		if (oldest < needed) needed = oldest;
		break;
	}
	SL_LIST_FOREACH_SAFE(it, &q->segments) {
		struct queue_segment *g = SL_LIST_ENTRY(it, struct queue_segment, link);
		if (g == q->active || g->serial >= needed || !out_all_seen(q, g)) return;
		segment_drop(q, g);
	}
}

/* ---- writing ---- */

/* What a segment begins with: so that the last word on what came from other workers outlives the older segments. */
static void prologue(const struct queue_log *q, struct sl_buf *out) {
	struct queue_segment_head head = {.bytes = sizeof head,
					  .run = q->opts.run,
					  .serial = q->serial,
					  .home_seed = q->opts.home_seed,
					  .worker = q->opts.worker,
					  .workers = q->opts.workers};
	memcpy(head.magic, QUEUE_MAGIC, sizeof head.magic);
	head.crc = queue_head_crc(&head);
	sl_buf_append(out, &head, sizeof head);
	size_t at = out->n;
	struct queue_frame_head frame = {.first = q->first};
	sl_buf_append(out, &frame, sizeof frame);
	for (uint32_t i = 0; i < q->opts.workers; i++) {
		if (q->seen_written[i] == 0) continue;
		char numbers[2 * QUEUE_UINT_MAX];
		char *p = queue_put_uint(queue_put_uint(numbers, i), q->seen_written[i]);
		sl_buf_put(out, QUEUE_SEEN);
		sl_buf_append(out, numbers, (size_t)(p - numbers));
	}
	frame.bytes = (uint32_t)(out->n - at - sizeof frame);
	if (frame.bytes == 0) {
		out->n = at;
	} else {
		frame.crc = queue_frame_crc(&frame, out->p + at + sizeof frame, q->serial);
		memcpy(out->p + at, &frame, sizeof frame);
	}
	static const char end[QUEUE_END_BYTES];
	sl_buf_append(out, end, sizeof end);
}

/* ---- room for the last words: what has been accepted when the disk is full, and what makes room again ---- */

static char *reserve_path(const struct queue_log *q) {
	return sl_asprintf("%s/reserve-%03u", q->opts.dir, q->opts.worker);
}

static void reserve_make(struct queue_log *q) {
	char *path = reserve_path(q);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	q->reserve = fd >= 0 && posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
	if (fd >= 0) close(fd);
	if (!q->reserve) unlink(path);
	sl_free(path);
}

static bool reserve_use(struct queue_log *q) {
	if (!q->reserve) return false;
	char *path = reserve_path(q);
	unlink(path);
	sl_free(path);
	q->reserve = false;
	return true;
}

bool queue_log_tight(struct queue_log *q) {
	uint64_t most = q->opts.disk_max - q->opts.disk_max / TIGHT_SHARE;
	if (q->disk_bytes > most && (!spares_drop(q) || q->disk_bytes > most)) return true;
	if (q->active && !q->reserve) reserve_make(q);
	return q->active && !q->reserve;
}

/* -SL_E, or the descriptor of a file that begins with `start`. */
static int file_make(struct queue_log *q, const char *path, struct sl_slice start, uint64_t *size) {
	*size = start.n;
	while (!sl_list_empty(&q->spares)) {
		struct queue_segment *g = SL_LIST_ENTRY(q->spares.prev, struct queue_segment, link);
		char *from = spare_path(q, g->serial);
		int fd = open(from, O_RDWR | O_CLOEXEC);
		bool made = fd >= 0 && sl_disk_write(fd, start.p, start.n, 0) == SL_OK && rename(from, path) == 0;
		sl_free(from);
		if (made) {
			*size = g->size;
			q->spare_count--;
			segment_free(q, g);
			return fd;
		}
		if (fd >= 0) close(fd);
		spare_drop(q, g);
	}
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0 && errno == ENOENT && sl_disk_mkdirs(q->opts.dir) == SL_OK)
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0) return sl_status_from_errno(errno);
	int r = sl_disk_write(fd, start.p, start.n, 0);
	if (r == SL_OK) return fd;
	unlink(path);
	close(fd);
	return r;
}

static int segment_new(struct queue_log *q) {
	struct sl_buf start = SL_BUF_INIT;
	prologue(q, &start);
	char *path = segment_path(q, q->serial);
	uint64_t size;
	int fd = file_make(q, path, sl_buf_slice(&start), &size);
	if (fd >= 0) {
		struct queue_segment *g = sl_zalloc(sizeof *g + q->opts.workers * sizeof g->out_last[0]);
		g->serial = q->serial;
		g->fd = fd;
		segment_size(q, g, size);
		sl_list_push_back(&q->segments, &g->link);
		q->active = g;
		q->at = start.n - QUEUE_END_BYTES;
		if (q->serial == 1) reserve_make(q);
		if (q->sync) queue_sync_ask(q->sync, fd, false, true, q->n.passed, q->seen_written, q->opts.workers);
	}
	sl_free(path);
	sl_buf_fini(&start);
	return fd < 0 ? fd : SL_OK;
}

static void segment_seal(struct queue_log *q) {
	struct queue_segment *g = q->active;
	memcpy(g->out_last, q->out_last, q->opts.workers * sizeof g->out_last[0]);
	if (q->sync)
		queue_sync_ask(q->sync, g->fd, true, false, q->written, q->seen_written, q->opts.workers);
	else
		close(g->fd);
	g->fd = -1;
	q->active = NULL;
	q->serial = g->serial + 1;
}

/* Publishers wait before disk_max is reached (queue_log_tight()); what they had sent already, and what makes room again, may go beyond
 * it, but not without end. */
static uint64_t disk_most(const struct queue_log *q) {
	uint64_t more = q->opts.disk_max < RESERVE_BYTES ? q->opts.disk_max : RESERVE_BYTES;
	return q->opts.disk_max > UINT64_MAX - more ? UINT64_MAX : q->opts.disk_max + more;
}

static int frame_put(struct queue_log *q) {
	struct queue_frame_head head = {.bytes = (uint32_t)(q->buf.n - sizeof head), .first = q->first};
	uint64_t need = q->buf.n + QUEUE_END_BYTES;
	if (q->buf.n > UINT32_MAX) return SL_ELIMIT;
	if (q->active && q->at + need > file_most(q) && q->at > sizeof(struct queue_segment_head)) segment_seal(q);
	uint64_t held = q->active ? q->active->size - q->at : 0;
	if (need > held && q->disk_bytes + (need - held) > disk_most(q) && !spares_drop(q)) return SL_ELIMIT;
	int r = q->active ? SL_OK : segment_new(q);
	if (r != SL_OK) return r;
	head.crc = queue_frame_crc(&head, q->buf.p + sizeof head, q->active->serial);
	memcpy(q->buf.p, &head, sizeof head);
	memset(sl_buf_add(&q->buf, QUEUE_END_BYTES), 0, QUEUE_END_BYTES);
	r = sl_disk_write(q->active->fd, q->buf.p, q->buf.n, q->at);
	q->buf.n -= QUEUE_END_BYTES;
	uint64_t end = q->at + need;
	if (r != SL_OK) {
		/* Half of it gives its room back. Should that fail, its checksum is wrong. */
		if (q->active->size <= q->at + QUEUE_END_BYTES && ftruncate(q->active->fd, (off_t)q->active->size) != 0)
			log_warn(LOG_STORE, "half a frame stays in the queue log", "dir=%s err=%s", q->opts.dir,
				 strerror(errno));
		return r;
	}
	if (end > q->active->size) segment_size(q, q->active, end);
	q->at = end - QUEUE_END_BYTES;
	return SL_OK;
}

static void tell(struct queue_log *q, int r) {
	if (r == SL_OK && q->full_told)
		log_always(LOG_INFO, LOG_STORE, "the queue log is written again", "dir=%s worker=%u", q->opts.dir,
			   q->opts.worker);
	else if (r == SL_ELIMIT && !q->full_told)
		log_always(
		    LOG_ERROR, LOG_STORE,
		    "the queue log is as large as persistence.max_disk allows: messages for persistent sessions "
		    "are not acknowledged until there is room; raise it, or let clients take what waits for them",
		    "dir=%s worker=%u bytes=%" PRIu64, q->opts.dir, q->opts.worker, q->disk_bytes);
	else if (r != SL_OK && !q->full_told)
		log_always(
		    LOG_ERROR, LOG_STORE,
		    "the queue log cannot be written: messages for persistent sessions are not acknowledged until "
		    "it can; make room on the disk, or see to its rights",
		    "dir=%s worker=%u err=%s", q->opts.dir, q->opts.worker, sl_status_text(r));
	q->full_told = r != SL_OK;
}

int queue_frame_write(struct queue_log *q) {
	if (q->buf.n <= sizeof(struct queue_frame_head)) return SL_OK;
	int r = frame_put(q);
	if (r != SL_OK && spares_drop(q)) r = frame_put(q);
	if (r == SL_ENOSPACE && reserve_use(q)) r = frame_put(q);
	if (r != SL_OK) queue_segments_release(q); /* for the next time */
	tell(q, r);
	return r;
}

void queue_files_close(struct queue_log *q) {
	(void)spares_drop(q);
	(void)reserve_use(q);
	SL_LIST_FOREACH_SAFE(it, &q->segments) segment_free(q, SL_LIST_ENTRY(it, struct queue_segment, link));
}
