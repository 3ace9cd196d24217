/* pg_source_rows.c: what a source says to its server, rows that come, rows that are acknowledged. See pg_source.h. */
#include "conv.h"
#include "mem.h"
#include "pg_error.h"
#include "pg_source.h"

#define ACK_ROWS_MAX 5000 /* in one statement */
#define AGAIN_MS 1000     /* after an error, at the least */

static uint64_t now_ms(const struct pg_source *p) { return sl_loop_now_ms(sl_source_loop(p->s)); }
static struct pg_source *of(struct pg_link *l) { return sl_container_of(l, struct pg_source, link); }

/* ---- Saying. ---------------------------------------------------------------------------------------------------------------- */

/* Behind a pooler the connector's settings go along with every statement. */
static void statement_send(struct pg_source *p, enum pg_source_at at, const char *sql,
			   const struct sl_param_list *params, const char *const *values) {
	struct pg_link *l = &p->link;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	sl_free(p->sqlstate);
	sl_free(p->error);
	sl_free(p->changed);
	p->sqlstate = p->error = p->changed = NULL;
	p->at = at;
	p->skip = settings != NULL;
	l->state = PG_LINK_BUSY;
	l->by_row = at == PG_SOURCE_PAGE;
	int n = params ? (int)params->n : 0;
	int ok = !settings ||
		 (PQenterPipelineMode(l->pq) && PQsendQueryParams(l->pq, settings, 0, NULL, NULL, NULL, NULL, 0));
	ok = ok && PQsendQueryParams(l->pq, sql, n, NULL, values, NULL, NULL, 0);
	if (settings)
		ok = ok && PQpipelineSync(l->pq);
	else if (ok && l->by_row)
		(void)PQsetSingleRowMode(l->pq);
	sl_free(settings);
	if (!ok)
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

void pg_source_listen(struct pg_source *p) {
	struct sl_buf sql = SL_BUF_INIT;
	sl_buf_append_str(&sql, "LISTEN ");
	pg_quote_name(&sql, slice_from_str(p->conf.listen));
	statement_send(p, PG_SOURCE_LISTEN, sl_buf_cstr(&sql), NULL, NULL);
	sl_buf_fini(&sql);
}

void pg_source_page(struct pg_source *p) {
	char limit[SL_FORMAT_I64_MAX + 1];
	const char **values = SL_NEW_ARRAY(const char *, p->query_params.n + 1);
	p->asked = (uint64_t)p->limit + (p->ack ? p->under_n : 0);
	limit[sl_format_u64(p->asked, limit)] = '\0';
	for (size_t i = 0; i < p->query_params.n; i++)
		values[i] = slice_equal_str(p->query_params.at[i].name, "limit") ? limit : p->read_at;
	p->rows = p->news = p->bytes = 0;
	p->cut = p->bare = p->notified = p->more = false;
	statement_send(p, PG_SOURCE_PAGE, p->query, &p->query_params, values);
	sl_free(values);
}

/* {"7","it's \"8\""}: read as whatever the column is. */
static void list_put(struct sl_buf *out, const struct pg_taken *t) {
	sl_buf_append_str(out, out->n ? ",\"" : "{\"");
	for (size_t i = 0; i < t->n; i++) {
		if (t->cursor[i] == '"' || t->cursor[i] == '\\') sl_buf_put(out, '\\');
		sl_buf_put(out, t->cursor[i]);
	}
	sl_buf_put(out, '"');
}

void pg_source_ack(struct pg_source *p) {
	struct sl_buf list = SL_BUF_INIT;
	const char **values = SL_NEW_ARRAY(const char *, p->ack_params.n + 1);
	while (p->through_n > 0 && p->acking_n < ACK_ROWS_MAX) {
		struct sl_list *it = sl_list_pop_front(&p->through);
		list_put(&list, SL_LIST_ENTRY(it, struct pg_taken, link));
		sl_list_push_back(&p->acking, it);
		p->through_n--;
		p->acking_n++;
	}
	sl_buf_put(&list, '}');
	for (size_t i = 0; i < p->ack_params.n; i++) values[i] = sl_buf_cstr(&list);
	statement_send(p, PG_SOURCE_ACK, p->ack, &p->ack_params, values);
	sl_free(values);
	sl_buf_fini(&list);
}

/* ---- Rows. ------------------------------------------------------------------------------------------------------------------ */

/* NULL: it is under way already. */
static struct pg_taken *taken_new(struct pg_source *p, struct sl_slice cursor) {
	struct pg_taken *t = sl_alloc(sizeof *t + cursor.n + 1);
	*t = (struct pg_taken){.hash = sl_hash(cursor), .n = cursor.n};
	memcpy(t->cursor, cursor.p, cursor.n);
	t->cursor[cursor.n] = '\0';
	if (p->ack) {
		bool there;
		struct pg_taken_slot *slot = pg_taken_map_put(&p->known, t->hash, cursor, &there);
		if (there) {
			sl_free(t);
			return NULL;
		}
		slot->taken = t;
	}
	sl_list_init(&t->link);
	sl_list_push_back(&p->under, &t->link);
	p->under_n++;
	return t;
}

/* A cursor that is not kept, and a row like the one before, are said at the end of the page. */
static bool cursor_fine(struct pg_source *p, const PGresult *res, int row, struct sl_slice *cursor) {
	*cursor = slice_make(PQgetvalue(res, row, 0), (size_t)PQgetlength(res, row, 0));
	bool fine = !PQgetisnull(res, row, 0) && cursor->n <= PG_POSITION_CURSOR_MAX;
	p->bare = p->bare || !fine;
	return fine;
}

static void row_take(struct pg_source *p, const PGresult *res, int row) {
	struct sl_slice cursor, value = slice_make(PQgetvalue(res, row, 1), (size_t)PQgetlength(res, row, 1));
	p->rows++;
	if (!cursor_fine(p, res, row, &cursor) || p->cut) return;
	struct pg_taken *t = taken_new(p, cursor);
	if (!t) return;
	if (!p->ack) {
		p->twins = p->twins || (p->news > 0 && slice_equal_str(cursor, p->read_at));
		sl_free(p->read_at);
		p->read_at = slice_dup(cursor);
	}
	int64_t number;
	struct sl_source_item item = {.key = cursor,
				      .value = value,
				      .partition = -1,
				      .offset = slice_to_i64(cursor, &number) == SL_OK && number >= 0 ? number : -1,
				      .ts_ms = -1,
				      .topic = slice_from_str(sl_source_name(p->s)),
				      .id = cursor};
	p->news++;
	p->bytes += cursor.n + value.n;
	p->cut = p->bytes >= (size_t)sl_source_bytes_max(p->s) / 2;
	sl_source_take(p->part, &item, (uint64_t)(uintptr_t)t);
}

/* ---- The end of a command. ---------------------------------------------------------------------------------------------------- */

static const char *advice_for(const struct pg_source *p) {
	static const char *const advice[][2] = {
	    {"42703", "; `query` must have all columns that it names, and the one that `cursor` says"},
	    {"42P01", "; create the table, or correct the source"},
	    {"42501", "; grant it to the connector's user"},
	    {"42883", "; do the types fit? A cast such as ${cursor}::text says which is meant"},
	    {"42601", "; correct the statement"},
	    {"0A000", "; WITH that changes data must stand outside: begin with UPDATE, or put it into a function"},
	    {"25006", "; the server is read-only"},
	    {"22", "; is `start` of the cursor's type?"},
	    {"57014", "; it took longer than the connector's `statement_timeout`: is there an index for it?"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(advice); i++)
		if (strncmp(p->sqlstate, advice[i][0], strlen(advice[i][0])) == 0) return advice[i][1];
	return "";
}

static void failed(struct pg_source *p, const char *option) {
	sl_source_state(p->s, SL_SOURCE_DOWN, "%s: %s%s", option, p->error, advice_for(p));
}

/* Rows of one size do not change much from page to page. */
static void limit_adapt(struct pg_source *p) {
	if (p->cut)
		p->limit = (int64_t)p->news;
	else if (p->bytes < (size_t)sl_source_bytes_max(p->s) / 4 && p->limit < p->conf.limit)
		p->limit = p->limit * 2 < p->conf.limit ? p->limit * 2 : p->conf.limit;
}

static void state_up(struct pg_source *p) {
	if (p->save_error)
		sl_source_state(p->s, SL_SOURCE_DEGRADED, "%s; rows come again after a restart", p->save_error);
	else if (p->bare)
		sl_source_state(
		    p->s, SL_SOURCE_DEGRADED,
		    "rows whose `%s` is NULL or longer than %d bytes are left out; `cursor` must be a column that "
		    "names each row",
		    p->conf.cursor, PG_POSITION_CURSOR_MAX);
	else if (p->twins)
		sl_source_state(
		    p->s, SL_SOURCE_DEGRADED,
		    "rows have the same `%s`: of such rows at the end of a page some may be left out; choose a "
		    "`cursor` that is in no two rows the same",
		    p->conf.cursor);
	else if (p->idle_ack)
		sl_source_state(
		    p->s, SL_SOURCE_DEGRADED,
		    "`ack` changed nothing: if the same rows come again and again, correct it, or give `query` a "
		    "condition that leaves them out");
	else if (p->conf.listen && p->no_listen)
		sl_source_state(p->s, SL_SOURCE_UP, "LISTEN is refused: only `poll_interval` counts");
	else if (p->conf.listen && p->link.c->unnamed)
		sl_source_state(
		    p->s, SL_SOURCE_UP,
		    "a pooler stands in between, through which no NOTIFY comes: only `poll_interval` counts");
	else
		sl_source_state(p->s, SL_SOURCE_UP, NULL);
}

static void page_end(struct pg_source *p) {
	uint64_t pause = (uint64_t)p->conf.poll_ms;
	bool full = p->rows >= p->asked || p->cut;
	sl_source_flush(p->s);
	if (p->error) {
		if (pause < AGAIN_MS) pause = AGAIN_MS;
		failed(p, "query");
	} else {
		p->more = full && p->news > 0;
		limit_adapt(p);
		state_up(p);
	}
	p->poll_at_ms = now_ms(p) + pause;
}

static void ack_again(struct pg_source *p) {
	sl_list_splice_back(&p->acking, &p->through);
	sl_list_splice_back(&p->through, &p->acking);
	p->through_n += p->acking_n;
	p->acking_n = 0;
}

static void ack_end(struct pg_source *p) {
	if (p->error) {
		ack_again(p);
		p->ack_at_ms = now_ms(p) + AGAIN_MS;
		failed(p, "ack");
		return;
	}
	/* Somebody else may have deleted them; or it is the wrong statement, and they come again at once and for ever. */
	p->idle_ack = p->changed && strcmp(p->changed, "0") == 0;
	if (p->idle_ack) p->more = p->notified = false;
	for (struct sl_list *it; (it = sl_list_pop_front(&p->acking));) {
		struct pg_taken *t = SL_LIST_ENTRY(it, struct pg_taken, link);
		pg_taken_map_remove(&p->known, pg_taken_map_find(&p->known, t->hash, slice_make(t->cursor, t->n)));
		sl_free(t);
	}
	p->acking_n = 0;
}

/* Of what the server said to all; false: the session is left. */
static bool session_is_fine(struct pg_source *p) {
	enum sl_result result;
	if (!p->error || (p->sqlstate && pg_error_find(p->sqlstate, &result) != PG_THEN_LEAVE)) return true;
	char *text = p->error; /* the link's end may come by here */
	p->error = NULL;
	pg_link_lost(&p->link, text);
	sl_free(text);
	return false;
}

static void command_end(struct pg_source *p) {
	enum pg_source_at at = p->at;
	if (at <= PG_SOURCE_READY || !session_is_fine(p)) return;
	p->at = PG_SOURCE_READY;
	p->link.state = PG_LINK_IDLE;
	if (at == PG_SOURCE_LISTEN) p->listening = !(p->no_listen = p->error != NULL);
	if (at == PG_SOURCE_PAGE) page_end(p);
	if (at == PG_SOURCE_ACK) ack_end(p);
	pg_source_go(p);
}

void pg_source_query_end(struct pg_link *l) { command_end(of(l)); }

void pg_source_lost(struct pg_source *p) {
	sl_source_flush(p->s);
	ack_again(p);
}

void pg_source_result(struct pg_link *l, PGresult *res) {
	struct pg_source *p = of(l);
	ExecStatusType status = PQresultStatus(res);
	bool rows = status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK;
	if (status == PGRES_PIPELINE_SYNC) {
		PQclear(res);
		if (!PQexitPipelineMode(l->pq))
			pg_link_lost(l, PQerrorMessage(l->pq));
		else
			command_end(p);
		return;
	}
	if (status == PGRES_FATAL_ERROR && !p->error) {
		const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
		p->error = pg_error_text(res);
		p->sqlstate = state ? sl_strdup(state) : NULL;
	} else if (status == PGRES_COMMAND_OK && p->at == PG_SOURCE_ACK) {
		sl_free(p->changed);
		p->changed = sl_strdup(PQcmdTuples(res));
	} else if (rows && p->skip > 0)
		p->skip -= status == PGRES_TUPLES_OK;
	else if (rows && p->at == PG_SOURCE_PAGE && PQnfields(res) != 2) {
		PQclear(res);
		pg_link_lost(l,
			     "the server answers with other columns than those it was asked for; is this PostgreSQL?");
		return;
	} else if (rows && p->at == PG_SOURCE_PAGE)
		for (int i = 0; i < PQntuples(res); i++) row_take(p, res, i);
	PQclear(res);
}
