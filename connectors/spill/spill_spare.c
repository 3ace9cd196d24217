/* spill_spare.c: files that are used again. See spill.h.
 *
 * A file's pages and blocks cost several times what the copy into them does. So the log rolls on through small files while little of
 * it is unread: one whose records are all done is set aside as a spare, and becomes the next active one. Its new header is
 * written before it gets the new name, and behind what is written from then on an end mark stands, until the file is full:
 * what a former segment left behind it is never taken for damage, and never for a record either, for its numbers are lower.
 * Spares go when somebody needs the room, and those that nobody has taken for a while.
 *
 * With `sync` files are not used again: each change of files would wait for the disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "crc32c.h"
#include "disk.h"
#include "log.h"
#include "mem.h"
#include "spill_int.h"

#define SPARES_MAX 16
#define UNREAD_FILES 8 /* so many files at least, above the smallest, has what is unread */

static char *spare_path(const struct spill *s, const struct spill_segment *g) {
	return sl_asprintf("%s/%020" PRIu64 SPILL_SPARE_END, s->dir, g->first_seq);
}

uint64_t spill_file_most(const struct spill *s) {
	uint64_t most = s->unread_bytes / UNREAD_FILES;
	if (most < SPILL_ROLL_BYTES) most = SPILL_ROLL_BYTES;
	return s->sync || most > s->segment_bytes ? s->segment_bytes : most;
}

struct spill_head spill_end_mark(uint64_t seq) {
	struct spill_head end = {.seq = seq};
	end.crc = crc32c(0, (const char *)&end + 4, sizeof end - 4);
	return end;
}

bool spill_end_here(struct spill_window *w, int fd, uint64_t limit, uint64_t at, uint64_t seq) {
	struct spill_head end = spill_end_mark(seq);
	const char *p = spill_window_get(w, fd, limit, at, sizeof end);
	return p && memcmp(p, &end, sizeof end) == 0;
}

bool spill_spare_keep(struct spill *s, struct spill_segment *g) {
	if (s->sync || s->spare_count >= SPARES_MAX || g->size > 2 * SPILL_ROLL_BYTES) return false;
	if (s->spare_bytes + g->size > 2 * s->segment_bytes) return false; /* a quarter of buffer.disk, at most */
	char *from = spill_path(s->dir, g->first_seq), *to = spare_path(s, g);
	bool kept = rename(from, to) == 0;
	sl_free(from);
	sl_free(to);
	if (!kept) return false;
	if (s->active == g) s->active = NULL;
	if (g->fd >= 0) close(g->fd);
	g->fd = -1;
	sl_list_remove(&g->link);
	sl_list_push_back(&s->spares, &g->link);
	s->spare_bytes += g->size;
	s->spare_count++;
	return true;
}

static void spare_forget(struct spill *s, struct spill_segment *g) {
	s->spare_bytes -= g->size;
	if (--s->spare_count < s->spare_least) s->spare_least = s->spare_count;
	spill_segment_size(s, g, 0);
	spill_segment_free(g);
}

static void spare_drop(struct spill *s, struct spill_segment *g) {
	char *path = spare_path(s, g);
	if (unlink(path) != 0 && errno != ENOENT)
		log_warn(LOG_ACTION, "spare file of a log cannot be deleted", "path=%s err=%s", path, strerror(errno));
	sl_free(path);
	spare_forget(s, g);
}

bool spill_spares_drop(struct spill *s) {
	bool any = s->spare_count > 0;
	SL_LIST_FOREACH_SAFE(it, &s->spares) spare_drop(s, SL_LIST_ENTRY(it, struct spill_segment, link));
	return any;
}

static int spare_rename(const char *from, const char *to, struct sl_slice header, uint64_t first_seq) {
	struct spill_head end = spill_end_mark(first_seq);
	int fd = open(from, O_RDWR | O_CLOEXEC);
	if (fd < 0) return -1;
	if (sl_disk_write(fd, header.p, header.n, 0) == SL_OK &&
	    sl_disk_write(fd, (const char *)&end, sizeof end, header.n) == SL_OK &&
	    renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return fd;
	close(fd);
	return -1;
}

int spill_spare_take(struct spill *s, const char *path, struct sl_slice header, uint64_t *size) {
	int fd = -1;
	while (fd < 0 && !s->sync && !sl_list_empty(&s->spares)) {
		struct spill_segment *g = SL_LIST_ENTRY(s->spares.prev, struct spill_segment, link);
		char *from = spare_path(s, g);
		*size = sl_max_size(g->size, header.n + sizeof(struct spill_head));
		fd = spare_rename(from, path, header, s->next_seq);
		sl_free(from);
		if (fd >= 0)
			spare_forget(s, g);
		else
			spare_drop(s, g);
	}
	return fd;
}

void spill_rest(struct spill *s) {
	for (uint32_t n = s->spare_least; n > 0; n--)
		spare_drop(s, SL_LIST_ENTRY(s->spares.next, struct spill_segment, link));
	s->spare_least = s->spare_count;
}

int spill_spares_remove(const char *dir) {
	DIR *d = opendir(dir);
	int r = SL_OK;
	if (!d) return sl_status_from_errno(errno);
	for (struct dirent *e; (e = readdir(d));) {
		struct sl_slice name = slice_from_str(e->d_name);
		bool spare = name.n > 20 && slice_equal_str(slice_from(name, 20), SPILL_SPARE_END);
		if (spare && unlinkat(dirfd(d), e->d_name, 0) != 0) r = sl_status_from_errno(errno);
	}
	closedir(d);
	return r;
}
