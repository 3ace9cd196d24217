/* kafka_look.c: topics that are missing, for `sluice connector test`. Asked on the keeper's thread, for it blocks; no topic is made. */
#include "kafka_errors.h"
#include "kafka_producer.h"
#include "mem.h"

#define LOOK_MS 3000 /* one topic */

struct kafka_look {
	struct kafka_keeper_job job;
	rd_kafka_t *rk;
	struct sl_batch *b;
	char **topics; /* copies */
	size_t count;
	struct sl_buf faults; /* one behind the other */
};

static void fault_add(struct kafka_look *look, const char *topic, rd_kafka_resp_err_t code) {
	const struct kafka_error *e = kafka_error_find(code);
	sl_buf_printf(&look->faults, "%stopic %s: %s; %s", look->faults.n ? "; " : "", topic, rd_kafka_err2str(code),
		      e->advice ? e->advice : e->meaning);
}

/* A leader that is not there for now is no fault of the configuration. */
static bool is_fault(rd_kafka_resp_err_t code) {
	return code != RD_KAFKA_RESP_ERR_NO_ERROR && kafka_error_find(code)->then == KAFKA_NOT_READY;
}

static void topic_look(struct kafka_look *look, const char *topic) {
	const struct rd_kafka_metadata *found = NULL;
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(look->rk, topic, NULL);
	rd_kafka_resp_err_t code =
	    rkt ? rd_kafka_metadata(look->rk, 0, rkt, &found, LOOK_MS) : RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR && found->topic_cnt == 1 && is_fault(found->topics[0].err))
		fault_add(look, topic, found->topics[0].err);
	else if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		fault_add(look, topic, code);
	if (found) rd_kafka_metadata_destroy(found);
	if (rkt) rd_kafka_topic_destroy(rkt);
}

static void look_work(struct kafka_keeper_job *job) {
	struct kafka_look *look = sl_container_of(job, struct kafka_look, job);
	for (size_t i = 0; i < look->count; i++) topic_look(look, look->topics[i]);
}

static void look_done(struct kafka_keeper_job *job) {
	struct kafka_look *look = sl_container_of(job, struct kafka_look, job);
	if (look->faults.n) sl_batch_not_ready(look->b, "%s", sl_buf_cstr(&look->faults));
	sl_batch_done(look->b);
	for (size_t i = 0; i < look->count; i++) sl_free(look->topics[i]);
	sl_free(look->topics);
	sl_buf_fini(&look->faults);
	sl_free(look);
}

/* Where the brokers may make topics, asking for one would make it. */
void kafka_look(struct kafka_producer *p, const char *const topics[], size_t count, struct sl_batch *b) {
	if (count == 0 || p->conf->auto_create || p->state != KAFKA_RUNNING) {
		sl_batch_done(b);
		return;
	}
	struct kafka_look *look = SL_NEW(struct kafka_look);
	look->job = (struct kafka_keeper_job){.work = look_work, .done = look_done};
	look->rk = p->rk;
	look->b = b;
	look->topics = SL_NEW_ARRAY(char *, count);
	look->count = count;
	for (size_t i = 0; i < count; i++) look->topics[i] = sl_strdup(topics[i]);
	kafka_keeper_run(p->keeper, &look->job);
}
