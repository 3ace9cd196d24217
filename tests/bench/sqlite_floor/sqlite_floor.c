/* sqlite_floor.c: how fast rows can go into SQLite at all: one prepared insert, 1,000 rows to a transaction, WAL.
 *
 *     sqlite_floor FILE ROWS      prints rows a second
 *
 * The rows are those of tests/bench/run.py's rule: a device name, a number, a time. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS_PER_TRANSACTION = 1000 };

static void must(sqlite3 *db, int rc, int wanted) {
	if (rc == wanted) return;
	fprintf(stderr, "sqlite_floor: %s\n", sqlite3_errmsg(db));
	exit(3);
}

static void run(sqlite3 *db, const char *sql) { must(db, sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK); }

static double now_s(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void insert(sqlite3 *db, sqlite3_stmt *s, int64_t i) {
	char device[32];
	int n = snprintf(device, sizeof device, "device-%03d", (int)(i % 200));
	must(db, sqlite3_bind_text(s, 1, device, n, SQLITE_TRANSIENT), SQLITE_OK);
	must(db, sqlite3_bind_double(s, 2, 20.0 + (double)(i % 100) / 10), SQLITE_OK);
	must(db, sqlite3_bind_int64(s, 3, 1764000000000 + i), SQLITE_OK);
	must(db, sqlite3_step(s), SQLITE_DONE);
	must(db, sqlite3_reset(s), SQLITE_OK);
}

int main(int argc, char **argv) {
	long long rows = argc == 3 ? strtoll(argv[2], NULL, 10) : 0;
	if (rows <= 0) {
		fputs("usage: sqlite_floor FILE ROWS\n", stderr);
		return 2;
	}
	sqlite3 *db;
	sqlite3_stmt *s;
	must(NULL, sqlite3_open(argv[1], &db), SQLITE_OK);
	run(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; CREATE TABLE readings (device, t, ts)");
	must(db, sqlite3_prepare_v2(db, "INSERT INTO readings VALUES (?, ?, ?)", -1, &s, NULL), SQLITE_OK);
	double began = now_s();
	for (int64_t i = 0; i < rows; i++) {
		if (i % ROWS_PER_TRANSACTION == 0) run(db, "BEGIN");
		insert(db, s, i);
		if (i % ROWS_PER_TRANSACTION == ROWS_PER_TRANSACTION - 1 || i == rows - 1) run(db, "COMMIT");
	}
	printf("%.0f\n", (double)rows / (now_s() - began));
	sqlite3_finalize(s);
	sqlite3_close(db);
	return 0;
}
