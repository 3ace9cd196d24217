/* queue_former.c: files of former runs, which go together when no log needs them. See queue_log.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "queue_log_int.h"

struct queue_former {
	char *dir;
	uint64_t run;
	char **paths;
	size_t len, cap;
	_Atomic uint64_t bytes;
	_Atomic uint32_t needed_by;
};

struct queue_former *queue_former_new(const char *dir, uint64_t run, uint32_t workers) {
	struct queue_former *f = SL_NEW(struct queue_former);
	f->dir = sl_strdup(dir);
	f->run = run;
	atomic_init(&f->needed_by, workers);
	return f;
}

void queue_former_add(struct queue_former *f, const char *path, uint64_t bytes) {
	SL_GROW(f->paths, f->len, f->cap);
	f->paths[f->len++] = sl_strdup(path);
	f->bytes += bytes;
}

uint64_t queue_former_bytes(const struct queue_former *f) { return f ? f->bytes : 0; }

void queue_former_done(struct queue_former *f) {
	if (atomic_fetch_sub(&f->needed_by, 1) != 1 || f->len == 0) return;
	/* Some of them without the others would say what is not so. */
	char *mark = sl_asprintf("%s/" QUEUE_VOID_BEGIN "%010" PRIu64, f->dir, f->run);
	int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	for (size_t i = 0; i < f->len; i++)
		if (fd < 0 || (unlink(f->paths[i]) != 0 && errno != ENOENT))
			log_warn(LOG_STORE, "file of a former run cannot be deleted", "path=%s err=%s", f->paths[i],
				 strerror(errno));
	if (fd >= 0) {
		close(fd);
		unlink(mark);
	}
	sl_free(mark);
	atomic_store(&f->bytes, 0);
}

void queue_former_free(struct queue_former *f) {
	if (!f) return;
	for (size_t i = 0; i < f->len; i++) sl_free(f->paths[i]);
	sl_free(f->paths);
	sl_free(f->dir);
	sl_free(f);
}
