/* postgres.c: rows into PostgreSQL, by libpq without ever blocking. The kind; pg_int.h draws what is behind it.
 *
 *     {connector: db, table: readings, columns: {device: "${device}", t: "${t}"}}     COPY in binary form
 *     {connector: db, table: readings, columns: {...}, on_conflict: {update: [t]}}     INSERT ... ON CONFLICT, pipelined
 *     {connector: db, sql: "INSERT INTO readings(device, t) VALUES (${device}, ${t})"}    any one statement, pipelined */
#include <ctype.h>

#include "mem.h"
#include "pg_ask.h"
#include "pg_int.h"
#include "pg_source.h"

/* ---- Actions. ---- */

static void mark(struct sl_buf *out, size_t number) { sl_buf_printf(out, "$%zu", number); }
static bool own_parameter(const char *p) { return p[0] == '$' && isdigit((unsigned char)p[1]); }

const struct sl_statement_dialect pg_dialect = {.database = "PostgreSQL",
						.flags = SL_STATEMENT_DOLLAR_QUOTES | SL_STATEMENT_ESCAPES |
							 SL_STATEMENT_NESTED,
						.mark = mark,
						.own_parameter = own_parameter};

static int action_params(struct sl_conn_action *action, const struct sl_param **params, size_t *count,
			 struct sl_err *err) {
	struct pg_action *a = sl_action_impl(action);
	struct sl_buf out = SL_BUF_INIT;
	int r = SL_OK;
	if (a->sql) {
		r = sl_statement_scan(a->sql, &pg_dialect, &a->params, &out, err);
		a->statement = sl_buf_steal(&out);
	} else
		pg_action_texts(a);
	*params = a->params.at;
	*count = a->params.n;
	return r;
}

static void action_fini(struct sl_conn_action *action) {
	struct pg_action *a = sl_action_impl(action);
	pg_meta_unref(a->meta);
	sl_params_fini(&a->params);
	sl_free(a->relation);
	sl_free(a->statement);
	sl_free(a->copy);
	sl_free(a->look);
	sl_free(a->read);
	sl_free(a->shown);
	sl_buf_fini(&a->good);
}

static int pg_encode(struct sl_conn_action *action, const void *row, struct sl_buf *out, struct sl_err *err) {
	const struct pg_action *a = sl_action_impl(action);
	(void)err;
	sl_buf_append_str(out, a->sql ? a->statement : a->shown ? a->shown : a->copy);
	for (size_t i = 0; i < a->params.n; i++) {
		struct sql_value v = sql_row_get(row, (uint16_t)i);
		sl_buf_append_str(out, i ? ", " : " -- ");
		sql_value_json(&v, out);
	}
	return SL_OK;
}

/* ---- The connector. ---- */

static struct pg_link *link_in(struct pg_conn *c, enum pg_link_state state) {
	for (size_t i = 0; i < c->link_count; i++)
		if (c->links[i].state == state) return &c->links[i];
	return NULL;
}

static size_t links_coming(const struct pg_conn *c) {
	size_t n = 0;
	for (size_t i = 0; i < c->link_count; i++)
		n += c->links[i].state > PG_LINK_OFF && c->links[i].state < PG_LINK_IDLE;
	return n;
}

/* Batches that wait go to sessions that are free; where these are too few, further ones are connected. */
static void work(struct sl_deferred *d) {
	struct pg_conn *c = sl_container_of(d, struct pg_conn, work);
	struct pg_link *l;
	while (!sl_list_empty(&c->waiting) && (l = link_in(c, PG_LINK_IDLE))) {
		struct pg_wait *w = SL_LIST_ENTRY(sl_list_pop_front(&c->waiting), struct pg_wait, link);
		pg_job_begin(l, w->a, w->b);
		sl_free(w);
	}
	size_t wanted = 0, coming = links_coming(c);
	SL_LIST_FOREACH(it, &c->waiting) wanted++;
	if (!c->up || sl_loop_now_ms(sl_conn_loop(c->conn)) < c->no_more_until_ms) return;
	while (c->up && coming++ < wanted && (l = link_in(c, PG_LINK_OFF))) pg_link_start(l);
}

void pg_link_free_now(struct pg_link *l) {
	l->state = PG_LINK_IDLE;
	sl_loop_defer(sl_conn_loop(l->c->conn), &l->c->work);
}

static int pg_open(struct sl_conn *conn, struct sl_err *err) {
	struct pg_conn *c = sl_conn_impl(conn);
	c->conn = conn;
	sl_list_init(&c->waiting);
	sl_deferred_init(&c->work, work);
	c->link_count = (size_t)c->conf.pool;
	c->links = SL_NEW_ARRAY(struct pg_link, c->link_count);
	for (size_t i = 0; i < c->link_count; i++) pg_link_init(&c->links[i], c);
	c->unnamed = c->conf.prepared == PG_PREPARED_OFF;
	sl_conn_set_ways(conn, (uint32_t)c->conf.pool);
	return pg_places_open(c, err);
}

static void pg_connect(struct sl_conn *conn) {
	struct pg_conn *c = sl_conn_impl(conn);
	pg_conn_drop(c); /* whatever stands did not do */
	c->probing = false;
	pg_link_start(&c->links[0]);
}

static void pg_probe(struct sl_conn *conn) {
	struct pg_conn *c = sl_conn_impl(conn);
	struct pg_link *l = link_in(c, PG_LINK_IDLE);
	if (!l) { /* all are at work, and their batches have deadlines */
		sl_probe_done(conn, SL_OK, NULL);
		return;
	}
	c->probing = true;
	l->state = PG_LINK_PROBING;
	sl_timer_set(sl_conn_loop(conn), &l->timer, (uint64_t)c->conf.connect_timeout_ms);
	if (!PQsendQuery(l->pq, ""))
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

static void pg_close(struct sl_conn *conn) {
	struct pg_conn *c = sl_conn_impl(conn);
	pg_conn_drop(c);
	pg_asks_close(c);
	sl_deferred_cancel(&c->work);
	sl_conn_closed(conn);
}

static void pg_fini(struct sl_conn *conn) {
	struct pg_conn *c = sl_conn_impl(conn);
	for (size_t i = 0; i < c->link_count; i++) pg_link_fini(&c->links[i]);
	sl_free(c->links);
	pg_asks_fini(c);
	pg_places_close(c);
	sl_free(c->server);
}

/* The loop stands still meanwhile: see connector.h. */
static void pg_describe(struct sl_conn *conn, json_t *out) {
	const struct pg_conn *c = sl_conn_impl(conn);
	size_t sessions = 0, busy = 0, waiting = 0;
	for (size_t i = 0; i < c->link_count; i++) {
		sessions += c->links[i].state >= PG_LINK_IDLE;
		busy += c->links[i].state == PG_LINK_BUSY;
	}
	SL_LIST_FOREACH(it, &c->waiting) waiting++;
	if (c->server) json_object_set_new(out, "server", json_string(c->server));
	json_object_set_new(out, "sessions", json_integer((json_int_t)sessions));
	json_object_set_new(out, "sessions_busy", json_integer((json_int_t)busy));
	json_object_set_new(out, "batches_waiting", json_integer((json_int_t)waiting));
	json_object_set_new(out, "pooler", json_boolean(c->pooler));
	json_object_set_new(out, "libpq", json_integer(PQlibVersion()));
}

/* ---- Batches. ---- */

static int pg_submit(struct sl_conn_action *action, struct sl_batch *b) {
	struct pg_conn *c = sl_conn_impl(sl_action_conn(action));
	if (!c->up) { /* went down since it was offered */
		sl_batch_fill(b, SL_RESULT_LOST, NULL);
		sl_batch_done(b);
		return SL_OK;
	}
	struct pg_link *l = sl_list_empty(&c->waiting) ? link_in(c, PG_LINK_IDLE) : NULL;
	if (l) {
		pg_job_begin(l, sl_action_impl(action), b);
		return SL_OK;
	}
	struct pg_wait *w = SL_NEW(struct pg_wait);
	w->a = sl_action_impl(action);
	w->b = b;
	sl_list_push_back(&c->waiting, &w->link);
	sl_loop_defer(sl_conn_loop(c->conn), &c->work);
	return SL_OK;
}

static bool may_be_stored(const struct pg_job *j) {
	switch (j->step) {
	case PG_STEP_READ:
	case PG_STEP_PROBE:
	case PG_STEP_LOOK: return false;
	case PG_STEP_SEARCH: return pg_search_commits(j);
	case PG_STEP_COPY:
	case PG_STEP_BULK:
	case PG_STEP_ROWS: break;
	}
	return j->ended;
}

/* The session is closed: libpq's own cancel would block. Before the commit was sent nothing is stored (and of what is only
 * asked never is anything); after it, who knows. */
static void pg_cancel(struct sl_conn_action *action, struct sl_batch *b) {
	const char *late = sl_conn_cancel_why(sl_action_conn(action));
	struct pg_conn *c = sl_conn_impl(sl_action_conn(action));
	SL_LIST_FOREACH_SAFE(it, &c->waiting) {
		struct pg_wait *w = SL_LIST_ENTRY(it, struct pg_wait, link);
		if (w->b != b) continue;
		sl_list_remove(&w->link);
		sl_free(w);
		sl_batch_fill(b, SL_RESULT_LOST, NULL);
		sl_batch_done(b);
		return;
	}
	for (size_t i = 0; i < c->link_count; i++) {
		struct pg_link *l = &c->links[i];
		if (l->job.b != b) continue;
		if (may_be_stored(&l->job)) sl_batch_fill(b, SL_RESULT_TIMEOUT, late);
		pg_link_lost(l, late);
		return;
	}
}

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct pg_action *s = sl_action_impl(a);
	if (s->sql)
		sl_destination_statement(out, s->sql);
	else
		sl_destination_name(out, "table", s->table);
}

extern const struct sl_connector_kind sl_connector_postgres; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_postgres = {
    .name = "postgres",
    .title = "PostgreSQL",
    .summary = "Writes rows into PostgreSQL and what speaks its protocol, typed by the columns, batch by batch.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_LOOKS,
    .conn_size = sizeof(struct pg_conn),
    .action_size = sizeof(struct pg_action),
    .copy_row = 256, /* what libpq sends, and its answers */
    .copy_percent = 300,
    .conn_fields = pg_conn_fields,
    .action_fields = pg_action_fields,
    .conn_check = pg_conn_check,
    .action_check = pg_action_check,
    .action_params = action_params,
    .destination = destination,
    .open = pg_open,
    .connect = pg_connect,
    .probe = pg_probe,
    .close = pg_close,
    .fini = pg_fini,
    .action_fini = action_fini,
    .encode = pg_encode,
    .submit = pg_submit,
    .cancel = pg_cancel,
    .describe = pg_describe,
    .targets = pg_targets,
    .source_look = pg_source_look,
    .source = &pg_source_kind,
    .asks = &pg_asks_kind,
};
