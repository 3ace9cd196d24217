/* pg_search.c: which rows of a batch are bad? All of them are found in one go, and the good ones stored. See pg_int.h.
 *
 *     -> BEGIN [settings] SAVEPOINT s Sync
 *     -> row, RELEASE s, SAVEPOINT s, Sync; ROLLBACK TO s, Sync      for each row
 *     -> guard, Sync
 *     -> COMMIT Sync
 *
 * Nothing waits for an answer: a good row moves the savepoint behind itself, and the rollback then undoes nothing; after a bad
 * one the savepoint stands where it stood, and the rollback undoes the error. One transaction, so it works behind a
 * pooler, and what is acknowledged is committed. */
#include "mem.h"
#include "pg_error.h"
#include "pg_int.h"

#define FLUSH_ROWS 16
#define THROTTLE_MS 1000

static void lost(struct pg_link *l) { pg_link_lost(l, PQerrorMessage(l->pq)); }

static int command(struct pg_link *l, const char *sql) {
	return PQsendQueryParams(l->pq, sql, 0, NULL, NULL, NULL, NULL, 0);
}

void pg_search_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	pg_job_note_clear(j);
	j->step = PG_STEP_SEARCH;
	j->row = j->answer = j->sent = j->segment = j->in_segment = 0;
	j->ended = j->committed = j->stale = false;
	j->guard = PG_GUARD_NONE;
	int ok = PQenterPipelineMode(l->pq) && command(l, "BEGIN") && (!settings || command(l, settings)) &&
		 command(l, "SAVEPOINT s") && PQpipelineSync(l->pq);
	sl_free(settings);
	if (!ok)
		lost(l);
	else
		pg_search_send(l);
}

static bool row_send(struct pg_link *l, uint32_t row) {
	struct pg_job *j = &l->job;
	if (j->b->result[row] != SL_RESULT_PENDING || !pg_row_bind(l, row)) return true; /* refused before, or now */
	j->sent++;
	return PQsendQueryParams(l->pq, j->meta->statement, (int)j->meta->count, j->meta->oids, l->values, l->lengths,
				 l->formats, 1) &&
	       command(l, "RELEASE s") && command(l, "SAVEPOINT s") && PQpipelineSync(l->pq) &&
	       command(l, "ROLLBACK TO s") && PQpipelineSync(l->pq);
}

void pg_search_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	while (!j->ended && !l->flushing) {
		if (j->row == j->b->count) {
			j->ended = true;
			if (!pg_guard_send(l) || !PQpipelineSync(l->pq) || !command(l, "COMMIT") ||
			    !PQpipelineSync(l->pq))
				lost(l);
			else
				(void)pg_io_flush(l);
			return;
		}
		uint32_t row = j->row++;
		if (!row_send(l, row)) {
			lost(l);
			return;
		}
		if (row % FLUSH_ROWS == FLUSH_ROWS - 1 && !pg_io_flush(l)) return;
	}
}

/* ---- Answers. ---- */

/* A row that failed gets its result here; what is more than its own fault is kept for the end. */
static void row_failed(struct pg_link *l, uint32_t row, const PGresult *res) {
	struct pg_job *j = &l->job;
	enum sl_result result;
	enum pg_consequence then = pg_error_find(pg_error_state(res), &result);
	char *reason = pg_error_text(res);
	if (result == SL_RESULT_THROTTLED) j->b->wait_ms = THROTTLE_MS;
	if (then == PG_THEN_RELOAD && row != UINT32_MAX)
		result = SL_RESULT_REJECT; /* types were read before: it is the value */
	else if (then != PG_THEN_ROW && then != PG_THEN_NOTHING)
		pg_job_note(j, res);
	if (row != UINT32_MAX) {
		j->b->result[row] = (uint8_t)result;
		sl_batch_reason(j->b, row, "%s", reason);
	} else
		pg_job_note(j, res);
	sl_free(reason);
}

static void search_done(struct pg_link *l) {
	struct pg_job *j = &l->job;
	if (!PQexitPipelineMode(l->pq)) {
		lost(l);
		return;
	}
	if (j->stale) {
		pg_job_reread(l);
		return;
	}
	if (j->committed) sl_batch_fill(j->b, SL_RESULT_DONE, NULL);
	if (j->sqlstate)
		pg_job_failed(l);
	else
		pg_job_fill(l, j->committed ? SL_RESULT_DONE : SL_RESULT_GROUP_FAILED,
			    "the transaction was not committed");
}

void pg_search_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	ExecStatusType status = PQresultStatus(res);
	bool of_guard = j->ended && j->segment == 2 * j->sent + 1; /* empty with `sql` */
	bool last = j->ended && j->segment == 2 * j->sent + 2;
	if (status == PGRES_PIPELINE_SYNC) {
		PQclear(res);
		j->segment++;
		j->in_segment = 0;
		if (last) search_done(l);
		return;
	}
	if (status != PGRES_SINGLE_TUPLE) {
		bool of_row = !last && !of_guard && j->segment % 2 == 1 && j->in_segment == 0;
		uint32_t row = of_row ? pg_row_next(j) : UINT32_MAX;
		/* A transaction that has failed answers COMMIT with ROLLBACK. */
		if (last && status == PGRES_COMMAND_OK) j->committed = strcmp(PQcmdStatus(res), "COMMIT") == 0;
		if (of_guard) pg_guard_result(l, res);
		if (status == PGRES_FATAL_ERROR && !j->stale) row_failed(l, row, res);
		j->in_segment++;
	}
	PQclear(res);
}
