/* kafka_floor.c: how fast rows can go into Kafka at all, through one idempotent producer of librdkafka and a tight loop.
 *
 *     kafka_floor BROKERS TOPIC ROWS      see floor.h
 *
 * Settings are those of the kafka connector's defaults; a row has a key, and three fields as JSON. Each row is confirmed; the
 * queue is bounded, and a full one is waited for. */
#include <librdkafka/rdkafka.h>

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

int main(int argc, char **argv) {
	long long rows = argc == 4 ? floor_rows(argv[3]) : 0;
	if (rows == 0) {
		fputs("usage: kafka_floor BROKERS TOPIC ROWS\n", stderr);
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
		while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, (size_t)n, r.device,
					(size_t)r.device_n, NULL) != 0)
			rd_kafka_poll(rk, 1);
		if (i % 100 == 0) rd_kafka_poll(rk, 0);
	}
	while (confirmed < rows) rd_kafka_poll(rk, 10);
	floor_end(began, rows);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(rk);
	return 0;
}
