/* kafka_errors.h: what each error of Kafka and of librdkafka means for a row.
 *
 * One table, printed into the README. An error that is not in it is tried again (SL_RESULT_RETRY): a row is never given up for a
 * reason that nobody has thought of.
 * Thread: any. Never blocks. */
#ifndef KAFKA_ERRORS_H
#define KAFKA_ERRORS_H

#include <librdkafka/rdkafka.h>

#include "connector_errors.h"

/* What must happen besides the row's result. */
enum kafka_then {
	KAFKA_ROW,       /* nothing: it is about this row or its request */
	KAFKA_NOT_READY, /* no row is to blame: the action waits, with the text as advice */
	KAFKA_ANEW,      /* this producer is spent: a new one is made, rows are given back */
};

struct kafka_error {
	rd_kafka_resp_err_t code;
	enum sl_result result;
	enum kafka_then then;
	const char *meaning;
	const char *advice; /* what to do; NULL: nothing that a person could */
};

/* Never NULL. */
const struct kafka_error *kafka_error_find(rd_kafka_resp_err_t code);

/* The table as the README has it. */
void kafka_errors_print(struct sl_buf *out);

#endif
