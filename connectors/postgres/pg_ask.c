#include "pg_ask.h"

#include <string.h>

#include "mem.h"
#include "utf8.h"

struct pg_question {
	char *query; /* settings */
	struct sl_param_list params;
	char *statement; /* with the server's own marks */
};

/* One lookup, waiting or at work. */
struct asking {
	struct sl_list link; /* pg_asks.waiting */
	struct sl_lookup *a;
	struct asker *by; /* NULL: it waits */
};

struct asker {
	struct pg_link link;
	struct pg_asks *asks;
	struct asking *now; /* NULL: none */
	int rows;
	bool too_large;
	char *error; /* what the server has said against it; NULL */
};

struct pg_asks {
	struct pg_conn *c;
	struct sl_list waiting;
	struct asker askers[PG_ASKERS];
};

/* ---- Questions. ---- */

static const struct conf_field fields[] = {
    {.name = "query",
     .type = CONF_TEMPLATE,
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .at = offsetof(struct pg_question, query),
     .doc = "A statement that gives at most one row. Values are bound, never pasted.",
     .example = "SELECT password_hash, is_superuser FROM users WHERE username = ${username}"},
    CONF_END};

static int check(void *settings, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct pg_question *q = settings;
	struct sl_buf out = SL_BUF_INIT;
	int rc = sl_statement_scan(q->query, &pg_dialect, &q->params, &out, err);
	q->statement = sl_buf_steal(&out);
	*params = q->params.at;
	*count = q->params.n;
	if (rc != SL_OK) (void)sl_err_prefix(err, "query");
	return rc;
}

static void fini(void *settings) {
	struct pg_question *q = settings;
	sl_params_fini(&q->params);
	sl_free(q->statement);
}

/* ---- Answers. ---- */

static void work(struct pg_asks *s);

static void asking_end(struct asking *x, int status, const char *text) {
	struct sl_lookup *a = x->a;
	sl_list_remove(&x->link);
	if (x->by) x->by->now = NULL;
	sl_free(x);
	sl_lookup_done(a, status, "%s", text);
}

static void on_ready(struct pg_link *l) { work(sl_container_of(l, struct asker, link)->asks); }

static void on_heard(struct pg_link *l) { (void)l; }

static void row_take(struct asker *k, const PGresult *res) {
	if (k->rows++ > 0) return;
	for (int i = 0; i < PQnfields(res); i++) {
		bool null = PQgetisnull(res, 0, i);
		struct sl_slice value = slice_make(PQgetvalue(res, 0, i), (size_t)PQgetlength(res, 0, i));
		if (!sl_lookup_put(k->now->a, slice_from_str(PQfname(res, i)), null ? SL_SLICE_EMPTY : value))
			k->too_large = true;
	}
}

static void on_result(struct pg_link *l, PGresult *res) {
	struct asker *k = sl_container_of(l, struct asker, link);
	ExecStatusType status = PQresultStatus(res);
	if (k->now && (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK) && PQntuples(res) > 0)
		row_take(k, res);
	else if (k->now && status != PGRES_TUPLES_OK && !k->error) {
		struct sl_buf line = SL_BUF_INIT;
		if (status == PGRES_FATAL_ERROR)
			(void)pg_one_line(PQresultErrorMessage(res), &line);
		else
			sl_buf_append_str(&line, "the statement gives no rows; a question is a SELECT");
		k->error = sl_buf_steal(&line);
	}
	PQclear(res);
}

static void on_end(struct pg_link *l) {
	struct asker *k = sl_container_of(l, struct asker, link);
	struct asking *x = k->now;
	char *error = k->error;
	l->state = PG_LINK_IDLE;
	k->error = NULL;
	if (x && error)
		asking_end(x, SL_EIO, error);
	else if (x && k->too_large)
		asking_end(x, SL_ELIMIT, "the row is too large for an answer");
	else if (x && k->rows > 1)
		asking_end(x, SL_EMALFORMED, "there is more than one row; name one in WHERE, or add LIMIT 1");
	else if (x)
		asking_end(x, k->rows ? SL_OK : SL_ENOTFOUND, "");
	sl_free(error);
	work(k->asks);
}

/* Who waits for a session would wait for one that is not to be had. */
static void on_gone(struct pg_link *l, const char *text) {
	struct asker *k = sl_container_of(l, struct asker, link);
	sl_free(k->error);
	k->error = NULL;
	if (k->now) asking_end(k->now, SL_EIO, text);
	while (!sl_list_empty(&k->asks->waiting))
		asking_end(SL_LIST_ENTRY(k->asks->waiting.next, struct asking, link), SL_EIO, text);
}

static const struct pg_link_user user = {
    .ready = on_ready, .gone = on_gone, .heard = on_heard, .result = on_result, .query_end = on_end};

/* ---- Asking. ---- */

/* What is no text over there is the name of nobody. */
static bool values_fit(const struct sl_lookup *a) {
	for (size_t i = 0; i < a->count; i++)
		if (memchr(a->values[i].p, '\0', a->values[i].n) || !utf8_valid(a->values[i])) return false;
	return true;
}

static void begin(struct asker *k, struct asking *x) {
	const struct pg_question *q = x->a->question;
	const char **values = SL_NEW_ARRAY(const char *, x->a->count + 1);
	for (size_t i = 0; i < x->a->count; i++) values[i] = x->a->values[i].p;
	sl_list_remove(&x->link);
	x->by = k;
	k->now = x;
	k->rows = 0;
	k->too_large = false;
	k->link.state = PG_LINK_BUSY;
	bool ok = PQsendQueryParams(k->link.pq, q->statement, (int)x->a->count, NULL, values, NULL, NULL, 0);
	sl_free(values);
	if (ok) (void)PQsetSingleRowMode(k->link.pq);
	if (!ok)
		pg_link_lost(&k->link, PQerrorMessage(k->link.pq));
	else
		(void)pg_io_flush(&k->link);
}

static struct asker *asker_in(struct pg_asks *s, enum pg_link_state state) {
	for (size_t i = 0; i < PG_ASKERS; i++)
		if (s->askers[i].link.state == state && !s->askers[i].now) return &s->askers[i];
	return NULL;
}

static size_t coming(const struct pg_asks *s) {
	size_t n = 0;
	for (size_t i = 0; i < PG_ASKERS; i++)
		n += s->askers[i].link.state > PG_LINK_OFF && s->askers[i].link.state < PG_LINK_IDLE;
	return n;
}

static void work(struct pg_asks *s) {
	struct asker *k;
	while (!sl_list_empty(&s->waiting) && (k = asker_in(s, PG_LINK_IDLE)))
		begin(k, SL_LIST_ENTRY(s->waiting.next, struct asking, link));
	size_t wanted = 0;
	SL_LIST_FOREACH(it, &s->waiting) wanted++;
	while (coming(s) < wanted && (k = asker_in(s, PG_LINK_OFF))) {
		pg_link_start(&k->link);
		if (k->link.state == PG_LINK_OFF) return; /* it failed at once, and all were told */
	}
}

static struct pg_asks *asks_of(struct pg_conn *c) {
	if (c->asks) return c->asks;
	struct pg_asks *s = SL_NEW(struct pg_asks);
	s->c = c;
	sl_list_init(&s->waiting);
	for (size_t i = 0; i < PG_ASKERS; i++) {
		pg_link_init(&s->askers[i].link, c);
		s->askers[i].link.user = &user;
		s->askers[i].link.by_row = true;
		s->askers[i].asks = s;
	}
	return c->asks = s;
}

static void ask(struct sl_conn *conn, struct sl_lookup *a) {
	struct pg_asks *s = asks_of(sl_conn_impl(conn));
	if (!values_fit(a)) {
		sl_lookup_done(a, SL_ENOTFOUND, "%s", "");
		return;
	}
	struct asking *x = SL_NEW(struct asking);
	x->a = a;
	a->priv = x;
	sl_list_push_back(&s->waiting, &x->link);
	work(s);
}

static bool is_asked(const struct pg_asks *s, const struct sl_lookup *a) {
	for (size_t i = 0; i < PG_ASKERS; i++)
		if (s->askers[i].now && s->askers[i].now->a == a) return true;
	SL_LIST_FOREACH(it, &s->waiting)
	if (SL_LIST_ENTRY(it, struct asking, link)->a == a) return true;
	return false;
}

/* libpq's own cancel would block: the session ends. */
static void cancel(struct sl_conn *conn, struct sl_lookup *a) {
	struct pg_conn *c = sl_conn_impl(conn);
	if (!c->asks || !is_asked(c->asks, a)) return; /* it has an answer, on its way */
	struct asking *x = a->priv;
	struct asker *k = x->by;
	asking_end(x, SL_EAGAIN, "");
	if (k) pg_link_drop(&k->link);
	work(c->asks);
}

const struct sl_asks_kind pg_asks_kind = {
    .size = sizeof(struct pg_question), .fields = fields, .check = check, .fini = fini, .ask = ask, .cancel = cancel};

void pg_asks_close(struct pg_conn *c) {
	for (size_t i = 0; c->asks && i < PG_ASKERS; i++) {
		struct asker *k = &c->asks->askers[i];
		pg_link_drop(&k->link);
		on_gone(&k->link, "the connector ends");
	}
}

void pg_asks_fini(struct pg_conn *c) {
	for (size_t i = 0; c->asks && i < PG_ASKERS; i++) pg_link_fini(&c->asks->askers[i].link);
	sl_free(c->asks);
	c->asks = NULL;
}
