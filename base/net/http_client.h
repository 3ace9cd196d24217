/* http_client.h: HTTP requests to servers, many at a time, on a thread of their own.
 *
 *     struct http_client *c;
 *     http_client_new("auth", &c, &err);
 *     http_client_send(c, &(struct http_call){.method = "POST", .url = url, .body = body, .timeout_ms = 2000}, done, arg);
 *     ... done(&response, arg), on the client's thread ...
 *     http_client_stop(c);      what is under way is told SL_ECLOSED; from now on everything is, at once
 *     http_client_free(c);
 *
 * HTTP/1.1 by libcurl; connections are kept and used again. Where a connection goes is judged by its address (outbound.h). Redirects
 * are not followed, proxies of the environment not used, cookies not kept: a server gets what it was sent, and nobody else does.
 *
 * Lifetime: a request is copied, but for its `tls`, which is counted. A response is borrowed for the callback.
 * Thread: http_client_send() from any; done() on the client's thread, exactly once, and also from inside of http_client_send() and
 * http_client_stop() when the client has stopped. done() must not block, nor call stop. Errors: of a request in response.status. */
#ifndef SL_HTTP_CLIENT_H
#define SL_HTTP_CLIENT_H

#include "err.h"
#include "field.h"
#include "slice.h"
#include "tls_client.h"

struct http_client;
struct http_tls;

/* Checked settings, for https. given or not: without it the system's authorities are trusted. SL_EUNSUPPORTED for `server_name`, which is
 * the URL's here. Strong reference. */
int http_tls_new(const struct tls_client_conf *conf, struct http_tls **out, struct sl_err *err) sl_warn_unused;
struct http_tls *http_tls_ref(struct http_tls *t);
void http_tls_unref(struct http_tls *t); /* NULL is fine */

struct http_call {
	const char *method;             /* "GET", "POST", ... */
	const char *url;                /* http:// or https:// */
	const struct sl_slice *headers; /* "Name: value"; headers_len of them */
	size_t headers_len;
	struct sl_slice body; /* not for GET */
	struct http_tls *tls; /* NULL: the system's authorities */
	uint64_t timeout_ms;  /* for all of it */
	size_t body_max;      /* of the answer; a longer one is SL_ELIMIT */
};

struct http_answer {
	int status; /* SL_OK: there is an answer; SL_EAGAIN: not in time; SL_ELIMIT: too long; SL_EDENIED: not a place to go to;
		       SL_ECLOSED: the client has stopped; SL_EIO: anything else */
	int code; /* 200, ... */
	struct sl_slice body;
	const char *text; /* with a failure: what went wrong, for logs */
};
typedef void (*http_done_fn)(const struct http_answer *r, void *arg);

int http_client_new(const char *name, struct http_client **out, struct sl_err *err) sl_warn_unused;
void http_client_send(struct http_client *c, const struct http_call *r, http_done_fn done, void *arg);
void http_client_stop(struct http_client *c); /* waits for the thread; NULL is fine */
void http_client_free(struct http_client *c); /* stops it, if that was not done; NULL is fine */

/* Appends a text as it stands in a URL's path or query, or in a form: everything but letters, digits and -._~ as %XX. */
struct sl_buf;
void http_url_encode(struct sl_slice text, struct sl_buf *out);
/* Is it a whole http:// or https:// URL? For option tables: validate. */
int http_url_check(const struct conf_field *field, struct sl_slice url, struct sl_err *err);

#endif
