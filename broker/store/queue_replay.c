/* queue_replay.c: the files of former runs, one after the other. See queue_replay.h. */
#include "queue_replay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "mem.h"
#include "queue_replay_int.h"

/* ---- which files ---- */

static bool digits_take(struct sl_slice *text, size_t n, uint64_t *v) {
	if (text->n < n) return false;
	*v = 0;
	for (size_t i = 0; i < n; i++) {
		if (text->p[i] < '0' || text->p[i] > '9') return false;
		*v = *v * 10 + (uint64_t)(text->p[i] - '0');
	}
	*text = slice_from(*text, n);
	return true;
}

static bool dash_take(struct sl_slice *text) {
	if (text->n == 0 || text->p[0] != '-') return false;
	*text = slice_from(*text, 1);
	return true;
}

/* 0000000003-001-0000000017.queue */
static bool name_parse(struct sl_slice name, struct replay_file *f) {
	uint64_t worker;
	if (!digits_take(&name, 10, &f->run) || !dash_take(&name) || !digits_take(&name, 3, &worker) ||
	    !dash_take(&name) || !digits_take(&name, 10, &f->serial) || !slice_equal_str(name, QUEUE_NAME_END))
		return false;
	f->worker = (uint32_t)worker;
	return true;
}

static int file_order(const void *a, const void *b) {
	const struct replay_file *x = a, *y = b;
	if (x->run != y->run) return x->run < y->run ? -1 : 1;
	if (x->worker != y->worker) return x->worker < y->worker ? -1 : 1;
	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static void forget_file(const char *path) {
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn(LOG_STORE, "file cannot be deleted", "path=%s err=%s", path, strerror(errno));
}

/* Files before this run were about to go. */
static void drop_void(struct queue_replay *r, uint64_t below) {
	size_t kept = 0;
	for (size_t i = 0; i < r->files_len; i++) {
		if (r->files[i].run >= below) {
			r->files[kept++] = r->files[i];
			continue;
		}
		forget_file(r->files[i].path);
		sl_free(r->files[i].path);
	}
	r->files_len = kept;
}

static int files_find(struct queue_replay *r) {
	DIR *d = opendir(r->opts.dir);
	if (!d) return errno == ENOENT ? SL_OK : sl_status_from_errno(errno);
	uint64_t below = 0;
	for (struct dirent *e; (e = readdir(d));) {
		struct sl_slice name = slice_from_str(e->d_name);
		struct replay_file f = {.path = sl_asprintf("%s/%s", r->opts.dir, e->d_name)};
		if (name_parse(name, &f)) {
			SL_GROW(r->files, r->files_len, r->files_cap);
			r->files[r->files_len++] = f;
			continue;
		}
		struct sl_slice run = name;
		uint64_t v;
		if (slice_starts_with(name, SL_SLICE_LIT("spare-")) ||
		    slice_starts_with(name, SL_SLICE_LIT("reserve-"))) {
			forget_file(f.path);
		} else if (slice_starts_with(name, SL_SLICE_LIT(QUEUE_VOID_BEGIN))) {
			run = slice_from(name, sizeof QUEUE_VOID_BEGIN - 1);
			if (digits_take(&run, 10, &v) && v > below) below = v;
		}
		sl_free(f.path);
	}
	closedir(d);
	if (below) drop_void(r, below);
	if (r->files_len) qsort(r->files, r->files_len, sizeof *r->files, file_order);
	return SL_OK;
}

/* ---- reading one ---- */

static int file_read(struct replay_file *f, struct sl_buf *out) {
	sl_buf_clear(out);
	struct stat st;
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || fstat(fd, &st) != 0 ? sl_status_from_errno(errno) : SL_OK;
	if (r == SL_OK) {
		f->bytes = (uint64_t)st.st_size;
		/* An empty file has no bytes to make room for. */
		if (st.st_size > 0) r = sl_disk_read(fd, sl_buf_add(out, (size_t)st.st_size), (size_t)st.st_size, 0);
	}
	if (fd >= 0) close(fd);
	return r;
}

static int head_check(struct queue_replay *r, const struct replay_file *f, struct sl_slice bytes) {
	struct queue_segment_head head;
	if (bytes.n < sizeof head) return SL_ECORRUPT;
	memcpy(&head, bytes.p, sizeof head);
	if (memcmp(head.magic, QUEUE_MAGIC, sizeof head.magic) != 0)
		return memcmp(head.magic, QUEUE_MAGIC, 5) == 0 ? SL_EUNSUPPORTED : SL_ECORRUPT;
	if (head.bytes != sizeof head || head.crc != queue_head_crc(&head) || head.run != f->run ||
	    head.serial != f->serial || head.worker != f->worker || head.workers == 0)
		return SL_ECORRUPT;
	r->run.workers = head.workers;
	r->run.home_seed = head.home_seed;
	return SL_OK;
}

/* How far the file is good. *ends: there it was meant to end. */
static size_t frames_walk(struct queue_replay *r, const struct replay_file *f, struct sl_slice bytes, bool *ends) {
	static const char end[QUEUE_END_BYTES];
	size_t at = sizeof(struct queue_segment_head);
	for (;;) {
		struct queue_frame_head head;
		size_t left = bytes.n - at;
		*ends = left == 0 || memcmp(bytes.p + at, end, sl_min_size(left, sizeof end)) == 0;
		if (*ends || left < sizeof head) return at;
		memcpy(&head, bytes.p + at, sizeof head);
		const char *records = bytes.p + at + sizeof head;
		if (head.bytes > left - sizeof head || head.crc != queue_frame_crc(&head, records, f->serial))
			return at;
		if (!queue_apply(r, head.first, slice_make(records, head.bytes))) return at;
		at += sizeof head + head.bytes;
	}
}

static int file_replay(struct queue_replay *r, struct replay_file *f, struct sl_buf *buf, struct sl_err *err) {
	int rc = file_read(f, buf);
	if (rc != SL_OK)
		return sl_err_set(err, rc,
				  "cannot read %s: %s; see to its rights, or move it away and lose what is in it",
				  f->path, sl_status_text(rc));
	struct sl_slice bytes = sl_buf_slice(buf);
	rc = head_check(r, f, bytes);
	if (rc == SL_EUNSUPPORTED)
		return sl_err_set(
		    err, rc,
		    "%s was written by another version of Sluice; let that version run until all clients have "
		    "their messages, or move the file away",
		    f->path);
	bool ends = false;
	size_t good = rc == SL_OK ? frames_walk(r, f, bytes, &ends) : 0;
	r->stat.bytes += f->bytes;
	if (ends || (rc != SL_OK && bytes.n == 0)) return SL_OK; /* empty: killed while making it */
	log_always(LOG_WARN, LOG_STORE, "queue log cut at its first bad frame", "path=%s offset=%zu bytes_cut=%" PRIu64,
		   f->path, good, f->bytes - good);
	r->stat.cut_bytes += f->bytes - good;
	return SL_OK;
}

static int replay_all(struct queue_replay *r, struct sl_err *err) {
	struct sl_buf buf = SL_BUF_INIT;
	int rc = SL_OK;
	for (size_t i = 0; rc == SL_OK && i < r->files_len; i++) {
		struct replay_file *f = &r->files[i], *next = i + 1 < r->files_len ? f + 1 : NULL;
		r->worker = f->worker;
		rc = file_replay(r, f, &buf, err);
		bool run_ends = !next || next->run != f->run;
		if (run_ends || next->worker != f->worker) queue_apply_log_end(r);
		if (run_ends) queue_apply_run_end(r);
		r->stat.run = f->run;
		r->stat.files++;
	}
	sl_buf_fini(&buf);
	return rc;
}

int queue_replay_open(const struct queue_replay_opts *opts, struct queue_replay **out, struct sl_err *err) {
	struct queue_replay *r = SL_NEW(struct queue_replay);
	r->opts = *opts;
	int rc = files_find(r);
	if (rc != SL_OK)
		sl_err_set(err, rc, "cannot read the folder %s: %s; see to its rights", opts->dir, sl_status_text(rc));
	else
		rc = replay_all(r, err);
	if (rc != SL_OK) {
		queue_replay_free(r);
		r = NULL;
	}
	*out = r;
	return rc;
}

void queue_replay_free(struct queue_replay *r) {
	if (!r) return;
	queue_apply_log_end(r);
	HMAP_FOREACH(image_map, it, &r->images) {
		inflight_fini(&it->image->out);
		msg_queue_fini(&it->image->queue);
		id_set_fini(&it->image->in);
		id_set_fini(&it->image->open);
		sl_free(it->image);
	}
	image_map_fini(&r->images);
	for (size_t i = 0; i < r->files_len; i++) sl_free(r->files[i].path);
	sl_free(r->files);
	sl_free(r);
}

struct queue_image *queue_replay_next(struct queue_replay *r, size_t *at) {
	while (*at < r->images.cap) {
		struct image_slot *slot = &r->images.slots[(*at)++];
		if (!slot->used) continue;
		struct queue_image *i = slot->image;
		if (i->out.len || i->queue.len || i->in.len) return i;
	}
	return NULL;
}

void queue_replay_stat(const struct queue_replay *r, struct queue_replay_stat *out) { *out = r->stat; }

void queue_replay_files(const struct queue_replay *r, struct queue_former *former) {
	for (size_t i = 0; i < r->files_len; i++) queue_former_add(former, r->files[i].path, r->files[i].bytes);
}
