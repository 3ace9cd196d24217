/* The kafka kind against librdkafka's own mock cluster: what a real broker can't be made to do on demand. */
#include "rig.h"

#include "hash.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { API_PRODUCE = 0, API_METADATA = 3, API_INIT_PRODUCER_ID = 22, PARTITIONS = 4 };

struct mock {
	rd_kafka_t *rk;
	rd_kafka_mock_cluster_t *cluster;
	struct rig *rig;
};

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
	(void)rk, (void)level, (void)facility, (void)text;
}

static rd_kafka_t *client_new(rd_kafka_type_t type, const char *brokers) {
	char text[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_conf_set_log_cb(conf, quiet);
	if (brokers) {
		rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof text);
		rd_kafka_conf_set(conf, "group.id", "test", text, sizeof text);
	}
	rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
	assert_non_null(rk);
	return rk;
}

static struct mock mock_new(void) {
	struct mock m = {.rk = client_new(RD_KAFKA_PRODUCER, NULL)};
	m.cluster = rd_kafka_mock_cluster_new(m.rk, 3);
	assert_non_null(m.cluster);
	assert_int_equal(rd_kafka_mock_topic_create(m.cluster, "t", PARTITIONS, 1), 0);
	m.rig = rig_new(1);
	return m;
}

static void mock_free(struct mock *m) {
	rig_free(m->rig);
	rd_kafka_mock_cluster_destroy(m->cluster);
	rd_kafka_destroy(m->rk);
}

#define LOAD(m, conn, action)                                                                                          \
	rig_load((m)->rig,                                                                                             \
		 "connectors: {k: {type: kafka, linger: 1ms, reconnect: {first: 5ms, max: 50ms}, brokers: '%s'" conn   \
		 "}}\n"                                                                                                \
		 "actions: [{connector: k, topic: t, value: '${a}', key: '${b}', headers: {t: '${c}'}, "               \
		 "retry: {first: 5ms, max: 50ms}" action "}]\n",                                                       \
		 rd_kafka_mock_cluster_bootstraps((m)->cluster))

/* value: the number, key: the device, which is the order key as well. */
static uint64_t row(uint64_t serial, struct sql_value *values, char *text, size_t text_size) {
	int n = snprintf(text, text_size, "d%u", (unsigned)(serial % 7));
	values[0] = sql_int((int64_t)serial);
	values[1] = sql_string(slice_make(text, (size_t)n));
	values[2] = sql_double((double)serial / 2);
	return sl_hash_stable(slice_make(text, (size_t)n));
}

struct seen {
	size_t rows, distinct, disorder;
};

/* Reads until every number below n was seen, at most some seconds. Order: by first occurrence. */
static struct seen mock_read(struct mock *m, size_t n) {
	struct seen seen = {0};
	rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, rd_kafka_mock_cluster_bootstraps(m->cluster));
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(PARTITIONS);
	for (int i = 0; i < PARTITIONS; i++)
		rd_kafka_topic_partition_list_add(list, "t", i)->offset = RD_KAFKA_OFFSET_BEGINNING;
	assert_int_equal(rd_kafka_assign(rk, list), 0);
	uint8_t *times = sl_zalloc(n);
	long last[7];
	for (int i = 0; i < 7; i++) last[i] = -1;
	for (int idle = 0; idle < 50 && seen.distinct < n;) {
		rd_kafka_message_t *msg = rd_kafka_consumer_poll(rk, 100);
		idle = msg ? 0 : idle + 1;
		if (msg && !msg->err) {
			char *text = sl_memdup0(msg->payload, msg->len), *key = sl_memdup0(msg->key, msg->key_len);
			long number = strtol(text, NULL, 10), device = strtol(key + 1, NULL, 10);
			assert_in_range(number, 0, n - 1);
			assert_int_equal(number % 7, device);
			seen.rows++;
			if (times[number]++ == 0) {
				seen.distinct++;
				seen.disorder += number <= last[device];
				last[device] = number;
			}
			sl_free(text);
			sl_free(key);
		}
		if (msg) rd_kafka_message_destroy(msg);
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
	sl_free(times);
	return seen;
}

static struct seen arrives(struct mock *m, size_t n) {
	rig_stage(m->rig, 0, n, 50, row);
	struct sl_action_counts counts = rig_settle(m->rig, 0);
	assert_int_equal(counts.delivered, n);
	struct seen seen = mock_read(m, n);
	assert_int_equal(seen.distinct, n);
	assert_int_equal(seen.disorder, 0);
	return seen;
}

static void test_kafka__everything_arrives_once_and_in_order(void **state) {
	(void)state;
	struct mock m = mock_new();
	LOAD(&m, "", "");
	assert_int_equal(arrives(&m, 5000).rows, 5000);
	mock_free(&m);
}

static void test_kafka__a_small_queue_makes_batches_wait(void **state) {
	(void)state;
	struct mock m = mock_new();
	LOAD(&m, ", queue: {rows: 70, bytes: 1MB}", ", batch: {rows: 30}");
	assert_int_equal(arrives(&m, 3000).rows, 3000);
	mock_free(&m);
}

static void test_kafka__a_batch_larger_than_the_queue_arrives_in_parts(void **state) {
	(void)state;
	struct mock m = mock_new();
	LOAD(&m, ", queue: {rows: 10, bytes: 1MB}", ", batch: {rows: 100}");
	assert_int_equal(arrives(&m, 500).rows, 500);
	mock_free(&m);
}

/* Errors that the library tries again by itself, and ones that end the client: nothing is lost or out of order. */
static void test_kafka__errors_for_now_are_outlived(void **state) {
	(void)state;
	static const rd_kafka_resp_err_t errors[] = {
	    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
	    RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
	    RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
	    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
	    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
	    RD_KAFKA_RESP_ERR_UNKNOWN,
	};
	for (size_t i = 0; i < SL_ARRAY_LEN(errors); i++) {
		struct mock m = mock_new();
		LOAD(&m, "", "");
		rd_kafka_mock_push_request_errors(m.cluster, API_PRODUCE, 3, errors[i], errors[i], errors[i]);
		rig_stage(m.rig, 0, 700, 50, row);
		struct sl_action_counts counts = rig_settle(m.rig, 0);
		if (counts.delivered != 700 || counts.rejected)
			fail_msg("%s: %d delivered", rd_kafka_err2name(errors[i]), (int)counts.delivered);
		assert_int_equal(mock_read(&m, 700).distinct, 700);
		mock_free(&m);
	}
}

/* Nothing is lost. (The mock cluster does not look at sequence numbers, and stores what stood behind the refused request; that a
 * real broker does not is seen in tests/connectors.) */
static void test_kafka__refused_requests_are_taken_apart(void **state) {
	(void)state;
	struct mock m = mock_new();
	const rd_kafka_resp_err_t fine = RD_KAFKA_RESP_ERR_NO_ERROR;
	LOAD(&m, "", "");
	/* The first row to each partition goes alone. */
	rd_kafka_mock_push_request_errors(m.cluster, API_PRODUCE, 5, fine, fine, fine, fine,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	rig_stage(m.rig, 0, 700, 50, row);
	struct sl_action_counts counts = rig_settle(m.rig, 0);
	assert_int_equal(counts.delivered + counts.rejected, 700);
	assert_in_range(counts.rejected, 0, 1); /* the request may have had one row only */
	if (counts.rejected == 0) assert_int_equal(mock_read(&m, 700).distinct, 700);
	mock_free(&m);
}

/* A request of one row: there is nothing to look for. */
static void test_kafka__a_row_refused_alone_is_a_dead_letter(void **state) {
	(void)state;
	struct mock m = mock_new();
	LOAD(&m, "", "");
	rd_kafka_mock_push_request_errors(m.cluster, API_PRODUCE, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	rig_stage(m.rig, 0, 700, 50, row);
	struct sl_action_counts counts = rig_settle(m.rig, 0);
	assert_int_equal(counts.rejected, 1);
	assert_int_equal(counts.delivered, 699);
	mock_free(&m);
}

static void test_kafka__brokers_that_go_and_come_back(void **state) {
	(void)state;
	struct mock m = mock_new();
	LOAD(&m, "", "");
	rig_stage(m.rig, 0, 300, 50, row);
	for (int id = 1; id <= 3; id++) rd_kafka_mock_broker_set_down(m.cluster, id);
	rig_stage(m.rig, 0, 300, 50, row);
	usleep(300000);
	for (int id = 1; id <= 3; id++) rd_kafka_mock_broker_set_up(m.cluster, id);
	assert_int_equal(rig_settle(m.rig, 0).delivered, 600);
	struct seen seen = mock_read(&m, 600);
	assert_int_equal(seen.distinct, 600);
	assert_int_equal(seen.disorder, 0);
	mock_free(&m);
}

static void test_kafka__a_silent_broker_is_given_up_after_the_timeout(void **state) {
	(void)state;
	struct mock m = mock_new();
	LOAD(&m, "", ", timeout: 100ms");
	for (int id = 1; id <= 3; id++) rd_kafka_mock_broker_set_rtt(m.cluster, id, 3000);
	rig_stage(m.rig, 0, 100, 50, row);
	usleep(4000000);
	for (int id = 1; id <= 3; id++) rd_kafka_mock_broker_set_rtt(m.cluster, id, 0);
	assert_int_equal(rig_settle(m.rig, 0).delivered, 100);
	struct seen seen = mock_read(&m, 100);
	assert_int_equal(seen.distinct, 100);
	assert_int_equal(seen.disorder, 0);
	mock_free(&m);
}

static void test_kafka__closing_with_rows_out_ends(void **state) {
	(void)state;
	static const char *const brokers[] = {"127.0.0.1:1", "localhost:1,127.0.0.1:2"};
	for (size_t i = 0; i < SL_ARRAY_LEN(brokers); i++) {
		struct rig *r = rig_new(1);
		rig_load(r,
			 "connectors: {k: {type: kafka, brokers: '%s'}}\n"
			 "actions: [{connector: k, topic: t, value: '${a}', key: '${b}', headers: {t: '${c}'}}]\n",
			 brokers[i]);
		rig_stage(r, 0, 200, 10, row);
		usleep(50000);
		(void)rig_counts(r, 0);
		rig_stop(r, 20);
		rig_free(r);
	}
	struct mock m = mock_new();
	LOAD(&m, "", "");
	for (int id = 1; id <= 3; id++) rd_kafka_mock_broker_set_rtt(m.cluster, id, 5000);
	rig_stage(m.rig, 0, 200, 10, row);
	usleep(200000);
	rig_stop(m.rig, 50);
	mock_free(&m);
}

int main(void) {
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kafka__everything_arrives_once_and_in_order),
	    cmocka_unit_test(test_kafka__a_small_queue_makes_batches_wait),
	    cmocka_unit_test(test_kafka__a_batch_larger_than_the_queue_arrives_in_parts),
	    cmocka_unit_test(test_kafka__errors_for_now_are_outlived),
	    cmocka_unit_test(test_kafka__refused_requests_are_taken_apart),
	    cmocka_unit_test(test_kafka__a_row_refused_alone_is_a_dead_letter),
	    cmocka_unit_test(test_kafka__brokers_that_go_and_come_back),
	    cmocka_unit_test(test_kafka__a_silent_broker_is_given_up_after_the_timeout),
	    cmocka_unit_test(test_kafka__closing_with_rows_out_ends),
	};
	return cmocka_run_group_tests_name("kafka", tests, NULL, NULL);
}
