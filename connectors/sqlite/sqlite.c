/* sqlite.c: rows into an SQLite database file.
 *
 * One thread, one handle, one transaction per batch, one prepared statement per action whose parameters are bound straight
 * from the row's bytes. A step that fails rolls the batch back: the server cannot say more than "this row now", so the
 * framework splits (GROUP_FAILED) and isolates the bad row. What no row is to blame for (no such table, disk full) makes
 * the action not ready: rows wait.
 *
 * Two ways to say what is written:
 *     {connector: archive, table: readings, columns: {device: "${device}", t: "${t}"}}     creates the table if missing
 *     {connector: archive, sql: "INSERT INTO readings(device, t) VALUES (${device}, ${t})"}
 * In `sql` each ${...} becomes a bound parameter, never text. */

#include <ctype.h>
#include <sqlite3.h>
#include <unistd.h>

#include "connector.h"
#include "disk.h"
#include "exact.h"
#include "folder.h"
#include "log.h"
#include "mem.h"
#include "schema.h"
#include "spill.h"
#include "statement.h"
#include "yaml.h"

enum { BUSY_WAIT_MS = 100 };

struct sqlite_conn {
	char *path;
	int64_t busy_ms;
	int sync;
	bool wal;
	sqlite3 *db;
	sqlite3_stmt *begin, *commit, *rollback;
	uint64_t generation; /* of db: statements of another one are gone */
};

struct sqlite_action {
	char *table, *sql;
	struct conf_map columns;
	bool create;

	struct sl_param_list params;
	char *statement, *create_text; /* create_text NULL with `sql` */
	sqlite3_stmt *stmt;
	uint64_t generation;
};

static const char *const sync_names[] = {"off", "normal", "full", NULL};

static const struct conf_field conn_fields[] = {
    {.name = "path",
     .type = CONF_STRING,
     .at = offsetof(struct sqlite_conn, path),
     .flags = CONF_REQUIRED | CONF_EXPAND | CONF_NONEMPTY,
     .example = "./data/archive.db",
     .doc = "The database file; it and its folder are made if missing."},
    {.name = "busy_timeout",
     .type = CONF_DURATION,
     .at = offsetof(struct sqlite_conn, busy_ms),
     .def = "5s",
     .max = 3600000,
     .doc = "How long to wait for another program's lock before the batch is put off."},
    {.name = "synchronous",
     .type = CONF_ENUM,
     .at = offsetof(struct sqlite_conn, sync),
     .def = "normal",
     .names = sync_names,
     .doc = "SQLite's setting. With `normal` a power cut may undo the last transactions, and never damages the file."},
    {.name = "wal",
     .type = CONF_BOOL,
     .at = offsetof(struct sqlite_conn, wal),
     .def = "true",
     .doc = "Write-ahead log: readers and the writer do not wait for each other. Not for network file systems."},
    CONF_END};

static const struct conf_field action_fields[] = {
    {.name = "table",
     .type = CONF_STRING,
     .at = offsetof(struct sqlite_action, table),
     .flags = CONF_NONEMPTY,
     .example = "readings",
     .doc = "Table to insert into; give `columns` too."},
    {.name = "columns",
     .type = CONF_TEMPLATE_MAP,
     .at = offsetof(struct sqlite_action, columns),
     .max = 2000,
     .example = "{device: \"${device}\", t: \"${t}\"}",
     .doc = "Column names and what goes into them."},
    {.name = "create",
     .type = CONF_BOOL,
     .at = offsetof(struct sqlite_action, create),
     .def = "true",
     .doc = "Create the table if it is missing, its columns without types, so that values keep their own."},
    {.name = "sql",
     .type = CONF_TEMPLATE,
     .at = offsetof(struct sqlite_action, sql),
     .flags = CONF_NONEMPTY,
     .example = "INSERT INTO readings(device, t) VALUES (${device}, ${t})",
     .doc = "Instead of `table`: a statement; each `${...}` becomes a bound parameter."},
    CONF_END};

/* ---- Settings to statement text. ----------------------------------------------------------------------------------- */

static int action_check(struct sl_conn_action *a, struct sl_err *err) {
	const struct sqlite_action *s = sl_action_impl(a);
	if (s->table && s->sql)
		return sl_err_set(err, SL_EINVAL, "`table` and `sql` exclude each other; keep one of them");
	if (!s->table && !s->sql)
		return sl_err_set(err, SL_EINVAL, "say what to write: `table` with `columns`, or `sql`");
	if (s->table && s->columns.len == 0)
		return sl_err_set(err, SL_EINVAL, "`table` needs `columns`, such as {device: \"${device}\"}");
	if (s->sql && s->columns.len > 0)
		return sl_err_set(err, SL_EINVAL,
				  "`columns` belongs to `table`; with `sql` write ${...} into the statement");
	return SL_OK;
}

static void quote_name(struct sl_buf *b, const char *name) {
	sl_buf_put(b, '"');
	for (; *name; name++) {
		if (*name == '"') sl_buf_put(b, '"');
		sl_buf_put(b, *name);
	}
	sl_buf_put(b, '"');
}

static void table_statement(struct sqlite_action *s) {
	struct sl_buf insert = SL_BUF_INIT, create = SL_BUF_INIT;
	sl_buf_append_str(&insert, "INSERT INTO ");
	sl_buf_append_str(&create, "CREATE TABLE IF NOT EXISTS ");
	quote_name(&insert, s->table);
	quote_name(&create, s->table);
	for (size_t i = 0; i < s->columns.len; i++) {
		const struct conf_pair *pair = &s->columns.items[i];
		sl_buf_append_str(&insert, i ? ", " : " (");
		sl_buf_append_str(&create, i ? ", " : " (");
		quote_name(&insert, pair->key);
		quote_name(&create, pair->key);
		sl_params_add(&s->params, slice_from_str(pair->key), slice_from_str(pair->value),
			      yaml_path_key("columns", pair->key));
	}
	sl_buf_append_str(&insert, ") VALUES (");
	for (size_t i = 0; i < s->columns.len; i++) sl_buf_append_str(&insert, i ? ", ?" : "?");
	sl_buf_put(&insert, ')');
	sl_buf_put(&create, ')');
	s->statement = sl_buf_steal(&insert);
	s->create_text = sl_buf_steal(&create);
}

/* ?, ?1, $t, :t, @t: SQLite's own parameters, which would shift ours, and nobody would give them a value. */
static bool own_parameter(const char *p) {
	return *p == '?' || ((*p == '$' || *p == ':' || *p == '@') && (isalpha((unsigned char)p[1]) || p[1] == '_'));
}

static void mark(struct sl_buf *out, size_t number) {
	(void)number;
	sl_buf_put(out, '?');
}

static const struct sl_statement_dialect dialect = {
    .database = "SQLite", .flags = SL_STATEMENT_BACKTICKS, .mark = mark, .own_parameter = own_parameter};

static int sql_statement(struct sqlite_action *s, struct sl_err *err) {
	struct sl_buf out = SL_BUF_INIT;
	int r = sl_statement_scan(s->sql, &dialect, &s->params, &out, err);
	s->statement = sl_buf_steal(&out);
	return r;
}

static int action_params(struct sl_conn_action *a, const struct sl_param **params, size_t *count, struct sl_err *err) {
	struct sqlite_action *s = sl_action_impl(a);
	int r = SL_OK;
	if (s->sql)
		r = sql_statement(s, err);
	else
		table_statement(s);
	*params = s->params.at;
	*count = s->params.n;
	return r;
}

static void action_fini(struct sl_conn_action *a) {
	struct sqlite_action *s = sl_action_impl(a);
	/* The statement belongs to the connection's thread and is ended with the handle. */
	sl_params_fini(&s->params);
	sl_free(s->statement);
	sl_free(s->create_text);
}

/* ---- The connection. @thread its own ---- */

static void db_close(struct sqlite_conn *c) {
	if (!c->db) return;
	for (sqlite3_stmt *s; (s = sqlite3_next_stmt(c->db, NULL));) sqlite3_finalize(s);
	sqlite3_close(c->db);
	c->db = NULL;
	c->begin = c->commit = c->rollback = NULL;
}

static int db_exec(sqlite3 *db, const char *sql) { return sqlite3_exec(db, sql, NULL, NULL, NULL); }

static int db_setup(struct sqlite_conn *c) {
	static const char *const sync[] = {"PRAGMA synchronous=OFF", "PRAGMA synchronous=NORMAL",
					   "PRAGMA synchronous=FULL"};
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, (int)c->busy_ms);
	int r = db_exec(c->db, c->wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE");
	if (r == SQLITE_OK) r = db_exec(c->db, sync[c->sync]);
	if (r == SQLITE_OK) r = sqlite3_prepare_v2(c->db, "BEGIN IMMEDIATE", -1, &c->begin, NULL);
	if (r == SQLITE_OK) r = sqlite3_prepare_v2(c->db, "COMMIT", -1, &c->commit, NULL);
	if (r == SQLITE_OK) r = sqlite3_prepare_v2(c->db, "ROLLBACK", -1, &c->rollback, NULL);
	return r;
}

static bool db_open(struct sl_conn *conn) {
	struct sqlite_conn *c = sl_conn_impl(conn);
	db_close(c);
	c->generation++;
	char *dir = folder_of(c->path);
	(void)sl_disk_mkdirs(dir); /* if it fails, so does opening, which says why */
	sl_free(dir);
	int r =
	    sqlite3_open_v2(c->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r == SQLITE_OK) r = db_setup(c);
	if (r == SQLITE_OK) return true;
	sl_conn_down(conn, SL_EIO, "cannot open %s: %s; check the path and its rights", c->path,
		     c->db ? sqlite3_errmsg(c->db) : sqlite3_errstr(r));
	db_close(c);
	return false;
}

static void sqlite_connect(struct sl_conn *conn) {
	if (db_open(conn)) sl_conn_up(conn);
}

/* A database that is there. */
static int look_open(const struct sqlite_conn *c, sqlite3 **db) {
	/* A write-ahead log that somebody left is left; our own goes with us. */
	char *wal = sl_asprintf("%s-wal", c->path);
	int keep = access(wal, F_OK) == 0;
	sl_free(wal);
	int r = sqlite3_open_v2(c->path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (r == SQLITE_OK) r = sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL);
	return r;
}

/* It is locked for writing, and let go: nothing less shows whether its file and its folder let us write. */
static int look_inside(const struct sqlite_conn *c, struct sl_buf *note, struct sl_err *err) {
	sqlite3 *db = NULL;
	int r = look_open(c, &db);
	if (r == SQLITE_OK) r = sqlite3_db_readonly(db, "main") == 1 ? SQLITE_READONLY : SQLITE_OK;
	if (r == SQLITE_OK) r = db_exec(db, "PRAGMA schema_version; BEGIN IMMEDIATE; ROLLBACK");
	const char *advice = r == SQLITE_BUSY     ? "another program writes to it; rows would wait until it is done"
			     : r == SQLITE_NOTADB ? "it is another kind of file; take another path"
						  : "check the path and its rights";
	if (r != SQLITE_OK) sl_err_set(err, SL_EIO, "cannot write to %s: %s; %s", c->path, sqlite3_errstr(r), advice);
	sl_buf_printf(note, "its file %s can be written", c->path);
	sqlite3_close(db);
	return r == SQLITE_OK ? SL_OK : SL_EIO;
}

static int sqlite_look(struct sl_conn *conn, struct sl_buf *note, struct sl_err *err) {
	const struct sqlite_conn *c = sl_conn_impl(conn);
	char *dir = folder_of(c->path);
	bool there;
	int r = folder_usable(dir, &there, err);
	sl_free(dir);
	if (r == SL_OK && access(c->path, F_OK) == 0) return look_inside(c, note, err);
	sl_buf_printf(note, "its file %s can be made", c->path);
	return r;
}

/* Its statement is compiled, in an empty database when there is none yet; a table that would be made may be missing. */
static int sqlite_action_look(struct sl_conn_action *a, struct sl_err *err) {
	const struct sqlite_conn *c = sl_conn_impl(sl_action_conn(a));
	const struct sqlite_action *s = sl_action_impl(a);
	sqlite3 *db = NULL;
	sqlite3_stmt *stmt = NULL;
	int r = access(c->path, F_OK) == 0 ? look_open(c, &db) : sqlite3_open(":memory:", &db);
	if (r == SQLITE_OK) r = sqlite3_prepare_v2(db, s->statement, -1, &stmt, NULL);
	bool made = s->create && s->create_text && r == SQLITE_ERROR &&
		    strncmp(sqlite3_errmsg(db), "no such table", strlen("no such table")) == 0;
	bool fine = r == SQLITE_OK || made;
	if (!fine) sl_err_set(err, SL_ENOTFOUND, "%s; create it, or correct the action", sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return fine ? SL_OK : SL_ENOTFOUND;
}

static void sqlite_close(struct sl_conn *conn) {
	db_close(sl_conn_impl(conn));
	sl_conn_closed(conn);
}

static void sqlite_fini(struct sl_conn *conn) { db_close(sl_conn_impl(conn)); }

/* ---- Batches. @thread the connection's own ---- */

static int statement_run(sqlite3_stmt *s) {
	int r = sqlite3_step(s);
	int r2 = sqlite3_reset(s);
	return r == SQLITE_DONE || r == SQLITE_ROW ? r2 : r;
}

/* What this handle knows of the tables may be old. Preparing a statement notices that where the statement itself names what is missing,
 * and not where one of its triggers does: that would be missing for ever. A statement that reads always notices. */
static void schema_refresh(struct sqlite_conn *c) { (void)db_exec(c->db, "SELECT 1 FROM sqlite_master LIMIT 1"); }

static int statement_prepare(struct sqlite_conn *c, struct sqlite_action *s) {
	if (s->stmt && s->generation == c->generation) return SQLITE_OK;
	s->stmt = NULL;
	s->generation = c->generation;
	schema_refresh(c);
	int r = s->create && s->create_text ? db_exec(c->db, s->create_text) : SQLITE_OK;
	if (r == SQLITE_OK) r = sqlite3_prepare_v3(c->db, s->statement, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL);
	return r;
}

static int value_bind(sqlite3_stmt *stmt, int at, const struct sql_value *v) {
	double d;
	switch (v->kind) {
	case SQL_NULL:
	case SQL_JSON_NULL: return sqlite3_bind_null(stmt, at);
	case SQL_BOOL: return sqlite3_bind_int(stmt, at, v->b);
	case SQL_INT: return sqlite3_bind_int64(stmt, at, v->i);
	case SQL_DOUBLE: return sqlite3_bind_double(stmt, at, v->d);
	case SQL_BYTES: return sqlite3_bind_blob(stmt, at, v->p ? v->p : "", (int)v->n, SQLITE_STATIC);
	case SQL_NUMBER_TEXT: {
		int64_t i;
		struct sl_slice text = sql_value_text(v);
		if (slice_to_i64(text, &i) == SL_OK) return sqlite3_bind_int64(stmt, at, i);
		bool rounds = exact_is_whole(text); /* and is beyond 64 bits: as text it keeps its digits */
		if (!rounds && slice_to_double(text, &d) == SL_OK) return sqlite3_bind_double(stmt, at, d);
		return sqlite3_bind_text(stmt, at, v->p, (int)v->n, SQLITE_STATIC);
	}
	case SQL_STRING:
	case SQL_JSON: return sqlite3_bind_text(stmt, at, v->p ? v->p : "", (int)v->n, SQLITE_STATIC);
	case SQL_LIST:
	case SQL_MAP: break; /* never in a row */
	}
	return SQLITE_MISMATCH;
}

/* Rows until the first that fails. */
static int rows_insert(struct sqlite_action *s, const struct sl_batch *b) {
	uint16_t n = (uint16_t)s->params.n;
	int r = SQLITE_OK;
	for (uint32_t row = 0; row < b->count; row++) {
		for (uint16_t i = 0; i < n && r == SQLITE_OK; i++) {
			struct sql_value v = sql_row_get(b->row[row], i);
			r = value_bind(s->stmt, i + 1, &v);
		}
		if (r == SQLITE_OK) r = statement_run(s->stmt);
		if (r != SQLITE_OK) break;
	}
	return r;
}

static void statement_drop(struct sqlite_action *s) {
	sqlite3_finalize(s->stmt);
	s->stmt = NULL;
}

/* The largest number there is: behind it an AUTOINCREMENT table has none left. */
static bool uses_up_numbers(struct sqlite_action *s, const struct sl_batch *b) {
	for (uint32_t row = 0; row < b->count; row++)
		for (uint16_t i = 0; i < (uint16_t)s->params.n; i++) {
			struct sql_value v = sql_row_get(b->row[row], i);
			if (v.kind == SQL_INT && v.i == INT64_MAX) return true;
		}
	return false;
}

/* SQLite has the same word for a full disk and for a table that has no number left, and has taken the batch back when it says so: with a
 * row that took the last number nothing tells any more. So that row is stored first. */
static void batch_found_no_room(struct sl_batch *b, struct sqlite_conn *c, struct sqlite_action *s, const char *text) {
	if (b->count > 1 && uses_up_numbers(s, b)) {
		sl_batch_fill(b, SL_RESULT_GROUP_FAILED, text);
		return;
	}
	static const char sql[] = "SELECT name FROM sqlite_sequence WHERE seq = 9223372036854775807";
	sqlite3_stmt *q = NULL;
	bool used_up = sqlite3_prepare_v2(c->db, sql, -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW;
	if (used_up)
		sl_batch_not_ready(b,
				   "%s: %s: the numbers of the AUTOINCREMENT table %s are used up, for one of its rows "
				   "had the largest there is, 9223372036854775807; delete that row, and lower the "
				   "table's `seq` in sqlite_sequence",
				   c->path, text, (const char *)sqlite3_column_text(q, 0));
	else
		sl_batch_not_ready(b, "%s: %s; make room on this disk", c->path, text);
	sqlite3_finalize(q);
}

/* A value that a statement makes may want more than there is (randomblob(), printf() with a width). That is its row's fault when there
 * is memory for rows of the common kind. */
static bool memory_is_there(void) {
	enum { ENOUGH = 8 << 20 };
	void *some = sqlite3_malloc64(ENOUGH);
	sqlite3_free(some);
	return some != NULL;
}

/* What a failure means for the batch. text is the database's own word; of_row: it was a row that failed. */
static void batch_failed(struct sl_batch *b, struct sqlite_conn *c, struct sqlite_action *s, int code, bool of_row,
			 const char *text) {
	struct sl_conn *conn = sl_action_conn(b->action);
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL: /* others were faster at the write-ahead log's locks, often in a row */
	case SQLITE_INTERRUPT:
		b->wait_ms = BUSY_WAIT_MS;
		sl_batch_fill(b, SL_RESULT_THROTTLED, NULL);
		break;
	case SQLITE_FULL: batch_found_no_room(b, c, s, text); break;
	case SQLITE_IOERR:
		/* Of a write-ahead log that somebody emptied or deleted this handle would say so for ever. */
		if (!db_open(conn)) {
			sl_batch_fill(b, SL_RESULT_LOST, NULL);
			break;
		}
		sl_batch_not_ready(b, "%s: %s; check the disk", c->path, text);
		break;
	case SQLITE_NOMEM:
		if (of_row && memory_is_there())
			sl_batch_fill(b, SL_RESULT_GROUP_FAILED, text);
		else
			sl_batch_not_ready(b, "%s: %s; give it more memory", c->path, text);
		break;
	case SQLITE_CANTOPEN:
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		sl_conn_down(conn, SL_EIO, "%s: %s", c->path, text);
		sl_batch_fill(b, SL_RESULT_LOST, NULL);
		break;
	case SQLITE_ERROR:
		/* Either the table changed under us, or a function in the statement refused a value. */
		statement_drop(s);
		if (statement_prepare(c, s) != SQLITE_OK) {
			sl_batch_not_ready(b, "%s; create it, or correct the action", sqlite3_errmsg(c->db));
			break;
		}
		sl_batch_fill(b, SL_RESULT_GROUP_FAILED, text);
		break;
	default: sl_batch_fill(b, SL_RESULT_GROUP_FAILED, text); break; /* constraint, type, size */
	}
}

/* Somebody deleted, moved or replaced the file: what is written since goes into one that nobody will find. */
static bool file_is_gone(struct sqlite_conn *c) {
	int moved = 0;
	return sqlite3_file_control(c->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

static void batch_stored(struct sl_batch *b, struct sqlite_conn *c) {
	if (sl_likely(!file_is_gone(c))) {
		sl_batch_fill(b, SL_RESULT_DONE, NULL);
		return;
	}
	sl_conn_down(sl_action_conn(b->action), SL_EIO, "%s: the file was deleted or replaced", c->path);
	sl_batch_fill(b, SL_RESULT_LOST, NULL);
}

static int sqlite_submit(struct sl_conn_action *a, struct sl_batch *b) {
	struct sqlite_conn *c = sl_conn_impl(sl_action_conn(a));
	struct sqlite_action *s = sl_action_impl(a);
	if (!c->db) { /* went down with a batch still in the queue */
		sl_batch_fill(b, SL_RESULT_LOST, NULL);
		sl_batch_done(b);
		return SL_OK;
	}
	int r = statement_prepare(c, s);
	if (r == SQLITE_OK) r = statement_run(c->begin);
	bool begun = r == SQLITE_OK;
	if (begun) r = rows_insert(s, b);
	bool of_row = begun && r != SQLITE_OK;
	if (r == SQLITE_OK) r = statement_run(c->commit);
	if (r == SQLITE_OK)
		batch_stored(b, c);
	else {
		char *text = sl_strdup(sqlite3_errmsg(c->db));
		if (!sqlite3_get_autocommit(c->db)) (void)statement_run(c->rollback);
		batch_failed(b, c, s, r, of_row, text);
		sl_free(text);
	}
	sl_batch_done(b);
	return SL_OK;
}

static int sqlite_encode(struct sl_conn_action *a, const void *row, struct sl_buf *out, struct sl_err *err) {
	const struct sqlite_action *s = sl_action_impl(a);
	(void)err;
	sl_buf_append_str(out, s->statement);
	for (size_t i = 0; i < s->params.n; i++) {
		struct sql_value v = sql_row_get(row, (uint16_t)i);
		sl_buf_append_str(out, i ? ", " : " -- ");
		sql_value_json(&v, out);
	}
	return SL_OK;
}

static void destination(struct sl_conn_action *a, struct sl_buf *out) {
	const struct sqlite_action *s = sl_action_impl(a);
	if (s->sql)
		sl_destination_statement(out, s->sql);
	else
		sl_destination_name(out, "table", s->table);
}

extern const struct sl_connector_kind sl_connector_sqlite; /* connector_tbl.h */
const struct sl_connector_kind sl_connector_sqlite = {
    .name = "sqlite",
    .title = "SQLite database",
    .summary = "Inserts rows into a table of a database file, one transaction per batch.",
    .abi = SL_CONNECTOR_ABI,
    .flags = SL_KIND_BLOCKING,
    .conn_size = sizeof(struct sqlite_conn),
    .action_size = sizeof(struct sqlite_action),
    .conn_fields = conn_fields,
    .action_fields = action_fields,
    .action_check = action_check,
    .action_params = action_params,
    .destination = destination,
    .connect = sqlite_connect,
    .look = sqlite_look,
    .action_look = sqlite_action_look,
    .close = sqlite_close,
    .fini = sqlite_fini,
    .action_fini = action_fini,
    .encode = sqlite_encode,
    .submit = sqlite_submit,
};
