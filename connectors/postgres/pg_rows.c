/* pg_rows.c: a batch as one statement a row, in one pipeline and one transaction. See pg_int.h.
 *
 *     -> [settings] [Parse] Bind Execute, Bind Execute, ... Sync
 *     <- an answer for each; after the first error "aborted" for the rest
 *
 * The first error is that of the bad row: the others come again. */
#include <stdio.h>

#include "mem.h"
#include "pg_int.h"

#define FLUSH_ROWS 64  /* rows between two looks at the socket */
#define TURN_ROWS 2048 /* then the loop's other guests have their turn */

static void lost(struct pg_link *l) { pg_link_lost(l, PQerrorMessage(l->pq)); }

/* ---- Values of a row. ---- */

void pg_values_room(struct pg_link *l, size_t n) {
	if (l->values_cap >= n) return;
	l->values = sl_realloc_array(l->values, n, sizeof *l->values);
	l->lengths = sl_realloc_array(l->lengths, n, sizeof *l->lengths);
	l->formats = sl_realloc_array(l->formats, n, sizeof *l->formats);
	l->values_cap = n;
}

/* Each value stands in the buffer with its length before it, and a NUL behind, which text wants. */
bool pg_bytes_bind(struct pg_link *l, const void *row, struct sl_err *err) {
	const struct pg_meta *m = l->job.meta;
	pg_values_room(l, m->count + 1);
	sl_buf_clear(&l->out);
	for (size_t i = 0; i < m->count; i++) {
		struct sql_value v = sql_row_get(row, (uint16_t)i);
		size_t start = l->out.n;
		if (pg_value_put(&m->targets[i], &v, &l->scratch, &l->out, err) != SL_OK) return false;
		bool null = (unsigned char)l->out.p[start] == 0xff;
		l->lengths[i] = null ? -1 : (int)(l->out.n - start - 4);
		l->formats[i] = pg_target_is_binary(&m->targets[i]);
		sl_buf_put(&l->out, '\0');
	}
	size_t at = 0;
	for (size_t i = 0; i < m->count; i++) {
		bool null = l->lengths[i] < 0;
		l->values[i] = null ? NULL : l->out.p + at + 4;
		at += 4 + (null ? 0 : (size_t)l->lengths[i]) + 1;
	}
	return true;
}

bool pg_row_bind(struct pg_link *l, uint32_t row) {
	struct sl_batch *b = l->job.b;
	struct sl_err err = SL_ERR_INIT;
	if (pg_bytes_bind(l, b->row[row], &err)) return true;
	b->result[row] = SL_RESULT_REJECT;
	sl_batch_reason(b, row, "%s", sl_err_text(&err));
	sl_err_fini(&err);
	return false;
}

/* ---- Sending. ---- */

bool pg_is_prepared(const struct pg_link *l, uint64_t serial) {
	for (size_t i = 0; i < l->prepared_n; i++)
		if (l->prepared[i] == serial) return true;
	return false;
}

void pg_prepared(struct pg_link *l, uint64_t serial) {
	if (l->c->unnamed || pg_is_prepared(l, serial)) return;
	SL_GROW(l->prepared, l->prepared_n, l->prepared_cap);
	l->prepared[l->prepared_n++] = serial;
}

void pg_statement_name(const struct pg_link *l, uint64_t serial, char name[PG_STATEMENT_NAME_MAX]) {
	name[0] = '\0';
	if (!l->c->unnamed) snprintf(name, PG_STATEMENT_NAME_MAX, "sluice_%llu", (unsigned long long)serial);
}

/* Rows go out one by one, and would have to be taken back: this is known before the first. */
static bool refused_by_old_types(struct pg_link *l) {
	const struct pg_job *j = &l->job;
	struct sl_err err = SL_ERR_INIT;
	bool refused = false;
	if (!pg_types_old(l)) return false;
	for (uint32_t row = 0; row < j->b->count && !refused; row++) {
		sl_buf_clear(&l->out);
		for (size_t i = 0; i < j->meta->count && j->b->result[row] == SL_RESULT_PENDING && !refused; i++) {
			struct sql_value v = sql_row_get(j->b->row[row], (uint16_t)i);
			refused = pg_value_put(&j->meta->targets[i], &v, &l->scratch, &l->out, &err) != SL_OK;
		}
	}
	sl_err_fini(&err);
	return refused;
}

void pg_rows_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	if (refused_by_old_types(l)) {
		pg_job_refresh(l);
		return;
	}
	char name[PG_STATEMENT_NAME_MAX];
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	bool prepare = l->c->unnamed || !pg_is_prepared(l, j->meta->serial);
	j->step = PG_STEP_ROWS;
	j->row = j->answer = j->answers = j->sent = 0;
	j->ended = false;
	j->bad_row = UINT32_MAX;
	j->before = (uint32_t)(settings != NULL) + prepare;
	pg_statement_name(l, j->meta->serial, name);
	int ok = PQenterPipelineMode(l->pq) &&
		 (!settings || PQsendQueryParams(l->pq, settings, 0, NULL, NULL, NULL, NULL, 0)) &&
		 (!prepare || PQsendPrepare(l->pq, name, j->meta->statement, (int)j->meta->count, j->meta->oids));
	sl_free(settings);
	if (!ok)
		lost(l);
	else
		pg_rows_send(l);
}

void pg_rows_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char name[PG_STATEMENT_NAME_MAX];
	pg_statement_name(l, j->meta->serial, name);
	for (uint32_t turn = 0; !j->ended && !l->flushing; turn++) {
		if (turn >= TURN_ROWS) {
			sl_watch_again(sl_conn_loop(l->c->conn), &l->watch);
			return;
		}
		if (j->row == j->b->count) {
			j->ended = true;
			if ((j->sent > 0 && !pg_guard_send(l)) || !PQpipelineSync(l->pq))
				lost(l);
			else
				(void)pg_io_flush(l);
			return;
		}
		uint32_t row = j->row++;
		bool fits = pg_row_bind(l, row);
		j->sent += fits;
		if (fits &&
		    !PQsendQueryPrepared(l->pq, name, (int)j->meta->count, l->values, l->lengths, l->formats, 1)) {
			lost(l);
			return;
		}
		if (turn % FLUSH_ROWS == FLUSH_ROWS - 1 && !pg_io_flush(l)) return;
	}
}

/* ---- Answers. ---- */

uint32_t pg_row_next(struct pg_job *j) {
	while (j->answer < j->row && j->b->result[j->answer] != SL_RESULT_PENDING) j->answer++;
	return j->answer < j->row ? j->answer++ : UINT32_MAX;
}

static void rows_done(struct pg_link *l) {
	struct pg_job *j = &l->job;
	if (!PQexitPipelineMode(l->pq)) {
		lost(l);
		return;
	}
	if (j->stale) {
		pg_job_reread(l);
		return;
	}
	if (j->sqlstate) {
		pg_job_row_failed(l, j->bad_row);
		return;
	}
	if (j->bulk_failed) j->a->no_bulk = true; /* and what was said was said of that statement */
	pg_job_stored(l);
}

void pg_rows_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	ExecStatusType status = PQresultStatus(res);
	if (status == PGRES_PIPELINE_SYNC)
		rows_done(l);
	else if (status != PGRES_SINGLE_TUPLE) {
		bool early = j->answers < j->before;
		j->answers += early;
		/* A statement stays prepared even when its transaction fails. */
		if (early && j->answers == j->before && status == PGRES_COMMAND_OK) pg_prepared(l, j->meta->serial);
		uint32_t row = early ? UINT32_MAX : pg_row_next(j);
		if (!early && row == UINT32_MAX) pg_guard_result(l, res);
		if (status == PGRES_FATAL_ERROR && !j->sqlstate) {
			pg_job_note(j, res);
			j->bad_row = row;
		}
	}
	PQclear(res);
}
