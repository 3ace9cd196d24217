/* kafka_keeper.c: see kafka_keeper.h. */
#include "kafka_keeper.h"

#include <pthread.h>
#include <time.h>

#include "buf.h"
#include "mem.h"

#define ASK_MS 300   /* one question; short, so that an end does not wait long */
#define PAUSE_MS 100 /* between two that were refused at once */

struct kafka_keeper {
	struct sl_loop *loop;
	void (*on_event)(void *arg, const struct kafka_keeper_event *e);
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* Under the lock. */
	rd_kafka_t *watch; /* who is asked; NULL: nobody */
	struct kafka_keeper_job *jobs, **jobs_tail;
	bool stop;
};

static void event_run(struct sl_post *post, struct sl_loop *l) {
	struct kafka_keeper_event *e = sl_container_of(post, struct kafka_keeper_event, post);
	(void)l;
	e->on_event(e->arg, e);
	sl_free(e->brokers);
	sl_free(e);
}

static void tell_up(struct kafka_keeper *k, rd_kafka_t *rk, const struct rd_kafka_metadata *brokers) {
	struct kafka_keeper_event *e = SL_NEW(struct kafka_keeper_event);
	struct sl_buf text = SL_BUF_INIT;
	e->post.run = event_run;
	e->what = KAFKA_KEEPER_UP;
	e->rk = rk;
	e->arg = k->arg;
	e->on_event = k->on_event;
	e->broker_count = brokers->broker_cnt;
	for (int i = 0; i < e->broker_count && i < 100; i++)
		sl_buf_printf(&text, "%s%d %s:%d", i ? ", " : "", (int)brokers->brokers[i].id, brokers->brokers[i].host,
			      brokers->brokers[i].port);
	(void)sl_buf_cstr(&text);
	e->brokers = sl_buf_steal(&text);
	sl_loop_post(k->loop, &e->post);
}

/* @locks held, given back while asking. The client lives: only this thread ends one, and never one that is watched. */
static void ask(struct kafka_keeper *k) {
	rd_kafka_t *rk = k->watch;
	const struct rd_kafka_metadata *brokers = NULL;
	pthread_mutex_unlock(&k->lock);
	bool up = rd_kafka_metadata(rk, 0, NULL, &brokers, ASK_MS) == RD_KAFKA_RESP_ERR_NO_ERROR;
	pthread_mutex_lock(&k->lock);
	if (up && k->watch == rk) {
		k->watch = NULL;
		tell_up(k, rk, brokers);
	}
	if (up) rd_kafka_metadata_destroy(brokers);
	if (up || k->jobs || k->stop) return;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += PAUSE_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	(void)pthread_cond_timedwait(&k->cond, &k->lock, &until);
}

static void job_done(struct sl_post *post, struct sl_loop *l) {
	struct kafka_keeper_job *job = sl_container_of(post, struct kafka_keeper_job, post);
	(void)l;
	job->done(job);
}

/* @locks held, given back while it works */
static void job_run(struct kafka_keeper *k) {
	struct kafka_keeper_job *job = k->jobs;
	k->jobs = job->next;
	if (!k->jobs) k->jobs_tail = &k->jobs;
	pthread_mutex_unlock(&k->lock);
	job->work(job);
	job->post.run = job_done;
	sl_loop_post(k->loop, &job->post);
	pthread_mutex_lock(&k->lock);
}

static void *keeper_run(void *arg) {
	struct kafka_keeper *k = arg;
	pthread_setname_np(pthread_self(), "kafka");
	pthread_mutex_lock(&k->lock);
	while (!k->stop || k->jobs) {
		if (k->jobs)
			job_run(k);
		else if (k->watch)
			ask(k);
		else
			pthread_cond_wait(&k->cond, &k->lock);
	}
	pthread_mutex_unlock(&k->lock);
	return NULL;
}

struct kafka_keeper *kafka_keeper_new(struct sl_loop *loop,
				      void (*on_event)(void *arg, const struct kafka_keeper_event *e), void *arg) {
	struct kafka_keeper *k = SL_NEW(struct kafka_keeper);
	k->loop = loop;
	k->on_event = on_event;
	k->arg = arg;
	k->jobs_tail = &k->jobs;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->cond, NULL);
	if (pthread_create(&k->thread, NULL, keeper_run, k) == 0) return k;
	pthread_cond_destroy(&k->cond);
	pthread_mutex_destroy(&k->lock);
	sl_free(k);
	return NULL;
}

void kafka_keeper_watch(struct kafka_keeper *k, rd_kafka_t *rk) {
	pthread_mutex_lock(&k->lock);
	k->watch = rk;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
}

/* @locks held */
static void job_add(struct kafka_keeper *k, struct kafka_keeper_job *job) {
	job->next = NULL;
	*k->jobs_tail = job;
	k->jobs_tail = &job->next;
	pthread_cond_signal(&k->cond);
}

void kafka_keeper_run(struct kafka_keeper *k, struct kafka_keeper_job *job) {
	pthread_mutex_lock(&k->lock);
	job_add(k, job);
	pthread_mutex_unlock(&k->lock);
}

struct ending {
	struct kafka_keeper_job job;
	struct kafka_keeper_event event;
	int flags;
};

static void end_work(struct kafka_keeper_job *job) {
	struct ending *end = sl_container_of(job, struct ending, job);
	rd_kafka_destroy_flags(end->event.rk, end->flags);
}

static void end_done(struct kafka_keeper_job *job) {
	struct ending *end = sl_container_of(job, struct ending, job);
	end->event.on_event(end->event.arg, &end->event);
	sl_free(end);
}

void kafka_keeper_end(struct kafka_keeper *k, rd_kafka_t *rk, int flags) {
	struct ending *end = SL_NEW(struct ending);
	end->job = (struct kafka_keeper_job){.work = end_work, .done = end_done};
	end->event =
	    (struct kafka_keeper_event){.what = KAFKA_KEEPER_ENDED, .rk = rk, .arg = k->arg, .on_event = k->on_event};
	end->flags = flags;
	pthread_mutex_lock(&k->lock);
	if (k->watch == rk) k->watch = NULL;
	job_add(k, &end->job);
	pthread_mutex_unlock(&k->lock);
}

void kafka_keeper_free(struct kafka_keeper *k) {
	if (!k) return;
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->cond);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->cond);
	pthread_mutex_destroy(&k->lock);
	sl_free(k);
}
