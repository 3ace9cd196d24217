/* pg_table.c: a table action's statements, and what the catalogue says of its table. See pg_int.h. */
#include "mem.h"
#include "pg_int.h"
#include "yaml.h"

void pg_quote_name(struct sl_buf *b, struct sl_slice name) {
	sl_buf_put(b, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"') sl_buf_put(b, '"');
		sl_buf_put(b, name.p[i]);
	}
	sl_buf_put(b, '"');
}

/* E'...': the same whatever standard_conforming_strings says. */
void pg_quote_text(struct sl_buf *b, struct sl_slice text) {
	sl_buf_append_str(b, " E'");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\'' || text.p[i] == '\\') sl_buf_put(b, text.p[i]);
		sl_buf_put(b, text.p[i]);
	}
	sl_buf_put(b, '\'');
}

/* "iot.readings" is a table of a schema; a dot that belongs to the name is written in quotes: iot."a.b". */
static char *relation_text(const char *table) {
	struct sl_buf b = SL_BUF_INIT;
	struct sl_slice s = slice_from_str(table);
	size_t dot = 0;
	bool quoted = false;
	for (; dot < s.n && (quoted || s.p[dot] != '.'); dot++) quoted ^= s.p[dot] == '"';
	struct sl_slice parts[2] = {slice_sub(s, 0, dot), slice_from(s, dot + 1)};
	for (size_t i = 0; i < 2 && (i == 0 || dot < s.n); i++) {
		if (i) sl_buf_put(&b, '.');
		if (parts[i].n > 2 && parts[i].p[0] == '"' && parts[i].p[parts[i].n - 1] == '"')
			sl_buf_append_slice(&b, parts[i]);
		else
			pg_quote_name(&b, parts[i]);
	}
	return sl_buf_steal(&b);
}

struct sl_slice pg_action_schema(const struct pg_action *a) {
	struct sl_slice s = slice_from_str(a->relation);
	bool quoted = false;
	for (size_t i = 0; i < s.n; i++) {
		quoted ^= s.p[i] == '"';
		if (!quoted && s.p[i] == '.') return slice_sub(s, 0, i);
	}
	return slice_make(NULL, 0);
}

static void names_list(struct sl_buf *b, const struct pg_action *a) {
	for (size_t i = 0; i < a->columns.len; i++) {
		sl_buf_append_str(b, i ? ", " : " (");
		pg_quote_name(b, slice_from_str(a->columns.items[i].key));
	}
	sl_buf_put(b, ')');
}

/* ---- What came back. ---- */

enum {
	COLUMN_NAME,
	COLUMN_TYPE,
	COLUMN_TYPE_NAME,
	COLUMN_KIND,
	COLUMN_ELEMENT,
	COLUMN_ELEMENT_KIND,
	COLUMN_BASE,
	COLUMN_DELIMITER,
	COLUMN_RELATION,
	COLUMN_KEYED
};
enum { TYPE_COLUMNS = COLUMN_DELIMITER + 1, TABLE_COLUMNS = COLUMN_KEYED + 1, KEY_COLUMNS = 2 };

bool pg_answer_has(const PGresult *res, int rows_max, int columns) {
	return PQresultStatus(res) == PGRES_TUPLES_OK && PQnfields(res) == columns &&
	       (rows_max < 0 || PQntuples(res) <= rows_max);
}

void pg_meta_unref(struct pg_meta *m) {
	if (!m || --m->refs > 0) return;
	for (size_t i = 0; m->names && i < 2 * m->count; i++) sl_free(m->names[i]);
	sl_free(m->names);
	sl_free(m->targets);
	sl_free(m->oids);
	sl_free(m->bulk);
	sl_free(m->bulk_oids);
	sl_free(m->guard);
	sl_free(m->fingerprint);
	sl_free(m->statement);
	sl_free(m);
}

static struct pg_meta *meta_new(size_t count) {
	struct pg_meta *m = SL_NEW(struct pg_meta);
	m->refs = 1;
	m->count = count;
	m->targets = SL_NEW_ARRAY(struct pg_target, count + 1);
	m->oids = SL_NEW_ARRAY(Oid, count + 1);
	m->names = SL_NEW_ARRAY(char *, 2 * count + 1);
	return m;
}

static uint32_t number_at(const PGresult *res, int row, int column) {
	int64_t n = 0;
	(void)slice_to_i64(slice_from_str(PQgetvalue(res, row, column)), &n);
	return (uint32_t)n;
}

static void target_form(struct pg_target *t, uint32_t oid) {
	bool is_array;
	const struct pg_type *known = pg_type_find(oid, &is_array);
	if (!known) return;
	struct pg_target found = {.form = known->form};
	t->form = known->form;
	t->delimiter = ',';
	t->text_array = is_array && !pg_target_is_binary(&found);
	t->element_oid = is_array && !t->text_array ? known->oid : 0;
}

static void target_from_column(struct pg_target *t, const PGresult *columns, int row) {
	char kind = *PQgetvalue(columns, row, COLUMN_KIND), element = *PQgetvalue(columns, row, COLUMN_ELEMENT_KIND);
	t->form = PG_FORM_INPUT;
	t->delimiter = *PQgetvalue(columns, row, COLUMN_DELIMITER);
	if (kind == 'e')
		t->form = PG_FORM_STRING; /* an enum's binary form is its label */
	else if (kind == 'd')
		target_form(t, number_at(columns, row, COLUMN_BASE));
	else if (element == 'e') {
		t->form = PG_FORM_STRING;
		t->element_oid = number_at(columns, row, COLUMN_ELEMENT);
	} else {
		t->text_array = element != 0; /* unless it is one that we know */
		target_form(t, t->oid);
	}
}

static int column_missing(const struct pg_action *a, const char *name, const PGresult *columns, struct sl_err *err) {
	size_t n = (size_t)PQntuples(columns);
	const char **names = SL_NEW_ARRAY(const char *, n + 1);
	for (size_t i = 0; i < n; i++) names[i] = PQgetvalue(columns, (int)i, COLUMN_NAME);
	const char *near = slice_nearest(slice_from_str(name), names, n);
	int r = sl_err_set(err, SL_ENOTFOUND, "table %s has no column \"%s\"%s%s%s; add it, or correct `columns`",
			   a->relation, name, near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	sl_free(names);
	return r;
}

static int column_find(const PGresult *columns, const char *name) {
	for (int i = 0; i < PQntuples(columns); i++)
		if (strcmp(PQgetvalue(columns, i, COLUMN_NAME), name) == 0) return i;
	return -1;
}

bool pg_action_maps(const struct pg_action *a, const char *name) {
	for (size_t i = 0; i < a->columns.len; i++)
		if (strcmp(a->columns.items[i].key, name) == 0) return true;
	return false;
}

static bool same_key(const PGresult *keys, int i, int k) {
	return strcmp(PQgetvalue(keys, i, 0), PQgetvalue(keys, k, 0)) == 0;
}

/* The first key (the primary one leads) that `columns` has all of: rows [*first, *end). False when there is none. */
static bool key_rows(const struct pg_action *a, const PGresult *keys, int *first, int *end) {
	for (int i = 0, next; i < PQntuples(keys); i = next) {
		bool all = true;
		for (next = i; next < PQntuples(keys) && same_key(keys, i, next); next++)
			all = all && pg_action_maps(a, PQgetvalue(keys, next, 1));
		*first = i;
		*end = next;
		if (all) return true;
	}
	return false;
}

/* "a", "b". */
static bool key_find(const struct pg_action *a, const PGresult *keys, struct sl_buf *out) {
	int first, end;
	if (!key_rows(a, keys, &first, &end)) return false;
	for (int i = first; i < end; i++) {
		if (i > first) sl_buf_append_str(out, ", ");
		pg_quote_name(out, slice_from_str(PQgetvalue(keys, i, 1)));
	}
	return true;
}

bool pg_action_finds_by(const struct pg_action *a, const PGresult *keys, const char *name) {
	int first = 0, end = 0;
	bool found = false;
	for (size_t i = 0; i < a->conflict_on.len; i++) found = found || strcmp(a->conflict_on.items[i], name) == 0;
	if (a->conflict_on.len || a->conflict != PG_CONFLICT_UPDATE || !key_rows(a, keys, &first, &end)) return found;
	for (int i = first; i < end; i++) found = found || strcmp(PQgetvalue(keys, i, 1), name) == 0;
	return found;
}

/* keys NULL: in a dry run nobody knows them. */
static int conflict_text(const struct pg_action *a, const PGresult *keys, struct sl_buf *out, struct sl_err *err) {
	struct sl_buf key = SL_BUF_INIT;
	if (a->conflict == PG_CONFLICT_ERROR) return SL_OK;
	for (size_t i = 0; i < a->conflict_on.len; i++) {
		if (i) sl_buf_append_str(&key, ", ");
		pg_quote_name(&key, slice_from_str(a->conflict_on.items[i]));
	}
	if (key.n == 0 && a->conflict == PG_CONFLICT_UPDATE && !keys)
		sl_buf_append_str(&key, "...");
	else if (key.n == 0 && a->conflict == PG_CONFLICT_UPDATE && !key_find(a, keys, &key)) {
		sl_buf_fini(&key);
		return sl_err_set(err, SL_ENOTFOUND,
				  "on_conflict: table %s has no primary key or unique index on columns that the action "
				  "gives; create one, or name its columns with `conflict_on`",
				  a->relation);
	}
	sl_buf_append_str(out, " ON CONFLICT");
	if (key.n) sl_buf_printf(out, " (%s)", sl_buf_cstr(&key));
	sl_buf_append_str(out, a->conflict == PG_CONFLICT_IGNORE ? " DO NOTHING" : " DO UPDATE SET ");
	const json_t *update = json_object_get(a->on_conflict, "update");
	for (size_t i = 0; i < json_array_size(update); i++) {
		struct sl_slice name = slice_from_str(json_string_value(json_array_get(update, i)));
		if (i) sl_buf_append_str(out, ", ");
		pg_quote_name(out, name);
		sl_buf_append_str(out, " = EXCLUDED.");
		pg_quote_name(out, name);
	}
	sl_buf_fini(&key);
	return SL_OK;
}

/* One row by its values, or with `bulk` a batch by an array for each column. */
static int insert_text(const struct pg_action *a, const PGresult *keys, bool bulk, char **out, struct sl_err *err) {
	struct sl_buf b = SL_BUF_INIT;
	sl_buf_printf(&b, "INSERT INTO %s", a->relation);
	names_list(&b, a);
	if (a->override) sl_buf_append_str(&b, " OVERRIDING SYSTEM VALUE");
	/* Not pg_catalog.unnest: of several arrays only the bare word is understood. */
	sl_buf_append_str(&b, bulk ? " SELECT * FROM unnest(" : " VALUES (");
	for (size_t i = 0; i < a->columns.len; i++) sl_buf_printf(&b, "%s$%zu", i ? ", " : "", i + 1);
	sl_buf_put(&b, ')');
	int r = conflict_text(a, keys, &b, err);
	*out = sl_buf_steal(&b);
	return r;
}

/* Where all columns have types whose arrays we can write, a batch is one statement. */
static int bulk_text(const struct pg_action *a, struct pg_meta *m, const PGresult *keys, struct sl_err *err) {
	m->bulk_oids = SL_NEW_ARRAY(Oid, m->count + 1);
	for (size_t i = 0; i < m->count; i++) {
		bool is_array;
		const struct pg_type *known = pg_type_find(m->targets[i].oid, &is_array);
		if (!known || is_array || !pg_target_is_binary(&m->targets[i])) return SL_OK;
		m->bulk_oids[i] = known->array_oid;
	}
	return insert_text(a, keys, true, &m->bulk, err);
}

void pg_action_texts(struct pg_action *a) {
	struct sl_buf copy = SL_BUF_INIT, look = SL_BUF_INIT, read = SL_BUF_INIT, name = SL_BUF_INIT;
	a->relation = relation_text(a->table);
	pg_quote_text(&name, slice_from_str(a->relation));
	const char *quoted = sl_buf_cstr(&name);
	for (size_t i = 0; i < a->columns.len; i++) {
		const char *column = a->columns.items[i].key;
		sl_params_add(&a->params, slice_from_str(column), slice_from_str(a->columns.items[i].value),
			      yaml_path_key("columns", column));
		for (size_t k = 0; k < a->conflict_on.len; k++)
			if (strcmp(a->conflict_on.items[k], column) == 0)
				a->params.at[a->params.n - 1].names_row = true;
	}
	sl_buf_printf(&copy, "COPY %s", a->relation);
	names_list(&copy, a);
	sl_buf_append_str(&copy, " FROM STDIN (FORMAT binary)");
	/* COPY's binary form says nothing of types: a column that became another one would get garbage. */
	sl_buf_printf(
	    &look,
	    "SELECT pg_catalog.string_agg(attname || ' ' || atttypid::pg_catalog.text, ',' ORDER BY attnum) FROM "
	    "pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass(%s) AND attnum > 0 AND NOT "
	    "attisdropped",
	    quoted);
	sl_buf_printf(
	    &read,
	    "%.*s; SELECT a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typtype, "
	    "t.typelem, e.typtype, t.typbasetype, t.typdelim, c.relkind, "
	    "EXISTS (SELECT 1 FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND (x.indisunique OR "
	    "x.indisexclusion)) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = "
	    "a.attrelid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_type e ON e.oid = "
	    "t.typelem AND e.typarray = t.oid WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT "
	    "a.attisdropped ORDER BY a.attnum; SELECT i.indexrelid, a.attname FROM pg_catalog.pg_index i JOIN "
	    "pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY "
	    "((i.indkey::int2[])[0:i.indnkeyatts - 1]) WHERE i.indrelid = "
	    "pg_catalog.to_regclass(%s) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY "
	    "i.indisprimary DESC, i.indexrelid, a.attnum",
	    (int)look.n, look.p, quoted, quoted);
	a->copy = sl_buf_steal(&copy);
	a->look = sl_buf_steal(&look);
	a->read = sl_buf_steal(&read);
	if (a->conflict != PG_CONFLICT_ERROR) (void)insert_text(a, NULL, false, &a->shown, NULL);
	sl_buf_fini(&name);
}

int pg_meta_from_table(const struct pg_action *a, const PGresult *fingerprint, const PGresult *columns,
		       const PGresult *keys, struct pg_meta **out, struct sl_err *err) {
	*out = NULL;
	if (!pg_answer_has(fingerprint, 1, 1) || !pg_answer_has(columns, -1, TABLE_COLUMNS) ||
	    !pg_answer_has(keys, -1, KEY_COLUMNS))
		return sl_err_set(
		    err, SL_EMALFORMED,
		    "what was asked about table %s is answered with something else; does a pooler or proxy "
		    "stand in between that mixes answers up, and is this PostgreSQL?",
		    a->relation);
	if (PQntuples(columns) == 0)
		return sl_err_set(
		    err, SL_ENOTFOUND,
		    "there is no table %s; create it, correct `table` or `search_path`, or let the user into its "
		    "schema (GRANT USAGE)",
		    a->relation);
	struct pg_meta *m = meta_new(a->params.n);
	char relation = *PQgetvalue(columns, 0, COLUMN_RELATION);
	int r = SL_OK;
	m->copy = a->conflict == PG_CONFLICT_ERROR && (relation == 'r' || relation == 'p');
	m->keyless = relation == 'r' && *PQgetvalue(columns, 0, COLUMN_KEYED) == 'f';
	for (size_t i = 0; i < m->count && r == SL_OK; i++) {
		const char *name = a->columns.items[i].key;
		int row = column_find(columns, name);
		if (row < 0) {
			r = column_missing(a, name, columns, err);
			break;
		}
		struct pg_target *t = &m->targets[i];
		t->oid = m->oids[i] = number_at(columns, row, COLUMN_TYPE);
		t->name = m->names[2 * i] = sl_asprintf("column \"%s\"", name);
		t->type = m->names[2 * i + 1] = sl_strdup(PQgetvalue(columns, row, COLUMN_TYPE_NAME));
		target_from_column(t, columns, row);
		m->copy = m->copy && pg_target_is_binary(t);
	}
	if (r == SL_OK) r = insert_text(a, keys, false, &m->statement, err);
	if (r == SL_OK) r = bulk_text(a, m, keys, err);
	m->fingerprint = sl_strdup(PQntuples(fingerprint) ? PQgetvalue(fingerprint, 0, 0) : "");
	m->guard = pg_guard_text(a, m->fingerprint);
	if (r == SL_OK)
		*out = m;
	else
		pg_meta_unref(m);
	return r;
}

char *pg_types_query(const PGresult *described) {
	struct sl_buf b = SL_BUF_INIT;
	bool is_array, any = false;
	sl_buf_append_str(&b,
			  "SELECT NULL, t.oid, pg_catalog.format_type(t.oid, NULL), t.typtype, t.typelem, e.typtype, "
			  "t.typbasetype, t.typdelim FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid "
			  "= t.typelem AND "
			  "e.typarray = t.oid WHERE t.oid IN (");
	for (int i = 0; i < PQnparams(described); i++) {
		if (pg_type_find(PQparamtype(described, i), &is_array)) continue;
		sl_buf_printf(&b, "%s%u", any ? ", " : "", PQparamtype(described, i));
		any = true;
	}
	sl_buf_put(&b, ')');
	if (any) return sl_buf_steal(&b);
	sl_buf_fini(&b);
	return NULL;
}

/* A type that not every server has: what this one says of it. */
static void target_from_types(struct pg_target *t, const PGresult *types, char **name) {
	for (int i = 0; i < PQntuples(types); i++) {
		if (number_at(types, i, COLUMN_TYPE) != t->oid) continue;
		target_from_column(t, types, i);
		*name = sl_strdup(PQgetvalue(types, i, COLUMN_TYPE_NAME));
		return;
	}
	*name = sl_asprintf("type %u", t->oid);
}

struct pg_meta *pg_meta_from_statement(const struct pg_action *a, const PGresult *described, const PGresult *types) {
	if (types && !pg_answer_has(types, -1, TYPE_COLUMNS)) return NULL;
	struct pg_meta *m = meta_new(a->params.n);
	for (size_t i = 0; i < m->count; i++) {
		struct pg_target *t = &m->targets[i];
		bool is_array;
		t->oid = m->oids[i] = (int)i < PQnparams(described) ? PQparamtype(described, (int)i) : 0;
		target_form(t, t->oid);
		const struct pg_type *known = pg_type_find(t->oid, &is_array);
		t->name = m->names[2 * i] = sl_asprintf("parameter %.*s", SL_SLICE_ARG(a->params.at[i].text));
		if (known)
			m->names[2 * i + 1] = sl_asprintf("%s%s", known->name, is_array ? "[]" : "");
		else
			target_from_types(t, types, &m->names[2 * i + 1]);
		t->type = m->names[2 * i + 1];
	}
	m->statement = sl_strdup(a->statement);
	m->returns_rows = PQnfields(described) > 0;
	return m;
}
