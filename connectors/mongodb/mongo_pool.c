/* mongo_pool.c: the threads of a connection, and what they are given: a call (connect, probe) for the first of them, batches for
 * whoever is free.
 *
 *     loop                         lock                      threads
 *     submit  ── job ──────────>  queue  ──────────────────> mongo_batch_run, sl_batch_done
 *     cancel  ── out of the queue, or wake the thread's socket
 *     close   ── wakes all; the last one to end reports sl_conn_closed()
 *
 * Thread: everything here is called on the loop. */
#include <unistd.h>

#include "mem.h"
#include "mongodb_int.h"

enum { CALL_CONNECT = 1, CALL_PROBE = 2 };

struct job {
	struct sl_batch *b;  /* or */
	struct sl_lookup *a; /* a question, which goes before batches that wait */
	struct job *next;
};

struct member {
	struct mongo_pool *p;
	struct mongo_link link;
	pthread_t thread;
	bool started;
	struct sl_batch *b; /* at work; under lock */
	struct sl_lookup *a;
};

struct mongo_pool {
	struct mongo_conn *c;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct job *head, **tail;
	unsigned calls; /* for the first member */
	bool end;
	size_t n, running;
	struct member m[];
};

/* ---- The threads. ------------------------------------------------------------------------------------------------------- */

static void call_make(struct member *m, unsigned call) {
	struct sl_conn *conn = m->p->c->conn;
	char *why;
	if (call == CALL_CONNECT) atomic_fetch_add(&m->p->c->generation, 1);
	bool ok = mongo_link_ping(&m->link, call == CALL_CONNECT, &why);
	if (call == CALL_PROBE)
		sl_probe_done(conn, ok ? SL_OK : SL_EIO, why);
	else if (ok)
		sl_conn_up(conn);
	else
		sl_conn_down(conn, SL_EIO, "%s", why);
	sl_free(why);
}

static void batch_work(struct member *m, struct sl_batch *b) {
	struct mongo_pool *p = m->p;
	if (b->count > 0)
		mongo_batch_run(&m->link, b);
	else
		mongo_look(&m->link, b);
	pthread_mutex_lock(&p->lock);
	m->b = NULL; /* from here on nobody cancels it */
	pthread_mutex_unlock(&p->lock);
	sl_batch_done(b);
}

static void ask_work(struct member *m, struct sl_lookup *a) {
	mongo_find_run(&m->link, a);
	pthread_mutex_lock(&m->p->lock);
	m->a = NULL;
	pthread_mutex_unlock(&m->p->lock);
}

/* What woke the last job must not end the next one. Under lock. */
static void calm(struct member *m) {
	uint64_t count;
	if (m->p->end || !atomic_load(&m->link.cancelled)) return;
	atomic_store(&m->link.cancelled, false);
	(void)!read(m->link.wake_fd, &count, sizeof count);
}

static void *member_main(void *arg) {
	struct member *m = arg;
	struct mongo_pool *p = m->p;
	bool first = m == p->m;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!(first && p->calls) && !p->head && !p->end) pthread_cond_wait(&p->cond, &p->lock);
		if (p->end) break;
		calm(m);
		unsigned call = first ? p->calls & -p->calls : 0;
		struct job *job = call ? NULL : p->head;
		p->calls &= ~call;
		if (job) {
			p->head = job->next;
			if (!p->head) p->tail = &p->head;
			m->b = job->b;
			m->a = job->a;
		}
		pthread_mutex_unlock(&p->lock);
		if (call) call_make(m, call);
		if (job && job->a) ask_work(m, job->a);
		if (job && job->b) batch_work(m, job->b);
		sl_free(job);
		pthread_mutex_lock(&p->lock);
	}
	bool last = --p->running == 0;
	pthread_mutex_unlock(&p->lock);
	if (last) sl_conn_closed(p->c->conn);
	return NULL;
}

/* ---- The loop's side. --------------------------------------------------------------------------------------------------- */

struct mongo_pool *mongo_pool_new(struct mongo_conn *c, size_t threads) {
	struct mongo_pool *p = sl_zalloc(sizeof *p + threads * sizeof *p->m);
	p->c = c;
	p->tail = &p->head;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->cond, NULL);
	for (; p->n < threads; p->n++) {
		struct member *m = &p->m[p->n];
		m->p = p;
		if (mongo_link_init(&m->link, c) != SL_OK) break;
	}
	return p;
}

/* The first attempt to connect starts them. */
static bool threads_start(struct mongo_pool *p) {
	char name[16] = {0};
	const char *conn = sl_conn_name(p->c->conn);
	memcpy(name, conn, sl_min_size(strlen(conn), sizeof name - 1));
	for (size_t i = 0; i < p->n; i++) {
		struct member *m = &p->m[i];
		if (m->started) continue;
		p->running++;
		m->started = pthread_create(&m->thread, NULL, member_main, m) == 0;
		if (m->started)
			(void)pthread_setname_np(m->thread, name);
		else
			p->running--;
	}
	return p->running > 0 && p->m[0].started;
}

void mongo_pool_call(struct mongo_pool *p, bool connect) {
	pthread_mutex_lock(&p->lock);
	bool started = threads_start(p);
	p->calls |= connect ? CALL_CONNECT : CALL_PROBE;
	pthread_cond_broadcast(&p->cond); /* the first one has to hear it */
	pthread_mutex_unlock(&p->lock);
	if (!started)
		sl_conn_down(p->c->conn, SL_ESYSTEM, "the system has no thread or descriptor left; raise its limits");
}

void mongo_pool_submit(struct mongo_pool *p, struct sl_batch *b) {
	struct job *job = SL_NEW(struct job);
	job->b = b;
	pthread_mutex_lock(&p->lock);
	*p->tail = job;
	p->tail = &job->next;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

static void wake(struct member *m) {
	uint64_t one = 1;
	atomic_store(&m->link.cancelled, true);
	(void)!write(m->link.wake_fd, &one, sizeof one);
}

/* Under lock: the job of b or a, if nobody has begun it. */
static struct job *take(struct mongo_pool *p, const struct sl_batch *b, const struct sl_lookup *a) {
	for (struct job **at = &p->head; *at; at = &(*at)->next) {
		struct job *job = *at;
		if (job->b != b || job->a != a) continue;
		*at = job->next;
		if (p->tail == &job->next) p->tail = at;
		return job;
	}
	return NULL;
}

void mongo_pool_cancel(struct mongo_pool *p, struct sl_batch *b) {
	pthread_mutex_lock(&p->lock);
	struct job *job = take(p, b, NULL);
	for (size_t i = 0; i < p->n; i++)
		if (p->m[i].b == b) wake(&p->m[i]);
	pthread_mutex_unlock(&p->lock);
	if (!job) return;
	sl_free(job);
	sl_batch_fill(b, SL_RESULT_LOST, NULL);
	sl_batch_done(b);
}

void mongo_pool_ask(struct mongo_pool *p, struct sl_lookup *a) {
	struct job *job = SL_NEW(struct job);
	job->a = a;
	pthread_mutex_lock(&p->lock);
	struct job **at = &p->head; /* behind the questions that wait */
	while (*at && (*at)->a) at = &(*at)->next;
	job->next = *at;
	*at = job;
	if (p->tail == at) p->tail = &job->next;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
}

void mongo_pool_ask_cancel(struct mongo_pool *p, struct sl_lookup *a) {
	pthread_mutex_lock(&p->lock);
	struct job *job = take(p, NULL, a);
	for (size_t i = 0; i < p->n; i++)
		if (p->m[i].a == a) wake(&p->m[i]);
	pthread_mutex_unlock(&p->lock);
	if (job) sl_lookup_done(a, SL_EAGAIN, "%s", "");
	sl_free(job);
}

void mongo_pool_close(struct mongo_pool *p) {
	pthread_mutex_lock(&p->lock);
	p->end = true;
	struct job *left = p->head;
	p->head = NULL;
	p->tail = &p->head;
	for (size_t i = 0; i < p->n; i++) wake(&p->m[i]);
	bool none = p->running == 0;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
	for (struct job *job = left, *next; job; job = next) {
		next = job->next;
		if (job->a) sl_lookup_done(job->a, SL_ECLOSED, "%s", "the connector ends");
		if (job->b) sl_batch_fill(job->b, SL_RESULT_LOST, NULL);
		if (job->b) sl_batch_done(job->b);
		sl_free(job);
	}
	if (none) sl_conn_closed(p->c->conn);
}

void mongo_pool_free(struct mongo_pool *p) {
	if (!p) return;
	for (size_t i = 0; i < p->n; i++) {
		if (p->m[i].started) pthread_join(p->m[i].thread, NULL);
		mongo_link_fini(&p->m[i].link);
	}
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->cond);
	sl_free(p);
}
