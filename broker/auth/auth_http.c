/* auth_http.c: the link of the chain that asks a web server.
 *
 *     POST {"clientid": ..., "username": ..., "password": ...}
 *     200 {"result": "allow" | "deny" | "ignore", "is_superuser": true, "client_attrs": {...}, "acl": [...], "expire_at": 1764000000}
 *     204 allow, 401 and 403 deny; everything else cannot be told
 *
 * Values of CONNECT are encoded where they stand: in URLs and forms as %XX, in JSON as texts. One that cannot stand in a header (a line
 * break) is denied. */
#include "auth_env.h"
#include "auth_flights.h"
#include "auth_link_kind.h"
#include "auth_text.h"
#include "clock.h"
#include "http_client.h"
#include "log.h"
#include "mem.h"

enum { BODY_MAX = 512 * 1024 };
enum http_encoding { ENCODE_JSON, ENCODE_FORM };

struct http_settings {
	char *url, *method;
	int encoding; /* enum http_encoding */
	struct conf_map headers, body;
	int64_t timeout_ms, max_pending;
	struct auth_cache_conf cache;
	struct tls_client_conf tls;
};

struct named_text {
	char *name;
	struct auth_text *text;
};
struct named_texts {
	struct named_text *v;
	size_t len;
};

struct auth_http {
	struct auth_backend base;
	struct http_client *http; /* NULL: a mere check */
	struct http_tls *tls;
	struct auth_flights *flights;
	struct auth_text *url;
	struct named_texts headers, body;
	char *method;
	bool get;
	enum http_encoding encoding;
	uint64_t timeout_ms;
};

/* What the server has said of one client. */
struct http_found {
	struct auth_found base;
	enum auth_step step;
	struct auth_identity *identity; /* NULL: nothing but yes */
};

/* ---- the question ------------------------------------------------------------------------------------------- */

struct question {
	struct sl_buf url, body, head; /* head: header lines, each with a NUL behind it */
	size_t headers;
};

static void question_fini(struct question *q) {
	if (q->body.n) explicit_bzero(q->body.p, q->body.n);
	if (q->url.n) explicit_bzero(q->url.p, q->url.n);
	sl_buf_fini(&q->url);
	sl_buf_fini(&q->body);
	sl_buf_fini(&q->head);
}

/* Each value encoded, the texts between them as they are. What is not there is nothing. */
static void write_url(const struct auth_text *t, const struct auth_request *r, struct sl_buf *out) {
	size_t n;
	const struct auth_text_part *parts = auth_text_parts(t, &n);
	for (size_t i = 0; i < n; i++) {
		struct sl_slice value;
		if (parts[i].name == AUTH_TEXT_PLAIN)
			sl_buf_append_slice(out, parts[i].text);
		else if (auth_text_value(parts[i].name, r, &value))
			http_url_encode(value, out);
	}
}

/* Members without a value are left out. */
static void write_form(const struct named_texts *t, const struct auth_request *r, struct sl_buf *out) {
	struct sl_buf value = SL_BUF_INIT;
	bool first = true;
	for (size_t i = 0; i < t->len; i++) {
		sl_buf_clear(&value);
		if (!auth_text_write(t->v[i].text, r, &value)) continue;
		if (!first) sl_buf_put(out, '&');
		first = false;
		http_url_encode(slice_from_str(t->v[i].name), out);
		sl_buf_put(out, '=');
		http_url_encode(sl_buf_slice(&value), out);
	}
	if (value.n) explicit_bzero(value.p, value.n);
	sl_buf_fini(&value);
}

/* False: a value is no UTF-8, which a password may be: JSON cannot say it. */
static bool write_json(const struct named_texts *t, const struct auth_request *r, struct sl_buf *out) {
	json_t *body = json_object();
	struct sl_buf value = SL_BUF_INIT;
	bool ok = true;
	for (size_t i = 0; i < t->len && ok; i++) {
		sl_buf_clear(&value);
		if (!auth_text_write(t->v[i].text, r, &value)) continue;
		ok = json_object_set_new(body, t->v[i].name, json_stringn(value.p ? value.p : "", value.n)) == 0;
	}
	if (value.n) explicit_bzero(value.p, value.n);
	sl_buf_fini(&value);
	char *text = ok ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	if (!text) return false;
	sl_buf_append_str(out, text);
	explicit_bzero(text, strlen(text));
	free(text);
	return true;
}

static bool write_headers(const struct auth_http *h, const struct auth_request *r, struct question *q) {
	for (size_t i = 0; i < h->headers.len; i++) {
		sl_buf_printf(&q->head, "%s: ", h->headers.v[i].name);
		size_t from = q->head.n;
		(void)auth_text_write(h->headers.v[i].text, r, &q->head);
		for (size_t k = from; k < q->head.n; k++)
			if ((unsigned char)q->head.p[k] < 0x20 && q->head.p[k] != '\t') return false;
		sl_buf_put(&q->head, '\0');
		q->headers++;
	}
	if (!h->get) {
		sl_buf_printf(&q->head, "Content-Type: application/%s",
			      h->encoding == ENCODE_JSON ? "json" : "x-www-form-urlencoded");
		sl_buf_put(&q->head, '\0');
		q->headers++;
	}
	return true;
}

/* False: these values cannot be sent, so nobody could have allowed them. */
static bool question_write(const struct auth_http *h, const struct auth_request *r, struct question *q) {
	*q = (struct question){.url = SL_BUF_INIT};
	write_url(h->url, r, &q->url);
	bool ok = true;
	if (h->get && h->body.len) {
		sl_buf_put(&q->url, slice_find_byte(sl_buf_slice(&q->url), '?') < 0 ? '?' : '&');
		write_form(&h->body, r, &q->url);
	} else if (!h->get && h->encoding == ENCODE_FORM)
		write_form(&h->body, r, &q->body);
	else if (!h->get)
		ok = write_json(&h->body, r, &q->body);
	return write_headers(h, r, q) && ok;
}

static void question_digest(const struct auth_http *h, const struct question *q, struct auth_digest *out) {
	const struct sl_slice texts[] = {sl_buf_slice(&q->url), sl_buf_slice(&q->body), sl_buf_slice(&q->head)};
	auth_flights_digest(h->flights, texts, SL_ARRAY_LEN(texts), out);
}

/* ---- the answer --------------------------------------------------------------------------------------------- */

static void found_free(struct auth_found *f) {
	struct http_found *found = sl_container_of(f, struct http_found, base);
	auth_identity_unref(found->identity);
	sl_free(found);
}

static struct http_found *found_new(enum auth_step step) {
	struct http_found *f = SL_NEW(struct http_found);
	atomic_init(&f->base.refs, 1);
	f->base.free = found_free;
	f->step = step;
	return f;
}

static int read_identity(const json_t *answer, struct auth_identity *id, struct sl_err *err) {
	const json_t *name = json_object_get(answer, "username"), *expire = json_object_get(answer, "expire_at");
	id->superuser = json_is_true(json_object_get(answer, "is_superuser"));
	auth_identity_set_all(id, json_object_get(answer, "client_attrs"));
	if (name && !(json_is_string(name) && auth_identity_set_username(id, slice_from_str(json_string_value(name)))))
		return sl_err_set(err, SL_EMALFORMED, "`username` is no user name");
	double s = json_number_value(expire);
	if (expire && !(json_is_number(expire) && s > 0 && s < 1e12))
		return sl_err_set(err, SL_EMALFORMED, "`expire_at` is no time in seconds");
	id->expires_ms = (int64_t)(s * 1000.0);
	const json_t *acl = json_object_get(answer, "acl");
	return acl ? auth_identity_set_acl(id, acl, err) : SL_OK;
}

static struct http_found *read_answer(const json_t *answer, struct sl_err *err) {
	const char *result = json_string_value(json_object_get(answer, "result"));
	if (result && strcmp(result, "deny") == 0) return found_new(AUTH_STEP_DENY);
	if (result && strcmp(result, "ignore") == 0) return found_new(AUTH_STEP_PASS);
	if (!result || strcmp(result, "allow") != 0) {
		(void)sl_err_set(err, SL_EMALFORMED, "the answer is not JSON with a `result` of allow, deny or ignore");
		return NULL;
	}
	struct http_found *f = found_new(AUTH_STEP_ALLOW);
	f->identity = auth_identity_new();
	int rc = read_identity(answer, f->identity, err);
	if (rc == SL_OK && f->identity->expires_ms && f->identity->expires_ms <= sl_clock_wall_ms())
		f->step = AUTH_STEP_DENY;
	if (rc == SL_OK) return f;
	found_free(&f->base);
	return NULL;
}

/* NULL: it can't be told, err says why. */
static struct http_found *read_response(const struct http_answer *r, struct sl_err *err) {
	if (r->status != SL_OK) {
		(void)sl_err_set(err, r->status, "%s", r->text);
		return NULL;
	}
	if (r->code == 204) return found_new(AUTH_STEP_ALLOW);
	if (r->code == 401 || r->code == 403) return found_new(AUTH_STEP_DENY);
	if (r->code != 200) {
		(void)sl_err_set(err, SL_EIO, "the server answers %d", r->code);
		return NULL;
	}
	json_t *answer = json_loadb(r->body.p ? r->body.p : "", r->body.n, JSON_REJECT_DUPLICATES, NULL);
	struct http_found *f = read_answer(answer, err);
	json_decref(answer);
	return f;
}

struct flight {
	struct auth_http *h; /* there while anybody waits */
	struct auth_digest digest;
};

static void on_answer(const struct http_answer *r, void *arg) {
	struct flight *flight = arg;
	struct sl_err err = SL_ERR_INIT;
	struct http_found *f = read_response(r, &err);
	if (!f && r->status != SL_ECLOSED)
		log_warn(LOG_AUTH, "a web server could not be asked", "reason=\"%s\"", sl_err_text(&err));
	bool good = f && f->step == AUTH_STEP_ALLOW;
	int64_t until_ms = f && f->identity ? f->identity->expires_ms : 0;
	struct auth_found *found = f ? &f->base : NULL;
	auth_flights_land(flight->h->flights, &flight->digest, found, good, until_ms);
	auth_found_unref(found);
	sl_err_fini(&err);
	sl_free(flight);
}

static void send(struct auth_http *h, const struct question *q, const struct auth_digest *digest) {
	struct flight *flight = SL_NEW(struct flight);
	struct sl_slice *headers = SL_NEW_ARRAY(struct sl_slice, q->headers);
	const char *at = q->head.p;
	for (size_t i = 0; i < q->headers; i++) {
		headers[i] = slice_from_str(at);
		at += headers[i].n + 1;
	}
	flight->h = h;
	flight->digest = *digest;
	char *url = slice_dup(sl_buf_slice(&q->url));
	struct http_call r = {.method = h->method,
			      .url = url,
			      .headers = headers,
			      .headers_len = q->headers,
			      .body = sl_buf_slice(&q->body),
			      .tls = h->tls,
			      .timeout_ms = h->timeout_ms,
			      .body_max = BODY_MAX};
	http_client_send(h->http, &r, on_answer, flight);
	explicit_bzero(url, strlen(url));
	sl_free(url);
	sl_free(headers);
}

/* ---- the link ------------------------------------------------------------------------------------------------ */

static enum auth_step http_check(struct auth_backend *b, struct auth_ask *ask) {
	struct auth_http *h = sl_container_of(b, struct auth_http, base);
	struct question q;
	struct auth_digest digest;
	if (!h->http) return AUTH_STEP_ERROR;
	if (!ask->found) {
		bool ok = question_write(h, ask->request, &q);
		if (ok) {
			question_digest(h, &q, &digest);
			ask->found = auth_flights_known(h->flights, &digest);
			ask->cached = ask->found != NULL;
		}
		question_fini(&q);
		if (!ok) return AUTH_STEP_DENY;
		if (!ask->found) return AUTH_STEP_WAIT;
	}
	const struct http_found *f = sl_container_of(ask->found, struct http_found, base);
	if (f->step == AUTH_STEP_ALLOW && f->identity) ask->identity = auth_identity_ref(f->identity);
	return f->step;
}

static void http_start(struct auth_backend *b, const struct auth_ask *ask, struct auth_wait *w) {
	struct auth_http *h = sl_container_of(b, struct auth_http, base);
	struct question q;
	struct auth_digest digest;
	bool ok = question_write(h, ask->request, &q);
	if (ok) question_digest(h, &q, &digest);
	if (!ok)
		auth_wait_done(w, NULL);
	else if (auth_flights_join(h->flights, &digest, w))
		send(h, &q, &digest);
	question_fini(&q);
}

static void texts_free(struct named_texts *t) {
	for (size_t i = 0; i < t->len; i++) {
		sl_free(t->v[i].name);
		auth_text_free(t->v[i].text);
	}
	sl_free(t->v);
}

static void http_free(struct auth_backend *b) {
	struct auth_http *h = sl_container_of(b, struct auth_http, base);
	auth_flights_free(h->flights);
	http_tls_unref(h->tls);
	auth_text_free(h->url);
	texts_free(&h->headers);
	texts_free(&h->body);
	sl_free(h->method);
	sl_free(h);
}

static const struct auth_backend_ops http_ops = {.check = http_check, .start = http_start, .free = http_free};

/* ---- making it ----------------------------------------------------------------------------------------------- */

static int texts_make(const struct conf_map *from, struct named_texts *to, struct sl_err *err) {
	int rc = SL_OK;
	to->v = SL_NEW_ARRAY(struct named_text, from->len);
	for (; rc == SL_OK && to->len < from->len; to->len++) {
		to->v[to->len].name = sl_strdup(from->items[to->len].key);
		rc = auth_text_new(slice_from_str(from->items[to->len].value), &to->v[to->len].text, err);
	}
	return rc;
}

static int http_make(const void *settings, struct sl_question *question, struct auth_env *env,
		     struct auth_backend **out, struct sl_err *err) {
	(void)question;
	static struct conf_pair usual[] = {
	    {"clientid", "${clientid}"}, {"username", "${username}"}, {"password", "${password}"}};
	static const struct conf_map usual_body = {usual, SL_ARRAY_LEN(usual)};
	const struct http_settings *s = settings;
	struct http_tls *tls = NULL;
	int rc = http_tls_new(&s->tls, &tls, err);
	if (rc != SL_OK) {
		(void)sl_err_prefix(err, "tls");
		return rc;
	}
	struct auth_http *h = SL_NEW(struct auth_http);
	h->base.ops = &http_ops;
	h->tls = tls;
	h->http = env ? auth_env_http(env) : NULL;
	h->flights = auth_flights_new(&s->cache, (size_t)s->max_pending);
	h->method = sl_strdup(strcmp(s->method, "get") == 0 ? "GET" : "POST");
	h->get = strcmp(h->method, "GET") == 0;
	h->encoding = (enum http_encoding)s->encoding;
	h->timeout_ms = (uint64_t)s->timeout_ms;
	rc = auth_text_new(slice_from_str(s->url), &h->url, err);
	if (rc == SL_OK) rc = texts_make(&s->headers, &h->headers, err);
	if (rc == SL_OK) rc = texts_make(s->body.len ? &s->body : &usual_body, &h->body, err);
	if (rc == SL_OK)
		*out = &h->base;
	else
		http_free(&h->base);
	return rc;
}

static int check_url(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	/* A placeholder may stand in its path or query, where it is encoded; not in what says whom to ask. */
	struct sl_slice rest = text;
	ptrdiff_t at = slice_find(text, SL_SLICE_LIT("${")), slashes = slice_find(text, SL_SLICE_LIT("://"));
	if (slashes > 0) rest = slice_from(text, (size_t)slashes + 3);
	ptrdiff_t path = slice_find_byte(rest, '/');
	if (at >= 0 && (path < 0 || at < (ptrdiff_t)(text.n - rest.n) + path))
		return sl_err_set(err, SL_EINVAL,
				  "the server's name cannot be of the client's choice; ${...} may stand behind it");
	int rc = auth_text_check(field, text, err);
	if (rc != SL_OK) return rc;
	return http_url_check(field, at < 0 ? text : slice_sub(text, 0, (size_t)at), err);
}

static int check_header(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20)
			return sl_err_set(err, SL_EINVAL, "a header's value is one line without control characters");
	return auth_text_check(field, text, err);
}

static int settings_check(const void *settings, struct sl_err *err) {
	const struct http_settings *s = settings;
	for (size_t i = 0; i < s->headers.len; i++) {
		const char *name = s->headers.items[i].key;
		if (name[strcspn(name, ": \t\r\n")] != '\0' || name[0] == '\0')
			return sl_err_set(err, SL_EINVAL, "headers: \"%.40s\" is no name of a header", name);
	}
	return SL_OK;
}

static int check_method(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	if (slice_equal_str(text, "post") || slice_equal_str(text, "get")) return SL_OK;
	return sl_err_set(err, SL_EINVAL, "is post or get");
}

#define AT(member) offsetof(struct http_settings, member)

static const char *const encodings[] = {"json", "form", NULL};

static const struct conf_field http_fields[] = {
    {.name = "url",
     .type = CONF_TEMPLATE,
     .flags = CONF_REQUIRED | CONF_NONEMPTY | CONF_SECRET_URL,
     .at = AT(url),
     .validate = check_url,
     .doc = "Whom to ask. Values in the path or query are encoded.",
     .example = "https://auth.example.com/mqtt"},
    {.name = "method",
     .type = CONF_STRING,
     .at = AT(method),
     .def = "post",
     .validate = check_method,
     .doc = "`post`, or `get`, which puts `body` into the URL, where servers write passwords into their logs."},
    {.name = "encoding",
     .type = CONF_ENUM,
     .at = AT(encoding),
     .names = encodings,
     .def = "json",
     .doc = "How `body` is sent."},
    {.name = "body",
     .type = CONF_TEMPLATE_MAP,
     .at = AT(body),
     .validate = auth_text_check,
     .doc = "What is sent. Without it: `clientid`, `username` and `password`. What the client has not is left out.",
     .example = "{user: \"${username}\", pass: \"${password}\"}"},
    {.name = "headers",
     .type = CONF_STRING_MAP,
     .flags = CONF_SECRET | CONF_EXPAND,
     .at = AT(headers),
     .validate = check_header,
     .doc = "Headers. `$${clientid}` and its like are the client's values, `${NAME}` is the environment's, "
	    "`${file:...}` a file's.",
     .example = "{authorization: \"Bearer ${file:auth.token}\"}"},
    {.name = "timeout",
     .type = CONF_DURATION,
     .at = AT(timeout_ms),
     .def = "5s",
     .min = 50,
     .max = 60000,
     .doc = "How long an answer may take, the connection included."},
    {.name = "max_pending",
     .type = CONF_INT,
     .at = AT(max_pending),
     .def = "10000",
     .min = 1,
     .max = 1000000,
     .doc = "Clients that may wait for answers; about more it cannot tell."},
    {.name = "cache",
     .type = CONF_OBJECT,
     .at = AT(cache),
     .fields = auth_cache_fields,
     .doc = "Answers are remembered."},
    {.name = "tls",
     .type = CONF_OBJECT,
     .flags = CONF_GIVEN,
     .at = AT(tls),
     .fields = tls_client_fields,
     .doc = "TLS of https."},
    CONF_END};

const struct auth_link_kind auth_kind_http = {
    .name = "http",
    .doc = "A web server. It answers 200 with `{\"result\": \"allow\"}` (or `deny`, or `ignore`, which passes on) and "
	   "may add `is_superuser`, "
	   "`username`, `client_attrs` (a map), `acl` (a list, broker/auth/acl.md) and `expire_at` (seconds since "
	   "1970: then the connection ends); "
	   "or 204, which allows, or 401 or 403, which deny. Other answers tell nothing: `on_error`. It is asked about "
	   "every client, one without "
	   "a name too.",
    .size = sizeof(struct http_settings),
    .fields = http_fields,
    .check = settings_check,
    .make = http_make,
};
