/* pg_bulk.c: a batch as one statement: INSERT ... SELECT * FROM unnest($1, $2, ...), an array for each column. See pg_int.h.
 *
 * The cheapest way that knows ON CONFLICT. An error does not name the row, and one statement cannot update a row twice: then the
 * batch goes row by row (pg_rows.c); where rows of one key meet in batches again and again, all following ones do, too. */
#include "mem.h"
#include "pg_error.h"
#include "pg_int.h"

#define BYTES_MAX (4 * SL_MB) /* a statement stands in memory as a whole; larger batches go row by row */
#define KEEP_MAX (1 * SL_MB)
#define HEAD 20 /* dimensions, nulls?, element's type, count, first index */

bool pg_bulk_fits(const struct pg_link *l) {
	const struct sl_batch *b = l->job.b;
	size_t bytes = 0;
	for (uint32_t i = 0; i < b->count; i++) bytes += sql_row_head(b->row[i])->size;
	return b->count > 1 && bytes <= BYTES_MAX;
}

static void columns_room(struct pg_link *l, size_t n) {
	if (l->columns_cap >= n) return;
	l->columns = sl_realloc_array(l->columns, n, sizeof *l->columns);
	l->marks = sl_realloc_array(l->marks, n, sizeof *l->marks);
	while (l->columns_cap < n) l->columns[l->columns_cap++] = (struct sl_buf)SL_BUF_INIT;
}

static void head_put(struct sl_buf *b, Oid element, uint32_t count) {
	sl_buf_put_u32be(b, 1);
	sl_buf_put_u32be(b, 1);
	sl_buf_put_u32be(b, element);
	sl_buf_put_u32be(b, count);
	sl_buf_put_u32be(b, 1);
}

/* False: the row was refused, and no column has anything of it; or `stale`: by old types. */
static bool row_put(struct pg_link *l, uint32_t row) {
	struct pg_job *j = &l->job;
	const struct pg_meta *m = j->meta;
	struct sl_err err = SL_ERR_INIT;
	for (size_t i = 0; i < m->count; i++) {
		struct sql_value v = sql_row_get(j->b->row[row], (uint16_t)i);
		l->marks[i] = l->columns[i].n;
		if (sl_likely(pg_value_put(&m->targets[i], &v, &l->scratch, &l->columns[i], &err) == SL_OK)) continue;
		while (i-- > 0) l->columns[i].n = l->marks[i];
		if (pg_types_old(l)) {
			j->stale = true;
			sl_err_fini(&err);
			return false;
		}
		j->b->result[row] = SL_RESULT_REJECT;
		sl_batch_reason(j->b, row, "%s", sl_err_text(&err));
		sl_err_fini(&err);
		return false;
	}
	return true;
}

/* The arrays as parameters; how many rows are in them. */
static uint32_t arrays_fill(struct pg_link *l) {
	struct pg_job *j = &l->job;
	const struct pg_meta *m = j->meta;
	uint32_t count = 0;
	columns_room(l, m->count);
	pg_values_room(l, m->count + 1);
	for (size_t i = 0; i < m->count; i++) {
		sl_buf_clear(&l->columns[i]);
		head_put(&l->columns[i], m->targets[i].oid, 0);
	}
	for (uint32_t row = 0; row < j->b->count && !j->stale; row++)
		if (j->b->result[row] == SL_RESULT_PENDING) count += row_put(l, row);
	for (size_t i = 0; i < m->count; i++) {
		struct sl_buf head = {.p = l->columns[i].p, .cap = HEAD};
		head_put(&head, m->targets[i].oid, count);
		l->values[i] = l->columns[i].p;
		l->lengths[i] = (int)l->columns[i].n;
		l->formats[i] = 1;
	}
	return count;
}

void pg_bulk_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	const struct pg_meta *m = j->meta;
	char name[PG_STATEMENT_NAME_MAX];
	j->step = PG_STEP_BULK;
	j->answers = 0;
	uint32_t count = arrays_fill(l);
	if (j->stale) {
		pg_job_refresh(l);
		return;
	}
	if (count == 0) { /* all were refused */
		pg_job_fill(l, SL_RESULT_DONE, NULL);
		return;
	}
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	bool prepare = l->c->unnamed || !pg_is_prepared(l, m->bulk_serial);
	j->before = (uint32_t)(settings != NULL) + prepare;
	j->ended = true;
	pg_statement_name(l, m->bulk_serial, name);
	int ok = PQenterPipelineMode(l->pq) &&
		 (!settings || PQsendQueryParams(l->pq, settings, 0, NULL, NULL, NULL, NULL, 0)) &&
		 (!prepare || PQsendPrepare(l->pq, name, m->bulk, (int)m->count, m->bulk_oids)) &&
		 PQsendQueryPrepared(l->pq, name, (int)m->count, l->values, l->lengths, l->formats, 1) &&
		 pg_guard_send(l) && PQpipelineSync(l->pq);
	sl_free(settings);
	for (size_t i = 0; i < m->count; i++)
		if (l->columns[i].cap > KEEP_MAX) sl_buf_fini(&l->columns[i]);
	if (!ok)
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

static void bulk_done(struct pg_link *l) {
	struct pg_job *j = &l->job;
	enum sl_result result;
	if (!PQexitPipelineMode(l->pq)) {
		pg_link_lost(l, PQerrorMessage(l->pq));
		return;
	}
	if (j->stale) {
		pg_job_reread(l);
		return;
	}
	if (!j->sqlstate) {
		pg_job_stored(l);
		return;
	}
	enum pg_consequence then = pg_error_find(j->sqlstate, &result);
	bool just_read = then == PG_THEN_RELOAD && j->rounds > 0; /* so it is a value's fault */
	if (then != PG_THEN_ROW && then != PG_THEN_NOT_READY && !just_read) {
		pg_job_failed(l);
		return;
	}
	/* Class 21: a key that occurs twice. What is said of the statement itself, of the table or by a row's trigger: that shows row by row. */
	if (strncmp(j->sqlstate, "21", 2) == 0) j->a->no_bulk = true;
	j->bulk_failed = then == PG_THEN_NOT_READY;
	pg_job_note_clear(j);
	pg_rows_begin(l);
}

void pg_bulk_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	ExecStatusType status = PQresultStatus(res);
	if (status == PGRES_PIPELINE_SYNC)
		bulk_done(l);
	else {
		if (status == PGRES_FATAL_ERROR) pg_job_note(j, res);
		j->answers++;
		if (j->answers > j->before + 1)
			pg_guard_result(l, res);
		else if (j->answers == j->before && status == PGRES_COMMAND_OK)
			pg_prepared(l, j->meta->bulk_serial);
	}
	PQclear(res);
}
