/* tsan_threads.c: C11's threads by POSIX's names. librdkafka makes its threads with thrd_create(), of which ThreadSanitizer knows
 * nothing, and crashes; in a program that exports its symbols these stand before the C library's. The types are the same size in
 * glibc, the meanings are the same, and only the results are named differently. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t), "glibc");

static int result(int r) {
	if (r == ETIMEDOUT) return thrd_timedout;
	return r == 0 ? thrd_success : r == EBUSY ? thrd_busy : thrd_error;
}
static pthread_mutex_t *mutex(mtx_t *m) { return (pthread_mutex_t *)(void *)m; }
static pthread_cond_t *cond(cnd_t *c) { return (pthread_cond_t *)(void *)c; }

struct start {
	thrd_start_t run;
	void *arg;
};

static void *start_run(void *arg) {
	struct start s = *(struct start *)arg;
	free(arg);
	return (void *)(intptr_t)s.run(s.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *arg) {
	struct start *s = malloc(sizeof *s);
	if (!s) return thrd_nomem;
	*s = (struct start){run, arg};
	return result(pthread_create(thread, NULL, start_run, s));
}
int thrd_join(thrd_t thread, int *out) {
	void *value = NULL;
	int r = pthread_join(thread, &value);
	if (out) *out = (int)(intptr_t)value;
	return result(r);
}
int thrd_detach(thrd_t thread) { return result(pthread_detach(thread)); }

int mtx_init(mtx_t *m, int type) {
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	if (type & mtx_recursive) pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	int r = pthread_mutex_init(mutex(m), &attr);
	pthread_mutexattr_destroy(&attr);
	return result(r);
}
void mtx_destroy(mtx_t *m) { pthread_mutex_destroy(mutex(m)); }
int mtx_lock(mtx_t *m) { return result(pthread_mutex_lock(mutex(m))); }
int mtx_trylock(mtx_t *m) { return result(pthread_mutex_trylock(mutex(m))); }
int mtx_unlock(mtx_t *m) { return result(pthread_mutex_unlock(mutex(m))); }

int cnd_init(cnd_t *c) { return result(pthread_cond_init(cond(c), NULL)); }
void cnd_destroy(cnd_t *c) { pthread_cond_destroy(cond(c)); }
int cnd_signal(cnd_t *c) { return result(pthread_cond_signal(cond(c))); }
int cnd_broadcast(cnd_t *c) { return result(pthread_cond_broadcast(cond(c))); }
int cnd_wait(cnd_t *c, mtx_t *m) { return result(pthread_cond_wait(cond(c), mutex(m))); }
int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until) {
	return result(pthread_cond_timedwait(cond(c), mutex(m), until));
}
