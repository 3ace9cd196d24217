#include "auth.h"

#include <string.h>
#include <uv.h>

#include "auth_backend.h"
#include "auth_chain_int.h"
#include "clock.h"
#include "mem.h"

/* A check under way: owns a copy of the request, and a reference on the chain. The loop's thread owns the struct; the
 * pool's thread has `ask` and `step` between queueing and the callback. */
struct auth_job {
	uv_work_t work;
	struct auth *auth;
	struct sl_loop *loop;
	struct auth_wait *wait; /* NULL: it does not wait, it works */
	size_t at;              /* the link whose turn it is */
	enum auth_step step;
	uint64_t began_us;
	struct auth_request request; /* slices point into text */
	struct auth_ask ask;
	char *text;
	size_t text_len;
	auth_check_cb cb; /* NULL: cancelled */
	void *arg;
};

/* Outlives its job when that is cancelled: whoever was asked answers all the same. */
struct auth_wait {
	struct sl_post post;
	struct sl_list link;
	struct sl_loop *loop;
	struct auth *auth;        /* a strong reference: the link that was asked is there until it has answered */
	struct auth_job *job;     /* the loop's; NULL: it was cancelled */
	struct auth_found *found; /* a strong reference */
};

/* ---- jobs ------------------------------------------------------------------------------------------------ */

static char *copy_into(char *to, struct sl_slice *s) {
	if (s->n) memcpy(to, s->p, s->n);
	s->p = to;
	return to + s->n;
}

static struct auth_job *job_new(struct auth *a, struct sl_loop *loop, const struct auth_ask *ask, auth_check_cb cb,
				void *arg) {
	struct auth_job *job = SL_NEW(struct auth_job);
	struct auth_request *r = &job->request;
	job->auth = auth_ref(a);
	job->loop = loop;
	*r = *ask->request;
	job->ask = *ask;
	job->ask.request = r;
	job->text_len = r->clientid.n + r->username.n + r->password.n + r->peer.n + r->listener.n;
	job->text = sl_alloc(job->text_len);
	char *at = copy_into(job->text, &r->clientid);
	at = copy_into(at, &r->username);
	at = copy_into(at, &r->password);
	at = copy_into(at, &r->peer);
	copy_into(at, &r->listener);
	job->cb = cb;
	job->arg = arg;
	job->work.data = job;
	return job;
}

static void job_free(struct auth_job *job) {
	auth_ask_clear(&job->ask);
	explicit_bzero(job->text, job->text_len); /* the password */
	sl_free(job->text);
	auth_unref(job->auth);
	sl_free(job);
}

static void job_end(struct auth_job *job, enum auth_step step) {
	auth_check_cb cb = job->cb;
	void *arg = job->arg;
	struct auth_identity *id = NULL;
	enum auth_verdict verdict = auth_verdict_of(step, &job->ask, &id);
	job_free(job);
	if (cb)
		cb(verdict, id, arg);
	else
		auth_identity_unref(id);
}

static bool job_go(struct auth_job *job, enum auth_step step);

/* The link has decided, or its turn has come again: on with the chain. */
static void job_on(struct auth_job *job, enum auth_step step) {
	step = auth_chain_on(job->auth, &job->ask, &job->at, step, sl_clock_mono_us() - job->began_us);
	if (step != AUTH_STEP_WORK && step != AUTH_STEP_WAIT)
		job_end(job, step);
	else if (!job_go(job, step))
		job_on(job, AUTH_STEP_ERROR);
}

static void job_work(uv_work_t *work) {
	struct auth_job *job = work->data;
	struct auth_backend *b = job->auth->chain[job->at];
	job->step = b->ops->work(b, &job->ask);
}

static void job_worked(uv_work_t *work, int status) {
	struct auth_job *job = work->data;
	atomic_fetch_sub_explicit(&job->auth->pending, 1, memory_order_relaxed);
	if (job->cb)
		job_on(job, status == 0 ? job->step : AUTH_STEP_ERROR);
	else
		job_free(job);
}

/* Hashing is dear, and anybody may send wrong passwords: what waits is bounded. */
static bool job_queue(struct auth_job *job) {
	struct auth *a = job->auth;
	if (atomic_fetch_add_explicit(&a->pending, 1, memory_order_relaxed) < AUTH_PENDING_MAX &&
	    uv_queue_work(sl_loop_uv(job->loop), &job->work, job_work, job_worked) == 0)
		return true;
	atomic_fetch_sub_explicit(&a->pending, 1, memory_order_relaxed);
	return false;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static void wait_told(struct sl_post *post, struct sl_loop *l) {
	struct auth_wait *w = sl_container_of(post, struct auth_wait, post);
	struct auth_job *job = w->job;
	(void)l;
	if (job) {
		job->wait = NULL;
		job->ask.found = w->found;
		struct auth_backend *b = job->auth->chain[job->at];
		job_on(job, w->found ? b->ops->check(b, &job->ask) : AUTH_STEP_ERROR);
	} else
		auth_found_unref(w->found);
	auth_unref(w->auth);
	sl_free(w);
}

void auth_wait_done(struct auth_wait *w, struct auth_found *found) {
	w->found = found;
	sl_loop_post(w->loop, &w->post);
}

struct sl_list *auth_wait_link(struct auth_wait *w) {
	return &w->link;
}
struct auth_wait *auth_wait_of(struct sl_list *link) {
	return SL_LIST_ENTRY(link, struct auth_wait, link);
}

static void job_ask(struct auth_job *job) {
	struct auth_backend *b = job->auth->chain[job->at];
	struct auth_wait *w = SL_NEW(struct auth_wait);
	w->post.run = wait_told;
	sl_list_init(&w->link);
	w->loop = job->loop;
	w->auth = auth_ref(job->auth);
	w->job = job;
	job->wait = w;
	b->ops->start(b, &job->ask, w);
}

static bool job_go(struct auth_job *job, enum auth_step step) {
	if (!job->began_us || !job->ask.found) job->began_us = sl_clock_mono_us();
	if (step == AUTH_STEP_WORK) return job_queue(job);
	job_ask(job);
	return true;
}

/* ---- the face -------------------------------------------------------------------------------------------- */

enum auth_verdict auth_check(struct auth *a, struct sl_loop *loop, const struct auth_request *request,
			     struct auth_job **job, struct auth_identity **id, auth_check_cb cb, void *arg) {
	struct auth_ask ask = {.request = request};
	size_t at = 0;
	*job = NULL;
	*id = NULL;
	enum auth_step step = auth_chain_ask(a, &ask, &at);
	while (step == AUTH_STEP_WORK || step == AUTH_STEP_WAIT) {
		struct auth_job *j = job_new(a, loop, &ask, cb, arg);
		j->at = at;
		if (job_go(j, step)) {
			*job = j;
			return AUTH_PENDING;
		}
		ask.found = auth_take_found(&j->ask);
		job_free(j);
		step = auth_chain_on(a, &ask, &at, AUTH_STEP_ERROR, 0);
	}
	enum auth_verdict verdict = auth_verdict_of(step, &ask, id);
	auth_ask_clear(&ask);
	return verdict;
}

void auth_cancel(struct auth_job *job) {
	job->cb = NULL;
	if (job->wait) { /* its letter finds nobody */
		job->wait->job = NULL;
		job_free(job);
	} else
		/* Still queued: job_worked comes at once with UV_ECANCELED. Running already: it comes when the hash is done. */
		uv_cancel((uv_req_t *)&job->work);
}
