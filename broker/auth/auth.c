#include "auth.h"

#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "auth_backend.h"
#include "mem.h"

struct auth {
	_Atomic uint32_t refs;
	_Atomic uint32_t pending; /* jobs queued or running */
	bool anonymous;
	struct auth_backend **chain;
	size_t len;
};

/* A check under way: owns a copy of the request, and a reference on the chain. The loop's thread owns the struct; the
 * pool's thread has `request` and `step` between queueing and the callback. */
struct auth_job {
	uv_work_t work;
	struct auth *auth;
	size_t at; /* the link whose turn it is */
	enum auth_step step;
	struct auth_request request; /* slices point into text */
	char *text;
	size_t text_len;
	auth_check_cb cb; /* NULL: cancelled */
	void *arg;
};

int auth_new(const struct auth_options *options, struct auth **out, struct sl_err *err) {
	struct auth *a = SL_NEW(struct auth);
	int rc = SL_OK;
	*out = NULL;
	atomic_init(&a->refs, 1);
	a->anonymous = options->anonymous;
	a->chain = SL_NEW_ARRAY(struct auth_backend *, 1);
	if (options->password_file) rc = auth_file_new(options->password_file, &a->chain[0], err);
	if (a->chain[0]) a->len = 1;
	if (rc == SL_OK)
		*out = a;
	else
		auth_unref(a);
	return rc;
}

struct auth *auth_ref(struct auth *a) {
	/* Relaxed is enough: whoever calls has a reference, so the count can't be falling to 0. */
	atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void auth_unref(struct auth *a) {
	if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1) return;
	for (size_t i = 0; i < a->len; i++) a->chain[i]->ops->free(a->chain[i]);
	sl_free(a->chain);
	sl_free(a);
}

/* ---- jobs ------------------------------------------------------------------------------------------------ */

static char *copy_into(char *to, struct sl_slice *s) {
	if (s->n) memcpy(to, s->p, s->n);
	s->p = to;
	return to + s->n;
}

static struct auth_job *job_new(struct auth *a, const struct auth_request *request, auth_check_cb cb, void *arg) {
	struct auth_job *job = SL_NEW(struct auth_job);
	job->auth = auth_ref(a);
	job->request = *request;
	job->text_len = request->clientid.n + request->username.n + request->password.n;
	job->text = sl_alloc(job->text_len);
	char *at = copy_into(job->text, &job->request.clientid);
	at = copy_into(at, &job->request.username);
	copy_into(at, &job->request.password);
	job->cb = cb;
	job->arg = arg;
	job->work.data = job;
	return job;
}

static void job_free(struct auth_job *job) {
	explicit_bzero(job->text, job->text_len); /* the password */
	sl_free(job->text);
	auth_unref(job->auth);
	sl_free(job);
}

static void job_work(uv_work_t *work) {
	struct auth_job *job = work->data;
	struct auth_backend *b = job->auth->chain[job->at];
	job->step = b->ops->work(b, &job->request);
}

/* Asks the links from *at on. AUTH_STEP_WORK leaves *at on the link that wants to work; a chain that passes to its end
 * denies: a name was given and nobody vouched for it. */
static enum auth_step ask_chain(const struct auth *a, const struct auth_request *request, size_t *at) {
	for (; *at < a->len; (*at)++) {
		enum auth_step step = a->chain[*at]->ops->check(a->chain[*at], request);
		if (step != AUTH_STEP_PASS) return step;
	}
	return AUTH_STEP_DENY;
}

static void job_finish(struct auth_job *job, enum auth_verdict verdict) {
	atomic_fetch_sub_explicit(&job->auth->pending, 1, memory_order_relaxed);
	auth_check_cb cb = job->cb;
	void *arg = job->arg;
	job_free(job);
	if (cb) cb(verdict, arg);
}

static void job_done(uv_work_t *work, int status) {
	struct auth_job *job = work->data;
	enum auth_step step = job->step;
	if (status == 0 && step == AUTH_STEP_PASS && job->cb) {
		job->at++;
		step = ask_chain(job->auth, &job->request, &job->at);
		if (step == AUTH_STEP_WORK && uv_queue_work(work->loop, work, job_work, job_done) == 0) return;
	}
	bool decided = status == 0 && (step == AUTH_STEP_ALLOW || step == AUTH_STEP_DENY);
	job_finish(job, !decided ? AUTH_UNAVAILABLE : step == AUTH_STEP_ALLOW ? AUTH_ALLOWED : AUTH_DENIED);
}

static enum auth_verdict start_job(struct auth *a, struct uv_loop_s *loop, const struct auth_request *request,
				   size_t at, struct auth_job **out, auth_check_cb cb, void *arg) {
	/* Hashing is dear, and anybody may send wrong passwords: what waits is bounded. */
	if (atomic_fetch_add_explicit(&a->pending, 1, memory_order_relaxed) >= AUTH_PENDING_MAX) {
		atomic_fetch_sub_explicit(&a->pending, 1, memory_order_relaxed);
		return AUTH_UNAVAILABLE;
	}
	struct auth_job *job = job_new(a, request, cb, arg);
	job->at = at;
	if (uv_queue_work(loop, &job->work, job_work, job_done) != 0) {
		job->cb = NULL;
		job_finish(job, AUTH_UNAVAILABLE);
		return AUTH_UNAVAILABLE;
	}
	*out = job;
	return AUTH_PENDING;
}

enum auth_verdict auth_check(struct auth *a, struct uv_loop_s *loop, const struct auth_request *request,
			     struct auth_job **job, auth_check_cb cb, void *arg) {
	*job = NULL;
	if (!request->has_username || a->len == 0) return a->anonymous ? AUTH_ALLOWED : AUTH_DENIED;
	size_t at = 0;
	switch (ask_chain(a, request, &at)) {
	case AUTH_STEP_ALLOW: return AUTH_ALLOWED;
	case AUTH_STEP_DENY:
	case AUTH_STEP_PASS: return AUTH_DENIED;
	case AUTH_STEP_WORK: return start_job(a, loop, request, at, job, cb, arg);
	}
	return AUTH_DENIED;
}

void auth_cancel(struct auth_job *job) {
	job->cb = NULL;
	/* Still queued: job_done comes at once with UV_ECANCELED. Running already: it comes when the hash is done. */
	uv_cancel((uv_req_t *)&job->work);
}

/* ---- SCRAM ------------------------------------------------------------------------------------------------ */

bool auth_scram_offered(const struct auth *a) {
	for (size_t i = 0; i < a->len; i++)
		if (a->chain[i]->ops->scram) return true;
	return false;
}

/* All are asked, and the made-up keys are those of the first: the time does not tell who knew the name. */
bool auth_scram_find(void *auth, struct sl_slice user, enum scram_hash hash, struct scram_keys *out) {
	const struct auth *a = auth;
	bool known = false, filled = false;
	for (size_t i = 0; i < a->len; i++) {
		struct auth_backend *b = a->chain[i];
		struct scram_keys keys;
		if (!b->ops->scram) continue;
		bool knows = b->ops->scram(b, user, hash, &keys);
		if (!filled || (knows && !known)) *out = keys;
		filled = true;
		known = known || knows;
	}
	return known;
}
