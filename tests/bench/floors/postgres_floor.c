/* postgres_floor.c: how fast rows can go into PostgreSQL at all, through one session of libpq and a tight loop.
 *
 *     postgres_floor URL ROWS copy|pipeline      see floor.h
 *
 * copy: COPY ... (FORMAT binary); pipeline: a prepared insert, one sync per batch. 1,000 rows to a transaction.
 * The table is `floor`, made anew. */
#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <string.h>

#include "floor.h"

enum { ROWS_PER_TRANSACTION = 1000, ROW_MAX = 128, FIELDS = 3 };
#define TO_2000_US INT64_C(946684800000000)

static void must(PGconn *db, int ok) {
	if (ok) return;
	fprintf(stderr, "postgres_floor: %s\n", PQerrorMessage(db));
	exit(3);
}

static void run(PGconn *db, const char *sql) {
	PGresult *r = PQexec(db, sql);
	must(db, PQresultStatus(r) == PGRES_COMMAND_OK);
	PQclear(r);
}

struct values {
	struct floor_row row;
	uint64_t t, at; /* as the wire has them */
};

static void values_make(int64_t i, struct values *v) {
	uint64_t bits;
	v->row = floor_row_make(i);
	memcpy(&bits, &v->row.t, sizeof bits);
	v->t = htobe64(bits);
	v->at = htobe64((uint64_t)(v->row.ts * 1000 - TO_2000_US));
}

static char *put(char *p, const void *bytes, uint32_t n) {
	uint32_t length = htonl(n);
	memcpy(p, &length, 4);
	memcpy(p + 4, bytes, n);
	return p + 4 + n;
}

static void copy_batch(PGconn *db, int64_t from, int64_t to, char *buffer) {
	static const char head[19] = "PGCOPY\n\377\r\n\0";
	uint16_t fields = htons(FIELDS), end = 0xffff;
	char *p = buffer;
	PGresult *r = PQexec(db, "COPY floor FROM STDIN (FORMAT binary)");
	must(db, PQresultStatus(r) == PGRES_COPY_IN);
	PQclear(r);
	memcpy(p, head, sizeof head);
	p += sizeof head;
	for (int64_t i = from; i < to; i++) {
		struct values v;
		values_make(i, &v);
		memcpy(p, &fields, 2);
		p = put(put(put(p + 2, v.row.device, (uint32_t)v.row.device_n), &v.t, 8), &v.at, 8);
	}
	memcpy(p, &end, 2);
	must(db, PQputCopyData(db, buffer, (int)(p + 2 - buffer)) == 1 && PQputCopyEnd(db, NULL) == 1);
	while ((r = PQgetResult(db))) {
		must(db, PQresultStatus(r) == PGRES_COMMAND_OK);
		PQclear(r);
	}
}

static void pipeline_batch(PGconn *db, int64_t from, int64_t to) {
	static const int formats[FIELDS] = {1, 1, 1};
	PGresult *r;
	for (int64_t i = from; i < to; i++) {
		struct values v;
		values_make(i, &v);
		const char *values[FIELDS] = {v.row.device, (const char *)&v.t, (const char *)&v.at};
		int lengths[FIELDS] = {v.row.device_n, 8, 8};
		must(db, PQsendQueryPrepared(db, "put", FIELDS, values, lengths, formats, 1));
	}
	must(db, PQpipelineSync(db));
	for (int64_t i = from; i < to; i++) {
		r = PQgetResult(db);
		must(db, PQresultStatus(r) == PGRES_COMMAND_OK);
		PQclear(r);
		must(db, PQgetResult(db) == NULL);
	}
	r = PQgetResult(db);
	must(db, PQresultStatus(r) == PGRES_PIPELINE_SYNC);
	PQclear(r);
}

int main(int argc, char **argv) {
	long long rows = argc == 4 ? floor_rows(argv[2]) : 0;
	if (rows == 0) {
		fputs("usage: postgres_floor URL ROWS copy|pipeline\n", stderr);
		return 2;
	}
	int copy = strcmp(argv[3], "copy") == 0;
	char *buffer = malloc((size_t)ROWS_PER_TRANSACTION * ROW_MAX);
	PGconn *db = PQconnectdb(argv[1]);
	must(db, buffer && PQstatus(db) == CONNECTION_OK);
	run(db, "DROP TABLE IF EXISTS floor");
	run(db, "CREATE TABLE floor (device text, t float8, at timestamptz)");
	PGresult *r = PQprepare(db, "put", "INSERT INTO floor VALUES ($1, $2, $3)", 0, NULL);
	must(db, PQresultStatus(r) == PGRES_COMMAND_OK);
	PQclear(r);
	must(db, copy || PQenterPipelineMode(db));
	struct floor_clock began = floor_start();
	for (int64_t i = 0; i < rows; i += ROWS_PER_TRANSACTION) {
		int64_t to = i + ROWS_PER_TRANSACTION < rows ? i + ROWS_PER_TRANSACTION : rows;
		if (copy)
			copy_batch(db, i, to, buffer);
		else
			pipeline_batch(db, i, to);
	}
	floor_end(began, rows);
	PQfinish(db);
	free(buffer);
	return 0;
}
