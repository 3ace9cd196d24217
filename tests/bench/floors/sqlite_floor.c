/* sqlite_floor.c: how fast rows can go into SQLite at all: one prepared insert, 1,000 rows to a transaction, WAL.
 *
 *     sqlite_floor FILE ROWS      see floor.h */
#include <sqlite3.h>

#include "floor.h"

enum { ROWS_PER_TRANSACTION = 1000 };

static void must(sqlite3 *db, int rc, int wanted) {
	if (rc == wanted) return;
	fprintf(stderr, "sqlite_floor: %s\n", sqlite3_errmsg(db));
	exit(3);
}

static void run(sqlite3 *db, const char *sql) { must(db, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK); }

static void insert(sqlite3 *db, sqlite3_stmt *s, int64_t i) {
	struct floor_row r = floor_row_make(i);
	must(db, sqlite3_bind_text(s, 1, r.device, r.device_n, SQLITE_TRANSIENT), SQLITE_OK);
	must(db, sqlite3_bind_double(s, 2, r.t), SQLITE_OK);
	must(db, sqlite3_bind_int64(s, 3, r.ts), SQLITE_OK);
	must(db, sqlite3_step(s), SQLITE_DONE);
	must(db, sqlite3_reset(s), SQLITE_OK);
}

int main(int argc, char **argv) {
	long long rows = argc == 3 ? floor_rows(argv[2]) : 0;
	if (rows == 0) {
		fputs("usage: sqlite_floor FILE ROWS\n", stderr);
		return 2;
	}
	sqlite3 *db;
	sqlite3_stmt *s;
	must(NULL, sqlite3_open(argv[1], &db), SQLITE_OK);
	run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE readings (device, t, ts)");
	must(db, sqlite3_prepare_v2(db, "INSERT INTO readings VALUES (?, ?, ?)", -1, &s, NULL), SQLITE_OK);
	struct floor_clock began = floor_start();
	for (int64_t i = 0; i < rows; i++) {
		if (i % ROWS_PER_TRANSACTION == 0) run(db, "BEGIN");
		insert(db, s, i);
		if (i % ROWS_PER_TRANSACTION == ROWS_PER_TRANSACTION - 1 || i == rows - 1) run(db, "COMMIT");
	}
	floor_end(began, rows);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return 0;
}
