/* mongodb_floor.c: how fast documents can go into a MongoDB server at all: libmongoc's bulk insert, unordered, 1,000 documents to
 * a command.
 *
 *     mongodb_floor URL COLLECTION ROWS      into database `bench`; prints rows a second, and microseconds of CPU a row
 *
 * The rows are those of tests/bench/run.py's rule: a device name, a number, a time. */
#include <mongoc/mongoc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS_PER_COMMAND = 1000 };

static double now_s(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void insert(mongoc_collection_t *c, int64_t from, int64_t n) {
	bson_t opts, reply;
	bson_error_t error;
	bson_init(&opts);
	BSON_APPEND_BOOL(&opts, "ordered", false);
	mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
	for (int64_t i = from; i < from + n; i++) {
		char device[32];
		bson_t doc;
		(void)snprintf(device, sizeof device, "device-%03d", (int)(i % 200));
		bson_init(&doc);
		BSON_APPEND_UTF8(&doc, "device", device);
		BSON_APPEND_DOUBLE(&doc, "t", 20.0 + (double)(i % 100) / 10);
		BSON_APPEND_INT64(&doc, "ts", 1764000000000 + i);
		mongoc_bulk_operation_insert(bulk, &doc);
		bson_destroy(&doc);
	}
	if (!mongoc_bulk_operation_execute(bulk, &reply, &error)) {
		(void)fprintf(stderr, "mongodb_floor: %s\n", error.message);
		exit(3);
	}
	bson_destroy(&reply);
	mongoc_bulk_operation_destroy(bulk);
	bson_destroy(&opts);
}

static void quiet(mongoc_log_level_t level, const char *domain, const char *message, void *arg) {
	(void)level;
	(void)domain;
	(void)message;
	(void)arg;
}

int main(int argc, char **argv) {
	long long rows = argc == 4 ? strtoll(argv[3], NULL, 10) : 0;
	if (rows <= 0) {
		(void)fputs("usage: mongodb_floor URL COLLECTION ROWS\n", stderr);
		return 2;
	}
	mongoc_log_set_handler(quiet, NULL);
	mongoc_init();
	mongoc_client_t *client = mongoc_client_new(argv[1]);
	if (!client) return 2;
	mongoc_collection_t *c = mongoc_client_get_collection(client, "bench", argv[2]);
	insert(c, 0, 1); /* connected, logged in, the collection is there */
	double began = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
	for (int64_t i = 1; i < rows; i += ROWS_PER_COMMAND)
		insert(c, i, rows - i < ROWS_PER_COMMAND ? rows - i : ROWS_PER_COMMAND);
	cpu = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%.0f %.2f\n", (double)rows / (now_s(CLOCK_MONOTONIC) - began), cpu / (double)rows * 1e6);
	mongoc_collection_destroy(c);
	mongoc_client_destroy(client);
	mongoc_cleanup();
	return 0;
}
