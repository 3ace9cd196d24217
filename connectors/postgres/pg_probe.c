/* pg_probe.c: is the table to blame, or a row? See pg_int.h.
 *
 * "No such table", "permission denied" and their like are nearly always said of the action's table, and then its rows wait for
 * somebody to mend it. But a row may be their reason, too: a trigger that runs a statement made of a value, a name that is looked up
 * (`${v}::regclass`), a trigger that raises whatever code it likes. That row would stop its action for ever. So the server is asked whether
 * others get through:
 *
 *     -> BEGIN [settings] SAVEPOINT s Sync
 *     -> SET CONSTRAINTS ALL IMMEDIATE, RELEASE s, SAVEPOINT s, Sync; ROLLBACK TO s, Sync      CockroachDB does not know it
 *     -> row, Sync; ROLLBACK TO s, Sync      for PROBE_ROWS of the batch, others each time, and the last one that was stored
 *     -> ROLLBACK Sync
 *
 * Nothing of that stays. When one gets through (and changes something: pg_is_proof()), the batch is searched (pg_search.c): who fails
 * there is rejected when it does so SEARCHES times, each time with a row behind it that gets through, and is one of few. When none gets
 * through, all wait, as was to be done anyway, and the next batch has more rows (sl_batch_in_doubt); where some do, but change nothing,
 * until that has gone on for `doubt_timeout`: then they count. Errors that are tried again are
 * treated alike, with PROBE_FEW rows: where one gets through the batch goes in halves, until the row that does not waits alone. */
#include <strings.h>

#include "mem.h"
#include "pg_int.h"

#define PROBE_ROWS 16
#define PROBE_FEW 4           /* each may wait for a lock */
#define KEEP_MAX (64 * SL_KB) /* of a row that was stored */
#define PASSED_MS 5000        /* so long is it known that others get through */

static uint64_t now_ms(const struct pg_link *l) { return sl_loop_now_ms(sl_conn_loop(l->c->conn)); }

static bool is_own_way(const char *sqlstate) { /* pg_job_failed() has other ways to find the row */
	return strncmp(sqlstate, "XX", 2) == 0 || strcmp(sqlstate, "57014") == 0;
}

static bool is_throttled(const char *sqlstate) { return strncmp(sqlstate, "53", 2) == 0; }

bool pg_probe_wanted(const struct pg_link *l, enum pg_consequence then) {
	const struct pg_job *j = &l->job;
	if (j->probe != PG_PROBE_NOT_ASKED || !j->meta || j->b->count == 0 || j->step == PG_STEP_LOOK) return false;
	switch (then) {
	case PG_THEN_NOT_READY: return !j->of_rights;
	case PG_THEN_NOTHING: return !is_own_way(j->sqlstate) && (j->b->count > 1 || is_throttled(j->sqlstate));
	case PG_THEN_ROW:
	case PG_THEN_RELOAD:
	case PG_THEN_LEAVE: break;
	}
	return false;
}

bool pg_probe_passed(const struct pg_link *l) {
	const struct pg_action *a = l->job.a;
	return l->job.probe == PG_PROBE_PASSED || (a->passed_ms > 0 && now_ms(l) - a->passed_ms < PASSED_MS);
}

bool pg_probe_keep(struct pg_job *j) {
	for (uint32_t i = j->b->count; i-- > 0;) {
		if (j->b->result[i] != SL_RESULT_PENDING) continue;
		size_t size = sql_row_head(j->b->row[i])->size;
		if (size > KEEP_MAX) return true;
		sl_buf_clear(&j->a->good);
		sl_buf_append(&j->a->good, j->b->row[i], size);
		return true;
	}
	return false;
}

/* ---- Sending. ---- */

static int command(struct pg_link *l, const char *sql) {
	return PQsendQueryParams(l->pq, sql, 0, NULL, NULL, NULL, NULL, 0);
}

/* The k-th row of the probe: of the batch, or, behind these, the one that was stored. */
static const void *probe_row(const struct pg_job *j, uint32_t k) {
	uint32_t count = j->b->count, rows = j->probe_rows;
	if (k == rows) return j->a->good.p;
	return j->b->row[(k * (count / rows) + j->probe_from) % count];
}

static uint32_t probe_most(const struct pg_job *j) {
	enum sl_result result;
	return pg_error_find(j->sqlstate, &result) == PG_THEN_NOTHING ? PROBE_FEW : PROBE_ROWS;
}

/* As a row of the search is: the savepoint moves behind it where it is understood. */
static int at_once_send(struct pg_link *l) {
	l->job.sent++;
	return command(l, "SET CONSTRAINTS ALL IMMEDIATE") && command(l, "RELEASE s") && command(l, "SAVEPOINT s") &&
	       PQpipelineSync(l->pq) && command(l, "ROLLBACK TO s") && PQpipelineSync(l->pq);
}

void pg_probe_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	for (uint32_t i = 0; i < j->b->count; i++) /* nothing is stored */
		if (j->b->result[i] != SL_RESULT_REJECT) j->b->result[i] = SL_RESULT_PENDING;
	j->failed = j->step;
	j->step = PG_STEP_PROBE;
	j->row = j->sent = j->segment = j->in_segment = 0;
	j->ended = false;
	j->passed = j->passed_idle = UINT32_MAX;
	j->probe_rows = j->b->count < probe_most(j) ? j->b->count : probe_most(j);
	j->probe_from = j->a->probes++;
	/* Where it may be there already it goes another way than a new one. */
	j->probe_good = j->a->good.n > 0 && !pg_may_skip(j->a);
	int ok = PQenterPipelineMode(l->pq) && command(l, "BEGIN") && (!settings || command(l, settings)) &&
		 command(l, "SAVEPOINT s") && PQpipelineSync(l->pq) && at_once_send(l);
	sl_free(settings);
	if (!ok)
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		pg_probe_send(l);
}

/* 0: libpq failed. Behind it stands ROLLBACK TO s. */
int pg_probe_row_send(struct pg_link *l, uint32_t k) {
	const struct pg_meta *m = l->job.meta;
	struct sl_err err = SL_ERR_INIT;
	bool fits = pg_bytes_bind(l, probe_row(&l->job, k), &err);
	sl_err_fini(&err);
	/* One that does not fit fails all the same, so that answers are counted alike. */
	int ok =
	    fits ? PQsendQueryParams(l->pq, m->statement, (int)m->count, m->oids, l->values, l->lengths, l->formats, 1)
		 : command(l, "ROLLBACK TO none");
	l->job.sent++;
	return ok && PQpipelineSync(l->pq) && command(l, "ROLLBACK TO s") && PQpipelineSync(l->pq);
}

void pg_probe_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	while (!j->ended && !l->flushing) {
		j->ended = j->row == j->probe_rows + j->probe_good;
		int ok = j->ended ? command(l, "ROLLBACK") && PQpipelineSync(l->pq) : pg_probe_row_send(l, j->row++);
		if (!ok) {
			pg_link_lost(l, PQerrorMessage(l->pq));
			return;
		}
		if (!pg_io_flush(l)) return;
	}
}

/* ---- Answers. ---- */

bool pg_doubt_is_over(struct pg_link *l) {
	struct pg_action *a = l->job.a;
	uint64_t now = now_ms(l), most = (uint64_t)a->doubt_timeout_ms;
	if (a->doubt_timeout_ms == CONF_UNLIMITED) return false;
	if (a->doubt_since_ms == 0 || now - a->doubt_last_ms > most) a->doubt_since_ms = now;
	a->doubt_last_ms = now;
	return now - a->doubt_since_ms >= most;
}

static void probe_done(struct pg_link *l) {
	struct pg_job *j = &l->job;
	enum sl_result result;
	if (!PQexitPipelineMode(l->pq)) {
		pg_link_lost(l, PQerrorMessage(l->pq));
		return;
	}
	if (j->passed == UINT32_MAX && j->passed_idle != UINT32_MAX && pg_doubt_is_over(l)) j->passed = j->passed_idle;
	j->probe = j->passed != UINT32_MAX ? PG_PROBE_PASSED : PG_PROBE_FAILED;
	if (j->probe == PG_PROBE_PASSED) j->a->passed_ms = now_ms(l);
	if (j->probe == PG_PROBE_PASSED && pg_error_find(j->sqlstate, &result) != PG_THEN_NOTHING)
		pg_search_begin(l);
	else
		pg_job_failed(l);
}

/* Of `sql` only an INSERT without ON CONFLICT is known to do the same with each row. */
bool pg_may_skip(const struct pg_action *a) {
	if (a->table) return a->conflict != PG_CONFLICT_ERROR;
	return strncasecmp(a->statement, "insert", 6) != 0 || strcasestr(a->statement, "conflict");
}

/* A row that is there already does not come to what fails behind ON CONFLICT DO NOTHING, such as an AFTER trigger. But without such
 * words nothing is changed where a trigger puts rows elsewhere, and all are alike. */
bool pg_is_proof(const struct pg_job *j, PGresult *res) {
	ExecStatusType status = PQresultStatus(res);
	return (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) &&
	       !((!j->a->table || pg_may_skip(j->a)) && strcmp(PQcmdTuples(res), "0") == 0);
}

void pg_probe_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	ExecStatusType status = PQresultStatus(res);
	bool good = pg_is_proof(j, res), idle = !good && (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
	if (pg_error_wants_override(res)) j->overriding = true; /* nothing that COPY would complain of */
	PQclear(res);
	if (status == PGRES_PIPELINE_SYNC) {
		bool last = j->ended && j->segment == 2 * j->sent + 1;
		j->segment++;
		j->in_segment = 0;
		if (last) probe_done(l);
		return;
	}
	if (status == PGRES_SINGLE_TUPLE) return;
	uint32_t n =
	    j->segment / 2; /* 0: what comes before the rows; of the last segment, which takes all back: sent */
	bool of_row = j->segment % 2 == 1 && j->in_segment == 0 && n > 0 && n < j->sent;
	if (of_row && good && j->passed == UINT32_MAX) j->passed = n - 1;
	if (of_row && idle && j->passed_idle == UINT32_MAX) j->passed_idle = n - 1;
	j->in_segment++;
}
