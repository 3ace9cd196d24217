/* pg_guard.c: are the types that we know still those of the table? See pg_int.h.
 *
 * A bound parameter has the type that we say, and the server makes that of the column out of it: a float becomes an integer, rounded,
 * without a word. So the last statement of a table's batch is a guard, which fails where the catalogue differs, and all of the batch with it.
 * It stands behind the rows: these have locked the table, and nobody changes it any more. COPY has its own look (pg_copy.c). */
#include "mem.h"
#include "pg_int.h"

#define OLD_MS 1000           /* a row is refused by types that were read within */
#define FEW_ROWS 32           /* batches with fewer are not guarded ... */
#define GUARD_MS 10           /* ... within so long of the last that was: at full speed it would cost a third */
#define STATEMENT_OLD_MS 5000 /* those of a statement's parameters, of whose tables we know nothing, are read again */

static uint64_t age_ms(const struct pg_link *l, const struct pg_meta *m) {
	return sl_loop_now_ms(sl_conn_loop(l->c->conn)) - m->read_ms;
}

bool pg_types_old(const struct pg_link *l) {
	return l->job.meta && l->job.rounds == 0 && age_ms(l, l->job.meta) > OLD_MS;
}

bool pg_meta_holds(const struct pg_link *l, const struct pg_action *a) {
	return a->meta && a->meta->epoch == l->c->epoch && (a->table || age_ms(l, a->meta) <= STATEMENT_OLD_MS);
}

/* A fingerprint is no number: what is not the one we know cannot be read as one. */
char *pg_guard_text(const struct pg_action *a, const char *fingerprint) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_append_str(&b, "SELECT CASE WHEN f =");
	pg_quote_text(&b, slice_from_str(fingerprint));
	sl_buf_printf(&b,
		      " THEN 0 ELSE ('the table has changed: ' || coalesce(f, 'it is gone'))::pg_catalog.int4 END FROM "
		      "(%s) AS t(f)",
		      a->look);
	return sl_buf_steal(&b);
}

int pg_guard_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char name[PG_STATEMENT_NAME_MAX];
	uint64_t since = sl_loop_now_ms(sl_conn_loop(l->c->conn)) - j->meta->guarded_ms;
	if (!j->meta->guard || (j->b->count < FEW_ROWS && since < GUARD_MS)) return 1;
	bool prepare = l->c->unnamed || !pg_is_prepared(l, j->meta->guard_serial);
	pg_statement_name(l, j->meta->guard_serial, name);
	j->guard = prepare ? PG_GUARD_PREPARED : PG_GUARD_ASKED;
	return (!prepare || PQsendPrepare(l->pq, name, j->meta->guard, 0, NULL)) &&
	       PQsendQueryPrepared(l->pq, name, 0, NULL, NULL, NULL, 1);
}

void pg_guard_result(struct pg_link *l, const PGresult *res) {
	struct pg_job *j = &l->job;
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	switch (j->guard) {
	case PG_GUARD_NONE: break; /* the commit failed */
	case PG_GUARD_PREPARED:
		if (PQresultStatus(res) == PGRES_COMMAND_OK) pg_prepared(l, j->meta->guard_serial);
		j->guard = PG_GUARD_ASKED;
		break;
	case PG_GUARD_ASKED:
		j->stale = state && strcmp(state, "22P02") == 0;
		if (PQresultStatus(res) == PGRES_TUPLES_OK)
			j->meta->guarded_ms = sl_loop_now_ms(sl_conn_loop(l->c->conn));
		j->guard = PG_GUARD_NONE;
		break;
	}
}
