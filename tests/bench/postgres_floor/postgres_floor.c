/* postgres_floor.c: how fast rows can go into PostgreSQL at all, through one session of libpq and a tight loop.
 *
 *     postgres_floor URL ROWS copy|pipeline      prints rows a second, and microseconds of CPU a row on our side
 *
 * copy: COPY ... (FORMAT binary); pipeline: a prepared insert, one sync per batch. 1,000 rows to a transaction. The rows are those
 * of tests/bench/postgres.py: a device name, a number, a time. The table is `floor`, made anew. */
#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

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

static double now_s(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct values {
	char device[32];
	int device_n;
	uint64_t t, at; /* as the wire has them */
};

static void values_make(int64_t i, struct values *v) {
	double t = 20.0 + (double)(i % 100) / 10;
	uint64_t bits;
	memcpy(&bits, &t, sizeof bits);
	v->device_n = snprintf(v->device, sizeof v->device, "device-%03d", (int)(i % 200));
	v->t = htobe64(bits);
	v->at = htobe64((uint64_t)((INT64_C(1764000000000) + i) * 1000 - TO_2000_US));
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
		p = put(put(put(p + 2, v.device, (uint32_t)v.device_n), &v.t, 8), &v.at, 8);
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
		const char *values[FIELDS] = {v.device, (const char *)&v.t, (const char *)&v.at};
		int lengths[FIELDS] = {v.device_n, 8, 8};
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
	long long rows = argc == 4 ? strtoll(argv[2], NULL, 10) : 0;
	if (rows <= 0) {
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
	double began = now_s(), cpu = cpu_s();
	for (int64_t i = 0; i < rows; i += ROWS_PER_TRANSACTION) {
		int64_t to = i + ROWS_PER_TRANSACTION < rows ? i + ROWS_PER_TRANSACTION : rows;
		if (copy)
			copy_batch(db, i, to, buffer);
		else
			pipeline_batch(db, i, to);
	}
	printf("%.0f %.3f\n", (double)rows / (now_s() - began), (cpu_s() - cpu) * 1e6 / (double)rows);
	PQfinish(db);
	free(buffer);
	return 0;
}
