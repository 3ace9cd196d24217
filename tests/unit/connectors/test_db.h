/* test_db.h: looking into a test's database, dir/a.db, from outside. */
#ifndef TEST_DB_H
#define TEST_DB_H

#include <sqlite3.h>

#include "rig.h"

static inline sqlite3 *db_open(const char *dir) {
	char *path = sl_asprintf("%s/a.db", dir);
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	sl_free(path);
	return db;
}

static inline void db_exec(const char *dir, const char *sql) {
	sqlite3 *db = db_open(dir);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static inline int64_t db_int(const char *dir, const char *sql) {
	sqlite3 *db = db_open(dir);
	sqlite3_stmt *s;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t v = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return v;
}

/* No table: the action is not ready and rows pile up, until table_make(). */
#define WAITING                                                                                                        \
	"connectors: {db: {type: sqlite, path: %s/a.db}}\n"                                                            \
	"actions:\n"                                                                                                   \
	"  - connector: db\n"                                                                                          \
	"    table: x\n"                                                                                               \
	"    create: false\n"                                                                                          \
	"    columns: {a: \"${device}\", b: \"${n}\", c: \"${t}\"}\n"                                                  \
	"    retry: {first: 5ms, max: 20ms}\n"
static inline void table_make(const char *dir) { db_exec(dir, "CREATE TABLE IF NOT EXISTS x(a, b, c)"); }

#endif
