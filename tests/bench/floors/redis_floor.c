/* redis_floor.c: what hiredis reaches in a tight loop: entries of three fields into streams, 1,000 commands in a pipeline.
 *
 *     redis_floor PORT USER PASSWORD ROWS      see floor.h */
#include <hiredis.h>
#include <string.h>

#include "floor.h"

enum { DEPTH = 1000 };

static void check(const redisContext *c, const void *reply) {
	if (reply && ((const redisReply *)reply)->type != REDIS_REPLY_ERROR) return;
	fprintf(stderr, "%s\n", reply ? ((const redisReply *)reply)->str : c->errstr);
	exit(1);
}

static void add(redisContext *c, int64_t i) {
	struct floor_row r = floor_row_make(i);
	char key[64], t[32], ts[32];
	const char *argv[] = {"XADD", key, "MAXLEN", "~", "10000", "*", "device", r.device, "t", t, "ts", ts};
	size_t len[12];
	snprintf(key, sizeof key, "readings:%s", r.device);
	snprintf(t, sizeof t, "%.2f", r.t);
	snprintf(ts, sizeof ts, "%lld", (long long)r.ts);
	for (int k = 0; k < 12; k++) len[k] = strlen(argv[k]);
	redisAppendCommandArgv(c, 12, argv, len);
}

int main(int argc, char **argv) {
	long long rows = argc == 5 ? floor_rows(argv[4]) : 0;
	if (rows == 0) {
		fputs("usage: redis_floor PORT USER PASSWORD ROWS\n", stderr);
		return 2;
	}
	redisContext *c = redisConnect("127.0.0.1", (int)strtol(argv[1], NULL, 10));
	void *reply;
	if (!c || c->err) return 1;
	reply = redisCommand(c, "AUTH %s %s", argv[2], argv[3]);
	check(c, reply);
	freeReplyObject(reply);
	struct floor_clock began = floor_start();
	for (long long done = 0; done < rows;) {
		long long n = rows - done < DEPTH ? rows - done : DEPTH;
		for (long long i = 0; i < n; i++) add(c, done + i);
		for (long long i = 0; i < n; i++) {
			redisGetReply(c, &reply);
			check(c, reply);
			freeReplyObject(reply);
		}
		done += n;
	}
	floor_end(began, rows);
	redisFree(c);
	return 0;
}
