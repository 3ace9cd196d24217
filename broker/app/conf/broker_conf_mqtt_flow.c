/* broker_conf_mqtt_flow.c: options of `mqtt` about where messages go: queues and shared subscriptions. */
#include "broker_conf_int.h"

const char *const broker_conf_queue_words[] = {"drop_new", "drop_oldest", NULL};
const char *const broker_conf_shared_words[] = {"round_robin", "random",      "sticky",         "hash_clientid",
						"hash_topic",  "local_first", "least_inflight", NULL};

int broker_conf_shared_strategy(struct sl_slice word) {
	for (int i = 0; broker_conf_shared_words[i]; i++)
		if (slice_equal_str(word, broker_conf_shared_words[i])) return i;
	return -1;
}

int broker_conf_check_shared(const struct conf_field *field, struct sl_slice text, struct sl_err *err) {
	(void)field;
	if (broker_conf_shared_strategy(text) >= 0) return SL_OK;
	return sl_err_set(err, SL_EINVAL,
			  "'%.*s' is no strategy; write round_robin, random, sticky, hash_clientid, hash_topic, "
			  "local_first or least_inflight",
			  SL_SLICE_ARG(text));
}
