/* pg_source_conf.c: options of a postgres source, and its statements as the server gets them; see pg_source.h. */
#include "mem.h"
#include "pg_source.h"

#define NAME_BYTES_MAX 63 /* of PostgreSQL */

const struct conf_field pg_source_fields[] = {
    {.name = "query",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct pg_source_conf, query),
     .flags = CONF_REQUIRED | CONF_NONEMPTY,
     .max = 65536,
     .example = "SELECT id, device, t FROM readings WHERE id > ${cursor} ORDER BY id LIMIT ${limit}",
     .doc =
	 "Gives the next rows; each becomes a message. `${limit}` is how many at the most; `${cursor}`, which belongs "
	 "there unless there is an `ack`, the cursor of the last row that was read. Both are bound parameters."},
    {.name = "cursor",
     .type = CONF_STRING,
     .at = offsetof(struct pg_source_conf, cursor),
     .flags = CONF_NONEMPTY,
     .def = "id",
     .max = PG_POSITION_COLUMN_MAX,
     .doc = "The column of the query that names a row: of any type, never NULL, in no two rows the same. Without `ack` "
	    "rows are ordered by it."},
    {.name = "start",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct pg_source_conf, start),
     .max = PG_POSITION_CURSOR_MAX,
     .example = "\"2026-01-31\"",
     .doc = "The cursor before the first row of all, as text: what `${cursor}` is until there is a position. `0` when "
	    "left "
	    "out."},
    {.name = "ack",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct pg_source_conf, ack),
     .flags = CONF_NONEMPTY,
     .max = 65536,
     .example = "DELETE FROM outbox WHERE id = ANY(${cursors})",
     .doc =
	 "A statement that is run when rows are through: `${cursors}` is the list of their cursors. Afterwards `query` "
	 "must not give them any more. Without it the position is kept in `node.data_dir`."},
    {.name = "poll_interval",
     .type = CONF_DURATION,
     .at = offsetof(struct pg_source_conf, poll_ms),
     .def = "1s",
     .min = 10,
     .max = 86400000,
     .doc = "How long to wait when the query gave fewer rows than its limit."},
    {.name = "listen",
     .type = CONF_STRING,
     .at = offsetof(struct pg_source_conf, listen),
     .flags = CONF_NONEMPTY,
     .max = NAME_BYTES_MAX,
     .example = "outbox",
     .doc = "A channel: a NOTIFY in it has the query run at once. What it says is not read, and one that is missed "
	    "costs no "
	    "more than `poll_interval`."},
    {.name = "limit",
     .type = CONF_INT,
     .at = offsetof(struct pg_source_conf, limit),
     .def = "500",
     .min = 1,
     .max = 100000,
     .doc = "Rows that are asked for at once; fewer when they are large."},
    CONF_END};

/* ---- Statements. -------------------------------------------------------------------------------------------------------- */

static bool has_word(const char *const *words, struct sl_slice word) {
	for (size_t i = 0; words[i]; i++)
		if (slice_equal_nocase(word, slice_from_str(words[i]))) return true;
	return false;
}

static bool has_value(const struct sl_param_list *params, const char *name) {
	for (size_t i = 0; i < params->n; i++)
		if (slice_equal_str(params->at[i].name, name)) return true;
	return false;
}

/* The statement with its parameters marked. known: the values it may have. */
static int statement_read(const char *option, const char *text, const char *const *known, struct sl_param_list *params,
			  char **out, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	struct sl_err why = SL_ERR_INIT;
	struct sl_statement_dialect dialect = pg_dialect;
	dialect.flags |= SL_STATEMENT_INNER;
	int r = sl_statement_scan(text, &dialect, params, &b, &why);
	if (r != SL_OK) { /* said of `sql`, as the option of actions is called */
		struct sl_slice said = slice_from_str(sl_err_text(&why));
		if (slice_starts_with(said, SL_SLICE_LIT("sql: "))) said = slice_from(said, 5);
		(void)sl_err_set(err, r, "%s: %.*s", option, SL_SLICE_ARG(said));
	}
	for (size_t i = 0; i < params->n && r == SL_OK; i++)
		if (!has_word(known, params->at[i].name))
			r = sl_err_set(err, SL_ENOTFOUND, "%s: %.*s at %u:%u is not known here; there is ${%s}%s%s%s",
				       option, SL_SLICE_ARG(params->at[i].text), params->at[i].line,
				       params->at[i].column, known[0], known[1] ? " and ${" : "",
				       known[1] ? known[1] : "", known[1] ? "}" : "");
	sl_err_fini(&why);
	*out = sl_buf_steal(&b);
	return r;
}

/* The server makes the objects: it knows all its types. The query stands on lines of its own, for it may end with a comment. */
static char *wrapped(const char *query, const char *cursor) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_printf(&b, "WITH sluice_rows AS (\n%s\n) SELECT sluice_row.", query);
	pg_quote_name(&b, slice_from_str(cursor));
	sl_buf_append_str(&b, ", pg_catalog.row_to_json(sluice_row) FROM sluice_rows AS sluice_row");
	return sl_buf_steal(&b);
}

static int query_check(struct pg_source *p, struct sl_err *err) {
	static const char *const verbs[] = {"SELECT", "WITH", "VALUES", "TABLE", NULL};
	static const char *const known[] = {"cursor", "limit", NULL}, *const known_ack[] = {"limit", NULL};
	char *query;
	struct sl_slice verb = sl_statement_verb(p->conf.query, &pg_dialect);
	bool claims =
	    slice_equal_nocase(verb, SL_SLICE_LIT("UPDATE")) || slice_equal_nocase(verb, SL_SLICE_LIT("INSERT"));
	if (slice_equal_nocase(verb, SL_SLICE_LIT("DELETE")))
		return sl_err_set(
		    err, SL_EINVAL,
		    "query: DELETE would lose the rows that are under way when the broker ends; select them, and "
		    "delete them by `ack`");
	if (claims && !p->conf.ack)
		return sl_err_set(err, SL_EINVAL,
				  "query: with %.*s write an `ack`, too; otherwise it begins with SELECT",
				  SL_SLICE_ARG(verb));
	if (!claims && !has_word(verbs, verb))
		return sl_err_set(err, SL_ESYNTAX, "query: begins with SELECT or WITH, not with '%.*s'",
				  SL_SLICE_ARG(verb));
	int r = statement_read("query", p->conf.query, p->conf.ack ? known_ack : known, &p->query_params, &query, err);
	if (r == SL_OK && !has_value(&p->query_params, "limit"))
		r = sl_err_set(err, SL_EINVAL,
			       "query: write LIMIT ${limit} into it, so that no answer is larger than memory");
	if (r == SL_OK && !p->conf.ack && !has_value(&p->query_params, "cursor"))
		r = sl_err_set(
		    err, SL_EINVAL,
		    "query: the same rows would come again and again; write WHERE %s > ${cursor} ORDER BY %s into "
		    "it, or give an `ack`",
		    p->conf.cursor, p->conf.cursor);
	if (r == SL_OK) p->query = wrapped(query, p->conf.cursor);
	sl_free(query);
	return r;
}

static int ack_check(struct pg_source *p, struct sl_err *err) {
	static const char *const verbs[] = {"DELETE", "UPDATE", "INSERT", "WITH", "SELECT", "MERGE", NULL};
	static const char *const known[] = {"cursors", NULL};
	struct sl_slice verb = sl_statement_verb(p->conf.ack, &pg_dialect);
	if (!has_word(verbs, verb))
		return sl_err_set(err, SL_ESYNTAX,
				  "ack: begins with DELETE, UPDATE, INSERT, WITH or SELECT, not with '%.*s'",
				  SL_SLICE_ARG(verb));
	int r = statement_read("ack", p->conf.ack, known, &p->ack_params, &p->ack, err);
	if (r == SL_OK && p->ack_params.n == 0)
		r = sl_err_set(err, SL_EINVAL, "ack: say for which rows it is: WHERE %s = ANY(${cursors})",
			       p->conf.cursor);
	return r;
}

int pg_source_check(struct pg_source *p, struct sl_err *err) {
	if (p->conf.ack && p->conf.start)
		return sl_err_set(
		    err, SL_EINVAL,
		    "`start` is where ${cursor} begins; with `ack` the query says itself which rows it gives");
	int r = query_check(p, err);
	return r == SL_OK && p->conf.ack ? ack_check(p, err) : r;
}
