/* kafka_errors.c: see kafka_errors.h. The order is the document's. */
#include "kafka_errors.h"

#include "mem.h"

#define E(name) RD_KAFKA_RESP_ERR_##name

static const struct kafka_error errors[] = {
    {E(NO_ERROR), SL_RESULT_DONE, KAFKA_ROW, "the broker has the row, as `acks` asks", NULL},

    /* About the row. */
    {E(MSG_SIZE_TOO_LARGE), SL_RESULT_GROUP_FAILED, KAFKA_ROW,
     "the request is larger than the topic's max.message.bytes; halves are tried, down to the one row that is too "
     "large",
     "raise the topic's max.message.bytes, or send less"},
    {E(INVALID_MSG_SIZE), SL_RESULT_GROUP_FAILED, KAFKA_ROW, "the same, as other brokers say it",
     "raise the topic's max.message.bytes, or send less"},
    {E(INVALID_RECORD), SL_RESULT_GROUP_FAILED, KAFKA_ROW,
     "a row of the request breaks a rule of the topic, such as one without a key where the topic is compacted",
     "give the action a `key`, or look at the topic's settings"},
    {E(INVALID_MSG), SL_RESULT_GROUP_FAILED, KAFKA_ROW, "the broker could not read a row of the request", NULL},
    {E(INVALID_TIMESTAMP), SL_RESULT_GROUP_FAILED, KAFKA_ROW,
     "a timestamp is further from now than the topic allows (message.timestamp.*.max.ms)",
     "correct the `timestamp` of the action, or the topic's settings"},
    {E(POLICY_VIOLATION), SL_RESULT_GROUP_FAILED, KAFKA_ROW, "a policy of the brokers refuses a row of the request",
     NULL},
    {E(TOPIC_EXCEPTION), SL_RESULT_REJECT, KAFKA_ROW, "the broker does not take this name for a topic", NULL},
    {E(_UNKNOWN_PARTITION), SL_RESULT_REJECT, KAFKA_ROW,
     "the topic has no partition of that number; without `partition` in the action the row is tried again",
     "correct the `partition` of the action, or add partitions to the topic"},
    {E(_INVALID_ARG), SL_RESULT_REJECT, KAFKA_ROW, "librdkafka does not take the row", NULL},
    {E(_BAD_COMPRESSION), SL_RESULT_RETRY, KAFKA_ROW, "librdkafka could not compress the request", NULL},

    /* About the topic or our rights. */
    {E(_UNKNOWN_TOPIC), SL_RESULT_LOST, KAFKA_NOT_READY, "the topic does not exist; its rows wait for it",
     "create it, or set `allow_auto_topic_creation: true` where the brokers create topics"},
    {E(UNKNOWN_TOPIC_OR_PART), SL_RESULT_LOST, KAFKA_NOT_READY, "the same, from the broker",
     "create it, or set `allow_auto_topic_creation: true` where the brokers create topics"},
    {E(TOPIC_AUTHORIZATION_FAILED), SL_RESULT_LOST, KAFKA_NOT_READY, "no right to write to the topic; rows wait",
     "give this user Write and Describe on the topic"},
    {E(CLUSTER_AUTHORIZATION_FAILED), SL_RESULT_LOST, KAFKA_NOT_READY,
     "no right to write with idempotence (brokers before 2.8 want it); rows wait",
     "give this user IdempotentWrite on the cluster, or set `idempotence: false`"},
    {E(INVALID_REQUIRED_ACKS), SL_RESULT_LOST, KAFKA_NOT_READY, "the broker does not take this `acks`; rows wait",
     "correct `acks`"},
    {E(UNSUPPORTED_COMPRESSION_TYPE), SL_RESULT_LOST, KAFKA_NOT_READY,
     "the broker does not know the codec (zstd needs 2.1); rows wait", "choose another `compression`"},
    {E(UNSUPPORTED_FOR_MESSAGE_FORMAT), SL_RESULT_LOST, KAFKA_NOT_READY,
     "the topic's message format is too old for what is asked; rows wait",
     "raise the topic's message.format.version, or set `idempotence: false`"},
    {E(_UNSUPPORTED_FEATURE), SL_RESULT_LOST, KAFKA_NOT_READY, "the brokers are too old for what is asked; rows wait",
     "leave out headers, or choose another `compression`"},

    /* For now. */
    {E(LEADER_NOT_AVAILABLE), SL_RESULT_RETRY, KAFKA_ROW, "the partition has no leader for now", NULL},
    {E(NOT_LEADER_FOR_PARTITION), SL_RESULT_RETRY, KAFKA_ROW, "the partition's leader has moved", NULL},
    {E(NOT_ENOUGH_REPLICAS), SL_RESULT_RETRY, KAFKA_ROW, "fewer replicas in sync than min.insync.replicas", NULL},
    {E(NOT_ENOUGH_REPLICAS_AFTER_APPEND), SL_RESULT_RETRY, KAFKA_ROW, "the same, noticed after writing", NULL},
    {E(REQUEST_TIMED_OUT), SL_RESULT_RETRY, KAFKA_ROW, "the replicas did not confirm in time", NULL},
    {E(KAFKA_STORAGE_ERROR), SL_RESULT_RETRY, KAFKA_ROW, "a disk of the broker failed", NULL},
    {E(THROTTLING_QUOTA_EXCEEDED), SL_RESULT_RETRY, KAFKA_ROW, "the quota of this client is used up", NULL},
    {E(_MSG_TIMED_OUT), SL_RESULT_TIMEOUT, KAFKA_ROW, "librdkafka gave up; it is told not to, so this is rare", NULL},

    /* The connection, or the producer. */
    {E(_PURGE_QUEUE), SL_RESULT_LOST, KAFKA_ROW, "we took the row back before it was sent", NULL},
    {E(_PURGE_INFLIGHT), SL_RESULT_LOST, KAFKA_ROW, "we took the row back while its request was out; it may come twice",
     NULL},
    {E(_TRANSPORT), SL_RESULT_LOST, KAFKA_ROW, "the connection broke", NULL},
    {E(_ALL_BROKERS_DOWN), SL_RESULT_LOST, KAFKA_ROW, "no broker can be reached", NULL},
    {E(_TIMED_OUT), SL_RESULT_LOST, KAFKA_ROW, "a broker did not answer", NULL},
    {E(_DESTROY), SL_RESULT_LOST, KAFKA_ROW, "the client was ended", NULL},
    {E(_BAD_MSG), SL_RESULT_LOST, KAFKA_ANEW,
     "the broker's answer makes no sense; a new producer begins, and rows may come twice", NULL},
    {E(_FATAL), SL_RESULT_LOST, KAFKA_ANEW, "idempotence cannot be kept; a new producer begins", NULL},
    {E(OUT_OF_ORDER_SEQUENCE_NUMBER), SL_RESULT_LOST, KAFKA_ANEW, "the broker misses rows before this one", NULL},
    {E(UNKNOWN_PRODUCER_ID), SL_RESULT_LOST, KAFKA_ANEW, "the broker has forgotten this producer", NULL},
    {E(INVALID_PRODUCER_EPOCH), SL_RESULT_LOST, KAFKA_ANEW, "another producer has our id", NULL},
    {E(_GAPLESS_GUARANTEE), SL_RESULT_LOST, KAFKA_ANEW, "an earlier row was not stored", NULL},
    {E(_INCONSISTENT), SL_RESULT_LOST, KAFKA_ANEW, "librdkafka and the broker disagree on what was stored", NULL},
};

const struct kafka_error *kafka_error_find(rd_kafka_resp_err_t code) {
	static const struct kafka_error other = {E(UNKNOWN), SL_RESULT_RETRY, KAFKA_ROW, "any other error", NULL};
	for (size_t i = 0; i < SL_ARRAY_LEN(errors); i++)
		if (errors[i].code == code) return &errors[i];
	return &other;
}

void kafka_errors_print(struct sl_buf *out) {
	size_t n = SL_ARRAY_LEN(errors);
	struct sl_error_class *rows = SL_NEW_ARRAY(struct sl_error_class, n + 1);
	char **codes = SL_NEW_ARRAY(char *, n);
	char **meanings = SL_NEW_ARRAY(char *, n);
	for (size_t i = 0; i < n; i++) {
		const struct kafka_error *e = &errors[i];
		codes[i] = sl_strdup(rd_kafka_err2name(e->code));
		meanings[i] = e->advice ? sl_asprintf("%s: %s", e->meaning, e->advice) : sl_strdup(e->meaning);
		rows[i] = (struct sl_error_class){.code = codes[i], .result = e->result, .meaning = meanings[i]};
	}
	rows[n] = (struct sl_error_class){.code = "any other", .result = SL_RESULT_RETRY, .meaning = "tried again"};
	sl_errors_print("error", rows, n + 1, out);
	for (size_t i = 0; i < n; i++) {
		sl_free(codes[i]);
		sl_free(meanings[i]);
	}
	sl_free(codes);
	sl_free(meanings);
	sl_free(rows);
}
