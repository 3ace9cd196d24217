/* pg_search.c: which rows of a batch are bad? All of them are found in one go, and the good ones stored. See pg_int.h.
 *
 *     -> BEGIN [settings] SAVEPOINT s Sync
 *     -> row, RELEASE s, SAVEPOINT s, Sync; ROLLBACK TO s, Sync      for each row
 *     -> one that got through before (pg_probe.c), Sync; ROLLBACK TO s, Sync      where that was asked
 *     -> guard, Sync
 *     <- all answers
 *     -> COMMIT or ROLLBACK, Sync
 *
 * No row waits for an answer: a good one moves the savepoint behind itself, and the rollback then undoes nothing; after a bad
 * one the savepoint stands where it stood, and the rollback undoes the error. One transaction, so it works behind a
 * pooler, and what is acknowledged is committed. All is taken back where a row must come again (a deadlock, a table that was away
 * for a moment) and others behind it are good: these would overtake it.
 *
 * Rows in doubt, of whom the server says that the table is to blame, have failed while others did not. It may still be the table, changed
 * while the rows were on their way, or what only new rows come to (a trigger's table, behind ON CONFLICT). So they must fail in each of
 * SEARCHES, and where rows may go different ways there must be DOUBTS_RARE good ones for each of them, or `doubt_timeout` be over. */
#include "mem.h"
#include "pg_error.h"
#include "pg_int.h"

#define FLUSH_ROWS 16
#define THROTTLE_MS 1000
#define SEARCHES 5
#define DOUBTS_RARE 4u
#define IN_DOUBT SL_RESULT_GROUP_FAILED /* of a row, until the answer of the one that confirms has come */

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
	j->ended = j->committed = j->taken_back = j->stale = j->confirmed = j->found = j->again = j->waits = false;
	j->confirm = j->fresh = 0;
	j->guard = PG_GUARD_NONE;
	int ok = PQenterPipelineMode(l->pq) && command(l, "BEGIN") && (!settings || command(l, settings)) &&
		 (!j->at_once || command(l, "SET CONSTRAINTS ALL IMMEDIATE")) && command(l, "SAVEPOINT s") &&
		 PQpipelineSync(l->pq);
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

/* The row that got through before goes once more, and is taken back. */
static int confirm_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	if (j->probe != PG_PROBE_PASSED) return 1;
	j->confirm = 2 * j->sent + 1;
	return pg_probe_row_send(l, j->passed);
}

void pg_search_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	while (!j->ended && !l->flushing) {
		if (j->row == j->b->count) {
			j->ended = true;
			if (!confirm_send(l) || !pg_guard_send(l) || !PQpipelineSync(l->pq))
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
	if (then == PG_THEN_RELOAD && row != UINT32_MAX) {
		result = SL_RESULT_REJECT; /* types were read before: it is the value */
		j->found = true;
	} else if (j->at_once && then == PG_THEN_ROW && row != UINT32_MAX && strncmp(pg_error_state(res), "23", 2) == 0)
		result = SL_RESULT_LOST; /* what it refers to may come behind it */
	else if (then == PG_THEN_NOT_READY && row != UINT32_MAX && j->probe == PG_PROBE_PASSED &&
		 !pg_error_is_of_rights(res))
		result = IN_DOUBT;
	else if (then != PG_THEN_ROW && then != PG_THEN_NOTHING)
		pg_job_note(j, res);
	if (row != UINT32_MAX) {
		j->b->result[row] = (uint8_t)result;
		sl_batch_reason(j->b, row, "%s", reason);
	} else
		pg_job_note(j, res);
	sl_free(reason);
}

/* It is stored perhaps, and refused for that. */
static bool is_confirmed(const PGresult *res) {
	enum sl_result result;
	if (PQresultStatus(res) != PGRES_FATAL_ERROR) return true;
	return pg_error_find(pg_error_state(res), &result) == PG_THEN_ROW;
}

static void results_replace(struct sl_batch *b, enum sl_result was, enum sl_result is) {
	for (uint32_t i = 0; i < b->count; i++)
		if (b->result[i] == was) b->result[i] = (uint8_t)is;
}

static void all_pending(struct pg_job *j) { /* but those that were refused */
	for (uint32_t i = 0; i < j->b->count; i++)
		if (j->b->result[i] != SL_RESULT_REJECT) j->b->result[i] = SL_RESULT_PENDING;
}

static uint32_t doubts_count(struct pg_job *j) {
	uint32_t n = 0;
	for (uint32_t i = 0; i < j->b->count; i++) {
		if (j->b->result[i] != IN_DOUBT) continue;
		if (!j->doubted) j->doubted = SL_NEW_ARRAY(uint8_t, j->b->count);
		j->doubted[i]++;
		n++;
	}
	return n;
}

/* Who failed for the table's reason, while others got through before and do now, is to blame. */
static void doubts_settle(struct pg_link *l) {
	struct pg_job *j = &l->job;
	uint32_t doubts = doubts_count(j);
	/* Where others are to blame constraints may wait again, so whoever broke one comes again; else that is what there is to blame. */
	if (j->at_once && j->confirmed && !j->found && !j->sqlstate && doubts == 0)
		results_replace(j->b, SL_RESULT_LOST, SL_RESULT_REJECT);
	if (doubts == 0) return;
	bool many = pg_may_skip(j->a) && (uint64_t)doubts * DOUBTS_RARE > j->fresh;
	if (j->confirmed && many) many = !pg_doubt_is_over(l);
	if (j->confirmed && many) j->probe = PG_PROBE_FAILED;
	bool rows = j->confirmed && !many;
	if (rows && ++j->searches < SEARCHES) {
		j->again = true;
		return;
	}
	for (uint32_t i = 0; i < j->b->count; i++) {
		if (j->b->result[i] != IN_DOUBT) continue;
		bool guilty = rows && j->doubted[i] == SEARCHES;
		j->b->result[i] = guilty ? SL_RESULT_REJECT : SL_RESULT_LOST;
		j->waits = j->waits || !guilty;
	}
}

static bool is_open(const struct pg_job *j, uint32_t i) { /* it comes again */
	enum sl_result r = j->b->result[i];
	return r != SL_RESULT_PENDING && r != SL_RESULT_DONE && r != SL_RESULT_REJECT;
}

static bool overtakes(const struct pg_job *j) {
	bool open = false;
	for (uint32_t i = 0; i < j->b->count; i++) {
		open = open || is_open(j, i);
		if (open && j->b->result[i] == SL_RESULT_PENDING) return true;
	}
	return false;
}

static void end_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	if (j->probe == PG_PROBE_PASSED) doubts_settle(l);
	j->taken_back = j->again || overtakes(j);
	if (!command(l, j->taken_back ? "ROLLBACK" : "COMMIT") || !PQpipelineSync(l->pq))
		lost(l);
	else
		(void)pg_io_flush(l);
}

bool pg_search_commits(const struct pg_job *j) { return j->ended && j->segment == 2 * j->sent + 2 && !j->taken_back; }

void pg_search_lost(struct pg_job *j) { results_replace(j->b, IN_DOUBT, SL_RESULT_PENDING); }

static bool is_not_ready(const struct pg_job *j) {
	enum sl_result result;
	return pg_error_find(j->sqlstate, &result) == PG_THEN_NOT_READY;
}

/* Others get through, and a constraint that waits for the commit tells nobody whose fault it is: then it may not wait. */
static bool waits_for_commit(struct pg_link *l) {
	struct pg_job *j = &l->job;
	enum sl_result result;
	if (j->probe != PG_PROBE_PASSED || j->at_once || !j->sqlstate) return false;
	enum pg_consequence then = pg_error_find(j->sqlstate, &result);
	if (then != PG_THEN_NOT_READY && then != PG_THEN_RELOAD) return false;
	j->at_once = true;
	pg_job_rows_again(j);
	pg_search_begin(l);
	return true;
}

/* The table was away for a moment, or comes and goes: rows wait for it, first in line. */
static void wait_for_table(struct pg_job *j, const char *reason) {
	if (j->probe == PG_PROBE_FAILED)
		sl_batch_in_doubt(j->b, "%s", reason);
	else
		sl_batch_not_ready(j->b, "%s", reason);
}

/* What the first row that comes again is said to be wrong with; NULL: there is none. To be freed. */
static char *open_reason(const struct pg_job *j, enum sl_result *all) {
	char *reason = NULL;
	*all = SL_RESULT_GROUP_FAILED;
	for (uint32_t i = 0; i < j->b->count; i++) {
		if (!is_open(j, i)) continue;
		if (j->b->result[i] == SL_RESULT_LOST) *all = SL_RESULT_LOST;
		if (!reason && j->b->reason[i]) reason = sl_strdup(j->b->reason[i]);
	}
	return reason;
}

/* In halves, until the row that must come again is alone, and only its key waits. Of a table that was away for a moment nobody
 * knows who is to blame: as they are. */
static void rows_end(struct pg_link *l) {
	struct pg_job *j = &l->job;
	enum sl_result all;
	char *reason = open_reason(j, &all);
	sl_batch_again(j->b);
	if (j->taken_back) all_pending(j);
	if (j->waits && reason) wait_for_table(j, reason);
	pg_job_fill(l, all, reason);
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
	if (j->again) {
		pg_job_rows_again(j);
		pg_search_begin(l);
		return;
	}
	bool stored = j->committed && pg_probe_keep(j);
	if (j->committed) sl_batch_fill(j->b, SL_RESULT_DONE, NULL);
	if (!j->committed && !j->taken_back && waits_for_commit(l)) return;
	j->waits = j->waits || (j->sqlstate && is_not_ready(j));
	if (j->sqlstate && !(stored && is_not_ready(j)))
		pg_job_failed(l);
	else if (j->taken_back || j->committed)
		rows_end(l);
	else
		pg_job_fill(l, SL_RESULT_GROUP_FAILED, "the transaction was not committed");
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
		if (of_guard) end_send(l);
		if (last) search_done(l);
		return;
	}
	if (status != PGRES_SINGLE_TUPLE && j->confirm > 0 && j->segment == j->confirm) {
		if (j->in_segment++ == 0) j->confirmed = is_confirmed(res);
	} else if (status != PGRES_SINGLE_TUPLE) {
		bool of_row = !last && !of_guard && j->segment % 2 == 1 && j->in_segment == 0;
		uint32_t row = of_row ? pg_row_next(j) : UINT32_MAX;
		/* A transaction that has failed answers COMMIT with ROLLBACK. */
		if (last && status == PGRES_COMMAND_OK) j->committed = strcmp(PQcmdStatus(res), "COMMIT") == 0;
		if (of_guard) pg_guard_result(l, res);
		if (row != UINT32_MAX && pg_is_proof(j, res)) j->fresh++;
		if (status == PGRES_FATAL_ERROR && !j->stale) row_failed(l, row, res);
		j->in_segment++;
	}
	PQclear(res);
}
