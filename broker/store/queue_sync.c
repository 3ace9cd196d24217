/* queue_sync.c: the thread that makes the queue log safe from power cuts: fdatasync(2), for all ticks that came meanwhile at once. */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "mem.h"
#include "queue_log_int.h"

struct sync_file {
	int fd;
	bool ends;
};

struct sync_work {
	struct sync_file *files;
	size_t len, cap;
	bool names, any;
	uint64_t upto, *seen;
};

struct queue_sync {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	const char *dir;
	void (*synced)(void *arg);
	void *arg;
	/* under the lock */
	struct sync_work asked;
	uint64_t done, *done_seen;
	bool fresh, stopping;
};

static void seen_take(uint64_t **to, const uint64_t *from, size_t workers) {
	if (!*to) *to = SL_NEW_ARRAY(uint64_t, workers);
	memcpy(*to, from, workers * sizeof **to);
}

void queue_sync_ask(struct queue_sync *s, int fd, bool ends, bool names, uint64_t upto, const uint64_t *seen,
		    size_t workers) {
	pthread_mutex_lock(&s->lock);
	struct sync_work *a = &s->asked;
	if (a->len == 0 || a->files[a->len - 1].fd != fd) {
		SL_GROW(a->files, a->len, a->cap);
		a->files[a->len++] = (struct sync_file){.fd = fd};
	}
	a->files[a->len - 1].ends |= ends;
	a->names |= names;
	a->any = true;
	a->upto = upto;
	seen_take(&a->seen, seen, workers);
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

bool queue_sync_done(struct queue_sync *s, uint64_t *upto, uint64_t *seen, size_t workers) {
	pthread_mutex_lock(&s->lock);
	bool fresh = s->fresh;
	s->fresh = false;
	*upto = s->done;
	if (fresh) memcpy(seen, s->done_seen, workers * sizeof *seen);
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

static int work_do(struct queue_sync *s, const struct sync_work *work) {
	int r = SL_OK;
	for (size_t i = 0; i < work->len; i++) {
		if (fdatasync(work->files[i].fd) != 0) r = sl_status_from_errno(errno);
		if (work->files[i].ends) close(work->files[i].fd);
	}
	if (work->names && sl_disk_sync_dir(s->dir) != SL_OK) r = SL_EIO;
	return r;
}

static void *sync_thread(void *arg) {
	struct queue_sync *s = arg;
	bool failed = false;
	pthread_setname_np(pthread_self(), "queue-sync");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->asked.any && !s->stopping) pthread_cond_wait(&s->wake, &s->lock);
		if (!s->asked.any) break;
		struct sync_work work = s->asked;
		s->asked = (struct sync_work){.any = false};
		pthread_mutex_unlock(&s->lock);
		int r = work_do(s, &work);
		/* What the kernel could not write it may have forgotten: from then on nothing is called safe. */
		if (r != SL_OK && !failed)
			log_always(LOG_ERROR, LOG_STORE,
				   "the queue log cannot be synced: nothing more is acknowledged for persistent "
				   "sessions; see to the disk, then restart",
				   "dir=%s err=%s", s->dir, sl_status_text(r));
		failed = failed || r != SL_OK;
		pthread_mutex_lock(&s->lock);
		if (!failed) {
			s->done = work.upto;
			sl_free(s->done_seen);
			s->done_seen = work.seen;
			work.seen = NULL;
			s->fresh = true;
		}
		sl_free(work.files);
		sl_free(work.seen);
		if (failed) continue;
		pthread_mutex_unlock(&s->lock);
		s->synced(s->arg);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

struct queue_sync *queue_sync_new(void (*synced)(void *arg), void *arg, const char *dir) {
	struct queue_sync *s = SL_NEW(struct queue_sync);
	s->dir = dir;
	s->synced = synced;
	s->arg = arg;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	int rc = pthread_create(&s->thread, NULL, sync_thread, s);
	sl_assert(rc == 0);
	return s;
}

void queue_sync_free(struct queue_sync *s) {
	if (!s) return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	sl_free(s->asked.files);
	sl_free(s->asked.seen);
	sl_free(s->done_seen);
	sl_free(s);
}
