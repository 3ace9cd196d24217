#include "http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "list.h"
#include "log.h"
#include "mem.h"
#include "outbound.h"

enum { CONNECTIONS_KEPT = 64, CONNECTIONS_PER_HOST = 64, POLL_MS = 1000 };

struct http_tls {
	_Atomic uint32_t refs;
	char *ca, *cert, *key, *key_password;
	bool verify, tls13;
};

/* One request under way: the thread's, from the moment it is taken out of the queue. */
struct job {
	struct sl_list link;
	http_done_fn done;
	void *arg;
	CURL *easy;
	struct curl_slist *headers;
	char *method, *url;
	struct sl_buf body, answer;
	struct http_tls *tls;
	uint64_t timeout_ms;
	size_t body_max;
	bool too_long;
	char *denied; /* where it was not allowed to go */
	char error[CURL_ERROR_SIZE];
};

struct http_client {
	CURLM *multi;
	pthread_t thread;
	pthread_mutex_t lock;
	struct sl_list queue; /* of struct job */
	bool stop;
	bool stopped;           /* the thread has ended; main thread's */
	struct sl_list working; /* the thread's */
};

/* ---- settings -------------------------------------------------------------------------------------------- */

static char *copy(const char *text) { return text ? sl_strdup(text) : NULL; }

int http_tls_new(const struct tls_client_conf *conf, struct http_tls **out, struct sl_err *err) {
	*out = NULL;
	int rc = tls_client_check(conf, err);
	if (rc != SL_OK) return rc;
	if (conf->server_name)
		return sl_err_set(err, SL_EUNSUPPORTED,
				  "tls.server_name is not for URLs: write the server's name in the URL");
	struct http_tls *t = SL_NEW(struct http_tls);
	atomic_init(&t->refs, 1);
	t->ca = copy(conf->ca);
	t->cert = copy(conf->cert);
	t->key = copy(conf->key);
	t->key_password = copy(conf->key_password);
	t->verify = !conf->given || conf->verify;
	t->tls13 = conf->given && conf->min_version == TLS_VERSION_1_3;
	*out = t;
	return SL_OK;
}

struct http_tls *http_tls_ref(struct http_tls *t) {
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void http_tls_unref(struct http_tls *t) {
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1) return;
	if (t->key_password) explicit_bzero(t->key_password, strlen(t->key_password));
	sl_free(t->key_password);
	sl_free(t->ca);
	sl_free(t->cert);
	sl_free(t->key);
	sl_free(t);
}

void http_url_encode(struct sl_slice text, struct sl_buf *out) {
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~';
		if (plain) {
			sl_buf_put(out, (char)c);
			continue;
		}
		sl_buf_put(out, '%');
		sl_buf_put(out, hex[c >> 4]);
		sl_buf_put(out, hex[c & 15]);
	}
}

int http_url_check(const struct conf_field *field, struct sl_slice url, struct sl_err *err) {
	(void)field;
	bool http = slice_starts_with(url, SL_SLICE_LIT("http://")) || slice_starts_with(url, SL_SLICE_LIT("https://"));
	char *text = slice_dup(url);
	CURLU *u = curl_url();
	bool ok = http && u && strlen(text) == url.n && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK;
	curl_url_cleanup(u);
	sl_free(text);
	/* The URL is not shown: it may have a password. */
	return ok ? SL_OK
		  : sl_err_set(err, SL_EINVAL, "is no URL; write it whole, for example https://auth.example.com/mqtt");
}

/* ---- requests -------------------------------------------------------------------------------------------- */

static void job_end(struct job *j, int status, int code, const char *text) {
	struct http_answer r = {.status = status, .code = code, .body = sl_buf_slice(&j->answer), .text = text};
	if (status != SL_OK) r.body = SL_SLICE_EMPTY;
	j->done(&r, j->arg);
	if (j->easy) curl_easy_cleanup(j->easy);
	curl_slist_free_all(j->headers);
	if (j->body.n) explicit_bzero(j->body.p, j->body.n); /* there may be a password in it */
	sl_buf_fini(&j->body);
	sl_buf_fini(&j->answer);
	http_tls_unref(j->tls);
	sl_free(j->denied);
	sl_free(j->method);
	sl_free(j->url);
	sl_free(j);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
	struct job *j = arg;
	j->too_long = size * n > j->body_max - j->answer.n;
	if (j->too_long) return 0;
	sl_buf_append(&j->answer, p, size * n);
	return size * n;
}

/* By the address that the name has turned out to have. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to) {
	struct job *j = arg;
	struct sl_err err = SL_ERR_INIT;
	(void)purpose;
	int fd = -1;
	if (sl_outbound_allows(&to->addr, &err) == SL_OK)
		fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	else if (!j->denied)
		j->denied = sl_strdup(sl_err_text(&err));
	sl_err_fini(&err);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static void set_tls(CURL *e, const struct http_tls *t) {
	curl_easy_setopt(e, CURLOPT_SSLVERSION,
			 (long)(t && t->tls13 ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
	if (!t) return;
	if (t->ca) curl_easy_setopt(e, CURLOPT_CAINFO, t->ca);
	if (t->ca) curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	if (t->cert) curl_easy_setopt(e, CURLOPT_SSLCERT, t->cert);
	if (t->key) curl_easy_setopt(e, CURLOPT_SSLKEY, t->key);
	if (t->key_password) curl_easy_setopt(e, CURLOPT_KEYPASSWD, t->key_password);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, t->verify ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, t->verify ? 2L : 0L);
}

static bool job_begin(struct http_client *c, struct job *j) {
	CURL *e = j->easy = curl_easy_init();
	if (!e) return false;
	curl_easy_setopt(e, CURLOPT_PRIVATE, j);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_URL, j->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)j->timeout_ms);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, j->error);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, j);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, j);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, j->headers);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "sluice");
	set_tls(e, j->tls);
	if (strcmp(j->method, "GET") != 0) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, j->body.n ? j->body.p : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)j->body.n);
		if (strcmp(j->method, "POST") != 0) curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, j->method);
	}
	return curl_multi_add_handle(c->multi, e) == CURLM_OK;
}

void http_client_send(struct http_client *c, const struct http_call *r, http_done_fn done, void *arg) {
	struct job *j = SL_NEW(struct job);
	j->done = done;
	j->arg = arg;
	j->method = sl_strdup(r->method);
	j->url = sl_strdup(r->url);
	j->timeout_ms = r->timeout_ms;
	j->body_max = r->body_max;
	sl_buf_append_slice(&j->body, r->body);
	if (r->tls) j->tls = http_tls_ref(r->tls);
	/* No waiting for "100 Continue". */
	j->headers = curl_slist_append(NULL, "Expect:");
	for (size_t i = 0; i < r->headers_len; i++) {
		char *line = slice_dup(r->headers[i]);
		j->headers = curl_slist_append(j->headers, line);
		sl_free(line);
	}
	pthread_mutex_lock(&c->lock);
	bool stop = c->stop;
	if (!stop) sl_list_push_back(&c->queue, &j->link);
	pthread_mutex_unlock(&c->lock);
	if (stop)
		job_end(j, SL_ECLOSED, 0, "the program ends");
	else
		curl_multi_wakeup(c->multi);
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

static void finished(struct job *j, CURLcode result) {
	long code = 0;
	const char *text = j->error[0] ? j->error : curl_easy_strerror(result);
	curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &code);
	sl_list_remove(&j->link);
	if (result == CURLE_OK)
		job_end(j, SL_OK, (int)code, NULL);
	else if (j->denied) {
		char *why = sl_strdup(j->denied);
		job_end(j, SL_EDENIED, 0, why);
		sl_free(why);
	} else if (j->too_long)
		job_end(j, SL_ELIMIT, 0, "the answer is too long");
	else
		job_end(j, result == CURLE_OPERATION_TIMEDOUT ? SL_EAGAIN : SL_EIO, 0, text);
}

static void read_results(struct http_client *c) {
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
		char *private = NULL;
		CURL *easy = m->easy_handle;
		CURLcode result = m->data.result;
		if (m->msg != CURLMSG_DONE) continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
		curl_multi_remove_handle(c->multi, easy);
		finished((struct job *)(void *)private, result);
	}
}

/* False: it is to end. */
static bool take_queue(struct http_client *c) {
	struct sl_list fresh;
	sl_list_init(&fresh);
	pthread_mutex_lock(&c->lock);
	sl_list_splice_back(&fresh, &c->queue);
	bool stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	for (struct sl_list *it; (it = sl_list_pop_front(&fresh));) {
		struct job *j = SL_LIST_ENTRY(it, struct job, link);
		if (!stop && job_begin(c, j))
			sl_list_push_back(&c->working, &j->link);
		else
			job_end(j, stop ? SL_ECLOSED : SL_ESYSTEM, 0, stop ? "the program ends" : "no memory left");
	}
	return !stop;
}

static void *thread_main(void *arg) {
	struct http_client *c = arg;
	int running;
	while (take_queue(c)) {
		curl_multi_perform(c->multi, &running);
		read_results(c);
		curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
	}
	for (struct sl_list *it; (it = sl_list_pop_front(&c->working));) {
		struct job *j = SL_LIST_ENTRY(it, struct job, link);
		curl_multi_remove_handle(c->multi, j->easy);
		job_end(j, SL_ECLOSED, 0, "the program ends");
	}
	return NULL;
}

static void library_begin(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

int http_client_new(const char *name, struct http_client **out, struct sl_err *err) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *c = SL_NEW(struct http_client);
	char thread_name[16] = {0};
	*out = NULL;
	pthread_once(&once, library_begin);
	pthread_mutex_init(&c->lock, NULL);
	sl_list_init(&c->queue);
	sl_list_init(&c->working);
	c->multi = curl_multi_init();
	c->stopped = true;
	if (c->multi) {
		curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
		curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST);
		c->stopped = pthread_create(&c->thread, NULL, thread_main, c) != 0;
	}
	if (c->stopped) {
		http_client_free(c);
		return sl_err_set(err, SL_ESYSTEM, "the system has no thread or descriptor left; raise its limits");
	}
	memcpy(thread_name, name, sl_min_size(strlen(name), sizeof thread_name - 1));
	(void)pthread_setname_np(c->thread, thread_name);
	*out = c;
	return SL_OK;
}

void http_client_stop(struct http_client *c) {
	if (!c || c->stopped) return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_mutex_unlock(&c->lock);
	curl_multi_wakeup(c->multi);
	pthread_join(c->thread, NULL);
	c->stopped = true;
}

void http_client_free(struct http_client *c) {
	if (!c) return;
	http_client_stop(c);
	if (c->multi) curl_multi_cleanup(c->multi);
	pthread_mutex_destroy(&c->lock);
	sl_free(c);
}
