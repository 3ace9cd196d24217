/* pg_link.c: a session's way up and down.
 *
 *     OFF -> LOOKUP -> CONNECTING -> SETUP -> IDLE <-> BUSY, PROBING
 *               ^          |
 *               +- next ---+      address by address, host by host, each with its own time limit
 *
 * libpq would go through hosts itself, but it looks names up blocking, and has no time limit when it is polled; so it gets one
 * address at a time. */
#include <netdb.h>
#include <stdio.h>
#include <uv.h>

#include "log.h"
#include "mem.h"
#include "outbound.h"
#include "pg_int.h"
#include "tls_error.h"

#define TRIED_MAX 1000   /* bytes about addresses that did not work */
#define NO_MORE_MS 10000 /* how long the pool stays as it is after the server refused another session */
#define PROBES 3         /* TCP keepalive */
#define PARAMS_MAX 96
#define NUMBER_MAX 24

struct pg_lookup {
	uv_getaddrinfo_t req; /* first */
	struct pg_link *l;    /* NULL: nobody waits any more */
};

struct address {
	struct sl_list link;
	char text[NI_MAXHOST];
};

static void next_address(struct pg_link *l);

/* ---- Messages. ---- */

struct sl_slice pg_one_line(const char *text, struct sl_buf *out) {
	size_t start = out->n;
	bool space = true;
	for (; text && *text; text++) {
		bool blank = *text == '\n' || *text == '\t' || *text == ' ';
		if (!blank)
			sl_buf_put(out, *text);
		else if (!space)
			sl_buf_put(out, ' ');
		space = blank;
	}
	while (out->n > start && out->p[out->n - 1] == ' ') out->n--;
	return slice_make(out->p ? out->p + start : NULL, out->n - start);
}

/* What people do wrong most often, said plainly. */
static const char *advice_for(const char *text) {
	static const char *const advice[][2] = {
	    {"password authentication failed", "; check `user` and `password`"},
	    {"no password supplied", "; the server wants a password: give `password`"},
	    {"pg_hba.conf", "; the server's pg_hba.conf does not let this user in from here, or not without TLS"},
	    /* libpq does not say which. */
	    {"certificate verify failed", "; the server's certificate is not signed by the authority in `tls.ca` "
					  "(without it the system's; if you trust it, "
					  "give its certificate as `ca:` under `tls:`), or is out of date"},
	    {"requires a valid client certificate", "; give `tls.cert` and `tls.key`"},
	    {"certificate authentication failed", "; check `user`: the certificate in `tls.cert` is for another one"},
	    {"FATAL:  role \"", "; check `user`"},
	    {"FATAL:  database \"", "; check `database` or the path of `url`, or create it"},
	    {"server is not in hot standby mode", "; `target_session_attrs` asks for a standby"},
	    {"does not match host name", "; give `tls.server_name`, or use the name in the certificate"},
	    {"server does not support SSL", "; leave `tls:` out, or switch SSL on in the server"},
	    {"session is read-only", "; it is a standby, or default_transaction_read_only is on"},
	    {"server is in hot standby mode", "; a standby takes no writes"},
	    {"remaining connection slots", "; lower `pool`, or raise the server's max_connections"},
	    {"too many connections", "; lower `pool`, or raise the server's or the role's limit"},
	    {"Connection refused", "; is the server running, and listening there?"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(advice); i++)
		if (strstr(text, advice[i][0])) return advice[i][1];
	return "";
}

/* What was tried with TLS and then without is said once. */
static void tried(struct pg_link *l, const char *text) {
	struct sl_buf line = SL_BUF_INIT;
	if (l->tried.n > TRIED_MAX) return;
	for (struct sl_slice rest = slice_from_str(text); rest.p;) {
		struct sl_slice part = slice_trim(slice_next_part(&rest, '\n'));
		if (part.n == 0 || slice_find(sl_buf_slice(&line), part) >= 0) continue;
		bool question = line.n && slice_starts_with(part, slice_from_str("Is the server "));
		if (line.n) sl_buf_append_str(&line, question ? "; is" : " ");
		sl_buf_append_slice(&line, question ? slice_from(part, 2) : part);
	}
	if (l->tried.n) sl_buf_append_str(&l->tried, "; ");
	sl_buf_append_slice(&l->tried, sl_buf_slice(&line));
	/* libpq adds its own question there. */
	const char *advice = advice_for(sl_buf_cstr(&line));
	if (!strchr(line.p, '?')) sl_buf_append_str(&l->tried, advice);
	const char *ours = tls_error_of_our_certificate(sl_buf_cstr(&line));
	if (ours) sl_buf_printf(&l->tried, "; %s", ours);
	sl_buf_fini(&line);
}

/* ---- Parameters of a session. ---- */

struct params {
	const char *keyword[PARAMS_MAX], *value[PARAMS_MAX];
	size_t n;
	char number[6][NUMBER_MAX];
	size_t numbers;
};

static void param(struct params *p, const char *keyword, const char *value) {
	if (!value || p->n + 1 >= PARAMS_MAX) return;
	p->keyword[p->n] = keyword;
	p->value[p->n++] = value;
}

static void param_number(struct params *p, const char *keyword, int64_t value) {
	char *text = p->number[p->numbers++];
	snprintf(text, NUMBER_MAX, "%lld", (long long)value);
	param(p, keyword, text);
}

/* Ours come last: the last of a name counts. */
static void params_tls(const struct tls_client_conf *tls, struct params *p) {
	if (!tls->given) return;
	param(p, "sslmode", tls->verify ? "verify-full" : "require");
	/* Where nothing is verified an authority would be checked all the same. */
	param(p, "sslrootcert", !tls->verify ? "" : tls->ca ? tls->ca : tls_client_system_ca(NULL));
	param(p, "sslcert", tls->cert ? tls->cert : "");
	param(p, "sslkey", tls->key ? tls->key : "");
	param(p, "sslpassword", tls->key_password);
	param(p, "ssl_min_protocol_version", tls->min_version == TLS_VERSION_1_3 ? "TLSv1.3" : "TLSv1.2");
	param(p, "sslsni", "1");
}

static const char *session_attrs(const struct pg_link *l) {
	switch ((enum pg_session)l->c->session) {
	case PG_SESSION_AUTO:
	case PG_SESSION_ANY: return "any";
	case PG_SESSION_READ_WRITE: return "read-write";
	case PG_SESSION_READ_ONLY: return "read-only";
	case PG_SESSION_PRIMARY: return "primary";
	case PG_SESSION_STANDBY: return "standby";
	case PG_SESSION_PREFER_STANDBY: return l->second_round ? "any" : "standby";
	}
	return "any";
}

static void params_fill(struct pg_link *l, const char *address, struct params *p) {
	const struct pg_conf *conf = &l->c->conf;
	const struct pg_place *place = &l->c->places[l->place];
	param(p, "gssencmode", "disable"); /* unless the URL wants it: asking a KDC blocks */
	for (PQconninfoOption *o = l->c->url_options; o && o->keyword; o++) {
		bool ours = strcmp(o->keyword, "host") == 0 || strcmp(o->keyword, "hostaddr") == 0 ||
			    strcmp(o->keyword, "port") == 0 || strcmp(o->keyword, "target_session_attrs") == 0;
		if (!ours && o->val) param(p, o->keyword, o->val);
	}
	param(p, "host", conf->tls.given && conf->tls.server_name && address ? conf->tls.server_name : place->host);
	param(p, "hostaddr", address);
	param(p, "port", place->port);
	param(p, "dbname", conf->database);
	param(p, "user", conf->user);
	param(p, "password", conf->password);
	param(p, "application_name", conf->application_name);
	param(p, "client_encoding", "UTF8");
	param(p, "target_session_attrs", session_attrs(l));
	param_number(p, "keepalives_idle", conf->keepalive_ms / 1000);
	param_number(p, "keepalives_interval", conf->keepalive_ms / 2000 + 1);
	param_number(p, "keepalives_count", PROBES);
	param_number(p, "tcp_user_timeout", conf->user_timeout_ms);
	params_tls(&conf->tls, p);
	p->keyword[p->n] = p->value[p->n] = NULL;
}

/* ---- Attempts. ---- */

static void on_notice(void *arg, const PGresult *res) {
	const struct pg_link *l = arg;
	struct sl_buf line = SL_BUF_INIT;
	(void)pg_one_line(PQresultErrorMessage(res), &line);
	log_debug(LOG_CONN, "notice", "name=%s text=%s", sl_conn_name(l->c->conn), sl_buf_cstr(&line));
	sl_buf_fini(&line);
}

static void addresses_clear(struct pg_link *l) {
	for (struct sl_list *it; (it = sl_list_pop_front(&l->addresses));)
		sl_free(SL_LIST_ENTRY(it, struct address, link));
}

static void address_add(struct pg_link *l, const char *text) {
	struct address *a = SL_NEW(struct address);
	snprintf(a->text, sizeof a->text, "%s", text);
	sl_list_push_back(&l->addresses, &a->link);
}

/* Every address comes by here, of whatever name it is one. */
static bool may_try(struct pg_link *l, const char *address) {
	const char *host = l->c->places[l->place].host;
	struct sl_err err = SL_ERR_INIT;
	int r = address ? sl_outbound_allows_text(slice_from_str(address), &err) : SL_OK;
	if (r != SL_OK && host && strcmp(host, address) != 0) (void)sl_err_prefix(&err, "%s", host);
	if (r != SL_OK) tried(l, sl_err_text(&err));
	sl_err_fini(&err);
	return r == SL_OK;
}

static void attempt(struct pg_link *l, const char *address) {
	struct params p = {0};
	if (!may_try(l, address)) {
		next_address(l);
		return;
	}
	params_fill(l, address, &p);
	l->pq = PQconnectStartParams(p.keyword, p.value, 0);
	if (!l->pq || PQstatus(l->pq) == CONNECTION_BAD) {
		tried(l, l->pq ? PQerrorMessage(l->pq) : "no memory");
		next_address(l);
		return;
	}
	PQsetNoticeReceiver(l->pq, on_notice, l);
	l->state = PG_LINK_CONNECTING;
	l->want_read = false; /* "behave as if PQconnectPoll had said WRITING" */
	sl_timer_set(sl_conn_loop(l->c->conn), &l->timer, (uint64_t)l->c->conf.connect_timeout_ms);
	pg_io_watch(l);
}

static void pq_drop(struct pg_link *l) {
	pg_io_unwatch(l);
	sl_timer_cancel(&l->timer);
	if (l->pq) PQfinish(l->pq);
	l->pq = NULL;
	l->life++;
	l->flushing = false;
	l->prepared_n = 0;
}

static void give_up(struct pg_link *l) {
	struct pg_conn *c = l->c;
	char *text = sl_buf_steal(&l->tried);
	bool alone = true;
	pg_link_drop(l);
	if (l->user) {
		l->user->gone(l, text);
		sl_free(text);
		return;
	}
	for (size_t i = 0; i < c->link_count; i++) alone = alone && c->links[i].state < PG_LINK_IDLE;
	if (alone)
		pg_conn_down(c, text);
	else {
		log_debug(LOG_CONN, "no further session", "name=%s reason=%s", sl_conn_name(c->conn), text);
		c->no_more_until_ms = sl_loop_now_ms(sl_conn_loop(c->conn)) + NO_MORE_MS;
	}
	sl_free(text);
}

static void looked_up(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
	struct pg_lookup *lookup = (struct pg_lookup *)req;
	struct pg_link *l = lookup->l;
	sl_free(lookup);
	if (!l) {
		uv_freeaddrinfo(list);
		return;
	}
	l->lookup = NULL;
	for (struct addrinfo *a = status == 0 ? list : NULL; a; a = a->ai_next) {
		char text[NI_MAXHOST];
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
			address_add(l, text);
	}
	uv_freeaddrinfo(list);
	if (sl_list_empty(&l->addresses)) {
		char *text =
		    sl_asprintf("there is no host %s (%s); check the name, and this machine's name servers",
				l->c->places[l->place].host, status ? uv_strerror(status) : "it has no address");
		tried(l, text);
		sl_free(text);
	}
	next_address(l);
}

static bool is_address(const char *host) {
	unsigned char binary[16];
	return uv_inet_pton(AF_INET, host, binary) == 0 || uv_inet_pton(AF_INET6, host, binary) == 0;
}

static void place_begin(struct pg_link *l) {
	const char *host = l->c->places[l->place].host, *address = l->c->places[l->place].address;
	if (address) {
		attempt(l, address);
		return;
	}
	if (!host || host[0] == '/') {
		attempt(l, NULL);
		return;
	}
	if (is_address(host)) {
		attempt(l, host);
		return;
	}
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	l->lookup = SL_NEW(struct pg_lookup);
	l->lookup->l = l;
	l->state = PG_LINK_LOOKUP;
	sl_timer_set(sl_conn_loop(l->c->conn), &l->timer, (uint64_t)l->c->conf.connect_timeout_ms);
	int r = uv_getaddrinfo(sl_loop_uv(sl_conn_loop(l->c->conn)), &l->lookup->req, looked_up, host, NULL, &hints);
	if (r == 0) return;
	sl_free(l->lookup);
	l->lookup = NULL;
	tried(l, uv_strerror(r));
	next_address(l);
}

/* The address did not work: another one of the same host, the next host, or nothing is left. */
static void next_address(struct pg_link *l) {
	pq_drop(l);
	struct sl_list *it = sl_list_pop_front(&l->addresses);
	if (it) {
		struct address *a = SL_LIST_ENTRY(it, struct address, link);
		attempt(l, a->text);
		sl_free(a);
		return;
	}
	if (++l->place == l->c->place_count && l->c->session == PG_SESSION_PREFER_STANDBY && !l->second_round) {
		l->second_round = true;
		l->place = 0;
	}
	if (l->place < l->c->place_count)
		place_begin(l);
	else
		give_up(l);
}

void pg_link_start(struct pg_link *l) {
	l->place = 0;
	l->second_round = false;
	sl_buf_clear(&l->tried);
	place_begin(l);
}

static void lookup_leave(struct pg_link *l) {
	if (!l->lookup) return;
	l->lookup->l = NULL; /* libuv gives it back later */
	(void)uv_cancel((uv_req_t *)&l->lookup->req);
	l->lookup = NULL;
}

/* Other servers' ports take connections, too, and wait for more of what is no request of theirs. */
static const char *silence(const struct pg_link *l) {
	bool taken = l->state == PG_LINK_CONNECTING && l->pq && PQstatus(l->pq) != CONNECTION_BAD &&
		     PQstatus(l->pq) != CONNECTION_STARTED && PQstatus(l->pq) != CONNECTION_NEEDED;
	return taken ? "takes connections, but did not answer as PostgreSQL does within connect_timeout; is this "
		       "PostgreSQL's port, or another server's?"
		     : "did not answer within connect_timeout";
}

static void timer_fire(struct sl_timer *t) {
	struct pg_link *l = sl_container_of(t, struct pg_link, timer);
	const struct pg_place *place = &l->c->places[l->place];
	char *text;
	switch (l->state) {
	case PG_LINK_LOOKUP:
		lookup_leave(l);
		text = sl_asprintf("looking up %s took longer than connect_timeout", place->host);
		tried(l, text);
		sl_free(text);
		next_address(l);
		break;
	case PG_LINK_CONNECTING:
	case PG_LINK_SETUP:
		text = sl_asprintf("%s:%s %s", place->host ? place->host : "local", place->port, silence(l));
		tried(l, text);
		sl_free(text);
		next_address(l);
		break;
	case PG_LINK_PROBING: pg_link_lost(l, "the server did not answer a probe"); break;
	case PG_LINK_OFF:
	case PG_LINK_IDLE:
	case PG_LINK_BUSY: break;
	}
}

/* An attempt came to its end: called from the watch while connecting and setting up. */
void pg_link_refused(struct pg_link *l, const char *text) {
	tried(l, text);
	next_address(l);
}

/* ---- The end of a session. ---- */

void pg_link_drop(struct pg_link *l) {
	lookup_leave(l);
	pq_drop(l);
	addresses_clear(l);
	sl_buf_fini(&l->tried);
	l->state = PG_LINK_OFF;
}

/* The text is for a row that is out alone: it may be what its dead letter says. */
static void job_lost(struct pg_link *l, const char *text) {
	if (!l->job.b) return;
	if (l->job.step == PG_STEP_SEARCH) pg_search_lost(&l->job);
	pg_job_fill(l, SL_RESULT_LOST, l->job.b->count == 1 ? text : NULL);
}

static void conn_drop(struct pg_conn *c, const char *text) {
	c->up = false;
	for (size_t i = 0; i < c->link_count; i++) {
		struct pg_link *l = &c->links[i];
		pg_link_drop(l);
		job_lost(l, text);
	}
	for (struct sl_list *it; (it = sl_list_pop_front(&c->waiting));) {
		struct pg_wait *w = SL_LIST_ENTRY(it, struct pg_wait, link);
		sl_batch_fill(w->b, SL_RESULT_LOST, NULL);
		sl_batch_done(w->b);
		sl_free(w);
	}
}

void pg_conn_drop(struct pg_conn *c) { conn_drop(c, NULL); }

void pg_conn_down(struct pg_conn *c, const char *text) {
	if (c->probing) {
		c->probing = false;
		sl_probe_done(c->conn, SL_EIO, text);
	}
	conn_drop(c, text);
	sl_conn_down(c->conn, SL_EIO, "%s", text);
}

void pg_link_lost(struct pg_link *l, const char *text) {
	struct pg_conn *c = l->c;
	struct sl_buf line = SL_BUF_INIT;
	(void)pg_one_line(text, &line);
	if (c->probing && l->state == PG_LINK_PROBING) c->probing = false;
	pg_link_drop(l);
	if (l->user) {
		l->user->gone(l, sl_buf_cstr(&line));
		sl_buf_fini(&line);
		return;
	}
	job_lost(l, sl_buf_cstr(&line));
	bool busy = false;
	for (size_t i = 0; i < c->link_count; i++) {
		/* Whether the idle ones still live nobody knows; a new one is made at no great cost. */
		if (c->links[i].state == PG_LINK_IDLE) pg_link_drop(&c->links[i]);
		busy = busy || c->links[i].state == PG_LINK_BUSY;
	}
	if (!busy)
		pg_conn_down(c, sl_buf_cstr(&line));
	else
		log_debug(LOG_CONN, "session lost", "name=%s reason=%s", sl_conn_name(c->conn), sl_buf_cstr(&line));
	sl_buf_fini(&line);
}

void pg_link_init(struct pg_link *l, struct pg_conn *c) {
	l->c = c;
	sl_list_init(&l->addresses);
	sl_watch_init(&l->watch, pg_link_ready);
	sl_timer_init(&l->timer, timer_fire);
}

void pg_link_fini(struct pg_link *l) {
	pg_link_drop(l);
	sl_buf_fini(&l->out);
	sl_buf_fini(&l->scratch);
	sl_free(l->prepared);
	sl_free(l->values);
	sl_free(l->lengths);
	sl_free(l->formats);
	for (size_t i = 0; i < l->columns_cap; i++) sl_buf_fini(&l->columns[i]);
	sl_free(l->columns);
	sl_free(l->marks);
}
