#include "auth_jwks.h"

#include <pthread.h>

#include "clock.h"
#include "log.h"
#include "mem.h"

enum { JWKS_BODY_MAX = 1024 * 1024 };

struct auth_jwks {
	_Atomic uint32_t refs;
	char *url; /* NULL: fixed */
	struct http_tls *tls;
	struct http_client *http;
	uint64_t refresh_ms, timeout_ms;
	pthread_mutex_t lock; /* over what follows; held for moments */
	struct jwt_keys *keys;
	uint64_t got_ms, asked_ms; /* 0: never */
	bool asking;
	struct sl_list waiting;
	size_t waiting_len;
};

static struct auth_jwks *jwks_new(void) {
	struct auth_jwks *j = SL_NEW(struct auth_jwks);
	atomic_init(&j->refs, 1);
	pthread_mutex_init(&j->lock, NULL);
	sl_list_init(&j->waiting);
	return j;
}

struct auth_jwks *auth_jwks_fixed(struct jwt_keys *keys) {
	struct auth_jwks *j = jwks_new();
	j->keys = keys;
	return j;
}

struct auth_jwks *auth_jwks_from_url(const struct auth_jwks_url *from) {
	struct auth_jwks *j = jwks_new();
	j->url = sl_strdup(from->url);
	j->tls = from->tls ? http_tls_ref(from->tls) : NULL;
	j->http = from->http;
	j->refresh_ms = from->refresh_ms;
	j->timeout_ms = from->timeout_ms;
	if (j->http) jwt_keys_unref(auth_jwks_keys(j)); /* begins */
	return j;
}

static void jwks_unref(struct auth_jwks *j) {
	if (atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) != 1) return;
	jwt_keys_unref(j->keys);
	http_tls_unref(j->tls);
	pthread_mutex_destroy(&j->lock);
	sl_free(j->url);
	sl_free(j);
}

void auth_jwks_free(struct auth_jwks *j) {
	if (j) jwks_unref(j);
}

/* ---- fetching -------------------------------------------------------------------------------------------- */

static void nothing_free(struct auth_found *f) { sl_free(f); }

static void tell(struct sl_list *waiting) {
	for (struct sl_list *it; (it = sl_list_pop_front(waiting));) {
		struct auth_found *f = SL_NEW(struct auth_found);
		atomic_init(&f->refs, 1);
		f->free = nothing_free;
		auth_wait_done(auth_wait_of(it), f);
	}
}

static struct jwt_keys *read_keys(const struct http_answer *r, struct sl_err *err) {
	struct jwt_keys *keys = NULL;
	if (r->status != SL_OK)
		(void)sl_err_set(err, r->status, "%s", r->text);
	else if (r->code != 200)
		(void)sl_err_set(err, SL_EIO, "the server answers %d", r->code);
	else if (jwt_keys_from_jwks(r->body, false, &keys, err) != SL_OK)
		keys = NULL;
	return keys;
}

static void on_set(const struct http_answer *r, void *arg) {
	struct auth_jwks *j = arg;
	struct sl_err err = SL_ERR_INIT;
	struct jwt_keys *keys = read_keys(r, &err), *old = NULL;
	struct sl_list waiting;
	sl_list_init(&waiting);
	pthread_mutex_lock(&j->lock);
	if (keys) {
		old = j->keys;
		j->keys = keys;
		j->got_ms = sl_clock_mono_ms();
	}
	bool have = j->keys != NULL;
	j->asking = false;
	sl_list_splice_back(&waiting, &j->waiting);
	j->waiting_len = 0;
	pthread_mutex_unlock(&j->lock);
	jwt_keys_unref(old);
	if (!keys && r->status != SL_ECLOSED)
		log_warn(LOG_AUTH, "cannot fetch the keys for tokens", "url=%s reason=%s keys=%s", j->url,
			 sl_err_text(&err), have ? "those of before" : "none");
	sl_err_fini(&err);
	tell(&waiting);
	jwks_unref(j);
}

/* Under lock: true when the caller is to fetch. */
static bool fetch_begins(struct auth_jwks *j, uint64_t now_ms, uint64_t pause_ms) {
	if (!j->http || j->asking || (j->asked_ms && now_ms - j->asked_ms < pause_ms)) return false;
	j->asking = true;
	j->asked_ms = now_ms ? now_ms : 1;
	atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
	return true;
}

static void fetch(struct auth_jwks *j) {
	static const struct sl_slice accept = {"Accept: application/json", 24};
	struct http_call r = {.method = "GET",
			      .url = j->url,
			      .headers = &accept,
			      .headers_len = 1,
			      .tls = j->tls,
			      .timeout_ms = j->timeout_ms,
			      .body_max = JWKS_BODY_MAX};
	http_client_send(j->http, &r, on_set, j);
}

/* ---- the face -------------------------------------------------------------------------------------------- */

struct jwt_keys *auth_jwks_keys(struct auth_jwks *j) {
	uint64_t now_ms = sl_clock_mono_ms();
	pthread_mutex_lock(&j->lock);
	struct jwt_keys *keys = j->keys ? jwt_keys_ref(j->keys) : NULL;
	bool old = j->url && (!keys || now_ms - j->got_ms >= j->refresh_ms);
	bool begins = old && fetch_begins(j, now_ms, keys ? JWKS_PAUSE_MS : JWKS_RETRY_MS);
	pthread_mutex_unlock(&j->lock);
	if (begins) fetch(j);
	return keys;
}

bool auth_jwks_may_help(struct auth_jwks *j) {
	uint64_t now_ms = sl_clock_mono_ms();
	pthread_mutex_lock(&j->lock);
	uint64_t pause_ms = j->keys ? JWKS_PAUSE_MS : JWKS_RETRY_MS;
	bool may = j->http && j->waiting_len < JWKS_WAITING_MAX &&
		   (j->asking || !j->asked_ms || now_ms - j->asked_ms >= pause_ms);
	pthread_mutex_unlock(&j->lock);
	return may;
}

void auth_jwks_wait(struct auth_jwks *j, struct auth_wait *w) {
	uint64_t now_ms = sl_clock_mono_ms();
	struct sl_list waiting;
	sl_list_init(&waiting);
	pthread_mutex_lock(&j->lock);
	bool begins = fetch_begins(j, now_ms, 0);
	sl_list_push_back(&j->waiting, auth_wait_link(w));
	j->waiting_len++;
	if (!j->asking) sl_list_splice_back(&waiting, &j->waiting); /* it can't be asked */
	pthread_mutex_unlock(&j->lock);
	if (begins) fetch(j);
	tell(&waiting);
}
