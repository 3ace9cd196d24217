/* kafka_floor.c: how fast rows can go into Kafka at all, through one idempotent producer of librdkafka and a tight loop.
 *
 *     kafka_floor BROKERS TOPIC ROWS [headers]      see floor.h
 *
 * Settings are those of the kafka connector's defaults; a row has a key, three fields as JSON, and two headers if they are asked
 * for. Each row is confirmed; the queue is bounded, and a full one is waited for. */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <string.h>

#include "floor.h"

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

/* 0: taken. */
static int produce(rd_kafka_topic_t *topic, const char *value, size_t n, const struct floor_row *r) {
	return rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value, n,
				r->device, (size_t)r->device_n, NULL);
}

static int produce_with_headers(rd_kafka_t *rk, rd_kafka_topic_t *topic, const char *value, size_t n,
				const struct floor_row *r) {
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	rd_kafka_header_add(headers, "rule", 4, "r", 1);
	rd_kafka_header_add(headers, "device", 6, r->device, r->device_n);
	rd_kafka_resp_err_t code = rd_kafka_producev(
	    rk, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)value, n), RD_KAFKA_V_KEY(r->device, (size_t)r->device_n),
	    RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END);
	if (code) rd_kafka_headers_destroy(headers);
	return code;
}

int main(int argc, char **argv) {
	long long rows = argc == 4 || argc == 5 ? floor_rows(argv[3]) : 0;
	bool headers = argc == 5 && strcmp(argv[4], "headers") == 0;
	if (rows == 0 || (argc == 5 && !headers)) {
		fputs("usage: kafka_floor BROKERS TOPIC ROWS [headers]\n", stderr);
		return 2;
	}
	char text[256], value[128];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", argv[1]);
	set(conf, "enable.idempotence", "true");
	set(conf, "partitioner", "murmur2_random");
	set(conf, "message.timeout.ms", "0");
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
	rd_kafka_topic_t *topic = rk ? rd_kafka_topic_new(rk, argv[2], NULL) : NULL;
	if (!topic) return 3;
	struct floor_clock began = floor_start();
	for (long long i = 0; i < rows; i++) {
		struct floor_row r = floor_row_make(i);
		int n = snprintf(value, sizeof value, "{\"device\":\"%s\",\"t\":%.2f,\"ts\":%lld}", r.device, r.t,
				 (long long)r.ts);
		while ((headers ? produce_with_headers(rk, topic, value, (size_t)n, &r)
				: produce(topic, value, (size_t)n, &r)) != 0)
			rd_kafka_poll(rk, 1);
		if (i % 100 == 0) rd_kafka_poll(rk, 0);
	}
	while (confirmed < rows) rd_kafka_poll(rk, 10);
	floor_end(began, rows);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return 0;
}
