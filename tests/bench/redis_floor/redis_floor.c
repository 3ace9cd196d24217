/* redis_floor.c: what hiredis reaches in a tight loop: entries of three fields into streams, 1,000 commands in a pipeline.
 *
 *     redis_floor PORT USER PASSWORD ROWS      prints rows a second, and CPU microseconds a row
 *
 * The bar that connectors/redis is held against by tests/bench/redis.py. */
#include <hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEPTH = 1000 };

static double seconds(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(const redisContext *c, const void *reply) {
	if (reply && ((const redisReply *)reply)->type != REDIS_REPLY_ERROR) return;
	fprintf(stderr, "%s\n", reply ? ((const redisReply *)reply)->str : c->errstr);
	exit(1);
}

static void add(redisContext *c, long i) {
	char key[64], device[32], t[32], ts[32];
	const char *argv[] = {"XADD", key, "MAXLEN", "~", "10000", "*", "device", device, "t", t, "ts", ts};
	size_t len[12];
	snprintf(device, sizeof device, "device-%ld", i % 50);
	snprintf(key, sizeof key, "readings:%s", device);
	snprintf(t, sizeof t, "%.1f", (double)(i % 400) / 10);
	snprintf(ts, sizeof ts, "%ld", 1700000000000 + i);
	for (int k = 0; k < 12; k++) len[k] = strlen(argv[k]);
	redisAppendCommandArgv(c, 12, argv, len);
}

int main(int argc, char **argv) {
	if (argc != 5) return 2;
	long rows = strtol(argv[4], NULL, 10);
	redisContext *c = redisConnect("127.0.0.1", (int)strtol(argv[1], NULL, 10));
	void *reply;
	if (!c || c->err) return 1;
	reply = redisCommand(c, "AUTH %s %s", argv[2], argv[3]);
	check(c, reply);
	freeReplyObject(reply);
	double began = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (long done = 0; done < rows;) {
		long n = rows - done < DEPTH ? rows - done : DEPTH;
		for (long i = 0; i < n; i++) add(c, done + i);
		for (long i = 0; i < n; i++) {
			redisGetReply(c, &reply);
			check(c, reply);
			freeReplyObject(reply);
		}
		done += n;
	}
	double took = seconds(CLOCK_MONOTONIC) - began;
	printf("%.0f %.3f\n", (double)rows / took, (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)rows);
	redisFree(c);
	return 0;
}
