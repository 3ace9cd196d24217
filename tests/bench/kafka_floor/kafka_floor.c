/* kafka_floor.c: how fast rows can go into Kafka at all, through one idempotent producer of librdkafka and a tight loop.
 *
 *     kafka_floor BROKERS TOPIC ROWS      prints rows a second, and microseconds of CPU a row on our side
 *
 * Settings are those of the kafka connector's defaults; rows those of tests/bench/kafka.py: a key, three fields as JSON. Each row is
 * confirmed; the queue is bounded, and a full one is waited for. */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

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

static long long confirmed;

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque) {
	(void)rk, (void)opaque;
	if (m->err) {
		fprintf(stderr, "kafka_floor: %s\n", rd_kafka_err2str(m->err));
		exit(3);
	}
	confirmed++;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
	char text[256];
	if (rd_kafka_conf_set(conf, name, value, text, sizeof text) == RD_KAFKA_CONF_OK) return;
	fprintf(stderr, "kafka_floor: %s\n", text);
	exit(3);
}

int main(int argc, char **argv) {
	long long rows = argc == 4 ? strtoll(argv[3], NULL, 10) : 0;
	if (rows <= 0) {
		fputs("usage: kafka_floor BROKERS TOPIC ROWS\n", stderr);
		return 2;
	}
	char text[256], key[32], value[128];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "enable.idempotence", "true");
	set(conf, "partitioner", "murmur2_random");
	set(conf, "message.timeout.ms", "0");
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	rd_kafka_topic_t *topic = rk ? rd_kafka_topic_new(rk, argv[2], NULL) : NULL;
	if (!topic) return 3;
	double began = now_s(), cpu = cpu_s();
	for (long long i = 0; i < rows; i++) {
		int kn = snprintf(key, sizeof key, "device-%03d", (int)(i % 200));
		int vn = snprintf(value, sizeof value, "{\"device\":\"%s\",\"t\":%.1f,\"ts\":%lld}", key,
				  20.0 + (double)(i % 100) / 10, 1764000000000 + i);
		while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, (size_t)vn, key,
					(size_t)kn, NULL) != 0)
			rd_kafka_poll(rk, 1);
		if (i % 100 == 0) rd_kafka_poll(rk, 0);
	}
	while (confirmed < rows) rd_kafka_poll(rk, 10);
	printf("%.0f %.3f\n", (double)rows / (now_s() - began), (cpu_s() - cpu) * 1e6 / (double)rows);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return 0;
}
