/* mongodb_floor.c: how fast documents can go into a MongoDB server at all: libmongoc's bulk insert, unordered, 1,000 documents to
 * a command.
 *
 *     mongodb_floor URL COLLECTION ROWS      into database `bench`, see floor.h */
#include <mongoc/mongoc.h>

#include "floor.h"

enum { ROWS_PER_COMMAND = 1000 };

static void insert(mongoc_collection_t *c, int64_t from, int64_t n) {
	bson_t opts, reply;
	bson_error_t error;
	bson_init(&opts);
	BSON_APPEND_BOOL(&opts, "ordered", false);
	mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(c, &opts);
	for (int64_t i = from; i < from + n; i++) {
		struct floor_row r = floor_row_make(i);
		bson_t doc;
		bson_init(&doc);
		BSON_APPEND_UTF8(&doc, "device", r.device);
		BSON_APPEND_DOUBLE(&doc, "t", r.t);
		BSON_APPEND_INT64(&doc, "ts", r.ts);
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
	long long rows = argc == 4 ? floor_rows(argv[3]) : 0;
	if (rows == 0) {
		(void)fputs("usage: mongodb_floor URL COLLECTION ROWS\n", stderr);
		return 2;
	}
	mongoc_log_set_handler(quiet, NULL);
	mongoc_init();
	mongoc_client_t *client = mongoc_client_new(argv[1]);
	if (!client) return 2;
	mongoc_collection_t *c = mongoc_client_get_collection(client, "bench", argv[2]);
	insert(c, 0, 1); /* connected, logged in, the collection is there */
	struct floor_clock began = floor_start();
	for (int64_t i = 1; i < rows; i += ROWS_PER_COMMAND)
		insert(c, i, rows - i < ROWS_PER_COMMAND ? rows - i : ROWS_PER_COMMAND);
	floor_end(began, rows);
	mongoc_collection_destroy(c);
	mongoc_client_destroy(client);
	mongoc_cleanup();
	return 0;
}
