/* pg_source_look.c: what `sluice connector test` asks of a source: can its query and its `ack` be prepared, and may the user run them? In
 * a session of its own, as the source has; nothing is run. */
#include "mem.h"
#include "pg_source.h"

struct pg_source_look {
	struct pg_link link;
	const struct pg_source *p;
	struct sl_batch *b;
	bool acks;   /* the query has been looked at */
	bool rights; /* it, or the ack, can be prepared: now EXPLAIN */
	bool failed; /* what is asked */
	struct sl_buf faults;
	struct sl_deferred end;
};

static struct pg_source_look *of(struct pg_link *l) { return sl_container_of(l, struct pg_source_look, link); }

static void fault(struct pg_source_look *k, const char *what, const char *text) {
	sl_buf_printf(&k->faults, "%s%s: %s", k->faults.n ? "; " : "", what, text);
}

/* Not from inside of what the link calls. */
static void look_end(struct sl_deferred *d) {
	struct pg_source_look *k = sl_container_of(d, struct pg_source_look, end);
	struct sl_batch *b = k->b;
	pg_link_drop(&k->link);
	pg_link_fini(&k->link);
	if (k->faults.n) sl_batch_not_ready(b, "%s", sl_buf_cstr(&k->faults));
	sl_buf_fini(&k->faults);
	sl_free(k);
	sl_batch_done(b);
}

static void end_soon(struct pg_source_look *k) { sl_loop_defer(sl_conn_loop(k->link.c->conn), &k->end); }

static void on_ready(struct pg_link *l) {
	struct pg_source_look *k = of(l);
	const char *text = k->acks ? k->p->ack : k->p->query;
	size_t params = k->acks ? k->p->ack_params.n : k->p->query_params.n;
	l->state = PG_LINK_BUSY;
	if (!(k->rights ? pg_look_send(l, text, params, NULL) : PQsendPrepare(l->pq, "", text, 0, NULL)))
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

static void on_gone(struct pg_link *l, const char *text) {
	fault(of(l), "its session", text);
	end_soon(of(l));
}

static void on_heard(struct pg_link *l) { (void)l; }

static void on_result(struct pg_link *l, PGresult *res) {
	struct pg_source_look *k = of(l);
	const char *state = pg_error_state(res);
	bool no_right = state && strcmp(state, "42501") == 0;
	/* EXPLAIN says other things, too, which may be NULL's fault. */
	if (PQresultStatus(res) == PGRES_FATAL_ERROR && (!k->rights || no_right)) {
		char *text = pg_error_text(res),
		     *line = sl_asprintf("%s%s", text, no_right ? pg_job_advice(state) : "");
		fault(k, k->acks ? "ack" : "query", line);
		sl_free(line);
		sl_free(text);
	}
	k->failed = k->failed || PQresultStatus(res) == PGRES_FATAL_ERROR;
	PQclear(res);
}

static void on_query_end(struct pg_link *l) {
	struct pg_source_look *k = of(l);
	l->state = PG_LINK_IDLE;
	bool both = k->rights || k->failed;
	if (both && (k->acks || !k->p->ack)) {
		end_soon(k);
		return;
	}
	k->acks = k->acks || both;
	k->rights = !both;
	k->failed = false;
	on_ready(l);
}

static const struct pg_link_user user = {
    .ready = on_ready, .gone = on_gone, .heard = on_heard, .result = on_result, .query_end = on_query_end};

int pg_source_look(struct sl_conn *conn, struct sl_source *s, struct sl_batch *b) {
	struct pg_source_look *k = SL_NEW(struct pg_source_look);
	k->p = sl_source_impl(s);
	k->b = b;
	sl_deferred_init(&k->end, look_end);
	pg_link_init(&k->link, sl_conn_impl(conn));
	k->link.user = &user;
	pg_link_start(&k->link);
	return SL_OK;
}
