/* pg_job.c: a batch on a session: reading what the server says of the table first, then the way that fits, and what an error
 * means. See pg_int.h.
 *
 *     READ --> COPY --> done                       a table without on_conflict, all types in binary form
 *      ^  \--> BULK --> done                       a table with on_conflict, or one that COPY is not for
 *      |  \--> ROWS --> done                       everything else, and batches that BULK refuses
 *      |         \---> SEARCH --> done             rows failed again and again: who is to blame? (pg_search.c)
 *      |         \---> PROBE --> SEARCH            an error of the table's, or of a row's? (pg_probe.c)
 *      +-- the table has changed
 *
 * The first batches with a bad row give that row back as rejected, and the others as lost, which brings them again at once
 * (COPY and a pipeline name the row). Where bad rows are many that would take a round for each: then SEARCH finds all of
 * them in one. */
#include <ctype.h>

#include "log.h"
#include "mem.h"
#include "pg_error.h"
#include "pg_int.h"
#include "utf8.h"

#define ROUNDS_MAX 3
#define FAILURES_BEFORE_SEARCH 2
#define THROTTLE_MS 1000
#define DETAIL_MAX 500 /* bytes */

/* ---- Errors. ---- */

/* "Failing row contains (...)", in any language: the dead letter has the row, and others need not see it. */
static bool detail_is_the_row(const PGresult *res, const char *state) {
	if (strcmp(state, "44000") == 0) return true;
	return (strcmp(state, "23502") == 0 || strcmp(state, "23514") == 0) &&
	       (PQresultErrorField(res, PG_DIAG_COLUMN_NAME) || PQresultErrorField(res, PG_DIAG_CONSTRAINT_NAME));
}

static void put_column(const PGresult *res, struct sl_buf *out) {
	const char *named = PQresultErrorField(res, PG_DIAG_COLUMN_NAME);
	struct sl_slice column =
	    named ? slice_from_str(named) : pg_copy_column(PQresultErrorField(res, PG_DIAG_CONTEXT));
	bool said = named && strstr(sl_buf_cstr(out), named);
	if (column.n && !said) sl_buf_printf(out, ", column \"%.*s\"", SL_SLICE_ARG(column));
}

static void put_detail(const char *detail, struct sl_buf *out) {
	struct sl_buf line = SL_BUF_INIT;
	struct sl_slice text = pg_one_line(detail, &line);
	bool cut = text.n > DETAIL_MAX;
	if (cut) text.n = utf8_valid_prefix(slice_sub(text, 0, DETAIL_MAX));
	if (text.n) sl_buf_printf(out, ": %.*s%s", SL_SLICE_ARG(text), cut ? "..." : "");
	sl_buf_fini(&line);
}

/* The server's sentence, the column where it says which, its detail, and the code. */
char *pg_error_text(const PGresult *res) {
	const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	struct sl_buf out = SL_BUF_INIT;
	(void)pg_one_line(message ? message : PQresultErrorMessage(res), &out);
	put_column(res, &out);
	if (detail && state && !detail_is_the_row(res, state)) put_detail(detail, &out);
	if (state) sl_buf_printf(&out, " (SQLSTATE %s)", state);
	return sl_buf_steal(&out);
}

/* "unnamed portal parameter $3", in any language: the server was reading a value, and no statement. What functions and triggers say of
 * themselves has further lines, and their statements stand in quotes. */
static bool is_of_parameter(const PGresult *res) {
	const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
	const char *mark = context ? strchr(context, '$') : NULL;
	return mark && isdigit((unsigned char)mark[1]) && !strchr(context, '\n') &&
	       !memchr(context, '"', (size_t)(mark - context));
}

/* A statement or name that is wrong is so at a position; text for a type that has a syntax of its own (tsquery, ltree) is not. */
static bool is_of_value(const PGresult *res, const char *state) {
	if (strcmp(state, "42501") == 0) return false;
	if (is_of_parameter(res)) return strncmp(state, "42", 2) == 0 || strcmp(state, "XX000") == 0;
	return strcmp(state, "42601") == 0 && !PQresultErrorField(res, PG_DIAG_STATEMENT_POSITION) &&
	       !PQresultErrorField(res, PG_DIAG_INTERNAL_QUERY);
}

/* Codes that say less than the server knows. A row that a policy forbids has the code of a missing right; it is that row's fault,
 * as with a view's check option. What a type's own input function refuses may have any code. */
const char *pg_error_state(const PGresult *res) {
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *function = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
	if (!state) return NULL;
	if (strcmp(state, "42501") == 0 && function && strcmp(function, "ExecWithCheckOptions") == 0) return "44000";
	return is_of_value(res, state) ? "22P02" : state;
}

/* The hint's keywords are the same in all languages. */
bool pg_error_wants_override(const PGresult *res) {
	const char *hint = PQresultErrorField(res, PG_DIAG_MESSAGE_HINT);
	return hint && strstr(hint, "OVERRIDING SYSTEM VALUE");
}

/* A right to what the statement names is looked for before its first row, and then there is nothing that called it. */
bool pg_error_is_of_rights(const PGresult *res) {
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *function = PQresultErrorField(res, PG_DIAG_SOURCE_FUNCTION);
	return state && strcmp(state, "42501") == 0 && function && strcmp(function, "aclcheck_error") == 0 &&
	       !PQresultErrorField(res, PG_DIAG_CONTEXT);
}

void pg_job_note(struct pg_job *j, const PGresult *res) {
	const char *state = pg_error_state(res);
	const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
	if (j->sqlstate) return;
	j->sqlstate = sl_strdup(state ? state : "08006"); /* libpq's own errors have none: the connection */
	j->reason = pg_error_text(res);
	j->context = context ? sl_strdup(context) : NULL;
	j->overriding = pg_error_wants_override(res);
	j->of_rights = pg_error_is_of_rights(res);
}

void pg_job_note_clear(struct pg_job *j) {
	sl_free(j->sqlstate);
	sl_free(j->reason);
	sl_free(j->context);
	j->sqlstate = j->reason = j->context = NULL;
	j->overriding = j->of_rights = false;
}

/* Where COPY writes the rows and gives such numbers without a word, INSERT, which finds out who is to blame, does the same. */
bool pg_job_may_override(const struct pg_job *j) {
	return j->overriding && j->a->table && j->a->conflict == PG_CONFLICT_ERROR && !j->a->override;
}

const char *pg_job_advice(const char *sqlstate) {
	static const char *const advice[][2] = {
	    {"42P01", "; create the table, or correct the action"},
	    {"42703", "; add the column, or correct the action"},
	    {"42501", "; grant it to the connector's user"},
	    {"42883", "; is the function there, and do its types fit? A cast such as ${x}::text says which is meant"},
	    {"42P18", "; say its type by a cast such as ${x}::text"},
	    {"42P08", "; say its type by a cast such as ${x}::text"},
	    {"42P10", "; create a unique index on these columns, or correct the action"},
	    {"428C9", "; the server makes it, leave it out of `columns`"},
	    {"42601", "; correct `sql`"},
	    {"2200H", "; give it more numbers (ALTER SEQUENCE), and its column a larger type"},
	    {"3F", "; create the schema, or correct the action"},
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(advice); i++)
		if (strncmp(sqlstate, advice[i][0], strlen(advice[i][0])) == 0) return advice[i][1];
	return "";
}

/* ---- The end of a job. ---- */

static void held_clear(struct pg_job *j) {
	for (size_t i = 0; i < SL_ARRAY_LEN(j->held); i++) {
		PQclear(j->held[i]);
		j->held[i] = NULL;
	}
}

static void job_clear(struct pg_job *j) {
	held_clear(j);
	pg_meta_unref(j->meta);
	pg_job_note_clear(j);
	sl_free(j->doubted);
	*j = (struct pg_job){0};
}

void pg_job_fill(struct pg_link *l, enum sl_result r, const char *reason) {
	struct sl_batch *b = l->job.b;
	sl_batch_fill(b, r, reason);
	job_clear(&l->job);
	sl_batch_done(b);
	if (l->state == PG_LINK_BUSY)
		pg_link_free_now(l);
	else
		sl_loop_defer(sl_conn_loop(l->c->conn), &l->c->work);
}

void pg_job_stored(struct pg_link *l) {
	l->job.a->failures = 0;
	(void)pg_probe_keep(&l->job);
	pg_job_fill(l, SL_RESULT_DONE, NULL);
}

static void meta_forget(struct pg_action *a) {
	pg_meta_unref(a->meta);
	a->meta = NULL;
}

static void not_ready(struct pg_link *l, const char *text) {
	struct pg_job *j = &l->job;
	meta_forget(j->a);
	/* COPY has a code of its own for generated columns. */
	bool by_copy = j->step == PG_STEP_COPY || (j->step == PG_STEP_PROBE && j->failed == PG_STEP_COPY);
	const char *state = j->sqlstate && by_copy && strcmp(j->sqlstate, "42P10") == 0 ? "428C9" : j->sqlstate;
	const char *advice = state ? pg_job_advice(state) : "";
	if (j->probe == PG_PROBE_FAILED)
		sl_batch_in_doubt(j->b, "%s%s", text, advice);
	else
		sl_batch_not_ready(j->b, "%s%s", text, advice);
	pg_job_fill(l, SL_RESULT_LOST, NULL);
}

/* The text is the job's, which ends before it is used up. */
static void leave(struct pg_link *l) {
	char *text = sl_strdup(l->job.reason);
	if (strcmp(l->job.sqlstate, "25006") == 0)
		pg_conn_down(l->c, text); /* other sessions are with the same server */
	else
		pg_link_lost(l, text);
	sl_free(text);
}

/* Cancelled, nearly always by `statement_timeout`: a batch of fewer rows may do in that time what this one did not, and a row that
 * alone takes longer stops no other. */
static void too_slow(struct pg_job *j, enum sl_result *result) {
	j->b->late = true;
	if (j->b->count > 1) *result = SL_RESULT_GROUP_FAILED;
}

void pg_job_failed(struct pg_link *l) {
	struct pg_job *j = &l->job;
	enum sl_result result;
	enum pg_consequence then = pg_error_find(j->sqlstate, &result);
	bool reading = j->step == PG_STEP_READ;
	if (strcmp(j->sqlstate, "26000") == 0) l->c->unnamed = true;
	if (!reading && pg_job_may_override(j)) {
		j->a->override = true;
		pg_job_reread(l);
		return;
	}
	if (!reading && pg_probe_wanted(l, then)) {
		pg_probe_begin(l);
		return;
	}
	switch (then) {
	case PG_THEN_ROW: /* of a batch: it cannot be told which; of a statement as it stands: none */
		if (reading)
			not_ready(l, j->reason);
		else {
			char *reason = sl_strdup(j->reason);
			pg_job_fill(l, SL_RESULT_GROUP_FAILED, reason);
			sl_free(reason);
		}
		break;
	case PG_THEN_NOT_READY: not_ready(l, j->reason); break;
	case PG_THEN_RELOAD:
		if (reading)
			not_ready(l, j->reason);
		else
			pg_job_reread(l);
		break;
	case PG_THEN_LEAVE: leave(l); break;
	case PG_THEN_NOTHING: {
		char *reason = sl_strdup(j->reason);
		j->b->wait_ms = THROTTLE_MS;
		/* Inside of the server: whether by a row's fault or not, nobody knows. Alone the row waits, and stops no other. */
		if (strncmp(j->sqlstate, "XX", 2) == 0 && j->b->count > 1) result = SL_RESULT_GROUP_FAILED;
		if (strcmp(j->sqlstate, "57014") == 0) too_slow(j, &result);
		/* Others get through: the batch goes in halves until it is known who does not, and that one waits. */
		if (j->probe == PG_PROBE_PASSED && j->b->count > 1) result = SL_RESULT_GROUP_FAILED;
		if (result == SL_RESULT_THROTTLED && j->b->count == 1 && pg_probe_passed(l)) result = SL_RESULT_RETRY;
		j->b->doubt = j->probe == PG_PROBE_FAILED;
		pg_job_fill(l, result, reason);
		sl_free(reason);
		break;
	}
	}
}

void pg_job_row_failed(struct pg_link *l, uint32_t row) {
	struct pg_job *j = &l->job;
	enum sl_result result;
	enum pg_consequence then = pg_error_find(j->sqlstate, &result);
	/* What is said of types when these have just been read is the value's fault. */
	bool just_read = j->rounds > 0 || j->step == PG_STEP_COPY;
	if (!just_read && strncmp(j->sqlstate, "22", 2) == 0 && pg_types_old(l)) {
		pg_job_refresh(l);
		return;
	}
	bool of_row = then == PG_THEN_ROW || (then == PG_THEN_RELOAD && just_read && row != UINT32_MAX);
	if (!of_row) {
		pg_job_failed(l);
		return;
	}
	if (row == UINT32_MAX || ++j->a->failures > FAILURES_BEFORE_SEARCH) {
		pg_search_begin(l);
		return;
	}
	j->b->result[row] = SL_RESULT_REJECT;
	sl_batch_reason(j->b, row, "%s", j->reason);
	sl_batch_again(j->b);
	pg_job_fill(l, SL_RESULT_LOST, NULL);
}

/* ---- Reading about the table. ---- */

char *pg_local_settings(const struct pg_conn *c, bool local) {
	struct sl_buf b = SL_BUF_INIT, path = SL_BUF_INIT;
	const char *scope = local ? "true" : "false";
	int64_t ms = c->conf.statement_timeout_ms == CONF_UNLIMITED ? 0 : c->conf.statement_timeout_ms;
	sl_buf_printf(&b, "SELECT pg_catalog.set_config('statement_timeout', '%lld', %s)", (long long)ms, scope);
	for (size_t i = 0; i < c->conf.search_path.len; i++) {
		if (i) sl_buf_append_str(&path, ", ");
		pg_quote_name(&path, slice_from_str(c->conf.search_path.items[i]));
	}
	if (path.n) {
		sl_buf_append_str(&b, ", pg_catalog.set_config('search_path',");
		pg_quote_text(&b, sl_buf_slice(&path));
		sl_buf_printf(&b, ", %s)", scope);
	}
	sl_buf_fini(&path);
	return sl_buf_steal(&b);
}

/* False: the session is gone. */
static bool sent(struct pg_link *l, int ok) {
	if (!ok) pg_link_lost(l, PQerrorMessage(l->pq));
	return ok;
}

static void read_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	bool ok;
	j->step = PG_STEP_READ;
	j->answers = 0;
	held_clear(j);
	j->before = settings != NULL;
	if (j->a->table) {
		char *text = sl_asprintf("%s%s%s", settings ? settings : "", settings ? "; " : "", j->a->read);
		ok = sent(l, PQsendQuery(l->pq, text));
		sl_free(text);
	} else
		ok = sent(l, PQenterPipelineMode(l->pq) &&
				 (!settings || PQsendQueryParams(l->pq, settings, 0, NULL, NULL, NULL, NULL, 0)) &&
				 PQsendPrepare(l->pq, "", j->a->statement, 0, NULL) &&
				 PQsendDescribePrepared(l->pq, "") && PQpipelineSync(l->pq));
	sl_free(settings);
	if (ok) (void)pg_io_flush(l);
}

void pg_job_insert(struct pg_link *l) {
	if (l->job.meta->bulk && !l->job.a->no_bulk && pg_bulk_fits(l))
		pg_bulk_begin(l);
	else
		pg_rows_begin(l);
}

static void run(struct pg_link *l) {
	struct pg_job *j = &l->job;
	j->row = j->answer = j->answers = j->sent = j->segment = j->in_segment = 0;
	j->copying = j->ended = j->stale = j->committed = false;
	j->guard = PG_GUARD_NONE;
	j->bad_row = UINT32_MAX;
	if (j->meta->copy && !j->a->no_copy)
		pg_copy_begin(l);
	else
		pg_job_insert(l);
}

/* Parameters of types that are no server's own: what are these? True when the question is on its way. */
static bool types_asked(struct pg_link *l) {
	struct pg_job *j = &l->job;
	if (j->a->table || j->sqlstate || !j->held[0] || j->held[1]) return false;
	char *text = pg_types_query(j->held[0]);
	if (!text) return false;
	j->before = 0;
	j->answers = 1; /* the answer is held[1] */
	int ok = PQsendQuery(l->pq, text);
	sl_free(text);
	if (sent(l, ok)) (void)pg_io_flush(l);
	return true;
}

/* With `update` a key must be there anyway. */
static void tell_keyless(const struct pg_job *j, const struct pg_meta *m) {
	struct pg_action *a = j->a;
	if (m->keyless && a->conflict == PG_CONFLICT_IGNORE && !a->told_keyless)
		log_warn(LOG_ACTION, "on_conflict: ignore has no effect", "action=%s table=%s why=%s do=%s",
			 sl_action_name(j->b->action), a->table, "it has no primary key or unique index",
			 "create one, or take on_conflict out");
	a->told_keyless = m->keyless;
}

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

/* What sessions have prepared for the one will do for the other. */
static bool is_same(const struct pg_meta *a, const struct pg_meta *b) {
	return a && a->epoch == b->epoch && a->count == b->count &&
	       memcmp(a->oids, b->oids, a->count * sizeof *a->oids) == 0 && same_text(a->statement, b->statement) &&
	       same_text(a->bulk, b->bulk) && same_text(a->guard, b->guard) && a->returns_rows == b->returns_rows;
}

static void meta_take(struct pg_link *l, struct pg_meta *m) {
	struct pg_job *j = &l->job;
	const struct pg_meta *old = j->a->meta;
	m->epoch = l->c->epoch;
	m->read_ms = sl_loop_now_ms(sl_conn_loop(l->c->conn));
	bool same = is_same(old, m);
	m->serial = same ? old->serial : ++l->c->serial;
	m->bulk_serial = same ? old->bulk_serial : ++l->c->serial;
	m->guard_serial = same ? old->guard_serial : ++l->c->serial;
	if (!same) j->a->no_copy = j->a->no_bulk = false;
	meta_forget(j->a);
	j->a->meta = m;
	m->refs++;
	pg_meta_unref(j->meta);
	j->meta = m;
}

/* The catalogue is open to all: what is closed is the schema that `table` names. */
static void no_way_in(struct pg_link *l) {
	struct sl_slice schema = pg_action_schema(l->job.a);
	struct sl_buf user = SL_BUF_INIT, text = SL_BUF_INIT;
	pg_quote_name(&user, slice_from_str(PQuser(l->pq)));
	sl_buf_printf(&text, "%s; its owner can give the right: GRANT USAGE ON SCHEMA %.*s TO %s", l->job.reason,
		      SL_SLICE_ARG(schema), sl_buf_cstr(&user));
	pg_job_note_clear(&l->job);
	not_ready(l, sl_buf_cstr(&text));
	sl_buf_fini(&user);
	sl_buf_fini(&text);
}

static void read_done(struct pg_link *l) {
	struct pg_job *j = &l->job;
	struct sl_err err = SL_ERR_INIT;
	struct pg_meta *m = NULL;
	int r = SL_OK;
	if (j->sqlstate && strcmp(j->sqlstate, "42501") == 0 && j->a->table && pg_action_schema(j->a).n) {
		no_way_in(l);
		return;
	}
	if (j->sqlstate) {
		pg_job_failed(l);
		return;
	}
	if (types_asked(l)) return;
	if (!j->a->table && j->held[0])
		m = pg_meta_from_statement(j->a, j->held[0], j->held[1]);
	else if (j->held[0] && j->held[1] && j->held[2])
		r = pg_meta_from_table(j->a, j->held[0], j->held[1], j->held[2], &m, &err);
	if (m) {
		tell_keyless(j, m);
		meta_take(l, m);
		if (j->b->count > 0)
			run(l);
		else
			pg_look_begin(l);
	} else if (r != SL_OK)
		not_ready(l, sl_err_text(&err));
	else
		pg_link_lost(l, "the server's answer about the table or statement makes no sense");
	sl_err_fini(&err);
}

static void hold(struct pg_job *j, size_t i, PGresult *res) {
	PQclear(j->held[i]);
	j->held[i] = res;
}

static void read_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		PQclear(res);
		if (sent(l, PQexitPipelineMode(l->pq))) read_done(l);
		return;
	case PGRES_TUPLES_OK:
		if (j->answers++ < j->before || j->answers - j->before > SL_ARRAY_LEN(j->held))
			PQclear(res);
		else
			hold(j, j->answers - j->before - 1, res);
		return;
	case PGRES_COMMAND_OK: hold(j, 0, res); return; /* prepared, then described: the last counts */
	case PGRES_FATAL_ERROR: pg_job_note(j, res); break;
	default: break; /* libpq's enum: others do not concern us */
	}
	PQclear(res);
}

/* Nothing of the batch is stored, and what other types refused may fit now. */
void pg_job_rows_again(struct pg_job *j) {
	for (uint32_t i = 0; i < j->b->count; i++) j->b->result[i] = SL_RESULT_PENDING;
	pg_job_note_clear(j);
}

void pg_job_reread(struct pg_link *l) {
	struct pg_job *j = &l->job;
	meta_forget(j->a);
	if (++j->rounds <= ROUNDS_MAX) {
		j->probe = PG_PROBE_NOT_ASKED;
		j->searches = 0;
		sl_free(j->doubted);
		j->doubted = NULL;
		pg_job_rows_again(j);
		read_begin(l);
		return;
	}
	if (j->sqlstate && pg_probe_wanted(l, PG_THEN_NOT_READY)) {
		pg_probe_begin(l);
		return;
	}
	char *reason = sl_strdup(j->reason ? j->reason : "the table changes all the time");
	pg_job_fill(l, SL_RESULT_RETRY, reason);
	sl_free(reason);
}

void pg_job_refresh(struct pg_link *l) {
	struct pg_job *j = &l->job;
	j->rounds++;
	pg_job_rows_again(j);
	pg_meta_unref(j->meta);
	j->meta = NULL;
	read_begin(l);
}

/* ---- The steps. ---- */

void pg_job_begin(struct pg_link *l, struct pg_action *a, struct sl_batch *b) {
	struct pg_job *j = &l->job;
	*j = (struct pg_job){.a = a, .b = b};
	l->state = PG_LINK_BUSY;
	if (pg_meta_holds(l, a)) {
		j->meta = a->meta;
		j->meta->refs++;
		run(l);
	} else
		read_begin(l);
}

void pg_job_result(struct pg_link *l, PGresult *res) {
	switch (l->job.step) {
	case PG_STEP_READ: read_result(l, res); break;
	case PG_STEP_COPY: pg_copy_result(l, res); break;
	case PG_STEP_BULK: pg_bulk_result(l, res); break;
	case PG_STEP_ROWS: pg_rows_result(l, res); break;
	case PG_STEP_SEARCH: pg_search_result(l, res); break;
	case PG_STEP_PROBE: pg_probe_result(l, res); break;
	case PG_STEP_LOOK: pg_look_result(l, res); break;
	}
}

void pg_job_query_end(struct pg_link *l) {
	switch (l->job.step) {
	case PG_STEP_READ: read_done(l); break;
	case PG_STEP_COPY: pg_copy_query_end(l); break;
	case PG_STEP_LOOK: pg_look_query_end(l); break;
	case PG_STEP_BULK:
	case PG_STEP_ROWS:
	case PG_STEP_SEARCH:
	case PG_STEP_PROBE: break; /* pipelines end with a sync */
	}
}

void pg_job_send(struct pg_link *l) {
	switch (l->job.step) {
	case PG_STEP_READ:
	case PG_STEP_LOOK:
	case PG_STEP_BULK: break; /* sent as a whole */
	case PG_STEP_COPY: pg_copy_send(l); break;
	case PG_STEP_ROWS: pg_rows_send(l); break;
	case PG_STEP_SEARCH: pg_search_send(l); break;
	case PG_STEP_PROBE: pg_probe_send(l); break;
	}
}
