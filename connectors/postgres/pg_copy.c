/* pg_copy.c: a batch as COPY ... FROM STDIN (FORMAT binary). See pg_int.h.
 *
 *     -> LOCK; SELECT the columns' types; COPY one message, one implicit transaction: all or nothing, with any pooler
 *     <- locked                               from here on nobody changes the types; COPY's own lock would come too late
 *     <- types                                not those we know: the COPY is ended with an error, the table read again
 *     <- ready for data
 *     -> header, rows, trailer
 *     <- done, or an error that names the line
 *
 * Rows are written straight from the batch into one buffer that goes to libpq in pieces, no faster than the socket takes them. */
#include <ctype.h>

#include "mem.h"
#include "pg_int.h"

#define PIECE (64 * SL_KB)
#define TURN (1 * SL_MB) /* then the loop's other guests have their turn */

void pg_copy_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	char *text = sl_asprintf("%s%sLOCK TABLE ONLY %s IN ROW EXCLUSIVE MODE; %s; %s", settings ? settings : "",
				 settings ? "; " : "", j->a->relation, j->a->look, j->a->copy);
	j->step = PG_STEP_COPY;
	j->before = settings != NULL;
	sl_free(settings);
	int ok = PQsendQuery(l->pq, text);
	sl_free(text);
	if (!ok)
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

/* ---- Rows. ---- */

static void row_put(struct pg_link *l, uint32_t row) {
	struct pg_job *j = &l->job;
	const struct pg_meta *m = j->meta;
	const void *bytes = j->b->row[row];
	size_t start = l->out.n;
	struct sl_err err = SL_ERR_INIT;
	sl_buf_put_u16be(&l->out, (uint16_t)m->count);
	for (size_t i = 0; i < m->count; i++) {
		struct sql_value v = sql_row_get(bytes, (uint16_t)i);
		if (sl_likely(pg_value_put(&m->targets[i], &v, &l->scratch, &l->out, &err) == SL_OK)) continue;
		l->out.n = start;
		j->b->result[row] = SL_RESULT_REJECT;
		sl_batch_reason(j->b, row, "%s", sl_err_text(&err));
		sl_err_fini(&err);
		return;
	}
}

static void data_end(struct pg_link *l, const char *error) {
	struct pg_job *j = &l->job;
	int r = PQputCopyEnd(l->pq, error);
	if (r < 0) {
		pg_link_lost(l, PQerrorMessage(l->pq));
		return;
	}
	if (r == 0) { /* no room: again when the socket takes more */
		l->flushing = true;
		return;
	}
	j->copying = false;
	j->ended = !error;
	(void)pg_io_flush(l);
}

/* Up to a piece of rows into the buffer, and the trailer behind the last one, which `row` steps over, too. */
static void piece_fill(struct pg_link *l) {
	struct pg_job *j = &l->job;
	while (j->row < j->b->count && l->out.n < PIECE) row_put(l, j->row++);
	if (j->row == j->b->count && l->out.n < PIECE) {
		sl_buf_put_u16be(&l->out, 0xffff);
		j->row++;
	}
}

void pg_copy_send(struct pg_link *l) {
	struct pg_job *j = &l->job;
	size_t given = 0;
	while (j->copying && !l->flushing) {
		if (given > TURN) {
			sl_watch_again(sl_conn_loop(l->c->conn), &l->watch);
			return;
		}
		if (!j->stale) piece_fill(l);
		if (j->stale || l->out.n == 0) {
			data_end(l, j->stale ? "the table is not what it was" : NULL);
			return;
		}
		int r = PQputCopyData(l->pq, l->out.p, (int)l->out.n);
		if (r < 0) {
			pg_link_lost(l, PQerrorMessage(l->pq));
			return;
		}
		if (r == 0) { /* no room; what is in the buffer goes first when the socket takes more */
			l->flushing = true;
			return;
		}
		given += l->out.n;
		sl_buf_clear(&l->out);
		if (!pg_io_flush(l)) return;
	}
}

static void data_begin(struct pg_link *l) {
	static const char head[19] = "PGCOPY\n\377\r\n\0"; /* then no flags and no extension: zeros */
	l->job.copying = true;
	sl_buf_clear(&l->out);
	sl_buf_append(&l->out, head, sizeof head);
	pg_copy_send(l);
}

/* ---- Answers. ---- */

void pg_copy_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	switch (PQresultStatus(res)) {
	case PGRES_TUPLES_OK:
		if (j->answers++ == j->before)
			j->stale = PQntuples(res) != 1 || !pg_answer_has(res, 1, 1) ||
				   strcmp(PQgetvalue(res, 0, 0), j->meta->fingerprint) != 0;
		break;
	case PGRES_COPY_IN:
		PQclear(res);
		data_begin(l);
		return;
	case PGRES_FATAL_ERROR: pg_job_note(j, res); break;
	default: break; /* libpq's enum: others do not concern us */
	}
	PQclear(res);
}

/* "COPY readings, line 58, column t": the number behind the table's name. The words may be of any language; the
 * name may have digits of its own. */
static uint32_t copy_line(const char *context, const char **rest) {
	for (const char *p = context; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (strncmp(p, "COPY ", 5) != 0) continue;
		size_t line = strcspn(p, "\n"), at = 5;
		/* ", line 58" or ", Zeile 58:" : a comma, a word, a number. */
		for (; at < line; at++) {
			if (p[at] != ',' || p[at + 1] != ' ') continue;
			size_t word = at + 2;
			while (word < line && p[word] != ' ' && p[word] != ',') word++;
			uint64_t n = 0;
			size_t digit = word + 1;
			for (; digit < line && isdigit((unsigned char)p[digit]) && n < UINT32_MAX; digit++)
				n = n * 10 + (uint64_t)(p[digit] - '0');
			*rest = p + digit;
			if (p[word] == ' ' && digit > word + 1 && n <= UINT32_MAX) return (uint32_t)n;
		}
	}
	return 0;
}

uint32_t pg_copy_line(const char *context) {
	const char *rest = NULL;
	return copy_line(context, &rest);
}

/* Behind the line: ", column t", or ", Spalte t: ...". */
struct sl_slice pg_copy_column(const char *context) {
	const char *p = NULL;
	if (copy_line(context, &p) == 0 || *p != ',' || p[1] != ' ') return SL_SLICE_EMPTY;
	p += 2;
	p += strcspn(p, " ,:\n");
	if (*p != ' ') return SL_SLICE_EMPTY;
	return slice_make(p + 1, strcspn(p + 1, ":\n"));
}

/* The line-th row that went out. */
static uint32_t row_of_line(const struct sl_batch *b, uint32_t line) {
	for (uint32_t i = 0; i < b->count && line > 0; i++)
		if (b->result[i] == SL_RESULT_PENDING && --line == 0) return i;
	return UINT32_MAX;
}

/* Views, policies and some relatives of PostgreSQL take INSERT only. LOCK wants a right to the table, where INSERT is content
 * with one to its columns, and some relatives do not know it. What is said of a line is that row's. */
static bool copy_is_impossible(const struct pg_job *j) {
	bool locked = j->answers > j->before;
	if (pg_copy_line(j->context) > 0) return false;
	return strncmp(j->sqlstate, "0A", 2) == 0 || strcmp(j->sqlstate, "42809") == 0 ||
	       (!locked && (strcmp(j->sqlstate, "42501") == 0 || strcmp(j->sqlstate, "42601") == 0));
}

void pg_copy_query_end(struct pg_link *l) {
	struct pg_job *j = &l->job;
	bool gone = j->sqlstate && strcmp(j->sqlstate, "42P01") == 0;
	if (j->stale || (gone && j->answers == j->before))
		pg_job_reread(l);
	else if (!j->sqlstate && j->ended) {
		pg_job_stored(l);
	} else if (!j->sqlstate)
		pg_link_lost(l, "COPY ended before it began");
	else if (copy_is_impossible(j)) {
		j->a->no_copy = true;
		pg_job_note_clear(j);
		pg_job_insert(l);
	} else
		pg_job_row_failed(l, row_of_line(j->b, pg_copy_line(j->context)));
}
