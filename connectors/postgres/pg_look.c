/* pg_look.c: what `sluice connector test` asks when an action's types are known: could it write? See pg_int.h.
 *
 * EXPLAIN of the statement, with NULLs for values, is the server's own word on rights (of tables, columns, views and their owners,
 * functions), on keys that conflicts are found by, and on columns that only the server fills; it writes nothing and runs no trigger. What
 * it does not come to is asked of the catalogue: columns that must have a value and get none, sequences behind defaults, and
 * which right it is that misses.
 *
 * No row waits for the answer, so what goes wrong with the questions themselves (another server, another age) is no fault. */
#include "mem.h"
#include "pg_int.h"

enum {
	LOOK_COLUMN,
	LOOK_INSERT, /* may the user? */
	LOOK_UPDATE,
	LOOK_SELECT,
	LOOK_EMPTY,    /* NOT NULL, and nothing but the action gives it a value */
	LOOK_HELPED,   /* unless a trigger or a rule does */
	LOOK_SEQUENCE, /* of its default, which the user may not use; or NULL */
	LOOK_USER,
	LOOK_COLUMNS
};

/* What keeps every row from being written, whatever is in it. */
static bool is_fault(const char *sqlstate) {
	static const char *const states[] = {
	    "42501", /* no right */
	    "428C9", /* the server fills it itself */
	    "42P10", /* no key for ON CONFLICT */
	    "42809", /* a sequence, an index, a materialized view */
	    "55000", /* a view that cannot be written to */
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(states); i++)
		if (sqlstate && strcmp(sqlstate, states[i]) == 0) return true;
	return false;
}

int pg_look_send(struct pg_link *l, const char *statement, size_t count, const Oid *oids) {
	char *text = sl_asprintf("EXPLAIN (COSTS false) %s", statement);
	int ok = PQsendQueryParams(l->pq, text, (int)count, oids, NULL, NULL, NULL, 0);
	sl_free(text);
	return ok;
}

void pg_look_begin(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	j->step = PG_STEP_LOOK;
	j->tried = false;
	bool ok = PQenterPipelineMode(l->pq) &&
		  (!settings || PQsendQueryParams(l->pq, settings, 0, NULL, NULL, NULL, NULL, 0)) &&
		  pg_look_send(l, j->meta->statement, j->meta->count, j->meta->oids) && PQpipelineSync(l->pq);
	sl_free(settings);
	if (!ok)
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

/* ---- The catalogue. ---- */

/* Rows of a partitioned table are written to its partitions, whose triggers count as well. */
static char *columns_text(const struct pg_action *a) {
	struct sl_buf b = SL_BUF_INIT, name = SL_BUF_INIT;
	pg_quote_text(&name, slice_from_str(a->relation));
	sl_buf_printf(
	    &b,
	    "WITH RECURSIVE part(oid) AS (SELECT pg_catalog.to_regclass(%s)::pg_catalog.oid UNION SELECT i.inhrelid "
	    "FROM part JOIN "
	    "pg_catalog.pg_class r ON r.oid = part.oid AND r.relkind = 'p' JOIN pg_catalog.pg_inherits i ON "
	    "i.inhparent = "
	    "r.oid), helped(yes) AS (SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g JOIN part ON g.tgrelid = "
	    "part.oid WHERE "
	    "g.tgtype::pg_catalog.int4 & 7 = 7 AND g.tgenabled <> 'D') OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite "
	    "w JOIN part ON "
	    "w.ev_class = part.oid WHERE w.ev_type = '3')) "
	    "SELECT a.attname, pg_catalog.has_column_privilege(c.oid, a.attnum, 'INSERT'), "
	    "pg_catalog.has_column_privilege(c.oid, a.attnum, 'UPDATE'), pg_catalog.has_column_privilege(c.oid, "
	    "a.attnum, 'SELECT'), "
	    "c.relkind IN ('r', 'p') AND (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND a.attidentity = '' AND "
	    "t.typdefault IS NULL, (SELECT yes FROM helped), "
	    "(SELECT s.oid::pg_catalog.regclass FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_depend p ON p.classid "
	    "= "
	    "'pg_catalog.pg_attrdef'::pg_catalog.regclass AND p.objid = d.oid AND p.refclassid = "
	    "'pg_catalog.pg_class'::pg_catalog.regclass JOIN pg_catalog.pg_class s ON s.oid = p.refobjid WHERE "
	    "d.adrelid = c.oid AND d.adnum = a.attnum AND pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%' "
	    "AND "
	    "CASE WHEN s.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege(s.oid, 'USAGE, UPDATE') END LIMIT "
	    "1), "
	    "pg_catalog.quote_ident(current_user) "
	    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid JOIN pg_catalog.pg_type t "
	    "ON t.oid "
	    "= a.atttypid WHERE c.oid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY "
	    "a.attnum",
	    sl_buf_cstr(&name), sl_buf_cstr(&name));
	sl_buf_fini(&name);
	return sl_buf_steal(&b);
}

static void columns_ask(struct pg_link *l) {
	struct pg_job *j = &l->job;
	char *settings = l->c->unnamed ? pg_local_settings(l->c, true) : NULL;
	char *columns = columns_text(j->a);
	char *text = sl_asprintf("%s%s%s", settings ? settings : "", settings ? "; " : "", columns);
	PQclear(j->held[0]);
	j->held[0] = NULL;
	j->answers = 0;
	j->before = settings != NULL;
	int ok = PQsendQuery(l->pq, text);
	sl_free(settings);
	sl_free(columns);
	sl_free(text);
	if (!ok)
		pg_link_lost(l, PQerrorMessage(l->pq));
	else
		(void)pg_io_flush(l);
}

static bool says(const PGresult *res, int row, int column) { return *PQgetvalue(res, row, column) == 't'; }

/* ---- What it comes to. ---- */

static bool updates(const struct pg_action *a, const char *name) {
	const json_t *update = json_object_get(a->on_conflict, "update");
	for (size_t i = 0; i < json_array_size(update); i++)
		if (strcmp(json_string_value(json_array_get(update, i)), name) == 0) return true;
	return false;
}

static bool needs(const struct pg_job *j, int right, const char *name) {
	if (right == LOOK_INSERT) return pg_action_maps(j->a, name);
	if (right == LOOK_UPDATE) return updates(j->a, name);
	return updates(j->a, name) ||
	       pg_action_finds_by(j->a, j->held[2], name); /* EXCLUDED is read as the table itself */
}

/* "INSERT", or "INSERT (b, c)" where the user has it for others that the action needs. */
static void right_put(const struct pg_job *j, int right, const char *word, struct sl_buf *out) {
	const PGresult *columns = j->held[0];
	struct sl_buf names = SL_BUF_INIT;
	bool some = false;
	for (int i = 0; i < PQntuples(columns); i++) {
		const char *name = PQgetvalue(columns, i, LOOK_COLUMN);
		if (!needs(j, right, name)) continue;
		some = some || says(columns, i, right);
		if (says(columns, i, right)) continue;
		if (names.n) sl_buf_append_str(&names, ", ");
		pg_quote_name(&names, slice_from_str(name));
	}
	if (names.n) sl_buf_printf(out, "%s%s", out->n ? ", " : "", word);
	if (names.n && some) sl_buf_printf(out, " (%s)", sl_buf_cstr(&names));
	sl_buf_fini(&names);
}

static void fault(struct sl_buf *out, const char *fmt, ...) sl_printf(2, 3);
static void fault(struct sl_buf *out, const char *fmt, ...) {
	va_list ap;
	va_start(ap, fmt);
	char *text = sl_vasprintf(fmt, ap);
	va_end(ap);
	sl_buf_printf(out, "%s%s", out->n ? "; and " : "", text);
	sl_free(text);
}

/* What the server said of the statement; of a right that misses how it is given. */
static void statement_says(const struct pg_job *j, struct sl_buf *out) {
	struct sl_buf rights = SL_BUF_INIT;
	if (!is_fault(j->sqlstate)) return;
	if (strcmp(j->sqlstate, "42501") == 0 && j->held[0] && PQntuples(j->held[0])) {
		right_put(j, LOOK_INSERT, "INSERT", &rights);
		right_put(j, LOOK_UPDATE, "UPDATE", &rights);
		right_put(j, LOOK_SELECT, "SELECT", &rights);
	}
	if (rights.n)
		fault(out, "%s; its owner can give the right: GRANT %s ON %s TO %s", j->reason, sl_buf_cstr(&rights),
		      j->a->relation, PQgetvalue(j->held[0], 0, LOOK_USER));
	else
		fault(out, "%s%s", j->reason, pg_job_advice(j->sqlstate));
	sl_buf_fini(&rights);
}

static void sequences_say(const struct pg_job *j, struct sl_buf *out) {
	const PGresult *columns = j->held[0];
	for (int i = 0; i < PQntuples(columns); i++) {
		const char *name = PQgetvalue(columns, i, LOOK_COLUMN);
		if (pg_action_maps(j->a, name) || PQgetisnull(columns, i, LOOK_SEQUENCE)) continue;
		const char *sequence = PQgetvalue(columns, i, LOOK_SEQUENCE);
		fault(out,
		      "no right to the sequence %s, which numbers column \"%s\"; its owner can give it: GRANT USAGE ON "
		      "SEQUENCE "
		      "%s TO %s",
		      sequence, name, sequence, PQgetvalue(columns, i, LOOK_USER));
	}
}

static void empty_say(const struct pg_job *j, struct sl_buf *faults, struct sl_buf *notes) {
	const PGresult *columns = j->held[0];
	struct sl_buf names = SL_BUF_INIT;
	bool helped = false;
	int n = 0;
	for (int i = 0; i < PQntuples(columns); i++) {
		const char *name = PQgetvalue(columns, i, LOOK_COLUMN);
		if (!says(columns, i, LOOK_EMPTY) || pg_action_maps(j->a, name)) continue;
		helped = says(columns, i, LOOK_HELPED);
		if (n++) sl_buf_append_str(&names, ", ");
		pg_quote_name(&names, slice_from_str(name));
	}
	if (n > 0 && helped)
		fault(notes,
		      "table %s: NOT NULL, without a default and not in `columns`: %s; unless a trigger or rule of the "
		      "table fills "
		      "%s, all rows are refused",
		      j->a->relation, sl_buf_cstr(&names), n > 1 ? "them" : "it");
	else if (n > 0)
		fault(faults,
		      "table %s: NOT NULL, without a default and not in `columns`, so that all rows are refused: %s; "
		      "add %s to "
		      "`columns`, or give %s a default (ALTER TABLE)",
		      j->a->relation, sl_buf_cstr(&names), n > 1 ? "them" : "it", n > 1 ? "them" : "it");
	sl_buf_fini(&names);
}

static void look_end(struct pg_link *l) {
	struct pg_job *j = &l->job;
	struct sl_buf faults = SL_BUF_INIT, notes = SL_BUF_INIT;
	if (j->held[0] && !pg_answer_has(j->held[0], -1, LOOK_COLUMNS)) {
		PQclear(j->held[0]);
		j->held[0] = NULL;
	}
	statement_says(j, &faults);
	if (j->a->table && j->held[0]) {
		sequences_say(j, &faults);
		empty_say(j, &faults, &notes);
	}
	if (notes.n) sl_batch_note(j->b, "%s", sl_buf_cstr(&notes));
	if (faults.n) sl_batch_not_ready(j->b, "%s", sl_buf_cstr(&faults));
	enum sl_result result = faults.n ? SL_RESULT_LOST : SL_RESULT_DONE;
	sl_buf_fini(&faults);
	sl_buf_fini(&notes);
	pg_job_fill(l, result, NULL);
}

static void statement_end(struct pg_link *l) {
	struct pg_job *j = &l->job;
	j->tried = true;
	if (!PQexitPipelineMode(l->pq))
		pg_link_lost(l, PQerrorMessage(l->pq));
	else if (j->sqlstate && pg_job_may_override(j))
		pg_job_failed(l); /* which has it planned anew; only then is it known of rights */
	else if (j->a->table)
		columns_ask(l);
	else {
		PQclear(j->held[0]); /* of the statement's types */
		j->held[0] = NULL;
		look_end(l);
	}
}

void pg_look_result(struct pg_link *l, PGresult *res) {
	struct pg_job *j = &l->job;
	ExecStatusType status = PQresultStatus(res);
	if (status == PGRES_PIPELINE_SYNC && !j->tried) {
		PQclear(res);
		statement_end(l);
		return;
	}
	if (status == PGRES_FATAL_ERROR && !j->tried && !j->sqlstate) {
		pg_job_note(j, res);
	} else if (status == PGRES_TUPLES_OK && j->tried && j->answers++ == j->before) {
		j->held[0] = res;
		return;
	}
	PQclear(res);
}

void pg_look_query_end(struct pg_link *l) {
	if (l->job.tried) look_end(l);
}
